//! Floods a real relay while honest players come and play, and counts what becomes of both.
//!
//! ```text
//!   players   10.66.2.2 ──┐             ┌────────── servers 10.66.3.2, who judge every datagram they get
//!   attacker  10.66.1.2 ──┴── relay ────┘
//!   and every address that is nobody's: what the relay sends to a forged source is counted on the attacker's link
//! ```
//! Each is in a network namespace of its own, so this needs root and `ip`. The relay and the attacker are processes.

pub mod attack;
pub mod bench;
pub mod honest;
pub mod payload;
pub mod player;
pub mod relay;
pub mod report;
pub mod run;
pub mod servers;
pub mod victim;
pub mod world;
