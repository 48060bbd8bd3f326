//! The stop ladder of one process.
//!
//! ```text
//!            Stop               Due: SIGTERM               Due: SIGKILL
//!   Up ─────────────► Asked ─────────────────► Terminating ─────────────► Killed
//!                     ▲   │                     ▲       │
//!                     └───┘ Stop: earlier only  └───────┘ Stop: earlier only
//! ```
//! | state | Stop | Due |
//! |---|---|---|
//! | Up | Asked | Up |
//! | Asked | Asked, not later than before | Terminating, signals Term |
//! | Terminating | Terminating, not later than before | Killed, signals Kill |
//! | Killed | Killed | Killed |
//!
//! The coordinator has asked the server over its own link before it orders the stop, so the first step here is to wait.
//! A process that exits leaves the ladder with its record.

use std::time::Duration;

use playgate_protocol::agent::StopStep;

/// Where a process stands on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Ladder {
    /// Nobody wants it gone.
    #[default]
    Up,
    /// It may still go by itself.
    Asked { until: Duration, term_grace: Duration },
    /// SIGTERM was sent.
    Terminating { until: Duration },
    /// SIGKILL was sent; the kernel does the rest.
    Killed,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// An order to stop: how long until SIGTERM, and from there to SIGKILL.
    Stop { grace: Duration, term_grace: Duration },
    /// The deadline has passed.
    Due,
}

impl Ladder {
    /// When [`Event::Due`] happens next.
    pub(crate) fn deadline(self) -> Option<Duration> {
        match self {
            Self::Up | Self::Killed => None,
            Self::Asked { until, .. } | Self::Terminating { until } => Some(until),
        }
    }

    /// Goes on, and says which signal to send.
    pub(crate) fn handle(&mut self, now: Duration, event: Event) -> Option<StopStep> {
        let (next, step) = match (*self, event) {
            (Self::Up, Event::Stop { grace, term_grace }) => {
                (Self::Asked { until: now.saturating_add(grace), term_grace }, None)
            }
            (Self::Asked { until, term_grace: before }, Event::Stop { grace, term_grace }) => {
                let until = until.min(now.saturating_add(grace));
                (Self::Asked { until, term_grace: before.min(term_grace) }, None)
            }
            (Self::Terminating { until }, Event::Stop { grace, term_grace }) => {
                let sooner = now.saturating_add(grace).saturating_add(term_grace);
                (Self::Terminating { until: until.min(sooner) }, None)
            }
            (Self::Asked { term_grace, .. }, Event::Due) => {
                (Self::Terminating { until: now.saturating_add(term_grace) }, Some(StopStep::Term))
            }
            (Self::Terminating { .. }, Event::Due) => (Self::Killed, Some(StopStep::Kill)),
            (state @ Self::Up, Event::Due) | (state @ Self::Killed, Event::Stop { .. } | Event::Due) => (state, None),
        };
        *self = next;
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const ASKED: Ladder = Ladder::Asked { until: s(30), term_grace: s(10) };
    const TERMINATING: Ladder = Ladder::Terminating { until: s(30) };
    const LONG: Event = Event::Stop { grace: s(60), term_grace: s(20) };
    const SHORT: Event = Event::Stop { grace: s(1), term_grace: s(2) };

    #[test]
    fn every_state_meets_every_event() {
        let now = s(20);
        for (state, event, next, step) in [
            (Ladder::Up, LONG, Ladder::Asked { until: s(80), term_grace: s(20) }, None),
            (Ladder::Up, SHORT, Ladder::Asked { until: s(21), term_grace: s(2) }, None),
            (Ladder::Up, Event::Due, Ladder::Up, None),
            (ASKED, LONG, ASKED, None),
            (ASKED, SHORT, Ladder::Asked { until: s(21), term_grace: s(2) }, None),
            (ASKED, Event::Due, Ladder::Terminating { until: s(30) }, Some(StopStep::Term)),
            (TERMINATING, LONG, TERMINATING, None),
            (TERMINATING, SHORT, Ladder::Terminating { until: s(23) }, None),
            (TERMINATING, Event::Due, Ladder::Killed, Some(StopStep::Kill)),
            (Ladder::Killed, LONG, Ladder::Killed, None),
            (Ladder::Killed, SHORT, Ladder::Killed, None),
            (Ladder::Killed, Event::Due, Ladder::Killed, None),
        ] {
            let mut ladder = state;
            assert_eq!((ladder.handle(now, event), ladder), (step, next), "{state:?} {event:?}");
        }
    }

    #[test]
    fn a_deadline_is_never_later_than_before_and_never_overflows() {
        for start in [ASKED, TERMINATING] {
            let mut ladder = start;
            ladder.handle(s(1), Event::Stop { grace: Duration::MAX, term_grace: Duration::MAX });
            assert_eq!(ladder, start);
        }
        let mut ladder = Ladder::Up;
        ladder.handle(s(1), Event::Stop { grace: Duration::MAX, term_grace: Duration::MAX });
        assert_eq!(ladder.deadline(), Some(Duration::MAX));
    }
}
