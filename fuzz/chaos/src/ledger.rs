//! What was acknowledged: every answer that the load generator was given, kept until its object is long over.
//!
//! A fact enters when its answer has arrived, never before. So whatever is in here at a moment must be durable at that
//! moment, also if the coordinator was killed in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use playgate_protocol::api::{GameSessionInfo, GameSessionStatus, PlayerSessionInfo, PlayerSessionStatus};
use playgate_protocol::reason::{PlayerEnd, SessionEnd};
use playgate_protocol::{GameSessionId, PlayerSessionId, Ticket};

/// Objects that are over are compared for this long, then only counted. The coordinator forgets player sessions ten
/// minutes after their end.
const KEPT: Duration = Duration::from_secs(90);

#[derive(Debug, Default, Clone)]
pub struct Ledger {
    pub sessions: BTreeMap<GameSessionId, Session>,
    pub players: BTreeMap<PlayerSessionId, Player>,
    /// Idempotency keys of reservations whose last answer was a refusal: nothing may exist under them.
    pub refused: BTreeMap<String, Instant>,
    pub counts: Counts,
    /// What answers alone have shown to be wrong.
    pub contradictions: BTreeSet<String>,
    /// When the question was asked whose answer is being written down.
    asked: Option<Instant>,
}

/// Facts about a game session, each acknowledged.
#[derive(Debug, Clone)]
pub struct Session {
    pub key: String,
    pub max_players: u16,
    pub active: bool,
    pub ending: bool,
    pub ended: Option<SessionEnd>,
    over_since: Option<Instant>,
}

#[cfg(test)]
impl Session {
    /// One of which everything was acknowledged.
    pub fn of(key: &str, max_players: u16, ended: Option<SessionEnd>) -> Self {
        Self { key: key.to_owned(), max_players, active: true, ending: true, ended, over_since: None }
    }
}

/// Facts about a player session, each acknowledged.
#[derive(Debug, Clone)]
pub struct Player {
    pub session: GameSessionId,
    pub player: String,
    pub key: String,
    pub joined: bool,
    pub revoking: bool,
    pub over: Option<(PlayerSessionStatus, Option<PlayerEnd>)>,
    over_since: Option<Instant>,
}

/// Acknowledged facts since the start.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub sessions: u64,
    pub activations: u64,
    pub reservations: u64,
    pub joins: u64,
    pub leaves: u64,
    pub expiries: u64,
    pub revocations: u64,
    pub ends: u64,
    /// The same answer under the same key, once more.
    pub repeats: u64,
}

impl Counts {
    /// Each with its name.
    pub fn named(&self) -> [(&'static str, u64); 9] {
        [
            ("sessions", self.sessions),
            ("activations", self.activations),
            ("reservations", self.reservations),
            ("joins", self.joins),
            ("leaves", self.leaves),
            ("expiries", self.expiries),
            ("revocations", self.revocations),
            ("ends", self.ends),
            ("repeats", self.repeats),
        ]
    }

    pub fn total(&self) -> u64 {
        self.named().iter().map(|(_, count)| count).sum::<u64>() - self.repeats
    }
}

impl Ledger {
    /// Answers that are written down from here on are to a question of this moment. Answers to several askers may be
    /// written down in another order than they were given in; only one that was asked for later contradicts.
    pub fn hear(&mut self, asked: Instant) -> &mut Self {
        self.asked = Some(asked);
        self
    }

    fn was_known_then(&self, since: Option<Instant>) -> bool {
        since.zip(self.asked).is_none_or(|(since, asked)| since < asked)
    }

    /// The answer to a creation under this key.
    pub fn created(&mut self, key: &str, info: &GameSessionInfo) {
        let other = self.sessions.iter().find(|(id, session)| session.key == key && **id != info.id);
        if let Some((id, _)) = other {
            self.contradictions.insert(format!("key {key} made {id} and {}", info.id));
        }
        if !self.sessions.contains_key(&info.id) {
            self.counts.sessions += 1;
            let (key, max_players) = (key.to_owned(), info.max_players);
            let session = Session { key, max_players, active: false, ending: false, ended: None, over_since: None };
            self.sessions.insert(info.id, session);
        } else {
            self.counts.repeats += 1;
        }
        self.saw_session(info);
    }

