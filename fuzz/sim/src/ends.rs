//! How links end and stall: each end learns of it in its own time, and what was on its way may be lost.

use playgate_core::{Input, LinkId};

use crate::clock::{MS, Micros};
use crate::event::Ev;
use crate::ledger::Cause;
use crate::net::{Down, IDLE, Peer};
use crate::trace::say;
use crate::world::World;

impl World {
    /// The link breaks: nothing arrives any more, and both ends learn of it in their own time.
    pub(crate) fn break_conn(&mut self, conn: usize) {
        if self.conns[conn].dead {
            return;
        }
        say!(self, "link {conn} of {:?} breaks", self.conns[conn].peer);
        self.conns[conn].dead = true;
        let (quick, slow) = (50 * MS, IDLE);
        for event in [Ev::PeerLearns { conn }, Ev::CoordinatorLearns { conn }] {
            let most = if self.rng.chance(600) { quick } else { slow };
            let delay = self.rng.below(most);
            self.after(delay, event);
        }
    }

    /// The peer closes; what it sent last may not arrive, or may arrive when it is back on another link.
    pub(crate) fn peer_closes(&mut self, conn: usize) {
        let lingers = !self.is_calm() && self.weather.linger > 0 && self.rng.chance(self.weather.linger);
        let link = &mut self.conns[conn];
        if std::mem::replace(&mut link.peer_gone, true) {
            return;
        }
        let reachable = !link.dead && !lingers && link.stall_up <= self.now;
        link.dead |= !lingers;
        let delay = if reachable { self.link_delay() } else { self.rng.below(IDLE) };
        self.after(delay, Ev::CoordinatorLearns { conn });
    }

    /// The coordinator closes, behind what it sent before.
    pub(crate) fn coordinator_closes(&mut self, conn: usize, say_so: bool) {
        if say_so {
            self.send_down(conn, Down::Close);
        }
        self.conns[conn].closing = true;
        self.after(MS, Ev::CoordinatorLearns { conn });
    }

    pub(crate) fn peer_learns(&mut self, conn: usize) {
        if std::mem::replace(&mut self.conns[conn].peer_gone, true) {
            return;
        }
        self.conns[conn].dead = true;
        match self.conns[conn].peer {
            Peer::Agent(host) => self.agent_loses(host, conn),
            Peer::Server(server) => self.server_loses(server, conn),
            Peer::Backend(backend) => self.backend_loses(backend, conn),
            Peer::Stranger => {}
        }
    }

    pub(crate) fn coordinator_learns(&mut self, conn: usize) {
        let epoch = self.coordinator.epoch;
        let link = &mut self.conns[conn];
        if link.epoch != epoch || self.coordinator.core.is_none() || !link.opened || link.told_closed {
            return;
        }
        link.told_closed = true;
        self.coordinator.links.remove(&LinkId(conn as u64));
        self.coordinator_input(Input::Closed(LinkId(conn as u64)), Cause::Closed);
    }

    /// The coordinator is gone, and with it every link.
    pub(crate) fn all_links_end(&mut self) {
        let epoch = self.coordinator.epoch;
        for conn in 0..self.conns.len() {
            if self.conns[conn].epoch != epoch || self.conns[conn].dead {
                continue;
            }
            self.conns[conn].dead = true;
            let most = if self.rng.chance(500) { 200 * MS } else { IDLE };
            let delay = self.rng.below(most);
            self.after(delay, Ev::PeerLearns { conn });
        }
    }

    /// Nothing passes in one direction until then.
    pub(crate) fn stall(&mut self, conn: usize, up: bool, until: Micros) {
        let link = &mut self.conns[conn];
        let side = if up { &mut link.stall_up } else { &mut link.stall_down };
        *side = until.max(*side);
        if until > self.now + IDLE {
            self.after(IDLE, Ev::Break { conn });
        }
    }

    pub(crate) fn unstall(&mut self, conn: usize) {
        // What waits is pumped when its stall would have ended; an earlier pump takes it along.
        let link = &mut self.conns[conn];
        let (was_up, was_down) = (link.stall_up > self.now, link.stall_down > self.now);
        (link.stall_up, link.stall_down) = (0, 0);
        for _ in 0..if was_up { link.up.len() } else { 0 } {
            self.at(self.now, Ev::Pump { conn, up: true });
        }
        for _ in 0..if was_down { self.conns[conn].down.len() } else { 0 } {
            self.at(self.now, Ev::Pump { conn, up: false });
        }
        let now = self.now;
        let link = &mut self.conns[conn];
        (link.up_at, link.down_at) = (link.up_at.min(now), link.down_at.min(now));
    }
}
