//! Player sessions that may not pass any more, until their passes have expired.

use std::collections::{BTreeMap, BTreeSet};

use playgate_protocol::{PlayerSessionId, TimeMs};

use crate::limits::REVOKED_MAX;

/// Bounded: beyond [`REVOKED_MAX`] those that expire first are forgotten.
#[derive(Debug, Default)]
pub struct Revoked {
    until: BTreeMap<PlayerSessionId, TimeMs>,
    by_time: BTreeSet<(TimeMs, PlayerSessionId)>,
}

impl Revoked {
    /// Says whether that was not known. What is known to last longer stays as it is.
    pub fn insert(&mut self, player_session: PlayerSessionId, until_ms: TimeMs) -> bool {
        let before = self.until.get(&player_session).copied();
        if before.is_some_and(|before| before >= until_ms) {
            return false;
        }
        if let Some(before) = before {
            self.by_time.remove(&(before, player_session));
        }
        self.until.insert(player_session, until_ms);
        self.by_time.insert((until_ms, player_session));
        if self.until.len() > REVOKED_MAX {
            self.forget_first();
        }
        true
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.until.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    /// Each with the time at which it may be forgotten, first one first.
    pub fn iter(&self) -> impl Iterator<Item = (PlayerSessionId, TimeMs)> {
        self.by_time.iter().map(|(until_ms, player_session)| (*player_session, *until_ms))
    }

    /// Whether this one may not pass.
    #[must_use]
    pub fn contains(&self, player_session: &PlayerSessionId) -> bool {
        self.until.contains_key(player_session)
    }

    /// Forgets those whose passes have expired by themselves.
    pub fn forget_expired(&mut self, now_ms: TimeMs) {
        while self.by_time.first().is_some_and(|(until, _)| *until <= now_ms) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, player_session)) = self.by_time.pop_first() {
            self.until.remove(&player_session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_expire_is_forgotten_first_and_none_is_kept_too_long() {
        let id = |n: usize| PlayerSessionId::from_bytes(u128::to_be_bytes(n as u128));
        let mut revoked = Revoked::default();
        assert!((0..=REVOKED_MAX).all(|n| revoked.insert(id(n), 1_000 + n as u64)));
        assert!(!revoked.contains(&id(0)) && revoked.contains(&id(1)));
        assert!(!revoked.insert(id(1), 1_001) && revoked.insert(id(1), 5_000_000));
        revoked.forget_expired(1_010);
        assert!(revoked.contains(&id(1)) && !revoked.contains(&id(10)) && revoked.contains(&id(11)));
        assert_eq!((revoked.len(), revoked.iter().count()), (revoked.until.len(), revoked.until.len()));
    }

    #[test]
    fn who_is_revoked_again_for_a_shorter_time_stays_revoked_for_the_longer() {
        let ann = PlayerSessionId::from_bytes([1; 16]);
        let mut revoked = Revoked::default();
        assert_eq!([2_000, 1_000].map(|until_ms| revoked.insert(ann, until_ms)), [true, false]);
        revoked.forget_expired(1_500);
        assert!(revoked.contains(&ann));
        revoked.forget_expired(2_000);
        assert!(!revoked.contains(&ann));
    }
}
