//! The state of one shard, and the door through which everything enters it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use playgate_protocol::api::{ErrorCode, Event, EventKind, Subject};
use playgate_protocol::relay::FlowRevocation;
use playgate_protocol::{
    Detail, Fingerprint, FleetId, GameSessionId, HostId, PlayerId, PlayerSessionId, RelayId, ServerProcessId, TimeMs,
};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::fleet::FleetConfig;
use crate::io::{CloseWhy, Input, LinkId, Output, Start, Turn};
use crate::limits::{Bounds, EVENTS_MAX, HIGH_WATER_MS};
use crate::relays::Relay;
use crate::retention::FullTerm;
use crate::rows::{
    GameSessionRow, HostRow, Identity, JoinKeyRow, PeerRow, PlayerSessionRow, ProcessRow, Row, SigningKeyRow,
};
use crate::throttle::Throttle;
use crate::timers::{Timer, Timers};
use crate::waiters::Waiters;

/// One shard: its processes, sessions, players, and everything that is due.
///
/// ```text
///   handle(now, input) ─┐                        ┌─► rows, to be made durable
///                       ├─► memory ─► take_turn ─┤
///   handle_timeout(now)─┘                        └─► outputs, which leave when the rows are durable
/// ```
///
/// Memory decides, rows follow: [`Core::take_turn`] hands over the rows of everything that changed since the last turn,
/// each once. The same inputs at the same times from the same [`Start`] give the same turns.
#[derive(Debug)]
pub struct Core {
    pub(crate) shard: u8,
    pub(crate) bounds: Bounds,
    /// Data for games of the sessions in status Placing, of all fleets.
    pub(crate) placing_data_bytes: usize,
    pub(crate) rng: ChaCha12Rng,
    pub(crate) now: TimeMs,
    pub(crate) store_low: bool,
    pub(crate) signing_keys: Vec<SigningKeyRow>,
    pub(crate) fleets: BTreeMap<FleetId, Fleet>,
    pub(crate) hosts: BTreeMap<HostId, Host>,
    pub(crate) relays: BTreeMap<RelayId, Relay>,
    pub(crate) processes: BTreeMap<ServerProcessId, Process>,
    pub(crate) ended_processes: FullTerm<ServerProcessId>,
    pub(crate) sessions: BTreeMap<GameSessionId, GameSession>,
    pub(crate) ended_sessions: FullTerm<GameSessionId>,
    pub(crate) players: BTreeMap<PlayerSessionId, PlayerSessionRow>,
    pub(crate) join_keys: BTreeMap<[u8; 32], JoinKeyRow>,
    pub(crate) peers: BTreeMap<Fingerprint, Identity>,
    pub(crate) links: BTreeMap<LinkId, Identity>,
    pub(crate) session_requests: BTreeMap<(FleetId, String), GameSessionId>,
    pub(crate) player_requests: BTreeMap<(GameSessionId, String), Vec<PlayerSessionId>>,
    pub(crate) waiters: Waiters,
    pub(crate) timers: Timers,
    pub(crate) events: VecDeque<Event>,
    throttle: Throttle,
    /// Servers that are to hear what is wanted of them, at the end of the turn.
    pub(crate) wanted_due: BTreeSet<ServerProcessId>,
    /// Whose flows end in this turn, and whose a little later.
    pub(crate) flows_over: Vec<FlowRevocation>,
    pub(crate) flows_ending: BTreeSet<(TimeMs, PlayerSessionId)>,
    /// Where players are who have a flow through a relay, of those who hold a slot.
    pub(crate) player_addresses: BTreeMap<PlayerSessionId, SocketAddr>,
    dirty: BTreeSet<RowKey>,
    events_written: u64,
    high_water_due: bool,
    outputs: Vec<Output>,
}

/// A fleet and what follows from its processes and sessions.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) config: Arc<FleetConfig>,
    /// Processes in status Ready.
    pub(crate) ready: BTreeSet<ServerProcessId>,
    /// Sessions in status Placing, oldest first.
    pub(crate) placing: BTreeSet<GameSessionId>,
    /// Launch failures in a row, by host.
    pub(crate) failures: BTreeMap<HostId, u32>,
}

