//! How long to wait before dialling again.

use std::time::Duration;

/// Exponential backoff with full jitter: each wait is drawn evenly from zero to a ceiling that starts at `min` and
/// doubles up to `max`. Peers that lost the same coordinator at the same moment come back spread out.
///
/// A pure value: the same seed gives the same waits. The seed need not be secret, only different on each host.
///
/// ```
/// use std::time::Duration;
/// use playgate_link::Backoff;
/// let mut backoff = Backoff::new(7, Duration::from_millis(500), Duration::from_secs(15));
/// assert!(backoff.next() <= Duration::from_millis(500));
/// assert!(backoff.next() <= Duration::from_secs(1));
/// backoff.reset(); // the link is up and was welcomed
/// assert!(backoff.next() <= Duration::from_millis(500));
/// ```
#[derive(Debug, Clone)]
pub struct Backoff {
    state: u64,
    min: Duration,
    max: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// Ceilings from `min` to `max`; a `max` below `min` counts as `min`.
    #[must_use]
    pub fn new(seed: u64, min: Duration, max: Duration) -> Self {
        let max = max.max(min);
        Self { state: seed, min, max, ceiling: min }
    }

    /// The next wait.
    #[expect(clippy::should_implement_trait, reason = "waits never run out, so an Option would say something untrue")]
    pub fn next(&mut self) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = ceiling.saturating_mul(2).min(self.max);
        // The upper 53 bits are an exact fraction below one.
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
        let fraction = (self.random() >> 11) as f64 / (1_u64 << 53) as f64;
        ceiling.mul_f64(fraction)
    }

    /// Starts over from `min`, after a link that worked. The jitter goes on, it does not repeat.
    pub fn reset(&mut self) {
        self.ceiling = self.min;
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn ceilings_double_and_stay_at_the_maximum() {
        for (min, max, ceilings) in [
            (ms(100), ms(1000), [100, 200, 400, 800, 1000, 1000]),
            (ms(500), ms(500), [500; 6]),
            (ms(500), ms(1), [500; 6]),
            (ms(0), ms(1000), [0; 6]),
        ] {
            for seed in 0..200 {
                let mut backoff = Backoff::new(seed, min, max);
                for _ in 0..2 {
                    for ceiling in ceilings {
                        let wait = backoff.next();
                        assert!(wait <= ms(ceiling), "seed {seed}: {wait:?} > {ceiling} ms");
                    }
                    backoff.reset();
                }
            }
        }
    }

    #[test]
    fn waits_fill_the_whole_range_and_follow_from_the_seed() {
        let mut tenths = [0_u32; 10];
        for seed in 0..10_000 {
            let wait = Backoff::new(seed, ms(1000), ms(1000)).next();
            assert_eq!(wait, Backoff::new(seed, ms(1000), ms(1000)).next());
            tenths[usize::try_from(wait.as_millis() / 100).unwrap().min(9)] += 1;
        }
        assert!(tenths.iter().all(|count| (800..1200).contains(count)), "{tenths:?}");
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let mut backoff = Backoff::new(1, Duration::MAX / 2, Duration::MAX);
        for _ in 0..10 {
            backoff.next();
        }
    }
}
