//! What must become of a datagram from a player's side, and what the model learns from it: how flows are opened.

use std::net::SocketAddr;
use std::time::Duration;

use playgate_protocol::relay::{Accept, ConnectionId, HEADER_BYTES, PASS_BYTES, PassClaims, Refuse, RefuseCode};
use playgate_relay_core::limits::{
    COOKIES_REMEMBERED, HELLOS_PER_NETWORK_BURST, OPEN_AGAIN_AFTER, OPENS_PER_COOKIE, OPENS_PER_NETWORK_BURST,
    SPARE_HELLO_BURST,
};
use playgate_relay_core::{DropReason, Now, Verdict};

use super::model::{Checked, Flow, Model, is_allowed, must};
use crate::invariants::Violation;

const COOKIE_LIFE_US: u64 = 10_000_000;

/// A datagram, and what became of it.
#[derive(Clone, Copy)]
pub(super) struct Told<'d> {
    pub(super) now: Now,
    pub(super) from: SocketAddr,
    pub(super) datagram: &'d [u8],
    pub(super) verdict: Verdict,
    pub(super) reply: &'d [u8],
}

impl Told<'_> {
    pub(super) fn is(self, expected: Verdict, number: &'static str) -> Checked {
        must(self.verdict == expected, number, || {
            let Self { now, from, datagram, verdict, .. } = self;
            let len = datagram.len();
            format!("{from} sent {len} bytes at {now:?}: {verdict:?}, it should be {expected:?}")
        })
    }

    pub(super) fn drops(self, reason: DropReason, number: &'static str) -> Checked {
        self.is(Verdict::Drop(reason), number)
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.datagram[HEADER_BYTES..]
    }
}

pub(super) fn number<const N: usize>(datagram: &[u8], at: usize) -> [u8; N] {
    *datagram[at..].first_chunk().expect("the length was checked")
}

impl Model {
    /// `from` is canonical.
    pub(super) fn hears(
        &mut self,
        now: Now,
        from: SocketAddr,
        datagram: &[u8],
        verdict: Verdict,
        reply: &[u8],
    ) -> Checked {
        self.addresses.got(from, datagram.len());
        let told = Told { now, from, datagram, verdict, reply };
        match datagram.first() {
            Some(b'P') => self.handshake(told)?,
            _ => self.carried(told)?,
        }
        if matches!(verdict, Verdict::Reply | Verdict::ForwardAndReply(_) | Verdict::Open { .. }) {
            must(reply.len() <= datagram.len(), "R5", || {
                format!("{} bytes are answered by {}", datagram.len(), reply.len())
            })?;
            self.addresses.sent(from, reply.len())?;
        }
        Ok(())
    }

    fn handshake(&mut self, told: Told<'_>) -> Checked {
        let datagram = told.datagram;
        let zeros = |range: std::ops::Range<usize>| datagram[range].iter().all(|byte| *byte == 0);
        if datagram.len() == 64 && datagram.starts_with(b"PR1H") && zeros(20..64) {
            self.hello(told)
        } else if datagram.len() == 256 && datagram.starts_with(b"PR1O") && zeros(187..224) {
            self.open(told)
        } else {
            told.drops(DropReason::Malformed, "R7")
        }
    }

    fn hello(&mut self, told: Told<'_>) -> Checked {
        self.hellos += 1;
        // Every network has its share first, and all have the spare one.
        let is_a_flood = self.hellos > HELLOS_PER_NETWORK_BURST + SPARE_HELLO_BURST;
        if told.verdict == Verdict::Drop(DropReason::HelloRate) && is_a_flood {
            return Ok(());
        }
        told.is(Verdict::Reply, "R7")?;
        let reply = told.reply;
        let is_cookie = reply.len() == 44 && reply.starts_with(b"PR1C") && reply[4..20] == told.datagram[4..20];
        must(is_cookie, "R7", || format!("{reply:02x?} is no COOKIE for the HELLO of {}", told.from))?;
        self.cookies.insert((told.from, number(reply, 4)));
        Ok(())
    }

    fn open(&mut self, told: Told<'_>) -> Checked {
        let Told { now, datagram, .. } = told;
        let opened_us = u64::from_le_bytes(number(datagram, 163));
        let now_us = u64::try_from(now.clock.as_micros()).unwrap_or(u64::MAX);
        if now_us.checked_sub(opened_us).is_none_or(|age| age > COOKIE_LIFE_US) {
            return told.drops(DropReason::CookieAge, "R5");
        }
        if !self.cookies.contains(&(told.from, number(datagram, 147))) {
            return told.drops(DropReason::CookieMac, "R5");
        }
        self.addresses.prove(told.from);
        if !self.may_be_heard(now.clock, number(datagram, 171)) {
            return told.drops(DropReason::OpenRepeated, "R5");
        }
        self.opens += 1;
        if told.verdict == Verdict::Drop(DropReason::OpenRate) && self.opens > OPENS_PER_NETWORK_BURST {
            return Ok(());
        }
        let claims = match self.opened_pass(&datagram[4..4 + PASS_BYTES]) {
            Ok(claims) => claims,
            Err(reason) => return told.drops(reason, "R4"),
        };
        if !self.has_said(datagram) {
            return told.drops(DropReason::OpenProof, "R1");
        }
        let nonce = number(datagram, 147);
        let before = self.slot_of(&claims.player_session).map(|slot| &self.flows[&slot]);
        if let Some(before) = before.filter(|before| opened_us <= before.opened.1) {
            let is_same = before.opened == (nonce, opened_us) && before.claims.flow_key == claims.flow_key;
            if !is_same {
                return told.drops(DropReason::OpenStale, "R2");
            }
            let connection = before.connection;
            told.is(Verdict::Reply, "R7")?;
            let accepted = self.accepted(told, &claims)?;
            return must(accepted == connection, "R7", || format!("{accepted:?} was {connection:?}"));
        }
        if let Some(code) = self.refusal(now, &claims) {
            return self.refused(told, &claims, code);
        }
        self.opened(told, claims, (nonce, opened_us))
    }