#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) row: HostRow,
    pub(crate) link: Option<LinkId>,
    /// Processes that are not Ended.
    pub(crate) live: BTreeSet<ServerProcessId>,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) row: ProcessRow,
    pub(crate) fleet: Arc<FleetConfig>,
    /// The key bound to it.
    pub(crate) peer: Option<Fingerprint>,
    pub(crate) link: Option<LinkId>,
    pub(crate) unreachable_since: Option<TimeMs>,
    pub(crate) unwell_since: Option<TimeMs>,
    pub(crate) bad_beats: u32,
    pub(crate) last_beat: TimeMs,
    /// Address it or its agent gave, for the moment it is ready.
    pub(crate) advertise: Option<std::net::IpAddr>,
    /// Version of the last wanted state sent.
    pub(crate) wanted_version: u64,
    /// Keys offered with wanted states that the server has not acknowledged, oldest first, and what it acknowledged.
    pub(crate) offers: VecDeque<KeyOffer>,
    pub(crate) minting: Option<(u16, u16)>,
    /// The floor it sent last, and the report that covers the admissions before it.
    pub(crate) floor: Option<(TimeMs, u64)>,
    pub(crate) floor_ahead: bool,
    pub(crate) views_differ: bool,
}

/// Key id and epoch that a server knows once it holds `version`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyOffer {
    pub(crate) version: u64,
    pub(crate) key_id: u16,
    pub(crate) gate_epoch: u16,
}

#[derive(Debug)]
pub(crate) struct GameSession {
    pub(crate) row: GameSessionRow,
    pub(crate) next_ordinal: u32,
    /// Every player session that is remembered.
    pub(crate) players: BTreeSet<PlayerSessionId>,
    /// Those that hold a slot, by player.
    pub(crate) live: BTreeMap<PlayerId, PlayerSessionId>,
    pub(crate) active: u16,
    /// Reserved ones by expiry.
    pub(crate) expiries: BTreeSet<(TimeMs, PlayerSessionId)>,
}

impl GameSession {
    /// Slots held by unused tokens.
    pub(crate) fn reserved(&self) -> u16 {
        u16::try_from(self.live.len()).expect("live players are at most max_players, a u16") - self.active
    }
}

/// Rows that changed in this turn.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RowKey {
    SigningKey(u16),
    Fleet(FleetId),
    Host(HostId),
    Relay(RelayId),
    JoinKey([u8; 32]),
    Peer(Fingerprint),
    Process(ServerProcessId),
    GameSession(GameSessionId),
    PlayerSession(PlayerSessionId),
}

impl Core {
    pub(crate) fn empty(start: Start, bounds: Bounds) -> Self {
        let mut core = Self {
            shard: start.shard,
            bounds,
            placing_data_bytes: 0,
            rng: ChaCha12Rng::from_seed(start.seed),
            now: start.now_ms,
            store_low: false,
            signing_keys: Vec::new(),
            fleets: BTreeMap::new(),
            hosts: BTreeMap::new(),
            relays: BTreeMap::new(),
            processes: BTreeMap::new(),
            ended_processes: FullTerm::new(),
            sessions: BTreeMap::new(),
            ended_sessions: FullTerm::new(),
            players: BTreeMap::new(),
            join_keys: BTreeMap::new(),
            peers: BTreeMap::new(),
            links: BTreeMap::new(),
            session_requests: BTreeMap::new(),
            player_requests: BTreeMap::new(),
            waiters: Waiters::default(),
            timers: Timers::default(),
            events: VecDeque::new(),
            throttle: Throttle::default(),
            wanted_due: BTreeSet::new(),
            flows_over: Vec::new(),
            flows_ending: BTreeSet::new(),
            player_addresses: BTreeMap::new(),
            dirty: BTreeSet::new(),
            events_written: 0,
            high_water_due: true,
            outputs: Vec::new(),
        };
        core.timers.set(Timer::HighWater, start.now_ms + HIGH_WATER_MS);
        core
    }

