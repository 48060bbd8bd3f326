//! `playgate-sim`: one seed replayed, or many seeds until one fails.

mod args;
mod report;

use std::process::ExitCode;

use args::{Args, Work};
use clap::Parser;

fn main() -> ExitCode {
    let args = Args::parse();
    let passed = match args.work() {
        Ok(Work::Replay(seed)) => report::replay(&args, seed),
        Ok(Work::Many { first, end, time }) => report::many(&args, first, end, time),
        Ok(Work::Invariants) => report::invariants(),
        Err(what) => {
            eprintln!("{what}");
            return ExitCode::from(2);
        }
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
