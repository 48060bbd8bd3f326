//! What must hold, each with its number and one sentence. Safety after every step, the rest once faults have stopped.
//!
//! | numbers | about |
//! |---|---|
//! | 1 to 25 | safety |
//! | 26 to 32 | liveness; 31 and 32 are the loop's and the tests' |
//! | D1, D5 … | invariants of the design that the others do not cover |
//! | R1 … | of a relay's world, where they are checked: [`relay`](crate::relay) |
//!
//! Not here, because only the shells can break them: 23 (memory of one peer), and what concerns bytes on disk.

mod coordinator;
mod durable;
mod liveness;
mod record;
mod reports;
mod server;

pub use crate::relay::INVARIANTS as RELAY;
use crate::world::World;

/// Something that must hold.
pub struct Invariant {
    /// Its number.
    pub number: &'static str,
    /// What holds.
    pub sentence: &'static str,
    check: fn(&World) -> Result<(), String>,
}

/// Something did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant.
    pub number: &'static str,
    /// What was found.
    pub what: String,
}

macro_rules! list {
    ($($number:literal $check:path: $sentence:literal;)+) => {
        &[$(Invariant { number: $number, sentence: $sentence, check: $check },)+]
    };
}

/// After every step.
pub const SAFETY: &[Invariant] = list! {
    "1" server::never_oversold: "Players in and not left never exceed max players, on any server.";
    "D1" server::slots_are_held: "Slots held at the coordinator are at least the players in on the server.";
    "2" coordinator::held_slots: "Held slots, reserved and active, never exceed max players.";
    "3" server::admitted_once: "A player session is admitted on at most one server, and for the first time once.";
    "4" coordinator::players_stay: "A player session belongs to one game session for ever, with one ordinal and one expiry.";
    "5" coordinator::one_live_session_of_a_player: "A player has at most one live player session in a game session.";
    "6" durable::acknowledged_facts_survive: "Whatever was acknowledged is there after every recovery, until its retention is over.";
    "7" coordinator::one_key_one_object: "One idempotency key makes one object, for ever, across crashes.";
    "8" coordinator::one_session_per_process: "A server hosts at most one live game session, and both records say so.";
    "9" coordinator::owners_stay: "A game session that was placed keeps its server; another server means another attempt.";
    "10" coordinator::state_graphs: "Only listed transitions happen; what is over stays over.";
    "11" coordinator::right_states: "Sessions go to ready servers only, reservations to active sessions only.";
    "12" coordinator::ended_is_ended: "Nothing about an ended process changes, and it changes nothing; nor does what is said on a link that was replaced.";
    "13" coordinator::own_records_only: "A message from one server changes no record of another.";
    "14" server::tokens_in_time_and_place: "No token is honoured outside its time, server and session, or once its slot was freed.";
    "D5" server::revoked_stay_out: "Nobody gets in once the server has answered his revocation; a replay without proof never.";
    "15" durable::tickets_are_durable: "No ticket is signed for a reservation that is not durable, or under a key that was withdrawn.";
    "16" durable::replies_imply_durable: "What an output says is durable when it leaves.";
    "D6" reports::reports_are_applied: "Every report is applied exactly once and in order, and is durable when it is acknowledged.";
    "17" record::ids_are_new: "Ids and ordinals are never used twice, also across crashes.";
    "18" durable::time_goes_on: "Durable time never goes back.";
    "21" record::ended_sessions_hold_nothing: "The slots of an ended session are free.";
    "22" record::bounds: "Every queue is within its declared bound.";
    "24" server::no_amplification: "No answer to a datagram is longer than the datagram.";
    "25" record::events_tell_all: "Every change of state has its event, once, in order, without gaps.";
    "D7" server::processes_are_claimed: "Every process was started once, has a record, a port of its own, and room on its host.";
    "D10" durable::orders_fit: "Launch and stop are ordered only of what is to be launched and stopped; a revocation, and the end of a lost server, are ordered at once.";
};

/// Once faults have stopped, within a bound.
pub const LIVENESS: &[Invariant] = list! {
    "28" liveness::reservations_end: "Every reservation is used, or ends with its time.";
    "26" liveness::calls_are_answered: "Every call is answered.";
    "27" liveness::sessions_have_servers: "Every live game session has a live server; the others are over.";
    "29" liveness::servers_are_back: "Every live server is linked and known, and each host runs as many as it should.";
    "30" liveness::drained_servers_exit: "Whatever was asked to end has ended.";
    "19" liveness::views_agree: "Coordinator and servers count the same players.";
    "20" liveness::rows_are_the_state: "What is durable is what was decided.";
};

/// After a step. What the step said is entered in the ledger behind it.
pub(crate) fn check(world: &mut World) -> Result<(), Violation> {
    all(SAFETY, world)?;
    world.learn();
    Ok(())
}

/// Whether everything has come to rest.
pub(crate) fn at_rest(world: &World) -> Result<(), Violation> {
    all(LIVENESS, world)
}

fn all(invariants: &[Invariant], world: &World) -> Result<(), Violation> {
    for Invariant { number, check, .. } in invariants {
        check(world).map_err(|what| Violation { number, what })?;
    }
    Ok(())
}

/// The sentence of a number, for the report of a failure.
#[must_use]
pub fn sentence(number: &str) -> &'static str {
    let listed = SAFETY.iter().chain(LIVENESS).map(|invariant| (invariant.number, invariant.sentence));
    let found = listed.chain(RELAY.iter().copied()).find(|(of, _)| *of == number);
    found.map_or("", |(_, sentence)| sentence)
}
