//! Every bound and interval of the core, with its reason.

use playgate_protocol::limits::{
    ANSWER_OVERHEAD_BYTES, FRAME_BYTES_MAX, GAME_SESSION_INFO_BYTES_MAX, PAGE_MAX, PROCESS_INFO_BYTES_MAX,
};

/// Interval of a server's beats. A missed one is noticed soon, and 10,000 servers cost a fifth of a core.
pub const BEAT_MS: u64 = 1_000;
/// A process without a good beat for this long is unwell: three beats, and half of one for the network.
pub const UNWELL_AFTER_MS: u64 = 3 * BEAT_MS + BEAT_MS / 2;
/// This many bad beats in a row make a process unwell.
pub const BAD_BEATS_MAX: u32 = 3;
/// A server whose floor runs further ahead than this would time out reservations too early; it gets none.
pub const FLOOR_AHEAD_MS_MAX: u64 = 5_000;
/// Attempts to place one game session.
pub const ATTEMPTS_MAX: u32 = 3;
/// Ordinals are handed out in blocks, so that the game session's row changes once in this many reservations.
pub const ORDINAL_BLOCK: u32 = 64;
/// First pause before a failed process is replaced; doubles with each failure in a row.
pub const BACKOFF_MS_MIN: u64 = 500;
/// Longest pause.
pub const BACKOFF_MS_MAX: u64 = 60_000;
/// A process that was ready this long ends the row of failures.
pub const PROVEN_AFTER_MS: u64 = 10_000;
/// Time a launched process has to exit once its game session was forced to end.
pub const FORCE_GRACE_MS: u64 = 0;
/// How often the coordinator's time is written down; after a crash it goes on at most this much behind.
pub const HIGH_WATER_MS: u64 = 2_000;
/// A request that is repeated within this time of the end of what it made finds that, and makes nothing again.
pub const IDEMPOTENCY_MS: u64 = 600_000;
/// Ended game sessions, and with them their idempotency keys, are kept this long, or until there are too many of them.
pub const SESSION_RETENTION_MS: u64 = 24 * 3_600_000;
/// Beyond this number the oldest ended game sessions are kept for [`IDEMPOTENCY_MS`] only. A day of 14 new sessions a
/// minute. They take 27 MB if they are typical, 97 MB at the most ([`ENDED_SESSION_BYTES_MAX`]).
pub const ENDED_SESSIONS_MAX: usize = 20_000;
/// Game sessions that are kept, live and ended: room for 10,000 live ones that are over and replaced after 70 s each. As
/// ended ones they take 134 MB if they are typical, 490 MB at the most.
pub const SESSIONS_MAX: usize = 100_000;
/// Ended player sessions, and with them their idempotency keys, are kept this long.
pub const PLAYER_RETENTION_MS: u64 = IDEMPOTENCY_MS;
/// Player sessions that are kept: a million live ones, and half as many that end every ten minutes, have room. They
/// take 1.6 GB if they are typical, 2.7 GB at the most.
pub const PLAYERS_MAX: usize = 2_000_000;
/// Ended processes are kept this long, or until there are too many of them.
pub const PROCESS_RETENTION_MS: u64 = 3_600_000;
/// Ended processes that are kept; beyond it the oldest leave at once, because no request can ask for one again. They
/// take 12 MB if they are typical, 32 MB at the most.
pub const ENDED_PROCESSES_MAX: usize = 10_000;
/// Events kept in memory and in the store.
pub const EVENTS_MAX: usize = 10_000;
/// After a restart, what waits for a server waits at least this long: servers come back within it.
pub const RETURN_MS: u64 = 15_000;
/// Calls of one link that wait for an outcome.
pub const WAITERS_PER_LINK_MAX: usize = 4_096;
/// Calls that wait for an outcome, all callers together.
pub const WAITERS_MAX: usize = 65_536;
/// Longest wait a call may ask for.
pub const WAIT_MS_MAX: u64 = 600_000;
/// Game sessions that wait for a process, in one fleet.
pub const PLACING_MAX: usize = 10_000;
/// Data for games of all sessions that wait for a process: 2,700 that each bring the most.
pub const PLACING_DATA_BYTES_MAX: usize = 128 * 1024 * 1024;
/// A server cannot have been told of more: versions are milliseconds since 1970, or one more than the last. One that
/// says so is believed up to here, and harms nobody but itself.
pub const HELD_VERSION_MAX: u64 = 1 << 62;
/// Fleets on one coordinator; one page of answers.
pub const FLEETS_MAX: usize = PAGE_MAX;
/// Hosts on one coordinator; one page of answers.
pub const HOSTS_MAX: usize = PAGE_MAX;
/// Relays on one coordinator; one page of answers.
pub const RELAYS_MAX: usize = PAGE_MAX;
/// How often a relay that is connected gets a new secret. A stolen one is of use for two of these.
pub const RELAY_SECRET_MS: u64 = 24 * 3_600_000;
/// How long a flow may last that was opened with a ticket's pass; a longer game gets its ticket again.
pub const FLOW_LIFE_MS: u64 = 12 * 3_600_000;
/// From the end of a player who was in to the end of his flow: the game has this long to tell him.
pub const FLOW_FAREWELL_MS: u64 = 2_000;
/// Game sessions in one page: the largest is 2.5 KiB, so that the page fits a frame.
pub const SESSIONS_PAGE: usize = 24;
/// Processes in one page: the largest is 2.5 KiB with its output, so that the page fits a frame.
pub const PROCESSES_PAGE: usize = 24;

