//! Whatever is legal fits a frame: the largest message of each kind, every field at its longest.
//!
//! A launch order is not here: its lists together may be longer than a frame, so a fleet's configuration is measured as
//! a whole when it is read.

use std::net::SocketAddr;

use playgate_protocol::agent::*;
use playgate_protocol::api::*;
use playgate_protocol::limits::*;
use playgate_protocol::reason::*;
use playgate_protocol::relay::{FlowRevocation, PlayerAt, RelayBeat, RelayDown, RelayUp};
use playgate_protocol::server::*;
use playgate_protocol::*;
use serde::Serialize;

use crate::samples::payload;

fn longest<const MAX: usize>() -> Text<MAX> {
    "x".repeat(MAX).parse().unwrap()
}

fn full<const MAX: usize>() -> Blob<MAX> {
    Blob::new(vec![0xff; MAX]).unwrap()
}

fn list<T: Clone, const MAX: usize>(item: T) -> List<T, MAX> {
    List::new(vec![item; MAX]).unwrap()
}

fn fleet() -> FleetId {
    "x".repeat(FLEET_ID_BYTES_MAX).parse().unwrap()
}

fn player() -> PlayerId {
    "x".repeat(PLAYER_ID_BYTES_MAX).parse().unwrap()
}

fn address() -> SocketAddr {
    "[2001:db8::7]:65535".parse().unwrap()
}

const SESSION: GameSessionId = GameSessionId::from_bytes([0xff; 16]);
const PLAYER: PlayerSessionId = PlayerSessionId::from_bytes([0xff; 16]);
const PROCESS: ServerProcessId = ServerProcessId::from_bytes([0xff; 16]);
const HOST: HostId = HostId::from_bytes([0xff; 16]);
const SECRET: Secret32 = Secret32::from_bytes([0xff; 32]);

fn session_info() -> GameSessionInfo {
    GameSessionInfo {
        id: SESSION,
        fleet: fleet(),
        name: longest(),
        status: GameSessionStatus::Terminated,
        attempt: u32::MAX,
        reason: Some(SessionEnd::NoCapacity),
        process: Some(PROCESS),
        address: Some(address()),
        max_players: u16::MAX,
        reserved: u16::MAX,
        active: u16::MAX,
        properties: list((longest(), longest())),
        created_ms: u64::MAX,
        activated_ms: Some(u64::MAX),
        terminated_ms: Some(u64::MAX),
    }
}

fn process_info() -> ProcessInfo {
    ProcessInfo {
        id: PROCESS,
        fleet: fleet(),
        host: Some(HOST),
        name: longest(),
        status: ProcessStatus::Ended,
        healthy: true,
        unreachable_since_ms: Some(u64::MAX),
        pid: Some(u32::MAX),
        ports: list(u16::MAX),
        session: Some(SESSION),
        sessions_hosted: u32::MAX,
        reason: Some(ProcessEnd::Lost),
        exit: Some(ExitStatus::Code(i32::MIN)),
        output_tail: longest(),
        created_ms: u64::MAX,
        ended_ms: Some(u64::MAX),
    }
}

/// The coordinator cuts its pages by these two numbers.
#[test]
fn the_sizes_that_pages_are_cut_by_are_right() {
    assert_eq!(payload(&session_info()).len(), GAME_SESSION_INFO_BYTES_MAX);
    assert_eq!(payload(&process_info()).len(), PROCESS_INFO_BYTES_MAX);
    let around = payload(&ApiDown { request: u64::MAX, outcome: Ok(Answer::Processes(List::default())) });
    assert!(around.len() <= ANSWER_OVERHEAD_BYTES, "{}", around.len());
}

fn check<T: Serialize>(what: &str, message: &T) {
    let mut out = Vec::new();
    let encoded = frame::encode(message, &mut out);
    assert_eq!(encoded, Ok(()), "{what}");
}

#[test]
fn the_largest_greetings_fit() {
    let versions = VersionRange { min: u16::MAX, max: u16::MAX };
    let role = HelloRole::Agent { name: longest(), advertise: Some(address().ip()), capacity: u32::MAX };
    let credential = Credential::Launch { process: PROCESS, secret: SECRET };
    check("hello", &Hello { versions, software: longest(), credential, role });
    let role = WelcomeRole::Server {
        process: PROCESS,
        fleet: fleet(),
        gate_root: SECRET,
        holder_root: SECRET,
        applied_seq: u64::MAX,
        beat_ms: u32::MAX,
    };
    check("welcome", &Greeting::Welcome(Welcome { version: u16::MAX, now_ms: u64::MAX, role }));
    let reason = RefusalReason::Busy;
    check("refusal", &Greeting::Refused(Refusal { reason, detail: longest(), retry_after_ms: u32::MAX }));
}

