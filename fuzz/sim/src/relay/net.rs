//! The network: datagrams between players and relay are late, lost, doubled, out of order, copied and forged; those
//! between relay and servers are late and lost. And the servers, which answer.

use std::net::SocketAddr;

use super::event::{Ev, SocketNo};
use super::model::canonical;
use super::world::{RELAY, RelayWorld};
use crate::clock::{MS, Micros};
use crate::udp::digest;

/// As many as an attacker remembers.
const CAPTURED_MAX: usize = 48;

impl RelayWorld {
    /// A datagram is sent; the network does with it what it likes.
    pub(super) fn send_datagram(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let to = canonical(to);
        if self.captured.len() == CAPTURED_MAX {
            self.captured.pop_front();
        }
        if from == RELAY {
            self.node_said.insert(digest(&bytes));
        }
        self.captured.push_back((from, to, bytes.clone()));
        if !self.is_faulty() {
            let delay = MS / 2 + self.rng.below(40 * MS);
            return self.after(delay, Ev::Datagram { from, to, bytes });
        }
        if to == RELAY && self.rng.chance(self.weather.overheard) {
            self.overheard(from, &bytes);
        }
        if self.cut_until > self.now || self.is_cut_off(from, to) || self.rng.chance(self.weather.loss) {
            return;
        }
        let copies = if self.rng.chance(self.weather.doubling) { 2 } else { 1 };
        for _ in 0..copies {
            let late = self.rng.chance(self.weather.reorder);
            let delay = MS / 2 + self.rng.below(if late { 3_000 * MS } else { 40 * MS });
            self.after(delay, Ev::Datagram { from, to, bytes: bytes.clone() });
        }
    }

    /// Somebody on the way is faster, with a copy from elsewhere or a changed one.
    fn overheard(&mut self, from: SocketAddr, bytes: &[u8]) {
        let (mut thief, mut copy) = (from, bytes.to_vec());
        match self.rng.below(3) {
            0 => thief.set_port(from.port().wrapping_add(1)),
            1 => thief = SocketAddr::from(([203, 0, 113, 66], 6_666)),
            _ => {
                let at = self.rng.index(copy.len()).expect("no datagram is empty");
                copy[at] ^= 1 << self.rng.below(8);
            }
        }
        self.after(MS / 5, Ev::Datagram { from: thief, to: RELAY, bytes: copy });
    }

    fn is_cut_off(&self, from: SocketAddr, to: SocketAddr) -> bool {
        let player = self.players.iter().find(|player| player.address == from || player.address == to);
        player.is_some_and(|player| {
            let until = if to == RELAY { player.cut_up_until } else { player.cut_down_until };
            until > self.now
        })
    }

    /// Between relay and servers; `None` is lost.
    pub(super) fn server_delay(&mut self) -> Option<Micros> {
        let is_lost = self.is_faulty() && self.rng.chance(self.weather.loss);
        let delay = MS / 4 + self.rng.below(4 * MS);
        (!is_lost).then_some(delay)
    }

    /// A server answers most of what it gets, to where it came from.
    pub(super) fn server_gets(&mut self, socket: SocketNo, server: SocketAddr, payload: &[u8]) {
        let number = u32::from_le_bytes(*payload.first_chunk().expect("the relay's end was checked"));
        let sent = &mut self.sent[number as usize];
        sent.arrived = true;
        let (player, meant) = (sent.player, sent.server);
        if meant != server {
            return self.fail("R1", format!("{number} is for {meant} and reaches {server}"));
        }
        if self.is_faulty() && self.rng.chance(300) {
            return;
        }
        let mut answer = [(self.answers.len() as u32).to_le_bytes(), number.to_le_bytes()].concat();
        answer.resize(8 + self.rng.below(80) as usize, 0xaa);
        if self.is_faulty() && self.rng.chance(20) {
            answer.resize(1_425 + self.rng.below(16) as usize, 0xaa);
        }
        self.answers.push((player, false));
        if let Some(delay) = self.server_delay() {
            self.after(delay, Ev::FromServer { socket, payload: answer });
        }
    }

    /// Somebody without a ticket sends what he saw, changed or not, from wherever he likes.
    pub(super) fn hostile_datagram(&mut self) {
        let Some(at) = self.rng.index(self.captured.len()) else { return };
        let (from, to, mut bytes) = self.captured[at].clone();
        let from = match self.rng.below(4) {
            0 | 1 => from,
            2 => SocketAddr::from(([203, 0, 113, 9], 4_000)),
            _ => SocketAddr::new(from.ip(), from.port().wrapping_add(1)),
        };
        match self.rng.below(6) {
            0 => {
                let at = self.rng.index(bytes.len()).expect("no datagram is empty");
                bytes[at] ^= 1 << self.rng.below(8);
            }
            1 => bytes.truncate(self.rng.below(bytes.len() as u64 + 1) as usize),
            2 => {
                let begin = [&b"PR1H"[..], b"PR1O", &[1, 0, 0, 0, 0], b"PR1R"][self.rng.below(4) as usize];
                bytes = begin.to_vec();
                bytes.extend((0..self.rng.below(300)).map(|_| 0));
                let filled = bytes.len().min(60);
                bytes[begin.len()..filled].fill_with(|| self.rng.next() as u8);
            }
            3 => {
                bytes = b"PR1H".to_vec();
                bytes.extend(self.rng.bytes::<16>());
                bytes.resize(64, 0);
            }
            _ => {}
        }
        let delay = self.rng.below(2_000 * MS);
        self.after(delay, Ev::Datagram { from, to, bytes });
    }
}
