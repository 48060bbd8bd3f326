//! The bytes of a token: where each field is, a checked view that reads them, and the one way to write them.

use core::fmt;
use core::ops::Range;

use crate::id::{GameSessionId, PlayerSessionId, ServerProcessId};
use crate::limits::{self, GATE_TAG_LEN, HEADER_LEN, MAX_TOKEN_LEN, MIN_TOKEN_LEN, SIGNATURE_LEN};
use crate::reject::Reject;

/// The first four bytes of a token. They stand for the whole format, algorithms included: Ed25519 and
/// SipHash-2-4-128. Another algorithm is another magic, read by other code.
pub const MAGIC: [u8; 4] = *b"PGT1";

/// Where the fields of the header are. Integers are little-endian.
mod field {
    use super::Range;

    pub const MAGIC: Range<usize> = 0..4;
    pub const KEY_ID: Range<usize> = 4..6;
    pub const GATE_EPOCH: Range<usize> = 6..8;
    pub const FLAGS: usize = 8;
    pub const PLAYER_ID_LEN: usize = 9;
    pub const PLAYER_DATA_LEN: Range<usize> = 10..12;
    pub const ORDINAL: Range<usize> = 12..16;
    pub const ISSUED_AT_MS: Range<usize> = 16..24;
    pub const EXPIRES_AT_MS: Range<usize> = 24..32;
    pub const GAME_SESSION_ID: Range<usize> = 32..48;
    pub const SERVER_PROCESS_ID: Range<usize> = 48..64;
    pub const PLAYER_SESSION_ID: Range<usize> = 64..80;

    const _: () = assert!(PLAYER_SESSION_ID.end == super::HEADER_LEN);
}

/// What a token says: who may join which game session on which server process, and until when.
///
/// Nothing in it is secret. The player data is left out of the `Debug` form because it belongs to the game.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Claims<'a> {
    /// Which of the coordinator's keys signed it.
    pub key_id: u16,
    /// Under which gate key of the server process it is tagged.
    pub gate_epoch: u16,
    /// Number of the player session within its game session; never used twice.
    pub ordinal: u32,
    /// When the coordinator minted it, in milliseconds of its clock.
    pub issued_at_ms: u64,
    /// From when on it is not accepted any more, in milliseconds of the coordinator's clock.
    pub expires_at_ms: u64,
    /// The game session it is for.
    pub game_session_id: GameSessionId,
    /// The server process it is for.
    pub server_process_id: ServerProcessId,
    /// The player session it stands for.
    pub player_session_id: PlayerSessionId,
    /// The player's name at the studio: 1 to 128 bytes, opaque, compared byte for byte. It is seen on the wire.
    pub player_id: &'a str,
    /// What the backend says about the player, 0 to 256 bytes. It is seen on the wire.
    pub player_data: &'a [u8],
}

impl fmt::Debug for Claims<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("key_id", &self.key_id)
            .field("gate_epoch", &self.gate_epoch)
            .field("ordinal", &self.ordinal)
            .field("issued_at_ms", &self.issued_at_ms)
            .field("expires_at_ms", &self.expires_at_ms)
            .field("game_session_id", &self.game_session_id)
            .field("server_process_id", &self.server_process_id)
            .field("player_session_id", &self.player_session_id)
            .field("player_id", &self.player_id)
            .field("player_data", &format_args!("{} bytes", self.player_data.len()))
            .finish()
    }
}

/// Bytes whose length a token can have. Reading a field cannot fail; whether the fields fit each other is
/// [`claims`](View::claims)'s question.
#[derive(Clone, Copy)]
pub(crate) struct View<'t> {
    bytes: &'t [u8],
    header: &'t [u8; HEADER_LEN],
}

impl<'t> View<'t> {
    fn new(bytes: &'t [u8]) -> Result<Self, Reject> {
        match bytes.first_chunk() {
            Some(header) if (MIN_TOKEN_LEN..=MAX_TOKEN_LEN).contains(&bytes.len()) => Ok(Self { bytes, header }),
            _ => Err(Reject::Length),
        }
    }

    /// A view of bytes that begin like a token.
    pub(crate) fn with_magic(bytes: &'t [u8]) -> Result<Self, Reject> {
        let view = Self::new(bytes)?;
        if view.header[field::MAGIC] == MAGIC { Ok(view) } else { Err(Reject::Magic) }
    }

