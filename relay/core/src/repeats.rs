//! OPENs that come again: whoever has seen one could send it for as long as its cookie lives, and use up what the prefix of
//! its player may open.

use std::time::Duration;

use playgate_protocol::handshake::Mac;

use crate::limits::{COOKIES_REMEMBERED, OPEN_AGAIN_AFTER, OPENS_PER_COOKIE};

/// A table of fixed size, by the MAC of the cookie, which nobody can choose. Two cookies that meet in a place forget each
/// other: neither is refused for that.
pub(crate) struct Repeats {
    places: Box<[Place]>,
}

#[derive(Clone, Copy, Default)]
struct Place {
    cookie: u64,
    opens: u32,
    next: Duration,
}

impl Repeats {
    pub(crate) fn new() -> Self {
        Self { places: vec![Place::default(); COOKIES_REMEMBERED].into_boxed_slice() }
    }

    /// Whether an OPEN with this cookie may cause work.
    pub(crate) fn take(&mut self, now: Duration, mac: &Mac) -> bool {
        let (index, cookie) = halves(mac);
        let index = usize::try_from(index % COOKIES_REMEMBERED as u64).expect("fewer than 2^32 places");
        let place = &mut self.places[index];
        if place.cookie != cookie {
            *place = Place { cookie, opens: 0, next: now };
        }
        let may = place.opens < OPENS_PER_COOKIE && now >= place.next;
        if may {
            place.opens += 1;
            place.next = now.saturating_add(OPEN_AGAIN_AFTER);
        }
        may
    }
}

fn halves(mac: &Mac) -> (u64, u64) {
    let whole = u128::from_le_bytes(*mac);
    ((whole >> 64) as u64, whole as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_player_who_repeats_himself_is_heard_and_a_flood_of_one_open_is_not() {
        let mut repeats = Repeats::new();
        let mac = [7; 16];
        // As a player does who gets no answer.
        for ms in [0, 250, 500, 750, 1_000, 1_500, 2_500] {
            assert!(repeats.take(Duration::from_millis(ms), &mac), "{ms}");
        }
        let flood = (2_501..10_000).filter(|ms| repeats.take(Duration::from_millis(*ms), &mac)).count();
        assert_eq!(flood, 1);
        assert!(repeats.take(Duration::from_millis(2_751), &[8; 16]));
    }
}
