//! The first frame in each direction of a link.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::limits::SOFTWARE_BYTES_MAX;
use crate::relay::RelayAddresses;
use crate::{Detail, FleetId, HostId, Name, RelayId, Secret32, ServerProcessId, Text, TimeMs};

/// Inclusive range of wire versions a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    /// Oldest.
    pub min: u16,
    /// Newest.
    pub max: u16,
}

impl VersionRange {
    /// What this build speaks.
    pub const OURS: Self = Self { min: crate::limits::WIRE_VERSION_MIN, max: crate::limits::WIRE_VERSION_MAX };

    /// The newest version both speak.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u16> {
        let newest = self.max.min(other.max);
        (newest >= self.min.max(other.min)).then_some(newest)
    }
}

/// What a peer says first. The fingerprint of its key is known from TLS; a credential is needed once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Wire versions the peer speaks.
    pub versions: VersionRange,
    /// Name and version of the peer's software, for logs: `playgate-agent 0.1.0`.
    pub software: Text<SOFTWARE_BYTES_MAX>,
    /// What entitles the peer, until its key is bound.
    pub credential: Credential,
    /// As what it comes.
    pub role: HelloRole,
}

/// What entitles a peer to be somebody. The first key that presents it is bound to that identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credential {
    /// The key is bound already.
    Bound,
    /// Given to a server process by the agent that launched it.
    Launch {
        /// The process it was made for.
        process: ServerProcessId,
        /// The secret from the credential file.
        secret: Secret32,
    },
    /// From a join key made by an operator.
    Join {
        /// The secret from the join key.
        secret: Secret32,
    },
}

/// As what a peer comes, and from where it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HelloRole {
    /// A game server.
    Server {
        /// Display name.
        name: Name,
        /// Address at which players reach it, where it knows better than the coordinator.
        advertise: Option<IpAddr>,
        /// Version of the wanted state it holds; 0 when it holds none.
        held_version: u64,
    },
    /// The agent of one host.
    Agent {
        /// Display name of the host.
        name: Name,
        /// Address at which players reach servers on this host; where absent, the one its link comes from.
        advertise: Option<IpAddr>,
        /// Server processes the host can carry.
        capacity: u32,
    },
    /// A studio's backend.
    Backend,
    /// An operator's tool.
    Operator,
    /// A relay.
    Relay {
        /// Display name.
        name: Name,
        /// Where players reach it; the unspecified address stands for the one its link comes from.
        addresses: RelayAddresses,
        /// Number of the newest secret that it holds; 0 for none.
        secret: u32,
    },
}

/// What the coordinator answers first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Greeting {
    /// Go on.
    Welcome(Welcome),
    /// The link closes behind this.
    Refused(Refusal),
}

/// The link stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The wire version both speak from here on.
    pub version: u16,
    /// The coordinator's time.
    pub now_ms: TimeMs,
    /// Who the peer is.
    pub role: WelcomeRole,
}

/// Who the peer is, and what it needs for that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WelcomeRole {
    /// A game server.
    Server {
        /// Its process.
        process: ServerProcessId,
        /// Its fleet.
        fleet: FleetId,
        /// Root of its gate keys; one process only.
        gate_root: Secret32,
        /// Root of its players' holder keys; one process only.
        holder_root: Secret32,
        /// Last report that is durably applied; unacknowledged ones follow from the next.
        applied_seq: u64,
        /// Interval of its beats.
        beat_ms: u32,
    },
    /// The agent of a host.
    Agent {
        /// Its host.
        host: HostId,
        /// Last report that is durably applied.
        applied_seq: u64,
    },
    /// A backend.
    Backend,
    /// An operator.
    Operator,
    /// A relay.
    Relay {
        /// Its id.
        relay: RelayId,
    },
}

/// Why a link was refused, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The kind.
    pub reason: RefusalReason,
    /// For people: names the thing and the remedy.
    pub detail: Detail,
    /// When to come back; 0 when coming back is of no use.
    pub retry_after_ms: u32,
}

/// Kinds of refusal of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalReason {
    /// No wire version in common.
    VersionMismatch,
    /// The key is bound to nothing and no credential came with it.
    UnknownKey,
    /// The join key is unknown, expired, used up or revoked.
    JoinKeyInvalid,
    /// The credential is bound to another key already.
    CredentialTaken,
    /// The credential or the bound key is for another role.
    WrongRole,
    /// The server process has ended; its tokens are void. It should exit.
    ProcessEnded,
    /// Overloaded, or the store cannot take new facts.
    Busy,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_chosen() {
        let range = |min, max| VersionRange { min, max };
        for (ours, theirs, common) in [
            (range(1, 1), range(1, 1), Some(1)),
            (range(1, 3), range(2, 5), Some(3)),
            (range(2, 5), range(1, 3), Some(3)),
            (range(1, 1), range(2, 2), None),
            (range(3, 2), range(1, 9), None),
        ] {
            assert_eq!(ours.common(theirs), common, "{ours:?} {theirs:?}");
        }
    }
}
