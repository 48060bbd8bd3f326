//! The machine of one host.
//!
//! ```text
//!           Launch            slot free          port found          spawned
//!   unknown ─────► Queued ──────────────► Probing ────────► Spawning ───────► Running
//!      ▲              │ Stop                 │ Stop, none       │ failed          │ exited
//!      └──────────────┴──────────────────────┴──────────────────┴─────────────────┘
//!                        the end is reported; until that is acknowledged, orders for it come too late
//! ```

mod launch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use playgate_protocol::agent::{AgentDown, AgentReport, AgentUp, ExitStatus, LaunchOrder};
use playgate_protocol::limits::PROCESSES_PER_HOST_MAX;
use playgate_protocol::{List, ServerProcessId};

use crate::io::{CoreConfig, Found, Input, Output, OutputTail, Restored, RestoredProcess};
use crate::ladder::{self, Ladder};
use crate::limits::{BEAT_INTERVAL, REPORTS_PENDING_MAX, SILENCE_MAX};
use crate::plan::LaunchFailure;
use crate::ports::PortSearch;
use crate::reports::ReportLog;
use crate::slots::Slots;

/// Decides what the agent of one host does next. The crate's page has the contract.
#[derive(Debug)]
pub struct AgentCore {
    host: String,
    capacity: usize,
    processes: BTreeMap<ServerProcessId, Process>,
    /// Ports of launched processes and of those being launched.
    ports: BTreeSet<u16>,
    port_given_last: u16,
    slots: Slots,
    reports: ReportLog,
    /// What is to be done once the report with this number is saved.
    when_saved: BTreeMap<u64, Output>,
    link: Option<LinkState>,
    ending: Option<Ending>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Process {
    phase: Phase,
    ladder: Ladder,
    port: Option<u16>,
}

#[derive(Debug)]
enum Phase {
    Queued(Box<LaunchOrder>),
    Probing(Box<LaunchOrder>, PortSearch),
    Spawning,
    Running,
}

#[derive(Debug)]
struct LinkState {
    heard_at: Duration,
    beat_at: Duration,
    inventory_due: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    LeaveRunning,
    StopAll,
}

impl AgentCore {
    /// The machine at the start of the agent.
    #[must_use]
    pub fn new(now: Duration, config: CoreConfig, restored: Restored) -> Self {
        let capacity = usize::try_from(config.capacity).unwrap_or(usize::MAX);
        let mut core = Self {
            host: config.host,
            capacity: capacity.min(PROCESSES_PER_HOST_MAX),
            processes: BTreeMap::new(),
            ports: BTreeSet::new(),
            port_given_last: 0,
            slots: Slots::new(config.seed),
            reports: ReportLog::restore(restored.acknowledged_seq, restored.reports),
            when_saved: BTreeMap::new(),
            link: None,
            ending: None,
            outputs: VecDeque::new(),
        };
        for process in restored.processes {
            core.adopt(process);
        }
        core.advance(now);
        core
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Duration, input: Input) {
        match input {
            Input::LinkUp { applied_seq } => self.link_up(now, applied_seq),
            Input::LinkDown => self.link = None,
            Input::Message(message) => self.message(now, message),
            Input::PortProbed { process, free } => self.port_probed(process, free),
            Input::Spawned { process, pid } => self.spawned(process, pid),
            Input::SpawnFailed { process, failure } => self.fail(process, failure),
            Input::Exited { process, status, output_tail } => self.exited(process, status, output_tail),
            Input::ReportSaved { seq } => self.report_saved(seq),
            Input::Timeout => {}
            Input::Shutdown { stop_all } => self.shut_down(now, stop_all),
        }
        self.advance(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        let running = self.processes.values().filter(|process| process.is_running());
        let link = self.link.iter().flat_map(|link| [link.beat_at, link.heard_at + SILENCE_MAX]);
        running.filter_map(|process| process.ladder.deadline()).chain(link).chain(self.slots.next_at()).min()
    }

    /// Whether a shutdown has done all it waits for.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match self.ending {
            None => false,
            Some(Ending::LeaveRunning) => self.slots.none_in_flight(),
            Some(Ending::StopAll) => self.processes.is_empty(),
        }
    }

