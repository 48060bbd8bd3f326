//! Signing keys, fitness and clocks of servers: under what tokens are minted, and who gets nothing placed.

use playgate_core::Input;
use playgate_core::limits::{ORDINAL_BLOCK, PLAYER_RETENTION_MS, RETURN_MS};
use playgate_core::rows::Row;
use playgate_protocol::api::*;
use playgate_protocol::reason::{PlayerEnd, ProcessEnd};
use playgate_protocol::server::Report;
use playgate_protocol::*;

use crate::world::{World, fleet, key};

fn at_once(world: &mut World, key: &str) -> Result<Answer, ErrorCode> {
    let create = CreateGameSession { placement_timeout_ms: 0, ..world.create(key, 4) };
    let request = world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    world.answer(request).unwrap_or(Ok(Answer::Done)).map_err(|error| error.code)
}

fn one_process() -> (World, ServerProcessId) {
    let mut config = fleet();
    config.processes_per_host = 1;
    let world = World::running_with(config);
    let process = *world.servers.keys().next().unwrap();
    (world, process)
}

#[test]
fn a_key_id_has_one_public_key() {
    let (mut world, process) = one_process();
    world.input(Input::ApplySigningKey { key_id: 1, public_key: [9; 32] });
    let keys = world.servers[&process].wanted.clone().unwrap().keys;
    assert_eq!(keys.iter().map(|key| (key.key_id, key.public_key)).collect::<Vec<_>>(), [(1, [9; 32])]);
    let rows = world.rows_written;
    world.input(Input::ApplySigningKey { key_id: 1, public_key: [9; 32] });
    assert_eq!(world.rows_written, rows);
}

/// Which key it may be minted under is not in a row: after a restart the server has to say what it holds.
#[test]
fn nothing_is_placed_after_a_restart_before_the_server_has_said_what_it_holds() {
    let (mut world, process) = one_process();
    world.crash();
    world.server_connects(process);
    assert_eq!(at_once(&mut world, "one"), Err(ErrorCode::FleetCapacityExceeded));
    world.beat(process, true);
    assert_eq!(at_once(&mut world, "two"), Ok(Answer::Done), "it waits for its activation");
}

#[test]
fn nothing_is_placed_on_a_server_whose_clock_runs_ahead() {
    let (mut world, process) = one_process();
    for ahead_ms in [5_001, 7_000] {
        world.beat_with(process, true, world.now + ahead_ms);
        assert_eq!(at_once(&mut world, "one"), Err(ErrorCode::FleetCapacityExceeded), "{ahead_ms}");
    }
    let told = ["its clock runs 5001 ms ahead: no reservations until it is right"];
    assert_eq!(world.events(EventKind::ClockSkew), told, "told once");
    let create = world.create("two", 4);
    world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    assert_eq!(world.process(process).status, ProcessStatus::Ready);
    world.beat_with(process, true, world.now + 5_000);
    assert_eq!(
        world.process(process).status,
        ProcessStatus::Hosting,
        "what waits for it is placed as soon as it is right"
    );
}

/// What a server was offered and has not acknowledged is remembered once for each key, however often it was told.
#[test]
fn offers_of_the_same_key_take_no_memory() {
    let mut world = World::running();
    let (session, process) = world.session("one", 60);
    let offers = |world: &World| format!("{:?}", world.core).matches("KeyOffer").count();
    assert_eq!(offers(&world), 0, "all is acknowledged");
    for key_id in [2, 3] {
        world.input(Input::ApplySigningKey { key_id, public_key: [key_id as u8; 32] });
    }
    for n in 0..20 {
        let ticket = world.reserve(session, &n.to_string(), &[&n.to_string()]).unwrap().remove(0);
        let player_session = ticket.player_session.id;
        world.call(OperatorCall::Backend(BackendCall::RevokePlayerSession { player_session, timeout_ms: 9 }));
    }
    assert_eq!(offers(&world), 4, "two keys, two servers");
    world.beat(process, true);
    assert_eq!(offers(&world), 2);
    assert_eq!(world.reserve(session, "x", &["x"]).unwrap()[0].player_session.key_id, 3);
}

