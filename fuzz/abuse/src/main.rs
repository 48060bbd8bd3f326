//! `playgate-abuse`: runs scripts against a coordinator that it starts, or is itself the attacker.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use playgate_abuse::attack::{self, SCRIPTS};
use playgate_abuse::coordinator::Coordinator;
use playgate_abuse::cpus;
use playgate_abuse::report::{head, line};
use playgate_abuse::run::Arena;
use playgate_abuse::storm::storm;
use playgate_protocol::JoinKey;

/// Attacks a coordinator on loopback while honest requests go on. Where there are two CPUs or more, the attacker has one
/// of them to himself, and everybody else the others, before the attack as beside it. Ends with 1 if one of them failed, or if the
/// coordinator died, panicked, or took more memory than is declared.
#[derive(Parser)]
struct Args {
    /// The coordinator; built with: cargo build --release -p playgate-cli
    #[arg(long, value_name = "FILE", global = true)]
    playgate: Option<PathBuf>,
    /// For each script, and as long again without it before and, as the control, after it.
    #[arg(long, default_value_t = 5.0, global = true, value_parser = seconds)]
    seconds: f64,
    /// One JSON document instead of the table.
    #[arg(long, global = true)]
    json: bool,
    /// Repeats the noise of a run.
    #[arg(long, default_value_t = 1, global = true)]
    seed: u64,
    /// Scripts to run; all where none is named.
    #[arg(value_name = "SCRIPT")]
    scripts: Vec<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the scripts.
    List,
    /// Restarts the coordinator under so many linked peers and measures how they come back.
    Storm {
        /// All on 127.0.0.1.
        #[arg(default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=4_000))]
        peers: u32,
    },
    /// Is the attacker. A join key is in PLAYGATE_JOIN_KEY.
    #[command(hide = true)]
    Attack {
        script: String,
        #[arg(long)]
        target: SocketAddr,
        /// The one CPU that it runs on.
        #[arg(long)]
        cpu: Option<usize>,
    },
    /// Takes this much CPU time, in milliseconds.
    #[command(hide = true)]
    Burn {
        cpu_ms: u64,
        #[arg(long)]
        target: SocketAddr,
        #[arg(long)]
        cpu: Option<usize>,
    },
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds".to_owned())?;
    if (0.1..=600.0).contains(&seconds) { Ok(seconds) } else { Err("between 0.1 and 600".to_owned()) }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let attackers_cpu = match &args.command {
        Some(Command::Attack { cpu, .. } | Command::Burn { cpu, .. }) => {
            cpu.iter().for_each(|cpu| cpus::keep_to(*cpu));
            None
        }
        // Before there are threads, which inherit it, as the coordinator does.
        None => cpus::leave_one(),
        Some(_) => None,
    };
    let mut runtime = match args.command {
        // One core of the machine is enough for an attacker; the others are for whom he attacks.
        Some(Command::Attack { .. }) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let outcome = runtime.enable_all().build().and_then(|runtime| runtime.block_on(run(args, attackers_cpu)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("playgate-abuse: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run(mut args: Args, attackers_cpu: Option<usize>) -> std::io::Result<bool> {
    let time = Duration::from_secs_f64(args.seconds);
    match args.command.take() {
        None => scripts(&args, time, attackers_cpu).await,
        Some(Command::List) => {
            SCRIPTS.iter().for_each(|script| println!("{:<17} {}", script.name, script.what));
            Ok(true)
        }
        Some(Command::Storm { peers }) => {
            let (mut coordinator, operator) = Coordinator::start(&playgate(&args)?).await?;
            let storm = storm(&mut coordinator, &operator, usize::try_from(peers).expect("4,000 at most")).await?;
            println!("{}", serde_json::to_string_pretty(&storm)?);
            Ok(coordinator.trouble().is_none())
        }
        Some(Command::Attack { script, target, .. }) => {
            let key = std::env::var("PLAYGATE_JOIN_KEY").ok();
            let key = key.map(|key| JoinKey::from_text(&key)).transpose().map_err(std::io::Error::other)?;
            let done = attack::run(&script, target, time, args.seed, key).await?;
            println!("{}", serde_json::to_string(&done)?);
            Ok(true)
        }
        Some(Command::Burn { cpu_ms, .. }) => {
            println!("{}", serde_json::to_string(&attack::burn(Duration::from_millis(cpu_ms), time)?)?);
            Ok(true)
        }
    }
}

async fn scripts(args: &Args, time: Duration, attackers_cpu: Option<usize>) -> std::io::Result<bool> {
    if let Some(unknown) = args.scripts.iter().find(|name| SCRIPTS.iter().all(|script| script.name != **name)) {
        return Err(std::io::Error::other(format!("there is no script {unknown:?}; see: playgate-abuse list")));
    }
    let mut arena = Arena::open(&playgate(args)?, &std::env::current_exe()?, args.seed).await?;
    arena.attackers_cpu = attackers_cpu;
    let mut rows = Vec::new();
    if !args.json {
        println!("{}", head());
    }
    for script in
        SCRIPTS.iter().filter(|script| args.scripts.is_empty() || args.scripts.iter().any(|n| n == script.name))
    {
        let row = arena.run(script, time, true).await?;
        if !args.json {
            println!("{}", line(&row));
        }
        rows.push(row);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    }
    let held = rows.iter().all(|row| row.faults().is_empty());
    if !held {
        eprintln!("{}", arena.log());
    }
    Ok(held)
}

/// The one beside this program, unless another one is named.
fn playgate(args: &Args) -> std::io::Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("playgate");
    let path = args.playgate.clone().unwrap_or(beside);
    if path.exists() {
        return Ok(path);
    }
    let what = format!("{} is not there: build it with cargo build --release -p playgate-cli", path.display());
    Err(std::io::Error::other(what))
}
