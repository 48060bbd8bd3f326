//! What a store keeps: every row as it was given, through restarts, kills, full disks and files that are not its own.

mod arbitrary;
mod faults;
mod kill;
mod rows;
mod space;
mod writer;

use playgate_coordinator::store::{Loaded, Sqlite, Store};
use playgate_core::rows::Row;

/// A store in a directory that goes with it.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("playgate.db")
    }

    fn open(&self) -> Sqlite {
        Sqlite::open(self.path()).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Writes one batch after the last, and closes.
    fn write(&self, rows: &[Row]) {
        let mut store = self.open();
        let seq = store.load().expect("loads").seq;
        store.commit(seq + 1, rows).expect("commits");
    }

    fn load(&self) -> Loaded {
        self.open().load().expect("loads")
    }
}
