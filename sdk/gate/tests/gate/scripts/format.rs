//! The steps of a script, as they are written in the file.

use serde::{Deserialize, Serialize};

/// A server process: who it is, and the roots of its keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub name: String,
    pub process_id: String,
    pub gate_root: String,
    pub holder_root: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    pub name: String,
    pub player_session_id: String,
    pub token: String,
    pub proof_key: String,
    pub server_key: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    pub gate_epoch: u16,
    pub min_epoch: u16,
    pub public_keys: Vec<PublicKey>,
    pub session: Option<WantedSession>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKey {
    pub key_id: u16,
    pub public_key: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedSession {
    pub game_session_id: String,
    pub attempt: u32,
    pub max_players: u16,
    pub rejoin_grace_ms: u32,
    pub bearer: bool,
    pub tell_reason: bool,
    pub revoked: Vec<Revoked>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    pub ordinal: u32,
    pub player_session_id: String,
}

/// What a step does. Each has the fields of its kind only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Do {
    Want(Wanted),
    Activate,
    EndSession,
    Pass { us: u64 },
    Sync { coordinator_ms: u64 },
    Beat { floor_ms: u64 },
    Restart { server: String },
    Disconnected { player: String },
    Leave { player: String },
    Hello { from: String, nonce: String, token: String, keep: String },
    Make(Proof),
    Send { from: String, datagram: String },
    Raw { from: String, bytes: String },
    Admit { connection: u64, token: String },
}

/// How to make a PROOF. What is absent is as the holder of the token makes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    pub keep: String,
    pub challenge: String,
    pub token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later_us: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac_xor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub xor_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub append: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    #[serde(rename = "do")]
    pub what: Do,
    /// What a datagram or bare token comes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// In the ACCEPT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// In the REFUSE; absent where there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refuse: Option<u8>,
    /// Players who are in when the step is done.
    pub players: u32,
}
