//! What the commands of a relay are told.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Subcommand;
use playgate_protocol::limits::RELAY_ADDRESSES_MAX;
use playgate_relay_core::{Prefix, limits};

/// From nothing to a relay.
pub const AFTER_HELP: &str = "\
A relay, from nothing:
  playgate key new relay > relay.join                          1 where the operator's key is
  playgate relay run --join-key relay.join --to 10.0.0.0/8     2 where players reach it
  playgate relay top                                           3 what it does

The command playgate-relay does 2 and 3 alone, on hosts that need nothing else.
Players see no server's address. Let servers take game traffic from their relays alone (a
firewall), or whoever guesses an address goes around them. A relay has a socket for each flow:
raise `ulimit -n` above the flows of all cores.

Exit codes: 0 done, 2 usage, 4 cannot start here (the text says why).
Logs go to standard error; PLAYGATE_LOG=debug shows more.";

/// What a relay is told to do.
#[derive(Debug, Subcommand)]
pub enum RelayCommand {
    /// Run the relay of this host: it hides game servers, checks every datagram and limits rates.
    ///
    /// It serves as soon as it runs, also while the coordinator is away: what it needs is in its state directory.
    Run(RunArgs),
    /// Show what the relay of this host does: packets, bytes, flows, handshakes, and drops by reason, for each core.
    Top(TopArgs),
}

/// How a relay is run.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Holds the relay's key, its secrets and what is revoked; made when missing.
    #[arg(long, default_value = "playgate-relay", value_name = "DIR")]
    pub state: PathBuf,
    /// File with the join key (`playgate key new relay`), or `-` for standard input. Or PLAYGATE_JOIN_KEY. Needed for
    /// the first start only.
    #[arg(long, value_name = "FILE")]
    pub join_key: Option<PathBuf>,
    /// UDP address that players send to. The wildcard of IPv6 takes IPv4, too.
    #[arg(long, default_value = "[::]:4000", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Address and port under which players reach this relay, where they are not those it listens on; written into
    /// tickets. May be given twice, once for each address family. 0.0.0.0 or :: stands for the address from which the
    /// coordinator is reached.
    #[arg(long, value_name = "ADDRESS", value_parser = advertised)]
    pub advertise: Vec<SocketAddr>,
    /// Network that servers are in, such as 10.0.0.0/8; may be repeated. Payload goes nowhere else, whatever a ticket
    /// says: whoever gets hold of this relay's secret could otherwise send to any address from here, this host's own and
    /// those of your private networks included. Name as little as you can.
    #[arg(long, value_name = "PREFIX", required = true)]
    pub to: Vec<Prefix>,
    /// Threads that carry datagrams; as many as there are CPU cores where absent.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub cores: Option<u8>,
    /// Flows of one core at once: one for each player.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::FLOWS_MAX)))]
    pub flows_max: u32,
    /// Name of this relay; the host's name where absent.
    #[arg(long)]
    pub name: Option<String>,
}

/// How a relay is looked at.
#[derive(Debug, clap::Args)]
pub struct TopArgs {
    /// The state directory of the relay.
    #[arg(long, default_value = "playgate-relay", value_name = "DIR")]
    pub state: PathBuf,
    /// Print once, the sums since the relay's start, instead of each second what happened in it.
    #[arg(long)]
    pub once: bool,
}

impl RunArgs {
    /// What the argument parser cannot see by itself.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.advertise.len() > RELAY_ADDRESSES_MAX {
            return Err(format!("--advertise takes at most {RELAY_ADDRESSES_MAX} addresses, one of each family"));
        }
        if let [one, other] = self.advertise.as_slice()
            && one.is_ipv4() == other.is_ipv4()
        {
            return Err("--advertise takes one address of each family".to_owned());
        }
        if self.to.len() > limits::DESTINATIONS_MAX {
            return Err(format!("--to takes at most {} networks", limits::DESTINATIONS_MAX));
        }
        Ok(())
    }
}

fn advertised(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "write it as 192.0.2.1:4000 or [2001:db8::1]:4000".to_owned())?;
    if address.port() == 0 { Err("name the port that players send to".to_owned()) } else { Ok(address) }
}

/// Those that this process may use.
pub(super) fn cores() -> u8 {
    std::thread::available_parallelism().map_or(1, |cores| u8::try_from(cores.get()).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(subcommand)]
        command: RelayCommand,
    }

    fn parse(line: &str) -> Result<RunArgs, String> {
        let command = Command::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        let RelayCommand::Run(args) = command.command else { return Err("not run".to_owned()) };
        args.check().map(|()| args)
    }

    #[test]
    fn what_is_refused_says_why() {
        for (line, why) in [
            ("x run", "--to <PREFIX>"),
            ("x run --to 10.0.0.1/8", "not an address prefix like 10.0.0.0/8"),
            ("x run --to ::/0 --cores 0", "0 is not in 1.."),
            ("x run --to ::/0 --flows-max 99999999", "99999999 is not in 1.."),
            ("x run --to ::/0 --advertise 192.0.2.1", "write it as 192.0.2.1:4000"),
            ("x run --to ::/0 --advertise 192.0.2.1:0", "name the port"),
            ("x run --to ::/0 --advertise 192.0.2.1:1 --advertise 192.0.2.2:1", "one address of each family"),
            ("x run --to ::/0 --advertise 192.0.2.1:1 --advertise [::]:1 --advertise [::1]:1", "at most 2 addresses"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn defaults_are_what_the_help_says() {
        let args = parse("x run --to 10.0.0.0/8 --to 2001:db8::/32").unwrap();
        assert_eq!((args.to.len(), args.listen.port(), args.flows_max), (2, 4_000, 10_000));
        assert!(args.advertise.is_empty() && args.cores.is_none() && cores() >= 1);
    }
}
