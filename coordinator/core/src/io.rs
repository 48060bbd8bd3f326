//! What goes into the core and what comes out.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use playgate_protocol::agent::AgentUp;
use playgate_protocol::api::{Answer, BackendUp, CallError, OperatorUp};
use playgate_protocol::relay::{RelayAddresses, RelayDown, RelayUp};
use playgate_protocol::server::{ServerDown, ServerUp};
use playgate_protocol::{Detail, Fingerprint, FleetId, Hello, HostId, Name, Refusal, RelayId, ServerProcessId, TimeMs};

use crate::fleet::FleetConfig;
use crate::rows::{PlayerSessionRow, Row};

/// One link, as the shell numbers them; never reused while the coordinator runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Something that happened outside.
#[derive(Debug, Clone)]
pub enum Input {
    /// A fleet is to exist with this configuration.
    ApplyFleet(FleetConfig),
    /// A public key that tokens are signed with from here on.
    ApplySigningKey {
        /// As in the token.
        key_id: u16,
        /// Ed25519.
        public_key: [u8; 32],
    },
    /// Keys that the coordinator can still sign with; all others are withdrawn.
    KeepSigningKeys(Vec<u16>),
    /// This key is the operator's, and no other is.
    ApplyOperator(Fingerprint),
    /// A peer introduced itself on a link.
    Opened {
        /// The link.
        link: LinkId,
        /// The peer's key, proven by TLS.
        peer: Fingerprint,
        /// Where it comes from.
        from: IpAddr,
        /// What it said.
        hello: Hello,
        /// Whether a launch credential in `hello` is the one made for that process.
        launch_proven: bool,
    },
    /// A link is gone.
    Closed(LinkId),
    /// From a game server.
    Server(LinkId, ServerUp),
    /// From an agent.
    Agent(LinkId, AgentUp),
    /// From a relay.
    Relay(LinkId, RelayUp),
    /// From a backend.
    Backend(LinkId, BackendUp),
    /// From an operator.
    Operator(LinkId, OperatorUp),
    /// The disk is nearly full, or has room again.
    StoreLow(bool),
    /// The wall clock disagrees with coordinator time.
    ClockSkew(Detail),
}

/// The outcome of a turn: `rows` must be durable before any of `outputs` leaves.
#[derive(Debug, Default)]
pub struct Turn {
    /// What changed.
    pub rows: Vec<Row>,
    /// What leaves then, in this order.
    pub outputs: Vec<Output>,
}

/// Something to be done outside.
#[derive(Debug, Clone)]
pub enum Output {
    /// The peer is who it says; the shell adds the secrets that are its to know.
    Welcome {
        /// The link.
        link: LinkId,
        /// The version both speak.
        version: u16,
        /// The coordinator's time.
        now_ms: TimeMs,
        /// Who it is.
        role: Welcomed,
    },
    /// The peer is refused; the link closes behind this.
    Refuse {
        /// The link.
        link: LinkId,
        /// Why.
        refusal: Refusal,
    },
    /// To a game server.
    Server(LinkId, ServerDown),
    /// To an agent: launch; the shell adds the credential.
    Launch {
        /// The agent's link.
        link: LinkId,
        /// Which process.
        process: ServerProcessId,
        /// Its name.
        name: Name,
        /// How.
        fleet: Arc<FleetConfig>,
    },
    /// To an agent: stop.
    Stop {
        /// The agent's link.
        link: LinkId,
        /// Which process.
        process: ServerProcessId,
        /// How long before SIGTERM.
        grace_ms: u32,
        /// From SIGTERM to SIGKILL.
        term_grace_ms: u32,
    },
    /// To an agent: reports are durable.
    AgentAck {
        /// The agent's link.
        link: LinkId,
        /// Up to here.
        through_seq: u64,
    },
    /// To an agent: answer to a beat.
    AgentClock {
        /// The agent's link.
        link: LinkId,
        /// The coordinator's time.
        now_ms: TimeMs,
    },
    /// To a relay.
    Relay(LinkId, RelayDown),
    /// To a relay: its secret of this number and the one before, which the shell derives.
    RelaySecrets {
        /// The relay's link.
        link: LinkId,
        /// Which relay.
        relay: RelayId,
        /// The newest.
        number: u32,
    },
    /// To a backend or operator.
    Answer {
        /// The link.
        link: LinkId,
        /// Which call.
        request: u64,
        /// Its outcome.
        outcome: Result<Answer, CallError>,
    },
    /// To a backend or operator: tickets, which the shell signs.
    Tickets {
        /// The link.
        link: LinkId,
        /// Which call.
        request: u64,
        /// What to sign, in the order of the request.
        orders: Vec<TicketOrder>,
    },
    /// Close the link.
    Close {
        /// The link.
        link: LinkId,
        /// Why.
        why: CloseWhy,
    },
}

