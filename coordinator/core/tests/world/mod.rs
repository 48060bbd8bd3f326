//! A coordinator core with a disk, an agent, game servers and an operator, all in one thread and without any waiting.

#![allow(dead_code)] // each test file uses its part

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use playgate_core::fleet::FleetConfig;
use playgate_core::limits::Bounds;
use playgate_core::rows::Row;
use playgate_core::{Core, Input, LinkId, Output, Start, TicketOrder, Turn, Welcomed};
use playgate_protocol::agent::{AgentReport, AgentReportBatch, AgentUp, ExitStatus};
use playgate_protocol::api::*;
use playgate_protocol::limits::PROCESSES_PER_HOST_MAX;
use playgate_protocol::reason::PlayerEnd;
use playgate_protocol::server::{Beat, PlayerOutcome, Report, ReportBatch, ServerDown, ServerUp, Wanted};
use playgate_protocol::*;

pub const OPERATOR: LinkId = LinkId(1);
pub const FLEET: &str = "arena";
const START_MS: u64 = 1_700_000_000_000;

pub struct World {
    pub core: Core,
    bounds: Bounds,
    pub now: u64,
    pub disk: BTreeMap<String, Row>,
    pub rows_written: usize,
    pub outputs: Vec<Output>,
    pub servers: BTreeMap<ServerProcessId, Server>,
    agent_link: Option<LinkId>,
    agent_seq: u64,
    next_link: u64,
    next_request: u64,
    starts: u8,
}

/// What a game server remembers.
#[derive(Default, Clone)]
pub struct Server {
    pub link: Option<LinkId>,
    pub seq: u64,
    pub wanted: Option<Wanted>,
}

pub fn fleet() -> FleetConfig {
    let mut fleet = FleetConfig::named(FleetId::new(FLEET).unwrap());
    fleet.command = List::first_of(["./server".parse().unwrap()]);
    fleet.processes_per_host = 2;
    fleet
}

pub fn key(n: u8) -> Fingerprint {
    Fingerprint::from_bytes([n; 32])
}

/// Every server has a key of its own.
pub fn key_of(process: ServerProcessId) -> Fingerprint {
    let mut bytes = [0xee; 32];
    bytes[..16].copy_from_slice(process.as_bytes());
    Fingerprint::from_bytes(bytes)
}

impl World {
    pub fn new(fleet: FleetConfig) -> Self {
        Self::within(Bounds::default(), fleet)
    }

    pub fn within(bounds: Bounds, fleet: FleetConfig) -> Self {
        let core = Core::load_within(Start { shard: 0, seed: [7; 32], now_ms: START_MS }, bounds, Vec::new());
        let mut world = Self {
            core,
            bounds,
            now: START_MS,
            disk: BTreeMap::new(),
            rows_written: 0,
            outputs: Vec::new(),
            servers: BTreeMap::new(),
            agent_link: None,
            agent_seq: 0,
            next_link: 1,
            next_request: 0,
            starts: 7,
        };
        world.input(Input::ApplySigningKey { key_id: 1, public_key: [1; 32] });
        world.input(Input::ApplyFleet(fleet));
        world.input(Input::ApplyOperator(key(1)));
        world.operator_connects();
        world
    }

    /// With an agent and its two servers ready.
    pub fn running() -> Self {
        Self::running_with(fleet())
    }

    pub fn running_with(fleet: FleetConfig) -> Self {
        let mut world = Self::new(fleet);
        world.agent_connects(true);
        world.start_servers();
        world
    }

    pub fn input(&mut self, input: Input) {
        self.core.handle(self.now, input);
        self.turn();
    }

    fn turn(&mut self) {
        let Turn { rows, outputs } = self.core.take_turn();
        self.rows_written += rows.iter().filter(|row| !matches!(row, Row::HighWater(_))).count();
        for row in rows {
            store(&mut self.disk, row);
        }
        for output in outputs {
            if let Output::Server(link, ServerDown::Wanted(wanted)) = &output
                && let Some(server) = self.servers.values_mut().find(|server| server.link == Some(*link))
            {
                server.wanted = Some(wanted.clone());
            }
            self.outputs.push(output);
        }
    }

