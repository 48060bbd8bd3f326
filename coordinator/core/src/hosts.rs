//! Hosts and their agents: launches, replacement with backoff, and what agents report.

use std::net::IpAddr;
use std::sync::Arc;

use playgate_protocol::agent::{AgentReport, AgentReportBatch, AgentUp, ExitStatus, StopStep};
use playgate_protocol::api::{EventKind, ProcessStatus, Subject};
use playgate_protocol::reason::ProcessEnd;
use playgate_protocol::{FleetId, HostId, Name, RefusalReason, ServerProcessId, Text};

use crate::core::{Core, Fleet, Host, RowKey};
use crate::fleet::FleetConfig;
use crate::io::{LinkId, Output};
use crate::limits::{BACKOFF_MS_MAX, BACKOFF_MS_MIN, FLEETS_MAX, HOSTS_MAX, PROVEN_AFTER_MS};
use crate::rows::HostRow;
use crate::servers::unapplied;
use crate::timers::Timer;

impl Core {
    pub(crate) fn apply_fleet(&mut self, config: FleetConfig) {
        let id = config.name.clone();
        let config = Arc::new(config);
        let full = self.fleets.len() == FLEETS_MAX;
        match self.fleets.get_mut(&id) {
            Some(fleet) if fleet.config == config => return,
            Some(fleet) => fleet.config = config,
            None if full => {
                return self.event(EventKind::StoreSpace, Subject::Fleet(id), "too many fleets on this coordinator");
            }
            None => {
                self.fleets.insert(id.clone(), Fleet::new(config));
            }
        }
        self.mark(RowKey::Fleet(id.clone()));
        self.reconcile_everywhere(&id);
    }

    pub(crate) fn new_host(&mut self, name: Name) -> Result<HostId, (RefusalReason, String)> {
        if self.hosts.len() == HOSTS_MAX {
            return Err((RefusalReason::Busy, format!("this coordinator has {HOSTS_MAX} hosts already")));
        }
        let (shard, time, random) = self.id_parts();
        let id = HostId::from_parts(shard, time, random);
        self.hosts.insert(id, Host::new(HostRow { id, name, address: None, capacity: 0, applied_seq: 0 }));
        self.mark(RowKey::Host(id));
        Ok(id)
    }

    pub(crate) fn agent_up(&mut self, link: LinkId, host: HostId, name: Name, address: IpAddr, capacity: u32) {
        let known = self.hosts.get_mut(&host).expect("an agent's identity names a host");
        known.link = Some(link);
        let detail = format!("{name} at {address}, {capacity} processes");
        let row = HostRow { name, address: Some(address), capacity, ..known.row.clone() };
        if row != known.row {
            known.row = row;
            self.mark(RowKey::Host(host));
        }
        self.event(EventKind::HostConnected, Subject::Host(host), &detail);
    }

    pub(crate) fn agent_down(&mut self, host: HostId) {
        if let Some(known) = self.hosts.get_mut(&host) {
            known.link = None;
            self.event(
                EventKind::HostDisconnected,
                Subject::Host(host),
                "its servers play on; nothing is launched there",
            );
        }
    }

    pub(crate) fn agent_said(&mut self, link: LinkId, message: AgentUp) {
        let Some(crate::rows::Identity::Agent(host)) = self.links.get(&link).copied() else { return };
        match message {
            AgentUp::Reports(batch) => self.agent_reports(link, host, batch),
            AgentUp::Inventory { alive } => self.inventory(host, &alive),
            AgentUp::Beat => self.output(Output::AgentClock { link, now_ms: self.now }),
        }
    }

    fn agent_reports(&mut self, link: LinkId, host: HostId, batch: AgentReportBatch) {
        let applied = self.hosts[&host].row.applied_seq;
        let Some((through_seq, fresh)) = unapplied(applied, batch.first_seq, batch.reports.into_vec()) else {
            return self.violation(link, Subject::Host(host), "the agent's reports have a gap");
        };
        self.output(Output::AgentAck { link, through_seq });
        self.hosts.get_mut(&host).expect("hosts are never removed").row.applied_seq = through_seq;
        self.mark(RowKey::Host(host));
        for report in fresh {
            self.agent_report(host, report);
        }
    }

