//! Every bound and every time of the client, with its reason.

use std::time::Duration;

/// How long a call may take, beyond what it asks the coordinator to wait. Longer than a coordinator's restart.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Calls without an answer, per link. The coordinator answers tens of thousands a second, so this many cover a round
/// trip of 100 ms; more callers wait for their turn.
pub const CALLS_IN_FLIGHT_MAX: usize = 1_024;

/// Calls that wait for a place among those in flight, before callers wait at the door.
pub(crate) const CALLS_QUEUED_MAX: usize = 64;

/// How often calls are dropped whose callers gave up.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How soon a full link is tried again. Its queue of 1 MiB drains in some milliseconds.
pub(crate) const FULL_WAIT: Duration = Duration::from_millis(20);

/// First wait before dialling again, drawn evenly up to this; it doubles up to the next.
pub(crate) const REDIAL_MIN: Duration = Duration::from_millis(200);
/// Longest wait.
pub(crate) const REDIAL_MAX: Duration = Duration::from_secs(5);

/// Wait after a refusal that time alone does not cure: an operator has to do something first.
pub(crate) const REFUSED_WAIT: Duration = Duration::from_secs(30);

/// What the last packets may take to leave when a client is closed.
pub(crate) const LAST_PACKETS_TIME_MAX: Duration = Duration::from_millis(300);

/// A key file is one line; anything longer is another file.
pub(crate) const KEY_FILE_BYTES_MAX: u64 = 4 * 1_024;

/// Largest datagram a socket can bring.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Datagrams of the game that are kept while the handshake goes on: a server that speaks first may be heard before its
/// ACCEPT.
pub(crate) const EARLY_DATAGRAMS_MAX: usize = 32;

const _: () = assert!(REDIAL_MIN.as_millis() < REDIAL_MAX.as_millis());
const _: () = assert!(REDIAL_MAX.as_millis() < PATIENCE.as_millis());

/// How long a placed game session may take to become active, on top of the caller's patience: three attempts of the
/// usual activation timeout.
pub(crate) const ACTIVATIONS_TIME_MAX: Duration = Duration::from_secs(180);
