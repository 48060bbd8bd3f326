//! A relay and its coordinator, with real sockets: the test plays the coordinator.

#![allow(clippy::unwrap_used)]

mod binary;
mod joining;
#[path = "../support/mod.rs"]
mod players;
mod secrecy;
mod serving;
mod world;
