//! The coordinator: links, store, minting around the pure core (`playgate-core`), which decides everything.
//!
//! ```text
//!   peers ═QUIC═► peer.rs (a task per link) ──Input──►  driver.rs  ◄──► playgate-core
//!         ◄══════          tickets are signed here ◄──Output──┘  │ rows
//!                                                                ▼
//!                                                  store/ (a thread): one transaction a turn
//! ```
//!
//! Outputs leave when the rows of their turn are durable; so does the answer to a read, in its place in the order.
//!
//! # How do I run one?
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use playgate_coordinator::{Coordinator, CoordinatorConfig};
//!
//! let coordinator = Coordinator::open(CoordinatorConfig::new("/var/lib/playgate", "0.0.0.0:7600".parse()?))?;
//! println!("listening on {}", coordinator.local_addr());
//! coordinator.run(async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await?;
//! # Ok(())
//! # }
//! ```

pub mod clock;
mod config;
mod coordinator;
mod driver;
pub mod keyfile;
mod mint;
mod peer;
mod refusals;
pub mod store;

pub use config::{CoordinatorConfig, FleetFileError, read_fleets};
pub use coordinator::{Coordinator, DATABASE_FILE, RunError, StartError};
pub use mint::Minter;
pub use peer::PeerCounters;
