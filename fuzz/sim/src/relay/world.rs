//! The world of a relay: its nodes, everything that is going to happen, and the loop that takes the next of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use super::event::Ev;
use super::faults::Weather;
use super::node::Node;
use super::player::Player;
use crate::clock::{MS, Micros, SECOND};
use crate::invariants::Violation;
use crate::rng::Rng;
use crate::trace::say;

/// The relay's address.
pub(super) const RELAY: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 9)), 4_000);
/// Coordinator time at the beginning.
pub(super) const START_MS: u64 = 1_750_000_000_000;
/// Within this long after the faults every honest player is served: a PING, four seconds of silence, a new attempt.
pub(super) const SERVED_WITHIN: Micros = 15 * SECOND;
/// What they say in this long after that has to arrive.
pub(super) const SERVED_FOR: Micros = 3 * SECOND;

/// What happened, by name: a world in which little happens proves little.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Faults, verdicts and ends, each with how often it came.
    pub met: BTreeMap<&'static str, u64>,
}

impl Done {
    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        for (name, times) in &other.met {
            *self.met.entry(name).or_default() += times;
        }
    }

    /// How often something happened.
    #[must_use]
    pub fn times(&self, name: &str) -> u64 {
        self.met.get(name).copied().unwrap_or(0)
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct RelayOutcome {
    /// Steps taken.
    pub steps: u64,
    /// Simulated time.
    pub simulated: Micros,
    /// Over every step.
    pub hash: u64,
    /// What was broken, if anything.
    pub violation: Option<Violation>,
    /// What happened.
    pub done: Done,
}

/// A payload on its way to a server.
pub(super) struct Sent {
    pub(super) player: usize,
    pub(super) server: SocketAddr,
    pub(super) digest: u64,
    pub(super) at: Micros,
    pub(super) arrived: bool,
    pub(super) answered: bool,
}

/// How far the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Faults,
    /// Everything has healed, at this time.
    Calm(Micros),
    /// Everybody has left, at this time.
    Leaving(Micros),
}

/// One simulated relay with its players and servers.
pub struct RelayWorld {
    pub(super) rng: Rng,
    pub(super) now: Micros,
    pub(super) steps: u64,
    pub(super) hash: u64,
    queue: BTreeMap<(Micros, u64), Ev>,
    queued: u64,
    pub(super) phase: Phase,
    pub(super) weather: Weather,
    pub(super) node: Node,
    pub(super) players: Vec<Player>,
    pub(super) sent: Vec<Sent>,
    /// Payloads of servers, by number: for whom, and whether he has it.
    pub(super) answers: Vec<(usize, bool)>,
    pub(super) captured: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    pub(super) cut_until: Micros,
    /// Numbers of payloads that the relay has forwarded.
    pub(super) arrived: BTreeSet<u32>,
    /// Digests of what the relay has sent to players.
    pub(super) node_said: BTreeSet<u64>,
    pub(super) done: Done,
    pub(super) broken: Option<Violation>,
}

impl RelayWorld {
    /// A new world; nothing runs yet.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x0072_656c_6179);
        let weather = Weather::new(&mut rng);
        let node = Node::new(&mut rng, &weather);
        let mut world = Self {
            rng,
            now: 0,
            steps: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            queue: BTreeMap::new(),
            queued: 0,
            phase: Phase::Faults,
            weather,
            node,
            players: Vec::new(),
            sent: Vec::new(),
            answers: Vec::new(),
            captured: VecDeque::new(),
            cut_until: 0,
            arrived: BTreeSet::new(),
            node_said: BTreeSet::new(),
            done: Done::default(),
            broken: None,
        };
        world.relay_starts();
        for _ in 0..world.weather.players {
            let player = world.player_is_made(None);
            let delay = world.rng.below(2_000) * MS;
            world.after(delay, Ev::Come { player });
        }
        world.after(SECOND, Ev::Fault);
        world
    }

    /// Runs it: so many steps with faults, then calm, then everybody leaves.
    #[must_use]
    pub fn run(mut self, steps: u64) -> RelayOutcome {
        while self.broken.is_none() && self.steps < steps {
            self.step();
        }
        self.calm_down();
        while self.broken.is_none() && !self.is_served() {
            self.step();
        }
        self.everybody_leaves();
        while self.broken.is_none() && !self.is_over() {
            self.step();
        }
        let Self { steps, now: simulated, hash, broken: violation, done, .. } = self;
        RelayOutcome { steps, simulated, hash, violation, done }
    }

    pub(super) fn at(&mut self, when: Micros, event: Ev) {
        self.queued += 1;
        self.queue.insert((when.max(self.now), self.queued), event);
    }

    pub(super) fn after(&mut self, delay: Micros, event: Ev) {
        self.at(self.now.saturating_add(delay), event);
    }

    pub(super) fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17);
    }

    pub(super) fn meet(&mut self, what: &'static str) {
        *self.done.met.entry(what).or_default() += 1;
    }

    pub(super) fn fail(&mut self, number: &'static str, what: String) {
        if self.broken.is_none() {
            self.broken = Some(Violation { number, what });
        }
    }

    pub(super) fn is_faulty(&self) -> bool {
        self.phase == Phase::Faults
    }

    fn step(&mut self) {
        let Some(((when, _), event)) = self.queue.pop_first() else {
            return self.fail("R11", "nothing is going to happen any more".to_owned());
        };
        self.steps += 1;
        self.now = when;
        self.mix(when);
        self.mix(event.digest());
        self.happen(event);
        if let Some(violation) = self.node.judged.broken() {
            let violation = violation.clone();
            say!(self, "BROKEN {}", violation.what);
            self.broken = self.broken.take().or(Some(violation));
        }
    }

    fn happen(&mut self, event: Ev) {
        if let Some(until) = self.relay_sleeps_until(&event) {
            return self.at(until, event);
        }
        match event {
            Ev::Datagram { from, to: RELAY, bytes } => self.relay_gets(from, &bytes),
            Ev::Datagram { from, to, bytes } => self.player_hears(from, to, &bytes),
            Ev::AtServer { socket, server, payload } => self.server_gets(socket, server, &payload),
            Ev::FromServer { socket, payload } => self.relay_gets_from_server(socket, &payload),
            Ev::RelayWake { start } => self.relay_wakes(start),
            Ev::RelayStart => self.relay_starts(),
            Ev::RelayHears { start } => self.relay_hears(start),
            Ev::Come { player } => self.player_comes(player),
            Ev::PlayerWake { player } => self.player_wakes(player),
            Ev::Say { player } => self.player_says(player),
            Ev::Fault => self.fault(),
        }
    }

    fn relay_sleeps_until(&self, event: &Ev) -> Option<Micros> {
        let is_relays = match event {
            Ev::Datagram { to, .. } => *to == RELAY,
            Ev::FromServer { .. } | Ev::RelayWake { .. } | Ev::RelayHears { .. } => true,
            _ => false,
        };
        (is_relays && self.node.paused_until > self.now).then_some(self.node.paused_until)
    }
}
