//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::faults::Kind;
use crate::net::Isolation;

/// Kills, stops and cuts off real processes of Playgate under load, and finds out whether anything was lost.
///
/// A coordinator, two agents with three game servers each, and three backends with real players run on this machine. In
/// each round one thing goes wrong; the load runs through it. Every answer goes into a ledger. After a kill of the
/// coordinator, what it has left on the disk is copied before it is started again, and every acknowledged fact must be
/// in the copy; after every round the ledger, the database, the API and the game servers' own notes are compared.
#[derive(Debug, Parser)]
#[command(name = "playgate-chaos", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Rounds; the first ones take each kind of fault in turn, the others choose
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub rounds: u64,
    /// Stop after the round in which this time is over
    #[arg(long, value_name = "S")]
    pub seconds: Option<u64>,
    /// What is chosen, and how long it lasts. Processes and networks have a timing of their own: a seed repeats the
    /// plan of a run, not the run
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// What may go wrong
    #[arg(long, value_enum, value_delimiter = ',', default_value = "kill,stop,cut,disk")]
    pub faults: Vec<Kind>,
    /// How the parts are kept apart
    #[arg(long, value_enum, default_value_t = Isolation::Auto)]
    pub isolation: Isolation,
    /// Put a fact into the ledger that nobody acknowledged, to see it reported as missing
    #[arg(long, hide = true)]
    pub invent: bool,
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, clap::Args)]
pub struct Common {
    /// The playgate binary to run; the one beside this program where it is not given
    #[arg(long, value_name = "PATH")]
    pub playgate: Option<PathBuf>,
    /// Keep everything in this directory: logs, the database, the servers' notes
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Write what was run and what came of it to this file
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Connect many game servers, kill the coordinator, and see how and when they come back
    Storm {
        /// Game servers, all in this process: one thread and some descriptors each
        #[arg(long, default_value_t = 1_000)]
        servers: u32,
        /// Game sessions on them, each with a player inside and one who has not come
        #[arg(long, default_value_t = 100)]
        sessions: u32,
        #[command(flatten)]
        common: Common,
    },
    /// The game server that the agents launch here
    #[command(hide = true)]
    Server {
        #[arg(long)]
        port: u16,
        #[arg(long)]
        facts: PathBuf,
    },
}

const EXAMPLES: &str = "\
Build both programs first: cargo build --release -p playgate-cli -p playgate-chaos

Examples:
  playgate-chaos                                        20 rounds, every kind of fault
  playgate-chaos --rounds 200 --seed $RANDOM            what CI runs
  playgate-chaos --rounds 5000 --faults kill --out FILE a long run, with its result in a file
  playgate-chaos --isolation loopback                   without root
  playgate-chaos storm --servers 1000                   one restart with many servers

Exit codes: 0 nothing was lost, 1 something was found, 2 usage, 4 cannot run here.
Ctrl-C ends everything that was started. What a killed run has left is removed by the next one.";
