//! A world of its own in every seed: players reach game servers through the real core of a relay.
//!
//! ```text
//!   PlayerFlow ══ delay, loss, copies, cuts, forgeries ══► Core ◄── secrets, revocations, drain
//!   (players, and thieves)                                  │ ▲
//!                                                   payload ▼ │ payload
//!                                                    game servers, one socket for each flow
//! ```
//! [`Judged`] puts the reference model beside the core: whatever the core says of a datagram, the model has said
//! before, from the tables of `PROTOCOL.md`. The world knows besides who sent which payload to whom.

mod address;
mod carries;
mod event;
mod faults;
mod hears;
mod judge;
mod model;
mod net;
mod node;
mod player;
mod rate;
mod rest;
mod world;

pub use judge::Judged;
pub use model::DESTINATIONS;
pub use world::{Done, RelayOutcome, RelayWorld};

/// What must hold, by number.
pub const INVARIANTS: &[(&str, &str)] = &[
    ("R1", "Nothing reaches a server that a player with a ticket did not send, as it is, for this server."),
    ("R2", "Nothing is forwarded twice; an older opening takes no flow over."),
    ("R3", "Nothing passes for a player session of whose revocation the relay has heard."),
    (
        "R4",
        "No flow is opened or goes on beyond its pass, or by a secret that is neither the current nor the one before.",
    ),
    (
        "R5",
        "An address that has proven nothing gets no more bytes and datagrams than came from it, and no flow's payload.",
    ),
    ("R6", "Payload goes to the prefixes that the operator allows."),
    ("R7", "Each datagram is judged in the order of the protocol, and answered as it says."),
    (
        "R8",
        "Flows are as many as were opened and have not ended, each in its slot, within the bound, and every one ends.",
    ),
    ("R9", "What a player gets is what his server sent him, numbered in order, once."),
    ("R10", "A flow keeps to its rate, and what is within it passes."),
    ("R11", "Once faults have stopped, what honest players send arrives, and so does the answer."),
];
