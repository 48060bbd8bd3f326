//! The `playgate` command: coordinator, agent, relay, and everything an operator does by hand.

mod args;
mod calls;
mod connect;
mod dev;
mod error;
mod output;
mod pump;
mod serve;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::args::{Args, Command};
use crate::error::Failure;

/// From the end of the work to the end of the process.
const LEFT_OVERS_MAX: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    abort_on_panic();
    let args = Args::parse();
    init_logging(&args);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::setup(format!("the runtime does not start: {error}")).report(),
    };
    let outcome = runtime.block_on(run(args));
    // Everything that counts is done and said. Nothing that is left over, such as a write that hangs on a bad disk, may
    // keep a service manager from starting the next one.
    runtime.shutdown_timeout(LEFT_OVERS_MAX);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// A panic is a fault of ours in one task of many; a supervisor starts a clean process from what is durable.
fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
}

async fn run(args: Args) -> Result<(), Failure> {
    let Args { command, key, output, .. } = args;
    match command {
        Command::Coordinator(args) => serve::coordinator(args).await,
        Command::Agent(args) => serve::agent(args).await,
        Command::Relay(command) => serve::relay(command, output).await,
        Command::Dev(args) => dev::run(args).await,
        Command::Pump { ticket_file, timeout } => pump::run(&ticket_file, timeout).await,
        command => calls::run(command, &connect::operator(key.as_deref()).await?, output).await,
    }
}

/// Services log what happens, tools only what is wrong. `PLAYGATE_LOG` overrules, for example `debug`.
fn init_logging(args: &Args) {
    let usual = match &args.command {
        Command::Coordinator(_) | Command::Agent(_) | Command::Dev(_) => "info",
        Command::Relay(command) if command.is_service() => "info",
        _ => "warn",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("PLAYGATE_LOG");
    let filter =
        filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(format!("{usual},quinn=error,quinn_proto=error")));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    if args.log_json {
        log.json().init();
    } else {
        log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init();
    }
}
