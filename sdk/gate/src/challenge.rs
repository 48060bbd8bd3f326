//! Challenges without memory: the server knows its own by their MAC.

use std::net::SocketAddr;
use std::time::Duration;

use playgate_protocol::address_mac::{AddressMacs, is_same_mac};
use playgate_protocol::handshake::{Challenge, Mac, Nonce, Proof};

use crate::RefuseReason;
use crate::limits::{CHALLENGE_LIFE_US, CHALLENGE_SECRET_US};

/// Makes and checks challenges. The server time in them is the local clock, which no message can move: a coordinator
/// that corrects the time does not make players start over. It counts microseconds, so that whoever reconnects at once
/// over the shortest of paths is later than before.
pub(crate) struct Challenges {
    macs: AddressMacs,
}

impl Challenges {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { macs: AddressMacs::new(seed, Duration::from_micros(CHALLENGE_SECRET_US)) }
    }

    pub(crate) fn make(&mut self, now: Duration, from: SocketAddr, nonce: Nonce, token_hash: &[u8; 32]) -> Challenge {
        let server_time_us = local_us(now);
        let mac = self.mac(from, server_time_us, &nonce, token_hash);
        Challenge { nonce, server_time_us, mac }
    }

    pub(crate) fn check(
        &mut self,
        now: Duration,
        from: SocketAddr,
        proof: &Proof<'_>,
        token_hash: &[u8; 32],
    ) -> Result<(), RefuseReason> {
        let age_us = local_us(now).checked_sub(proof.server_time_us);
        if age_us.is_none_or(|age_us| age_us > CHALLENGE_LIFE_US) {
            return Err(RefuseReason::MacExpired);
        }
        let mac = self.mac(from, proof.server_time_us, &proof.nonce, token_hash);
        if is_same_mac(&mac, &proof.mac) { Ok(()) } else { Err(RefuseReason::MacWrong) }
    }

    fn mac(&mut self, from: SocketAddr, server_time_us: u64, nonce: &Nonce, token_hash: &[u8; 32]) -> Mac {
        self.macs.mac(from, server_time_us, &[nonce, token_hash])
    }
}

fn local_us(now: Duration) -> u64 {
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
