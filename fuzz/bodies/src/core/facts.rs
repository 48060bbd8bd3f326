//! The reference model's memory: what was promised to whom and what holds a slot, from the messages alone.

use std::collections::{BTreeMap, BTreeSet};

use playgate_core::rows::Identity;
use playgate_core::{CloseWhy, Input, LinkId, Output, Welcomed};
use playgate_protocol::agent::AgentUp;
use playgate_protocol::api::{
    BackendCall, BackendUp, CreateGameSession, CreatePlayerSessions, GameSessionStatus, OperatorCall, OperatorUp,
    PlayerSessionStatus,
};
use playgate_protocol::relay::{RelayBeat, RelayDown, RelayUp};
use playgate_protocol::server::{Beat, PlayerOutcome, Report, ReportBatch, ServerDown, ServerUp};
use playgate_protocol::{FleetId, GameSessionId, HostId, PlayerId, PlayerSessionId, RelayId, ServerProcessId};
use playgate_sim::disk::{Change, Image};

/// A server whose floor is further ahead gets no reservations.
const FLOOR_AHEAD_MS_MAX: u64 = 5_000;

/// By then every call is answered.
const WAIT_MS_MAX: u64 = 600_000;

/// A slot that is sold.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slot {
    pub(super) session: GameSessionId,
    pub(super) player: PlayerId,
    pub(super) expires_ms: u64,
    pub(super) is_active: bool,
    pub(super) revoking: bool,
}

/// What a server said and was told, in this life of the coordinator.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerFacts {
    /// Its last floor, and the report that covers the admissions before it.
    floor: Option<(u64, u64)>,
    pub(super) runs_ahead: bool,
    /// Keys by the version of the wanted state that named them.
    told: BTreeMap<u64, BTreeSet<u16>>,
    held_version: u64,
}

impl ServerFacts {
    /// Keys that it has said it knows.
    pub(super) fn known_keys(&self) -> BTreeSet<u16> {
        self.told.range(..=self.held_version).flat_map(|(_, keys)| keys.iter().copied()).collect()
    }
}

/// Everything that binds.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) slots: BTreeMap<PlayerSessionId, Slot>,
    pub(super) session_keys: BTreeMap<(FleetId, String), (CreateGameSession, GameSessionId)>,
    pub(super) player_keys: BTreeMap<(GameSessionId, String), (CreatePlayerSessions, Vec<PlayerSessionId>)>,
    /// Ordinals of tickets that were decided.
    pub(super) ordinals: BTreeSet<(GameSessionId, u32)>,
    server_reports: BTreeMap<ServerProcessId, u64>,
    agent_reports: BTreeMap<HostId, u64>,
    // From here on nothing outlives the coordinator's process.
    pub(super) links: BTreeMap<LinkId, Identity>,
    pub(super) servers: BTreeMap<ServerProcessId, ServerFacts>,
    /// What relays that are linked said of themselves last.
    relays: BTreeMap<RelayId, RelayBeat>,
    /// Open calls and when they must be answered.
    pub(super) calls: BTreeMap<(LinkId, u64), u64>,
    pub(super) store_low: bool,
}

impl Facts {
    pub(super) fn forget_what_is_not_kept(&mut self) {
        self.links.clear();
        self.servers.clear();
        self.relays.clear();
        self.calls.clear();
        self.store_low = false;
    }

    pub(super) fn is_linked(&self, process: ServerProcessId) -> bool {
        self.links.values().any(|identity| *identity == Identity::Server(process))
    }

    pub(super) fn server_reports(&self, process: ServerProcessId) -> u64 {
        self.server_reports.get(&process).copied().unwrap_or(0)
    }

    pub(super) fn agent_reports(&self, host: HostId) -> u64 {
        self.agent_reports.get(&host).copied().unwrap_or(0)
    }

    /// Who says this, if the link may say it.
    pub(super) fn speaker(&self, input: &Input) -> Option<Identity> {
        let identity = |link| self.links.get(link).copied();
        match input {
            Input::Server(link, _) => identity(link).filter(|who| matches!(who, Identity::Server(_))),
            Input::Agent(link, _) => identity(link).filter(|who| matches!(who, Identity::Agent(_))),
            Input::Relay(link, _) => identity(link).filter(|who| matches!(who, Identity::Relay(_))),
            Input::Backend(link, _) => {
                identity(link).filter(|who| matches!(who, Identity::Backend | Identity::Operator))
            }
            Input::Operator(link, _) => identity(link).filter(|who| *who == Identity::Operator),
            _ => None,
        }
    }

