//! What is printed, and what is written to a file.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use playgate_sim::coverage::Fault;
use playgate_sim::invariants::{LIVENESS, RELAY, SAFETY, Violation, sentence};
use playgate_sim::run::{self, Summary};

use crate::args::Args;

const HOUR_US: f64 = 3_600e6;

/// One seed, with its story if it fails or if it is wanted. Says whether it passed.
pub fn replay(args: &Args, seed: u64) -> bool {
    quiet_panics();
    let (outcome, tail) = run::told(args.plan(seed), args.trace);
    if let Some(violation) = &outcome.violation {
        if !args.trace {
            tail.iter().for_each(|line| println!("{line}"));
        }
        print_violation(seed, outcome.steps, violation);
    }
    let seconds = outcome.simulated as f64 / 1e6;
    println!("seed {seed}: {} steps, {seconds:.1} simulated seconds, hash {:016x}", outcome.steps, outcome.hash);
    if args.coverage {
        print!("{}", outcome.coverage);
    }
    outcome.violation.is_none()
}

fn print_violation(seed: u64, steps: u64, violation: &Violation) {
    println!("\nBROKEN {} after step {steps} of seed {seed}: {}", violation.number, violation.what);
    println!("must hold: {}", sentence(violation.number));
}

/// Many seeds. Says whether all passed.
pub fn many(args: &Args, first: u64, end: u64, time: Option<Duration>) -> bool {
    quiet_panics();
    let progress = |so_far: &Summary| {
        let hours = so_far.simulated as f64 / HOUR_US;
        let (seeds, steps, seconds) = (so_far.seeds, so_far.steps, so_far.took.as_secs());
        eprintln!("{seconds:>5} s: {seeds} seeds, {steps} steps, {hours:.1} simulated hours, none failed");
    };
    let summary = run::many(first, end, |seed| args.plan(seed), args.jobs(), time, progress);
    if let Some((seed, violation)) = &summary.failed {
        println!("seed {seed} failed: {} {}", violation.number, violation.what);
        println!("---- its story ----");
        replay(args, *seed);
        println!("again: cargo run --release -p playgate-sim -- --seed {seed} --steps {}", args.steps);
    }
    print!("{}", text(args, &summary));
    if args.coverage {
        print!("{}\n{}", summary.coverage, around_the_relay(&summary));
    }
    if args.record
        && let Err(error) = record(args, first, &summary)
    {
        eprintln!("the result could not be written: {error}");
        return false;
    }
    summary.failed.is_none()
}

/// A core that panics is reported with its seed; the text of the panic is in the report.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| playgate_sim::trace::line(format!("{info}"))));
}

fn text(args: &Args, summary: &Summary) -> String {
    let seconds = summary.took.as_secs_f64();
    let (hit, all) = summary.coverage.pairs_hit();
    let done = summary.done;
    let relay = |what| summary.relay.times(what);
    let did = format!(
        "{} game sessions, {} tickets, {} players admitted, {} revocations, {} calls answered, {} coordinator starts; \
         {} flows through relays, {} payloads forwarded",
        done.sessions,
        done.tickets,
        done.admitted,
        done.revoked,
        done.answered,
        done.starts,
        relay("opened"),
        relay("forwarded")
    );
    format!(
        "{} seeds, {} steps ({:.0} a second on {} threads), {:.1} simulated hours, {} faults, {hit} of {all} pairs of \
         fault and state, {did}, {seconds:.1} s, {}\n",
        summary.seeds,
        summary.steps,
        summary.steps as f64 / seconds,
        args.jobs(),
        summary.simulated as f64 / HOUR_US,
        summary.coverage.total(),
        if summary.failed.is_some() { "FAILED" } else { "all passed" },
    )
}

/// Faults, verdicts and ends around the relays, a line each.
fn around_the_relay(summary: &Summary) -> String {
    summary.relay.met.iter().map(|(what, times)| format!("relay: {what:<32}{times:>12}\n")).collect()
}

fn record(args: &Args, first: u64, summary: &Summary) -> std::io::Result<()> {
    let git = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    let commit = git.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut out = String::new();
    let command: Vec<String> = std::env::args().skip(1).collect();
    let _ = writeln!(out, "command  cargo run --release -p playgate-sim -- {}", command.join(" "));
    let _ = writeln!(
        out,
        "commit   {commit}\ntime     {now} (Unix)\nfirst    seed {first}\nresult   {}",
        text(args, summary)
    );
    if let Some((seed, violation)) = &summary.failed {
        let _ = writeln!(out, "failed   seed {seed}: {} {}\n", violation.number, violation.what);
    }
    for fault in Fault::ALL {
        let _ = writeln!(out, "{:<20}{:>12}", fault.as_str(), summary.coverage.count(*fault));
    }
    let _ = write!(out, "\n{}\n{}", summary.coverage, around_the_relay(summary));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("results").join(format!("{now}-{commit}.txt"));
    std::fs::create_dir_all(file.parent().expect("it has a folder"))?;
    std::fs::write(&file, out)?;
    println!("written to {}", file.display());
    Ok(())
}

/// The list of what is checked.
pub fn invariants() -> bool {
    let listed = SAFETY.iter().chain(LIVENESS).map(|invariant| (invariant.number, invariant.sentence));
    for (number, sentence) in listed.chain(RELAY.iter().copied()) {
        println!("{number:>4}  {sentence}");
    }
    true
}
