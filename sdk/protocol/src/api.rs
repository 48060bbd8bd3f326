//! Between backends or operators and the coordinator: calls with numbers, answers with the same numbers.
//!
//! An operator may call everything, a backend what is in [`BackendCall`]; the type of its frames says so.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::agent::ExitStatus;
use crate::limits::{
    IDEMPOTENCY_KEY_BYTES_MAX, OUTPUT_TAIL_BYTES_MAX, PAGE_MAX, PLAYER_DATA_BYTES_MAX, PLAYERS_PER_REQUEST_MAX,
};
use crate::reason::{PlayerEnd, ProcessEnd, SessionEnd};
use crate::relay::{RelayAddresses, RelayBeat};
use crate::server::{Ports, Properties, SessionData};
use crate::{
    Blob, Detail, Fingerprint, FleetId, GameSessionId, HostId, JoinRole, List, Name, PlayerId, PlayerSessionId,
    RelayId, ServerProcessId, Text, Ticket, TimeMs,
};

/// Chosen by the caller; the same key with the same request has one effect and one answer.
pub type IdempotencyKey = Text<IDEMPOTENCY_KEY_BYTES_MAX>;
/// Player data that rides inside the token.
pub type PlayerData = Blob<PLAYER_DATA_BYTES_MAX>;

/// What a backend sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendUp {
    /// Chosen by the caller, repeated in the answer; unique among the open calls of this link.
    pub request: u64,
    /// The call.
    pub call: BackendCall,
}

/// What an operator sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorUp {
    /// As in [`BackendUp`].
    pub request: u64,
    /// The call.
    pub call: OperatorCall,
}

/// What backends and operators receive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiDown {
    /// The call that is answered.
    pub request: u64,
    /// Its outcome.
    pub outcome: Result<Answer, CallError>,
}

/// Calls of a studio's backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackendCall {
    /// Place a game session; answered when it is active or has failed. → [`Answer::GameSession`]
    CreateGameSession(CreateGameSession),
    /// → [`Answer::GameSession`]
    DescribeGameSession {
        /// Which.
        session: GameSessionId,
    },
    /// Answered when the session is no longer being placed or activated, or after `timeout_ms`. → [`Answer::GameSession`]
    AwaitGameSession {
        /// Which.
        session: GameSessionId,
        /// `false`: until active (or terminated). `true`: until terminated.
        terminated: bool,
        /// Answer with the state as it is after this long.
        timeout_ms: u32,
    },
    /// Live sessions and those ended of late, by id. → [`Answer::GameSessions`]
    ListGameSessions {
        /// Only of this fleet.
        fleet: Option<FleetId>,
        /// Only those behind this one: the last of the page before.
        after: Option<GameSessionId>,
    },
    /// Ask the game to end its session by a deadline; then force. Answered at once. → [`Answer::GameSession`]
    TerminateGameSession {
        /// Which.
        session: GameSessionId,
        /// Time the game has; 0 forces at once.
        grace_ms: u32,
    },
    /// Reserve slots, all or none. → [`Answer::Tickets`]
    CreatePlayerSessions(CreatePlayerSessions),
    /// The same ticket again, byte for byte but for the way through a relay, while reserved or active. → [`Answer::Tickets`]
    GetTicket {
        /// Whose.
        player_session: PlayerSessionId,
    },
    /// → [`Answer::PlayerSessions`], with one
    DescribePlayerSession {
        /// Which.
        player_session: PlayerSessionId,
    },
    /// Of one game session, by id. → [`Answer::PlayerSessions`]
    ListPlayerSessions {
        /// Of which.
        session: GameSessionId,
        /// Only those behind this one.
        after: Option<PlayerSessionId>,
    },
    /// Take a reservation back or a player out; answered when the server has confirmed it, or with the state as it is
    /// after `timeout_ms`. → [`Answer::PlayerSessions`], with one
    RevokePlayerSession {
        /// Which.
        player_session: PlayerSessionId,
        /// How long to wait for the server.
        timeout_ms: u32,
    },
}