/// The row of a game session changes once in so many reservations.
#[test]
fn ordinals_are_written_down_in_blocks() {
    let mut world = World::running();
    let (session, _) = world.session("one", 1_000);
    for n in 0..2 * ORDINAL_BLOCK + 1 {
        world.reserve(session, &n.to_string(), &[&n.to_string()]).unwrap();
        let row = &world.disk[&format!("session {session}")];
        let Row::GameSession(row) = row else { panic!("{row:?}") };
        assert_eq!(row.ordinal_high, (n / ORDINAL_BLOCK + 1) * ORDINAL_BLOCK, "{n}");
    }
}

#[test]
fn revoking_a_player_who_has_left_changes_nothing() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let ticket = world.reserve(session, "k", &["ann"]).unwrap().remove(0);
    world.joins(process, &ticket);
    world.leaves(process, &ticket, PlayerEnd::Left);
    let rows = world.rows_written;
    let player_session = ticket.player_session.id;
    let call = BackendCall::RevokePlayerSession { player_session, timeout_ms: 60_000 };
    let Ok(Answer::PlayerSessions(infos)) = world.operate(OperatorCall::Backend(call)) else { panic!() };
    assert_eq!((infos[0].reason, infos[0].revoking), (Some(PlayerEnd::Left), false));
    assert_eq!(world.rows_written, rows);
}

/// Slow to load is not proof of health: after a failed activation there is a pause, however long it was ready.
#[test]
fn a_process_that_fails_to_activate_is_replaced_after_a_pause() {
    let (mut world, process) = one_process();
    world.pass(20_000);
    let create = world.create("one", 4);
    world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    world.pass(60_000);
    world.exits(process, agent::ExitStatus::Signal(15));
    assert_eq!(world.process(process).reason, Some(ProcessEnd::ActivationTimeout));
    world.silence(249);
    assert_eq!(world.launches(), []);
    world.silence(251);
    assert_eq!(world.launches().len(), 1);
}

/// Both sides are not compared while a session ends: the players leave before the server says that it is over.
#[test]
fn counts_are_not_compared_while_a_session_ends() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let ticket = world.reserve(session, "k", &["ann"]).unwrap().remove(0);
    world.joins(process, &ticket);
    world.operate(OperatorCall::Backend(BackendCall::TerminateGameSession { session, grace_ms: 9_000 })).unwrap();
    world.beat(process, true); // it counts nobody
    assert_eq!(world.events(EventKind::ProtocolViolation), [""; 0]);
}

/// The answer to a create is an active session, or why there is none, or one that is past that.
#[test]
fn creating_again_finds_a_session_that_ends_and_waits_for_one_that_begins() {
    let mut config = fleet();
    config.activation_timeout = "20m".parse().unwrap();
    config.unhealthy_timeout = "1h".parse().unwrap();
    let mut world = World::running_with(config);
    let (session, _) = world.session("one", 4);
    world.operate(OperatorCall::Backend(BackendCall::TerminateGameSession { session, grace_ms: 900_000 })).unwrap();
    let create = world.create("one", 4);
    let answer = world.operate(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    assert!(matches!(answer, Ok(Answer::GameSession(info)) if info.status == GameSessionStatus::Terminating));

    let create = world.create("two", 4);
    let request = world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    world.silence(1_199_999);
    assert_eq!(world.answer(request), None, "twenty minutes are not over");
}

/// What was loaded is not written again.
#[test]
fn a_restart_writes_only_that_it_happened() {
    let mut world = World::running();
    world.session("one", 4);
    let (rows, before) = (world.rows_written, world.disk.len());
    world.crash();
    assert_eq!((world.rows_written, world.disk.len()), (rows + 1, before + 1));
    assert_eq!(world.events(EventKind::CoordinatorStarted), ["starts anew", "goes on from what was stored"]);
    world.input(Input::ApplyOperator(key(1)));
    assert_eq!(world.rows_written, rows + 1, "the operator is who it was");
}

/// A waiting session whose time ran out meanwhile: servers need a moment to come back.
#[test]
fn after_a_restart_a_waiting_session_waits_a_little_longer() {
    let (mut world, process) = one_process();
    world.server_loses_link(process);
    let create = world.create("one", 4);
    world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create.clone())));
    world.now += 31_000;
    world.crash();
    let request = world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    world.silence(RETURN_MS - 1);
    assert_eq!(world.answer(request), None);
    world.silence(1);
    assert_eq!(world.answer(request).unwrap().unwrap_err().code, ErrorCode::FleetCapacityExceeded);
}

