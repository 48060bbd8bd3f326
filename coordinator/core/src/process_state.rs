//! Life of a server process.
//!
//! ```text
//!   Launching ──► Connected ──► Ready ◄──► Hosting
//!       │             │           │           │
//!       └─────────────┴─────┬─────┴───────────┘
//!                           ▼
//!                       Draining ──► Ended          every live status ──► Ended
//! ```

use playgate_protocol::api::ProcessStatus::{self, Connected, Draining, Ended, Hosting, Launching, Ready};

/// What can happen to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessStep {
    /// Its SDK connected for the first time.
    Connect,
    /// It can host.
    BeReady,
    /// A game session was placed on it.
    Host,
    /// Its game session is over, and it may host another.
    Reuse,
    /// It is asked to end.
    Drain,
    /// It is gone.
    End,
}

/// The status behind `step`, or `None` where the step does not apply.
#[must_use]
pub fn after(status: ProcessStatus, step: ProcessStep) -> Option<ProcessStatus> {
    use ProcessStep::{BeReady, Connect, Drain, End, Host, Reuse};
    match (status, step) {
        (Launching, Connect) => Some(Connected),
        (Connected, BeReady) | (Hosting, Reuse) => Some(Ready),
        (Ready, Host) => Some(Hosting),
        (Launching | Connected | Ready | Hosting, Drain) => Some(Draining),
        (Launching | Connected | Ready | Hosting | Draining, End) => Some(Ended),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::ProcessStep::{BeReady, Connect, Drain, End, Host, Reuse};
    use super::*;

    #[test]
    fn every_pair() {
        let steps = [Connect, BeReady, Host, Reuse, Drain, End];
        let none = None;
        #[rustfmt::skip]
        let table = [
            (Launching, [Some(Connected), none,        none,          none,        Some(Draining), Some(Ended)]),
            (Connected, [none,            Some(Ready), none,          none,        Some(Draining), Some(Ended)]),
            (Ready,     [none,            none,        Some(Hosting), none,        Some(Draining), Some(Ended)]),
            (Hosting,   [none,            none,        none,          Some(Ready), Some(Draining), Some(Ended)]),
            (Draining,  [none,            none,        none,          none,        none,           Some(Ended)]),
            (Ended,     [none,            none,        none,          none,        none,           none]),
        ];
        for (status, row) in table {
            for (step, expected) in steps.into_iter().zip(row) {
                assert_eq!(after(status, step), expected, "{status:?} {step:?}");
            }
        }
    }
}
