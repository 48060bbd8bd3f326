//! A history of a coordinator's core: every byte string is one. Peers say anything their role can say.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use playgate_core::fleet::FleetConfig;
use playgate_core::rows::Row;
use playgate_core::{Core, Input, LinkId, Output, Start};
use playgate_protocol::agent::AgentUp;
use playgate_protocol::api::{
    Answer, BackendCall, CreateGameSession, CreatePlayerSessions, GameSessionInfo, NewPlayer, OperatorCall, OperatorUp,
};
use playgate_protocol::server::{Report, ReportBatch, ServerDown, ServerUp};
use playgate_protocol::{
    Credential, Fingerprint, FleetId, GameSessionId, Hello, HelloRole, List, PlayerId, Secret32, ServerProcessId,
    VersionRange,
};

const MAX_PLAYERS: u16 = 3;
const STEPS_MAX: usize = 200;
const OPERATOR: LinkId = LinkId(1);
const AGENT: LinkId = LinkId(2);

struct History {
    core: Core,
    now: u64,
    disk: BTreeMap<String, Row>,
    servers: BTreeMap<LinkId, (ServerProcessId, u64)>,
    wanted: BTreeMap<LinkId, GameSessionId>,
    sessions: Vec<GameSessionInfo>,
    request: u64,
}

/// Runs the bytes as a history and checks that no slot is oversold, and that a restart finds what was there.
pub fn core(data: &[u8]) {
    let mut history = History::new();
    let mut rest = data;
    for _ in 0..STEPS_MAX {
        let Some((head, behind)) = rest.split_first_chunk::<3>() else { break };
        let len = usize::from(head[2]).min(behind.len());
        let (body, behind) = behind.split_at(len);
        rest = behind;
        history.step(head[0], head[1], body);
        history.check();
    }
    let before: Vec<_> = history.sessions.clone();
    history.restart();
    for session in before {
        if let Some(found) = history.describe(session.id) {
            assert_eq!(
                (found.status, found.reserved, found.active),
                (session.status, session.reserved, session.active)
            );
        }
    }
}

impl History {
    fn new() -> Self {
        let core = Core::load(Start { shard: 0, seed: [1; 32], now_ms: 1_700_000_000_000 }, Vec::new());
        let (disk, servers, wanted, sessions) = Default::default();
        let mut history = Self { core, now: 1_700_000_000_000, disk, servers, wanted, sessions, request: 0 };
        let mut fleet = FleetConfig::named(FleetId::new("f").expect("a name"));
        fleet.command = List::first_of(["x".parse().expect("short")]);
        fleet.processes_per_host = 2;
        fleet.sessions_per_process = 2;
        history.input(Input::ApplySigningKey { key_id: 1, public_key: [1; 32] });
        history.input(Input::ApplyFleet(fleet));
        history.input(Input::ApplyOperator(Fingerprint::from_bytes([1; 32])));
        history.open(OPERATOR, 1, Credential::Bound, HelloRole::Operator);
        history.join_agent();
        history
    }

    fn input(&mut self, input: Input) {
        self.core.handle(self.now, input);
        self.turn();
    }

    fn turn(&mut self) {
        let turn = self.core.take_turn();
        for row in turn.rows {
            keep(&mut self.disk, row);
        }
        for output in turn.outputs {
            match output {
                Output::Launch { process, .. } => self.launch(process),
                Output::Server(link, ServerDown::Wanted(wanted)) => {
                    self.wanted.remove(&link);
                    self.wanted.extend(wanted.session.map(|session| (link, session.id)));
                }
                Output::Answer { outcome: Ok(Answer::GameSession(info)), .. } => {
                    self.sessions.retain(|known| known.id != info.id);
                    self.sessions.push(info);
                }
                _ => {}
            }
        }
    }

    fn open(&mut self, link: LinkId, key: u8, credential: Credential, role: HelloRole) {
        let hello = Hello { versions: VersionRange::OURS, software: "fuzz".parse().expect("short"), credential, role };
        let (peer, from) = (Fingerprint::from_bytes([key; 32]), IpAddr::V4(Ipv4Addr::LOCALHOST));
        self.input(Input::Opened { link, peer, from, hello, launch_proven: true });
    }

