//! What the corpus of `core` reaches: a kind of message or a state that no history reaches is one that is not fuzzed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn the_corpus_of_core_reaches_every_kind_and_state() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/core");
    let mut seen = BTreeSet::new();
    for file in fs::read_dir(corpus).expect("the corpus") {
        let bytes = fs::read(file.expect("a file").path()).expect("readable");
        seen.extend(playgate_fuzz_bodies::core_seen(&bytes).names());
    }
    let expected = playgate_fuzz_bodies::expected();
    let missing: Vec<String> = expected.difference(&seen).map(|(kind, name)| format!("{kind:<20} {name}")).collect();
    let reached = expected.len() - missing.len();
    assert!(missing.is_empty(), "reached {reached} of {}; never reached:\n{}", expected.len(), missing.join("\n"));
}
