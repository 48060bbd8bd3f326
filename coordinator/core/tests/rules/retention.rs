//! How much is kept of what is over, and for how long: the oldest leave first, also after a restart.

use playgate_core::limits::*;
use playgate_protocol::api::*;
use playgate_protocol::*;

use crate::world::{World, fleet, key_of};

const MINUTE_MS: u64 = 60_000;

/// A game session that ended at once.
fn ended(world: &mut World, key: &str) -> GameSessionId {
    let session = made(world, key).unwrap();
    world.call(OperatorCall::Backend(BackendCall::TerminateGameSession { session, grace_ms: 0 }));
    session
}

/// A game session that waits for a process, or why there is none.
fn made(world: &mut World, key: &str) -> Result<GameSessionId, CallError> {
    let create = CreateGameSession { placement_timeout_ms: 600_000, ..world.create(key, 4) };
    world.outputs.clear();
    let before = kept(world);
    let request = world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    match world.answer(request) {
        Some(Err(error)) => Err(error),
        _ => Ok(kept(world).into_iter().find(|id| !before.contains(id)).expect("one more than before")),
    }
}

fn kept(world: &mut World) -> Vec<GameSessionId> {
    let list = BackendCall::ListGameSessions { fleet: None, after: None };
    let Ok(Answer::GameSessions(page)) = world.operate(OperatorCall::Backend(list)) else { panic!() };
    page.iter().map(|info| info.id).collect()
}

#[test]
fn too_many_ended_sessions_leave_the_oldest_first_once_their_keys_may() {
    for restart in [false, true] {
        let bounds = Bounds { ended_sessions: 2, ..Bounds::default() };
        let mut world = World::within(bounds, fleet());
        let expect = |world: &mut World, expected: &[GameSessionId], what: &str| {
            if restart {
                world.crash();
            }
            world.silence(0);
            assert_eq!(kept(world), expected, "{what}, restart: {restart}");
            world.outputs.clear();
        };
        let mut ids = Vec::new();
        for n in 0..3 {
            ids.push(ended(&mut world, &n.to_string()));
            world.now += 1;
        }
        expect(&mut world, &ids, "the third is one too many, and the first has just ended");
        let first_ended = world.now - 3;
        world.now = first_ended + IDEMPOTENCY_MS - 1;
        expect(&mut world, &ids, "a late repetition of its request still finds it");
        world.now += 1;
        ids.remove(0);
        expect(&mut world, &ids, "it leaves");
        world.now += 3 * MINUTE_MS;
        expect(&mut world, &ids, "two may stay");
        ids.push(ended(&mut world, "later"));
        ids.remove(0);
        expect(&mut world, &ids, "the oldest leaves at once for one that is over, as it was kept long enough");
        world.now = first_ended + 2 + SESSION_RETENTION_MS - 1;
        expect(&mut world, &ids, "the others have their day");
        world.now += 1;
        ids.remove(0);
        expect(&mut world, &ids, "and no more than it");
        ids.push(ended(&mut world, "last"));
        let written = world.rows_written;
        expect(&mut world, &ids, "there is room again");
        assert!(restart || world.rows_written == written, "what has left is not forgotten once more");
    }
}

#[test]
fn a_full_coordinator_refuses_sessions_until_ended_ones_leave() {
    let bounds = Bounds { sessions: 3, ended_sessions: 0, ..Bounds::default() };
    let mut world = World::within(bounds, fleet());
    let live = made(&mut world, "live").unwrap();
    world.now += 1;
    ended(&mut world, "0");
    world.now += 1;
    let last = ended(&mut world, "1");
    let refused = made(&mut world, "2").unwrap_err();
    assert_eq!((refused.code, refused.retry_after_ms), (ErrorCode::Busy, 1_000));
    let text = "this coordinator keeps at most 3 game sessions, live ones and those that ended within 10 minutes; end \
                some, or make them more slowly";
    assert_eq!(refused.detail.as_str(), text);
    world.crash();
    assert_eq!(made(&mut world, "2").unwrap_err().code, ErrorCode::Busy);
    // The request that made one finds it, full or not.
    let again = CreateGameSession { placement_timeout_ms: 600_000, ..world.create("live", 4) };
    let request = world.call(OperatorCall::Backend(BackendCall::CreateGameSession(again)));
    assert_eq!(world.answer(request), None, "it waits for a process like the first");
    world.silence(IDEMPOTENCY_MS - 1);
    let fourth = made(&mut world, "2").unwrap();
    assert_eq!(kept(&mut world), [live, last, fourth]);
}

