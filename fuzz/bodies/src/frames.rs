//! Control frames: the payload as it comes, and messages of every role that are drawn, encoded and damaged.

use std::fmt::Debug;

use playgate_protocol::agent::{AgentDown, AgentUp};
use playgate_protocol::api::{ApiDown, BackendUp, OperatorUp};
use playgate_protocol::frame::{self, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, FrameError};
use playgate_protocol::server::{ServerDown, ServerUp};
use playgate_protocol::{Greeting, Hello};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::draw::{Draw, Pool};

/// The payload of a frame, as every message of every role.
pub fn frames(data: &[u8]) {
    if let Some(header) = data.first_chunk() {
        let announced = u32::from_le_bytes(*header) as usize;
        assert_eq!(frame::payload_len(*header).ok(), Some(announced).filter(|len| *len <= FRAME_BYTES_MAX));
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
    assert_eq!(frame::decode::<T>(&framed[FRAME_HEADER_BYTES..]), Ok(message));
}

/// A drawn message of one kind, written, read, and read again with a few bytes of it changed.
pub fn messages(data: &[u8]) {
    let pool = Pool {
        ids: vec![[0; 16], [0x11; 16], [0xff; 16]],
        secrets: vec![[0; 32], [0xff; 32]],
        texts: ["", "arena", "p", "k", "{port}", "203.0.113.7"].map(str::to_owned).to_vec(),
        numbers: vec![1_700_000_000_000, u64::from(u32::MAX), u64::MAX],
    };
    let mut draw = Draw::new(data, &pool);
    match draw.byte() % 9 {
        0 => message::<Hello>(draw),
        1 => message::<Greeting>(draw),
        2 => message::<ServerUp>(draw),
        3 => message::<ServerDown>(draw),
        4 => message::<AgentUp>(draw),
        5 => message::<AgentDown>(draw),
        6 => message::<BackendUp>(draw),
        7 => message::<OperatorUp>(draw),
        _ => message::<ApiDown>(draw),
    }
}

fn message<T: Serialize + DeserializeOwned + PartialEq + Debug>(mut draw: Draw<'_>) {
    let Some(message) = draw.value::<T>() else { return };
    let mut framed = b"before".to_vec();
    match frame::encode(&message, &mut framed) {
        Err(error) => {
            assert_eq!((error, &framed[..]), (FrameError::TooLarge, &b"before"[..]));
            return;
        }
        Ok(()) => assert_eq!(framed.drain(..6).as_slice(), b"before"),
    }
    let header = *framed.first_chunk().expect("a header");
    let payload = &mut framed[FRAME_HEADER_BYTES..];
    assert_eq!(frame::payload_len(header), Ok(payload.len()));
    assert_eq!(frame::decode::<T>(payload), Ok(message));
    assert!(payload.is_empty() || frame::decode::<T>(&payload[..payload.len() - 1]).is_err(), "half a message is one");
    for _ in 0..8 {
        if draw.is_empty() || payload.is_empty() {
            break;
        }
        let at = usize::from(draw.byte()) << 8 | usize::from(draw.byte());
        payload[at % payload.len()] ^= draw.byte();
    }
    round_trip::<T>(payload);
}
