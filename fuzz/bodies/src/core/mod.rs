//! A history of a coordinator's core against a reference model: every byte string is one.
//!
//! ```text
//!   bytes ──steps.rs──► inputs ──► Core ──► rows, outputs ──► disk, peers
//!                          │                    │
//!                          └──► facts.rs ◄──────┤   what binds: slots, keys, links, floors
//!                               verdicts.rs ◄───┤   which answers there may be
//!                               lives.rs ◄──────┘   which changes there may be, and by whom
//! ```
//! The disk may lag behind and may lose what lags; what left before is held against what is on it.

mod drawn;
mod facts;
mod lives;
mod promises;
mod seen;
mod steps;
mod verdicts;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

use playgate_core::fleet::{FleetConfig, Millis};
use playgate_core::rows::{Identity, Row};
use playgate_core::{Core, Input, LinkId, Output, Start};
use playgate_protocol::api::{BackendCall, CreateJoinKey, OperatorCall, OperatorUp};
use playgate_protocol::{Credential, Fingerprint, FleetId, Hello, HelloRole, JoinRole, List, Secret32, VersionRange};
use playgate_sim::disk::Image;

use self::facts::Facts;
pub use self::seen::{Seen, expected};
pub(crate) use self::steps::split;
use crate::draw::Pool;

const START_MS: u64 = 1_700_000_000_000;
const STEPS_MAX: usize = 160;
const OPERATOR_KEY: u8 = 1;
const AGENT_KEY: u8 = 2;
const BACKEND_KEY: u8 = 3;
const RELAY_KEY: u8 = 4;

/// The world around one core.
struct History {
    core: Core,
    now: u64,
    life: u8,
    /// As the core decided.
    mem: Image,
    /// As it is on the disk.
    disk: Image,
    facts: Facts,
    /// The facts that the disk holds; only while something is pending.
    durable: Facts,
    /// Turns that are not on the disk.
    pending: VecDeque<Pending>,
    holds: bool,
    last_link: u64,
    last_request: u64,
    pool: Pool,
    seen: Seen,
}

/// One turn that waits for the disk.
struct Pending {
    rows: Vec<Row>,
    outputs: Vec<(Output, Option<Identity>)>,
    facts: Facts,
}

/// Runs the bytes as a history; panics where the core and the model part.
pub fn core(data: &[u8]) {
    History::run(data, Seen::default());
}

/// The same, and says what occurred in it.
#[must_use]
pub fn core_seen(data: &[u8]) -> Seen {
    History::run(data, Seen::on())
}

/// Hellos, one after the other, on a core that knows every kind of credential.
pub fn hello(data: &[u8]) {
    let mut history = History::new(Seen::default());
    let mut rest = data;
    for _ in 0..STEPS_MAX {
        let Some((what, which, body, behind)) = steps::split(rest) else { break };
        rest = behind;
        history.hello_step(what, which, body);
    }
    history.audit();
}

/// The rows of a short history with a session, players and an ended process in it.
pub(crate) fn rows_of_a_story() -> Vec<Row> {
    let mut history = History::new(Seen::default());
    // Two processes come up and are ready; sessions are placed, taken up and filled; one process is gone again.
    #[rustfmt::skip]
    let story: [(u8, u8, &[u8]); 21] = [
        (6, 0, &[]), (6, 1, &[]), (9, 0, &[0, 7]), (9, 1, &[0, 8]), (7, 0, &[0, 0]), (7, 1, &[0, 1]), (8, 0, &[0]),
        (8, 1, &[0]), (4, 0, &[20]), (4, 1, &[20]), (7, 0, &[1, 0]), (7, 1, &[1, 0]), (5, 0, &[2]), (5, 17, &[0x22]),
        (7, 0, &[3, 0]), (7, 1, &[3, 0]), (11, 1, &[0]), (7, 0, &[4, 0]), (4, 2, &[40]), (9, 0, &[3, 1]),
        (13, 6, &[9]),
    ];
    story.iter().for_each(|(what, which, body)| history.step(*what, *which, body));
    history.disk.rows()
}

impl History {
    fn run(data: &[u8], seen: Seen) -> Seen {
        let mut history = Self::new(seen);
        let mut rest = data;
        for _ in 0..STEPS_MAX {
            let Some((what, which, body, behind)) = steps::split(rest) else { break };
            rest = behind;
            history.step(what, which, body);
        }
        history.audit();
        history.commit(usize::MAX);
        history.restart(0);
        history.audit();
        history.seen
    }

