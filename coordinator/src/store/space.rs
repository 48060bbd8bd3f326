//! Room on the disk: refuse facts before it is full, and keep some ballast to give back when it is.
//!
//! ```text
//!   free    ──────────────────────┬───────────────── low water (64 MiB) ──────────────── 0
//!   check()        Ok             │   Low: decide nothing that has to be kept      ballast given back:
//!                                 │   (ends and reads go on)                       the next start has 16 MiB
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Below this, facts are refused. Asked once a second, it leaves room for what a second can bring at most: 100,000
/// player sessions of 300 bytes, in the log and in the table.
pub const LOW_WATER_BYTES: u64 = 64 * 1024 * 1024;

/// What a full disk gives back: enough for recovery, a checkpoint of the log and the ends of what still runs.
pub const BALLAST_BYTES: u64 = 16 * 1024 * 1024;

/// Whether there is room for facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// There is.
    Ok,
    /// There is not, or nobody can tell: refuse what has to be kept, before it is decided.
    Low,
}

/// Watches the disk of one store.
#[derive(Debug)]
pub struct Guard {
    store: PathBuf,
    low_water_bytes: u64,
    ballast_bytes: u64,
    last: Space,
    free_bytes: u64,
    /// The ballast could not be written, which tells of a limit that the free bytes do not show, such as a quota.
    ballast_refused: bool,
}

impl Guard {
    /// Watches the disk of the store at this path, with [`LOW_WATER_BYTES`] and [`BALLAST_BYTES`].
    #[must_use]
    pub fn new(store: impl Into<PathBuf>) -> Self {
        Self::with_limits(store, LOW_WATER_BYTES, BALLAST_BYTES)
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(store: impl Into<PathBuf>, low_water_bytes: u64, ballast_bytes: u64) -> Self {
        let (store, last) = (store.into(), Space::Ok);
        Self { store, low_water_bytes, ballast_bytes, last, free_bytes: 0, ballast_refused: false }
    }

    /// Looks at the disk. Ask once a second: it takes a microsecond.
    ///
    /// Once low, it is `Ok` again a quarter above the low water, so that it does not change with every batch.
    pub fn check(&mut self) -> Space {
        self.last = self.look().unwrap_or(Space::Low);
        if self.ballast_refused { Space::Low } else { self.last }
    }

    fn look(&mut self) -> io::Result<Space> {
        self.free_bytes = 0;
        let disk = rustix::fs::statvfs(playgate_files::parent(&self.store).unwrap_or(&self.store))?;
        self.free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        let low_water_bytes = match self.last {
            Space::Ok => self.low_water_bytes,
            Space::Low => self.low_water_bytes.saturating_add(self.low_water_bytes / 4),
        };
        Ok(if self.free_bytes < low_water_bytes { Space::Low } else { Space::Ok })
    }

    /// The ballast, when it is not in place and the last check found room for it. To place it takes some 50 ms of disk:
    /// leave that to a thread that may wait, and tell [`Guard::ballast_placed`] how it went.
    #[must_use]
    pub fn missing_ballast(&self) -> Option<Ballast> {
        let room = self.low_water_bytes.saturating_add(self.ballast_bytes);
        let ballast = Ballast { path: ballast(&self.store), bytes: self.ballast_bytes };
        (self.last == Space::Ok && self.free_bytes >= room && !ballast.is_placed()).then_some(ballast)
    }

    /// While the ballast cannot be placed, the disk counts as low.
    pub fn ballast_placed(&mut self, outcome: &io::Result<()>) {
        self.ballast_refused = outcome.is_err();
    }
}

/// Room that is taken in advance.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
    bytes: u64,
}

impl Ballast {
    /// Writes it to the disk, and waits for that.
    ///
    /// # Errors
    /// When the disk has no room for it after all; nothing is left behind.
    pub fn place(&self) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        let written = fill(&file, self.bytes);
        if written.is_err() {
            let _ = fs::remove_file(&self.path);
        }
        written
    }

    fn is_placed(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|file| file.is_file() && file.len() == self.bytes)
    }
}

/// Writes what no file system can compress away or leave out.
fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = Vec::with_capacity(64 * 1024);
    let mut left = bytes;
    while left > 0 {
        block.clear();
        while block.len() < block.capacity().min(usize::try_from(left).unwrap_or(usize::MAX)) {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            block.extend_from_slice(&noise.to_le_bytes());
        }
        let part = &block[..block.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        file.write_all(part)?;
        left -= part.len() as u64;
    }
    file.sync_all()
}

/// Gives the ballast back to the disk. Says whether there was any.
pub(super) fn release_ballast(store: &Path) -> bool {
    fs::remove_file(ballast(store)).is_ok()
}

fn ballast(store: &Path) -> PathBuf {
    beside(store, "ballast")
}

/// `playgate.db` → `playgate.db.<extension>`.
pub(super) fn beside(store: &Path, extension: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}
