//! One host through hundreds of random histories: the agent is killed between any two of its acts, links break, servers
//! die, spawns fail. Then everything calms down, and nothing may be lost, doubled or left over.
//!
//! A failure prints its seed; `history(seed)` plays it again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use playgate_agent_core::{AgentCore, CoreConfig, Found, Input, LaunchFailure, Output, Restored, RestoredProcess};
use playgate_protocol::agent::{AgentDown, AgentReport, AgentUp, ExitStatus, LaunchError, LaunchOrder, StopStep};
use playgate_protocol::{FleetId, List, Secret32, ServerProcessId, Text};

const SEEDS: u64 = 150;
const STEPS: usize = 400;

#[test]
fn nothing_is_lost_doubled_or_left_over() {
    let mut total = Witnessed::default();
    for seed in 0..SEEDS {
        total.add(history(seed));
    }
    // A simulation in which nothing happens proves nothing.
    let Witnessed { crashes, links, started_found, failures, exits } = total;
    for (what, count) in
        [("crashes", crashes), ("links", links), ("found", started_found), ("failures", failures), ("exits", exits)]
    {
        assert!(count > SEEDS / 4, "{what}: only {count}");
    }
}

fn history(seed: u64) -> Witnessed {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
        world.check();
    }
    world.calm_down();
    world.witnessed
}

#[derive(Debug, Default)]
struct Witnessed {
    crashes: u64,
    links: u64,
    started_found: u64,
    failures: u64,
    exits: u64,
}

impl Witnessed {
    fn add(&mut self, other: Self) {
        self.crashes += other.crashes;
        self.links += other.links;
        self.started_found += other.started_found;
        self.failures += other.failures;
        self.exits += other.exits;
    }
}

/// What survives the agent.
#[derive(Default)]
struct Disk {
    acknowledged: u64,
    reports: BTreeMap<u64, AgentReport>,
    /// Whether it is recorded as running, and its port.
    records: BTreeMap<ServerProcessId, (bool, Option<u16>)>,
}

/// What the coordinator knows durably.
#[derive(Default)]
struct Coordinator {
    applied: u64,
    history: BTreeMap<u64, AgentReport>,
    ordered: BTreeMap<ServerProcessId, LaunchOrder>,
    running: BTreeSet<ServerProcessId>,
    ended: BTreeSet<ServerProcessId>,
}

