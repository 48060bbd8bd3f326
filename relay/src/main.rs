//! The `playgate-relay` command: `playgate relay` for hosts that need nothing else of Playgate.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use playgate_relay::command::{AFTER_HELP, RelayCommand};
use tokio::signal::unix::{SignalKind, signal};

/// Something on this machine has to be mended first.
const CANNOT_START: u8 = 4;

/// Stand before game servers: hide their addresses, check every datagram, limit rates.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Args {
    /// What to print.
    #[arg(long, global = true, value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
    /// Log lines as JSON.
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: RelayCommand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    /// Columns for people.
    Table,
    /// One JSON document for programs; a line each second where it is repeated.
    Json,
}

fn main() -> ExitCode {
    abort_on_panic();
    let args = Args::parse();
    init_logging(&args);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(CANNOT_START, &format!("the runtime does not start: {error}")),
    };
    match runtime.block_on(args.command.execute(args.output == OutputFormat::Json, told_to_stop())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(error.exit_code(), &error.to_string()),
    }
}

fn report(code: u8, problem: &str) -> ExitCode {
    eprintln!("playgate-relay: {problem}");
    ExitCode::from(code)
}

/// A panic is a fault of ours in one thread of many; a supervisor starts a clean process from what is durable.
fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
}

/// Waits for SIGTERM or Ctrl-C.
async fn told_to_stop() {
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    if let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

/// `PLAYGATE_LOG` overrules, for example `debug`.
fn init_logging(args: &Args) {
    let usual = if args.command.is_service() { "info" } else { "warn" };
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
