//! Links between the coordinator and its peers: two ordered streams that can stall in one direction, and break at any
//! point, losing what was on its way. Each end learns of a break in its own time.

use std::collections::VecDeque;

use playgate_core::{Input, LinkId};
use playgate_protocol::agent::{AgentDown, AgentUp, LaunchOrder};
use playgate_protocol::api::{ApiDown, BackendUp, OperatorUp};
use playgate_protocol::server::{ServerDown, ServerUp};
use playgate_protocol::{Fingerprint, Greeting, Hello};

use crate::clock::{MS, Micros, SECOND};
use crate::event::Ev;
use crate::ledger::Cause;
use crate::world::World;

/// A link that hears nothing for this long is over.
pub(crate) const IDLE: Micros = 10 * SECOND;

/// At the other end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The agent of a host.
    Agent(usize),
    /// A game server.
    Server(usize),
    /// A backend.
    Backend(usize),
    /// Somebody who does not belong here.
    Stranger,
}

/// Towards the coordinator.
#[derive(Debug)]
pub enum Up {
    /// The first frame, and the key it came with.
    Hello(Box<Hello>, Fingerprint),
    /// From a game server.
    Server(ServerUp),
    /// From an agent.
    Agent(AgentUp),
    /// From a backend.
    Backend(BackendUp),
    /// From an operator.
    Operator(OperatorUp),
}

/// From the coordinator.
#[derive(Debug)]
pub enum Down {
    /// The first frame.
    Greeting(Greeting),
    /// To a game server.
    Server(ServerDown),
    /// To an agent.
    Agent(AgentDown),
    /// To a backend or operator.
    Api(ApiDown),
    /// The coordinator closed the link.
    Close,
}

/// One link.
#[derive(Debug)]
pub struct Conn {
    /// Who is at the other end.
    pub peer: Peer,
    /// Which start of the coordinator is at this end.
    pub epoch: u32,
    pub(crate) up: VecDeque<Up>,
    pub(crate) down: VecDeque<Down>,
    pub(crate) up_at: Micros,
    pub(crate) down_at: Micros,
    pub(crate) stall_up: Micros,
    pub(crate) stall_down: Micros,
    /// Nothing arrives any more.
    pub dead: bool,
    /// The coordinator has seen the hello.
    pub opened: bool,
    /// The coordinator reads no more.
    pub closing: bool,
    /// The last order to launch that left on it.
    pub launch: Option<Box<LaunchOrder>>,
    pub(crate) told_closed: bool,
    pub(crate) peer_gone: bool,
}

/// The directions in which a site is cut off, and until when.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cut {
    /// Towards the coordinator.
    pub up: Micros,
    /// From the coordinator.
    pub down: Micros,
}

impl World {
    /// Where a peer is: hosts first, then backends.
    pub(crate) fn site(&self, peer: Peer) -> usize {
        match peer {
            Peer::Agent(host) => host,
            Peer::Server(server) => self.servers[server].host,
            Peer::Backend(backend) => self.hosts.len() + backend,
            Peer::Stranger => usize::MAX,
        }
    }

    /// Where a server is cut off alone.
    pub(crate) fn place_of_server(server: usize) -> usize {
        1_000 + server
    }

    fn cut_of(&self, peer: Peer) -> Cut {
        let cut = self.cuts.get(&self.site(peer)).copied().unwrap_or_default();
        let Peer::Server(server) = peer else { return cut };
        let alone = self.cuts.get(&Self::place_of_server(server)).copied().unwrap_or_default();
        Cut { up: cut.up.max(alone.up), down: cut.down.max(alone.down) }
    }

    /// Dials the coordinator. Where nobody answers, the peer learns that the link is gone.
    pub(crate) fn dial(&mut self, peer: Peer, key: Fingerprint, hello: Hello) -> usize {
        let conn = self.conns.len();
        let cut = self.cut_of(peer);
        self.conns.push(Conn {
            peer,
            epoch: self.coordinator.epoch,
            up: VecDeque::new(),
            down: VecDeque::new(),
            up_at: 0,
            down_at: 0,
            stall_up: cut.up,
            stall_down: cut.down,
            dead: self.coordinator.core.is_none(),
            opened: false,
            closing: false,
            launch: None,
            told_closed: false,
            peer_gone: false,
        });
        if self.coordinator.core.is_none() {
            let refused_in = self.rng.between(5 * MS, 2 * SECOND);
            self.after(refused_in, Ev::PeerLearns { conn });
        } else {
            if cut.up.max(cut.down) > self.now + IDLE {
                self.after(IDLE, Ev::Break { conn });
            }
            self.send_up(conn, Up::Hello(Box::new(hello), key));
        }
        conn
    }

    pub(crate) fn send_up(&mut self, conn: usize, message: Up) {
        let delay = self.link_delay();
        let overtakes = !self.is_calm() && self.weather.overtake > 0 && self.rng.chance(self.weather.overtake);
        let link = &mut self.conns[conn];
        if link.dead || link.peer_gone {
            return;
        }
        link.up_at = (self.now + delay).max(link.up_at).max(link.stall_up);
        match message {
            Up::Server(ServerUp::Beat(_)) if overtakes => link.up.push_front(message),
            _ => link.up.push_back(message),
        }
        let at = link.up_at;
        self.at(at, Ev::Pump { conn, up: true });
    }

