//! Player sessions: what servers say about them, and when they are forgotten.

use playgate_core::limits::PLAYER_RETENTION_MS;
use playgate_core::rows::Row;
use playgate_protocol::api::*;
use playgate_protocol::reason::PlayerEnd;
use playgate_protocol::server::PlayerOutcome;

use crate::world::{World, fleet};

#[test]
fn an_outcome_that_does_not_fit_is_on_record_and_changes_nothing() {
    let join = PlayerOutcome::Active { generation: 1, joined_ms: 1 };
    let leave = PlayerOutcome::Completed { reason: PlayerEnd::Left, joined_ms: 1, left_ms: 2 };
    let blocked = PlayerOutcome::Blocked;
    use PlayerSessionStatus::{Active, Completed, Reserved};
    for (before, outcome, status, violations) in [
        (&[][..], blocked, Reserved, 1), // nobody asked for it
        (&[join], blocked, Active, 1),
        (&[join], join, Active, 0), // a reconnect
        (&[], leave, Completed, 0), // joined and left between two reports
        (&[join, leave], leave, Completed, 1),
        (&[join, leave], join, Completed, 1),
        (&[join, leave], blocked, Completed, 1),
    ] {
        let mut world = World::running();
        let (session, process) = world.session("one", 4);
        let ticket = world.reserve(session, "k", &["ann"]).unwrap().remove(0);
        before.iter().for_each(|outcome| world.player_report(process, &ticket, *outcome));
        assert_eq!(world.events(EventKind::ProtocolViolation).len(), 0);
        world.player_report(process, &ticket, outcome);
        let what = format!("{before:?} then {outcome:?}");
        assert_eq!(world.player(ticket.player_session.id).status, status, "{what}");
        assert_eq!(world.events(EventKind::ProtocolViolation).len(), violations, "{what}");
        let info = world.describe(session);
        let counted = (u16::from(status == Reserved), u16::from(status == Active));
        assert_eq!((info.reserved, info.active), counted, "{what}");
    }
}

/// The answer to a revocation may cross the floor that timed the reservation out.
#[test]
fn a_block_of_what_timed_out_meanwhile_is_no_violation() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let ticket = world.reserve_for(session, "k", &["ann"], Some(1_000)).unwrap().remove(0);
    world.pass(1_500);
    assert_eq!(world.player(ticket.player_session.id).status, PlayerSessionStatus::TimedOut);
    world.player_report(process, &ticket, PlayerOutcome::Blocked);
    assert_eq!(world.events(EventKind::ProtocolViolation).len(), 0);
}

/// A reservation that was revoked and not answered in time is over by the floor as well, and says why.
#[test]
fn a_revoked_reservation_below_the_floor_is_revoked() {
    let mut world = World::running();
    let (session, _) = world.session("one", 4);
    let ticket = world.reserve_for(session, "k", &["ann"], Some(1_000)).unwrap().remove(0);
    let player_session = ticket.player_session.id;
    let call = BackendCall::RevokePlayerSession { player_session, timeout_ms: 60_000 };
    let request = world.call(OperatorCall::Backend(call));
    world.pass(1_500);
    let info = world.player(player_session);
    assert_eq!((info.status, info.reason), (PlayerSessionStatus::Completed, Some(PlayerEnd::Revoked)));
    assert!(world.answer(request).is_some());
}

/// Times are the server's word, and never later than the coordinator's own.
#[test]
fn a_player_never_left_in_the_future() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    for (name, left_ms, ended_ms) in
        [("ann", world.now - 5, world.now - 5), ("bob", world.now, world.now), ("cid", u64::MAX, world.now)]
    {
        let ticket = world.reserve(session, name, &[name]).unwrap().remove(0);
        let outcome = PlayerOutcome::Completed { reason: PlayerEnd::Left, joined_ms: 1, left_ms };
        world.player_report(process, &ticket, outcome);
        assert_eq!(world.player(ticket.player_session.id).ended_ms, Some(ended_ms), "{name}");
    }
}

/// The first time counts, and the highest generation; both are in the row.
#[test]
fn a_reconnect_raises_the_generation_and_keeps_the_time_of_joining() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let ticket = world.reserve(session, "k", &["ann"]).unwrap().remove(0);
    for (generation, joined_ms) in [(1, 50), (3, 60), (2, 70)] {
        world.player_report(process, &ticket, PlayerOutcome::Active { generation, joined_ms });
    }
    let row = &world.disk[&format!("player {}", ticket.player_session.id)];
    let Row::PlayerSession(row) = row else { panic!("{row:?}") };
    assert_eq!((row.generation, row.joined_ms), (3, Some(50)));
    assert_eq!(world.describe(session).active, 1);
}

