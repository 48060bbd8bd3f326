//! What a server sends: CHALLENGE, ACCEPT and REFUSE.

use std::fmt;

use playgate_token::{ProofKey, ServerKey};

use super::datagram::{Fields, Kind, Mac, Nonce, ReplyBuf, RequestBuf, domain, open};
use super::{ACCEPT_BYTES, CHALLENGE_BYTES, REFUSE_BYTES};

/// `PG1C`, nonce, server time, MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge {
    /// As in the HELLO.
    pub nonce: Nonce,
    /// When it was made, in microseconds of a clock that only the server knows.
    pub server_time_us: u64,
    /// The server's, over all it wants to recognise in the PROOF.
    pub mac: Mac,
}

impl Challenge {
    /// Reads a CHALLENGE. It is not authentic: who sees a HELLO can forge one.
    #[must_use]
    pub fn read(datagram: &[u8]) -> Option<Self> {
        if datagram.len() != CHALLENGE_BYTES {
            return None;
        }
        let mut fields = Fields::of(Kind::Challenge, datagram)?;
        let (nonce, time, mac) = (fields.take()?, fields.take()?, fields.take()?);
        Some(Self { nonce, server_time_us: u64::from_le_bytes(time), mac })
    }

    /// Writes it.
    pub fn write(&self, out: &mut ReplyBuf) {
        out.write(&[&Kind::Challenge.magic(), &self.nonce, &self.server_time_us.to_le_bytes(), &self.mac]);
    }

    /// Writes the PROOF that answers it. The token has 161 to 576 bytes.
    pub fn answer(&self, token: &[u8], key: &ProofKey, out: &mut RequestBuf) {
        out.write(&[&Kind::Proof.magic(), &self.nonce, token, &self.server_time_us.to_le_bytes(), &self.mac]);
        out.seal(domain::PROOF, key.as_bytes());
    }
}

/// `PG1A`, nonce, server time, generation, HMAC-SHA256 under the server key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accept {
    /// As in the PROOF.
    pub nonce: Nonce,
    /// As in the PROOF.
    pub server_time_us: u64,
    /// 1 at the first admission, one more with every reconnect.
    pub generation: u32,
}

impl Accept {
    /// Reads an ACCEPT if it is the server's own.
    #[must_use]
    pub fn open(datagram: &[u8], key: &ServerKey) -> Option<Self> {
        let mut fields = open(Kind::Accept, domain::ACCEPT, ACCEPT_BYTES, datagram, key)?;
        let (nonce, time, generation) = (fields.take()?, fields.take()?, fields.take()?);
        Some(Self { nonce, server_time_us: u64::from_le_bytes(time), generation: u32::from_le_bytes(generation) })
    }

    /// Writes it.
    pub fn seal(&self, key: &ServerKey, out: &mut ReplyBuf) {
        let (time, generation) = (self.server_time_us.to_le_bytes(), self.generation.to_le_bytes());
        out.write(&[&Kind::Accept.magic(), &self.nonce, &time, &generation]);
        out.seal(domain::ACCEPT, key.as_bytes());
    }
}

/// `PG1R`, nonce, server time, code, HMAC-SHA256 under the server key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refuse {
    /// As in the PROOF.
    pub nonce: Nonce,
    /// As in the PROOF.
    pub server_time_us: u64,
    /// Why.
    pub code: RefuseCode,
}

impl Refuse {
    /// Reads a REFUSE if it is the server's own.
    #[must_use]
    pub fn open(datagram: &[u8], key: &ServerKey) -> Option<Self> {
        let mut fields = open(Kind::Refuse, domain::REFUSE, REFUSE_BYTES, datagram, key)?;
        let (nonce, time, [code]) = (fields.take()?, fields.take()?, fields.take()?);
        Some(Self { nonce, server_time_us: u64::from_le_bytes(time), code: RefuseCode::from_byte(code) })
    }

    /// Writes it.
    pub fn seal(&self, key: &ServerKey, out: &mut ReplyBuf) {
        let time = self.server_time_us.to_le_bytes();
        out.write(&[&Kind::Refuse.magic(), &self.nonce, &time, &[self.code.to_byte()]]);
        out.seal(domain::REFUSE, key.as_bytes());
    }
}

/// What a refused player is told: no more than [`RefuseCode::Refused`], unless the fleet tells reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefuseCode {
    /// No reason is given.
    Refused,
    /// The ticket was not used in time.
    Expired,
    /// The player session was revoked: taken back, kicked or banned.
    Revoked,
    /// The player has left, or was absent for too long.
    Over,
    /// As many players are in as the game session admits.
    Full,
    /// The game session is over.
    SessionOver,
}

impl RefuseCode {
    /// Every code: `ALL[code.to_byte()] == code`.
    pub const ALL: [Self; 6] = [Self::Refused, Self::Expired, Self::Revoked, Self::Over, Self::Full, Self::SessionOver];

    /// The code as it is sent.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self as u8
    }

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
            Self::Over => "over",
            Self::Full => "full",
            Self::SessionOver => "session_over",
        }
    }
}

impl fmt::Display for RefuseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

const _: () = assert!(CHALLENGE_BYTES == 44 && ACCEPT_BYTES == 64 && REFUSE_BYTES == 61);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_longer_or_shorter() {
        let key = ServerKey::from_bytes([1; 32]);
        let (nonce, server_time_us) = ([2; 16], u64::MAX - 1);
        let challenge = Challenge { nonce, server_time_us, mac: [3; 16] };
        let accept = Accept { nonce, server_time_us, generation: 0x0102_0304 };
        let refuse = Refuse { nonce, server_time_us, code: RefuseCode::Over };
        let mut datagrams = [ReplyBuf::new(), ReplyBuf::new(), ReplyBuf::new()];
        challenge.write(&mut datagrams[0]);
        accept.seal(&key, &mut datagrams[1]);
        refuse.seal(&key, &mut datagrams[2]);
        for datagram in &datagrams {
            let read = |bytes: &[u8]| (Challenge::read(bytes), Accept::open(bytes, &key), Refuse::open(bytes, &key));
            let expected = match Kind::of(datagram.as_slice()) {
                Some(Kind::Challenge) => (Some(challenge), None, None),
                Some(Kind::Accept) => (None, Some(accept), None),
                _ => (None, None, Some(refuse)),
            };
            assert_eq!(read(datagram.as_slice()), expected);
            assert_eq!(read(&datagram.as_slice()[..datagram.as_slice().len() - 1]), (None, None, None));
            assert_eq!(read(&[datagram.as_slice(), &[0]].concat()), (None, None, None));
        }
    }

    #[test]
    fn a_code_has_one_byte_and_an_unknown_one_is_a_refusal() {
        for (byte, code) in (0..).zip(RefuseCode::ALL) {
            assert_eq!((code.to_byte(), RefuseCode::from_byte(byte)), (byte, code));
        }
        assert_eq!(RefuseCode::from_byte(6), RefuseCode::Refused);
        assert_eq!(RefuseCode::from_byte(255), RefuseCode::Refused);
    }
}