/// How long its key was kept before is not written down: it is kept as long again.
#[test]
fn after_a_restart_a_player_who_left_is_remembered_for_ten_minutes() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let ticket = world.reserve(session, "k", &["ann"]).unwrap().remove(0);
    world.leaves(process, &ticket, PlayerEnd::Left);
    world.silence(PLAYER_RETENTION_MS / 2);
    world.crash();
    world.silence(PLAYER_RETENTION_MS - 1);
    assert_eq!(world.player(ticket.player_session.id).reason, Some(PlayerEnd::Left));
    world.silence(1);
    assert_eq!(world.ticket(ticket.player_session.id).unwrap_err(), ErrorCode::NotFound);
}

/// Who a key was bound to is on record, and another operator takes nothing from the others.
#[test]
fn bindings_are_on_record_and_outlive_a_change_of_operator() {
    let mut world = World::running();
    let secret = world.join_key(JoinRole::Backend, 1);
    let link = world.link();
    world.open(link, key(10), Credential::Join { secret }, HelloRole::Backend);
    let bound = world.events(EventKind::PeerBound);
    let process = *world.servers.keys().next().unwrap();
    let host = world.process(process).host;
    for what in [
        "operator".to_owned(),
        "backend".to_owned(),
        format!("agent of {}", host.unwrap()),
        format!("server process {process}"),
    ] {
        assert_eq!(bound.iter().filter(|text| **text == what).count(), 1, "{what}: {bound:?}");
    }
    world.input(Input::ApplyOperator(key(77)));
    for (peer, role, welcome) in [
        (key(77), HelloRole::Operator, true),
        (key(10), HelloRole::Backend, true),
        (key(1), HelloRole::Operator, false),
    ] {
        let link = world.link();
        world.open(link, peer, Credential::Bound, role.clone());
        assert_eq!(world.greeting(link).is_ok(), welcome, "{role:?}");
    }
}

/// Whichever comes last, the word that it is ready or the acknowledgement of a key: from then on it hosts, at once.
#[test]
fn a_process_is_ready_when_it_has_said_so_and_holds_a_key() {
    for ready_first in [false, true] {
        let mut config = fleet();
        config.processes_per_host = 1;
        let mut world = World::new(config);
        let create = world.create("one", 4);
        world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
        world.agent_connects(true);
        let process = world.launches()[0];
        world.servers.insert(process, Default::default());
        world.server_connects(process);
        let says = |world: &mut World, ready: bool| match ready {
            true => world.report(process, Report::Ready { ports: List::first_of([7_000]) }),
            false => world.beat(process, true),
        };
        says(&mut world, ready_first);
        assert_eq!(world.process(process).status, ProcessStatus::Connected, "ready first: {ready_first}");
        assert_eq!(world.events(EventKind::ProcessReady), [""; 0]);
        says(&mut world, !ready_first);
        assert_eq!(world.process(process).status, ProcessStatus::Hosting, "ready first: {ready_first}");
        assert_eq!(world.events(EventKind::ProcessReady), ["players reach it at 192.0.2.9:7000"]);
    }
}

#[test]
fn a_process_that_becomes_well_takes_what_waits() {
    let (mut world, process) = one_process();
    (0..3).for_each(|_| world.beat(process, false));
    let create = world.create("one", 4);
    world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    assert_eq!(world.process(process).status, ProcessStatus::Ready);
    world.beat(process, true);
    assert_eq!(world.process(process).status, ProcessStatus::Hosting);
    let session = world.servers[&process].wanted.clone().unwrap().session.unwrap().id;
    world.report(process, Report::Activated { session, attempt: 1 });
    assert_eq!(world.describe(session).status, GameSessionStatus::Active);
}
