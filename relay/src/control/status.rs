//! What a relay does, for `relay top`: a socket in the state directory answers each connection with one JSON document.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use playgate_files::FILE_MODE;
use playgate_protocol::RelayId;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::time::timeout;

use crate::control::limits::STATUS_WAIT;
use crate::relay::CoreView;
use crate::{DropReason, Relay};

/// All that a relay tells of itself: numbers since its start, as of half a second ago.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its id, once it has one.
    pub relay: Option<RelayId>,
    /// Display name.
    pub name: String,
    /// Host and port of its coordinator.
    pub coordinator: String,
    /// Whether the link to it is up.
    pub linked: bool,
    /// Why it is not.
    pub problem: Option<String>,
    /// Number of the newest secret that it opens passes with; 0 before it has one.
    pub secret: u32,
    /// It takes no new players.
    pub draining: bool,
    /// Player sessions that may not pass.
    pub revoked: usize,
    /// Where players send to.
    pub listening: std::net::SocketAddr,
    /// Since its start.
    pub uptime_ms: u64,
    /// Flows that it can carry.
    pub flows_max: u32,
    /// Each core.
    pub cores: Vec<CoreStatus>,
}

/// What one core did. Bytes are of payloads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreStatus {
    /// Flows that are open.
    pub flows: usize,
    /// Datagrams that were to be sent and that the kernel did not take.
    pub lost: u64,
    /// Datagrams forwarded to servers.
    pub up_datagrams: u64,
    /// Their payload.
    pub up_bytes: u64,
    /// Datagrams forwarded to players.
    pub down_datagrams: u64,
    /// Their payload.
    pub down_bytes: u64,
    /// HELLOs that were answered.
    pub cookies: u64,
    /// Flows opened, reopened ones included.
    pub opened: u64,
    /// Flows that were opened anew by their player.
    pub reopened: u64,
    /// OPENs that were refused with a reason.
    pub refused: u64,
    /// Flows whose player moved to another address.
    pub moved: u64,
    /// PINGs answered.
    pub pings: u64,
    /// RESETs sent.
    pub resets: u64,
    /// Datagrams dropped, by reason; every reason is there.
    pub drops: BTreeMap<String, u64>,
}

impl From<&CoreView> for CoreStatus {
    fn from(view: &CoreView) -> Self {
        let counters = &view.counters;
        let drops = DropReason::ALL.map(|reason| (reason.as_str().to_owned(), counters.drops(reason)));
        Self {
            flows: view.flows,
            lost: view.lost,
            up_datagrams: counters.up_datagrams,
            up_bytes: counters.up_bytes,
            down_datagrams: counters.down_datagrams,
            down_bytes: counters.down_bytes,
            cookies: counters.cookies,
            opened: counters.opened,
            reopened: counters.reopened,
            refused: counters.refused,
            moved: counters.moved,
            pings: counters.pings,
            resets: counters.resets,
            drops: drops.into(),
        }
    }
}

/// How the link is.
#[derive(Debug)]
pub(crate) enum LinkState {
    Up { relay: RelayId },
    Away { problem: String },
}

/// What the status says besides the counters; its cores are filled in for each answer.
#[derive(Debug)]
pub(crate) struct Shown {
    status: Mutex<Status>,
    started: Instant,
}

impl Shown {
    pub(crate) fn new(status: Status) -> Self {
        Self { status: Mutex::new(status), started: Instant::now() }
    }

    pub(crate) fn set_link(&self, state: LinkState) {
        let mut status = self.status();
        (status.linked, status.problem) = match state {
            LinkState::Up { relay } => {
                status.relay = Some(relay);
                (true, None)
            }
            LinkState::Away { problem } => (false, Some(problem)),
        };
    }

    pub(crate) fn set_secret(&self, number: u32) {
        self.status().secret = number;
    }

    pub(crate) fn set_revoked(&self, count: usize) {
        self.status().revoked = count;
    }

    pub(crate) fn set_draining(&self) {
        self.status().draining = true;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.status().draining
    }

    pub(crate) fn flows_max(&self) -> u32 {
        self.status().flows_max
    }

    /// Answers whoever connects. Never returns.
    pub(crate) async fn answer(&self, listener: UnixListener, relay: &Relay) {
        loop {
            match listener.accept().await {
                Ok((mut stream, _)) => {
                    let document = self.document(relay);
                    // Who does not take it in time goes without.
                    let _ = timeout(STATUS_WAIT, stream.write_all(&document)).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "nobody could be told the status");
                    tokio::time::sleep(STATUS_WAIT).await; // no descriptors, as it seems
                }
            }
        }
    }

    fn document(&self, relay: &Relay) -> Vec<u8> {
        let mut status = self.status().clone();
        status.uptime_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        status.cores = relay.views().iter().map(CoreStatus::from).collect();
        serde_json::to_vec(&status).expect("a status has no type that JSON cannot write")
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().expect("nobody panics while holding it")
    }
}

/// Takes the place of a socket that a killed relay left; nobody else uses it, because the directory is locked.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Until it has its mode it is as private as the directory.
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(FILE_MODE))?;
    Ok(listener)
}
