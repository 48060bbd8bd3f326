//! Everything that can happen, one enum.

use std::net::SocketAddr;

use playgate_agent_core::Input;
use playgate_protocol::{GameSessionId, PlayerSessionId, Ticket};

use crate::coverage::Fault;

/// Something that happens at a moment.
#[derive(Debug)]
pub enum Ev {
    /// The next message of one direction of a link arrives.
    Pump {
        /// Which link.
        conn: usize,
        /// Towards the coordinator.
        up: bool,
    },
    /// A link breaks; what is on its way is lost.
    Break {
        /// Which link.
        conn: usize,
    },
    /// The peer learns that its link is gone.
    PeerLearns {
        /// Which link.
        conn: usize,
    },
    /// The coordinator learns that a link is gone.
    CoordinatorLearns {
        /// Which link.
        conn: usize,
    },
    /// The coordinator is started.
    CoordinatorStart,
    /// A timer of the core is due.
    CoordinatorTimer {
        /// Of which start of the coordinator.
        epoch: u32,
    },
    /// The coordinator looks after its disk, once a second.
    CoordinatorLook {
        /// Of which start of the coordinator.
        epoch: u32,
    },
    /// The disk is done with a batch.
    Commit {
        /// Of which start of the coordinator.
        epoch: u32,
        /// Which batch.
        seq: u64,
    },
    /// A deadline of a game server.
    ServerWake {
        /// Which.
        server: usize,
    },
    /// A game does something.
    Game {
        /// On which server.
        server: usize,
        /// What.
        what: Game,
    },
    /// An agent is started.
    AgentStart {
        /// On which host.
        host: usize,
    },
    /// A deadline of an agent.
    AgentWake {
        /// On which host.
        host: usize,
        /// Of which start of the agent.
        epoch: u32,
    },
    /// An agent dials.
    AgentDial {
        /// On which host.
        host: usize,
        /// Of which start of the agent.
        epoch: u32,
    },
    /// Something happened that an agent hears of.
    AgentInput {
        /// On which host.
        host: usize,
        /// Of which start of the agent.
        epoch: u32,
        /// What.
        input: Box<Input>,
    },
    /// A backend does something.
    BackendWake {
        /// Which.
        backend: usize,
    },
    /// A ticket reaches its player.
    Ticket {
        /// It.
        ticket: Box<Ticket>,
    },
    /// A deadline of a player's handshake.
    PlayerWake {
        /// Which.
        player: usize,
    },
    /// A player does as he planned.
    PlayerPlan {
        /// Which.
        player: usize,
        /// What.
        what: Doing,
    },
    /// A datagram arrives.
    Datagram {
        /// Source, as the receiver sees it.
        from: SocketAddr,
        /// Destination.
        to: SocketAddr,
        /// Content.
        bytes: Vec<u8>,
    },
    /// Time for a fault, of whatever kind.
    Fault,
    /// A fault that was aimed at a deadline.
    DeadlineFault {
        /// Which.
        kind: Fault,
    },
}

/// What a game does.
#[derive(Debug, Clone, Copy)]
pub enum Game {
    /// Can host.
    Ready,
    /// Has loaded the session.
    Activate(GameSessionId),
    /// Ends its session.
    EndSession(GameSessionId),
    /// Says that it is about to exit.
    Ending,
    /// Exits, with this code.
    Exit(i32),
    /// Notices that a player's connection is lost.
    Disconnected(PlayerSessionId),
    /// Notices that a player left.
    Leave(PlayerSessionId),
}

/// What a player does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Shows his ticket for the first time.
    Join,
    /// Leaves for good.
    Leave,
    /// Vanishes.
    Vanish,
    /// Comes back from where he was, or from a new address.
    Return {
        /// Whether his address has changed.
        rebound: bool,
    },
}

impl Ev {
    /// For the hash over all steps.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let (kind, which) = match self {
            Self::Pump { conn, up } => (1 + u64::from(*up), *conn),
            Self::Break { conn } => (3, *conn),
            Self::PeerLearns { conn } => (4, *conn),
            Self::CoordinatorLearns { conn } => (5, *conn),
            Self::CoordinatorStart => (6, 0),
            Self::CoordinatorTimer { .. } => (7, 0),
            Self::CoordinatorLook { .. } => (8, 0),
            Self::Commit { seq, .. } => (9, *seq as usize),
            Self::ServerWake { server } => (10, *server),
            Self::Game { server, .. } => (11, *server),
            Self::AgentStart { host } => (12, *host),
            Self::AgentWake { host, .. } => (13, *host),
            Self::AgentDial { host, .. } => (14, *host),
            Self::AgentInput { host, .. } => (15, *host),
            Self::BackendWake { backend } => (16, *backend),
            Self::Ticket { .. } => (17, 0),
            Self::PlayerWake { player } => (18, *player),
            Self::PlayerPlan { player, .. } => (19, *player),
            Self::Datagram { bytes, .. } => (20, bytes.len()),
            Self::Fault => (21, 0),
            Self::DeadlineFault { kind } => (22, *kind as usize),
        };
        kind << 48 ^ which as u64
    }
}
