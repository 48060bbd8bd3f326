//! Signatures that nobody made with the key: points of small order, numbers above the order, other messages.

use ring::digest::{SHA512, digest};

use super::forge::{Draft, MAIN, signer, tag};
use super::{ACCEPT, Table, to_hex};
use crate::spec::{self, DOMAIN, L, SEAL_LEN, small_order_points};
use crate::support::{KEY_ID, NOW_MS, put};

const ORDINAL: u32 = 500;

pub fn add(table: &mut Table) {
    case(table, "as the coordinator made it".to_owned(), ACCEPT, &Draft::new(ORDINAL).sealed());
    small_r(table);
    odd_s(table);
    other_messages(table);
}

fn case(table: &mut Table, name: String, expect: &str, token: &[u8]) {
    table.token("signature", name, (MAIN, NOW_MS), expect, token);
}

/// The good token with its R and S changed, and tagged again.
fn with(change: impl FnOnce(&mut [u8], &mut [u8])) -> Vec<u8> {
    let mut token = Draft::new(ORDINAL).sealed();
    let place = token.len() - SEAL_LEN;
    let (r, s) = token[place..place + 64].split_at_mut(32);
    change(r, s);
    tag(&mut token);
    token
}

fn small_r(table: &mut Table) {
    for (name, point) in small_order_points() {
        let with_zero = with(|r, s| {
            r.copy_from_slice(&point);
            s.fill(0);
        });
        case(table, format!("R is {name}, S = 0"), "small_order", &with_zero);
        let with_its_own = with(|r, _| r.copy_from_slice(&point));
        case(table, format!("R is {name}, S as it was"), "small_order", &with_its_own);
    }
    // Not below p, and not of small order: such an R is never the canonical encoding that it is compared with.
    for low in [0xef, 0xf0, 0xfe, 0xff] {
        for high in [0x7f, 0xff] {
            let token = with(|r, _| {
                r.fill(0xff);
                (r[0], r[31]) = (low, high);
            });
            case(table, format!("R has y = p + {}, sign {}", low - 0xed, high >> 7), "signature", &token);
        }
    }
}

fn odd_s(table: &mut Table) {
    // A multiple of L added to S satisfies the equation as well, as long as 256 bits hold it.
    for times in 1..=14 {
        case(table, format!("S + {times} L"), "signature", &with(|_, s| s.copy_from_slice(&plus_l(s, times))));
    }
    let number = |low: u8| std::array::from_fn::<u8, 32, _>(|place| if place == 0 { low } else { 0 });
    let l_and = |add: i8| {
        let mut s = L;
        s[0] = s[0].wrapping_add_signed(add);
        s
    };
    let power =
        |bit: usize| std::array::from_fn::<u8, 32, _>(|place| if place == bit / 8 { 1 << (bit % 8) } else { 0 });
    for (name, value) in [
        ("1", number(1)),
        ("8", number(8)),
        ("L - 1", l_and(-1)),
        ("L", l_and(0)),
        ("L + 1", l_and(1)),
        ("2 L", plus_l(&L, 1)),
        ("2^252", power(252)),
        ("2^253", power(253)),
        ("2^254", power(254)),
        ("2^255", power(255)),
    ] {
        case(table, format!("S = {name}"), "signature", &with(|_, s| s.copy_from_slice(&value)));
    }
    for bit in [252, 253, 254] {
        let token = with(|_, s| s[bit / 8] ^= 1 << (bit % 8));
        case(table, format!("bit {bit} of S"), "signature", &token);
    }
    case(table, "R and S exchanged".to_owned(), "signature", &with(<[u8]>::swap_with_slice));
    case(table, "R in big-endian".to_owned(), "signature", &with(|r, _| r.reverse()));
    case(table, "S in big-endian".to_owned(), "signature", &with(|_, s| s.reverse()));
    case(table, "-S".to_owned(), "signature", &with(|_, s| s.copy_from_slice(&l_minus(s))));
    let both = with(|r, s| {
        r[31] ^= 0x80;
        s.copy_from_slice(&l_minus(s));
    });
    case(table, "-R and -S".to_owned(), "signature", &both);
    case(table, "S twice".to_owned(), "signature", &with(|r, s| r.copy_from_slice(s)));
    case(table, "R twice".to_owned(), "signature", &with(|r, s| s.copy_from_slice(r)));
}

