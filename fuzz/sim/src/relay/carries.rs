//! What must become of the datagrams of flows, and what the model learns from them.

use std::time::Duration;

use playgate_protocol::relay::{ConnectionId, HEADER_BYTES, PASS_BYTES, PAYLOAD_BYTES_MAX, Pass};
use playgate_relay_core::limits::{PATH_CHALLENGE_EVERY, PATH_PERIOD, RESET_BURST};
use playgate_relay_core::{DropReason, Slot, Verdict};

use super::hears::{Told, number};
use super::model::{Checked, Model, must};
use super::rate;
use crate::udp::digest;

impl Model {
    pub(super) fn carried(&mut self, told: Told<'_>) -> Checked {
        let datagram = told.datagram;
        if datagram.len() < HEADER_BYTES || !(1..=8).contains(&datagram[0]) {
            return told.drops(DropReason::Malformed, "R7");
        }
        let connection = ConnectionId(number(datagram, 4));
        if connection.core() != self.config.core {
            return told.drops(DropReason::WrongCore, "R7");
        }
        let slot = connection.slot();
        let is_live = self
            .flows
            .get(&slot)
            .is_some_and(|flow| flow.connection == connection && told.now.ms < flow.claims.valid_until_ms);
        if is_live { self.of_flow(told, slot) } else { self.of_no_flow(told, connection) }
    }

    /// Whoever sent enough for an answer is told that the flow is over.
    fn of_no_flow(&mut self, told: Told<'_>, connection: ConnectionId) -> Checked {
        if told.verdict == Verdict::Reply {
            self.resets += 1;
            let reply = told.reply;
            let is_reset = reply.len() == 28 && reply.starts_with(b"PR1R") && reply[4..12] == connection.0;
            must(is_reset, "R1", || format!("{connection:?} is no flow, and is answered by {reply:02x?}"))?;
            let token = self.known.tokens.get(&connection);
            return must(token.is_none_or(|token| reply[12..] == *token), "R7", || {
                format!("the RESET of {connection:?} has another token than its ACCEPT had")
            });
        }
        let was = self.given.contains(&connection) || connection.epoch() != self.config.epoch;
        if was && told.datagram.len() > 28 && self.resets < RESET_BURST {
            return told.is(Verdict::Reply, "R7");
        }
        told.drops(DropReason::UnknownFlow, "R1")
    }

    fn of_flow(&mut self, told: Told<'_>, slot: Slot) -> Checked {
        let (datagram, len) = (told.datagram, told.payload().len());
        let sequence = u32::from_le_bytes([datagram[1], datagram[2], datagram[3], 0]);
        let is_genuine = self.has_said(datagram);
        let is_again = self.known.forwarded.contains(&digest(datagram));
        let flow = self.flows.get_mut(&slot).expect("the caller has found it");
        let newest = flow.taken.last().copied();
        if flow.taken.contains(&sequence) || newest.is_some_and(|newest| newest >= sequence.saturating_add(128)) {
            return told.drops(DropReason::Replay, "R2");
        }
        must(!is_again, "R2", || format!("the model of slot {slot} takes number {sequence} twice"))?;
        if !is_genuine {
            return told.drops(DropReason::Tag, "R1");
        }
        flow.taken.insert(sequence);
        flow.account.tried += 1;
        flow.heard_at = told.now.clock;
        if len > PAYLOAD_BYTES_MAX {
            return told.drops(DropReason::TooLong, "R7");
        }
        if told.verdict == Verdict::Drop(DropReason::FlowRate) {
            return must(rate::may_forbid(flow, len), "R10", || format!("{flow:?} is within its rate"));
        }
        flow.account.paid += 1;
        flow.account.paid_bytes += len as u64;
        must(rate::is_kept(flow, told.now.clock), "R10", || format!("{flow:?} is beyond its rate"))?;
        let is_newest = newest.is_none_or(|newest| sequence > newest);
        let asks = flow.at != told.from && is_newest;
        match datagram[0] {
            1 => self.data(told, slot, asks),
            2 | 7 if flow.at != told.from => self.sent_from_elsewhere(told, slot, asks),
            2 if len == 16 => self.answered(told, slot, 3),
            7 if len == PASS_BYTES => self.renews(told, slot),
            2 | 7 => told.drops(DropReason::Malformed, "R7"),
            5 => self.shows_path(told, slot, sequence),
            6 => {
                self.closing = Some(slot);
                told.is(Verdict::Done, "R7")
            }
            _ => told.drops(DropReason::WrongKind, "R7"),
        }
    }

