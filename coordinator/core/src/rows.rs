//! What is kept: the rows are the state. A row is written whole, by its key; what is not in a row is not remembered.

use std::net::{IpAddr, SocketAddr};

use playgate_protocol::agent::ExitStatus;
use playgate_protocol::api::{
    Event, GameSessionStatus, IdempotencyKey, PlayerData, PlayerSessionStatus, ProcessStatus,
};
use playgate_protocol::limits::OUTPUT_TAIL_BYTES_MAX;
use playgate_protocol::reason::{PlayerEnd, ProcessEnd, SessionEnd};
use playgate_protocol::relay::RelayAddresses;
use playgate_protocol::server::{Ports, Properties, SessionData};
use playgate_protocol::{
    Fingerprint, FleetId, GameSessionId, HostId, JoinRole, Name, PlayerId, PlayerSessionId, RelayId, ServerProcessId,
    Text, TimeMs,
};

use crate::fleet::FleetConfig;

/// One change of what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// The coordinator's time, at least this.
    HighWater(TimeMs),
    /// A public signing key.
    SigningKey(SigningKeyRow),
    /// A fleet.
    Fleet(FleetConfig),
    /// A host.
    Host(HostRow),
    /// A relay.
    Relay(RelayRow),
    /// A join key.
    JoinKey(JoinKeyRow),
    /// A peer's key, bound to what it is.
    Peer(PeerRow),
    /// A server process.
    Process(Box<ProcessRow>),
    /// A game session.
    GameSession(Box<GameSessionRow>),
    /// A player session.
    PlayerSession(Box<PlayerSessionRow>),
    /// Something that happened.
    Event(Event),
    /// A signing key was withdrawn.
    ForgetSigningKey(u16),
    /// A join key is gone.
    ForgetJoinKey([u8; 32]),
    /// A peer's key is bound to nothing any more.
    ForgetPeer(Fingerprint),
    /// A process is past its retention.
    ForgetProcess(ServerProcessId),
    /// A game session is past its retention.
    ForgetGameSession(GameSessionId),
    /// A player session is past its retention.
    ForgetPlayerSession(PlayerSessionId),
    /// Events up to this number are past their retention.
    ForgetEvents(u64),
}

/// A public signing key. The private half is in the key file only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningKeyRow {
    /// As in the token.
    pub key_id: u16,
    /// Ed25519.
    pub public_key: [u8; 32],
}

/// A machine with an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRow {
    /// Its id.
    pub id: HostId,
    /// Display name.
    pub name: Name,
    /// Address at which players reach its servers.
    pub address: Option<IpAddr>,
    /// Processes it can carry.
    pub capacity: u32,
    /// Last report applied.
    pub applied_seq: u64,
}

/// A relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayRow {
    /// Its id.
    pub id: RelayId,
    /// Display name.
    pub name: Name,
    /// Where players reach it.
    pub addresses: RelayAddresses,
    /// Number of the newest secret made for it, from 1; the secret itself follows from the master key.
    pub secret: u32,
    /// When that was made.
    pub rotated_ms: TimeMs,
}

/// A join key; its secret is kept as a hash only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinKeyRow {
    /// SHA-256 of the secret.
    pub secret_sha256: [u8; 32],
    /// What it makes of its bearer.
    pub role: JoinRole,
    /// For servers: their fleet.
    pub fleet: Option<FleetId>,
    /// Keys it may yet bind.
    pub uses_left: u32,
    /// Good until.
    pub expires_ms: TimeMs,
}

/// Who a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerRow {
    /// The key.
    pub fingerprint: Fingerprint,
    /// Who that is.
    pub identity: Identity,
}

/// Who a peer is. From the key of its link, never from a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// An operator.
    Operator,
    /// A backend.
    Backend,
    /// The agent of this host.
    Agent(HostId),
    /// This server process.
    Server(ServerProcessId),
    /// This relay.
    Relay(RelayId),
}

