//! The one thread that writes.
//!
//! A commit waits for the disk, and the loop must not: links would time out behind it. So a store lives on a thread of
//! its own from the first batch to the last.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use playgate_core::rows::Row;

use super::{Store, StoreError};

/// One batch waits while one is written. The loop hands over the next when the last was acknowledged, so a second one
/// in the queue is a fault.
const QUEUE_MAX: usize = 1;

/// The rows of one turn.
#[derive(Debug)]
pub struct Batch {
    /// One more than that of the batch before.
    pub seq: u64,
    /// In their order.
    pub rows: Vec<Row>,
}

/// A batch is durable, or the store has failed.
#[derive(Debug)]
pub struct CommitDone {
    /// Which batch.
    pub seq: u64,
    /// An error is the end of this process: the writer takes no further batch, and what is stored is known only after
    /// the next start.
    pub result: Result<(), StoreError>,
}

/// Why a batch was not taken. It is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSubmitted {
    /// The batches before are not acknowledged yet: a fault of the caller.
    QueueFull,
    /// A commit has failed before.
    Stopped,
}

impl fmt::Display for NotSubmitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull => "the store's writer has a batch waiting already; wait for its acknowledgement",
            Self::Stopped => "the store's writer has stopped, because a commit failed",
        })
    }
}

impl std::error::Error for NotSubmitted {}

/// What a writer has written so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Batches that are durable.
    pub commits: u64,
    /// Rows in them.
    pub rows: u64,
}

/// Writes batches, one after the other, on a thread of its own.
///
/// Dropped, it writes what it was given and ends; use [`Writer::finish`] to learn how that went.
pub struct Writer {
    queue: Option<SyncSender<Batch>>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    rows: AtomicU64,
}

impl Writer {
    /// Starts the thread. `on_done` is called on it once for each batch, in order, up to the first that fails; it must
    /// not wait for long.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn spawn(store: Box<dyn Store>, on_done: impl FnMut(CommitDone) + Send + 'static) -> std::io::Result<Self> {
        let (queue, batches) = sync_channel(QUEUE_MAX);
        let counters = Arc::new(Counters::default());
        let counted = counters.clone();
        let thread = Builder::new().name("store".to_owned()).spawn(move || run(store, batches, &counted, on_done))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), counters })
    }

    /// Hands over a batch; never waits.
    ///
    /// # Errors
    /// [`NotSubmitted`]; the batch is not stored.
    pub fn submit(&self, batch: Batch) -> Result<(), NotSubmitted> {
        let queue = self.queue.as_ref().expect("the queue is taken only when the writer is gone");
        queue.try_send(batch).map_err(|e| match e {
            TrySendError::Full(_) => NotSubmitted::QueueFull,
            TrySendError::Disconnected(_) => NotSubmitted::Stopped,
        })
    }

    /// What was written so far.
    #[must_use]
    pub fn written(&self) -> Written {
        Written {
            commits: self.counters.commits.load(Ordering::Relaxed),
            rows: self.counters.rows.load(Ordering::Relaxed),
        }
    }

    /// Writes what was handed over, closes the store and ends the thread.
    ///
    /// # Errors
    /// The [`StoreError`] of the commit that failed, if one did.
    ///
    /// # Panics
    /// When the thread has panicked.
    pub fn finish(mut self) -> Result<(), StoreError> {
        self.join().expect("a writer is joined once").expect("the store does not panic")
    }

    fn join(&mut self) -> Option<std::thread::Result<Result<(), StoreError>>> {
        self.queue = None;
        self.thread.take().map(JoinHandle::join)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A failure was told to `on_done`, and a panic to the panic hook.
        let _ = self.join();
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writer").field(&self.written()).finish()
    }
}

fn run(
    mut store: Box<dyn Store>,
    batches: Receiver<Batch>,
    counters: &Counters,
    mut on_done: impl FnMut(CommitDone),
) -> Result<(), StoreError> {
    while let Ok(Batch { seq, rows }) = batches.recv() {
        let result = store.commit(seq, &rows);
        if result.is_err() {
            // Whoever is told of the failure finds the queue closed.
            drop(batches);
            on_done(CommitDone { seq, result: result.clone() });
            return result;
        }
        counters.commits.fetch_add(1, Ordering::Relaxed);
        counters.rows.fetch_add(rows.len() as u64, Ordering::Relaxed);
        on_done(CommitDone { seq, result });
    }
    Ok(())
}
