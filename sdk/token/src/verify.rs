//! Verification in stages, in the order of their cost, so that whoever sends junk pays more than the server.
//!
//! A server that does more than look at the token calls the stages itself, with its own cheap checks in between, and
//! [`Screened::verify`] last. [`accept`] is all of them in order.

use crate::id::{GameSessionId, ServerProcessId};
use crate::key_set::PublicKeySet;
use crate::keys::GateKeys;
use crate::layout::{Claims, View};
use crate::reject::Reject;

/// Reads a token's claims without any key: the structure and the lifetime are checked, **not** that they are genuine.
/// For tools, for the coordinator's own tokens, and for a client that wants to know what it was handed.
///
/// # Errors
/// The first reason, in the order of [`Reject`], why the bytes are not a token.
pub fn parse(bytes: &[u8]) -> Result<Claims<'_>, Reject> {
    View::with_magic(bytes)?.claims()
}

/// The first stage, about 0.1 µs: length, magic, process, epoch, gate tag, then structure and lifetime. Bytes that
/// are not a token for this process at all are refused within a few nanoseconds.
///
/// What passes was tagged by somebody who knows this process's gate key, which holds the load off, and proves
/// nothing more.
///
/// # Errors
/// The first reason to refuse, in the order of [`Reject`].
pub fn screen<'t>(bytes: &'t [u8], process: &ServerProcessId, gate: &GateKeys) -> Result<Screened<'t>, Reject> {
    let token = View::with_magic(bytes)?;
    if !token.is_for(process) {
        return Err(Reject::WrongProcess);
    }
    let key = gate.get(token.gate_epoch()).ok_or(Reject::UnknownEpoch)?;
    if !key.tag_matches(token.tagged_part(), token.gate_tag()) {
        return Err(Reject::GateTag);
    }
    Ok(Screened { claims: token.claims()?, token })
}

/// A token that passed [`screen`]. Its claims are well-formed; they are true only after [`verify`](Screened::verify).
#[derive(Clone, Copy)]
pub struct Screened<'t> {
    token: View<'t>,
    claims: Claims<'t>,
}

impl<'t> Screened<'t> {
    /// What the token claims.
    pub fn claims(&self) -> &Claims<'t> {
        &self.claims
    }

    /// The part that the signature covers.
    pub fn signed_part(&self) -> &'t [u8] {
        self.token.signed_part()
    }

    /// The whole token.
    pub fn bytes(&self) -> &'t [u8] {
        self.token.bytes()
    }

    /// Whether there is time left: a token that expires at `now_ms` is over.
    ///
    /// # Errors
    /// [`Reject::Expired`]. A token issued later than `now_ms` is *not* refused: once it is verified, it shows that
    /// the server's clock is behind the coordinator's.
    pub fn check_time(&self, now_ms: u64) -> Result<(), Reject> {
        if self.claims.expires_at_ms > now_ms { Ok(()) } else { Err(Reject::Expired) }
    }

    /// Whether it is for this game session.
    ///
    /// # Errors
    /// [`Reject::WrongSession`].
    pub fn check_session(&self, game_session: &GameSessionId) -> Result<(), Reject> {
        if self.claims.game_session_id == *game_session { Ok(()) } else { Err(Reject::WrongSession) }
    }

    /// The last and dearest stage, about 50 µs: the signature.
    ///
    /// # Errors
    /// [`Reject::UnknownKey`], [`Reject::SmallOrder`] or [`Reject::Signature`].
    pub fn verify(&self, keys: &PublicKeySet) -> Result<Claims<'t>, Reject> {
        let key = keys.get(self.claims.key_id).ok_or(Reject::UnknownKey)?;
        key.verify(self.signed_part(), self.token.signature())?;
        Ok(self.claims)
    }
}

impl core::fmt::Debug for Screened<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Screened").field(&self.claims).finish()
    }
}

/// Whom tokens have to be for, and the keys to tell by.
#[derive(Clone, Copy, Debug)]
pub struct Audience<'a> {
    /// This server process.
    pub process: ServerProcessId,
    /// The game session it hosts.
    pub game_session: GameSessionId,
    /// The gate keys it accepts.
    pub gate_keys: &'a GateKeys,
    /// The coordinator's public keys it accepts.
    pub key_set: &'a PublicKeySet,
}

/// Every check on the token itself, cheapest first. Whether it was used or revoked before is not a question to the
/// token, and not answered here.
///
/// # Errors
/// The first reason to refuse, in the order of [`Reject`].
pub fn accept<'t>(bytes: &'t [u8], audience: &Audience<'_>, now_ms: u64) -> Result<Claims<'t>, Reject> {
    let token = screen(bytes, &audience.process, audience.gate_keys)?;
    token.check_time(now_ms)?;
    token.check_session(&audience.game_session)?;
    token.verify(audience.key_set)
}
