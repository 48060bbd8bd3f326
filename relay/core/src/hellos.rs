//! Which HELLOs are answered. Their sources are not proven, so a network cannot simply be limited: whoever forges its
//! addresses would shut its players out.
//!
//! ```text
//!   HELLO ──► has its network been answered less than its share? ──yes──► first budget ──► answered
//!                            │ no, or that one is used up                     ▲
//!                            └────────────────────────────────► spare budget ─┘──► dropped
//! ```
//! A flood from one network, or in its name, leaves the first budget to all others, and its own players have their part
//! of the spare one. In a flood of many forged networks both budgets are for whoever asks.

use std::time::Duration;

use playgate_protocol::rate::{Bucket, Network, NetworkBuckets, Rate};

use crate::limits::{
    HELLO_BURST, HELLOS_PER_NETWORK_BURST, HELLOS_PER_NETWORK_PER_SECOND, HELLOS_PER_SECOND, NETWORKS,
    SPARE_HELLO_BURST, SPARE_HELLOS_PER_SECOND,
};

const SHARE: Rate = Rate { per_second: HELLOS_PER_NETWORK_PER_SECOND, burst: HELLOS_PER_NETWORK_BURST };
const FIRST: Rate = Rate { per_second: HELLOS_PER_SECOND, burst: HELLO_BURST };
const SPARE: Rate = Rate { per_second: SPARE_HELLOS_PER_SECOND, burst: SPARE_HELLO_BURST };

/// The budgets of one core.
pub(crate) struct Hellos {
    shares: NetworkBuckets,
    first: Bucket,
    spare: Bucket,
}

impl Hellos {
    /// The key is random.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self { shares: NetworkBuckets::new(key, SHARE, NETWORKS), first: Bucket::default(), spare: Bucket::default() }
    }

    /// Whether a HELLO of this network is answered.
    pub(crate) fn take(&mut self, now: Duration, from: Network) -> bool {
        (self.shares.take(now, from) && self.first.take(now, FIRST, 1)) || self.spare.take(now, SPARE, 1)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const NOW: Duration = Duration::from_secs(5);

    fn network(number: u32) -> Network {
        Network::of(Ipv4Addr::from_bits(number << 8).into())
    }

    fn answered(hellos: &mut Hellos, asked: u32, mut of: impl FnMut(u32) -> Network) -> u32 {
        (0..asked).filter(|n| hellos.take(NOW, of(*n))).count().try_into().unwrap()
    }

    #[test]
    fn a_flood_from_one_network_takes_nothing_from_the_others() {
        let mut hellos = Hellos::new([3; 16]);
        let flood = answered(&mut hellos, 1_000_000, |_| network(1));
        assert_eq!(flood, HELLOS_PER_NETWORK_BURST + SPARE_HELLO_BURST);
        assert_eq!(answered(&mut hellos, 1_000, |n| network(100 + n)), 1_000);
        assert!(!hellos.take(NOW, network(1)));
    }

    #[test]
    fn a_network_in_whose_name_somebody_floods_has_its_part_of_the_spare() {
        let mut hellos = Hellos::new([3; 16]);
        answered(&mut hellos, 1_000_000, |_| network(1));
        let later = NOW + Duration::from_millis(10);
        let earned = (0..10_000).filter(|_| hellos.take(later, network(1))).count();
        assert_eq!(earned, (HELLOS_PER_NETWORK_PER_SECOND + SPARE_HELLOS_PER_SECOND) as usize / 100);
    }

    #[test]
    fn there_is_a_bound_for_all_together() {
        let mut hellos = Hellos::new([3; 16]);
        assert_eq!(answered(&mut hellos, 1_000_000, network), HELLO_BURST + SPARE_HELLO_BURST);
    }
}
