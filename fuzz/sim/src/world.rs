//! The world: all nodes, everything that is going to happen, and one loop that takes the next of it.

use std::collections::BTreeMap;

use crate::backend::Backend;
use crate::clock::{MS, Micros, SECOND};
use crate::coordinator::Coordinator;
use crate::coverage::Coverage;
use crate::event::Ev;
use crate::host::Host;
use crate::invariants::{self, Violation};
use crate::ledger::{Ledger, StepLog};
use crate::mint::KeyFile;
use crate::net::{Conn, Cut, Peer};
use crate::player::Player;
use crate::rng::Rng;
use crate::server::Server;
use crate::udp::Captured;
use crate::weather::Weather;

/// Deliberately wrong rules, to see that the simulator finds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Canary {
    /// None: the rules as they are.
    #[default]
    None,
    /// The coordinator frees a slot when the reservation's time is over, whatever the server has said.
    SlotOnTimer,
    /// Outputs leave before their rows are durable.
    AnswerBeforeSync,
}

/// What a run is to be.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Everything follows from it.
    pub seed: u64,
    /// Steps with faults, before the calm in which everything must come to rest.
    pub steps: u64,
    /// Whether a wrong rule is in force.
    pub canary: Canary,
}

/// One simulated world.
pub struct World {
    pub(crate) rng: Rng,
    pub(crate) now: Micros,
    pub(crate) steps: u64,
    pub(crate) hash: u64,
    pub(crate) canary: Canary,
    queue: BTreeMap<(Micros, u64), Ev>,
    queued: u64,
    pub(crate) calm_since: Option<Micros>,
    pub(crate) weather: Weather,
    pub(crate) coordinator: Coordinator,
    pub(crate) conns: Vec<Conn>,
    pub(crate) cuts: BTreeMap<usize, Cut>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) servers: Vec<Server>,
    pub(crate) backends: Vec<Backend>,
    pub(crate) players: Vec<Player>,
    pub(crate) captured: Vec<Captured>,
    pub(crate) udp_cut_until: Micros,
    pub(crate) keys: KeyFile,
    pub(crate) ledger: Ledger,
    pub(crate) log: StepLog,
    pub(crate) coverage: Coverage,
    pub(crate) broken: Option<Violation>,
}

/// Longest calm: backoffs of a minute, then a launch, then a session.
const CALM_MAX: Micros = 240 * SECOND;
/// By then every server has its link again, and reservations have no reason to outlive their time.
const CALM_LINKED: Micros = 30 * SECOND;
/// The calm is given this long before anybody asks whether everything is at rest.
const CALM_MIN: Micros = 12 * SECOND;

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// Steps taken.
    pub steps: u64,
    /// Simulated time.
    pub simulated: Micros,
    /// Over every step and the final state.
    pub hash: u64,
    /// What was broken, if anything.
    pub violation: Option<Violation>,
    /// What met what.
    pub coverage: Coverage,
    /// What the fleet did meanwhile.
    pub done: Done,
    /// What happened in the world of the relay.
    pub relay: crate::relay::Done,
}

/// What the fleet did in a run: a world in which little happens proves little.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// Game sessions that were placed.
    pub sessions: u64,
    /// Player sessions with a ticket that left.
    pub tickets: u64,
    /// Player sessions whose player was let in.
    pub admitted: u64,
    /// Revocations that were answered.
    pub revoked: u64,
    /// Calls that were answered.
    pub answered: u64,
    /// Starts of the coordinator.
    pub starts: u64,
}

impl Done {
    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.tickets += other.tickets;
        self.admitted += other.admitted;
        self.revoked += other.revoked;
        self.answered += other.answered;
        self.starts += other.starts;
    }
}

impl World {
    fn done(&self) -> Done {
        Done {
            sessions: self.ledger.max_players.len() as u64,
            tickets: self.ledger.issued.len() as u64,
            admitted: self.ledger.admitted.len() as u64,
            revoked: self.ledger.revoked.len() as u64,
            answered: self.ledger.answered,
            starts: self.coordinator.starts.into(),
        }
    }

