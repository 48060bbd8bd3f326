//! The client of Playgate: for a studio's backend, for operators' tools, and for the game on the player's machine.
//!
//! ```text
//!   Backend ──create_game_session──► coordinator ──starts it on──► game server
//!      │    ◄──session, tickets────                                    ▲
//!      │ ticket, over the studio's own channel                         │
//!      ▼                                                               │
//!   player::connect ═══════════ UDP, direct ═══════════════════════════╝
//! ```
//!
//! # How does a backend bring players into a match?
//! ```no_run
//! use playgate_client::protocol::JoinKey;
//! use playgate_client::{Backend, BackendConfig, NewGameSession, NewPlayerSessions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // From `playgate key new backend`; needed until backend.key exists.
//! let key = JoinKey::from_text(&std::env::var("PLAYGATE_JOIN_KEY")?)?;
//! let backend = Backend::connect(BackendConfig::from_join_key(key, "backend.key")).await?;
//!
//! let session = backend.create_game_session(NewGameSession::new("arena", 16).property("map", "plaza")).await?;
//! let request = NewPlayerSessions::new(session.id).player("alice", b"team=red").player("bob", b"team=blue");
//! for ticket in backend.create_player_sessions(request).await? {
//!     println!("{}", ticket.to_text()); // a secret: for this player's eyes only
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # How does a player join?
//! ```no_run
//! use std::time::Duration;
//! use playgate_client::player::{self, Ticket};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ticket = Ticket::from_text(&std::env::var("TICKET")?)?;
//! let (server, _joined) = player::connect(&ticket, Duration::from_secs(10)).await?;
//! server.send(b"hello, game").await?; // straight to it, or through a relay: that is the fleet's choice
//! // Lost the connection? The same call again, with the same ticket.
//! # Ok(())
//! # }
//! ```
//! Games with a socket of their own: [`player::join_on`], without tokio [`player::join_blocking`]; with a loop of their own:
//! [`player::Joiner`]. For these, a [`relay::Pump`] goes through a relay.
//!
//! # What happens when the coordinator is away?
//! Players are not affected: joining and coming back is between them and the game server. Calls of a backend wait for
//! the link to come back, as long as their patience lasts ([`Backend::within`]), and fail in a way that says whether
//! they may have been done ([`CallFailed`]).

mod backend;
mod calls;
mod config;
mod connect;
mod connection;
mod driver;
mod error;
mod key_file;
pub mod limits;
mod operator;
pub mod player;
mod random;
pub mod relay;
mod requests;

pub use backend::{Backend, Until};
pub use config::BackendConfig;
pub use error::{CallFailed, ConnectError, KeyFileError};
pub use key_file::read_operator_key;
pub use operator::Operator;
/// Ids, keys, tickets, and the types of answers.
pub use playgate_protocol as protocol;
pub use playgate_protocol::{JoinKey, OperatorKey, Ticket};
pub use requests::{NewGameSession, NewPlayerSessions};
