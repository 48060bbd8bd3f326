//! Every bound and every time of the agent's decisions, with its reason.

use std::time::Duration;

use playgate_protocol::limits::{AGENT_REPORTS_PER_BATCH_MAX, FRAME_BYTES_MAX, PROCESSES_PER_HOST_MAX};

/// Launches between taking a slot and running. Starting a large game server saturates a disk; more at once only make
/// each of them later.
pub const LAUNCHES_IN_FLIGHT_MAX: usize = 4;

/// Longest random pause between two launches, so that servers that were ordered together do not tick together.
pub const LAUNCH_JITTER_MAX: Duration = Duration::from_millis(20);

/// How often the agent says that it is alive.
pub const BEAT_INTERVAL: Duration = Duration::from_secs(1);

/// Silence of the coordinator after which the link is given up: three unanswered beats.
pub const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Reports sent and not yet acknowledged. With outputs of 2 KiB each they fit a link's send queue many times over.
pub const REPORTS_IN_FLIGHT_MAX: usize = 8 * AGENT_REPORTS_PER_BATCH_MAX;

/// Unacknowledged reports beyond which no order is taken. A process makes at most five (launched, adopted, two stop
/// steps, exited), so those of a full host fit beside the ones that orders cause.
pub const REPORTS_PENDING_MAX: usize = 8 * PROCESSES_PER_HOST_MAX;

/// Ports that are probed in one go. A probe opens two sockets, so this many take about a millisecond.
pub const PORTS_PER_PROBE: usize = 64;

// What is in flight fits the send queue of a link (1 MiB), where each batch takes at most a frame.
const _: () = assert!(REPORTS_IN_FLIGHT_MAX / AGENT_REPORTS_PER_BATCH_MAX * FRAME_BYTES_MAX <= 512 * 1024);
const _: () = assert!(BEAT_INTERVAL.as_millis() * 3 <= SILENCE_MAX.as_millis());