    /// Any answer that shows a game session.
    pub fn saw_session(&mut self, info: &GameSessionInfo) {
        let Some(session) = self.sessions.get_mut(&info.id) else { return };
        if info.activated_ms.is_some() && !std::mem::replace(&mut session.active, true) {
            self.counts.activations += 1;
        }
        session.ending |= matches!(info.status, GameSessionStatus::Terminating | GameSessionStatus::Terminated);
        if info.status == GameSessionStatus::Terminated {
            match session.ended {
                None => {
                    self.counts.ends += 1;
                    session.ended = info.reason;
                    session.over_since = Some(Instant::now());
                }
                Some(before) if info.reason != Some(before) => {
                    let text = format!("{} ended by {before}, and later by {:?}", info.id, info.reason);
                    self.contradictions.insert(text);
                }
                Some(_) => {}
            }
        } else if session.ended.is_some() {
            let since = session.over_since;
            if self.was_known_then(since) {
                self.contradictions.insert(format!("{} was terminated, and is {:?}", info.id, info.status));
            }
        }
    }

    /// The answer to a reservation under this key.
    pub fn reserved(&mut self, session: GameSessionId, key: &str, names: &[String], tickets: &[Ticket]) {
        self.refused.remove(key);
        if names.len() != tickets.len() {
            self.contradictions.insert(format!("{} tickets for {} players of {key}", tickets.len(), names.len()));
        }
        for (name, ticket) in names.iter().zip(tickets) {
            if self.players.contains_key(&ticket.player_session) {
                self.counts.repeats += 1;
                continue;
            }
            let known = self.players.iter().find(|(_, known)| known.player == *name && known.key == key);
            if let Some((id, _)) = known {
                let text = format!("key {key} made {id} and {} for {name}", ticket.player_session);
                self.contradictions.insert(text);
            }
            self.counts.reservations += 1;
            let (player, key) = (name.clone(), key.to_owned());
            let fact = Player { session, player, key, joined: false, revoking: false, over: None, over_since: None };
            self.players.insert(ticket.player_session, fact);
        }
    }

    /// A reservation is asked for under this key: whatever was answered before, it may be made from here on.
    pub fn asks(&mut self, key: &str) {
        self.refused.remove(key);
    }

    /// The last answer to a reservation under this key was no.
    pub fn refused(&mut self, key: &str) {
        self.refused.insert(key.to_owned(), Instant::now());
    }

    /// Any answer that shows a player session.
    pub fn saw_player(&mut self, info: &PlayerSessionInfo) {
        let Some(player) = self.players.get_mut(&info.id) else { return };
        if info.joined_ms.is_some() && !std::mem::replace(&mut player.joined, true) {
            self.counts.joins += 1;
        }
        player.revoking |= info.revoking;
        let over = matches!(info.status, PlayerSessionStatus::Completed | PlayerSessionStatus::TimedOut);
        let seen = over.then_some((info.status, info.reason));
        match (player.over, seen) {
            (None, Some(_)) => {
                player.over = seen;
                player.over_since = Some(Instant::now());
                match (info.status, info.reason) {
                    (PlayerSessionStatus::TimedOut, _) => self.counts.expiries += 1,
                    (_, Some(PlayerEnd::Revoked)) => self.counts.revocations += 1,
                    (_, Some(PlayerEnd::Left | PlayerEnd::Absent)) => self.counts.leaves += 1,
                    _ => {}
                }
            }
            (Some(before), seen) if seen != Some(before) => {
                let since = player.over_since;
                if self.was_known_then(since) {
                    self.contradictions.insert(format!("{} was {before:?}, and is {seen:?}", info.id));
                }
            }
            _ => {}
        }
    }

    /// Lets go of what has been over for long; it stays counted.
    pub fn retire(&mut self) {
        let old = |since: Option<Instant>| since.is_some_and(|since| since.elapsed() > KEPT);
        self.sessions.retain(|_, session| !old(session.over_since));
        let sessions = &self.sessions;
        self.players.retain(|_, player| !old(player.over_since) && sessions.contains_key(&player.session));
        self.refused.retain(|_, since| since.elapsed() <= KEPT);
    }

    /// A fact that nobody ever acknowledged, so that one can see the comparison find it.
    pub fn invent(&mut self) {
        let session = self.sessions.keys().next().copied().unwrap_or(GameSessionId::from_bytes([0; 16]));
        let id = PlayerSessionId::from_parts(0, 1, [7; 9]);
        let (player, key) = ("nobody".to_owned(), "invented".to_owned());
        let fact = Player { session, player, key, joined: true, revoking: false, over: None, over_since: None };
        self.counts.reservations += 1;
        self.players.insert(id, fact);
    }
}
