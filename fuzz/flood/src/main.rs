//! `playgate-flood`: floods a relay that it starts, or is itself the relay or the attacker.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use playgate_flood::attack::{self, SCRIPTS};
use playgate_flood::bench::{self, Carrier};
use playgate_flood::relay;
use playgate_flood::report::{head, line};
use playgate_flood::run::{Arena, Measure};
use playgate_flood::world::World;

/// Floods a relay in network namespaces while honest players come and play. Needs root and `ip`. Ends with 1 if the relay
/// amplified, took more memory than is declared, let anything foreign pass, died, or let an honest player not in.
#[derive(Parser)]
struct Args {
    /// For each script.
    #[arg(long, default_value_t = 10.0, global = true, value_parser = seconds)]
    seconds: f64,
    /// Honest players who come each second. All have one address, of which a relay takes 100 a second.
    #[arg(long, default_value_t = 20, global = true, value_parser = clap::value_parser!(u32).range(1..=60))]
    players: u32,
    /// Threads of the relay.
    #[arg(long, default_value_t = 1, global = true, value_parser = clap::value_parser!(u8).range(1..=64))]
    cores: u8,
    /// Repeats the noise of a run.
    #[arg(long, default_value_t = 1, global = true)]
    seed: u64,
    /// One JSON document instead of the table.
    #[arg(long, global = true)]
    json: bool,
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
    /// Compares the cost of a datagram with that of a plain proxy; needs no root.
    Cost,
    /// Is the relay.
    #[command(hide = true)]
    Relay {
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Is the attacker, who reads what he is given.
    #[command(hide = true)]
    Attack { script: String },
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds".to_owned())?;
    if (0.1..=600.0).contains(&seconds) { Ok(seconds) } else { Err("between 0.1 and 600".to_owned()) }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("playgate-flood: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> io::Result<bool> {
    match &args.command {
        None => scripts(args),
        Some(Command::List) => {
            SCRIPTS.iter().for_each(|script| println!("{:<21} {}", script.name, script.what));
            Ok(true)
        }
        Some(Command::Cost) => cost(args.json),
        Some(Command::Relay { listen }) => relay::serve(*listen, args.cores).map(|()| true),
        Some(Command::Attack { script }) => {
            let mut given = String::new();
            io::stdin().read_to_string(&mut given)?;
            println!("{}", serde_json::to_string(&attack::run(script, &serde_json::from_str(&given)?)?)?);
            Ok(true)
        }
    }
}

fn cost(as_json: bool) -> io::Result<bool> {
    let turns = bench::run()?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&turns)?);
        return Ok(true);
    }
    println!("payload  way   relay ns  proxy ns  ratio   relay/s   proxy/s");
    for bytes in bench::PAYLOADS {
        for is_up in [true, false] {
            let [relay, proxy] = [Carrier::Relay, Carrier::Proxy].map(|who| bench::median(&turns, who, is_up, bytes));
            let ratio = f64::from(u32::try_from(relay.0).unwrap_or(u32::MAX))
                / f64::from(u32::try_from(proxy.0).unwrap_or(u32::MAX)).max(1.0);
            let way = if is_up { "up" } else { "down" };
            let (relay_ns, proxy_ns, relay_rate, proxy_rate) = (relay.0, proxy.0, relay.1, proxy.1);
            println!("{bytes:>7}  {way:<4} {relay_ns:>9} {proxy_ns:>9} {ratio:>6.2} {relay_rate:>9} {proxy_rate:>9}");
        }
    }
    Ok(true)
}

fn scripts(args: &Args) -> io::Result<bool> {
    if let Some(unknown) = args.scripts.iter().find(|name| SCRIPTS.iter().all(|script| script.name != **name)) {
        return Err(io::Error::other(format!("there is no script {unknown:?}; see: playgate-flood list")));
    }
    let mut arena = Arena::open(World::make()?, &std::env::current_exe()?, args.cores)?;
    let measure = Measure { time: Duration::from_secs_f64(args.seconds), players: args.players, seed: args.seed };
    let mut rows = Vec::new();
    if !args.json {
        println!("{}", head());
    }
    for script in
        SCRIPTS.iter().filter(|script| args.scripts.is_empty() || args.scripts.iter().any(|n| n == script.name))
    {
        let row = arena.run(script, measure)?;
        if !args.json {
            println!("{}", line(&row));
        }
        rows.push(row);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    }
    Ok(rows.iter().all(|row| row.faults().is_empty()))
}
