//! A host: the real agent core, its state directory, and the processes of the system, which outlive the agent.

use std::collections::BTreeMap;

use playgate_agent_core::{AgentCore, CoreConfig, Found, Input, LaunchFailure, Output, Restored, RestoredProcess};
use playgate_protocol::agent::{AgentReport, AgentUp, ExitStatus, LaunchError, StopStep};
use playgate_protocol::{
    Credential, Fingerprint, Greeting, HelloRole, Name, Secret32, ServerProcessId, Text, WelcomeRole,
};

use crate::clock::{MS, Micros, Monotonic, SECOND};
use crate::event::{Ev, Game};
use crate::net::{Down, Peer, Up};
use crate::trace::say;
use crate::world::World;

/// Processes a host can carry.
pub const CAPACITY: u32 = 4;

/// What survives the agent.
#[derive(Debug, Default)]
pub struct StateDir {
    acknowledged: u64,
    reports: BTreeMap<u64, AgentReport>,
    /// Whether it is recorded as running, and its port.
    pub records: BTreeMap<ServerProcessId, (bool, Option<u16>)>,
    bound: bool,
}

/// One machine.
pub struct Host {
    /// `None` while it is down.
    pub agent: Option<AgentCore>,
    pub(crate) epoch: u32,
    pub(crate) clock: Monotonic,
    /// The state directory.
    pub disk: StateDir,
    key: Fingerprint,
    join_secret: Secret32,
    link: Option<usize>,
    dialling: Option<usize>,
    backoff: Micros,
    wake_at: Micros,
    /// Reports that the disk refused.
    unsaved: BTreeMap<u64, AgentReport>,
    pub(crate) disk_full_until: Micros,
    pub(crate) paused_until: Micros,
}

impl Host {
    /// The link on which its agent is welcome.
    pub(crate) fn link(&self) -> Option<usize> {
        self.link
    }

    pub(crate) fn new(clock: Monotonic, key: Fingerprint, join_secret: Secret32) -> Self {
        Self {
            agent: None,
            epoch: 0,
            clock,
            disk: StateDir::default(),
            key,
            join_secret,
            link: None,
            dialling: None,
            backoff: 200 * MS,
            wake_at: 0,
            unsaved: BTreeMap::new(),
            disk_full_until: 0,
            paused_until: 0,
        }
    }
}

