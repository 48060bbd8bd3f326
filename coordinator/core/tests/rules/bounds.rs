//! Every bound of the core: what is full refuses, says so, and takes again once there is room.

use std::collections::BTreeSet;

use playgate_core::limits::*;
use playgate_core::rows::Row;
use playgate_core::{Core, Input, LinkId, Output, Start};
use playgate_protocol::api::*;
use playgate_protocol::limits::{ORDINALS_PER_SESSION_MAX, REVOKED_MAX};
use playgate_protocol::server::SessionData;
use playgate_protocol::*;

use crate::world::{FLEET, World, fleet, key};

fn join_key(n: u32, role: JoinRole, uses: u32) -> CreateJoinKey {
    let mut secret_sha256 = [0; 32];
    secret_sha256[..4].copy_from_slice(&n.to_le_bytes());
    CreateJoinKey { secret_sha256, role, fleet: None, uses, lifetime_ms: 60_000 }
}

#[test]
fn join_keys_that_expired_make_room_for_others() {
    let mut world = World::new(fleet());
    let make = |world: &mut World, n| {
        world.outputs.clear();
        world.operate(OperatorCall::CreateJoinKey(join_key(n, JoinRole::Backend, 1)))
    };
    for n in 0..10_000 {
        assert_eq!(make(&mut world, n), Ok(Answer::Done), "{n}");
    }
    assert_eq!(make(&mut world, 10_000).unwrap_err().code, ErrorCode::Busy);
    world.now += 59_999;
    assert_eq!(make(&mut world, 10_000).unwrap_err().code, ErrorCode::Busy);
    world.now += 1;
    assert_eq!(make(&mut world, 10_000), Ok(Answer::Done));
    let kept = world.disk.values().filter(|row| matches!(row, Row::JoinKey(_))).count();
    assert_eq!(kept, 1, "those that expired are forgotten on the disk, too");
}

#[test]
fn a_fleet_has_a_bounded_queue_of_sessions_and_a_link_a_bounded_number_of_waiting_calls() {
    let mut world = World::new(fleet());
    let mut codes = Vec::new();
    for n in 0..=PLACING_MAX {
        world.outputs.clear();
        let create = world.create(&n.to_string(), 4);
        let request = world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
        codes.push(world.answer(request).map(|answer| answer.unwrap_err()));
    }
    let text = |n: usize| codes[n].as_ref().map(|error: &CallError| (error.code, error.detail.as_str()));
    let (calls, sessions) =
        ("too many calls wait; poll with describe", "too many game sessions wait for a process of this fleet");
    for (n, expected) in [
        (0, None),
        (WAITERS_PER_LINK_MAX - 1, None),
        (WAITERS_PER_LINK_MAX, Some((ErrorCode::Busy, calls))),
        (PLACING_MAX - 1, Some((ErrorCode::Busy, calls))),
        (PLACING_MAX, Some((ErrorCode::Busy, sessions))),
    ] {
        assert_eq!(text(n), expected, "{n}");
    }
}

#[test]
fn the_data_of_waiting_sessions_is_bounded_until_they_wait_no_more() {
    let bounds = Bounds { placing_data_bytes: 100_000, ..Bounds::default() };
    let mut world = World::within(bounds, fleet());
    let make = |world: &mut World, key: &str, bytes: usize| {
        world.outputs.clear();
        let create = CreateGameSession {
            data: SessionData::new(vec![1; bytes]).unwrap(),
            placement_timeout_ms: 60_000,
            ..world.create(key, 4)
        };
        let request = world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
        world.answer(request).map(|answer| answer.unwrap_err().code)
    };
    assert_eq!(make(&mut world, "0", 40_000), None);
    assert_eq!(make(&mut world, "1", 40_000), None);
    assert_eq!(make(&mut world, "2", 20_001), Some(ErrorCode::Busy));
    assert_eq!(make(&mut world, "3", 20_000), None);
    assert_eq!(make(&mut world, "4", 1), Some(ErrorCode::Busy));
    assert_eq!(make(&mut world, "5", 0), None, "without data there is room");
    world.crash();
    assert_eq!(make(&mut world, "6", 1), Some(ErrorCode::Busy), "what is loaded counts");
    world.silence(30_000);
    let processes = {
        world.agent_connects(true);
        world.start_servers();
        world.servers.len()
    };
    assert!(processes > 0);
    assert_eq!(make(&mut world, "7", 40_000), None, "one was placed");
    world.silence(60_000); // the activation failed, and it waits once more
    world.silence(60_000);
    assert_eq!(make(&mut world, "8", 49_152), None, "the others waited long enough");
    assert_eq!(make(&mut world, "9", 49_152), None);
}