/// For ten minutes the key of a request is known; then its player sessions are not made up again one by one.
#[test]
fn a_request_that_is_half_forgotten_is_over() {
    let mut config = fleet();
    config.unhealthy_timeout = "1h".parse().unwrap(); // it says nothing in all that time
    let mut world = World::running_with(config);
    let (session, process) = world.session("one", 4);
    let lifetime = Some(3_600_000);
    let tickets = world.reserve_for(session, "k", &["ann", "bob"], lifetime).unwrap();
    world.leaves(process, &tickets[0], PlayerEnd::Left);
    let over = world.now + PLAYER_RETENTION_MS;
    world.silence(PLAYER_RETENTION_MS - 1);
    assert_eq!(world.player(tickets[0].player_session.id).status, PlayerSessionStatus::Completed);
    assert_eq!(world.reserve_for(session, "k", &["ann", "bob"], lifetime).unwrap_err(), ErrorCode::PlayerSessionOver);
    world.silence(1);
    assert_eq!(world.now, over);
    assert_eq!(world.ticket(tickets[0].player_session.id).unwrap_err(), ErrorCode::NotFound);
    assert_eq!(world.reserve_for(session, "k", &["ann", "bob"], lifetime).unwrap_err(), ErrorCode::PlayerSessionOver);
    assert_eq!(
        world.reserve_for(session, "k", &["ann"], lifetime).unwrap_err(),
        ErrorCode::IdempotentParameterMismatch
    );
    // With the last of them the key is forgotten, and good for another request.
    world.leaves(process, &tickets[1], PlayerEnd::Left);
    world.silence(PLAYER_RETENTION_MS);
    assert_eq!(world.reserve_for(session, "k", &["cid"], lifetime).unwrap().len(), 1);
}

/// A server whose clock is a little ahead must not find a token expired before it is used; an hour is the most.
#[test]
fn a_reservation_lives_by_the_clock_of_its_server_and_an_hour_at_most() {
    let mut world = World::running();
    let (session, process) = world.session("one", 9);
    for (ahead_ms, lifetime, expected) in
        [(0, 60_000, 60_000), (4_000, 60_000, 64_000), (5_000, 1_000, 6_000), (4_000, 3_598_000, 3_600_000)]
    {
        world.beat_with(process, true, world.now + ahead_ms);
        let key = format!("{ahead_ms}-{lifetime}");
        let row = world.reserve_for(session, &key, &[&key], Some(lifetime)).unwrap().remove(0).player_session;
        assert_eq!(row.expires_at_ms - world.now, expected, "{key}");
    }
    world.beat_with(process, true, world.now - 9_000);
    let row = world.reserve(session, "late", &["late"]).unwrap().remove(0).player_session;
    assert_eq!(row.expires_at_ms, world.now + 60_000, "one that is behind is the coordinator's to outlast");
}

/// What both sides count is compared when everything is applied and nothing is under way; it only tells.
#[test]
fn a_server_that_counts_otherwise_is_on_record_once() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let ticket = world.reserve(session, "k", &["ann"]).unwrap().remove(0);
    world.beat(process, true);
    world.joins(process, &ticket);
    assert_eq!(world.events(EventKind::ProtocolViolation).len(), 0);
    for _ in 0..3 {
        world.beat(process, true); // the server of these tests always counts 0
    }
    let told = ["the server counts 0 players, the coordinator 1"];
    assert_eq!(world.events(EventKind::ProtocolViolation), told);
    world.leaves(process, &ticket, PlayerEnd::Left);
    world.beat(process, true);
    let second = world.reserve(session, "l", &["bob"]).unwrap().remove(0);
    world.joins(process, &second);
    // Reports are under way: nothing to compare.
    world.servers.get_mut(&process).unwrap().seq += 1;
    world.beat(process, true);
    assert_eq!(world.events(EventKind::ProtocolViolation), told);
    world.servers.get_mut(&process).unwrap().seq -= 1;
    // The server has not heard the last wanted state: nothing to compare.
    world.servers.get_mut(&process).unwrap().wanted.as_mut().unwrap().version -= 1;
    world.beat(process, true);
    assert_eq!(world.events(EventKind::ProtocolViolation), told);
    world.servers.get_mut(&process).unwrap().wanted.as_mut().unwrap().version += 1;
    world.beat(process, true);
    assert_eq!(world.events(EventKind::ProtocolViolation).len(), 2, "they agreed in between: it is told again");
}
