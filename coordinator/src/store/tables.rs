//! Which field of which row is kept in which column.

use playgate_core::fleet::FleetConfig;
use playgate_core::rows::{
    Drain, GameSessionRow, HostRow, Identity, JoinKeyRow, PeerRow, PlayerSessionRow, ProcessRow, RelayRow,
    SigningKeyRow,
};
use playgate_protocol::agent::ExitStatus;
use playgate_protocol::api::{Event, Subject};

use super::record::{Field, Put, Record, Take, parameter, record, sql};

record!(SigningKeyRow = "signing_key" {
    key_id: "key_id",
    public_key: "public_key",
});

record!(HostRow = "host" {
    id: "id",
    name: "name",
    address: "address",
    capacity: "capacity",
    applied_seq: "applied_seq",
});

record!(RelayRow = "relay" {
    id: "id",
    name: "name",
    addresses: "addresses",
    secret: "secret",
    rotated_ms: "rotated_ms",
});

record!(JoinKeyRow = "join_key" {
    secret_sha256: "secret_sha256",
    role: "role",
    fleet: "fleet",
    uses_left: "uses_left",
    expires_ms: "expires_ms",
});

record!(PeerRow = "peer" {
    fingerprint: "fingerprint",
    identity: "role" "role_id",
});

record!(ProcessRow = "process" {
    id: "id",
    fleet: "fleet",
    host: "host",
    name: "name",
    status: "status",
    launched: "launched",
    pid: "pid",
    address: "address",
    ports: "ports",
    session: "session",
    sessions_hosted: "sessions_hosted",
    applied_seq: "applied_seq",
    gate_epoch: "gate_epoch",
    drain: "drain_reason" "drain_deadline_ms",
    killed: "killed",
    reason: "reason",
    exit: "exit_kind" "exit_number",
    output_tail: "output_tail",
    created_ms: "created_ms",
    ready_ms: "ready_ms",
    ended_ms: "ended_ms",
});

record!(GameSessionRow = "game_session" {
    id: "id",
    fleet: "fleet",
    name: "name",
    status: "status",
    attempt: "attempt",
    process: "process",
    max_players: "max_players",
    properties: "properties",
    data: "data",
    ordinal_high: "ordinal_high",
    place_by_ms: "place_by_ms",
    end_by_ms: "end_by_ms",
    idempotency_key: "idempotency_key",
    request_sha256: "request_sha256",
    reason: "reason",
    created_ms: "created_ms",
    activated_ms: "activated_ms",
    terminated_ms: "terminated_ms",
});

record!(PlayerSessionRow = "player_session" {
    id: "id",
    game_session: "game_session",
    player: "player",
    data: "data",
    status: "status",
    ordinal: "ordinal",
    key_id: "key_id",
    gate_epoch: "gate_epoch",
    created_ms: "created_ms",
    expires_at_ms: "expires_at_ms",
    revoking: "revoking",
    idempotency_key: "idempotency_key",
    request_sha256: "request_sha256",
    generation: "generation",
    reason: "reason",
    joined_ms: "joined_ms",
    ended_ms: "ended_ms",
});

record!(Event = "event" {
    seq: "seq",
    at_ms: "at_ms",
    kind: "kind",
    subject: "subject_kind" "subject",
    detail: "detail",
});

impl Record for FleetConfig {
    sql!("fleet", "name", "config");

    fn put(&self, columns: &mut Put<'_, '_>) -> rusqlite::Result<()> {
        let config = serde_json::to_string(self).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
        columns.put(&self.name)?.put(&config)?;
        Ok(())
    }

    fn take(columns: &mut Take<'_, '_>) -> Option<Self> {
        let name = columns.take()?;
        let config: String = columns.take()?;
        serde_json::from_str(&config).ok().filter(|fleet: &Self| fleet.name == name)
    }
}

