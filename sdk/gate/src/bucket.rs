//! A token bucket that caps how many signatures are checked.

use std::time::Duration;

use crate::limits::{SIGNATURE_BURST, SIGNATURES_PER_SECOND};

const COST: Duration = Duration::from_nanos(1_000_000_000 / SIGNATURES_PER_SECOND as u64);
const FULL: Duration = Duration::from_nanos(COST.as_nanos() as u64 * SIGNATURE_BURST as u64);

/// Credit is kept as the time it took to earn it.
#[derive(Debug)]
pub(crate) struct Bucket {
    credit: Duration,
    filled_at: Duration,
}

impl Bucket {
    pub(crate) fn new(now: Duration) -> Self {
        Self { credit: FULL, filled_at: now }
    }

    /// Pays for one signature, if there is credit.
    pub(crate) fn take(&mut self, now: Duration) -> bool {
        let earned = now.saturating_sub(self.filled_at);
        self.credit = self.credit.saturating_add(earned).min(FULL);
        self.filled_at = now;
        match self.credit.checked_sub(COST) {
            Some(rest) => {
                self.credit = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = Bucket::new(Duration::ZERO);
        let taken = |bucket: &mut Bucket, now| (0..10_000).filter(|_| bucket.take(now)).count();
        assert_eq!(taken(&mut bucket, Duration::ZERO), SIGNATURE_BURST as usize);
        assert_eq!(taken(&mut bucket, Duration::from_millis(10)), 20);
        assert_eq!(taken(&mut bucket, Duration::from_secs(3_600)), SIGNATURE_BURST as usize);
        assert_eq!(taken(&mut bucket, Duration::ZERO), 0, "a clock that steps back earns nothing");
    }
}