/// What an ended game session of the largest size takes in memory with all that belongs to it but its players: 4,868
/// bytes were measured (`tests/memory.rs`), 1,335 for a typical one with one property and a key of 36 bytes.
pub const ENDED_SESSION_BYTES_MAX: usize = 5_000;
/// The same of one that waits for a process, and of the call that waits for it: 54,460 bytes, 1,761 if it is typical
/// and brings no data.
pub const WAITING_SESSION_BYTES_MAX: usize = 56_000;
/// The same of a player session that was asked for alone: 1,347 bytes, 788 for one with a key of 36 bytes, an id of 16
/// and no data.
pub const PLAYER_BYTES_MAX: usize = 1_400;
/// The same of an ended process: 3,186 bytes, 1,232 with 200 bytes of output.
pub const ENDED_PROCESS_BYTES_MAX: usize = 3_300;

/// How much is kept. A value, so that a test reaches the bounds with a few rows.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// [`SESSIONS_MAX`].
    pub sessions: usize,
    /// [`ENDED_SESSIONS_MAX`].
    pub ended_sessions: usize,
    /// [`PLAYERS_MAX`].
    pub players: usize,
    /// [`ENDED_PROCESSES_MAX`].
    pub ended_processes: usize,
    /// [`PLACING_DATA_BYTES_MAX`].
    pub placing_data_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            sessions: SESSIONS_MAX,
            ended_sessions: ENDED_SESSIONS_MAX,
            players: PLAYERS_MAX,
            ended_processes: ENDED_PROCESSES_MAX,
            placing_data_bytes: PLACING_DATA_BYTES_MAX,
        }
    }
}

// A page of the largest fits a frame, and the list of its answer holds it.
const _: () = assert!(SESSIONS_PAGE * GAME_SESSION_INFO_BYTES_MAX + ANSWER_OVERHEAD_BYTES <= FRAME_BYTES_MAX);
const _: () = assert!(PROCESSES_PAGE * PROCESS_INFO_BYTES_MAX + ANSWER_OVERHEAD_BYTES <= FRAME_BYTES_MAX);
const _: () = assert!(SESSIONS_PAGE <= PAGE_MAX && PROCESSES_PAGE <= PAGE_MAX);
