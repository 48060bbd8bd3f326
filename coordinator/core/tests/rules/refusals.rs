//! Calls that are refused: the code, and what the caller reads.

use playgate_core::Input;
use playgate_core::rows::Row;
use playgate_protocol::api::*;
use playgate_protocol::limits::PROCESSES_PER_HOST_MAX;
use playgate_protocol::server::Report;
use playgate_protocol::*;

use crate::world::{FLEET, World, fleet, key};

const DAY_MS: u64 = 24 * 3_600_000;

fn no_session() -> GameSessionId {
    GameSessionId::from_bytes([9; 16])
}

fn no_player() -> PlayerSessionId {
    PlayerSessionId::from_bytes([9; 16])
}

#[test]
fn what_is_not_there_is_named() {
    let mut world = World::running();
    let (session, player_session) = (no_session(), no_player());
    let (process, nowhere) = (ServerProcessId::from_bytes([9; 16]), FleetId::new("nope").unwrap());
    for (call, part) in [
        (BackendCall::DescribeGameSession { session }, "ended ones are kept for a day"),
        (BackendCall::TerminateGameSession { session, grace_ms: 0 }, &session.to_string()),
        (BackendCall::AwaitGameSession { session, terminated: false, timeout_ms: 9 }, &session.to_string()),
        (BackendCall::AwaitGameSession { session, terminated: true, timeout_ms: 9 }, &session.to_string()),
        (BackendCall::ListPlayerSessions { session, after: None }, &session.to_string()),
        (BackendCall::DescribePlayerSession { player_session }, "ended ones are kept for ten minutes"),
        (BackendCall::GetTicket { player_session }, &player_session.to_string()),
        (BackendCall::RevokePlayerSession { player_session, timeout_ms: 9 }, &player_session.to_string()),
    ] {
        let error = world.operate(OperatorCall::Backend(call.clone())).unwrap_err();
        assert_eq!((error.code, error.retry_after_ms), (ErrorCode::NotFound, 0), "{call:?}");
        assert!(error.detail.contains(part), "{}", error.detail);
    }
    for (call, part) in [
        (OperatorCall::StopProcess { process, grace_ms: 0 }, process.to_string()),
        (OperatorCall::SetProcessesPerHost { fleet: nowhere, processes_per_host: 1 }, "no fleet \"nope\"".into()),
    ] {
        let error = world.operate(call).unwrap_err();
        assert_eq!(error.code, ErrorCode::NotFound);
        assert!(error.detail.contains(&part), "{}", error.detail);
    }
    assert_eq!(world.reserve(session, "k", &["ann"]).unwrap_err(), ErrorCode::NotFound);
}

#[test]
fn a_game_session_that_nobody_could_mean_is_refused() {
    let mut world = World::running();
    let good = world.create("one", 1);
    let property = |key: &str| (key.parse().unwrap(), "ruins".parse().unwrap());
    let twice = List::first_of([property("map"), property("mode"), property("map")]);
    for (create, part) in [
        (CreateGameSession { max_players: 0, ..good.clone() }, "max_players"),
        (CreateGameSession { idempotency_key: "".parse().unwrap(), ..good.clone() }, "idempotency key"),
        (CreateGameSession { properties: twice, ..good.clone() }, "named twice"),
    ] {
        let error = world.operate(OperatorCall::Backend(BackendCall::CreateGameSession(create))).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        assert!(error.detail.contains(part), "{}", error.detail);
    }
    let Answer::GameSessions(none) =
        world.operate(OperatorCall::Backend(BackendCall::ListGameSessions { fleet: None, after: None })).unwrap()
    else {
        panic!()
    };
    assert_eq!(none.len(), 0, "a refused request makes nothing");
    world.session("one", 1);
}

#[test]
fn a_reservation_names_its_players_its_key_and_a_lifetime_between_a_second_and_an_hour() {
    let mut world = World::running();
    let (session, _) = world.session("one", 9);
    assert_eq!(world.reserve(session, "", &["ann"]).unwrap_err(), ErrorCode::InvalidRequest);
    for (lifetime, is_right) in [(0, false), (999, false), (1_000, true), (3_600_000, true), (3_600_001, false)] {
        let (key, name) = (format!("k{lifetime}"), format!("p{lifetime}"));
        let made = world.reserve_for(session, &key, &[&name], Some(lifetime));
        match made {
            Ok(orders) => {
                let row = &orders[0].player_session;
                assert_eq!(row.expires_at_ms - row.created_ms, u64::from(lifetime));
            }
            Err(code) => assert_eq!(code, ErrorCode::InvalidRequest),
        }
        assert_eq!(world.describe(session).reserved > 0, lifetime >= 1_000, "{lifetime}: {is_right}");
    }
    assert_eq!(world.describe(session).reserved, 2);
}

