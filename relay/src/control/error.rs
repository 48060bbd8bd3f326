//! Why a relay cannot go on.

use std::path::PathBuf;
use std::{fmt, io};

use playgate_link::BindError;
use playgate_protocol::{Fingerprint, JoinRole, Refusal};

use crate::relay::StartError;

/// Why a relay cannot go on. Each text names the thing and the remedy.
#[derive(Debug)]
pub enum ServiceError {
    /// The join key makes something else of its bearer.
    WrongJoinKey(JoinRole),
    /// Something in the state directory cannot be read or written.
    State {
        /// What.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another relay uses the state directory.
    StateInUse {
        /// The directory.
        path: PathBuf,
        /// What its lock says of that relay.
        holder: String,
    },
    /// A file in the state directory holds something else than a relay writes there.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
    },
    /// The state directory belongs to a relay of another coordinator.
    OtherCoordinator {
        /// The directory.
        path: PathBuf,
        /// The coordinator it belongs to.
        bound_to: Fingerprint,
    },
    /// The relay has no identity at the coordinator, and no join key to get one.
    NotJoined,
    /// It was not said where servers are.
    NoDestinations,
    /// The port for players, or a thread.
    Start(StartError),
    /// No socket towards the coordinator can be opened.
    Socket(BindError),
    /// The coordinator will not have this relay; trying again is of no use.
    Refused(Refusal),
}

impl ServiceError {
    pub(crate) fn state(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::State { path, source }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongJoinKey(role) => {
                write!(f, "the join key is for the role {role}; make one with: playgate key new relay")
            }
            Self::State { path, source } => write!(f, "{}: {source}; the relay needs to write there", path.display()),
            Self::StateInUse { path, holder } => write!(
                f,
                "another relay ({holder}) uses {}; stop it, or give this one a state directory of its own",
                path.display()
            ),
            Self::Damaged { path, remedy } => write!(f, "{} is damaged; {remedy}", path.display()),
            Self::OtherCoordinator { path, bound_to } => write!(
                f,
                "{} belongs to a relay of the coordinator with the key {bound_to}; use another state directory",
                path.display()
            ),
            Self::NotJoined => f.write_str(
                "this relay has not joined yet: its first start needs a join key, in a file named by --join-key or in \
                 PLAYGATE_JOIN_KEY (make one: playgate key new relay)",
            ),
            Self::NoDestinations => f.write_str(
                "it was not said where servers are, so nothing could pass; name their networks with --to, such as \
                 --to 10.0.0.0/8",
            ),
            Self::Start(error) => write!(f, "{error}"),
            Self::Socket(error) => write!(f, "{error}"),
            Self::Refused(refusal) => write!(f, "the coordinator refuses this relay: {}", refusal.detail),
        }
    }
}

impl std::error::Error for ServiceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::State { source, .. } => Some(source),
            Self::Start(error) => Some(error),
            Self::Socket(error) => Some(error),
            _ => None,
        }
    }
}
