//! What a seed is like: its network, its disk, its games and its fleet, and the world before the first fault.

use playgate_core::fleet::{FleetConfig, Millis, PortRange};
use playgate_protocol::api::{CreateJoinKey, OperatorCall};
use playgate_protocol::{Fingerprint, JoinRole, List, Secret32};

use crate::backend::fleet_id;
use crate::clock::{MS, Micros, Monotonic, SECOND};
use crate::coverage::Fault;
use crate::event::Ev;
use crate::host::Host;
use crate::rng::Rng;
use crate::world::World;

/// What a seed is like. Every seed has some kinds of faults and not others: two that hide each other do not always
/// come together.
#[derive(Debug)]
pub struct Weather {
    pub(crate) kinds: Vec<Fault>,
    pub(crate) fault_ms: u64,
    pub(crate) aimed: u64,
    pub(crate) link_delay: Micros,
    /// Beats may overtake reports, as on a stream of their own; what they say allows it.
    pub(crate) overtake: u64,
    /// Servers send reports again that they need not.
    pub(crate) repeat: u64,
    /// Links whose peer has closed them still bring what was on its way.
    pub(crate) linger: u64,
    /// Inputs that are taken in the same turn as the next ones.
    pub(crate) gather: u64,
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
            linger: pick(rng, &[0, 300, 900]),
            gather: pick(rng, &[0, 0, 300]),
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
                lifetime_ms: 30 * 24 * 3_600_000,
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
}
