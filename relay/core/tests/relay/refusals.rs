//! Every reason for which a datagram goes nowhere, and every answer that a player is refused with, in a row of its own.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use playgate_protocol::handshake::Datagram;
use playgate_protocol::relay::{
    ConnectionId, Cookie, DataKind, FlowKey, HEADER_BYTES, Hello, OPEN_BYTES, PASS_BYTES, PAYLOAD_BYTES_MAX,
    PassClaims, Refuse, RefuseCode, RelaySecret,
};
use playgate_relay_core::limits::{
    HELLOS_PER_NETWORK_BURST, OPEN_AGAIN_AFTER, OPENS_PER_NETWORK_BURST, SPARE_HELLO_BURST,
};
use playgate_relay_core::{Closed, DropReason, Output, Secrets, Verdict};

use crate::world::*;

/// A player who can say anything: what he sends is made by hand.
struct Hand {
    from: SocketAddr,
    claims: PassClaims,
    connection: ConnectionId,
    relay_time_us: u64,
    sequence: u64,
}

const NONCE: [u8; 16] = [4; 16];

fn from() -> SocketAddr {
    "192.0.2.1:1000".parse().unwrap()
}

fn cookie(world: &mut World) -> Cookie {
    let mut hello = Datagram::<OPEN_BYTES>::new();
    Hello { nonce: NONCE }.write(&mut hello);
    assert_eq!(world.from(from(), hello.as_slice()), Verdict::Reply);
    Cookie::read(world.core.reply()).unwrap()
}

fn open_with(world: &mut World, secret: &RelaySecret, claims: &PassClaims, key: &FlowKey) -> Vec<u8> {
    let mut open = Datagram::new();
    world.now += Duration::from_micros(1); // each has a cookie of its own
    cookie(world).answer(&secret.seal(claims, [7; 16]), key, &mut open);
    open.as_slice().to_vec()
}

fn open(world: &mut World, claims: &PassClaims) -> Vec<u8> {
    open_with(world, &secret(1), claims, &claims.flow_key)
}

fn hand(world: &mut World) -> Hand {
    let claims = claims(1);
    let open = open(world, &claims);
    assert!(matches!(world.from(from(), &open), Verdict::Open { .. }));
    let accept = playgate_protocol::relay::Accept::open(world.core.reply(), &claims.flow_key).unwrap();
    Hand { from: from(), claims, connection: accept.connection, relay_time_us: accept.relay_time_us, sequence: 0 }
}

impl Hand {
    fn datagram(&mut self, kind: DataKind, payload: &[u8]) -> Vec<u8> {
        let keys = self.claims.flow_key.traffic_keys(&NONCE, self.relay_time_us, self.connection);
        let mut header = [0; HEADER_BYTES];
        keys.up.write(kind, self.sequence, self.connection, payload, &mut header);
        self.sequence += 1;
        [&header, payload].concat()
    }

    fn with(&mut self, connection: ConnectionId) -> Vec<u8> {
        let mut datagram = self.datagram(DataKind::Data, b"to somebody");
        datagram[4..12].copy_from_slice(&connection.0);
        datagram
    }
}

type Row = (DropReason, fn(&mut World) -> Verdict);

