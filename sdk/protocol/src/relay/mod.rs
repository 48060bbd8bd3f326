//! What crosses the wire between a player and a relay, and the player's side of it.
//!
//! ```text
//!   player                                       relay                        game server
//!     │ HELLO   nonce, zeros                       │  nothing is kept               │
//!     │───────────────────────────────────────────►│                                │
//!     │    COOKIE  nonce, relay time, MAC          │  smaller than the HELLO        │
//!     │◄───────────────────────────────────────────│                                │
//!     │ OPEN    pass, nonce, relay time, MAC,      │  the pass is opened with the   │
//!     │         HMAC under the flow key            │  relay's secret, no lookup     │
//!     │───────────────────────────────────────────►│                                │
//!     │    ACCEPT  connection id, fresh pass ─ or ─│                                │
//!     │    REFUSE  code                            │  HMAC under the flow key       │
//!     │◄───────────────────────────────────────────│                                │
//!     │ DATA    20 bytes, payload                  │            payload             │
//!     │───────────────────────────────────────────►│───────────────────────────────►│
//!     │    DATA    20 bytes, payload               │            payload             │
//!     │◄───────────────────────────────────────────│◄───────────────────────────────│
//! ```
//! The token, the ticket and the handshake with the game server are payload to a relay. What a flow carries in clear it
//! carries in clear; the tag on each datagram shows who sent it, once.
//!
//! The byte at offset 4 of everything a player sends says which of a relay's cores it belongs to, so that a relay can
//! have the kernel sort datagrams without parsing them. Integers are little-endian.

mod control;
mod data;
mod handshake;
mod pass;
mod player;

pub use control::{FlowRevocation, NumberedSecret, PlayerAt, RelayAddresses, RelayBeat, RelayDown, RelayUp};
pub use data::{ConnectionId, DataKind, Header, TrafficKey, TrafficKeys, Window};
pub use handshake::{Accept, Cookie, HELLO, Hello, Open, Refuse, RefuseCode, Reset};
pub use pass::{FlowKey, Pass, PassClaims, PassRefused, RelaySecret};
pub use player::{FlowEvent, FlowState, PlayerFlow, RelayAccess, SendError};

use crate::handshake::{Mac, Nonce};

/// What a relay puts before each payload: kind, sequence, connection id, tag.
pub const HEADER_BYTES: usize = 20;
/// Longest payload a flow carries in either direction: with header, UDP and IPv6 it fills an Ethernet frame of 1,500
/// bytes. A longer one is dropped and counted, never fragmented by a relay.
pub const PAYLOAD_BYTES_MAX: usize = 1_500 - 40 - 8 - HEADER_BYTES;
/// Payload of a PING and its PONG: the sender's clock, and zeros that leave room for a RESET as an answer.
pub const PING_BYTES: usize = 16;
/// Payload of a path challenge and its response.
pub const PATH_CHALLENGE_BYTES: usize = 8;

/// How long a fresh pass opens a flow again. A revocation has to be remembered for this long, and for as long as a
/// reservation.
pub const PASS_LIFE_MS: u64 = 10 * 60_000;
/// A player asks for a fresh pass this often, so that one request of two may be lost.
pub const RENEW_EVERY_MS: u64 = 3 * 60_000;

/// Length of every sealed pass.
pub const PASS_BYTES: usize = 1 + 4 + 16 + pass::CLAIMS_BYTES + 16;
/// Length of every HELLO.
pub const HELLO_BYTES: usize = 64;
/// Length of every COOKIE.
pub const COOKIE_BYTES: usize = 4 + 16 + 8 + 16;
/// Length of every OPEN.
pub const OPEN_BYTES: usize = 256;
/// Length of every ACCEPT.
pub const ACCEPT_BYTES: usize = 4 + 16 + 8 + 8 + 16 + PASS_BYTES + 32;
/// Length of every REFUSE.
pub const REFUSE_BYTES: usize = 4 + 16 + 8 + 1 + 32;
/// Length of every RESET.
pub const RESET_BYTES: usize = 4 + 8 + 16;
/// A stateless reset token: who knows it speaks for the relay that gave it out.
pub const RESET_TOKEN_BYTES: usize = 16;

// No answer is longer than what it answers, so a forged source address gains nothing.
const _: () = assert!(COOKIE_BYTES < HELLO_BYTES && ACCEPT_BYTES < OPEN_BYTES && REFUSE_BYTES < OPEN_BYTES);
const _: () = assert!(2 * RENEW_EVERY_MS < PASS_LIFE_MS);
const _: () = assert!(RESET_BYTES < HEADER_BYTES + PING_BYTES);
const _: () = assert!(HEADER_BYTES + PATH_CHALLENGE_BYTES <= RESET_BYTES);
// A handshake with the game server passes as payload.
const _: () = assert!(crate::handshake::REQUEST_BYTES_MAX <= PAYLOAD_BYTES_MAX);
