//! Tokens made with nothing of the crate: what a coordinator signs, and what whoever stole a key can make of it.

use ring::signature::{Ed25519KeyPair, KeyPair};

use super::{PublicKey, Server, to_hex};
use crate::spec;
use crate::support::{CURRENT_EPOCH, KEY_ID, MASTER, MIN_EPOCH, NOW_MS, OTHER_KEY_ID, OTHER_SEED, SEED, at};

/// The server of most cases.
pub const MAIN: &str = "main";
/// The seed of a signing key that no server was told of.
pub const STRANGERS_SEED: [u8; 32] = [0x3c; 32];
pub const PROCESS: [u8; 16] = *b"\x01\x01\x97\x74\x1f\xf1\xa0process-1";
pub const SESSION: [u8; 16] = *b"\x01\x01\x97\x74\x20\x66\xd0session-1";

/// The claims of a token, in any combination.
#[derive(Clone)]
pub struct Draft {
    pub key_id: u16,
    pub gate_epoch: u16,
    pub ordinal: u32,
    pub issued_at_ms: u64,
    pub expires_at_ms: u64,
    pub game_session: [u8; 16],
    pub process: [u8; 16],
    pub player_session: [u8; 16],
    pub player_id: Vec<u8>,
    pub player_data: Vec<u8>,
}

impl Draft {
    /// A good token for the server `main`, of 212 bytes. Each family has an ordinal of its own, so that no two have the
    /// same control.
    pub fn new(ordinal: u32) -> Self {
        Self {
            key_id: KEY_ID,
            gate_epoch: CURRENT_EPOCH,
            ordinal,
            issued_at_ms: NOW_MS - 1_000,
            expires_at_ms: NOW_MS + 59_000,
            game_session: SESSION,
            process: PROCESS,
            player_session: *b"\x01\x01\x97\x74\x20\xd8\x18player-42",
            player_id: b"player-0123456789abc".to_vec(),
            player_data: b"team=red;skin=fox;region=eu-west".to_vec(),
        }
    }

    /// Without signature and tag, whose places are zero.
    pub fn bare(&self) -> Vec<u8> {
        let (id_len, data_len) = (self.player_id.len() as u8, self.player_data.len() as u16);
        let mut token = b"PGT1".to_vec();
        token.extend(self.key_id.to_le_bytes());
        token.extend(self.gate_epoch.to_le_bytes());
        token.extend([0, id_len]);
        token.extend(data_len.to_le_bytes());
        token.extend(self.ordinal.to_le_bytes());
        token.extend(self.issued_at_ms.to_le_bytes());
        token.extend(self.expires_at_ms.to_le_bytes());
        token.extend([self.game_session, self.process, self.player_session].concat());
        token.extend(&self.player_id);
        token.extend(&self.player_data);
        token.resize(token.len() + spec::SEAL_LEN, 0);
        token
    }

    pub fn sealed(&self) -> Vec<u8> {
        let mut token = self.bare();
        seal(&mut token);
        token
    }
}

pub fn signer(key_id: u16) -> Ed25519KeyPair {
    key_pair(if key_id == OTHER_KEY_ID { &OTHER_SEED } else { &SEED })
}

pub fn key_pair(seed: &[u8; 32]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).unwrap()
}

pub fn public_key(key_id: u16, seed: &[u8; 32]) -> PublicKey {
    PublicKey { key_id, public_key: to_hex(key_pair(seed).public_key().as_ref()) }
}

/// What only the coordinator can do: signed by the key that the token names, tagged for the process it names.
pub fn seal(token: &mut [u8]) {
    let key_id = u16::from_le_bytes([token[at::KEY_ID], token[at::KEY_ID + 1]]);
    spec::sign(token, &signer(key_id));
    let process = token[at::SERVER_PROCESS_ID..][..16].try_into().unwrap();
    tag_for(token, &process);
}

/// What somebody can do who learned the gate root of `main`.
pub fn tag(token: &mut [u8]) {
    tag_for(token, &PROCESS);
}

pub fn tag_for(token: &mut [u8], process: &[u8; 16]) {
    let epoch = u16::from_le_bytes([token[at::GATE_EPOCH], token[at::GATE_EPOCH + 1]]);
    spec::tag(token, &spec::gate_key(&spec::gate_root(&MASTER, process), epoch));
}

pub fn main_server() -> Server {
    Server {
        name: MAIN.to_owned(),
        process_id: to_hex(&PROCESS),
        game_session_id: to_hex(&SESSION),
        gate_root: to_hex(&spec::gate_root(&MASTER, &PROCESS)),
        min_epoch: MIN_EPOCH,
        current_epoch: CURRENT_EPOCH,
        public_keys: vec![public_key(KEY_ID, &SEED), public_key(OTHER_KEY_ID, &OTHER_SEED)],
    }
}

/// A server like `main` with another name and one change.
pub fn server(name: &str, change: impl FnOnce(&mut Server)) -> Server {
    let mut server = Server { name: name.to_owned(), ..main_server() };
    change(&mut server);
    server
}
