//! The demo: coordinator, agent, servers and bots as real processes, and a script that checks everything it shows.
//!
//! ```text
//!   script.rs ──► launch.rs, sessions.rs, players.rs   the five steps
//!                 refusals.rs                          who is not let in
//!                 outages.rs                           kill -9, and what it does not break
//!   relayed.rs    the five steps through a relay
//!   stage.rs      what is running, and what was checked so far
//!   actor.rs      one child process        leftovers.rs   whoever outlives the demo
//! ```

mod actor;
mod launch;
mod leftovers;
mod outages;
mod players;
mod refusals;
mod relayed;
mod script;
mod sessions;
mod stage;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use crate::services::STOP_GRACE;
use leftovers::Leftovers;
use stage::{Outcome, Unexpected};

/// The whole demo takes about ten seconds; a machine that needs longer than this shows nothing useful.
const PATIENCE: Duration = Duration::from_secs(120);
/// What everything that was started may take to end by itself once the demo is over.
const FAREWELL: Duration = Duration::from_secs(3 * STOP_GRACE.as_secs() + 6);

const INTRODUCTION: &str = "\
Playgate puts matches on game servers and lets exactly the right players in, without standing between them.
Here a coordinator, an agent, two servers of the game `arena` and its bots run as real processes on this machine.
They go through the five steps of a server's life; on the way some players are refused, and some processes killed.
";

const RELAYED: &str = "\
A relay stands before the game servers: players know its address and nobody else's, and every datagram is checked there.
Coordinator, agent, relay, two servers of the game `arena` and its bots run as real processes on this machine.
The relay is killed, and so is the coordinator; whoever plays plays on.
";

pub fn run(through_relay: bool) -> ExitCode {
    println!("{}", if through_relay { RELAYED } else { INTRODUCTION });
    let started = Instant::now();
    match play(through_relay) {
        Ok(checks) => {
            println!("\nall five steps held: {checks} checks in {:.1} s", started.elapsed().as_secs_f64());
            println!("{}", where_to_go_on());
            ExitCode::SUCCESS
        }
        Err(Unexpected(what)) => {
            println!("\nFAILED: {what}");
            ExitCode::FAILURE
        }
    }
}

fn play(through_relay: bool) -> Outcome<usize> {
    let home =
        tempfile::Builder::new().prefix("arena-demo-").tempdir().map_err(Unexpected::because("temporary directory"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Unexpected::because("runtime"))?;
    let leftovers = Leftovers::of(home.path());
    let outcome = runtime.block_on(LocalSet::new().run_until(async {
        let outcome = watch(home.path(), through_relay).await;
        match (outcome, leftovers.end(FAREWELL).await) {
            (Ok(_), Some(who)) => Err(Unexpected(format!("still running after the demo: {who}"))),
            (outcome, _) => outcome,
        }
    }));
    runtime.shutdown_background();
    outcome.map_err(|Unexpected(what)| {
        // Whoever wants to know why finds the logs of all processes there.
        Unexpected(format!("{what}\n        the logs are kept in {}", home.keep().display()))
    })
}

/// Plays the script; whatever ends it, everything the script holds is let go of before this returns.
async fn watch(home: &Path, through_relay: bool) -> Outcome<usize> {
    let home = home.to_owned();
    let mut script = tokio::task::spawn_local(async move {
        match through_relay {
            true => relayed::play(&home).await,
            false => script::play(&home).await,
        }
    });
    let interruption = tokio::select! {
        done = &mut script => {
            return done.unwrap_or_else(|panic| Err(Unexpected(format!("the demo itself broke: {panic}"))));
        }
        _ = tokio::signal::ctrl_c() => "interrupted".to_owned(),
        () = tokio::time::sleep(PATIENCE) => format!("not done after {} s", PATIENCE.as_secs()),
    };
    script.abort();
    let _ = script.await; // it was told to stop
    Err(Unexpected(interruption))
}

fn where_to_go_on() -> String {
    let exe = std::env::current_exe().map_or("arena".to_owned(), |exe| exe.display().to_string());
    format!(
        "\
Read on: README.md at the root, and examples/arena/README.md for the game.
Play by hand: playgate dev -- {exe} server --port {{port}}
              then, in another terminal: arena bot --help"
    )
}
