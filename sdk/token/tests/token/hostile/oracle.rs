//! The checks of PROTOCOL.md, "Verification", written from the document: no type of the crate, other arithmetic for the
//! curve, and every check in its place, however dear.

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use ring::digest::{Context, SHA512};

use super::{ACCEPT, Server, from_hex, to_hex};
use crate::spec;

pub fn verdict(server: &Server, now_ms: u64, token: &[u8]) -> &'static str {
    check(server, now_ms, token).err().unwrap_or(ACCEPT)
}

fn check(server: &Server, now_ms: u64, token: &[u8]) -> Result<(), &'static str> {
    let must = |holds: bool, reason| if holds { Ok(()) } else { Err(reason) };
    must(token.len() >= 161 && token.len() <= 544, "length")?; // 1
    must(token.starts_with(b"PGT1"), "magic")?; // 2
    must(to_hex(&token[48..64]) == server.process_id, "wrong_process")?; // 3
    let epoch = number(&token[6..8]);
    let (current, least) = (u64::from(server.current_epoch), u64::from(server.min_epoch));
    must(epoch >= least && (epoch == current || epoch + 1 == current), "unknown_epoch")?; // 4
    let gate_key = spec::gate_key(&from_hex(&server.gate_root), epoch as u16);
    let mut tagged = token.to_vec();
    spec::tag(&mut tagged, &gate_key);
    must(tagged == token, "gate_tag")?; // 5
    must(token[8] == 0, "flags")?; // 6
    let (id_len, data_len) = (number(&token[9..10]) as usize, number(&token[10..12]) as usize);
    must((1..=128).contains(&id_len), "player_id_length")?; // 7
    must(data_len <= 256, "player_data_length")?; // 8
    must(token.len() == 160 + id_len + data_len, "total_length")?; // 9
    must(String::from_utf8(token[80..80 + id_len].to_vec()).is_ok(), "player_id_text")?; // 10
    let (issued, expires) = (u128::from(number(&token[16..24])), u128::from(number(&token[24..32])));
    must(expires > issued && expires <= issued + 3_600_000, "lifetime")?; // 11
    must(expires > u128::from(now_ms), "expired")?; // 12
    must(to_hex(&token[32..48]) == server.game_session_id, "wrong_session")?; // 13
    let key_id = number(&token[4..6]);
    let key = server.public_keys.iter().find(|key| u64::from(key.key_id) == key_id).ok_or("unknown_key")?; // 14
    let (signed, seal) = token.split_at(80 + id_len + data_len);
    let (r, s) = (seal[..32].try_into().unwrap(), seal[32..64].try_into().unwrap());
    must(!is_small_order(r), "small_order")?; // 15
    let key = from_hex(&key.public_key).try_into().unwrap();
    must(verifies(key, &[spec::DOMAIN, signed].concat(), r, s), "signature") // 16
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Of the point that the bytes stand for, whichever of its encodings they are.
fn is_small_order(bytes: [u8; 32]) -> bool {
    CompressedEdwardsY(bytes).decompress().is_some_and(|point| point.is_small_order())
}

fn verifies(key: [u8; 32], message: &[u8], r: [u8; 32], s: [u8; 32]) -> bool {
    let Some(s) = Option::<Scalar>::from(Scalar::from_canonical_bytes(s)) else { return false };
    let Some(a) = CompressedEdwardsY(key).decompress() else { return false };
    let mut sha512 = Context::new(&SHA512);
    [&r[..], &key[..], message].into_iter().for_each(|part| sha512.update(part));
    let k = Scalar::from_bytes_mod_order_wide(sha512.finish().as_ref().try_into().unwrap());
    (EdwardsPoint::mul_base(&s) - k * a).compress().0 == r
}
