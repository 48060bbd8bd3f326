//! Clocks of simulated machines. The world's time is in microseconds since its beginning; no machine can read it.

use std::time::Duration;

/// Microseconds of the world.
pub type Micros = u64;
/// One millisecond.
pub const MS: Micros = 1_000;
/// One second.
pub const SECOND: Micros = 1_000_000;

/// A monotonic clock that starts anywhere and runs a little too fast or too slow.
#[derive(Debug, Clone)]
pub struct Monotonic {
    base: Micros,
    since: Micros,
    ppm: i64,
}

impl Monotonic {
    /// Shows `base` at `now`.
    #[must_use]
    pub fn new(now: Micros, base: Micros, ppm: i64) -> Self {
        Self { base, since: now, ppm }
    }

    fn elapsed(&self, now: Micros) -> Micros {
        let elapsed = i128::from(now.saturating_sub(self.since));
        let shown = elapsed * i128::from(1_000_000 + self.ppm) / 1_000_000;
        u64::try_from(shown).unwrap_or(0)
    }

    /// What it shows.
    #[must_use]
    pub fn micros(&self, now: Micros) -> Micros {
        self.base + self.elapsed(now)
    }

    /// What it shows, as the cores want it.
    #[must_use]
    pub fn read(&self, now: Micros) -> Duration {
        Duration::from_micros(self.micros(now))
    }

    /// The moment at which it shows `at`, or a hair later.
    #[must_use]
    pub fn when(&self, at: Duration) -> Micros {
        let at = u64::try_from(at.as_micros()).unwrap_or(u64::MAX / 4);
        let missing = i128::from(at.saturating_sub(self.base));
        let world = missing * 1_000_000 / i128::from(1_000_000 + self.ppm);
        self.since + u64::try_from(world).unwrap_or(0) + 2
    }

    /// It stood still, or was stopped with its machine, for this long.
    pub fn stand_still(&mut self, now: Micros, lost: Micros) {
        self.base = self.micros(now).saturating_sub(lost.min(self.elapsed(now)));
        self.since = now;
    }

    /// It leaps ahead, as a machine does that slept.
    pub fn leap(&mut self, now: Micros, by: Micros) {
        self.base = self.micros(now) + by;
        self.since = now;
    }
}

/// The coordinator's time: the later of wall clock and high-water mark at the start; from then on the boot-time clock,
/// leaning towards the wall clock by half a millisecond a second. The rule of `coordinator/src/clock.rs`.
#[derive(Debug, Clone)]
pub struct CoordinatorClock {
    now_us: i128,
    boot_us: i128,
}

impl CoordinatorClock {
    /// At the start of the coordinator.
    #[must_use]
    pub fn start(wall_ms: u64, boot_us: Micros, high_water_ms: u64) -> Self {
        let floor_ms = if high_water_ms == 0 { 0 } else { high_water_ms + 1 };
        Self { now_us: i128::from(wall_ms.max(floor_ms)) * 1_000, boot_us: boot_us.into() }
    }

    /// Goes on to these readings and says what time it is.
    pub fn advance(&mut self, wall_ms: u64, boot_us: Micros) -> u64 {
        let elapsed = (i128::from(boot_us) - self.boot_us).max(0);
        self.boot_us += elapsed;
        let lean_max = elapsed / 2_000;
        let unleaned = self.now_us + elapsed;
        let lean = (i128::from(wall_ms) * 1_000 - unleaned).clamp(-lean_max, lean_max);
        self.now_us = (unleaned + lean).max(self.now_us);
        self.now_ms()
    }

    /// As of the last readings.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.now_us / 1_000).unwrap_or(u64::MAX)
    }
}
