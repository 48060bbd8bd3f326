//! Game sessions: what servers say about them, and requests to end them.

use playgate_core::Input;
use playgate_protocol::api::*;
use playgate_protocol::reason::{ProcessEnd, SessionEnd};
use playgate_protocol::server::Report;
use playgate_protocol::*;

use crate::world::{World, fleet};

fn terminate(world: &mut World, session: GameSessionId, grace_ms: u32) -> GameSessionInfo {
    let call = BackendCall::TerminateGameSession { session, grace_ms };
    match world.operate(OperatorCall::Backend(call)) {
        Ok(Answer::GameSession(info)) => info,
        other => panic!("{other:?}"),
    }
}

/// A session that is being activated, the process, and the call that waits for it.
fn activating(world: &mut World) -> (GameSessionId, ServerProcessId, u64) {
    let create = world.create("one", 4);
    let request = world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    let process = world.hosting().unwrap();
    let session = world.servers[&process].wanted.clone().unwrap().session.unwrap().id;
    (session, process, request)
}

fn end_by(world: &World, process: ServerProcessId) -> Option<TimeMs> {
    world.servers[&process].wanted.clone().unwrap().session.unwrap().end_by_ms
}

#[test]
fn a_session_that_waits_for_a_process_ends_at_once() {
    let mut world = World::new(fleet());
    let create = world.create("one", 4);
    let request = world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create.clone())));
    let list = BackendCall::ListGameSessions { fleet: None, after: None };
    let Ok(Answer::GameSessions(all)) = world.operate(OperatorCall::Backend(list)) else { panic!() };
    let info = terminate(&mut world, all[0].id, 5_000);
    assert_eq!((info.status, info.reason), (GameSessionStatus::Terminated, Some(SessionEnd::Terminated)));
    let error = world.answer(request).unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidGameSessionStatus);
    assert!(error.detail.contains("before it was active: TERMINATED"), "{}", error.detail);
    let again = world.operate(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    assert_eq!(again.unwrap_err().code, ErrorCode::InvalidGameSessionStatus, "the same request, the same answer");
    world.agent_connects(true);
    world.start_servers();
    assert_eq!(world.hosting(), None, "nothing is placed for it");
}

/// What is over stays over; a deadline can be moved forward, not back.
#[test]
fn the_earliest_end_that_was_asked_for_counts() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    for (grace_ms, end_by_ms) in [(5_000, 5_000), (9_000, 5_000), (5_000, 5_000), (2_000, 2_000)] {
        assert_eq!(terminate(&mut world, session, grace_ms).status, GameSessionStatus::Terminating);
        assert_eq!(end_by(&world, process), Some(world.now + end_by_ms), "{grace_ms}");
    }
    assert_eq!(world.events(EventKind::GameSessionTerminating), ["the game has 5000 ms to end it"]);
    world.silence(1_999);
    assert_eq!(world.process(process).status, ProcessStatus::Hosting);
    world.silence(1);
    assert_eq!(world.process(process).status, ProcessStatus::Draining);
    world.report(process, Report::SessionEnded { session, attempt: 1 });
    let rows = world.rows_written;
    let info = terminate(&mut world, session, 0);
    assert_eq!((info.status, info.reason), (GameSessionStatus::Terminated, Some(SessionEnd::Terminated)));
    assert_eq!(world.rows_written, rows, "ending what is over changes nothing");
}

#[test]
fn a_session_that_should_end_while_it_loads_is_never_active() {
    let mut world = World::running();
    let (session, process, request) = activating(&mut world);
    terminate(&mut world, session, 90_000);
    let error = world.answer(request).unwrap().unwrap_err();
    assert!(error.detail.contains("asked to end before it was active"), "{}", error.detail);
    world.report(process, Report::Activated { session, attempt: 1 });
    assert_eq!(world.describe(session).status, GameSessionStatus::Terminating);
    assert_eq!(world.events(EventKind::ProtocolViolation), [""; 0], "the server could not know");
    world.pass(61_000);
    assert_eq!(world.describe(session).attempt, 1, "the activation timeout is over with it");
    world.report(process, Report::SessionEnded { session, attempt: 1 });
    assert_eq!(world.describe(session).reason, Some(SessionEnd::Terminated));
}

#[test]
fn a_server_says_once_that_it_is_ready_and_once_that_its_session_is_active() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    world.report(process, Report::Activated { session, attempt: 1 });
    assert_eq!(world.events(EventKind::ProtocolViolation).len(), 1);
    assert_eq!(world.events(EventKind::GameSessionActive).len(), 1);
    world.report(process, Report::Ready { ports: List::first_of([8_000]) });
    assert_eq!(world.events(EventKind::ProtocolViolation).len(), 2);
    assert_eq!(world.process(process).ports[..], [7_000]);
}

