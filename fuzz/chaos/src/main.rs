//! Chaos with real parts: kills, stops and cuts off real processes under load, and compares what was acknowledged with
//! what is kept.

mod args;
mod compare;
mod database;
mod disk;
mod faults;
mod ledger;
mod leftovers;
mod load;
mod net;
mod report;
mod rng;
mod rounds;
mod served;
mod server;
mod settle;
mod storm;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Args, Command, Common};
use crate::world::Setup;

/// Any failure that ends a run is for people to read.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Directories of runs begin with it.
const DIR_PREFIX: &str = "playgate-chaos-";
const CANNOT_RUN: u8 = 4;
/// Rounds between two heads of the table.
const HEAD_EVERY: u64 = 25;

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match &args.command {
        Some(Command::Server { port, facts }) => server::run(*port, facts).map(|()| true),
        Some(Command::Storm { servers, sessions, common }) => block_on(storm(*servers, *sessions, common)),
        None => block_on(chaos(&args)),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("playgate-chaos: {error}");
            ExitCode::from(CANNOT_RUN)
        }
    }
}

/// Until it is done, or somebody asks for the end; whatever was started ends with it.
fn block_on(work: impl Future<Output = Outcome<bool>>) -> Outcome<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            outcome = work => outcome,
            _ = terminate.recv() => Err("interrupted".into()),
            _ = interrupt.recv() => Err("interrupted".into()),
        }
    })
}

async fn chaos(args: &Args) -> Outcome<bool> {
    let setup = setup(&args.common)?;
    let seed = args.seed.unwrap_or_else(|| u64::from(std::process::id()));
    let plan = rounds::Plan {
        rounds: args.rounds,
        time: args.seconds.map(std::time::Duration::from_secs),
        seed,
        faults: args.faults.clone(),
        isolation: args.isolation,
        invent: args.invent,
    };
    let json = args.common.json;
    let mut tell = |round: &report::Round| {
        if json {
            return;
        }
        if round.number.is_multiple_of(HEAD_EVERY) {
            println!("{}", report::Round::head());
        }
        println!("{}", round.line());
    };
    let report = rounds::run(&plan, setup, &mut tell).await?;
    publish(&args.common, &report.text(), &report.json())?;
    Ok(report.passed())
}

async fn storm(servers: u32, sessions: u32, common: &Common) -> Outcome<bool> {
    let report = storm::run(setup(common)?, servers, sessions).await?;
    publish(common, &report.text(), &report.json())?;
    Ok(report.passed())
}

fn publish(common: &Common, text: &str, json: &serde_json::Value) -> Outcome<()> {
    if common.json {
        println!("{json:#}")
    } else {
        print!("{text}")
    }
    if let Some(path) = &common.out {
        report::write(path, text)?;
    }
    Ok(())
}

/// Takes away what dead runs have left, and makes room for this one.
fn setup(common: &Common) -> Outcome<Setup> {
    playgate_netns::remove_leftovers(net::PREFIX);
    leftovers::end_those_of_the_dead();
    disk::remove_leftovers(DIR_PREFIX);
    let run = playgate_netns::process::this_run();
    let dir = common.keep.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("{DIR_PREFIX}{run}")));
    if dir.join("data").exists() {
        return Err(format!("{} holds an earlier run; name another directory", dir.display()).into());
    }
    std::fs::create_dir_all(&dir)?;
    let dir = dir.canonicalize()?;
    Ok(Setup { run, dir, playgate: playgate(common)?, keep: common.keep.is_some(), fleets: None })
}

fn playgate(common: &Common) -> Outcome<PathBuf> {
    if let Some(path) = &common.playgate {
        return path.canonicalize().map_err(|error| format!("{}: {error}", path.display()).into());
    }
    let beside = std::env::current_exe()?.with_file_name("playgate");
    match beside.exists() {
        true => Ok(beside),
        false => Err(format!(
            "there is no playgate beside this program; build it (cargo build -p playgate-cli, with --release for a \
             release) or name one with --playgate ({})",
            beside.display()
        )
        .into()),
    }
}