    /// A new world; nothing runs yet.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let mut rng = Rng::new(plan.seed);
        let weather = Weather::new(&mut rng);
        let keys = KeyFile::new(&mut rng);
        let coordinator = Coordinator::new(&mut rng);
        let mut world = Self {
            rng,
            now: 0,
            steps: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            canary: plan.canary,
            queue: BTreeMap::new(),
            queued: 0,
            calm_since: None,
            weather,
            coordinator,
            conns: Vec::new(),
            cuts: BTreeMap::new(),
            hosts: Vec::new(),
            servers: Vec::new(),
            backends: Vec::new(),
            players: Vec::new(),
            captured: Vec::new(),
            udp_cut_until: 0,
            keys,
            ledger: Ledger::default(),
            log: StepLog::default(),
            coverage: Coverage::default(),
            broken: None,
        };
        world.set_up();
        world
    }

    /// Runs it: faults first, then calm, then the final reckoning.
    #[must_use]
    pub fn run(mut self, plan: Plan) -> Outcome {
        while self.broken.is_none() && self.steps < plan.steps {
            self.step();
        }
        if self.broken.is_none() {
            self.calm_down();
        }
        while self.broken.is_none() && !self.is_at_rest() {
            self.step();
        }
        if self.broken.is_none() {
            self.coordinator_audit();
            self.check();
        }
        let state = format!("{:?}", self.coordinator.disk);
        state.bytes().for_each(|byte| self.mix(byte.into()));
        Outcome {
            steps: self.steps,
            simulated: self.now,
            hash: self.hash,
            done: self.done(),
            violation: self.broken,
            coverage: self.coverage,
            relay: crate::relay::Done::default(),
        }
    }

    /// Something happens later.
    pub(crate) fn at(&mut self, when: Micros, event: Ev) {
        self.queued += 1;
        self.queue.insert((when.max(self.now), self.queued), event);
    }

    /// Something happens after this long.
    pub(crate) fn after(&mut self, delay: Micros, event: Ev) {
        self.at(self.now.saturating_add(delay), event);
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm_since.is_some()
    }

    pub(crate) fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17);
    }

    pub(crate) fn fail(&mut self, number: &'static str, what: String) {
        if self.broken.is_none() {
            self.broken = Some(Violation { number, what });
        }
    }

    fn step(&mut self) {
        let Some(((when, _), event)) = self.queue.pop_first() else {
            return self.fail("31", "nothing is going to happen any more".to_owned());
        };
        self.steps += 1;
        self.now = when;
        self.mix(when);
        self.mix(event.digest());
        self.log.clear();
        self.happen(event);
        self.check();
        if self.steps.is_multiple_of(1_024) {
            self.coordinator_audit();
            self.check();
        }
    }

    fn check(&mut self) {
        if self.broken.is_none()
            && let Err(violation) = invariants::check(self)
        {
            self.broken = Some(violation);
        }
    }

    fn is_at_rest(&mut self) -> bool {
        let Some(since) = self.calm_since else { return false };
        let calm_for = self.now - since;
        // Asked about once a second: nothing comes to rest faster.
        if calm_for < CALM_MIN || (!self.steps.is_multiple_of(64) && calm_for < CALM_MAX) {
            return false;
        }
        match invariants::at_rest(self) {
            Ok(()) => true,
            Err(violation) if calm_for >= CALM_MAX || (violation.number == "28" && calm_for >= CALM_LINKED) => {
                self.broken = Some(violation);
                true
            }
            Err(_) => false,
        }
    }

    /// Everything heals: the network, the disk, the clocks; what is down starts.
    fn calm_down(&mut self) {
        crate::trace::say!(self, "---- calm ----");
        self.calm_since = Some(self.now);
        self.cuts.clear();
        self.udp_cut_until = 0;
        for conn in 0..self.conns.len() {
            self.unstall(conn);
        }
        self.coordinator.heal(self.now);
        for server in &mut self.servers {
            server.heal(self.now);
        }
        for server in 0..self.servers.len() {
            if self.servers[server].is_byzantine {
                self.server_exits(server, playgate_protocol::agent::ExitStatus::Signal(9));
            }
        }
        for host in 0..self.hosts.len() {
            self.hosts[host].paused_until = self.hosts[host].paused_until.min(self.now);
            if self.hosts[host].agent.is_none() {
                self.after(100 * MS, Ev::AgentStart { host });
            }
        }
        if self.coordinator.core.is_none() {
            self.after(100 * MS, Ev::CoordinatorStart);
        }
    }

    fn happen(&mut self, event: Ev) {
        if let Some(until) = self.sleeps_until(&event) {
            return self.at(until, event);
        }
        match event {
            Ev::Pump { conn, up } => self.pump(conn, up),
            Ev::Break { conn } => self.break_conn(conn),
            Ev::PeerLearns { conn } => self.peer_learns(conn),
            Ev::CoordinatorLearns { conn } => self.coordinator_learns(conn),
            Ev::CoordinatorStart => self.coordinator_starts(),
            Ev::CoordinatorTimer { epoch } => self.coordinator_timer(epoch),
            Ev::CoordinatorLook { epoch } => self.coordinator_look(epoch),
            Ev::Commit { epoch, seq } => self.committed(epoch, seq),
            Ev::ServerWake { server } => self.server_turn(server),
            Ev::Game { server, what } => self.game(server, what),
            Ev::AgentStart { host } => self.agent_starts(host),
            Ev::AgentWake { host, epoch } => self.agent_wakes(host, epoch),
            Ev::AgentDial { host, epoch } => self.agent_dials(host, epoch),
            Ev::AgentInput { host, epoch, input } => self.agent_input(host, epoch, *input),
            Ev::BackendWake { backend } => self.backend_wakes(backend),
            Ev::Ticket { ticket } => self.player_gets(*ticket),
            Ev::PlayerWake { player } => self.player_wakes(player),
            Ev::PlayerPlan { player, what } => self.player_does(player, what),
            Ev::Datagram { from, to, bytes } => self.datagram_arrives(from, to, &bytes),
            Ev::Fault => self.fault(),
            Ev::DeadlineFault { kind } => self.strike(kind),
        }
    }

    /// A node that is stopped hears nothing until it goes on; the order stays.
    fn sleeps_until(&self, event: &Ev) -> Option<Micros> {
        let coordinator = self.coordinator.paused_until;
        let until = match event {
            Ev::Pump { conn, up: true } if !self.conns[*conn].dead => coordinator,
            Ev::CoordinatorLearns { .. }
            | Ev::CoordinatorTimer { .. }
            | Ev::CoordinatorLook { .. }
            | Ev::Commit { .. } => coordinator,
            Ev::Pump { conn, up: false } | Ev::PeerLearns { conn } => match self.conns[*conn].peer {
                Peer::Server(server) => self.servers[server].paused_until,
                Peer::Agent(host) => self.hosts[host].paused_until,
                Peer::Backend(_) | Peer::Stranger => 0,
            },
            Ev::AgentWake { host, .. } | Ev::AgentDial { host, .. } | Ev::AgentInput { host, .. } => {
                self.hosts[*host].paused_until
            }
            Ev::ServerWake { server } | Ev::Game { server, .. } => self.servers[*server].paused_until,
            _ => 0,
        };
        (until > self.now).then_some(until)
    }
}
