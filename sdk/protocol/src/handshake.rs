//! The five UDP datagrams by which a player shows a ticket to a game server, and the player's side of the exchange.
//!
//! ```text
//!   player                                    game server
//!     │ HELLO      nonce, token                     │  cheap checks, nothing is kept
//!     │────────────────────────────────────────────►│
//!     │     CHALLENGE  nonce, server time, MAC      │  smaller than the HELLO
//!     │◄────────────────────────────────────────────│
//!     │ PROOF      nonce, token, server time, MAC,  │  judged whole, in one step
//!     │            HMAC under the proof key         │
//!     │────────────────────────────────────────────►│
//!     │     ACCEPT     generation  ─ or ─           │
//!     │     REFUSE     code                         │  HMAC under the server key
//!     │◄────────────────────────────────────────────│
//! ```
//! A datagram begins with a magic of its own, so that a game tells them from its traffic by four bytes. Integers are
//! little-endian. Silence means *try again*, REFUSE means *it is of no use*: whoever gets no answer starts over with
//! a HELLO, and the server needs no state for that. `PROTOCOL.md` in the repository holds the fields and golden bytes.
//!
//! # How does a client join?
//! It gives its [`Ticket`](crate::Ticket) and 16 random bytes to a [`Joiner`] and moves datagrams between it and a
//! socket:
//! ```
//! # use std::time::Duration;
//! # use playgate_protocol::handshake::{JoinState, Joiner, TicketUnusable};
//! # use playgate_protocol::Ticket;
//! fn join(ticket: &Ticket, random: [u8; 16]) -> Result<(), TicketUnusable> {
//!     let mut now = Duration::ZERO; // a monotonic clock
//!     let mut joiner = Joiner::new(ticket, random, Duration::from_secs(10), now)?;
//!     while joiner.state().is_open() {
//!         while let Some(transmit) = joiner.poll_transmit() {
//!             // socket.send_to(transmit.datagram.as_slice(), transmit.to)
//!         }
//!         // Wait for a datagram (joiner.handle) or for the timeout, whichever is first.
//!         now = joiner.poll_timeout().expect("an open joiner waits for something");
//!         joiner.handle_timeout(now);
//!     }
//!     assert_eq!(*joiner.state(), JoinState::TimedOut);
//!     Ok(())
//! }
//! ```

use playgate_token::limits::MIN_TOKEN_LEN;

use crate::limits::TOKEN_BYTES_MAX;

pub(crate) mod datagram;
mod joiner;
mod reply;
mod request;

pub use datagram::{Datagram, Kind, Mac, Nonce, ReplyBuf, RequestBuf};
pub use joiner::{JoinState, Joiner, TicketUnusable, Transmit};
pub use reply::{Accept, Challenge, Refuse, RefuseCode};
pub use request::{Hello, Proof};

/// Random bytes by which a client knows the answers to its own attempt.
pub const NONCE_BYTES: usize = 16;
/// The server's MAC in a CHALLENGE, made and checked by the server alone.
pub const MAC_BYTES: usize = 16;
/// HMAC-SHA256 in PROOF, ACCEPT and REFUSE, never cut short.
pub const SEAL_BYTES: usize = 32;
/// Shortest token a HELLO or PROOF can carry.
pub const TOKEN_BYTES_MIN: usize = MIN_TOKEN_LEN;

const MAGIC_BYTES: usize = 4;
const TIME_BYTES: usize = 8;

/// What a HELLO has besides the token.
pub const HELLO_OVERHEAD_BYTES: usize = MAGIC_BYTES + NONCE_BYTES;
/// Length of every CHALLENGE.
pub const CHALLENGE_BYTES: usize = MAGIC_BYTES + NONCE_BYTES + TIME_BYTES + MAC_BYTES;
/// What a PROOF has besides the token.
pub const PROOF_OVERHEAD_BYTES: usize = HELLO_OVERHEAD_BYTES + TIME_BYTES + MAC_BYTES + SEAL_BYTES;
/// Length of every ACCEPT.
pub const ACCEPT_BYTES: usize = MAGIC_BYTES + NONCE_BYTES + TIME_BYTES + 4 + SEAL_BYTES;
/// Length of every REFUSE.
pub const REFUSE_BYTES: usize = MAGIC_BYTES + NONCE_BYTES + TIME_BYTES + 1 + SEAL_BYTES;

/// Longest datagram of a client: a PROOF with the longest token.
pub const REQUEST_BYTES_MAX: usize = PROOF_OVERHEAD_BYTES + TOKEN_BYTES_MAX;
/// Longest datagram of a server.
pub const REPLY_BYTES_MAX: usize = ACCEPT_BYTES;

// A server never answers with more bytes than it got, whatever the token: nobody gains by forging the source address.
const _: () = assert!(CHALLENGE_BYTES < HELLO_OVERHEAD_BYTES + TOKEN_BYTES_MIN);
const _: () = assert!(ACCEPT_BYTES < PROOF_OVERHEAD_BYTES + TOKEN_BYTES_MIN);
const _: () = assert!(REFUSE_BYTES <= ACCEPT_BYTES && CHALLENGE_BYTES <= ACCEPT_BYTES);
// Fits the smallest path a game can count on, with room for the header of a relay.
const _: () = assert!(REQUEST_BYTES_MAX < 1_200 - 64);