/// The last datagram of each row is dropped for its reason.
const DROPS: &[Row] = &[
    (DropReason::Malformed, |world| world.from(from(), b"")),
    (DropReason::Malformed, |world| world.from(from(), &[1; HEADER_BYTES - 1])),
    (DropReason::Malformed, |world| world.from(from(), &[9; 64])),
    (DropReason::Malformed, |world| world.from(from(), b"PR1H, and too short")),
    (DropReason::Malformed, |world| {
        let mut hello = Datagram::<OPEN_BYTES>::new();
        Hello { nonce: NONCE }.write(&mut hello);
        world.from("192.0.2.1:0".parse().unwrap(), hello.as_slice()) // nothing can be sent there
    }),
    (DropReason::Malformed, |world| {
        let datagram = hand(world).datagram(DataKind::Ping, b"not 16 bytes");
        world.from(from(), &datagram)
    }),
    (DropReason::WrongKind, |world| {
        let datagram = hand(world).datagram(DataKind::Pong, &[0; 16]);
        world.from(from(), &datagram)
    }),
    (DropReason::WrongKind, |world| {
        let datagram = hand(world).datagram(DataKind::FreshPass, &[0; PASS_BYTES]);
        world.from(from(), &datagram)
    }),
    (DropReason::Malformed, |world| {
        let datagram = hand(world).datagram(DataKind::Renew, &[0; PASS_BYTES - 1]);
        world.from(from(), &datagram)
    }),
    (DropReason::PassSecret, |world| {
        let datagram = hand(world).datagram(DataKind::Renew, &[0; PASS_BYTES]);
        world.from(from(), &datagram)
    }),
    (DropReason::PassSeal, |world| {
        let another = secret(1).seal(&claims(2), [7; 16]);
        let datagram = hand(world).datagram(DataKind::Renew, &another.0);
        world.from(from(), &datagram)
    }),
    (DropReason::WrongKind, |world| {
        let datagram = hand(world).datagram(DataKind::PathChallenge, &[0; 8]);
        world.from(from(), &datagram)
    }),
    (DropReason::HelloRate, |world| {
        let answered = HELLOS_PER_NETWORK_BURST + SPARE_HELLO_BURST;
        (0..answered).for_each(|_| assert_eq!(cookie(world).nonce, NONCE));
        let mut hello = Datagram::<OPEN_BYTES>::new();
        Hello { nonce: NONCE }.write(&mut hello);
        assert_eq!(world.from("203.0.113.1:1".parse().unwrap(), hello.as_slice()), Verdict::Reply, "another network");
        world.from("192.0.2.77:1".parse().unwrap(), hello.as_slice())
    }),
    (DropReason::CookieAge, |world| {
        let open = open(world, &claims(1));
        world.now += Duration::from_micros(10_000_001);
        world.from(from(), &open)
    }),
    (DropReason::CookieAge, |world| {
        world.now += Duration::from_secs(1);
        let open = open(world, &claims(1));
        world.now -= Duration::from_secs(1);
        world.from(from(), &open)
    }),
    (DropReason::CookieMac, |world| {
        let open = open(world, &claims(1));
        world.from("192.0.2.1:1001".parse().unwrap(), &open)
    }),
    (DropReason::OpenRate, |world| {
        let mut open = || {
            let open = open_with(world, &secret(1), &claims(1), &FlowKey::from_bytes([0; 32]));
            world.from(from(), &open)
        };
        (0..OPENS_PER_NETWORK_BURST).for_each(|_| assert_eq!(open(), Verdict::Drop(DropReason::OpenProof)));
        open()
    }),
    (DropReason::OpenRepeated, |world| {
        let open = open(world, &claims(1));
        assert!(matches!(world.from(from(), &open), Verdict::Open { .. }));
        world.from(from(), &open)
    }),
    (DropReason::PassSecret, |world| {
        let open = open_with(world, &secret(9), &claims(1), &claims(1).flow_key);
        world.from(from(), &open)
    }),
    (DropReason::PassSeal, |world| {
        let stranger = RelaySecret::new(1, [9; 32]);
        let open = open_with(world, &stranger, &claims(1), &claims(1).flow_key);
        world.from(from(), &open)
    }),
    (DropReason::PassSeal, |world| {
        let open = open(world, &PassClaims { server: "10.0.0.1:0".parse().unwrap(), ..claims(1) });
        world.from(from(), &open)
    }),
    (DropReason::OpenProof, |world| {
        let open = open_with(world, &secret(1), &claims(1), &FlowKey::from_bytes([0; 32]));
        world.from(from(), &open)
    }),
    (DropReason::OpenStale, |world| {
        let old = open(world, &claims(1));
        world.now += Duration::from_millis(1);
        hand(world);
        world.from(from(), &old)
    }),
    (DropReason::WrongCore, |world| {
        let mut hand = hand(world);
        let other = ConnectionId::from_parts(1, 5, 0, hand.connection.generation());
        let datagram = hand.with(other);
        world.from(from(), &datagram)
    }),
    (DropReason::UnknownFlow, |world| {
        let mut hand = hand(world);
        let next = ConnectionId::from_parts(0, 5, 0, hand.connection.generation() + 1);
        let datagram = hand.with(next);
        world.from(from(), &datagram)
    }),
    (DropReason::UnknownFlow, |world| {
        let mut hand = hand(world);
        let datagram = hand.with(ConnectionId::from_parts(0, 5, 7, hand.connection.generation()));
        world.from(from(), &datagram)
    }),
    (DropReason::UnknownFlow, |world| {
        let mut hand = hand(world);
        world.core.revoke(hand.claims.player_session, VALID_UNTIL_MS);
        let datagram = hand.datagram(DataKind::Data, b"short"); // too short for a RESET
        world.from(from(), &datagram)
    }),
    (DropReason::Tag, |world| {
        let mut datagram = hand(world).datagram(DataKind::Data, b"payload");
        datagram[25] ^= 1;
        world.from(from(), &datagram)
    }),
    (DropReason::Replay, |world| {
        let datagram = hand(world).datagram(DataKind::Data, b"payload");
        assert_eq!(world.from(from(), &datagram), Verdict::Forward(0));
        world.from(from(), &datagram)
    }),
    (DropReason::FlowRate, |world| {
        let mut hand = hand(world);
        for _ in 0..250 {
            let datagram = hand.datagram(DataKind::Data, b"payload");
            assert_eq!(world.from(from(), &datagram), Verdict::Forward(0));
        }
        let datagram = hand.datagram(DataKind::Data, b"payload");
        world.from(from(), &datagram)
    }),
    (DropReason::TooLong, |world| {
        let mut hand = hand(world);
        let longest = hand.datagram(DataKind::Data, &[0; PAYLOAD_BYTES_MAX]);
        assert_eq!(world.from(from(), &longest), Verdict::Forward(0));
        let longer = hand.datagram(DataKind::Data, &[0; PAYLOAD_BYTES_MAX + 1]);
        world.from(from(), &longer)
    }),
    (DropReason::PathResponse, |world| {
        let datagram = hand(world).datagram(DataKind::PathResponse, &[0; 8]);
        world.from(from(), &datagram)
    }),
    (DropReason::PathResponse, |world| {
        let datagram = hand(world).datagram(DataKind::PathResponse, b"");
        world.from(from(), &datagram)
    }),
];

