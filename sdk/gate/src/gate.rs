//! The gate: what the coordinator wants, what the game says, and the state between them.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use playgate_protocol::rate::Bucket;
use playgate_protocol::reason::PlayerEnd;
use playgate_protocol::server::{PlayerOutcome, Report};
use playgate_protocol::{GameSessionId, List, PlayerSessionId, ServerProcessId, TimeMs};
use playgate_token::{GateKeys, GateRoot, HolderRoot, PublicKeySet};

use crate::challenge::Challenges;
use crate::clock::Clock;
use crate::event::{ActivateError, Counters, GateEvent};
use crate::link::Statement;
use crate::ordinals::Mark;
use crate::report::Outbox;
use crate::session::{Phase, Session};

/// What a gate is made of: who the process is, the two roots it was given inside TLS, and 32 random bytes.
pub struct GateConfig {
    /// This server process.
    pub process: ServerProcessId,
    /// From it come the keys of gate tags.
    pub gate_root: GateRoot,
    /// From it come the keys of proofs and answers.
    pub holder_root: HolderRoot,
    /// From it come the secrets of challenges. Random, and a different one at every start.
    pub secret_seed: [u8; 32],
}

/// Shows no key.
impl fmt::Debug for GateConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GateConfig({}, keys not shown)", self.process)
    }
}

/// Admission on one game server. See the crate's documentation.
pub struct Gate {
    pub(crate) process: ServerProcessId,
    pub(crate) gate_root: GateRoot,
    pub(crate) holder_root: HolderRoot,
    pub(crate) challenges: Challenges,
    pub(crate) gate_keys: GateKeys,
    pub(crate) key_set: PublicKeySet,
    pub(crate) bucket: Bucket,

    /// The latest local time that was passed in; a clock that steps back is taken to stand still.
    latest: Duration,
    pub(crate) clock: Clock,
    pub(crate) floor_ms: TimeMs,

    pub(crate) held_version: u64,
    pub(crate) session: Option<Session>,
    /// The placement that was hosted last and is over: it never starts again.
    pub(crate) over: Option<(GameSessionId, u32)>,
    /// The fleet's choice, as of the session that is or was hosted.
    pub(crate) tell_reason: bool,
    pub(crate) terminate_by_ms: Option<TimeMs>,
    pub(crate) ending: bool,

    pub(crate) events: VecDeque<GateEvent>,
    pub(crate) outbox: Outbox,
    pub(crate) stated: Statement,
    pub(crate) counters: Counters,
}

impl Gate {
    /// A gate that hosts nothing and lets nobody in, until the coordinator is heard. `now` is a monotonic clock's,
    /// here and in every call.
    #[must_use]
    pub fn new(config: GateConfig, now: Duration) -> Self {
        Self {
            process: config.process,
            // The least epoch above the current one: no key, no token passes.
            gate_keys: GateKeys::new(&config.gate_root, 1, 0),
            gate_root: config.gate_root,
            holder_root: config.holder_root,
            challenges: Challenges::new(config.secret_seed),
            key_set: PublicKeySet::default(),
            bucket: Bucket::default(),
            latest: now,
            clock: Clock::new(now),
            floor_ms: 0,
            held_version: 0,
            session: None,
            over: None,
            tell_reason: false,
            terminate_by_ms: None,
            ending: false,
            events: VecDeque::new(),
            outbox: Outbox::new(),
            stated: Statement::default(),
            counters: Counters::new(),
        }
    }

    /// The coordinator says it is `coordinator_now_ms`. An earlier time than before makes the clock stand still until
    /// that is caught up; it never goes back.
    pub fn sync_clock(&mut self, now: Duration, coordinator_now_ms: TimeMs) {
        let now = self.at(now);
        self.clock.hear(now, coordinator_now_ms);
    }

    /// The coordinator's time, as far as it is known here.
    #[must_use]
    pub fn coordinator_now_ms(&self, now: Duration) -> TimeMs {
        self.clock.now_ms(now.max(self.latest))
    }

    /// What the game has to act on, oldest first.
    pub fn poll_event(&mut self) -> Option<GateEvent> {
        self.events.pop_front()
    }

