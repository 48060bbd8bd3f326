//! The pass: what a relay needs to know of a player, sealed so that only the relay can read or make it.
//!
//! ```text
//!   offset  bytes
//!   0       1      shard: which of the relay's cores serves this player session
//!   1       4      number of the relay's secret, u32
//!   5       16     salt, random
//!   21      106    the claims, sealed with ChaCha20-Poly1305; bytes 0 to 21 are authenticated with them
//!   127     16     its tag
//! ```
//! The key of the seal is HKDF-SHA256 with the salt over the relay's secret, so each pass has a key of its own and the
//! nonce is zero.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ring::{aead, hkdf, hmac};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{ConnectionId, PASS_BYTES, TrafficKeys};
use crate::handshake::Nonce;
use crate::{PlayerSessionId, ServerProcessId, TimeMs};

/// Session and process ids, address and port, two times, two limits, the flow key.
pub(super) const CLAIMS_BYTES: usize = 16 + 16 + 18 + 8 + 8 + 4 + 4 + 32;
const SHARD: usize = 0;
const SALT: std::ops::Range<usize> = 5..21;
const SEALED: usize = 21;

/// A sealed pass as it is sent. It is of use only together with the flow key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pass(pub [u8; PASS_BYTES]);

/// What a pass says.
#[derive(Clone, PartialEq, Eq)]
pub struct PassClaims {
    /// Whose flow it is. A relay keeps one flow for each.
    pub player_session: PlayerSessionId,
    /// The server process the player goes to.
    pub process: ServerProcessId,
    /// Where the relay sends the player's payload.
    pub server: SocketAddr,
    /// The flow must be opened before this.
    pub use_by_ms: TimeMs,
    /// The flow ends at this time, however busy it is.
    pub valid_until_ms: TimeMs,
    /// Datagrams a second that the player may send; 0 admits none.
    pub packets_per_second: u32,
    /// Payload bytes a second that the player may send.
    pub bytes_per_second: u32,
    /// Shared by player and relay.
    pub flow_key: FlowKey,
}

/// Shows neither the server's address nor the key.
impl fmt::Debug for PassClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PassClaims({}, secret parts not shown)", self.player_session)
    }
}

/// The key that a player gets with the pass, and that a relay finds in it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct FlowKey([u8; 32]);

impl FlowKey {
    /// The key with these random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for the ticket.
    #[must_use]
    pub const fn reveal(&self) -> &[u8; 32] {
        &self.0
    }

    /// The keys of one opening of the flow. Another opening has others, so nothing of an earlier one can be replayed.
    #[must_use]
    pub fn traffic_keys(&self, nonce: &Nonce, relay_time_us: u64, connection: ConnectionId) -> TrafficKeys {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        for part in [b"playgate v1 relay traffic", nonce.as_slice(), &relay_time_us.to_le_bytes(), &connection.0] {
            context.update(part);
        }
        let keys = context.sign();
        let (up, down) = keys.as_ref().split_at(16);
        let half = |bytes: &[u8]| *bytes.first_chunk().expect("HMAC-SHA256 has 32 bytes");
        TrafficKeys::new(&half(up), &half(down))
    }
}

impl fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FlowKey(not shown)")
    }
}

/// Seals and opens the passes of one relay. It knows nothing of other relays' passes, and signs nothing.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct RelaySecret {
    #[zeroize(skip)]
    number: u32,
    bytes: [u8; 32],
}

impl fmt::Debug for RelaySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelaySecret({}, not shown)", self.number)
    }
}

/// Why a pass cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PassRefused {
    /// The relay has no such secret: it was made for another relay, or long ago.
    UnknownSecret,
    /// Damaged or forged.
    Seal,
    /// Sealed by the coordinator, and senseless: a fault there.
    Claims,
}

