//! Life of a game session.
//!
//! ```text
//!   Placing ──► Activating ──► Active ──► Terminating ──► Terminated
//!      ▲            │
//!      └────────────┘ attempt failed      Placing, Activating ──► Terminating;  every live status ──► Terminated
//! ```

use playgate_protocol::api::GameSessionStatus::{self, Activating, Active, Placing, Terminated, Terminating};

/// What can happen to a game session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStep {
    /// A process was chosen.
    Place,
    /// The process died, or was not active in time.
    FailAttempt,
    /// It takes players.
    Activate,
    /// Somebody asked for its end.
    Terminate,
    /// It is over.
    End,
}

/// The status behind `step`, or `None` where the step does not apply.
#[must_use]
pub fn after(status: GameSessionStatus, step: SessionStep) -> Option<GameSessionStatus> {
    use SessionStep::{Activate, End, FailAttempt, Place, Terminate};
    match (status, step) {
        (Placing, Place) => Some(Activating),
        (Activating, FailAttempt) => Some(Placing),
        (Activating, Activate) => Some(Active),
        (Placing | Activating | Active, Terminate) => Some(Terminating),
        (Placing | Activating | Active | Terminating, End) => Some(Terminated),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::SessionStep::{Activate, End, FailAttempt, Place, Terminate};
    use super::*;

    #[test]
    fn every_pair() {
        let steps = [Place, FailAttempt, Activate, Terminate, End];
        let none = None;
        #[rustfmt::skip]
        let table = [
            (Placing,     [Some(Activating), none,          none,         Some(Terminating), Some(Terminated)]),
            (Activating,  [none,             Some(Placing), Some(Active), Some(Terminating), Some(Terminated)]),
            (Active,      [none,             none,          none,         Some(Terminating), Some(Terminated)]),
            (Terminating, [none,             none,          none,         none,              Some(Terminated)]),
            (Terminated,  [none,             none,          none,         none,              none]),
        ];
        for (status, row) in table {
            for (step, expected) in steps.into_iter().zip(row) {
                assert_eq!(after(status, step), expected, "{status:?} {step:?}");
            }
        }
    }
}
