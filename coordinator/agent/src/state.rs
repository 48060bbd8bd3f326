//! The state directory: what must be known after this agent is gone.
//!
//! ```text
//!   lock                     held while an agent runs; says which
//!   agent.key                private key of this agent's identity, PKCS#8
//!   bound.json               which host this agent is, at which coordinator, and where that is
//!   processes/<id>.json      one per process that may run
//!   credentials/<id>         what a process proves itself with, a `LaunchCredential`
//!   logs/<id>.log            its output
//!   reports/<number>.json    reports that are not acknowledged
//!   reports/acknowledged     last number that is
//! ```
//! Files are written aside and renamed, so a reader finds all of one or nothing. Who the agent is (`agent.key`,
//! `bound.json`) is synced, with the names above it: without it the host would have to be joined again by hand. Nothing
//! else is: it has to survive the death of the agent, after a loss of power no process is left to be found, and reports
//! get numbers behind those that the coordinator has applied.

mod lock;
mod records;
mod reports;

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use playgate_files::{DIR_MODE, FILE_MODE, write_durable, write_whole};
use playgate_link::Identity;
use playgate_protocol::{Fingerprint, HostId, ServerProcessId};
use serde::{Deserialize, Serialize};

use crate::error::AgentError;

pub(crate) use lock::Lock;
pub(crate) use records::{Phase, Record, ids_in};
pub(crate) use reports::ReportFiles;

const BOUND_FILE: &str = "bound.json";

/// The paths in one state directory.
#[derive(Debug, Clone)]
pub(crate) struct StateDir {
    root: PathBuf,
}

/// Which host this agent is, since the coordinator welcomed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub(crate) host: HostId,
    /// The coordinator's key.
    pub(crate) coordinator: Fingerprint,
    /// Host and port where it was reached.
    pub(crate) address: String,
}

impl Bound {
    /// Reads what an agent with this state directory left, without making anything.
    pub(crate) fn read(root: &Path) -> Option<Self> {
        // What cannot be read does no harm: joining again with the same key gives the same host.
        serde_json::from_slice(&fs::read(root.join(BOUND_FILE)).ok()?).ok()
    }
}

impl StateDir {
    /// Makes what is missing.
    pub(crate) fn open(root: &Path) -> Result<Self, AgentError> {
        let root = std::path::absolute(root).map_err(AgentError::state(root))?;
        playgate_files::make_dir(&root).map_err(AgentError::state(&root))?;
        for dir in ["", "processes", "credentials", "logs", "reports"] {
            let dir = root.join(dir);
            let made = DirBuilder::new().recursive(true).mode(DIR_MODE).create(&dir);
            let closed = made.and_then(|()| fs::set_permissions(&dir, fs::Permissions::from_mode(DIR_MODE)));
            closed.map_err(AgentError::state(&dir))?;
        }
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The key of this agent; made on the first start.
    pub(crate) fn identity(&self) -> Result<Identity, AgentError> {
        let path = self.root.join("agent.key");
        match fs::read(&path) {
            Ok(bytes) => Identity::from_pkcs8(&bytes).map_err(|_| AgentError::KeyDamaged { path }),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let identity = Identity::generate();
                write_durable(&path, identity.to_pkcs8().as_bytes()).map_err(AgentError::state(&path))?;
                Ok(identity)
            }
            Err(error) => Err(AgentError::state(&path)(error)),
        }
    }

    /// Whether the coordinator knows this agent's key already.
    pub(crate) fn bound(&self, coordinator: Fingerprint) -> Result<Option<Bound>, AgentError> {
        match Bound::read(&self.root) {
            Some(bound) if bound.coordinator != coordinator => {
                Err(AgentError::OtherCoordinator { path: self.root.clone(), bound_to: bound.coordinator })
            }
            bound => Ok(bound),
        }
    }

    pub(crate) fn save_bound(&self, bound: &Bound) -> io::Result<()> {
        write_durable(&self.root.join(BOUND_FILE), &serde_json::to_vec(bound)?)
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    pub(crate) fn log(&self, process: ServerProcessId) -> PathBuf {
        self.logs().join(format!("{process}.log"))
    }

    pub(crate) fn credential(&self, process: ServerProcessId) -> PathBuf {
        self.root.join("credentials").join(process.to_string())
    }

    /// Opens the log of a process for appending.
    pub(crate) fn open_log(&self, process: ServerProcessId) -> io::Result<fs::File> {
        OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(self.log(process))
    }

    pub(crate) fn save_credential(&self, process: ServerProcessId, text: &str) -> io::Result<()> {
        write_whole(&self.credential(process), text.as_bytes())
    }
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    write_whole(path, &serde_json::to_vec(value)?)
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove a file that is not needed any more");
    }
}
