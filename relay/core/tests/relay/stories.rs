//! What happens to flows.

use std::net::SocketAddr;
use std::time::Duration;

use playgate_protocol::handshake::Datagram;
use playgate_protocol::relay::{
    Accept, FlowKey, FlowState, OPEN_BYTES, PASS_LIFE_MS, PassClaims, PlayerFlow, RefuseCode, RelayAccess, SendError,
};
use playgate_relay_core::limits::OPEN_AGAIN_AFTER;
use playgate_relay_core::{Closed, DropReason, Output, Secrets, Verdict};

use crate::world::*;

#[test]
fn a_player_and_a_server_talk_through_the_relay() {
    let mut world = World::new();
    let mut ann = world.player(1);
    assert_eq!(ann.flow.wrap(b"too early", &mut [0; 64]), Err(SendError::NotOpen));
    world.exchange(&mut ann);
    assert_eq!(world.opened, [(0, SERVER.parse().unwrap())]);
    assert_eq!(world.say(&mut ann, b"hello"), Verdict::Forward(0));
    assert_eq!(world.at_servers.pop_front(), Some((0, b"hello".to_vec())));
    assert_eq!(world.answer(0, b"welcome", &mut ann), Some(ann.address));
    assert_eq!(ann.got.pop_front(), Some(b"welcome".to_vec()));
    assert_eq!(world.say(&mut ann, b""), Verdict::Forward(0), "an empty payload is a payload");
    assert_eq!(world.core.counters().up_datagrams, 2);
    assert_eq!(world.core.counters().down_bytes, 7);
}

#[test]
fn reordering_is_not_loss_and_a_copy_is_dropped() {
    let mut world = World::new();
    let mut ann = world.joined(1);
    let datagrams: Vec<_> = (0..100_u8).map(|n| ann.wrapped(&[n])).collect();
    for n in (0..100).rev() {
        assert_eq!(world.send(&mut ann, &datagrams[n]), Verdict::Forward(0), "{n}");
    }
    for datagram in &datagrams {
        assert_eq!(world.send(&mut ann, datagram), Verdict::Drop(DropReason::Replay));
    }
}

#[test]
fn no_bit_of_a_datagram_can_be_changed() {
    let mut world = World::new();
    let mut ann = world.joined(1);
    let datagram = ann.wrapped(b"attack");
    for bit in 0..datagram.len() * 8 {
        let mut changed = datagram.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let verdict = world.from(ann.address, &changed);
        assert!(matches!(verdict, Verdict::Drop(_)), "bit {bit}: {verdict:?}");
    }
    assert_eq!(world.send(&mut ann, &datagram), Verdict::Forward(0), "and none of them did any harm");
}

#[test]
fn a_player_who_moves_is_heard_at_once_and_spoken_to_after_proof() {
    let mut world = World::new();
    let mut ann = world.joined(1);
    let home = ann.address;
    ann.address = "203.0.113.7:5000".parse().unwrap();
    let datagram = ann.wrapped(b"on the train");
    assert_eq!(world.send(&mut ann, &datagram), Verdict::ForwardAndReply(0));
    assert_eq!(world.answer(0, b"to whom?", &mut ann), Some(home), "not proven yet");
    world.exchange(&mut ann);
    assert_eq!(world.answer(0, b"to you", &mut ann), Some(ann.address));
    assert_eq!(world.core.counters().moved, 1);
    assert_eq!(ann.got.pop_front(), Some(b"to you".to_vec()));
    let at = world.outputs.iter().filter(|output| matches!(output, Output::PlayerAt { .. })).count();
    assert_eq!(at, 2, "the server is told where he is, once for each place");
}