    /// Time passes, timers fire, servers with a link beat every second.
    pub fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            self.now = (self.now + 500).min(end);
            let beating: Vec<_> = self.servers.keys().copied().collect();
            for process in beating {
                self.beat(process, true);
            }
            self.core.handle_timeout(self.now, 10_000);
            self.turn();
        }
    }

    /// Time passes and nobody says anything.
    pub fn silence(&mut self, ms: u64) {
        self.now += ms;
        self.core.handle_timeout(self.now, 10_000);
        self.turn();
    }

    /// One of the things that are due.
    pub fn one_timer(&mut self) {
        self.core.handle_timeout(self.now, 1);
        self.turn();
    }

    /// The coordinator dies and comes back with what is on the disk. Links are gone.
    pub fn crash(&mut self) {
        let rows: Vec<Row> = self.disk.values().cloned().collect();
        self.now = self.now.max(Core::high_water(&rows));
        self.starts = self.starts.wrapping_add(1);
        let start = Start { shard: 0, seed: [self.starts; 32], now_ms: self.now };
        self.core = Core::load_within(start, self.bounds, rows);
        self.agent_link = None;
        self.servers.values_mut().for_each(|server| server.link = None);
        self.turn();
        self.operator_connects();
    }

    pub fn link(&mut self) -> LinkId {
        self.next_link += 1;
        LinkId(self.next_link)
    }

    pub fn operator_connects(&mut self) {
        self.open(OPERATOR, key(1), Credential::Bound, HelloRole::Operator);
    }

    pub fn open(&mut self, link: LinkId, peer: Fingerprint, credential: Credential, role: HelloRole) {
        let launch_proven =
            matches!(&credential, Credential::Launch { secret, .. } if *secret == Secret32::from_bytes([5; 32]));
        let hello = Hello { versions: VersionRange::OURS, software: "test".parse().unwrap(), credential, role };
        let from = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
        self.input(Input::Opened { link, peer, from, hello, launch_proven });
    }

    /// What was answered to this link's hello, newest first.
    pub fn greeting(&self, on: LinkId) -> Result<Welcomed, RefusalReason> {
        let found = self.outputs.iter().rev().find_map(|output| match output {
            Output::Welcome { link, role, .. } if *link == on => Some(Ok(role.clone())),
            Output::Refuse { link, refusal } if *link == on => Some(Err(refusal.reason)),
            _ => None,
        });
        found.expect("a hello is answered")
    }

    /// When a refused peer should try again, if it was refused.
    pub fn retry_after(&self, on: LinkId) -> Option<u32> {
        self.outputs.iter().rev().find_map(|output| match output {
            Output::Refuse { link, refusal } if *link == on => Some(refusal.retry_after_ms),
            _ => None,
        })
    }

    pub fn join_key(&mut self, role: JoinRole, uses: u32) -> Secret32 {
        self.next_request += 1;
        let secret = Secret32::from_bytes([u8::try_from(self.next_request).unwrap(); 32]);
        let create = CreateJoinKey {
            secret_sha256: secret.sha256(),
            role,
            fleet: Some(FleetId::new(FLEET).unwrap()),
            uses,
            lifetime_ms: 60_000,
        };
        assert_eq!(self.operate(OperatorCall::CreateJoinKey(create)), Ok(Answer::Done));
        secret
    }

    pub fn agent_connects(&mut self, first: bool) {
        let link = self.link();
        let credential = match first {
            true => Credential::Join { secret: self.join_key(JoinRole::Agent, 1) },
            false => Credential::Bound,
        };
        let role = HelloRole::Agent {
            name: "host".parse().unwrap(),
            advertise: None,
            capacity: PROCESSES_PER_HOST_MAX as u32,
        };
        self.open(link, key(2), credential, role);
        assert!(matches!(self.greeting(link), Ok(Welcomed::Agent { .. })));
        self.agent_link = Some(link);
        let alive = List::first_of(self.servers.keys().copied());
        self.input(Input::Agent(link, AgentUp::Inventory { alive }));
    }

    /// The link of the agent.
    pub fn agent(&self) -> LinkId {
        self.agent_link.expect("the agent is connected")
    }

    pub fn agent_reports(&mut self, report: AgentReport) {
        self.agent_seq += 1;
        let batch = AgentReportBatch { first_seq: self.agent_seq, reports: List::first_of([report]) };
        self.input(Input::Agent(self.agent(), AgentUp::Reports(batch)));
    }

    /// Launch orders since the last look.
    pub fn launches(&mut self) -> Vec<ServerProcessId> {
        let mut launches = Vec::new();
        self.outputs.retain(|output| match output {
            Output::Launch { process, .. } => {
                launches.push(*process);
                false
            }
            _ => true,
        });
        launches
    }

    pub fn stops(&self) -> Vec<(ServerProcessId, u32)> {
        let stops = self.outputs.iter().filter_map(|output| match output {
            Output::Stop { process, grace_ms, .. } => Some((*process, *grace_ms)),
            _ => None,
        });
        stops.collect()
    }

    /// The agent does as it was ordered, the servers connect and are ready.
    pub fn start_servers(&mut self) -> Vec<ServerProcessId> {
        let launched = self.launches();
        for process in &launched {
            self.agent_reports(AgentReport::Launched { process: *process, pid: 100, port: Some(7_000) });
            self.servers.insert(*process, Server::default());
            self.server_connects(*process);
            self.report(*process, Report::Ready { ports: List::first_of([7_000]) });
            self.beat(*process, true);
        }
        launched
    }

    pub fn server_connects(&mut self, process: ServerProcessId) -> LinkId {
        let held = self.servers[&process].wanted.as_ref().map_or(0, |wanted| wanted.version);
        self.server_connects_with(process, held)
    }

    pub fn server_connects_with(&mut self, process: ServerProcessId, held_version: u64) -> LinkId {
        let link = self.link();
        self.servers.get_mut(&process).unwrap().link = Some(link);
        let credential = Credential::Launch { process, secret: Secret32::from_bytes([5; 32]) };
        let role = HelloRole::Server { name: "server".parse().unwrap(), advertise: None, held_version };
        self.open(link, key_of(process), credential, role);
        link
    }

    pub fn server_loses_link(&mut self, process: ServerProcessId) {
        let link = self.servers.get_mut(&process).unwrap().link.take().expect("it had a link");
        self.input(Input::Closed(link));
    }

    pub fn report(&mut self, process: ServerProcessId, report: Report) {
        let server = self.servers.get_mut(&process).unwrap();
        server.seq += 1;
        let batch = ReportBatch { first_seq: server.seq, reports: List::first_of([report]) };
        let link = server.link.expect("the server is connected");
        self.input(Input::Server(link, ServerUp::Reports(batch)));
    }

    pub fn beat(&mut self, process: ServerProcessId, healthy: bool) {
        self.beat_with(process, healthy, self.now);
    }

    pub fn beat_with(&mut self, process: ServerProcessId, healthy: bool, floor_ms: u64) {
        let server = &self.servers[&process];
        let Some(link) = server.link else { return };
        let held_version = server.wanted.as_ref().map_or(0, |wanted| wanted.version);
        let beat = Beat { healthy, floor_ms, through_seq: server.seq, held_version, players: 0 };
        self.input(Input::Server(link, ServerUp::Beat(beat)));
    }

    pub fn exits(&mut self, process: ServerProcessId, status: ExitStatus) {
        self.servers.remove(&process);
        self.agent_reports(AgentReport::Exited { process, status, output_tail: Text::lossy("last words") });
    }

    pub fn operate(&mut self, call: OperatorCall) -> Result<Answer, CallError> {
        let request = self.call(call);
        self.answer(request).expect("answered at once")
    }

    pub fn call(&mut self, call: OperatorCall) -> u64 {
        self.next_request += 1;
        self.input(Input::Operator(OPERATOR, OperatorUp { request: self.next_request, call }));
        self.next_request
    }

    pub fn answer(&self, wanted: u64) -> Option<Result<Answer, CallError>> {
        self.outputs.iter().find_map(|output| match output {
            Output::Answer { request, outcome, .. } if *request == wanted => Some(outcome.clone()),
            _ => None,
        })
    }

    pub fn create(&self, idempotency_key: &str, max_players: u16) -> CreateGameSession {
        CreateGameSession {
            fleet: FleetId::new(FLEET).unwrap(),
            name: "match".parse().unwrap(),
            max_players,
            properties: List::first_of([("map".parse().unwrap(), "ruins".parse().unwrap())]),
            data: Blob::new(b"data".to_vec()).unwrap(),
            placement_timeout_ms: 30_000,
            idempotency_key: idempotency_key.parse().unwrap(),
        }
    }

    /// An active game session with its process.
    pub fn session(&mut self, idempotency_key: &str, max_players: u16) -> (GameSessionId, ServerProcessId) {
        let create = self.create(idempotency_key, max_players);
        let request = self.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
        let process = self.hosting().expect("a process was chosen");
        let wanted = self.servers[&process].wanted.clone().unwrap().session.expect("it was told");
        self.report(process, Report::Activated { session: wanted.id, attempt: wanted.attempt });
        let Some(Ok(Answer::GameSession(info))) = self.answer(request) else { panic!("the session is active") };
        assert_eq!(info.status, GameSessionStatus::Active);
        (info.id, process)
    }

    /// The server that was last told to host.
    pub fn hosting(&self) -> Option<ServerProcessId> {
        let newest = self.servers.iter().filter_map(|(id, server)| Some((server.wanted.as_ref()?, id)));
        newest
            .filter(|(wanted, _)| wanted.session.is_some())
            .max_by_key(|(wanted, _)| wanted.version)
            .map(|(_, id)| *id)
    }

    pub fn reserve(
        &mut self,
        session: GameSessionId,
        key: &str,
        names: &[&str],
    ) -> Result<Vec<TicketOrder>, ErrorCode> {
        self.reserve_for(session, key, names, None)
    }

    pub fn reserve_for(
        &mut self,
        session: GameSessionId,
        key: &str,
        names: &[&str],
        reservation_ms: Option<u32>,
    ) -> Result<Vec<TicketOrder>, ErrorCode> {
        let players =
            names.iter().map(|name| NewPlayer { player: PlayerId::new(*name).unwrap(), data: Blob::default() });
        let create = CreatePlayerSessions {
            session,
            players: List::first_of(players),
            reservation_ms,
            idempotency_key: key.parse().unwrap(),
        };
        let request = self.call(OperatorCall::Backend(BackendCall::CreatePlayerSessions(create)));
        self.tickets(request)
    }

    pub fn ticket(&mut self, player_session: PlayerSessionId) -> Result<TicketOrder, ErrorCode> {
        let request = self.call(OperatorCall::Backend(BackendCall::GetTicket { player_session }));
        self.tickets(request).map(|mut orders| orders.remove(0))
    }

    fn tickets(&self, wanted: u64) -> Result<Vec<TicketOrder>, ErrorCode> {
        let found = self.outputs.iter().find_map(|output| match output {
            Output::Tickets { request, orders, .. } if *request == wanted => Some(Ok(orders.clone())),
            Output::Answer { request, outcome: Err(error), .. } if *request == wanted => Some(Err(error.code)),
            _ => None,
        });
        found.expect("answered at once")
    }

    pub fn joins(&mut self, process: ServerProcessId, ticket: &TicketOrder) {
        let outcome = PlayerOutcome::Active { generation: 1, joined_ms: self.now };
        self.player_report(process, ticket, outcome);
    }

    pub fn leaves(&mut self, process: ServerProcessId, ticket: &TicketOrder, reason: PlayerEnd) {
        let outcome = PlayerOutcome::Completed { reason, joined_ms: self.now, left_ms: self.now };
        self.player_report(process, ticket, outcome);
    }

    pub fn player_report(&mut self, process: ServerProcessId, ticket: &TicketOrder, outcome: PlayerOutcome) {
        let (session, player_session) = (ticket.player_session.game_session, ticket.player_session.id);
        self.report(process, Report::Player { session, player_session, outcome });
    }

    pub fn describe(&mut self, session: GameSessionId) -> GameSessionInfo {
        match self.operate(OperatorCall::Backend(BackendCall::DescribeGameSession { session })) {
            Ok(Answer::GameSession(info)) => info,
            other => panic!("{other:?}"),
        }
    }

    pub fn player(&mut self, player_session: PlayerSessionId) -> PlayerSessionInfo {
        match self.operate(OperatorCall::Backend(BackendCall::DescribePlayerSession { player_session })) {
            Ok(Answer::PlayerSessions(infos)) => infos[0].clone(),
            other => panic!("{other:?}"),
        }
    }

    pub fn process(&mut self, process: ServerProcessId) -> ProcessInfo {
        let mut after = None;
        loop {
            let Ok(Answer::Processes(page)) = self.operate(OperatorCall::ListProcesses { fleet: None, after }) else {
                panic!()
            };
            if let Some(info) = page.iter().find(|info| info.id == process) {
                return info.clone();
            }
            after = Some(page.last().expect("the process is remembered").id);
        }
    }

    /// Whether a process that beats can host.
    pub fn has_ready(&mut self) -> bool {
        let linked: Vec<_> =
            self.servers.iter().filter(|(_, server)| server.link.is_some()).map(|(id, _)| *id).collect();
        linked.into_iter().any(|process| {
            self.beat(process, true);
            self.process(process).status == ProcessStatus::Ready
        })
    }

    pub fn events(&mut self, kind: EventKind) -> Vec<String> {
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let Ok(Answer::Events(page)) = self.operate(OperatorCall::ListEvents { after }) else { panic!() };
            let Some(last) = page.last() else { return found };
            after = last.seq;
            found.extend(page.iter().filter(|event| event.kind == kind).map(|event| event.detail.as_str().to_owned()));
        }
    }
}

