//! An owned token: its bytes in a buffer of fixed capacity.

use core::fmt;

use ring::digest;

use crate::limits::{MAX_TOKEN_LEN, MIN_TOKEN_LEN};
use crate::reject::Reject;

/// A token as it travels: 161 to 544 bytes, kept without the heap.
///
/// It may be seen on the wire, but whoever holds it *and* its holder key is the player, so its `Debug` form shows
/// only the length.
#[derive(Clone)]
pub struct Token {
    bytes: [u8; MAX_TOKEN_LEN],
    len: usize,
}

impl Token {
    /// Takes over bytes that were received. Nothing but the length is checked; see [`parse`](crate::parse) and
    /// [`accept`](crate::accept).
    ///
    /// # Errors
    /// [`Reject::Length`] if no token has this length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Reject> {
        if !(MIN_TOKEN_LEN..=MAX_TOKEN_LEN).contains(&bytes.len()) {
            return Err(Reject::Length);
        }
        let mut buffer = [0; MAX_TOKEN_LEN];
        buffer[..bytes.len()].copy_from_slice(bytes);
        Ok(Self::from_buffer(buffer, bytes.len()))
    }

    pub(crate) fn from_buffer(bytes: [u8; MAX_TOKEN_LEN], len: usize) -> Self {
        Self { bytes, len }
    }

    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The token's SHA-256, by which a server recognises it when its player reconnects.
    pub fn hash(&self) -> [u8; 32] {
        token_hash(self.as_bytes())
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} bytes)", self.len)
    }
}

/// SHA-256 of a whole token, signature and gate tag included.
pub fn token_hash(token: &[u8]) -> [u8; 32] {
    sha256(token)
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}
