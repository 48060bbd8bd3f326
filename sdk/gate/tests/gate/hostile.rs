//! Whoever is not the player: sniffers, replayers, flippers of bits, senders of junk.

use playgate_gate::{RefuseReason, Verdict};
use playgate_protocol::handshake::{Accept, Challenge, Kind, Refuse, RefuseCode, ReplyBuf};

use crate::world::*;

#[test]
fn game_traffic_is_left_alone() {
    let mut w = world();
    for datagram in [b"".as_slice(), b"PG1", b"PG2H, not ours", b"PGT1", &[0; 1_200]] {
        assert_eq!(w.send(address(1), datagram), Verdict::NotOurs);
        assert!(w.reply.is_empty());
    }
    assert_eq!((w.gate.counters().datagrams, w.gate.counters().not_ours), (5, 5));
    assert_eq!(w.gate.counters().refused_total(), 0);
}

#[test]
fn no_flipped_bit_of_a_hello_or_proof_lets_anybody_in() {
    let mut w = world();
    let ticket = w.ticket(0);
    w.pass(1);
    let nonce = w.nonce();
    let hello = hello(nonce, &ticket.token);
    for (at, bit) in (0..hello.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut flipped = hello.clone();
        flipped[at] ^= 1 << bit;
        let verdict = w.send(address(1), &flipped);
        let in_the_nonce = (4..20).contains(&at);
        assert_eq!(verdict == Verdict::Reply, in_the_nonce, "byte {at}, bit {bit}: {verdict:?}");
    }
    assert_eq!(w.send(address(1), &hello), Verdict::Reply);
    let proof = proof(&Challenge::read(w.reply.as_slice()).unwrap(), &ticket);
    for (at, bit) in (0..proof.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut flipped = proof.clone();
        flipped[at] ^= 1 << bit;
        let verdict = w.send(address(1), &flipped);
        assert!(matches!(verdict, Verdict::Refused(_) | Verdict::NotOurs), "byte {at}, bit {bit}: {verdict:?}");
        assert!(w.reply.is_empty(), "byte {at}, bit {bit}: nobody is answered before he has proved himself");
    }
    for len in 0..proof.len() {
        assert!(!matches!(w.send(address(1), &proof[..len]), Verdict::Admitted(_)), "{len} bytes");
    }
    assert!(!matches!(w.send(address(1), &[proof.as_slice(), &[0]].concat()), Verdict::Admitted(_)));
    assert_eq!(w.gate.active_players(), 0);
    assert!(matches!(w.send(address(1), &proof), Verdict::Admitted(_)));
}

#[test]
fn no_flipped_bit_of_an_answer_is_taken_for_the_servers() {
    let mut w = world();
    let (ticket, other) = (w.ticket(0), w.ticket(1));
    w.join(address(1), &ticket).unwrap();
    let accept = w.reply.as_slice().to_vec();
    w.gate.leave(w.now, ticket.player_session);
    w.join(address(1), &ticket).unwrap_err();
    let refuse = w.reply.as_slice().to_vec();
    let key = holder_key(&ticket).server_key();
    assert!(Accept::open(&accept, &key).is_some() && Refuse::open(&refuse, &key).is_some());
    for (at, bit) in (0..accept.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let flip = |datagram: &[u8]| {
            let mut flipped = datagram.to_vec();
            if let Some(byte) = flipped.get_mut(at) {
                *byte ^= 1 << bit;
            } else {
                flipped.push(0);
            }
            flipped
        };
        assert!(Accept::open(&flip(&accept), &key).is_none(), "byte {at}, bit {bit}");
        assert!(Refuse::open(&flip(&refuse), &key).is_none(), "byte {at}, bit {bit}");
    }
    let others = holder_key(&other).server_key();
    assert!(Accept::open(&accept, &others).is_none() && Refuse::open(&refuse, &others).is_none());
}

