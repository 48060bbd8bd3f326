//! Letting players in: the handshake's datagrams, and bare tokens where the fleet allows them.
//!
//! Checks stand in the order of their cost, and everything about a PROOF happens in one step: there is no half-open
//! player whom anybody could count, fill up or hijack.

use std::net::SocketAddr;
use std::time::Duration;

use playgate_protocol::handshake::{Accept, Hello, Kind, Proof, Refuse, ReplyBuf};
use playgate_protocol::rate::Rate;
use playgate_protocol::server::PlayerOutcome;
use playgate_token::{Claims, Reject, Screened, parse, screen, token_hash};

use crate::limits::{SIGNATURE_BURST, SIGNATURES_PER_SECOND};
use crate::session::{Player, Presence, Session};
use crate::{Admission, Gate, RefuseReason, Verdict};

const SIGNATURES: Rate = Rate { per_second: SIGNATURES_PER_SECOND, burst: SIGNATURE_BURST };

/// A token that may be worth more work.
enum Recognised<'t> {
    /// Its gate tag is right.
    Tagged(Screened<'t>),
    /// Its epoch was withdrawn, but it is byte for byte the token of a player who is in.
    Seated(Claims<'t>),
}

impl<'t> Recognised<'t> {
    fn claims(&self) -> &Claims<'t> {
        match self {
            Self::Tagged(token) => token.claims(),
            Self::Seated(claims) => claims,
        }
    }
}

/// How a judged PROOF or bare token came out: the generation, and the admission unless it is the same one again.
struct Judged {
    generation: u32,
    admission: Option<Admission>,
}

impl Gate {
    /// Judges one datagram that came in on the game's socket. A refusal takes no memory; a reply is never longer than
    /// the datagram.
    pub fn handle(&mut self, now: Duration, from: SocketAddr, datagram: &[u8], reply: &mut ReplyBuf) -> Verdict {
        reply.clear();
        self.counters.datagrams += 1;
        let now = self.at(now);
        let judged = match Kind::of(datagram) {
            None => {
                self.counters.not_ours += 1;
                return Verdict::NotOurs;
            }
            Some(Kind::Hello) => self.hello(now, from, datagram, reply),
            Some(Kind::Proof) => self.proof(now, from, datagram, reply),
            Some(Kind::Challenge | Kind::Accept | Kind::Refuse) => Err(RefuseReason::WrongDirection),
        };
        judged.unwrap_or_else(|reason| {
            self.counters.count_refused(reason);
            Verdict::Refused(reason)
        })
    }

    /// Admits a bare token, for games that bring their own secure transport (QUIC, TLS, WebSocket). `connection` is the
    /// game's number for the connection it came on. The same token on the same connection has the same answer; on
    /// another one it is admitted again only after [`disconnected`](Self::disconnected).
    ///
    /// # Errors
    /// Why the player may not come in.
    pub fn admit(&mut self, now: Duration, connection: u64, token: &[u8]) -> Result<Admission, RefuseReason> {
        let now = self.at(now);
        self.bearer(now, connection, token).inspect_err(|reason| self.counters.count_refused(*reason))
    }

    /// Answers a HELLO whose token is worth a challenge, and keeps nothing.
    fn hello(
        &mut self,
        now: Duration,
        from: SocketAddr,
        datagram: &[u8],
        reply: &mut ReplyBuf,
    ) -> Result<Verdict, RefuseReason> {
        let hello = Hello::read(datagram).ok_or(RefuseReason::Length)?;
        self.recognise(hello.token)?;
        self.challenges.make(now, from, hello.nonce, &token_hash(hello.token)).write(reply);
        self.counters.challenged += 1;
        Ok(Verdict::Reply)
    }

    /// Judges a PROOF, whole. Before its HMAC is verified nobody is answered; from then on the sender is known to be
    /// the holder of the token.
    fn proof(
        &mut self,
        now: Duration,
        from: SocketAddr,
        datagram: &[u8],
        reply: &mut ReplyBuf,
    ) -> Result<Verdict, RefuseReason> {
        let proof = Proof::read(datagram).ok_or(RefuseReason::Length)?;
        let token = self.recognise(proof.token)?;
        let hash = token_hash(proof.token);
        self.challenges.check(now, from, &proof, &hash)?;
        let holder_key = self.holder_root.holder_key(proof.token)?;
        if !proof.verify(&holder_key.proof_key()) {
            return Err(RefuseReason::ProofWrong);
        }
        let (nonce, server_time_us) = (proof.nonce, proof.server_time_us);
        match self.judge(now, from, &proof, &token, &hash) {
            Ok(Judged { generation, admission }) => {
                Accept { nonce, server_time_us, generation }.seal(&holder_key.server_key(), reply);
                Ok(admission.map_or(Verdict::Reply, Verdict::Admitted))
            }
            Err(reason) => {
                if let Some(code) = reason.code(self.tell_reason) {
                    Refuse { nonce, server_time_us, code }.seal(&holder_key.server_key(), reply);
                }
                Err(reason)
            }
        }
    }

