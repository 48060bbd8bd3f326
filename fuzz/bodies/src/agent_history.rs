//! A history of an agent's core under a coordinator that orders anything, on a host where anything fails.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use playgate_agent_core::{
    AgentCore, CoreConfig, Found, Input, LaunchFailure, Output, OutputTail, Restored, RestoredProcess,
};
use playgate_protocol::agent::{AgentDown, AgentReport, AgentUp, ExitStatus, LaunchError, LaunchOrder};
use playgate_protocol::{FleetId, List, Name, Secret32, ServerProcessId};

use crate::core::split;
use crate::draw::{Draw, Pool};

const STEPS_MAX: usize = 160;

/// The host around one core: what runs, and what is on its disk.
struct Host {
    core: AgentCore,
    now: Duration,
    pool: Pool,
    linked: bool,
    questions: VecDeque<Output>,
    running: BTreeSet<ServerProcessId>,
    records: BTreeSet<ServerProcessId>,
    reports: BTreeMap<u64, AgentReport>,
    acknowledged: u64,
}

/// Runs the bytes as a history. No process runs twice, nothing is said without a link, reports have no gap.
pub fn agent(data: &[u8]) {
    let mut host = Host::new();
    let mut rest = data;
    for _ in 0..STEPS_MAX {
        let Some((what, which, body, behind)) = split(rest) else { break };
        rest = behind;
        host.step(what, which, body);
    }
    host.restart();
}

fn process(which: u8) -> ServerProcessId {
    ServerProcessId::from_bytes([which % 6; 16])
}

impl Host {
    fn new() -> Self {
        let pool = Pool {
            ids: (0..6).map(|byte| [byte; 16]).collect(),
            secrets: vec![[1; 32]],
            texts: ["x", "{port}", "{name}", "{a}", "a", "PLAYGATE_NAME", "{{", ""].map(str::to_owned).to_vec(),
            numbers: (0..40).collect(),
        };
        let mut host = Self {
            core: AgentCore::new(Duration::ZERO, config(), Restored::default()),
            now: Duration::ZERO,
            pool,
            linked: false,
            questions: VecDeque::new(),
            running: BTreeSet::new(),
            records: BTreeSet::new(),
            reports: BTreeMap::new(),
            acknowledged: 0,
        };
        host.outputs();
        host
    }

    fn input(&mut self, input: Input) {
        self.core.handle(self.now, input);
        self.outputs();
    }

