//! How a flow is opened: HELLO and OPEN, judged in the order of cost.

use std::net::SocketAddr;

use playgate_protocol::PlayerSessionId;
use playgate_protocol::rate::{Network, Rate};
use playgate_protocol::relay::{
    Accept, ConnectionId, Hello, Open, PASS_LIFE_MS, Pass, PassClaims, PassRefused, Refuse, RefuseCode,
};

use crate::core::{Core, Now, Output, Verdict};
use crate::flow::Flow;
use crate::limits::{OPEN_BURST, OPENS_PER_SECOND};
use crate::{DropReason, Secrets};

const OPENS: Rate = Rate { per_second: OPENS_PER_SECOND, burst: OPEN_BURST };

impl Core {
    pub(crate) fn handshake(&mut self, now: Now, from: SocketAddr, datagram: &[u8]) -> Result<Verdict, DropReason> {
        if let Some(hello) = Hello::read(datagram) {
            if !self.hellos.take(now.clock, Network::of(from.ip())) {
                return Err(DropReason::HelloRate);
            }
            self.cookies.make(now.clock, from, hello.nonce).write(&mut self.reply);
            self.counters.cookies += 1;
            return Ok(Verdict::Reply);
        }
        let open = Open::read(datagram).ok_or(DropReason::Malformed)?;
        self.cookies.check(now.clock, from, &open)?;
        // From here on the address is proven, and its network pays, but not for what somebody else repeats.
        if !self.repeats.take(now.clock, &open.mac) {
            return Err(DropReason::OpenRepeated);
        }
        if !self.opens_of_networks.take(now.clock, Network::of(from.ip()))
            || !self.open_bucket.take(now.clock, OPENS, 1)
        {
            return Err(DropReason::OpenRate);
        }
        let secrets = self.secrets.clone().ok_or(DropReason::PassSecret)?;
        let claims = secrets.open(&open.pass).map_err(pass_refused)?;
        if !open.verify(&claims.flow_key) {
            return Err(DropReason::OpenProof);
        }
        // From here on the sender is the player, and gets an answer.
        self.judge(now, from, &open, &claims, &secrets)
    }

    fn judge(
        &mut self,
        now: Now,
        from: SocketAddr,
        open: &Open<'_>,
        claims: &PassClaims,
        secrets: &Secrets,
    ) -> Result<Verdict, DropReason> {
        let before = self.table.of_player(&claims.player_session).and_then(|slot| self.table.get(slot));
        let pace_before = before.map(|flow| flow.pace);
        if let Some(flow) = before.filter(|flow| open.relay_time_us <= flow.opened_us) {
            let connection = flow.connection;
            // The same once more means that the ACCEPT was lost. Any other is an old one that somebody repeats, or the
            // network, or one of the same microsecond: the keys of the flow are not those of its sender.
            let keys = claims.flow_key.traffic_keys(&open.nonce, open.relay_time_us, connection);
            if open.relay_time_us < flow.opened_us || keys != flow.keys {
                return Err(DropReason::OpenStale);
            }
            self.accept(now, open, claims, secrets, connection);
            return Ok(Verdict::Reply);
        }
        if let Some(code) = self.refusal(now, claims) {
            Refuse { nonce: open.nonce, relay_time_us: open.relay_time_us, code }
                .seal(&claims.flow_key, &mut self.reply);
            self.counters.refused += 1;
            return Ok(Verdict::Reply);
        }
        let connection = self.table.next_connection(&claims.player_session).expect("the table is not full");
        let keys = claims.flow_key.traffic_keys(&open.nonce, open.relay_time_us, connection);
        if let Some(pace) = pace_before {
            self.paces.keep(claims.player_session, pace);
        }
        let pace = self.paces.of(claims);
        let flow = Flow::new(now.clock, from, claims, keys, connection, open.relay_time_us, pace);
        self.counters.opened += 1;
        self.counters.reopened += u64::from(self.table.insert(flow));
        self.accept(now, open, claims, secrets, connection);
        let (player_session, process) = (claims.player_session, claims.process);
        self.outputs.push_back(Output::PlayerAt { player_session, process, address: from });
        Ok(Verdict::Open { slot: connection.slot(), server: claims.server })
    }

    fn refusal(&self, now: Now, claims: &PassClaims) -> Option<RefuseCode> {
        if self.revoked.contains(&claims.player_session) {
            Some(RefuseCode::Revoked)
        } else if now.ms >= claims.use_by_ms {
            Some(RefuseCode::Expired)
        } else if !self.config.admits(claims.server) {
            Some(RefuseCode::Destination)
        } else if self.is_draining && self.table.of_player(&claims.player_session).is_none() {
            Some(RefuseCode::Draining)
        } else if self.table.next_connection(&claims.player_session).is_none() {
            Some(RefuseCode::Full)
        } else {
            None
        }
    }

    fn accept(&mut self, now: Now, open: &Open<'_>, claims: &PassClaims, secrets: &Secrets, connection: ConnectionId) {
        let opening = [open.nonce.as_slice(), &open.relay_time_us.to_le_bytes(), &connection.0];
        let accept = Accept {
            nonce: open.nonce,
            relay_time_us: open.relay_time_us,
            connection,
            reset_token: self.resets.token(connection),
            fresh_pass: secrets.current.reseal(&fresh(now, claims), &opening),
        };
        accept.seal(&claims.flow_key, &mut self.reply);
    }

    /// Whoever is in may come back for a while, and asks for the next one before that is over.
    pub(crate) fn fresh_pass(
        &mut self,
        now: Now,
        player_session: PlayerSessionId,
        connection: ConnectionId,
        pass: &Pass,
    ) -> Result<Pass, DropReason> {
        if !self.open_bucket.take(now.clock, OPENS, 1) {
            return Err(DropReason::OpenRate);
        }
        let secrets = self.secrets.as_ref().ok_or(DropReason::PassSecret)?;
        let claims = secrets.open(pass).map_err(pass_refused)?;
        if claims.player_session != player_session {
            return Err(DropReason::PassSeal);
        }
        let opening = [connection.0.as_slice(), &now.ms.to_le_bytes()];
        Ok(secrets.current.reseal(&fresh(now, &claims), &opening))
    }
}

fn fresh(now: Now, claims: &PassClaims) -> PassClaims {
    let use_by_ms = now.ms.saturating_add(PASS_LIFE_MS).min(claims.valid_until_ms);
    PassClaims { use_by_ms, ..claims.clone() }
}

fn pass_refused(refused: PassRefused) -> DropReason {
    match refused {
        PassRefused::UnknownSecret => DropReason::PassSecret,
        PassRefused::Seal | PassRefused::Claims => DropReason::PassSeal,
    }
}