    fn new(seen: Seen) -> Self {
        let start = Start { shard: 0, seed: [1; 32], now_ms: START_MS };
        let mut history = Self {
            core: Core::load(start, Vec::new()),
            now: START_MS,
            life: 1,
            mem: Image::default(),
            disk: Image::default(),
            facts: Facts::default(),
            durable: Facts::default(),
            pending: VecDeque::new(),
            holds: false,
            last_link: 0,
            last_request: 0,
            pool: Pool::default(),
            seen,
        };
        history.turn(None);
        history.input(Input::ApplySigningKey { key_id: 1, public_key: [1; 32] });
        history.input(Input::ApplyFleet(launched_fleet()));
        history.input(Input::ApplyFleet(FleetConfig::named(fleet("g"))));
        history.operator_enters();
        for (secret, role) in [(6, JoinRole::Agent), (7, JoinRole::Backend), (8, JoinRole::Server)] {
            history.create_join_key(secret, role, 3);
        }
        let agent = HelloRole::Agent { name: "h".parse().expect("short"), advertise: None, capacity: 8 };
        history.opened(key(AGENT_KEY), Credential::Join { secret: secret(6) }, agent, false);
        history.opened(key(BACKEND_KEY), Credential::Join { secret: secret(7) }, HelloRole::Backend, false);
        let agent = history.link_of(|identity| matches!(identity, Identity::Agent(_)), 0);
        let inventory = playgate_protocol::agent::AgentUp::Inventory { alive: List::default() };
        history.input(Input::Agent(agent.expect("it was welcome"), inventory));
        history
    }

    fn operator_enters(&mut self) {
        self.input(Input::ApplyOperator(key(OPERATOR_KEY)));
        self.opened(key(OPERATOR_KEY), Credential::Bound, HelloRole::Operator, false);
    }

    fn create_join_key(&mut self, byte: u8, role: JoinRole, uses: u32) {
        let create = CreateJoinKey {
            secret_sha256: secret(byte).sha256(),
            role,
            fleet: Some(fleet("g")),
            uses,
            lifetime_ms: 600_000,
        };
        self.call(OperatorCall::CreateJoinKey(create));
    }

    fn opened(&mut self, peer: Fingerprint, credential: Credential, role: HelloRole, launch_proven: bool) {
        let hello = Hello { versions: VersionRange::OURS, software: "fuzz".parse().expect("short"), credential, role };
        self.hello(peer, hello, launch_proven);
    }

    fn hello(&mut self, peer: Fingerprint, hello: Hello, launch_proven: bool) {
        self.last_link += 1;
        let (link, from) = (LinkId(self.last_link), IpAddr::V4(Ipv4Addr::LOCALHOST));
        self.input(Input::Opened { link, peer, from, hello, launch_proven });
    }

    /// The n-th link of those whose peer is one of these.
    fn link_of(&self, is: impl Fn(&Identity) -> bool, which: u8) -> Option<LinkId> {
        let links: Vec<LinkId> =
            self.facts.links.iter().filter(|(_, identity)| is(identity)).map(|(link, _)| *link).collect();
        links.get(usize::from(which) % links.len().max(1)).copied()
    }

    fn call(&mut self, call: OperatorCall) {
        if let Some(link) = self.link_of(|identity| *identity == Identity::Operator, 0) {
            self.last_request += 1;
            self.input(Input::Operator(link, OperatorUp { request: self.last_request, call }));
        }
    }

    fn backend(&mut self, call: BackendCall) {
        self.call(OperatorCall::Backend(call));
    }

    /// One input: the model says first what must follow.
    fn input(&mut self, input: Input) {
        self.seen.input(&input);
        let verdict = self.facts.verdict(&self.mem, self.now, &input);
        self.facts.foretell(&self.mem, self.now, &input);
        self.core.handle(self.now, input.clone());
        let outputs = self.turn(Some(&input));
        verdict.judge(&outputs, &self.mem, &mut self.facts, self.now);
        self.note_facts(); // with what was sold in this turn
        self.facts.judge_slots(&self.mem);
    }

    fn pass(&mut self, ms: u64, budget: usize) {
        self.now = self.now.saturating_add(ms);
        self.core.handle_timeout(self.now, budget);
        self.turn(None);
        self.facts.judge_slots(&self.mem);
        if self.core.poll_timeout().is_none_or(|at| at > self.now) {
            self.facts.judge_waits(self.now);
        }
    }

