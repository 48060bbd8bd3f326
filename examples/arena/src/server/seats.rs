//! Who plays, and from which address. Only an address that Playgate admitted has a seat.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use playgate::PlayerSessionId;

use crate::game::PlayerIndex;

/// A player who sends nothing for this long is gone; bots and clients send with every tick.
const SILENCE_MAX: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub struct Seat {
    pub player: PlayerSessionId,
    pub name: String,
    pub index: PlayerIndex,
    /// Where the player is; none while not connected.
    pub addr: Option<SocketAddr>,
    /// Sequence of the last input taken; 0 none.
    pub acked: u32,
    /// Whether the game counts the player as connected.
    present: bool,
    heard_at: Instant,
}

#[derive(Debug, Default)]
pub struct Seats {
    seats: BTreeMap<PlayerSessionId, Seat>,
    by_addr: HashMap<SocketAddr, PlayerSessionId>,
}

impl Seats {
    pub fn take(&mut self, player: PlayerSessionId, name: &str, index: PlayerIndex, addr: SocketAddr) {
        let name = name.to_owned();
        let seat = Seat { player, name, index, addr: None, acked: 0, present: true, heard_at: Instant::now() };
        self.seats.insert(player, seat);
        self.bind(player, addr);
    }

    /// The player is at this address from here on, and nowhere else.
    pub fn bind(&mut self, player: PlayerSessionId, addr: SocketAddr) -> Option<&Seat> {
        // Whoever was admitted from this address before has lost it: the system gave the port to somebody else.
        if let Some(before) = self.by_addr.insert(addr, player).filter(|before| *before != player)
            && let Some(seat) = self.seats.get_mut(&before)
        {
            seat.addr = None;
        }
        let seat = self.seats.get_mut(&player)?;
        if let Some(former) = seat.addr.replace(addr).filter(|former| *former != addr) {
            self.by_addr.remove(&former);
        }
        // Inputs of a client that starts anew are numbered anew.
        (seat.acked, seat.present, seat.heard_at) = (0, true, Instant::now());
        Some(seat)
    }

    /// Who sends from this address; counts as a sign of life.
    pub fn heard(&mut self, addr: SocketAddr) -> Option<&mut Seat> {
        let seat = self.seats.get_mut(self.by_addr.get(&addr)?)?;
        seat.heard_at = Instant::now();
        Some(seat)
    }

    pub fn remove(&mut self, player: PlayerSessionId) -> Option<Seat> {
        let seat = self.seats.remove(&player)?;
        if let Some(addr) = seat.addr {
            self.by_addr.remove(&addr);
        }
        Some(seat)
    }

    /// Takes the address from everybody who is silent, and says from whom.
    pub fn unbind_silent(&mut self, now: Instant) -> Vec<(PlayerSessionId, PlayerIndex)> {
        let is_silent = |seat: &&mut Seat| now.saturating_duration_since(seat.heard_at) > SILENCE_MAX;
        let silent = self.seats.values_mut().filter(|seat| seat.present).filter(is_silent);
        let mut unbound = Vec::new();
        for seat in silent {
            if let Some(addr) = seat.addr.take() {
                self.by_addr.remove(&addr);
            }
            seat.present = false;
            unbound.push((seat.player, seat.index));
        }
        unbound
    }

    pub fn iter(&self) -> impl Iterator<Item = &Seat> {
        self.seats.values()
    }

    pub fn name_of(&self, player: PlayerSessionId) -> &str {
        self.seats.get(&player).map_or("nobody", |seat| &seat.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn player(n: u8) -> PlayerSessionId {
        PlayerSessionId::from_bytes([n; 16])
    }

    fn addr(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn only_the_admitted_address_plays_and_a_reconnect_moves_it() {
        let mut seats = Seats::default();
        seats.take(player(1), "alice", 0, addr(1));
        assert!(seats.heard(addr(1)).is_some() && seats.heard(addr(2)).is_none());
        seats.heard(addr(1)).unwrap().acked = 9;

        assert!(seats.bind(player(1), addr(2)).is_some());
        assert!(seats.heard(addr(1)).is_none());
        assert_eq!(seats.heard(addr(2)).map(|seat| seat.acked), Some(0));
        assert!(seats.bind(player(2), addr(3)).is_none(), "nobody without a seat");
        seats.remove(player(1));
        assert!(seats.heard(addr(2)).is_none());
    }

    #[test]
    fn an_address_belongs_to_the_last_who_was_admitted_from_it() {
        let mut seats = Seats::default();
        seats.take(player(1), "alice", 0, addr(1));
        seats.take(player(2), "bob", 1, addr(1));
        assert_eq!(seats.heard(addr(1)).map(|seat| seat.index), Some(1));
        seats.remove(player(1));
        assert_eq!(seats.heard(addr(1)).map(|seat| seat.index), Some(1));
        seats.take(player(3), "carol", 2, addr(1));
        let silent = seats.unbind_silent(Instant::now() + 2 * SILENCE_MAX);
        assert_eq!(silent, [(player(2), 1), (player(3), 2)], "who lost the address is not forgotten");
    }

    #[test]
    fn the_silent_lose_their_address_once() {
        let mut seats = Seats::default();
        seats.take(player(1), "alice", 4, addr(1));
        let now = Instant::now();
        assert_eq!(seats.unbind_silent(now), []);
        assert_eq!(seats.unbind_silent(now + 2 * SILENCE_MAX), [(player(1), 4)]);
        assert_eq!(seats.unbind_silent(now + 3 * SILENCE_MAX), []);
        assert!(seats.heard(addr(1)).is_none());
        assert!(seats.bind(player(1), addr(2)).is_some());
    }
}
