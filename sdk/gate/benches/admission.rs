//! What a datagram costs the server, beside one raw Ed25519 verification of the same length in the same run.
//!
//! `cargo bench -p playgate-gate` prints medians over interleaved rounds. The goal that matters: admission of a PROOF,
//! all checks and the answer included, within 1.6 times the bare verification.

#[path = "../tests/gate/world.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod world;

use std::hint::black_box;
use std::time::{Duration, Instant};

use playgate_gate::{ReplyBuf, Verdict};
use playgate_protocol::Ticket;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use world::{World, address};

const PLAYERS: u32 = 200;

fn main() {
    // `cargo test` runs benches once, to see that they run.
    let rounds = if std::env::args().any(|arg| arg == "--bench") { 25 } else { 1 };
    let mut rows: Vec<(&str, Vec<f64>)> = Vec::new();
    for _ in 0..rounds {
        for (name, ns) in round() {
            match rows.iter_mut().find(|(known, _)| *known == name) {
                Some((_, all)) => all.push(ns),
                None => rows.push((name, vec![ns])),
            }
        }
    }
    let mut raw = None;
    for (name, all) in &mut rows {
        all.sort_by(f64::total_cmp);
        let median = all[all.len() / 2];
        let raw = *raw.get_or_insert(median);
        println!("{name:<44} {median:>9.0} ns   {:>8.4} x raw verify", median / raw);
    }
}

fn round() -> Vec<(&'static str, f64)> {
    let mut w = world::world();
    w.want_session(|session| session.max_players = u16::MAX);
    let tickets: Vec<Ticket> = (0..PLAYERS).map(|ordinal| w.ticket(ordinal)).collect();
    let nonce = [3; 16];
    let hellos: Vec<_> = tickets.iter().map(|ticket| world::hello(nonce, &ticket.token)).collect();
    let junk: Vec<_> = hellos.iter().map(|hello| with_last_byte_flipped(hello)).collect();
    let proofs = proofs(&mut w, &tickets);
    let wrong_mac: Vec<_> = proofs.iter().map(|proof| with_flipped(proof, proof.len() - 33)).collect();
    let wrong_proof: Vec<_> = proofs.iter().map(|proof| with_last_byte_flipped(proof)).collect();
    let game: Vec<_> = tickets.iter().map(|_| vec![7; 200]).collect();
    let mut rows = vec![("raw Ed25519 verification", raw_verify())];
    let mut measure = |name, w: &mut World, datagrams: &[Vec<u8>], expected: fn(&Verdict) -> bool| {
        rows.push((name, each(w, datagrams, expected)));
    };
    measure("game traffic: not ours", &mut w, &game, |v| *v == Verdict::NotOurs);
    measure("HELLO, wrong gate tag: refused", &mut w, &junk, |v| matches!(v, Verdict::Refused(_)));
    measure("HELLO: challenged", &mut w, &hellos, |v| *v == Verdict::Reply);
    measure("PROOF, wrong MAC: refused", &mut w, &wrong_mac, |v| matches!(v, Verdict::Refused(_)));
    measure("PROOF, wrong HMAC: refused", &mut w, &wrong_proof, |v| matches!(v, Verdict::Refused(_)));
    measure("PROOF: admitted", &mut w, &proofs, |v| matches!(v, Verdict::Admitted(_)));
    measure("PROOF again: the same ACCEPT", &mut w, &proofs, |v| *v == Verdict::Reply);
    w.pass(1);
    let later = self::proofs(&mut w, &tickets);
    measure("PROOF of a reconnect: admitted", &mut w, &later, |v| matches!(v, Verdict::Admitted(_)));
    rows
}

fn proofs(w: &mut World, tickets: &[Ticket]) -> Vec<Vec<u8>> {
    tickets.iter().map(|ticket| world::proof(&w.challenge(address(1), ticket).expect("a good token"), ticket)).collect()
}

fn each(w: &mut World, datagrams: &[Vec<u8>], expected: fn(&Verdict) -> bool) -> f64 {
    let mut reply = ReplyBuf::new();
    let mut as_expected = true;
    let begun = Instant::now();
    for datagram in datagrams {
        // Half a millisecond earns one signature.
        w.now += Duration::from_micros(500);
        let verdict = w.gate.handle(w.now, address(1), datagram, &mut reply);
        as_expected &= expected(&verdict);
        black_box((&verdict, &reply));
    }
    let ns = begun.elapsed().as_nanos() as f64 / datagrams.len() as f64;
    assert!(as_expected);
    ns
}

fn raw_verify() -> f64 {
    let key = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).expect("a seed");
    let public = *key_bytes(&key);
    let message = [5; 150];
    let signature = key.sign(&message);
    let begun = Instant::now();
    for _ in 0..PLAYERS {
        let verified = UnparsedPublicKey::new(&ED25519, public).verify(black_box(&message), signature.as_ref());
        assert!(verified.is_ok());
    }
    begun.elapsed().as_nanos() as f64 / f64::from(PLAYERS)
}

fn key_bytes(key: &Ed25519KeyPair) -> &[u8; 32] {
    use ring::signature::KeyPair;
    key.public_key().as_ref().try_into().expect("32 bytes")
}

fn with_last_byte_flipped(datagram: &[u8]) -> Vec<u8> {
    with_flipped(datagram, datagram.len() - 1)
}

fn with_flipped(datagram: &[u8], at: usize) -> Vec<u8> {
    let mut changed = datagram.to_vec();
    changed[at] ^= 1;
    changed
}
