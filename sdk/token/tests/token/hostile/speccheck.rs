//! The cases of "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko, 2020) on which libraries disagree, as tokens.
//! Those with a public key of small order (0, 1, 10 and 11) are refused with the key set.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity;
use ring::digest::{Context, SHA512};

use super::forge::{Draft, server, tag};
use super::signatures::plus_l;
use super::{ACCEPT, PublicKey, Table, to_hex};
use crate::spec::{DOMAIN, SEAL_LEN};
use crate::support::{KEY_ID, NOW_MS, put};

/// Which equation the signature is to fulfil.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    WithoutCofactor,
    WithCofactorOnly,
    /// With cofactor only, and not even then if `8·k` is reduced modulo L before it meets A.
    WithCofactorUnreduced,
}
use Holds::{WithCofactorOnly, WithCofactorUnreduced, WithoutCofactor};

/// A second encoding of a point of small order: its place in `EIGHT_TORSION`, the bytes between the first and the last.
type Second = (usize, u8, u8, u8);

struct Recipe {
    name: &'static str,
    /// Multiple of B, and place in `EIGHT_TORSION` of what is added, for A and R.
    a: (u64, usize),
    r: (u64, usize),
    /// R travels as the second encoding; hashed is either that or the first.
    r_second: Option<(Second, bool)>,
    s_plus_l: u8,
    holds: Holds,
    expect: &'static str,
}

const PLAIN: Recipe =
    Recipe { name: "", a: (7, 0), r: (5, 0), r_second: None, s_plus_l: 0, holds: WithoutCofactor, expect: "signature" };

/// First byte, bytes between, last byte.
const MINUS_ONE: Second = (4, 0xec, 0xff, 0xff);
const ONE: Second = (0, 0xee, 0xff, 0x7f);
const ZERO: Second = (2, 0xed, 0xff, 0x7f);

const RECIPES: [Recipe; 15] = [
    Recipe { name: "A and R of order L", expect: ACCEPT, ..PLAIN },
    Recipe { name: "2: A mixed, R small", a: (7, 1), r: (0, 3), expect: "small_order", ..PLAIN },
    Recipe { name: "3: A and R mixed, without cofactor", a: (7, 1), r: (5, 3), expect: ACCEPT, ..PLAIN },
    Recipe { name: "A mixed with order 2, R of order L", a: (7, 4), expect: ACCEPT, ..PLAIN },
    Recipe { name: "4: A and R mixed, with cofactor only", a: (7, 1), r: (5, 3), holds: WithCofactorOnly, ..PLAIN },
    Recipe { name: "A of order L, R mixed, with cofactor only", r: (5, 3), holds: WithCofactorOnly, ..PLAIN },
    Recipe { name: "A mixed with order 2, with cofactor only", a: (7, 4), holds: WithCofactorOnly, ..PLAIN },
    Recipe { name: "5: A mixed, 8k not reduced", a: (7, 1), holds: WithCofactorUnreduced, ..PLAIN },
    Recipe { name: "6: S just above L", s_plus_l: 1, ..PLAIN },
    Recipe { name: "7: S far above L", s_plus_l: 14, ..PLAIN },
    second("8: R small, second encoding, hashed as the first", MINUS_ONE, false),
    second("9: R small, second encoding, hashed as it is", MINUS_ONE, true),
    second("R is p + 1, hashed as 1", ONE, false),
    second("R is p + 1, hashed as it is", ONE, true),
    second("R is p, hashed as it is", ZERO, true),
];

const fn second(name: &'static str, second: Second, as_it_is: bool) -> Recipe {
    Recipe { name, a: (7, 1), r: (0, second.0), r_second: Some((second, as_it_is)), expect: "small_order", ..PLAIN }
}

pub fn add(table: &mut Table) {
    for recipe in &RECIPES {
        let key = PublicKey { key_id: KEY_ID, public_key: to_hex(&point(recipe.a).compress().0) };
        let kind = if recipe.a.1 == 0 { "of order L".to_owned() } else { format!("with torsion {}", recipe.a.1) };
        let there = table.server(server(&format!("main with a key {kind}"), |server| server.public_keys = vec![key]));
        let token = recipe.cook();
        table.token("speccheck", recipe.name.to_owned(), (&there, NOW_MS), recipe.expect, &token);
    }
}

impl Recipe {
    /// Tries ordinals until one gives the k that the recipe needs, about one in eight.
    fn cook(&self) -> Vec<u8> {
        (600..1_600).find_map(|ordinal| self.with_ordinal(ordinal)).expect("one in eight ordinals does")
    }

    fn with_ordinal(&self, ordinal: u32) -> Option<Vec<u8>> {
        let mut token = Draft::new(ordinal).bare();
        let place = token.len() - SEAL_LEN;
        let (a, r) = (point(self.a), point(self.r));
        let canonical = r.compress().0;
        let sent = self.r_second.map_or(canonical, |((_, first, between, last), _)| {
            let mut bytes = [between; 32];
            (bytes[0], bytes[31]) = (first, last);
            bytes
        });
        let hashed = if self.r_second.is_some_and(|(_, as_it_is)| as_it_is) { sent } else { canonical };
        let mut sha512 = Context::new(&SHA512);
        for part in [&hashed[..], &a.compress().0, DOMAIN, &token[..place]] {
            sha512.update(part);
        }
        let k = Scalar::from_bytes_mod_order_wide(sha512.finish().as_ref().try_into().unwrap());
        let s = scalar(self.r.0) + k * scalar(self.a.0);
        if !self.holds.is_so(EdwardsPoint::mul_base(&s) - r - k * a, s, r, k, a) {
            return None;
        }
        put(&mut token, place, &sent);
        put(&mut token, place + 32, &plus_l(&s.to_bytes(), self.s_plus_l));
        tag(&mut token);
        Some(token)
    }
}

impl Holds {
    /// `rest` is what is missing in the equation without cofactor; it is always of small order.
    fn is_so(self, rest: EdwardsPoint, s: Scalar, r: EdwardsPoint, k: Scalar, a: EdwardsPoint) -> bool {
        assert!(rest.is_small_order());
        let exact = rest == EdwardsPoint::identity();
        let eight = Scalar::from(8u8);
        let reduced = EdwardsPoint::mul_base(&s).mul_by_cofactor() == r.mul_by_cofactor() + (eight * k) * a;
        match self {
            WithoutCofactor => exact,
            WithCofactorOnly => !exact,
            WithCofactorUnreduced => !exact && !reduced,
        }
    }
}

/// Any multiple but 0 stands for a secret scalar.
fn scalar(multiple: u64) -> Scalar {
    Scalar::from(multiple) * Scalar::from_bytes_mod_order([0x5a; 32])
}

fn point((multiple, torsion): (u64, usize)) -> EdwardsPoint {
    EdwardsPoint::mul_base(&scalar(multiple)) + EIGHT_TORSION[torsion]
}
