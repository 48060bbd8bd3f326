//! The command line. Its help is the manual.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// A top-down shooter on Playgate: one authoritative UDP server a match, players let in by ticket.
///
/// Without a command it plays the demo: coordinator, agent, two game servers and a handful of bots as real processes,
/// through the five steps of a game server's life, and through everything that may go wrong on the way.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
}

const AFTER_HELP: &str = "\
Play by hand, with the `playgate` command and two terminals:
  playgate dev -- ./arena server --port {port} --name {name}
                                       a fleet \"dev\" that keeps one of our servers running
  playgate session create dev --players 8 --property map=ruins --property mode=king-of-the-hill
  playgate player add gs-... ann ben --tickets tickets/
  arena bot --ticket-file tickets/ann.ticket --seconds 60

Properties of a game session:
  map            crossroads (default), ruins, maze
  mode           deathmatch (default), king-of-the-hill
  score_limit    1 to 65535, default 25
  time_limit_s   1 to 86400, default 600";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the five steps on real processes; exit code 0 if all went as it should. Linux only.
    Demo {
        /// The players come through a relay, and the servers' addresses are hidden.
        #[arg(long)]
        relay: bool,
    },
    /// Run a game server. It is launched by an agent, or finds a join key in PLAYGATE_JOIN_KEY.
    #[command(after_help = "Exit codes: 0 told to end, 1 cannot start or go on, 2 usage.")]
    Server {
        /// UDP port for players; 0 lets the system choose.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// Display name.
        #[arg(long, default_value = "arena")]
        name: String,
    },
    /// Join with a ticket and play. The ticket is a secret, so it comes in a file or in PLAYGATE_TICKET.
    #[command(after_help = "Exit codes: 0 played, 1 cannot start, 2 usage, 3 the ticket was refused, \
                            4 the server does not answer, 5 taken out of the game.")]
    Bot {
        /// File with the ticket, instead of PLAYGATE_TICKET.
        #[arg(long, value_name = "FILE")]
        ticket_file: Option<PathBuf>,
        /// Leave after this long; otherwise play until the match is over.
        #[arg(long, value_name = "N")]
        seconds: Option<u64>,
        /// Leave when the standard input ends: for programs that start bots.
        #[arg(long)]
        until_eof: bool,
    },
    /// The demo's coordinator; ends with its standard input.
    #[command(hide = true)]
    Coordinator {
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        fleets: PathBuf,
    },
    /// The demo's relay; ends with its standard input.
    #[command(hide = true)]
    Relay {
        #[arg(long)]
        state: PathBuf,
        #[arg(long)]
        listen: SocketAddr,
    },
    /// The demo's agent; ends with its standard input.
    #[command(hide = true)]
    Agent {
        #[arg(long)]
        state: PathBuf,
    },
}