impl RelaySecret {
    /// The relay's secret with this number. Numbers rise with each rotation.
    #[must_use]
    pub const fn new(number: u32, bytes: [u8; 32]) -> Self {
        Self { number, bytes }
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Its bytes, for the relay's own state.
    #[must_use]
    pub const fn reveal(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Seals a pass. The salt must be random, or at least never used before with this secret.
    #[must_use]
    pub fn seal(&self, claims: &PassClaims, salt: [u8; 16]) -> Pass {
        let mut pass = [0; PASS_BYTES];
        pass[SHARD] = shard(&claims.player_session);
        pass[1..5].copy_from_slice(&self.number.to_le_bytes());
        pass[SALT].copy_from_slice(&salt);
        let (plain, rest) = pass.split_at_mut(SEALED);
        let (sealed, tag) = rest.split_at_mut(CLAIMS_BYTES);
        sealed.copy_from_slice(&encode(claims));
        let sealing =
            self.sealing_key(&salt).seal_in_place_separate_tag(zero_nonce(), aead::Aad::from(&*plain), sealed);
        tag.copy_from_slice(sealing.expect("a pass is not too long to seal").as_ref());
        Pass(pass)
    }

    /// A pass for whoever just opened a flow.
    #[must_use]
    pub fn reseal(&self, claims: &PassClaims, opening: &[&[u8]]) -> Pass {
        self.seal_for(b"playgate v1 relay fresh pass", claims, opening)
    }

    /// The salt follows from the claims, so that no salt is ever used for two passes, and no randomness is needed: the
    /// same claims for the same purpose on the same occasion give the same pass.
    #[must_use]
    pub fn seal_for(&self, purpose: &[u8], claims: &PassClaims, occasion: &[&[u8]]) -> Pass {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.bytes));
        context.update(purpose);
        context.update(&encode(claims));
        occasion.iter().for_each(|part| context.update(part));
        let salt = *context.sign().as_ref().first_chunk().expect("HMAC-SHA256 has 32 bytes");
        self.seal(claims, salt)
    }

    /// Opens a pass.
    ///
    /// # Errors
    /// [`PassRefused`]
    pub fn open(&self, pass: &Pass) -> Result<PassClaims, PassRefused> {
        if pass.secret_number() != self.number {
            return Err(PassRefused::UnknownSecret);
        }
        let salt = *pass.0[SALT].first_chunk().expect("16 bytes");
        let mut sealed = pass.0;
        let (plain, sealed) = sealed.split_at_mut(SEALED);
        let opened = self.sealing_key(&salt).open_in_place(zero_nonce(), aead::Aad::from(&*plain), sealed);
        let claims = decode(opened.map_err(|_| PassRefused::Seal)?).ok_or(PassRefused::Claims)?;
        if pass.0[SHARD] == shard(&claims.player_session) { Ok(claims) } else { Err(PassRefused::Claims) }
    }

    fn sealing_key(&self, salt: &[u8; 16]) -> aead::LessSafeKey {
        let pseudo_random = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&self.bytes);
        let key = pseudo_random.expand(&[b"playgate v1 relay pass"], &aead::CHACHA20_POLY1305);
        aead::LessSafeKey::new(key.expect("32 bytes are not too many").into())
    }
}

impl Pass {
    /// The secret it was sealed with.
    #[must_use]
    pub fn secret_number(&self) -> u32 {
        u32::from_le_bytes(*self.0[1..5].first_chunk().expect("4 bytes"))
    }
}

/// Each pass has a key of its own, which seals this once.
fn zero_nonce() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; aead::NONCE_LEN])
}

/// The same for all passes of a player session, so that whoever comes back meets the core that keeps his flow.
fn shard(player_session: &PlayerSessionId) -> u8 {
    player_session.as_bytes().iter().fold(0, |shard: u8, byte| shard.rotate_left(3) ^ byte)
}

fn encode(claims: &PassClaims) -> [u8; CLAIMS_BYTES] {
    let mut bytes = [0; CLAIMS_BYTES];
    let mut rest = bytes.as_mut_slice();
    let mut put = |field: &[u8]| {
        let (place, after) = std::mem::take(&mut rest).split_at_mut(field.len());
        place.copy_from_slice(field);
        rest = after;
    };
    put(claims.player_session.as_bytes());
    put(claims.process.as_bytes());
    let ip = match claims.server.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    put(&ip.octets());
    put(&claims.server.port().to_le_bytes());
    put(&claims.use_by_ms.to_le_bytes());
    put(&claims.valid_until_ms.to_le_bytes());
    put(&claims.packets_per_second.to_le_bytes());
    put(&claims.bytes_per_second.to_le_bytes());
    put(claims.flow_key.reveal());
    bytes
}

