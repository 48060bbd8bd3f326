//! Faults and where they strike. Most are aimed at a deadline, a little before or behind it: what is uniform misses the
//! bugs that live there.

use playgate_protocol::agent::ExitStatus;
use playgate_protocol::api::{GameSessionStatus, PlayerSessionStatus};
use playgate_protocol::{Credential, Fingerprint, HelloRole, Name, Secret32};

use crate::clock::{MS, Micros, SECOND};
use crate::coverage::Fault;
use crate::event::Ev;
use crate::mint::KEYS;
use crate::net::{IDLE, Peer};
use crate::server::Line;
use crate::trace::say;
use crate::world::World;

/// A machine that slept over lunch.
const HOUR: Micros = 3_600 * SECOND;

impl World {
    /// Plans the next fault, at a deadline or anywhere.
    pub(crate) fn fault(&mut self) {
        if self.is_calm() {
            return;
        }
        let pause = self.rng.between(self.weather.fault_ms / 4, self.weather.fault_ms * 2) * MS;
        self.after(pause, Ev::Fault);
        let kind = *self.rng.pick(&self.weather.kinds.clone()).expect("never empty");
        let deadlines = if self.rng.chance(self.weather.aimed) { self.deadlines() } else { Vec::new() };
        let Some(deadline) = self.rng.pick(&deadlines).copied() else { return self.strike(kind) };
        let before = self.rng.between(1, 300) * MS;
        let at = if self.rng.chance(800) { deadline.saturating_sub(before) } else { deadline + before };
        self.at(at, Ev::DeadlineFault { kind });
    }

    /// Everything that is due within the next quarter of a minute, as far as the rows and the nodes tell.
    fn deadlines(&mut self) -> Vec<Micros> {
        let mut due: Vec<u64> = Vec::new();
        let mem = &self.coordinator.mem;
        for row in mem.players.values().filter(|row| row.status == PlayerSessionStatus::Reserved) {
            due.push(row.expires_at_ms);
        }
        for row in mem.sessions.values() {
            match row.status {
                GameSessionStatus::Placing => due.push(row.place_by_ms),
                GameSessionStatus::Activating => due.push(row.created_ms + 3_000),
                GameSessionStatus::Terminating => due.extend(row.end_by_ms),
                GameSessionStatus::Active | GameSessionStatus::Terminated => {}
            }
        }
        for row in mem.processes.values().filter(|row| row.ended_ms.is_none()) {
            due.extend(row.drain.map(|drain| drain.deadline_ms));
            if row.ready_ms.is_none() {
                due.push(row.created_ms + 4_000);
            }
        }
        due.extend(self.coordinator.core.as_ref().and_then(playgate_core::Core::poll_timeout));
        let mut at: Vec<Micros> = due.into_iter().map(|ms| self.world_time_of(ms)).collect();
        at.extend(self.ledger.unlinked.values().map(|since| since + 12 * SECOND));
        for server in self.servers.iter().filter(|server| server.alive) {
            let lapse = server.gate.as_ref().and_then(playgate_gate::Gate::poll_timeout);
            at.extend(lapse.map(|at| server.clock.when(at)));
        }
        for host in &self.hosts {
            let next = host.agent.as_ref().and_then(playgate_agent_core::AgentCore::poll_timeout);
            at.extend(next.map(|at| host.clock.when(at)));
        }
        let (from, to) = (self.now, self.now + 15 * SECOND);
        at.retain(|at| (from..to).contains(at));
        at
    }

