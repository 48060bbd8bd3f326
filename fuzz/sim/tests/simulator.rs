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
