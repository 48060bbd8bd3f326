//! The smallest histories that once went wrong.

#![allow(clippy::unwrap_used)]

mod world;

use playgate_core::{Input, LinkId, Output};
use playgate_protocol::agent::*;
use playgate_protocol::api::*;
use playgate_protocol::reason::*;
use playgate_protocol::server::Report;
use playgate_protocol::*;
use world::{FLEET, World, fleet, key};

fn terminate(world: &mut World, session: GameSessionId, grace_ms: u32) {
    world.operate(OperatorCall::Backend(BackendCall::TerminateGameSession { session, grace_ms })).unwrap();
}
fn agent(world: &mut World, peer: Fingerprint, capacity: u32) -> LinkId {
    let secret = world.join_key(JoinRole::Agent, 1);
    let link = world.link();
    let role = HelloRole::Agent { name: "h2".parse().unwrap(), advertise: None, capacity };
    world.open(link, peer, Credential::Join { secret }, role);
    link
}

#[test]
fn an_empty_batch_numbered_zero() {
    let mut world = World::new(fleet());
    let link = agent(&mut world, key(9), 10);
    let batch = AgentReportBatch { first_seq: 0, reports: List::first_of([]) };
    world.input(Input::Agent(link, AgentUp::Reports(batch)));
}

#[test]
fn a_ready_process_that_comes_back_takes_a_waiting_session() {
    let mut config = fleet();
    config.processes_per_host = 1;
    let mut world = World::running_with(config);
    let process = *world.servers.keys().next().unwrap();
    world.server_loses_link(process);
    let create = world.create("one", 4);
    world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    world.server_connects(process);
    world.pass(5_000);
    assert_eq!(world.process(process).status, ProcessStatus::Hosting);
}

#[test]
fn room_again_launches_what_is_missing() {
    let mut world = World::running();
    world.input(Input::StoreLow(true));
    for process in world.servers.keys().copied().collect::<Vec<_>>() {
        world.exits(process, ExitStatus::Signal(11));
    }
    world.silence(120_000);
    world.input(Input::StoreLow(false));
    world.silence(120_000);
    assert_eq!(world.launches().len(), 2);
}

#[test]
fn unwell_then_unreachable_is_kept_until_lost_after() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    for _ in 0..3 {
        world.beat(process, false);
    }
    world.server_loses_link(process);
    world.silence(61_000);
    assert_eq!(world.process(process).status, ProcessStatus::Hosting);
    let _ = session;
}

#[test]
fn surplus_is_stopped_when_it_becomes_idle() {
    let mut config = fleet();
    config.sessions_per_process = 0;
    let mut world = World::running_with(config);
    let (s1, p1) = world.session("one", 4);
    let (s2, p2) = world.session("two", 4);
    let call = OperatorCall::SetProcessesPerHost { fleet: FleetId::new(FLEET).unwrap(), processes_per_host: 0 };
    world.operate(call).unwrap();
    world.report(p1, Report::SessionEnded { session: s1, attempt: 1 });
    world.report(p2, Report::SessionEnded { session: s2, attempt: 1 });
    world.pass(60_000);
    assert_eq!(
        (world.process(p1).status, world.process(p2).status),
        (ProcessStatus::Draining, ProcessStatus::Draining)
    );
}

#[test]
fn surplus_that_was_launching() {
    let mut world = World::new(fleet());
    world.agent_connects(true);
    let call = OperatorCall::SetProcessesPerHost { fleet: FleetId::new(FLEET).unwrap(), processes_per_host: 0 };
    world.operate(call).unwrap();
    let started = world.start_servers();
    world.pass(60_000);
    assert_eq!(world.process(started[0]).status, ProcessStatus::Draining);
}

#[test]
fn nothing_is_placed_on_a_process_that_says_it_is_ending() {
    let mut config = fleet();
    (config.sessions_per_process, config.processes_per_host) = (0, 1);
    let mut world = World::running_with(config);
    let (_, process) = world.session("one", 4);
    let create = world.create("two", 4);
    world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    world.report(process, Report::Ending);
    assert_eq!(world.process(process).session, None);
}

#[test]
fn a_launch_on_a_host_that_is_gone_ends() {
    let mut world = World::new(fleet());
    let link = agent(&mut world, key(9), 10);
    world.input(Input::Agent(link, AgentUp::Inventory { alive: List::first_of([]) }));
    let launched = world.launches();
    world.input(Input::Closed(link));
    world.silence(61_000);
    world.silence(24 * 3_600_000);
    let Ok(Answer::Processes(page)) = world.operate(OperatorCall::ListProcesses { fleet: None, after: None }) else {
        panic!()
    };
    assert!(
        page.iter().all(|p| p.status == ProcessStatus::Ended),
        "{launched:?} {:?}",
        page.iter().map(|p| p.status).collect::<Vec<_>>()
    );
}

