//! Runs of one seed or of many, on as many threads as are wanted; each world has one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock::Micros;
use crate::coverage::Coverage;
use crate::invariants::Violation;
use crate::relay::{self, RelayOutcome, RelayWorld};
use crate::trace;
use crate::world::{Done, Outcome, Plan, World};

/// Of the steps with faults, so many parts are the relay's.
const RELAY_SHARE: u64 = 2;

/// Runs one seed. A panic of a core is a violation like any other.
#[must_use]
pub fn one(plan: Plan) -> Outcome {
    let run = catch_unwind(AssertUnwindSafe(|| both(plan)));
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = text.unwrap_or_else(|| "a panic".to_owned());
        let violation = Some(Violation { number: "D9", what });
        let (coverage, done, relay) = (Coverage::default(), Done::default(), relay::Done::default());
        Outcome { steps: 0, simulated: 0, hash: 0, violation, coverage, done, relay }
    })
}

/// The world of the coordinator, then the one of a relay.
fn both(plan: Plan) -> Outcome {
    let mut outcome = World::new(plan).run(plan);
    if outcome.violation.is_none() {
        trace::line("---- the relay ----".to_owned());
        let RelayOutcome { steps, simulated, hash, violation, done } =
            RelayWorld::new(plan.seed).run(plan.steps / RELAY_SHARE);
        outcome.steps += steps;
        outcome.simulated += simulated;
        outcome.hash = outcome.hash.rotate_left(1) ^ hash;
        outcome.violation = violation;
        outcome.relay = done;
    }
    outcome
}

/// Runs one seed and keeps the end of its story, or prints all of it.
#[must_use]
pub fn told(plan: Plan, all: bool) -> (Outcome, Vec<String>) {
    trace::begin(true, all);
    let outcome = one(plan);
    let lines = trace::take();
    trace::begin(false, false);
    (outcome, lines)
}

/// Many runs.
#[derive(Debug, Default)]
pub struct Summary {
    /// Seeds that were run.
    pub seeds: u64,
    /// Steps taken.
    pub steps: u64,
    /// Simulated time.
    pub simulated: Micros,
    /// What met what.
    pub coverage: Coverage,
    /// What the fleets did.
    pub done: Done,
    /// What happened around the relays.
    pub relay: relay::Done,
    /// The lowest seed that failed, and what.
    pub failed: Option<(u64, Violation)>,
    /// How long it took.
    pub took: Duration,
}

/// How often a long run says how far it is.
const WORD: Duration = Duration::from_secs(15);

/// Runs seeds from `first` up to `end`, until one fails or the time is over; says now and then how far it is.
#[must_use]
pub fn many(
    first: u64,
    end: u64,
    plan: impl Fn(u64) -> Plan + Sync,
    jobs: usize,
    time: Option<Duration>,
    progress: impl Fn(&Summary) + Sync,
) -> Summary {
    let began = Instant::now();
    let next = AtomicU64::new(first);
    let stop = AtomicBool::new(false);
    let summary = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) && time.is_none_or(|time| began.elapsed() < time) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = one(plan(seed));
                    let mut summary = summary.lock().expect("nobody panics while holding it");
                    summary.seeds += 1;
                    summary.steps += outcome.steps;
                    summary.simulated += outcome.simulated;
                    summary.coverage.add(&outcome.coverage);
                    summary.done.add(&outcome.done);
                    summary.relay.add(&outcome.relay);
                    if began.elapsed() >= summary.took + WORD {
                        summary.took = began.elapsed();
                        progress(&summary);
                    }
                    if let Some(violation) = outcome.violation {
                        stop.store(true, Ordering::Relaxed);
                        if summary.failed.as_ref().is_none_or(|(failed, _)| seed < *failed) {
                            summary.failed = Some((seed, violation));
                        }
                    }
                }
            });
        }
    });
    let mut summary = summary.into_inner().expect("nobody panics while holding it");
    summary.took = began.elapsed();
    summary
}
