//! The wanted state: what the gate makes of each, whichever way it arrives.

use playgate_gate::{ActivateError, GateEvent, RefuseReason};
use playgate_protocol::limits::ORDINALS_PER_SESSION_MAX;
use playgate_protocol::reason::PlayerEnd;
use playgate_protocol::server::{PlayerOutcome, Revoked, VerifyingKey};
use playgate_protocol::{List, PlayerSessionId};

use crate::world::*;

fn names(events: &[GateEvent]) -> Vec<&'static str> {
    let name = |event: &GateEvent| match event {
        GateEvent::StartSession(_) => "start",
        GateEvent::EndSession { .. } => "end",
        GateEvent::Terminate { .. } => "terminate",
        GateEvent::PlayerLeft { .. } => "left",
    };
    events.iter().map(name).collect()
}

#[test]
fn a_version_is_applied_once_and_an_older_one_never() {
    let mut w = bare_world();
    w.want(|_| {});
    assert_eq!(names(&w.events()), ["start"]);
    w.gate.apply(w.now, w.wanted.clone());
    w.wanted.session = None;
    for version in [1, 0] {
        w.wanted.version = version;
        w.gate.apply(w.now, w.wanted.clone());
    }
    assert_eq!(w.events(), []);
    assert_eq!(w.gate.held_version(), 1);
    w.gate.activate(w.now).unwrap();
    w.wanted.version = 41;
    w.want(|_| {});
    assert_eq!(w.gate.held_version(), 42);
    assert_eq!(names(&w.events()), ["end"]);
    assert_eq!(w.gate.activate(w.now), Err(ActivateError::NoSession));
    assert_eq!(ActivateError::NoSession.to_string(), "there is no game session to activate");
}

#[test]
fn deadlines_are_told_once_each() {
    let mut w = world();
    for (deadline, told) in [(Some(5), 1), (Some(5), 0), (Some(4), 1), (None, 0), (Some(4), 1)] {
        w.want_session(|session| session.end_by_ms = deadline);
        assert_eq!(w.events().len(), told, "{deadline:?}");
        w.want(|wanted| wanted.terminate_by_ms = deadline);
        assert_eq!(w.events().len(), told, "{deadline:?}");
    }
}

#[test]
fn reserved_players_come_in_until_the_game_has_ended_its_session() {
    let mut w = world();
    w.want_session(|session| session.end_by_ms = Some(START_MS + 60_000));
    let (early, late) = (w.ticket(0), w.ticket(1));
    w.join(address(1), &early).unwrap();
    w.gate.end_session(w.now);
    assert_eq!(w.gate.active_players(), 0);
    assert_eq!(w.join(address(1), &late), Err(RefuseReason::SessionEnded));
    assert_eq!(w.join(address(1), &early), Err(RefuseReason::SessionEnded));
}

#[test]
fn an_ended_session_is_not_started_again() {
    let mut w = world();
    w.gate.end_session(w.now);
    w.want_session(|session| session.end_by_ms = Some(7));
    w.revoke(3);
    assert_eq!(w.gate.activate(w.now), Err(ActivateError::SessionEnded));
    assert_eq!(ActivateError::SessionEnded.to_string(), "the game session was ended");
    w.want(|wanted| wanted.session = None);
    assert_eq!(w.events(), []);
    // Not even by a coordinator that has forgotten.
    let ended = bare_world().wanted.session;
    w.want(|wanted| wanted.session = ended);
    assert_eq!(w.events(), []);
    assert_eq!(w.gate.activate(w.now), Err(ActivateError::NoSession));
    // Another one is.
    w.want_session(|session| session.id = OTHER_SESSION);
    assert_eq!(names(&w.events()), ["start"]);
    w.gate.activate(w.now).unwrap();
}

#[test]
fn another_session_or_a_later_attempt_takes_the_place_of_the_hosted_one() {
    let changes: [fn(&mut World); 2] =
        [|w| w.want_session(|session| session.id = OTHER_SESSION), |w| w.want_session(|session| session.attempt = 2)];
    for change in changes {
        let mut w = world();
        let ticket = w.ticket(0);
        w.join(address(1), &ticket).unwrap();
        change(&mut w);
        assert_eq!(names(&w.events()), ["end", "start"]);
        assert_eq!(w.gate.active_players(), 0);
        assert!(w.join(address(1), &ticket).is_err());
    }
    let mut w = world();
    w.want_session(|session| session.attempt = 0);
    assert_eq!(w.events(), [], "an earlier attempt is stale");
    assert_eq!(w.gate.activate(w.now), Ok(()));
}

