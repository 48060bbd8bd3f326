//! Stories of one host, told to the machine without a clock, a disk or a process.

use std::time::Duration;

use playgate_protocol::agent::{AgentDown, AgentReport, AgentUp, ExitStatus, LaunchError, LaunchOrder, StopStep};
use playgate_protocol::{List, ServerProcessId, Text};

use crate::limits::{BEAT_INTERVAL, LAUNCH_JITTER_MAX, LAUNCHES_IN_FLIGHT_MAX, REPORTS_PENDING_MAX, SILENCE_MAX};
use crate::testing::{arg, exited, launched, order, process};
use crate::{AgentCore, CoreConfig, Found, Input, LaunchFailure, Output, Restored, RestoredProcess};

#[test]
fn a_launch_is_carried_out_once_however_often_it_is_ordered() {
    let mut host = Host::linked();
    host.launch(order(1));
    host.launch(order(1));
    assert_eq!(host.spawned(), [process(1)]);
    host.input(Input::Spawned { process: process(1), pid: 11 });
    host.launch(order(1));
    let launched = AgentReport::Launched { process: process(1), pid: 11, port: None };
    assert_eq!(host.reported(), [(1, launched)]);
    assert!(host.take(|output| matches!(output, Output::Persist { .. })));
    host.input(Input::Exited { process: process(1), status: ExitStatus::Code(0), output_tail: Text::default() });
    // The order may still be on its way when the process is long gone.
    host.launch(order(1));
    assert_eq!(host.reported().len(), 1);
    assert!(host.spawned().is_empty());
    // The coordinator knows of the end: it will not order this again, and the memory of it goes.
    host.message(AgentDown::ReportAck { through_seq: 2 });
    assert!(host.take(|output| *output == Output::TrimReports { through_seq: 2 }));
    assert_eq!(host.core.report_count(), 0);
}

#[test]
fn launches_are_paced_and_the_host_has_a_capacity() {
    let mut host = Host::linked();
    for n in 0..10 {
        host.launch(order(n));
    }
    host.wait(LAUNCH_JITTER_MAX * 10);
    assert_eq!(host.spawned(), [0, 1, 2, 3].map(process));
    assert_eq!(LAUNCHES_IN_FLIGHT_MAX, 4);
    let reported = host.reported();
    for (report, n) in reported.iter().zip([8, 9]) {
        let (_, AgentReport::LaunchFailed { process: failed, error: LaunchError::HostFull, detail }) = report else {
            panic!("{report:?}")
        };
        assert_eq!(*failed, process(n));
        assert!(detail.contains("raise the agent's capacity"), "{detail}");
    }
    assert_eq!(reported.len(), 2);
    host.input(Input::Spawned { process: process(0), pid: 11 });
    let failure = LaunchFailure::new(LaunchError::Os, "no memory");
    host.input(Input::SpawnFailed { process: process(3), failure });
    host.wait(LAUNCH_JITTER_MAX * 10);
    assert_eq!(host.spawned(), [4, 5].map(process));
}

#[test]
fn each_process_gets_a_port_of_its_own() {
    let mut host = Host::linked();
    let with_ports = |n| LaunchOrder { ports: Some((7000, 7002)), argv: List::first_of([arg("{port}")]), ..order(n) };
    for n in 0..4 {
        host.launch(with_ports(n));
    }
    host.wait(LAUNCH_JITTER_MAX * 10);
    // All four search at once; 7001 is used by somebody else.
    let free = |candidates: Vec<u16>| candidates.into_iter().find(|port| *port != 7001);
    host.answer_probes(free);
    let mut ports: Vec<_> = host.plans().into_iter().map(|plan| (plan.port.unwrap(), plan.argv[0].clone())).collect();
    ports.sort();
    assert_eq!(ports, [(7000, "7000".to_owned()), (7002, "7002".to_owned())]);
    let failed = host.reported();
    assert_eq!(failed.len(), 2);
    for (_, report) in failed {
        let AgentReport::LaunchFailed { error, detail, .. } = report else { panic!("{report:?}") };
        assert_eq!(error, LaunchError::PortsExhausted);
        assert!(detail.contains("2 are used by processes of this agent"), "{detail}");
    }
    // A freed port can be had again.
    for n in 0..2 {
        host.input(Input::Spawned { process: process(n), pid: 11 });
    }
    host.input(Input::Exited { process: process(0), status: ExitStatus::Code(0), output_tail: Text::default() });
    host.launch(with_ports(9));
    host.wait(LAUNCH_JITTER_MAX * 10);
    host.answer_probes(free);
    assert_eq!(host.plans().len(), 1);
}

