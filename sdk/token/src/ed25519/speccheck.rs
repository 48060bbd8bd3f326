//! The edges of Ed25519, on which libraries disagree: the twelve cases of "Taming the many EdDSAs" (Chalkias, Garillot,
//! Nikolaenko, 2020), built here from points of known order, and what surrounds them.
//!
//! B is the base point, L its order, T a point of small order. A signature (R, S) by A holds *without cofactor* if
//! `S·B = R + k·A`, and *with cofactor* if eight times both sides are equal, for `k = SHA-512(R ‖ A ‖ message) mod L`.

use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use proptest::prelude::*;
use ring::digest::{Context, SHA512};

use super::*;

/// The order of the base point, little-endian.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, //
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10,
];

/// Which equation the signature fulfils.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    WithoutCofactor,
    WithCofactorOnly,
    /// With cofactor only, and not even then if `8·k` is reduced modulo L before it meets A.
    WithCofactorUnreduced,
}

/// In what form a point travels, and in what form it was hashed.
#[derive(Clone, Copy, Debug)]
enum Form {
    Canonical,
    NonCanonical { hashed_canonically: bool },
}

const REDUCED: Form = Form::NonCanonical { hashed_canonically: true };
const RAW: Form = Form::NonCanonical { hashed_canonically: false };

#[derive(Clone, Copy, Debug)]
struct Recipe {
    /// A is this many times B, plus a point of small order: its place in `EIGHT_TORSION`, 0 for none.
    a: (u64, usize),
    a_form: Form,
    /// R likewise.
    r: (u64, usize),
    r_form: Form,
    /// How many L are added to S.
    s_plus_l: u8,
    holds: Holds,
}

const CANONICAL: Recipe = Recipe {
    a: (0, 0),
    a_form: Form::Canonical,
    r: (0, 0),
    r_form: Form::Canonical,
    s_plus_l: 0,
    holds: Holds::WithoutCofactor,
};

struct Case {
    key: [u8; 32],
    message: [u8; 8],
    signature: [u8; 64],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    KeyRefused(WeakKey),
    Refused(Reject),
}

const WEAK_KEY: Verdict = Verdict::KeyRefused(WeakKey::SmallOrder);
const WEAK_R: Verdict = Verdict::Refused(Reject::SmallOrder);
const INVALID: Verdict = Verdict::Refused(Reject::Signature);

/// Recipe, what bare ring says, what we say. Ours are the verdicts of `verify_strict`: x x x V x x x x x x x x.
const SPECCHECK: [(Recipe, bool, Verdict); 12] = [
    // 0: A and R small, S = 0.
    (Recipe { a: (0, 1), r: (0, 3), ..CANONICAL }, true, WEAK_KEY),
    // 1: A small, R mixed.
    (Recipe { a: (0, 1), r: (5, 3), ..CANONICAL }, true, WEAK_KEY),
    // 2: A mixed, R small.
    (Recipe { a: (7, 1), r: (0, 3), ..CANONICAL }, true, WEAK_R),
    // 3: A and R mixed. It holds by the strictest equation, so nobody refuses it.
    (Recipe { a: (7, 1), r: (5, 3), ..CANONICAL }, true, Verdict::Accepted),
    // 4: A and R mixed, with cofactor only.
    (Recipe { a: (7, 1), r: (5, 3), holds: Holds::WithCofactorOnly, ..CANONICAL }, false, INVALID),
    // 5: A mixed, R of order L, with cofactor only and without reducing 8·k.
    (Recipe { a: (7, 1), r: (5, 0), holds: Holds::WithCofactorUnreduced, ..CANONICAL }, false, INVALID),
    // 6: S just above L.
    (Recipe { a: (7, 0), r: (5, 0), s_plus_l: 1, ..CANONICAL }, false, INVALID),
    // 7: S far above L.
    (Recipe { a: (7, 0), r: (5, 0), s_plus_l: 14, ..CANONICAL }, false, INVALID),
    // 8: R small and not canonical, hashed canonically.
    (Recipe { a: (7, 1), r: (0, 4), r_form: REDUCED, ..CANONICAL }, false, WEAK_R),
    // 9: R small and not canonical, hashed as it is.
    (Recipe { a: (7, 1), r: (0, 4), r_form: RAW, ..CANONICAL }, false, WEAK_R),
    // 10: A small and not canonical, hashed canonically.
    (Recipe { a: (0, 4), a_form: REDUCED, r: (5, 4), ..CANONICAL }, false, WEAK_KEY),
    // 11: A small and not canonical, hashed as it is.
    (Recipe { a: (0, 4), a_form: RAW, r: (5, 4), ..CANONICAL }, true, WEAK_KEY),
];