/// Signed by the right key, but not over the domain and the signed part.
fn other_messages(table: &mut Table) {
    let bare = Draft::new(ORDINAL).bare();
    let signed = &bare[..bare.len() - SEAL_LEN];
    let hash = |message: &[u8]| digest(&SHA512, message).as_ref().to_vec();
    let whole = [DOMAIN, signed].concat();
    let prehashed = [b"SigEd25519 no Ed25519 collisions\x01\0", &hash(&whole)[..]].concat();
    let with_context = [&b"SigEd25519 no Ed25519 collisions\0\x20"[..], DOMAIN, signed].concat();
    for (name, message) in [
        ("the signed part without a domain", signed.to_vec()),
        ("the domain alone", DOMAIN.to_vec()),
        ("the domain of a version 2", [b"playgate v2 player-session-token", signed].concat()),
        ("the domain in upper case", [&DOMAIN.to_ascii_uppercase()[..], signed].concat()),
        ("the domain with a NUL", [DOMAIN, &b"\0"[..], signed].concat()),
        ("the domain with a newline", [DOMAIN, &b"\n"[..], signed].concat()),
        ("the domain twice", [DOMAIN, DOMAIN, signed].concat()),
        ("the domain behind the signed part", [signed, DOMAIN].concat()),
        ("the domain of a proof", [b"playgate v1 handshake proof", signed].concat()),
        ("the header only", [DOMAIN, &signed[..80]].concat()),
        ("all but the player data", [DOMAIN, &signed[..100]].concat()),
        ("all but the magic", [DOMAIN, &signed[4..]].concat()),
        ("all but the last byte", whole[..whole.len() - 1].to_vec()),
        ("a byte more", [&whole[..], &[0]].concat()),
        ("the place of the signature as zeros too", [DOMAIN, &bare[..bare.len() - 16]].concat()),
        ("the SHA-512 of all", hash(&whole)),
        ("the SHA-256 of all", spec::sha256(&whole).to_vec()),
        ("all as Ed25519ph", prehashed),
        ("all as Ed25519ctx with the domain as its context", with_context),
        ("the hex of all", to_hex(&whole).into_bytes()),
        ("nothing", Vec::new()),
    ] {
        let mut token = bare.clone();
        let place = token.len() - SEAL_LEN;
        put(&mut token, place, signer(KEY_ID).sign(&message).as_ref());
        tag(&mut token);
        case(table, format!("signed over {name}"), "signature", &token);
    }
}

/// A number plus `times` L, without reduction.
pub fn plus_l(number: &[u8], times: u8) -> [u8; 32] {
    let mut sum = [0; 32];
    let mut carry = 0u32;
    for ((sum, byte), l) in sum.iter_mut().zip(number).zip(L) {
        carry += u32::from(*byte) + u32::from(times) * u32::from(l);
        *sum = carry as u8;
        carry >>= 8;
    }
    assert_eq!(carry, 0, "fits 32 bytes");
    sum
}

/// L minus a number below it.
fn l_minus(number: &[u8]) -> [u8; 32] {
    let mut difference = [0; 32];
    let mut borrow = 0;
    for ((difference, l), byte) in difference.iter_mut().zip(L).zip(number) {
        let digit = i32::from(l) - i32::from(*byte) - borrow;
        borrow = i32::from(digit < 0);
        *difference = (digit + 256 * borrow) as u8;
    }
    assert_eq!(borrow, 0, "below L");
    difference
}
