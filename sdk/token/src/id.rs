//! The ids of game sessions, player sessions, server processes, hosts and relays: 16 bytes each, and one text form.
//!
//! ```text
//!  0        1                      7                               16
//!  +--------+----------------------+--------------------------------+
//!  | shard  | time, ms, big-endian |             random             |
//!  +--------+----------------------+--------------------------------+
//!
//!  text: gs-aeazo5bam3ihgzltonuw63rnge   prefix and 26 base32 characters
//! ```
//! The time is big-endian so that the ids of one shard sort by age. The shard comes first so that a request finds
//! its owner without a lookup.

use core::fmt;
use core::str::FromStr;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const ID_LEN: usize = 16;
const TIME_MS: core::ops::Range<usize> = 1..7;
const RANDOM: core::ops::Range<usize> = 7..16;

/// 16 bytes are 128 bits; 26 characters of 5 bits hold them with 2 to spare.
const BASE32_LEN: usize = 26;
const SPARE_BITS: u32 = 2;

/// RFC 4648, section 6, in lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

const MAX_PREFIX_LEN: usize = 3;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; ID_LEN]);

        impl $name {
            /// What the text form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The id with these 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes of the id.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Makes an id of the shard that owns it, the coordinator's time (its low 48 bits, in milliseconds) and 72
            /// random bits.
            pub fn from_parts(shard: u8, time_ms: u64, random: [u8; 9]) -> Self {
                Self(join(shard, time_ms, random))
            }

            /// The shard that owns the id.
            pub const fn shard(&self) -> u8 {
                self.0[0]
            }

            /// When the id was made, in milliseconds of the coordinator's time.
            pub fn time_ms(&self) -> u64 {
                time_ms(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_text(Self::PREFIX, &self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                read_text(Self::PREFIX, text).map(Self)
            }
        }

        /// Text in human-readable formats, 16 raw bytes in all others.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    deserializer.deserialize_str(IdVisitor { prefix: Self::PREFIX }).map(Self)
                } else {
                    <[u8; ID_LEN]>::deserialize(deserializer).map(Self)
                }
            }
        }

        const _: () = assert!($prefix.len() <= MAX_PREFIX_LEN);
    )+};
}

ids! {
    /// Names a game session: one match, one world, on one server process at a time. Text form `gs-…`.
    GameSessionId = "gs-";
    /// Names a player session: one player's place in one game session. Text form `ps-…`.
    PlayerSessionId = "ps-";
    /// Names one launch of a server process; a process that is started again has another id. Text form `sp-…`.
    ServerProcessId = "sp-";
    /// Names a host: a machine with an agent. Text form `h-…`.
    HostId = "h-";
    /// Names a relay. Text form `r-…`.
    RelayId = "r-";
}

/// Why a text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseIdError {
    /// It does not begin with the prefix of this kind of id.
    Prefix,
    /// The prefix is not followed by 26 characters.
    Length,
    /// A character is not in `a`–`z` or `2`–`7`.
    Character,
    /// The last character has bits that no id has; another text stands for the same id.
    SpareBits,
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParseIdError::Prefix => {
                "the id has the wrong prefix: gs- is a game session, ps- a player session, sp- a server process, h- a host, r- a relay"
            },
            ParseIdError::Length => "the prefix of an id is followed by 26 characters",
            ParseIdError::Character => "an id has only the characters a to z and 2 to 7",
            ParseIdError::SpareBits => "the last character of the id cannot stand there",
        })
    }
}

impl core::error::Error for ParseIdError {}

fn join(shard: u8, time_ms: u64, random: [u8; 9]) -> [u8; ID_LEN] {
    let mut id = [0; ID_LEN];
    id[0] = shard;
    id[TIME_MS].copy_from_slice(&time_ms.to_be_bytes()[2..]);
    id[RANDOM].copy_from_slice(&random);
    id
}

fn time_ms(id: &[u8; ID_LEN]) -> u64 {
    let mut time = [0; 8];
    time[2..].copy_from_slice(&id[TIME_MS]);
    u64::from_be_bytes(time)
}

fn write_text(prefix: &str, id: &[u8; ID_LEN], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0; MAX_PREFIX_LEN + BASE32_LEN];
    let (head, tail) = text.split_at_mut(prefix.len());
    head.copy_from_slice(prefix.as_bytes());
    tail[..BASE32_LEN].copy_from_slice(&to_base32(id));
    let text = core::str::from_utf8(&text[..prefix.len() + BASE32_LEN]).expect("prefixes and base32 are ASCII");
    f.pad(text)
}

fn read_text(prefix: &str, text: &str) -> Result<[u8; ID_LEN], ParseIdError> {
    let base32 = text.strip_prefix(prefix).ok_or(ParseIdError::Prefix)?;
    from_base32(base32.as_bytes().try_into().map_err(|_| ParseIdError::Length)?)
}

fn to_base32(id: &[u8; ID_LEN]) -> [u8; BASE32_LEN] {
    let bits = u128::from_be_bytes(*id);
    core::array::from_fn(|place| {
        // The last character holds the 3 bits that are left, followed by the spare ones.
        let five = match place {
            25 => bits << SPARE_BITS,
            _ => bits >> (123 - 5 * place),
        };
        ALPHABET[(five & 31) as usize]
    })
}

fn from_base32(text: &[u8; BASE32_LEN]) -> Result<[u8; ID_LEN], ParseIdError> {
    let mut bits = 0u128;
    for &character in &text[..BASE32_LEN - 1] {
        bits = bits << 5 | u128::from(digit(character)?);
    }
    let last = digit(text[BASE32_LEN - 1])?;
    if last & ((1 << SPARE_BITS) - 1) != 0 {
        return Err(ParseIdError::SpareBits);
    }
    Ok((bits << 3 | u128::from(last >> SPARE_BITS)).to_be_bytes())
}

fn digit(character: u8) -> Result<u8, ParseIdError> {
    match character {
        b'a'..=b'z' => Ok(character - b'a'),
        b'2'..=b'7' => Ok(character - b'2' + 26),
        _ => Err(ParseIdError::Character),
    }
}

struct IdVisitor {
    prefix: &'static str,
}

impl Visitor<'_> for IdVisitor {
    type Value = [u8; ID_LEN];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an id such as {}aaaa… with 26 characters after the prefix", self.prefix)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        read_text(self.prefix, text).map_err(E::custom)
    }
}
