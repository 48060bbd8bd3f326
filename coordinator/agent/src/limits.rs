//! Every bound and every time of the agent's shell, with its reason.

use std::time::Duration;

/// Logs of ended processes that are kept; the oldest go first. A crash is looked into within hours, not weeks.
pub const LOGS_KEPT_MAX: usize = 256;

/// Things that happened and wait for the loop. Whoever has one more waits.
pub const EVENTS_MAX: usize = 256;

/// How long a starting agent waits for the lock of its state directory. A server that the former agent was just
/// starting when it was killed holds the lock until it runs; that takes milliseconds.
pub const LOCK_WAIT: Duration = Duration::from_secs(1);

/// Scans for a process that was started and not recorded; between exec and its environment there is a moment in which
/// it has none.
pub const FIND_STARTED_TRIES: usize = 3;
/// Pause between two such scans.
pub const FIND_STARTED_PAUSE: Duration = Duration::from_millis(20);

/// Rounds of killing what a process left behind; a round finds nothing unless something forks as fast as it is killed.
pub const STRAY_ROUNDS_MAX: usize = 16;

/// Shortest and longest ceiling of the wait before dialling again.
pub const REDIAL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// The same when the coordinator is overloaded, or something is wrong that only a person can change.
pub const REDIAL_SLOWLY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// Longest grace of an ending agent; nobody waits longer for a program to end.
pub const SHUTDOWN_GRACE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How long an ending agent waits, after the last grace, for processes to disappear and for launches to come to an end.
pub const SHUTDOWN_MARGIN: Duration = Duration::from_secs(5);

/// How long an ending agent waits for its last reports to reach the coordinator.
pub const FAREWELL_WAIT: Duration = Duration::from_secs(2);

/// Pause before a report that could not be saved is saved again.
pub const SAVE_AGAIN: Duration = Duration::from_secs(1);

/// Descriptors beside one for each process: sockets, the lock, logs on their way to a process.
pub const DESCRIPTORS_SPARE: u64 = 64;

/// Processes a host carries where nothing else is said.
pub const CAPACITY_DEFAULT: u32 = 64;
/// Processes a host carries at most: an inventory of them fits one frame.
#[expect(clippy::cast_possible_truncation, reason = "a few thousand")]
pub const CAPACITY_MAX: u32 = playgate_protocol::limits::PROCESSES_PER_HOST_MAX as u32;

const _: () = assert!(CAPACITY_DEFAULT <= CAPACITY_MAX);
