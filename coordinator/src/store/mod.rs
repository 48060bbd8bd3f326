//! Where rows are kept: the trait, SQLite behind it, and the one thread that writes.
//!
//! ```text
//!   the loop ──Batch{seq, rows}──► Writer (a thread of its own) ──commit──► Store
//!      ▲                                  │                                  │
//!      └──────────CommitDone{seq}─────────┘                         one transaction, synced
//! ```
//! Memory decides and the rows follow, all rows of a turn in one transaction. What says that something is done leaves
//! the coordinator only after `CommitDone`. A commit that fails is never tried again, because after a failed sync
//! nobody knows what the disk holds: the process ends, and the next one reads what is really there.
//!
//! # What lies in the data directory?
//! | file | what | lost |
//! |---|---|---|
//! | `playgate.db`, `-wal`, `-shm` | the rows; open it with `sqlite3 -readonly` at any time | restore the backup |
//! | `playgate.db.lock` | held by the running coordinator | made again |
//! | `playgate.db.ballast` | 16 MiB that a full disk gives back | made again |
//!
//! Back it up with `sqlite3 playgate.db "VACUUM INTO 'backup.db'"`, also while the coordinator runs. The directory must
//! be on a local file system: SQLite's log needs shared memory and locks that network file systems do not keep.

mod columns;
mod error;
mod lock;
mod record;
mod schema;
pub mod space;
mod sqlite;
mod tables;
mod writer;

use playgate_core::rows::Row;

pub use error::StoreError;
pub use sqlite::Sqlite;
pub use writer::{Batch, CommitDone, NotSubmitted, Writer, Written};

/// Events that are read back; older ones stay on disk until they are forgotten.
pub const EVENTS_LOADED_MAX: u32 = 1_000;

/// Keeps rows.
pub trait Store: Send {
    /// Everything the core needs to go on from the last batch.
    ///
    /// # Errors
    /// [`StoreError`] when a row cannot be read. Nothing is guessed and nothing is left out.
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// Makes all rows durable in their order, or none of them. `seq` must be one more than that of the last batch.
    ///
    /// # Errors
    /// [`StoreError`]: the process must end. What is stored is unknown until it is loaded again.
    fn commit(&mut self, seq: u64, rows: &[Row]) -> Result<(), StoreError>;
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// High-water mark, fleets, signing keys, hosts, join keys, peers, processes, game sessions, player sessions, and
    /// the last [`EVENTS_LOADED_MAX`] events, oldest first.
    pub rows: Vec<Row>,
    /// Number of the last batch; 0 when there was none.
    pub seq: u64,
    /// Rises when a backup is restored; 1 at first.
    pub generation: u64,
}
