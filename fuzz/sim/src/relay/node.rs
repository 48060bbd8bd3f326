//! The relay: the real core, driven as a relay's thread drives it, with a socket for each flow.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use playgate_protocol::PlayerSessionId;
use playgate_protocol::relay::{HEADER_BYTES, RelaySecret};
use playgate_relay_core::{Config, DropReason, Now, Output, Secrets, Slot, Verdict};

use super::event::{Ev, SocketNo};
use super::faults::Weather;
use super::judge::Judged;
use super::world::{RELAY, RelayWorld, START_MS};
use crate::clock::{MS, Micros, Monotonic};
use crate::rng::Rng;
use crate::trace::say;
use crate::udp::digest;

/// The relay, and what the coordinator knows of it.
pub(super) struct Node {
    pub(super) judged: Judged,
    pub(super) is_up: bool,
    pub(super) start: u32,
    pub(super) is_draining: bool,
    pub(super) paused_until: Micros,
    pub(super) flow_idle: Duration,
    pub(super) flows_max: u32,
    clock: Monotonic,
    started: Duration,
    reset_key: [u8; 32],
    /// All that the coordinator ever made.
    pub(super) ring: Vec<RelaySecret>,
    /// All that the coordinator ever revoked, and how many of them this start has heard of.
    pub(super) revoked: Vec<(PlayerSessionId, u64)>,
    pub(super) heard: usize,
    sockets: BTreeMap<Slot, (SocketNo, SocketAddr)>,
    sockets_made: SocketNo,
}

impl Node {
    pub(super) fn new(rng: &mut Rng, weather: &Weather) -> Self {
        let flow_idle = Duration::from_secs(rng.between(12, 30));
        let flows_max = if weather.is_tight { 3 } else { 16 };
        let config = config(rng, flow_idle, flows_max, [0; 32]);
        Self {
            judged: Judged::new(config, Now { clock: Duration::ZERO, ms: START_MS }),
            is_up: false,
            start: 0,
            is_draining: false,
            paused_until: 0,
            flow_idle,
            flows_max,
            clock: Monotonic::new(0, 0, rng.between(0, 10_000) as i64 - 5_000),
            started: Duration::ZERO,
            reset_key: rng.bytes(),
            ring: vec![RelaySecret::new(1, rng.bytes())],
            revoked: Vec::new(),
            heard: 0,
            sockets: BTreeMap::new(),
            sockets_made: 0,
        }
    }

    /// What its clocks show.
    pub(super) fn now(&self, now: Micros) -> Now {
        let micros = self.clock.micros(now);
        let clock = Duration::from_micros(micros).saturating_sub(self.started);
        Now { clock, ms: START_MS + micros / MS }
    }

    /// The two that passes are opened by.
    pub(super) fn secrets(&self) -> Secrets {
        let mut newest = self.ring.iter().rev().cloned();
        Secrets { current: newest.next().expect("there is always one"), before: newest.next() }
    }
}

fn config(rng: &mut Rng, flow_idle: Duration, flows_max: u32, reset_key: [u8; 32]) -> Config {
    Config {
        core: 0,
        epoch: rng.next() as u8,
        flows_max,
        flow_idle,
        destinations: Vec::new(),
        cookie_seed: rng.bytes(),
        reset_key,
        seed: rng.bytes(),
    }
}

impl RelayWorld {
    pub(super) fn relay_starts(&mut self) {
        if self.node.is_up {
            return;
        }
        let config = config(&mut self.rng, self.node.flow_idle, self.node.flows_max, self.node.reset_key);
        let node = &mut self.node;
        node.started = node.clock.read(self.now);
        let now = node.now(self.now);
        node.judged.restart(config, now);
        node.judged.set_secrets(node.secrets());
        (node.is_up, node.is_draining, node.heard) = (true, false, 0);
        node.start += 1;
        node.sockets.clear();
        let start = node.start;
        say!(self, "the relay starts, for the {start}. time");
        let hears = self.rng.between(20, 2_000) * MS;
        self.after(hears, Ev::RelayHears { start });
        self.after(MS, Ev::RelayWake { start });
    }

    pub(super) fn relay_crashes(&mut self) {
        self.node.is_up = false;
        let down = self.rng.between(20, 3_000) * MS;
        self.after(down, Ev::RelayStart);
    }

    pub(super) fn relay_wakes(&mut self, start: u32) {
        if !self.node.is_up || self.node.start != start {
            return;
        }
        let now = self.node.now(self.now);
        self.node.judged.handle_timeout(now);
        self.relay_settles();
        let due = self.node.clock.when(self.node.started + self.node.judged.poll_timeout());
        let late = if self.is_faulty() { self.rng.below(self.weather.sweeps_late + 1) } else { 0 };
        self.at(due + late, Ev::RelayWake { start });
    }

    /// Revocations, and secrets, by whatever link there is.
    pub(super) fn relay_hears(&mut self, start: u32) {
        if !self.node.is_up || self.node.start != start {
            return;
        }
        let now = self.node.now(self.now);
        for at in self.node.heard..self.node.revoked.len() {
            let (player, until_ms) = self.node.revoked[at];
            say!(self, "the relay hears that {player} is revoked");
            self.node.judged.revoke(now, player, until_ms);
        }
        self.node.heard = self.node.revoked.len();
        self.relay_settles();
    }

