//! What passed between a relay and each address: an address that nobody has proven gets no more than came from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::model::{Checked, must};

/// Bytes and datagrams, by canonical address.
#[derive(Default)]
pub(super) struct Addresses {
    accounts: BTreeMap<SocketAddr, Account>,
    /// Whoever is there has answered a cookie or a path challenge from there.
    proven: BTreeSet<SocketAddr>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Account {
    got: u64,
    got_bytes: usize,
    sent: u64,
    sent_bytes: usize,
}

impl Addresses {
    pub(super) fn got(&mut self, from: SocketAddr, bytes: usize) {
        let account = self.accounts.entry(from).or_default();
        (account.got, account.got_bytes) = (account.got + 1, account.got_bytes + bytes);
    }

    pub(super) fn prove(&mut self, address: SocketAddr) {
        self.proven.insert(address);
    }

    pub(super) fn sent(&mut self, to: SocketAddr, bytes: usize) -> Checked {
        let account = self.accounts.entry(to).or_default();
        (account.sent, account.sent_bytes) = (account.sent + 1, account.sent_bytes + bytes);
        let holds = account.sent <= account.got && account.sent_bytes <= account.got_bytes;
        must(holds || self.proven.contains(&to), "R5", || format!("{to} has proven nothing: {account:?}"))
    }
}
