//! Bytes as steps of a history: short ones for what honest peers do, so that a few bytes lead far, and drawn ones for
//! anything a peer can say.
//!
//! A step is a kind, a choice, a length and so many bytes.

use std::net::SocketAddr;

use playgate_core::fleet::{FleetConfig, RelayMode};
use playgate_core::rows::{GameSessionRow, Identity, PlayerSessionRow, ProcessRow};
use playgate_core::{Input, LinkId};
use playgate_protocol::agent::{AgentReport, AgentReportBatch, AgentUp, ExitStatus, LaunchError, StopStep};
use playgate_protocol::api::{
    BackendCall, CreateGameSession, CreatePlayerSessions, GameSessionStatus, NewPlayer, OperatorCall,
};
use playgate_protocol::reason::PlayerEnd;
use playgate_protocol::relay::{PlayerAt, RelayBeat, RelayUp};
use playgate_protocol::server::{Beat, PlayerOutcome, Report, ReportBatch, ServerUp};
use playgate_protocol::{
    Blob, Credential, Detail, Fingerprint, GameSessionId, HelloRole, HostId, JoinRole, List, PlayerId, Secret32,
    ServerProcessId, Text,
};

use super::{History, fleet, key};

const LAUNCH_ERRORS: [LaunchError; 7] = [
    LaunchError::ExecutableMissing,
    LaunchError::ExecutableNotExecutable,
    LaunchError::WorkingDirectoryMissing,
    LaunchError::PortsExhausted,
    LaunchError::BadTemplate,
    LaunchError::HostFull,
    LaunchError::Os,
];

/// The next step, and what is behind it.
pub(crate) fn split(data: &[u8]) -> Option<(u8, u8, &[u8], &[u8])> {
    let (head, behind) = data.split_first_chunk::<3>()?;
    let (body, behind) = behind.split_at(usize::from(head[2]).min(behind.len()));
    Some((head[0], head[1], body, behind))
}

impl History {
    pub(super) fn step(&mut self, what: u8, which: u8, body: &[u8]) {
        let first = body.first().copied().unwrap_or(0);
        match what % 24 {
            0 => self.pass(u64::from(which) * 97, 1_000),
            1 => self.pass_to_the_next_deadline(which),
            2 => self.pass(u64::from(which) * 600_000, 10_000),
            3 => self.pass(u64::from(which) * 997, usize::from(first % 4)),
            4 => self.create(which, first),
            5 => self.reserve(which, first),
            6 => self.connect(which),
            7 => self.report(which, body),
            8 => self.beat(which, first),
            9 => self.agent_report(which, body),
            10 => self.inventory(which),
            11 => self.use_player(which, first),
            12 => self.use_session(which, first),
            13 => self.administer(which, first),
            14..=17 => self.drawn(what % 24, which, body),
            18 => self.drawn_hello(which, body),
            19 => {
                if let Some(link) = self.link_of(|_| true, which) {
                    self.input(Input::Closed(link));
                }
            }
            20 => self.hold(),
            21 => self.commit(usize::from(which)),
            22 => self.restart(u64::from(which) * 16),
            _ => self.agent_comes_back(),
        }
    }

    pub(super) fn hello_step(&mut self, what: u8, which: u8, body: &[u8]) {
        match what % 8 {
            0..=3 => self.drawn_hello(which, body),
            4 => self.create_join_key(
                which % 16,
                [JoinRole::Agent, JoinRole::Server, JoinRole::Backend][usize::from(what % 3)],
                which.into(),
            ),
            5 => self.pass(u64::from(which) * 4_999, 1_000),
            6 => self.input(Input::StoreLow(which % 2 == 1)),
            _ => self.restart(0),
        }
    }

    fn pass_to_the_next_deadline(&mut self, which: u8) {
        let due = self.core.poll_timeout().unwrap_or(self.now);
        self.pass(due.saturating_sub(self.now) + u64::from(which % 2), 1 + usize::from(which));
    }

    fn create(&mut self, which: u8, first: u8) {
        self.backend(BackendCall::CreateGameSession(CreateGameSession {
            fleet: fleet(if first % 8 == 7 { "g" } else { "f" }),
            name: "s".parse().expect("short"),
            max_players: 3,
            properties: List::default(),
            data: Blob::default(),
            placement_timeout_ms: u32::from(first) * 400,
            idempotency_key: format!("k{}", which % 16).parse().expect("short"),
        }));
    }

