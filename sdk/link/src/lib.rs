//! One authenticated QUIC link: dial, accept, frames, reconnect. The only crate that knows TLS.
//!
//! ```text
//!   Dialer ──dial(addr, pin)──► Link        Link ◄──establish()── Attempt ◄──accept()── Listener
//!                                │           │
//!                             split()     split()
//!                           ┌────┴────┐ ┌────┴────┐
//!                    FrameSender   FrameReceiver  …
//!                    queue(&T)     recv::<T>()
//! ```
//!
//! Both ends have an [`Identity`], an Ed25519 key, and prove it with TLS 1.3 raw public keys (RFC 7250). The dialler
//! pins the listener's [`Fingerprint`]; the listener takes every key that its holder proves, and reports it. There are
//! no certificates, no CA and no dates. What a peer may do is decided by who uses this crate.
//!
//! A link is one QUIC connection with one stream for frames in each direction. The dialler speaks first.
//!
//! # How do two processes talk?
//! ```
//! use std::time::Duration;
//! use playgate_link::{CloseCode, Dialer, Identity, LinkProfile, ListenConfig, Listener};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let coordinator = Identity::generate();
//! let pin = coordinator.fingerprint(); // travels in the join key
//! let listener = Listener::bind(ListenConfig {
//!     addr: "127.0.0.1:0".parse()?,
//!     identity: coordinator,
//!     reset_key: [7; 64],       // random and stored, in earnest
//!     connection_id_key: 7,     // the same
//!     profile: LinkProfile::fleet(),
//!     max_links: 10_000,
//! })?;
//! let addr = listener.local_addr();
//!
//! let server = tokio::spawn(async move {
//!     let attempt = listener.accept().await.expect("open");
//!     let (sender, mut receiver) = attempt.establish().await.expect("a link").split();
//!     let hello: String = receiver.recv_within(Duration::from_secs(3)).await.expect("a frame");
//!     sender.introduced(); // the caller knows the key and the hello, and will keep this peer
//!     sender.queue(&format!("{hello}, welcome")).expect("room");
//!     sender.closed().await
//! });
//!
//! let dialer = Dialer::new(Identity::generate(), LinkProfile::fleet())?;
//! let (sender, mut receiver) = dialer.dial(addr, &pin).await?.split();
//! sender.queue(&"hello")?;
//! assert_eq!(receiver.recv::<String>().await?, "hello, welcome");
//! sender.close(CloseCode::Done, "that was all");
//! assert_eq!(server.await?.to_string(), "closed by the peer: done (that was all)");
//! # Ok(())
//! # }
//! ```
//!
//! # What can a stranger do?
//! Cost us one datagram's worth of work per datagram. Of packets that begin a link only so many a second are looked at,
//! in all and from one network; the rest is dropped as it is read. Attempts are refused before any cryptography when too many are
//! unfinished, in all or from one network; when half as many come from addresses that proved nothing, an address must
//! prove itself first. An attempt is unfinished until its peer is introduced ([`FrameSender::introduced`]); a handshake
//! that is not done in 3 s is dropped; all buffers have bounds ([`limits`]). What strangers do is counted
//! ([`ListenerCounters`]) and logged at debug at most.
//!
//! # What happens when the listener restarts?
//! With the stored keys of [`ListenConfig`] it answers packets of its former links with stateless resets, and the
//! diallers see [`CloseReason::PeerRestarted`] within one keep-alive. They come back spread out by [`Backoff`]. A reset
//! may get lost, so also expect answers at the level above, with a deadline.

mod admission;
mod attempt;
mod backoff;
mod close;
mod counters;
mod dialer;
mod first_packets;
mod identity;
mod introduce;
pub mod limits;
mod link;
mod listener;
mod profile;
mod public_key;
mod receiver;
mod sender;
mod socket;
mod tls;

#[cfg(test)]
mod tests;

pub use attempt::{Attempt, EstablishError};
pub use backoff::Backoff;
pub use close::{CloseCode, CloseReason};
pub use counters::ListenerCounters;
pub use dialer::{DialError, Dialer};
pub use identity::{Identity, IdentityError, SecretKeyBytes};
pub use introduce::{IntroduceError, Outlook};
pub use link::Link;
pub use listener::{ListenConfig, Listener};
pub use playgate_protocol::Fingerprint;
pub use playgate_protocol::frame::FrameError;
pub use profile::LinkProfile;
pub use receiver::{FrameReceiver, RecvError};
pub use sender::{FrameSender, NotDelivered, QueueError};
pub use socket::BindError;