#[test]
fn whoever_copies_a_datagram_gets_neither_the_flow_nor_more_bytes_than_he_sent() {
    let mut world = World::new();
    let mut ann = world.joined(1);
    let eve = "203.0.113.66:6".parse().unwrap();
    // Eve's copy is faster than the original.
    let datagram = ann.wrapped(b"0123456789");
    assert_eq!(world.from(eve, &datagram), Verdict::ForwardAndReply(0));
    let challenge = world.core.reply().to_vec();
    assert!(challenge.len() <= datagram.len());
    assert_eq!(world.from(eve, &datagram), Verdict::Drop(DropReason::Replay));
    // She cannot tag an answer, and ann's answer is good from ann's address only if it is asked of that.
    assert!(matches!(world.from(eve, &challenge), Verdict::Drop(_)));
    assert_eq!(world.answer(0, b"still here", &mut ann), Some(ann.address));
    // A datagram too short to be answered is not answered.
    let short = ann.wrapped(b"1234567");
    assert_eq!(world.from(eve, &short), Verdict::Forward(0));
}

#[test]
fn nothing_but_a_challenge_goes_to_where_nobody_has_shown_that_he_is_the_player() {
    let mut world = World::new();
    let mut ann = world.joined(1);
    // The PING after three minutes comes with a RENEW. Eve sees both; hers are faster, in this order or the other.
    let mut control = Vec::<Datagram<OPEN_BYTES>>::new();
    while control.len() < 2 {
        let at = ann.flow.poll_timeout().unwrap();
        world.wait(at - world.now);
        ann.flow.handle_timeout(at);
        control = std::iter::from_fn(|| ann.flow.poll_transmit()).collect();
        if control.len() < 2 {
            world.send(&mut ann, control[0].as_slice());
        }
    }
    let eve = "203.0.113.66:6".parse().unwrap();
    assert_eq!(world.from(eve, control[1].as_slice()), Verdict::Reply);
    assert_eq!(world.core.reply().len(), 28, "a path challenge");
    assert_eq!(world.from(eve, control[0].as_slice()), Verdict::Done, "she gets no fresh pass");
    assert_eq!(world.core.counters().moved, 0);
}

#[test]
fn a_late_ping_from_elsewhere_is_not_answered() {
    let mut world = World::new();
    let mut ann = world.joined(1);
    world.wait(Duration::from_secs(5));
    ann.flow.handle_timeout(world.now);
    let late = ann.flow.poll_transmit().unwrap();
    assert_eq!(world.say(&mut ann, b"overtakes it"), Verdict::Forward(0));
    assert_eq!(world.from("203.0.113.66:6".parse().unwrap(), late.as_slice()), Verdict::Done);
}

#[test]
fn an_old_datagram_from_the_old_place_moves_nobody_back() {
    let mut world = World::new();
    let mut ann = world.joined(1);
    let home = ann.address;
    let late = ann.wrapped(b"sent before");
    ann.address = "203.0.113.7:5000".parse().unwrap();
    let datagram = ann.wrapped(b"sent after it");
    world.send(&mut ann, &datagram);
    world.exchange(&mut ann);
    world.wait(Duration::from_secs(1));
    assert_eq!(world.from(home, &late), Verdict::Forward(0), "heard, and no challenge");
    assert_eq!(world.answer(0, b"here", &mut ann), Some(ann.address));
}

#[test]
fn a_late_path_response_moves_nobody_back() {
    let mut world = World::new();
    let mut ann = world.joined(1);
    let mut moves = |world: &mut World, to: &str| {
        ann.address = to.parse().unwrap();
        world.wait(Duration::from_millis(200));
        let datagram = ann.wrapped(b"from a train");
        assert_eq!(world.send(&mut ann, &datagram), Verdict::ForwardAndReply(0));
        (ann.address, ann.flow.poll_transmit().unwrap())
    };
    let (first, late) = moves(&mut world, "203.0.113.7:5000");
    let (second, response) = moves(&mut world, "203.0.113.8:5000");
    assert_eq!(world.from(second, response.as_slice()), Verdict::Done);
    assert_eq!(world.from(first, late.as_slice()), Verdict::Done);
    assert_eq!(world.answer(0, b"here", &mut ann), Some(second));
}

