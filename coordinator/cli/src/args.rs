//! The command line. Its help is the manual.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use playgate_core::fleet::{Millis, PortRange};
use playgate_protocol::{FleetId, GameSessionId, JoinRole, PlayerSessionId, RelayId, ServerProcessId};
use playgate_relay::command::RelayCommand;

/// Launch game servers, put matches on them, and let exactly the right players in.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Args {
    /// The operator's key file. Where it is not given: ./.playgate-dev/coordinator/operator.key (of `playgate dev`),
    /// then ./playgate-data/operator.key.
    #[arg(long = "operator-key", global = true, env = "PLAYGATE_OPERATOR_KEY_FILE", value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// What to print.
    #[arg(long, global = true, value_enum, default_value_t = OutputFormat::Table)]
    pub output: OutputFormat,
    /// Log lines as JSON.
    #[arg(long, global = true)]
    pub log_json: bool,
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
The five steps, by hand:
  playgate dev -- ./my-server --port {port}                        1 launch a game server
  playgate session create dev --players 4 --property map=ruins     2 start a game session
  playgate player add gs-... ann bob --tickets tickets/            3 add players; each ticket goes to its player
  playgate session stop gs-...                                     4 stop the game session
  playgate process stop sp-...                                     5 shut the server down

Exit codes: 0 done, 1 refused (the text says why), 2 usage, 3 coordinator not reached, 4 cannot start here.
Logs go to standard error; PLAYGATE_LOG=debug shows more.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Columns for people.
    Table,
    /// One JSON document for programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the coordinator: it knows fleets, hosts, processes and sessions, and issues tickets.
    Coordinator(CoordinatorArgs),
    /// Run the agent of this host: it launches server processes and watches them.
    Agent(AgentArgs),
    /// Run or watch the relay of this host: it stands before game servers and hides them.
    #[command(subcommand, after_help = playgate_relay::command::AFTER_HELP)]
    Relay(RelayCommand),
    /// Run everything for one fleet in one process, offline, with keys made on the spot.
    ///
    /// The everyday tool of a game developer. The state stays in ./.playgate-dev, where the other commands find it.
    #[command(after_help = "Example: playgate dev --processes 2 -- ./my-server --port {port}")]
    Dev(DevArgs),
    /// Make join keys for agents, servers, backends and relays.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Start, look at and stop game sessions.
    #[command(subcommand)]
    Session(SessionCommand),
    /// Add, look at and remove players.
    #[command(subcommand)]
    Player(PlayerCommand),
    /// Look at and stop server processes.
    #[command(subcommand)]
    Process(ProcessCommand),
    /// Show fleets, hosts and relays.
    Status,
    /// Carry the datagrams of a game that knows nothing of relays: it connects to the address on loopback that is
    /// printed, and plays through the relay of its ticket. Ends with the flow, or when told to.
    Pump {
        /// File with the ticket, which is a secret; `-` for standard input.
        #[arg(long, value_name = "FILE")]
        ticket_file: PathBuf,
        /// How long to try to reach a relay.
        #[arg(long, default_value = "5s")]
        timeout: Millis,
    },
    /// Show what happened, oldest first.
    Events {
        /// Only those behind this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
}