/// No process is started, the port and the slot are free again, and the coordinator reads what to correct.
#[test]
fn an_order_that_cannot_be_carried_out_is_reported() {
    let empty = LaunchOrder { ports: Some((7002, 7000)), ..order(1) };
    let unknown = LaunchOrder { argv: List::first_of([arg("{mpa}")]), ports: Some((7000, 7000)), ..order(1) };
    for (order, error, part) in [
        (empty, LaunchError::PortsExhausted, "7002 to 7000 is no range of ports"),
        (unknown, LaunchError::BadTemplate, "{mpa} is unknown"),
    ] {
        let mut host = Host::linked();
        for n in 0..LAUNCHES_IN_FLIGHT_MAX as u64 {
            host.launch(LaunchOrder { process: process(n), ..order.clone() });
            host.wait(LAUNCH_JITTER_MAX);
            host.answer_probes(|candidates| candidates.first().copied());
        }
        let reported = host.reported();
        assert_eq!(reported.len(), LAUNCHES_IN_FLIGHT_MAX);
        for (_, report) in reported {
            let AgentReport::LaunchFailed { error: found, detail, .. } = report else { panic!("{report:?}") };
            assert_eq!(found, error);
            assert!(detail.contains(part), "{detail}");
        }
        assert_eq!((host.spawned(), host.core.process_count()), (vec![], 0));
        host.launch(LaunchOrder { ports: Some((7000, 7000)), ..crate::testing::order(9) });
        host.wait(LAUNCH_JITTER_MAX);
        host.answer_probes(|candidates| candidates.first().copied());
        assert_eq!(host.spawned(), [process(9)]);
    }
}

/// Its launch was under way when it was told to leave: what came of it is for the next agent to find.
#[test]
fn a_process_that_nobody_knows_any_more_is_not_taken_up() {
    let mut host = Host::linked();
    host.input(Input::Spawned { process: process(1), pid: 11 });
    assert_eq!((host.core.process_count(), host.reported()), (0, vec![]));
}

#[test]
fn a_host_is_settled_only_in_a_shutdown() {
    let mut host = Host::linked();
    assert!(!host.core.is_settled());
    host.input(Input::Shutdown { stop_all: None });
    assert!(host.core.is_settled());
}

#[test]
fn reports_that_move_behind_what_the_coordinator_has_are_saved_again() {
    let mut host = Host::new(Restored::default());
    host.input(Input::LinkUp { applied_seq: 0 });
    host.input(Input::LinkDown);
    host.save_reports = false;
    host.stop(9, 0, 0); // no link: not obeyed
    assert_eq!(host.reported(), []);
    host.link_up(0);
    host.stop(9, 0, 0);
    assert_eq!(host.reported(), [(1, exited(9))]);
    host.input(Input::LinkDown);
    host.outputs.clear();
    // The coordinator has 7, which this state directory knows nothing of.
    host.link_up(7);
    assert_eq!(host.reported(), [(8, exited(9))]);
    assert!(host.take(|output| *output == Output::TrimReports { through_seq: 7 }));
    assert!(!host.take(|output| matches!(output, Output::Forget { .. })), "not before it is saved");
    host.input(Input::ReportSaved { seq: 8 });
    assert!(host.take(|output| *output == Output::Forget { process: process(9) }));
}

#[test]
fn a_stop_climbs_the_ladder_and_only_a_shorter_one_changes_it() {
    let mut host = Host::linked();
    host.run(1);
    host.stop(1, 10_000, 5_000);
    host.stop(1, 60_000, 60_000);
    host.stop(1, 4_000, 5_000);
    host.wait(Duration::from_millis(3_999));
    assert_eq!(host.signalled(), []);
    host.wait(Duration::from_millis(1));
    assert_eq!(host.signalled(), [(process(1), StopStep::Term)]);
    host.wait(Duration::from_millis(5_000));
    assert_eq!(host.signalled(), [(process(1), StopStep::Kill)]);
    let status = ExitStatus::Signal(9);
    host.input(Input::Exited { process: process(1), status, output_tail: Text::lossy("bye") });
    let reports: Vec<_> = host.reported().into_iter().map(|(_, report)| report).collect();
    assert_eq!(
        reports[1..],
        [
            AgentReport::StopStep { process: process(1), step: StopStep::Term },
            AgentReport::StopStep { process: process(1), step: StopStep::Kill },
            AgentReport::Exited { process: process(1), status, output_tail: Text::lossy("bye") },
        ]
    );
    assert!(host.take(|output| matches!(output, Output::Forget { .. })));
}

