//! Datagrams between players and game servers: late, lost, doubled, out of order, and forged.

use std::net::SocketAddr;

use playgate_gate::{ReplyBuf, Verdict};
use playgate_protocol::handshake::{Kind, Proof};

use crate::clock::MS;
use crate::coverage::Fault;
use crate::event::Ev;
use crate::ledger::Entry;
use crate::trace::say;
use crate::world::World;

/// A datagram that an attacker saw.
#[derive(Debug, Clone)]
pub struct Captured {
    /// Source.
    pub from: SocketAddr,
    /// Destination.
    pub to: SocketAddr,
    /// Content.
    pub bytes: Vec<u8>,
}

/// As many as an attacker remembers.
const CAPTURED_MAX: usize = 64;

/// For the set of genuine proofs.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

impl World {
    /// A datagram is sent; the network does with it what it likes.
    pub(crate) fn send_datagram(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if self.captured.len() == CAPTURED_MAX {
            let at = self.rng.below(CAPTURED_MAX as u64) as usize;
            self.captured.swap_remove(at);
        }
        self.captured.push(Captured { from, to, bytes: bytes.to_vec() });
        let calm = self.is_calm();
        if !calm && (self.udp_cut_until > self.now || self.rng.chance(self.weather.loss)) {
            return;
        }
        let copies = if !calm && self.rng.chance(self.weather.doubling) { 2 } else { 1 };
        if copies == 2 {
            self.meet(Fault::DatagramTwice);
        }
        if !calm && Kind::of(bytes) == Some(Kind::Proof) && self.rng.chance(self.weather.overheard) {
            // Somebody on the way is faster.
            let (mut thief, mut copy) = (from, bytes.to_vec());
            if self.rng.chance(500) {
                thief.set_port(from.port().wrapping_add(1));
            } else if let Some(last) = copy.last_mut() {
                *last ^= 1;
            }
            self.after(MS / 5, Ev::Datagram { from: thief, to, bytes: copy });
        }
        for _ in 0..copies {
            let late = !calm && self.rng.chance(self.weather.reorder);
            let most = if late { 3_000 * MS } else { 40 * MS };
            let delay = MS / 2 + self.rng.below(most);
            self.after(delay, Ev::Datagram { from, to, bytes: bytes.to_vec() });
        }
    }

    pub(crate) fn datagram_arrives(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let server = self
            .servers
            .iter()
            .rposition(|server| server.alive && SocketAddr::new(Self::host_address(server.host), server.port) == to);
        match server {
            Some(server) if self.servers[server].paused_until > self.now => {
                let until = self.servers[server].paused_until;
                self.at(until, Ev::Datagram { from, to, bytes: bytes.to_vec() });
            }
            Some(server) => self.server_gets(server, from, bytes),
            None => self.player_hears(from, to, bytes),
        }
    }

    fn server_gets(&mut self, server: usize, from: SocketAddr, bytes: &[u8]) {
        let state = &mut self.servers[server];
        let to = SocketAddr::new(Self::host_address(state.host), state.port);
        let local = state.clock.read(self.now);
        if state.is_byzantine {
            return;
        }
        let Some(gate) = &mut state.gate else { return };
        let server_ms = gate.coordinator_now_ms(local);
        let mut reply = ReplyBuf::new();
        let verdict = gate.handle(local, from, bytes, &mut reply);
        say!(self, "server {server} <- {from} {:?} {} bytes: {verdict:?}", Kind::of(bytes), bytes.len());
        self.mix(reply.as_slice().len() as u64);
        self.log.echoes.push((bytes.len(), reply.as_slice().len()));
        if let Verdict::Admitted(admission) = verdict {
            let proof = digest(bytes);
            let genuine = Proof::read(bytes).is_some() && self.ledger.proofs.get(&proof) == Some(&from);
            self.mix(u64::from(admission.ordinal));
            self.log.entries.push(Entry {
                server,
                player: admission.player_session,
                generation: admission.generation,
                genuine,
                proof,
                server_ms,
            });
            self.player_plays(server, admission.player_session);
        }
        if !reply.is_empty() {
            let bytes = reply.as_slice().to_vec();
            self.send_datagram(to, from, &bytes);
        }
        self.server_turn(server);
    }

    /// Somebody without a ticket sends what he saw, changed or not, from wherever he likes.
    pub(crate) fn hostile_datagram(&mut self) {
        let Some(Captured { from, to, mut bytes }) = self.rng.pick(&self.captured.clone()).cloned() else { return };
        let from = match self.rng.below(3) {
            0 => from,
            1 => SocketAddr::from(([203, 0, 113, 9], 4_000)),
            _ => SocketAddr::new(from.ip(), from.port().wrapping_add(1)),
        };
        match self.rng.below(4) {
            0 => {
                if let Some(at) = self.rng.index(bytes.len()) {
                    bytes[at] ^= 1 << self.rng.below(8);
                }
            }
            1 => bytes.truncate(self.rng.below(bytes.len() as u64 + 1) as usize),
            2 => {
                let kind = *self.rng.pick(&Kind::ALL).expect("there are five");
                bytes = kind.magic().to_vec();
                for _ in 0..self.rng.below(700) {
                    bytes.push(self.rng.next() as u8);
                }
            }
            _ => {}
        }
        let delay = self.rng.below(2_000 * MS);
        self.after(delay, Ev::Datagram { from, to, bytes });
    }
}
