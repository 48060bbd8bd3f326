//! Minting: claims to a signed and tagged token. Only the coordinator can.

use core::fmt;

use crate::ed25519::SigningKey;
use crate::keys::GateKey;
use crate::layout::{self, Claims};
use crate::limits::{self, GATE_TAG_LEN, MAX_TOKEN_LEN, SIGNATURE_LEN};
use crate::token::Token;

/// Why a token cannot be minted. Each is a mistake of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MintError {
    /// The player id is empty or longer than 128 bytes.
    PlayerIdLength,
    /// The player data is longer than 256 bytes.
    PlayerDataLength,
    /// The token would expire before it was issued, at the same time, or more than an hour after.
    Lifetime,
    /// The gate key belongs to another epoch than the claims.
    WrongEpoch,
}

/// Makes the token of these claims: the same claims and keys give the same bytes, always.
///
/// That `key_id` names `signing_key`, and that `gate_key` belongs to the claims' server process, is the caller's to
/// see to; a token minted otherwise is refused by everybody.
///
/// # Errors
/// Refuses claims that [`parse`](crate::parse) would refuse, and a gate key of another epoch.
pub fn mint(claims: &Claims<'_>, signing_key: &SigningKey, gate_key: &GateKey) -> Result<Token, MintError> {
    check(claims, gate_key)?;
    let mut token = [0; MAX_TOKEN_LEN];
    let signature_at = layout::encode(claims, &mut token);
    let tag_at = signature_at + SIGNATURE_LEN;
    let end = tag_at + GATE_TAG_LEN;
    let signature = signing_key.sign(&token[..signature_at]);
    token[signature_at..tag_at].copy_from_slice(&signature);
    let tag = gate_key.tag(&token[..tag_at]);
    token[tag_at..end].copy_from_slice(&tag);
    Ok(Token::from_buffer(token, end))
}

fn check(claims: &Claims<'_>, gate_key: &GateKey) -> Result<(), MintError> {
    if !limits::player_id_len_ok(claims.player_id.len()) {
        return Err(MintError::PlayerIdLength);
    }
    if !limits::player_data_len_ok(claims.player_data.len()) {
        return Err(MintError::PlayerDataLength);
    }
    if !limits::lifetime_ok(claims.issued_at_ms, claims.expires_at_ms) {
        return Err(MintError::Lifetime);
    }
    if gate_key.epoch() != claims.gate_epoch {
        return Err(MintError::WrongEpoch);
    }
    Ok(())
}

impl fmt::Display for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MintError::PlayerIdLength => "a player id has 1 to 128 bytes",
            MintError::PlayerDataLength => "player data has at most 256 bytes",
            MintError::Lifetime => "a token lives more than 0 ms and at most one hour",
            MintError::WrongEpoch => "the gate key belongs to another epoch",
        })
    }
}

impl core::error::Error for MintError {}
