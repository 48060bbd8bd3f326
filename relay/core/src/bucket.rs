//! A token bucket in eight bytes: the time at which it would be full again.

use std::time::Duration;

/// How much a bucket gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) per_second: u32,
    /// Units of a full bucket.
    pub(crate) burst: u32,
}

/// Generic cell rate algorithm: `full_at` runs ahead of the clock by what was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Bucket {
    full_at_ns: u64,
}

impl Bucket {
    /// Takes so many units if they are there, or none. A rate of 0 gives nothing.
    pub(crate) fn take(&mut self, now: Duration, rate: Rate, units: u32) -> bool {
        let now_ns = nanoseconds(now);
        let Some(cost_ns) = time_of(units, rate.per_second) else { return false };
        let full_at_ns = self.full_at_ns.max(now_ns).saturating_add(cost_ns);
        let fits = time_of(rate.burst, rate.per_second).is_some_and(|burst_ns| full_at_ns - now_ns <= burst_ns);
        if fits {
            self.full_at_ns = full_at_ns;
        }
        fits
    }

    /// Whether nothing is owed.
    pub(crate) fn is_full(self, now: Duration) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let rate = Rate { per_second: 1_000, burst: 50 };
        let mut bucket = Bucket::default();
        let taken =
            |bucket: &mut Bucket, ms| (0..10_000).filter(|_| bucket.take(Duration::from_millis(ms), rate, 1)).count();
        assert_eq!(taken(&mut bucket, 1_000), 50);
        assert!(!bucket.is_full(Duration::from_millis(1_049)) && bucket.is_full(Duration::from_millis(1_050)));
        assert_eq!(taken(&mut bucket, 1_010), 10);
        assert_eq!(taken(&mut bucket, 3_600_000), 50);
        assert_eq!(taken(&mut bucket, 0), 0, "a clock that steps back earns nothing");
    }

    #[test]
    fn what_does_not_fit_is_not_taken_in_part() {
        let rate = Rate { per_second: 1_000, burst: 50 };
        let mut bucket = Bucket::default();
        assert!(!bucket.take(Duration::ZERO, rate, 51));
        assert!(bucket.take(Duration::ZERO, rate, 50));
        assert!(!Bucket::default().take(Duration::MAX, Rate { per_second: 0, burst: 50 }, 1), "a rate of zero");
    }
}