#[test]
fn a_server_that_claims_the_last_version_is_told_news_all_the_same() {
    let mut world = World::running();
    let process = *world.servers.keys().next().unwrap();
    for claimed in [u64::MAX, u64::MAX - 1, 7] {
        world.outputs.clear();
        world.server_connects_with(process, claimed);
        let told = world.servers[&process].wanted.clone().unwrap().version;
        world.input(Input::ApplySigningKey { key_id: 2, public_key: [claimed as u8; 32] });
        let next = world.servers[&process].wanted.clone().unwrap().version;
        assert!(next > told, "{next} after {told}");
    }
}

#[test]
fn all_links_together_have_a_bounded_number_of_waiting_calls() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let secret = world.join_key(JoinRole::Backend, 100);
    let links = WAITERS_MAX / WAITERS_PER_LINK_MAX + 1;
    for n in 0..links {
        let link = world.link();
        world.open(link, key(100 + n as u8), Credential::Join { secret: secret.clone() }, HelloRole::Backend);
        world.outputs.clear();
        for request in 0..WAITERS_PER_LINK_MAX as u64 {
            let call = BackendCall::AwaitGameSession { session, terminated: true, timeout_ms: 600_000 };
            world.core.handle(world.now, Input::Backend(link, BackendUp { request, call }));
        }
        let refused = world.core.take_turn().outputs.len();
        assert_eq!(refused, if n + 1 < links { 0 } else { WAITERS_PER_LINK_MAX }, "link {n}");
    }
    world.report(process, server::Report::SessionEnded { session, attempt: 1 });
    let answers = world.outputs.iter().filter(|output| matches!(output, Output::Answer { .. })).count();
    assert_eq!(answers, WAITERS_MAX, "all of them at once");
}

#[test]
fn there_is_room_for_a_page_of_fleets() {
    let mut world = World::new(fleet());
    let named = |n: usize| {
        let mut other = fleet();
        other.name = FleetId::new(format!("f{n}")).unwrap();
        other
    };
    for n in 1..FLEETS_MAX {
        world.input(Input::ApplyFleet(named(n)));
    }
    assert_eq!(world.events(EventKind::StoreSpace).len(), 0);
    world.input(Input::ApplyFleet(named(FLEETS_MAX)));
    assert_eq!(world.events(EventKind::StoreSpace), ["too many fleets on this coordinator"]);
    let Ok(Answer::Fleets(fleets)) = world.operate(OperatorCall::ListFleets) else { panic!() };
    assert_eq!(fleets.len(), FLEETS_MAX);
    assert!(!fleets.iter().any(|fleet| fleet.id.as_str() == format!("f{FLEETS_MAX}")));
    // One that is there can still be changed.
    let mut changed = named(1);
    changed.processes_per_host = 7;
    world.input(Input::ApplyFleet(changed));
    let Ok(Answer::Fleets(fleets)) = world.operate(OperatorCall::ListFleets) else { panic!() };
    assert!(fleets.iter().any(|fleet| fleet.id.as_str() == "f1" && fleet.processes_per_host == 7));
}

#[test]
fn there_is_room_for_a_page_of_hosts() {
    let mut world = World::new(fleet());
    let secret = world.join_key(JoinRole::Agent, HOSTS_MAX as u32 + 1);
    let greet = |world: &mut World, n: usize| {
        let link = world.link();
        let role = HelloRole::Agent { name: "host".parse().unwrap(), advertise: None, capacity: 0 };
        world.open(link, key(100 + n as u8), Credential::Join { secret: secret.clone() }, role);
        world.greeting(link).map(|_| ())
    };
    for n in 0..HOSTS_MAX {
        assert_eq!(greet(&mut world, n), Ok(()), "{n}");
    }
    assert_eq!(greet(&mut world, HOSTS_MAX), Err(RefusalReason::Busy));
    let uses = world.disk.values().find_map(|row| match row {
        Row::JoinKey(row) => Some(row.uses_left),
        _ => None,
    });
    assert_eq!(uses, Some(1), "a refused agent spends nothing");
}

#[test]
fn revocations_beyond_what_a_wanted_state_holds_wait() {
    let mut world = World::running();
    let (session, process) = world.session("one", 1_000);
    let mut tickets = Vec::new();
    for n in 0..=REVOKED_MAX {
        let name = format!("p{n}");
        tickets.extend(world.reserve(session, &name, &[&name]).unwrap());
        world.outputs.clear();
    }
    let revoke = |world: &mut World, n: usize| {
        let player_session = tickets[n].player_session.id;
        let call = BackendCall::RevokePlayerSession { player_session, timeout_ms: 600_000 };
        world.outputs.clear();
        let request = world.call(OperatorCall::Backend(call));
        world.answer(request).map(|answer| answer.unwrap_err().code)
    };
    for n in 0..REVOKED_MAX {
        assert_eq!(revoke(&mut world, n), None, "{n} waits for the server's answer");
    }
    let told = |world: &World| world.servers[&process].wanted.clone().unwrap().session.unwrap().revoked.len();
    assert_eq!(told(&world), REVOKED_MAX);
    assert_eq!(revoke(&mut world, REVOKED_MAX), Some(ErrorCode::Busy));
    assert_eq!(revoke(&mut world, 0), None, "one that is under way may be asked for again");
    world.player_report(process, &tickets[0].clone(), server::PlayerOutcome::Blocked);
    assert_eq!(revoke(&mut world, REVOKED_MAX), None);
    assert_eq!(told(&world), REVOKED_MAX);
}