#[test]
fn no_flipped_bit_of_a_challenge_leads_to_a_proof_that_lets_anybody_in() {
    let mut w = world();
    let ticket = w.ticket(0);
    let mut challenge = ReplyBuf::new();
    w.challenge(address(1), &ticket).unwrap().write(&mut challenge);
    for (at, bit) in (0..challenge.as_slice().len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut flipped = challenge.as_slice().to_vec();
        flipped[at] ^= 1 << bit;
        let Some(flipped) = Challenge::read(&flipped) else { continue };
        let verdict = w.send(address(1), &proof(&flipped, &ticket));
        let expected = [RefuseReason::MacWrong, RefuseReason::MacExpired].map(Verdict::Refused);
        assert!(expected.contains(&verdict), "byte {at}, bit {bit}: {verdict:?}");
    }
    assert_eq!(w.gate.active_players(), 0);
}

/// Address and port, in either family; an IPv4 address is the same in both of its forms.
#[test]
fn a_challenge_is_good_for_the_address_it_was_sent_to() {
    for (asks, proves, is_the_same) in [
        ("198.51.100.1:40000", "198.51.100.1:40000", true),
        ("198.51.100.1:40000", "198.51.100.2:40000", false),
        ("198.51.100.1:40000", "198.51.100.1:40001", false),
        ("198.51.100.1:40000", "[::ffff:198.51.100.1]:40000", true),
        ("[2001:db8::1]:40000", "[2001:db8::1]:40000", true),
        ("[2001:db8::1]:40000", "[2001:db8::2]:40000", false),
        ("[2001:db8::1]:40000", "[2001:db8:0:1::1]:40000", false),
        ("[2001:db8::1]:40000", "[2001:db8::1]:40001", false),
        ("[2001:db8::1]:40000", "198.51.100.1:40000", false),
    ] {
        let mut w = world();
        let ticket = w.ticket(0);
        let challenge = w.challenge(asks.parse().unwrap(), &ticket).unwrap();
        let verdict = w.send(proves.parse().unwrap(), &proof(&challenge, &ticket));
        match is_the_same {
            true => assert!(matches!(verdict, Verdict::Admitted(_)), "{asks} {proves}: {verdict:?}"),
            false => assert_eq!(verdict, Verdict::Refused(RefuseReason::MacWrong), "{asks} {proves}"),
        }
    }
}

/// `World::send` counts what each refusal takes from the heap: nothing, for ordinals all over the range as well.
#[test]
fn forged_tokens_take_no_memory_however_many_ordinals_they_name() {
    let mut w = world();
    for ordinal in (0..1 << 20).step_by(5_000) {
        let claims = w.claims(ordinal);
        let forged = ticket_signed(&claims, &signing_key(2));
        assert_eq!(w.join(address(1), &forged), Err(RefuseReason::Signature));
    }
}

#[test]
fn whoever_has_seen_the_token_only_gets_a_challenge_at_most() {
    let mut w = world();
    let (ticket, own) = (w.ticket(0), w.ticket(1));
    let sniffer = playgate_protocol::Ticket { holder_key: own.holder_key.clone(), ..ticket.clone() };
    assert_eq!(w.join(address(66), &sniffer), Err(RefuseReason::ProofWrong));
    assert!(w.reply.is_empty());
    w.join(address(1), &ticket).unwrap();
    assert_eq!(w.join(address(66), &sniffer), Err(RefuseReason::ProofWrong));
}

#[test]
fn a_proof_that_was_seen_is_of_no_use() {
    let mut w = world();
    let ticket = w.ticket(0);
    w.pass(1);
    let challenge = w.challenge(address(1), &ticket).unwrap();
    let seen = proof(&challenge, &ticket);
    // From elsewhere not even before the player's own arrives.
    assert_eq!(w.send(address(66), &seen), Verdict::Refused(RefuseReason::MacWrong));
    let mut other_port = address(1);
    other_port.set_port(40_001);
    assert_eq!(w.send(other_port, &seen), Verdict::Refused(RefuseReason::MacWrong));
    assert!(matches!(w.send(address(1), &seen), Verdict::Admitted(_)));
    let accept = w.reply.clone();
    // With the player's own address as sender the player gets his ACCEPT again, and nothing changes.
    assert_eq!(w.send(address(1), &seen), Verdict::Reply);
    assert_eq!(w.reply, accept);
    assert_eq!(w.send(address(66), &seen), Verdict::Refused(RefuseReason::MacWrong));
    assert_eq!(w.gate.counters().repeated, 1);
    // It does not bring him back when he is gone, and is over when he came again.
    w.gate.disconnected(w.now, ticket.player_session);
    assert_eq!(w.send(address(1), &seen), Verdict::Refused(RefuseReason::Replayed));
    w.join(address(2), &ticket).unwrap();
    assert_eq!(w.send(address(1), &seen), Verdict::Refused(RefuseReason::Replayed));
    assert!(w.reply.is_empty());
    w.gate.leave(w.now, ticket.player_session);
    assert_eq!(w.send(address(1), &seen), Verdict::Refused(RefuseReason::Used));
    w.pass(10_001);
    assert_eq!(w.send(address(1), &seen), Verdict::Refused(RefuseReason::MacExpired));
}

