//! What each fuzz target does with its bytes, and what it requires. Every body must return for any bytes.
//!
//! | target | takes bytes as | and requires |
//! |---|---|---|
//! | [`handshake`] | datagrams to a gate that hosts a session, raw and with parts of real ones | nobody is admitted without a proof, no reply is larger than its request |
//! | [`joiner`] | datagrams to a player who joins | nobody is believed without the server's key |
//! | [`gate`] | a history of a gate whose coordinator wants anything | never oversold, the floor holds, a used token stays used |
//! | [`frames`] | the payload of a frame, for each role | what decodes encodes to something that decodes to the same |
//! | [`messages`] | a message of each role, drawn, encoded, damaged | it is read as it was written; half of one is none |
//! | [`hello`] | hellos to a core that knows every kind of credential | welcome exactly if there is no reason against it |
//! | [`text`] | tickets, keys, credentials, ids, names | what parses prints as what it was |
//! | [`files`] | key files, fleet files, an agent's state, `/proc`, logs | a refusal that names the place, or what is within bounds |
//! | [`fleet`] | a fleet | what is accepted passes its own check |
//! | [`template`] | an argument template | no placeholder survives |
//! | [`store`] | a database file | a refusal, or rows that a core can live with |
//! | [`rows`] | edits of the rows of a real history | the same |
//! | [`agent`] | a history of an agent | no process runs twice, reports have no gap, nothing is said without a link |
//! | [`core()`] | a history of a coordinator | everything that the reference model says, see `core/mod.rs` |
//! | [`relay_datagrams`] | datagrams of a relay, and a player's flow through one | what is read is written as it was, what is sealed cannot be changed, a player believes his relay only |
//! | [`relay()`] | a history of a relay's core | everything that the model in `fuzz/sim/src/relay` says |

mod agent_history;
mod core;
mod datagrams;
pub mod draw;
mod files;
mod frames;
mod gate_history;
mod recovery;
mod relay_datagrams;
mod relay_history;
mod scratch;
mod store;
mod texts;

pub use self::core::{Seen, core, core_seen, expected, hello};
pub use agent_history::agent;
pub use datagrams::{handshake, joiner};
pub use files::files;
pub use frames::{frames, messages};
pub use gate_history::gate;
pub use relay_datagrams::relay_datagrams;
pub use relay_history::{relay, relay_seen};
pub use store::{rows, store};
pub use texts::{fleet, template, text};

/// A body: returns for any bytes.
pub type Body = fn(&[u8]);

/// Every body by the name of its target and corpus.
pub const ALL: [(&str, Body); 16] = [
    ("handshake", handshake),
    ("joiner", joiner),
    ("gate", gate),
    ("frames", frames),
    ("messages", messages),
    ("hello", hello),
    ("text", text),
    ("files", files),
    ("fleet", fleet),
    ("template", template),
    ("store", store),
    ("rows", rows),
    ("agent", agent),
    ("core", core),
    ("relay_datagrams", relay_datagrams),
    ("relay", relay),
];