#[test]
fn a_stop_finds_a_process_in_every_phase() {
    let mut host = Host::linked();
    for n in 0..6 {
        host.launch(LaunchOrder { ports: (n == 0).then_some((7000, 7001)), ..order(n) });
    }
    host.wait(LAUNCH_JITTER_MAX * 10);
    host.outputs_of(|output| matches!(output, Output::FindPort { .. }));
    // Probing, spawning, queued, unknown.
    for n in [0, 1, 5, 9] {
        host.stop(n, 0, 1_000);
        host.stop(n, 0, 1_000);
    }
    let reports: Vec<_> = host.reported().into_iter().map(|(_, report)| report).collect();
    assert_eq!(reports, [exited(0), exited(5), exited(9)]);
    // A late answer to the search changes nothing.
    host.input(Input::PortProbed { process: process(0), free: Some(7000) });
    assert!(!host.spawned().contains(&process(0)));
    // The one that was being spawned is signalled once there is something to signal.
    host.wait(Duration::from_secs(60));
    assert_eq!(host.signalled(), []);
    host.input(Input::Spawned { process: process(1), pid: 11 });
    host.input(Input::PortProbed { process: process(1), free: Some(7000) });
    host.input(Input::Timeout);
    assert_eq!(host.signalled(), [(process(1), StopStep::Term)]);
    host.wait(Duration::from_secs(1));
    assert_eq!(host.signalled(), [(process(1), StopStep::Kill)]);
}

#[test]
fn ladders_and_launches_go_on_while_the_coordinator_is_away() {
    let mut host = Host::linked();
    host.run(1);
    host.stop(1, 1_000, 1_000);
    host.sent();
    host.input(Input::LinkDown);
    host.wait(Duration::from_secs(1));
    host.wait(Duration::from_secs(1));
    assert_eq!(host.signalled(), [(process(1), StopStep::Term), (process(1), StopStep::Kill)]);
    assert!(host.sent().is_empty());
    host.input(Input::Exited { process: process(1), status: ExitStatus::Signal(9), output_tail: Text::default() });
    host.link_up(1);
    let sent = host.sent();
    let AgentUp::Reports(batch) = &sent[0] else { panic!("{sent:?}") };
    assert_eq!((batch.first_seq, batch.reports.len()), (2, 3));
    assert_eq!(sent[1], AgentUp::Inventory { alive: List::default() });
}

#[test]
fn the_inventory_follows_the_last_report() {
    let mut host = Host::new(Restored::default());
    host.link_up(0);
    assert_eq!(host.sent(), [AgentUp::Inventory { alive: List::default() }]);
    host.run(1);
    host.save_reports = false;
    host.stop(9, 0, 0);
    host.input(Input::LinkDown);
    host.link_up(1);
    assert_eq!(host.sent().len(), 1, "the report of process 1, no inventory: one report is not saved");
    host.input(Input::ReportSaved { seq: 2 });
    let sent = host.sent();
    assert!(matches!(&sent[0], AgentUp::Reports(batch) if batch.first_seq == 2), "{sent:?}");
    assert_eq!(sent[1], AgentUp::Inventory { alive: List::first_of([process(1)]) });
}

#[test]
fn beats_go_out_and_a_silent_coordinator_is_dropped() {
    let mut host = Host::linked();
    host.sent();
    for _ in 0..10 {
        host.wait(BEAT_INTERVAL);
        assert_eq!(host.sent(), [AgentUp::Beat]);
        host.message(AgentDown::Clock { now_ms: 1 });
    }
    host.wait(SILENCE_MAX - Duration::from_millis(1));
    assert!(!host.take(|output| *output == Output::DropLink));
    host.wait(Duration::from_millis(1));
    assert!(host.take(|output| *output == Output::DropLink));
    // What still arrives over the dropped link is not obeyed.
    host.launch(order(1));
    assert_eq!(host.core.process_count(), 0);
    assert_eq!(host.core.poll_timeout(), None);
}

