//! MACs by which a server knows an address again of which it kept nothing: the challenges of a gate, the cookies of a
//! relay.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ring::hmac;
use zeroize::Zeroizing;

use crate::handshake::Mac;

/// Makes MACs over address, time and whatever else is to be recognised, under a secret that changes with each period.
/// The secret of a period follows from the seed, so rotation needs no timer, and whoever has the seed makes the same.
pub struct AddressMacs {
    seed: Zeroizing<[u8; 32]>,
    period_us: u64,
    /// The secrets of this period and the one before, each in the place of its number's last bit.
    secrets: [Option<(u64, hmac::Key)>; 2],
}

impl AddressMacs {
    /// The seed is random. The period is at least a microsecond, and longer than a MAC is taken for.
    #[must_use]
    pub fn new(seed: [u8; 32], period: Duration) -> Self {
        let period_us = u64::try_from(period.as_micros()).unwrap_or(u64::MAX).max(1);
        Self { seed: Zeroizing::new(seed), period_us, secrets: [None, None] }
    }

    /// The MAC of this address at this time.
    pub fn mac(&mut self, from: SocketAddr, time_us: u64, parts: &[&[u8]]) -> Mac {
        let mut context = hmac::Context::with_key(self.secret(time_us / self.period_us));
        context.update(&address_bytes(from));
        context.update(&time_us.to_le_bytes());
        parts.iter().for_each(|part| context.update(part));
        *context.sign().as_ref().first_chunk().expect("HMAC-SHA256 has 32 bytes")
    }

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

/// Whether two MACs are the same; no branch depends on where they differ.
#[must_use]
pub fn is_same_mac(one: &Mac, other: &Mac) -> bool {
    std::hint::black_box(u128::from_le_bytes(*one) ^ u128::from_le_bytes(*other)) == 0
}

/// An address as bytes. An IPv4 address is the same on a socket for both families.
#[must_use]
pub fn address_bytes(address: SocketAddr) -> [u8; 18] {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut bytes = [0; 18];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&address.port().to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_is_of_its_address_time_parts_and_seed() {
        const MINUTE: Duration = Duration::from_secs(60);
        let from: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let mac = |seed, from, time, part: &[u8]| AddressMacs::new([seed; 32], MINUTE).mac(from, time, &[part]);
        let ours = mac(1, from, 5, b"nonce");
        assert!(is_same_mac(&ours, &mac(1, "[::ffff:192.0.2.1]:1".parse().unwrap(), 5, b"nonce")));
        let others = [
            mac(2, from, 5, b"nonce"),
            mac(1, "192.0.2.1:2".parse().unwrap(), 5, b"nonce"),
            mac(1, "192.0.2.2:1".parse().unwrap(), 5, b"nonce"),
            mac(1, "[2001:db8::1]:1".parse().unwrap(), 5, b"nonce"),
            mac(1, from, 6, b"nonce"),
            mac(1, from, 5, b"other"),
        ];
        assert!(others.iter().all(|other| !is_same_mac(&ours, other)));
    }

    #[test]
    fn the_secret_of_a_period_is_the_same_for_whoever_has_lived_through_the_ones_before() {
        let from = SocketAddr::from(([192, 0, 2, 1], 1));
        let mut old = AddressMacs::new([1; 32], Duration::from_micros(10));
        let mut macs = Vec::new();
        for period in [0, 1, 2, 1, 7] {
            let mac = old.mac(from, period * 10, &[]);
            assert_eq!(
                mac,
                AddressMacs::new([1; 32], Duration::from_micros(10)).mac(from, period * 10, &[]),
                "{period}"
            );
            macs.push(mac);
        }
        assert_eq!(macs[1], macs[3]);
        assert!(macs[0] != macs[1] && macs[1] != macs[2]);
        // The same time in another period: another secret.
        assert_ne!(macs[1], AddressMacs::new([1; 32], Duration::from_micros(5)).mac(from, 10, &[]));
    }
}
