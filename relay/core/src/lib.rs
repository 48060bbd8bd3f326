//! What a relay does with one datagram.
//!
//! ```text
//!   player ──datagram──► Core::from_player ──► Verdict: drop, reply, forward to this flow's server, open a flow
//!   server ──datagram──► Core::to_player   ──► where it goes, with header and tag written before it
//!   coordinator ───────► secrets, revocations, drain
//!                        Core::poll_output ──► rare: a flow has ended, something to tell a player
//! ```
//! One [`Core`] serves one CPU core; cores share nothing but what is in [`Config`], so a relay has as many as it has
//! threads. Sealed passes bring all that a flow needs, so no lookup and no coordinator stands between a player and his
//! flow. What is kept of a flow is one entry of a table that was allocated at the start: neither a datagram of a flow
//! nor anything that comes before an address is proven allocates, and nothing is kept of the latter.
//!
//! Pure: no clock, no socket, no randomness.

mod config;
mod cookie;
mod core;
mod counters;
mod flow;
mod hellos;
pub mod limits;
mod open;
mod pace;
mod repeats;
mod revoked;
mod table;

pub use config::{BadPrefix, Config, Prefix, Secrets};
pub use core::{Closed, Core, FlowInfo, Now, Output, Slot, Verdict};
pub use counters::{Counters, DropReason};
pub use revoked::Revoked;