#[test]
fn after_a_restart_the_first_datagram_is_answered_by_a_reset_and_the_fresh_pass_opens_the_flow_again() {
    let mut world = World::new();
    let mut ann = world.joined(1);
    world.keep(&mut ann, Duration::from_secs(1_800)); // the first pass has expired, and the one of the ACCEPT
    world.restart();
    let datagram = ann.wrapped(b"a datagram of some length");
    assert_eq!(world.send(&mut ann, &datagram), Verdict::Reply);
    assert_eq!(ann.flow.state(), FlowState::Knocking, "noticed at once");
    world.exchange(&mut ann);
    assert_eq!(ann.flow.state(), FlowState::Open);
    assert_eq!(world.say(&mut ann, b"again"), Verdict::Forward(0));
    assert!(matches!(world.from(ann.address, &datagram), Verdict::Reply | Verdict::Drop(_)), "the old one is no use");
    assert_eq!(world.at_servers.len(), 1);
}

#[test]
fn a_pass_that_was_not_renewed_opens_nothing() {
    let mut world = World::new();
    let mut ann = world.joined(1);
    world.wait(Duration::from_millis(PASS_LIFE_MS));
    world.restart();
    let datagram = ann.wrapped(b"a datagram of some length");
    world.send(&mut ann, &datagram);
    world.exchange(&mut ann);
    assert_eq!(ann.flow.state(), FlowState::Refused(RefuseCode::Expired));
}

#[test]
fn a_reset_with_a_wrong_token_is_ignored() {
    let mut world = World::new();
    let mut ann = world.joined(1);
    world.config.reset_key = [9; 32]; // another relay at the same address
    world.restart();
    let datagram = ann.wrapped(b"a datagram of some length");
    assert_eq!(world.send(&mut ann, &datagram), Verdict::Reply);
    assert_eq!(ann.flow.state(), FlowState::Open, "not believed");
}

#[test]
fn a_silent_relay_is_noticed_by_pings() {
    let mut world = World::new();
    let mut ann = world.joined(1);
    let mut lost_after = Duration::ZERO;
    while ann.flow.state() == FlowState::Open {
        let at = ann.flow.poll_timeout().unwrap();
        lost_after = at - world.now;
        ann.flow.handle_timeout(at);
        while ann.flow.poll_transmit().is_some() {}
    }
    assert_eq!(lost_after, Duration::from_secs(9));
    assert_eq!(ann.flow.state(), FlowState::Knocking);
}

#[test]
fn pings_keep_a_flow_and_measure_the_round_trip() {
    let mut world = World::new();
    let mut ann = world.joined(1);
    for _ in 0..20 {
        let at = ann.flow.poll_timeout().unwrap();
        world.wait(at - world.now);
        ann.flow.handle_timeout(at);
        world.exchange(&mut ann);
    }
    assert_eq!((ann.flow.state(), world.core.flows()), (FlowState::Open, 1));
    assert_eq!(world.core.counters().pings, 20);
    assert_eq!(ann.flow.round_trip(), Some(Duration::ZERO), "this network has no delay");
    world.wait(Duration::from_secs(40));
    world.collect(&mut ann);
    assert_eq!(world.core.flows(), 0, "silence ends it");
    assert!(matches!(world.outputs.last(), Some(Output::Closed(Closed { slot: 0, reason: None, .. }))));
}

