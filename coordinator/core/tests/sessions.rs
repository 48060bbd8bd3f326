//! Stories of processes, game sessions and players, told to the core directly.

#![allow(clippy::unwrap_used)]

mod world;

use playgate_core::Input;
use playgate_core::rows::Row;
use playgate_protocol::agent::{AgentReport, ExitStatus, LaunchError, StopStep};
use playgate_protocol::api::*;
use playgate_protocol::reason::{PlayerEnd, ProcessEnd, SessionEnd};
use playgate_protocol::server::{PlayerOutcome, Report, ReportBatch, ServerUp};
use playgate_protocol::{Detail, FleetId, GameSessionId, List, PlayerSessionId};
use world::{FLEET, World, fleet};

#[test]
fn the_five_steps() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let info = world.describe(session);
    assert_eq!(info.address.unwrap().to_string(), "192.0.2.9:7000");

    let tickets = world.reserve(session, "party", &["ann", "bob"]).unwrap();
    assert_eq!((world.describe(session).reserved, world.describe(session).active), (2, 0));
    world.joins(process, &tickets[0]);
    assert_eq!((world.describe(session).reserved, world.describe(session).active), (1, 1));
    world.leaves(process, &tickets[0], PlayerEnd::Left);
    assert_eq!(world.player(tickets[0].player_session.id).reason, Some(PlayerEnd::Left));

    let stop = BackendCall::TerminateGameSession { session, grace_ms: 5_000 };
    world.operate(OperatorCall::Backend(stop)).unwrap();
    assert_eq!(world.servers[&process].wanted.clone().unwrap().session.unwrap().end_by_ms, Some(world.now + 5_000));
    world.report(process, Report::SessionEnded { session, attempt: 1 });
    assert_eq!(world.describe(session).reason, Some(SessionEnd::Terminated));
    assert_eq!(world.player(tickets[1].player_session.id).reason, Some(PlayerEnd::SessionEnded));

    // One session for each process: it is recycled, and replaced.
    world.report(process, Report::Ending);
    world.exits(process, ExitStatus::Code(0));
    assert_eq!(world.process(process).reason, Some(ProcessEnd::Recycled));
    assert_eq!(world.launches().len(), 1);
}

#[test]
fn a_process_may_host_one_session_after_the_other() {
    let mut config = fleet();
    (config.sessions_per_process, config.processes_per_host) = (2, 1);
    let mut world = World::running_with(config);
    for (key, status) in [("one", ProcessStatus::Ready), ("two", ProcessStatus::Draining)] {
        let (session, process) = world.session(key, 4);
        world.report(process, Report::SessionEnded { session, attempt: 1 });
        assert_eq!(world.process(process).status, status);
    }
}

#[test]
fn requests_with_a_key_have_one_effect_also_after_a_crash() {
    let mut world = World::running();
    let (session, _) = world.session("one", 4);
    let tickets = world.reserve(session, "party", &["ann", "bob"]).unwrap();
    for crashed in [false, true] {
        if crashed {
            world.crash();
        }
        let again = world.create("one", 4);
        let answer = world.operate(OperatorCall::Backend(BackendCall::CreateGameSession(again)));
        let Ok(Answer::GameSession(info)) = answer else { panic!("{answer:?}") };
        assert_eq!(info.id, session);
        let other = world.create("one", 5);
        let answer = world.operate(OperatorCall::Backend(BackendCall::CreateGameSession(other)));
        assert_eq!(answer.unwrap_err().code, ErrorCode::IdempotentParameterMismatch);

        let same = world.reserve(session, "party", &["ann", "bob"]).unwrap();
        let rows =
            |orders: &[playgate_core::TicketOrder]| orders.iter().map(|o| o.player_session.clone()).collect::<Vec<_>>();
        assert_eq!(rows(&same), rows(&tickets), "the very same tickets");
        assert_eq!(world.reserve(session, "party", &["ann"]).unwrap_err(), ErrorCode::IdempotentParameterMismatch);
        let again = world.ticket(tickets[1].player_session.id).unwrap();
        assert_eq!(again.player_session, tickets[1].player_session);
    }
}

