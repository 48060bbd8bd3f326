//! What agents report and what they are told: launches, stops, exits, inventories.

use playgate_core::{Input, Output};
use playgate_protocol::agent::{AgentReport, AgentUp, ExitStatus, StopStep};
use playgate_protocol::api::*;
use playgate_protocol::reason::ProcessEnd;
use playgate_protocol::server::Report;
use playgate_protocol::*;

use crate::world::{Server, World, fleet, key};

fn one_process() -> (World, ServerProcessId) {
    let mut config = fleet();
    config.processes_per_host = 1;
    let world = World::running_with(config);
    let process = *world.servers.keys().next().unwrap();
    (world, process)
}

fn stop(world: &mut World, process: ServerProcessId, grace_ms: u32) {
    world.operate(OperatorCall::StopProcess { process, grace_ms }).unwrap();
}

/// What was asked of a process, what it said and whether it was killed decide what its exit means.
#[test]
fn the_meaning_of_an_exit() {
    use ExitStatus::{Code, Signal};
    for (asked, says_ending, killed, status, reason) in [
        (false, false, false, Code(0), ProcessEnd::Crashed),
        (false, false, false, Signal(11), ProcessEnd::Crashed),
        (false, true, false, Code(0), ProcessEnd::Shutdown),
        (false, true, false, Code(1), ProcessEnd::Shutdown),
        (false, true, false, Signal(11), ProcessEnd::Crashed),
        (false, true, true, Signal(9), ProcessEnd::ExitTimeout),
        (true, false, false, Code(0), ProcessEnd::Stopped),
        (true, false, false, Signal(15), ProcessEnd::Stopped),
        (true, false, true, Signal(9), ProcessEnd::ForceTerminated),
        (true, true, false, Code(0), ProcessEnd::Stopped),
    ] {
        let (mut world, process) = one_process();
        if asked {
            stop(&mut world, process, 1_000);
        }
        if says_ending {
            world.report(process, Report::Ending);
        }
        if killed {
            world.agent_reports(AgentReport::StopStep { process, step: StopStep::Term });
            world.agent_reports(AgentReport::StopStep { process, step: StopStep::Kill });
        }
        world.exits(process, status);
        let what = format!("asked {asked}, says ending {says_ending}, killed {killed}, {status}");
        assert_eq!(world.process(process).reason, Some(reason), "{what}");
    }
}

#[test]
fn the_steps_of_a_stop_are_on_record_up_to_the_kill() {
    let (mut world, process) = one_process();
    stop(&mut world, process, 1_000);
    for step in [StopStep::Term, StopStep::Kill, StopStep::Kill, StopStep::Term] {
        world.agent_reports(AgentReport::StopStep { process, step });
    }
    assert_eq!(world.events(EventKind::ProcessStopStep), ["SIGTERM", "SIGKILL"]);
}

#[test]
fn a_process_that_an_agent_found_running_is_watched_again() {
    let (mut world, process) = one_process();
    world.agent_reports(AgentReport::Adopted { process, pid: 4_711 });
    assert_eq!(world.process(process).pid, Some(4_711));
    assert_eq!(world.events(EventKind::ProcessAdopted), ["pid 4711 is watched again"]);
    // It has run: it is never launched again under the same id.
    let mut config = fleet();
    config.processes_per_host = 1;
    let mut world = World::new(config);
    world.agent_connects(true);
    let process = world.launches()[0];
    world.agent_reports(AgentReport::Adopted { process, pid: 4_711 });
    world.agent_connects(false);
    assert_eq!(world.process(process).reason, Some(ProcessEnd::Lost));
    assert!(!world.launches().contains(&process));
}

#[test]
fn an_agent_speaks_of_its_own_processes_only() {
    let (mut world, process) = one_process();
    let secret = world.join_key(JoinRole::Agent, 1);
    let link = world.link();
    let role = HelloRole::Agent { name: "other".parse().unwrap(), advertise: None, capacity: 0 };
    world.open(link, key(50), Credential::Join { secret }, role);
    let exited = AgentReport::Exited { process, status: ExitStatus::Code(0), output_tail: Text::default() };
    let unknown = AgentReport::Launched { process: ServerProcessId::from_bytes([9; 16]), pid: 1, port: None };
    let batch = agent::AgentReportBatch { first_seq: 1, reports: List::first_of([exited, unknown]) };
    world.input(Input::Agent(link, AgentUp::Reports(batch)));
    assert_eq!(world.process(process).status, ProcessStatus::Ready);
    let violations = world.events(EventKind::ProtocolViolation);
    assert_eq!(violations.len(), 2);
    assert!(violations[0].contains(&process.to_string()), "{violations:?}");
    world.input(Input::Agent(link, AgentUp::Inventory { alive: List::first_of([process]) }));
    assert!(world.stops().contains(&(process, 0)), "nobody wants a second one of it");
    assert_eq!(world.process(process).status, ProcessStatus::Ready);
}