#[test]
fn the_twelve_cases_of_speccheck() {
    for (number, (recipe, ring, ours)) in SPECCHECK.iter().enumerate() {
        let case = recipe.cook();
        assert_eq!(case.verify_with_ring(), *ring, "case {number}: bare ring");
        assert_eq!(case.verify(), *ours, "case {number}");
        // A key of small order that somehow got past the loading does not make a bad R good.
        if recipe.r.0 == 0 {
            assert_eq!(VerifyingKey(case.key).verify_strict(&case.message, &case.signature), Err(Reject::SmallOrder));
        }
    }
}

/// Cases 8 to 11 with the other small points that have a second encoding.
#[test]
fn the_non_canonical_cases_with_every_small_point() {
    for torsion in [0, 2, 4, 6] {
        for form in [REDUCED, RAW] {
            let small_r = Recipe { a: (7, 1), r: (0, torsion), r_form: form, ..CANONICAL };
            assert_eq!(small_r.cook().verify(), WEAK_R, "{small_r:?}");
            let small_a = Recipe { a: (0, torsion), a_form: form, r: (5, torsion), ..CANONICAL };
            assert_eq!(small_a.cook().verify(), WEAK_KEY, "{small_a:?}");
        }
    }
}

/// All 14 encodings of the eight points, and nothing else below 2^255 that is not below p.
#[test]
fn weak_public_keys() {
    let mut encodings: Vec<[u8; 32]> = Vec::new();
    for (torsion, point) in EIGHT_TORSION.iter().enumerate() {
        encodings.push(point.compress().0);
        encodings.extend(second_encodings(torsion));
    }
    assert_eq!(encodings.len(), 14);
    for bytes in &encodings {
        assert_eq!(VerifyingKey::from_bytes(*bytes), Err(WeakKey::SmallOrder), "{bytes:02x?}");
    }
    for low in 0xe0..=0xff {
        for high in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            let expected = match low {
                0xec..=0xee => Some(WeakKey::SmallOrder),
                0xef.. => Some(WeakKey::NonCanonical),
                _ => None,
            };
            assert_eq!(VerifyingKey::from_bytes(bytes).err(), expected, "{bytes:02x?}");
        }
    }
}

/// Why keys are checked: ring takes one signature by the identity for any message.
#[test]
fn the_identity_signs_everything_unless_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut signature = [0; 64];
    signature[0] = 1;
    for message in 0..100u64 {
        let case = Case { key: identity, message: message.to_le_bytes(), signature };
        assert!(case.verify_with_ring());
        assert_eq!(case.verify(), WEAK_KEY);
    }
}

/// Bytes that are no point are taken as a key and verify nothing.
#[test]
fn a_key_off_the_curve_verifies_nothing() {
    let off_curve = (0..=255u8).map(|low| [low; 32]).find(|bytes| CompressedEdwardsY(*bytes).decompress().is_none());
    let honest = honest_case();
    let case = Case { key: off_curve.expect("half of all bytes are no point"), ..honest };
    assert_eq!(case.verify(), INVALID);
}

#[test]
fn extreme_signatures() {
    let honest = honest_case();
    assert_eq!(honest.verify(), Verdict::Accepted);
    let r: [u8; 32] = *honest.signature.first_chunk().unwrap();
    let s: [u8; 32] = *honest.signature.last_chunk().unwrap();
    let identity = EIGHT_TORSION[0].compress().0;
    let mut l_minus_1 = L;
    l_minus_1[0] -= 1;
    let mut high_bit = s;
    high_bit[31] |= 0x80;
    for (what, r, s, verdict) in [
        ("S = 0", r, [0; 32], INVALID),
        ("S = L - 1", r, l_minus_1, INVALID),
        ("S = L", r, L, INVALID),
        ("S + L", r, plus_l(s, 1), INVALID),
        ("S with its highest bit", r, high_bit, INVALID),
        ("S = 2^256 - 1", r, [0xff; 32], INVALID),
        ("all zero", [0; 32], [0; 32], WEAK_R),
        ("all ones", [0xff; 32], [0xff; 32], INVALID),
        ("R = identity, S = 0", identity, [0; 32], WEAK_R),
        ("R and S exchanged", s, r, INVALID),
    ] {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&r);
        signature[32..].copy_from_slice(&s);
        let case = Case { signature, ..honest_case() };
        assert_eq!(case.verify(), verdict, "{what}");
    }
}

