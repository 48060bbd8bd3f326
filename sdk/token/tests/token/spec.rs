//! PROTOCOL.md's "Player-session token" written a second time, with nothing of the crate: HKDF from HMAC, tag and
//! signature over plain bytes. What the crate makes is held against it, and hostile tokens are sealed with it.

use std::hash::Hasher;

use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::signature::Ed25519KeyPair;
use siphasher::sip128::{Hasher128, SipHasher24};

pub const DOMAIN: &[u8; 32] = b"playgate v1 player-session-token";
pub const SIGNATURE_LEN: usize = 64;
pub const TAG_LEN: usize = 16;
/// Bytes after what is signed.
pub const SEAL_LEN: usize = SIGNATURE_LEN + TAG_LEN;

/// The order of the base point, little-endian.
pub const L: [u8; 32] =
    *b"\xed\xd3\xf5\x5c\x1a\x63\x12\x58\xd6\x9c\xf7\xa2\xde\xf9\xde\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10";

/// RFC 5869 with SHA-256 and one block of output.
pub fn hkdf(salt: &str, key: &[u8], info: &[u8]) -> [u8; 32] {
    let pseudorandom_key = mac(salt.as_bytes(), key);
    mac(&pseudorandom_key, &[info, &[1]].concat())
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    tag.as_ref().try_into().unwrap()
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

pub fn gate_root(master: &[u8], process: &[u8; 16]) -> [u8; 32] {
    hkdf("playgate/v1/gate-root", master, process)
}

pub fn holder_root(master: &[u8], process: &[u8; 16]) -> [u8; 32] {
    hkdf("playgate/v1/holder-root", master, process)
}

pub fn launch_credential(master: &[u8], process: &[u8; 16]) -> [u8; 32] {
    hkdf("playgate/v1/launch", master, process)
}

pub fn relay_key(master: &[u8], relay: &[u8; 16], number: u32) -> [u8; 32] {
    hkdf("playgate/v1/relay", master, &[&relay[..], &number.to_le_bytes()].concat())
}

pub fn flow_key(master: &[u8], relay: &[u8; 16], player_session: &[u8; 16]) -> [u8; 32] {
    hkdf("playgate/v1/flow", master, &[&relay[..], player_session].concat())
}

pub fn gate_key(gate_root: &[u8], epoch: u16) -> [u8; 16] {
    *hkdf("playgate/v1/gate", gate_root, &epoch.to_le_bytes()).first_chunk().unwrap()
}

pub fn holder_key(holder_root: &[u8], token: &[u8]) -> [u8; 32] {
    hkdf("playgate/v1/holder", holder_root, &sha256(&token[..token.len() - TAG_LEN]))
}

pub fn proof_key(holder_key: &[u8]) -> [u8; 32] {
    hkdf("playgate/v1/proof", holder_key, b"")
}

pub fn server_key(holder_key: &[u8]) -> [u8; 32] {
    hkdf("playgate/v1/server", holder_key, b"")
}

/// Writes the signature over everything before it.
pub fn sign(token: &mut [u8], signer: &Ed25519KeyPair) {
    sign_under(DOMAIN, token, signer);
}

/// The same under a domain of the caller's choice.
pub fn sign_under(domain: &[u8], token: &mut [u8], signer: &Ed25519KeyPair) {
    let end = token.len() - SEAL_LEN;
    let signature = signer.sign(&[domain, &token[..end]].concat());
    token[end..end + SIGNATURE_LEN].copy_from_slice(signature.as_ref());
}

/// Writes the gate tag over everything before it.
pub fn tag(token: &mut [u8], gate_key: &[u8; 16]) {
    let end = token.len() - TAG_LEN;
    let mut hasher = SipHasher24::new_with_key(gate_key);
    hasher.write(&token[..end]);
    let hash = hasher.finish128();
    token[end..end + 8].copy_from_slice(&hash.h1.to_le_bytes());
    token[end + 8..].copy_from_slice(&hash.h2.to_le_bytes());
}

/// All encodings of the points whose order divides 8.
pub fn small_order_points() -> Vec<(&'static str, [u8; 32])> {
    let (zeros, ones) = ("00".repeat(30), "ff".repeat(30));
    let order_8 = [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03",
    ];
    [
        ("the identity", format!("01{zeros}00")),
        ("the identity with a sign", format!("01{zeros}80")),
        ("the identity as p + 1", format!("ee{ones}7f")),
        ("the identity as p + 1 with a sign", format!("ee{ones}ff")),
        ("of order 2", format!("ec{ones}7f")),
        ("of order 2 with a sign", format!("ec{ones}ff")),
        ("of order 4", format!("00{zeros}00")),
        ("of order 4, negative", format!("00{zeros}80")),
        ("of order 4 as p", format!("ed{ones}7f")),
        ("of order 4 as p, negative", format!("ed{ones}ff")),
        ("of order 8, first", format!("{}05", order_8[0])),
        ("of order 8, first, negative", format!("{}85", order_8[0])),
        ("of order 8, second", format!("{}7a", order_8[1])),
        ("of order 8, second, negative", format!("{}fa", order_8[1])),
    ]
    .map(|(name, hex)| {
        (name, std::array::from_fn(|place| u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).unwrap()))
    })
    .to_vec()
}
