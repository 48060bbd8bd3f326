//! The command line.

use std::time::Duration;

use clap::Parser;
use playgate_sim::{Canary, Plan};

/// Runs Playgate's real cores (coordinator, agents, gates, joiners) in a simulated world of faults.
///
/// Everything random comes from the seed: the same seed is the same story, byte for byte, on every machine. Without
/// options, seeds 0..1000 are run.
#[derive(Debug, Parser)]
#[command(name = "playgate-sim", version, after_help = EXAMPLES)]
pub struct Args {
    /// Replay this seed and print the hash of its final state
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "minutes"])]
    pub seed: Option<u64>,
    /// Run these seeds, the second not included; stop at the first that fails
    #[arg(long, value_name = "A..B")]
    seeds: Option<String>,
    /// Run for this long, from the first of --seeds, or from 0
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Steps with faults in each run; the calm behind them takes as many as it needs
    #[arg(long, value_name = "N", default_value_t = 4_000)]
    pub steps: u64,
    /// With --seed: print every step, not only the last ones of a failure
    #[arg(long, requires = "seed")]
    pub trace: bool,
    /// Print which fault met which state, and how often
    #[arg(long)]
    pub coverage: bool,
    /// Write what was run and what came of it to a file in fuzz/sim/results
    #[arg(long)]
    pub record: bool,
    /// Threads; each runs worlds of its own
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// List what is checked
    #[arg(long)]
    invariants: bool,
    /// Put a wrong rule into the world, to see it found: slot-on-timer, answer-before-sync
    #[arg(long, hide = true, value_parser = canary, default_value = "none")]
    canary: Canary,
}

const EXAMPLES: &str = "\
Examples:
  playgate-sim --seeds 0..20000            what CI runs
  playgate-sim --minutes 60 --record       a long run, with its result in a file
  playgate-sim --seed 4711                 what seed 4711 does, and its hash
  playgate-sim --seed 4711 --trace | less  the whole story of it
  playgate-sim --coverage                  which fault met which state

A failure prints the number and the sentence of what was broken, the seed, and the end of the story. It exits with 1;
a mistake on the command line exits with 2. Run it in release: cargo run --release -p playgate-sim -- --seed 4711";

fn canary(text: &str) -> Result<Canary, String> {
    match text {
        "none" => Ok(Canary::None),
        "slot-on-timer" => Ok(Canary::SlotOnTimer),
        "answer-before-sync" => Ok(Canary::AnswerBeforeSync),
        _ => Err("no such canary".to_owned()),
    }
}

/// What is to be done.
pub enum Work {
    /// One seed, with its story.
    Replay(u64),
    /// From a seed up to another, for a time.
    Many {
        /// The first seed.
        first: u64,
        /// Behind the last.
        end: u64,
        /// Or until then.
        time: Option<Duration>,
    },
    /// Prints the list.
    Invariants,
}

impl Args {
    /// What these arguments ask for.
    ///
    /// # Errors
    /// A sentence about what is wrong with them.
    pub fn work(&self) -> Result<Work, String> {
        if self.invariants {
            return Ok(Work::Invariants);
        }
        if let Some(seed) = self.seed {
            return Ok(Work::Replay(seed));
        }
        let time = self.minutes.map(|minutes| Duration::try_from_secs_f64(minutes * 60.0));
        let time = time.transpose().map_err(|_| "--minutes is a number of minutes, such as 5 or 0.5".to_owned())?;
        let Some(text) = &self.seeds else {
            return Ok(Work::Many { first: 0, end: if time.is_some() { u64::MAX } else { 1_000 }, time });
        };
        let (first, end) = text.split_once("..").ok_or("--seeds is a range such as 0..20000")?;
        let number =
            |text: &str| text.trim().parse::<u64>().map_err(|_| format!("\"{text}\" is no seed; it is a number"));
        Ok(Work::Many { first: number(first)?, end: number(end)?, time })
    }

    /// How to run one seed.
    #[must_use]
    pub fn plan(&self, seed: u64) -> Plan {
        Plan { seed, steps: self.steps, canary: self.canary }
    }

    /// Threads.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }
}
