//! How much a player sends through his flow, and through the next one: whoever closes a flow and opens it again, as often
//! as he may, sends no more for that.

use std::time::Duration;

use playgate_protocol::PlayerSessionId;
use playgate_protocol::rate::{Bucket, Rate};
use playgate_protocol::relay::{PAYLOAD_BYTES_MAX, PassClaims};

use crate::limits::{FLOW_BURST, PACES_REMEMBERED};

/// Datagrams that any player may send at once, however low his rate: a handshake and its repetitions.
const DATAGRAM_BURST_MIN: u32 = 32;
/// Bytes likewise.
const BYTE_BURST_MIN: u32 = 16 * PAYLOAD_BYTES_MAX as u32;

/// What a player has left of his rate.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    datagrams: Bucket,
    bytes: Bucket,
    datagrams_per_second: u32,
    bytes_per_second: u32,
}

impl Pace {
    fn new(claims: &PassClaims) -> Self {
        Self {
            datagrams: Bucket::default(),
            bytes: Bucket::default(),
            datagrams_per_second: claims.packets_per_second,
            bytes_per_second: claims.bytes_per_second,
        }
    }

    /// A pass of another rate begins anew.
    fn is_of(&self, claims: &PassClaims) -> bool {
        (self.datagrams_per_second, self.bytes_per_second) == (claims.packets_per_second, claims.bytes_per_second)
    }

    pub(crate) fn pays(&mut self, now: Duration, len: usize) -> bool {
        let datagrams = rate(self.datagrams_per_second, DATAGRAM_BURST_MIN);
        let bytes = rate(self.bytes_per_second, BYTE_BURST_MIN);
        let len = u32::try_from(len).expect("a datagram has at most 65,535 bytes");
        self.datagrams.take(now, datagrams, 1) && self.bytes.take(now, bytes, len)
    }
}

fn rate(per_second: u32, burst_min: u32) -> Rate {
    let burst = u64::from(per_second) * u64::try_from(FLOW_BURST.as_millis()).expect("less than a second") / 1_000;
    let burst = u32::try_from(burst).expect("a quarter of a u32").max(burst_min);
    Rate { per_second, burst }
}

/// The paces of flows that have ended, in a table of fixed size by the random end of the player session's id. Two that meet
/// in a place forget each other.
pub(crate) struct Paces {
    places: Box<[Option<(PlayerSessionId, Pace)>]>,
}

impl Paces {
    pub(crate) fn new() -> Self {
        Self { places: vec![None; PACES_REMEMBERED].into_boxed_slice() }
    }

    pub(crate) fn keep(&mut self, player_session: PlayerSessionId, pace: Pace) {
        self.places[place(&player_session)] = Some((player_session, pace));
    }

    /// The pace of a new flow: that of the player's last one, or a fresh one.
    pub(crate) fn of(&self, claims: &PassClaims) -> Pace {
        let kept = self.places[place(&claims.player_session)].filter(|(of, _)| *of == claims.player_session);
        kept.map(|(_, pace)| pace).filter(|pace| pace.is_of(claims)).unwrap_or_else(|| Pace::new(claims))
    }
}

fn place(player_session: &PlayerSessionId) -> usize {
    let random = player_session.as_bytes().last_chunk().expect("an id has 16 bytes");
    usize::try_from(u64::from_be_bytes(*random) % PACES_REMEMBERED as u64).expect("fewer than 2^32 places")
}
