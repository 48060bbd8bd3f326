//! A core that starts from rows nobody vouches for: everybody who is in them comes back and speaks, and time passes.

use std::net::{IpAddr, Ipv4Addr};

use playgate_core::rows::{Identity, Row};
use playgate_core::{Core, Input, LinkId, Output, Start};
use playgate_protocol::agent::{AgentReport, AgentReportBatch, AgentUp};
use playgate_protocol::api::{
    Answer, BackendCall, CreateGameSession, CreatePlayerSessions, NewPlayer, OperatorCall, OperatorUp,
};
use playgate_protocol::server::{Beat, PlayerOutcome, Report, ReportBatch, ServerUp};
use playgate_protocol::{
    Blob, Credential, Fingerprint, Hello, HelloRole, List, PlayerId, Secret32, ServerProcessId, VersionRange,
};
use playgate_sim::disk::Image;

const OPERATOR: LinkId = LinkId(1);
/// More than any history has; a damaged file may hold any number.
const EACH_MAX: usize = 5;

struct Recovered {
    core: Core,
    now: u64,
    links: u64,
    image: Image,
}

/// Loads the rows and lives with them.
pub(crate) fn recover(rows: Vec<Row>) {
    let mut image = Image::default();
    rows.iter().cloned().for_each(|row| drop(image.apply(row)));
    let now = Core::high_water(&rows).max(1_700_000_000_000);
    let core = Core::load(Start { shard: 0, seed: [7; 32], now_ms: now }, rows);
    let mut life = Recovered { core, now, links: 1, image };
    life.operator();
    life.look();
    life.agents();
    life.servers();
    life.backend();
    life.look();
    for ms in [60_000, 49 * 3_600_000] {
        life.now += ms;
        life.core.handle_timeout(life.now, 10_000);
        life.turn();
    }
    life.look();
}

impl Recovered {
    fn input(&mut self, input: Input) {
        self.core.handle(self.now, input);
        self.turn();
    }

    fn turn(&mut self) {
        let turn = self.core.take_turn();
        for output in turn.outputs {
            if let Output::Answer { outcome: Ok(Answer::GameSession(info)), .. } = output {
                assert!(u32::from(info.reserved) + u32::from(info.active) <= u32::from(info.max_players), "{info:?}");
            }
        }
    }

    fn open(&mut self, peer: Fingerprint, credential: Credential, role: HelloRole) -> LinkId {
        self.links += 1;
        let link = LinkId(self.links);
        let hello = Hello { versions: VersionRange::OURS, software: "fuzz".parse().expect("short"), credential, role };
        let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
        self.input(Input::Opened { link, peer, from, hello, launch_proven: true });
        link
    }

    fn operator(&mut self) {
        self.input(Input::ApplySigningKey { key_id: 1, public_key: [1; 32] });
        self.input(Input::ApplyOperator(Fingerprint::from_bytes([1; 32])));
        self.links = 0;
        self.open(Fingerprint::from_bytes([1; 32]), Credential::Bound, HelloRole::Operator);
    }

    fn call(&mut self, call: OperatorCall) {
        self.input(Input::Operator(OPERATOR, OperatorUp { request: 1, call }));
    }

    fn look(&mut self) {
        for call in [
            OperatorCall::ListFleets,
            OperatorCall::ListHosts,
            OperatorCall::ListProcesses { fleet: None, after: None },
            OperatorCall::ListEvents { after: 0 },
            OperatorCall::Backend(BackendCall::ListGameSessions { fleet: None, after: None }),
        ] {
            self.call(call);
        }
        for session in self.image.sessions.keys().take(EACH_MAX).copied().collect::<Vec<_>>() {
            self.call(OperatorCall::Backend(BackendCall::DescribeGameSession { session }));
            self.call(OperatorCall::Backend(BackendCall::ListPlayerSessions { session, after: None }));
        }
        for player_session in self.image.players.keys().take(EACH_MAX).copied().collect::<Vec<_>>() {
            self.call(OperatorCall::Backend(BackendCall::GetTicket { player_session }));
        }
    }