#[test]
fn a_repeated_open_finds_the_same_flow_and_an_old_one_nothing() {
    let mut world = World::new();
    let mut ann = world.player(1);
    let hello = ann.flow.poll_transmit().unwrap();
    world.send(&mut ann, hello.as_slice());
    let open = ann.flow.poll_transmit().unwrap();
    assert!(matches!(world.send(&mut ann, open.as_slice()), Verdict::Open { slot: 0, .. }));
    let accepted = |world: &World| Accept::open(world.core.reply(), &claims(1).flow_key).unwrap();
    let accept = accepted(&world);
    world.wait(Duration::from_secs(2));
    assert_eq!(world.from(ann.address, open.as_slice()), Verdict::Reply);
    assert_eq!(accepted(&world).connection, accept.connection, "the same flow, and nothing was opened anew");
    assert_eq!(world.from("192.0.2.1:1001".parse().unwrap(), open.as_slice()), Verdict::Drop(DropReason::CookieMac));
    // The player opens it anew; the first OPEN is history.
    let mut again = world.player(1);
    world.exchange(&mut again);
    assert_eq!(again.flow.state(), FlowState::Open);
    world.wait(OPEN_AGAIN_AFTER);
    assert_eq!(world.from(ann.address, open.as_slice()), Verdict::Drop(DropReason::OpenStale));
    assert_eq!(world.say(&mut again, b"still mine"), Verdict::Forward(0));
    assert_eq!(world.core.counters().reopened, 1);
    assert_eq!(world.core.flows(), 1, "one flow for each player session");
    assert_eq!(world.opened[0], world.opened[1], "in the same slot, so that the server sees the same address");
}

#[test]
fn another_open_of_the_same_microsecond_is_no_repetition() {
    let mut world = World::new();
    let mut ann = world.joined(1);
    // Her other device: another nonce, so other keys than the flow has.
    let pass = secret(1).seal(&claims(1), [1; 16]);
    let access = RelayAccess { address: RELAY.parse().unwrap(), pass, flow_key: claims(1).flow_key };
    let flow = PlayerFlow::new(access, [9; 32], Duration::from_secs(10), world.now);
    let mut other = Player { flow, address: "192.0.2.1:2000".parse().unwrap(), got: [].into() };
    let hello = other.flow.poll_transmit().unwrap();
    world.send(&mut other, hello.as_slice());
    let open = other.flow.poll_transmit().unwrap();
    assert_eq!(world.send(&mut other, open.as_slice()), Verdict::Drop(DropReason::OpenStale));
    assert_eq!(world.say(&mut ann, b"undisturbed"), Verdict::Forward(0));
    world.keep(&mut other, Duration::from_secs(4));
    assert_eq!(other.flow.state(), FlowState::Open, "with the next cookie");
    assert_eq!(world.say(&mut other, b"served"), Verdict::Forward(0));
}

#[test]
fn passes_of_the_secret_before_are_taken_and_replaced() {
    let mut world = World::new();
    let mut ann = world.player(1);
    world.core.set_secrets(Secrets { current: secret(2), before: Some(secret(1)) });
    world.exchange(&mut ann);
    assert_eq!(ann.flow.state(), FlowState::Open);
    world.core.set_secrets(Secrets { current: secret(3), before: Some(secret(2)) });
    assert_eq!(world.say(&mut ann, b"rotation is not noticed"), Verdict::Forward(0));
    // His fresh pass was made with the secret that was current when he came.
    world.restart();
    world.core.set_secrets(Secrets { current: secret(3), before: Some(secret(2)) });
    let datagram = ann.wrapped(b"a datagram of some length");
    world.send(&mut ann, &datagram);
    world.exchange(&mut ann);
    assert_eq!(ann.flow.state(), FlowState::Open);
    let mut bob = world.player(2); // still with a pass of the first secret
    world.exchange(&mut bob);
    assert_eq!(bob.flow.state(), FlowState::Opening, "it gets no answer");
    assert_eq!(world.core.counters().drops(DropReason::PassSecret), 1);
}

