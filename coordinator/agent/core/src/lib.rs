//! Decides what the agent of one host does next: which launch begins, which port it tries, when a process is signalled,
//! which report goes out under which number.
//!
//! ```text
//!   orders, acknowledgements ──►┌───────────┐──► Send          messages for the coordinator
//!   what happened to processes ►│ AgentCore │──► FindPort, Spawn, Signal
//!   Timeout ───────────────────►└───────────┘──► SaveReport, TrimReports, Persist, Forget
//! ```
//! Pure: time and randomness come in as arguments, and nothing here waits, reads a clock, opens a file or starts a
//! process. The contract of [`AgentCore`]:
//!
//! - after each [`AgentCore::handle`], poll [`AgentCore::poll_output`] until it is empty, and carry the outputs out in
//!   their order;
//! - handle [`Input::Timeout`] no earlier than [`AgentCore::poll_timeout`] says;
//! - `now` never goes back. Where it starts does not matter.
//!
//! # How is a process launched?
//! ```
//! use std::time::Duration;
//! use playgate_agent_core::{AgentCore, CoreConfig, Input, Output, Restored};
//! use playgate_protocol::agent::{AgentDown, LaunchOrder};
//! use playgate_protocol::{FleetId, List, Name, Secret32, ServerProcessId};
//!
//! let now = Duration::ZERO;
//! let config = CoreConfig { host: "box-1".to_owned(), capacity: 8, seed: 7 };
//! let mut core = AgentCore::new(now, config, Restored::default());
//! core.handle(now, Input::LinkUp { applied_seq: 0 });
//! core.handle(now, Input::Message(AgentDown::Launch(LaunchOrder {
//!     process: ServerProcessId::from_bytes([1; 16]),
//!     fleet: FleetId::new("arena")?,
//!     name: Name::new("arena-1")?,
//!     argv: List::new(vec!["./server".parse()?, "--name={name}".parse()?])?,
//!     properties: List::default(),
//!     env: List::default(),
//!     env_pass: List::default(),
//!     working_dir: None,
//!     ports: None,
//!     credential: Secret32::from_bytes([7; 32]),
//! })));
//! let spawn = std::iter::from_fn(|| core.poll_output()).find_map(|output| match output {
//!     Output::Spawn(plan) => Some(plan),
//!     _ => None,
//! });
//! assert_eq!(spawn.expect("a free slot").argv, ["./server", "--name=arena-1"]);
//! # Ok::<(), playgate_protocol::OutOfBounds>(())
//! ```

mod io;
mod ladder;
pub mod limits;
mod machine;
mod plan;
mod ports;
mod reports;
mod slots;
pub mod template;

#[cfg(test)]
mod machine_tests;
#[cfg(test)]
mod testing;

pub use io::{CoreConfig, Found, Input, Output, OutputTail, Restored, RestoredProcess};
pub use machine::AgentCore;
pub use plan::{LaunchFailure, RESERVED_VARIABLES, SpawnPlan};
