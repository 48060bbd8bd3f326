//! Challenges without memory: the server knows its own by their MAC.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use playgate_protocol::handshake::{Challenge, Mac, Nonce, Proof};
use ring::hmac;
use zeroize::Zeroizing;

use crate::RefuseReason;
use crate::limits::{CHALLENGE_LIFE_US, CHALLENGE_SECRET_US};

/// Makes and checks challenges. The server time in them is the local clock, which no message can move: a coordinator
/// that corrects the time does not make players start over. It counts microseconds, so that whoever reconnects at once
/// over the shortest of paths is later than before.
pub(crate) struct Challenges {
    seed: Zeroizing<[u8; 32]>,
    /// The secrets of this period and the one before, each in the place of its number's last bit.
    secrets: [Option<(u64, hmac::Key)>; 2],
}

impl Challenges {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed: Zeroizing::new(seed), secrets: [None, None] }
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
        // No branch depends on where the two differ.
        let difference = u128::from_le_bytes(mac) ^ u128::from_le_bytes(proof.mac);
        if std::hint::black_box(difference) == 0 { Ok(()) } else { Err(RefuseReason::MacWrong) }
    }

    fn mac(&mut self, from: SocketAddr, server_time_us: u64, nonce: &Nonce, token_hash: &[u8; 32]) -> Mac {
        let mut context = hmac::Context::with_key(self.secret(server_time_us / CHALLENGE_SECRET_US));
        let ip = match from.ip().to_canonical() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        context.update(&ip.octets());
        context.update(&from.port().to_le_bytes());
        context.update(&server_time_us.to_le_bytes());
        context.update(nonce);
        context.update(token_hash);
        *context.sign().as_ref().first_chunk().expect("HMAC-SHA256 has 32 bytes")
    }

    /// The secret of a period follows from the seed, so rotation needs no timer.
    fn secret(&mut self, period: u64) -> &hmac::Key {
        let place = &mut self.secrets[usize::from(period % 2 == 1)];
        if place.as_ref().is_none_or(|(of, _)| *of != period) {
            let seed = hmac::Key::new(hmac::HMAC_SHA256, &*self.seed);
            let secret = hmac::sign(&seed, &period.to_le_bytes());
            *place = Some((period, hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref())));
        }
        &place.as_ref().expect("filled above").1
    }
}

fn local_us(now: Duration) -> u64 {
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_of_a_period_is_the_same_for_whoever_has_lived_through_the_ones_before() {
        let from = SocketAddr::from(([192, 0, 2, 1], 1));
        let mut old = Challenges::new([1; 32]);
        let mut macs = Vec::new();
        for period in [0, 1, 2, 1, 7] {
            let now = Duration::from_micros(period * CHALLENGE_SECRET_US);
            let made = old.make(now, from, [2; 16], &[3; 32]);
            assert_eq!(made, Challenges::new([1; 32]).make(now, from, [2; 16], &[3; 32]), "{period}");
            assert_ne!(made, Challenges::new([4; 32]).make(now, from, [2; 16], &[3; 32]), "{period}");
            macs.push(made.mac);
        }
        assert_eq!(macs[1], macs[3]);
        assert!(macs[0] != macs[1] && macs[1] != macs[2]);
    }
}