#[test]
fn a_second_proof_of_the_same_moment_is_a_replay() {
    let mut w = world();
    let ticket = w.ticket(0);
    let (one, two) = (w.challenge(address(1), &ticket).unwrap(), w.challenge(address(2), &ticket).unwrap());
    assert_eq!(one.server_time_us, two.server_time_us);
    assert!(matches!(w.send(address(1), &proof(&one, &ticket)), Verdict::Admitted(_)));
    assert_eq!(w.send(address(2), &proof(&two, &ticket)), Verdict::Refused(RefuseReason::Replayed));
}

#[test]
fn an_older_proof_of_the_same_attempt_that_comes_late_changes_nothing() {
    let mut w = world();
    let ticket = w.ticket(0);
    let knock = hello([5; 16], &ticket.token);
    let proofs = [1, 2].map(|_| {
        w.pass(1);
        w.send(address(1), &knock);
        proof(&Challenge::read(w.reply.as_slice()).unwrap(), &ticket)
    });
    assert!(matches!(w.send(address(1), &proofs[1]), Verdict::Admitted(_)));
    assert_eq!(w.send(address(1), &proofs[0]), Verdict::Refused(RefuseReason::Replayed));
}

#[test]
fn a_bare_token_in_between_does_not_make_an_old_proof_new() {
    let mut w = world();
    w.want_session(|session| session.policy.bearer = true);
    let ticket = w.ticket(0);
    let challenge = w.challenge(address(1), &ticket).unwrap();
    let seen = proof(&challenge, &ticket);
    assert!(matches!(w.send(address(1), &seen), Verdict::Admitted(_)));
    w.gate.disconnected(w.now, ticket.player_session);
    w.admit(3, &ticket.token).unwrap();
    assert_eq!(w.send(address(1), &seen), Verdict::Refused(RefuseReason::Replayed));
}

#[test]
fn a_player_session_is_in_once_whatever_ordinals_name_it() {
    let mut w = world();
    w.join(address(1), &w.ticket(0)).unwrap();
    let mut claims = w.claims(1);
    claims.player_session_id = player_session(0);
    assert_eq!(w.join(address(1), &ticket(&claims)), Err(RefuseReason::OtherToken));
    assert_eq!(w.gate.active_players(), 1);
}

#[test]
fn an_expired_token_costs_no_signature() {
    let mut w = world();
    let mut claims = w.claims(0);
    claims.key_id = 2;
    w.pass(LIFETIME_MS);
    assert_eq!(w.join(address(1), &ticket(&claims)), Err(RefuseReason::Expired), "before its key is looked at");
}

#[test]
fn a_challenge_is_good_for_ten_seconds_across_a_change_of_secrets_and_of_the_clock() {
    for (age_ms, good) in [(0, true), (10_000, true), (10_001, false)] {
        let mut w = world();
        // The secret changes every 60 s of the local clock: 5 s from here.
        w.pass(60_000 - u64::try_from(LOCAL_START.as_millis()).unwrap() % 60_000 - 5_000);
        let ticket = w.ticket(0);
        let challenge = w.challenge(address(1), &ticket).unwrap();
        w.pass(age_ms);
        w.gate.sync_clock(w.now, w.coordinator_ms + 30_000);
        let verdict = w.send(address(1), &proof(&challenge, &ticket));
        assert_eq!(matches!(verdict, Verdict::Admitted(_)), good, "{age_ms} ms: {verdict:?}");
    }
    // One from the future is nobody's.
    let mut w = world();
    let ticket = w.ticket(0);
    let mut challenge = w.challenge(address(1), &ticket).unwrap();
    challenge.server_time_us += 1;
    assert_eq!(w.send(address(1), &proof(&challenge, &ticket)), Verdict::Refused(RefuseReason::MacExpired));
}

