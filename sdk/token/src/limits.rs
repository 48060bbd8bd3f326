//! Every bound of a token, with its reason, and the rules that minting and parsing share.

/// Bytes before the player id: all fields of fixed size.
pub const HEADER_LEN: usize = 80;

/// Bytes of the Ed25519 signature.
pub const SIGNATURE_LEN: usize = 64;

/// Bytes of the gate tag (SipHash-2-4-128).
pub const GATE_TAG_LEN: usize = 16;

/// Longest player id in bytes. Player ids are opaque names; 128 bytes hold a UUID, a URN or a hash in text form.
pub const MAX_PLAYER_ID_LEN: usize = 128;

/// Longest player data in bytes. More belongs on the link from coordinator to server, not in a datagram.
pub const MAX_PLAYER_DATA_LEN: usize = 256;

/// Shortest token: a player id of one byte and no data.
pub const MIN_TOKEN_LEN: usize = HEADER_LEN + 1 + SIGNATURE_LEN + GATE_TAG_LEN;

/// Longest token.
pub const MAX_TOKEN_LEN: usize = HEADER_LEN + MAX_PLAYER_ID_LEN + MAX_PLAYER_DATA_LEN + SIGNATURE_LEN + GATE_TAG_LEN;

/// Longest time between `issued_at_ms` and `expires_at_ms`: one hour, so that a signing key that was withdrawn is
/// harmless an hour later.
pub const MAX_LIFETIME_MS: u64 = 3_600_000;

/// Public keys a verifier holds at once: the current one, its predecessor, its successor, and one to spare for a
/// rotation that is repeated in a hurry.
pub const MAX_PUBLIC_KEYS: usize = 4;

/// Gate epochs a verifier accepts at once: the current one and the one before it.
pub const MAX_GATE_EPOCHS: usize = 2;

// A hello carries a token and some 100 bytes of its own, and must fit a datagram of 1,200 bytes; 576 leaves room
// for the proof as well.
const _: () = assert!(MAX_TOKEN_LEN <= 576);
// The length fields can say every permitted length.
const _: () = assert!(MAX_PLAYER_ID_LEN <= u8::MAX as usize && MAX_PLAYER_DATA_LEN <= u16::MAX as usize);

pub(crate) fn player_id_len_ok(len: usize) -> bool {
    (1..=MAX_PLAYER_ID_LEN).contains(&len)
}

pub(crate) fn player_data_len_ok(len: usize) -> bool {
    len <= MAX_PLAYER_DATA_LEN
}

/// `0 < expires - issued <= MAX_LIFETIME_MS`, for any two numbers.
pub(crate) fn lifetime_ok(issued_at_ms: u64, expires_at_ms: u64) -> bool {
    match expires_at_ms.checked_sub(issued_at_ms) {
        Some(lifetime) => lifetime > 0 && lifetime <= MAX_LIFETIME_MS,
        None => false,
    }
}