/// Calls of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorCall {
    /// Anything a backend may call.
    Backend(BackendCall),
    /// → [`Answer::Fleets`]
    ListFleets,
    /// → [`Answer::Hosts`]
    ListHosts,
    /// → [`Answer::Processes`]
    ListProcesses {
        /// Only of this fleet.
        fleet: Option<FleetId>,
        /// Only those behind this one.
        after: Option<ServerProcessId>,
    },
    /// Ask a process to end by a deadline; then SIGTERM, then SIGKILL. Answered at once. → [`Answer::Processes`], with one
    StopProcess {
        /// Which.
        process: ServerProcessId,
        /// Time it has before SIGTERM.
        grace_ms: u32,
    },
    /// Change how many processes a fleet keeps on each host; 0 stops those that host nothing. → [`Answer::Fleets`]
    SetProcessesPerHost {
        /// Which fleet.
        fleet: FleetId,
        /// How many.
        processes_per_host: u32,
    },
    /// Make a join key. The secret is made by the caller and only its hash is kept. → [`Answer::Done`]
    CreateJoinKey(CreateJoinKey),
    /// What happened, oldest first. → [`Answer::Events`]
    ListEvents {
        /// Only those behind this number.
        after: u64,
    },
    /// → [`Answer::Relays`]
    ListRelays,
    /// Give a relay a new secret; passes sealed with the one before are taken until the next time. → [`Answer::Done`]
    RotateRelaySecret {
        /// Which relay.
        relay: RelayId,
    },
}

/// A game session to be placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateGameSession {
    /// On which fleet.
    pub fleet: FleetId,
    /// Display name.
    pub name: Name,
    /// Most players at a time, at least 1.
    pub max_players: u16,
    /// Map, mode and so on.
    pub properties: Properties,
    /// Opaque data for the game.
    pub data: SessionData,
    /// How long to wait for a free process; 0 fails at once when there is none.
    pub placement_timeout_ms: u32,
    /// Makes a retry safe.
    pub idempotency_key: IdempotencyKey,
}

/// Slots to be reserved, all or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePlayerSessions {
    /// In which session.
    pub session: GameSessionId,
    /// For whom, 1 to 64.
    pub players: List<NewPlayer, PLAYERS_PER_REQUEST_MAX>,
    /// How long the reservations live, 1 s to 1 h; the fleet's choice where absent.
    pub reservation_ms: Option<u32>,
    /// Makes a retry safe.
    pub idempotency_key: IdempotencyKey,
}

/// One player of a reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPlayer {
    /// As the backend names him.
    pub player: PlayerId,
    /// Rides in the token, signed, in clear.
    pub data: PlayerData,
}

/// A join key to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateJoinKey {
    /// SHA-256 of the secret.
    pub secret_sha256: [u8; 32],
    /// What it makes of its bearer.
    pub role: JoinRole,
    /// For role server: which fleet it serves.
    pub fleet: Option<FleetId>,
    /// How many keys it may bind.
    pub uses: u32,
    /// How long it is good for.
    pub lifetime_ms: u64,
}

/// Outcomes of calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Nothing more to say.
    Done,
    /// One game session.
    GameSession(GameSessionInfo),
    /// A page; ask again behind the last until one is empty.
    GameSessions(List<GameSessionInfo, PAGE_MAX>),
    /// In the order of the request.
    Tickets(List<Ticket, PLAYERS_PER_REQUEST_MAX>),
    /// A page.
    PlayerSessions(List<PlayerSessionInfo, PAGE_MAX>),
    /// All of them.
    Fleets(List<FleetInfo, PAGE_MAX>),
    /// All of them.
    Hosts(List<HostInfo, PAGE_MAX>),
    /// A page.
    Processes(List<ProcessInfo, PAGE_MAX>),
    /// A page.
    Events(List<Event, PAGE_MAX>),
    /// All of them.
    Relays(List<RelayInfo, PAGE_MAX>),
}

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallError {
    /// The kind: what a program acts on.
    pub code: ErrorCode,
    /// For people: names the thing and the remedy.
    pub detail: Detail,
    /// When to try again; 0 when trying again is of no use.
    pub retry_after_ms: u32,
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.code, self.detail)
    }
}

impl std::error::Error for CallError {}