    pub(crate) fn bytes(&self) -> &'t [u8] {
        self.bytes
    }

    pub(crate) fn is_for(&self, process: &ServerProcessId) -> bool {
        self.header[field::SERVER_PROCESS_ID] == *process.as_bytes()
    }

    pub(crate) fn gate_epoch(&self) -> u16 {
        u16::from_le_bytes(self.get(field::GATE_EPOCH))
    }

    /// What the signature covers.
    pub(crate) fn signed_part(&self) -> &'t [u8] {
        &self.bytes[..self.bytes.len() - SIGNATURE_LEN - GATE_TAG_LEN]
    }

    pub(crate) fn signature(&self) -> &'t [u8; SIGNATURE_LEN] {
        self.tagged_part().last_chunk().expect("a view is longer than a signature and a tag")
    }

    /// What the gate tag covers.
    pub(crate) fn tagged_part(&self) -> &'t [u8] {
        &self.bytes[..self.bytes.len() - GATE_TAG_LEN]
    }

    pub(crate) fn gate_tag(&self) -> &'t [u8; GATE_TAG_LEN] {
        self.bytes.last_chunk().expect("a view is longer than a tag")
    }

    /// Checks the structure and the lifetime. All that is left to doubt is whether the claims are genuine.
    pub(crate) fn claims(&self) -> Result<Claims<'t>, Reject> {
        if self.header[field::FLAGS] != 0 {
            return Err(Reject::Flags);
        }
        let (player_id, player_data) = self.body()?;
        let claims = Claims {
            key_id: u16::from_le_bytes(self.get(field::KEY_ID)),
            gate_epoch: self.gate_epoch(),
            ordinal: u32::from_le_bytes(self.get(field::ORDINAL)),
            issued_at_ms: u64::from_le_bytes(self.get(field::ISSUED_AT_MS)),
            expires_at_ms: u64::from_le_bytes(self.get(field::EXPIRES_AT_MS)),
            game_session_id: GameSessionId::from_bytes(self.get(field::GAME_SESSION_ID)),
            server_process_id: ServerProcessId::from_bytes(self.get(field::SERVER_PROCESS_ID)),
            player_session_id: PlayerSessionId::from_bytes(self.get(field::PLAYER_SESSION_ID)),
            player_id: core::str::from_utf8(player_id).map_err(|_| Reject::PlayerIdText)?,
            player_data,
        };
        if !limits::lifetime_ok(claims.issued_at_ms, claims.expires_at_ms) {
            return Err(Reject::Lifetime);
        }
        Ok(claims)
    }

    /// Player id and player data, which lie between header and signature and fill that space exactly.
    fn body(&self) -> Result<(&'t [u8], &'t [u8]), Reject> {
        let player_id_len = usize::from(self.header[field::PLAYER_ID_LEN]);
        let player_data_len = usize::from(u16::from_le_bytes(self.get(field::PLAYER_DATA_LEN)));
        if !limits::player_id_len_ok(player_id_len) {
            return Err(Reject::PlayerIdLength);
        }
        if !limits::player_data_len_ok(player_data_len) {
            return Err(Reject::PlayerDataLength);
        }
        let body = &self.signed_part()[HEADER_LEN..];
        if body.len() != player_id_len + player_data_len {
            return Err(Reject::TotalLength);
        }
        Ok(body.split_at(player_id_len))
    }

    fn get<const N: usize>(&self, field: Range<usize>) -> [u8; N] {
        let mut value = [0; N];
        value.copy_from_slice(&self.header[field]);
        value
    }
}

/// Writes the part of the token that is signed and returns its length. The claims keep the limits.
pub(crate) fn encode(claims: &Claims<'_>, token: &mut [u8; MAX_TOKEN_LEN]) -> usize {
    token[field::MAGIC].copy_from_slice(&MAGIC);
    token[field::KEY_ID].copy_from_slice(&claims.key_id.to_le_bytes());
    token[field::GATE_EPOCH].copy_from_slice(&claims.gate_epoch.to_le_bytes());
    token[field::FLAGS] = 0;
    token[field::PLAYER_ID_LEN] = claims.player_id.len() as u8;
    token[field::PLAYER_DATA_LEN].copy_from_slice(&(claims.player_data.len() as u16).to_le_bytes());
    token[field::ORDINAL].copy_from_slice(&claims.ordinal.to_le_bytes());
    token[field::ISSUED_AT_MS].copy_from_slice(&claims.issued_at_ms.to_le_bytes());
    token[field::EXPIRES_AT_MS].copy_from_slice(&claims.expires_at_ms.to_le_bytes());
    token[field::GAME_SESSION_ID].copy_from_slice(claims.game_session_id.as_bytes());
    token[field::SERVER_PROCESS_ID].copy_from_slice(claims.server_process_id.as_bytes());
    token[field::PLAYER_SESSION_ID].copy_from_slice(claims.player_session_id.as_bytes());
    let player_data_at = HEADER_LEN + claims.player_id.len();
    let end = player_data_at + claims.player_data.len();
    token[HEADER_LEN..player_data_at].copy_from_slice(claims.player_id.as_bytes());
    token[player_data_at..end].copy_from_slice(claims.player_data);
    end
}