    /// Processes that are running or being launched.
    #[must_use]
    pub fn process_count(&self) -> usize {
        self.processes.len()
    }

    /// Reports that the coordinator has not acknowledged.
    #[must_use]
    pub fn report_count(&self) -> usize {
        self.reports.len()
    }

    fn adopt(&mut self, RestoredProcess { process, port, found }: RestoredProcess) {
        if self.reports.has_ended(process) {
            return self.outputs.push_back(Output::Forget { process });
        }
        let was_launched = |report: &AgentReport| matches!(report, AgentReport::Launched { process: launched, .. } if *launched == process);
        let (pid, report) = match found {
            Found::Gone { output_tail } => {
                let status = ExitStatus::Unknown;
                let report = AgentReport::Exited { process, status, output_tail };
                return self.report(report, Some(Output::Forget { process }));
            }
            Found::Started { pid } if !self.reports.pending().any(was_launched) => {
                (pid, AgentReport::Launched { process, pid, port })
            }
            Found::Started { pid } | Found::Running { pid } => (pid, AgentReport::Adopted { process, pid }),
        };
        self.processes.insert(process, Process { phase: Phase::Running, ladder: Ladder::Up, port });
        self.ports.extend(port);
        // An agent that restarts again and again while the coordinator is away says it once.
        let said = AgentReport::Adopted { process, pid };
        if self.reports.pending().any(|pending| *pending == said) {
            self.outputs.push_back(Output::Persist { process });
        } else {
            self.report(report, Some(Output::Persist { process }));
        }
    }

    fn message(&mut self, now: Duration, message: AgentDown) {
        let Some(link) = &mut self.link else { return };
        link.heard_at = now;
        match message {
            AgentDown::Launch(order) => self.launch(order),
            AgentDown::Stop { process, grace_ms, term_grace_ms } => {
                let grace = Duration::from_millis(grace_ms.into());
                let term_grace = Duration::from_millis(term_grace_ms.into());
                self.stop(now, process, ladder::Event::Stop { grace, term_grace });
            }
            AgentDown::ReportAck { through_seq } => {
                if self.reports.acknowledge(through_seq) {
                    self.outputs.push_back(Output::TrimReports { through_seq: self.reports.acknowledged() });
                }
            }
            AgentDown::Clock { .. } => {}
        }
    }

    fn stop(&mut self, now: Duration, process: ServerProcessId, event: ladder::Event) {
        match self.processes.get_mut(&process) {
            Some(found) if found.is_started() => {
                let step = found.ladder.handle(now, event);
                debug_assert_eq!(step, None, "only a deadline signals");
            }
            Some(_) => self.exited(process, ExitStatus::Unknown, OutputTail::default()),
            None => {
                if !self.reports.has_ended(process) && !self.is_behind() {
                    self.exited(process, ExitStatus::Unknown, OutputTail::default());
                }
            }
        }
    }

    fn fail(&mut self, process: ServerProcessId, LaunchFailure { error, detail }: LaunchFailure) {
        self.end(process, AgentReport::LaunchFailed { process, error, detail });
    }

    fn exited(&mut self, process: ServerProcessId, status: ExitStatus, output_tail: OutputTail) {
        self.end(process, AgentReport::Exited { process, status, output_tail });
    }

    fn end(&mut self, process: ServerProcessId, report: AgentReport) {
        if let Some(port) = self.processes.remove(&process).and_then(|entry| entry.port) {
            self.ports.remove(&port);
        }
        self.slots.release(process);
        self.report(report, Some(Output::Forget { process }));
    }

