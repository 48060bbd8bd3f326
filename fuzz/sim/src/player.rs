//! Players: the real joiner, with plans. Some come at the last moment, some vanish, some come back from elsewhere.

use std::net::SocketAddr;
use std::time::Duration;

use playgate_protocol::handshake::{JoinState, Joiner, Kind};
use playgate_protocol::{PlayerSessionId, Ticket};

use crate::clock::{MS, Micros, Monotonic};
use crate::coverage::Fault;
use crate::event::{Doing, Ev, Game};
use crate::trace::say;
use crate::udp::digest;
use crate::world::World;

/// How long a player knocks.
const PATIENCE: Duration = Duration::from_secs(4);

/// One player, or one device of a player.
pub struct Player {
    ticket: Ticket,
    joiner: Option<Joiner>,
    address: SocketAddr,
    clock: Monotonic,
    wake_at: Micros,
    returns: u32,
}

impl World {
    /// A ticket arrives: now he plans his evening.
    pub(crate) fn player_gets(&mut self, ticket: Ticket) {
        let players = if self.rng.chance(80) { 2 } else { 1 };
        for _ in 0..players {
            let player = self.players.len();
            let address = self.fresh_address();
            let clock = Monotonic::new(self.now, self.rng.below(1 << 38), self.rng.between(0, 10_000) as i64 - 5_000);
            self.players.push(Player { ticket: ticket.clone(), joiner: None, address, clock, wake_at: 0, returns: 0 });
            let expires = self.world_time_of(ticket.expires_at_ms);
            let left_ms = expires.saturating_sub(self.now) / MS;
            let delay = match self.rng.below(100) {
                0..50 => self.rng.between(0, 500) * MS,
                50..70 => self.rng.below(left_ms + 1) * MS,
                // Just before, at, and just behind the end of the token's time.
                70..95 => (left_ms + 100).saturating_sub(self.rng.below(400)) * MS,
                _ => continue,
            };
            self.after(delay, Ev::PlayerPlan { player, what: Doing::Join });
        }
    }

    fn fresh_address(&mut self) -> SocketAddr {
        let bits = self.rng.next().to_le_bytes();
        SocketAddr::from(([100, 64, bits[0], bits[1]], 1_024 + u16::from_le_bytes([bits[2], bits[3]]) % 60_000))
    }

    pub(crate) fn player_does(&mut self, player: usize, what: Doing) {
        say!(self, "player {player} {what:?} ({})", self.players[player].ticket.player_session);
        let nonce = self.rng.bytes();
        let state = &mut self.players[player];
        let local = state.clock.read(self.now);
        match what {
            Doing::Join => state.joiner = Joiner::new(&state.ticket, nonce, PATIENCE, local).ok(),
            Doing::Return { rebound } => {
                if rebound {
                    self.meet(Fault::PlayerRebind);
                    self.players[player].address = self.fresh_address();
                }
                if let Some(joiner) = &mut self.players[player].joiner {
                    joiner.reconnect(nonce, local);
                }
            }
            Doing::Leave | Doing::Vanish => {
                let id = state.ticket.player_session;
                let Some(server) = self.ledger.admitted.get(&id).map(|admitted| admitted.server) else { return };
                if what == Doing::Leave {
                    return self.after(20 * MS, Ev::Game { server, what: Game::Leave(id) });
                }
                let notices = self.rng.between(10, 800) * MS;
                self.after(notices, Ev::Game { server, what: Game::Disconnected(id) });
                if self.players[player].returns < 3 && self.rng.chance(700) {
                    self.players[player].returns += 1;
                    // Around the end of his grace, or at once.
                    let grace = self.weather.rejoin_grace_ms;
                    let most = if self.rng.chance(500) { 300 } else { grace + 600 };
                    let back = notices + self.rng.between(most.saturating_sub(900), most) * MS;
                    let rebound = self.rng.chance(500);
                    self.after(back, Ev::PlayerPlan { player, what: Doing::Return { rebound } });
                }
            }
        }
        self.player_acts(player);
    }

    pub(crate) fn player_wakes(&mut self, player: usize) {
        let state = &mut self.players[player];
        state.wake_at = 0;
        let local = state.clock.read(self.now);
        if let Some(joiner) = &mut state.joiner {
            if joiner.poll_timeout().is_some_and(|at| at <= local) {
                joiner.handle_timeout(local);
            }
            self.player_acts(player);
        }
    }

    fn player_acts(&mut self, player: usize) {
        let state = &mut self.players[player];
        let Some(joiner) = &mut state.joiner else { return };
        let from = state.address;
        if let Some(transmit) = joiner.poll_transmit() {
            let bytes = transmit.datagram.as_slice();
            if Kind::of(bytes) == Some(Kind::Proof) {
                self.ledger.proofs.entry(digest(bytes)).or_insert(from);
            }
            self.send_datagram(from, transmit.to, bytes);
        }
        let state = &mut self.players[player];
        let due = state.joiner.as_ref().and_then(Joiner::poll_timeout).map(|at| state.clock.when(at));
        if let Some(at) = due
            && (state.wake_at <= self.now || at < state.wake_at)
        {
            state.wake_at = at;
            self.at(at, Ev::PlayerWake { player });
        }
    }

    pub(crate) fn player_hears(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let Some(player) = self.players.iter().rposition(|player| player.address == to) else { return };
        let state = &mut self.players[player];
        let local = state.clock.read(self.now);
        let Some(joiner) = &mut state.joiner else { return };
        let was_open = joiner.state().is_open();
        joiner.handle(local, from, bytes);
        let now = *joiner.state();
        if was_open && !now.is_open() {
            say!(self, "player {player}: {now:?}");
            match now {
                JoinState::Accepted { .. } => {
                    let plays = self.rng.between(100, self.weather.play_ms) * MS;
                    let what = if self.rng.chance(500) { Doing::Leave } else { Doing::Vanish };
                    self.after(plays, Ev::PlayerPlan { player, what });
                }
                JoinState::Refused(_) if self.players[player].returns < 1 && self.rng.chance(300) => {
                    self.players[player].returns += 1;
                    let delay = self.rng.between(10, 3_000) * MS;
                    self.after(delay, Ev::PlayerPlan { player, what: Doing::Return { rebound: false } });
                }
                _ => {}
            }
        }
        self.player_acts(player);
    }

    /// He is in. If his ACCEPT gets lost for good, the game notices after a while.
    pub(crate) fn player_plays(&mut self, server: usize, player: PlayerSessionId) {
        if self.rng.chance(100) {
            let delay = self.rng.between(1_000, 6_000) * MS;
            self.after(delay, Ev::Game { server, what: Game::Disconnected(player) });
        }
    }
}
