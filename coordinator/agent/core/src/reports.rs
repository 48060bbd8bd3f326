//! Numbered reports: each is kept until the coordinator has durably applied it, and keeps number and content.
//!
//! ```text
//!   acknowledged │ sent on this link │ saved │ not yet saved
//!   ─────────────┼───────────────────┼───────┼──────────────►  numbers
//!            first_seq             sent    saved          last
//! ```
//! A report leaves only after it is saved, or a restarted agent could give its number to another.

use std::collections::{BTreeMap, VecDeque};

use playgate_protocol::agent::{AgentReport, AgentReportBatch};
use playgate_protocol::limits::AGENT_REPORTS_PER_BATCH_MAX;
use playgate_protocol::{List, ServerProcessId};

use crate::limits::REPORTS_IN_FLIGHT_MAX;

/// No coordinator applies this many; from here on numbers still count up for ages without overflow.
const SEQ_MAX: u64 = u64::MAX / 2;

#[derive(Debug)]
pub(crate) struct ReportLog {
    /// Number of the oldest report that is not acknowledged.
    first_seq: u64,
    pending: VecDeque<AgentReport>,
    /// Last number that is saved.
    saved: u64,
    /// Last number that was sent on this link, or applied before it.
    sent: u64,
    /// From this number on no report was ever sent.
    never_sent_from: u64,
    /// Processes whose end is reported here and not yet acknowledged: orders for them come too late.
    ended: BTreeMap<ServerProcessId, u64>,
}

/// What a new link means for the files.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// Everything up to this number is applied.
    pub(crate) through_seq: u64,
    /// Reports that got another number, and how much higher it is.
    pub(crate) renumbered: Vec<(u64, AgentReport)>,
    pub(crate) moved_by: u64,
}

impl ReportLog {
    /// Takes up what a former run left. What does not follow without a gap is lost; the inventory makes up for it.
    pub(crate) fn restore(acknowledged: u64, saved: Vec<(u64, AgentReport)>) -> Self {
        let acknowledged = acknowledged.min(SEQ_MAX);
        let mut log = Self {
            first_seq: acknowledged + 1,
            pending: VecDeque::new(),
            saved: acknowledged,
            sent: acknowledged,
            never_sent_from: acknowledged + 1,
            ended: BTreeMap::new(),
        };
        for (seq, report) in saved {
            if seq == log.last() + 1 {
                log.push(report);
            }
        }
        log.saved = log.last();
        log.never_sent_from = log.last() + 1;
        log
    }

    /// Gives the next number.
    pub(crate) fn push(&mut self, report: AgentReport) -> u64 {
        let seq = self.last() + 1;
        if let AgentReport::Exited { process, .. } | AgentReport::LaunchFailed { process, .. } = &report {
            self.ended.insert(*process, seq);
        }
        self.pending.push_back(report);
        seq
    }

    /// It is on disk. Reports are saved in order.
    pub(crate) fn saved(&mut self, seq: u64) {
        self.saved = self.saved.max(seq.min(self.last()));
    }

    /// The coordinator has durably applied them. Says whether that was news.
    pub(crate) fn acknowledge(&mut self, through_seq: u64) -> bool {
        self.drop_through(through_seq.min(self.sent))
    }

    /// A new link, on which the coordinator names the last report it has durably applied.
    ///
    /// When it has applied numbers that this agent never sent, the state directory is older than that: what was never
    /// sent moves behind them, or it would be taken for a repetition.
    pub(crate) fn resume(&mut self, applied_seq: u64) -> Resumed {
        let applied_seq = applied_seq.min(SEQ_MAX);
        let mut renumbered = Vec::new();
        let mut moved_by = 0;
        if applied_seq >= self.never_sent_from {
            moved_by = applied_seq + 1 - self.never_sent_from;
            let kept = self.never_sent_from.saturating_sub(self.first_seq);
            let kept = usize::try_from(kept).expect("not more than are pending").min(self.pending.len());
            let never_sent = self.pending.split_off(kept);
            self.drop_through(applied_seq);
            self.pending.clear();
            self.ended.clear();
            self.first_seq = applied_seq + 1;
            self.saved = applied_seq;
            renumbered = never_sent.into_iter().map(|report| (self.push(report.clone()), report)).collect();
            self.never_sent_from = applied_seq + 1;
        } else {
            self.drop_through(applied_seq);
        }
        self.sent = self.acknowledged();
        Resumed { through_seq: self.acknowledged(), renumbered, moved_by }
    }

    /// The next reports to send, if there are any and not too many are under way.
    pub(crate) fn next_batch(&mut self) -> Option<AgentReportBatch> {
        let first_seq = self.sent + 1;
        let in_flight = usize::try_from(first_seq - self.first_seq).expect("not more than are pending");
        let saved = usize::try_from((self.saved + 1).saturating_sub(first_seq)).expect("not more than are pending");
        let count = saved.min(REPORTS_IN_FLIGHT_MAX.saturating_sub(in_flight)).min(AGENT_REPORTS_PER_BATCH_MAX);
        if count == 0 {
            return None;
        }
        let reports = List::first_of(self.pending.iter().skip(in_flight).take(count).cloned());
        self.sent += count as u64;
        self.never_sent_from = self.never_sent_from.max(self.sent + 1);
        Some(AgentReportBatch { first_seq, reports })
    }