fn decode(bytes: &[u8]) -> Option<PassClaims> {
    let mut rest = bytes;
    let claims = PassClaims {
        player_session: PlayerSessionId::from_bytes(take(&mut rest)?),
        process: ServerProcessId::from_bytes(take(&mut rest)?),
        server: SocketAddr::new(
            Ipv6Addr::from(take::<16>(&mut rest)?).to_canonical(),
            u16::from_le_bytes(take(&mut rest)?),
        ),
        use_by_ms: u64::from_le_bytes(take(&mut rest)?),
        valid_until_ms: u64::from_le_bytes(take(&mut rest)?),
        packets_per_second: u32::from_le_bytes(take(&mut rest)?),
        bytes_per_second: u32::from_le_bytes(take(&mut rest)?),
        flow_key: FlowKey::from_bytes(take(&mut rest)?),
    };
    let sensible = claims.server.port() != 0 && claims.use_by_ms <= claims.valid_until_ms;
    (rest.is_empty() && sensible).then_some(claims)
}

pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (field, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*field)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn claims() -> PassClaims {
        PassClaims {
            player_session: PlayerSessionId::from_bytes([0x70; 16]),
            process: ServerProcessId::from_bytes([0x50; 16]),
            server: "192.0.2.7:7777".parse().unwrap(),
            use_by_ms: 1_750_000_060_000,
            valid_until_ms: 1_750_043_200_000,
            packets_per_second: 200,
            bytes_per_second: 200_000,
            flow_key: FlowKey::from_bytes([0xf0; 32]),
        }
    }

    #[test]
    fn a_pass_opens_with_its_secret_and_with_no_other() {
        let secret = RelaySecret::new(3, [1; 32]);
        for server in ["192.0.2.7:7777", "[2001:db8::1]:1"] {
            let claims = PassClaims { server: server.parse().unwrap(), ..claims() };
            let pass = secret.seal(&claims, [9; 16]);
            assert_eq!(secret.open(&pass), Ok(claims));
            assert_eq!(RelaySecret::new(3, [2; 32]).open(&pass), Err(PassRefused::Seal));
            assert_eq!(RelaySecret::new(4, [1; 32]).open(&pass), Err(PassRefused::UnknownSecret));
        }
    }

    #[test]
    fn no_bit_of_a_pass_can_be_changed() {
        let secret = RelaySecret::new(3, [1; 32]);
        let pass = secret.seal(&claims(), [9; 16]);
        for bit in 0..PASS_BYTES * 8 {
            let mut changed = pass;
            changed.0[bit / 8] ^= 1 << (bit % 8);
            let expected = if (8..40).contains(&bit) { PassRefused::UnknownSecret } else { PassRefused::Seal };
            assert_eq!(secret.open(&changed), Err(expected), "bit {bit}");
        }
    }

    #[test]
    fn a_senseless_pass_is_refused_even_when_it_is_sealed() {
        let secret = RelaySecret::new(3, [1; 32]);
        let no_port = PassClaims { server: "192.0.2.7:0".parse().unwrap(), ..claims() };
        let backwards = PassClaims { use_by_ms: 2, valid_until_ms: 1, ..claims() };
        for claims in [no_port, backwards] {
            assert_eq!(secret.open(&secret.seal(&claims, [9; 16])), Err(PassRefused::Claims));
        }
    }

    #[test]
    fn a_fresh_pass_has_a_salt_of_its_own() {
        let secret = RelaySecret::new(3, [1; 32]);
        let fresh = secret.reseal(&claims(), &[b"nonce", b"time"]);
        assert!(fresh == secret.reseal(&claims(), &[b"nonce", b"time"]));
        assert!(fresh != secret.reseal(&claims(), &[b"nonce", b"later"]));
        let later = PassClaims { use_by_ms: claims().use_by_ms + 1, ..claims() };
        let other = secret.reseal(&later, &[b"nonce", b"time"]);
        assert_ne!(fresh.0[SALT], other.0[SALT], "a salt is a key, and seals one pass only");
        assert_eq!(secret.open(&fresh), Ok(claims()));
    }

    #[test]
    fn debug_shows_no_key_and_no_address() {
        let shown = format!("{:?} {:?} {:?}", claims(), claims().flow_key, RelaySecret::new(7, [0xab; 32]));
        assert!(!shown.contains("192.0.2") && !shown.contains("171") && !shown.contains("240"), "{shown}");
    }
}
