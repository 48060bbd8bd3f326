//! Every input that the fuzzer found worth keeping, on every run of the tests.

use std::path::Path;

#[test]
fn the_fuzz_corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/token");
    let mut inputs = 0;
    for entry in std::fs::read_dir(&corpus).expect("the corpus is committed") {
        let path = entry.unwrap().path();
        println!("{}", path.display()); // shown if it fails
        crate::fuzz::token(&std::fs::read(&path).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 10, "only {inputs} inputs in {}", corpus.display());
}
