//! The 20 bytes before each payload, the tag over it, and the window that takes each datagram once.
//!
//! ```text
//!   0      1                  4                            12                           20
//!   +------+------------------+----------------------------+----------------------------+
//!   | kind | sequence, low 24 |       connection id        |            tag             | payload ...
//!   +------+------------------+----------------------------+----------------------------+
//!
//!   connection id:  core u8 | epoch u8 | slot u24 | generation u24
//! ```

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher24;
use zeroize::ZeroizeOnDrop;

use super::HEADER_BYTES;

/// Which flow of a relay. Opaque to the player.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ConnectionId(pub [u8; 8]);

impl ConnectionId {
    /// Slot and generation have 24 bits.
    #[must_use]
    pub fn from_parts(core: u8, epoch: u8, slot: u32, generation: u32) -> Self {
        let (slot, generation) = (slot.to_le_bytes(), generation.to_le_bytes());
        Self([core, epoch, slot[0], slot[1], slot[2], generation[0], generation[1], generation[2]])
    }

    /// Which of the relay's cores.
    #[must_use]
    pub const fn core(self) -> u8 {
        self.0[0]
    }

    /// Which start of the relay.
    #[must_use]
    pub const fn epoch(self) -> u8 {
        self.0[1]
    }

    /// Which place of the flow table.
    #[must_use]
    pub const fn slot(self) -> u32 {
        u32::from_le_bytes([self.0[2], self.0[3], self.0[4], 0])
    }

    /// Which of the flows that were there, one after the other.
    #[must_use]
    pub const fn generation(self) -> u32 {
        u32::from_le_bytes([self.0[5], self.0[6], self.0[7], 0])
    }
}

/// The first byte of a datagram of an open flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum DataKind {
    /// Payload for the other side.
    Data = 1,
    /// Are you there? From the player.
    Ping = 2,
    /// I am; the payload of the PING. From the relay.
    Pong = 3,
    /// Do you receive at this address? From the relay.
    PathChallenge = 4,
    /// I do; the payload of the challenge. From the player.
    PathResponse = 5,
    /// The flow ends. From the player, or from the relay with a [`RefuseCode`](super::RefuseCode) as payload.
    Close = 6,
    /// This is my pass; it expires soon. From the player.
    Renew = 7,
    /// Take this one. From the relay.
    FreshPass = 8,
}

impl DataKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Data,
        Self::Ping,
        Self::Pong,
        Self::PathChallenge,
        Self::PathResponse,
        Self::Close,
        Self::Renew,
        Self::FreshPass,
    ];

    /// The kind with this byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte).checked_sub(1)?).copied()
    }
}

/// A header that is read but not believed: the tag says whether it is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the payload is.
    pub kind: DataKind,
    /// Lowest 24 bits of the sequence number.
    pub sequence_low: u32,
    /// Which flow.
    pub connection: ConnectionId,
    /// Over kind, sequence, connection id and payload.
    pub tag: u64,
}

impl Header {
    /// Reads the header; the payload is what follows its [`HEADER_BYTES`].
    #[must_use]
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER_BYTES] = datagram.first_chunk()?;
        let (connection, tag) = header[4..].split_first_chunk::<8>()?;
        Some(Self {
            kind: DataKind::from_byte(header[0])?,
            sequence_low: u32::from_le_bytes([header[1], header[2], header[3], 0]),
            connection: ConnectionId(*connection),
            tag: u64::from_le_bytes(*tag.first_chunk()?),
        })
    }
}

/// The key of one direction of one opening of a flow.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct TrafficKey([u8; 16]);

impl fmt::Debug for TrafficKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrafficKey(not shown)")
    }
}

/// Both directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficKeys {
    /// Player to relay.
    pub up: TrafficKey,
    /// Relay to player.
    pub down: TrafficKey,
}

impl TrafficKeys {
    pub(super) fn new(up: &[u8; 16], down: &[u8; 16]) -> Self {
        Self { up: TrafficKey(*up), down: TrafficKey(*down) }
    }
}

impl TrafficKey {
    /// SipHash-2-4 over kind, whole sequence number, connection id and payload.
    #[must_use]
    pub fn tag(&self, kind: DataKind, sequence: u64, connection: ConnectionId, payload: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        let mut head = [kind as u8; 17];
        head[1..9].copy_from_slice(&sequence.to_le_bytes());
        head[9..].copy_from_slice(&connection.0);
        hasher.write(&head);
        hasher.write(payload);
        hasher.finish()
    }

    /// Writes the header for a payload.
    pub fn write(
        &self,
        kind: DataKind,
        sequence: u64,
        connection: ConnectionId,
        payload: &[u8],
        header: &mut [u8; HEADER_BYTES],
    ) {
        header[0] = kind as u8;
        header[1..4].copy_from_slice(&sequence.to_le_bytes()[..3]);
        header[4..12].copy_from_slice(&connection.0);
        header[12..].copy_from_slice(&self.tag(kind, sequence, connection, payload).to_le_bytes());
    }
}

/// Takes each sequence number once, and late ones as long as they are among the last 128: reordering is not loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// One more than the highest number taken.
    next: u64,
    /// Bit n: `next - 1 - n` was taken.
    taken: u128,
}

/// Numbers that a window remembers.
const WINDOW: u64 = u128::BITS as u64;
const LOW_BITS: u32 = 24;

