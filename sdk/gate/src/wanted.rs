//! What the coordinator wants: whole and versioned, so that repeating or skipping a version does no harm.

use std::time::Duration;

use playgate_protocol::reason::PlayerEnd;
use playgate_protocol::server::{PlayerOutcome, VerifyingKey, Wanted, WantedSession};
use playgate_token::{GateKeys, PublicKeySet};

use crate::session::{Phase, Revocation, Session};
use crate::{Gate, GateEvent};

impl Gate {
    /// Does what the coordinator wants. A version that is not above the held one is ignored.
    ///
    /// A session other than the hosted one, or a later attempt of it, takes its place: the players are out, what was
    /// not yet numbered about it is forgotten, and no report about it is made from here on. So it is when no session is
    /// wanted. Only a session that the game has ended stays, ended, until it is not wanted any more.
    pub fn apply(&mut self, now: Duration, wanted: Wanted) {
        let now = self.at(now);
        if wanted.version <= self.held_version {
            return;
        }
        self.held_version = wanted.version;
        self.gate_keys = GateKeys::new(&self.gate_root, wanted.min_epoch, wanted.gate_epoch);
        self.set_keys(&wanted.keys);
        match wanted.session {
            Some(session) => self.host(now, session),
            None => self.drop_session(now),
        }
        if let Some(by_ms) = wanted.terminate_by_ms
            && self.terminate_by_ms != Some(by_ms)
        {
            self.events.push_back(GateEvent::Terminate { by_ms });
        }
        self.terminate_by_ms = wanted.terminate_by_ms;
    }

    /// Takes the keys that are fit to verify with, and counts the others: one bad key must not lock everybody out.
    fn set_keys(&mut self, keys: &[VerifyingKey]) {
        let mut usable: Vec<(u16, [u8; 32])> = Vec::with_capacity(keys.len());
        self.key_set = PublicKeySet::default();
        for key in keys {
            usable.push((key.key_id, key.public_key));
            match PublicKeySet::new(&usable) {
                Ok(set) => self.key_set = set,
                Err(_) => {
                    usable.pop();
                    self.counters.weak_keys += 1;
                }
            }
        }
    }

    fn host(&mut self, now: Duration, wanted: WantedSession) {
        let is_over = self.over.is_some_and(|(id, attempt)| id == wanted.id && wanted.attempt <= attempt);
        let hosted = self.session.as_ref().filter(|session| session.id == wanted.id).map(|session| session.attempt);
        if is_over || self.ending || hosted.is_some_and(|attempt| wanted.attempt < attempt) {
            return;
        }
        if hosted != Some(wanted.attempt) {
            self.drop_session(now);
            self.session = Some(Session::new(&wanted));
            self.events.push_back(GateEvent::StartSession(wanted.clone()));
        }
        self.update_session(now, &wanted);
    }

    fn update_session(&mut self, now: Duration, wanted: &WantedSession) {
        let Some(session) = self.session.as_mut().filter(|session| session.phase != Phase::Ended) else {
            return;
        };
        session.update(wanted);
        self.tell_reason = wanted.policy.tell_reason;
        if let Some(by_ms) = wanted.end_by_ms
            && session.end_by_ms != Some(by_ms)
        {
            self.events.push_back(GateEvent::EndSession { session: session.id, by_ms });
        }
        session.end_by_ms = wanted.end_by_ms;
        for revoked in &wanted.revoked {
            let Some(session) = &mut self.session else { return };
            let (id, player) = (session.id, revoked.player_session);
            match session.revoke(revoked) {
                Revocation::Nothing => {}
                Revocation::Blocked => self.outbox.player(id, player, PlayerOutcome::Blocked),
                Revocation::Removed { joined_ms } => {
                    self.report_completed(now, player, joined_ms, PlayerEnd::Revoked);
                    self.events.push_back(GateEvent::PlayerLeft { player, reason: PlayerEnd::Revoked });
                }
            }
        }
    }

    /// The hosted session is not wanted any more. A game that has not ended it is told.
    fn drop_session(&mut self, now: Duration) {
        let Some(session) = self.session.take() else { return };
        self.over = Some((session.id, session.attempt));
        self.outbox.forget(session.id);
        if session.phase != Phase::Ended {
            let by_ms = self.clock.now_ms(now);
            self.events.push_back(GateEvent::EndSession { session: session.id, by_ms });
        }
    }
}
