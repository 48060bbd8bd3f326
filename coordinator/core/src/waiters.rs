//! Calls that are answered when something has come about, or when they have waited long enough.

use std::collections::{BTreeMap, BTreeSet};

use playgate_protocol::api::{Answer, CallError, ErrorCode, GameSessionStatus};
use playgate_protocol::reason::SessionEnd;
use playgate_protocol::{GameSessionId, List, PlayerSessionId};

use crate::core::{Core, refused};
use crate::io::{LinkId, Output};
use crate::limits::{WAIT_MS_MAX, WAITERS_MAX, WAITERS_PER_LINK_MAX};
use crate::timers::Timer;

/// What a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Awaited {
    /// The session it created is active, or has failed.
    Created(GameSessionId),
    /// The session is neither being placed nor activated.
    Settled(GameSessionId),
    /// The session is over.
    Terminated(GameSessionId),
    /// The server has answered the revocation.
    Revoked(PlayerSessionId),
}

#[derive(Debug, Clone, Copy)]
struct Waiter {
    link: LinkId,
    request: u64,
    awaited: Awaited,
}

/// All waiting calls.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    next: u64,
    by_id: BTreeMap<u64, Waiter>,
    by_session: BTreeMap<GameSessionId, BTreeSet<u64>>,
    by_player: BTreeMap<PlayerSessionId, BTreeSet<u64>>,
    by_link: BTreeMap<LinkId, BTreeSet<u64>>,
}

impl Waiters {
    fn add(&mut self, waiter: Waiter) -> u64 {
        self.next += 1;
        self.by_id.insert(self.next, waiter);
        self.by_link.entry(waiter.link).or_default().insert(self.next);
        match waiter.awaited {
            Awaited::Created(id) | Awaited::Settled(id) | Awaited::Terminated(id) => {
                self.by_session.entry(id).or_default()
            }
            Awaited::Revoked(id) => self.by_player.entry(id).or_default(),
        }
        .insert(self.next);
        self.next
    }

    fn take(&mut self, id: u64) -> Option<Waiter> {
        let waiter = self.by_id.remove(&id)?;
        if let Some(of_link) = self.by_link.get_mut(&waiter.link) {
            of_link.remove(&id);
        }
        match waiter.awaited {
            Awaited::Created(key) | Awaited::Settled(key) | Awaited::Terminated(key) => {
                strike(&mut self.by_session, key, id)
            }
            Awaited::Revoked(key) => strike(&mut self.by_player, key, id),
        }
        Some(waiter)
    }

    /// A link is gone; its calls are answered to nobody. Gives their numbers.
    pub(crate) fn forget_link(&mut self, link: LinkId) -> BTreeSet<u64> {
        let of_link = self.by_link.remove(&link).unwrap_or_default();
        for id in &of_link {
            self.take(*id);
        }
        of_link
    }
}

/// A set, so that the end of a session that thousands wait for costs each of them once, and not each of them all.
fn strike<K: Ord>(map: &mut BTreeMap<K, BTreeSet<u64>>, key: K, id: u64) {
    if let Some(ids) = map.get_mut(&key) {
        ids.remove(&id);
        if ids.is_empty() {
            map.remove(&key);
        }
    }
}

impl Core {
    /// Answers the call at once if what it awaits has come about, otherwise later. Without a timeout it waits for as
    /// long as that takes: what is created always settles, by its placement and activation timeouts, and an answer
    /// before would show a session that nobody can join as if it were made.
    pub(crate) fn wait(&mut self, link: LinkId, request: u64, awaited: Awaited, timeout_ms: Option<u64>) {
        if let Some(outcome) = self.come_about(awaited) {
            return self.output(Output::Answer { link, request, outcome });
        }
        let of_link = self.waiters.by_link.get(&link).map_or(0, BTreeSet::len);
        if self.waiters.by_id.len() >= WAITERS_MAX || of_link >= WAITERS_PER_LINK_MAX {
            let outcome = Err(refused(ErrorCode::Busy, "too many calls wait; poll with describe"));
            return self.output(Output::Answer { link, request, outcome });
        }
        let id = self.waiters.add(Waiter { link, request, awaited });
        if let Some(timeout_ms) = timeout_ms {
            self.timers.set(Timer::Waiter(id), self.now + timeout_ms.min(WAIT_MS_MAX));
        }
    }

