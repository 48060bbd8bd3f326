//! The coordinator's time: what deadlines, tokens and rows are dated with.
//!
//! It starts at the wall clock, or behind the last time that was stored, whichever is later; where only the coordinator
//! was restarted and not the machine, it starts where it would be had it never stopped. From then on it follows the
//! clock that counts from boot and goes on while the machine sleeps, and leans towards the wall clock by at most half a
//! millisecond a second. It never steps and never goes back, whatever becomes of the wall clock.
//!
//! | the wall clock … | the coordinator's time … |
//! |---|---|
//! | was stepped an hour either way before a restart | goes on as if it had not stopped: no reservation is cut short |
//! | is more than a day ahead after a restart | takes it: a clock that was never right has been set |
//! | is an hour behind the stored time at start | goes on from the stored time, 500 ppm slow, for up to 83 days |
//! | is stepped while running | goes on evenly and leans towards it |
//! | stands still because the machine sleeps | has gone on when the machine wakes |

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use playgate_protocol::TimeMs;
use rustix::time::{ClockId, clock_gettime};

/// One part in this many is the lean: 500 ppm, as much as `ntpd` slews and less than a bad quartz is off.
const LEAN_DIVISOR: i128 = 2_000;
/// A difference that is worth a warning. Servers whose clock is this far ahead get no reservations either.
const SKEW_MS: u64 = 5_000;
/// A wall clock that is further ahead than this after a restart is believed: a machine without a battery, or one whose
/// clock was set to another year, would else lag behind for as long as it runs.
const STEP_MS_MAX: u64 = 24 * 3_600_000;
/// The same difference is told again after this long.
const SKEW_REPEAT_MS: u64 = 3_600_000;
const NANOS_PER_MS: i128 = 1_000_000;

/// The coordinator's time.
#[derive(Debug)]
pub struct Clock {
    state: ClockState,
}

impl Clock {
    /// Starts behind everything that was dated before: `high_water_ms` is the latest time in the store, 0 when there is
    /// none. `since_boot_ms` is the time that the store and the clock since boot make together.
    #[must_use]
    pub fn start(high_water_ms: TimeMs, since_boot_ms: Option<TimeMs>) -> Self {
        Self { state: ClockState::start(read_clocks(), high_water_ms, since_boot_ms) }
    }

    /// The coordinator's time, never less than what it said before.
    pub fn now_ms(&mut self) -> TimeMs {
        self.state.advance(read_clocks());
        self.state.now_ms()
    }

    /// The difference to the wall clock as [`Clock::now_ms`] last saw it, when it is worth telling an operator: once
    /// when it exceeds 5 s, again when it changes its sign, and each hour.
    pub fn skew(&mut self) -> Option<Skew> {
        self.state.skew()
    }
}

/// The wall clock and the coordinator's time are more than 5 s apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skew {
    /// The wall clock is ahead by this many milliseconds.
    WallAhead(u64),
    /// The wall clock is behind by this many milliseconds.
    WallBehind(u64),
}

impl std::fmt::Display for Skew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (by_ms, side) = match self {
            Self::WallAhead(by_ms) => (by_ms, "ahead of"),
            Self::WallBehind(by_ms) => (by_ms, "behind"),
        };
        let by_s = by_ms / 1_000;
        write!(f, "the system clock is {by_s} s {side} the coordinator's time: games go on; check the time service")
    }
}

/// What the machine's clocks say at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readings {
    /// Since the Unix epoch; may be stepped at any time.
    pub wall: Duration,
    /// Since boot, sleep included; never stepped.
    pub boot: Duration,
}

/// Which boot this is, and the milliseconds since; `None` where the system has no name for it.
pub(crate) fn boot() -> Option<(String, u64)> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some((id.trim().to_owned(), u64::try_from(since_boot().as_millis()).ok()?))
}

fn read_clocks() -> Readings {
    Readings {
        // A clock set before 1970 counts as one at 1970.
        wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        boot: since_boot(),
    }
}

fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let since_boot = ClockId::Boottime;
    // On macOS this one goes on during sleep.
    #[cfg(not(target_os = "linux"))]
    let since_boot = ClockId::Monotonic;
    let boot = clock_gettime(since_boot);
    let seconds = u64::try_from(boot.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(boot.tv_nsec).unwrap_or(0))
}

/// The arithmetic of [`Clock`], which is given its readings.
#[derive(Debug, Clone)]
pub struct ClockState {
    now_ns: i128,
    wall_ns: i128,
    boot: Duration,
    /// Elapsed time that was too short for a whole nanosecond of lean.
    lean_rest_ns: i128,
    told: Option<Told>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    ahead: bool,
    at_ns: i128,
}