    fn data(&mut self, told: Told<'_>, slot: Slot, asks: bool) -> Checked {
        let challenges = asks && self.may_challenge(told, slot);
        told.is(if challenges { Verdict::ForwardAndReply(slot) } else { Verdict::Forward(slot) }, "R7")?;
        self.known.forwarded.insert(digest(told.datagram));
        self.flows.get_mut(&slot).expect("it is there").forwarded += 1;
        if challenges { self.challenged(told, slot) } else { Ok(()) }
    }

    /// Whoever has not shown that he receives there is asked to, and gets nothing else.
    fn sent_from_elsewhere(&mut self, told: Told<'_>, slot: Slot, asks: bool) -> Checked {
        if !asks || !self.may_challenge(told, slot) {
            return told.is(Verdict::Done, "R5");
        }
        told.is(Verdict::Reply, "R5")?;
        self.challenged(told, slot)
    }

    fn may_challenge(&mut self, told: Told<'_>, slot: Slot) -> bool {
        let flow = self.flows.get_mut(&slot).expect("it is there");
        let may = told.datagram.len() >= 28 && told.now.clock >= flow.challenge_from;
        if may {
            flow.challenge_from = told.now.clock.saturating_add(PATH_CHALLENGE_EVERY);
        }
        may
    }

    fn challenged(&mut self, told: Told<'_>, slot: Slot) -> Checked {
        self.is_next_down(slot, 4, told.reply)?;
        must(told.reply.len() == 28, "R5", || format!("a challenge of {} bytes", told.reply.len()))?;
        let connection = self.flows[&slot].connection;
        self.challenges.insert((told.from, connection, number(told.reply, HEADER_BYTES)), period(told.now.clock));
        Ok(())
    }

    fn answered(&mut self, told: Told<'_>, slot: Slot, kind: u8) -> Checked {
        told.is(Verdict::Reply, "R7")?;
        self.is_next_down(slot, kind, told.reply)?;
        let is_same = told.reply[HEADER_BYTES..] == *told.payload();
        must(kind != 3 || is_same, "R7", || "a PONG of another PING".to_owned())
    }

    fn renews(&mut self, told: Told<'_>, slot: Slot) -> Checked {
        let player = self.flows[&slot].claims.player_session;
        let claims = match self.opened_pass(told.payload()) {
            Ok(claims) if claims.player_session == player => claims,
            Ok(_) => return told.drops(DropReason::PassSeal, "R4"),
            Err(reason) => return told.drops(reason, "R4"),
        };
        self.answered(told, slot, 8)?;
        let pass = told.reply[HEADER_BYTES..].try_into();
        must(pass.is_ok(), "R4", || format!("a fresh pass of {} bytes", told.reply.len()))?;
        self.fresh_pass(told.now, &claims, Pass(pass.expect("it is")))
    }

    fn shows_path(&mut self, told: Told<'_>, slot: Slot, sequence: u32) -> Checked {
        let flow = &self.flows[&slot];
        let response: Option<[u8; 8]> = told.payload().try_into().ok();
        let asked = response.and_then(|response| self.challenges.get(&(told.from, flow.connection, response)));
        let is_right = asked.is_some_and(|asked| period(told.now.clock) - asked <= 1);
        if !is_right {
            return told.drops(DropReason::PathResponse, "R5");
        }
        told.is(Verdict::Done, "R5")?;
        self.addresses.prove(told.from);
        let flow = self.flows.get_mut(&slot).expect("it is there");
        if flow.at_since.is_none_or(|since| sequence > since) {
            flow.at_since = Some(sequence);
            if flow.at != told.from {
                flow.at = told.from;
                self.announced.push_back((flow.claims.player_session, told.from));
            }
        }
        Ok(())
    }
}

fn period(clock: Duration) -> u64 {
    clock.as_secs() / PATH_PERIOD.as_secs()
}
