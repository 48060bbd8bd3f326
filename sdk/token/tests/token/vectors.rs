//! The golden vectors in `vectors/pgt1.json`, to which every implementation of PGT1 is held.
//!
//! `PLAYGATE_BLESS=1 cargo test -p playgate-token` writes the file. A change of it is a change of the protocol.

use playgate_token::*;
use serde::{Deserialize, Serialize};

use crate::support::World;

mod make;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/pgt1.json");

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    about: Vec<String>,
    coordinator: Coordinator,
    server: Server,
    accept: Vec<Accepted>,
    reject: Vec<Rejected>,
    reject_public_key: Vec<RejectedKey>,
}

/// What the tokens were made with.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Coordinator {
    master_key: String,
    signing_keys: Vec<SigningKeyPair>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SigningKeyPair {
    key_id: u16,
    seed: String,
    public_key: String,
}

/// Whom the tokens are presented to, and when.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    server_process_id: ServerProcessId,
    server_process_id_hex: String,
    game_session_id: GameSessionId,
    game_session_id_hex: String,
    gate_root: String,
    holder_root: String,
    min_epoch: u16,
    current_epoch: u16,
    gate_keys: Vec<EpochKey>,
    public_keys: Vec<PublicKey>,
    now_ms: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EpochKey {
    epoch: u16,
    key: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PublicKey {
    key_id: u16,
    public_key: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    name: String,
    claims: ClaimsText,
    token: String,
    token_hash: String,
    holder_key: String,
    proof_key: String,
    server_key: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimsText {
    key_id: u16,
    gate_epoch: u16,
    ordinal: u32,
    issued_at_ms: u64,
    expires_at_ms: u64,
    game_session_id: GameSessionId,
    server_process_id: ServerProcessId,
    player_session_id: PlayerSessionId,
    player_id: String,
    player_data: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rejected {
    name: String,
    reason: String,
    token: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RejectedKey {
    name: String,
    reason: String,
    public_key: String,
}

#[test]
fn the_committed_vectors_are_those_the_code_makes() {
    let made = serde_json::to_string_pretty(&make::make(&World::new())).unwrap() + "\n";
    if std::env::var_os("PLAYGATE_BLESS").is_some() {
        std::fs::write(FILE, &made).unwrap();
    }
    let committed = std::fs::read_to_string(FILE).expect("vectors/pgt1.json is committed");
    assert!(made == committed, "the vectors differ from {FILE}; PLAYGATE_BLESS=1 shows how");
}

/// As another implementation would use the file: from its text alone.
#[test]
fn every_committed_vector_gets_its_verdict() {
    let vectors: Vectors = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    let server = &vectors.server;
    let gate_root = GateRoot::from_bytes(from_hex(&server.gate_root).try_into().unwrap());
    let holder_root = HolderRoot::from_bytes(from_hex(&server.holder_root).try_into().unwrap());
    let public_keys = server.public_keys.iter().map(|key| (key.key_id, from_hex(&key.public_key).try_into().unwrap()));
    let audience = Audience {
        process: server.server_process_id,
        game_session: server.game_session_id,
        gate_keys: &GateKeys::new(&gate_root, server.min_epoch, server.current_epoch),
        key_set: &PublicKeySet::new(&public_keys.collect::<Vec<_>>()).unwrap(),
    };
    assert!(vectors.accept.len() >= 3 && vectors.reject.len() >= 25);
    for vector in &vectors.accept {
        check_accepted(vector, &vectors.coordinator, &audience, &holder_root, server.now_ms);
    }
    for vector in &vectors.reject {
        let verdict = accept(&from_hex(&vector.token), &audience, server.now_ms).err().map(Reject::as_str);
        assert_eq!(verdict, Some(vector.reason.as_str()), "{}", vector.name);
    }
    for reason in Reject::ALL {
        assert!(vectors.reject.iter().any(|vector| vector.reason == reason.as_str()), "no vector for {reason}");
    }
    for vector in &vectors.reject_public_key {
        let key = from_hex(&vector.public_key).try_into().unwrap();
        assert_eq!(PublicKeySet::new(&[(1, key)]).unwrap_err(), key_error(&vector.reason), "{}", vector.name);
    }
}

fn check_accepted(
    vector: &Accepted,
    coordinator: &Coordinator,
    audience: &Audience<'_>,
    holder_root: &HolderRoot,
    now_ms: u64,
) {
    let name = &vector.name;
    let token = from_hex(&vector.token);
    let claims = accept(&token, audience, now_ms).unwrap_or_else(|reason| panic!("{name}: {reason}"));
    assert_eq!(ClaimsText::from(&claims), vector.claims, "{name}");
    assert_eq!(to_hex(&token_hash(&token)), vector.token_hash, "{name}");
    let holder_key = holder_root.holder_key(&token).unwrap();
    assert_eq!(to_hex(holder_key.as_bytes()), vector.holder_key, "{name}");
    assert_eq!(to_hex(holder_key.proof_key().as_bytes()), vector.proof_key, "{name}");
    assert_eq!(to_hex(holder_key.server_key().as_bytes()), vector.server_key, "{name}");

    let pair = coordinator.signing_keys.iter().find(|pair| pair.key_id == claims.key_id).unwrap();
    let signing_key = SigningKey::from_seed(&from_hex(&pair.seed).try_into().unwrap());
    let master = MasterKey::from_bytes(from_hex(&coordinator.master_key).try_into().unwrap());
    let gate_key = master.gate_root(&claims.server_process_id).gate_key(claims.gate_epoch);
    assert_eq!(mint(&claims, &signing_key, &gate_key).unwrap().as_bytes(), token, "{name}");
}

impl From<&Claims<'_>> for ClaimsText {
    fn from(claims: &Claims<'_>) -> Self {
        Self {
            key_id: claims.key_id,
            gate_epoch: claims.gate_epoch,
            ordinal: claims.ordinal,
            issued_at_ms: claims.issued_at_ms,
            expires_at_ms: claims.expires_at_ms,
            game_session_id: claims.game_session_id,
            server_process_id: claims.server_process_id,
            player_session_id: claims.player_session_id,
            player_id: claims.player_id.to_owned(),
            player_data: to_hex(claims.player_data),
        }
    }
}

fn key_error(reason: &str) -> KeySetError {
    match reason {
        "small_order" => KeySetError::SmallOrder(1),
        "non_canonical" => KeySetError::NonCanonical(1),
        _ => panic!("no such reason: {reason}"),
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "half a byte: {text}");
    (0..text.len()).step_by(2).map(|place| u8::from_str_radix(&text[place..place + 2], 16).unwrap()).collect()
}
