//! What the corpus of `core` reaches: a kind of message or a state that no history reaches is one that is not fuzzed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use playgate_relay_core::{Counters, DropReason};

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

#[test]
fn the_corpus_of_relay_reaches_every_reason_to_drop() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/relay");
    let mut counted = Counters::default();
    for file in fs::read_dir(corpus).expect("the corpus") {
        let bytes = fs::read(file.expect("a file").path()).expect("readable");
        counted.add(&playgate_fuzz_bodies::relay_seen(&bytes));
    }
    // A history is too short for the rates of HELLOs and OPENs.
    let rates = [DropReason::HelloRate, DropReason::OpenRate];
    let never = |reason: &DropReason| counted.drops(*reason) == 0;
    let missed: Vec<_> = DropReason::ALL.into_iter().filter(never).filter(|reason| !rates.contains(reason)).collect();
    assert!(missed.is_empty(), "never dropped as {missed:?}");
    let Counters { opened, reopened, refused, moved, pings, resets, cookies, up_datagrams, down_datagrams, .. } =
        counted;
    let done = [opened, reopened, refused, moved, pings, resets, cookies, up_datagrams, down_datagrams];
    assert!(done.iter().all(|times| *times > 0), "{counted:?}");
}