#[test]
fn what_may_succeed_later_says_when_to_try_again() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let create = |world: &mut World, key: &str| {
        let create = world.create(key, 4);
        world.operate(OperatorCall::Backend(BackendCall::CreateGameSession(create)))
    };
    let reserve = |world: &mut World| {
        let players = List::first_of([NewPlayer { player: PlayerId::new("ann").unwrap(), data: Blob::default() }]);
        let (reservation_ms, idempotency_key) = (None, "k".parse().unwrap());
        let call = CreatePlayerSessions { session, players, reservation_ms, idempotency_key };
        world.operate(OperatorCall::Backend(BackendCall::CreatePlayerSessions(call))).unwrap_err()
    };
    world.input(Input::StoreLow(true));
    let error = create(&mut world, "two").unwrap_err();
    assert_eq!((error.code, error.retry_after_ms), (ErrorCode::StoreFull, 1_000));
    assert!(error.detail.contains("free space"), "{}", error.detail);
    world.input(Input::StoreLow(false));
    world.server_loses_link(process);
    let error = reserve(&mut world);
    assert_eq!((error.code, error.retry_after_ms), (ErrorCode::ServerUnavailable, 1_000));
    world.server_connects(process);
    world.beat(process, true);
    world.report(process, Report::SessionEnded { session, attempt: 1 });
    let error = reserve(&mut world);
    assert_eq!((error.code, error.retry_after_ms), (ErrorCode::InvalidGameSessionStatus, 0));
    assert!(error.detail.contains("Terminated"), "{}", error.detail);
}

#[test]
fn join_keys_have_bounds_and_are_made_once() {
    let mut world = World::running();
    let good = CreateJoinKey {
        secret_sha256: [1; 32],
        role: JoinRole::Server,
        fleet: Some(FleetId::new(FLEET).unwrap()),
        uses: 1,
        lifetime_ms: 1,
    };
    let before = world.disk.len();
    for (create, part) in [
        (CreateJoinKey { uses: 0, ..good.clone() }, "1 to 10000 uses"),
        (CreateJoinKey { uses: 10_001, ..good.clone() }, "1 to 10000 uses"),
        (CreateJoinKey { lifetime_ms: 0, ..good.clone() }, "at most 30 days"),
        (CreateJoinKey { lifetime_ms: 30 * DAY_MS + 1, ..good.clone() }, "at most 30 days"),
        (CreateJoinKey { fleet: None, ..good.clone() }, "names a fleet"),
        (CreateJoinKey { fleet: Some(FleetId::new("nope").unwrap()), ..good.clone() }, "names a fleet"),
    ] {
        let error = world.operate(OperatorCall::CreateJoinKey(create)).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        assert!(error.detail.contains(part), "{}", error.detail);
    }
    assert_eq!(world.disk.len(), before);
    for (n, create) in [
        good.clone(),
        CreateJoinKey { uses: 10_000, lifetime_ms: 30 * DAY_MS, ..good.clone() },
        CreateJoinKey { role: JoinRole::Backend, fleet: None, ..good.clone() },
    ]
    .into_iter()
    .enumerate()
    {
        let create = CreateJoinKey { secret_sha256: [n as u8 + 1; 32], ..create };
        assert_eq!(world.operate(OperatorCall::CreateJoinKey(create.clone())), Ok(Answer::Done));
        let row = world.disk[&format!("join {:?}", create.secret_sha256)].clone();
        let Row::JoinKey(row) = row else { panic!("{row:?}") };
        assert_eq!((row.uses_left, row.expires_ms), (create.uses, world.now + create.lifetime_ms));
        let error = world.operate(OperatorCall::CreateJoinKey(create)).unwrap_err();
        assert!(error.detail.contains("made before"), "{}", error.detail);
    }
    assert_eq!(world.events(EventKind::JoinKeyCreated).last().unwrap(), "role backend, 1 uses");
}

#[test]
fn a_join_key_is_good_until_it_expires_and_not_while_the_disk_is_nearly_full() {
    let mut world = World::new(fleet());
    let secret = world.join_key(JoinRole::Backend, 9);
    let greet = |world: &mut World, peer| {
        let link = world.link();
        world.open(link, key(peer), Credential::Join { secret: secret.clone() }, HelloRole::Backend);
        (world.greeting(link), world.retry_after(link))
    };
    world.input(Input::StoreLow(true));
    assert_eq!(greet(&mut world, 10), (Err(RefusalReason::Busy), Some(1_000)));
    world.input(Input::StoreLow(false));
    world.now += 59_999;
    assert!(greet(&mut world, 10).0.is_ok());
    world.now += 1;
    assert_eq!(greet(&mut world, 11), (Err(RefusalReason::JoinKeyInvalid), Some(0)));
}

#[test]
fn a_fleet_that_is_set_beyond_its_bound_stays_as_it_was() {
    let mut world = World::running();
    let keep = |n| OperatorCall::SetProcessesPerHost { fleet: FleetId::new(FLEET).unwrap(), processes_per_host: n };
    let error = world.operate(keep(PROCESSES_PER_HOST_MAX as u32 + 1)).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidRequest);
    assert!(error.detail.contains("at most 2048"), "{}", error.detail);
    assert_eq!(world.launches().len(), 0);
    world.operate(keep(3)).unwrap();
    assert_eq!(world.launches().len(), 1);
}
