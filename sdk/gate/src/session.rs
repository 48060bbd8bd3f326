//! The hosted game session: its phase, its slots, and the players in them.
//!
//! ```text
//!               activate              end_session
//!   Starting ───────────► Active ──────────────────► Ended      joins are admitted in Active only
//!       └────────────────────────────────────────────►
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use playgate_protocol::handshake::Nonce;
use playgate_protocol::server::{AdmissionPolicy, Revoked, WantedSession};
use playgate_protocol::{GameSessionId, PlayerSessionId, TimeMs};
use playgate_token::Claims;

use crate::RefuseReason;
use crate::ordinals::{Mark, Ordinals};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Active,
    Ended,
}

/// Where a player is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Came in by the handshake that had this nonce, from this address.
    Proved { nonce: Nonce, from: SocketAddr },
    /// Came in with a bare token on this connection of the game's.
    Bearer { connection: u64 },
    /// Gone; his slot is kept until then.
    Absent { until: Duration },
}

impl Presence {
    pub(crate) const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Proved { from, .. } => Some(*from),
            Self::Bearer { .. } | Self::Absent { .. } => None,
        }
    }
}

/// A player in his slot.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) ordinal: u32,
    pub(crate) token_hash: [u8; 32],
    pub(crate) generation: u32,
    pub(crate) joined_ms: TimeMs,
    /// Server time of the last accepted PROOF; only a later one lets him in again.
    pub(crate) proved_us: Option<u64>,
    pub(crate) presence: Presence,
}

/// What a revocation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// It was answered before, or there is nothing to revoke.
    Nothing,
    /// The token will never be admitted.
    Blocked,
    /// The player was in, since then, and is out.
    Removed { joined_ms: TimeMs },
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: GameSessionId,
    pub(crate) attempt: u32,
    pub(crate) phase: Phase,
    pub(crate) policy: AdmissionPolicy,
    pub(crate) end_by_ms: Option<TimeMs>,
    max_players: usize,
    ordinals: Ordinals,
    players: BTreeMap<PlayerSessionId, Player>,
    absences: BTreeSet<(Duration, PlayerSessionId)>,
}

impl Session {
    pub(crate) fn new(wanted: &WantedSession) -> Self {
        Self {
            id: wanted.id,
            attempt: wanted.attempt,
            phase: Phase::Starting,
            policy: wanted.policy,
            end_by_ms: None,
            max_players: usize::from(wanted.max_players),
            ordinals: Ordinals::default(),
            players: BTreeMap::new(),
            absences: BTreeSet::new(),
        }
    }

    /// What may change while the session goes on. Players above a lowered maximum stay; nobody is added to them.
    pub(crate) fn update(&mut self, wanted: &WantedSession) {
        self.policy = wanted.policy;
        self.max_players = usize::from(wanted.max_players);
    }

    pub(crate) fn players(&self) -> usize {
        self.players.len()
    }

    /// Whether players of this session may come in at present.
    pub(crate) fn admits(&self, claims: &Claims<'_>) -> Result<(), RefuseReason> {
        if claims.game_session_id != self.id {
            return Err(RefuseReason::WrongSession);
        }
        match self.phase {
            Phase::Starting => Err(RefuseReason::NotActivated),
            Phase::Active => Ok(()),
            Phase::Ended => Err(RefuseReason::SessionEnded),
        }
    }

    /// The player of this very token, if he is in.
    pub(crate) fn seated(&self, claims: &Claims<'_>, hash: impl FnOnce() -> [u8; 32]) -> Option<&Player> {
        let player = self.players.get(&claims.player_session_id)?;
        (player.ordinal == claims.ordinal && player.token_hash == hash()).then_some(player)
    }

    /// The player of this token if he is in, `None` if he never was.
    pub(crate) fn standing(&self, claims: &Claims<'_>, hash: &[u8; 32]) -> Result<Option<&Player>, RefuseReason> {
        match self.ordinals.get(claims.ordinal) {
            None => Err(RefuseReason::OrdinalTooLarge),
            Some(Mark::Done) => Err(RefuseReason::Used),
            Some(Mark::Revoked) => Err(RefuseReason::Revoked),
            Some(Mark::Unseen) if !self.players.contains_key(&claims.player_session_id) => Ok(None),
            Some(Mark::Unseen | Mark::Active) => {
                self.seated(claims, || *hash).map(Some).ok_or(RefuseReason::OtherToken)
            }
        }
    }

    /// Makes a player active, if there is time left and a slot. Nothing expiring at or before `floor_ms` gets in.
    pub(crate) fn seat(&mut self, claims: &Claims<'_>, player: Player, floor_ms: TimeMs) -> Result<(), RefuseReason> {
        if claims.expires_at_ms <= floor_ms {
            return Err(RefuseReason::Expired);
        }
        if self.players.len() >= self.max_players {
            return Err(RefuseReason::Full);
        }
        self.ordinals.set(player.ordinal, Mark::Active);
        self.players.insert(claims.player_session_id, player);
        Ok(())
    }