#[test]
fn reservations_are_all_or_none_and_never_for_the_same_player_twice() {
    let mut world = World::running();
    let (session, process) = world.session("one", 3);
    assert_eq!(world.reserve(session, "a", &["1", "2", "3", "4"]).unwrap_err(), ErrorCode::GameSessionFull);
    assert_eq!(world.reserve(session, "b", &["1", "1"]).unwrap_err(), ErrorCode::InvalidRequest);
    assert_eq!(world.reserve(session, "c", &[]).unwrap_err(), ErrorCode::InvalidRequest);
    assert_eq!(world.reserve_for(session, "d", &["1"], Some(999)).unwrap_err(), ErrorCode::InvalidRequest);
    assert_eq!(world.describe(session).reserved, 0);
    let tickets = world.reserve(session, "e", &["1", "2"]).unwrap();
    assert_eq!(world.reserve(session, "f", &["3", "2"]).unwrap_err(), ErrorCode::AlreadyReserved);
    world.joins(process, &tickets[0]);
    assert_eq!(world.reserve(session, "g", &["1"]).unwrap_err(), ErrorCode::AlreadyReserved);
    assert_eq!(world.reserve(session, "h", &["3", "4"]).unwrap_err(), ErrorCode::GameSessionFull);
    world.leaves(process, &tickets[0], PlayerEnd::Left);
    let ordinals: Vec<u32> =
        world.reserve(session, "i", &["1", "3"]).unwrap().iter().map(|o| o.player_session.ordinal).collect();
    assert_eq!(ordinals, [2, 3], "ordinals are never used twice");
    assert_eq!(world.ticket(tickets[0].player_session.id).unwrap_err(), ErrorCode::PlayerSessionOver);
}

#[test]
fn ordinals_are_never_used_twice_across_a_crash() {
    let mut world = World::running();
    let (session, process) = world.session("one", 200);
    let mut highest = None;
    for round in 0..4 {
        for n in 0..30 {
            let order = world.reserve(session, &format!("{round}-{n}"), &[&format!("p{round}-{n}")]).unwrap().remove(0);
            assert!(Some(order.player_session.ordinal) > highest);
            highest = Some(order.player_session.ordinal);
        }
        world.crash();
        world.agent_connects(false);
        world.server_connects(process);
        world.beat(process, true);
    }
}

#[test]
fn a_slot_is_freed_only_by_the_servers_floor_and_its_reports() {
    let mut world = World::running();
    let (session, process) = world.session("one", 1);
    let late = world.reserve_for(session, "a", &["late"], Some(1_000)).unwrap().remove(0);
    // Long past its expiry, but nothing was heard of the server: the slot is held.
    world.silence(30_000);
    assert_eq!(world.player(late.player_session.id).status, PlayerSessionStatus::Reserved);
    assert_eq!(world.reserve(session, "b", &["next"]).unwrap_err(), ErrorCode::GameSessionFull);
    // A floor before the expiry frees nothing.
    world.beat_with(process, true, late.player_session.expires_at_ms - 1);
    assert_eq!(world.reserve(session, "b", &["next"]).unwrap_err(), ErrorCode::GameSessionFull);
    // The floor has passed, but an admission before it is in a report that has not arrived.
    let server = world.servers[&process].clone();
    world.servers.get_mut(&process).unwrap().seq += 1;
    world.beat(process, true);
    assert_eq!(world.reserve(session, "b", &["next"]).unwrap_err(), ErrorCode::GameSessionFull);
    world.servers.insert(process, server);
    world.joins(process, &late);
    world.beat(process, true);
    assert_eq!(world.player(late.player_session.id).status, PlayerSessionStatus::Active, "he was in time");
    assert_eq!(world.reserve(session, "b", &["next"]).unwrap_err(), ErrorCode::GameSessionFull);

    world.leaves(process, &late, PlayerEnd::Absent);
    let unused = world.reserve_for(session, "c", &["unused"], Some(1_000)).unwrap().remove(0);
    world.pass(1_500);
    assert_eq!(world.player(unused.player_session.id).status, PlayerSessionStatus::TimedOut);
    assert!(world.reserve(session, "d", &["next"]).is_ok());
}

