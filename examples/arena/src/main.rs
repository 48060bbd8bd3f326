//! `arena`: the sample game of Playgate, as one binary.
//!
//! ```text
//!   game/    the rules, without any network          wire.rs  the game's own datagrams
//!   server/  the authoritative game server           bot/     a player without a person
//!   demo/    the five steps of Playgate on real processes: this binary, started over and over
//! ```

mod bot;
mod cli;
mod demo;
mod game;
mod net;
mod server;
mod services;
mod wire;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Args, Command};

fn main() -> ExitCode {
    match Args::parse().command.unwrap_or(Command::Demo { relay: false }) {
        Command::Demo { relay } => demo::run(relay),
        Command::Server { port, name } => server::run(port, &name),
        Command::Bot { ticket_file, seconds, until_eof } => bot::run(&bot::Options { ticket_file, seconds, until_eof }),
        Command::Coordinator { data, listen, fleets } => services::coordinator(data, listen, &fleets),
        Command::Relay { state, listen } => services::relay(state, listen),
        Command::Agent { state } => services::agent(state),
    }
}
