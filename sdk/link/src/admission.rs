//! Who may begin a handshake: bounds on all that are unfinished, and on those that come from one network.
//!
//! ```text
//!   first packet ──► all full? ──► network full? ──► address not proven, and too many such? ──► permit
//!                      │ refuse        │ refuse               │ Retry: prove it first           │
//!                                                                                               ▼
//!                                          given back when the peer is introduced, refused or gone
//! ```

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use playgate_protocol::rate::Network;

use crate::limits;

/// How many handshakes may be unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) all: usize,
    /// Of them from addresses that proved nothing.
    pub(crate) unproven: usize,
    /// Of them from one network.
    pub(crate) network: usize,
    /// From one network, from addresses that proved nothing: who forges addresses of a network cannot fill it.
    pub(crate) network_unproven: usize,
}

impl Bounds {
    /// The parts of `all` that [`limits`] gives.
    pub(crate) fn of(all: usize) -> Self {
        let network = all.div_ceil(limits::NETWORK_SHARE);
        let unproven = |of: usize| of.div_ceil(limits::UNPROVEN_SHARE);
        Self { all, unproven: unproven(all), network, network_unproven: unproven(network) }
    }
}

/// What becomes of a first packet.
#[derive(Debug)]
pub(crate) enum Verdict {
    Admitted(Permit),
    /// The sender must show that it receives at its address.
    Retry,
    Full,
    NetworkFull,
}

/// The unfinished handshakes of one listener.
#[derive(Debug)]
pub(crate) struct Admission {
    bounds: Bounds,
    /// Held for a few instructions, never across an await.
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: Count,
    /// Only networks with something unfinished, so never more entries than `Bounds::all`.
    networks: HashMap<Network, Count>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    all: usize,
    unproven: usize,
}

impl Count {
    fn add(&mut self, proven: bool) {
        self.all += 1;
        self.unproven += usize::from(!proven);
    }

    fn remove(&mut self, proven: bool) {
        self.all -= 1;
        self.unproven -= usize::from(!proven);
    }
}

impl Admission {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, counts: Mutex::default() })
    }

    pub(crate) fn judge(self: &Arc<Self>, source: IpAddr, proven: bool) -> Verdict {
        let network = Network::of(source);
        let mut counts = self.counts();
        let here = counts.networks.get(&network).copied().unwrap_or_default();
        if counts.total.all >= self.bounds.all {
            return Verdict::Full;
        }
        if here.all >= self.bounds.network {
            return Verdict::NetworkFull;
        }
        let crowded = counts.total.unproven >= self.bounds.unproven || here.unproven >= self.bounds.network_unproven;
        if !proven && crowded {
            return Verdict::Retry;
        }
        counts.total.add(proven);
        counts.networks.entry(network).or_default().add(proven);
        drop(counts);
        Verdict::Admitted(Permit { admission: Arc::clone(self), network, proven })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().expect("nothing panics while it holds the counts")
    }

    #[cfg(test)]
    pub(crate) fn unfinished(&self) -> usize {
        self.counts().total.all
    }
}

/// One unfinished handshake. Dropped, it makes room for another.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    network: Network,
    proven: bool,
}

impl Permit {
    /// The handshake itself is done, which proves the address too.
    pub(crate) fn address_is_proven(&mut self) {
        if !std::mem::replace(&mut self.proven, true) {
            let mut counts = self.admission.counts();
            counts.total.unproven -= 1;
            counts.networks.entry(self.network).and_modify(|count| count.unproven -= 1);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        counts.total.remove(self.proven);
        if let Some(count) = counts.networks.get_mut(&self.network) {
            count.remove(self.proven);
            if count.all == 0 {
                counts.networks.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { all: 8, unproven: 4, network: 4, network_unproven: 2 };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn said(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Admitted(_) => "admitted",
            Verdict::Retry => "retry",
            Verdict::Full => "full",
            Verdict::NetworkFull => "network full",
        }
    }

    /// Each row is one more attempt while all the earlier ones are unfinished.
    #[test]
    fn both_sides_of_every_bound() {
        let admission = Admission::new(BOUNDS);
        let mut held = Vec::new();
        for (row, (source, proven, expected)) in [
            ("192.0.2.1", false, "admitted"),
            ("192.0.2.2", false, "admitted"),
            ("192.0.2.3", false, "retry"), // the network's share without proof
            ("192.0.2.3", true, "admitted"),
            ("192.0.2.4", true, "admitted"),
            ("192.0.2.5", true, "network full"),
            ("::ffff:192.0.2.6", false, "network full"), // refused rather than sent for a proof that is of no use
            ("198.51.100.1", false, "admitted"),
            ("198.51.100.2", false, "admitted"),
            ("203.0.113.1", false, "retry"), // everybody's share without proof
            ("203.0.113.1", true, "admitted"),
            ("2001:db8::1", true, "admitted"),
            ("2001:db8:1::1", true, "full"),
            ("192.0.2.7", true, "full"),
        ]
        .into_iter()
        .enumerate()
        {
            let verdict = admission.judge(ip(source), proven);
            assert_eq!(said(&verdict), expected, "row {row}: {source}");
            held.push(verdict);
        }
        drop(held);
        let counts = admission.counts();
        assert_eq!((counts.total, counts.networks.len()), (Count::default(), 0));
    }

    #[test]
    fn a_finished_handshake_proves_its_address() {
        let admission = Admission::new(BOUNDS);
        let permits = ["192.0.2.1", "192.0.2.2"].map(|source| match admission.judge(ip(source), false) {
            Verdict::Admitted(permit) => permit,
            other => panic!("{}", said(&other)),
        });
        assert_eq!(said(&admission.judge(ip("192.0.2.3"), false)), "retry");
        let [mut first, _second] = permits;
        for _ in 0..2 {
            first.address_is_proven();
        }
        assert_eq!(said(&admission.judge(ip("192.0.2.3"), false)), "admitted");
        drop(first);
        assert_eq!(admission.counts().total, Count { all: 1, unproven: 1 });
    }

    /// Attempts from as many networks as there are addresses leave no trace once they are over.
    #[test]
    fn the_table_is_as_small_as_what_is_unfinished() {
        let admission = Admission::new(BOUNDS);
        let mut held = std::collections::VecDeque::new();
        for number in 0..10_000_u32 {
            held.push_back(
                admission.judge(IpAddr::from(number.to_be_bytes().map(|byte| byte ^ 0x5a)), number % 2 == 0),
            );
            held.push_back(admission.judge(IpAddr::from((u128::from(number) << 80).to_be_bytes()), true));
            while held.len() > 6 {
                held.pop_front();
            }
            assert!(admission.counts().networks.len() <= BOUNDS.all);
        }
        drop(held);
        assert_eq!(admission.counts().networks.len(), 0);
    }

    #[test]
    fn even_the_smallest_listener_admits() {
        for all in 1..200 {
            let bounds = Bounds::of(all);
            assert!(bounds.network_unproven >= 1 && bounds.network_unproven <= bounds.network, "{bounds:?}");
            assert!(bounds.network <= bounds.all && bounds.unproven <= bounds.all, "{bounds:?}");
        }
    }
}