#[test]
fn a_game_session_hands_out_a_million_ordinals_and_no_more() {
    let mut world = World::running();
    let (session, process) = world.session("one", 1_000);
    for row in world.disk.values_mut() {
        if let Row::GameSession(row) = row {
            row.ordinal_high = ORDINALS_PER_SESSION_MAX - 2;
        }
    }
    world.crash();
    world.server_connects(process);
    world.beat(process, true);
    assert_eq!(world.reserve(session, "a", &["1", "2", "3"]).unwrap_err(), ErrorCode::GameSessionFull);
    let ordinals: Vec<u32> =
        world.reserve(session, "b", &["1", "2"]).unwrap().iter().map(|order| order.player_session.ordinal).collect();
    assert_eq!(ordinals, [ORDINALS_PER_SESSION_MAX - 2, ORDINALS_PER_SESSION_MAX - 1]);
    assert_eq!(world.reserve(session, "c", &["3"]).unwrap_err(), ErrorCode::GameSessionFull);
}

/// A store that obeys keeps what the core keeps, and a window of 256 more.
#[test]
fn events_are_kept_up_to_a_number_in_memory_and_on_the_disk() {
    let mut core = Core::load(Start { shard: 0, seed: [7; 32], now_ms: 1 }, Vec::new());
    let (mut kept, mut orders) = (BTreeSet::new(), 0);
    for n in 0..EVENTS_MAX as u64 + 1_000 {
        core.handle(n, Input::StoreLow(n % 2 == 0));
        for row in core.take_turn().rows {
            match row {
                Row::Event(event) => assert!(kept.insert(event.seq), "each is written once"),
                Row::ForgetEvents(through) => {
                    kept.retain(|seq| *seq > through);
                    orders += 1;
                }
                _ => {}
            }
        }
        assert!(kept.len() <= EVENTS_MAX + 256, "{} events on the disk", kept.len());
    }
    let last = *kept.last().unwrap();
    assert_eq!(last, EVENTS_MAX as u64 + 1_001, "one for each change, and the start");
    let (link, oldest) = (LinkId(1), last + 1 - EVENTS_MAX as u64);
    assert!((oldest..=last).all(|seq| kept.contains(&seq)), "the disk has what memory has");
    assert_eq!(orders, 3, "once in 256 events");
    core.handle(9, Input::ApplyOperator(key(1)));
    let hello = Hello {
        versions: VersionRange::OURS,
        software: "test".parse().unwrap(),
        credential: Credential::Bound,
        role: HelloRole::Operator,
    };
    let from = [127, 0, 0, 1].into();
    core.handle(9, Input::Opened { link, peer: key(1), from, hello, launch_proven: false });
    core.handle(9, Input::Operator(link, OperatorUp { request: 1, call: OperatorCall::ListEvents { after: 0 } }));
    let outputs = core.take_turn().outputs;
    let Some(Output::Answer { outcome: Ok(Answer::Events(page)), .. }) = outputs.last() else { panic!("{outputs:?}") };
    assert_eq!((page[0].seq, page.len()), (oldest + 1, 64), "the operator's key was one more");
}

#[test]
fn what_strangers_cause_is_counted_in_the_next_event_of_its_kind() {
    let mut world = World::new(fleet());
    let stranger = |world: &mut World| {
        let link = world.link();
        world.open(link, key(200), Credential::Bound, HelloRole::Backend);
    };
    (0..50).for_each(|_| stranger(&mut world));
    let refused = world.events(EventKind::PeerRefused);
    assert_eq!(refused.len(), 20);
    world.now += 10_000;
    stranger(&mut world);
    let last = world.events(EventKind::PeerRefused).pop().unwrap();
    assert!(last.ends_with("(and 30 more of this kind before)"), "{last}");
    assert!(!refused[0].contains("more of this kind"), "{}", refused[0]);
}

#[test]
fn a_fleet_for_hand_started_servers_launches_nothing() {
    let mut config = fleet();
    config.command = List::default();
    let mut world = World::new(config);
    world.agent_connects(true);
    assert_eq!(world.launches(), []);
    let Ok(Answer::Fleets(fleets)) = world.operate(OperatorCall::ListFleets) else { panic!() };
    assert_eq!((fleets[0].id.as_str(), fleets[0].processes), (FLEET, [0; 5]));
}
