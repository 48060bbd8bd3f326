//! Between a relay and the coordinator.
//!
//! Downwards go secrets, revocations and the time. Upwards goes where players are: all open flows when a link comes up,
//! then each as it opens or moves, so that the coordinator can answer which of them are over, and tell game servers.
//! Nothing here is acknowledged: each link begins with all of it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::limits::{RELAY_ADDRESSES_MAX, RELAY_LIST_MAX};
use crate::{List, PlayerSessionId, Secret32, ServerProcessId, TimeMs};

/// Where players reach a relay, best one of each address family.
pub type RelayAddresses = List<SocketAddr, RELAY_ADDRESSES_MAX>;

/// What a relay sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RelayUp {
    /// Life and load at this moment.
    Beat(RelayBeat),
    /// Flows that are open, or that have opened or moved.
    Players(List<PlayerAt, RELAY_LIST_MAX>),
}

/// Life and load at this moment; never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayBeat {
    /// Number of the newest secret that it opens passes with; 0 before it has one.
    pub secret: u32,
    /// Flows that are open.
    pub flows: u32,
    /// Flows that it can carry.
    pub flows_max: u32,
    /// It takes no new players.
    pub is_draining: bool,
}

/// Where the player of an open flow sends from.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayerAt {
    /// Whose flow it is.
    pub player_session: PlayerSessionId,
    /// Where it leads.
    pub process: ServerProcessId,
    /// The player's own address, proven.
    pub address: SocketAddr,
}

/// Does not show a player's address.
impl std::fmt::Debug for PlayerAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PlayerAt({}, address not shown)", self.player_session)
    }
}

/// What a relay receives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RelayDown {
    /// What passes are sealed with from here on, and what they were sealed with before.
    Secrets {
        /// Makes fresh passes.
        current: NumberedSecret,
        /// Its passes are still taken.
        before: Option<NumberedSecret>,
    },
    /// These player sessions are over: their flows end, and no pass of theirs opens another.
    Revoke(List<FlowRevocation, RELAY_LIST_MAX>),
    /// Answer to a beat.
    Clock {
        /// The coordinator's time.
        now_ms: TimeMs,
    },
}

/// A secret of one relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberedSecret {
    /// Rises with each rotation, from 1.
    pub number: u32,
    /// The secret.
    pub secret: Secret32,
}

/// A player session that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRevocation {
    /// Which.
    pub player_session: PlayerSessionId,
    /// Every pass of it has expired by then.
    pub until_ms: TimeMs,
}
