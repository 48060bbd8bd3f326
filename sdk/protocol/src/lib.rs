//! Everything that crosses a wire, besides the token itself: ids, control messages, framing, handshake datagrams, limits.
//!
//! ```text
//!   peer ──Hello──►  coordinator          first frame of every link
//!   peer ◄─Greeting─ coordinator          Welcome, or a refusal that says what to do
//!
//!   game server  ──ServerUp──►  ◄──ServerDown──    reports, beats      / wanted state
//!   agent        ──AgentUp───►  ◄──AgentDown───    reports, inventory  / launch, stop
//!   backend      ──BackendUp─►  ◄──ApiDown─────    calls               / answers
//!   operator     ──OperatorUp►  ◄──ApiDown─────    calls               / answers
//! ```
//!
//! Each role has message types of its own, so a peer cannot even spell a message that is not its to send. No message
//! names its sender: who speaks is known from the link. The enums grow at the end only; golden bytes in the tests hold
//! the encoding of every message still.
//!
//! Pure: no clock, no socket, no randomness.

pub mod address_mac;
pub mod agent;
pub mod api;
pub mod bounded;
pub mod frame;
pub mod handshake;
mod hello;
mod ident;
pub mod limits;
pub mod rate;
pub mod reason;
pub mod relay;
pub mod server;
mod text_forms;

pub use bounded::{Blob, List, OutOfBounds, Text};
pub use hello::{Credential, Greeting, Hello, HelloRole, Refusal, RefusalReason, VersionRange, Welcome, WelcomeRole};
pub use ident::{Fingerprint, FleetId, PlayerId, Secret32};
pub use playgate_token::{GameSessionId, HostId, PlayerSessionId, RelayId, ServerProcessId};
pub use text_forms::{
    BackendKey, JoinKey, JoinRole, LaunchCredential, OperatorKey, PrivateKey, RelayPass, TextFormError, Ticket,
};

/// A moment: milliseconds since the Unix epoch, by the coordinator's clock (never by a peer's own).
pub type TimeMs = u64;

/// Display name of a session, host or process.
pub type Name = Text<{ limits::NAME_BYTES_MAX }>;
/// Text for people: a reason, the detail of an error.
pub type Detail = Text<{ limits::DETAIL_BYTES_MAX }>;
