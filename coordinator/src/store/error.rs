//! Why a store cannot be opened, read or written, for the operator who has to act.

use std::fmt;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::schema::VERSION;

/// Why a store cannot be used. Each says which file it is and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// Another coordinator has it open.
    InUse {
        /// The store.
        path: PathBuf,
        /// Who, as far as the lock file tells.
        process: String,
    },
    /// A newer version wrote it.
    Newer {
        /// The store.
        path: PathBuf,
        /// Version of its tables.
        found: i64,
    },
    /// It is another program's file.
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// Something in it cannot be read.
    Damaged {
        /// The store.
        path: PathBuf,
        /// What and where.
        detail: String,
    },
    /// The disk is full.
    Full {
        /// The store.
        path: PathBuf,
    },
    /// Another program holds the write lock.
    Busy {
        /// The store.
        path: PathBuf,
    },
    /// The batch is not the next one: a fault of the caller, or somebody else wrote.
    OutOfOrder {
        /// The last batch stored.
        stored: u64,
        /// The batch handed in.
        submitted: u64,
    },
    /// The operating system refused.
    Failed {
        /// The store.
        path: PathBuf,
        /// What was refused, and why.
        detail: String,
    },
}

impl StoreError {
    pub(super) fn from_sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        let detail = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            // `Unknown` is SQL that does not fit the tables, and no code at all a row that is not there.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) | None => {
                Self::Damaged { path, detail }
            }
            _ => Self::Failed { path, detail },
        }
    }

    pub(super) fn from_io(path: &Path, doing: &str, error: &std::io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            std::io::ErrorKind::StorageFull => Self::Full { path },
            _ => Self::Failed { path, detail: format!("{doing}: {error}") },
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { path, process } => write!(
                f,
                "the store {} is in use by another coordinator ({process}): stop that one, or give this one a data \
                 directory of its own",
                path.display()
            ),
            Self::Newer { path, found } => write!(
                f,
                "the store {} has version {found} and this program knows versions up to {VERSION}: start the newer \
                 program again, or restore the backup from before the upgrade",
                path.display()
            ),
            Self::NotOurs { path } => write!(
                f,
                "{} is not a store of Playgate and was left as it is: name another data directory, or move the file \
                 away",
                path.display()
            ),
            Self::Damaged { path, detail } => write!(
                f,
                "the store {} is damaged ({detail}): keep a copy of it, then restore the last backup",
                path.display()
            ),
            Self::Full { path } => {
                write!(f, "the disk of the store {} is full: make room, then start again", path.display())
            }
            Self::Busy { path } => write!(
                f,
                "another program keeps the store {} locked: close what has it open for writing (open it with \
                 sqlite3 -readonly instead), then start again",
                path.display()
            ),
            Self::OutOfOrder { stored, submitted } => write!(
                f,
                "batch {submitted} does not follow batch {stored}, the last in the store: another program wrote to \
                 it, or this is a fault of Playgate; start again, and report it"
            ),
            Self::Failed { path, detail } => write!(
                f,
                "the store {} failed ({detail}): check the disk and the rights on its directory, then start again",
                path.display()
            ),
        }
    }
}

impl std::error::Error for StoreError {}