    /// Takes one input. `now` never goes back; an earlier one counts as the latest seen.
    pub fn handle(&mut self, now: TimeMs, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::ApplyFleet(config) => self.apply_fleet(config),
            Input::ApplySigningKey { key_id, public_key } => self.apply_signing_key(key_id, public_key),
            Input::KeepSigningKeys(held) => self.keep_signing_keys(&held),
            Input::ApplyOperator(peer) => self.apply_operator(peer),
            Input::Opened { link, peer, from, hello, launch_proven } => {
                self.opened(link, peer, from, hello, launch_proven)
            }
            Input::Closed(link) => self.closed(link),
            Input::Server(link, message) => self.server_said(link, message),
            Input::Agent(link, message) => self.agent_said(link, message),
            Input::Relay(link, message) => self.relay_said(link, message),
            Input::Backend(link, message) => self.backend_said(link, message),
            Input::Operator(link, message) => self.operator_said(link, message),
            Input::StoreLow(low) => self.store_low(low),
            Input::ClockSkew(detail) => self.event(EventKind::ClockSkew, Subject::Coordinator, detail.as_str()),
        }
    }

    /// When [`Core::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<TimeMs> {
        self.timers.next()
    }

    /// Does what is due, at most `budget` things; call again while [`Core::poll_timeout`] is in the past.
    pub fn handle_timeout(&mut self, now: TimeMs, budget: usize) {
        self.now = self.now.max(now);
        for _ in 0..budget {
            let Some(timer) = self.timers.due(self.now) else { return };
            self.fire(timer);
        }
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::HighWater => {
                self.high_water_due = true;
                self.timers.set(Timer::HighWater, self.now + HIGH_WATER_MS);
            }
            Timer::Ready(process) => self.ready_overdue(process),
            Timer::Health(process) => self.beat_overdue(process),
            Timer::Unhealthy(process) => self.unhealthy_overdue(process),
            Timer::Lost(process) => self.lost_overdue(process),
            Timer::Drain(process) => self.drain_overdue(process),
            Timer::ForgetProcess(process) => self.forget_process(process),
            Timer::Activation(session) => self.activation_overdue(session),
            Timer::Placement(session) => self.placement_overdue(session),
            Timer::SessionEnd(session) => self.session_end_overdue(session),
            Timer::ForgetSession(session) => self.forget_session(session),
            Timer::ForgetPlayer(player) => self.forget_player(player),
            Timer::Launch(fleet, host) => self.reconcile(&fleet, host),
            Timer::RotateRelay(relay) => self.rotate_relay(relay),
            Timer::EndFlows => self.end_flows(),
            Timer::Waiter(waiter) => self.waiter_overdue(waiter),
        }
    }

    /// Everything since the last turn. A turn with nothing in it is empty.
    pub fn take_turn(&mut self) -> Turn {
        for process in std::mem::take(&mut self.wanted_due) {
            self.put_wanted(process);
        }
        self.put_revocations();
        let mut rows: Vec<Row> = std::mem::take(&mut self.dirty).into_iter().map(|key| self.row(key)).collect();
        let written = self.events.partition_point(|event| event.seq <= self.events_written);
        rows.extend(self.events.iter().skip(written).cloned().map(Row::Event));
        if let Some(last) = self.events.back().map(|event| event.seq) {
            let retained = EVENTS_MAX as u64;
            if last / 256 != self.events_written / 256 && last > retained {
                rows.push(Row::ForgetEvents(last - retained));
            }
            self.events_written = last;
        }
        if std::mem::take(&mut self.high_water_due) {
            rows.push(Row::HighWater(self.now));
        }
        Turn { rows, outputs: std::mem::take(&mut self.outputs) }
    }

    /// The row under a key as it is at present; where there is nothing, the order to forget it.
    fn row(&self, key: RowKey) -> Row {
        match key {
            RowKey::SigningKey(id) => {
                let row = self.signing_keys.iter().find(|row| row.key_id == id);
                row.map_or(Row::ForgetSigningKey(id), |row| Row::SigningKey(*row))
            }
            RowKey::Fleet(id) => Row::Fleet(FleetConfig::clone(&self.fleet(&id).config)),
            RowKey::Host(id) => Row::Host(self.hosts.get(&id).expect("hosts are never removed").row.clone()),
            RowKey::Relay(id) => Row::Relay(self.relays.get(&id).expect("relays are never removed").row.clone()),
            RowKey::JoinKey(id) => self.join_keys.get(&id).cloned().map_or(Row::ForgetJoinKey(id), Row::JoinKey),
            RowKey::Peer(fingerprint) => match self.peers.get(&fingerprint) {
                Some(identity) => Row::Peer(PeerRow { fingerprint, identity: *identity }),
                None => Row::ForgetPeer(fingerprint),
            },
            RowKey::Process(id) => match self.processes.get(&id) {
                Some(process) => Row::Process(Box::new(process.row.clone())),
                None => Row::ForgetProcess(id),
            },
            RowKey::GameSession(id) => match self.sessions.get(&id) {
                Some(session) => Row::GameSession(Box::new(session.row.clone())),
                None => Row::ForgetGameSession(id),
            },
            RowKey::PlayerSession(id) => match self.players.get(&id) {
                Some(row) => Row::PlayerSession(Box::new(row.clone())),
                None => Row::ForgetPlayerSession(id),
            },
        }
    }

    pub(crate) fn mark(&mut self, key: RowKey) {
        self.dirty.insert(key);
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push(output);
    }

    pub(crate) fn event(&mut self, kind: EventKind, subject: Subject, detail: &str) {
        let more = match self.throttle.admit(kind, self.now) {
            None => return,
            Some(0) => String::new(),
            Some(left_out) => format!(" (and {left_out} more of this kind before)"),
        };
        let detail = &format!("{detail}{more}");
        let seq = self.events.back().map_or(1, |event| event.seq + 1);
        self.restore_event(Event { seq, at_ms: self.now, kind, subject, detail: Detail::lossy(detail) });
    }

    pub(crate) fn restore_event(&mut self, event: Event) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Events loaded from the store need not be written again.
    pub(crate) fn events_are_written(&mut self) {
        self.events_written = self.events.back().map_or(0, |event| event.seq);
    }

    /// Shard, time, and nine random bytes: the parts of every id.
    pub(crate) fn id_parts(&mut self) -> (u8, u64, [u8; 9]) {
        let mut random = [0; 9];
        self.rng.fill_bytes(&mut random);
        (self.shard, self.now, random)
    }

    /// Between half of `ms` and all of it.
    pub(crate) fn jittered(&mut self, ms: u64) -> u64 {
        ms / 2 + self.rng.next_u64() % (ms / 2 + 1)
    }

    pub(crate) fn fleet(&self, id: &FleetId) -> &Fleet {
        self.fleets.get(id).expect("fleets are never removed while something of theirs is remembered")
    }

    pub(crate) fn fleet_mut(&mut self, id: &FleetId) -> &mut Fleet {
        self.fleets.get_mut(id).expect("fleets are never removed while something of theirs is remembered")
    }

    /// A peer said what it must not say: its link closes, and it is on record.
    pub(crate) fn violation(&mut self, link: LinkId, subject: Subject, what: &str) {
        self.event(EventKind::ProtocolViolation, subject, what);
        self.output(Output::Close { link, why: CloseWhy::Protocol });
    }

    fn store_low(&mut self, low: bool) {
        if low == self.store_low {
            return;
        }
        self.store_low = low;
        let what =
            if low { "disk nearly full: new sessions, players and keys are refused" } else { "disk has room again" };
        self.event(EventKind::StoreSpace, Subject::Coordinator, what);
        if !low {
            let fleets: Vec<FleetId> = self.fleets.keys().cloned().collect();
            fleets.iter().for_each(|fleet| self.reconcile_everywhere(fleet));
        }
    }

    /// Refuses what would need new rows while the disk is nearly full.
    pub(crate) fn room_for_new_facts(&self) -> Result<(), Refused> {
        if self.store_low {
            return Err(refused(
                ErrorCode::StoreFull,
                "the coordinator's disk is nearly full; free space in its data directory",
            ));
        }
        Ok(())
    }
}

/// A refused call, before it has a number.
pub(crate) type Refused = playgate_protocol::api::CallError;

pub(crate) fn refused(code: ErrorCode, detail: &str) -> Refused {
    let retry_after_ms = match code {
        ErrorCode::Busy | ErrorCode::ServerUnavailable | ErrorCode::StoreFull => 1_000,
        _ => 0,
    };
    Refused { code, detail: Detail::lossy(detail), retry_after_ms }
}