    fn agent_report(&mut self, host: HostId, report: AgentReport) {
        let (AgentReport::Launched { process, .. }
        | AgentReport::LaunchFailed { process, .. }
        | AgentReport::StopStep { process, .. }
        | AgentReport::Exited { process, .. }
        | AgentReport::Adopted { process, .. }) = report;
        let Some(known) = self.processes.get_mut(&process).filter(|known| known.row.host == Some(host)) else {
            return self.event(
                EventKind::ProtocolViolation,
                Subject::Host(host),
                &format!("report about {process}, not its own"),
            );
        };
        if known.row.status == ProcessStatus::Ended {
            // Already closed, as lost. If it runs after all, nobody wants it.
            let runs = matches!(report, AgentReport::Launched { .. } | AgentReport::Adopted { .. });
            if let (true, Some(link)) = (runs, self.hosts[&host].link) {
                self.output(Output::Stop { link, process, grace_ms: 0, term_grace_ms: 0 });
            }
            return;
        }
        let subject = Subject::Process(process);
        match report {
            AgentReport::Launched { pid, .. } if known.row.pid == Some(pid) => {} // said before
            AgentReport::Launched { pid, port, .. } => {
                known.row.launched = true;
                known.row.pid = Some(pid);
                let port = port.map_or(String::new(), |port| format!(", port {port}"));
                self.event(EventKind::ProcessLaunched, subject, &format!("pid {pid}{port}"));
            }
            AgentReport::Adopted { pid, .. } => {
                known.row.launched = true;
                known.row.pid = Some(pid);
                self.event(EventKind::ProcessAdopted, subject, &format!("pid {pid} is watched again"));
            }
            AgentReport::LaunchFailed { error, detail, .. } => {
                self.event(EventKind::ProcessLaunchFailed, subject, &format!("{error:?}: {detail}"));
                self.end_process(process, ProcessEnd::LaunchFailed, None, Text::default());
            }
            AgentReport::StopStep { .. } if known.row.killed => {} // said before
            AgentReport::StopStep { step, .. } => {
                known.row.killed |= step == StopStep::Kill;
                let signal = if step == StopStep::Kill { "SIGKILL" } else { "SIGTERM" };
                self.event(EventKind::ProcessStopStep, subject, signal);
            }
            AgentReport::Exited { status, output_tail, .. } => {
                let reason = self.reason_of_exit(process, status);
                self.end_process(process, reason, Some(status), output_tail);
            }
        }
        self.mark(RowKey::Process(process));
    }

    /// What the exit of a process means, given what was asked of it and what it said.
    fn reason_of_exit(&self, process: ServerProcessId, status: ExitStatus) -> ProcessEnd {
        let row = &self.processes[&process].row;
        match row.drain.map(|drain| drain.reason) {
            None => ProcessEnd::Crashed,
            Some(ProcessEnd::Stopped) if row.killed => ProcessEnd::ForceTerminated,
            Some(ProcessEnd::Shutdown) if row.killed => ProcessEnd::ExitTimeout,
            Some(ProcessEnd::Shutdown) if matches!(status, ExitStatus::Signal(_)) => ProcessEnd::Crashed,
            Some(reason) => reason,
        }
    }

    /// Compares what the agent knows to be alive with what should be; sends orders again that may not have arrived.
    fn inventory(&mut self, host: HostId, alive: &[ServerProcessId]) {
        let Some(link) = self.hosts[&host].link else { return };
        let wanted = |process: &ServerProcessId| {
            let known = self.processes.get(process).filter(|known| known.row.host == Some(host));
            known.is_some_and(|known| known.row.status != ProcessStatus::Ended)
        };
        let strays: Vec<ServerProcessId> = alive.iter().filter(|process| !wanted(process)).copied().collect();
        if let Some(first) = strays.first() {
            let what = format!("{} processes run but are not wanted and are stopped, {first} among them", strays.len());
            self.event(EventKind::ProcessStopStep, Subject::Host(host), &what);
        }
        for process in strays {
            self.output(Output::Stop { link, process, grace_ms: 0, term_grace_ms: 0 });
        }
        for process in self.hosts[&host].live.clone() {
            let known = &self.processes[&process];
            let row = &known.row;
            match (alive.contains(&process), row.status) {
                // Its link shows that it runs: its launch crossed this inventory.
                (false, _) if !row.launched && known.link.is_some() => {}
                (true, ProcessStatus::Draining) => self.order_stop(process),
                (true, _) => {}
                (false, ProcessStatus::Draining) if !row.launched => {
                    self.end_process(process, ProcessEnd::Stopped, None, Text::default());
                }
                (false, ProcessStatus::Launching) if !row.launched => self.order_launch(process),
                // It ran: an order to launch it again would make two of it.
                (false, _) => self.end_process(process, ProcessEnd::Lost, Some(ExitStatus::Unknown), Text::default()),
            }
        }
        self.reconcile_host(host);
    }

    pub(crate) fn reconcile_everywhere(&mut self, fleet: &FleetId) {
        let hosts: Vec<HostId> = self.hosts.keys().copied().collect();
        for host in hosts {
            self.reconcile(fleet, host);
        }
    }