    pub(super) fn relay_gets(&mut self, from: SocketAddr, bytes: &[u8]) {
        if !self.node.is_up {
            return;
        }
        let seen = match from.ip() {
            std::net::IpAddr::V4(ip) if self.weather.is_mapped => {
                SocketAddr::new(ip.to_ipv6_mapped().into(), from.port())
            }
            _ => from,
        };
        let now = self.node.now(self.now);
        let verdict = self.node.judged.from_player(now, seen, bytes);
        say!(self, "relay <- {from} {} bytes, {:?}: {verdict:?}", bytes.len(), bytes.first());
        self.met(verdict);
        self.relay_settles();
        match verdict {
            Verdict::Drop(_) | Verdict::Done => {}
            Verdict::Reply => self.relay_replies(seen),
            Verdict::Forward(slot) => self.relay_forwards(slot, bytes),
            Verdict::ForwardAndReply(slot) => {
                self.relay_forwards(slot, bytes);
                self.relay_replies(seen);
            }
            Verdict::Open { slot, server } => {
                if self.is_faulty() && self.rng.chance(20) {
                    self.meet("no socket");
                    self.node.judged.abandon(now, slot);
                    return self.relay_settles();
                }
                let node = &mut self.node;
                if node.sockets.get(&slot).is_none_or(|(_, before)| *before != server) {
                    node.sockets_made += 1;
                    node.sockets.insert(slot, (node.sockets_made, server));
                }
                self.relay_replies(seen);
            }
        }
    }

    fn met(&mut self, verdict: Verdict) {
        self.mix(verdict_number(verdict));
        self.meet(match verdict {
            Verdict::Drop(reason) => reason.as_str(),
            Verdict::Reply => reply_name(self.node.judged.reply()),
            Verdict::Forward(_) => "forwarded",
            Verdict::ForwardAndReply(_) => "path_challenge with payload",
            Verdict::Open { .. } => "opened",
            Verdict::Done => "done",
        });
    }

    fn relay_replies(&mut self, to: SocketAddr) {
        let reply = self.node.judged.reply().to_vec();
        self.send_datagram(RELAY, to, reply);
    }

    fn relay_forwards(&mut self, slot: Slot, bytes: &[u8]) {
        let payload = &bytes[HEADER_BYTES..];
        let Some((socket, server)) = self.node.sockets.get(&slot).copied() else {
            return self.fail("R8", format!("a payload for slot {slot}, which has no socket"));
        };
        let number = payload.first_chunk().map(|number| u32::from_le_bytes(*number));
        let sent = number.and_then(|number| self.sent.get(number as usize));
        if sent.is_none_or(|sent| sent.digest != digest(payload) || sent.server != server) {
            return self.fail("R1", format!("{number:?} reaches {server}, and nobody has sent it there"));
        }
        if !self.arrived.insert(number.expect("it was found")) {
            return self.fail("R2", format!("{number:?} reaches {server} again"));
        }
        if let Some(delay) = self.server_delay() {
            self.after(delay, Ev::AtServer { socket, server, payload: payload.to_vec() });
        }
    }

    pub(super) fn relay_gets_from_server(&mut self, socket: SocketNo, payload: &[u8]) {
        let slot = self.node.sockets.iter().find(|(_, (of_slot, _))| *of_slot == socket).map(|(slot, _)| *slot);
        let Some(slot) = slot.filter(|_| self.node.is_up) else { return };
        let mut datagram = [&[0; HEADER_BYTES], payload].concat();
        if let Some(to) = self.node.judged.to_player(slot, &mut datagram) {
            self.send_datagram(RELAY, to, datagram);
        } else {
            self.meet(DropReason::DownUnknownFlow.as_str());
        }
    }

    /// Does what the core wants besides.
    pub(super) fn relay_settles(&mut self) {
        while let Some(output) = self.node.judged.poll_output() {
            match output {
                Output::PlayerAt { .. } => self.meet("player_at"),
                Output::Closed(closed) => {
                    say!(self, "{closed:?}");
                    self.meet(closed.reason.map_or("closed", |reason| reason.as_str()));
                    self.node.sockets.remove(&closed.slot);
                }
                Output::Send { to, datagram } => self.send_datagram(RELAY, to, datagram.as_slice().to_vec()),
            }
        }
    }
}

/// Where the servers are; the last one is in no prefix that the operator allows.
pub(super) fn server_address(number: u64) -> SocketAddr {
    match number {
        0 => "[2001:db8:5::7]:7777".parse().expect("an address"),
        9 => SocketAddr::from((Ipv4Addr::new(192, 0, 2, 200), 7_777)),
        _ => SocketAddr::from((Ipv4Addr::new(10, 0, 0, number as u8), 7_777)),
    }
}

fn verdict_number(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Drop(reason) => 100 + reason as u64,
        Verdict::Reply => 1,
        Verdict::Forward(slot) => 1_000 + u64::from(slot),
        Verdict::ForwardAndReply(slot) => 2_000 + u64::from(slot),
        Verdict::Open { slot, .. } => 3_000 + u64::from(slot),
        Verdict::Done => 2,
    }
}

fn reply_name(reply: &[u8]) -> &'static str {
    match reply {
        [b'P', b'R', b'1', b'C', ..] => "cookie",
        [b'P', b'R', b'1', b'A', ..] => "accepted again",
        [b'P', b'R', b'1', b'X', ..] => "refuse",
        [b'P', b'R', b'1', b'R', ..] => "reset",
        [3, ..] => "pong",
        [4, ..] => "path_challenge",
        [8, ..] => "fresh_pass",
        _ => "another reply",
    }
}