    /// It happens.
    pub(crate) fn strike(&mut self, kind: Fault) {
        if self.is_calm() {
            return;
        }
        say!(self, "FAULT {}", kind.as_str());
        if !matches!(kind, Fault::DatagramTwice | Fault::PlayerRebind) {
            self.meet(kind);
        }
        let now = self.now;
        let short = self.rng.between(20, 3_000) * MS;
        let long = self.rng.between(500, 20_000) * MS;
        match kind {
            Fault::CoordinatorCrash => self.coordinator_crashes(),
            Fault::CrashInBatch => {
                if self.coordinator.batch_in_flight() {
                    self.coordinator_crashes();
                } else if self.rng.chance(700) {
                    // It waits for a batch.
                    self.after(MS / 2, Ev::DeadlineFault { kind });
                }
            }
            Fault::SyncFails => self.coordinator.next_sync_fails = true,
            Fault::SlowDisk => self.coordinator.slow_until = now + long,
            Fault::DiskLow => self.coordinator.low_until = now + long,
            Fault::DiskFull => self.coordinator.full_until = now + short,
            Fault::CoordinatorPause => {
                self.coordinator.paused_until = now + self.stops_for(short, long);
                let conns = self.live_conns();
                self.links_of_the_stopped(&conns, self.coordinator.paused_until);
            }
            Fault::CoordinatorSleep => self.coordinator_sleeps(short, long),
            Fault::WallAhead | Fault::WallBack => self.wall_clock_steps(kind),
            Fault::KeyRotation | Fault::KeyWithdrawn if self.keys.made == KEYS => {}
            Fault::KeyRotation | Fault::KeyWithdrawn => {
                self.keys.made += 1;
                self.keys.withdrawn += usize::from(kind == Fault::KeyWithdrawn);
                self.coordinator_crashes();
            }
            Fault::LinkBreak | Fault::StallUp | Fault::StallDown => {
                let Some(conn) = self.rng.pick(&self.live_conns()).copied() else { return };
                match kind {
                    Fault::LinkBreak => self.break_conn(conn),
                    _ => self.stall(conn, kind == Fault::StallUp, now + short.min(long)),
                }
            }
            Fault::Partition | Fault::PartitionOneWay => self.cut_site(kind, now + long),
            Fault::AgentCrash | Fault::AgentDiskFull | Fault::AgentPause | Fault::AgentClock | Fault::HostReboot => {
                let host = self.rng.below(self.hosts.len() as u64) as usize;
                self.strike_host(kind, host, short, long);
            }
            Fault::ServerCrash | Fault::ServerPause | Fault::ServerClock | Fault::ServerSick => {
                let alive: Vec<usize> = (0..self.servers.len()).filter(|server| self.servers[*server].alive).collect();
                if let Some(server) = self.rng.pick(&alive).copied() {
                    self.strike_server(kind, server, short, long);
                }
            }
            Fault::UdpCut => self.udp_cut_until = now + short,
            Fault::Hostile => (0..4).for_each(|_| self.hostile_datagram()),
            Fault::Stranger => self.stranger(),
            Fault::Byzantine => self.byzantine_bursts(),
            Fault::DatagramTwice | Fault::PlayerRebind => {} // of the network and the players
        }
    }

    fn strike_host(&mut self, kind: Fault, host: usize, short: Micros, long: Micros) {
        let now = self.now;
        match kind {
            Fault::AgentDiskFull => self.hosts[host].disk_full_until = now + short,
            Fault::AgentPause => {
                let until = now + self.stops_for(short, long);
                self.hosts[host].paused_until = until;
                self.peer_stops(Peer::Agent(host), until);
            }
            Fault::AgentClock => {
                let by = if self.rng.chance(125) { HOUR } else { short };
                self.hosts[host].clock.leap(now, by);
                self.agent_looks_at_its_clock(host);
            }
            Fault::HostReboot => self.host_reboots(host),
            _ => self.agent_crashes(host),
        }
    }

    fn strike_server(&mut self, kind: Fault, server: usize, short: Micros, long: Micros) {
        let now = self.now;
        match kind {
            Fault::ServerPause => {
                let until = now + self.stops_for(short, long);
                self.servers[server].paused_until = until;
                self.peer_stops(Peer::Server(server), until);
            }
            Fault::ServerClock => {
                let roll = self.rng.below(16);
                let clock = &mut self.servers[server].clock;
                match roll {
                    0 => clock.leap(now, HOUR),
                    1..8 => clock.leap(now, short),
                    _ => clock.stand_still(now, short),
                }
            }
            Fault::ServerSick => self.servers[server].sick_until = now + long,
            _ => self.server_exits(server, ExitStatus::Signal(11)),
        }
    }

    /// Some nodes stop for longer than their links stand it.
    fn stops_for(&mut self, short: Micros, long: Micros) -> Micros {
        if self.rng.chance(100) { long } else { short }
    }

    /// A peer is stopped: the link it has does not stand that for ever.
    fn peer_stops(&mut self, peer: Peer, until: Micros) {
        let conns: Vec<usize> = self.live_conns().into_iter().filter(|conn| self.conns[*conn].peer == peer).collect();
        self.links_of_the_stopped(&conns, until);
    }

    fn links_of_the_stopped(&mut self, conns: &[usize], until: Micros) {
        if until > self.now + IDLE {
            conns.iter().for_each(|conn| self.after(IDLE, Ev::Break { conn: *conn }));
        }
    }

