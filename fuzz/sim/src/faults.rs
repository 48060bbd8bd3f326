//! Faults: which kinds a seed has and how often, and where they strike. Most are aimed at a deadline, a little before
//! or behind it: what is uniform misses the bugs that live there.

use playgate_core::fleet::{FleetConfig, Millis, PortRange};
use playgate_protocol::agent::ExitStatus;
use playgate_protocol::api::{CreateJoinKey, GameSessionStatus, OperatorCall, PlayerSessionStatus};
use playgate_protocol::{Credential, Fingerprint, HelloRole, JoinRole, List, Name, Secret32};

use crate::backend::fleet_id;
use crate::clock::{MS, Micros, Monotonic, SECOND};
use crate::coverage::Fault;
use crate::event::Ev;
use crate::host::Host;
use crate::mint::KEYS;
use crate::net::Peer;
use crate::rng::Rng;
use crate::server::Line;
use crate::trace::say;
use crate::world::World;

/// What a seed is like. Every seed has some kinds of faults and not others: two that hide each other do not always
/// come together.
#[derive(Debug)]
pub struct Weather {
    kinds: Vec<Fault>,
    fault_ms: u64,
    aimed: u64,
    pub(crate) link_delay: Micros,
    /// Beats may overtake reports, as on a stream of their own; what they say allows it.
    pub(crate) overtake: u64,
    /// Servers send reports again that they need not.
    pub(crate) repeat: u64,
    pub(crate) sync_delay: Micros,
    pub(crate) crash_before_answer: u64,
    pub(crate) downtime: Micros,
    pub(crate) overheard: u64,
    pub(crate) loss: u64,
    pub(crate) doubling: u64,
    pub(crate) reorder: u64,
    pub(crate) agent_dies_acting: u64,
    pub(crate) spawn_fails: u64,
    pub(crate) hang: u64,
    pub(crate) ready_ms: u64,
    pub(crate) load_ms: u64,
    pub(crate) session_ms: u64,
    pub(crate) play_ms: u64,
    pub(crate) call_ms: u64,
    pub(crate) sessions_max: usize,
    pub(crate) players_max: u64,
    pub(crate) per_host: u32,
    pub(crate) rejoin_grace_ms: u64,
    sessions_per_process: u32,
    tell_reason: bool,
    hosts: usize,
    pub(crate) byzantine: bool,
    pub(crate) tight: bool,
}

impl Weather {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let share = rng.between(150, 900);
        let kinds = Fault::ALL.iter().copied().filter(|_| rng.chance(share)).collect::<Vec<_>>();
        let kinds = if kinds.is_empty() { vec![Fault::LinkBreak] } else { kinds };
        let pick = |rng: &mut Rng, of: &[u64]| of[rng.below(of.len() as u64) as usize];
        let byzantine = rng.chance(300);
        Self {
            kinds,
            fault_ms: pick(rng, &[300, 800, 2_000, 5_000]),
            aimed: pick(rng, &[300, 700, 900]),
            link_delay: pick(rng, &[2, 20, 120]) * MS,
            overtake: pick(rng, &[0, 0, 400]),
            repeat: pick(rng, &[0, 100]),
            sync_delay: pick(rng, &[1, 5, 60, 400]) * MS,
            crash_before_answer: pick(rng, &[0, 0, 1, 4]),
            downtime: pick(rng, &[300, 2_000, 8_000]) * MS,
            overheard: pick(rng, &[0, 0, 100]),
            loss: pick(rng, &[0, 50, 300]),
            doubling: pick(rng, &[0, 20, 200]),
            reorder: pick(rng, &[0, 30, 200]),
            agent_dies_acting: pick(rng, &[0, 50, 1_000]),
            spawn_fails: pick(rng, &[0, 20, 200]),
            hang: pick(rng, &[0, 30, 120]),
            ready_ms: pick(rng, &[50, 1_000]),
            load_ms: pick(rng, &[50, 1_500]),
            session_ms: pick(rng, &[8_000, 20_000, 60_000]),
            play_ms: pick(rng, &[800, 5_000]),
            call_ms: pick(rng, &[100, 300, 900]),
            sessions_max: pick(rng, &[2, 4]) as usize,
            players_max: pick(rng, &[2, 4, 8]),
            per_host: pick(rng, &[1, 2, 3]) as u32,
            rejoin_grace_ms: pick(rng, &[500, 2_000]),
            sessions_per_process: pick(rng, &[0, 1, 3]) as u32,
            tell_reason: rng.chance(500),
            hosts: rng.between(1, 2) as usize,
            byzantine,
            tight: rng.chance(100),
        }
    }
}

