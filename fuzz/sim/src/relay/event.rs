//! Everything that can happen between players, relay and servers.

use std::net::SocketAddr;

/// A socket of the relay towards a server; never used again.
pub(super) type SocketNo = u64;

/// Something that happens at a moment.
#[derive(Debug)]
pub(super) enum Ev {
    /// A datagram arrives.
    Datagram { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    /// A payload arrives at a server, from the relay.
    AtServer { socket: SocketNo, server: SocketAddr, payload: Vec<u8> },
    /// A payload arrives at the relay, from a server.
    FromServer { socket: SocketNo, payload: Vec<u8> },
    /// A deadline of the relay's core.
    RelayWake { start: u32 },
    /// The relay is started.
    RelayStart,
    /// The relay hears of revocations.
    RelayHears { start: u32 },
    /// A player begins, with what he has.
    Come { player: usize },
    /// A deadline of a player's flow.
    PlayerWake { player: usize },
    /// A game has something to say.
    Say { player: usize },
    /// Time for a fault.
    Fault,
}

impl Ev {
    /// For the hash over all steps.
    pub(super) fn digest(&self) -> u64 {
        let (kind, which) = match self {
            Self::Datagram { bytes, .. } => (1, bytes.len()),
            Self::AtServer { payload, .. } => (2, payload.len()),
            Self::FromServer { payload, .. } => (3, payload.len()),
            Self::RelayWake { .. } => (4, 0),
            Self::RelayStart => (5, 0),
            Self::RelayHears { .. } => (6, 0),
            Self::Come { player } => (7, *player),
            Self::PlayerWake { player } => (8, *player),
            Self::Say { player } => (9, *player),
            Self::Fault => (10, 0),
        };
        kind << 48 ^ which as u64
    }
}