struct World {
    seed: u64,
    random: u64,
    now: Duration,
    core: Option<AgentCore>,
    disk: Disk,
    coordinator: Coordinator,
    /// Processes of the system, by port.
    alive: BTreeMap<ServerProcessId, Option<u16>>,
    spawns: BTreeMap<ServerProcessId, u32>,
    /// What happened and the agent has not looked at.
    events: VecDeque<Input>,
    /// Reports that the disk refused.
    unsaved: BTreeMap<u64, AgentReport>,
    is_linked: bool,
    may_crash: bool,
    made: u64,
    witnessed: Witnessed,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            seed,
            random: seed,
            now: Duration::ZERO,
            core: None,
            disk: Disk::default(),
            coordinator: Coordinator::default(),
            alive: BTreeMap::new(),
            spawns: BTreeMap::new(),
            events: VecDeque::new(),
            unsaved: BTreeMap::new(),
            is_linked: false,
            may_crash: true,
            made: 0,
            witnessed: Witnessed::default(),
        };
        world.start_agent();
        world
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn step(&mut self) {
        match self.below(12) {
            0 | 1 => self.order_launch(),
            2 => self.order_stop(),
            3 => self.repeat_orders(),
            4 => self.acknowledge(),
            5 => self.one_dies(),
            6 if self.is_linked => self.unlink(),
            6 | 7 if !self.is_linked => self.link(),
            8 if self.chance(30) => self.crash(),
            _ => self.let_time_pass(),
        }
        if self.chance(70) {
            self.save();
            self.deliver_events();
        }
        if self.core.is_none() && self.chance(50) {
            self.start_agent();
        }
    }

    fn order_launch(&mut self) {
        self.made += 1;
        let ports = self.chance(50).then_some((7000, 7003));
        let order = LaunchOrder {
            process: ServerProcessId::from_parts(0, self.made, [0; 9]),
            fleet: FleetId::new("arena").expect("a valid name"),
            name: Text::lossy("arena"),
            argv: List::first_of([Text::lossy("./server")]),
            properties: List::default(),
            env: List::default(),
            env_pass: List::default(),
            working_dir: None,
            ports,
            credential: Secret32::from_bytes([7; 32]),
        };
        self.coordinator.ordered.insert(order.process, order.clone());
        self.say(AgentDown::Launch(order));
    }

    fn order_stop(&mut self) {
        let some = self.below(self.made + 2);
        let (grace_ms, term_grace_ms) = (self.below(3_000) as u32, self.below(3_000) as u32);
        // A coordinator stops what it once ordered and what has not ended.
        let process = ServerProcessId::from_parts(0, some, [0; 9]);
        if self.coordinator.ordered.contains_key(&process) && !self.coordinator.ended.contains(&process) {
            self.say(AgentDown::Stop { process, grace_ms, term_grace_ms });
        }
    }

    fn repeat_orders(&mut self) {
        for order in self.coordinator.ordered.clone().into_values() {
            if !self.coordinator.ended.contains(&order.process) {
                self.say(AgentDown::Launch(order));
            }
        }
    }

    fn acknowledge(&mut self) {
        self.say(AgentDown::ReportAck { through_seq: self.coordinator.applied });
    }

    fn one_dies(&mut self) {
        let some = self.below(self.alive.len() as u64 + 1) as usize;
        if let Some(process) = self.alive.keys().nth(some).copied() {
            self.die(process, ExitStatus::Code(1));
        }
    }

    fn die(&mut self, process: ServerProcessId, status: ExitStatus) {
        self.alive.remove(&process);
        self.witnessed.exits += 1;
        if self.core.is_some() {
            self.events.push_back(Input::Exited { process, status, output_tail: Text::default() });
        }
    }

    fn link(&mut self) {
        if self.core.is_some() {
            self.is_linked = true;
            self.witnessed.links += 1;
            self.input(Input::LinkUp { applied_seq: self.coordinator.applied });
            self.repeat_orders();
        }
    }

    fn unlink(&mut self) {
        self.is_linked = false;
        self.input(Input::LinkDown);
    }

    fn crash(&mut self) {
        self.core = None;
        self.is_linked = false;
        self.events.clear();
        self.unsaved.clear();
        self.witnessed.crashes += 1;
    }

    fn let_time_pass(&mut self) {
        let next = self.core.as_ref().and_then(AgentCore::poll_timeout).filter(|at| *at > self.now);
        // Mostly to the next deadline, sometimes just short of it.
        self.now = next.unwrap_or(self.now + Duration::from_millis(100));
        self.say(AgentDown::Clock { now_ms: 0 });
        self.input(Input::Timeout);
    }

    fn say(&mut self, message: AgentDown) {
        if self.is_linked {
            self.input(Input::Message(message));
        }
    }

    fn deliver_events(&mut self) {
        while let Some(event) = self.events.pop_front() {
            self.input(event);
        }
    }

    fn input(&mut self, input: Input) {
        if let Some(core) = &mut self.core {
            core.handle(self.now, input);
            self.carry_out();
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.core.as_mut().and_then(AgentCore::poll_output) {
            if self.dies_here() {
                return;
            }
            self.act(output);
        }
    }

    fn dies_here(&mut self) -> bool {
        let dies = self.may_crash && self.below(200) == 0;
        if dies {
            self.crash();
        }
        dies
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::FindPort { process, candidates } => {
                let free = if self.chance(80) { candidates.first().copied() } else { None };
                self.events.push_back(Input::PortProbed { process, free });
            }
            Output::Spawn(plan) => self.spawn(plan.process, plan.port),
            Output::Persist { process } => drop(self.disk.records.entry(process).and_modify(|record| record.0 = true)),
            Output::Forget { process } => drop(self.disk.records.remove(&process)),
            Output::Signal { process, step } => {
                if self.alive.contains_key(&process) && (step == StopStep::Kill || self.chance(50)) {
                    self.die(process, ExitStatus::Signal(9));
                }
            }
            Output::SaveReport { seq, report } => {
                self.unsaved.insert(seq, report);
                if !self.may_crash || self.chance(90) {
                    self.save();
                }
            }
            Output::TrimReports { through_seq } => {
                self.disk.acknowledged = self.disk.acknowledged.max(through_seq);
                self.disk.reports.retain(|seq, _| *seq > through_seq);
            }
            Output::Send(message) => self.hear(message),
            Output::DropLink => self.is_linked = false,
        }
    }

    fn save(&mut self) {
        while let Some((seq, report)) = self.unsaved.pop_first() {
            self.disk.reports.insert(seq, report);
            self.events.push_back(Input::ReportSaved { seq });
        }
    }

    fn spawn(&mut self, process: ServerProcessId, port: Option<u16>) {
        self.disk.records.insert(process, (false, port));
        if self.dies_here() {
            return;
        }
        if self.chance(10) {
            self.witnessed.failures += 1;
            let failure = LaunchFailure::new(LaunchError::Os, "no luck");
            return self.events.push_back(Input::SpawnFailed { process, failure });
        }
        *self.spawns.entry(process).or_default() += 1;
        self.alive.insert(process, port);
        if !self.dies_here() {
            self.events.push_back(Input::Spawned { process, pid: 7 });
        }
    }

    fn hear(&mut self, message: AgentUp) {
        // What is on its way when a link breaks is lost.
        if !self.is_linked {
            return;
        }
        match message {
            AgentUp::Reports(batch) => {
                for (seq, report) in (batch.first_seq..).zip(batch.reports) {
                    self.apply(seq, report);
                }
            }
            AgentUp::Inventory { alive } => {
                let alive: BTreeSet<_> = alive.into_iter().collect();
                let seed = self.seed;
                assert!(self.coordinator.running.is_subset(&alive), "seed {seed}: a running process is missing");
                assert!(self.coordinator.ended.is_disjoint(&alive), "seed {seed}: an ended process is alive");
            }
            AgentUp::Beat => {}
        }
    }

    fn apply(&mut self, seq: u64, report: AgentReport) {
        let seed = self.seed;
        if let Some(before) = self.coordinator.history.get(&seq) {
            assert_eq!(*before, report, "seed {seed}: report {seq} changed");
            return;
        }
        assert_eq!(seq, self.coordinator.applied + 1, "seed {seed}: a gap");
        self.coordinator.applied = seq;
        let (running, ended) = (&mut self.coordinator.running, &mut self.coordinator.ended);
        match &report {
            AgentReport::Launched { process, .. } => {
                assert!(running.insert(*process), "seed {seed}: {process} launched twice");
                assert!(!ended.contains(process), "seed {seed}: {process} launched after its end");
            }
            AgentReport::LaunchFailed { process, .. } | AgentReport::Exited { process, .. } => {
                running.remove(process);
                assert!(ended.insert(*process), "seed {seed}: {process} ended twice");
            }
            AgentReport::Adopted { process, .. } | AgentReport::StopStep { process, .. } => {
                assert!(running.contains(process), "seed {seed}: {process} does not run, said {report:?}");
            }
        }
        self.coordinator.history.insert(seq, report);
    }

    fn start_agent(&mut self) {
        let mut processes = Vec::new();
        for (process, (recorded, port)) in self.disk.records.clone() {
            let found = match (self.alive.contains_key(&process), recorded) {
                (true, true) => Found::Running { pid: 7 },
                (true, false) => Found::Started { pid: 7 },
                (false, _) => Found::Gone { output_tail: Text::default() },
            };
            self.witnessed.started_found += u64::from(matches!(found, Found::Started { .. }));
            processes.push(RestoredProcess { process, port, found });
        }
        let reports = self.disk.reports.clone().into_iter().collect();
        let restored = Restored { acknowledged_seq: self.disk.acknowledged, reports, processes };
        let config = CoreConfig { host: "box".to_owned(), capacity: 12, seed: self.seed };
        self.core = Some(AgentCore::new(self.now, config, restored));
        self.carry_out();
    }

    fn check(&self) {
        let seed = self.seed;
        assert!(self.spawns.values().all(|count| *count == 1), "seed {seed}: spawned twice");
        let ports: Vec<u16> = self.alive.values().copied().flatten().collect();
        let distinct: BTreeSet<u16> = ports.iter().copied().collect();
        assert_eq!(ports.len(), distinct.len(), "seed {seed}: a port given twice");
        assert!(self.alive.len() <= 12, "seed {seed}: more processes than the host carries");
        let claimed = |process| self.disk.records.contains_key(process);
        assert!(self.alive.keys().all(claimed), "seed {seed}: a process without a record");
    }

    /// No more faults: everything ordered comes to its end, and everybody agrees.
    fn calm_down(&mut self) {
        self.may_crash = false;
        if self.core.is_none() {
            self.start_agent();
        }
        if !self.is_linked {
            self.link();
        }
        for round in 0..200 {
            self.repeat_orders();
            if round > 20 {
                for process in self.coordinator.ordered.keys().copied().collect::<Vec<_>>() {
                    if !self.coordinator.ended.contains(&process) {
                        self.say(AgentDown::Stop { process, grace_ms: 10, term_grace_ms: 10 });
                    }
                }
            }
            self.acknowledge();
            self.save();
            self.deliver_events();
            self.let_time_pass();
            self.deliver_events();
            if !self.is_linked {
                self.link();
            }
        }
        self.acknowledge();
        let seed = self.seed;
        let core = self.core.as_ref().expect("nothing kills it any more");
        assert!(self.alive.is_empty(), "seed {seed}: left running: {:?}", self.alive);
        assert!(self.disk.records.is_empty() && self.disk.reports.is_empty(), "seed {seed}: files are left");
        assert_eq!((core.process_count(), core.report_count()), (0, 0), "seed {seed}");
        assert!(self.coordinator.running.is_empty(), "seed {seed}: believed to run: {:?}", self.coordinator.running);
        let ordered: BTreeSet<_> = self.coordinator.ordered.keys().copied().collect();
        assert_eq!(self.coordinator.ended, ordered, "seed {seed}: everything ordered ends");
    }
}