    fn judge(
        &mut self,
        now: Duration,
        from: SocketAddr,
        proof: &Proof<'_>,
        token: &Recognised<'_>,
        hash: &[u8; 32],
    ) -> Result<Judged, RefuseReason> {
        let presence = Presence::Proved { nonce: proof.nonce, from };
        let proved_us = Some(proof.server_time_us);
        let Some(player) = self.session_for(token.claims())?.standing(token.claims(), hash)? else {
            return self.enter(now, token, *hash, presence, proved_us);
        };
        if proved_us > player.proved_us {
            return self.enter_again(token.claims(), presence, proved_us);
        }
        // The very PROOF that let him in: its ACCEPT got lost. Any other is a replay.
        if proved_us == player.proved_us && player.presence == presence {
            let generation = player.generation;
            self.counters.repeated += 1;
            return Ok(Judged { generation, admission: None });
        }
        Err(RefuseReason::Replayed)
    }

    fn bearer(&mut self, now: Duration, connection: u64, token: &[u8]) -> Result<Admission, RefuseReason> {
        let session = self.session.as_ref().ok_or(RefuseReason::NoSession)?;
        if !session.policy.bearer {
            return Err(RefuseReason::BearerNotAllowed);
        }
        let bytes = token;
        let token = self.recognise(bytes)?;
        let hash = token_hash(bytes);
        let claims = token.claims();
        let presence = Presence::Bearer { connection };
        let judged = match self.session_for(claims)?.standing(claims, &hash)? {
            None => self.enter(now, &token, hash, presence, None)?,
            Some(player) if player.presence == presence => {
                let generation = player.generation;
                self.counters.repeated += 1;
                Judged { generation, admission: None }
            }
            Some(Player { presence: Presence::Absent { .. }, .. }) => self.enter_again(claims, presence, None)?,
            Some(_) => return Err(RefuseReason::StillConnected),
        };
        Ok(judged.admission.unwrap_or_else(|| Admission::of(claims, judged.generation, None)))
    }

    /// The cheap checks: is it a token for this process, made under a gate key in force? Of a withdrawn epoch only the
    /// tokens of players who are in are recognised, by the hash kept at their admission.
    fn recognise<'t>(&self, token: &'t [u8]) -> Result<Recognised<'t>, RefuseReason> {
        match screen(token, &self.process, &self.gate_keys) {
            Ok(screened) => Ok(Recognised::Tagged(screened)),
            Err(Reject::UnknownEpoch) => {
                let claims = parse(token)?;
                let player = self.session.as_ref().and_then(|s| s.seated(&claims, || token_hash(token)));
                player.map(|_| Recognised::Seated(claims)).ok_or(RefuseReason::UnknownEpoch)
            }
            Err(reject) => Err(reject.into()),
        }
    }

    fn session_for(&self, claims: &Claims<'_>) -> Result<&Session, RefuseReason> {
        let session = self.session.as_ref().ok_or(RefuseReason::NoSession)?;
        session.admits(claims)?;
        Ok(session)
    }

    /// First admission: signature, time and slot, and the player is in.
    fn enter(
        &mut self,
        now: Duration,
        token: &Recognised<'_>,
        token_hash: [u8; 32],
        presence: Presence,
        proved_us: Option<u64>,
    ) -> Result<Judged, RefuseReason> {
        let Recognised::Tagged(token) = token else {
            return Err(RefuseReason::UnknownEpoch);
        };
        // Saves the signature of tokens that are over; the check that counts is that of `seat`.
        token.check_time(self.clock.now_ms(now).max(self.floor_ms))?;
        if !self.bucket.take(now, SIGNATURES, 1) {
            return Err(RefuseReason::RateLimited);
        }
        let claims = token.verify(&self.key_set)?;
        self.clock.at_least(now, claims.issued_at_ms);
        let joined_ms = self.clock.now_ms(now);
        let player = Player { ordinal: claims.ordinal, token_hash, generation: 1, joined_ms, proved_us, presence };
        let session = self.session.as_mut().ok_or(RefuseReason::NoSession)?;
        session.seat(&claims, player, joined_ms.max(self.floor_ms))?;
        self.report_player(claims.player_session_id, PlayerOutcome::Active { generation: 1, joined_ms });
        self.counters.admitted += 1;
        Ok(Judged { generation: 1, admission: Some(Admission::of(&claims, 1, presence.address())) })
    }

    /// A player who is in proves himself again. His token was verified when he came in, and it is the same one.
    fn enter_again(
        &mut self,
        claims: &Claims<'_>,
        presence: Presence,
        proved_us: Option<u64>,
    ) -> Result<Judged, RefuseReason> {
        let session = self.session.as_mut().ok_or(RefuseReason::NoSession)?;
        let player = session.reseat(claims.player_session_id, presence, proved_us).ok_or(RefuseReason::Used)?;
        let (generation, joined_ms) = (player.generation, player.joined_ms);
        self.report_player(claims.player_session_id, PlayerOutcome::Active { generation, joined_ms });
        self.counters.reconnected += 1;
        Ok(Judged { generation, admission: Some(Admission::of(claims, generation, presence.address())) })
    }
}
