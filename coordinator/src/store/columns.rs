//! What each type looks like in a column: names of states as text, ids and addresses in their text form, lists as JSON.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use playgate_protocol::api::{EventKind, GameSessionStatus, PlayerSessionStatus, ProcessStatus};
use playgate_protocol::reason::{PlayerEnd, ProcessEnd, SessionEnd};
use playgate_protocol::relay::RelayAddresses;
use playgate_protocol::server::{Ports, Properties, Property};
use playgate_protocol::{
    Blob, Fingerprint, FleetId, GameSessionId, HostId, JoinRole, List, PlayerId, PlayerSessionId, RelayId,
    ServerProcessId, Text,
};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use serde::de::{Deserializer as _, MapAccess, Visitor};

use super::record::Scalar;

fn text(value: ValueRef<'_>) -> Option<&str> {
    match value {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// Names of states are part of the file format: one that has been in a release keeps its name.
macro_rules! names {
    ($($type:ident { $($variant:ident = $name:literal,)* })*) => {$(
        impl Scalar for $type {
            fn to_column(&self) -> ToSqlOutput<'_> {
                ToSqlOutput::from(match self { $(Self::$variant => $name,)* })
            }

            fn from_column(value: ValueRef<'_>) -> Option<Self> {
                match text(value)? { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    )*};
}

names! {
    ProcessStatus {
        Launching = "LAUNCHING",
        Connected = "CONNECTED",
        Ready = "READY",
        Hosting = "HOSTING",
        Draining = "DRAINING",
        Ended = "ENDED",
    }
    GameSessionStatus {
        Placing = "PLACING",
        Activating = "ACTIVATING",
        Active = "ACTIVE",
        Terminating = "TERMINATING",
        Terminated = "TERMINATED",
    }
    PlayerSessionStatus {
        Reserved = "RESERVED",
        Active = "ACTIVE",
        Completed = "COMPLETED",
        TimedOut = "TIMEDOUT",
    }
    EventKind {
        CoordinatorStarted = "COORDINATOR_STARTED",
        ClockSkew = "CLOCK_SKEW",
        HostConnected = "HOST_CONNECTED",
        HostDisconnected = "HOST_DISCONNECTED",
        ProcessLaunching = "PROCESS_LAUNCHING",
        ProcessLaunched = "PROCESS_LAUNCHED",
        ProcessLaunchFailed = "PROCESS_LAUNCH_FAILED",
        ProcessConnected = "PROCESS_CONNECTED",
        ProcessReady = "PROCESS_READY",
        ProcessUnwell = "PROCESS_UNWELL",
        ProcessWell = "PROCESS_WELL",
        ProcessUnreachable = "PROCESS_UNREACHABLE",
        ProcessDraining = "PROCESS_DRAINING",
        ProcessStopStep = "PROCESS_STOP_STEP",
        ProcessEnded = "PROCESS_ENDED",
        ProcessAdopted = "PROCESS_ADOPTED",
        GameSessionPlacing = "GAME_SESSION_PLACING",
        GameSessionActivating = "GAME_SESSION_ACTIVATING",
        GameSessionActive = "GAME_SESSION_ACTIVE",
        GameSessionTerminating = "GAME_SESSION_TERMINATING",
        GameSessionTerminated = "GAME_SESSION_TERMINATED",
        JoinKeyCreated = "JOIN_KEY_CREATED",
        PeerBound = "PEER_BOUND",
        PeerRefused = "PEER_REFUSED",
        ProtocolViolation = "PROTOCOL_VIOLATION",
        StoreSpace = "STORE_SPACE",
        RelayConnected = "RELAY_CONNECTED",
        RelayDisconnected = "RELAY_DISCONNECTED",
        RelaySecretRotated = "RELAY_SECRET_ROTATED",
    }
}

/// Types whose name or content is a `str` already.
macro_rules! borrowed_text {
    ($($type:ty),*) => {$(
        impl Scalar for $type {
            fn to_column(&self) -> ToSqlOutput<'_> {
                ToSqlOutput::from(self.as_str())
            }

            fn from_column(value: ValueRef<'_>) -> Option<Self> {
                text(value)?.parse().ok()
            }
        }
    )*};
}
borrowed_text!(ProcessEnd, SessionEnd, PlayerEnd, JoinRole, FleetId, PlayerId, String);

impl<const MAX: usize> Scalar for Text<MAX> {
    fn to_column(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::from(self.as_str())
    }

    fn from_column(value: ValueRef<'_>) -> Option<Self> {
        text(value)?.parse().ok()
    }
}

/// Types with a text form that has to be written first.
macro_rules! displayed {
    ($($type:ty),*) => {$(
        impl Scalar for $type {
            fn to_column(&self) -> ToSqlOutput<'_> {
                ToSqlOutput::Owned(Value::Text(self.to_string()))
            }

            fn from_column(value: ValueRef<'_>) -> Option<Self> {
                text(value)?.parse().ok()
            }
        }
    )*};
}
displayed!(GameSessionId, PlayerSessionId, ServerProcessId, HostId, RelayId, Fingerprint, IpAddr, SocketAddr);

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Scalar for $type {
            fn to_column(&self) -> ToSqlOutput<'_> {
                ToSqlOutput::Owned(Value::Integer(i64::from(*self)))
            }

            fn from_column(value: ValueRef<'_>) -> Option<Self> {
                match value {
                    ValueRef::Integer(number) => number.try_into().ok(),
                    _ => None,
                }
            }
        }
    )*};
}
integers!(u16, u32, i32);