/// RFC 8032, section 7.1, tests 1 and 2.
#[test]
fn rfc_8032() {
    let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let public_key = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    assert_eq!(SigningKey::from_seed(&seed).public_key(), public_key);

    let public_key = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    let signature = hex(concat!(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ));
    let key = VerifyingKey::from_bytes(public_key).unwrap();
    assert_eq!(key.verify_strict(&[0x72], &signature), Ok(()));
    assert_eq!(key.verify_strict(&[0x73], &signature), Err(Reject::Signature));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8 * ProptestConfig::default().cases))]

    /// Honest and hostile signatures get the verdict of the definition of `verify_strict`.
    #[test]
    fn the_verdict_is_that_of_verify_strict(
        a in (0u64..3, prop_oneof![Just(0usize), 0usize..8]),
        r in (0u64..3, prop_oneof![Just(0usize), 0usize..8]),
        s_plus_l in prop_oneof![4 => Just(0u8), 1 => 1u8..15],
        forms in (0u8..6, 0u8..6),
        message in any::<[u8; 8]>(),
        flip in prop_oneof![4 => Just(None), 1 => (0usize..96 * 8).prop_map(Some)],
    ) {
        let form = |choice| match choice { 0 => REDUCED, 1 => RAW, _ => Form::Canonical };
        let recipe = Recipe { a, a_form: form(forms.0), r, r_form: form(forms.1), s_plus_l, ..CANONICAL };
        if let Some(mut case) = recipe.with_message(message).0 {
            if let Some(bit) = flip {
                let byte = if bit < 32 * 8 { &mut case.key[bit / 8] } else { &mut case.signature[bit / 8 - 32] };
                *byte ^= 1 << (bit % 8);
            }
            prop_assert_eq!(case.verify() == Verdict::Accepted, case.verify_by_definition(), "{:?}", recipe);
        }
    }
}

impl Case {
    fn verify(&self) -> Verdict {
        match VerifyingKey::from_bytes(self.key) {
            Err(weak) => Verdict::KeyRefused(weak),
            Ok(key) => match key.verify_strict(&self.message, &self.signature) {
                Err(reason) => Verdict::Refused(reason),
                Ok(()) => Verdict::Accepted,
            },
        }
    }

    fn verify_with_ring(&self) -> bool {
        UnparsedPublicKey::new(&ED25519, self.key).verify(&self.message, &self.signature).is_ok()
    }

    /// `verify_strict` as ed25519-dalek defines it, with keys in their canonical form only.
    fn verify_by_definition(&self) -> bool {
        let (r, s) = self.signature.split_first_chunk().unwrap();
        let Some(s) = Option::<Scalar>::from(Scalar::from_canonical_bytes(s.try_into().unwrap())) else {
            return false;
        };
        let (Some(a_point), Some(r_point)) = (decompress_canonical(self.key), decompress_canonical(*r)) else {
            return false;
        };
        let k = challenge(r, &self.key, &self.message);
        !a_point.is_small_order() && !r_point.is_small_order() && EdwardsPoint::mul_base(&s) - k * a_point == r_point
    }
}

impl Recipe {
    /// Tries messages until one gives the k that the recipe needs, about one in eight.
    fn cook(&self) -> Case {
        (0..1_000u64)
            .find_map(|message| match self.with_message(message.to_le_bytes()) {
                (Some(case), holds) if holds.contains(&self.holds) => Some(case),
                _ => None,
            })
            .expect("one in eight messages does")
    }