    /// Numbers a report. What depends on it waits until it is saved: a record says that a process runs only if a
    /// report does, and goes only if a report says how it ended.
    fn report(&mut self, report: AgentReport, then: Option<Output>) {
        let seq = self.reports.push(report.clone());
        self.outputs.push_back(Output::SaveReport { seq, report });
        self.when_saved.extend(then.map(|output| (seq, output)));
    }

    fn report_saved(&mut self, seq: u64) {
        self.reports.saved(seq);
        let later = self.when_saved.split_off(&seq.saturating_add(1));
        self.outputs.extend(std::mem::replace(&mut self.when_saved, later).into_values());
    }

    fn link_up(&mut self, now: Duration, applied_seq: u64) {
        self.link = Some(LinkState { heard_at: now, beat_at: now + BEAT_INTERVAL, inventory_due: true });
        let resumed = self.reports.resume(applied_seq);
        let waiting = std::mem::take(&mut self.when_saved).into_iter();
        self.when_saved = waiting.map(|(seq, output)| (seq + resumed.moved_by, output)).collect();
        for (seq, report) in resumed.renumbered {
            self.outputs.push_back(Output::SaveReport { seq, report });
        }
        self.outputs.push_back(Output::TrimReports { through_seq: resumed.through_seq });
    }

    fn shut_down(&mut self, now: Duration, stop_all: Option<Duration>) {
        self.ending = Some(if stop_all.is_some() { Ending::StopAll } else { Ending::LeaveRunning });
        // What was never started leaves no trace: the coordinator misses it in the next inventory.
        let waiting: Vec<_> =
            self.processes.iter().filter(|(_, entry)| !entry.is_started()).map(|(id, _)| *id).collect();
        for process in waiting {
            self.processes.remove(&process);
            self.slots.release(process);
        }
        if let Some(term_grace) = stop_all {
            for entry in self.processes.values_mut() {
                entry.ladder.handle(now, ladder::Event::Stop { grace: Duration::ZERO, term_grace });
            }
        }
    }

    /// Does what is due at this moment.
    fn advance(&mut self, now: Duration) {
        self.climb_ladders(now);
        while let Some(process) = self.slots.take(now) {
            self.begin(process);
        }
        self.serve_link(now);
    }

    fn climb_ladders(&mut self, now: Duration) {
        let mut steps = Vec::new();
        for (process, entry) in &mut self.processes {
            while entry.is_running() && entry.ladder.deadline().is_some_and(|at| at <= now) {
                steps.extend(entry.ladder.handle(now, ladder::Event::Due).map(|step| (*process, step)));
            }
        }
        for (process, step) in steps {
            self.outputs.push_back(Output::Signal { process, step });
            self.report(AgentReport::StopStep { process, step }, None);
        }
    }

    fn serve_link(&mut self, now: Duration) {
        let Some(link) = &mut self.link else { return };
        if now >= link.heard_at + SILENCE_MAX {
            self.link = None;
            return self.outputs.push_back(Output::DropLink);
        }
        if now >= link.beat_at {
            link.beat_at = now + BEAT_INTERVAL;
            self.outputs.push_back(Output::Send(AgentUp::Beat));
        }
        while let Some(batch) = self.reports.next_batch() {
            self.outputs.push_back(Output::Send(AgentUp::Reports(batch)));
        }
        if link.inventory_due && self.reports.all_sent() {
            link.inventory_due = false;
            let alive = List::first_of(self.processes.keys().copied());
            self.outputs.push_back(Output::Send(AgentUp::Inventory { alive }));
        }
    }

    /// Whether the coordinator has acknowledged too little to be given more.
    fn is_behind(&self) -> bool {
        self.reports.len() >= REPORTS_PENDING_MAX
    }
}

impl Process {
    fn is_probing(&self) -> bool {
        matches!(self.phase, Phase::Probing(..))
    }

    fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    /// Whether there is, or will be in a moment, something to signal.
    fn is_started(&self) -> bool {
        matches!(self.phase, Phase::Spawning | Phase::Running)
    }
}