    fn agents(&mut self) {
        let bound: Vec<_> = self.image.peers.iter().map(|(peer, identity)| (*peer, *identity)).collect();
        let processes: Vec<ServerProcessId> = self.image.processes.keys().take(EACH_MAX).copied().collect();
        for (peer, identity) in bound.into_iter().take(EACH_MAX) {
            let Identity::Agent(host) = identity else { continue };
            let role = HelloRole::Agent { name: "h".parse().expect("short"), advertise: None, capacity: 8 };
            let link = self.open(peer, Credential::Bound, role);
            let applied = self.image.hosts.get(&host).map_or(0, |row| row.applied_seq);
            let running = processes.iter().map(|process| AgentReport::Adopted { process: *process, pid: 7 });
            let first_seq = applied.saturating_add(1);
            let batch = AgentReportBatch { first_seq, reports: List::first_of(running) };
            self.input(Input::Agent(link, AgentUp::Reports(batch)));
            let alive = List::first_of(processes.iter().skip(1).copied());
            self.input(Input::Agent(link, AgentUp::Inventory { alive }));
        }
    }

    fn servers(&mut self) {
        let rows: Vec<_> = self.image.processes.values().take(EACH_MAX).cloned().collect();
        for row in rows {
            let bound = self.image.peers.iter().find(|(_, identity)| **identity == Identity::Server(row.id));
            let peer = bound.map_or(Fingerprint::from_bytes([9; 32]), |(peer, _)| *peer);
            let credential = Credential::Launch { process: row.id, secret: Secret32::from_bytes([0; 32]) };
            let role = HelloRole::Server { name: "s".parse().expect("short"), advertise: None, held_version: 0 };
            let link = self.open(peer, credential, role);
            let sessions = self.image.sessions.values().filter(|session| session.process == Some(row.id));
            let mut reports = vec![Report::Ready { ports: List::first_of([7_000]) }];
            for session in sessions.take(2) {
                reports.push(Report::Activated { session: session.id, attempt: session.attempt });
                let players = self.image.players.values().filter(|player| player.game_session == session.id);
                reports.extend(players.take(EACH_MAX).enumerate().map(|(index, player)| Report::Player {
                    session: session.id,
                    player_session: player.id,
                    outcome: match index % 2 {
                        0 => PlayerOutcome::Active { generation: 1, joined_ms: 5 },
                        _ => PlayerOutcome::Blocked,
                    },
                }));
            }
            let first_seq = row.applied_seq.saturating_add(1);
            let beat = Beat { healthy: true, floor_ms: self.now, through_seq: 0, held_version: u64::MAX, players: 0 };
            self.input(Input::Server(link, ServerUp::Beat(beat)));
            self.reserve();
            let batch = ReportBatch { first_seq, reports: List::first_of(reports) };
            self.input(Input::Server(link, ServerUp::Reports(batch)));
            let beat = Beat { through_seq: first_seq, players: 1, ..beat };
            self.input(Input::Server(link, ServerUp::Beat(beat)));
        }
    }

    fn reserve(&mut self) {
        for session in self.image.sessions.keys().take(EACH_MAX).copied().collect::<Vec<_>>() {
            let player = NewPlayer { player: PlayerId::new("new").expect("short"), data: Blob::default() };
            self.call(OperatorCall::Backend(BackendCall::CreatePlayerSessions(CreatePlayerSessions {
                session,
                players: List::first_of([player]),
                reservation_ms: None,
                idempotency_key: "again".parse().expect("short"),
            })));
        }
    }

    fn backend(&mut self) {
        for fleet in self.image.fleets.keys().take(2).cloned().collect::<Vec<_>>() {
            self.call(OperatorCall::Backend(BackendCall::CreateGameSession(CreateGameSession {
                fleet: fleet.clone(),
                name: "s".parse().expect("short"),
                max_players: 3,
                properties: List::default(),
                data: Blob::default(),
                placement_timeout_ms: 1_000,
                idempotency_key: "new".parse().expect("short"),
            })));
            self.call(OperatorCall::SetProcessesPerHost { fleet, processes_per_host: 3 });
        }
        self.reserve();
        for player_session in self.image.players.keys().take(EACH_MAX).copied().collect::<Vec<_>>() {
            self.call(OperatorCall::Backend(BackendCall::RevokePlayerSession { player_session, timeout_ms: 10 }));
        }
        for session in self.image.sessions.keys().take(2).copied().collect::<Vec<_>>() {
            self.call(OperatorCall::Backend(BackendCall::TerminateGameSession { session, grace_ms: 10 }));
        }
        for process in self.image.processes.keys().take(1).copied().collect::<Vec<_>>() {
            self.call(OperatorCall::StopProcess { process, grace_ms: 10 });
        }
    }
}
