//! A seeded world around the real cores of Playgate: network, disk, clocks, crashes and liars are simulated, the rules
//! are not.
//!
//! ```text
//!                       backends ──┐  links: ordered, late, stalled, cut, broken
//!                                  ▼
//!    audit, invariants ◄── Core ◄──► disk: batches, durable, lost or torn whole
//!                            ▲  ▲
//!              AgentCore ────┘  └──── Gate ◄── datagrams: lost, doubled, reordered, forged ──► Joiner
//!              (hosts)               (game servers)                                          (players)
//! ```
//! Behind it, in every seed, a smaller world in which players reach servers through a relay: [`relay`].
//!
//! Everything that happens is an event at a microsecond, taken in order by one thread ([`World`]); everything random
//! comes from the seed. So a seed is a story, and the same seed is the same story.
//!
//! What must hold is listed in [`invariants`]; which fault met which state is counted in [`coverage`].

pub mod clock;
pub mod coverage;
pub mod disk;
pub mod invariants;
pub mod relay;
pub mod rng;
pub mod run;
pub mod trace;

mod audit;
mod backend;
mod byzantine;
mod coordinator;
mod ends;
mod event;
mod faults;
mod game;
mod host;
mod learn;
mod ledger;
mod mint;
mod net;
mod player;
mod release;
mod server;
mod udp;
mod weather;
mod world;

pub use world::{Canary, Done, Outcome, Plan, World};
