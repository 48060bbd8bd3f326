//! Replays the committed corpora, and some made-up bytes, through every body.

use std::fs;
use std::path::Path;

#[test]
fn every_corpus_file_is_survived() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for (name, body) in playgate_fuzz_bodies::ALL {
        let files: Vec<_> =
            fs::read_dir(corpora.join(name)).expect(name).map(|file| file.expect(name).path()).collect();
        assert!(!files.is_empty(), "the corpus of {name} is empty");
        for file in files {
            body(&fs::read(&file).expect(name));
        }
    }
}

#[test]
fn made_up_bytes_are_survived() {
    for (_, body) in playgate_fuzz_bodies::ALL {
        let mut state = 1_u64;
        for len in [0, 1, 2, 3, 7, 16, 64, 200, 600] {
            let bytes: Vec<u8> = (0..len)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    state.to_le_bytes()[6]
                })
                .collect();
            body(&bytes);
        }
    }
}
