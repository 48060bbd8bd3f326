//! What a seed is like, and what goes wrong between players and servers.

use playgate_protocol::relay::{PASS_LIFE_MS, RelaySecret};

use super::event::Ev;
use super::world::RelayWorld;
use crate::clock::{MS, Micros, SECOND};
use crate::rng::Rng;
use crate::trace::say;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Crash,
    Pause,
    Rebind,
    Cut,
    CutPlayer,
    Rotate,
    Revoke,
    Drain,
    Hostile,
    Thief,
    Leave,
}

impl Fault {
    const ALL: [(Self, &str); 11] = [
        (Self::Crash, "relay crash"),
        (Self::Pause, "relay paused"),
        (Self::Rebind, "player rebinds"),
        (Self::Cut, "network cut"),
        (Self::CutPlayer, "player cut off"),
        (Self::Rotate, "secret rotated"),
        (Self::Revoke, "player revoked"),
        (Self::Drain, "relay drains"),
        (Self::Hostile, "hostile datagrams"),
        (Self::Thief, "thief with a pass"),
        (Self::Leave, "player comes back"),
    ];
}

/// What a seed is like. Every seed has some kinds of faults and not others.
#[derive(Debug)]
pub(super) struct Weather {
    kinds: Vec<(Fault, &'static str)>,
    fault_ms: u64,
    pub(super) players: usize,
    pub(super) loss: u64,
    pub(super) doubling: u64,
    pub(super) reorder: u64,
    pub(super) overheard: u64,
    /// The relay's socket shows IPv4 addresses as IPv6 ones.
    pub(super) is_mapped: bool,
    /// The relay has room for three flows only.
    pub(super) is_tight: bool,
    /// Passes allow ten datagrams a second; some players send more.
    pub(super) is_strict: bool,
    /// Between two payloads of a player, at most.
    pub(super) say_ms: u64,
    pub(super) sweeps_late: Micros,
    /// Passes are good for this long, at most.
    pub(super) pass_ms: u64,
    /// Flows may last for this long, at least.
    pub(super) valid_ms: u64,
}

impl Weather {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut kinds: Vec<_> = Fault::ALL.into_iter().filter(|_| rng.chance(600)).collect();
        if kinds.is_empty() {
            kinds.push(Fault::ALL[0]);
        }
        // Some seeds are slow: minutes pass in them, in which passes are renewed and expire.
        let is_slow = rng.chance(150);
        Self {
            kinds,
            fault_ms: if is_slow { rng.between(30_000, 120_000) } else { rng.between(300, 3_000) },
            players: rng.between(2, 5) as usize,
            loss: [0, 20, 100, 300][rng.below(4) as usize],
            doubling: [0, 30, 200][rng.below(3) as usize],
            reorder: [0, 30, 200][rng.below(3) as usize],
            overheard: [0, 30, 200][rng.below(3) as usize],
            is_mapped: rng.chance(300),
            is_tight: rng.chance(100),
            is_strict: rng.chance(150),
            say_ms: if is_slow { rng.between(8_000, 40_000) } else { rng.between(100, 900) },
            sweeps_late: if is_slow { SECOND } else { rng.below(50) * MS },
            pass_ms: if is_slow { 60_000 } else { rng.between(2_000, 60_000) },
            valid_ms: [5_000, 30_000, 12 * 3_600_000][rng.below(8).min(2) as usize],
        }
    }
}

impl RelayWorld {
    /// It happens, and so does the next.
    pub(super) fn fault(&mut self) {
        if !self.is_faulty() {
            return;
        }
        let pause = self.rng.between(self.weather.fault_ms / 4, self.weather.fault_ms * 2) * MS;
        self.after(pause, Ev::Fault);
        let (kind, name) = *self.rng.pick(&self.weather.kinds).expect("never empty");
        say!(self, "FAULT {name}");
        self.meet(name);
        let short = self.rng.between(20, 3_000) * MS;
        let long = self.rng.between(500, 15_000) * MS;
        match kind {
            Fault::Crash if self.node.is_up => self.relay_crashes(),
            Fault::Crash => {}
            Fault::Pause => self.node.paused_until = self.now + short,
            Fault::Cut => self.cut_until = self.now + short,
            Fault::Rotate => self.rotate(),
            Fault::Drain => {
                self.node.is_draining = !self.node.is_draining;
                self.node.judged.set_draining(self.node.is_draining);
            }
            Fault::Hostile => (0..6).for_each(|_| self.hostile_datagram()),
            Fault::Thief => self.thief_comes(),
            Fault::Rebind | Fault::CutPlayer | Fault::Revoke | Fault::Leave => self.strike_player(kind, long),
        }
    }

    fn strike_player(&mut self, kind: Fault, long: Micros) {
        let there: Vec<usize> = (0..self.players.len()).filter(|player| self.players[*player].is_honest()).collect();
        let Some(player) = self.rng.pick(&there).copied() else { return };
        match kind {
            Fault::Rebind => {
                self.players[player].address = self.fresh_address();
                if self.rng.chance(300) {
                    let again = self.rng.below(300) * MS;
                    self.after(again, Ev::Fault);
                }
            }
            Fault::CutPlayer => {
                let until = self.now + long;
                let (up, down) = [(true, true), (true, false), (false, true)][self.rng.below(3) as usize];
                let player = &mut self.players[player];
                player.cut_up_until = if up { until } else { player.cut_up_until };
                player.cut_down_until = if down { until } else { player.cut_down_until };
            }
            Fault::Revoke if self.players.len() < 12 => self.revoke(player),
            Fault::Leave => self.player_restarts(player),
            _ => {}
        }
    }

    /// Another secret: passes of the one before are still good. What is older is forgotten.
    fn rotate(&mut self) {
        let number = self.node.ring.len() as u32 + 1;
        let secret = RelaySecret::new(number, self.rng.bytes());
        self.node.ring.push(secret);
        let secrets = self.node.secrets();
        self.node.judged.set_secrets(secrets);
    }

    fn revoke(&mut self, player: usize) {
        let session = self.players[player].claims.player_session;
        let until_ms = self.node.now(self.now).ms + PASS_LIFE_MS + 60_000;
        self.players[player].is_revoked = true;
        self.node.revoked.push((session, until_ms));
        let (hears, start) = (self.rng.between(5, 800) * MS, self.node.start);
        self.after(hears, Ev::RelayHears { start });
        // Somebody else takes his place.
        let next = self.player_is_made(None);
        let comes = self.rng.below(2_000) * MS;
        self.after(comes, Ev::Come { player: next });
    }
}