#[test]
fn a_revocation_frees_its_slot_when_the_server_has_answered() {
    let mut world = World::running();
    let (session, process) = world.session("one", 2);
    let tickets = world.reserve(session, "a", &["ann", "bob"]).unwrap();
    world.joins(process, &tickets[1]);
    for (ticket, outcome) in [
        (&tickets[0], PlayerOutcome::Blocked),
        (&tickets[1], PlayerOutcome::Completed { reason: PlayerEnd::Revoked, joined_ms: 1, left_ms: 2 }),
    ] {
        let player_session = ticket.player_session.id;
        let call = BackendCall::RevokePlayerSession { player_session, timeout_ms: 5_000 };
        let request = world.call(OperatorCall::Backend(call));
        assert_eq!(world.answer(request), None, "the server has not answered");
        assert_eq!(world.reserve(session, "b", &["cid"]).unwrap_err(), ErrorCode::GameSessionFull);
        let revoked = world.servers[&process].wanted.clone().unwrap().session.unwrap().revoked;
        assert_eq!(revoked.last().unwrap().player_session, player_session);
        world.crash();
        world.agent_connects(false);
        world.server_connects(process);
        world.beat(process, true);
        let revoked = world.servers[&process].wanted.clone().unwrap().session.unwrap().revoked;
        assert_eq!(revoked.last().unwrap().player_session, player_session, "the order survives a crash");
        world.player_report(process, ticket, outcome);
        let info = world.player(player_session);
        assert_eq!((info.status, info.reason), (PlayerSessionStatus::Completed, Some(PlayerEnd::Revoked)));
        let new = world.reserve(session, &format!("c{player_session}"), &["cid"]).unwrap().remove(0);
        world.joins(process, &new);
        world.leaves(process, &new, PlayerEnd::Left);
        world.reserve(session, &format!("d{player_session}"), &[&player_session.to_string()]).unwrap();
    }
}

#[test]
fn reports_are_applied_once_and_in_order() {
    let mut world = World::running();
    let (session, process) = world.session("one", 2);
    let ticket = world.reserve(session, "a", &["ann"]).unwrap().remove(0);
    world.joins(process, &ticket);
    world.leaves(process, &ticket, PlayerEnd::Left);
    let (link, seq) = (world.servers[&process].link.unwrap(), world.servers[&process].seq);
    let join = Report::Player {
        session,
        player_session: ticket.player_session.id,
        outcome: PlayerOutcome::Active { generation: 1, joined_ms: 1 },
    };
    let send = |world: &mut World, first_seq| {
        let batch = ReportBatch { first_seq, reports: List::first_of([join.clone()]) };
        world.input(Input::Server(link, ServerUp::Reports(batch)));
    };
    send(&mut world, seq - 1);
    assert_eq!(world.describe(session).active, 0, "a repeated report changes nothing");
    assert!(world.events(EventKind::ProtocolViolation).is_empty());
    send(&mut world, seq + 2);
    assert_eq!(world.events(EventKind::ProtocolViolation), ["the server's reports have a gap"]);
}

#[test]
fn a_server_speaks_for_its_own_session_only() {
    let mut world = World::running();
    let (mine, process) = world.session("one", 2);
    let (theirs, other) = world.session("two", 2);
    assert_ne!(process, other);
    let ticket = world.reserve(theirs, "a", &["ann"]).unwrap().remove(0);
    let player_session = ticket.player_session.id;
    let outcome = PlayerOutcome::Active { generation: 1, joined_ms: 1 };
    world.report(process, Report::Player { session: theirs, player_session, outcome });
    world.report(process, Report::Player { session: mine, player_session, outcome });
    world.report(process, Report::SessionEnded { session: theirs, attempt: 1 });
    world.report(process, Report::SessionEnded { session: mine, attempt: 9 });
    world.report(
        process,
        Report::Player { session: mine, player_session: PlayerSessionId::from_bytes([0; 16]), outcome },
    );
    assert_eq!(world.player(player_session).status, PlayerSessionStatus::Reserved);
    assert_eq!(world.describe(theirs).status, GameSessionStatus::Active);
    assert_eq!(world.describe(mine).status, GameSessionStatus::Active);
    assert_eq!(world.events(EventKind::ProtocolViolation).len(), 5);
}

#[test]
fn a_failed_activation_is_tried_elsewhere_at_most_three_times() {
    let mut config = fleet();
    config.processes_per_host = 1;
    config.activation_timeout = "5s".parse().unwrap();
    let mut world = World::running_with(config);
    let create = world.create("one", 4);
    let request = world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    for attempt in 1..=3 {
        let process = world.hosting().unwrap();
        assert_eq!(world.servers[&process].wanted.clone().unwrap().session.unwrap().attempt, attempt);
        match attempt {
            1 => world.pass(5_000),
            2 => world.report(process, Report::SessionEnded { session: session_of(&world), attempt }),
            _ => world.exits(process, ExitStatus::Signal(11)),
        }
        if attempt < 3 {
            assert!(world.stops().contains(&(process, 0)), "the failed process is ended, never reused");
            world.exits(process, ExitStatus::Signal(9));
            assert_eq!(world.process(process).reason, Some(ProcessEnd::ActivationTimeout));
            world.pass(2_000);
            world.start_servers();
        }
    }
    let error = world.answer(request).unwrap().unwrap_err();
    assert_eq!(error.code, ErrorCode::GameSessionActivationFailed);
}