#[test]
fn a_revoked_player_is_told_and_does_not_come_back() {
    let mut world = World::new();
    let mut ann = world.joined(1);
    let mut bob = world.joined(2);
    world.core.revoke(claims(1).player_session, VALID_UNTIL_MS);
    world.collect(&mut ann);
    assert_eq!(ann.flow.state(), FlowState::Refused(RefuseCode::Revoked));
    assert_eq!(world.say(&mut bob, b"next to her"), Verdict::Forward(1));
    world.wait(Duration::from_secs(1));
    let mut again = world.player(1);
    world.exchange(&mut again);
    assert_eq!(again.flow.state(), FlowState::Refused(RefuseCode::Revoked));
    assert_eq!(world.answer(0, b"gone", &mut ann), None);
    assert_eq!(world.core.counters().drops(DropReason::DownUnknownFlow), 1);
}

#[test]
fn a_flow_ends_when_its_pass_says_so_however_busy_it_is() {
    let mut world = World::new();
    let mut ann = world.player_with(1, &PassClaims { valid_until_ms: 20_000, use_by_ms: 20_000, ..claims(1) });
    world.exchange(&mut ann);
    for _ in 0..30 {
        world.wait(Duration::from_secs(1));
        world.collect(&mut ann);
        if ann.flow.state() == FlowState::Open {
            world.say(&mut ann, b"busy");
        }
    }
    assert_eq!(ann.flow.state(), FlowState::Refused(RefuseCode::Expired));
    assert_eq!(world.core.flows(), 0);
}

#[test]
fn a_flow_whose_pass_is_over_forwards_nothing_before_it_is_swept() {
    let mut world = World::new();
    let mut ann = world.player_with(1, &PassClaims { valid_until_ms: 20_000, use_by_ms: 20_000, ..claims(1) });
    world.exchange(&mut ann);
    world.now = Duration::from_millis(19_999);
    assert_eq!(world.say(&mut ann, b"in time"), Verdict::Forward(0));
    world.now = Duration::from_millis(20_000);
    assert_eq!(world.say(&mut ann, b"late"), Verdict::Drop(DropReason::UnknownFlow));
    world.collect(&mut ann);
    assert_eq!(ann.flow.state(), FlowState::Refused(RefuseCode::Expired));
    assert_eq!(world.core.flows(), 0);
}

#[test]
fn a_player_who_says_goodbye_leaves_room() {
    let mut world = World::new();
    let mut players: Vec<_> = (1..=8).map(|n| world.joined(n)).collect();
    let mut ninth = world.player(9);
    world.exchange(&mut ninth);
    assert_eq!(ninth.flow.state(), FlowState::Refused(RefuseCode::Full));
    players[3].flow.close();
    world.exchange(&mut players[3]);
    world.wait(Duration::from_secs(1));
    let mut ninth = world.player(9);
    world.exchange(&mut ninth);
    assert_eq!(ninth.flow.state(), FlowState::Open);
    assert_eq!(world.say(&mut ninth, b"in"), Verdict::Forward(3), "the place was used again");
}

#[test]
fn a_relay_that_drains_keeps_its_players_and_takes_no_others() {
    let mut world = World::new();
    let mut ann = world.joined(1);
    world.core.set_draining(true);
    let mut bob = world.player(2);
    world.exchange(&mut bob);
    assert_eq!(bob.flow.state(), FlowState::Refused(RefuseCode::Draining));
    assert_eq!(world.say(&mut ann, b"still in"), Verdict::Forward(0));
}

#[test]
fn a_flow_keeps_to_its_rate() {
    let slow = PassClaims { packets_per_second: 100, bytes_per_second: 10_000, ..claims(1) };
    for (len, expected) in [(1, 32), (1_400, 16)] {
        let mut world = World::new();
        let mut ann = world.player_with(1, &slow);
        world.exchange(&mut ann);
        let mut forwarded = 0;
        for _ in 0..1_000 {
            let datagram = ann.wrapped(&vec![0; len]);
            match world.send(&mut ann, &datagram) {
                Verdict::Forward(0) => forwarded += 1,
                verdict => assert_eq!(verdict, Verdict::Drop(DropReason::FlowRate)),
            }
        }
        assert_eq!(forwarded, expected, "at once, {len} bytes each");
    }
}