/// Kinds of refusal of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorCode {
    /// The request contradicts itself or a limit.
    InvalidRequest,
    /// No such fleet, session, player or process.
    NotFound,
    /// No server process became free in time.
    FleetCapacityExceeded,
    /// No attempt to place the game session led to an active one.
    GameSessionActivationFailed,
    /// Not enough free slots for all players of the request.
    GameSessionFull,
    /// The game session takes no players in its present state.
    InvalidGameSessionStatus,
    /// The player holds a live reservation or plays in this game session.
    AlreadyReserved,
    /// The idempotency key was used for another request.
    IdempotentParameterMismatch,
    /// The player session is over; there is no ticket.
    PlayerSessionOver,
    /// The server cannot take reservations at present (unreachable, or its clock runs ahead).
    ServerUnavailable,
    /// Come back later.
    Busy,
    /// The store cannot take new facts: the disk is nearly full.
    StoreFull,
}

/// Status of a game session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GameSessionStatus {
    /// Waits for a process.
    Placing,
    /// A process loads it.
    Activating,
    /// Takes players.
    Active,
    /// Is being ended.
    Terminating,
    /// Over.
    Terminated,
}

/// Status of a player session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlayerSessionStatus {
    /// The slot is held; the token was not used yet.
    Reserved,
    /// Admitted by the server.
    Active,
    /// Over.
    Completed,
    /// The token was never used.
    TimedOut,
}

/// Status of a server process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessStatus {
    /// Ordered from the agent.
    Launching,
    /// Its link is up.
    Connected,
    /// Can host a game session.
    Ready,
    /// Hosts one.
    Hosting,
    /// Is asked to end.
    Draining,
    /// Gone.
    Ended,
}

/// One game session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameSessionInfo {
    /// Its id.
    pub id: GameSessionId,
    /// Its fleet.
    pub fleet: FleetId,
    /// Display name.
    pub name: Name,
    /// Status.
    pub status: GameSessionStatus,
    /// Attempts to place it so far.
    pub attempt: u32,
    /// Why it ended.
    pub reason: Option<SessionEnd>,
    /// Where it is hosted.
    pub process: Option<ServerProcessId>,
    /// Where players reach it.
    pub address: Option<SocketAddr>,
    /// Most players at a time.
    pub max_players: u16,
    /// Slots held by unused tokens.
    pub reserved: u16,
    /// Slots held by players.
    pub active: u16,
    /// Map, mode and so on.
    pub properties: Properties,
    /// When asked for.
    pub created_ms: TimeMs,
    /// When active.
    pub activated_ms: Option<TimeMs>,
    /// When over.
    pub terminated_ms: Option<TimeMs>,
}

/// One player session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayerSessionInfo {
    /// Its id.
    pub id: PlayerSessionId,
    /// Its game session.
    pub game_session: GameSessionId,
    /// Whose.
    pub player: PlayerId,
    /// Status.
    pub status: PlayerSessionStatus,
    /// Why it was completed.
    pub reason: Option<PlayerEnd>,
    /// Revoked, and the server has not answered yet.
    pub revoking: bool,
    /// When reserved.
    pub created_ms: TimeMs,
    /// The token must be used before this.
    pub expires_at_ms: TimeMs,
    /// When admitted.
    pub joined_ms: Option<TimeMs>,
    /// When over.
    pub ended_ms: Option<TimeMs>,
}

/// One fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetInfo {
    /// Its name.
    pub id: FleetId,
    /// Processes kept on each host.
    pub processes_per_host: u32,
    /// Live processes by status: launching, connected, ready, hosting, draining.
    pub processes: [u32; 5],
    /// Live game sessions.
    pub game_sessions: u32,
}

/// One host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInfo {
    /// Its id.
    pub id: HostId,
    /// Display name.
    pub name: Name,
    /// Whether its agent is connected.
    pub connected: bool,
    /// Address at which players reach its servers.
    pub address: Option<std::net::IpAddr>,
    /// Live processes.
    pub processes: u32,
    /// Processes it can carry.
    pub capacity: u32,
}

