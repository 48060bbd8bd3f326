//! The simulator is judged: it repeats itself exactly, finds nothing wrong with the rules, and finds a wrong one.

use playgate_sim::{Canary, Plan, run};

fn plan(seed: u64) -> Plan {
    Plan { seed, steps: 1_500, canary: Canary::None }
}

#[test]
fn the_same_seed_is_the_same_story() {
    for seed in 0..40 {
        let (first, again) = (run::one(plan(seed)), run::one(plan(seed)));
        assert_eq!(
            (first.hash, first.steps, first.simulated),
            (again.hash, again.steps, again.simulated),
            "seed {seed}"
        );
        let (told, _) = run::told(plan(seed), false);
        assert_eq!(told.hash, first.hash, "seed {seed}: telling a story does not change it");
    }
    assert_ne!(run::one(plan(1)).hash, run::one(plan(2)).hash);
}

#[test]
fn nothing_is_broken_in_the_first_seeds() {
    let summary = run::many(0, 300, plan, 2, None, |_| ());
    if let Some((seed, violation)) = summary.failed {
        let (_, story) = run::told(plan(seed), false);
        panic!("seed {seed}: {violation:?}\n{}", story.join("\n"));
    }
    assert_eq!(summary.seeds, 300);
    // A simulation in which little happens proves little.
    let (hit, all) = summary.coverage.pairs_hit();
    let missed: Vec<_> = summary.coverage.missed().collect();
    assert_eq!(hit + missed.len(), all);
    assert!(missed.len() * 20 <= all, "of {all} pairs of fault and state these were not hit: {missed:?}");
}

/// Faults, reasons to drop, answers and ends: what never happens is not tested.
#[test]
fn everything_happens_around_the_relay() {
    let names = [
        "relay crash|relay paused|player rebinds|network cut|player cut off|secret rotated|player revoked|relay drains",
        "hostile datagrams|thief with a pass|player comes back|no socket|malformed|cookie_age|cookie_mac|pass_secret",
        "pass_seal|open_proof|open_stale|wrong_core|unknown_flow|tag|replay|path_response|down_unknown_flow|cookie",
        "opened|accepted again|refuse|reset|pong|path_challenge|path_challenge with payload|fresh_pass|player_at",
        "forwarded|answered|flow_rate|expired|revoked|closed|served",
    ];
    let summary = run::many(0, 300, plan, 2, None, |_| ());
    assert_eq!(summary.failed, None);
    let names = names.into_iter().flat_map(|line| line.split('|'));
    let missed: Vec<_> = names.filter(|name| summary.relay.times(name) == 0).collect();
    assert!(missed.is_empty(), "{missed:?} in {:?}", summary.relay);
}

/// Wrong rules, put in by hand. If they are not found, neither would be others.
#[test]
fn a_wrong_rule_is_found() {
    for (canary, numbers) in [(Canary::SlotOnTimer, ["14", "D1"]), (Canary::AnswerBeforeSync, ["16", "15"])] {
        let summary = run::many(0, 500, |seed| Plan { canary, ..plan(seed) }, 2, None, |_| ());
        let (seed, violation) = summary.failed.unwrap_or_else(|| panic!("{canary:?} lives after 500 seeds"));
        println!("{canary:?} is found by seed {seed}: {violation:?}");
        assert!(numbers.contains(&violation.number), "{violation:?}");
    }
}