    /// The case with this message, if the recipe's points have the forms it asks for, and the equations it fulfils.
    fn with_message(&self, message: [u8; 8]) -> (Option<Case>, Vec<Holds>) {
        let (Some((a_bytes, a_hashed)), Some((r_bytes, r_hashed))) =
            (encode(self.a, self.a_form), encode(self.r, self.r_form))
        else {
            return (None, Vec::new());
        };
        let k = challenge(&r_hashed, &a_hashed, &message);
        let s = scalar(self.r.0) + k * scalar(self.a.0);
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&r_bytes);
        signature[32..].copy_from_slice(&plus_l(s.to_bytes(), self.s_plus_l));
        (Some(Case { key: a_bytes, message, signature }), equations(s, point(self.r), k, point(self.a)))
    }
}

fn equations(s: Scalar, r: EdwardsPoint, k: Scalar, a: EdwardsPoint) -> Vec<Holds> {
    let left = EdwardsPoint::mul_base(&s);
    let right = r + k * a;
    if left == right {
        return vec![Holds::WithoutCofactor];
    }
    assert_eq!(left.mul_by_cofactor(), right.mul_by_cofactor(), "every recipe holds with cofactor");
    let eight = Scalar::from(8u8);
    let reduced = r.mul_by_cofactor() + (eight * k) * a;
    match left.mul_by_cofactor() == reduced {
        true => vec![Holds::WithCofactorOnly],
        false => vec![Holds::WithCofactorOnly, Holds::WithCofactorUnreduced],
    }
}

/// Any multiple but 0 stands for a secret scalar.
fn scalar(multiple: u64) -> Scalar {
    Scalar::from(multiple) * Scalar::from_bytes_mod_order([0x5a; 32])
}

fn point((multiple, torsion): (u64, usize)) -> EdwardsPoint {
    EdwardsPoint::mul_base(&scalar(multiple)) + EIGHT_TORSION[torsion]
}

/// The bytes that travel and the bytes that are hashed.
fn encode(of: (u64, usize), form: Form) -> Option<([u8; 32], [u8; 32])> {
    let canonical = point(of).compress().0;
    match form {
        Form::Canonical => Some((canonical, canonical)),
        Form::NonCanonical { hashed_canonically } => {
            let second = second_encodings(of.1).pop().filter(|_| of.0 == 0)?;
            Some((second, if hashed_canonically { canonical } else { second }))
        }
    }
}

/// The encodings of a point of small order that are not canonical: y + p if it is below 2^255, and a sign for x = 0.
fn second_encodings(torsion: usize) -> Vec<[u8; 32]> {
    let canonical = EIGHT_TORSION[torsion].compress().0;
    let y_plus_p = |sign: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xed + canonical[0], 0x7f | sign);
        bytes
    };
    let mut with_sign = canonical;
    with_sign[31] |= 0x80;
    match torsion {
        0 => vec![with_sign, y_plus_p(0), y_plus_p(0x80)], // (0, 1)
        4 => vec![with_sign],                              // (0, -1)
        2 | 6 => vec![y_plus_p(canonical[31] & 0x80)],     // (±√-1, 0)
        _ => vec![],
    }
}

fn challenge(r: &[u8; 32], key: &[u8; 32], message: &[u8]) -> Scalar {
    let mut sha512 = Context::new(&SHA512);
    for part in [&r[..], &key[..], message] {
        sha512.update(part);
    }
    Scalar::from_bytes_mod_order_wide(sha512.finish().as_ref().try_into().unwrap())
}

fn decompress_canonical(bytes: [u8; 32]) -> Option<EdwardsPoint> {
    CompressedEdwardsY(bytes).decompress().filter(|point| point.compress().0 == bytes)
}

/// A number plus `times` L, without reduction.
fn plus_l(mut number: [u8; 32], times: u8) -> [u8; 32] {
    let mut carry = 0u32;
    for (byte, l) in number.iter_mut().zip(L) {
        carry += u32::from(*byte) + u32::from(times) * u32::from(l);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert_eq!(carry, 0, "fits 32 bytes");
    number
}

fn honest_case() -> Case {
    Recipe { a: (7, 0), r: (5, 0), ..CANONICAL }.cook()
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    core::array::from_fn(|place| u8::from_str_radix(&text[2 * place..2 * place + 2], 16).unwrap())
}
