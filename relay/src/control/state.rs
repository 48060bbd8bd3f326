//! The state directory: what a relay must know after its own restart, also while there is no coordinator.
//!
//! ```text
//!   lock            held while a relay runs; says which
//!   relay.key       private key of this relay's identity, PKCS#8
//!   bound.json      which relay this is, at which coordinator, and where that is
//!   reset.key       players recognise by it that their relay was restarted
//!   secrets.json    what passes are opened with
//!   clock           by how much the coordinator's time is ahead of the wall clock here, in ms
//!   revoked         player sessions that are over, one a line
//!   control.sock    tells `relay top` what the relay does
//! ```

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use playgate_files::{FILE_MODE, make_dir, write_durable, write_whole};
use playgate_link::Identity;
use playgate_protocol::relay::{NumberedSecret, RelaySecret};
use playgate_protocol::{Fingerprint, RelayId};
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant, sleep};
use zeroize::Zeroizing;

use crate::Secrets;
use crate::control::error::ServiceError;
use crate::control::limits::{LOCK_WAIT, STATE_FILE_BYTES_MAX};
use crate::relay::random;

const BOUND_FILE: &str = "bound.json";
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// Where a relay with this state directory tells what it does.
pub(crate) fn socket_path(root: &Path) -> PathBuf {
    root.join("control.sock")
}

/// The paths in one state directory.
#[derive(Debug, Clone)]
pub(crate) struct StateDir {
    root: PathBuf,
}

/// Which relay this is, since the coordinator welcomed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub(crate) relay: RelayId,
    /// The coordinator's key.
    pub(crate) coordinator: Fingerprint,
    /// Host and port where it was reached.
    pub(crate) address: String,
}

impl Bound {
    /// Reads what a relay with this state directory left, without making anything.
    pub(crate) fn read(root: &Path) -> Result<Option<Self>, ServiceError> {
        let path = root.join(BOUND_FILE);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let remedy = "remove it, and start once with a join key (make one: playgate key new relay)";
        serde_json::from_slice(&bytes).map(Some).map_err(|_| ServiceError::Damaged { path, remedy })
    }
}

/// What passes are opened with, as the coordinator said it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedSecrets {
    pub(crate) current: NumberedSecret,
    pub(crate) before: Option<NumberedSecret>,
}

impl SavedSecrets {
    pub(crate) fn for_passes(&self) -> Secrets {
        let secret = |numbered: &NumberedSecret| RelaySecret::new(numbered.number, *numbered.secret.reveal());
        Secrets { current: secret(&self.current), before: self.before.as_ref().map(secret) }
    }
}

impl StateDir {
    /// Makes what is missing.
    pub(crate) fn open(root: &Path) -> Result<Self, ServiceError> {
        let root = std::path::absolute(root).map_err(ServiceError::state(root))?;
        make_dir(&root).map_err(ServiceError::state(&root))?;
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn revoked(&self) -> PathBuf {
        self.root.join("revoked")
    }

    /// The key of this relay; made on the first start.
    pub(crate) fn identity(&self) -> Result<Identity, ServiceError> {
        let path = self.root.join("relay.key");
        if let Some(bytes) = read(&path)? {
            let remedy = "restore it, or use an empty state directory and a new join key";
            return Identity::from_pkcs8(&bytes).map_err(|_| ServiceError::Damaged { path, remedy });
        }
        let identity = Identity::generate();
        write_durable(&path, identity.to_pkcs8().as_bytes()).map_err(ServiceError::state(&path))?;
        Ok(identity)
    }

    /// Made on the first start.
    pub(crate) fn reset_key(&self) -> Result<[u8; 32], ServiceError> {
        let path = self.root.join("reset.key");
        if let Some(bytes) = read(&path)? {
            let remedy = "remove it; players notice this restart some seconds later than they would otherwise";
            return bytes.as_slice().try_into().map_err(|_| ServiceError::Damaged { path, remedy });
        }
        let key = random();
        write_durable(&path, &key).map_err(ServiceError::state(&path))?;
        Ok(key)
    }

    /// Whether the coordinator knows this relay's key already.
    pub(crate) fn bound(&self, coordinator: Fingerprint) -> Result<Option<Bound>, ServiceError> {
        match Bound::read(&self.root)? {
            Some(bound) if bound.coordinator != coordinator => {
                Err(ServiceError::OtherCoordinator { path: self.root.clone(), bound_to: bound.coordinator })
            }
            bound => Ok(bound),
        }
    }

    pub(crate) fn save_bound(&self, bound: &Bound) -> io::Result<()> {
        write_durable(&self.root.join(BOUND_FILE), &serde_json::to_vec(bound)?)
    }

    pub(crate) fn secrets(&self) -> Result<Option<SavedSecrets>, ServiceError> {
        let path = self.secrets_path();
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let remedy = "remove it; the coordinator sends the secrets again, and until then nobody gets in";
        // The parser's own words could repeat some of the content.
        serde_json::from_slice(&bytes).map(Some).map_err(|_| ServiceError::Damaged { path, remedy })
    }

    pub(crate) fn save_secrets(&self, secrets: &SavedSecrets) -> io::Result<()> {
        // Room for all of it at once: a buffer that grows leaves copies behind that nobody wipes.
        let mut content = Zeroizing::new(Vec::with_capacity(1_024));
        serde_json::to_writer(&mut *content, secrets)?;
        write_durable(&self.secrets_path(), &content)
    }

    /// By how much the coordinator's time was ahead of the wall clock of this host, in ms.
    pub(crate) fn clock_ahead_ms(&self) -> Result<i64, ServiceError> {
        let path = self.clock_path();
        let Some(bytes) = read(&path)? else { return Ok(0) };
        let ahead_ms = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
        if ahead_ms.is_none() {
            // It is not synced, so a loss of power may leave a file without its content.
            tracing::warn!(path = %path.display(), "no number; the wall clock counts until the coordinator is reached");
        }
        Ok(ahead_ms.unwrap_or(0))
    }

    pub(crate) fn save_clock_ahead(&self, ahead_ms: i64) -> io::Result<()> {
        write_whole(&self.clock_path(), format!("{ahead_ms}\n").as_bytes())
    }

    fn clock_path(&self) -> PathBuf {
        self.root.join("clock")
    }

    pub(crate) fn secrets_path(&self) -> PathBuf {
        self.root.join("secrets.json")
    }
}

fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, ServiceError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ServiceError::state(path)(error)),
    };
    let mut content = Zeroizing::new(Vec::with_capacity(4_096));
    file.take(STATE_FILE_BYTES_MAX).read_to_end(&mut content).map_err(ServiceError::state(path))?;
    Ok(Some(content))
}

/// One relay per state directory: held until dropped, or until the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) async fn take(root: &Path) -> Result<Self, ServiceError> {
        let path = root.join("lock");
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(FILE_MODE).open(&path);
        let mut file = open.map_err(ServiceError::state(&path))?;
        let give_up_at = Instant::now() + LOCK_WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(ServiceError::state(&path)(error)),
                Err(TryLockError::WouldBlock) if Instant::now() >= give_up_at => {
                    return Err(ServiceError::StateInUse { path: root.to_owned(), holder: holder(&mut file) });
                }
                Err(TryLockError::WouldBlock) => sleep(TRY_AGAIN).await,
            }
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
