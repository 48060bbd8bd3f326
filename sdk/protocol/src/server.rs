//! Between a game server and the coordinator.
//!
//! Downwards goes *wanted state*, whole and versioned: repeating or skipping a version does no harm. Upwards go numbered
//! *reports*, each applied exactly once, and *beats*, which are only ever about this moment.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::limits::{
    PORTS_PER_PROCESS_MAX, PROPERTIES_MAX, PROPERTY_KEY_BYTES_MAX, PROPERTY_VALUE_BYTES_MAX, REPORTS_PER_BATCH_MAX,
    REVOKED_MAX, SESSION_DATA_BYTES_MAX, SIGNING_KEYS_MAX,
};
use crate::reason::PlayerEnd;
use crate::{Blob, GameSessionId, List, Name, PlayerSessionId, Text, TimeMs};

/// Key and value of one property of a game session (`map`, `mode` …).
pub type Property = (Text<PROPERTY_KEY_BYTES_MAX>, Text<PROPERTY_VALUE_BYTES_MAX>);
/// All properties of a game session.
pub type Properties = List<Property, PROPERTIES_MAX>;
/// Opaque session data for the game.
pub type SessionData = Blob<SESSION_DATA_BYTES_MAX>;
/// UDP or TCP ports of a process, the players' one first.
pub type Ports = List<u16, PORTS_PER_PROCESS_MAX>;

/// What a game server sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerUp {
    /// Numbered reports, oldest first.
    Reports(ReportBatch),
    /// Life and health at this moment.
    Beat(Beat),
}

/// Consecutive reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportBatch {
    /// Number of the first; the others follow without gaps. Numbers start at 1 with the process.
    pub first_seq: u64,
    /// The reports.
    pub reports: List<Report, REPORTS_PER_BATCH_MAX>,
}

/// One fact about a server process. Kept by the server until the coordinator has it durably.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// Can host a game session; listens on these ports.
    Ready {
        /// The players' port first.
        ports: Ports,
    },
    /// The game session can take players.
    Activated {
        /// Which session.
        session: GameSessionId,
        /// Which attempt of it; an older one is refused.
        attempt: u32,
    },
    /// The latest about one player session.
    Player {
        /// In which game session.
        session: GameSessionId,
        /// Which player session.
        player_session: PlayerSessionId,
        /// What became of it.
        outcome: PlayerOutcome,
    },
    /// The game session is over; its players are completed.
    SessionEnded {
        /// Which session.
        session: GameSessionId,
        /// Which attempt of it.
        attempt: u32,
    },
    /// The process is about to exit.
    Ending,
}

/// What became of a player session on the server; later ones overrule earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlayerOutcome {
    /// Admitted. The generation rises with each reconnect.
    Active {
        /// 1 at the first admission.
        generation: u32,
        /// When first admitted.
        joined_ms: TimeMs,
    },
    /// Gone for good.
    Completed {
        /// Why.
        reason: PlayerEnd,
        /// When first admitted.
        joined_ms: TimeMs,
        /// When gone.
        left_ms: TimeMs,
    },
    /// Revoked before use: its token will never be admitted.
    Blocked,
}

/// Life and health at this moment; never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// What the game says of itself.
    pub healthy: bool,
    /// No token that expires at or before this becomes active from here on …
    pub floor_ms: TimeMs,
    /// … and every admission before it is in a report up to this number.
    pub through_seq: u64,
    /// Version of the wanted state in force on the server.
    pub held_version: u64,
    /// Players active on the server, with all reports up to `through_seq` counted.
    pub players: u32,
}

/// What a game server receives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerDown {
    /// What the server should be doing.
    Wanted(Wanted),
    /// Reports up to this number are durable; forget them.
    ReportAck {
        /// Last durable report.
        through_seq: u64,
    },
    /// Answer to a beat.
    Clock {
        /// The coordinator's time.
        now_ms: TimeMs,
    },
    /// Where a player that comes through a relay really is. It may come before the player does, and again when he moves.
    PlayerAt {
        /// Whose.
        player_session: PlayerSessionId,
        /// His own address, which he has proven to the relay.
        address: SocketAddr,
    },
}

/// What the server should be doing: the whole of it, under a version that only rises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Rises with every change, also across restarts of the coordinator.
    pub version: u64,
    /// Keys that may have signed a token.
    pub keys: List<VerifyingKey, SIGNING_KEYS_MAX>,
    /// Epoch under which tokens are tagged at present.
    pub gate_epoch: u16,
    /// Unused tokens of older epochs are refused.
    pub min_epoch: u16,
    /// The game session to host, if any.
    pub session: Option<WantedSession>,
    /// The process should end by then.
    pub terminate_by_ms: Option<TimeMs>,
}

/// A public key for player-session tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyingKey {
    /// As in the token.
    pub key_id: u16,
    /// Ed25519.
    pub public_key: [u8; 32],
}

/// The game session a server should host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedSession {
    /// Which one.
    pub id: GameSessionId,
    /// Which attempt to place it.
    pub attempt: u32,
    /// Display name.
    pub name: Name,
    /// Most players at a time.
    pub max_players: u16,
    /// Map, mode and so on.
    pub properties: Properties,
    /// Opaque data from the backend.
    pub data: SessionData,
    /// How players are let in.
    pub policy: AdmissionPolicy,
    /// Ordinals whose tokens must not be admitted and whose players must go; each is answered by a report.
    pub revoked: List<Revoked, REVOKED_MAX>,
    /// The session should end by then.
    pub end_by_ms: Option<TimeMs>,
}

/// One revoked reservation or player.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// As in the token.
    pub ordinal: u32,
    /// Whose.
    pub player_session: PlayerSessionId,
}

/// How players are let in: the fleet's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmissionPolicy {
    /// How long a disconnected player's slot is kept.
    pub rejoin_grace_ms: u32,
    /// Whether a bare token is enough (for games that bring their own secure transport), or a proof is needed.
    pub bearer: bool,
    /// Whether a refused player is told the reason.
    pub tell_reason: bool,
}
