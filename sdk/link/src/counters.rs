//! What happened at a listener, for metrics and for tests.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::attempt::EstablishError;

/// Events at one listener since it was bound. Strangers can cause all of them, so they are counted and not logged.
#[derive(Debug, Default)]
pub struct ListenerCounters {
    first_packets_dropped: AtomicU64,
    pub(crate) attempts: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) network_refused: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) established: AtomicU64,
    pub(crate) frames_refused: AtomicU64,
    failed: [AtomicU64; EstablishError::ALL.len()],
}

impl ListenerCounters {
    /// First packets that were dropped unread, being over the budget of their network or of all.
    #[must_use]
    pub fn first_packets_dropped(&self) -> u64 {
        self.first_packets_dropped.load(Ordering::Relaxed)
    }

    /// First packets that looked like QUIC and reached `accept`.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Attempts turned away because of all the handshakes unfinished, or of the links open.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Attempts turned away because of the handshakes unfinished from the same network.
    #[must_use]
    pub fn network_refused(&self) -> u64 {
        self.network_refused.load(Ordering::Relaxed)
    }

    /// Attempts told to prove their address first; who does comes back as another attempt.
    #[must_use]
    pub fn retried(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    /// Attempts that became links.
    #[must_use]
    pub fn established(&self) -> u64 {
        self.established.load(Ordering::Relaxed)
    }

    /// Attempts that ended for this reason.
    #[must_use]
    pub fn failed(&self, reason: EstablishError) -> u64 {
        self.failed[reason as usize].load(Ordering::Relaxed)
    }

    /// Links on which something came that is no frame.
    #[must_use]
    pub fn frames_refused(&self) -> u64 {
        self.frames_refused.load(Ordering::Relaxed)
    }

    pub(crate) fn count_dropped(&self, datagrams: u64) {
        self.first_packets_dropped.fetch_add(datagrams, Ordering::Relaxed);
    }

    pub(crate) fn count_failed(&self, reason: EstablishError) {
        count(&self.failed[reason as usize]);
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