impl Window {
    /// The number whose lowest 24 bits these are, next to the one that is expected. Nothing is changed: the tag has to
    /// be right before it is.
    #[must_use]
    pub fn expand(&self, low: u32) -> u64 {
        const SPAN: u64 = 1 << LOW_BITS;
        let near = (self.next & !(SPAN - 1)) | u64::from(low);
        if near.saturating_add(SPAN / 2) < self.next {
            near.saturating_add(SPAN)
        } else if near > self.next.saturating_add(SPAN / 2) && near >= SPAN {
            near - SPAN
        } else {
            near
        }
    }

    /// Whether this number may still be taken.
    #[must_use]
    pub fn admits(&self, sequence: u64) -> bool {
        let Some(age) = self.next.checked_sub(1).and_then(|top| top.checked_sub(sequence)) else { return true };
        age < WINDOW && self.taken >> age & 1 == 0
    }

    /// Takes it. Call it after [`admits`](Self::admits) and after the tag was found right; says whether it is the
    /// highest so far.
    pub fn take(&mut self, sequence: u64) -> bool {
        let next = sequence.saturating_add(1);
        if next > self.next {
            let ahead = u32::try_from(next - self.next).unwrap_or(u32::MAX);
            self.taken = self.taken.checked_shl(ahead).unwrap_or(0) | 1;
            self.next = next;
            return true;
        }
        let age = self.next - next;
        if age < WINDOW {
            self.taken |= 1 << age;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys() -> TrafficKeys {
        TrafficKeys::new(&[1; 16], &[2; 16])
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let connection = ConnectionId::from_parts(3, 9, 0x0a_0b0c, 0x01_0203);
        let mut header = [0; HEADER_BYTES];
        keys().up.write(DataKind::Ping, 0x1_2345_6789, connection, b"payload", &mut header);
        let read = Header::read(&[header.as_slice(), b"payload"].concat()).unwrap();
        assert_eq!((read.kind, read.sequence_low, read.connection), (DataKind::Ping, 0x45_6789, connection));
        assert_eq!(read.tag, keys().up.tag(DataKind::Ping, 0x1_2345_6789, connection, b"payload"));
        let parts = (connection.core(), connection.epoch(), connection.slot(), connection.generation());
        assert_eq!(parts, (3, 9, 0x0a_0b0c, 0x01_0203));
        assert_eq!(Header::read(&header[..19]), None);
        for byte in 0..=u8::MAX {
            header[0] = byte;
            assert_eq!(Header::read(&header).is_some(), (1..=8).contains(&byte), "{byte}");
        }
    }

    #[test]
    fn the_tag_covers_everything() {
        let connection = ConnectionId::from_parts(1, 2, 3, 4);
        let tag = keys().up.tag(DataKind::Data, 5, connection, b"payload");
        let others = [
            keys().down.tag(DataKind::Data, 5, connection, b"payload"),
            keys().up.tag(DataKind::Ping, 5, connection, b"payload"),
            keys().up.tag(DataKind::Data, 5 + (1 << 24), connection, b"payload"),
            keys().up.tag(DataKind::Data, 5, ConnectionId::from_parts(1, 2, 3, 5), b"payload"),
            keys().up.tag(DataKind::Data, 5, connection, b"payloae"),
            keys().up.tag(DataKind::Data, 5, connection, b"payload\0"),
        ];
        assert!(others.iter().all(|other| *other != tag));
    }

    #[test]
    fn a_number_is_expanded_next_to_the_expected_one() {
        const SPAN: u64 = 1 << 24;
        let rows = [
            (0, 0, 0),
            (0, 5, 5),
            (100, 99, 99),
            (SPAN - 1, 3, SPAN + 3),
            (SPAN + 3, 0xff_fffe, SPAN - 2),
            (5 * SPAN + 7, 8, 5 * SPAN + 8),
            (0, 0xff_ffff, 0xff_ffff),
        ];
        for (next, low, expected) in rows {
            assert_eq!(Window { next, taken: 0 }.expand(low), expected, "{next} {low}");
        }
    }

    #[test]
    fn a_window_takes_late_ones_but_none_twice_and_none_too_late() {
        let mut window = Window::default();
        for (sequence, admitted) in [(0, true), (0, false), (5, true), (3, true), (3, false), (200, true), (72, false)]
        {
            assert_eq!(window.admits(sequence), admitted, "{sequence}");
            if admitted {
                window.take(sequence);
            }
        }
        assert!(window.admits(73) && !window.admits(200) && window.admits(201));
    }

    proptest! {
        #[test]
        fn a_window_agrees_with_a_set(sequences in prop::collection::vec(0_u64..400, 0..300)) {
            let mut window = Window::default();
            let mut seen = std::collections::BTreeSet::new();
            for sequence in sequences {
                let newest = seen.last().copied();
                let expected = !seen.contains(&sequence) && newest.is_none_or(|top: u64| sequence + WINDOW > top);
                prop_assert_eq!(window.admits(sequence), expected);
                if expected {
                    prop_assert_eq!(window.take(sequence), newest.is_none_or(|top| sequence > top));
                    seen.insert(sequence);
                }
            }
        }

        #[test]
        fn a_number_within_half_a_span_is_expanded_right(next in 0_u64..1 << 40, step in -(1_i64 << 22)..1 << 22) {
            let sequence = next.saturating_add_signed(step);
            let low = u32::try_from(sequence & 0xff_ffff).unwrap();
            prop_assert_eq!(Window { next, taken: 0 }.expand(low), sequence);
        }
    }
}