    /// A player who is in comes again. Returns his record with the new generation.
    pub(crate) fn reseat(
        &mut self,
        id: PlayerSessionId,
        presence: Presence,
        proved_us: Option<u64>,
    ) -> Option<&Player> {
        let player = self.players.get_mut(&id)?;
        if let Presence::Absent { until } = player.presence {
            self.absences.remove(&(until, id));
        }
        player.presence = presence;
        player.proved_us = proved_us.or(player.proved_us);
        player.generation = player.generation.saturating_add(1);
        Some(player)
    }

    /// Keeps the slot of a player who lost his connection, for the grace of the session.
    pub(crate) fn absent(&mut self, now: Duration, id: PlayerSessionId) {
        let until = now.saturating_add(Duration::from_millis(self.policy.rejoin_grace_ms.into()));
        if let Some(player) = self.players.get_mut(&id)
            && !matches!(player.presence, Presence::Absent { .. })
        {
            player.presence = Presence::Absent { until };
            self.absences.insert((until, id));
        }
    }

    /// When the next absence is over.
    pub(crate) fn next_lapse(&self) -> Option<Duration> {
        self.absences.first().map(|(until, _)| *until)
    }

    /// Who was absent for too long; removes him.
    pub(crate) fn lapse(&mut self, now: Duration) -> Option<(PlayerSessionId, Player)> {
        let (_, id) = *self.absences.first().filter(|(until, _)| *until <= now)?;
        self.remove(id, Mark::Done).map(|player| (id, player))
    }

    /// Frees the slot of a player, for good.
    pub(crate) fn remove(&mut self, id: PlayerSessionId, mark: Mark) -> Option<Player> {
        let player = self.players.remove(&id)?;
        if let Presence::Absent { until } = player.presence {
            self.absences.remove(&(until, id));
        }
        self.ordinals.set(player.ordinal, mark);
        Some(player)
    }

    /// Blocks a token that was not used, or removes its player. Doing it again does nothing.
    pub(crate) fn revoke(&mut self, revoked: &Revoked) -> Revocation {
        match self.ordinals.get(revoked.ordinal) {
            Some(Mark::Unseen) => {
                self.ordinals.set(revoked.ordinal, Mark::Revoked);
                Revocation::Blocked
            }
            Some(Mark::Active) => {
                let named = self.players.get(&revoked.player_session).is_some_and(|p| p.ordinal == revoked.ordinal);
                let removed = named.then(|| self.remove(revoked.player_session, Mark::Revoked)).flatten();
                removed.map_or(Revocation::Nothing, |player| Revocation::Removed { joined_ms: player.joined_ms })
            }
            Some(Mark::Done | Mark::Revoked) | None => Revocation::Nothing,
        }
    }

    /// The game has ended it: everybody is out, and the marks are not needed any more.
    pub(crate) fn end(&mut self) {
        self.phase = Phase::Ended;
        self.players.clear();
        self.absences.clear();
        self.ordinals = Ordinals::default();
    }
}

#[cfg(test)]
mod tests {
    use playgate_protocol::{Blob, List, Name, ServerProcessId};

    use super::*;

    /// The check that counts stands where the player becomes active, whatever was checked before.
    #[test]
    fn a_seat_is_given_before_expiry_and_below_the_maximum() {
        for (floor_ms, seated, outcome) in [
            (99, 0, Ok(())),
            (100, 0, Err(RefuseReason::Expired)),
            (101, 0, Err(RefuseReason::Expired)),
            (99, 1, Ok(())),
            (99, 2, Err(RefuseReason::Full)),
        ] {
            let mut session = session(2);
            for ordinal in 0..seated {
                session.seat(&claims(ordinal), player(ordinal), 0).unwrap();
            }
            assert_eq!(session.seat(&claims(seated), player(seated), floor_ms), outcome, "{floor_ms} {seated}");
            let active = session.ordinals.get(seated) == Some(Mark::Active);
            assert_eq!((active, session.players()), (outcome.is_ok(), seated as usize + usize::from(outcome.is_ok())));
        }
    }

    fn session(max_players: u16) -> Session {
        Session::new(&WantedSession {
            id: GameSessionId::from_bytes([1; 16]),
            attempt: 1,
            name: Name::default(),
            max_players,
            properties: List::default(),
            data: Blob::default(),
            policy: AdmissionPolicy { rejoin_grace_ms: 0, bearer: false, tell_reason: false },
            revoked: List::default(),
            end_by_ms: None,
        })
    }

    fn claims(ordinal: u32) -> Claims<'static> {
        Claims {
            key_id: 1,
            gate_epoch: 1,
            ordinal,
            issued_at_ms: 1,
            expires_at_ms: 100,
            game_session_id: GameSessionId::from_bytes([1; 16]),
            server_process_id: ServerProcessId::from_bytes([2; 16]),
            player_session_id: PlayerSessionId::from_bytes([ordinal.to_le_bytes()[0]; 16]),
            player_id: "p",
            player_data: b"",
        }
    }

    fn player(ordinal: u32) -> Player {
        let presence = Presence::Bearer { connection: 1 };
        Player { ordinal, token_hash: [0; 32], generation: 1, joined_ms: 1, proved_us: None, presence }
    }
}