    /// Launches what is missing of a fleet on a host, and drains what is too many and idle.
    pub(crate) fn reconcile(&mut self, fleet: &FleetId, host: HostId) {
        let (Some(known), Some(fleet_known)) = (self.hosts.get(&host), self.fleets.get(fleet)) else { return };
        if known.link.is_none() || fleet_known.config.command.is_empty() {
            return;
        }
        let config = Arc::clone(&fleet_known.config);
        let counted = known.live.iter().filter_map(|id| self.processes.get(id));
        let of_fleet = counted.filter(|p| p.row.fleet == *fleet && p.row.status != ProcessStatus::Draining).count();
        let wanted = usize::try_from(config.processes_per_host).unwrap_or(usize::MAX);
        let room = usize::try_from(known.row.capacity).unwrap_or(usize::MAX).saturating_sub(known.live.len());
        for _ in 0..wanted.saturating_sub(of_fleet).min(room) {
            if self.store_low || !self.launch_is_due(fleet, host) {
                return;
            }
            self.launch(Arc::clone(&config), host);
        }
        self.drain_idle(fleet, host, of_fleet.saturating_sub(wanted));
    }

    fn launch_is_due(&mut self, fleet: &FleetId, host: HostId) -> bool {
        !self.timers.is_set(&Timer::Launch(fleet.clone(), host))
    }

    fn launch(&mut self, config: Arc<FleetConfig>, host: HostId) {
        let (shard, time, random) = self.id_parts();
        let id = ServerProcessId::from_parts(shard, time, random);
        let name = Name::lossy(&format!("{}-{}", config.name, &id.to_string()[23..]));
        self.add_process(id, &config, Some(host), name, ProcessStatus::Launching);
        self.timers.set(Timer::Ready(id), self.now + config.ready_timeout.0);
        self.event(EventKind::ProcessLaunching, Subject::Process(id), &format!("fleet {} on {host}", config.name));
        self.order_launch(id);
    }

    fn order_launch(&mut self, process: ServerProcessId) {
        let known = &self.processes[&process];
        let link = known.row.host.and_then(|host| self.hosts[&host].link);
        let Some(link) = link else { return };
        let (name, fleet) = (known.row.name.clone(), Arc::clone(&known.fleet));
        self.output(Output::Launch { link, process, name, fleet });
    }

    fn drain_idle(&mut self, fleet: &FleetId, host: HostId, surplus: usize) {
        let idle = self.fleet(fleet).ready.iter().filter(|id| self.processes[id].row.host == Some(host));
        let chosen: Vec<ServerProcessId> = idle.take(surplus).copied().collect();
        for process in chosen {
            let grace = self.processes[&process].fleet.stop_grace.0;
            self.drain(process, ProcessEnd::Stopped, grace);
        }
    }

    /// After a process ended: when it may be replaced, and who takes the room it leaves.
    pub(crate) fn plan_replacement(&mut self, process: ServerProcessId) {
        let row = &self.processes[&process].row;
        let Some(host) = row.host else { return };
        let fleet = row.fleet.clone();
        let proven = row.ready_ms.is_some_and(|ready| self.now.saturating_sub(ready) >= PROVEN_AFTER_MS);
        let failed = match row.reason {
            Some(ProcessEnd::Recycled | ProcessEnd::Stopped) => false,
            Some(ProcessEnd::Crashed | ProcessEnd::LaunchFailed) => true,
            Some(ProcessEnd::ReadyTimeout | ProcessEnd::ActivationTimeout) => true,
            // However it ends: one that never lasts is not launched again and again at once.
            _ => !proven,
        };
        let failures = &mut self.fleet_mut(&fleet).failures;
        if !failed || proven {
            failures.remove(&host);
        }
        if failed {
            let failures = failures.entry(host).or_default();
            let pause = BACKOFF_MS_MIN.saturating_mul(1 << (*failures).min(10)).min(BACKOFF_MS_MAX);
            *failures = failures.saturating_add(1);
            let at = self.now + self.jittered(pause);
            self.timers.set(Timer::Launch(fleet, host), at);
        }
        self.reconcile_host(host);
    }

    fn reconcile_host(&mut self, host: HostId) {
        let fleets: Vec<FleetId> = self.fleets.keys().cloned().collect();
        for fleet in fleets {
            self.reconcile(&fleet, host);
        }
    }
}

impl Fleet {
    pub(crate) fn new(config: Arc<FleetConfig>) -> Self {
        let (ready, placing, failures) = Default::default();
        Self { config, ready, placing, failures }
    }
}

impl Host {
    pub(crate) fn new(row: HostRow) -> Self {
        Self { row, link: None, live: std::collections::BTreeSet::new() }
    }
}
