//! How much handshake work one source prefix may cause: /24 of IPv4, /56 of IPv6.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use siphasher::sip::SipHasher13;

use crate::bucket::{Bucket, Rate};
use crate::limits::{OPENS_PER_PREFIX_BURST, OPENS_PER_PREFIX_PER_SECOND, PREFIXES};

const RATE: Rate = Rate { per_second: OPENS_PER_PREFIX_PER_SECOND, burst: OPENS_PER_PREFIX_BURST };

/// A table of fixed size. A prefix that meets another one in its place takes the place over when that owes nothing, and
/// shares it otherwise: nobody gets more for that, and nobody can aim at a place, since the hash is keyed.
pub(crate) struct Prefixes {
    key: [u8; 16],
    places: Box<[(u64, Bucket)]>,
}

impl Prefixes {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self { key, places: vec![(0, Bucket::default()); PREFIXES].into_boxed_slice() }
    }

    pub(crate) fn take(&mut self, now: Duration, from: SocketAddr) -> bool {
        let hash = self.hash(prefix_of(from.ip()));
        let place = usize::try_from(hash % PREFIXES as u64).expect("fewer than 2^32 places");
        let (owner, bucket) = &mut self.places[place];
        if *owner != hash && bucket.is_full(now) {
            *owner = hash;
        }
        bucket.take(now, RATE, 1)
    }

    fn hash(&self, prefix: u128) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(&prefix.to_le_bytes());
        hasher.finish()
    }
}

fn prefix_of(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u128::from(ip.to_bits() >> 8) | 1 << 127,
        IpAddr::V6(ip) => ip.to_bits() >> 72,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_24_or_a_56() {
        let of = |text: &str| prefix_of(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.255"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.9"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:0:ff::1"), of("2001:db8:0:1::9"));
        assert_ne!(of("2001:db8:0:ff::1"), of("2001:db8:0:1ff::1"));
    }

    #[test]
    fn one_prefix_does_not_take_from_another() {
        let mut prefixes = Prefixes::new([1; 16]);
        let now = Duration::from_secs(9);
        let attacker = "192.0.2.1:1".parse().unwrap();
        let taken = (0..10_000).filter(|_| prefixes.take(now, attacker)).count();
        assert_eq!(taken, OPENS_PER_PREFIX_BURST as usize);
        let others = (0..100).filter(|n| prefixes.take(now, SocketAddr::from(([10, 0, *n, 1], 1)))).count();
        assert_eq!(others, 100, "with this key no other prefix meets it");
    }
}
