//! Which flows are open, and which of them the coordinator was not told of.
//!
//! The threads of the relay write into it and the link reads from it. It holds at most one entry for each open flow, so
//! nothing has to be dropped when the link is slow or away, and nobody holds the lock for more than one list.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Mutex, MutexGuard};

use playgate_protocol::limits::RELAY_LIST_MAX;
use playgate_protocol::relay::PlayerAt;
use playgate_protocol::{List, PlayerSessionId, ServerProcessId};
use tokio::sync::Notify;

use crate::worker::Report;

/// The open flows of all cores: a player session is always on the same core, so its reports come in order.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    book: Mutex<Book>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Book {
    open: BTreeMap<PlayerSessionId, (ServerProcessId, SocketAddr)>,
    /// Opened or moved since.
    untold: BTreeSet<PlayerSessionId>,
    /// All behind this one are untold, too.
    told_through: Option<Option<PlayerSessionId>>,
}

impl Flows {
    /// Called by the threads that carry datagrams.
    pub(crate) fn report(&self, report: Report) {
        let mut book = self.book();
        match report {
            Report::PlayerAt { player_session, process, address } => {
                book.open.insert(player_session, (process, address));
                if book.untold.insert(player_session) {
                    drop(book);
                    self.changed.notify_one();
                }
            }
            Report::FlowEnded { player_session } => {
                book.open.remove(&player_session);
                book.untold.remove(&player_session);
            }
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.book().open.len()
    }

    /// Whoever is told from here on knows of nothing.
    pub(crate) fn tell_all(&self) {
        self.book().told_through = Some(None);
    }

    /// Up to a list of what is untold; empty when all is told.
    pub(crate) fn take_untold(&self) -> List<PlayerAt, RELAY_LIST_MAX> {
        let mut list = Vec::with_capacity(RELAY_LIST_MAX);
        let mut book = self.book();
        while list.len() < RELAY_LIST_MAX {
            let Some(player_session) = book.next_untold() else { break };
            let (process, address) = book.open[&player_session];
            list.push(PlayerAt { player_session, process, address });
        }
        List::first_of(list)
    }

    /// Returns when something may be untold that was not before.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nobody panics while holding it")
    }
}

impl Book {
    fn next_untold(&mut self) -> Option<PlayerSessionId> {
        if let Some(through) = self.told_through {
            let from = through.map_or(Unbounded, Excluded);
            let next = self.open.range((from, Unbounded)).next().map(|(player_session, _)| *player_session);
            self.told_through = next.map(Some);
            if let Some(player_session) = next {
                self.untold.remove(&player_session);
                return next;
            }
        }
        self.untold.pop_first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> PlayerSessionId {
        PlayerSessionId::from_parts(0, n, [0; 9])
    }

    fn at(n: u64, port: u16) -> Report {
        let address = SocketAddr::from(([192, 0, 2, 1], port));
        Report::PlayerAt { player_session: id(n), process: ServerProcessId::from_bytes([1; 16]), address }
    }

    fn told(flows: &Flows) -> Vec<(PlayerSessionId, u16)> {
        flows.take_untold().iter().map(|flow| (flow.player_session, flow.address.port())).collect()
    }

    #[test]
    fn each_change_is_told_once_and_what_has_ended_is_not() {
        let flows = Flows::default();
        for report in [at(1, 1), at(2, 1), at(1, 2), at(3, 1), Report::FlowEnded { player_session: id(2) }] {
            flows.report(report);
        }
        assert_eq!(told(&flows), [(id(1), 2), (id(3), 1)]);
        assert_eq!(told(&flows), []);
        flows.report(at(3, 9));
        flows.tell_all();
        assert_eq!(told(&flows), [(id(1), 2), (id(3), 9)]);
        assert_eq!((told(&flows), flows.count()), (vec![], 2));
    }

    #[test]
    fn all_are_told_in_lists_while_flows_come_and_go() {
        let flows = Flows::default();
        let all = 3 * RELAY_LIST_MAX as u64;
        (1..=all).for_each(|n| flows.report(at(10 * n, 1)));
        flows.take_untold();
        flows.tell_all();
        let mut heard = BTreeMap::from_iter(told(&flows));
        assert_eq!(heard.len(), RELAY_LIST_MAX);
        flows.report(at(5, 1)); // before what was told
        flows.report(at(10 * all + 1, 1)); // behind it
        flows.report(at(10, 2)); // was told, and moves
        flows.report(Report::FlowEnded { player_session: id(10 * all) });
        let mut lists = 0;
        loop {
            let list = told(&flows);
            if list.is_empty() {
                break;
            }
            lists += 1;
            heard.extend(list);
        }
        assert_eq!(heard.len() as u64, all + 1);
        assert!(lists <= 3 && heard[&id(10)] == 2 && heard.contains_key(&id(5)) && !heard.contains_key(&id(10 * all)));
    }
}