fn session_of(world: &World) -> GameSessionId {
    let process = world.hosting().unwrap();
    world.servers[&process].wanted.clone().unwrap().session.unwrap().id
}

#[test]
fn a_late_activation_of_an_older_attempt_is_refused() {
    let mut world = World::running();
    let create = world.create("one", 4);
    world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    let (first, session) = (world.hosting().unwrap(), session_of(&world));
    world.pass(60_000);
    let second = world.hosting().unwrap();
    assert_ne!(first, second);
    world.report(first, Report::Activated { session, attempt: 1 });
    assert_eq!(world.describe(session).status, GameSessionStatus::Activating);
    world.report(second, Report::Activated { session, attempt: 2 });
    assert_eq!(world.describe(session).process, Some(second));
}

#[test]
fn without_capacity_a_request_waits_or_says_so() {
    let mut config = fleet();
    config.processes_per_host = 1;
    let mut world = World::running_with(config);
    world.session("one", 4);
    let at_once = CreateGameSession { placement_timeout_ms: 0, ..world.create("two", 4) };
    let error = world.operate(OperatorCall::Backend(BackendCall::CreateGameSession(at_once))).unwrap_err();
    assert_eq!(error.code, ErrorCode::FleetCapacityExceeded);
    assert!(error.detail.contains("1 hosting"), "{}", error.detail);
    let patient = world.create("three", 4);
    let request = world.call(OperatorCall::Backend(BackendCall::CreateGameSession(patient)));
    world.pass(29_000);
    assert_eq!(world.answer(request), None);
    world.pass(2_000);
    assert_eq!(world.answer(request).unwrap().unwrap_err().code, ErrorCode::FleetCapacityExceeded);
    let unknown = CreateGameSession { fleet: FleetId::new("nope").unwrap(), ..world.create("four", 4) };
    let error = world.operate(OperatorCall::Backend(BackendCall::CreateGameSession(unknown))).unwrap_err();
    assert!(error.detail.contains(FLEET), "the error names the fleets there are: {}", error.detail);
}

#[test]
fn a_session_that_does_not_end_in_time_is_ended_with_its_process() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let ticket = world.reserve(session, "a", &["ann"]).unwrap().remove(0);
    world.operate(OperatorCall::Backend(BackendCall::TerminateGameSession { session, grace_ms: 2_000 })).unwrap();
    assert_eq!(world.reserve(session, "b", &["bob"]).unwrap_err(), ErrorCode::InvalidGameSessionStatus);
    world.crash();
    world.agent_connects(false);
    world.server_connects(process);
    world.pass(2_500);
    assert!(world.stops().contains(&(process, 0)));
    world.exits(process, ExitStatus::Signal(9));
    assert_eq!(world.describe(session).reason, Some(SessionEnd::ForceTerminated));
    assert_eq!(world.player(ticket.player_session.id).status, PlayerSessionStatus::Completed);
}

#[test]
fn a_crash_is_recorded_and_replaced_with_growing_pauses() {
    let mut config = fleet();
    config.processes_per_host = 1;
    let mut world = World::running_with(config);
    let (session, process) = world.session("one", 4);
    world.exits(process, ExitStatus::Signal(11));
    let info = world.process(process);
    assert_eq!((info.reason, info.exit), (Some(ProcessEnd::Crashed), Some(ExitStatus::Signal(11))));
    assert_eq!(info.output_tail.as_str(), "last words");
    assert_eq!(world.describe(session).reason, Some(SessionEnd::ProcessEnded));
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let mut pause = 0;
        let failed = loop {
            if let Some(process) = world.launches().first() {
                break *process;
            }
            world.silence(50);
            pause += 50;
        };
        pauses.push(pause);
        let (error, detail) = (LaunchError::ExecutableMissing, Detail::lossy("./server does not exist"));
        world.agent_reports(AgentReport::LaunchFailed { process: failed, error, detail });
    }
    assert!(pauses[0] <= 550 && pauses.windows(2).all(|pair| pair[1] >= pair[0].min(20_000)), "{pauses:?}");
    assert!(pauses[8] >= 30_000 && pauses[8] <= 60_050, "{pauses:?}");
    assert!(world.events(EventKind::ProcessLaunchFailed)[0].contains("./server does not exist"));
}

