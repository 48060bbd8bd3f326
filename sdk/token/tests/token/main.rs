//! Everything the crate promises, through its public API.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod corpus;
mod encoding;
mod fuzz;
mod hostile;
mod ids;
mod keys;
mod order;
mod redaction;
mod spec;
mod support;
mod vectors;