    fn session(&self, which: u8) -> Option<GameSessionId> {
        let ids: Vec<_> =
            self.mem.sessions.values().rev().filter(|row| row.status != GameSessionStatus::Terminated).collect();
        ids.get(usize::from(which) % ids.len().max(1)).map(|row| row.id).or(self.mem.sessions.keys().next().copied())
    }

    fn reserve(&mut self, which: u8, first: u8) {
        let Some(session) = self.session(which) else { return };
        let players = (0..first % 5).map(|n| NewPlayer {
            player: PlayerId::new(format!("p{}", (first / 16 + n) % 8)).expect("short"),
            data: Blob::default(),
        });
        self.backend(BackendCall::CreatePlayerSessions(CreatePlayerSessions {
            session,
            players: List::first_of(players),
            reservation_ms: (which < 192).then_some(1_000 + u32::from(which) * 50),
            idempotency_key: format!("r{}", which / 16).parse().expect("short"),
        }));
    }

    pub(super) fn process(&self, which: u8) -> Option<&ProcessRow> {
        let rows: Vec<_> = self.mem.processes.values().rev().filter(|row| row.ended_ms.is_none()).collect();
        rows.get(usize::from(which) % rows.len().max(1)).copied().or(self.mem.processes.values().next_back())
    }

    /// A launched process introduces itself, by the key that is its own.
    fn connect(&mut self, which: u8) {
        let Some(process) = self.process(which).map(|row| row.id) else { return };
        let credential = Credential::Launch { process, secret: Secret32::from_bytes([0; 32]) };
        let role = HelloRole::Server { name: "s".parse().expect("short"), advertise: None, held_version: 0 };
        self.opened(key_of(process), credential, role, true);
    }

    fn server(&self, which: u8) -> Option<(LinkId, ServerProcessId)> {
        let link = self.link_of(|identity| matches!(identity, Identity::Server(_)), which)?;
        match self.facts.links.get(&link) {
            Some(Identity::Server(process)) => Some((link, *process)),
            _ => None,
        }
    }

    /// The next reports in order, of one server.
    fn report(&mut self, which: u8, body: &[u8]) {
        let Some((link, process)) = self.server(which) else { return };
        let reports: Vec<Report> =
            body.chunks(2).take(8).filter_map(|choice| self.good_report(process, choice)).collect();
        let first_seq = self.facts.server_reports(process) + 1;
        let batch = ReportBatch { first_seq, reports: List::first_of(reports) };
        self.input(Input::Server(link, ServerUp::Reports(batch)));
    }

    fn good_report(&self, process: ServerProcessId, choice: &[u8]) -> Option<Report> {
        let row = self.mem.processes.get(&process)?;
        let session = row.session.and_then(|session| self.mem.sessions.get(&session));
        let which = choice.get(1).copied().unwrap_or(0);
        let player = session.and_then(|session| {
            let ids: Vec<_> = self.facts.slots.iter().filter(|(_, slot)| slot.session == session.id).collect();
            ids.get(usize::from(which) % ids.len().max(1)).map(|(id, _)| (session.id, **id))
        });
        let of_player =
            |outcome| player.map(|(session, player_session)| Report::Player { session, player_session, outcome });
        let joined_ms = self.now;
        match choice[0] % 10 {
            0 => Some(Report::Ready { ports: List::first_of([7_000 + u16::from(which)]) }),
            1 => session.map(|row| Report::Activated { session: row.id, attempt: row.attempt }),
            2 => session.map(|row| Report::SessionEnded { session: row.id, attempt: row.attempt }),
            3 => of_player(PlayerOutcome::Active { generation: u32::from(which / 16) + 1, joined_ms }),
            4 => {
                let reason = PlayerEnd::ALL[usize::from(which / 16) % PlayerEnd::ALL.len()];
                of_player(PlayerOutcome::Completed { reason, joined_ms, left_ms: joined_ms })
            }
            5 => of_player(PlayerOutcome::Blocked),
            6 => Some(Report::Ending),
            7 => session.map(|row| Report::Activated { session: row.id, attempt: row.attempt + u32::from(which) }),
            8 => self.any_player(which).map(|row| Report::Player {
                session: row.game_session,
                player_session: row.id,
                outcome: PlayerOutcome::Completed { reason: PlayerEnd::Left, joined_ms, left_ms: joined_ms },
            }),
            _ => self.any_session(which).map(|row| Report::SessionEnded { session: row.id, attempt: row.attempt }),
        }
    }