#[test]
fn the_largest_messages_of_and_to_a_server_fit() {
    let outcome = PlayerOutcome::Completed { reason: PlayerEnd::SessionEnded, joined_ms: u64::MAX, left_ms: u64::MAX };
    let report = Report::Player { session: SESSION, player_session: PLAYER, outcome };
    check("reports", &ServerUp::Reports(ReportBatch { first_seq: u64::MAX, reports: list(report) }));
    let session = WantedSession {
        id: SESSION,
        attempt: u32::MAX,
        name: longest(),
        max_players: u16::MAX,
        properties: list((longest(), longest())),
        data: full(),
        policy: AdmissionPolicy { rejoin_grace_ms: u32::MAX, bearer: true, tell_reason: true },
        revoked: list(Revoked { ordinal: u32::MAX, player_session: PLAYER }),
        end_by_ms: Some(u64::MAX),
    };
    let wanted = Wanted {
        version: u64::MAX,
        keys: list(VerifyingKey { key_id: u16::MAX, public_key: [0xff; 32] }),
        gate_epoch: u16::MAX,
        min_epoch: u16::MAX,
        session: Some(session),
        terminate_by_ms: Some(u64::MAX),
    };
    check("wanted", &ServerDown::Wanted(wanted));
}

#[test]
fn the_largest_messages_of_an_agent_fit() {
    let status = ExitStatus::Signal(i32::MIN);
    let exited = AgentReport::Exited { process: PROCESS, status, output_tail: longest() };
    check("exits", &AgentUp::Reports(AgentReportBatch { first_seq: u64::MAX, reports: list(exited) }));
    let failed = AgentReport::LaunchFailed { process: PROCESS, error: LaunchError::Os, detail: longest() };
    check("failures", &AgentUp::Reports(AgentReportBatch { first_seq: u64::MAX, reports: list(failed) }));
    check("inventory", &AgentUp::Inventory { alive: list(PROCESS) });
}

#[test]
fn the_largest_calls_fit() {
    let new_session = CreateGameSession {
        fleet: fleet(),
        name: longest(),
        max_players: u16::MAX,
        properties: list((longest(), longest())),
        data: full(),
        placement_timeout_ms: u32::MAX,
        idempotency_key: longest(),
    };
    let new_players = CreatePlayerSessions {
        session: SESSION,
        players: list(NewPlayer { player: player(), data: full() }),
        reservation_ms: Some(u32::MAX),
        idempotency_key: longest(),
    };
    // An operator's frame is a backend's and one byte.
    for call in [BackendCall::CreateGameSession(new_session), BackendCall::CreatePlayerSessions(new_players)] {
        check("call", &OperatorUp { request: u64::MAX, call: OperatorCall::Backend(call) });
    }
}

#[test]
fn the_longest_lists_of_a_relay_fit() {
    let player = PlayerAt { player_session: PLAYER, process: PROCESS, address: address() };
    check("players", &RelayUp::Players(list(player)));
    check("revocations", &RelayDown::Revoke(list(FlowRevocation { player_session: PLAYER, until_ms: u64::MAX })));
}

#[test]
fn the_largest_answers_fit() {
    let ticket = Ticket {
        player_session: PLAYER,
        game_session: SESSION,
        addresses: list(address()),
        expires_at_ms: u64::MAX,
        bearer: true,
        token: full(),
        holder_key: SECRET,
        relays: list(RelayPass { addresses: list(address()), pass: full(), flow_key: SECRET }),
    };
    assert_eq!(Ticket::from_text(&ticket.to_text()), Ok(ticket.clone()), "its text form has a limit of its own");
    let player = PlayerSessionInfo {
        id: PLAYER,
        game_session: SESSION,
        player: player(),
        status: PlayerSessionStatus::TimedOut,
        reason: Some(PlayerEnd::SessionEnded),
        revoking: true,
        created_ms: u64::MAX,
        expires_at_ms: u64::MAX,
        joined_ms: Some(u64::MAX),
        ended_ms: Some(u64::MAX),
    };
    let processes = [u32::MAX; 5];
    let fleets = FleetInfo { id: fleet(), processes_per_host: u32::MAX, processes, game_sessions: u32::MAX };
    let host = HostInfo {
        id: HOST,
        name: longest(),
        connected: true,
        address: Some(address().ip()),
        processes: u32::MAX,
        capacity: u32::MAX,
    };
    let beat = RelayBeat { secret: u32::MAX, flows: u32::MAX, flows_max: u32::MAX, is_draining: true };
    let relay = RelayInfo {
        id: RelayId::from_bytes([0xff; 16]),
        name: longest(),
        connected: true,
        addresses: list(address()),
        secret: u32::MAX,
        beat: Some(beat),
    };
    let event = Event {
        seq: u64::MAX,
        at_ms: u64::MAX,
        kind: EventKind::StoreSpace,
        subject: Subject::Fleet(fleet()),
        detail: longest(),
    };
    for answer in [
        Answer::GameSession(session_info()),
        Answer::Tickets(list(ticket)),
        Answer::PlayerSessions(list(player)),
        Answer::Fleets(list(fleets)),
        Answer::Hosts(list(host)),
        Answer::Events(list(event)),
        Answer::Relays(list(relay)),
    ] {
        check(&format!("{answer:.40?}"), &ApiDown { request: u64::MAX, outcome: Ok(answer) });
    }
    let error = CallError { code: ErrorCode::StoreFull, detail: longest(), retry_after_ms: u32::MAX };
    check("error", &ApiDown { request: u64::MAX, outcome: Err(error) });
}
