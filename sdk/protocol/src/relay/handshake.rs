//! The datagrams that open a flow, and the one that says it is no more.

use std::fmt;

use super::pass::take;
use super::{
    ACCEPT_BYTES, COOKIE_BYTES, ConnectionId, FlowKey, HELLO_BYTES, Mac, Nonce, OPEN_BYTES, PASS_BYTES, Pass,
    REFUSE_BYTES, RESET_BYTES, RESET_TOKEN_BYTES,
};
use crate::handshake::Datagram;
use crate::handshake::datagram::sealing;

/// First bytes of a HELLO.
pub const HELLO: [u8; 4] = *b"PR1H";
const COOKIE: [u8; 4] = *b"PR1C";
const OPEN: [u8; 4] = *b"PR1O";
const ACCEPT: [u8; 4] = *b"PR1A";
const REFUSE: [u8; 4] = *b"PR1X";
const RESET: [u8; 4] = *b"PR1R";

const OPEN_DOMAIN: &[u8] = b"playgate v1 relay open";
const ACCEPT_DOMAIN: &[u8] = b"playgate v1 relay accept";
const REFUSE_DOMAIN: &[u8] = b"playgate v1 relay refuse";

/// Zeros that make a HELLO longer than its answer.
const HELLO_PADDING: [u8; HELLO_BYTES - 20] = [0; HELLO_BYTES - 20];
/// Zeros that make an OPEN longer than its answer.
const OPEN_PADDING: [u8; OPEN_BYTES - 4 - PASS_BYTES - 16 - 8 - 16 - 32] =
    [0; OPEN_BYTES - 4 - PASS_BYTES - 16 - 8 - 16 - 32];

/// Player to relay: I would open a flow. `PR1H`, nonce, zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// Random, new for each attempt.
    pub nonce: Nonce,
}

impl Hello {
    /// Reads a HELLO.
    #[must_use]
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let datagram: &[u8; HELLO_BYTES] = datagram.try_into().ok()?;
        let mut rest = datagram.strip_prefix(&HELLO)?;
        let nonce = take(&mut rest)?;
        (rest == HELLO_PADDING).then_some(Self { nonce })
    }

    /// Writes it.
    pub fn write<const MAX: usize>(&self, out: &mut Datagram<MAX>) {
        out.write(&[&HELLO, &self.nonce, &HELLO_PADDING]);
    }
}

/// Relay to player: show that you receive at your address. `PR1C`, nonce, relay time, MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie {
    /// As in the HELLO.
    pub nonce: Nonce,
    /// Microseconds of a clock of the relay's.
    pub relay_time_us: u64,
    /// The relay's own.
    pub mac: Mac,
}

impl Cookie {
    /// Reads a COOKIE. It is not authentic: whoever sees a HELLO can forge one.
    #[must_use]
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let datagram: &[u8; COOKIE_BYTES] = datagram.try_into().ok()?;
        let mut rest = datagram.strip_prefix(&COOKIE)?;
        Some(Self {
            nonce: take(&mut rest)?,
            relay_time_us: u64::from_le_bytes(take(&mut rest)?),
            mac: take(&mut rest)?,
        })
    }

    /// Writes it.
    pub fn write<const MAX: usize>(&self, out: &mut Datagram<MAX>) {
        out.write(&[&COOKIE, &self.nonce, &self.relay_time_us.to_le_bytes(), &self.mac]);
    }

    /// Writes the OPEN that answers it.
    pub fn answer(&self, pass: &Pass, key: &FlowKey, out: &mut Datagram<OPEN_BYTES>) {
        let time = self.relay_time_us.to_le_bytes();
        out.write(&[&OPEN, &pass.0, &self.nonce, &time, &self.mac, &OPEN_PADDING]);
        out.seal(OPEN_DOMAIN, key.reveal());
    }
}

/// Player to relay: here are cookie, pass and proof. `PR1O`, pass, nonce, relay time, MAC, zeros, HMAC-SHA256 under
/// the flow key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Open<'d> {
    /// Sealed.
    pub pass: Pass,
    /// As in the HELLO.
    pub nonce: Nonce,
    /// As in the COOKIE.
    pub relay_time_us: u64,
    /// As in the COOKIE.
    pub mac: Mac,
    sealed: &'d [u8],
    seal: &'d [u8; 32],
}

impl<'d> Open<'d> {
    /// Reads an OPEN. What it claims is true only if [`verify`](Self::verify) says so.
    #[must_use]
    pub fn read(datagram: &'d [u8]) -> Option<Self> {
        let datagram: &[u8; OPEN_BYTES] = datagram.try_into().ok()?;
        let (sealed, seal) = datagram.split_last_chunk()?;
        let mut rest = sealed.strip_prefix(&OPEN)?;
        let (pass, nonce) = (Pass(take(&mut rest)?), take(&mut rest)?);
        let (time, mac) = (take(&mut rest)?, take(&mut rest)?);
        let open = Self { pass, nonce, relay_time_us: u64::from_le_bytes(time), mac, sealed, seal };
        (rest == OPEN_PADDING).then_some(open)
    }

