//! What each fuzz target does with its bytes, and what it requires. Every body must return for any bytes.
//!
//! | target | takes bytes as | and requires |
//! |---|---|---|
//! | [`handshake`] | datagrams to a gate that hosts a session, raw and with parts of real ones | no panic, no admission without a proof, no reply larger than its request |
//! | [`joiner`] | datagrams to a player who joins | no panic, never accepted without the server's key |
//! | [`frames`] | a frame of each role | no panic; what decodes encodes to something that decodes to the same |
//! | [`text`] | tickets, join keys, operator keys, ids, names | no panic; what parses prints as what it was |
//! | [`fleet`] | a fleet file | no panic; what is accepted passes its own check |
//! | [`template`] | an argument template | no panic; no placeholder survives |
//! | [`store`] | a database file | no panic; a refusal or rows |
//! | [`core()`] | a history of a coordinator | no panic, no slot oversold, a restart finds what was there |

mod core_history;
mod datagrams;
mod texts;

pub use core_history::core;
pub use datagrams::{handshake, joiner};
pub use texts::{fleet, frames, store, template, text};

/// A body: returns for any bytes.
pub type Body = fn(&[u8]);

/// Every body by the name of its target and corpus.
pub const ALL: [(&str, Body); 8] = [
    ("handshake", handshake),
    ("joiner", joiner),
    ("frames", frames),
    ("text", text),
    ("fleet", fleet),
    ("template", template),
    ("store", store),
    ("core", core),
];