/// What a store does: one row under each key.
pub fn store(disk: &mut BTreeMap<String, Row>, row: Row) {
    let forgotten = match &row {
        Row::ForgetSigningKey(id) => format!("signing {id}"),
        Row::ForgetJoinKey(id) => format!("join {id:?}"),
        Row::ForgetPeer(id) => format!("peer {id}"),
        Row::ForgetProcess(id) => format!("process {id}"),
        Row::ForgetGameSession(id) => format!("session {id}"),
        Row::ForgetPlayerSession(id) => format!("player {id}"),
        Row::ForgetEvents(_) => return,
        kept => {
            let key = match kept {
                Row::HighWater(_) => "high water".to_owned(),
                Row::SigningKey(row) => format!("signing {}", row.key_id),
                Row::Fleet(row) => format!("fleet {}", row.name),
                Row::Host(row) => format!("host {}", row.id),
                Row::Relay(row) => format!("relay {}", row.id),
                Row::JoinKey(row) => format!("join {:?}", row.secret_sha256),
                Row::Peer(row) => format!("peer {}", row.fingerprint),
                Row::Process(row) => format!("process {}", row.id),
                Row::GameSession(row) => format!("session {}", row.id),
                Row::PlayerSession(row) => format!("player {}", row.id),
                Row::Event(row) => format!("event {:020}", row.seq),
                _ => unreachable!("forgotten above"),
            };
            disk.insert(key, row);
            return;
        }
    };
    disk.remove(&forgotten);
}