    /// What an input changes, before the core has seen it.
    pub(super) fn foretell(&mut self, mem: &Image, now: u64, input: &Input) {
        match (input, self.speaker(input)) {
            (Input::Server(_, ServerUp::Reports(batch)), Some(Identity::Server(process))) => {
                self.reports(mem, process, batch);
            }
            (Input::Server(_, ServerUp::Beat(beat)), Some(Identity::Server(process))) => {
                self.beat(mem, now, process, beat);
            }
            (Input::Agent(_, AgentUp::Reports(batch)), Some(Identity::Agent(host))) => {
                let applied = self.agent_reports(host);
                if batch.first_seq > 0 && batch.first_seq <= applied + 1 {
                    let through = (batch.first_seq + batch.reports.len() as u64).saturating_sub(1);
                    self.agent_reports.insert(host, applied.max(through));
                }
            }
            (Input::Relay(_, RelayUp::Beat(beat)), Some(Identity::Relay(relay))) => {
                self.relays.insert(relay, *beat);
            }
            (Input::Closed(link), _) => {
                if let Some(Identity::Relay(relay)) = self.links.get(link) {
                    self.relays.remove(relay);
                }
                self.links.remove(link);
                self.calls.retain(|(of, _), _| of != link);
            }
            (Input::StoreLow(low), _) => self.store_low = *low,
            (Input::Backend(link, BackendUp { request, call }), Some(_))
            | (Input::Operator(link, OperatorUp { request, call: OperatorCall::Backend(call) }), Some(_)) => {
                // What is created settles by its placement and activation timeouts, which its fleet sets.
                let creates = matches!(call, BackendCall::CreateGameSession(_));
                let deadline = if creates { u64::MAX } else { now + WAIT_MS_MAX };
                assert_eq!(self.calls.insert((*link, *request), deadline), None, "numbers are used once");
            }
            (Input::Operator(link, OperatorUp { request, .. }), Some(_)) => {
                assert_eq!(self.calls.insert((*link, *request), now + WAIT_MS_MAX), None, "numbers are used once");
            }
            _ => {}
        }
    }

    /// Each report counts once, in order, and only about the session that the server hosts.
    fn reports(&mut self, mem: &Image, process: ServerProcessId, batch: &ReportBatch) {
        let applied = self.server_reports(process);
        if batch.first_seq == 0 || batch.first_seq > applied + 1 {
            return;
        }
        let hosted = mem.processes.get(&process).and_then(|row| row.session);
        let numbered = (batch.first_seq..).zip(&batch.reports);
        for (_, report) in numbered.filter(|(seq, _)| *seq > applied) {
            if let Report::Player { session, player_session, outcome } = report
                && hosted == Some(*session)
            {
                self.outcome(*session, *player_session, *outcome);
            }
        }
        let through = batch.first_seq + batch.reports.len() as u64 - 1;
        self.server_reports.insert(process, applied.max(through));
        self.expire(hosted, process);
    }

    fn outcome(&mut self, session: GameSessionId, player: PlayerSessionId, outcome: PlayerOutcome) {
        let Some(slot) = self.slots.get_mut(&player).filter(|slot| slot.session == session) else { return };
        match outcome {
            PlayerOutcome::Active { .. } => slot.is_active = true,
            PlayerOutcome::Completed { .. } => drop(self.slots.remove(&player)),
            PlayerOutcome::Blocked if slot.revoking && !slot.is_active => drop(self.slots.remove(&player)),
            PlayerOutcome::Blocked => {}
        }
    }

    fn beat(&mut self, mem: &Image, now: u64, process: ServerProcessId, beat: &Beat) {
        let server = self.servers.entry(process).or_default();
        server.floor = Some((beat.floor_ms, beat.through_seq));
        server.runs_ahead = beat.floor_ms > now.saturating_add(FLOOR_AHEAD_MS_MAX);
        server.held_version = server.held_version.max(beat.held_version);
        let hosted = mem.processes.get(&process).and_then(|row| row.session);
        self.expire(hosted, process);
    }

    /// Below the floor nothing is admitted any more, and all admissions before it are known.
    fn expire(&mut self, hosted: Option<GameSessionId>, process: ServerProcessId) {
        let applied = self.server_reports(process);
        let floor = self.servers.get(&process).and_then(|server| server.floor);
        let (Some(session), Some((floor, _))) = (hosted, floor.filter(|(_, through)| *through <= applied)) else {
            return;
        };
        self.slots.retain(|_, slot| slot.session != session || slot.is_active || slot.expires_ms > floor);
    }

    /// What the core decided: ends free slots, welcomes make links. Gives the outputs with whom they are for.
    pub(super) fn absorb(
        &mut self,
        changes: &[Change],
        outputs: Vec<Output>,
        mem: &Image,
    ) -> Vec<(Output, Option<Identity>)> {
        for change in changes {
            match change {
                Change::Session(_, Some(row)) if row.status == GameSessionStatus::Terminated => {
                    self.slots.retain(|_, slot| slot.session != row.id);
                }
                Change::Session(Some(row), None) => {
                    self.session_keys.retain(|_, (_, id)| *id != row.id);
                    self.player_keys.retain(|(session, _), _| *session != row.id);
                }
                Change::Player(Some(row), None) => {
                    let key = (row.game_session, row.idempotency_key.as_str().to_owned());
                    if let Some((_, made)) = self.player_keys.get_mut(&key) {
                        made.retain(|id| *id != row.id);
                    }
                    self.player_keys.retain(|_, (_, made)| !made.is_empty());
                }
                Change::Process(Some(row), None) => {
                    self.server_reports.remove(&row.id);
                    self.servers.remove(&row.id);
                }
                _ => {}
            }
        }
        outputs.into_iter().map(|output| self.hear(output, mem)).collect()
    }