    /// Carries out what is to be done; the disk is at once.
    fn outputs(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::FindPort { .. } => self.questions.push_back(output),
                Output::Spawn(plan) => {
                    assert!(!self.running.contains(&plan.process), "{} runs already", plan.process);
                    assert!(!plan.argv.is_empty());
                    self.records.insert(plan.process);
                    self.questions.push_back(Output::Spawn(plan));
                }
                Output::Persist { process } => assert!(self.records.contains(&process), "{process} has no record"),
                Output::Forget { process } => drop(self.records.remove(&process)),
                Output::Signal { process, .. } => assert!(self.running.contains(&process), "{process} does not run"),
                Output::SaveReport { seq, report } => {
                    let last = self.reports.last_key_value().map_or(self.acknowledged, |(seq, _)| *seq);
                    assert!(seq > self.acknowledged && seq <= last + 1, "{seq} does not follow {last}");
                    self.reports.insert(seq, report);
                    self.core.handle(self.now, Input::ReportSaved { seq });
                }
                Output::TrimReports { through_seq } => {
                    self.acknowledged = self.acknowledged.max(through_seq);
                    self.reports.retain(|seq, _| *seq > through_seq);
                }
                Output::Send(message) => self.sent(&message),
                Output::DropLink => self.linked = false,
            }
        }
    }

    fn sent(&self, message: &AgentUp) {
        assert!(self.linked, "{message:?} without a link");
        let AgentUp::Reports(batch) = message else { return };
        for (seq, report) in (batch.first_seq..).zip(&batch.reports) {
            assert_eq!(self.reports.get(&seq), Some(report), "report {seq} is sent and not saved");
        }
    }

    fn step(&mut self, what: u8, which: u8, body: &[u8]) {
        match what % 14 {
            0 => self.pass(u64::from(which) * 97),
            1 => {
                let due = self.core.poll_timeout().unwrap_or(self.now);
                self.now = self.now.max(due);
                self.input(Input::Timeout);
            }
            2 | 3 => {
                let pool = std::mem::take(&mut self.pool);
                let message: Option<AgentDown> = Draw::new(body, &pool).value();
                self.pool = pool;
                if let (true, Some(message)) = (self.linked, message) {
                    self.input(Input::Message(message));
                }
            }
            4 => {
                self.linked = true;
                self.input(Input::LinkUp { applied_seq: self.acknowledged });
            }
            5 => {
                self.linked = false;
                self.input(Input::LinkDown);
            }
            6 | 7 => self.answer(what % 14 == 6, which),
            8 => self.exit(which),
            9 | 10 => self.order(which, body.first().copied().unwrap_or(0)),
            11 if self.linked => {
                let through_seq = self.acknowledged + u64::from(which) % (self.reports.len() as u64 + 1);
                self.input(Input::Message(AgentDown::ReportAck { through_seq }));
            }
            12 if self.linked => {
                let stop =
                    AgentDown::Stop { process: process(which), grace_ms: u32::from(which) * 10, term_grace_ms: 100 };
                self.input(Input::Message(stop));
            }
            13 if which == 255 => self.input(Input::Shutdown { stop_all: Some(Duration::from_millis(100)) }),
            13 => self.restart(),
            _ => {}
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.input(Input::Timeout);
    }

    /// The oldest question is answered.
    fn answer(&mut self, well: bool, which: u8) {
        match self.questions.pop_front() {
            Some(Output::FindPort { process, candidates }) => {
                let free = candidates.first().copied().filter(|_| well);
                self.input(Input::PortProbed { process, free });
            }
            Some(Output::Spawn(plan)) if well => {
                self.running.insert(plan.process);
                self.input(Input::Spawned { process: plan.process, pid: 1_000 + u32::from(which) });
            }
            Some(Output::Spawn(plan)) => {
                let failure = LaunchFailure::new(LaunchError::Os, "no");
                self.input(Input::SpawnFailed { process: plan.process, failure });
            }
            _ => {}
        }
    }

    fn exit(&mut self, which: u8) {
        let ids: Vec<_> = self.running.iter().copied().collect();
        let Some(process) = ids.get(usize::from(which) % ids.len().max(1)).copied() else { return };
        self.running.remove(&process);
        self.input(Input::Exited { process, status: ExitStatus::Code(0), output_tail: OutputTail::default() });
    }

    fn order(&mut self, which: u8, first: u8) {
        if !self.linked {
            return;
        }
        let order = LaunchOrder {
            process: process(which),
            fleet: FleetId::new("f").expect("a name"),
            name: Name::lossy("n"),
            argv: List::first_of(["x".parse().expect("short"), "{port}".parse().expect("short")]),
            properties: List::default(),
            env: List::default(),
            env_pass: List::default(),
            working_dir: None,
            ports: (!first.is_multiple_of(4)).then_some((7_000, 7_000 + u16::from(first / 4 % 4))),
            credential: Secret32::from_bytes([1; 32]),
        };
        self.input(Input::Message(AgentDown::Launch(order)));
    }

    /// The agent dies; what runs runs on, and the next one finds what is on the disk.
    fn restart(&mut self) {
        let found = |process| match self.running.contains(&process) {
            true => Found::Running { pid: 1_000 },
            false => Found::Gone { output_tail: OutputTail::default() },
        };
        // A process that was being started was not started after all.
        self.questions.clear();
        let processes = self.records.iter().map(|id| RestoredProcess { process: *id, port: None, found: found(*id) });
        let restored = Restored {
            acknowledged_seq: self.acknowledged,
            reports: self.reports.iter().map(|(seq, report)| (*seq, report.clone())).collect(),
            processes: processes.collect(),
        };
        self.linked = false;
        self.core = AgentCore::new(self.now, config(), restored);
        self.outputs();
    }
}

fn config() -> CoreConfig {
    CoreConfig { host: "box".to_owned(), capacity: 4, seed: 7 }
}
