//! The game itself, without any network: a seed and the players' inputs decide everything.
//!
//! ```text
//!   Setup (map, mode, limits) ──► World ◄── add, remove, set_intent      30 times a second
//!                                   │
//!                                   └── step ──► players, shots, outcome
//! ```

pub mod map;
mod rules;
pub mod space;
mod world;

pub use rules::{Mode, Setup};
pub use world::{Intent, Outcome, PlayerIndex, Standing, World};

/// Steps of the game in a second.
pub const TICKS_PER_SECOND: u32 = 30;
/// Players in one match: their part of a snapshot then takes 704 of the 1,200 bytes every path carries.
pub const PLAYERS_MAX: usize = 64;
