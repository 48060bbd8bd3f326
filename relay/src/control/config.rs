//! How a relay is set up that belongs to a coordinator.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use playgate_protocol::{Fingerprint, JoinKey, JoinRole, Secret32};

use crate::config::RelayConfig;
use crate::control::error::ServiceError;
use crate::control::state::Bound;

/// Where players send to unless told otherwise.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 4_000);

/// How a relay is set up that belongs to a coordinator.
#[derive(Debug, Clone)]
pub struct RelayServiceConfig {
    /// Host and port of the coordinator; the name is looked up for each attempt.
    pub coordinator: String,
    /// The coordinator's key, pinned.
    pub fingerprint: Fingerprint,
    /// From a join key. Not needed again once the coordinator has welcomed this relay.
    pub join_secret: Option<Secret32>,
    /// Display name.
    pub name: String,
    /// Where players reach it, at most one address of each family. The unspecified address stands for the one that its
    /// link comes from; where the list is empty, that is told with the port that it listens on.
    pub advertise: Vec<SocketAddr>,
    /// Where the relay keeps its key, its secrets and what is revoked. One relay only.
    pub state_dir: PathBuf,
    /// What it does with datagrams. The reset key is that of the state directory.
    pub relay: RelayConfig,
}

impl RelayServiceConfig {
    /// What a join key says, and defaults for the rest: the system's host name, `[::]:4000`. Where servers are is still
    /// to be said.
    ///
    /// # Errors
    /// [`ServiceError::WrongJoinKey`] when the key is for another role.
    pub fn from_join_key(key: JoinKey, state_dir: PathBuf) -> Result<Self, ServiceError> {
        if key.role != JoinRole::Relay {
            return Err(ServiceError::WrongJoinKey(key.role));
        }
        let join_secret = Some(key.secret);
        Ok(Self { join_secret, ..Self::joined(key.coordinator, key.fingerprint, state_dir) })
    }

    /// Goes on as the relay that has joined with this state directory, without a join key; defaults as with one.
    ///
    /// # Errors
    /// [`ServiceError::NotJoined`] when none has, [`ServiceError::Damaged`].
    pub fn from_state(state_dir: PathBuf) -> Result<Self, ServiceError> {
        let bound = Bound::read(&state_dir)?.ok_or(ServiceError::NotJoined)?;
        Ok(Self::joined(bound.address, bound.coordinator, state_dir))
    }

    fn joined(coordinator: String, fingerprint: Fingerprint, state_dir: PathBuf) -> Self {
        Self {
            coordinator,
            fingerprint,
            join_secret: None,
            name: host_name(),
            advertise: Vec::new(),
            state_dir,
            relay: RelayConfig::new(LISTEN),
        }
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unnamed relay".to_owned(),
        name => name.to_owned(),
    }
}
