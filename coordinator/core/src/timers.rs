//! Every deadline of the core, one enum, one queue.

use std::collections::{BTreeMap, BTreeSet};

use playgate_protocol::{FleetId, GameSessionId, HostId, PlayerSessionId, RelayId, ServerProcessId, TimeMs};

/// Something that is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Write the time down.
    HighWater,
    /// A launched process should be ready.
    Ready(ServerProcessId),
    /// A process should have beaten.
    Health(ServerProcessId),
    /// An unwell process is stopped.
    Unhealthy(ServerProcessId),
    /// An unreachable process counts as lost.
    Lost(ServerProcessId),
    /// A draining process that no agent can stop counts as ended.
    Drain(ServerProcessId),
    /// An ended process is forgotten.
    ForgetProcess(ServerProcessId),
    /// A placed session should be active.
    Activation(GameSessionId),
    /// A session should have found a process.
    Placement(GameSessionId),
    /// A terminating session should be over.
    SessionEnd(GameSessionId),
    /// An ended player session is forgotten. Before its session where both are due: all players of one are many things.
    ForgetPlayer(PlayerSessionId),
    /// An ended session is forgotten.
    ForgetSession(GameSessionId),
    /// A fleet may launch again on a host.
    Launch(FleetId, HostId),
    /// Players have been told, and their flows end.
    EndFlows,
    /// A relay's secret is due to change.
    RotateRelay(RelayId),
    /// A waiting call is answered with the state as it is.
    Waiter(u64),
}

/// At most one deadline for each [`Timer`].
#[derive(Debug, Default)]
pub(crate) struct Timers {
    at: BTreeMap<Timer, TimeMs>,
    queue: BTreeSet<(TimeMs, Timer)>,
}

impl Timers {
    /// Sets or moves a deadline.
    pub(crate) fn set(&mut self, timer: Timer, at: TimeMs) {
        if let Some(before) = self.at.insert(timer.clone(), at) {
            self.queue.remove(&(before, timer.clone()));
        }
        self.queue.insert((at, timer));
    }

    /// Sets a deadline unless there is one.
    pub(crate) fn set_if_unset(&mut self, timer: Timer, at: TimeMs) {
        if !self.at.contains_key(&timer) {
            self.set(timer, at);
        }
    }

    pub(crate) fn cancel(&mut self, timer: &Timer) {
        if let Some(at) = self.at.remove(timer) {
            self.queue.remove(&(at, timer.clone()));
        }
    }

    pub(crate) fn is_set(&self, timer: &Timer) -> bool {
        self.at.contains_key(timer)
    }

    pub(crate) fn next(&self) -> Option<TimeMs> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes the next one that is due.
    pub(crate) fn due(&mut self, now: TimeMs) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.queue.pop_first()?;
        self.at.remove(&timer);
        Some(timer)
    }
}