    /// One that may be over, or somebody else's.
    fn any_player(&self, which: u8) -> Option<&PlayerSessionRow> {
        self.mem.players.values().rev().nth(usize::from(which) % self.mem.players.len().max(1))
    }

    fn any_session(&self, which: u8) -> Option<&GameSessionRow> {
        self.mem.sessions.values().rev().nth(usize::from(which) % self.mem.sessions.len().max(1))
    }

    fn beat(&mut self, which: u8, first: u8) {
        let Some((link, process)) = self.server(which) else { return };
        let beat = Beat {
            healthy: first != 1,
            floor_ms: self.now + u64::from(first) * 50,
            through_seq: self.facts.server_reports(process) + u64::from(first == 2),
            held_version: if first == 3 { 0 } else { u64::MAX },
            players: u32::from(first == 4),
        };
        self.input(Input::Server(link, ServerUp::Beat(beat)));
    }

    fn agent(&self) -> Option<(LinkId, HostId)> {
        let link = self.link_of(|identity| matches!(identity, Identity::Agent(_)), 0)?;
        match self.facts.links.get(&link) {
            Some(Identity::Agent(host)) => Some((link, *host)),
            _ => None,
        }
    }

    fn agent_report(&mut self, which: u8, body: &[u8]) {
        let (Some((link, host)), Some(process)) = (self.agent(), self.process(which).map(|row| row.id)) else { return };
        let reports = body.chunks(2).take(4).map(|choice| {
            let which = choice.get(1).copied().unwrap_or(0);
            let error = LAUNCH_ERRORS[usize::from(which) % LAUNCH_ERRORS.len()];
            match choice[0] % 6 {
                0 => AgentReport::Launched { process, pid: which.into(), port: None },
                1 => AgentReport::LaunchFailed { process, error, detail: Detail::lossy("no") },
                2 => AgentReport::StopStep { process, step: [StopStep::Term, StopStep::Kill][usize::from(which % 2)] },
                3 => AgentReport::Exited {
                    process,
                    status: ExitStatus::Code(which.into()),
                    output_tail: Text::default(),
                },
                4 => AgentReport::Exited { process, status: ExitStatus::Signal(9), output_tail: Text::lossy("x") },
                _ => AgentReport::Adopted { process, pid: which.into() },
            }
        });
        let batch =
            AgentReportBatch { first_seq: self.facts.agent_reports(host) + 1, reports: List::first_of(reports) };
        self.input(Input::Agent(link, AgentUp::Reports(batch)));
    }

    /// What runs, but for those that the bits leave out.
    fn inventory(&mut self, which: u8) {
        let Some((link, host)) = self.agent() else { return };
        let live = self.mem.processes.values().filter(|row| row.host == Some(host) && row.ended_ms.is_none());
        let told = live.enumerate().filter(|(index, _)| which >> (index % 8) & 1 == 0).map(|(_, row)| row.id);
        let message = AgentUp::Inventory { alive: List::first_of(told) };
        self.input(Input::Agent(link, message));
    }

    fn agent_comes_back(&mut self) {
        let role = HelloRole::Agent { name: "h".parse().expect("short"), advertise: None, capacity: 8 };
        self.opened(key(super::AGENT_KEY), Credential::Bound, role, false);
        self.inventory(0);
    }

    fn use_player(&mut self, which: u8, first: u8) {
        let ids: Vec<_> = self.mem.players.keys().rev().copied().collect();
        let Some(player_session) = ids.get(usize::from(which) % ids.len().max(1)).copied() else { return };
        self.backend(match first % 3 {
            0 => BackendCall::RevokePlayerSession { player_session, timeout_ms: u32::from(first) * 100 },
            1 => BackendCall::GetTicket { player_session },
            _ => BackendCall::DescribePlayerSession { player_session },
        });
    }

