//! Every bound on what crosses a wire, with its reason. Bounds are checked before anything is decoded or allocated.

/// Wire versions this build speaks, both ends included. The number rises when an old peer could misread a new one.
pub const WIRE_VERSION_MIN: u16 = 1;
/// See [`WIRE_VERSION_MIN`].
pub const WIRE_VERSION_MAX: u16 = 1;

/// Payload of one control frame. Large enough for 64 tickets or 1,500 process ids, small enough that
/// 10,000 hostile peers can pin 640 MB at the very most.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// u32 little-endian payload length.
pub const FRAME_HEADER_BYTES: usize = 4;

/// Name of a fleet: fits a metric label and a file name.
pub const FLEET_ID_BYTES_MAX: usize = 64;
/// Display names of sessions, hosts and processes.
pub const NAME_BYTES_MAX: usize = 256;
/// Free text for people: reasons, error details.
pub const DETAIL_BYTES_MAX: usize = 512;
/// Name and version of the peer's software, for logs.
pub const SOFTWARE_BYTES_MAX: usize = 64;
/// Opaque player id, as in the token.
pub const PLAYER_ID_BYTES_MAX: usize = 128;
/// Player data that rides inside the token.
pub const PLAYER_DATA_BYTES_MAX: usize = 256;
/// An encoded player-session token.
pub const TOKEN_BYTES_MAX: usize = 576;
/// Caller-chosen idempotency key (GameLift allows 48; a UUID with a prefix fits in 64).
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 64;

/// Properties of a game session; count, key and value bounds are GameLift's.
pub const PROPERTIES_MAX: usize = 16;
/// Key of one property.
pub const PROPERTY_KEY_BYTES_MAX: usize = 32;
/// Value of one property.
pub const PROPERTY_VALUE_BYTES_MAX: usize = 96;
/// Opaque session data handed to the server. With the rest of a create request it fits one frame.
pub const SESSION_DATA_BYTES_MAX: usize = 48 * 1024;
/// Most players one game session may admit.
pub const PLAYERS_PER_SESSION_MAX: u16 = u16::MAX;
/// Ordinals one game session may hand out: the gate keeps two bits for each, so 256 KiB at the end of a very long session.
pub const ORDINALS_PER_SESSION_MAX: u32 = 1 << 20;
/// Players in one reservation request; 64 tickets of at most 1,000 bytes fit one frame.
pub const PLAYERS_PER_REQUEST_MAX: usize = 64;
/// Rows in one page of a list.
pub const PAGE_MAX: usize = 64;

/// Shortest reservation a backend may ask for.
pub const RESERVATION_MS_MIN: u64 = 1_000;
/// Longest; also the longest lifetime of a token.
pub const RESERVATION_MS_MAX: u64 = 3_600_000;

/// Public signing keys in force at once: the one in use, its successor, and two on their way out.
pub const SIGNING_KEYS_MAX: usize = 4;
/// Ports one server process may report.
pub const PORTS_PER_PROCESS_MAX: usize = 8;
/// Addresses in one ticket (the server directly, or several relays).
pub const TICKET_ADDRESSES_MAX: usize = 4;

/// Relays in one ticket. One: 64 tickets with their passes fit one frame, and whoever loses his relay gets his ticket again.
pub const TICKET_RELAYS_MAX: usize = 1;
/// Addresses of one relay: one of each family.
pub const RELAY_ADDRESSES_MAX: usize = 2;
/// Flows, or revocations, in one frame between relay and coordinator.
pub const RELAY_LIST_MAX: usize = 512;

/// Arguments of one launch command.
pub const ARGV_MAX: usize = 64;
/// One argument, after templates are filled in.
pub const ARG_BYTES_MAX: usize = 4_096;
/// Environment variables a fleet sets or lets through.
pub const ENV_MAX: usize = 64;
/// Server processes on one host. Their ids fit one inventory frame.
pub const PROCESSES_PER_HOST_MAX: usize = 2_048;
/// Last output kept with the record of an exit.
pub const OUTPUT_TAIL_BYTES_MAX: usize = 2_048;

/// Records in one batch of reports; a full batch of the largest records fits one frame.
pub const REPORTS_PER_BATCH_MAX: usize = 256;
/// Exit records carry output, so fewer fit a frame.
pub const AGENT_REPORTS_PER_BATCH_MAX: usize = 16;
/// Revoked ordinals that await the server's answer, in one statement of the wanted state: as many as fit its frame
/// beside the largest session data. A server answers within a round trip, so a burst larger than this waits for one.
pub const REVOKED_MAX: usize = 512;

/// An encoded [`GameSessionInfo`](crate::api::GameSessionInfo), every field at its longest. Pages are made to measure.
pub const GAME_SESSION_INFO_BYTES_MAX: usize = 2_507;
/// An encoded [`ProcessInfo`](crate::api::ProcessInfo), every field at its longest.
pub const PROCESS_INFO_BYTES_MAX: usize = 2_502;
/// What an answer has besides its list: request number, discriminants, count.
pub const ANSWER_OVERHEAD_BYTES: usize = 16;

/// Session data and properties with their lengths, and room for names, numbers and discriminants around them.
const SESSION_BYTES_MAX: usize =
    SESSION_DATA_BYTES_MAX + PROPERTIES_MAX * (PROPERTY_KEY_BYTES_MAX + PROPERTY_VALUE_BYTES_MAX + 4) + 1_024;

// A request for a session fits, and so does the wanted state with it: a revoked ordinal is a u32 and an id.
const _: () = assert!(SESSION_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(SESSION_BYTES_MAX + REVOKED_MAX * (5 + 16) < FRAME_BYTES_MAX);
const _: () = assert!(
    PLAYERS_PER_REQUEST_MAX * (TOKEN_BYTES_MAX + 184 + TICKET_RELAYS_MAX * (crate::relay::PASS_BYTES + 97))
        < FRAME_BYTES_MAX
);
const _: () = assert!(PROCESSES_PER_HOST_MAX * 16 + 64 < FRAME_BYTES_MAX);
const _: () = assert!(AGENT_REPORTS_PER_BATCH_MAX * (OUTPUT_TAIL_BYTES_MAX + DETAIL_BYTES_MAX + 64) < FRAME_BYTES_MAX);
