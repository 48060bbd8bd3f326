//! From a launch order to a running process.

use playgate_protocol::ServerProcessId;
use playgate_protocol::agent::{AgentReport, LaunchError, LaunchOrder};

use super::{AgentCore, Phase, Process};
use crate::io::Output;
use crate::ladder::Ladder;
use crate::plan::{LaunchFailure, plan};
use crate::ports::PortSearch;

impl AgentCore {
    pub(super) fn launch(&mut self, order: LaunchOrder) {
        let process = order.process;
        let known = self.processes.contains_key(&process) || self.reports.has_ended(process);
        if known || self.ending.is_some() || self.is_behind() {
            return;
        }
        if self.processes.len() >= self.capacity {
            let detail = format!(
                "the host carries {} processes and may carry {}; lower the fleet's size or raise the agent's capacity",
                self.processes.len(),
                self.capacity
            );
            return self.fail(process, LaunchFailure::new(LaunchError::HostFull, &detail));
        }
        let phase = Phase::Queued(Box::new(order));
        self.processes.insert(process, Process { phase, ladder: Ladder::Up, port: None });
        self.slots.enqueue(process);
    }

    pub(super) fn begin(&mut self, process: ServerProcessId) {
        let entry = self.processes.get_mut(&process).expect("what waits for a slot is known");
        let Phase::Queued(order) = std::mem::replace(&mut entry.phase, Phase::Spawning) else {
            unreachable!("what waits for a slot is queued")
        };
        match order.ports {
            None => self.spawn(process, &order, None),
            Some(_) => self.search_port(process, order),
        }
    }

    fn search_port(&mut self, process: ServerProcessId, order: Box<LaunchOrder>) {
        let range = order.ports.expect("a search is for an order with a range");
        if let Some(search) = PortSearch::new(range, self.port_given_last) {
            self.probe(process, order, search);
        } else {
            let detail = format!("{} to {} is no range of ports; correct the fleet", range.0, range.1);
            self.fail(process, LaunchFailure::new(LaunchError::PortsExhausted, &detail));
        }
    }

    fn probe(&mut self, process: ServerProcessId, order: Box<LaunchOrder>, mut search: PortSearch) {
        let candidates = search.candidates(&self.ports);
        if candidates.is_empty() {
            let detail = search.exhausted_detail(&self.ports);
            return self.fail(process, LaunchFailure::new(LaunchError::PortsExhausted, &detail));
        }
        let entry = self.processes.get_mut(&process).expect("a search is for a known process");
        entry.phase = Phase::Probing(order, search);
        self.outputs.push_back(Output::FindPort { process, candidates });
    }

    pub(super) fn port_probed(&mut self, process: ServerProcessId, free: Option<u16>) {
        // Stopped while its port was searched: then it is unknown, or on its way out.
        let Some(entry) = self.processes.get_mut(&process).filter(|entry| entry.is_probing()) else {
            return;
        };
        let Phase::Probing(order, search) = std::mem::replace(&mut entry.phase, Phase::Spawning) else {
            unreachable!("just looked at")
        };
        match free {
            None => self.probe(process, order, search),
            // Another launch was faster. The walk starts over; each time it does, one port fewer is free.
            Some(port) if self.ports.contains(&port) => self.search_port(process, order),
            Some(port) => {
                entry.port = Some(port);
                self.ports.insert(port);
                self.port_given_last = port;
                self.spawn(process, &order, Some(port));
            }
        }
    }

    fn spawn(&mut self, process: ServerProcessId, order: &LaunchOrder, port: Option<u16>) {
        match plan(order, &self.host, port) {
            Ok(plan) => self.outputs.push_back(Output::Spawn(Box::new(plan))),
            Err(failure) => self.fail(process, failure),
        }
    }

    pub(super) fn spawned(&mut self, process: ServerProcessId, pid: u32) {
        let Some(entry) = self.processes.get_mut(&process) else {
            return;
        };
        entry.phase = Phase::Running;
        let port = entry.port;
        self.slots.release(process);
        self.report(AgentReport::Launched { process, pid, port }, Some(Output::Persist { process }));
    }
}
