//! Ed25519 as strict as a token needs it: one signature, one verdict, whichever library looks at it.
//!
//! ring refuses S ≥ L and compares R byte for byte, but takes keys and Rs of small order, under which one signature
//! fits many messages. Refusing those as well, the keys when they are loaded and R with each signature, gives the
//! verdicts of `verify_strict` in ed25519-dalek.

use core::fmt;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::limits::{GATE_TAG_LEN, MAX_TOKEN_LEN, SIGNATURE_LEN};
use crate::reject::Reject;

#[cfg(test)]
mod speccheck;

/// Stands before every token when it is signed, and is never sent: a signature over anything else is none over a
/// token.
pub(crate) const DOMAIN: [u8; 32] = *b"playgate v1 player-session-token";

const MAX_MESSAGE_LEN: usize = DOMAIN.len() + MAX_TOKEN_LEN - SIGNATURE_LEN - GATE_TAG_LEN;

/// What is signed: the domain, then the signed part of the token.
struct Message {
    bytes: [u8; MAX_MESSAGE_LEN],
    len: usize,
}

impl Message {
    fn new(signed_part: &[u8]) -> Self {
        let mut bytes = [0; MAX_MESSAGE_LEN];
        let len = DOMAIN.len() + signed_part.len();
        bytes[..DOMAIN.len()].copy_from_slice(&DOMAIN);
        bytes[DOMAIN.len()..len].copy_from_slice(signed_part);
        Self { bytes, len }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The coordinator's key for signing tokens. There is no way to read it back.
///
/// ring holds the expanded key and does not wipe it when it is dropped; the seed is the caller's to wipe.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key of a 32-byte seed (RFC 8032, section 5.1.5), which must come from a good source of randomness.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32 bytes are a seed"))
    }

    /// The public key, for the key sets of the servers.
    pub fn public_key(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes")
    }

    pub(crate) fn sign(&self, signed_part: &[u8]) -> [u8; SIGNATURE_LEN] {
        let signature = self.0.sign(Message::new(signed_part).as_bytes());
        signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// A public key that is fit to verify with: canonically encoded and not of small order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey([u8; 32]);

/// Why a public key is not fit to verify with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WeakKey {
    SmallOrder,
    NonCanonical,
}

impl VerifyingKey {
    /// Bytes that are no point at all are taken, since finding that out needs curve arithmetic; no signature verifies
    /// under them.
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Result<Self, WeakKey> {
        if is_small_order(&bytes) {
            return Err(WeakKey::SmallOrder);
        }
        if !is_canonical(&bytes) {
            return Err(WeakKey::NonCanonical);
        }
        Ok(Self(bytes))
    }

    /// The 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Verifies a token's signature.
    pub(crate) fn verify(&self, signed_part: &[u8], signature: &[u8; SIGNATURE_LEN]) -> Result<(), Reject> {
        self.verify_strict(Message::new(signed_part).as_bytes(), signature)
    }

    fn verify_strict(&self, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> Result<(), Reject> {
        let r = signature.first_chunk().expect("a signature begins with R");
        if is_small_order(r) {
            return Err(Reject::SmallOrder);
        }
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).map_err(|_| Reject::Signature)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifyingKey(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// The y-coordinates of the eight points whose order divides 8, and the two of them that have a second encoding below
/// 2^255. With either sign bit, they are all 14 encodings of these points.
const SMALL_ORDER_Y: [[u8; 32]; 7] = [
    // 1: the identity.
    [
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, //
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ],
    // p - 1: order 2.
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, //
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    // 0: order 4.
    [0x00; 32],
    // Order 8.
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, //
        0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    // Order 8.
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, //
        0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    // p: another 0.
    [
        0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, //
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    // p + 1: another 1.
    [
        0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, //
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
];

fn is_small_order(point: &[u8; 32]) -> bool {
    SMALL_ORDER_Y.contains(&without_sign(point))
}

/// Whether y is below p = 2^255 - 19. A point with x = 0 has a second encoding by its sign bit as well; such points
/// are of small order.
fn is_canonical(point: &[u8; 32]) -> bool {
    let y = without_sign(point);
    y[0] < 0xed || y[31] != 0x7f || y[1..31].iter().any(|byte| *byte != 0xff)
}

fn without_sign(point: &[u8; 32]) -> [u8; 32] {
    let mut y = *point;
    y[31] &= 0x7f;
    y
}