/// A server process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRow {
    /// Its id: new for every launch.
    pub id: ServerProcessId,
    /// Its fleet.
    pub fleet: FleetId,
    /// Its host; none when it was started by hand.
    pub host: Option<HostId>,
    /// Display name.
    pub name: Name,
    /// Status.
    pub status: ProcessStatus,
    /// The agent said that it runs.
    pub launched: bool,
    /// Process id on its host.
    pub pid: Option<u32>,
    /// Where players reach it.
    pub address: Option<SocketAddr>,
    /// All its ports.
    pub ports: Ports,
    /// The game session it hosts.
    pub session: Option<GameSessionId>,
    /// Game sessions hosted so far.
    pub sessions_hosted: u32,
    /// Last report applied.
    pub applied_seq: u64,
    /// Epoch of its gate keys.
    pub gate_epoch: u16,
    /// Why it is asked to end, and by when.
    pub drain: Option<Drain>,
    /// The agent had to kill it.
    pub killed: bool,
    /// Why it ended.
    pub reason: Option<ProcessEnd>,
    /// How it exited.
    pub exit: Option<ExitStatus>,
    /// Its last lines of output.
    pub output_tail: Text<OUTPUT_TAIL_BYTES_MAX>,
    /// When ordered or first seen.
    pub created_ms: TimeMs,
    /// When last ready for the first time.
    pub ready_ms: Option<TimeMs>,
    /// When gone.
    pub ended_ms: Option<TimeMs>,
}

/// Why a process is asked to end, and by when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// Becomes the reason of its end.
    pub reason: ProcessEnd,
    /// Then SIGTERM.
    pub deadline_ms: TimeMs,
}

/// A game session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GameSessionRow {
    /// Its id.
    pub id: GameSessionId,
    /// Its fleet.
    pub fleet: FleetId,
    /// Display name.
    pub name: Name,
    /// Status.
    pub status: GameSessionStatus,
    /// Attempts to place it.
    pub attempt: u32,
    /// Where it is hosted.
    pub process: Option<ServerProcessId>,
    /// Most players at a time.
    pub max_players: u16,
    /// Map, mode and so on.
    pub properties: Properties,
    /// Opaque data for the game.
    pub data: SessionData,
    /// No ordinal at or above this was handed out.
    pub ordinal_high: u32,
    /// By when it should have found a process.
    pub place_by_ms: TimeMs,
    /// By when it should be over.
    pub end_by_ms: Option<TimeMs>,
    /// The request that made it.
    pub idempotency_key: IdempotencyKey,
    /// SHA-256 of that request.
    pub request_sha256: [u8; 32],
    /// Why it ended.
    pub reason: Option<SessionEnd>,
    /// When asked for.
    pub created_ms: TimeMs,
    /// When active.
    pub activated_ms: Option<TimeMs>,
    /// When over.
    pub terminated_ms: Option<TimeMs>,
}

/// A player session: everything its ticket is made of, so that it can be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerSessionRow {
    /// Its id.
    pub id: PlayerSessionId,
    /// Its game session.
    pub game_session: GameSessionId,
    /// Whose.
    pub player: PlayerId,
    /// Rides in the token.
    pub data: PlayerData,
    /// Status.
    pub status: PlayerSessionStatus,
    /// Never used twice in a game session.
    pub ordinal: u32,
    /// The key its token is signed with.
    pub key_id: u16,
    /// The epoch its token is tagged under.
    pub gate_epoch: u16,
    /// When reserved; issued-at of the token.
    pub created_ms: TimeMs,
    /// Expiry of the token.
    pub expires_at_ms: TimeMs,
    /// Revoked; its slot is free when the server has answered.
    pub revoking: bool,
    /// The request that made it.
    pub idempotency_key: IdempotencyKey,
    /// SHA-256 of that request.
    pub request_sha256: [u8; 32],
    /// Rises with each reconnect.
    pub generation: u32,
    /// Why it was completed.
    pub reason: Option<PlayerEnd>,
    /// When admitted.
    pub joined_ms: Option<TimeMs>,
    /// When over.
    pub ended_ms: Option<TimeMs>,
}
