//! A directory for bodies that need files: in memory where the system has such a place, and the same for every input.
//!
//! A fuzzer ends without leaving anything tidy, so `fuzz/run` names a folder of its own and removes it.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Gone with the value.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        let named = std::env::var_os("PLAYGATE_FUZZ_SCRATCH").map(PathBuf::from);
        let place = named.unwrap_or_else(|| PathBuf::from("/dev/shm"));
        let made = if place.is_dir() { TempDir::new_in(place) } else { TempDir::new() };
        Self(made.expect("a temporary directory"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