#[test]
fn every_reason_to_drop_has_a_row() {
    let mut seen = BTreeSet::new();
    for (row, (reason, drop)) in DROPS.iter().enumerate() {
        let mut world = World::new();
        assert_eq!(drop(&mut world), Verdict::Drop(*reason), "row {row}");
        assert!(world.core.counters().drops(*reason) >= 1);
        seen.insert(*reason);
    }
    // What comes from servers has stories of its own.
    seen.insert(DropReason::DownUnknownFlow);
    assert_eq!(seen, DropReason::ALL.into_iter().collect());
}

#[test]
fn every_refusal_is_told_to_whoever_holds_the_key() {
    let elsewhere = PassClaims { server: "192.0.2.200:7777".parse().unwrap(), ..claims(1) };
    let too_late = PassClaims { use_by_ms: 1_000, ..claims(1) };
    type Change = fn(&mut World);
    let rows: [(RefuseCode, PassClaims, Change); 5] = [
        (RefuseCode::Destination, elsewhere, |_| {}),
        (RefuseCode::Expired, too_late, |_| {}),
        (RefuseCode::Revoked, claims(1), |world| world.core.revoke(claims(1).player_session, VALID_UNTIL_MS)),
        (RefuseCode::Draining, claims(1), |world| world.core.set_draining(true)),
        (RefuseCode::Full, claims(1), |world| (11..19).for_each(|n| drop(world.joined(n)))),
    ];
    for (code, claims, change) in rows {
        let mut world = World::new();
        change(&mut world);
        let flows = world.core.flows();
        let open = open(&mut world, &claims);
        assert_eq!(world.from(from(), &open), Verdict::Reply);
        let refuse = Refuse::open(world.core.reply(), &claims.flow_key).unwrap();
        assert_eq!((refuse.code, refuse.nonce, world.core.flows()), (code, NONCE, flows));
    }
}

#[test]
fn without_secrets_nothing_is_opened() {
    let mut world = World::new();
    world.core = playgate_relay_core::Core::new(config(), world.now());
    let datagram = open(&mut world, &claims(1));
    assert_eq!(world.from(from(), &datagram), Verdict::Drop(DropReason::PassSecret));
    world.core.set_secrets(Secrets { current: secret(1), before: None });
    world.now += OPEN_AGAIN_AFTER;
    assert!(matches!(world.from(from(), &datagram), Verdict::Open { .. }));
}

#[test]
fn a_socket_that_cannot_be_made_leaves_no_flow() {
    let mut world = World::new();
    hand(&mut world);
    world.core.abandon(0);
    assert_eq!(world.core.flows(), 0);
    let mut outputs = std::iter::from_fn(|| world.core.poll_output());
    assert!(outputs.any(|output| matches!(output, Output::Closed(Closed { slot: 0, reason: None, .. }))));
    let again = hand(&mut world);
    assert_eq!((again.connection.slot(), again.from), (0, from()));
}