#[test]
fn a_session_is_over_though_its_agent_is_gone() {
    let mut world = World::new(fleet());
    let link = agent(&mut world, key(9), 10);
    world.input(Input::Agent(link, AgentUp::Inventory { alive: List::first_of([]) }));
    for process in world.launches() {
        world.servers.insert(process, world::Server::default());
        world.server_connects(process);
        world.report(process, Report::Ready { ports: List::first_of([7_000]) });
        world.beat(process, true);
    }
    let (session, _) = world.session("one", 4);
    world.input(Input::Closed(link));
    terminate(&mut world, session, 0);
    world.pass(3_600_000);
    assert_eq!(world.describe(session).status, GameSessionStatus::Terminated);
}

#[test]
fn a_clean_exit_right_after_ready_is_not_launched_again_at_once() {
    let mut config = fleet();
    config.processes_per_host = 1;
    let mut world = World::running_with(config);
    let mut n = 0;
    for _ in 0..20 {
        let Some(process) = world.servers.keys().next().copied() else { break };
        world.report(process, Report::Ending);
        world.exits(process, ExitStatus::Code(0));
        n += world.start_servers().len();
    }
    assert!(n < 3, "{n} launches within one millisecond");
}

#[test]
fn room_on_a_host_goes_to_another_fleet() {
    let mut other = fleet();
    other.name = FleetId::new("b").unwrap();
    let mut world = World::new(fleet());
    world.input(Input::ApplyFleet(other));
    let link = agent(&mut world, key(9), 2);
    world.input(Input::Agent(link, AgentUp::Inventory { alive: List::first_of([]) }));
    let launched = world.launches();
    assert_eq!(launched.len(), 2);
    let call = OperatorCall::SetProcessesPerHost { fleet: FleetId::new(FLEET).unwrap(), processes_per_host: 0 };
    world.operate(call).unwrap();
    for (seq, process) in launched.into_iter().enumerate() {
        let report = AgentReport::Exited { process, status: ExitStatus::Code(0), output_tail: Text::default() };
        let batch = AgentReportBatch { first_seq: seq as u64 + 1, reports: List::first_of([report]) };
        world.input(Input::Agent(link, AgentUp::Reports(batch)));
    }
    world.silence(120_000);
    assert_eq!(world.launches().len(), 2);
}

#[test]
fn a_caller_whose_session_is_ended_while_it_loads_is_told() {
    let mut world = World::running();
    let create = world.create("one", 4);
    let request = world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    let process = world.hosting().unwrap();
    let session = world.servers[&process].wanted.clone().unwrap().session.unwrap().id;
    terminate(&mut world, session, 5_000);
    assert!(world.answer(request).unwrap().is_err(), "{:?}", world.answer(request));
}

#[test]
fn waits_of_a_closed_link_leave_nothing_behind() {
    let mut world = World::running();
    let (session, _) = world.session("one", 4);
    let link = world.link();
    let secret = world.join_key(JoinRole::Backend, 1);
    world.open(link, key(44), Credential::Join { secret }, HelloRole::Backend);
    for request in 0..1000 {
        let call = BackendCall::AwaitGameSession { session, terminated: true, timeout_ms: 600_000 };
        world.input(Input::Backend(link, BackendUp { request, call }));
    }
    world.input(Input::Closed(link));
    let shown = format!("{:?}", world.core);
    let timers = shown.matches("Waiter(").count();
    assert!(timers < 10, "{timers}");
}

#[test]
fn no_reservations_on_a_draining_process() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    world.operate(OperatorCall::StopProcess { process, grace_ms: 2_000 }).unwrap();
    assert!(world.reserve(session, "k", &["ann"]).is_err());
}

#[test]
fn a_burst_of_revocations_is_one_wanted_state() {
    let mut world = World::running();
    let (session, process) = world.session("one", 60);
    let names: Vec<String> = (0..60).map(|n| format!("p{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let tickets = world.reserve(session, "k", &names).unwrap();
    let _ = process;
    world.outputs.clear();
    for (n, t) in tickets.iter().enumerate() {
        let call = OperatorCall::Backend(BackendCall::RevokePlayerSession {
            player_session: t.player_session.id,
            timeout_ms: 1,
        });
        world.core.handle(world.now, Input::Operator(world::OPERATOR, OperatorUp { request: 1000 + n as u64, call }));
    }
    let turn = world.core.take_turn();
    let n = turn.outputs.iter().filter(|o| matches!(o, Output::Server(..))).count();
    assert_eq!(n, 1);
}

#[test]
fn inventory_events_are_limited() {
    let mut world = World::new(fleet());
    let link = agent(&mut world, key(9), 10);
    let before = world.rows_written;
    let alive = List::first_of((0..2_000_u64).map(|n| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_le_bytes());
        ServerProcessId::from_bytes(id)
    }));
    world.input(Input::Agent(link, AgentUp::Inventory { alive }));
    let written = world.rows_written - before;
    assert!(written < 100, "{written} rows of one frame");
}