    fn join_agent(&mut self) {
        let secret = Secret32::from_bytes([6; 32]);
        let create = playgate_protocol::api::CreateJoinKey {
            secret_sha256: secret.sha256(),
            role: playgate_protocol::JoinRole::Agent,
            fleet: None,
            uses: 1,
            lifetime_ms: 60_000,
        };
        self.call(OperatorCall::CreateJoinKey(create));
        let role = HelloRole::Agent { name: "h".parse().expect("short"), advertise: None, capacity: 8 };
        self.open(AGENT, 2, Credential::Join { secret }, role);
        self.input(Input::Agent(AGENT, AgentUp::Inventory { alive: List::default() }));
    }

    fn launch(&mut self, process: ServerProcessId) {
        let link = LinkId(10 + self.servers.len() as u64);
        if link.0 < 30 {
            self.servers.insert(link, (process, 0));
        }
    }

    fn call(&mut self, call: OperatorCall) {
        self.request += 1;
        self.input(Input::Operator(OPERATOR, OperatorUp { request: self.request, call }));
    }

    /// One of the servers that were launched.
    fn server(&self, which: u8) -> Option<LinkId> {
        self.servers.keys().nth(usize::from(which) % self.servers.len().max(1)).copied()
    }

    fn step(&mut self, what: u8, which: u8, body: &[u8]) {
        match what % 12 {
            0 => self.pass(u64::from(which) * 97),
            1 => self.pass(u64::from(which) * 9_973),
            2 => self.create(which),
            3 => self.reserve(which, body.first().copied().unwrap_or(1)),
            4 => self.connect(which),
            5 => self.report(which, body),
            6 => {
                if let (Some(link), Ok((message, _))) = (self.server(which), postcard::take_from_bytes(body)) {
                    self.input(Input::Server(link, message));
                }
            }
            7 => {
                if let Ok((message, _)) = postcard::take_from_bytes(body) {
                    self.input(Input::Agent(AGENT, message));
                }
            }
            8 => {
                if let Ok((up, _)) = postcard::take_from_bytes::<OperatorUp>(body) {
                    self.input(Input::Operator(OPERATOR, up));
                }
            }
            9 => {
                if let Some(link) = self.server(which) {
                    self.input(Input::Closed(link));
                }
            }
            10 => self.beat(which, body.first().copied().unwrap_or(0)),
            _ => self.restart(),
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        self.core.handle_timeout(self.now, 1_000);
        self.turn();
    }

    fn create(&mut self, which: u8) {
        let create = CreateGameSession {
            fleet: FleetId::new("f").expect("a name"),
            name: "s".parse().expect("short"),
            max_players: MAX_PLAYERS,
            properties: List::default(),
            data: playgate_protocol::Blob::default(),
            placement_timeout_ms: u32::from(which) * 100,
            idempotency_key: format!("k{}", which % 8).parse().expect("short"),
        };
        self.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    }

    fn reserve(&mut self, which: u8, players: u8) {
        let Some(session) = self.sessions.get(usize::from(which) % self.sessions.len().max(1)).map(|s| s.id) else {
            return;
        };
        let players = (0..players % 5).map(|n| NewPlayer {
            player: PlayerId::new(format!("p{}-{n}", which / 16)).expect("short"),
            data: playgate_protocol::Blob::default(),
        });
        let create = CreatePlayerSessions {
            session,
            players: List::first_of(players),
            reservation_ms: Some(1_000 + u32::from(which) * 10),
            idempotency_key: format!("r{which}").parse().expect("short"),
        };
        self.call(OperatorCall::Backend(BackendCall::CreatePlayerSessions(create)));
    }

    fn connect(&mut self, which: u8) {
        let Some(link) = self.server(which) else { return };
        let process = self.servers[&link].0;
        let credential = Credential::Launch { process, secret: Secret32::from_bytes([0; 32]) };
        let role = HelloRole::Server { name: "s".parse().expect("short"), advertise: None, held_version: 0 };
        self.open(link, u8::try_from(link.0).expect("below 30"), credential, role);
    }

    /// The next report in order, whatever it says.
    fn report(&mut self, which: u8, body: &[u8]) {
        let Some(link) = self.server(which) else { return };
        let report = match (body.first(), self.wanted.get(&link)) {
            (Some(0), _) => Report::Ready { ports: List::first_of([7_000]) },
            (Some(1), Some(session)) => Report::Activated { session: *session, attempt: 1 },
            (Some(2), Some(session)) => Report::SessionEnded { session: *session, attempt: 1 },
            _ => match postcard::take_from_bytes(body) {
                Ok((report, _)) => report,
                Err(_) => return,
            },
        };
        let seq = &mut self.servers.get_mut(&link).expect("chosen from them").1;
        *seq += 1;
        let batch = ReportBatch { first_seq: *seq, reports: List::first_of([report]) };
        self.input(Input::Server(link, ServerUp::Reports(batch)));
    }

    fn beat(&mut self, which: u8, ahead: u8) {
        let Some(link) = self.server(which) else { return };
        let beat = playgate_protocol::server::Beat {
            healthy: ahead != 1,
            floor_ms: self.now + u64::from(ahead) * 50,
            through_seq: self.servers[&link].1,
            held_version: u64::MAX,
            players: 0,
        };
        self.input(Input::Server(link, ServerUp::Beat(beat)));
    }

    fn restart(&mut self) {
        let rows: Vec<Row> = self.disk.values().cloned().collect();
        self.now = self.now.max(Core::high_water(&rows)) + 1;
        let seed = [self.request.to_le_bytes()[0]; 32];
        self.core = Core::load(Start { shard: 0, seed, now_ms: self.now }, rows);
        self.turn();
        self.open(OPERATOR, 1, Credential::Bound, HelloRole::Operator);
    }

    fn describe(&mut self, session: GameSessionId) -> Option<GameSessionInfo> {
        self.sessions.retain(|known| known.id != session);
        self.call(OperatorCall::Backend(BackendCall::DescribeGameSession { session }));
        self.sessions.iter().find(|known| known.id == session).cloned()
    }

    fn check(&mut self) {
        let known: Vec<GameSessionId> = self.sessions.iter().map(|session| session.id).take(4).collect();
        for session in known {
            if let Some(info) = self.describe(session) {
                assert!(info.reserved + info.active <= info.max_players, "a slot was sold twice");
            }
        }
    }
}

/// What a store does: one row under each key.
fn keep(disk: &mut BTreeMap<String, Row>, row: Row) {
    let (key, kept) = match &row {
        Row::HighWater(_) => ("high water".to_owned(), true),
        Row::SigningKey(row) => (format!("signing {}", row.key_id), true),
        Row::Fleet(row) => (format!("fleet {}", row.name), true),
        Row::Host(row) => (format!("host {}", row.id), true),
        Row::JoinKey(row) => (format!("join {:?}", row.secret_sha256), true),
        Row::Peer(row) => (format!("peer {}", row.fingerprint), true),
        Row::Process(row) => (row.id.to_string(), true),
        Row::GameSession(row) => (row.id.to_string(), true),
        Row::PlayerSession(row) => (row.id.to_string(), true),
        Row::Event(row) => (format!("event {:020}", row.seq), true),
        Row::ForgetSigningKey(id) => (format!("signing {id}"), false),
        Row::ForgetJoinKey(id) => (format!("join {id:?}"), false),
        Row::ForgetPeer(id) => (format!("peer {id}"), false),
        Row::ForgetProcess(id) => (id.to_string(), false),
        Row::ForgetGameSession(id) => (id.to_string(), false),
        Row::ForgetPlayerSession(id) => (id.to_string(), false),
        Row::ForgetEvents(_) => return,
    };
    if kept {
        disk.insert(key, row);
    } else {
        disk.remove(&key);
    }
}
