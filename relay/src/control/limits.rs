//! Every bound and every time of a relay's way with the coordinator and with its state, with its reason.

use std::time::Duration;

/// How often a relay says that it lives. The coordinator answers each with its time.
pub const BEAT_INTERVAL: Duration = Duration::from_secs(1);
/// A coordinator that answers nothing for this long is dialled again.
pub const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Flows that open within this time are told together.
pub const TELL_WAIT: Duration = Duration::from_millis(20);
/// Bytes on the way to the coordinator beyond which flows wait: two full lists.
pub const TELL_UNSENT_MAX: usize = 64 * 1024;
/// Shortest and longest ceiling of the wait before dialling again.
pub const REDIAL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// The same when the coordinator is overloaded, or something is wrong that only a person can change.
pub const REDIAL_SLOWLY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// How long an ending relay waits for its last words to reach the coordinator.
pub const FAREWELL_WAIT: Duration = Duration::from_secs(2);
/// A starting relay waits this long for the one before to let go of the state directory.
pub const LOCK_WAIT: Duration = Duration::from_secs(1);
/// Bytes of a file that a relay reads whole, besides the revocations: each is a few hundred.
pub const STATE_FILE_BYTES_MAX: u64 = 64 * 1024;
/// A difference of clocks that has changed by less is as good as the one on disk: passes live for minutes.
pub const CLOCK_SAVED_AGAIN_MS: u64 = 1_000;
/// A line of the file of revocations.
pub const REVOKED_LINE_BYTES_MAX: usize = 64;
/// Lines of that file, beyond twice what is in force, after which it is written anew.
pub const REVOKED_LINES_SPARE: usize = 1_024;
/// Who asks for the status has this long to take it; one is answered at a time.
pub const STATUS_WAIT: Duration = Duration::from_secs(1);
/// Descriptors of a relay besides one for each flow.
pub const DESCRIPTORS_SPARE: u64 = 64;

const _: () = assert!(BEAT_INTERVAL.as_millis() * 3 <= SILENCE_MAX.as_millis());