impl ClockState {
    /// As [`Clock::start`]. Never before one millisecond behind `high_water_ms`.
    #[must_use]
    pub fn start(readings: Readings, high_water_ms: TimeMs, since_boot_ms: Option<TimeMs>) -> Self {
        let wall_ns = nanos(readings.wall);
        let uninterrupted_ns = since_boot_ms.map(|ms| i128::from(ms) * NANOS_PER_MS);
        let believed = |ns: &i128| wall_ns - ns <= i128::from(STEP_MS_MAX) * NANOS_PER_MS;
        let start_ns = uninterrupted_ns.filter(believed).unwrap_or(wall_ns);
        let floor_ns = match high_water_ms {
            0 => 0,
            stored => (i128::from(stored) + 1) * NANOS_PER_MS,
        };
        Self { now_ns: start_ns.max(floor_ns), wall_ns, boot: readings.boot, lean_rest_ns: 0, told: None }
    }

    /// Goes on by the time since boot, and leans.
    pub fn advance(&mut self, readings: Readings) {
        let elapsed_ns = nanos(readings.boot.saturating_sub(self.boot));
        self.boot = self.boot.max(readings.boot);
        self.wall_ns = nanos(readings.wall);
        let budget = self.lean_rest_ns + elapsed_ns;
        self.lean_rest_ns = budget % LEAN_DIVISOR;
        let lean_max_ns = budget / LEAN_DIVISOR;
        let unleaned_ns = self.now_ns + elapsed_ns;
        let lean_ns = (self.wall_ns - unleaned_ns).clamp(-lean_max_ns, lean_max_ns);
        // The rest of earlier budgets may exceed what has elapsed by a nanosecond.
        self.now_ns = (unleaned_ns + lean_ns).max(self.now_ns);
    }