impl World {
    /// The one fleet; its times are short, so that a run sees all of them.
    pub(crate) fn fleets(&self) -> Vec<FleetConfig> {
        let mut fleet = FleetConfig::named(fleet_id());
        fleet.command = List::first_of(["./server".parse().expect("fits"), "{port}".parse().expect("fits")]);
        fleet.ports = Some(PortRange { first: 7_000, last: 7_015 });
        fleet.processes_per_host = self.weather.per_host;
        fleet.sessions_per_process = self.weather.sessions_per_process;
        fleet.ready_timeout = Millis(4_000);
        fleet.activation_timeout = Millis(3_000);
        fleet.unhealthy_timeout = Millis(4_000);
        fleet.lost_after = Millis(12_000);
        fleet.exit_timeout = Millis(2_000);
        fleet.stop_grace = Millis(1_500);
        fleet.term_grace = Millis(500);
        fleet.reservation_timeout = Millis(4_000);
        fleet.rejoin_grace = Millis(self.weather.rejoin_grace_ms);
        fleet.tell_reason = self.weather.tell_reason;
        vec![fleet]
    }

    /// Before the first fault: a coordinator, its operator's keys, hosts, backends.
    pub(crate) fn set_up(&mut self) {
        self.coordinator_starts();
        for host in 0..self.weather.hosts {
            let secret = Secret32::from_bytes(self.rng.bytes());
            let create = CreateJoinKey {
                secret_sha256: secret.sha256(),
                role: JoinRole::Agent,
                fleet: None,
                uses: 1,
                lifetime_ms: 24 * 3_600_000,
            };
            self.auditor_enters();
            let _ = self.ask(OperatorCall::CreateJoinKey(create));
            let ppm = self.rng.between(0, 10_000) as i64 - 5_000;
            let clock = Monotonic::new(0, self.rng.below(1 << 38), ppm);
            let key = Fingerprint::from_bytes(self.rng.bytes());
            self.hosts.push(Host::new(clock, key, secret));
            self.after(MS, Ev::AgentStart { host });
        }
        self.sync_now();
        self.log.clear();
        for backend in 0..2 {
            self.backends.push(crate::backend::Backend::default());
            self.after(10 * MS, Ev::BackendWake { backend });
        }
        self.after(2 * SECOND, Ev::Fault);
    }

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
            Fault::CoordinatorPause => self.coordinator.paused_until = now + short,
            Fault::CoordinatorSleep => self.coordinator_sleeps(short, long),
            Fault::WallAhead | Fault::WallBack => self.wall_clock_steps(kind),
            Fault::KeyRotation => {
                self.keys.in_file = (self.keys.in_file + 1).min(KEYS);
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
            Fault::AgentCrash => self.on_host(|world, host| world.agent_crashes(host)),
            Fault::HostReboot => self.on_host(|world, host| world.host_reboots(host)),
            Fault::AgentDiskFull => self.on_host(|world, host| world.hosts[host].disk_full_until = now + short),
            Fault::ServerCrash => self.on_server(|world, server| world.server_exits(server, ExitStatus::Signal(11))),
            Fault::ServerPause => self.on_server(|world, server| world.servers[server].paused_until = now + short),
            Fault::ServerClock => self.on_server(|world, server| {
                let clock = &mut world.servers[server].clock;
                if short.is_multiple_of(2) { clock.leap(now, short) } else { clock.stand_still(now, short) }
            }),
            Fault::ServerSick => self.on_server(|world, server| world.servers[server].sick_until = now + long),
            Fault::UdpCut => self.udp_cut_until = now + short,
            Fault::Hostile => (0..4).for_each(|_| self.hostile_datagram()),
            Fault::Stranger => self.stranger(),
            Fault::Byzantine => self.byzantine_bursts(),
            Fault::DatagramTwice | Fault::PlayerRebind => {} // of the network and the players
        }
    }

    fn on_host(&mut self, act: impl FnOnce(&mut Self, usize)) {
        let host = self.rng.below(self.hosts.len() as u64) as usize;
        act(self, host);
    }

    fn on_server(&mut self, act: impl FnOnce(&mut Self, usize)) {
        let alive: Vec<usize> = (0..self.servers.len()).filter(|server| self.servers[*server].alive).collect();
        if let Some(server) = self.rng.pick(&alive).copied() {
            act(self, server);
        }
    }

    /// A laptop's lid, a paused virtual machine: the boot-time clock goes on, and so do its deadlines.
    fn coordinator_sleeps(&mut self, short: Micros, long: Micros) {
        if self.coordinator.core.is_some() {
            self.coordinator.paused_until = self.now + short;
            self.coordinator.boot.leap(self.now, if self.rng.chance(500) { long } else { short });
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
        let servers: Vec<_> = self.servers.iter().map(|server| server.process).collect();
        let name = Name::lossy("stranger");
        let (credential, role) = match (self.rng.below(4), self.rng.pick(&servers).copied()) {
            (0, Some(process)) => {
                // Copied from a process that may be bound already.
                let bound = self
                    .coordinator
                    .disk
                    .peers
                    .values()
                    .any(|peer| *peer == playgate_core::rows::Identity::Server(process));
                if !bound {
                    return;
                }
                let secret = self.keys.launch_credential(&process);
                (Credential::Launch { process, secret }, HelloRole::Server { name, advertise: None, held_version: 9 })
            }
            (1, Some(process)) => {
                let secret = Secret32::from_bytes(self.rng.bytes());
                (Credential::Launch { process, secret }, HelloRole::Server { name, advertise: None, held_version: 0 })
            }
            (2, _) => (Credential::Bound, HelloRole::Operator),
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