    /// The game can host a session, and listens on these ports, the players' one first; at most eight count.
    pub fn ready(&mut self, now: Duration, ports: &[u16]) {
        self.at(now);
        self.outbox.ready(List::first_of(ports.iter().copied()));
    }

    /// The hosted session can take players. Saying it again does no harm.
    ///
    /// # Errors
    /// There is no session, or the game has ended it.
    pub fn activate(&mut self, now: Duration) -> Result<(), ActivateError> {
        self.at(now);
        let session = self.session.as_mut().ok_or(ActivateError::NoSession)?;
        match session.phase {
            Phase::Starting => {
                session.phase = Phase::Active;
                self.outbox.push(Report::Activated { session: session.id, attempt: session.attempt });
                Ok(())
            }
            Phase::Active => Ok(()),
            Phase::Ended => Err(ActivateError::SessionEnded),
        }
    }

    /// The hosted session is over. Its players are out, and nobody is admitted to it any more; until then reserved
    /// players are, also while the coordinator waits for the end.
    pub fn end_session(&mut self, now: Duration) {
        self.at(now);
        let Some(session) = self.session.as_mut().filter(|session| session.phase != Phase::Ended) else {
            return;
        };
        session.end();
        self.outbox.push(Report::SessionEnded { session: session.id, attempt: session.attempt });
    }

    /// The process is about to exit; a session that still goes on is over with it.
    pub fn ending(&mut self, now: Duration) {
        self.end_session(now);
        if !self.ending {
            self.ending = true;
            self.outbox.push(Report::Ending);
        }
    }

    /// The player's connection is lost. His slot is kept for the rejoin grace of the session.
    pub fn disconnected(&mut self, now: Duration, player: PlayerSessionId) {
        let now = self.at(now);
        if let Some(session) = &mut self.session {
            session.absent(now, player);
        }
        self.lapse(now);
    }

    /// The player has left. His slot is free at once, and his token is used up.
    pub fn leave(&mut self, now: Duration, player: PlayerSessionId) {
        let now = self.at(now);
        let left = self.session.as_mut().and_then(|session| session.remove(player, Mark::Done));
        if let Some(left) = left {
            self.report_completed(now, player, left.joined_ms, PlayerEnd::Left);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.session.as_ref().and_then(Session::next_lapse)
    }

    /// Time has passed: players who were absent for too long are out.
    pub fn handle_timeout(&mut self, now: Duration) {
        let now = self.at(now);
        self.lapse(now);
    }

    /// What was seen so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Players who are in, those absent within their grace included.
    #[must_use]
    pub fn active_players(&self) -> usize {
        self.session.as_ref().map_or(0, Session::players)
    }

    pub(crate) fn at(&mut self, now: Duration) -> Duration {
        self.latest = self.latest.max(now);
        self.latest
    }

    fn lapse(&mut self, now: Duration) {
        while let Some((player, left)) = self.session.as_mut().and_then(|session| session.lapse(now)) {
            self.report_completed(now, player, left.joined_ms, PlayerEnd::Absent);
            self.events.push_back(GateEvent::PlayerLeft { player, reason: PlayerEnd::Absent });
        }
    }

    pub(crate) fn report_completed(
        &mut self,
        now: Duration,
        player: PlayerSessionId,
        joined_ms: TimeMs,
        reason: PlayerEnd,
    ) {
        let left_ms = self.clock.now_ms(now);
        self.report_player(player, PlayerOutcome::Completed { reason, joined_ms, left_ms });
    }

    pub(crate) fn report_player(&mut self, player: PlayerSessionId, outcome: PlayerOutcome) {
        if let Some(session) = &self.session {
            self.outbox.player(session.id, player, outcome);
        }
    }
}

/// Shows what it hosts, and no key.
impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("process", &self.process)
            .field("session", &self.session.as_ref().map(|session| (session.id, session.attempt, session.phase)))
            .field("active_players", &self.active_players())
            .field("held_version", &self.held_version)
            .finish_non_exhaustive()
    }
}
