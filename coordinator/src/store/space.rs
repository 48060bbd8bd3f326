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
        Self { store: store.into(), low_water_bytes, ballast_bytes, last: Space::Ok }
    }

    /// Looks at the disk, and puts the ballast (back) in place when there is room for it. Ask once a second: it takes a
    /// microsecond, and some 50 ms when the ballast is written.
    ///
    /// Once low, it is `Ok` again a quarter above the low water, so that it does not change with every batch.
    pub fn check(&mut self) -> Space {
        self.last = self.look().unwrap_or(Space::Low);
        self.last
    }

    fn look(&self) -> io::Result<Space> {
        let disk = rustix::fs::statvfs(directory(&self.store))?;
        let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
        let low_water_bytes = match self.last {
            Space::Ok => self.low_water_bytes,
            Space::Low => self.low_water_bytes.saturating_add(self.low_water_bytes / 4),
        };
        if free_bytes < low_water_bytes {
            return Ok(Space::Low);
        }
        // A ballast that cannot be written tells of a limit that the free bytes do not show, such as a quota.
        if free_bytes - low_water_bytes >= self.ballast_bytes {
            self.place_ballast()?;
        }
        Ok(Space::Ok)
    }

    fn place_ballast(&self) -> io::Result<()> {
        let path = ballast(&self.store);
        if fs::metadata(&path).is_ok_and(|file| file.len() == self.ballast_bytes) {
            return Ok(());
        }
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        let written = fill(&file, self.ballast_bytes);
        if written.is_err() {
            let _ = fs::remove_file(&path);
        }
        written
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

/// The directory of a file.
pub(super) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