    /// A laptop's lid, a paused virtual machine: the boot-time clock goes on, and so do its deadlines.
    fn coordinator_sleeps(&mut self, short: Micros, long: Micros) {
        if self.coordinator.core.is_some() {
            self.coordinator.paused_until = self.now + short;
            let by = [short, short, long, long, HOUR][self.rng.below(5) as usize];
            self.coordinator.boot.leap(self.now, by);
        }
    }

    /// The wall clock counts at a start only. An hour or a day ahead ends every retention at once.
    fn wall_clock_steps(&mut self, kind: Fault) {
        let by_ms = [500, 5_000, 61_000, 3_601_000, 86_401_000][self.rng.below(5) as usize];
        let by_ms = i64::try_from(by_ms + self.rng.below(600)).expect("a day fits");
        let sign = if kind == Fault::WallAhead { 1 } else { -1 };
        self.coordinator.wall_offset_ms += sign * by_ms;
        if self.rng.chance(800) {
            self.coordinator_crashes();
        }
    }

    fn cut_site(&mut self, kind: Fault, until: Micros) {
        let mut site = self.rng.below((self.hosts.len() + self.backends.len()) as u64) as usize;
        let servers: Vec<usize> = (0..self.servers.len()).filter(|server| self.servers[*server].alive).collect();
        let alone = self.rng.pick(&servers).copied().filter(|_| self.rng.chance(400));
        site = alone.map_or(site, Self::place_of_server);
        // Ten seconds until the link is given up, twelve until the server is: some are cut off for longer.
        let until = if self.rng.chance(300) { until + 20 * SECOND } else { until };
        let (up, down) = match (kind, self.rng.chance(500)) {
            (Fault::Partition, _) => (true, true),
            (_, up) => (up, !up),
        };
        let cut = self.cuts.entry(site).or_default();
        cut.up = if up { until } else { cut.up };
        cut.down = if down { until } else { cut.down };
        for conn in self.live_conns() {
            let peer = self.conns[conn].peer;
            if self.site(peer) == site || alone.is_some_and(|server| peer == Peer::Server(server)) {
                if up {
                    self.stall(conn, true, until);
                }
                if down {
                    self.stall(conn, false, until);
                }
            }
        }
    }

    /// Somebody dials who does not belong here, or with a credential that was copied.
    fn stranger(&mut self) {
        let key = Fingerprint::from_bytes(self.rng.bytes());
        let name = Name::lossy("stranger");
        // A credential that is bound is of no use to him; he prefers one that nobody has presented.
        let bound = |process| {
            let mut peers = self.coordinator.disk.peers.values();
            peers.any(|peer| *peer == playgate_core::rows::Identity::Server(process))
        };
        let rows = self.coordinator.mem.processes.values();
        let fresh: Vec<_> = rows.filter(|row| row.ended_ms.is_none() && !bound(row.id)).map(|row| row.id).collect();
        let known: Vec<_> = self.servers.iter().map(|server| server.process).collect();
        let copied: Vec<_> = known.iter().copied().filter(|process| bound(*process)).collect();
        let guess = if fresh.is_empty() || self.rng.chance(200) { known } else { fresh };
        let (credential, role) =
            match (self.rng.below(4), self.rng.pick(&copied).copied(), self.rng.pick(&guess).copied()) {
                (0, Some(process), _) => {
                    let secret = self.keys.launch_credential(&process);
                    (
                        Credential::Launch { process, secret },
                        HelloRole::Server { name, advertise: None, held_version: 9 },
                    )
                }
                (1, _, Some(process)) => {
                    let secret = Secret32::from_bytes(self.rng.bytes());
                    (
                        Credential::Launch { process, secret },
                        HelloRole::Server { name, advertise: None, held_version: 0 },
                    )
                }
                (2, ..) => (Credential::Bound, HelloRole::Operator),
                _ => {
                    let secret = Secret32::from_bytes(self.rng.bytes());
                    (Credential::Join { secret }, HelloRole::Agent { name, advertise: None, capacity: 9 })
                }
            };
        self.dial(Peer::Stranger, key, Self::hello(credential, role));
    }

    fn byzantine_bursts(&mut self) {
        let liars: Vec<(usize, usize)> = (self.servers.iter().enumerate())
            .filter(|(_, server)| server.alive && server.is_byzantine)
            .filter_map(|(at, server)| match server.line {
                Line::Up(up) => Some((at, up.conn)),
                _ => None,
            })
            .collect();
        for (server, conn) in liars {
            for _ in 0..self.rng.between(1, 8) {
                self.byzantine_says(server, conn);
            }
        }
    }
}