#[test]
fn a_process_that_is_about_to_exit_starts_nothing() {
    let mut w = world();
    w.gate.ending(w.now);
    w.want_session(|session| session.id = OTHER_SESSION);
    assert_eq!(w.events(), []);
}

#[test]
fn a_revoked_token_is_blocked_before_use_and_its_player_removed_after() {
    let mut w = world();
    let (unused, playing, gone) = (w.ticket(0), w.ticket(1), w.ticket(2));
    w.join(address(1), &playing).unwrap();
    let joined_ms = w.coordinator_ms;
    w.join(address(2), &gone).unwrap();
    w.gate.leave(w.now, gone.player_session);
    w.reports();
    for ordinal in 0..3 {
        w.revoke(ordinal);
    }
    let left_ms = w.coordinator_ms;
    let reason = PlayerEnd::Revoked;
    assert_eq!(w.events(), [GateEvent::PlayerLeft { player: player_session(1), reason }]);
    let told = outcomes(&w.reports());
    assert_eq!(told[&player_session(0)], [PlayerOutcome::Blocked]);
    assert_eq!(told[&player_session(1)], [PlayerOutcome::Completed { reason, joined_ms, left_ms }]);
    assert_eq!(told.len(), 2, "about the one who left everything was said");
    // Each is answered once, however often it is asked.
    w.want(|_| {});
    assert_eq!(w.events(), []);
    assert_eq!(w.reports(), []);
    for ticket in [unused, playing] {
        assert_eq!(w.join(address(1), &ticket), Err(RefuseReason::Revoked));
    }
    assert_eq!(w.join(address(1), &gone), Err(RefuseReason::Used));
}

#[test]
fn an_absent_player_can_be_revoked() {
    let mut w = world();
    let ticket = w.ticket(0);
    w.join(address(1), &ticket).unwrap();
    w.gate.disconnected(w.now, ticket.player_session);
    w.revoke(0);
    assert_eq!(w.gate.active_players(), 0);
    assert_eq!(w.gate.poll_timeout(), None);
    assert_eq!(names(&w.events()), ["left"]);
}

#[test]
fn a_revocation_that_names_nobody_does_nothing() {
    let mut w = world();
    let ticket = w.ticket(0);
    w.join(address(1), &ticket).unwrap();
    w.reports();
    let stranger = PlayerSessionId::from_bytes([0xee; 16]);
    let beyond = Revoked { ordinal: ORDINALS_PER_SESSION_MAX, player_session: stranger };
    w.want_session(|s| s.revoked = List::first_of([Revoked { ordinal: 0, player_session: stranger }, beyond]));
    assert_eq!(w.reports(), []);
    assert_eq!(w.gate.active_players(), 1);
}

#[test]
fn the_gate_itself_never_lets_more_in_than_the_session_may_have() {
    let mut w = world();
    let tickets: Vec<_> = (0..6).map(|ordinal| w.ticket(ordinal)).collect();
    w.pass(1);
    // All six prove themselves at the same moment.
    let proofs: Vec<_> = (0..6).map(|n| w.challenge(address(n), &tickets[usize::from(n)]).unwrap()).collect();
    let mut admitted = 0;
    for (n, challenge) in (0..).zip(&proofs) {
        let verdict = w.send(address(n), &proof(challenge, &tickets[usize::from(n)]));
        admitted += u32::from(matches!(verdict, playgate_gate::Verdict::Admitted(_)));
    }
    assert_eq!((admitted, w.gate.active_players()), (4, 4));
    // A slot that is free is taken by one of the two, and an absent player keeps his.
    w.gate.leave(w.now, player_session(0));
    w.gate.disconnected(w.now, player_session(1));
    w.join(address(4), &tickets[4]).unwrap();
    assert_eq!(w.join(address(5), &tickets[5]), Err(RefuseReason::Full));
    // Fewer are wanted: nobody is thrown out, nobody comes in.
    w.want_session(|session| session.max_players = 2);
    assert_eq!(w.gate.active_players(), 4);
    w.gate.leave(w.now, player_session(2));
    assert_eq!(w.join(address(5), &tickets[5]), Err(RefuseReason::Full));
    w.join(address(1), &tickets[1]).unwrap();
}

#[test]
fn a_weak_key_does_not_lock_the_others_out() {
    let mut w = world();
    let identity = VerifyingKey { key_id: 9, public_key: [[1].as_slice(), &[0; 31]].concat().try_into().unwrap() };
    w.want(|wanted| wanted.keys = List::first_of([identity, verifying_key(1), verifying_key(1)]));
    assert_eq!(w.gate.counters().weak_keys, 2);
    let ticket = w.ticket(0);
    w.join(address(1), &ticket).unwrap();
}