#[test]
fn a_restarted_agent_says_what_became_of_its_processes() {
    let gone = |text| Found::Gone { output_tail: Text::lossy(text) };
    let restored = Restored {
        acknowledged_seq: 10,
        reports: vec![(11, exited(1)), (12, launched(2))],
        processes: [
            (1, gone("")),                  // its end is reported already
            (2, Found::Started { pid: 2 }), // reported, but not yet on record as running
            (3, Found::Started { pid: 3 }), // neither
            (4, Found::Running { pid: 4 }),
            (5, gone("out of memory")),
        ]
        .map(|(n, found)| RestoredProcess { process: process(n), port: Some(7000 + n as u16), found })
        .to_vec(),
    };
    let mut host = Host::new(restored);
    host.link_up(11);
    let expected = [
        (13, AgentReport::Adopted { process: process(2), pid: 2 }),
        (14, AgentReport::Launched { process: process(3), pid: 3, port: Some(7003) }),
        (15, AgentReport::Adopted { process: process(4), pid: 4 }),
        (
            16,
            AgentReport::Exited {
                process: process(5),
                status: ExitStatus::Unknown,
                output_tail: Text::lossy("out of memory"),
            },
        ),
    ];
    assert_eq!(host.reported(), expected);
    let sent = host.sent();
    let AgentUp::Reports(batch) = &sent[0] else { panic!("{sent:?}") };
    assert_eq!((batch.first_seq, batch.reports.len()), (12, 5));
    assert_eq!(sent[1], AgentUp::Inventory { alive: List::first_of([2, 3, 4].map(process)) });
    let forgotten = host.outputs_of(|output| matches!(output, Output::Forget { .. }));
    assert_eq!(forgotten, [1, 5].map(|n| Output::Forget { process: process(n) }));
    // Adopted processes are stopped like any other, and their ports are taken.
    host.stop(4, 0, 0);
    host.input(Input::Timeout);
    assert_eq!(host.signalled(), [(process(4), StopStep::Term), (process(4), StopStep::Kill)]);
    host.launch(LaunchOrder { ports: Some((7002, 7005)), ..order(6) });
    let probes = host.outputs_of(|output| matches!(output, Output::FindPort { .. }));
    assert_eq!(probes, [Output::FindPort { process: process(6), candidates: vec![7005] }]);
}

#[test]
fn an_agent_that_restarts_for_ever_says_the_same_once() {
    let processes = vec![RestoredProcess { process: process(1), port: None, found: Found::Running { pid: 4 } }];
    let mut reports = Vec::new();
    for _ in 0..3 {
        let restored = Restored { acknowledged_seq: 0, reports: reports.clone(), processes: processes.clone() };
        reports.extend(Host::new(restored).reported());
    }
    assert_eq!(reports, [(1, AgentReport::Adopted { process: process(1), pid: 4 })]);
}

#[test]
fn a_shutdown_waits_for_launches_or_for_all() {
    for stop_all in [None, Some(Duration::from_secs(5))] {
        let mut host = Host::linked();
        host.run(1);
        for n in 2..8 {
            host.launch(order(n));
        }
        host.wait(LAUNCH_JITTER_MAX * 10);
        assert_eq!(host.spawned(), [2, 3, 4, 5].map(process));
        host.input(Input::Shutdown { stop_all });
        host.launch(order(9));
        host.wait(LAUNCH_JITTER_MAX * 10);
        assert!(host.spawned().is_empty() && !host.core.is_settled());
        for n in 2..6 {
            assert!(!host.core.is_settled());
            host.input(Input::Spawned { process: process(n), pid: 11 });
        }
        host.input(Input::Timeout);
        let terminated: Vec<_> = host.signalled().into_iter().map(|(process, _)| process).collect();
        if stop_all.is_none() {
            assert!(host.core.is_settled() && terminated.is_empty());
            continue;
        }
        assert_eq!(terminated, [1, 2, 3, 4, 5].map(process));
        host.wait(Duration::from_secs(5));
        assert_eq!(host.signalled().len(), 5);
        for n in 1..6 {
            assert!(!host.core.is_settled());
            let status = ExitStatus::Signal(9);
            host.input(Input::Exited { process: process(n), status, output_tail: Text::default() });
        }
        assert!(host.core.is_settled());
    }
}

