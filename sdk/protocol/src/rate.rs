//! How often somebody may do something: a token bucket in eight bytes, and one for each network that datagrams come from.

use std::hash::Hasher;
use std::net::IpAddr;
use std::time::Duration;

use siphasher::sip::SipHasher13;

/// How much a bucket gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Units a second.
    pub per_second: u32,
    /// Units of a full bucket.
    pub burst: u32,
}

/// Generic cell rate algorithm: the time at which the bucket would be full again runs ahead of the clock by what was
/// taken. A new one is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    full_at_ns: u64,
}

impl Bucket {
    /// Takes so many units if they are there, or none. A rate of 0 gives nothing, and a clock that steps back earns
    /// nothing.
    pub fn take(&mut self, now: Duration, rate: Rate, units: u32) -> bool {
        let now_ns = nanoseconds(now);
        let Some(cost_ns) = time_of(units, rate.per_second) else { return false };
        let full_at_ns = self.full_at_ns.max(now_ns).saturating_add(cost_ns);
        let fits = time_of(rate.burst, rate.per_second).is_some_and(|burst_ns| full_at_ns - now_ns <= burst_ns);
        if fits {
            self.full_at_ns = full_at_ns;
        }
        fits
    }

    fn is_full(self, now: Duration) -> bool {
        self.full_at_ns <= nanoseconds(now)
    }
}

/// In which time a rate earns so many units, in nanoseconds.
fn time_of(units: u32, per_second: u32) -> Option<u64> {
    (u64::from(units) * 1_000_000_000).checked_div(u64::from(per_second))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What one site, or one host, usually has: the /24 of an IPv4 address, the /56 of an IPv6 one. An IPv4 address in
/// IPv6 form is that IPv4 address. No network is special, the private ones and loopback included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(u128);

impl Network {
    /// The network of this address.
    #[must_use]
    pub fn of(source: IpAddr) -> Self {
        Self(match source.to_canonical() {
            IpAddr::V4(ip) => u128::from(ip.to_bits() >> 8) | 1 << 127,
            IpAddr::V6(ip) => ip.to_bits() >> 72,
        })
    }
}

/// A bucket for each network, in a table of fixed size. A network that meets another one in its place takes the place
/// over when that owes nothing, and shares it otherwise: nobody gets more for that, and nobody can aim at a place, since
/// the hash is keyed.
pub struct NetworkBuckets {
    key: [u8; 16],
    rate: Rate,
    places: Box<[(u64, Bucket)]>,
}

impl NetworkBuckets {
    /// The key is random. There is at least one place; each takes 16 bytes.
    #[must_use]
    pub fn new(key: [u8; 16], rate: Rate, places: usize) -> Self {
        Self { key, rate, places: vec![(0, Bucket::default()); places.max(1)].into_boxed_slice() }
    }

    /// Takes one unit of the bucket of this network, if there is one.
    pub fn take(&mut self, now: Duration, from: Network) -> bool {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write(&from.0.to_le_bytes());
        let hash = hasher.finish();
        let place = usize::try_from(hash % self.places.len() as u64).expect("less than the number of places");
        let (owner, bucket) = &mut self.places[place];
        if *owner != hash && bucket.is_full(now) {
            *owner = hash;
        }
        bucket.take(now, self.rate, 1)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const RATE: Rate = Rate { per_second: 1_000, burst: 50 };

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = Bucket::default();
        let taken =
            |bucket: &mut Bucket, ms| (0..10_000).filter(|_| bucket.take(Duration::from_millis(ms), RATE, 1)).count();
        assert_eq!(taken(&mut bucket, 1_000), 50);
        assert!(!bucket.is_full(Duration::from_millis(1_049)) && bucket.is_full(Duration::from_millis(1_050)));
        assert_eq!(taken(&mut bucket, 1_010), 10);
        assert_eq!(taken(&mut bucket, 3_600_000), 50);
        assert_eq!(taken(&mut bucket, 0), 0, "a clock that steps back earns nothing");
    }

    #[test]
    fn what_does_not_fit_is_not_taken_in_part() {
        let mut bucket = Bucket::default();
        assert!(!bucket.take(Duration::ZERO, RATE, 51));
        assert!(bucket.take(Duration::ZERO, RATE, 50));
        assert!(!Bucket::default().take(Duration::MAX, Rate { per_second: 0, burst: 50 }, 1), "a rate of zero");
    }

    #[test]
    fn a_network_is_a_site() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.254", true),
            ("192.0.2.1", "192.0.3.1", false),
            ("192.0.2.1", "::ffff:192.0.2.77", true),
            ("2001:db8:0:100::1", "2001:db8:0:1ff::2", true),
            ("2001:db8:0:100::1", "2001:db8:0:200::1", false),
            ("2001:db8:0:ff::1", "2001:db8:0:1ff::1", false),
            ("127.0.0.1", "127.0.1.1", false),
            ("::1", "::2", true),
            ("0.0.0.1", "::1", false),
        ] {
            let of = |text: &str| Network::of(text.parse().unwrap());
            assert_eq!(of(one) == of(other), same, "{one} and {other}");
        }
    }

    #[test]
    fn one_network_does_not_take_from_another() {
        let mut networks = NetworkBuckets::new([1; 16], RATE, 1_024);
        let now = Duration::from_secs(9);
        let of = |a, b| Network::of(IpAddr::V4(Ipv4Addr::new(10, a, b, 1)));
        assert_eq!((0..10_000).filter(|_| networks.take(now, of(1, 1))).count(), 50);
        let others = (0..100).filter(|n| networks.take(now, of(0, *n))).count();
        assert_eq!(others, 100, "with this key no other network meets it");
        let mut one_place = NetworkBuckets::new([1; 16], RATE, 0);
        assert_eq!((0..100).filter(|n| one_place.take(now, of(0, *n))).count(), 50, "all share it");
    }
}