    pub(crate) fn send_down(&mut self, conn: usize, message: Down) {
        let delay = self.link_delay();
        let link = &mut self.conns[conn];
        if link.dead {
            return;
        }
        link.down_at = (self.now + delay).max(link.down_at).max(link.stall_down);
        link.down.push_back(message);
        let at = link.down_at;
        self.at(at, Ev::Pump { conn, up: false });
    }

    /// An order may come twice, as long as the coordinator does not know that its process has ended.
    pub(crate) fn repeat_launch(&mut self, conn: usize) {
        let Some(order) = self.conns[conn].launch.clone() else { return };
        let row = self.coordinator.mem.processes.get(&order.process);
        if row.is_some_and(|row| row.ended_ms.is_none()) && !self.is_calm() && self.rng.chance(self.weather.repeat) {
            self.send_down(conn, Down::Agent(AgentDown::Launch(*order)));
        }
    }

    pub(crate) fn link_delay(&mut self) -> Micros {
        let spread = if self.is_calm() { 5 * MS } else { self.weather.link_delay };
        100 + self.rng.below(spread)
    }

    pub(crate) fn pump(&mut self, conn: usize, up: bool) {
        let link = &mut self.conns[conn];
        if link.dead {
            return;
        }
        let stalled = if up { link.stall_up } else { link.stall_down };
        if stalled > self.now {
            return self.at(stalled, Ev::Pump { conn, up });
        }
        if up {
            if let Some(message) = link.up.pop_front() {
                self.coordinator_hears(conn, message);
            }
        } else if let Some(message) = link.down.pop_front()
            && !link.peer_gone
        {
            self.peer_hears(conn, message);
        }
    }

    fn coordinator_hears(&mut self, conn: usize, message: Up) {
        let link = LinkId(conn as u64);
        let peer = self.conns[conn].peer;
        let state = &mut self.conns[conn];
        if state.closing
            || state.told_closed
            || self.coordinator.core.is_none()
            || state.epoch != self.coordinator.epoch
        {
            return;
        }
        let (cause, input) = match message {
            Up::Hello(hello, key) => {
                state.opened = true;
                self.coordinator.links.insert(link);
                let launch_proven = self.launch_proven(&hello);
                let from = self.address_of(peer);
                (Cause::Hello, Input::Opened { link, peer: key, from, hello: *hello, launch_proven })
            }
            Up::Server(message) => (self.cause_of(peer), Input::Server(link, message)),
            Up::Agent(message) => (self.cause_of(peer), Input::Agent(link, message)),
            Up::Backend(message) => (Cause::Call, Input::Backend(link, message)),
            Up::Operator(message) => (Cause::Call, Input::Operator(link, message)),
        };
        self.log.from_older_link = match peer {
            Peer::Server(server) => self.coordinator.linked.get(&self.servers[server].process),
            Peer::Agent(host) => self.coordinator.agents.get(&host),
            Peer::Backend(_) | Peer::Stranger => None,
        }
        .is_some_and(|newest| *newest != link && !matches!(input, Input::Opened { .. }));
        self.log.repeated = match (&input, cause) {
            (Input::Server(_, ServerUp::Reports(batch)), Cause::Server(process)) => {
                let applied = self.coordinator.mem.processes.get(&process).map_or(0, |row| row.applied_seq);
                batch.first_seq > 0 && batch.first_seq.saturating_add(batch.reports.len() as u64) <= applied + 1
            }
            _ => false,
        };
        self.coordinator_input(input, cause);
    }

    fn cause_of(&self, peer: Peer) -> Cause {
        match peer {
            Peer::Server(server) => Cause::Server(self.servers[server].process),
            Peer::Agent(host) => Cause::Agent(host),
            Peer::Backend(_) | Peer::Stranger => Cause::Call,
        }
    }

    fn launch_proven(&self, hello: &Hello) -> bool {
        match &hello.credential {
            playgate_protocol::Credential::Launch { process, secret } => {
                self.keys.launch_credential(process) == *secret
            }
            _ => false,
        }
    }

    fn peer_hears(&mut self, conn: usize, message: Down) {
        let closed = matches!(message, Down::Close | Down::Greeting(Greeting::Refused(_)));
        match self.conns[conn].peer {
            Peer::Agent(host) => self.agent_hears(host, conn, message),
            Peer::Server(server) => self.server_hears(server, conn, message),
            Peer::Backend(backend) => self.backend_hears(backend, conn, message),
            Peer::Stranger => {}
        }
        if closed {
            self.conns[conn].peer_gone = true;
            self.conns[conn].dead = true;
        }
    }

    /// Links that stand.
    pub(crate) fn live_conns(&self) -> Vec<usize> {
        (0..self.conns.len()).filter(|conn| !self.conns[*conn].dead).collect()
    }
}