#[test]
fn whoever_opens_again_and_again_sends_no_more_for_that() {
    let slow = PassClaims { packets_per_second: 100, ..claims(1) };
    let mut world = World::new();
    let mut forwarded = 0;
    for round in 0..10 {
        world.now += Duration::from_millis(10);
        let mut ann = world.player_with(1, &slow);
        world.exchange(&mut ann);
        assert_eq!(ann.flow.state(), FlowState::Open);
        for _ in 0..100 {
            let datagram = ann.wrapped(b"more");
            forwarded += u32::from(world.send(&mut ann, &datagram) == Verdict::Forward(0));
        }
        if round % 2 == 0 {
            ann.flow.close();
            world.exchange(&mut ann);
        }
    }
    assert_eq!(forwarded, 32 + 9, "a burst, and what 90 ms earn");
    // A pass that allows more begins anew, and so does another player.
    for claims in [claims(1), claims(2)] {
        world.now += Duration::from_millis(10);
        let mut other = world.player_with(1, &claims);
        world.exchange(&mut other);
        let datagram = other.wrapped(b"hello");
        assert!(matches!(world.send(&mut other, &datagram), Verdict::Forward(_)));
    }
}

#[test]
fn a_prefix_that_opens_too_much_is_held_back_alone() {
    let mut world = World::new();
    let mut dropped = 0;
    for _ in 0..1_000 {
        // One botnet, one prefix: each attempt has a cookie of its own that is right, and a pass that is not.
        world.now += Duration::from_micros(1);
        let mut eve = world.player_with(1, &PassClaims { flow_key: FlowKey::from_bytes([0; 32]), ..claims(1) });
        eve.address = "192.0.2.66:6".parse().unwrap();
        let hello = eve.flow.poll_transmit().unwrap();
        world.send(&mut eve, hello.as_slice());
        let mut open = eve.flow.poll_transmit().unwrap().as_slice().to_vec();
        open[30] ^= 1;
        dropped += usize::from(world.from(eve.address, &open) == Verdict::Drop(DropReason::OpenRate));
    }
    assert_eq!(dropped, 600);
    let mut bob = world.player(2);
    bob.address = "198.51.100.1:1".parse().unwrap();
    world.exchange(&mut bob);
    assert_eq!(bob.flow.state(), FlowState::Open);
}

#[test]
fn an_open_that_somebody_repeats_takes_nothing_from_its_prefix() {
    let mut world = World::new();
    let mut ann = world.player(1);
    let hello = ann.flow.poll_transmit().unwrap();
    world.send(&mut ann, hello.as_slice());
    let open = ann.flow.poll_transmit().unwrap();
    world.send(&mut ann, open.as_slice());
    assert_eq!(ann.flow.state(), FlowState::Open);
    for _ in 0..1_000 {
        world.now += Duration::from_micros(1);
        assert_eq!(world.from(ann.address, open.as_slice()), Verdict::Drop(DropReason::OpenRepeated));
    }
    let mut neighbour = world.player(2);
    neighbour.address = SocketAddr::new(ann.address.ip(), 7);
    world.exchange(&mut neighbour);
    assert_eq!(neighbour.flow.state(), FlowState::Open);
}

#[test]
fn both_families_are_one_world() {
    let mut world = World::new();
    let mut ann = world.player(1);
    ann.address = "[2001:db8::1]:9".parse().unwrap();
    world.exchange(&mut ann);
    assert_eq!(world.say(&mut ann, b"six to four"), Verdict::Forward(0));
    let mut bob = world.player(2);
    bob.address = "[::ffff:192.0.2.2]:9".parse().unwrap();
    world.exchange(&mut bob);
    let datagram = bob.wrapped(b"the same place, written otherwise");
    assert_eq!(world.from("192.0.2.2:9".parse().unwrap(), &datagram), Verdict::Forward(1));
}