    /// Takes the turn, judges it, and hands it to the disk. Gives what the core decided to say.
    fn turn(&mut self, cause: Option<&Input>) -> Vec<Output> {
        let turn = self.core.take_turn();
        self.seen.turn(&turn);
        let speaker = cause.and_then(|input| self.facts.speaker(input));
        let changes: Vec<_> = turn.rows.iter().cloned().filter_map(|row| self.mem.apply(row)).collect();
        lives::judge(&changes, cause, speaker, &self.mem);
        let decided = turn.outputs.clone();
        let outputs = self.facts.absorb(&changes, turn.outputs, &self.mem);
        self.pending.push_back(Pending { rows: turn.rows, outputs, facts: Facts::default() });
        if self.holds {
            self.note_facts();
        } else {
            self.commit(usize::MAX);
        }
        decided
    }

    /// What binds when the last turn is on the disk.
    fn note_facts(&mut self) {
        if let Some(last) = self.pending.back_mut() {
            last.facts = self.facts.clone();
        }
    }

    /// The disk catches up by so many turns; what waited for them leaves.
    fn commit(&mut self, turns: usize) {
        for _ in 0..turns.min(self.pending.len()) {
            let Pending { rows, outputs, facts } = self.pending.pop_front().expect("counted");
            rows.into_iter().for_each(|row| drop(self.disk.apply(row)));
            self.durable = facts;
            outputs.iter().for_each(|(output, to)| promises::judge(output, *to, &self.disk));
        }
        if self.pending.is_empty() {
            self.holds = false;
        }
    }

    fn hold(&mut self) {
        if !self.holds {
            self.holds = true;
            self.durable = self.facts.clone();
        }
    }

    /// The process ends, by itself or because a commit failed; what was pending is lost. The next one starts with a
    /// clock that may be behind, but never behind the high-water mark.
    fn restart(&mut self, behind_ms: u64) {
        self.seen.note("fault", if self.pending.is_empty() { "Restart" } else { "FailedCommit" });
        if self.holds {
            self.facts = std::mem::take(&mut self.durable);
            self.holds = false;
        }
        self.pending.clear();
        self.mem = self.disk.clone();
        self.facts.forget_what_is_not_kept();
        let rows = self.disk.rows();
        self.now = Core::high_water(&rows).max(self.now.saturating_sub(behind_ms));
        self.life = self.life.wrapping_add(1);
        self.core = Core::load(Start { shard: 0, seed: [self.life; 32], now_ms: self.now }, rows);
        self.turn(None);
        self.operator_enters();
    }

    /// Asks for everything; the model judges each answer.
    fn audit(&mut self) {
        if self.link_of(|identity| *identity == Identity::Operator, 0).is_none() {
            self.operator_enters();
        }
        let sessions: Vec<_> = self.mem.sessions.keys().copied().collect();
        for session in sessions {
            self.backend(BackendCall::DescribeGameSession { session });
            self.backend(BackendCall::ListPlayerSessions { session, after: None });
        }
        let players: Vec<_> = self.facts.slots.keys().copied().collect();
        for player_session in players {
            self.backend(BackendCall::GetTicket { player_session });
        }
        self.backend(BackendCall::ListGameSessions { fleet: None, after: None });
        for call in [
            OperatorCall::ListFleets,
            OperatorCall::ListHosts,
            OperatorCall::ListRelays,
            OperatorCall::ListEvents { after: 0 },
        ] {
            self.call(call);
        }
        self.call(OperatorCall::ListProcesses { fleet: None, after: None });
    }
}

/// Short times, so that a history reaches them.
fn launched_fleet() -> FleetConfig {
    FleetConfig {
        command: List::first_of(["x".parse().expect("short")]),
        processes_per_host: 2,
        sessions_per_process: 2,
        ready_timeout: Millis(20_000),
        activation_timeout: Millis(10_000),
        unhealthy_timeout: Millis(8_000),
        lost_after: Millis(15_000),
        ..FleetConfig::named(fleet("f"))
    }
}

fn fleet(name: &str) -> FleetId {
    FleetId::new(name).expect("a name")
}

fn key(byte: u8) -> Fingerprint {
    Fingerprint::from_bytes([byte; 32])
}

fn secret(byte: u8) -> Secret32 {
    Secret32::from_bytes([byte; 32])
}
