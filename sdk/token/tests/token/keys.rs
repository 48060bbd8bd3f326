//! Keys: the derivations of PROTOCOL.md, the epoch window, and the public keys that are refused.

use playgate_token::*;
use siphasher::sip128::SipHasher24;

use crate::spec;
use crate::support::{CURRENT_EPOCH, MASTER, World};

/// RFC 5869, test case 1, of whose 42 bytes the first block has 32.
#[test]
fn the_second_implementation_of_hkdf_is_right() {
    let salt: [u8; 13] = core::array::from_fn(|place| place as u8);
    let info: [u8; 10] = core::array::from_fn(|place| 0xf0 + place as u8);
    let okm = spec::hkdf(core::str::from_utf8(&salt).unwrap(), &[0x0b; 22], &info);
    let okm: String = okm.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(okm, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
}

/// The vectors of the SipHash authors: key 00 01 .. 0f, messages of 0 and 15 bytes.
#[test]
fn the_gate_tag_is_siphash_2_4_128() {
    let key = core::array::from_fn(|place| place as u8);
    let tag = |message: &[u8]| SipHasher24::new_with_key(&key).hash(message).as_bytes();
    assert_eq!(u128::from_be_bytes(tag(&[])), 0xa3817f04_ba25a8e6_6df67214_c7550293);
    let message: [u8; 15] = core::array::from_fn(|place| place as u8);
    assert_eq!(u128::from_be_bytes(tag(&message)), 0x5493e999_33b0a811_7e08ec0f_97cfc3d9);
}

#[test]
fn derived_keys_are_those_of_the_protocol() {
    let world = World::new();
    let master = MasterKey::from_bytes(MASTER);
    let process = world.process.as_bytes();
    let token = world.token();
    assert_eq!(*master.gate_root(&world.process).as_bytes(), spec::gate_root(&MASTER, process));
    assert_eq!(*master.holder_root(&world.process).as_bytes(), spec::holder_root(&MASTER, process));
    let launch_credential = spec::launch_credential(&MASTER, process);
    assert_eq!(*master.launch_credential(&world.process).as_bytes(), launch_credential);

    let (relay, player) = (RelayId::from_bytes([4; 16]), PlayerSessionId::from_bytes([5; 16]));
    for number in [0, 1, u32::MAX] {
        assert_eq!(*master.relay_key(&relay, number).as_bytes(), spec::relay_key(&MASTER, relay.as_bytes(), number));
    }
    let flow_key = spec::flow_key(&MASTER, relay.as_bytes(), player.as_bytes());
    assert_eq!(*master.flow_key(&relay, &player).as_bytes(), flow_key);

    let holder_key = world.holder_root.holder_key(&token).unwrap();
    let expected = spec::holder_key(world.holder_root.as_bytes(), &token);
    assert_eq!(*holder_key.as_bytes(), expected);
    assert_eq!(*holder_key.proof_key().as_bytes(), spec::proof_key(&expected));
    assert_eq!(*holder_key.server_key().as_bytes(), spec::server_key(&expected));
}

/// Handed over inside TLS, roots and holder keys do the same on the other side.
#[test]
fn a_key_that_was_handed_over_is_the_same_key() {
    let world = World::new();
    let token = world.token();
    let gate_root = GateRoot::from_bytes(*world.gate_root.as_bytes());
    let holder_root = HolderRoot::from_bytes(*world.holder_root.as_bytes());
    assert!(screen(&token, &world.process, &GateKeys::new(&gate_root, 0, CURRENT_EPOCH)).is_ok());
    let holder_key = holder_root.holder_key(&token).unwrap();
    let at_the_client = HolderKey::from_bytes(*holder_key.as_bytes());
    assert_eq!(at_the_client.proof_key().as_bytes(), holder_key.proof_key().as_bytes());
}

#[test]
fn a_holder_key_belongs_to_one_token_and_one_process() {
    let world = World::new();
    let token = world.token();
    let key = |root: &HolderRoot, token: &[u8]| *root.holder_key(token).unwrap().as_bytes();
    let own = key(&world.holder_root, &token);

    let other_claims = Claims { ordinal: 43, ..world.claims() };
    assert_ne!(key(&world.holder_root, world.mint(&other_claims).as_bytes()), own);
    let other_root = MasterKey::from_bytes(MASTER).holder_root(&ServerProcessId::from_bytes([0; 16]));
    assert_ne!(key(&other_root, &token), own);

    let mut other_tag = token.clone();
    *other_tag.last_mut().unwrap() ^= 1;
    assert_eq!(key(&world.holder_root, &other_tag), own, "the gate tag is not covered");
    assert_eq!(world.holder_root.holder_key(&token[1..]).err(), Some(Reject::Magic));
}

#[test]
fn the_epoch_window_holds_the_current_epoch_and_the_one_before() {
    let world = World::new();
    for (min, current, accepted) in [
        (0, 0, &[0][..]),
        (0, 1, &[0, 1]),
        (0, 7, &[6, 7]),
        (6, 7, &[6, 7]),
        (7, 7, &[7]),
        (8, 7, &[]),
        (0, u16::MAX, &[u16::MAX - 1, u16::MAX]),
        (u16::MAX, u16::MAX, &[u16::MAX]),
    ] {
        let window = GateKeys::new(&world.gate_root, min, current);
        for epoch in [0, 1, 5, 6, 7, 8, u16::MAX - 1, u16::MAX] {
            let token = world.mint(&Claims { gate_epoch: epoch, ..world.claims() });
            let expected = if accepted.contains(&epoch) { None } else { Some(Reject::UnknownEpoch) };
            let found = screen(token.as_bytes(), &world.process, &window).err();
            assert_eq!(found, expected, "epoch {epoch} in {min}..={current}");
        }
    }
}

#[test]
fn a_key_set_keeps_what_it_is_given() {
    let world = World::new();
    let ids: Vec<u16> = world.key_set.key_ids().collect();
    assert_eq!(ids, [1, u16::MAX]);
    assert_eq!(*world.key_set.get(1).unwrap().as_bytes(), world.signing_key.public_key());
    assert_eq!(world.key_set.get(2), None);
    assert_eq!(PublicKeySet::new(&[]).unwrap().get(0), None);
    assert_eq!(PublicKeySet::new(&[]).unwrap(), PublicKeySet::default());
}

#[test]
fn a_key_set_refuses_keys_that_no_honest_signer_has() {
    let world = World::new();
    let good = world.signing_key.public_key();
    let [identity, above_p] = [point([1, 0, 0], 0x00), point([0xf0, 0xff, 0xff], 0x7f)];
    for (keys, error) in [
        (&[(0, good), (1, good), (2, good), (3, good), (4, good)][..], KeySetError::TooMany),
        (&[(5, good), (5, world.other_signing_key.public_key())], KeySetError::DuplicateId(5)),
        (&[(5, good), (5, good)], KeySetError::DuplicateId(5)),
        (&[(5, good), (6, identity)], KeySetError::SmallOrder(6)),
        (&[(7, above_p), (5, good)], KeySetError::NonCanonical(7)),
    ] {
        assert_eq!(PublicKeySet::new(keys), Err(error));
    }
    assert!(PublicKeySet::new(&[(0, good), (1, good), (2, good), (3, good)]).is_ok());
}

/// Canonical is y below p = 2^255 - 19, whatever the sign bit says. Each byte of p counts.
#[test]
fn a_public_key_has_its_canonical_encoding() {
    let changed = |place: usize, byte: u8| {
        let mut key = point([0xf0, 0xff, 0xff], 0x7f);
        key[place] = byte;
        key
    };
    for (key, canonical) in [
        (changed(0, 0xeb), true), // p - 2; p - 1, p and p + 1 are of small order
        (changed(0, 0xef), false),
        (changed(0, 0xff), false),
        (changed(1, 0xfe), true),
        (changed(30, 0xfe), true),
        (changed(31, 0x7e), true),
        (changed(31, 0xff), false),
        (changed(31, 0xfe), true),
    ] {
        let expected = if canonical { None } else { Some(KeySetError::NonCanonical(1)) };
        assert_eq!(PublicKeySet::new(&[(1, key)]).err(), expected, "{key:02x?}");
    }
}

#[test]
fn a_refused_key_set_names_the_key_at_fault() {
    for (error, text) in [
        (KeySetError::TooMany, "a key set holds at most 4 public keys"),
        (KeySetError::DuplicateId(5), "two public keys have the id 5"),
        (KeySetError::SmallOrder(6), "public key 6 is a point of small order"),
        (KeySetError::NonCanonical(7), "public key 7 is not canonically encoded"),
    ] {
        assert_eq!(error.to_string(), text);
    }
}

/// With a withdrawn key, the token of yesterday is refused; with a new one, the token of tomorrow is accepted.
#[test]
fn rotation_is_a_matter_of_the_set() {
    let world = World::new();
    let token = world.token();
    let only = |id, key: &SigningKey| PublicKeySet::new(&[(id, key.public_key())]).unwrap();
    for (set, verdict) in [
        (only(1, &world.signing_key), None),
        (only(2, &world.signing_key), Some(Reject::UnknownKey)),
        (only(1, &world.other_signing_key), Some(Reject::Signature)),
        (PublicKeySet::default(), Some(Reject::UnknownKey)),
    ] {
        let audience = Audience { key_set: &set, ..world.audience() };
        assert_eq!(accept(&token, &audience, 0).err(), verdict, "{set:?}");
    }
}

/// A point whose y has these lowest bytes, this highest one, and the last of the lowest in between.
fn point(low: [u8; 3], high: u8) -> [u8; 32] {
    let mut bytes = [low[2]; 32];
    bytes[..3].copy_from_slice(&low);
    bytes[31] = high;
    bytes
}
