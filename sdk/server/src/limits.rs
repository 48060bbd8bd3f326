//! Every bound and every time of the SDK, with its reason.

use std::time::Duration;

/// A game that has not polled for this long is not well. A server that hitches for a second or two while it loads a map
/// is; one that misses three seconds in play has lost its players anyway.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

/// First wait before dialling again, drawn evenly up to this; it doubles up to the next.
pub(crate) const REDIAL_MIN: Duration = Duration::from_millis(200);
/// Longest wait. With it, ten thousand servers are back within 15 s of their coordinator.
pub(crate) const REDIAL_MAX: Duration = Duration::from_secs(10);

/// Wait after a refusal that time alone does not cure: an operator has to do something first.
pub(crate) const REFUSED_WAIT: Duration = Duration::from_secs(30);

/// Beats without a frame from the coordinator, after which the link is dialled anew. It answers every beat.
pub(crate) const SILENT_BEATS_MAX: u32 = 3;

/// Interval of beats that a coordinator may ask for; others are brought into this range.
pub(crate) const BEAT_MIN: Duration = Duration::from_millis(100);
/// See [`BEAT_MIN`].
pub(crate) const BEAT_MAX: Duration = Duration::from_secs(60);
/// Interval before the coordinator named one.
pub(crate) const BEAT_DEFAULT: Duration = Duration::from_secs(1);

/// Reports on their way without an acknowledgement. At some 60 bytes each they fit the link's queue many times over,
/// and a round trip of 100 ms still lets 20,000 a second through.
pub(crate) const REPORTS_IN_FLIGHT_MAX: u64 = 2_048;

/// Link events that wait for a game that does not poll; the oldest go first.
pub(crate) const LINK_EVENTS_MAX: usize = 16;

/// What a dropped server may spend on delivering its last reports.
pub(crate) const DROP_TIME_MAX: Duration = Duration::from_secs(2);

/// What the last packets may take to leave, after everything else is done.
pub(crate) const LAST_PACKETS_TIME_MAX: Duration = Duration::from_millis(300);

/// A credential or join key file is one line; anything longer is another file.
pub(crate) const KEY_FILE_BYTES_MAX: u64 = 4 * 1024;

const _: () = assert!(REDIAL_MIN.as_millis() < REDIAL_MAX.as_millis());
const _: () = assert!(BEAT_MIN.as_millis() <= BEAT_DEFAULT.as_millis());
const _: () = assert!(REPORTS_IN_FLIGHT_MAX >= playgate_protocol::limits::REPORTS_PER_BATCH_MAX as u64);

/// Players whose true address is remembered: the largest game session twice, in 12 MiB.
pub(crate) const PLAYER_ADDRESSES_MAX: usize = 2 * 65_536;