#[test]
fn an_ipv4_peer_is_the_same_on_a_socket_for_both_families() {
    let mut w = world();
    let ticket = w.ticket(0);
    let challenge = w.challenge("198.51.100.1:40000".parse().unwrap(), &ticket).unwrap();
    let verdict = w.send("[::ffff:198.51.100.1]:40000".parse().unwrap(), &proof(&challenge, &ticket));
    assert!(matches!(verdict, Verdict::Admitted(_)));
}

#[test]
fn another_process_cannot_use_what_was_proved_here() {
    let mut w = world();
    let ticket = w.ticket(0);
    let challenge = w.challenge(address(1), &ticket).unwrap();
    let mut restarted = world();
    restarted.now = w.now;
    let config = playgate_gate::GateConfig {
        process: playgate_protocol::ServerProcessId::from_bytes([0x51; 16]),
        gate_root: master().gate_root(&PROCESS),
        holder_root: master().holder_root(&PROCESS),
        secret_seed: [10; 32],
    };
    restarted.gate = playgate_gate::Gate::new(config, w.now);
    restarted.want(|_| {});
    let verdict = restarted.send(address(1), &proof(&challenge, &ticket));
    assert_eq!(verdict, Verdict::Refused(RefuseReason::WrongProcess));
}

#[test]
fn a_player_of_a_full_server_is_told_so_by_the_server_alone() {
    let mut w = world();
    w.want_session(|session| session.max_players = 0);
    let (ticket, other) = (w.ticket(0), w.ticket(1));
    assert_eq!(w.join(address(1), &ticket), Err(RefuseReason::Full));
    assert_eq!(w.refuse_code(&ticket), Some(RefuseCode::Full));
    assert_eq!(w.refuse_code(&other), None);
}

#[test]
fn signatures_are_checked_at_a_limited_rate_and_an_honest_player_gets_in_when_it_is_over() {
    let mut w = world();
    let honest = w.ticket(0);
    let mut limited = 0;
    for ordinal in 0..1_000 {
        let mut claims = w.claims(ordinal + 10);
        claims.key_id = 2;
        let ticket = ticket(&claims);
        let challenge = w.challenge(address(66), &ticket).unwrap();
        let verdict = w.send(address(66), &proof(&challenge, &ticket));
        limited += u32::from(verdict == Verdict::Refused(RefuseReason::RateLimited));
    }
    assert_eq!(limited, 1_000 - playgate_gate::limits::SIGNATURE_BURST);
    assert_eq!(w.join(address(1), &honest).map(|_| ()), Ok(()), "two more signatures after a millisecond");
}

/// What Debug shows ends up in logs.
#[test]
fn debug_shows_neither_keys_nor_tokens_nor_addresses() {
    let mut w = world();
    let ticket = w.ticket(0);
    let nonce = w.nonce();
    let hello = hello(nonce, &ticket.token);
    let admission = w.join(address(77), &ticket).unwrap();
    let mut reply = ReplyBuf::new();
    w.gate.handle(w.now, address(77), &hello, &mut reply);
    let read = playgate_protocol::handshake::Hello::read(&hello).unwrap();
    let config = playgate_gate::GateConfig {
        process: PROCESS,
        gate_root: master().gate_root(&PROCESS),
        holder_root: master().holder_root(&PROCESS),
        secret_seed: [9; 32],
    };
    let shown = format!("{:?} {config:?} {admission:?} {reply:?} {read:?} {ticket:?}", w.gate);
    for secret in ["77", "40000", "team=red", "[9, 9", "[0, 0", "80, 71"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert_eq!(Kind::of(&hello), Some(Kind::Hello));
}
