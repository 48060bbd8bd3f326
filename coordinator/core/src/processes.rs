//! Server processes: health, reachability, draining, the end.

use std::collections::VecDeque;
use std::sync::Arc;

use playgate_protocol::agent::ExitStatus;
use playgate_protocol::api::{EventKind, GameSessionStatus, ProcessStatus, Subject};
use playgate_protocol::limits::OUTPUT_TAIL_BYTES_MAX;
use playgate_protocol::reason::{ProcessEnd, SessionEnd};
use playgate_protocol::server::Ports;
use playgate_protocol::{HostId, Name, RefusalReason, ServerProcessId, Text};

use crate::core::{Core, Process, RowKey};
use crate::fleet::FleetConfig;
use crate::io::{CloseWhy, Output};
use crate::limits::{BAD_BEATS_MAX, UNWELL_AFTER_MS};
use crate::process_state::{ProcessStep, after};
use crate::rows::{Drain, JoinKeyRow, ProcessRow};
use crate::timers::Timer;

impl Core {
    pub(crate) fn add_process(
        &mut self,
        id: ServerProcessId,
        fleet: &Arc<FleetConfig>,
        host: Option<HostId>,
        name: Name,
        status: ProcessStatus,
    ) {
        let row = ProcessRow {
            id,
            fleet: fleet.name.clone(),
            host,
            name,
            status,
            launched: false,
            pid: None,
            address: None,
            ports: Ports::default(),
            session: None,
            sessions_hosted: 0,
            applied_seq: 0,
            gate_epoch: 1,
            drain: None,
            killed: false,
            reason: None,
            exit: None,
            output_tail: Text::default(),
            created_ms: self.now,
            ready_ms: None,
            ended_ms: None,
        };
        self.processes.insert(id, Process::new(row, Arc::clone(fleet), self.now));
        if let Some(host) = host {
            self.hosts.get_mut(&host).expect("a process is launched on a known host").live.insert(id);
        }
        self.mark(RowKey::Process(id));
    }

    /// A server that nobody launched: its join key names the fleet.
    pub(crate) fn hand_started(
        &mut self,
        key: &JoinKeyRow,
        name: Name,
    ) -> Result<ServerProcessId, (RefusalReason, String)> {
        let fleet = key.fleet.as_ref().and_then(|fleet| self.fleets.get(fleet));
        let Some(fleet) = fleet.map(|fleet| Arc::clone(&fleet.config)) else {
            return Err((RefusalReason::JoinKeyInvalid, "the join key names no fleet of this coordinator".into()));
        };
        let (shard, time, random) = self.id_parts();
        let id = ServerProcessId::from_parts(shard, time, random);
        self.add_process(id, &fleet, None, name, ProcessStatus::Launching);
        self.timers.set(Timer::Ready(id), self.now + fleet.ready_timeout.0);
        Ok(id)
    }

    /// Moves a process along its life, if the step applies; keeps the fleet's list of ready ones.
    pub(crate) fn step_process(&mut self, process: ServerProcessId, step: ProcessStep) -> bool {
        let Some(known) = self.processes.get_mut(&process) else { return false };
        let Some(status) = after(known.row.status, step) else { return false };
        known.row.status = status;
        let fleet = known.row.fleet.clone();
        let ready = &mut self.fleet_mut(&fleet).ready;
        if status == ProcessStatus::Ready {
            ready.insert(process);
        } else {
            ready.remove(&process);
        }
        self.mark(RowKey::Process(process));
        true
    }

    /// Three missed beats while the link is up.
    pub(crate) fn beat_overdue(&mut self, process: ServerProcessId) {
        let Some(known) = self.processes.get(&process).filter(|known| known.link.is_some()) else { return };
        let due = known.last_beat + UNWELL_AFTER_MS;
        if due > self.now {
            return self.timers.set(Timer::Health(process), due);
        }
        self.unwell(process, "no health report");
    }

