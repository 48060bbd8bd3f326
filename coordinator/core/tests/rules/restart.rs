//! What a restart finds: everything that was alive goes on, and what contradicts itself is left out.

use playgate_core::rows::Row;
use playgate_core::{Core, Input};
use playgate_protocol::api::*;
use playgate_protocol::reason::{PlayerEnd, ProcessEnd, SessionEnd};
use playgate_protocol::server::Report;
use playgate_protocol::*;

use crate::world::{FLEET, World, fleet, key};

const HOUR_MS: u64 = 3_600_000;

/// The clock of a restarted coordinator must not start before anything it has written down.
#[test]
fn the_latest_moment_of_any_row_is_the_high_water_mark() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let ticket = world.reserve(session, "k", &["ann"]).unwrap().remove(0);
    let of = |key: String| world.disk[&key].clone();
    let row = |change: &dyn Fn(&mut Row), key: String| {
        let mut row = of(key);
        change(&mut row);
        row
    };
    let process_row = |created, ended| {
        let change = move |row: &mut Row| match row {
            Row::Process(row) => (row.created_ms, row.ended_ms) = (created, ended),
            _ => panic!(),
        };
        row(&change, format!("process {process}"))
    };
    let session_row = |created, activated, terminated| {
        let change = move |row: &mut Row| match row {
            Row::GameSession(row) => {
                (row.created_ms, row.activated_ms, row.terminated_ms) = (created, activated, terminated);
            }
            _ => panic!(),
        };
        row(&change, format!("session {session}"))
    };
    let player_row = |created, ended| {
        let change = move |row: &mut Row| match row {
            Row::PlayerSession(row) => (row.created_ms, row.ended_ms) = (created, ended),
            _ => panic!(),
        };
        row(&change, format!("player {}", ticket.player_session.id))
    };
    let event = Event {
        seq: 1,
        at_ms: 6,
        kind: EventKind::ClockSkew,
        subject: Subject::Coordinator,
        detail: "".parse().unwrap(),
    };
    for (rows, expected) in [
        (vec![], 0),
        (vec![Row::HighWater(3)], 3),
        (vec![process_row(4, None)], 4),
        (vec![process_row(4, Some(9))], 9),
        (vec![session_row(4, None, None)], 4),
        (vec![session_row(4, Some(5), None)], 5),
        (vec![session_row(4, Some(5), Some(8))], 8),
        (vec![player_row(4, None)], 4),
        (vec![player_row(4, Some(7))], 7),
        (vec![Row::Event(event.clone())], 6),
        (vec![Row::HighWater(3), Row::Event(event), player_row(2, None)], 6),
        (vec![Row::ForgetEvents(99)], 0),
    ] {
        assert_eq!(Core::high_water(&rows), expected, "{rows:?}");
    }
}

#[test]
fn a_process_that_was_asked_to_end_is_still_asked_to() {
    for (down_ms, left_ms) in [(0, 10_000 + 35_000), (60_000, 35_000)] {
        let mut world = World::running();
        let process = *world.servers.keys().next().unwrap();
        world.operate(OperatorCall::StopProcess { process, grace_ms: 10_000 }).unwrap();
        world.now += down_ms;
        world.crash();
        assert_eq!(world.process(process).status, ProcessStatus::Draining);
        world.agent_connects(false);
        let orders = world.stops().len();
        world.silence(left_ms - 1);
        assert_eq!(world.stops().len(), orders, "down for {down_ms} ms");
        world.silence(1);
        assert_eq!(world.stops().len(), orders + 1, "down for {down_ms} ms");
    }
}

/// It may have been activated meanwhile: the server gets the whole time again to say so.
#[test]
fn a_session_that_was_being_activated_gets_its_time_again() {
    let mut world = World::running();
    let create = world.create("one", 4);
    world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    let process = world.hosting().unwrap();
    let session = world.servers[&process].wanted.clone().unwrap().session.unwrap().id;
    world.silence(59_000);
    world.crash();
    world.silence(59_999);
    assert_eq!(world.describe(session).status, GameSessionStatus::Activating);
    world.silence(1);
    let info = world.describe(session);
    assert_eq!((info.status, info.attempt), (GameSessionStatus::Placing, 2));
    assert_eq!(world.process(process).status, ProcessStatus::Draining);
}

#[test]
fn a_process_that_was_being_launched_gets_its_time_again() {
    let mut world = World::new(fleet());
    world.agent_connects(true);
    let process = world.launches()[0];
    world.silence(59_000);
    world.crash();
    world.agent_connects(false);
    world.silence(59_999);
    assert_eq!(world.process(process).status, ProcessStatus::Launching);
    world.silence(1);
    assert_eq!(world.process(process).status, ProcessStatus::Draining);
}

#[test]
fn an_ended_process_is_forgotten_an_hour_after_its_end_whatever_restarts_between() {
    let mut world = World::running();
    let process = *world.servers.keys().next().unwrap();
    world.exits(process, agent::ExitStatus::Code(0));
    world.silence(HOUR_MS / 2);
    world.crash();
    world.silence(HOUR_MS / 2 - 1);
    let kept = |world: &World| world.disk.contains_key(&format!("process {process}"));
    assert!(kept(&world));
    world.silence(1);
    assert!(!kept(&world));
}

