//! The world the tests play in: one coordinator, one server process, one game session, at one moment.

use playgate_token::*;
use ring::signature::Ed25519KeyPair;

use crate::spec;

pub const NOW_MS: u64 = 1_750_000_000_000;
pub const MIN_EPOCH: u16 = 6;
pub const CURRENT_EPOCH: u16 = 7;
pub const KEY_ID: u16 = 1;
pub const OTHER_KEY_ID: u16 = u16::MAX;

pub const MASTER: [u8; 32] = ascending_from(0x80);
pub const SEED: [u8; 32] = ascending_from(0xa0);
pub const OTHER_SEED: [u8; 32] = ascending_from(0xc0);

const fn ascending_from(first: u8) -> [u8; 32] {
    let mut bytes = [first; 32];
    let mut place = 1;
    while place < bytes.len() {
        bytes[place] = first + place as u8;
        place += 1;
    }
    bytes
}

/// Where the fields of a token are, for tests that break one.
pub mod at {
    pub const KEY_ID: usize = 4;
    pub const GATE_EPOCH: usize = 6;
    pub const FLAGS: usize = 8;
    pub const PLAYER_ID_LEN: usize = 9;
    pub const PLAYER_DATA_LEN: usize = 10;
    pub const ORDINAL: usize = 12;
    pub const ISSUED_AT_MS: usize = 16;
    pub const EXPIRES_AT_MS: usize = 24;
    pub const GAME_SESSION_ID: usize = 32;
    pub const SERVER_PROCESS_ID: usize = 48;
    pub const PLAYER_ID: usize = 80;
}

/// Overwrites the bytes at `place`.
pub fn put(token: &mut [u8], place: usize, bytes: &[u8]) {
    token[place..place + bytes.len()].copy_from_slice(bytes);
}

pub struct World {
    pub process: ServerProcessId,
    pub game_session: GameSessionId,
    pub gate_root: GateRoot,
    pub holder_root: HolderRoot,
    pub gate_keys: GateKeys,
    pub key_set: PublicKeySet,
    pub signing_key: SigningKey,
    pub other_signing_key: SigningKey,
    pub signer: Ed25519KeyPair,
    pub other_signer: Ed25519KeyPair,
}

impl World {
    pub fn new() -> Self {
        let master = MasterKey::from_bytes(MASTER);
        let process = ServerProcessId::from_parts(1, NOW_MS - 60_000, *b"process-1");
        let gate_root = master.gate_root(&process);
        let signing_key = SigningKey::from_seed(&SEED);
        let other_signing_key = SigningKey::from_seed(&OTHER_SEED);
        let public_keys = [(KEY_ID, signing_key.public_key()), (OTHER_KEY_ID, other_signing_key.public_key())];
        Self {
            process,
            game_session: GameSessionId::from_parts(1, NOW_MS - 30_000, *b"session-1"),
            gate_keys: GateKeys::new(&gate_root, MIN_EPOCH, CURRENT_EPOCH),
            gate_root,
            holder_root: master.holder_root(&process),
            key_set: PublicKeySet::new(&public_keys).unwrap(),
            signing_key,
            other_signing_key,
            signer: Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap(),
            other_signer: Ed25519KeyPair::from_seed_unchecked(&OTHER_SEED).unwrap(),
        }
    }

    pub fn audience(&self) -> Audience<'_> {
        Audience {
            process: self.process,
            game_session: self.game_session,
            gate_keys: &self.gate_keys,
            key_set: &self.key_set,
        }
    }

    pub fn accept<'t>(&self, token: &'t [u8]) -> Result<Claims<'t>, Reject> {
        accept(token, &self.audience(), NOW_MS)
    }

    /// A player id of 20 bytes, data of 32, a minute to live: 212 bytes.
    pub fn claims(&self) -> Claims<'static> {
        Claims {
            key_id: KEY_ID,
            gate_epoch: CURRENT_EPOCH,
            ordinal: 42,
            issued_at_ms: NOW_MS - 1_000,
            expires_at_ms: NOW_MS + 59_000,
            game_session_id: self.game_session,
            server_process_id: self.process,
            player_session_id: PlayerSessionId::from_parts(1, NOW_MS - 1_000, *b"player-42"),
            player_id: "player-0123456789abc",
            player_data: b"team=red;skin=fox;region=eu-west",
        }
    }

    /// The shortest token, valid for one more millisecond, from the older epoch.
    pub fn minimal_claims(&self) -> Claims<'static> {
        Claims {
            gate_epoch: MIN_EPOCH,
            ordinal: 0,
            issued_at_ms: NOW_MS,
            expires_at_ms: NOW_MS + 1,
            player_session_id: PlayerSessionId::from_bytes([0; 16]),
            player_id: "a",
            player_data: b"",
            ..self.claims()
        }
    }

    /// The longest token, every number as large as it may be.
    pub fn maximal_claims(&self) -> Claims<'static> {
        // 32 characters of 4 bytes.
        const PLAYER_ID: &str = "🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊";
        static PLAYER_DATA: [u8; 256] = {
            let mut data = [0; 256];
            let mut place = 0;
            while place < 256 {
                data[place] = place as u8;
                place += 1;
            }
            data
        };
        Claims {
            key_id: OTHER_KEY_ID,
            ordinal: u32::MAX,
            issued_at_ms: u64::MAX - limits::MAX_LIFETIME_MS,
            expires_at_ms: u64::MAX,
            player_session_id: PlayerSessionId::from_bytes([0xff; 16]),
            player_id: PLAYER_ID,
            player_data: &PLAYER_DATA,
            ..self.claims()
        }
    }

    /// Mints with the keys that the claims name.
    pub fn mint(&self, claims: &Claims<'_>) -> Token {
        let key = if claims.key_id == OTHER_KEY_ID { &self.other_signing_key } else { &self.signing_key };
        mint(claims, key, &self.gate_root.gate_key(claims.gate_epoch)).unwrap()
    }

    /// The token of [`claims`](Self::claims), to be broken.
    pub fn token(&self) -> Vec<u8> {
        self.mint(&self.claims()).as_bytes().to_vec()
    }

    /// Writes the gate tag that the token's epoch asks for: what somebody can do who learned the gate root.
    pub fn tag(&self, token: &mut [u8]) {
        let epoch = u16::from_le_bytes([token[at::GATE_EPOCH], token[at::GATE_EPOCH + 1]]);
        spec::tag(token, &spec::gate_key(self.gate_root.as_bytes(), epoch));
    }

    /// Signs with the key that the token names, then tags: what only the coordinator can do.
    pub fn seal(&self, token: &mut [u8]) {
        let key_id = u16::from_le_bytes([token[at::KEY_ID], token[at::KEY_ID + 1]]);
        spec::sign(token, if key_id == OTHER_KEY_ID { &self.other_signer } else { &self.signer });
        self.tag(token);
    }
}