    fn hear(&mut self, output: Output, mem: &Image) -> (Output, Option<Identity>) {
        let link = output.link();
        let to = self.links.get(&link).copied();
        match &output {
            Output::Welcome { role, .. } => self.welcome(link, role),
            Output::Refuse { .. } => assert_eq!(to, None, "a peer was welcome and is refused"),
            Output::Server(_, ServerDown::Wanted(wanted)) => {
                let Some(Identity::Server(process)) = to else { panic!("wanted state for {to:?}") };
                let server = self.servers.entry(process).or_default();
                let last = server.told.last_key_value().map_or(0, |(version, _)| *version);
                assert!(wanted.version > last, "version {} after {last} for {process}", wanted.version);
                let hosted = mem.processes.get(&process).and_then(|row| row.session);
                assert_eq!(wanted.session.as_ref().map(|session| session.id), hosted, "another session is wanted");
                server.told.insert(wanted.version, wanted.keys.iter().map(|key| key.key_id).collect());
            }
            Output::Server(..) => assert!(matches!(to, Some(Identity::Server(_))), "{output:?} for {to:?}"),
            Output::Launch { .. } | Output::Stop { .. } | Output::AgentAck { .. } | Output::AgentClock { .. } => {
                assert!(matches!(to, Some(Identity::Agent(_))), "{output:?} for {to:?}");
            }
            Output::Relay(_, message) => {
                assert!(matches!(to, Some(Identity::Relay(_))), "{output:?} for {to:?}");
                if let RelayDown::Revoke(over) = message {
                    let holds = |id| mem.players.get(&id).is_some_and(|row| row.ended_ms.is_none() && !row.revoking);
                    let wrong = over.iter().find(|over| holds(over.player_session));
                    assert_eq!(wrong, None, "a relay ends the flow of a player who holds his slot");
                }
            }
            Output::RelaySecrets { relay, number, .. } => {
                assert_eq!(to, Some(Identity::Relay(*relay)));
                assert_eq!(*number, mem.relays[relay].secret);
            }
            Output::Answer { request, .. } | Output::Tickets { request, .. } => {
                assert!(self.calls.remove(&(link, *request)).is_some(), "{output:?} is no answer to a call");
            }
            Output::Close { why, .. } if *why != CloseWhy::Protocol => drop(self.links.remove(&link)),
            _ => {}
        }
        let to = if let Output::Welcome { .. } = output { self.links.get(&link).copied() } else { to };
        (output, to)
    }

    fn welcome(&mut self, link: LinkId, role: &Welcomed) {
        let identity = match role {
            Welcomed::Server { process, applied_seq, .. } => {
                assert_eq!(*applied_seq, self.server_reports(*process), "a server is told of other reports");
                Identity::Server(*process)
            }
            Welcomed::Agent { host, applied_seq } => {
                assert_eq!(*applied_seq, self.agent_reports(*host), "an agent is told of other reports");
                Identity::Agent(*host)
            }
            Welcomed::Backend => Identity::Backend,
            Welcomed::Operator => Identity::Operator,
            Welcomed::Relay(relay) => {
                self.relays.remove(relay); // what it said on an older link counts no more
                Identity::Relay(*relay)
            }
        };
        if matches!(identity, Identity::Server(_) | Identity::Agent(_) | Identity::Relay(_)) {
            assert!(!self.links.values().any(|other| *other == identity), "{identity:?} has two links");
        }
        self.links.insert(link, identity);
    }

    /// Whether some relay takes players: it has room, and a secret that is not too old.
    pub(super) fn has_relay(&self, mem: &Image) -> bool {
        self.relays.iter().any(|(relay, beat)| {
            let secret = mem.relays[relay].secret;
            let is_linked = self.links.values().any(|identity| *identity == Identity::Relay(*relay));
            let is_known = beat.secret > 0 && beat.secret <= secret && beat.secret + 1 >= secret;
            is_linked && is_known && !beat.is_draining && beat.flows < beat.flows_max
        })
    }

    /// Slots as the model counts them are those that the rows hold.
    pub(super) fn judge_slots(&self, mem: &Image) {
        let mut live = 0;
        for row in mem.players.values().filter(|row| row.ended_ms.is_none()) {
            live += 1;
            let is_active = row.status == PlayerSessionStatus::Active;
            let same = self.slots.get(&row.id).is_some_and(|slot| {
                (slot.session, slot.expires_ms, slot.is_active, slot.revoking)
                    == (row.game_session, row.expires_at_ms, is_active, row.revoking)
                    && slot.player == row.player
            });
            assert!(same, "a slot that the model knows as {:?}: {row:?}", self.slots.get(&row.id));
        }
        assert_eq!(live, self.slots.len(), "the rows hold other slots than the model: {:?}", self.slots);
    }

    /// Calls do not wait for ever.
    pub(super) fn judge_waits(&self, now: u64) {
        let late = self.calls.iter().find(|(_, deadline)| **deadline < now);
        assert_eq!(late, None, "a call is not answered at {now}");
    }
}
