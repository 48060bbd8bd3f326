//! What is over is kept for a while, and only so much of it: beyond a number the oldest leave early.

use std::collections::BTreeSet;

use playgate_protocol::api::ErrorCode;
use playgate_protocol::{GameSessionId, ServerProcessId, TimeMs};

use crate::core::{Core, Refused, refused};
use crate::limits::{IDEMPOTENCY_MS, PLAYER_RETENTION_MS, PROCESS_RETENTION_MS, SESSION_RETENTION_MS};
use crate::timers::Timer;

/// What is over and stays for its full time, the oldest first.
pub(crate) type FullTerm<Id> = BTreeSet<(TimeMs, Id)>;

impl Core {
    /// Sets when an ended game session is forgotten. Of too many the oldest go early, but not before a late repetition
    /// of the request that made one can still find it.
    pub(crate) fn keep_ended_session(&mut self, session: GameSessionId, ended: TimeMs) {
        self.timers.set(Timer::ForgetSession(session), ended + SESSION_RETENTION_MS);
        self.ended_sessions.insert((ended, session));
        if self.ended_sessions.len() > self.bounds.ended_sessions
            && let Some((ended, oldest)) = self.ended_sessions.pop_first()
        {
            self.timers.set(Timer::ForgetSession(oldest), ended + IDEMPOTENCY_MS);
        }
    }

    /// Sets when an ended process is forgotten. Of too many the oldest go at once: no request can ask for one again.
    pub(crate) fn keep_ended_process(&mut self, process: ServerProcessId, ended: TimeMs) {
        self.timers.set(Timer::ForgetProcess(process), ended + PROCESS_RETENTION_MS);
        self.ended_processes.insert((ended, process));
        if self.ended_processes.len() > self.bounds.ended_processes
            && let Some((ended, oldest)) = self.ended_processes.pop_first()
        {
            self.timers.set(Timer::ForgetProcess(oldest), ended);
        }
    }

    /// Refuses a game session where as many as can be are kept already.
    pub(crate) fn room_for_session(&self) -> Result<(), Refused> {
        if self.sessions.len() < self.bounds.sessions {
            return Ok(());
        }
        let text = format!(
            "this coordinator keeps at most {} game sessions, live ones and those that ended within {} minutes; end \
             some, or make them more slowly",
            self.bounds.sessions,
            IDEMPOTENCY_MS / 60_000
        );
        Err(refused(ErrorCode::Busy, &text))
    }

    /// Refuses player sessions that would be more than can be kept.
    pub(crate) fn room_for_players(&self, more: usize) -> Result<(), Refused> {
        if self.players.len().saturating_add(more) <= self.bounds.players {
            return Ok(());
        }
        let text = format!(
            "this coordinator keeps at most {} player sessions, live ones and those that ended within {} minutes; \
             reserve more slowly, or give some players to another coordinator",
            self.bounds.players,
            PLAYER_RETENTION_MS / 60_000
        );
        Err(refused(ErrorCode::Busy, &text))
    }
}
