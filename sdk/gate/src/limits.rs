//! Every bound of the gate, with its reason. Those of the wire are in [`playgate_protocol::limits`].

use playgate_protocol::limits::REPORTS_PER_BATCH_MAX;

/// How long a challenge can be answered. Far above any round trip, far below the life of a token: a datagram that was
/// caught on its way is of no use for longer than this.
pub const CHALLENGE_LIFE_US: u64 = 10_000_000;

/// How long one secret makes challenges. A challenge that outlives its secret is checked under the one before.
pub const CHALLENGE_SECRET_US: u64 = 60_000_000;

/// Signatures checked per second at most, about a tenth of one core. Only holders of tokens with a right gate tag and
/// a right proof get this far, so honest players wait only while a fleet's whole backlog joins within the same moment.
pub const SIGNATURES_PER_SECOND: u32 = 2_000;

/// Signatures checked at once after a quiet time: ten milliseconds of one core, and every player of most games.
pub const SIGNATURE_BURST: u32 = 200;

/// Numbered reports that wait for the coordinator. Above it nothing is numbered: records coalesce to one for each
/// player session instead, and the floor stands still, until the coordinator catches up.
pub const REPORTS_UNACKED_MAX: usize = 16 * REPORTS_PER_BATCH_MAX;

const _: () = assert!(CHALLENGE_LIFE_US < CHALLENGE_SECRET_US);