    fn use_session(&mut self, which: u8, first: u8) {
        let Some(session) = self.session(which) else { return };
        let ms = u32::from(first) * 100;
        self.backend(match first % 4 {
            0 => BackendCall::TerminateGameSession { session, grace_ms: ms },
            1 => BackendCall::AwaitGameSession { session, terminated: false, timeout_ms: ms },
            2 => BackendCall::AwaitGameSession { session, terminated: true, timeout_ms: ms },
            _ => BackendCall::DescribeGameSession { session },
        });
    }

    fn administer(&mut self, which: u8, first: u8) {
        match which % 10 {
            0 => self.input(Input::StoreLow(first % 2 == 1)),
            1 => self.input(Input::ClockSkew(Detail::lossy("stepped"))),
            2 => self.input(Input::ApplySigningKey { key_id: first.into(), public_key: [first; 32] }),
            3 => self.input(Input::KeepSigningKeys(vec![1, first.into()])),
            4 => self.input(Input::ApplyOperator(key(first % 4))),
            5 => {
                let mut fleet = super::launched_fleet();
                fleet.processes_per_host = u32::from(first % 4);
                fleet.sessions_per_process = u32::from(first / 4 % 4);
                self.input(Input::ApplyFleet(fleet));
            }
            6 => self.create_join_key(first % 16, JoinRole::Server, 2),
            7 => self.create_join_key(first % 16, JoinRole::Backend, 1),
            8 => {
                let Some(process) = self.process(first).map(|row| row.id) else { return };
                self.call(OperatorCall::StopProcess { process, grace_ms: u32::from(first) * 100 });
            }
            _ if first >= 128 => self.relay(first % 128),
            _ => self.audit(),
        }
    }

    /// A relay joins, comes back, says how it is, or is told of.
    fn relay(&mut self, first: u8) {
        let link = self.link_of(|identity| matches!(identity, Identity::Relay(_)), 0);
        let relay = self.mem.relays.values().next();
        let (secret, id) = relay.map_or((0, None), |row| (row.secret, Some(row.id)));
        let role = HelloRole::Relay {
            name: "r".parse().expect("short"),
            addresses: List::first_of([SocketAddr::from(([0, 0, 0, 0], 4_000))]),
            secret: secret.saturating_sub(1),
        };
        let beat = |secret, flows, is_draining| RelayUp::Beat(RelayBeat { secret, flows, flows_max: 8, is_draining });
        let said = match first % 9 {
            0 => {
                self.create_join_key(9, JoinRole::Relay, 1);
                let credential = Credential::Join { secret: Secret32::from_bytes([9; 32]) };
                return self.opened(key(super::RELAY_KEY), credential, role, false);
            }
            1 => return self.opened(key(super::RELAY_KEY), Credential::Bound, role, false),
            2 => beat(secret, 0, false),
            3 => beat(secret.saturating_sub(u32::from(first / 9 % 4)), u32::from(first / 9), first >= 64),
            4 => beat(secret + 1, 0, false),
            5 => {
                let players = self.mem.players.values();
                RelayUp::Players(List::first_of(players.filter_map(|row| {
                    let process = self.mem.sessions.get(&row.game_session)?.process?;
                    let address = SocketAddr::from(([198, 51, 100, 7], 40_000));
                    Some(PlayerAt { player_session: row.id, process, address })
                })))
            }
            6 => return id.into_iter().for_each(|relay| self.call(OperatorCall::RotateRelaySecret { relay })),
            7 => return self.call(OperatorCall::ListRelays),
            _ => {
                let relay = [RelayMode::Off, RelayMode::On, RelayMode::Required][usize::from(first / 9 % 3)];
                return self.input(Input::ApplyFleet(FleetConfig { relay, ..super::launched_fleet() }));
            }
        };
        if let Some(link) = link {
            self.input(Input::Relay(link, said));
        }
    }
}

/// The key that a launched process makes for itself.
pub(super) fn key_of(process: ServerProcessId) -> Fingerprint {
    let mut bytes = [0xee; 32];
    bytes[..16].copy_from_slice(process.as_bytes());
    Fingerprint::from_bytes(bytes)
}
