//! The one accepted form of a peer's key: an Ed25519 SubjectPublicKeyInfo of 44 bytes.

use playgate_protocol::Fingerprint;

/// What stands before the 32 key bytes. RFC 8410, section 4: SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING }.
/// DER has no second encoding of it, so comparing bytes is the whole parser.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The points of order 1, 2, 4 and 8, in every encoding (the sign bit aside). Signatures "by" such a key are found
/// without any secret, so presenting one proves nothing.
const SMALL_ORDER: [[u8; 32]; 7] = [
    little_endian(0, 0, 0x00),
    little_endian(1, 0, 0x00),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    little_endian(0xec, 0xff, 0x7f), // p - 1
    little_endian(0xed, 0xff, 0x7f), // p, which is 0
    little_endian(0xee, 0xff, 0x7f), // p + 1, which is 1
];

const fn little_endian(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// The fingerprint of a key as it crossed the wire; `None` when it is not an Ed25519 key that can prove anything.
pub(crate) fn fingerprint(spki: &[u8]) -> Option<Fingerprint> {
    let key: [u8; 32] = spki.strip_prefix(&SPKI_PREFIX)?.try_into().ok()?;
    if is_small_order(key) {
        return None;
    }
    let hash = ring::digest::digest(&ring::digest::SHA256, spki);
    let hash: [u8; 32] = hash.as_ref().try_into().expect("SHA-256 has 32 bytes");
    Some(Fingerprint::from_bytes(hash))
}

fn is_small_order(mut key: [u8; 32]) -> bool {
    key[31] &= 0x7f;
    SMALL_ORDER.contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spki(key: [u8; 32]) -> Vec<u8> {
        [&SPKI_PREFIX[..], &key].concat()
    }

    #[test]
    fn only_the_one_encoding_is_a_key() {
        let good = spki([7; 32]);
        assert_eq!(good.len(), 44);
        assert!(fingerprint(&good).is_some());
        let x25519 = {
            let mut other = good.clone();
            other[8] = 0x6e;
            other
        };
        for (what, bytes) in [
            ("nothing", Vec::new()),
            ("one byte short", good[..43].to_vec()),
            ("one byte long", [&good[..], &[0]].concat()),
            ("another algorithm", x25519),
            ("a certificate", vec![0x30; 600]),
        ] {
            assert_eq!(fingerprint(&bytes), None, "{what}");
        }
    }

    #[test]
    fn a_key_that_anyone_can_sign_for_is_no_key() {
        for point in curve25519_dalek::constants::EIGHT_TORSION {
            let mut key = point.compress().0;
            assert_eq!(fingerprint(&spki(key)), None, "{key:02x?}");
            key[31] ^= 0x80;
            assert_eq!(fingerprint(&spki(key)), None, "{key:02x?}");
        }
        for key in SMALL_ORDER {
            let point = curve25519_dalek::edwards::CompressedEdwardsY(key).decompress().expect("a point");
            assert!(point.is_small_order(), "{key:02x?}");
        }
    }
}
