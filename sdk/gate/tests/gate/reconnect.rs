//! Coming back: who may, for how long, and what does not matter any more once a player was in.

use std::time::Duration;

use playgate_gate::{GateEvent, RefuseReason};
use playgate_protocol::List;
use playgate_protocol::reason::PlayerEnd;
use playgate_protocol::server::PlayerOutcome;

use crate::world::*;

#[test]
fn a_player_comes_back_from_another_address_and_keeps_his_slot() {
    let mut w = world();
    w.want_session(|session| session.max_players = 1);
    let ticket = w.ticket(0);
    let first = w.join(address(1), &ticket).unwrap();
    assert_eq!((first.generation, first.reconnected, first.from), (1, false, Some(address(1))));
    assert_eq!((first.player.as_str(), first.data.as_slice()), ("player-4711", b"team=red".as_slice()));
    w.gate.disconnected(w.now, ticket.player_session);
    w.pass(9_000);
    let again = w.join(address(2), &ticket).unwrap();
    assert_eq!((again.generation, again.reconnected, again.from), (2, true, Some(address(2))));
    assert_eq!((again.player, again.data, again.ordinal), (first.player, first.data, first.ordinal));
    assert_eq!(w.accept(&ticket).unwrap().generation, 2);
    assert_eq!(w.gate.poll_timeout(), None, "he is not absent any more");
    assert_eq!(w.gate.active_players(), 1);
    let seen = w.gate.counters();
    assert_eq!((seen.datagrams, seen.challenged, seen.admitted, seen.reconnected, seen.repeated), (4, 2, 1, 1, 0));
}

#[test]
fn a_player_may_come_back_as_fast_as_datagrams_travel() {
    let mut w = world();
    let ticket = w.ticket(0);
    for generation in 1..10 {
        w.now += Duration::from_micros(1);
        let challenge = w.challenge(address(1), &ticket).unwrap();
        assert!(matches!(w.send(address(1), &proof(&challenge, &ticket)), playgate_gate::Verdict::Admitted(_)));
        assert_eq!(w.accept(&ticket).unwrap().generation, generation);
    }
}

type Change = fn(&mut World);

#[test]
fn once_in_neither_expiry_nor_epoch_nor_key_matter() {
    let changes: [(&str, Change); 4] = [
        ("expiry", |w| w.pass(10 * LIFETIME_MS)),
        ("two epochs", |w| {
            w.want(|wanted| (wanted.gate_epoch, wanted.min_epoch) = (6, 6));
            w.want(|wanted| (wanted.gate_epoch, wanted.min_epoch) = (7, 7));
        }),
        ("signing key", |w| w.want(|wanted| wanted.keys = List::first_of([verifying_key(2)]))),
        ("all of it", |w| {
            w.pass(10 * LIFETIME_MS);
            w.gate.beat(w.now, true);
            w.want(|wanted| {
                (wanted.gate_epoch, wanted.min_epoch) = (9, 9);
                wanted.keys = List::default();
            });
        }),
    ];
    for (what, change) in changes {
        let mut w = world();
        let (ticket, unused) = (w.ticket(0), w.ticket(1));
        w.join(address(1), &ticket).unwrap();
        change(&mut w);
        let again = w.join(address(2), &ticket);
        assert_eq!(again.map(|admission| admission.generation), Ok(2), "{what}");
        assert!(w.join(address(3), &unused).is_err(), "{what}: an unused token is another matter");
        w.gate.leave(w.now, ticket.player_session);
        assert!(w.join(address(1), &ticket).is_err(), "{what}: he has left");
    }
}

#[test]
fn a_token_of_a_withdrawn_epoch_is_recognised_by_its_hash_alone() {
    let mut w = world();
    let ticket = w.ticket(0);
    w.join(address(1), &ticket).unwrap();
    w.want(|wanted| (wanted.gate_epoch, wanted.min_epoch) = (7, 7));
    for at in 0..ticket.token.len() {
        let mut token = ticket.token.to_vec();
        token[at] ^= 1;
        let other = ticket_of(&w.claims(0), &token);
        assert!(w.challenge(address(1), &other).is_err(), "byte {at}");
    }
    w.challenge(address(1), &ticket).unwrap();
}