impl World {
    /// Processes that run on a host, with their ports.
    pub(crate) fn running_on(&self, host: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.servers.len()).filter(move |server| self.servers[*server].host == host && self.servers[*server].alive)
    }

    fn is_running(&self, process: ServerProcessId) -> Option<usize> {
        self.servers.iter().position(|server| server.alive && server.process == process)
    }

    pub(crate) fn agent_starts(&mut self, host: usize) {
        if self.hosts[host].agent.is_some() {
            return;
        }
        let records = self.hosts[host].disk.records.clone();
        let mut processes = Vec::new();
        for (process, (recorded, port)) in records {
            let found = match (self.is_running(process), recorded) {
                (Some(server), true) => Found::Running { pid: 100 + server as u32 },
                (Some(server), false) => Found::Started { pid: 100 + server as u32 },
                (None, _) => Found::Gone { output_tail: Text::default() },
            };
            processes.push(RestoredProcess { process, port, found });
        }
        let seed = self.rng.next();
        let state = &mut self.hosts[host];
        let reports =
            state.disk.reports.clone().into_iter().filter(|(seq, _)| *seq > state.disk.acknowledged).collect();
        let restored = Restored { acknowledged_seq: state.disk.acknowledged, reports, processes };
        let config = CoreConfig { host: format!("host-{host}"), capacity: CAPACITY, seed };
        state.agent = Some(AgentCore::new(state.clock.read(self.now), config, restored));
        (state.link, state.dialling, state.wake_at) = (None, None, 0);
        state.backoff = 200 * MS;
        let epoch = state.epoch;
        say!(self, "agent {host} starts");
        self.agent_carries_out(host);
        self.after(MS, Ev::AgentDial { host, epoch });
    }

    pub(crate) fn agent_crashes(&mut self, host: usize) {
        let state = &mut self.hosts[host];
        if state.agent.take().is_none() {
            return;
        }
        state.epoch += 1;
        state.paused_until = 0;
        state.unsaved.clear();
        let links = [state.link.take(), state.dialling.take()];
        say!(self, "agent {host} crashes");
        links.into_iter().flatten().for_each(|conn| self.peer_closes(conn));
        let down = if self.is_calm() { 100 * MS } else { self.rng.between(50 * MS, self.weather.downtime) };
        self.after(down, Ev::AgentStart { host });
    }

    pub(crate) fn agent_dials(&mut self, host: usize, epoch: u32) {
        let state = &self.hosts[host];
        if epoch != state.epoch || state.agent.is_none() || state.link.is_some() || state.dialling.is_some() {
            return;
        }
        let credential = match state.disk.bound {
            true => Credential::Bound,
            false => Credential::Join { secret: state.join_secret.clone() },
        };
        let role = HelloRole::Agent { name: Name::lossy("host"), advertise: None, capacity: CAPACITY };
        let key = state.key;
        let conn = self.dial(Peer::Agent(host), key, Self::hello(credential, role));
        self.hosts[host].dialling = Some(conn);
    }

    pub(crate) fn agent_loses(&mut self, host: usize, conn: usize) {
        let state = &mut self.hosts[host];
        if state.link == Some(conn) {
            state.link = None;
            self.agent_hears_input(host, Input::LinkDown);
        } else if state.dialling != Some(conn) {
            return;
        }
        self.agent_redials(host);
    }

    fn agent_redials(&mut self, host: usize) {
        let state = &mut self.hosts[host];
        state.dialling = None;
        state.backoff = (state.backoff * 2).min(5 * SECOND);
        let (epoch, most) = (state.epoch, state.backoff);
        let delay = 1 + self.rng.below(most);
        self.after(delay, Ev::AgentDial { host, epoch });
    }

    pub(crate) fn agent_hears(&mut self, host: usize, conn: usize, message: Down) {
        let state = &mut self.hosts[host];
        if state.agent.is_none() {
            return;
        }
        match message {
            Down::Greeting(Greeting::Welcome(welcome)) if state.dialling == Some(conn) => {
                let WelcomeRole::Agent { applied_seq, .. } = welcome.role else {
                    return self.fail("13", format!("agent {host} was welcomed as something else"));
                };
                state.disk.bound = true;
                (state.link, state.dialling, state.backoff) = (Some(conn), None, 100 * MS);
                self.agent_hears_input(host, Input::LinkUp { applied_seq });
            }
            Down::Greeting(Greeting::Refused(_)) if state.dialling == Some(conn) => self.agent_redials(host),
            Down::Agent(message) if state.link == Some(conn) => self.agent_hears_input(host, Input::Message(message)),
            Down::Close if state.link == Some(conn) => self.agent_loses(host, conn),
            _ => {}
        }
    }

    pub(crate) fn agent_wakes(&mut self, host: usize, epoch: u32) {
        if epoch == self.hosts[host].epoch && self.hosts[host].agent.is_some() {
            self.hosts[host].wake_at = 0;
            if self.hosts[host].disk_full_until <= self.now {
                self.agent_saves(host);
            }
            self.agent_hears_input(host, Input::Timeout);
        }
    }

    /// What was due in an hour may be due at once.
    pub(crate) fn agent_looks_at_its_clock(&mut self, host: usize) {
        let state = &mut self.hosts[host];
        if state.agent.is_some() {
            state.wake_at = self.now + 1;
            let epoch = state.epoch;
            self.after(1, Ev::AgentWake { host, epoch });
        }
    }

    pub(crate) fn agent_input(&mut self, host: usize, epoch: u32, input: Input) {
        if epoch == self.hosts[host].epoch {
            self.agent_hears_input(host, input);
        }
    }

    fn agent_hears_input(&mut self, host: usize, input: Input) {
        let state = &mut self.hosts[host];
        let local = state.clock.read(self.now);
        if let Some(agent) = &mut state.agent {
            agent.handle(local, input);
            self.agent_carries_out(host);
        }
    }

    fn agent_carries_out(&mut self, host: usize) {
        while let Some(output) = self.hosts[host].agent.as_mut().and_then(AgentCore::poll_output) {
            if !self.is_calm() && self.rng.below(100_000) < self.weather.agent_dies_acting {
                self.meet(crate::coverage::Fault::AgentCrash);
                return self.agent_crashes(host);
            }
            self.agent_acts(host, output);
        }
        let state = &mut self.hosts[host];
        let Some(agent) = &state.agent else { return };
        let due = agent.poll_timeout().map(|at| state.clock.when(at));
        let due = due.into_iter().chain((!state.unsaved.is_empty()).then_some(self.now + SECOND)).min();
        if let Some(at) = due
            && (state.wake_at <= self.now || at < state.wake_at)
        {
            state.wake_at = at.max(self.now + 1);
            let (epoch, at) = (state.epoch, state.wake_at);
            self.at(at, Ev::AgentWake { host, epoch });
        }
    }

    fn agent_acts(&mut self, host: usize, output: Output) {
        let epoch = self.hosts[host].epoch;
        match output {
            Output::FindPort { process, candidates } => {
                let taken: Vec<u16> = self.running_on(host).map(|server| self.servers[server].port).collect();
                let free = candidates.iter().copied().find(|port| !taken.contains(port));
                let input = Box::new(Input::PortProbed { process, free });
                self.after(MS, Ev::AgentInput { host, epoch, input });
            }
            Output::Spawn(plan) => {
                self.hosts[host].disk.records.insert(plan.process, (false, plan.port));
                if !self.is_calm() && self.rng.below(100_000) < self.weather.agent_dies_acting {
                    return self.agent_crashes(host);
                }
                let process = plan.process;
                let delay = self.rng.between(1, 300) * MS;
                if !self.is_calm() && self.rng.chance(self.weather.spawn_fails) {
                    let failure = LaunchFailure::new(LaunchError::Os, "no luck");
                    let input = Box::new(Input::SpawnFailed { process, failure });
                    return self.after(delay, Ev::AgentInput { host, epoch, input });
                }
                self.log.spawned.push(process);
                let port = plan.port.unwrap_or(0);
                let pid = 100 + self.servers.len() as u32;
                self.server_starts(process, host, port, plan.credential.clone());
                self.after(delay, Ev::AgentInput { host, epoch, input: Box::new(Input::Spawned { process, pid }) });
            }
            Output::Persist { process } => {
                self.hosts[host].disk.records.entry(process).and_modify(|record| record.0 = true);
            }
            Output::Forget { process } => drop(self.hosts[host].disk.records.remove(&process)),
            Output::Signal { process, step } => self.signalled(process, step),
            Output::SaveReport { seq, report } => {
                self.hosts[host].unsaved.insert(seq, report);
                if self.hosts[host].disk_full_until <= self.now {
                    self.agent_saves(host);
                }
            }
            Output::TrimReports { through_seq } => {
                let state = &mut self.hosts[host];
                state.unsaved = state.unsaved.split_off(&(through_seq + 1));
                state.disk.acknowledged = state.disk.acknowledged.max(through_seq);
                state.disk.reports.retain(|seq, _| *seq > through_seq);
            }
            Output::Send(message) => {
                let Some(conn) = self.hosts[host].link else { return };
                if let AgentUp::Reports(batch) = &message {
                    for (seq, report) in (batch.first_seq..).zip(&batch.reports) {
                        self.log.agent_reports.push((host, seq, report.clone()));
                    }
                }
                self.send_up(conn, Up::Agent(message));
            }
            Output::DropLink => {
                if let Some(conn) = self.hosts[host].link.take() {
                    self.peer_closes(conn);
                    self.agent_redials(host);
                }
            }
        }
    }

    fn agent_saves(&mut self, host: usize) {
        let epoch = self.hosts[host].epoch;
        while let Some((seq, report)) = self.hosts[host].unsaved.pop_first() {
            self.hosts[host].disk.reports.insert(seq, report);
            self.after(1, Ev::AgentInput { host, epoch, input: Box::new(Input::ReportSaved { seq }) });
        }
    }

    fn signalled(&mut self, process: ServerProcessId, step: StopStep) {
        let Some(server) = self.is_running(process) else { return };
        if step == StopStep::Kill {
            return self.server_exits(server, ExitStatus::Signal(9));
        }
        if let Some(delay) = self.around(200, 500) {
            self.after(delay, Ev::Game { server, what: Game::Exit(0) });
        }
    }

    /// The system tells the agent, if there is one, that a process is gone.
    pub(crate) fn process_is_gone(&mut self, host: usize, process: ServerProcessId, status: ExitStatus) {
        let epoch = self.hosts[host].epoch;
        if self.hosts[host].agent.is_some() {
            // Behind the answer to its start, as the system has it.
            let delay = 301 * MS + self.rng.below(100 * MS);
            let input = Box::new(Input::Exited { process, status, output_tail: Text::lossy("last words") });
            self.after(delay, Ev::AgentInput { host, epoch, input });
        }
    }

    /// The machine goes down with everything on it, and comes back.
    pub(crate) fn host_reboots(&mut self, host: usize) {
        self.agent_crashes(host);
        let running: Vec<usize> = self.running_on(host).collect();
        for server in running {
            self.server_exits(server, ExitStatus::Signal(9));
        }
    }
}
