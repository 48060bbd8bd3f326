//! One coordinator for one store: a lock file beside it, held by the kernel for as long as the process lives.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::StoreError;
use super::space::beside;

/// Holds the lock. The file stays behind when the lock is gone: to delete it would let two processes hold one each.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    /// A process that is being started has a copy of the open file until it runs its own program; to close ours would
    /// leave the lock to the copy for that while.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Lock {
    pub(super) fn take(store: &Path) -> Result<Self, StoreError> {
        let path = beside(store, "lock");
        let failed = |e: std::io::Error| StoreError::from_io(store, &format!("lock file {}", path.display()), &e);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { path: store.to_owned(), process: holder(file) });
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        // Only for the message above; a full disk must not keep the coordinator from starting.
        let _ = file.set_len(0).and_then(|()| write!(file, "process {}", std::process::id()));
        Ok(Self(file))
    }
}

fn holder(mut file: File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(64).read_to_string(&mut text));
    if read.is_ok_and(|bytes| bytes > 0) { text } else { "process unknown".to_owned() }
}
