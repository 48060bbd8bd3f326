//! One value of every variant of everything that is sent.

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};

use playgate_protocol::agent::*;
use playgate_protocol::api::*;
use playgate_protocol::frame::{self, FRAME_HEADER_BYTES, FrameError};
use playgate_protocol::reason::*;
use playgate_protocol::relay::{FlowRevocation, NumberedSecret, PASS_BYTES, PlayerAt, RelayBeat, RelayDown, RelayUp};
use playgate_protocol::server::*;
use playgate_protocol::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

type Judge = Box<dyn Fn(&[u8]) -> bool>;

/// An encoded value, and what reads it.
pub struct Sample {
    /// Ends with `Enum/Variant`.
    pub name: String,
    pub bytes: Vec<u8>,
    /// What a log shows of it.
    pub debug: String,
    /// Whether these bytes are the value.
    pub is_read_from: Judge,
    /// Reads any bytes as the type; what can be read must be written and read again as the same value.
    pub read: fn(&[u8]) -> Result<(), FrameError>,
}

fn sample<T>(name: impl Into<String>, value: T) -> Sample
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
{
    let (bytes, debug) = (payload(&value), format!("{value:?}"));
    let is_read_from = Box::new(move |bytes: &[u8]| frame::decode::<T>(bytes).is_ok_and(|read| read == value));
    Sample { name: name.into(), bytes, debug, is_read_from, read: read::<T> }
}

pub fn payload<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(value, &mut out).unwrap();
    out.split_off(FRAME_HEADER_BYTES)
}

fn read<T: Serialize + DeserializeOwned + PartialEq>(bytes: &[u8]) -> Result<(), FrameError> {
    let value: T = frame::decode(bytes)?;
    assert!(frame::decode::<T>(&payload(&value)).is_ok_and(|again| again == value));
    Ok(())
}

/// Samples of one enum as `Enum/Variant`. A variant that is left out does not compile.
macro_rules! each {
    ($enum:ident { $($variant:ident => $value:expr),+ $(,)? }) => {{
        let variant_of = |value: &$enum| match value { $($enum::$variant { .. } => stringify!($variant),)+ };
        let samples = vec![$((concat!(stringify!($enum), "/", stringify!($variant)), $value)),+];
        for (name, value) in &samples {
            assert_eq!(name.split_once('/'), Some((stringify!($enum), variant_of(value))));
        }
        samples
    }};
    ($enum:ident: $($variant:ident)+) => {
        named("", each!($enum { $($variant => $enum::$variant),+ }), |value| value)
    };
}