/// Each is a thing of its own: a session with thousands of players must not hold up a turn when it leaves.
#[test]
fn players_leave_before_the_session_that_leaves_with_them() {
    let bounds = Bounds { ended_sessions: 0, ..Bounds::default() };
    let mut world = World::within(bounds, fleet());
    world.agent_connects(true);
    world.start_servers();
    let (session, process) = world.session("one", 4);
    world.reserve(session, "k", &["ann", "bob"]).unwrap();
    world.report(process, server::Report::SessionEnded { session, attempt: 1 });
    world.silence(IDEMPOTENCY_MS - 1);
    let kept = |world: &World, what: &str| world.disk.keys().filter(|key| key.starts_with(what)).count();
    assert_eq!((kept(&world, "session"), kept(&world, "player")), (1, 2));
    world.now += 1;
    let mut players_left = kept(&world, "player");
    while kept(&world, "session") == 1 {
        players_left = kept(&world, "player");
        assert!(world.core.poll_timeout().is_some_and(|at| at <= world.now), "the session stays");
        world.one_timer();
    }
    assert_eq!(players_left, 0, "players that left with their session, in one step");
}

#[test]
fn a_full_coordinator_reserves_for_all_players_of_a_request_or_for_none() {
    let bounds = Bounds { players: 3, ..Bounds::default() };
    let mut config = fleet();
    config.unhealthy_timeout = "1h".parse().unwrap(); // it says nothing in all that time
    let mut world = World::within(bounds, config);
    world.agent_connects(true);
    world.start_servers();
    let (session, process) = world.session("one", 9);
    let tickets = world.reserve(session, "1", &["ann", "bob"]).unwrap();
    assert_eq!(world.reserve(session, "2", &["cid", "dan"]).unwrap_err(), ErrorCode::Busy);
    world.reserve(session, "3", &["cid"]).unwrap();
    assert_eq!(world.reserve(session, "4", &["dan"]).unwrap_err(), ErrorCode::Busy);
    assert_eq!(world.reserve(session, "1", &["ann", "bob"]).unwrap().len(), 2, "the request that made them finds them");
    world.leaves(process, &tickets[0], reason::PlayerEnd::Left);
    assert_eq!(world.reserve(session, "4", &["dan"]).unwrap_err(), ErrorCode::Busy, "who left is kept for a while");
    world.silence(PLAYER_RETENTION_MS - 1);
    assert_eq!(world.reserve(session, "4", &["dan"]).unwrap_err(), ErrorCode::Busy);
    world.silence(1);
    world.reserve(session, "4", &["dan"]).unwrap();
    world.crash();
    world.server_connects(process);
    world.beat(process, true);
    assert_eq!(world.reserve(session, "5", &["eve"]).unwrap_err(), ErrorCode::Busy);
}

#[test]
fn too_many_ended_processes_leave_the_oldest_first() {
    for restart in [false, true] {
        let bounds = Bounds { ended_processes: 2, ..Bounds::default() };
        let mut world = World::within(bounds, fleet());
        world.agent_connects(true);
        let mut ended = Vec::new();
        for n in 1..=4 {
            let process = world.start_servers()[0];
            world.silence(PROVEN_AFTER_MS); // so that it is replaced at once
            let first_key = world.disk.contains_key(&format!("peer {}", key_of(process)));
            world.exits(process, agent::ExitStatus::Code(0));
            ended.push(process);
            world.silence(1);
            if restart {
                world.crash();
                world.silence(0);
                world.agent_connects(false);
            }
            let kept = |of: &dyn Fn(ServerProcessId) -> String| {
                ended.iter().map(|id| world.disk.contains_key(&of(*id))).collect::<Vec<_>>()
            };
            let expected: Vec<bool> = (0..n).map(|which| which + 2 >= n).collect();
            assert!(first_key, "{n}, restart: {restart}");
            assert_eq!(kept(&|id| format!("process {id}")), expected, "{n}, restart: {restart}");
            assert_eq!(kept(&|id| format!("peer {}", key_of(id))), expected, "keys go with them; {n}, {restart}");
            world.pass(BACKOFF_MS_MAX);
        }
        world.silence(PROCESS_RETENTION_MS);
        let old = ended.iter().filter(|id| world.disk.contains_key(&format!("process {id}"))).count();
        assert_eq!(old, 0, "an hour is the most");
    }
}