#[test]
fn an_unwell_process_gets_nothing_and_is_stopped_in_the_end() {
    let mut config = fleet();
    config.processes_per_host = 1;
    let mut world = World::running_with(config);
    let process = *world.servers.keys().next().unwrap();
    for _ in 0..3 {
        world.beat(process, false);
    }
    assert!(!world.process(process).healthy);
    let at_once = CreateGameSession { placement_timeout_ms: 0, ..world.create("one", 4) };
    let refused = world.operate(OperatorCall::Backend(BackendCall::CreateGameSession(at_once.clone())));
    assert_eq!(refused.unwrap_err().code, ErrorCode::FleetCapacityExceeded);
    world.beat(process, true);
    assert!(world.process(process).healthy, "a good report makes it well");

    world.silence(4_000);
    assert!(!world.process(process).healthy, "three missed reports make it unwell");
    world.silence(59_000);
    assert_eq!(world.process(process).status, ProcessStatus::Ready);
    world.silence(2_000);
    assert_eq!(world.process(process).status, ProcessStatus::Draining);
    world.agent_reports(AgentReport::StopStep { process, step: StopStep::Kill });
    world.exits(process, ExitStatus::Signal(9));
    assert_eq!(world.process(process).reason, Some(ProcessEnd::Unhealthy));
}

#[test]
fn an_unreachable_server_keeps_its_session_until_it_is_lost() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    world.server_loses_link(process);
    assert!(world.process(process).unreachable_since_ms.is_some());
    assert_eq!(world.reserve(session, "a", &["ann"]).unwrap_err(), ErrorCode::ServerUnavailable);
    world.pass(599_000);
    world.crash(); // The clock of an unreachable process starts anew.
    world.agent_connects(false);
    world.pass(599_000);
    assert_eq!(world.describe(session).status, GameSessionStatus::Active);
    world.pass(2_000);
    assert_eq!(world.describe(session).reason, Some(SessionEnd::ProcessLost));
    assert!(world.stops().contains(&(process, 0)), "if it lives after all, it must not live on");
}

#[test]
fn a_hurried_clock_gets_no_reservations() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    world.beat_with(process, true, world.now + 5_001);
    assert_eq!(world.reserve(session, "a", &["ann"]).unwrap_err(), ErrorCode::ServerUnavailable);
    assert_eq!(world.events(EventKind::ClockSkew).len(), 1);
    world.now += 4_000;
    world.beat_with(process, true, world.now);
    assert!(world.reserve(session, "a", &["ann"]).is_ok());
}

#[test]
fn beats_write_nothing() {
    let mut world = World::running();
    world.session("one", 4);
    let before = world.rows_written;
    for _ in 0..100 {
        world.pass(1_000);
    }
    assert_eq!(world.rows_written, before);
}

#[test]
fn a_full_disk_refuses_new_facts_and_ends_still_work() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let ticket = world.reserve(session, "a", &["ann"]).unwrap().remove(0);
    world.input(Input::StoreLow(true));
    assert_eq!(world.reserve(session, "b", &["bob"]).unwrap_err(), ErrorCode::StoreFull);
    let create = world.create("two", 4);
    let refused = world.operate(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    assert_eq!(refused.unwrap_err().code, ErrorCode::StoreFull);
    world.joins(process, &ticket);
    world.report(process, Report::SessionEnded { session, attempt: 1 });
    assert_eq!(world.describe(session).reason, Some(SessionEnd::Ended));
    world.input(Input::StoreLow(false));
    world.session("three", 4);
}

#[test]
fn what_is_over_is_forgotten_in_the_end() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let ticket = world.reserve(session, "a", &["ann"]).unwrap().remove(0);
    world.leaves(process, &ticket, PlayerEnd::Left);
    world.report(process, Report::SessionEnded { session, attempt: 1 });
    world.report(process, Report::Ending);
    world.exits(process, ExitStatus::Code(0));
    world.start_servers();
    let kept =
        |world: &World| world.disk.values().filter(|row| concerns(row, session, ticket.player_session.id)).count();
    assert_eq!(kept(&world), 2);
    world.pass(25 * 3_600_000);
    assert_eq!(kept(&world), 0);
    let rows: Vec<Row> = world.disk.values().cloned().collect();
    assert!(!rows.iter().any(|row| matches!(row, Row::Process(row) if row.id == process)));
}

fn concerns(row: &Row, session: GameSessionId, player: PlayerSessionId) -> bool {
    match row {
        Row::GameSession(row) => row.id == session,
        Row::PlayerSession(row) => row.id == player,
        _ => false,
    }
}