impl Scalar for u64 {
    fn to_column(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Owned(Value::Integer(self.cast_signed()))
    }

    fn from_column(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Integer(number) => Some(number.cast_unsigned()),
            _ => None,
        }
    }
}

impl Scalar for bool {
    fn to_column(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::from(*self)
    }

    fn from_column(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Integer(0) => Some(false),
            ValueRef::Integer(1) => Some(true),
            _ => None,
        }
    }
}

impl<const LEN: usize> Scalar for [u8; LEN] {
    fn to_column(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Borrowed(ValueRef::Blob(self))
    }

    fn from_column(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Blob(bytes) => bytes.try_into().ok(),
            _ => None,
        }
    }
}

impl<const MAX: usize> Scalar for Blob<MAX> {
    fn to_column(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Borrowed(ValueRef::Blob(self))
    }

    fn from_column(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Blob(bytes) => Self::new(bytes).ok(),
            _ => None,
        }
    }
}

macro_rules! json {
    ($($type:ty),*) => {$(
        impl Scalar for $type {
            fn to_column(&self) -> ToSqlOutput<'_> {
                ToSqlOutput::Owned(Value::Text(serde_json::to_string(self).expect("it can be written as JSON")))
            }

            fn from_column(value: ValueRef<'_>) -> Option<Self> {
                serde_json::from_str(text(value)?).ok()
            }
        }
    )*};
}
json!(Ports, RelayAddresses);

/// A JSON object, so that a property is found by its key; order and repeated keys are kept all the same.
impl Scalar for Properties {
    fn to_column(&self) -> ToSqlOutput<'_> {
        let mut json = String::from("{");
        for (key, value) in self {
            let comma = if json.len() > 1 { "," } else { "" };
            let quoted = |text: &str| serde_json::to_string(text).expect("text can be written as JSON");
            json.extend([comma, &quoted(key), ":", &quoted(value)]);
        }
        json.push('}');
        ToSqlOutput::Owned(Value::Text(json))
    }

    fn from_column(value: ValueRef<'_>) -> Option<Self> {
        let mut json = serde_json::Deserializer::from_str(text(value)?);
        let pairs = json.deserialize_map(InOrder).ok()?;
        json.end().ok()?;
        List::new(pairs).ok()
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Vec<Property>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}
