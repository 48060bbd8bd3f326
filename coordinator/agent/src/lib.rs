//! The agent of a host: launches server processes for the coordinator and watches them. Linux only.
//!
//! ```text
//!   coordinator ◄──QUIC──► courier ──► loop ◄──► AgentCore (decides)
//!                                       │
//!          launcher, one group each ◄───┼───► state directory (survives the agent)
//!          pidfds, signals, janitor ◄───┘
//! ```
//! Servers do not depend on the agent: their output goes to a file, and they have a link to the coordinator of their
//! own. When the agent dies they live on, and the next one with the same state directory watches them again. No process
//! is launched twice, and no report is lost or given twice.
//!
//! # How do I run an agent?
//! ```no_run
//! use playgate_agent::{AgentConfig, run};
//! use playgate_protocol::JoinKey;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // `playgate key new agent` prints the key. It is needed for the first start only.
//! let key = JoinKey::from_text(&std::fs::read_to_string("agent.join")?)?;
//! let config = AgentConfig::from_join_key(key, "/var/lib/playgate-agent".into())?;
//! run(config, std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What does a server process find?
//! - A working directory, arguments and variables exactly as its fleet says; nothing else of the agent's environment.
//! - `PLAYGATE_COORDINATOR` and `PLAYGATE_COORDINATOR_KEY`: where the coordinator is and the key it proves to hold.
//! - `PLAYGATE_CREDENTIAL_FILE`: what it proves itself with, see [`LaunchCredential`](playgate_protocol::LaunchCredential).
//! - `PLAYGATE_PROCESS_ID`, `PLAYGATE_NAME`, and `PLAYGATE_ADVERTISE` where the agent was told an address.
//! - No standard input; standard output and error go to `logs/<process>.log` in the state directory.
//!
//! # What should the one who runs it know?
//! - As the first process of a container it does not reap what others orphan; run it under an init (`docker --init`).
//! - Descriptors that the agent itself was started with and that stay open over an exec go to every server; a service
//!   manager leaves none.
//! - Each process needs one descriptor: raise `ulimit -n` above the capacity.
//! - The log of a server that runs is never cut; servers that write much need a log rotation of their own.

#![cfg(target_os = "linux")]

mod adopt;
mod agent;
mod config;
mod courier;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod janitor;
mod launch;
pub mod limits;
mod ports;
mod proc_fs;
mod state;
mod tail;
mod watch;

pub use agent::run;
pub use config::{AgentConfig, OnShutdown};
pub use error::AgentError;
