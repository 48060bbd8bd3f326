//! Stories about a gate, its coordinator and its players.

#![allow(clippy::unwrap_used)] // everything in here is a test

mod floor;
mod golden;
mod hostile;
mod joiner;
mod model;
mod reconnect;
mod refusals;
mod reports;
mod scripts;
mod sessions;
mod world;
