//! One game session: its match and who plays in it.

use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use playgate::{Admission, GameSession, PlayerEnd, PlayerSessionId};

use super::seats::Seats;
use super::{say, send};
use crate::game::{Outcome, PlayerIndex, Setup, World};
use crate::wire::{Ending, FromPlayer, Snapshot, Why};

/// Endings are not acknowledged, so each is sent more than once.
const ENDING_COPIES: usize = 3;

pub struct Round {
    world: World,
    seats: Seats,
    outcome: Option<Outcome>,
    /// Game datagrams from addresses that were not admitted.
    strangers: u64,
    /// Datagrams of players that this game does not know.
    junk: u64,
}

impl Round {
    pub fn new(session: &GameSession, setup: Setup) -> Self {
        let (map, mode) = (setup.map.name(), setup.mode.name());
        say!("session {} {:?}: map {map}, {mode}, up to {} players", session.id, session.name, session.max_players);
        let seed = session.id.to_string().bytes().fold(0, |seed: u64, byte| seed.rotate_left(7) ^ u64::from(byte));
        Self { world: World::new(setup, seed), seats: Seats::default(), outcome: None, strangers: 0, junk: 0 }
    }

    /// Gives an admitted player a seat, or the one that is his; false when there is none.
    pub fn seat(&mut self, from: SocketAddr, admission: &Admission) -> bool {
        let (player, name) = (admission.player_session, &admission.player);
        if let Some(seat) = self.seats.bind(player, from) {
            say!("player {name} is back (generation {})", admission.generation);
            self.world.bring_back(seat.index);
            return true;
        }
        let Some(index) = self.world.add() else { return false };
        self.seats.take(player, name, index, from);
        say!("player {name} is in");
        true
    }

    /// A datagram of the game. Answers who has just left.
    pub fn take(&mut self, from: SocketAddr, datagram: &[u8]) -> Option<PlayerSessionId> {
        let Some(seat) = self.seats.heard(from) else {
            self.strangers += 1;
            return None;
        };
        match FromPlayer::read(datagram) {
            None => self.junk += 1,
            Some(FromPlayer::Input { sequence, intent }) if sequence > seat.acked => {
                seat.acked = sequence;
                self.world.set_intent(seat.index, intent);
            }
            Some(FromPlayer::Input { .. }) => {} // overtaken by a later one
            Some(FromPlayer::Goodbye) => {
                let seat = seat.player;
                return self.forget(seat, "left").map(|_| seat);
            }
        }
        None
    }

    /// The fleet has taken a player out.
    pub fn remove(&mut self, socket: &UdpSocket, player: PlayerSessionId, reason: PlayerEnd) {
        let addr = self.forget(player, reason.as_str()).flatten();
        if let Some(addr) = addr {
            tell_ending(socket, addr, Ending { why: Why::Removed, winner: None });
        }
    }

    fn forget(&mut self, player: PlayerSessionId, why: &str) -> Option<Option<SocketAddr>> {
        let seat = self.seats.remove(player)?;
        self.world.remove(seat.index);
        say!("player {} is out: {why}", seat.name);
        Some(seat.addr)
    }

    /// Players who have been silent for too long: their connection is lost, their seat is kept.
    pub fn find_silent(&mut self, now: Instant) -> Vec<PlayerSessionId> {
        let silent = self.seats.unbind_silent(now);
        for (player, index) in &silent {
            say!("player {} is silent; the slot is kept", self.seats.name_of(*player));
            self.world.send_away(*index);
        }
        silent.into_iter().map(|(player, _)| player).collect()
    }

    /// One tick, and a snapshot for everybody. Says whether the match is over.
    pub fn step(&mut self, socket: &UdpSocket) -> bool {
        self.outcome = self.world.step();
        let mut scene = Snapshot::write_scene(&self.world);
        for seat in self.seats.iter() {
            if let Some(addr) = seat.addr {
                send(socket, scene.for_player(seat.index, seat.acked), addr);
            }
        }
        self.outcome.is_some()
    }

    /// Tells everybody that it is over.
    pub fn end(self, socket: &UdpSocket, why: Why) {
        let winner = self.outcome.and_then(|outcome| outcome.winner);
        for seat in self.seats.iter() {
            if let Some(addr) = seat.addr {
                tell_ending(socket, addr, Ending { why, winner });
            }
        }
        let (ticks, seats) = (self.world.tick(), self.seats.iter().count());
        say!("session over after {ticks} ticks: {seats} players, {}", self.names_of_first(winner));
        say!("dropped: {} datagrams of strangers, {} that made no sense", self.strangers, self.junk);
    }

    fn names_of_first(&self, winner: Option<PlayerIndex>) -> String {
        let seat = self.seats.iter().find(|seat| Some(seat.index) == winner);
        seat.map_or("no winner".to_owned(), |seat| format!("{} wins", seat.name))
    }
}

fn tell_ending(socket: &UdpSocket, addr: SocketAddr, ending: Ending) {
    for _ in 0..ENDING_COPIES {
        send(socket, &ending.write(), addr);
    }
}