#[derive(Debug, clap::Args)]
pub struct CoordinatorArgs {
    /// Holds the database and the keys; made when missing. Back it up as a whole.
    #[arg(long, default_value = "playgate-data", value_name = "DIR")]
    pub data: PathBuf,
    /// UDP address to listen on.
    #[arg(long, default_value = "0.0.0.0:7600", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Host and port under which agents, servers and backends reach this coordinator; written into join keys.
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// TOML file with [[fleet]] tables, created or changed at the start.
    #[arg(long, value_name = "FILE")]
    pub fleets: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct AgentArgs {
    /// Holds the agent's key, its records and the servers' logs; made when missing.
    #[arg(long, default_value = "playgate-agent", value_name = "DIR")]
    pub state: PathBuf,
    /// File with the join key (`playgate key new agent`), or `-` for standard input. Or PLAYGATE_JOIN_KEY. Needed for
    /// the first start only.
    #[arg(long, value_name = "FILE")]
    pub join_key: Option<PathBuf>,
    /// Name of this host; its host name where absent.
    #[arg(long)]
    pub name: Option<String>,
    /// Address at which players reach servers on this host; where absent, the one its link comes from.
    #[arg(long, value_name = "IP")]
    pub advertise: Option<IpAddr>,
    /// Server processes this host can carry.
    #[arg(long, default_value_t = 64)]
    pub capacity: u32,
    /// Stop all servers when the agent is told to stop, instead of leaving them to the next agent.
    #[arg(long)]
    pub stop_servers: bool,
}

#[derive(Debug, clap::Args)]
pub struct DevArgs {
    /// Name of the fleet.
    #[arg(long, default_value = "dev")]
    pub fleet: FleetId,
    /// Server processes to keep.
    #[arg(long, default_value_t = 1)]
    pub processes: u32,
    /// Ports that {port} is chosen from.
    #[arg(long, default_value = "7000-7099")]
    pub ports: PortRange,
    /// Game sessions a process may host, one after the other; 0 for any number.
    #[arg(long, default_value_t = 0)]
    pub sessions_per_process: u32,
    /// UDP address of the coordinator.
    #[arg(long, default_value = "127.0.0.1:7600", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Hide the servers behind a relay that runs in this process, at this UDP address.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:4000")]
    pub relay: Option<SocketAddr>,
    /// Where the state is kept.
    #[arg(long, default_value = ".playgate-dev", value_name = "DIR")]
    pub data: PathBuf,
    /// Environment variable to let through to the servers; may be repeated. PATH is let through.
    #[arg(long = "env", value_name = "NAME")]
    pub env: Vec<String>,
    /// The server and its arguments; {port} and {name} are filled in. Without a command: for a server that is started
    /// by hand (in a debugger, an editor) with the join key that is printed.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a join key and print it. It is a secret until its uses are spent.
    New {
        /// For whom: agent, server, backend or relay.
        role: JoinRole,
        /// For servers: which fleet they serve.
        #[arg(long)]
        fleet: Option<FleetId>,
        /// How many peers may join with it.
        #[arg(long, default_value_t = 1)]
        uses: u32,
        /// How long it is good for.
        #[arg(long, default_value = "1h")]
        lifetime: Millis,
    },
    /// Give a relay a new secret, as happens each day by itself. Passes sealed with the one before are taken until the
    /// next time: after two of these, no pass from before opens anything.
    RotateRelay {
        /// Which relay; see `playgate status`.
        relay: RelayId,
    },
}

#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// Place a game session and wait until it is active.
    Create {
        /// On which fleet.
        fleet: FleetId,
        /// Most players at a time.
        #[arg(long, default_value_t = 16)]
        players: u16,
        /// Display name.
        #[arg(long, default_value = "")]
        name: String,
        /// A property, such as map=ruins; may be repeated, up to 16 times.
        #[arg(long = "property", value_name = "KEY=VALUE", value_parser = property)]
        properties: Vec<(String, String)>,
        /// File with opaque data for the game, at most 48 KiB.
        #[arg(long, value_name = "FILE")]
        data: Option<PathBuf>,
        /// How long to wait for a free process.
        #[arg(long, default_value = "30s")]
        timeout: Millis,
        /// Makes a repetition of this command safe; one is made up where absent.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// List game sessions; those that ended are listed for a day at most.
    List {
        /// Only of this fleet.
        #[arg(long)]
        fleet: Option<FleetId>,
    },
    /// Show one game session.
    Describe {
        /// Which.
        session: GameSessionId,
    },
    /// Ask the game to end its session, wait until it has, and stop its process by force if it does not.
    Stop {
        /// Which.
        session: GameSessionId,
        /// Time the game has.
        #[arg(long, default_value = "10s")]
        grace: Millis,
    },
}

#[derive(Debug, Subcommand)]
pub enum PlayerCommand {
    /// Reserve slots for players, all or none, and make their tickets.
    Add {
        /// In which game session.
        session: GameSessionId,
        /// The players' ids.
        #[arg(required = true)]
        players: Vec<String>,
        /// Write each ticket to DIR/<player>.ticket (mode 0600) instead of printing it. A ticket is a secret.
        #[arg(long, value_name = "DIR")]
        tickets: Option<PathBuf>,
        /// How long the reservations live, 1s to 1h; the fleet's choice where absent.
        #[arg(long)]
        reservation: Option<Millis>,
        /// Makes a repetition of this command safe; one is made up where absent.
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// List the players of a game session.
    List {
        /// Of which.
        session: GameSessionId,
    },
    /// Show one player session.
    Describe {
        /// Which.
        player_session: PlayerSessionId,
    },
    /// Make a ticket again, byte for byte but for the way through a relay, and print it. It is a secret.
    Ticket {
        /// Whose.
        player_session: PlayerSessionId,
    },
    /// Take a reservation back or a player out, and wait until the server has confirmed it.
    Revoke {
        /// Whose.
        player_session: PlayerSessionId,
        /// How long to wait.
        #[arg(long, default_value = "10s")]
        timeout: Millis,
    },
}

#[derive(Debug, Subcommand)]
pub enum ProcessCommand {
    /// List server processes, those of the last hour included.
    List {
        /// Only of this fleet.
        #[arg(long)]
        fleet: Option<FleetId>,
    },
    /// Ask a server process to end; then SIGTERM, then SIGKILL. The fleet replaces it unless it keeps fewer.
    Stop {
        /// Which.
        process: ServerProcessId,
        /// Time it has before SIGTERM.
        #[arg(long, default_value = "10s")]
        grace: Millis,
    },
    /// Change how many processes a fleet keeps on each host; 0 shuts the idle ones down.
    Keep {
        /// Which fleet.
        fleet: FleetId,
        /// How many.
        count: u32,
    },
}

fn property(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("write it as KEY=VALUE, such as map=ruins")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}
