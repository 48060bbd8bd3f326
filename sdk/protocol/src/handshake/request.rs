//! What a player sends: HELLO and PROOF.

use std::fmt;

use playgate_token::ProofKey;

use super::datagram::{Fields, Kind, Mac, Nonce, RequestBuf, domain, sealing};
use super::{HELLO_OVERHEAD_BYTES, PROOF_OVERHEAD_BYTES, SEAL_BYTES, TOKEN_BYTES_MIN};
use crate::limits::TOKEN_BYTES_MAX;

/// `PG1H`, nonce, token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hello<'d> {
    /// The client's.
    pub nonce: Nonce,
    /// The player-session token.
    pub token: &'d [u8],
}

impl<'d> Hello<'d> {
    /// Reads a HELLO. Nothing but its length is checked of the token.
    #[must_use]
    pub fn read(datagram: &'d [u8]) -> Option<Self> {
        let mut fields = Fields::of(Kind::Hello, datagram)?;
        let nonce = fields.take()?;
        let token = token_checked(fields.0)?;
        Some(Self { nonce, token })
    }

    /// Writes it. The token has 161 to 576 bytes.
    pub fn write(&self, out: &mut RequestBuf) {
        out.write(&[&Kind::Hello.magic(), &self.nonce, self.token]);
    }
}

/// Shows no part of the token.
impl fmt::Debug for Hello<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hello(token of {} bytes)", self.token.len())
    }
}

/// `PG1P`, nonce, token, server time, MAC, HMAC-SHA256 under the proof key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Proof<'d> {
    /// As in the HELLO.
    pub nonce: Nonce,
    /// As in the HELLO.
    pub token: &'d [u8],
    /// As in the CHALLENGE.
    pub server_time_us: u64,
    /// As in the CHALLENGE.
    pub mac: Mac,
    sealed: &'d [u8],
    seal: &'d [u8; SEAL_BYTES],
}

impl<'d> Proof<'d> {
    /// Reads a PROOF. What it claims is true only if [`verify`](Self::verify) says so.
    #[must_use]
    pub fn read(datagram: &'d [u8]) -> Option<Self> {
        let (sealed, seal) = datagram.split_last_chunk()?;
        let mut fields = Fields::of(Kind::Proof, sealed)?;
        let nonce = fields.take()?;
        let mac = fields.take_last()?;
        let server_time_us = u64::from_le_bytes(fields.take_last()?);
        let token = token_checked(fields.0)?;
        Some(Self { nonce, token, server_time_us, mac, sealed, seal })
    }

    /// Whether the sender holds the holder key of the token. Compares in constant time.
    #[must_use]
    pub fn verify(&self, key: &ProofKey) -> bool {
        sealing(domain::PROOF, key.as_bytes(), self.sealed).matches(self.seal)
    }
}

/// Shows no part of the token.
impl fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proof(token of {} bytes, server time {} us)", self.token.len(), self.server_time_us)
    }
}

fn token_checked(token: &[u8]) -> Option<&[u8]> {
    (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&token.len()).then_some(token)
}

const _: () = assert!(HELLO_OVERHEAD_BYTES == 20 && PROOF_OVERHEAD_BYTES == 76);

#[cfg(test)]
mod tests {
    use super::super::reply::Challenge;
    use super::*;

    #[test]
    fn what_was_written_is_read_at_every_length_of_a_token_and_at_no_other() {
        let bytes = [7; TOKEN_BYTES_MAX + 1];
        let key = ProofKey::from_bytes([1; 32]);
        let challenge = Challenge { nonce: [2; 16], server_time_us: 3, mac: [4; 16] };
        for len in 0..=TOKEN_BYTES_MAX + 1 {
            let token = &bytes[..len];
            let hello = [b"PG1H".as_slice(), &[2; 16], token].concat();
            let good = (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&len);
            assert_eq!(Hello::read(&hello), good.then_some(Hello { nonce: [2; 16], token }), "{len}");
            if good {
                let mut written = RequestBuf::new();
                Hello { nonce: [2; 16], token }.write(&mut written);
                assert_eq!(written.as_slice(), hello);
                challenge.answer(token, &key, &mut written);
                let proof = Proof::read(written.as_slice()).unwrap();
                assert_eq!((proof.nonce, proof.token, proof.server_time_us, proof.mac), ([2; 16], token, 3, [4; 16]));
                assert!(proof.verify(&key) && !proof.verify(&ProofKey::from_bytes([9; 32])));
            }
            let proof = [b"PG1P".as_slice(), &[2; 16], token, &[0; 56]].concat();
            assert_eq!(Proof::read(&proof).is_some(), good, "{len}");
        }
    }
}
