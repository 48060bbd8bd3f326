//! Everything that is parsed besides datagrams.

use std::fmt::Debug;
use std::str::FromStr;

use playgate_agent_core::template::expand;
use playgate_coordinator::store::{Sqlite, Store};
use playgate_core::fleet::FleetConfig;
use playgate_protocol::agent::{AgentDown, AgentUp};
use playgate_protocol::api::{ApiDown, BackendUp, OperatorUp};
use playgate_protocol::server::{ServerDown, ServerUp};
use playgate_protocol::{
    BackendKey, Fingerprint, FleetId, GameSessionId, Greeting, Hello, HostId, JoinKey, OperatorKey, PlayerId,
    PlayerSessionId, ServerProcessId, Ticket, frame,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The payload of a frame, as every role's message.
pub fn frames(data: &[u8]) {
    if let Some(header) = data.first_chunk() {
        let _ = frame::payload_len(*header);
    }
    round_trip::<Hello>(data);
    round_trip::<Greeting>(data);
    round_trip::<ServerUp>(data);
    round_trip::<ServerDown>(data);
    round_trip::<AgentUp>(data);
    round_trip::<AgentDown>(data);
    round_trip::<BackendUp>(data);
    round_trip::<OperatorUp>(data);
    round_trip::<ApiDown>(data);
}

/// A message need not have one encoding, but its own must decode to the same.
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(payload: &[u8]) {
    let Ok(message) = frame::decode::<T>(payload) else { return };
    let mut framed = Vec::new();
    // A peer's over-long numbers may have been shorter than ours are; longer they cannot be.
    frame::encode(&message, &mut framed).expect("what came in one frame fits one");
    assert_eq!(frame::decode::<T>(&framed[frame::FRAME_HEADER_BYTES..]), Ok(message));
}

/// What people paste.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(ticket) = Ticket::from_text(text) {
        assert_eq!(Ticket::from_text(&ticket.to_text()), Ok(ticket));
    }
    if let Ok(key) = JoinKey::from_text(text) {
        assert_eq!(JoinKey::from_text(&key.to_text()).expect("its own text"), key);
    }
    if let Ok(key) = OperatorKey::from_text(text) {
        assert!(OperatorKey::from_text(&key.to_text()).is_ok());
    }
    if let Ok(key) = BackendKey::from_text(text) {
        assert!(BackendKey::from_text(&key.to_text()).is_ok());
    }
    one_text::<GameSessionId>(text);
    one_text::<PlayerSessionId>(text);
    one_text::<ServerProcessId>(text);
    one_text::<HostId>(text);
    one_text::<Fingerprint>(text);
    one_text::<FleetId>(text);
    one_text::<PlayerId>(text);
}

fn one_text<T: FromStr + ToString>(text: &str) {
    if let Ok(parsed) = text.parse::<T>() {
        assert_eq!(parsed.to_string(), text, "an id has one text");
    }
}

/// A fleet file.
pub fn fleet(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(fleet) = toml::from_str::<FleetConfig>(text)
        && fleet.check().is_ok()
    {
        let policy = fleet.admission_policy();
        assert!(u64::from(policy.rejoin_grace_ms) <= fleet.rejoin_grace.0);
    }
}

/// A template and, behind a NUL, the value of every name in it.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (template, value) = text.split_once('\0').unwrap_or((text, "value"));
    if let Ok(expanded) = expand(template, |name| (name != "unknown").then_some(value)) {
        let longest = template.len().saturating_mul(value.len().max(1)) + template.len();
        assert!(expanded.len() <= longest);
    }
    let literal = expand(&template.replace('{', "{{").replace('}', "}}"), |_| None);
    if let Ok(literal) = literal {
        assert_eq!(literal, template, "escaped, it means itself");
    }
}

/// A database file: a real one with the bytes laid over it from an offset, or the bytes alone.
pub fn store(data: &[u8]) {
    let Some((head, over)) = data.split_first_chunk::<4>() else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("playgate.db");
    if head[3] != 0 {
        drop(Sqlite::open(&path).expect("a new database"));
        let mut file = std::fs::read(&path).expect("written just now");
        let offset =
            usize::try_from(u32::from_le_bytes([head[0], head[1], head[2], 0])).expect("24 bits") % file.len().max(1);
        for (byte, over) in file[offset..].iter_mut().zip(over) {
            *byte = *over;
        }
        std::fs::write(&path, file).expect("room");
    } else {
        std::fs::write(&path, over).expect("room");
    }
    if let Ok(mut store) = Sqlite::open(&path) {
        let _ = store.load();
    }
}
