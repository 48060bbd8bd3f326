//! The rules one by one: what is refused and why, what is answered, what agents and restarts change, every bound.

#![allow(clippy::unwrap_used)]

#[path = "../world/mod.rs"]
mod world;

mod agents;
mod answers;
mod bounds;
mod ends;
mod fleets;
mod keys;
mod players;
mod refusals;
mod relays;
mod restart;
mod retention;
mod sessions;
