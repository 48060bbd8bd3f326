//! A disk that fills up.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use playgate_coordinator::store::space::{Guard, Space};
use playgate_coordinator::store::{Sqlite, Store, StoreError};
use playgate_core::rows::Row;
use playgate_protocol::PlayerSessionId;

use super::Home;
use super::arbitrary::Arbitrary;

const MIB: u64 = 1 << 20;

/// A small disk of its own; needs the right to mount.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, and a line that says so, where mounting is not permitted.
    fn of(size_mib: u64) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let size = format!("size={size_mib}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path()).output();
        if mount.is_ok_and(|output| output.status.success()) {
            return Some(Self(directory));
        }
        eprintln!("SKIPPED: a full disk is not tested, because this user may not mount a tmpfs");
        None
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("playgate.db")
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("playgate.db.ballast")
    }

    /// Takes room from the disk.
    fn fill(&self, name: &str, mib: u64) {
        fs::write(self.0.path().join(name), vec![1; (mib * MIB) as usize]).expect("there is room");
    }

    fn give_back(&self, name: &str) {
        fs::remove_file(self.0.path().join(name)).expect("was filled");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

fn exists(path: &Path) -> bool {
    fs::exists(path).expect("can be looked at")
}

/// What the coordinator does once a second, the thread that writes the ballast included.
fn check(guard: &mut Guard) -> Space {
    let found = guard.check();
    let Some(ballast) = guard.missing_ballast() else { return found };
    guard.ballast_placed(&ballast.place());
    guard.check()
}

/// 100 player sessions of some 900 bytes.
fn players(seq: u64) -> Vec<Row> {
    (0..100)
        .map(|place| {
            let mut row = Arbitrary::new(seq * 100 + place).player_session();
            row.id = PlayerSessionId::from_parts(0, seq, [place as u8; 9]);
            Row::PlayerSession(Box::new(row))
        })
        .collect()
}

#[test]
fn the_guard_tells_in_time_and_keeps_its_ballast() {
    let Some(disk) = SmallDisk::of(32) else { return };
    let mut guard = Guard::with_limits(disk.store(), 8 * MIB, 4 * MIB);
    assert!(!exists(&disk.ballast()));
    assert_eq!(check(&mut guard), Space::Ok);
    assert_eq!(fs::metadata(disk.ballast()).unwrap().len(), 4 * MIB);
    // 28 MiB are free. The low water is at 8, and at 10 once it was reached.
    for (action, expected) in
        [("+a 19", Space::Ok), ("+b 2", Space::Low), ("-b", Space::Low), ("+c 4", Space::Low), ("-a", Space::Ok)]
    {
        match action.split_at(2) {
            ("-b" | "-a", _) => disk.give_back(&action[1..]),
            (name, mib) => disk.fill(&name[1..], mib.trim().parse().unwrap()),
        }
        assert_eq!(check(&mut guard), expected, "{action}");
    }
    fs::remove_file(disk.ballast()).unwrap();
    assert_eq!(check(&mut guard), Space::Ok);
    assert!(exists(&disk.ballast()), "is put back when there is room");
}

#[test]
fn a_full_disk_gives_the_ballast_back_and_the_next_start_has_room() {
    let Some(disk) = SmallDisk::of(32) else { return };
    let mut guard = Guard::with_limits(disk.store(), 2 * MIB, 8 * MIB);
    let mut store = Sqlite::open(disk.store()).unwrap();
    assert_eq!(check(&mut guard), Space::Ok);
    let mut last = 0;
    let error = loop {
        match store.commit(last + 1, &players(last + 1)) {
            Ok(()) => last += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, StoreError::Full { path: disk.store() });
    assert!(!exists(&disk.ballast()));
    assert!(last > 20, "it took {last} batches to fill the disk");
    drop(store);

    let mut store = Sqlite::open(disk.store()).unwrap();
    let loaded = store.load().unwrap();
    // The batch that failed is there wholly or not at all: the disk may have been full behind it, for the tables.
    let stored = loaded.seq;
    assert!(stored == last || stored == last + 1, "{last} batches were acknowledged, {stored} are stored");
    assert_eq!(loaded.rows.len() as u64, stored * 100);
    store.commit(stored + 1, &[Row::HighWater(1)]).expect("the ends of what runs still find room");
}

#[test]
fn a_start_on_a_full_disk_takes_the_ballast() {
    let Some(disk) = SmallDisk::of(16) else { return };
    let mut guard = Guard::with_limits(disk.store(), MIB, 4 * MIB);
    assert_eq!(check(&mut guard), Space::Ok);
    let mut filler = fs::File::create(disk.0.path().join("a")).unwrap();
    while std::io::Write::write_all(&mut filler, &[1; 4_096]).is_ok() {}
    let mut store = Sqlite::open(disk.store()).unwrap();
    assert!(!exists(&disk.ballast()));
    store.commit(1, &[Row::HighWater(1)]).unwrap();
}

#[test]
fn a_disk_that_cannot_be_asked_counts_as_low() {
    assert_eq!(Guard::new("/nowhere/at/all/playgate.db").check(), Space::Low);
}

/// A quota, say: the free bytes show nothing of it.
#[test]
fn a_ballast_that_cannot_be_placed_counts_as_low() {
    let home = Home::new();
    let ballast = home.0.path().join("playgate.db.ballast");
    let mut guard = Guard::with_limits(home.path(), 0, 4_096);
    fs::create_dir(&ballast).unwrap();
    assert_eq!(check(&mut guard), Space::Low);
    fs::remove_dir(&ballast).unwrap();
    assert_eq!(check(&mut guard), Space::Ok);
    assert_eq!(fs::metadata(&ballast).unwrap().len(), 4_096);
    assert!(guard.missing_ballast().is_none());
}