    /// In milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> TimeMs {
        u64::try_from(self.now_ns / NANOS_PER_MS).unwrap_or(u64::MAX)
    }

    /// As [`Clock::skew`].
    pub fn skew(&mut self) -> Option<Skew> {
        let ahead_ns = self.wall_ns - self.now_ns;
        let by_ms = u64::try_from(ahead_ns.abs() / NANOS_PER_MS).unwrap_or(u64::MAX);
        let ahead = ahead_ns > 0;
        if by_ms < SKEW_MS / 2 {
            self.told = None;
        }
        let due = self.told.is_none_or(|told| {
            told.ahead != ahead || self.now_ns - told.at_ns >= i128::from(SKEW_REPEAT_MS) * NANOS_PER_MS
        });
        if by_ms <= SKEW_MS || !due {
            return None;
        }
        self.told = Some(Told { ahead, at_ns: self.now_ns });
        Some(if ahead { Skew::WallAhead(by_ms) } else { Skew::WallBehind(by_ms) })
    }
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).expect("a duration has at most 2^94 nanoseconds")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const DAY_MS: u64 = 24 * HOUR_MS;
    const START_MS: u64 = 1_750_000_000_000;

    fn readings(wall_ms: u64, boot_ms: u64) -> Readings {
        Readings { wall: Duration::from_millis(wall_ms), boot: Duration::from_millis(boot_ms) }
    }

    /// A machine: both clocks run, and the wall clock can be set.
    struct Machine {
        wall_ms: u64,
        boot_ms: u64,
        clock: ClockState,
    }

    impl Machine {
        fn started(wall_ms: u64, high_water_ms: u64) -> Self {
            Self { wall_ms, boot_ms: 77_000, clock: ClockState::start(readings(wall_ms, 77_000), high_water_ms, None) }
        }

        fn run(&mut self, elapsed_ms: u64) -> u64 {
            self.wall_ms += elapsed_ms;
            self.boot_ms += elapsed_ms;
            self.clock.advance(readings(self.wall_ms, self.boot_ms));
            self.clock.now_ms()
        }
    }

    #[test]
    fn it_starts_at_the_later_of_wall_clock_and_stored_time() {
        for (wall_ms, high_water_ms, expected) in [
            (START_MS, 0, START_MS),
            (START_MS, START_MS - HOUR_MS, START_MS),
            (START_MS, START_MS, START_MS + 1),
            (START_MS - HOUR_MS, START_MS, START_MS + 1),
            (START_MS + HOUR_MS, START_MS, START_MS + HOUR_MS),
            (0, 0, 0),
            (START_MS, u64::MAX, u64::MAX),
        ] {
            let clock = ClockState::start(readings(wall_ms, 5), high_water_ms, None);
            assert_eq!(clock.now_ms(), expected, "wall {wall_ms}, stored {high_water_ms}");
        }
    }

    #[test]
    fn a_restart_without_a_boot_goes_on_whatever_the_wall_clock_says() {
        let (stored, away) = (START_MS, START_MS + 60_000);
        for (wall_ms, since_boot_ms, expected) in [
            (away + HOUR_MS, Some(away), away),
            (away - HOUR_MS, Some(away), away),
            (0, Some(away), away),
            (away + DAY_MS, Some(away), away),
            (away + DAY_MS + 1, Some(away), away + DAY_MS + 1),
            (away + HOUR_MS, None, away + HOUR_MS),
            (away, Some(stored - 5_000), stored + 1),
        ] {
            let clock = ClockState::start(readings(wall_ms, 5), stored, since_boot_ms);
            assert_eq!(clock.now_ms(), expected, "wall {wall_ms}, {since_boot_ms:?}");
        }
        let (id, ms) = boot().unwrap();
        assert!(id.len() > 30 && boot().unwrap().1 >= ms);
    }

    #[test]
    fn a_wall_clock_an_hour_behind_is_waited_for() {
        let mut machine = Machine::started(START_MS - HOUR_MS, START_MS);
        assert_eq!(machine.run(2_000_000), START_MS + 1 + 1_999_000, "2,000 s pass in 1,999 s");
        // 3,600.001 s at 0.5 ms/s, of which 2,000 s are over.
        machine.run(83 * DAY_MS);
        assert!(machine.clock.now_ms() - machine.wall_ms < 20_000);
        machine.run(DAY_MS);
        assert_eq!(machine.clock.now_ms(), machine.wall_ms);
    }

    #[test]
    fn a_step_of_the_wall_clock_is_leaned_to_and_not_taken() {
        let mut machine = Machine::started(START_MS, 0);
        machine.wall_ms += HOUR_MS;
        assert_eq!(machine.run(1_000_000), START_MS + 1_000_500);
        machine.wall_ms -= 2 * HOUR_MS;
        assert_eq!(machine.run(1_000_000), START_MS + 2_000_000);
        machine.wall_ms = START_MS + 2_000_100;
        assert_eq!(machine.run(1_000_000), START_MS + 3_000_100, "a tenth of a second is made good, and no more");
    }

    #[test]
    fn calls_in_quick_succession_lean_as_much_as_rare_ones() {
        let start = readings(START_MS, 0);
        let mut clock = ClockState::start(start, 0, None);
        for micros in 1..=1_000_000_u64 {
            let wall = start.wall + Duration::from_secs(60) + Duration::from_micros(micros);
            clock.advance(Readings { wall, boot: Duration::from_micros(micros) });
        }
        assert_eq!(clock.now_ns, nanos(start.wall) + 1_000_500_000);
    }

    #[test]
    fn time_goes_on_while_the_machine_sleeps() {
        let mut machine = Machine::started(START_MS, 0);
        machine.run(10);
        assert_eq!(machine.run(8 * HOUR_MS), START_MS + 10 + 8 * HOUR_MS);
        // The wall clock of a paused virtual machine may have stood still.
        machine.wall_ms -= 8 * HOUR_MS;
        assert_eq!(machine.run(2_000), START_MS + 10 + 8 * HOUR_MS + 1_999);
    }

    #[test]
    fn skew_is_told_once_and_then_each_hour() {
        let mut machine = Machine::started(START_MS, START_MS + 60_000);
        assert_eq!(machine.clock.skew(), Some(Skew::WallBehind(60_001)));
        assert_eq!(machine.clock.skew(), None);
        machine.run(HOUR_MS - 1_000);
        assert_eq!(machine.clock.skew(), None);
        machine.run(3_000);
        assert_eq!(machine.clock.skew(), Some(Skew::WallBehind(58_200)));
        machine.wall_ms += 120_000;
        machine.run(1_000);
        assert!(matches!(machine.clock.skew(), Some(Skew::WallAhead(61_000..=62_000))));
        // Around the limit it is told once; below half of it, the next excess is another story.
        for (ahead_ms, told) in [(5_001, false), (4_900, false), (5_100, false), (2_000, false), (6_000, true)] {
            machine.wall_ms = machine.clock.now_ms() + ahead_ms;
            machine.run(0);
            assert_eq!(machine.clock.skew().is_some(), told, "{ahead_ms}");
        }
        machine.wall_ms = machine.clock.now_ms();
        machine.run(0);
        assert_eq!(machine.clock.skew(), None);
    }

    #[test]
    fn the_real_clocks_are_read() {
        let mut clock = Clock::start(0, None);
        let first = clock.now_ms();
        assert!(first > START_MS && clock.now_ms() >= first);
        assert!(clock.now_ms() - first < HOUR_MS);
        assert_eq!(clock.skew(), None);
        assert!(Clock::start(first + HOUR_MS, None).now_ms() > first + HOUR_MS);
    }

    proptest! {
        #[test]
        fn it_never_steps_and_never_goes_back(
            start in (0..u64::MAX / 4, any::<u64>()),
            steps in proptest::collection::vec((0..2 * DAY_MS * 1_000_000, 0..u64::MAX / 4, any::<bool>()), 1..60),
        ) {
            let (wall_ms, high_water_ms) = start;
            let mut readings = readings(wall_ms, 1_000);
            let mut clock = ClockState::start(readings, high_water_ms, None);
            for (elapsed_ns, wall_ms, boot_steps_back) in steps {
                let (before, elapsed) = (clock.now_ns, Duration::from_nanos(elapsed_ns));
                readings.wall = Duration::from_millis(wall_ms);
                if boot_steps_back {
                    clock.advance(Readings { boot: readings.boot.saturating_sub(elapsed), ..readings });
                    prop_assert_eq!(clock.now_ns, before);
                }
                readings.boot += elapsed;
                clock.advance(readings);
                let (passed, elapsed) = (clock.now_ns - before, nanos(elapsed));
                prop_assert!(passed >= 0);
                prop_assert!((passed - elapsed).abs() <= elapsed / LEAN_DIVISOR + 1, "{} for {}", passed, elapsed);
                clock.skew();
            }
        }
    }
}
