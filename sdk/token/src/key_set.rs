//! The public keys a verifier accepts tokens under.

use core::fmt;

use crate::ed25519::{VerifyingKey, WeakKey};
use crate::limits::MAX_PUBLIC_KEYS;

/// At most four public keys by id. A token names its key; there is no trying of one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicKeySet {
    keys: [Option<(u16, VerifyingKey)>; MAX_PUBLIC_KEYS],
}

/// Why a key set was refused, and by the fault of which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySetError {
    /// There are more than four keys.
    TooMany,
    /// Two keys have this id.
    DuplicateId(u16),
    /// The key with this id is a point of small order, under which signatures can be made without a private key.
    SmallOrder(u16),
    /// The key with this id is not in the one canonical encoding of its point.
    NonCanonical(u16),
}

impl PublicKeySet {
    /// The set of these keys. An empty set accepts no token.
    ///
    /// # Errors
    /// Refuses more than four keys, two with the same id, and keys that no honest signer has.
    pub fn new(keys: &[(u16, [u8; 32])]) -> Result<Self, KeySetError> {
        if keys.len() > MAX_PUBLIC_KEYS {
            return Err(KeySetError::TooMany);
        }
        let mut set = Self::default();
        for (slot, &(id, bytes)) in keys.iter().enumerate() {
            if set.get(id).is_some() {
                return Err(KeySetError::DuplicateId(id));
            }
            let key = VerifyingKey::from_bytes(bytes).map_err(|weak| match weak {
                WeakKey::SmallOrder => KeySetError::SmallOrder(id),
                WeakKey::NonCanonical => KeySetError::NonCanonical(id),
            })?;
            set.keys[slot] = Some((id, key));
        }
        Ok(set)
    }

    /// The key with this id.
    pub fn get(&self, key_id: u16) -> Option<&VerifyingKey> {
        self.keys.iter().flatten().find(|(id, _)| *id == key_id).map(|(_, key)| key)
    }

    /// The ids of the keys, in the order they were given.
    pub fn key_ids(&self) -> impl Iterator<Item = u16> + '_ {
        self.keys.iter().flatten().map(|(id, _)| *id)
    }
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySetError::TooMany => write!(f, "a key set holds at most {MAX_PUBLIC_KEYS} public keys"),
            KeySetError::DuplicateId(id) => write!(f, "two public keys have the id {id}"),
            KeySetError::SmallOrder(id) => write!(f, "public key {id} is a point of small order"),
            KeySetError::NonCanonical(id) => write!(f, "public key {id} is not canonically encoded"),
        }
    }
}

impl core::error::Error for KeySetError {}