    /// Last number that needs no keeping.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.first_seq - 1
    }

    /// Whether everything was sent on this link.
    pub(crate) fn all_sent(&self) -> bool {
        self.sent == self.last()
    }

    pub(crate) fn pending(&self) -> impl Iterator<Item = &AgentReport> {
        self.pending.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether its end is reported and the coordinator may not know it yet.
    pub(crate) fn has_ended(&self, process: ServerProcessId) -> bool {
        self.ended.contains_key(&process)
    }

    fn last(&self) -> u64 {
        self.first_seq + self.pending.len() as u64 - 1
    }

    fn drop_through(&mut self, through_seq: u64) -> bool {
        let before = self.first_seq;
        while self.first_seq <= through_seq && self.pending.pop_front().is_some() {
            self.first_seq += 1;
        }
        let first_seq = self.first_seq;
        self.ended.retain(|_, seq| *seq >= first_seq);
        self.first_seq != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{exited, launched, process};

    fn log(acknowledged: u64, saved: &[u64]) -> ReportLog {
        ReportLog::restore(acknowledged, saved.iter().map(|seq| (*seq, launched(seq % 100))).collect())
    }

    fn batches(log: &mut ReportLog) -> Vec<(u64, usize)> {
        std::iter::from_fn(|| log.next_batch()).map(|batch| (batch.first_seq, batch.reports.len())).collect()
    }

    #[test]
    fn a_report_is_sent_once_saved_and_again_on_the_next_link() {
        let mut log = log(0, &[]);
        assert_eq!(log.push(launched(1)), 1);
        assert_eq!(log.push(launched(2)), 2);
        assert_eq!(batches(&mut log), []);
        log.saved(1);
        assert_eq!(batches(&mut log), [(1, 1)]);
        assert!(!log.all_sent());
        log.saved(2);
        assert_eq!(batches(&mut log), [(2, 1)]);
        assert!(log.all_sent());
        assert_eq!(log.resume(0), Resumed { through_seq: 0, renumbered: vec![], moved_by: 0 });
        assert_eq!(batches(&mut log), [(1, 2)]);
        assert!(log.acknowledge(1));
        assert!(!log.acknowledge(1));
        log.resume(1);
        assert_eq!(batches(&mut log), [(2, 1)]);
        assert_eq!(log.push(launched(3)), 3);
    }

    #[test]
    fn numbers_go_on_after_a_restart() {
        for (acknowledged, saved, next) in [
            (0, [].as_slice(), 1),
            (7, &[], 8),
            (7, &[8, 9], 10),
            (7, &[5, 6, 7, 8], 9), // files that were about to be removed
            (7, &[8, 10, 11], 9),  // a lost file
            (7, &[9], 8),
        ] {
            let mut log = log(acknowledged, saved);
            assert_eq!(log.push(launched(1)), next, "{acknowledged} {saved:?}");
        }
    }

    #[test]
    fn a_batch_and_what_is_in_flight_are_bounded() {
        let numbers: Vec<u64> = (1..=1_000).collect();
        let mut log = log(0, &numbers);
        let sent = batches(&mut log);
        assert!(sent.iter().all(|(_, count)| *count == AGENT_REPORTS_PER_BATCH_MAX), "{sent:?}");
        assert_eq!(sent.len() * AGENT_REPORTS_PER_BATCH_MAX, REPORTS_IN_FLIGHT_MAX);
        assert!(log.acknowledge(5));
        assert_eq!(batches(&mut log), [(REPORTS_IN_FLIGHT_MAX as u64 + 1, 5)]);
    }

    #[test]
    fn only_what_was_sent_can_be_acknowledged() {
        let mut log = log(0, &[1, 2]);
        assert!(!log.acknowledge(2));
        assert_eq!(batches(&mut log), [(1, 2)]);
        log.push(launched(3));
        assert!(log.acknowledge(u64::MAX));
        assert_eq!(log.len(), 1);
    }

    #[test]
    fn an_old_state_directory_gives_no_number_twice() {
        // Restored with 5 and 6, which the coordinator has; it also has 7 to 9, which this directory forgot.
        let mut log = log(4, &[5, 6]);
        assert_eq!(log.push(exited(1)), 7);
        log.saved(7);
        assert_eq!(log.resume(9), Resumed { through_seq: 9, renumbered: vec![(10, exited(1))], moved_by: 3 });
        assert!(log.has_ended(process(1)));
        assert_eq!(batches(&mut log), []);
        log.saved(10);
        assert_eq!(batches(&mut log), [(10, 1)]);
        // The same answer on the next link changes nothing.
        assert_eq!(log.resume(9), Resumed { through_seq: 9, renumbered: vec![], moved_by: 0 });
        assert_eq!(batches(&mut log), [(10, 1)]);
        assert_eq!(log.resume(10), Resumed { through_seq: 10, renumbered: vec![], moved_by: 0 });
        assert!(!log.has_ended(process(1)));
    }

    #[test]
    fn no_answer_of_a_coordinator_overflows() {
        let mut log = log(0, &[1]);
        log.push(exited(2));
        let resumed = log.resume(u64::MAX);
        assert_eq!(resumed.renumbered, [(SEQ_MAX + 1, exited(2))]);
        assert!(!log.acknowledge(u64::MAX));
        assert_eq!(log.push(launched(3)), SEQ_MAX + 2);
    }

    #[test]
    fn a_coordinator_that_forgot_gets_what_is_left() {
        let mut log = log(4, &[5, 6]);
        assert_eq!(log.resume(2), Resumed { through_seq: 4, renumbered: vec![], moved_by: 0 });
        assert_eq!(batches(&mut log), [(5, 2)]);
    }
}