/// One relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayInfo {
    /// Its id.
    pub id: RelayId,
    /// Display name.
    pub name: Name,
    /// Whether it is connected.
    pub connected: bool,
    /// Where players reach it.
    pub addresses: RelayAddresses,
    /// Number of the newest secret that was made for it; passes are sealed with it once the relay has said that it has it.
    pub secret: u32,
    /// What it said of itself last.
    pub beat: Option<RelayBeat>,
}

/// One server process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Its id.
    pub id: ServerProcessId,
    /// Its fleet.
    pub fleet: FleetId,
    /// Its host; none when it was started by hand.
    pub host: Option<HostId>,
    /// Display name.
    pub name: Name,
    /// Status.
    pub status: ProcessStatus,
    /// Reports good health.
    pub healthy: bool,
    /// Its link is down since.
    pub unreachable_since_ms: Option<TimeMs>,
    /// Process id on its host.
    pub pid: Option<u32>,
    /// Its ports, the players' one first.
    pub ports: Ports,
    /// The game session it hosts.
    pub session: Option<GameSessionId>,
    /// Game sessions hosted so far.
    pub sessions_hosted: u32,
    /// Why it ended.
    pub reason: Option<ProcessEnd>,
    /// How it exited.
    pub exit: Option<ExitStatus>,
    /// Its last lines of output, when it exited without saying so.
    pub output_tail: Text<OUTPUT_TAIL_BYTES_MAX>,
    /// When ordered or first seen.
    pub created_ms: TimeMs,
    /// When gone.
    pub ended_ms: Option<TimeMs>,
}

/// Something that happened to a process, session, host or key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Rises by one.
    pub seq: u64,
    /// When.
    pub at_ms: TimeMs,
    /// What kind.
    pub kind: EventKind,
    /// To what.
    pub subject: Subject,
    /// For people.
    pub detail: Detail,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// The coordinator itself.
    Coordinator,
    /// A fleet.
    Fleet(FleetId),
    /// A host.
    Host(HostId),
    /// A server process.
    Process(ServerProcessId),
    /// A game session.
    GameSession(GameSessionId),
    /// A peer's key.
    Peer(Fingerprint),
    /// A relay.
    Relay(RelayId),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Coordinator => f.write_str("coordinator"),
            Self::Fleet(id) => write!(f, "{id}"),
            Self::Host(id) => write!(f, "{id}"),
            Self::Process(id) => write!(f, "{id}"),
            Self::GameSession(id) => write!(f, "{id}"),
            Self::Peer(id) => write!(f, "{id}"),
            Self::Relay(id) => write!(f, "{id}"),
        }
    }
}

/// Kinds of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// The coordinator started.
    CoordinatorStarted,
    /// A clock runs ahead or was stepped.
    ClockSkew,
    /// A host's agent connected.
    HostConnected,
    /// A host's agent is gone.
    HostDisconnected,
    /// A process was ordered.
    ProcessLaunching,
    /// It runs.
    ProcessLaunched,
    /// It could not be started.
    ProcessLaunchFailed,
    /// Its SDK connected.
    ProcessConnected,
    /// It can host a game session.
    ProcessReady,
    /// It misses health reports or sends bad ones.
    ProcessUnwell,
    /// It reports good health again.
    ProcessWell,
    /// Its link is down.
    ProcessUnreachable,
    /// It is asked to end.
    ProcessDraining,
    /// A step of the stop ladder.
    ProcessStopStep,
    /// It is gone.
    ProcessEnded,
    /// A restarted agent watches it again.
    ProcessAdopted,
    /// A game session waits for a process.
    GameSessionPlacing,
    /// A process loads it.
    GameSessionActivating,
    /// It takes players.
    GameSessionActive,
    /// It is being ended.
    GameSessionTerminating,
    /// It is over.
    GameSessionTerminated,
    /// A join key was made.
    JoinKeyCreated,
    /// A peer's key was bound to an identity.
    PeerBound,
    /// A credential or a link was refused.
    PeerRefused,
    /// A peer said something it must not say, or the two sides' views differ: a bug or an attack.
    ProtocolViolation,
    /// The disk is nearly full, or has room again.
    StoreSpace,
    /// A relay connected.
    RelayConnected,
    /// A relay is gone.
    RelayDisconnected,
    /// A relay has a new secret.
    RelaySecretRotated,
}