    /// OPENs with one cookie count eight times at most, and every 200 ms; two cookies whose MACs meet in a table of 4,096
    /// places forget each other.
    fn may_be_heard(&mut self, now: Duration, mac: [u8; 16]) -> bool {
        let mac = u128::from_le_bytes(mac);
        let place = self.heard_opens.entry((mac >> 64) as u64 % COOKIES_REMEMBERED as u64).or_default();
        if place.0 != mac as u64 {
            *place = (mac as u64, 0, now);
        }
        let may = place.1 < OPENS_PER_COOKIE && now >= place.2;
        if may {
            (place.1, place.2) = (place.1 + 1, now + OPEN_AGAIN_AFTER);
        }
        may
    }

    pub(super) fn opened_pass(&self, pass: &[u8]) -> Result<PassClaims, DropReason> {
        if !self.is_live_secret(u32::from_le_bytes(number(pass, 1))) {
            return Err(DropReason::PassSecret);
        }
        let claims = self.known.passes.get(pass).ok_or(DropReason::PassSeal)?;
        let is_sensible = claims.server.port() != 0 && claims.use_by_ms <= claims.valid_until_ms;
        if is_sensible { Ok(claims.clone()) } else { Err(DropReason::PassSeal) }
    }

    fn refusal(&self, now: Now, claims: &PassClaims) -> Option<RefuseCode> {
        let has_flow = self.slot_of(&claims.player_session).is_some();
        if self.revoked.contains_key(&claims.player_session) {
            Some(RefuseCode::Revoked)
        } else if now.ms >= claims.use_by_ms {
            Some(RefuseCode::Expired)
        } else if !is_allowed(claims.server) {
            Some(RefuseCode::Destination)
        } else if self.is_draining && !has_flow {
            Some(RefuseCode::Draining)
        } else if !has_flow && self.flows.len() >= self.config.flows_max as usize {
            Some(RefuseCode::Full)
        } else {
            None
        }
    }

    fn refused(&self, told: Told<'_>, claims: &PassClaims, code: RefuseCode) -> Checked {
        let rule = match code {
            RefuseCode::Revoked => "R3",
            RefuseCode::Expired => "R4",
            RefuseCode::Destination => "R6",
            RefuseCode::Full => "R8",
            RefuseCode::Refused | RefuseCode::Draining => "R7",
        };
        told.is(Verdict::Reply, rule)?;
        let told_code = Refuse::open(told.reply, &claims.flow_key).map(|refuse| refuse.code);
        must(told_code == Some(code), rule, || format!("refused as {told_code:?}, it should be {code}"))
    }

    fn opened(&mut self, told: Told<'_>, claims: PassClaims, opened: ([u8; 16], u64)) -> Checked {
        let before = self.slot_of(&claims.player_session);
        let Verdict::Open { slot, server } = told.verdict else {
            return must(false, "R7", || format!("{} opens a flow at {:?}: {:?}", told.from, told.now, told.verdict));
        };
        let connection = self.accepted(told, &claims)?;
        let is_new = self.given.insert(connection) && connection.slot() == slot;
        must(is_new, "R8", || format!("slot {slot} is opened as {connection:?}"))?;
        must(server == claims.server && is_allowed(server), "R6", || format!("slot {slot} goes to {server}"))?;
        let place = before.map_or(!self.flows.contains_key(&slot), |before| before == slot);
        must(place, "R8", || format!("{} had slot {before:?} and gets {slot}", claims.player_session))?;
        self.announced.push_back((claims.player_session, told.from));
        if let Some(before) = before.and_then(|slot| self.flows.get(&slot)) {
            self.keep_account(claims.player_session, before.account);
        }
        let account = self.account_of(told.now, &claims);
        self.flows.insert(slot, Flow::new(told.now, told.from, claims, connection, opened, account));
        Ok(())
    }

    fn accepted(&mut self, told: Told<'_>, claims: &PassClaims) -> Result<ConnectionId, Violation> {
        let accept = Accept::open(told.reply, &claims.flow_key);
        let mine = accept.filter(|_| told.reply[4..28] == told.datagram[147..171]);
        must(mine.is_some(), "R7", || format!("{:02x?} is no ACCEPT for the OPEN of {}", told.reply, told.from))?;
        let accept = mine.expect("it is");
        let token = *self.known.tokens.entry(accept.connection).or_insert(accept.reset_token);
        must(token == accept.reset_token, "R7", || format!("{:?} has another token", accept.connection))?;
        self.fresh_pass(told.now, claims, accept.fresh_pass)?;
        Ok(accept.connection)
    }
}