#[test]
fn ready_is_who_says_where_players_reach_it() {
    let mut config = fleet();
    config.processes_per_host = 1;
    for ports in [&[][..], &[0], &[0, 7_000]] {
        let mut world = World::new(config.clone());
        world.agent_connects(true);
        let process = world.launches()[0];
        world.servers.insert(process, crate::world::Server::default());
        world.server_connects(process);
        world.beat(process, true);
        world.report(process, Report::Ready { ports: List::first_of(ports.iter().copied()) });
        assert_eq!(world.process(process).status, ProcessStatus::Connected, "{ports:?}");
        assert_eq!(world.events(EventKind::ProtocolViolation).len(), 1, "{ports:?}");
    }
}

#[test]
fn a_process_that_says_ready_while_it_is_asked_to_end_does_nothing_wrong() {
    let mut config = fleet();
    config.processes_per_host = 1;
    let mut world = World::new(config);
    world.agent_connects(true);
    let process = world.launches()[0];
    world.servers.insert(process, crate::world::Server::default());
    world.server_connects(process);
    world.operate(OperatorCall::StopProcess { process, grace_ms: 1_000 }).unwrap();
    world.report(process, Report::Ready { ports: List::first_of([7_000]) });
    world.beat(process, true);
    assert_eq!(world.process(process).status, ProcessStatus::Draining);
    assert_eq!(world.events(EventKind::ProtocolViolation), [""; 0]);
}

/// The last one to try failed, and nobody else came.
#[test]
fn a_session_that_failed_once_and_finds_no_other_process_has_failed_to_activate() {
    let mut config = fleet();
    config.processes_per_host = 1;
    let mut world = World::running_with(config);
    let (session, process, request) = activating(&mut world);
    world.input(Input::StoreLow(true)); // so that nothing is launched
    world.silence(59_999);
    assert_eq!(world.describe(session).status, GameSessionStatus::Activating);
    world.silence(1);
    let info = world.describe(session);
    assert_eq!((info.status, info.attempt, info.process), (GameSessionStatus::Placing, 2, None));
    assert_eq!(world.process(process).status, ProcessStatus::Draining);
    assert!(world.stops().contains(&(process, 0)));
    assert_eq!(world.servers[&process].wanted.clone().unwrap().session, None);
    // It gets the time of another activation to find one.
    world.silence(59_999);
    assert_eq!(world.answer(request), None);
    world.silence(1);
    assert_eq!(world.answer(request).unwrap().unwrap_err().code, ErrorCode::GameSessionActivationFailed);
    world.exits(process, agent::ExitStatus::Signal(9));
    assert_eq!(world.process(process).reason, Some(ProcessEnd::ActivationTimeout));
}

/// The oldest session that waits gets the first process that is fit.
#[test]
fn sessions_are_placed_in_the_order_they_were_asked_for() {
    let mut config = fleet();
    config.processes_per_host = 1;
    let mut world = World::new(config);
    let ids: Vec<GameSessionId> = (0..3)
        .map(|n| {
            world.now += 1;
            let create = CreateGameSession { placement_timeout_ms: 600_000, ..world.create(&n.to_string(), 4) };
            world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
            let list = BackendCall::ListGameSessions { fleet: None, after: None };
            let Ok(Answer::GameSessions(all)) = world.operate(OperatorCall::Backend(list)) else { panic!() };
            all.last().unwrap().id
        })
        .collect();
    world.agent_connects(true);
    world.start_servers();
    let placed: Vec<_> = ids.iter().map(|id| world.describe(*id).status).collect();
    assert_eq!(placed, [GameSessionStatus::Activating, GameSessionStatus::Placing, GameSessionStatus::Placing]);
}

/// Unhealthy while it loads: slow is not sick, and the activation timeout rules.
#[test]
fn a_process_that_is_unwell_while_it_activates_has_until_the_activation_timeout() {
    let mut config = fleet();
    config.processes_per_host = 1;
    config.activation_timeout = "90s".parse().unwrap();
    let mut world = World::running_with(config);
    let (session, process, _) = activating(&mut world);
    for _ in 0..3 {
        world.beat(process, false);
    }
    world.silence(60_000);
    assert_eq!(world.process(process).status, ProcessStatus::Hosting);
    world.report(process, Report::Activated { session, attempt: 1 });
    // Still unwell when that time is over, and not activating: it is stopped.
    world.silence(89_999);
    assert_eq!(world.process(process).status, ProcessStatus::Hosting);
    world.silence(1);
    assert_eq!(world.process(process).status, ProcessStatus::Draining);
    assert!(world.events(EventKind::ProcessDraining)[0].contains("TERMINATED_UNHEALTHY"));
}

/// A disk that is low, said twice, is one event.
#[test]
fn changes_of_the_room_on_the_disk_are_on_record_once_each() {
    let mut world = World::new(fleet());
    for low in [false, true, true, false, false] {
        world.input(Input::StoreLow(low));
    }
    let told = world.events(EventKind::StoreSpace);
    assert_eq!(told.len(), 2);
    assert!(told[0].starts_with("disk nearly full") && told[1].starts_with("disk has room"), "{told:?}");
    world.input(Input::ClockSkew("the wall clock is 3 s ahead".parse().unwrap()));
    assert_eq!(world.events(EventKind::ClockSkew), ["the wall clock is 3 s ahead"]);
}
