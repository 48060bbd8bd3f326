//! What the child lives through without faults, recorded: the points that everything else is about.

use std::path::PathBuf;

use playgate_coordinator::DATABASE_FILE;
use playgate_coordinator::store::{Loaded, Sqlite, Store};

use super::disk::Disk;
use super::image::Image;
use super::rows;
use super::script::{DATA_BELOW, Phase, Promised, Shim, copy, scratch, start};
use super::trace::{Record, What};

/// From nothing: a first start, killed; a start with a log left behind, closed; a start after that.
const FROM_NOTHING: &[Phase] = &[
    Phase { name: "first start", through: 10, closes: false },
    Phase { name: "after a kill", through: 18, closes: true },
    Phase { name: "after a close", through: 26, closes: false },
];

/// On a store of version 1.
const UPGRADE: &[Phase] = &[Phase { name: "upgrade", through: 10, closes: true }];
const UPGRADE_FROM_BATCH: u64 = 4;

/// Batches that have an expectation: all of the script, and those with which a test goes on.
const EXPECTED_THROUGH: u64 = 32;

pub struct Story {
    pub shim: Shim,
    pub chapters: Vec<Chapter>,
    pub expected: Vec<Loaded>,
}

/// One phase and what was before it.
pub struct Chapter {
    pub phase: Phase,
    pub before: PathBuf,
    pub disk: Disk,
    pub promised: Promised,
    pub records: Vec<Record>,
    _home: tempfile::TempDir,
}

impl Chapter {
    pub fn operations(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.is_operation())
    }
}

impl Story {
    pub fn record() -> Self {
        let expected = rows::expected(scratch().path(), EXPECTED_THROUGH);
        let mut story = Self { shim: Shim::compile(), chapters: Vec::new(), expected };
        story.tell(FROM_NOTHING, &scratch(), Promised::default());
        let home = scratch();
        let fingerprint = make_version_1(&home);
        story.tell(UPGRADE, &home, Promised { batch: UPGRADE_FROM_BATCH, fingerprint: Some(fingerprint) });
        story.check_that_all_is_in_it();
        story
    }

    fn tell(&mut self, phases: &[Phase], home: &tempfile::TempDir, mut promised: Promised) {
        let mut disk = Disk::of(home.path());
        for phase in phases {
            let (copied, before) = copy(home.path());
            let records = self.shim.run(home.path(), *phase, None);
            let chapter = Chapter {
                phase: *phase,
                before,
                disk: disk.clone(),
                promised: promised.clone(),
                records,
                _home: copied,
            };
            for record in &chapter.records {
                disk.apply(record);
                promised.hear(record);
            }
            disk.process_ended();
            assert_eq!(promised.batch, phase.through, "{}", phase.name);
            let same = disk.now().same_as(&Image::of(home.path()));
            same.unwrap_or_else(|what| panic!("{}: the trace does not tell all: {what}", phase.name));
            self.chapters.push(chapter);
        }
    }

    /// An empty or a thin trace must not pass for a good one.
    fn check_that_all_is_in_it(&self) {
        let batches: u64 = self.chapters.iter().map(|chapter| chapter.phase.through - chapter.promised.batch).sum();
        let count = |is: &dyn Fn(&Record) -> bool| {
            self.chapters.iter().flat_map(Chapter::operations).filter(|record| is(record)).count() as u64
        };
        let to = |suffix: &'static str, kind: char| {
            count(&|record| record.kind() == Some(kind) && record.path.ends_with(suffix))
        };
        // A commit writes the head and the page of one frame at least, and syncs; a checkpoint syncs the tables.
        assert!(to("-wal", 's') >= batches && to("-wal", 'w') >= 2 * batches, "every batch is in the trace");
        assert!(to(DATABASE_FILE, 's') >= batches / 8, "the log was moved into the tables again and again");
        assert!(to("coordinator.keys.new", 'r') == 1 && to("coordinator.keys.new", 's') == 1, "keys were made once");
        assert_eq!(count(&|record| record.what == What::MakeDirectory), 2, "the data directory and that above it");
    }
}

/// A store as the first version of the tables had it, with keys and batches.
fn make_version_1(home: &tempfile::TempDir) -> String {
    let data_dir = home.path().join(DATA_BELOW);
    let fingerprint = start(&data_dir, || {}).expect("starts");
    let mut store = Sqlite::open(data_dir.join(DATABASE_FILE)).expect("opens");
    for seq in 1..=UPGRADE_FROM_BATCH {
        store.commit(seq, &rows::batch(seq)).expect("commits");
    }
    drop(store);
    let sql = "DROP TABLE relay; ALTER TABLE meta DROP COLUMN boot_id; ALTER TABLE meta DROP COLUMN boot_ms; PRAGMA user_version = 1";
    let connection = rusqlite::Connection::open(data_dir.join(DATABASE_FILE)).expect("opens");
    connection.execute_batch(sql).expect("goes back to version 1");
    fingerprint
}
