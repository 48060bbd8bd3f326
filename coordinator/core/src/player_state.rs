//! Life of a player session.
//!
//! ```text
//!   Reserved ──► Active ──► Completed
//!      │  └──────────────────►  ▲        revoked before use, or the game session ended
//!      └──► TimedOut
//! ```
//!
//! A slot is held while Reserved or Active. Only the server frees it: by saying that the player is gone, that a revoked
//! token is blocked, or that its floor has passed the expiry of a token it never saw.

use playgate_protocol::api::PlayerSessionStatus::{self, Active, Completed, Reserved, TimedOut};

/// What can happen to a player session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayerStep {
    /// The server admitted the player, or admitted him again.
    Join,
    /// The server's floor has passed the expiry.
    Expire,
    /// The player is gone, revoked, or the game session is over.
    Complete,
}

/// The status behind `step`, or `None` where the step does not apply.
#[must_use]
pub fn after(status: PlayerSessionStatus, step: PlayerStep) -> Option<PlayerSessionStatus> {
    use PlayerStep::{Complete, Expire, Join};
    match (status, step) {
        (Reserved | Active, Join) => Some(Active),
        (Reserved, Expire) => Some(TimedOut),
        (Reserved | Active, Complete) => Some(Completed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::PlayerStep::{Complete, Expire, Join};
    use super::*;

    #[test]
    fn every_pair() {
        let none = None;
        #[rustfmt::skip]
        let table = [
            (Reserved,  [Some(Active), Some(TimedOut), Some(Completed)]),
            (Active,    [Some(Active), none,           Some(Completed)]),
            (Completed, [none,         none,           none]),
            (TimedOut,  [none,         none,           none]),
        ];
        for (status, row) in table {
            for (step, expected) in [Join, Expire, Complete].into_iter().zip(row) {
                assert_eq!(after(status, step), expected, "{status:?} {step:?}");
            }
        }
    }
}