    /// One beat's word about health.
    pub(crate) fn judge_health(&mut self, process: ServerProcessId, healthy: bool) {
        let Some(known) = self.processes.get_mut(&process) else { return };
        known.last_beat = self.now;
        self.timers.set_if_unset(Timer::Health(process), self.now + UNWELL_AFTER_MS);
        if !healthy {
            known.bad_beats = known.bad_beats.saturating_add(1);
            if known.bad_beats >= BAD_BEATS_MAX {
                self.unwell(process, "reports bad health");
            }
            return;
        }
        known.bad_beats = 0;
        if known.unwell_since.take().is_some() {
            self.timers.cancel(&Timer::Unhealthy(process));
            self.event(EventKind::ProcessWell, Subject::Process(process), "reports good health again");
            self.place_waiting(process);
        }
    }

    fn unwell(&mut self, process: ServerProcessId, why: &str) {
        let now = self.now;
        let Some(known) = self.processes.get_mut(&process).filter(|known| known.unwell_since.is_none()) else { return };
        known.unwell_since = Some(now);
        let timeout = known.fleet.unhealthy_timeout.0;
        self.timers.set(Timer::Unhealthy(process), now + timeout);
        self.event(EventKind::ProcessUnwell, Subject::Process(process), why);
    }

    /// Unwell for too long: stopped, unless it is activating a session, where the activation timeout rules.
    pub(crate) fn unhealthy_overdue(&mut self, process: ServerProcessId) {
        let Some(known) = self.processes.get(&process).filter(|known| known.unwell_since.is_some()) else { return };
        let session = known.row.session.and_then(|session| self.sessions.get(&session));
        if session.is_some_and(|session| session.row.status == GameSessionStatus::Activating) {
            let retry = self.now + known.fleet.activation_timeout.0;
            return self.timers.set(Timer::Unhealthy(process), retry);
        }
        let grace = known.fleet.stop_grace.0;
        self.drain(process, ProcessEnd::Unhealthy, grace);
    }

    pub(crate) fn lost_overdue(&mut self, process: ServerProcessId) {
        let Some(known) = self.processes.get(&process).filter(|known| known.unreachable_since.is_some()) else {
            return;
        };
        let host_link = known.row.host.and_then(|host| self.hosts[&host].link);
        if let Some(link) = host_link {
            self.output(Output::Stop { link, process, grace_ms: 0, term_grace_ms: 0 });
        }
        self.end_process(process, ProcessEnd::Lost, None, Text::default());
    }

    pub(crate) fn ready_overdue(&mut self, process: ServerProcessId) {
        let status = self.processes.get(&process).map(|known| known.row.status);
        if matches!(status, Some(ProcessStatus::Launching | ProcessStatus::Connected)) {
            self.drain(process, ProcessEnd::ReadyTimeout, 0);
        }
    }

    /// Asks a process to end: over its own link at once, by the agent's stop ladder after `grace_ms`.
    /// A process that drains already can only be hurried.
    pub(crate) fn drain(&mut self, process: ServerProcessId, reason: ProcessEnd, grace_ms: u64) {
        let deadline_ms = self.now + grace_ms;
        let Some(known) = self.processes.get_mut(&process) else { return };
        if known.row.status == ProcessStatus::Ended {
            return;
        }
        match &mut known.row.drain {
            Some(drain) if drain.deadline_ms <= deadline_ms => return,
            Some(drain) => drain.deadline_ms = deadline_ms,
            none => {
                *none = Some(Drain { reason, deadline_ms });
                let what = format!("{reason}: {grace_ms} ms until it is stopped by force");
                self.event(EventKind::ProcessDraining, Subject::Process(process), &what);
            }
        }
        self.step_process(process, ProcessStep::Drain);
        self.mark(RowKey::Process(process));
        self.send_wanted(process);
        self.order_stop(process);
    }

    /// Has the agent stop a draining process; where there is no agent, a timer closes the record.
    pub(crate) fn order_stop(&mut self, process: ServerProcessId) {
        let known = &self.processes[&process];
        let Some(drain) = known.row.drain else { return };
        let patience = known.fleet.term_grace.0 + known.fleet.exit_timeout.0;
        self.timers.set(Timer::Drain(process), drain.deadline_ms.max(self.now) + patience);
        let known = &self.processes[&process];
        let Some(host) = known.row.host else { return };
        let Some(link) = self.hosts[&host].link else { return };
        let grace_ms = u32::try_from(drain.deadline_ms.saturating_sub(self.now)).unwrap_or(u32::MAX);
        let term_grace_ms = known.fleet.term_grace.as_u32();
        self.output(Output::Stop { link, process, grace_ms, term_grace_ms });
    }

