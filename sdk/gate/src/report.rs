//! The reports for the coordinator: collected, numbered, sent, and kept until they are acknowledged.
//!
//! ```text
//!   push ──► pending ───────number──────► numbered ──next_batch──► sent on this link
//!            one record per player        content is fixed         ▲            │
//!            session, the last one        from here on             └── resume ──┘      acked: forgotten
//! ```

use std::collections::{BTreeMap, VecDeque};

use playgate_protocol::server::{PlayerOutcome, Ports, Report, ReportBatch};
use playgate_protocol::{GameSessionId, List, PlayerSessionId};

use crate::limits::REPORTS_UNACKED_MAX;

#[derive(Debug)]
pub(crate) struct Outbox {
    pending: Vec<Report>,
    /// Where in `pending` the record of a player session is.
    player_at: BTreeMap<PlayerSessionId, usize>,
    /// Not acknowledged yet, oldest first, without gaps.
    numbered: VecDeque<Report>,
    /// Number of the first of them, or of the next to be numbered.
    first_seq: u64,
    /// The last that was sent on this link or acknowledged.
    sent_seq: u64,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self { pending: Vec::new(), player_at: BTreeMap::new(), numbered: VecDeque::new(), first_seq: 1, sent_seq: 0 }
    }

    /// Adds a report that is not about a player.
    pub(crate) fn push(&mut self, report: Report) {
        self.pending.push(report);
    }

    /// A process that says *ready* again before anybody heard it has said it once.
    pub(crate) fn ready(&mut self, ports: Ports) {
        let last = self.pending.iter_mut().rfind(|report| !matches!(report, Report::Player { .. }));
        match last {
            Some(Report::Ready { ports: told }) => *told = ports,
            _ => self.push(Report::Ready { ports }),
        }
    }

    /// The latest about a player: takes the place of what is pending about the same player.
    pub(crate) fn player(&mut self, session: GameSessionId, player_session: PlayerSessionId, outcome: PlayerOutcome) {
        let report = Report::Player { session, player_session, outcome };
        match self.player_at.get(&player_session) {
            Some(at) => self.pending[*at] = report,
            None => {
                self.player_at.insert(player_session, self.pending.len());
                self.pending.push(report);
            }
        }
    }

    /// Drops what is pending about a session that this server hosts no more.
    pub(crate) fn forget(&mut self, gone: GameSessionId) {
        self.pending.retain(|report| match report {
            Report::Activated { session, .. }
            | Report::Player { session, .. }
            | Report::SessionEnded { session, .. } => *session != gone,
            Report::Ready { .. } | Report::Ending => true,
        });
        let players = self.pending.iter().enumerate().filter_map(|(at, report)| match report {
            Report::Player { player_session, .. } => Some((*player_session, at)),
            _ => None,
        });
        self.player_at = players.collect();
    }

    /// Numbers everything pending; `false`, and nothing done, while too many wait to be acknowledged.
    pub(crate) fn number(&mut self) -> bool {
        if self.numbered.len() >= REPORTS_UNACKED_MAX {
            return false;
        }
        self.player_at.clear();
        self.numbered.extend(self.pending.drain(..));
        true
    }

    /// The number of the last numbered report; 0 when there was none.
    pub(crate) fn last_seq(&self) -> u64 {
        self.first_seq + self.numbered.len() as u64 - 1
    }

    /// What comes next on this link.
    pub(crate) fn next_batch(&mut self) -> Option<ReportBatch> {
        let first_seq = self.sent_seq + 1;
        let already_sent = usize::try_from(first_seq - self.first_seq).expect("sent reports are still in memory");
        let reports = List::first_of(self.numbered.iter().skip(already_sent).cloned());
        if reports.is_empty() {
            return None;
        }
        self.sent_seq += reports.len() as u64;
        Some(ReportBatch { first_seq, reports })
    }

    /// Reports up to this number are durable. What is not numbered yet cannot be.
    pub(crate) fn acked(&mut self, through_seq: u64) {
        let through_seq = through_seq.min(self.last_seq());
        while self.first_seq <= through_seq {
            self.numbered.pop_front();
            self.first_seq += 1;
        }
        self.sent_seq = self.sent_seq.max(through_seq);
    }

    /// A new link: everything that is not durable goes out again.
    pub(crate) fn resume(&mut self, applied_seq: u64) {
        self.acked(applied_seq);
        self.sent_seq = self.first_seq - 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn active(generation: u32) -> PlayerOutcome {
        PlayerOutcome::Active { generation, joined_ms: 1 }
    }

    #[test]
    fn what_waits_is_one_record_for_each_player_session() {
        let mut outbox = Outbox::new();
        let session = GameSessionId::from_bytes([1; 16]);
        for generation in 0..30_000_u32 {
            let player = PlayerSessionId::from_bytes([generation.to_le_bytes()[0] % 3; 16]);
            outbox.player(session, player, active(generation));
            outbox.ready(Ports::default());
        }
        assert_eq!(outbox.pending.len(), 4, "three players, and the ports once");
        outbox.forget(session);
        assert_eq!((outbox.pending.len(), outbox.player_at.len()), (1, 0));
    }

    /// What is left keeps its place, so that the next word about a player still takes the place of the last one.
    #[test]
    fn of_a_session_that_is_gone_nothing_is_said() {
        let mut outbox = Outbox::new();
        let [gone, next] = [1, 2].map(|byte| GameSessionId::from_bytes([byte; 16]));
        let [ann, bob] = [3, 4].map(|byte| PlayerSessionId::from_bytes([byte; 16]));
        outbox.push(Report::Activated { session: gone, attempt: 1 });
        outbox.player(gone, ann, active(1));
        outbox.push(Report::SessionEnded { session: gone, attempt: 1 });
        outbox.push(Report::Activated { session: next, attempt: 1 });
        outbox.player(next, bob, active(1));
        outbox.push(Report::Ending);
        outbox.forget(gone);
        outbox.player(next, bob, active(2));
        let bob = Report::Player { session: next, player_session: bob, outcome: active(2) };
        assert_eq!(outbox.pending, [Report::Activated { session: next, attempt: 1 }, bob, Report::Ending]);
    }

    #[test]
    fn a_coordinator_that_acknowledges_nothing_costs_a_bounded_number_of_records() {
        let mut outbox = Outbox::new();
        let session = GameSessionId::from_bytes([1; 16]);
        for generation in 0..30_000_u32 {
            outbox.player(session, PlayerSessionId::from_bytes([1; 16]), active(generation));
            outbox.number();
        }
        assert_eq!((outbox.numbered.len(), outbox.pending.len()), (REPORTS_UNACKED_MAX, 1));
        outbox.acked(1);
        assert!(outbox.number());
        assert_eq!(outbox.last_seq(), REPORTS_UNACKED_MAX as u64 + 1);
    }
}