/// Its record was closed as lost; if it runs after all, it must not.
#[test]
fn a_process_that_turns_up_after_its_end_is_stopped() {
    let (mut world, process) = one_process();
    world.server_loses_link(process);
    world.silence(600_000);
    assert_eq!(world.process(process).reason, Some(ProcessEnd::Lost));
    world.outputs.clear();
    world.agent_reports(AgentReport::StopStep { process, step: StopStep::Kill });
    assert_eq!(world.stops(), []);
    world.agent_reports(AgentReport::Adopted { process, pid: 1 });
    assert_eq!(world.stops(), [(process, 0)]);
    world.agent_reports(AgentReport::Launched { process, pid: 1, port: None });
    assert_eq!(world.stops(), [(process, 0); 2]);
    world.agent_reports(AgentReport::Exited { process, status: ExitStatus::Code(0), output_tail: Text::default() });
    assert_eq!((world.stops().len(), world.process(process).reason), (2, Some(ProcessEnd::Lost)));
}

/// An agent comes back and says what is alive: what should not be is stopped, what should be and is not is launched
/// again or closed.
#[test]
fn an_inventory_is_compared_with_what_should_be() {
    #[derive(Debug, PartialEq)]
    enum Then {
        Kept,
        StoppedAgain,
        LaunchedAgain,
        Ended(ProcessEnd),
    }
    for (launched, draining, alive, then) in [
        (false, false, true, Then::Kept),
        (true, false, true, Then::Kept),
        (true, true, true, Then::StoppedAgain),
        (false, false, false, Then::LaunchedAgain),
        (false, true, false, Then::Ended(ProcessEnd::Stopped)),
        (true, true, false, Then::Ended(ProcessEnd::Lost)),
        (true, false, false, Then::Ended(ProcessEnd::Lost)),
    ] {
        let mut config = fleet();
        config.processes_per_host = 1;
        let mut world = World::new(config);
        world.agent_connects(true);
        let process = world.launches()[0];
        if launched {
            world.agent_reports(AgentReport::Launched { process, pid: 1, port: None });
        }
        if draining {
            stop(&mut world, process, 9_000);
        }
        world.outputs.clear();
        if alive {
            world.servers.insert(process, Server::default());
        }
        world.agent_connects(false);
        let info = world.process(process);
        let found = match info.reason {
            Some(reason) => Then::Ended(reason),
            None if world.launches().contains(&process) => Then::LaunchedAgain,
            None if world.stops().contains(&(process, 9_000)) => Then::StoppedAgain,
            None => Then::Kept,
        };
        assert_eq!(found, then, "launched {launched}, draining {draining}, alive {alive}");
    }
}

#[test]
fn a_fleet_never_has_more_processes_on_a_host_than_its_agent_has_room_for() {
    let mut config = fleet();
    config.processes_per_host = 5;
    let mut world = World::new(config);
    let secret = world.join_key(JoinRole::Agent, 1);
    let link = world.link();
    let role = HelloRole::Agent { name: "small".parse().unwrap(), advertise: None, capacity: 3 };
    world.open(link, key(50), Credential::Join { secret }, role);
    world.input(Input::Agent(link, AgentUp::Inventory { alive: List::default() }));
    assert_eq!(world.launches().len(), 3);
}

#[test]
fn an_agent_that_comes_back_on_another_link_replaces_the_first() {
    let mut world = World::running();
    let first = world.agent();
    world.agent_connects(false);
    let closed = |output: &Output| matches!(output, Output::Close { link, .. } if *link == first);
    assert!(world.outputs.iter().any(closed));
    world.outputs.clear();
    world.input(Input::Agent(first, AgentUp::Beat));
    assert!(world.outputs.is_empty(), "the replaced link says nothing any more");
    world.input(Input::Closed(first));
    assert_eq!(world.events(EventKind::HostDisconnected).len(), 0, "its end is not the end of the other");
}

/// A process that was ready for ten seconds ends the row of failures.
#[test]
fn a_process_that_proved_itself_is_replaced_after_the_first_pause() {
    for (lives_ms, pauses_ms) in [(9_999, 1_000..4_000), (10_000, 250..501)] {
        let (mut world, process) = one_process();
        let fail = |world: &mut World, process| world.exits(process, ExitStatus::Signal(11));
        let next = |world: &mut World| {
            let mut pause = 0;
            while world.launches().is_empty() {
                world.silence(1);
                pause += 1;
            }
            pause
        };
        fail(&mut world, process);
        world.silence(3_000);
        let second = world.start_servers()[0];
        fail(&mut world, second);
        world.silence(3_000);
        let third = world.start_servers()[0];
        world.now += lives_ms;
        world.beat(third, true);
        fail(&mut world, third);
        let pause = next(&mut world);
        assert!(pauses_ms.contains(&pause), "lived {lives_ms} ms: {pause} ms not in {pauses_ms:?}");
    }
}

/// Recycled and stopped processes are replaced at once, however short they lived.
#[test]
fn what_ended_because_it_should_is_replaced_at_once() {
    let (mut world, process) = one_process();
    let (session, _) = world.session("one", 4);
    world.report(process, Report::SessionEnded { session, attempt: 1 });
    world.exits(process, ExitStatus::Code(0));
    assert_eq!(world.process(process).reason, Some(ProcessEnd::Recycled));
    let second = world.start_servers()[0];
    stop(&mut world, second, 0);
    world.exits(second, ExitStatus::Signal(15));
    assert_eq!(world.process(second).reason, Some(ProcessEnd::Stopped));
    assert_eq!(world.launches().len(), 1);
}