/// Each value in the message that carries it, under `prefix` and its own name.
fn named<T, M>(prefix: &str, values: Vec<(&'static str, T)>, carry: impl Fn(T) -> M) -> Vec<Sample>
where
    M: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
{
    values.into_iter().map(|(name, value)| sample(format!("{prefix}{name}"), carry(value))).collect()
}

pub fn all() -> Vec<Sample> {
    [links(), servers(), agents(), relays(), calls(), answers(), kinds()].into_iter().flatten().collect()
}

/// What a peer may send whole: the values inside are not listed for themselves.
pub fn frames() -> Vec<Sample> {
    [links(), servers(), agents(), relays(), calls(), answers()].into_iter().flatten().collect()
}

fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    text.parse().unwrap()
}

fn fleet() -> FleetId {
    "arena".parse().unwrap()
}

fn session() -> GameSessionId {
    GameSessionId::from_bytes([0x11; 16])
}

fn player_session() -> PlayerSessionId {
    PlayerSessionId::from_bytes([0x22; 16])
}

fn process() -> ServerProcessId {
    ServerProcessId::from_bytes([0x33; 16])
}

fn host() -> HostId {
    HostId::from_bytes([0x44; 16])
}

fn relay() -> RelayId {
    RelayId::from_bytes([0x55; 16])
}

fn secret(byte: u8) -> Secret32 {
    Secret32::from_bytes([byte; 32])
}

fn properties() -> Properties {
    List::first_of([(text("map"), text("ruins"))])
}

fn address() -> SocketAddr {
    "203.0.113.7:7000".parse().unwrap()
}

/// 2023-11-14, and so many milliseconds.
const fn at(ms: u64) -> TimeMs {
    1_700_000_000_000 + ms
}

fn links() -> Vec<Sample> {
    let (name, advertise) = (text("eu 1"), Some(IpAddr::from([203, 0, 113, 7])));
    let roles = each!(HelloRole {
        Server => HelloRole::Server { name, advertise, held_version: at(1) },
        Agent => HelloRole::Agent { name: text("host 1"), advertise: None, capacity: 64 },
        Backend => HelloRole::Backend,
        Operator => HelloRole::Operator,
        Relay => HelloRole::Relay { name: text("relay 1"), addresses: List::first_of([address()]), secret: 2 },
    });
    let credentials = each!(Credential {
        Bound => Credential::Bound,
        Launch => Credential::Launch { process: process(), secret: secret(0xc1) },
        Join => Credential::Join { secret: secret(0xc2) },
    });
    let (versions, software) = (VersionRange { min: 1, max: 300 }, text("playgate-server 0.1.0"));
    let hello = |credential, role| Hello { versions, software: software.clone(), credential, role };
    let welcomes = each!(WelcomeRole {
        Server => WelcomeRole::Server {
            process: process(),
            fleet: fleet(),
            gate_root: secret(0xc3),
            holder_root: secret(0xc4),
            applied_seq: 300,
            beat_ms: 1_000,
        },
        Agent => WelcomeRole::Agent { host: host(), applied_seq: 301 },
        Backend => WelcomeRole::Backend,
        Operator => WelcomeRole::Operator,
        Relay => WelcomeRole::Relay { relay: relay() },
    });
    let welcome = |role| Greeting::Welcome(Welcome { version: 1, now_ms: at(0), role });
    let refusal =
        |reason| Greeting::Refused(Refusal { reason, detail: text("update the peer"), retry_after_ms: 1_500 });
    let refusals = each!(RefusalReason {
        VersionMismatch => RefusalReason::VersionMismatch,
        UnknownKey => RefusalReason::UnknownKey,
        JoinKeyInvalid => RefusalReason::JoinKeyInvalid,
        CredentialTaken => RefusalReason::CredentialTaken,
        WrongRole => RefusalReason::WrongRole,
        ProcessEnded => RefusalReason::ProcessEnded,
        Busy => RefusalReason::Busy,
    });
    let greetings = each!(Greeting {
        Welcome => welcome(WelcomeRole::Operator),
        Refused => refusal(RefusalReason::Busy),
    });
    let mut samples = named("Hello/", roles, |role| hello(Credential::Bound, role));
    samples.extend(named("Hello/", credentials, |credential| hello(credential, HelloRole::Backend)));
    samples.extend(named("", greetings, |greeting| greeting));
    samples.extend(named("Greeting/Welcome/", welcomes, welcome));
    samples.extend(named("Greeting/Refused/", refusals, refusal));
    samples
}

fn servers() -> Vec<Sample> {
    let outcomes = each!(PlayerOutcome {
        Active => PlayerOutcome::Active { generation: 1, joined_ms: at(2) },
        Completed => PlayerOutcome::Completed { reason: PlayerEnd::Left, joined_ms: at(2), left_ms: at(3) },
        Blocked => PlayerOutcome::Blocked,
    });
    let player = |outcome| Report::Player { session: session(), player_session: player_session(), outcome };
    let reports = each!(Report {
        Ready => Report::Ready { ports: List::first_of([7_000, 7_001]) },
        Activated => Report::Activated { session: session(), attempt: 2 },
        Player => player(PlayerOutcome::Blocked),
        SessionEnded => Report::SessionEnded { session: session(), attempt: 2 },
        Ending => Report::Ending,
    });
    let batch =
        |reports: Vec<Report>| ServerUp::Reports(ReportBatch { first_seq: 300, reports: List::first_of(reports) });
    let ups = each!(ServerUp {
        Reports => batch(reports.iter().map(|(_, report)| report.clone()).collect()),
        Beat => ServerUp::Beat(Beat {
            healthy: true,
            floor_ms: at(4),
            through_seq: 304,
            held_version: at(5),
            players: 12,
        }),
    });
    let downs = each!(ServerDown {
        Wanted => ServerDown::Wanted(wanted()),
        ReportAck => ServerDown::ReportAck { through_seq: 304 },
        Clock => ServerDown::Clock { now_ms: at(6) },
        PlayerAt => ServerDown::PlayerAt { player_session: player_session(), address: address() },
    });
    let idle = Wanted { session: None, terminate_by_ms: None, keys: List::default(), ..wanted() };
    let mut samples = named("", ups, |up| up);
    samples.extend(named("ServerUp/Reports/", reports, |report| batch(vec![report])));
    samples.extend(named("ServerUp/Reports/Report/Player/", outcomes, |outcome| batch(vec![player(outcome)])));
    samples.extend(named("", downs, |down| down));
    samples.push(sample("ServerDown/Wanted/idle", ServerDown::Wanted(idle)));
    samples
}

fn wanted() -> Wanted {
    let session = WantedSession {
        id: session(),
        attempt: 2,
        name: text("duel"),
        max_players: 300,
        properties: properties(),
        data: Blob::new([1, 2, 3]).unwrap(),
        policy: AdmissionPolicy { rejoin_grace_ms: 60_000, bearer: false, tell_reason: true },
        revoked: List::first_of([Revoked { ordinal: 70_000, player_session: player_session() }]),
        end_by_ms: Some(at(7)),
    };
    Wanted {
        version: at(8),
        keys: List::first_of([VerifyingKey { key_id: 1, public_key: [0x5e; 32] }]),
        gate_epoch: 2,
        min_epoch: 1,
        session: Some(session),
        terminate_by_ms: Some(at(9)),
    }
}

fn agents() -> Vec<Sample> {
    let statuses = each!(ExitStatus {
        Code => ExitStatus::Code(-1),
        Signal => ExitStatus::Signal(9),
        Unknown => ExitStatus::Unknown,
    });
    let exited = |status| AgentReport::Exited { process: process(), status, output_tail: text("bye") };
    let reports = each!(AgentReport {
        Launched => AgentReport::Launched { process: process(), pid: 4_711, port: Some(7_000) },
        LaunchFailed => AgentReport::LaunchFailed { process: process(), error: LaunchError::Os, detail: text("no") },
        StopStep => AgentReport::StopStep { process: process(), step: StopStep::Kill },
        Exited => exited(ExitStatus::Code(1)),
        Adopted => AgentReport::Adopted { process: process(), pid: 4_711 },
    });
    let batch = |reports: Vec<AgentReport>| {
        AgentUp::Reports(AgentReportBatch { first_seq: 300, reports: List::first_of(reports) })
    };
    let ups = each!(AgentUp {
        Reports => batch(reports.iter().map(|(_, report)| report.clone()).collect()),
        Inventory => AgentUp::Inventory { alive: List::first_of([process()]) },
        Beat => AgentUp::Beat,
    });
    let downs = each!(AgentDown {
        Launch => AgentDown::Launch(launch_order()),
        Stop => AgentDown::Stop { process: process(), grace_ms: 10_000, term_grace_ms: 5_000 },
        ReportAck => AgentDown::ReportAck { through_seq: 305 },
        Clock => AgentDown::Clock { now_ms: at(10) },
    });
    let mut samples = named("", ups, |up| up);
    samples.extend(named("AgentUp/Reports/", reports, |report| batch(vec![report])));
    samples.extend(named("AgentUp/Reports/AgentReport/Exited/", statuses, |status| batch(vec![exited(status)])));
    samples.extend(named("", downs, |down| down));
    samples
}

fn launch_order() -> LaunchOrder {
    LaunchOrder {
        process: process(),
        fleet: fleet(),
        name: text("arena-1"),
        argv: List::first_of([text("./server"), text("{port}")]),
        properties: List::first_of([(text("region"), text("eu"))]),
        env: List::first_of([(text("RUST_LOG"), text("info"))]),
        env_pass: List::first_of([text("HOME")]),
        working_dir: Some(text("/srv")),
        ports: Some((7_000, 7_099)),
        credential: secret(0xc5),
    }
}

fn relays() -> Vec<Sample> {
    let player = PlayerAt { player_session: player_session(), process: process(), address: address() };
    let ups = each!(RelayUp {
        Beat => RelayUp::Beat(relay_beat()),
        Players => RelayUp::Players(List::first_of([player])),
    });
    let numbered = |number, byte| NumberedSecret { number, secret: secret(byte) };
    let revocation = FlowRevocation { player_session: player_session(), until_ms: at(11) };
    let downs = each!(RelayDown {
        Secrets => RelayDown::Secrets { current: numbered(2, 0xc8), before: Some(numbered(1, 0xc9)) },
        Revoke => RelayDown::Revoke(List::first_of([revocation])),
        Clock => RelayDown::Clock { now_ms: at(12) },
    });
    let mut samples = named("", ups, |up| up);
    samples.extend(named("", downs, |down| down));
    samples
}

fn relay_beat() -> RelayBeat {
    RelayBeat { secret: 2, flows: 300, flows_max: 10_000, is_draining: true }
}

fn calls() -> Vec<Sample> {
    let key: IdempotencyKey = text("order-1");
    let new_player = NewPlayer { player: "p-1".parse().unwrap(), data: Blob::new([9, 8]).unwrap() };
    let backend = each!(BackendCall {
        CreateGameSession => BackendCall::CreateGameSession(CreateGameSession {
            fleet: fleet(),
            name: text("duel"),
            max_players: 300,
            properties: properties(),
            data: Blob::new([1, 2, 3]).unwrap(),
            placement_timeout_ms: 30_000,
            idempotency_key: key.clone(),
        }),
        DescribeGameSession => BackendCall::DescribeGameSession { session: session() },
        AwaitGameSession => BackendCall::AwaitGameSession { session: session(), terminated: true, timeout_ms: 500 },
        ListGameSessions => BackendCall::ListGameSessions { fleet: Some(fleet()), after: Some(session()) },
        TerminateGameSession => BackendCall::TerminateGameSession { session: session(), grace_ms: 5_000 },
        CreatePlayerSessions => BackendCall::CreatePlayerSessions(CreatePlayerSessions {
            session: session(),
            players: List::first_of([new_player]),
            reservation_ms: Some(60_000),
            idempotency_key: key,
        }),
        GetTicket => BackendCall::GetTicket { player_session: player_session() },
        DescribePlayerSession => BackendCall::DescribePlayerSession { player_session: player_session() },
        ListPlayerSessions => BackendCall::ListPlayerSessions { session: session(), after: None },
        RevokePlayerSession => BackendCall::RevokePlayerSession { player_session: player_session(), timeout_ms: 500 },
    });
    let join_key = |role| {
        let (secret_sha256, fleet) = ([0x5a; 32], Some(fleet()));
        OperatorCall::CreateJoinKey(CreateJoinKey { secret_sha256, role, fleet, uses: 3, lifetime_ms: 86_400_000 })
    };
    let roles = each!(JoinRole {
        Agent => JoinRole::Agent,
        Server => JoinRole::Server,
        Backend => JoinRole::Backend,
        Relay => JoinRole::Relay,
    });
    let operator = each!(OperatorCall {
        Backend => OperatorCall::Backend(BackendCall::GetTicket { player_session: player_session() }),
        ListFleets => OperatorCall::ListFleets,
        ListHosts => OperatorCall::ListHosts,
        ListProcesses => OperatorCall::ListProcesses { fleet: None, after: Some(process()) },
        StopProcess => OperatorCall::StopProcess { process: process(), grace_ms: 5_000 },
        SetProcessesPerHost => OperatorCall::SetProcessesPerHost { fleet: fleet(), processes_per_host: 4 },
        CreateJoinKey => join_key(JoinRole::Backend),
        ListEvents => OperatorCall::ListEvents { after: 300 },
        ListRelays => OperatorCall::ListRelays,
        RotateRelaySecret => OperatorCall::RotateRelaySecret { relay: relay() },
    });
    let mut samples = named("BackendUp/", backend, |call| BackendUp { request: 300, call });
    samples.extend(named("OperatorUp/", operator, |call| OperatorUp { request: 300, call }));
    samples.extend(named("OperatorUp/", roles, |role| OperatorUp { request: 300, call: join_key(role) }));
    samples
}

fn answers() -> Vec<Sample> {
    let answers = each!(Answer {
        Done => Answer::Done,
        GameSession => Answer::GameSession(session_info()),
        GameSessions => Answer::GameSessions(List::first_of([session_info()])),
        Tickets => Answer::Tickets(List::first_of([ticket()])),
        PlayerSessions => Answer::PlayerSessions(List::first_of([player_info()])),
        Fleets => Answer::Fleets(List::first_of([FleetInfo {
            id: fleet(),
            processes_per_host: 4,
            processes: [1, 2, 3, 4, 5],
            game_sessions: 3,
        }])),
        Hosts => Answer::Hosts(List::first_of([HostInfo {
            id: host(),
            name: text("host 1"),
            connected: true,
            address: Some(address().ip()),
            processes: 5,
            capacity: 64,
        }])),
        Processes => Answer::Processes(List::first_of([process_info()])),
        Events => Answer::Events(List::first_of([event(Subject::Process(process()))])),
        Relays => Answer::Relays(List::first_of([RelayInfo {
            id: relay(),
            name: text("relay 1"),
            connected: true,
            addresses: List::first_of([address()]),
            secret: 2,
            beat: Some(relay_beat()),
        }])),
    });
    let subjects = each!(Subject {
        Coordinator => Subject::Coordinator,
        Fleet => Subject::Fleet(fleet()),
        Host => Subject::Host(host()),
        Process => Subject::Process(process()),
        GameSession => Subject::GameSession(session()),
        Peer => Subject::Peer(Fingerprint::from_bytes([0x66; 32])),
        Relay => Subject::Relay(relay()),
    });
    let codes = each!(ErrorCode {
        InvalidRequest => ErrorCode::InvalidRequest,
        NotFound => ErrorCode::NotFound,
        FleetCapacityExceeded => ErrorCode::FleetCapacityExceeded,
        GameSessionActivationFailed => ErrorCode::GameSessionActivationFailed,
        GameSessionFull => ErrorCode::GameSessionFull,
        InvalidGameSessionStatus => ErrorCode::InvalidGameSessionStatus,
        AlreadyReserved => ErrorCode::AlreadyReserved,
        IdempotentParameterMismatch => ErrorCode::IdempotentParameterMismatch,
        PlayerSessionOver => ErrorCode::PlayerSessionOver,
        ServerUnavailable => ErrorCode::ServerUnavailable,
        Busy => ErrorCode::Busy,
        StoreFull => ErrorCode::StoreFull,
    });
    let down = |outcome| ApiDown { request: 300, outcome };
    let refused = |code| down(Err(CallError { code, detail: text("try another"), retry_after_ms: 1_500 }));
    let mut samples = vec![
        sample("ApiDown/Result/Ok", down(Ok(Answer::Done))),
        sample("ApiDown/Result/Err", refused(ErrorCode::NotFound)),
    ];
    samples.extend(named("ApiDown/", answers, |answer| down(Ok(answer))));
    samples.extend(named("ApiDown/Event/", subjects, |about| down(Ok(Answer::Events(List::first_of([event(about)]))))));
    samples.extend(named("ApiDown/", codes, refused));
    samples
}

pub fn ticket() -> Ticket {
    Ticket {
        player_session: player_session(),
        game_session: session(),
        addresses: List::first_of([address()]),
        expires_at_ms: at(60_000),
        bearer: false,
        token: Blob::new([0x77; 161]).unwrap(),
        holder_key: secret(0xc6),
        relays: List::first_of([RelayPass {
            addresses: List::first_of([address()]),
            pass: Blob::new([0x78; PASS_BYTES]).unwrap(),
            flow_key: secret(0xc7),
        }]),
    }
}

fn session_info() -> GameSessionInfo {
    GameSessionInfo {
        id: session(),
        fleet: fleet(),
        name: text("duel"),
        status: GameSessionStatus::Terminated,
        attempt: 2,
        reason: Some(SessionEnd::Ended),
        process: Some(process()),
        address: Some(address()),
        max_players: 300,
        reserved: 2,
        active: 3,
        properties: properties(),
        created_ms: at(11),
        activated_ms: Some(at(12)),
        terminated_ms: None,
    }
}

fn player_info() -> PlayerSessionInfo {
    PlayerSessionInfo {
        id: player_session(),
        game_session: session(),
        player: "p-1".parse().unwrap(),
        status: PlayerSessionStatus::Completed,
        reason: Some(PlayerEnd::Left),
        revoking: false,
        created_ms: at(13),
        expires_at_ms: at(60_013),
        joined_ms: Some(at(14)),
        ended_ms: Some(at(15)),
    }
}

fn process_info() -> ProcessInfo {
    ProcessInfo {
        id: process(),
        fleet: fleet(),
        host: Some(host()),
        name: text("arena-1"),
        status: ProcessStatus::Ended,
        healthy: false,
        unreachable_since_ms: Some(at(16)),
        pid: Some(4_711),
        ports: List::first_of([7_000]),
        session: None,
        sessions_hosted: 3,
        reason: Some(ProcessEnd::Crashed),
        exit: Some(ExitStatus::Signal(11)),
        output_tail: text("out of memory"),
        created_ms: at(17),
        ended_ms: Some(at(18)),
    }
}

fn event(subject: Subject) -> Event {
    Event { seq: 300, at_ms: at(19), kind: EventKind::ProcessEnded, subject, detail: text("signal 11") }
}

/// Values without anything in them, and addresses.
fn kinds() -> Vec<Sample> {
    let addresses = each!(SocketAddr {
        V4 => address(),
        V6 => "[2001:db8::7]:7000".parse().unwrap(),
    });
    let ips = each!(IpAddr {
        V4 => address().ip(),
        V6 => "2001:db8::7".parse().unwrap(),
    });
    let mut samples = named("", addresses, |address| address);
    samples.extend(named("", ips, |ip| ip));
    samples.push(sample("Ticket", ticket()));
    samples.extend(each!(GameSessionStatus: Placing Activating Active Terminating Terminated));
    samples.extend(each!(PlayerSessionStatus: Reserved Active Completed TimedOut));
    samples.extend(each!(ProcessStatus: Launching Connected Ready Hosting Draining Ended));
    samples.extend(each!(SessionEnd:
        Ended Terminated ForceTerminated ProcessEnded ProcessLost ActivationFailed NoCapacity
    ));
    samples.extend(each!(PlayerEnd: Left Absent Revoked SessionEnded));
    samples.extend(each!(ProcessEnd:
        Shutdown Crashed LaunchFailed ReadyTimeout ActivationTimeout Unhealthy ExitTimeout Stopped ForceTerminated
        Recycled Lost
    ));
    samples.extend(each!(LaunchError:
        ExecutableMissing ExecutableNotExecutable WorkingDirectoryMissing PortsExhausted BadTemplate HostFull Os
    ));
    samples.extend(each!(StopStep: Term Kill));
    samples.extend(each!(EventKind:
        CoordinatorStarted ClockSkew HostConnected HostDisconnected ProcessLaunching ProcessLaunched
        ProcessLaunchFailed ProcessConnected ProcessReady ProcessUnwell ProcessWell ProcessUnreachable ProcessDraining
        ProcessStopStep ProcessEnded ProcessAdopted GameSessionPlacing GameSessionActivating GameSessionActive
        GameSessionTerminating GameSessionTerminated JoinKeyCreated PeerBound PeerRefused ProtocolViolation StoreSpace
        RelayConnected RelayDisconnected RelaySecretRotated
    ));
    samples
}
