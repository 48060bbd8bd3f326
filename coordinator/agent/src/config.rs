//! How one agent is set up.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use playgate_protocol::{Fingerprint, JoinKey, JoinRole, Secret32};

use crate::error::AgentError;
use crate::limits::CAPACITY_DEFAULT;
use crate::state::Bound;

/// How one agent is set up.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Host and port of the coordinator; the name is looked up for each attempt.
    pub coordinator: String,
    /// The coordinator's key, pinned.
    pub fingerprint: Fingerprint,
    /// From a join key. Not needed again once the coordinator has welcomed this agent.
    pub join_secret: Option<Secret32>,
    /// Display name of the host, and what `{host}` stands for in templates.
    pub name: String,
    /// Address at which players reach servers on this host; where absent, the one its link comes from.
    pub advertise: Option<IpAddr>,
    /// Server processes the host can carry, at most 2,048.
    pub capacity: u32,
    /// Where the agent keeps its key, its records and the logs of servers. One agent only.
    pub state_dir: PathBuf,
    /// What becomes of the servers when the agent ends.
    pub on_shutdown: OnShutdown,
}

impl AgentConfig {
    /// What a join key says, and defaults for the rest: the system's host name, 64 processes, servers live on.
    ///
    /// # Errors
    /// [`AgentError::WrongJoinKey`] when the key is for another role.
    pub fn from_join_key(key: JoinKey, state_dir: PathBuf) -> Result<Self, AgentError> {
        if key.role != JoinRole::Agent {
            return Err(AgentError::WrongJoinKey(key.role));
        }
        let join_secret = Some(key.secret);
        Ok(Self { join_secret, ..Self::joined(key.coordinator, key.fingerprint, state_dir) })
    }

    /// Goes on as the agent that has joined with this state directory, without a join key; defaults as with one.
    ///
    /// # Errors
    /// [`AgentError::NotJoined`] when none has.
    pub fn from_state(state_dir: PathBuf) -> Result<Self, AgentError> {
        let bound = Bound::read(&state_dir).ok_or(AgentError::NotJoined)?;
        Ok(Self::joined(bound.address, bound.coordinator, state_dir))
    }

    fn joined(coordinator: String, fingerprint: Fingerprint, state_dir: PathBuf) -> Self {
        Self {
            coordinator,
            fingerprint,
            join_secret: None,
            name: host_name(),
            advertise: None,
            capacity: CAPACITY_DEFAULT,
            state_dir,
            on_shutdown: OnShutdown::LeaveRunning,
        }
    }
}

/// What becomes of the servers when the agent ends by itself. When it is killed they live on in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnShutdown {
    /// They live on, and the next agent with this state directory watches them again.
    #[default]
    LeaveRunning,
    /// They are stopped and waited for.
    StopAll {
        /// From SIGTERM to SIGKILL, at most a day.
        grace: Duration,
    },
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unnamed host".to_owned(),
        name => name.to_owned(),
    }
}
