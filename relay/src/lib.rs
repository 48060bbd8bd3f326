//! Stands before game servers: hides their addresses, checks every datagram, limits rates.
//!
//! ```text
//!                      ┌──────────── one thread for each CPU core ────────────┐
//!   players ══UDP══►   │ one port, sorted by the kernel ─► Core ─► one socket │ ══UDP══► game servers
//!           ◄══UDP══   │ by the byte at offset 4    ◄─ Core ◄─ for each flow  │ ◄══UDP══
//!                      └───────▲──────────────────────────────────┬───────────┘
//!                       secrets, revocations              where players are
//! ```
//! The threads share nothing that is written while datagrams pass. A server sees each player at one address and port of
//! the relay, and the payload untouched; it needs to know nothing of the relay. Linux only.
//!
//! # How do I run a relay?
//! ```no_run
//! use playgate_protocol::relay::RelaySecret;
//! use playgate_relay::{Relay, RelayConfig, Secrets};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = RelayConfig::new("[::]:4000".parse()?);
//! config.destinations.push("10.0.0.0/8".parse()?);
//! let relay = Relay::start(config, |report| println!("{report:?}"))?;
//! relay.set_secrets(Secrets { current: RelaySecret::new(1, [7; 32]), before: None });
//! println!("{}", relay.totals().up_datagrams);
//! # Ok(())
//! # }
//! ```
//!
//! # How does it belong to a coordinator?
//! [`run`] joins one and takes secrets, revocations and the time from it. All of it is kept in a state directory, so that
//! the relay serves after its own restart without the coordinator.
//! ```no_run
//! use playgate_protocol::JoinKey;
//! use playgate_relay::{RelayServiceConfig, run};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // `playgate key new relay` prints the key. It is needed for the first start only.
//! let key = JoinKey::from_text(&std::fs::read_to_string("relay.join")?)?;
//! let mut config = RelayServiceConfig::from_join_key(key, "/var/lib/playgate-relay".into())?;
//! config.relay.destinations.push("10.0.0.0/8".parse()?);
//! run(config, std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```

#![cfg(target_os = "linux")]

pub mod command;
mod config;
mod control;
mod os;
mod relay;
mod upstream;
mod worker;

pub use config::RelayConfig;
pub use control::{CoreStatus, RelayServiceConfig, ServiceError, Status, run};
pub use playgate_relay_core::{BadPrefix, Counters, DropReason, FlowInfo, Prefix, Secrets};
pub use relay::{CoreView, Relay, StartError};
pub use worker::Report;
