//! The game-server SDK of Playgate: announces the server to its fleet, learns which game session to host, and decides on
//! its own which players may join.
//!
//! ```text
//!                     your game                                   this crate
//!   players ═UDP═► ┌──────────────┐  handle(from, datagram)  ┌────────────────────┐
//!                  │  the socket  │ ───────────────────────► │ gate: who may play │
//!                  │              │ ◄─────────────────────── │                    │
//!                  │              │  verdict, reply          │         ▲ │        │
//!                  │  the tick    │  poll()                  │         │ ▼        │          coordinator
//!                  │              │ ───────────────────────► │ a thread of its own│ ◄═QUIC═► (anywhere)
//!                  └──────────────┘ ◄── events ───────────── └────────────────────┘
//! ```
//! The game keeps its own socket and its own loop. Admitting a player asks nobody: it works while the coordinator is
//! away, and whatever happens then is reported once it is back, exactly once.
//!
//! # What does the smallest server look like?
//! ```no_run
//! use std::net::UdpSocket;
//! use std::time::Duration;
//! use playgate::{Config, Event, ReplyBuf, Server, Verdict};
//!
//! # fn game_datagram(_: std::net::SocketAddr, _: &[u8]) {}
//! # fn remove_player(_: playgate::PlayerSessionId) {}
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let socket = UdpSocket::bind("0.0.0.0:0")?;
//!     socket.set_read_timeout(Some(Duration::from_millis(16)))?;
//!     let server = Server::start(Config::from_env()?)?;
//!     server.ready(&[socket.local_addr()?.port()]);
//!
//!     let (mut buffer, mut reply) = ([0; 2048], ReplyBuf::new());
//!     loop {
//!         while let Some(event) = server.poll() {
//!             match event {
//!                 Event::StartSession(session) => {
//!                     println!("loading {}", session.properties.get("map").unwrap_or("plaza"));
//!                     if let Err(gone) = server.activate() {
//!                         println!("{gone}"); // it took too long, and somebody else hosts it
//!                     }
//!                 }
//!                 Event::PlayerLeft { player, .. } => remove_player(player),
//!                 Event::EndSession { .. } => server.end_session(),
//!                 Event::Terminate { .. } => {
//!                     server.shutdown(Duration::from_secs(2));
//!                     return Ok(());
//!                 }
//!                 Event::LinkUp | Event::LinkDown => {}
//!                 Event::LinkRefused { detail, .. } => eprintln!("{detail}"),
//!             }
//!         }
//!         let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
//!         match server.handle(from, &buffer[..len], &mut reply) {
//!             Verdict::NotOurs => game_datagram(from, &buffer[..len]),
//!             Verdict::Admitted(player) => println!("{} is in, from {from}", player.player),
//!             Verdict::Reply | Verdict::Refused(_) => {}
//!         }
//!         if !reply.is_empty() {
//!             let _ = socket.send_to(reply.as_slice(), from); // a forged address may be one that nobody can send to
//!         }
//!     }
//! }
//! ```
//! Run it with `playgate dev -- ./server`. On tokio, [`Server::next_event`] takes the place of [`Server::poll`].
//!
//! # What must the game do?
//! | when | call |
//! |---|---|
//! | its socket is open | [`Server::ready`] |
//! | every tick, at least every 3 s | [`Server::poll`]; it is also the proof of health ([`Config::on_health`]) |
//! | a datagram comes | [`Server::handle`] |
//! | [`Event::StartSession`] is done | [`Server::activate`] |
//! | a player's connection breaks, or he quits | [`Server::disconnected`], or [`Server::leave`] |
//! | the match is over | [`Server::end_session`] |
//! | before it exits | [`Server::shutdown`] |
//!
//! Only a datagram that comes from the address of the latest [`Admission`] of a player is that player's: the game keeps
//! the mapping, and moves it when [`Admission::reconnected`] says so.
//!
//! # How does it know where the coordinator is?
//! From the environment that an agent gives it, or from a join key: [`Config::from_env`].

mod config;
mod connect;
mod driver;
mod event;
mod limits;
mod server;
mod shared;
mod thread;
mod up;

pub use config::{Config, ConfigError};
pub use event::{Event, GameSession, Properties};
pub use limits::HEALTH_TIMEOUT;
pub use playgate_gate::{ActivateError, Admission, Counters, RefuseReason, ReplyBuf, Verdict};
pub use playgate_protocol::reason::PlayerEnd;
pub use playgate_protocol::{GameSessionId, JoinKey, JoinRole, PlayerSessionId, RefusalReason, ServerProcessId};
pub use server::Server;
pub use thread::StartError;

/// The programs in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
