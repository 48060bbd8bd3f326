//! The agent, real processes, and a coordinator that is played by the test over a real link.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod launching;
mod linking;
mod restarting;
mod stopping;
mod support;
