//! Names, fingerprints and secrets that are not the token's business.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, Encoding, Specification};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::bounded::OutOfBounds;
use crate::limits::{FLEET_ID_BYTES_MAX, PLAYER_ID_BYTES_MAX};

/// Name of a fleet: 1 to 64 of `a-z A-Z 0-9 - . _`, chosen by the operator, unique on a coordinator.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FleetId(String);

impl FleetId {
    /// Checks length and characters.
    ///
    /// # Errors
    /// [`OutOfBounds`] when empty, longer than 64 bytes or with another character.
    pub fn new(name: impl Into<String>) -> Result<Self, OutOfBounds> {
        let name = name.into();
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if name.is_empty() || name.len() > FLEET_ID_BYTES_MAX || !name.bytes().all(allowed) {
            let problem = "a fleet's name is 1 to 64 letters, digits, '-', '.' or '_'";
            return Err(OutOfBounds { problem, max: FLEET_ID_BYTES_MAX });
        }
        Ok(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A player, as the studio's backend names him: 1 to 128 bytes of UTF-8 without control characters, opaque to Playgate.
///
/// It travels in clear inside the token, so it should not be an e-mail address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlayerId(String);

impl PlayerId {
    /// Checks length and characters.
    ///
    /// # Errors
    /// [`OutOfBounds`] when empty, longer than 128 bytes or with a control character.
    pub fn new(id: impl Into<String>) -> Result<Self, OutOfBounds> {
        let id = crate::bounded::Text::<PLAYER_ID_BYTES_MAX>::new(id)?;
        if id.is_empty() {
            return Err(OutOfBounds { problem: "a player id must not be empty", max: PLAYER_ID_BYTES_MAX });
        }
        Ok(Self(id.as_str().to_owned()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! string_newtype {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = OutOfBounds;

            fn from_str(text: &str) -> Result<Self, OutOfBounds> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = crate::bounded::Text::<PLAYER_ID_BYTES_MAX>::deserialize(deserializer)?;
                Self::new(text.as_str()).map_err(serde::de::Error::custom)
            }
        }
    };
}
string_newtype!(FleetId);
string_newtype!(PlayerId);

/// SHA-256 of a peer's public key (its SubjectPublicKeyInfo): what a peer *is* on a link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// From the hash.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base32().encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = OutOfBounds;

    fn from_str(text: &str) -> Result<Self, OutOfBounds> {
        let wrong = OutOfBounds { problem: "a fingerprint is 52 lower-case base32 characters", max: 52 };
        let bytes = base32().decode(text.as_bytes()).map_err(|_| wrong)?;
        Ok(Self(bytes.try_into().map_err(|_| wrong)?))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = crate::bounded::Text::<64>::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

/// RFC 4648 base32, lower-case, unpadded: survives double-clicking, file names and being read aloud.
pub(crate) fn base32() -> Encoding {
    let mut specification: Specification = BASE32_NOPAD.specification();
    specification.symbols.make_ascii_lowercase();
    specification.encoding().expect("lower-casing keeps 32 distinct symbols")
}

/// 32 bytes that must not reach a log: a credential, a holder key, a root key. Wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
pub struct Secret32([u8; 32]);

impl Secret32 {
    /// Wraps the bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes; name what you do with them.
    #[must_use]
    pub const fn reveal(&self) -> &[u8; 32] {
        &self.0
    }

    /// SHA-256 of the secret: what the store keeps of a join key.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.0);
        digest.as_ref().try_into().expect("SHA-256 is 32 bytes")
    }
}

impl PartialEq for Secret32 {
    /// Compares digests, so that timing tells nothing about the secret.
    fn eq(&self, other: &Self) -> bool {
        self.sha256() == other.sha256()
    }
}

impl Eq for Secret32 {}

impl fmt::Debug for Secret32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_enter() {
        for good in ["arena", "eu-west.1_x", &"a".repeat(64)] {
            assert_eq!(good.parse::<FleetId>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "\u{e9}", &"a".repeat(65)] {
            assert!(bad.parse::<FleetId>().is_err(), "{bad:?}");
        }
        assert!(PlayerId::new("").is_err());
        assert!(PlayerId::new("a\nb").is_err());
        assert!(PlayerId::new("\u{e9}".repeat(64)).is_ok());
        assert!(PlayerId::new("\u{e9}".repeat(65)).is_err());
    }

    #[test]
    fn a_fingerprint_has_one_text() {
        let fingerprint = Fingerprint::from_bytes([0xa5; 32]);
        let text = fingerprint.to_string();
        assert_eq!(text.len(), 52);
        assert_eq!(text.parse::<Fingerprint>(), Ok(fingerprint));
        assert!(text.to_uppercase().parse::<Fingerprint>().is_err());
        assert!(text[1..].parse::<Fingerprint>().is_err());
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret32::from_bytes(*b"0123456789abcdef0123456789abcdef");
        assert_eq!(format!("{secret:?}"), "[secret]");
    }
}
