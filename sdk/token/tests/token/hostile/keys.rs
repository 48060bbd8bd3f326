//! Key sets: which key a token names, which one signed it, and what happens to it when the keys are rotated.

use super::forge::{Draft, MAIN, PROCESS, STRANGERS_SEED, key_pair, public_key, server, tag};
use super::{ACCEPT, KeySetCase, PublicKey, Table, to_hex};
use crate::spec::{self, small_order_points};
use crate::support::{KEY_ID, MASTER, NOW_MS, OTHER_KEY_ID, OTHER_SEED, SEED};

const ORDINAL: u32 = 400;

pub fn add(table: &mut Table) {
    rotation(table);
    signers(table);
    key_sets(table);
}

fn case(table: &mut Table, name: String, server: &str, expect: &str, token: &[u8]) {
    table.token("key", name, (server, NOW_MS), expect, token);
}

/// Signed by the key with this seed, whatever key it names.
fn signed_by(key_id: u16, seed: &[u8; 32]) -> Vec<u8> {
    let mut token = Draft { key_id, ..Draft::new(ORDINAL) }.bare();
    spec::sign(&mut token, &key_pair(seed));
    tag(&mut token);
    token
}

fn rotation(table: &mut Table) {
    let (old, new) = (signed_by(1, &SEED), signed_by(2, &STRANGERS_SEED));
    let sets: [(&str, Vec<PublicKey>, &str, &str); 9] = [
        ("before the rotation", vec![public_key(1, &SEED)], ACCEPT, "unknown_key"),
        ("during the rotation", vec![public_key(2, &STRANGERS_SEED), public_key(1, &SEED)], ACCEPT, ACCEPT),
        ("after the rotation", vec![public_key(2, &STRANGERS_SEED)], "unknown_key", ACCEPT),
        ("without any key", vec![], "unknown_key", "unknown_key"),
        // An id is never used for a second key; where it is, the old signatures are worth nothing.
        ("with key 1 replaced under its id", vec![public_key(1, &STRANGERS_SEED)], "signature", "unknown_key"),
        (
            "with the ids exchanged",
            vec![public_key(1, &STRANGERS_SEED), public_key(2, &SEED)],
            "signature",
            "signature",
        ),
        ("with the right key under another id", vec![public_key(3, &SEED)], "unknown_key", "unknown_key"),
        ("with the same key under two ids", vec![public_key(1, &SEED), public_key(2, &SEED)], ACCEPT, "signature"),
        (
            "with four keys",
            vec![
                public_key(7, &OTHER_SEED),
                public_key(0, &OTHER_SEED),
                public_key(2, &STRANGERS_SEED),
                public_key(1, &SEED),
            ],
            ACCEPT,
            ACCEPT,
        ),
    ];
    for (name, keys, old_is, new_is) in sets {
        let there = table.server(server(&format!("main {name}"), |server| server.public_keys = keys));
        case(table, format!("signed by the old key, {name}"), &there, old_is, &old);
        case(table, format!("signed by the new key, {name}"), &there, new_is, &new);
    }
    // Bytes that are no point are taken as a key, and nothing verifies under them.
    let off_curve = PublicKey { key_id: 1, public_key: to_hex(&[2; 32]) };
    let there = table.server(server("main with a key that is no point", |server| server.public_keys = vec![off_curve]));
    case(table, "under a key that is no point".to_owned(), &there, "signature", &old);
}

/// Main has the keys 1 and 65535.
fn signers(table: &mut Table) {
    case(table, "key 1, signed by it".to_owned(), MAIN, ACCEPT, &signed_by(KEY_ID, &SEED));
    case(table, "key 65535, signed by it".to_owned(), MAIN, ACCEPT, &signed_by(OTHER_KEY_ID, &OTHER_SEED));
    for key_id in [0, 2, 255, 256, 0x7fff, 0xff00, 0xfffe] {
        let name = format!("key {key_id}, which is not in the set, signed by key 1");
        case(table, name, MAIN, "unknown_key", &signed_by(key_id, &SEED));
    }
    let (gate_root, holder_root) = (spec::gate_root(&MASTER, &PROCESS), spec::holder_root(&MASTER, &PROCESS));
    for (who, seed) in [
        ("the other key of the set", OTHER_SEED),
        ("a key of nobody", STRANGERS_SEED),
        ("the gate root", gate_root),
        ("the holder root", holder_root),
        ("the master key", MASTER),
        ("the public key itself", key_bytes(&SEED)),
        ("zeros", [0; 32]),
    ] {
        case(table, format!("key 1, signed by {who}"), MAIN, "signature", &signed_by(KEY_ID, &seed));
    }
    case(table, "key 65535, signed by key 1".to_owned(), MAIN, "signature", &signed_by(OTHER_KEY_ID, &SEED));
}

fn key_bytes(seed: &[u8; 32]) -> [u8; 32] {
    use ring::signature::KeyPair;
    key_pair(seed).public_key().as_ref().try_into().unwrap()
}

fn key_sets(table: &mut Table) {
    let good = |key_id| public_key(key_id, &SEED);
    let raw = |key_id, bytes: [u8; 32]| PublicKey { key_id, public_key: to_hex(&bytes) };
    let mut add = |name: String, expect: &str, public_keys: Vec<PublicKey>| {
        table.key_sets.push(KeySetCase { name, expect: expect.to_owned(), public_keys });
    };
    add("no key".to_owned(), ACCEPT, vec![]);
    add("one key".to_owned(), ACCEPT, vec![good(1)]);
    add("key 0".to_owned(), ACCEPT, vec![good(0)]);
    add("key 65535".to_owned(), ACCEPT, vec![good(65_535)]);
    add("four keys".to_owned(), ACCEPT, [3, 2, 1, 0].map(good).into());
    add("five keys".to_owned(), "too_many", [0, 1, 2, 3, 4].map(good).into());
    add("five keys of one id".to_owned(), "too_many", [1; 5].map(good).into());
    add("one id twice".to_owned(), "duplicate_id", vec![good(1), public_key(1, &OTHER_SEED)]);
    add("one key twice".to_owned(), "duplicate_id", vec![good(1), good(2), good(1)]);
    add("one key under two ids".to_owned(), ACCEPT, vec![good(1), good(2)]);
    for (name, point) in small_order_points() {
        add(format!("{name}, alone"), "small_order", vec![raw(1, point)]);
        add(format!("{name}, behind a good one"), "small_order", vec![good(1), raw(2, point)]);
    }
    // y from p + 2 to 2^255 - 1, with either sign: encodings of points that have another one.
    for low in 0xef..=0xff {
        for high in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            add(format!("y = p + {}, sign {}", low - 0xed, high >> 7), "non_canonical", vec![raw(1, bytes)]);
        }
    }
    // The largest y below p that is not of small order, p - 2, with either sign.
    for high in [0x7f, 0xff] {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xeb, high);
        add(format!("y = p - 2, sign {}", high >> 7), ACCEPT, vec![raw(1, bytes)]);
    }
}