impl Output {
    /// The link that it leaves on.
    #[must_use]
    pub const fn link(&self) -> LinkId {
        match self {
            Self::Server(link, _)
            | Self::Relay(link, _)
            | Self::RelaySecrets { link, .. }
            | Self::Welcome { link, .. }
            | Self::Refuse { link, .. }
            | Self::Launch { link, .. }
            | Self::Stop { link, .. }
            | Self::AgentAck { link, .. }
            | Self::AgentClock { link, .. }
            | Self::Answer { link, .. }
            | Self::Tickets { link, .. }
            | Self::Close { link, .. } => *link,
        }
    }

    /// Whether it is the answer to a beat, which acknowledges nothing and need not wait for the disk.
    #[must_use]
    pub const fn is_clock(&self) -> bool {
        matches!(
            self,
            Self::AgentClock { .. }
                | Self::Server(_, ServerDown::Clock { .. })
                | Self::Relay(_, RelayDown::Clock { .. })
        )
    }
}

/// Who a welcomed peer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Welcomed {
    /// A game server.
    Server {
        /// Its process.
        process: ServerProcessId,
        /// Its fleet.
        fleet: FleetId,
        /// Last report applied.
        applied_seq: u64,
    },
    /// An agent.
    Agent {
        /// Its host.
        host: HostId,
        /// Last report applied.
        applied_seq: u64,
    },
    /// A backend.
    Backend,
    /// An operator.
    Operator,
    /// A relay.
    Relay(RelayId),
}

/// Why the core closes a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseWhy {
    /// The same peer came back on another link.
    Replaced,
    /// It broke the protocol.
    Protocol,
    /// Its process has ended.
    Ended,
}

/// What one ticket is made of.
#[derive(Debug, Clone)]
pub struct TicketOrder {
    /// The player session, with all that goes into the token.
    pub player_session: PlayerSessionRow,
    /// The audience of the token.
    pub process: ServerProcessId,
    /// Where the game server is.
    pub address: SocketAddr,
    /// Whether the player may know that address.
    pub is_direct: bool,
    /// The way through a relay.
    pub relay: Option<RelayOrder>,
    /// Whether the bare token is enough.
    pub bearer: bool,
}

/// What one pass is made of, beside what it shares with the ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayOrder {
    /// For which relay.
    pub relay: RelayId,
    /// Number of the secret that seals it.
    pub secret: u32,
    /// Where the player reaches the relay.
    pub addresses: RelayAddresses,
    /// The flow must be opened before this.
    pub use_by_ms: TimeMs,
    /// The flow ends at this time.
    pub valid_until_ms: TimeMs,
    /// Datagrams a second that the player may send.
    pub packets_per_second: u32,
    /// Payload bytes a second that the player may send.
    pub bytes_per_second: u32,
}

/// Time and seed are arguments: the core has neither clock nor entropy of its own.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// First byte of every id made here.
    pub shard: u8,
    /// Randomness for ids and jitter; 32 bytes from the operating system.
    pub seed: [u8; 32],
    /// Coordinator time.
    pub now_ms: TimeMs,
}