#[test]
fn idempotency_of_a_reservation_survives_a_restart_for_ten_minutes() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let t = world.reserve(session, "k", &["ann"]).unwrap().remove(0);
    let outcome =
        playgate_protocol::server::PlayerOutcome::Completed { reason: PlayerEnd::Left, joined_ms: 0, left_ms: 0 };
    world.player_report(process, &t, outcome);
    assert_eq!(world.reserve(session, "k", &["ann"]).unwrap_err(), ErrorCode::PlayerSessionOver);
    world.crash();
    world.silence(1);
    world.agent_connects(false);
    world.server_connects(process);
    world.beat(process, true);
    assert_eq!(world.reserve(session, "k", &["ann"]).unwrap_err(), ErrorCode::PlayerSessionOver);
}

#[test]
fn an_operator_key_that_was_replaced_opens_nothing() {
    let mut world = World::running();
    world.input(Input::ApplyOperator(key(77)));
    let link = world.link();
    world.open(link, key(1), Credential::Bound, HelloRole::Operator);
    assert!(world.greeting(link).is_err());
}

#[test]
fn waiting_sessions_survive_a_short_restart_after_deadline() {
    let mut config = fleet();
    config.processes_per_host = 1;
    let mut world = World::running_with(config);
    let process = *world.servers.keys().next().unwrap();
    world.server_loses_link(process);
    let create = world.create("one", 4);
    world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create.clone())));
    world.now += 31_000; // the coordinator was down meanwhile
    world.crash();
    world.silence(0);
    let request = world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    assert!(world.answer(request).is_none(), "{:?}", world.answer(request));
}

#[test]
fn process_that_is_ready_but_never_acknowledges() {
    let mut config = fleet();
    config.processes_per_host = 1;
    let mut world = World::new(config);
    world.agent_connects(true);
    let process = world.launches()[0];
    world.agent_reports(AgentReport::Launched { process, pid: 1, port: None });
    world.servers.insert(process, world::Server::default());
    world.server_connects(process);
    world.report(process, Report::Ready { ports: List::first_of([7_000]) });
    for _ in 0..3_600 {
        let s = world.servers.get_mut(&process).unwrap();
        s.wanted = None;
        world.silence(1_000);
        world.beat(process, true);
    }
    assert_ne!(world.process(process).status, ProcessStatus::Connected);
}

#[test]
fn a_hidden_second_copy() {
    let mut config = fleet();
    config.processes_per_host = 1;
    let mut world = World::new(config);
    world.agent_connects(true);
    let process = world.launches()[0];
    world.servers.insert(process, world::Server::default());
    world.server_connects(process);
    world.report(process, Report::Ready { ports: List::first_of([7_000]) });
    world.beat(process, true);
    world.outputs.clear();
    let servers = std::mem::take(&mut world.servers);
    world.agent_connects(false); // inventory is empty
    world.servers = servers;
    assert!(!world.launches().contains(&process), "launched twice");
}
#[test]
fn withdrawn_key() {
    let mut world = World::running();
    world.input(Input::ApplySigningKey { key_id: 2, public_key: [2; 32] });
    world.crash();
    world.input(Input::KeepSigningKeys(vec![1]));
    world.agent_connects(false);
    let process = *world.servers.keys().next().unwrap();
    world.server_connects(process);
    world.crash();
    world.server_connects(process);
    let keys = world.servers[&process].wanted.clone().unwrap().keys;
    assert_eq!(keys.len(), 1, "{keys:?}");
}

#[test]
fn a_create_that_is_placed_at_the_last_moment_is_answered_when_it_is_active() {
    let mut world = World::new(fleet());
    let create = CreateGameSession { placement_timeout_ms: 600_000, ..world.create("one", 4) };
    let request = world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    world.pass(595_000);
    world.agent_connects(true);
    world.start_servers();
    let process = world.hosting().unwrap();
    world.pass(10_000);
    assert_eq!(world.answer(request), None, "it is being activated");
    let session = world.servers[&process].wanted.clone().unwrap().session.unwrap().id;
    world.report(process, Report::Activated { session, attempt: 1 });
    assert!(
        matches!(world.answer(request), Some(Ok(Answer::GameSession(info))) if info.status == GameSessionStatus::Active)
    );
}
