//! One agent per state directory.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use playgate_files::FILE_MODE;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tokio::time::{Duration, Instant, sleep};

use crate::error::AgentError;
use crate::limits::LOCK_WAIT;

const TRY_AGAIN: Duration = Duration::from_millis(10);

/// Held until dropped, or until the process dies.
///
/// A server that is just being started holds it too, until its exec closes the file. So whoever gets the lock after an
/// agent was killed finds every process that agent started with its own environment.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) async fn take(root: &Path) -> Result<Self, AgentError> {
        let path = root.join("lock");
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(&path);
        let mut file = open.map_err(AgentError::state(&path))?;
        let give_up_at = Instant::now() + LOCK_WAIT;
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != Errno::WOULDBLOCK {
                return Err(AgentError::state(&path)(error.into()));
            }
            if Instant::now() >= give_up_at {
                return Err(AgentError::StateInUse { path: root.to_owned(), holder: holder(&mut file) });
            }
            sleep(TRY_AGAIN).await;
        }
        // For whoever finds it locked; nothing depends on it.
        let _ = file.set_len(0).and_then(|()| write!(file, "process {}", std::process::id()));
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.rewind().and_then(|()| file.take(64).read_to_string(&mut text));
    if text.is_empty() { "process unknown".to_owned() } else { text }
}