#[test]
fn the_absent_are_out_when_their_grace_is_over() {
    let mut w = world();
    let ticket = w.ticket(0);
    w.join(address(1), &ticket).unwrap();
    let joined_ms = w.coordinator_ms;
    w.reports();
    w.gate.disconnected(w.now, ticket.player_session);
    let until = w.now + Duration::from_secs(10);
    assert_eq!(w.gate.poll_timeout(), Some(until));
    w.pass(5_000);
    w.gate.disconnected(w.now, ticket.player_session);
    assert_eq!(w.gate.poll_timeout(), Some(until), "losing what is lost does not prolong the grace");
    w.pass(4_999);
    w.gate.handle_timeout(w.now);
    assert_eq!((w.gate.active_players(), w.events()), (1, vec![]));
    w.pass(1);
    w.gate.handle_timeout(w.now);
    let (player, reason) = (ticket.player_session, PlayerEnd::Absent);
    assert_eq!(w.events(), [GateEvent::PlayerLeft { player, reason }]);
    let left_ms = w.coordinator_ms;
    assert_eq!(outcomes(&w.reports())[&player], [PlayerOutcome::Completed { reason, joined_ms, left_ms }]);
    assert_eq!((w.gate.active_players(), w.gate.poll_timeout()), (0, None));
    assert_eq!(w.join(address(1), &ticket), Err(RefuseReason::Used));
}

#[test]
fn without_grace_the_absent_are_out_at_once() {
    let mut w = world();
    w.want_session(|session| session.policy.rejoin_grace_ms = 0);
    let ticket = w.ticket(0);
    w.join(address(1), &ticket).unwrap();
    w.gate.disconnected(w.now, ticket.player_session);
    assert_eq!(w.gate.active_players(), 0);
    assert_eq!(w.events().len(), 1);
}

#[test]
fn whoever_left_is_out_for_good() {
    let mut w = world();
    let ticket = w.ticket(0);
    w.join(address(1), &ticket).unwrap();
    w.gate.leave(w.now, ticket.player_session);
    w.gate.leave(w.now, ticket.player_session);
    w.gate.disconnected(w.now, ticket.player_session);
    assert_eq!(w.events(), [], "the game knows");
    assert_eq!(w.gate.active_players(), 0);
    assert_eq!(w.join(address(1), &ticket), Err(RefuseReason::Used));
}

#[test]
fn a_bare_token_is_good_again_only_on_its_connection_or_while_its_player_is_absent() {
    let mut w = world();
    w.want_session(|session| session.policy.bearer = true);
    let ticket = w.ticket(0);
    let token = ticket.token.to_vec();
    let first = w.admit(7, &token).unwrap();
    assert_eq!((first.generation, first.reconnected, first.from), (1, false, None));
    assert_eq!(w.admit(7, &token), Ok(first));
    assert_eq!(w.admit(8, &token), Err(RefuseReason::StillConnected));
    w.gate.disconnected(w.now, ticket.player_session);
    let again = w.admit(8, &token).unwrap();
    assert_eq!((again.generation, again.reconnected), (2, true));
    assert_eq!(w.admit(7, &token), Err(RefuseReason::StillConnected));
    // Whoever proves himself may come back at any time.
    assert_eq!(w.join(address(1), &ticket).unwrap().generation, 3);
    assert_eq!(w.admit(8, &token), Err(RefuseReason::StillConnected));
    w.gate.leave(w.now, ticket.player_session);
    assert_eq!(w.admit(9, &token), Err(RefuseReason::Used));
    let seen = w.gate.counters();
    assert_eq!((seen.datagrams, seen.admitted, seen.reconnected, seen.repeated), (2, 1, 2, 1));
    assert_eq!(seen.refused_total(), 4);
    // Everything else is checked of a bare token as well.
    let mut claims = w.claims(1);
    claims.key_id = 2;
    assert_eq!(w.admit(1, &crate::world::ticket(&claims).token), Err(RefuseReason::UnknownKey));
    let expired = w.ticket(2);
    w.pass(LIFETIME_MS);
    assert_eq!(w.admit(1, &expired.token), Err(RefuseReason::Expired));
    assert_eq!(w.admit(1, b"junk"), Err(RefuseReason::Length));
}