    /// Whether the sender holds the flow key. Compares in constant time.
    #[must_use]
    pub fn verify(&self, key: &FlowKey) -> bool {
        sealing(OPEN_DOMAIN, key.reveal(), self.sealed).matches(self.seal)
    }
}

impl fmt::Debug for Open<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Open(relay time {} us, the pass is not shown)", self.relay_time_us)
    }
}

/// Relay to player: the flow is open. `PR1A`, nonce, relay time, connection id, reset token, fresh pass, HMAC-SHA256
/// under the flow key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Accept {
    /// As in the OPEN.
    pub nonce: Nonce,
    /// As in the OPEN.
    pub relay_time_us: u64,
    /// The flow's, at this opening.
    pub connection: ConnectionId,
    /// A RESET with it is the relay's own.
    pub reset_token: [u8; RESET_TOKEN_BYTES],
    /// Opens the flow again, until it ends, also when the first pass has expired.
    pub fresh_pass: Pass,
}

impl Accept {
    /// Reads an ACCEPT if it is made with the flow key.
    #[must_use]
    pub fn open(datagram: &[u8], key: &FlowKey) -> Option<Self> {
        let datagram: &[u8; ACCEPT_BYTES] = datagram.try_into().ok()?;
        let mut rest = opened(datagram, ACCEPT_DOMAIN, key)?.strip_prefix(&ACCEPT)?;
        Some(Self {
            nonce: take(&mut rest)?,
            relay_time_us: u64::from_le_bytes(take(&mut rest)?),
            connection: ConnectionId(take(&mut rest)?),
            reset_token: take(&mut rest)?,
            fresh_pass: Pass(take(&mut rest)?),
        })
    }

    /// Writes it.
    pub fn seal<const MAX: usize>(&self, key: &FlowKey, out: &mut Datagram<MAX>) {
        let time = self.relay_time_us.to_le_bytes();
        out.write(&[&ACCEPT, &self.nonce, &time, &self.connection.0, &self.reset_token, &self.fresh_pass.0]);
        out.seal(ACCEPT_DOMAIN, key.reveal());
    }
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Accept({:?}, the pass is not shown)", self.connection)
    }
}

/// Relay to player: it is of no use. `PR1X`, nonce, relay time, code, HMAC-SHA256 under the flow key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refuse {
    /// As in the OPEN.
    pub nonce: Nonce,
    /// As in the OPEN.
    pub relay_time_us: u64,
    /// Why.
    pub code: RefuseCode,
}

impl Refuse {
    /// Reads a REFUSE if it is made with the flow key.
    #[must_use]
    pub fn open(datagram: &[u8], key: &FlowKey) -> Option<Self> {
        let datagram: &[u8; REFUSE_BYTES] = datagram.try_into().ok()?;
        let mut rest = opened(datagram, REFUSE_DOMAIN, key)?.strip_prefix(&REFUSE)?;
        let (nonce, time, [code]) = (take(&mut rest)?, take(&mut rest)?, take(&mut rest)?);
        Some(Self { nonce, relay_time_us: u64::from_le_bytes(time), code: RefuseCode::from_byte(code) })
    }

    /// Writes it.
    pub fn seal<const MAX: usize>(&self, key: &FlowKey, out: &mut Datagram<MAX>) {
        out.write(&[&REFUSE, &self.nonce, &self.relay_time_us.to_le_bytes(), &[self.code as u8]]);
        out.seal(REFUSE_DOMAIN, key.reveal());
    }
}

/// Why a relay opens no flow, or ends one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RefuseCode {
    /// No reason is given.
    Refused,
    /// The pass was not used in time.
    Expired,
    /// The player session was revoked.
    Revoked,
    /// The relay carries as many flows as it can; another may have room.
    Full,
    /// The relay does not send to the server's address: its operator has to allow the prefix.
    Destination,
    /// The relay shuts down; another may serve.
    Draining,
}

impl RefuseCode {
    /// Every code: `ALL[code as usize] == code`.
    pub const ALL: [Self; 6] =
        [Self::Refused, Self::Expired, Self::Revoked, Self::Full, Self::Destination, Self::Draining];

    /// A code that this build does not know is a refusal all the same.
    #[must_use]
    pub fn from_byte(byte: u8) -> Self {
        Self::ALL.get(usize::from(byte)).copied().unwrap_or(Self::Refused)
    }

