//! What the gate tells the game: events, verdicts on datagrams, admissions; and what it counts.

use std::fmt;
use std::net::SocketAddr;

use playgate_protocol::reason::PlayerEnd;
use playgate_protocol::server::WantedSession;
use playgate_protocol::{GameSessionId, PlayerSessionId, TimeMs};
use playgate_token::Claims;

use crate::RefuseReason;

/// Something the game has to act on. Poll until there is none after every call that takes `&mut` and may cause one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateEvent {
    /// Load this game session, then call [`activate`](crate::Gate::activate).
    StartSession(WantedSession),
    /// End this game session by then. It may be gone already: then the coordinator has placed it elsewhere or given it
    /// up, its players are out, and [`end_session`](crate::Gate::end_session) does nothing.
    EndSession {
        /// Which.
        session: GameSessionId,
        /// By when, in the coordinator's time.
        by_ms: TimeMs,
    },
    /// End the process by then.
    Terminate {
        /// By when, in the coordinator's time.
        by_ms: TimeMs,
    },
    /// Remove this player from the game; his slot is free already.
    PlayerLeft {
        /// Who.
        player: PlayerSessionId,
        /// Revoked, or absent for too long.
        reason: PlayerEnd,
    },
}

/// What to do with a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not of the handshake: it is the game's.
    NotOurs,
    /// Send the reply to where the datagram came from: a CHALLENGE, or an ACCEPT that may have got lost.
    Reply,
    /// A player is in. Send the reply as well.
    Admitted(Admission),
    /// Nobody was let in. Send the reply if it is not empty.
    Refused(RefuseReason),
}

/// A player who is in.
#[derive(Clone, PartialEq, Eq)]
pub struct Admission {
    /// Names him on this server.
    pub player_session: PlayerSessionId,
    /// Names him at the studio.
    pub player: String,
    /// What the backend says about him, signed by the coordinator.
    pub data: Vec<u8>,
    /// Number of his player session in the game session.
    pub ordinal: u32,
    /// 1 at the first admission, one more with every reconnect. Of two admissions of a player the higher counts.
    pub generation: u32,
    /// Whether he was in before and keeps his slot: the game moves him to the new address or connection.
    pub reconnected: bool,
    /// Where he plays from; `None` for a bare token, whose connection the game knows.
    pub from: Option<SocketAddr>,
}

impl Admission {
    pub(crate) fn of(claims: &Claims<'_>, generation: u32, from: Option<SocketAddr>) -> Self {
        Self {
            player_session: claims.player_session_id,
            player: claims.player_id.to_owned(),
            data: claims.player_data.to_vec(),
            ordinal: claims.ordinal,
            generation,
            reconnected: generation > 1,
            from,
        }
    }
}

/// Shows neither data nor address.
impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("player_session", &self.player_session)
            .field("player", &self.player)
            .field("ordinal", &self.ordinal)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

/// Why a game session could not be activated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivateError {
    /// None is hosted; it may have been taken away while the game loaded it.
    NoSession,
    /// The game has ended it.
    SessionEnded,
}

impl fmt::Display for ActivateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSession => "there is no game session to activate",
            Self::SessionEnded => "the game session was ended",
        })
    }
}

impl std::error::Error for ActivateError {}

/// What the gate has seen since it was made. Numbers only rise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams given to [`handle`](crate::Gate::handle).
    pub datagrams: u64,
    /// Datagrams that were the game's.
    pub not_ours: u64,
    /// HELLOs answered with a CHALLENGE.
    pub challenged: u64,
    /// Players let in for the first time.
    pub admitted: u64,
    /// Players let in again.
    pub reconnected: u64,
    /// Requests answered with the same ACCEPT or admission again.
    pub repeated: u64,
    /// Keys of the wanted state that cannot verify anything safely and were left out.
    pub weak_keys: u64,
    refused: [u64; RefuseReason::COUNT],
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            datagrams: 0,
            not_ours: 0,
            challenged: 0,
            admitted: 0,
            reconnected: 0,
            repeated: 0,
            weak_keys: 0,
            refused: [0; RefuseReason::COUNT],
        }
    }

    /// How often somebody was refused for this reason, by datagram or with a bare token.
    #[must_use]
    pub const fn refused(&self, reason: RefuseReason) -> u64 {
        self.refused[reason as usize]
    }

    /// How often anybody was refused.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused.iter().sum()
    }

    pub(crate) const fn count_refused(&mut self, reason: RefuseReason) {
        self.refused[reason as usize] += 1;
    }
}
