//! A core and players, with nothing between them but the test.

#![allow(clippy::unwrap_used)]

mod golden;
mod properties;
mod refusals;
mod stories;
mod world;