    /// The name used in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Full => "full",
            Self::Destination => "destination",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for RefuseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Relay to player: I know no such flow. `PR1R`, connection id, the token of its ACCEPT.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Reset {
    /// As in the datagram that it answers.
    pub connection: ConnectionId,
    /// Known to the relay, and to the player since his ACCEPT.
    pub token: [u8; RESET_TOKEN_BYTES],
}

impl Reset {
    /// Reads a RESET. It counts only with the right token.
    #[must_use]
    pub fn read(datagram: &[u8]) -> Option<Self> {
        let datagram: &[u8; RESET_BYTES] = datagram.try_into().ok()?;
        let mut rest = datagram.strip_prefix(&RESET)?;
        Some(Self { connection: ConnectionId(take(&mut rest)?), token: take(&mut rest)? })
    }

    /// Writes it.
    pub fn write<const MAX: usize>(&self, out: &mut Datagram<MAX>) {
        out.write(&[&RESET, &self.connection.0, &self.token]);
    }
}

impl fmt::Debug for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reset({:?})", self.connection)
    }
}

fn opened<'d>(datagram: &'d [u8], domain: &[u8], key: &FlowKey) -> Option<&'d [u8]> {
    let (sealed, seal) = datagram.split_last_chunk()?;
    sealing(domain, key.reveal(), sealed).matches(seal).then_some(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: FlowKey = FlowKey::from_bytes([7; 32]);

    fn all() -> [(usize, Datagram<OPEN_BYTES>); 6] {
        let mut out: [_; 6] = std::array::from_fn(|_| Datagram::new());
        let (nonce, relay_time_us) = ([1; 16], 0x0102_0304_0506_0708);
        let cookie = Cookie { nonce, relay_time_us, mac: [2; 16] };
        Hello { nonce }.write(&mut out[0]);
        cookie.write(&mut out[1]);
        cookie.answer(&Pass([3; PASS_BYTES]), &KEY, &mut out[2]);
        accept().seal(&KEY, &mut out[3]);
        Refuse { nonce, relay_time_us, code: RefuseCode::Full }.seal(&KEY, &mut out[4]);
        Reset { connection: ConnectionId([4; 8]), token: [5; 16] }.write(&mut out[5]);
        let lengths = [HELLO_BYTES, COOKIE_BYTES, OPEN_BYTES, ACCEPT_BYTES, REFUSE_BYTES, RESET_BYTES];
        let mut lengths = lengths.into_iter();
        out.map(|datagram| (lengths.next().unwrap(), datagram))
    }

    fn accept() -> Accept {
        let (nonce, relay_time_us) = ([1; 16], 0x0102_0304_0506_0708);
        let fresh_pass = Pass([6; PASS_BYTES]);
        Accept { nonce, relay_time_us, connection: ConnectionId([4; 8]), reset_token: [5; 16], fresh_pass }
    }

    /// Which readers take these bytes for theirs.
    fn read(bytes: &[u8]) -> [bool; 6] {
        [
            Hello::read(bytes).is_some(),
            Cookie::read(bytes).is_some(),
            Open::read(bytes).is_some_and(|open| open.verify(&KEY)),
            Accept::open(bytes, &KEY).is_some(),
            Refuse::open(bytes, &KEY).is_some(),
            Reset::read(bytes).is_some(),
        ]
    }

    #[test]
    fn each_is_read_by_its_own_reader_at_its_own_length() {
        for (number, (len, datagram)) in all().iter().enumerate() {
            let bytes = datagram.as_slice();
            assert_eq!(bytes.len(), *len);
            assert_eq!(read(bytes), std::array::from_fn(|reader| reader == number), "{number}");
            assert_eq!(read(&bytes[..len - 1]), [false; 6]);
            assert_eq!(read(&[bytes, &[0]].concat()), [false; 6]);
        }
        assert_eq!(Accept::open(all()[3].1.as_slice(), &KEY), Some(accept()));
        assert_eq!(Accept::open(all()[3].1.as_slice(), &FlowKey::from_bytes([8; 32])), None);
    }

    #[test]
    fn no_bit_of_what_is_sealed_or_padded_can_be_changed() {
        let [hello, _, open, accept, refuse, _] = all();
        for (_, datagram) in [open, accept, refuse] {
            for bit in 0..datagram.as_slice().len() * 8 {
                let mut changed = datagram.as_slice().to_vec();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(read(&changed), [false; 6], "bit {bit}");
            }
        }
        for byte in 20..HELLO_BYTES {
            let mut changed = hello.1.as_slice().to_vec();
            changed[byte] = 1;
            assert_eq!(read(&changed), [false; 6], "byte {byte}");
        }
    }

    #[test]
    fn a_code_has_one_byte_and_an_unknown_one_is_a_refusal() {
        for (byte, code) in (0..).zip(RefuseCode::ALL) {
            assert_eq!((code as u8, RefuseCode::from_byte(byte)), (byte, code));
        }
        assert_eq!(RefuseCode::from_byte(6), RefuseCode::Refused);
    }
}
