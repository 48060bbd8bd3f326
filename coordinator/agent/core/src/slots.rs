//! Who is launched next, and when.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use playgate_protocol::ServerProcessId;

use crate::limits::{LAUNCH_JITTER_MAX, LAUNCHES_IN_FLIGHT_MAX};

/// The launches that wait, and the few that are under way.
#[derive(Debug)]
pub(crate) struct Slots {
    waiting: VecDeque<ServerProcessId>,
    in_flight: BTreeSet<ServerProcessId>,
    /// Not before this.
    next_at: Duration,
    random: u64,
}

impl Slots {
    pub(crate) fn new(seed: u64) -> Self {
        Self { waiting: VecDeque::new(), in_flight: BTreeSet::new(), next_at: Duration::ZERO, random: seed }
    }

    pub(crate) fn enqueue(&mut self, process: ServerProcessId) {
        self.waiting.push_back(process);
    }

    /// Gives a slot to the one that waits longest, if it is time.
    pub(crate) fn take(&mut self, now: Duration) -> Option<ServerProcessId> {
        if self.next_at().is_none_or(|at| at > now) {
            return None;
        }
        let process = self.waiting.pop_front()?;
        self.in_flight.insert(process);
        self.next_at = now + self.jitter();
        Some(process)
    }

    /// When a launch may begin; `None` while none waits or no slot is free.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        let may = !self.waiting.is_empty() && self.in_flight.len() < LAUNCHES_IN_FLIGHT_MAX;
        may.then_some(self.next_at)
    }

    /// It runs, failed or is not wanted any more.
    pub(crate) fn release(&mut self, process: ServerProcessId) {
        if !self.in_flight.remove(&process) {
            self.waiting.retain(|waiting| *waiting != process);
        }
    }

    pub(crate) fn none_in_flight(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// `SplitMix64` (Steele, Lea and Flood, 2014).
    fn jitter(&mut self) -> Duration {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let nanos_max = u64::try_from(LAUNCH_JITTER_MAX.as_nanos()).expect("a short time");
        Duration::from_nanos((z ^ (z >> 31)) % (nanos_max + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::process;

    #[test]
    fn launches_are_few_at_a_time_in_order_and_apart() {
        let mut slots = Slots::new(7);
        for n in 0..6 {
            slots.enqueue(process(n));
        }
        let mut now = Duration::ZERO;
        for n in 0..4 {
            now = slots.next_at().unwrap();
            assert_eq!(slots.take(now), Some(process(n)));
            assert!(slots.next_at().is_none_or(|at| at <= now + LAUNCH_JITTER_MAX));
        }
        assert_eq!((slots.next_at(), slots.take(now + Duration::from_secs(1))), (None, None));
        slots.release(process(4));
        slots.release(process(2));
        now = slots.next_at().unwrap();
        assert_eq!(slots.take(now), Some(process(5)));
        for n in [0, 1, 3, 5] {
            slots.release(process(n));
        }
        assert!(slots.none_in_flight() && slots.next_at().is_none());
    }

    /// The reference values of SplitMix64 for the seed 1234567, each brought below the bound.
    #[test]
    fn the_pauses_between_launches_are_spread_over_their_bound() {
        let mut slots = Slots::new(1_234_567);
        for random in [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423] {
            assert_eq!(slots.jitter(), Duration::from_nanos(random % 20_000_001));
        }
        let pauses: BTreeSet<Duration> = (0..1_000).map(|_| slots.jitter()).collect();
        assert!(pauses.len() > 990 && pauses.last().is_some_and(|pause| *pause <= LAUNCH_JITTER_MAX));
    }
}
