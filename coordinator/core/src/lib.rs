//! Decides what the fleet does next. Pure: no clock, no socket, no entropy; the same inputs give the same outputs.
//!
//! ```text
//!   io.rs        Input, Output, Turn                    rows.rs       what is kept
//!   core.rs      state and dispatch                     load.rs       state from rows
//!   links.rs     who a peer is                          fleet.rs      configuration
//!   hosts.rs     agents, launches, replacement          timers.rs     every deadline
//!   servers.rs   messages of game servers, wanted state *_state.rs    the three life cycles
//!   processes.rs health, draining, the end              placement.rs  which process hosts
//!   sessions.rs  game sessions                          calls.rs      verbs of backends and operators
//!   players.rs   player sessions                        views.rs      answers
//!   limits.rs    every bound                            waiters.rs    calls that wait
//!   relays.rs    relays, their secrets and flows
//!   sound.rs     which stored rows can be true          throttle.rs   limits what strangers put on record
//!   retention.rs what is over, and how much of it
//! ```
//!
//! Start with [`Core`].

mod calls;
mod core;
pub mod fleet;
mod hosts;
mod io;
pub mod limits;
mod links;
mod load;
pub mod placement;
pub mod player_state;
mod players;
pub mod process_state;
mod processes;
mod relays;
mod retention;
pub mod rows;
mod servers;
pub mod session_state;
mod sessions;
mod sound;
mod throttle;
mod timers;
mod views;
mod waiters;

pub use crate::core::Core;
pub use crate::io::{CloseWhy, Input, LinkId, Output, RelayOrder, Start, TicketOrder, Turn, Welcomed};
pub use crate::timers::Timer;