#[test]
fn memory_is_bounded_whatever_is_ordered() {
    let mut host = Host::linked();
    for n in 0..(REPORTS_PENDING_MAX as u64 + 100) {
        host.stop(n, 0, 0);
        host.core.handle(host.now, Input::Message(AgentDown::Clock { now_ms: 0 }));
    }
    assert_eq!(host.core.report_count(), REPORTS_PENDING_MAX);
    host.launch(order(1 << 40));
    assert_eq!(host.core.process_count(), 0);
}

/// A machine, its time, and what it put out and nobody looked at.
struct Host {
    core: AgentCore,
    now: Duration,
    outputs: Vec<Output>,
    save_reports: bool,
}

impl Host {
    fn new(restored: Restored) -> Self {
        let config = CoreConfig { host: "box-1".to_owned(), capacity: 8, seed: 7 };
        let core = AgentCore::new(Duration::ZERO, config, restored);
        let mut host = Self { core, now: Duration::ZERO, outputs: Vec::new(), save_reports: true };
        host.collect();
        host
    }

    fn linked() -> Self {
        let mut host = Self::new(Restored::default());
        host.link_up(0);
        host
    }

    fn input(&mut self, input: Input) {
        self.core.handle(self.now, input);
        self.collect();
    }

    fn collect(&mut self) {
        while let Some(output) = self.core.poll_output() {
            if let (Output::SaveReport { seq, .. }, true) = (&output, self.save_reports) {
                self.core.handle(self.now, Input::ReportSaved { seq: *seq });
            }
            self.outputs.push(output);
        }
    }

    /// Lets time pass, from deadline to deadline.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.core.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.input(Input::Timeout);
        }
        self.now = end;
    }

    fn link_up(&mut self, applied_seq: u64) {
        self.input(Input::LinkUp { applied_seq });
    }

    fn message(&mut self, message: AgentDown) {
        self.input(Input::Message(message));
    }

    fn launch(&mut self, order: LaunchOrder) {
        self.message(AgentDown::Launch(order));
    }

    fn stop(&mut self, n: u64, grace_ms: u32, term_grace_ms: u32) {
        self.message(AgentDown::Stop { process: process(n), grace_ms, term_grace_ms });
    }

    fn run(&mut self, n: u64) {
        self.launch(order(n));
        self.wait(LAUNCH_JITTER_MAX);
        assert_eq!(self.spawned(), [process(n)]);
        self.input(Input::Spawned { process: process(n), pid: 11 });
    }

    fn answer_probes(&mut self, free: impl Fn(Vec<u16>) -> Option<u16>) {
        loop {
            let probes = self.outputs_of(|output| matches!(output, Output::FindPort { .. }));
            if probes.is_empty() {
                return;
            }
            for probe in probes {
                let Output::FindPort { process, candidates } = probe else { unreachable!() };
                self.input(Input::PortProbed { process, free: free(candidates) });
            }
        }
    }

    fn outputs_of(&mut self, wanted: impl Fn(&Output) -> bool) -> Vec<Output> {
        self.outputs.extract_if(.., |output| wanted(output)).collect()
    }

    fn take(&mut self, wanted: impl Fn(&Output) -> bool) -> bool {
        !self.outputs_of(wanted).is_empty()
    }

    fn plans(&mut self) -> Vec<crate::SpawnPlan> {
        let plan = |output| {
            if let Output::Spawn(plan) = output { Some(*plan) } else { None }
        };
        self.outputs_of(|output| matches!(output, Output::Spawn(_))).into_iter().filter_map(plan).collect()
    }

    fn spawned(&mut self) -> Vec<ServerProcessId> {
        self.plans().into_iter().map(|plan| plan.process).collect()
    }

    fn signalled(&mut self) -> Vec<(ServerProcessId, StopStep)> {
        let signal = |output| {
            if let Output::Signal { process, step } = output { Some((process, step)) } else { None }
        };
        self.outputs_of(|output| matches!(output, Output::Signal { .. })).into_iter().filter_map(signal).collect()
    }

    fn reported(&mut self) -> Vec<(u64, AgentReport)> {
        let report = |output| {
            if let Output::SaveReport { seq, report } = output { Some((seq, report)) } else { None }
        };
        self.outputs_of(|output| matches!(output, Output::SaveReport { .. })).into_iter().filter_map(report).collect()
    }

    fn sent(&mut self) -> Vec<AgentUp> {
        let sent = |output| {
            if let Output::Send(message) = output { Some(message) } else { None }
        };
        self.outputs_of(|output| matches!(output, Output::Send(_))).into_iter().filter_map(sent).collect()
    }
}
