//! Events that a stranger or a rogue server can cause are limited: an event is a row on the disk and a line in the log,
//! and neither may be somebody else's to fill.

use playgate_protocol::TimeMs;
use playgate_protocol::api::EventKind;

/// Length of a window.
const WINDOW_MS: u64 = 10_000;
/// Events of one such kind in a window; the others are counted and told of with the next one.
const PER_WINDOW: u32 = 20;

/// Kinds that peers can cause at will.
const LIMITED: [EventKind; 5] = [
    EventKind::PeerRefused,
    EventKind::ProtocolViolation,
    EventKind::ClockSkew,
    EventKind::RelayConnected,
    EventKind::RelayDisconnected,
];

#[derive(Debug, Default)]
pub(crate) struct Throttle {
    windows: [Window; LIMITED.len()],
}

#[derive(Debug, Default, Clone, Copy)]
struct Window {
    since: TimeMs,
    admitted: u32,
    left_out: u64,
}

impl Throttle {
    /// `None`: leave this event out. Otherwise how many were left out before it.
    pub(crate) fn admit(&mut self, kind: EventKind, now: TimeMs) -> Option<u64> {
        let Some(index) = LIMITED.iter().position(|limited| *limited == kind) else { return Some(0) };
        let window = &mut self.windows[index];
        if now >= window.since.saturating_add(WINDOW_MS) {
            (window.since, window.admitted) = (now, 0);
        }
        if window.admitted == PER_WINDOW {
            window.left_out = window.left_out.saturating_add(1);
            return None;
        }
        window.admitted += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_cause_is_limited_and_counted() {
        let mut throttle = Throttle::default();
        let at = |throttle: &mut Throttle, now| throttle.admit(EventKind::PeerRefused, now);
        assert_eq!((0..100).filter(|_| at(&mut throttle, 101_000).is_some()).count(), 20);
        assert_eq!(at(&mut throttle, 110_999), None);
        assert_eq!(at(&mut throttle, 111_000), Some(81));
        assert_eq!(at(&mut throttle, 111_000), Some(0));
        assert_eq!(throttle.admit(EventKind::ProtocolViolation, 111_000), Some(0), "each kind for itself");
        assert!((0..1_000).all(|_| throttle.admit(EventKind::ProcessEnded, 1) == Some(0)), "ours are never left out");
    }
}