    /// A draining process should be gone. Its agent is asked again; where there is none to ask, it is given up in the
    /// end, and stopped as a stray should its agent come back.
    pub(crate) fn drain_overdue(&mut self, process: ServerProcessId) {
        let Some(known) = self.processes.get(&process).filter(|p| p.row.status == ProcessStatus::Draining) else {
            return;
        };
        let asked_ms = known.row.drain.map_or(self.now, |drain| drain.deadline_ms);
        let lost_at = asked_ms + known.fleet.lost_after.0;
        match known.row.host.map(|host| self.hosts[&host].link.is_some()) {
            None => self.end_process(process, ProcessEnd::ForceTerminated, None, Text::default()),
            Some(true) => self.order_stop(process),
            Some(false) if lost_at > self.now => self.timers.set(Timer::Drain(process), lost_at),
            Some(false) => self.end_process(process, ProcessEnd::Lost, None, Text::default()),
        }
    }

    /// The end of a process, and of the game session on it.
    pub(crate) fn end_process(
        &mut self,
        process: ServerProcessId,
        reason: ProcessEnd,
        exit: Option<ExitStatus>,
        output_tail: Text<OUTPUT_TAIL_BYTES_MAX>,
    ) {
        if !self.step_process(process, ProcessStep::End) {
            return;
        }
        let now = self.now;
        let known = self.processes.get_mut(&process).expect("the step found it");
        known.row.reason = Some(reason);
        known.row.exit = exit;
        known.row.output_tail = output_tail;
        known.row.ended_ms = Some(now);
        let session = known.row.session.take();
        let host = known.row.host;
        let link = known.link.take();
        known.unreachable_since = None;
        let how = exit.map_or(String::new(), |exit| format!(", {exit}"));
        self.event(EventKind::ProcessEnded, Subject::Process(process), &format!("{reason}{how}"));
        if let Some(host) = host {
            self.hosts.get_mut(&host).expect("hosts are never removed").live.remove(&process);
        }
        if let Some(link) = link {
            self.links.remove(&link);
            self.output(Output::Close { link, why: CloseWhy::Ended });
        }
        for timer in [Timer::Ready, Timer::Health, Timer::Unhealthy, Timer::Lost, Timer::Drain] {
            self.timers.cancel(&timer(process));
        }
        self.keep_ended_process(process, now);
        if let Some(session) = session {
            let lost = if reason == ProcessEnd::Lost { SessionEnd::ProcessLost } else { SessionEnd::ProcessEnded };
            self.session_lost_its_process(session, lost);
        }
        self.plan_replacement(process);
    }

    pub(crate) fn forget_process(&mut self, process: ServerProcessId) {
        self.mark(RowKey::Process(process));
        let Some(known) = self.processes.remove(&process) else { return };
        if let Some(ended) = known.row.ended_ms {
            self.ended_processes.remove(&(ended, process));
        }
        if let Some(peer) = known.peer {
            self.peers.remove(&peer);
            self.mark(RowKey::Peer(peer));
        }
    }
}

impl Process {
    pub(crate) fn new(row: ProcessRow, fleet: Arc<FleetConfig>, now: u64) -> Self {
        Self {
            row,
            fleet,
            peer: None,
            link: None,
            unreachable_since: None,
            unwell_since: None,
            bad_beats: 0,
            last_beat: now,
            advertise: None,
            wanted_version: 0,
            offers: VecDeque::new(),
            minting: None,
            floor: None,
            floor_ahead: false,
            views_differ: false,
        }
    }

    /// Whether something may be placed on it at this moment.
    pub(crate) fn is_fit(&self) -> bool {
        self.row.status == ProcessStatus::Ready
            && self.link.is_some()
            && self.unwell_since.is_none()
            && self.minting.is_some()
            && !self.floor_ahead
    }
}