/// A day after its end, also when the coordinator was down meanwhile; with it go its player sessions.
#[test]
fn a_session_that_ended_long_ago_is_forgotten_with_its_players() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let ticket = world.reserve(session, "k", &["ann"]).unwrap().remove(0);
    world.leaves(process, &ticket, PlayerEnd::Left);
    world.report(process, Report::SessionEnded { session, attempt: 1 });
    world.now += 24 * HOUR_MS - 1;
    world.crash();
    world.silence(0);
    assert_eq!(world.describe(session).reason, Some(SessionEnd::Ended));
    assert_eq!(world.player(ticket.player_session.id).status, PlayerSessionStatus::Completed);
    world.silence(1);
    let left = world.disk.values().filter(|row| matches!(row, Row::GameSession(_) | Row::PlayerSession(_))).count();
    assert_eq!(left, 0);
    assert_eq!(world.ticket(ticket.player_session.id).unwrap_err(), ErrorCode::NotFound);
    // Its key is good for another session.
    let create = CreateGameSession { placement_timeout_ms: 60_000, ..world.create("one", 5) };
    let request = world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    assert_eq!(world.answer(request), None);
}

#[test]
fn a_session_that_should_end_ends_after_a_restart() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    world.operate(OperatorCall::Backend(BackendCall::TerminateGameSession { session, grace_ms: 5_000 })).unwrap();
    world.crash();
    world.silence(4_999);
    assert_eq!(world.process(process).status, ProcessStatus::Hosting);
    world.silence(1);
    assert_eq!(world.process(process).status, ProcessStatus::Draining);
}

/// Only a damaged store has such rows. What they speak of is not there, and the rest goes on.
#[test]
fn rows_that_contradict_each_other_are_left_out() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let ticket = world.reserve(session, "k", &["ann"]).unwrap().remove(0);
    let player = ticket.player_session.id;
    let secret = world.join_key(JoinRole::Server, 1);

    world.disk.remove(&format!("session {session}"));
    world.crash();
    assert!(!world.disk.contains_key(&format!("player {player}")), "a player of no session is forgotten");
    let Ok(Answer::Processes(left)) = world.operate(OperatorCall::ListProcesses { fleet: None, after: None }) else {
        panic!()
    };
    assert!(left.iter().all(|info| info.id != process), "and so is the process that says it hosts it");
    let started = world.events(EventKind::CoordinatorStarted).pop().unwrap();
    assert!(started.contains("2 rows contradict"), "the process and its key: {started}");

    world.disk.remove(&format!("fleet {FLEET}"));
    world.crash();
    let Ok(Answer::Processes(none)) = world.operate(OperatorCall::ListProcesses { fleet: None, after: None }) else {
        panic!()
    };
    assert_eq!(none.len(), 0);
    let link = world.link();
    let role = HelloRole::Server { name: "by hand".parse().unwrap(), advertise: None, held_version: 0 };
    world.open(link, key(30), Credential::Join { secret }, role);
    assert_eq!(world.greeting(link), Err(RefusalReason::JoinKeyInvalid), "its fleet is not there");
    let create = world.create("two", 4);
    let error = world.operate(OperatorCall::Backend(BackendCall::CreateGameSession(create))).unwrap_err();
    assert!(error.detail.contains("fleets here: none"), "{}", error.detail);
    world.input(Input::ApplyFleet(fleet()));
    world.agent_connects(false);
    assert_eq!(world.launches().len(), 2);
}

/// Links are gone: every process is unreachable until it is back, and lost if it does not come.
#[test]
fn a_restart_waits_for_every_process_as_long_as_for_an_unreachable_one() {
    let mut world = World::running();
    let process = *world.servers.keys().next().unwrap();
    world.silence(9_000);
    world.crash();
    assert_eq!(world.process(process).unreachable_since_ms, Some(world.now));
    world.silence(599_999);
    assert_eq!(world.process(process).status, ProcessStatus::Ready);
    world.silence(1);
    assert_eq!(world.process(process).reason, Some(ProcessEnd::Lost));
}

/// Of a process that may host several sessions, what was placed and what may be placed is the same as before.
#[test]
fn sessions_and_processes_find_each_other_after_a_restart() {
    let mut config = fleet();
    (config.processes_per_host, config.sessions_per_process) = (2, 0);
    let mut world = World::running_with(config);
    let (session, process) = world.session("one", 4);
    world.crash();
    world.agent_connects(false);
    let linked: Vec<ServerProcessId> = world.servers.keys().copied().collect();
    for process in linked {
        world.server_connects(process);
        world.beat(process, true);
    }
    let (second, other) = world.session("two", 4);
    assert_ne!(process, other);
    assert_ne!(session, second);
    world.report(process, Report::SessionEnded { session, attempt: 1 });
    assert_eq!(world.process(process).status, ProcessStatus::Ready);
    assert_eq!(world.session("three", 4).1, process);
}