    /// The outcome, if there is one yet.
    fn come_about(&self, awaited: Awaited) -> Option<Result<Answer, CallError>> {
        let status = |id| self.sessions.get(&id).map(|known| known.row.status);
        let over = |awaited| match awaited {
            Awaited::Created(id) | Awaited::Settled(id) => {
                !matches!(status(id), Some(GameSessionStatus::Placing | GameSessionStatus::Activating))
            }
            Awaited::Terminated(id) => matches!(status(id), Some(GameSessionStatus::Terminated) | None),
            Awaited::Revoked(id) => self.players.get(&id).is_none_or(|row| !row.revoking),
        };
        over(awaited).then(|| self.state_of(awaited))
    }

    fn state_of(&self, awaited: Awaited) -> Result<Answer, CallError> {
        match awaited {
            Awaited::Created(id) => self.created(id),
            Awaited::Settled(id) | Awaited::Terminated(id) => self.describe_session(id).map(Answer::GameSession),
            Awaited::Revoked(id) => self.describe_player(id).map(|info| Answer::PlayerSessions(List::first_of([info]))),
        }
    }

    /// The caller of *create* gets an active session or an error; never a dead one that looks like success.
    fn created(&self, session: GameSessionId) -> Result<Answer, CallError> {
        let info = self.describe_session(session)?;
        let failed = |code, text: &str| Err(refused(code, &format!("{session}: {text}")));
        match info.reason {
            None if info.activated_ms.is_none() && info.status == GameSessionStatus::Terminating => {
                failed(ErrorCode::InvalidGameSessionStatus, "it was asked to end before it was active")
            }
            None => Ok(Answer::GameSession(info)),
            Some(SessionEnd::NoCapacity) => failed(ErrorCode::FleetCapacityExceeded, "no process became free in time"),
            Some(SessionEnd::ActivationFailed) => failed(
                ErrorCode::GameSessionActivationFailed,
                "no process activated it; see the processes' events and last output",
            ),
            Some(_) if info.activated_ms.is_some() => Ok(Answer::GameSession(info)),
            Some(reason) => {
                failed(ErrorCode::InvalidGameSessionStatus, &format!("it was ended before it was active: {reason}"))
            }
        }
    }

    pub(crate) fn answer_session_waiters(&mut self, session: GameSessionId) {
        let waiting = self.waiters.by_session.get(&session).cloned().unwrap_or_default();
        self.answer_those_done(waiting);
    }

    pub(crate) fn answer_player_waiters(&mut self, player: PlayerSessionId) {
        let waiting = self.waiters.by_player.get(&player).cloned().unwrap_or_default();
        self.answer_those_done(waiting);
    }

    fn answer_those_done(&mut self, waiting: BTreeSet<u64>) {
        for id in waiting {
            let awaited = self.waiters.by_id.get(&id).map(|waiter| waiter.awaited);
            if let Some(outcome) = awaited.and_then(|awaited| self.come_about(awaited)) {
                self.answer_waiter(id, outcome);
            }
        }
    }

    fn answer_waiter(&mut self, id: u64, outcome: Result<Answer, CallError>) {
        self.timers.cancel(&Timer::Waiter(id));
        if let Some(Waiter { link, request, .. }) = self.waiters.take(id) {
            self.output(Output::Answer { link, request, outcome });
        }
    }

    /// Waited long enough: the answer is the state as it is.
    pub(crate) fn waiter_overdue(&mut self, id: u64) {
        if let Some(awaited) = self.waiters.by_id.get(&id).map(|waiter| waiter.awaited) {
            let outcome = self.state_of(awaited);
            self.answer_waiter(id, outcome);
        }
    }
}
