//! A relay's core beside its model: each datagram goes to both, and what they say must be the same.

use std::collections::VecDeque;
use std::net::SocketAddr;

use playgate_protocol::PlayerSessionId;
use playgate_protocol::relay::{HEADER_BYTES, PAYLOAD_BYTES_MAX, Pass, PassClaims};
use playgate_relay_core::{Config, Core, Counters, Now, Output, Secrets, Slot, Verdict};

use super::model::{Checked, Known, Model, canonical, must};
use crate::invariants::Violation;
use crate::udp::digest;

/// The real core, judged at every call. The first thing that does not hold is kept.
pub struct Judged {
    core: Core,
    model: Model,
    outputs: VecDeque<Output>,
    broken: Option<Violation>,
}

impl Judged {
    /// A core without flows and secrets. The destinations are [`DESTINATIONS`](super::DESTINATIONS), whatever the
    /// configuration says.
    #[must_use]
    pub fn new(config: Config, now: Now) -> Self {
        Self::start(config, now, Known::default())
    }

    fn start(mut config: Config, now: Now, known: Known) -> Self {
        config.destinations = super::DESTINATIONS.iter().map(|prefix| prefix.parse().expect("a prefix")).collect();
        let core = Core::new(config.clone(), now);
        Self { core, model: Model::new(config, known), outputs: VecDeque::new(), broken: None }
    }

    /// The relay is started again: nothing is left of flows, secrets and revocations.
    pub fn restart(&mut self, config: Config, now: Now) {
        let known = std::mem::take(&mut self.model.known);
        let broken = self.broken.take();
        *self = Self { broken, ..Self::start(config, now, known) };
    }

    /// What did not hold.
    #[must_use]
    pub const fn broken(&self) -> Option<&Violation> {
        self.broken.as_ref()
    }

    /// The coordinator has made a pass.
    pub fn issued(&mut self, pass: Pass, claims: PassClaims) {
        self.model.known.passes.insert(pass.0, claims);
    }

    /// What a pass says that the coordinator or the relay made.
    #[must_use]
    pub fn claims(&self, pass: &Pass) -> Option<&PassClaims> {
        self.model.known.passes.get(&pass.0)
    }

    /// A player with a ticket sends this.
    pub fn said(&mut self, datagram: &[u8]) {
        self.model.known.said.insert(digest(datagram));
    }

    /// As the core's.
    pub fn set_secrets(&mut self, secrets: Secrets) {
        self.model.secrets = Some(secrets.clone());
        self.core.set_secrets(secrets);
    }

    /// As the core's.
    pub fn set_draining(&mut self, is_draining: bool) {
        self.model.is_draining = is_draining;
        self.core.set_draining(is_draining);
    }

    /// As the core's. The flow is gone at once.
    pub fn revoke(&mut self, now: Now, player: PlayerSessionId, until_ms: u64) {
        self.model.revoke(player, until_ms);
        self.core.revoke(player, until_ms);
        self.settle(now);
        let slot = self.model.slot_of(&player);
        self.note(must(slot.is_none(), "R3", || format!("{player} is revoked and has the flow in slot {slot:?}")));
    }

    /// As the core's.
    pub fn abandon(&mut self, now: Now, slot: Slot) {
        self.model.closing = Some(slot);
        self.core.abandon(slot);
        self.settle(now);
    }

    /// As the core's.
    pub fn handle_timeout(&mut self, now: Now) {
        let sweeps = now.clock >= self.core.poll_timeout();
        self.core.handle_timeout(now);
        self.settle(now);
        if sweeps {
            let checked = self.model.swept(now);
            self.note(checked);
        }
    }

    /// As the core's.
    #[must_use]
    pub fn from_player(&mut self, now: Now, from: SocketAddr, datagram: &[u8]) -> Verdict {
        let verdict = self.core.from_player(now, from, datagram);
        let checked = self.model.hears(now, canonical(from), datagram, verdict, self.core.reply());
        self.note(checked);
        self.settle(now);
        verdict
    }

    /// As the core's.
    #[must_use]
    pub fn reply(&self) -> &[u8] {
        self.core.reply()
    }

    /// As the core's.
    #[must_use]
    pub fn to_player(&mut self, slot: Slot, datagram: &mut [u8]) -> Option<SocketAddr> {
        let payload = datagram.get(HEADER_BYTES..).map(digest);
        let to = self.core.to_player(slot, datagram);
        let checked = self.carried_down(slot, datagram, payload, to);
        self.note(checked);
        to
    }

    fn carried_down(&mut self, slot: Slot, sent: &[u8], payload: Option<u64>, to: Option<SocketAddr>) -> Checked {
        let flow = self.model.flows.get(&slot).filter(|_| sent.len() <= HEADER_BYTES + PAYLOAD_BYTES_MAX);
        let expected = flow.filter(|_| payload.is_some()).map(|flow| flow.at);
        must(expected == to.map(canonical), "R5", || {
            format!("what slot {slot}'s server says goes to {to:?}, it should to {expected:?}")
        })?;
        let Some(to) = expected else { return Ok(()) };
        must(payload == sent.get(HEADER_BYTES..).map(digest), "R9", || "the payload is another".to_owned())?;
        self.model.is_next_down(slot, 1, sent)?;
        self.model.addresses.sent(to, sent.len())
    }

    /// As the core's.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// As the core's.
    #[must_use]
    pub const fn poll_timeout(&self) -> std::time::Duration {
        self.core.poll_timeout()
    }

    /// Flows that are open, of core and model.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.model.flows.len()
    }

    /// As the core's.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        self.core.counters()
    }

    fn settle(&mut self, now: Now) {
        while let Some(output) = self.core.poll_output() {
            let checked = self.model.output(now, &output);
            self.note(checked);
            self.outputs.push_back(output);
        }
        self.model.closing = None;
        let checked = self.is_same();
        self.note(checked);
    }

    fn is_same(&mut self) -> Checked {
        let (flows, expected) = (self.core.flows(), self.model.flows.len());
        let flows_max = self.model.config.flows_max as usize;
        must(flows == expected && flows <= flows_max, "R8", || {
            format!("{flows} flows of at most {flows_max}, it should be {expected}")
        })?;
        let left = self.model.announced.pop_front();
        must(left.is_none(), "R5", || format!("nobody was told of {left:?}"))?;
        for (slot, flow) in &self.model.flows {
            let seen = self.core.flow(*slot);
            let seen = seen.map(|info| (info.player_session, canonical(info.player), info.up_datagrams));
            let expected = (flow.claims.player_session, flow.at, flow.forwarded);
            must(seen == Some(expected), "R8", || format!("slot {slot} is {seen:?}, it should be {expected:?}"))?;
        }
        Ok(())
    }

    fn note(&mut self, checked: Checked) {
        if let Err(violation) = checked
            && self.broken.is_none()
        {
            self.broken = Some(violation);
        }
    }
}
