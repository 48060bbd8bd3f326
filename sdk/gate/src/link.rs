//! The gate's side of the link to the coordinator: beats up, numbered reports up, acknowledgements down.

use std::time::Duration;

use playgate_protocol::TimeMs;
use playgate_protocol::server::{Beat, ReportBatch};

use crate::Gate;

/// What a beat vouches for; the three belong together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Statement {
    floor_ms: TimeMs,
    through_seq: u64,
    players: u32,
}

impl Gate {
    /// Life and health at this moment, to be sent every second while the link is up.
    ///
    /// Everything pending is numbered and the floor rises to now, so that the floor's two promises hold: no token that
    /// expires at or before it gets in from here on, and whoever got in is in a report up to `through_seq`. While the
    /// coordinator is far behind in acknowledging, the last floor is said again instead.
    pub fn beat(&mut self, now: Duration, healthy: bool) -> Beat {
        let now = self.at(now);
        if self.outbox.number() {
            self.floor_ms = self.floor_ms.max(self.clock.now_ms(now));
            self.stated = Statement {
                floor_ms: self.floor_ms,
                through_seq: self.outbox.last_seq(),
                players: u32::try_from(self.active_players()).unwrap_or(u32::MAX),
            };
        }
        let Statement { floor_ms, through_seq, players } = self.stated;
        Beat { healthy, floor_ms, through_seq, held_version: self.held_version, players }
    }

    /// The next reports to send on this link, at most 256; `None` when all are on their way.
    pub fn next_batch(&mut self) -> Option<ReportBatch> {
        self.outbox.number();
        self.outbox.next_batch()
    }

    /// The coordinator has everything up to this number durably. Hearing it twice, or late, does no harm.
    pub fn acked(&mut self, through_seq: u64) {
        self.outbox.acked(through_seq);
    }

    /// A new link is up, and the coordinator has applied everything up to this number: what is behind it goes out
    /// again, with the same numbers and the same content.
    pub fn resume(&mut self, applied_seq: u64) {
        self.outbox.resume(applied_seq);
    }

    /// Version of the wanted state in force.
    #[must_use]
    pub const fn held_version(&self) -> u64 {
        self.held_version
    }
}