impl Field for Option<Drain> {
    fn put(&self, columns: &mut Put<'_, '_>) -> rusqlite::Result<()> {
        columns.put(&self.map(|drain| drain.reason))?.put(&self.map(|drain| drain.deadline_ms))?;
        Ok(())
    }

    fn take(columns: &mut Take<'_, '_>) -> Option<Self> {
        match (columns.take()?, columns.take()?) {
            (None, None) => Some(None),
            (Some(reason), Some(deadline_ms)) => Some(Some(Drain { reason, deadline_ms })),
            _ => None,
        }
    }
}

impl Field for Option<ExitStatus> {
    fn put(&self, columns: &mut Put<'_, '_>) -> rusqlite::Result<()> {
        let (kind, number) = match self {
            None => (None, None),
            Some(ExitStatus::Code(code)) => (Some("CODE"), Some(*code)),
            Some(ExitStatus::Signal(signal)) => (Some("SIGNAL"), Some(*signal)),
            Some(ExitStatus::Unknown) => (Some("UNKNOWN"), None),
        };
        columns.put(&kind.map(str::to_owned))?.put(&number)?;
        Ok(())
    }

    fn take(columns: &mut Take<'_, '_>) -> Option<Self> {
        let kind: Option<String> = columns.take()?;
        match (kind.as_deref(), columns.take()?) {
            (None, None) => Some(None),
            (Some("CODE"), Some(code)) => Some(Some(ExitStatus::Code(code))),
            (Some("SIGNAL"), Some(signal)) => Some(Some(ExitStatus::Signal(signal))),
            (Some("UNKNOWN"), None) => Some(Some(ExitStatus::Unknown)),
            _ => None,
        }
    }
}

impl Field for Identity {
    fn put(&self, columns: &mut Put<'_, '_>) -> rusqlite::Result<()> {
        let (role, id) = match self {
            Self::Operator => ("operator", None),
            Self::Backend => ("backend", None),
            Self::Agent(host) => ("agent", Some(host.to_string())),
            Self::Server(process) => ("server", Some(process.to_string())),
            Self::Relay(relay) => ("relay", Some(relay.to_string())),
        };
        columns.put(&role.to_owned())?.put(&id)?;
        Ok(())
    }

    fn take(columns: &mut Take<'_, '_>) -> Option<Self> {
        let role: String = columns.take()?;
        let id: Option<String> = columns.take()?;
        match (role.as_str(), id) {
            ("operator", None) => Some(Self::Operator),
            ("backend", None) => Some(Self::Backend),
            ("agent", Some(host)) => host.parse().ok().map(Self::Agent),
            ("server", Some(process)) => process.parse().ok().map(Self::Server),
            ("relay", Some(relay)) => relay.parse().ok().map(Self::Relay),
            _ => None,
        }
    }
}

impl Field for Subject {
    fn put(&self, columns: &mut Put<'_, '_>) -> rusqlite::Result<()> {
        let kind = match self {
            Self::Coordinator => "coordinator",
            Self::Fleet(_) => "fleet",
            Self::Host(_) => "host",
            Self::Process(_) => "process",
            Self::GameSession(_) => "game_session",
            Self::Peer(_) => "peer",
            Self::Relay(_) => "relay",
        };
        columns.put(&kind.to_owned())?.put(&self.to_string())?;
        Ok(())
    }

    fn take(columns: &mut Take<'_, '_>) -> Option<Self> {
        let kind: String = columns.take()?;
        let id: String = columns.take()?;
        match kind.as_str() {
            "coordinator" => Some(Self::Coordinator),
            "fleet" => id.parse().ok().map(Self::Fleet),
            "host" => id.parse().ok().map(Self::Host),
            "process" => id.parse().ok().map(Self::Process),
            "game_session" => id.parse().ok().map(Self::GameSession),
            "peer" => id.parse().ok().map(Self::Peer),
            "relay" => id.parse().ok().map(Self::Relay),
            _ => None,
        }
    }
}
