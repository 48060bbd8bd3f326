//! The coordinator's time, as far as the server knows it: the local clock on top of what was last heard.
//!
//! ```text
//!   coordinator's ms ▲            ╱ heard later: goes on from there at once
//!                    │          │╱
//!                    │     ____╱    heard earlier: stands still until it is caught up
//!                    │    ╱
//!                    │   ╱ local clock
//!                    └────────────────► local time
//! ```
//! It never goes back, whatever is heard: what was over stays over. It may lag behind the coordinator by what the
//! message took, which does no harm: a reservation is freed only after the server's own floor has passed it.

use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Clock {
    /// A moment at which the coordinator's time was heard, on the local clock and on the coordinator's.
    heard: (Duration, u64),
    /// The latest time that was ever shown before that.
    high_water_ms: u64,
}

impl Clock {
    /// Nothing was heard: time begins at 0, and every token is from the future.
    pub(crate) fn new(now: Duration) -> Self {
        Self { heard: (now, 0), high_water_ms: 0 }
    }

    pub(crate) fn now_ms(&self, now: Duration) -> u64 {
        let (then, coordinator_ms) = self.heard;
        let since_ms = u64::try_from(now.saturating_sub(then).as_millis()).unwrap_or(u64::MAX);
        coordinator_ms.saturating_add(since_ms).max(self.high_water_ms)
    }

    /// The coordinator says it is `coordinator_ms` now.
    pub(crate) fn hear(&mut self, now: Duration, coordinator_ms: u64) {
        self.high_water_ms = self.now_ms(now);
        self.heard = (now, coordinator_ms);
    }

    /// The coordinator was at `coordinator_ms` at some time before now.
    pub(crate) fn at_least(&mut self, now: Duration, coordinator_ms: u64) {
        if coordinator_ms > self.now_ms(now) {
            self.hear(now, coordinator_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_jumps_forward_stands_still_and_never_goes_back() {
        let second = Duration::from_secs;
        let mut clock = Clock::new(second(100));
        assert_eq!(clock.now_ms(second(101)), 1_000);
        clock.hear(second(102), 50_000);
        assert_eq!(clock.now_ms(second(103)), 51_000);
        // Heard to be 10 s earlier: it stands still for 10 s.
        clock.hear(second(103), 41_000);
        assert_eq!(clock.now_ms(second(103)), 51_000);
        assert_eq!(clock.now_ms(second(112)), 51_000);
        assert_eq!(clock.now_ms(second(114)), 52_000);
        // A token from later moves it, one from earlier does not.
        clock.at_least(second(114), 60_000);
        clock.at_least(second(114), 30_000);
        assert_eq!(clock.now_ms(second(115)), 61_000);
        // No number overflows.
        clock.hear(second(115), u64::MAX);
        assert_eq!(clock.now_ms(Duration::MAX), u64::MAX);
        assert_eq!(clock.now_ms(Duration::ZERO), u64::MAX);
    }
}
