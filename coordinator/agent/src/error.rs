//! Why an agent cannot go on.

use std::path::PathBuf;
use std::{fmt, io};

use playgate_link::BindError;
use playgate_protocol::{Fingerprint, JoinRole, Refusal};

/// Why an agent cannot go on. Each text names the thing and the remedy.
#[derive(Debug)]
pub enum AgentError {
    /// The join key makes something else of its bearer.
    WrongJoinKey(JoinRole),
    /// Something in the state directory cannot be read or written.
    State {
        /// What.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another agent uses the state directory.
    StateInUse {
        /// The directory.
        path: PathBuf,
        /// What its lock says of that agent.
        holder: String,
    },
    /// The key file holds no key.
    KeyDamaged {
        /// The file.
        path: PathBuf,
    },
    /// The state directory belongs to an agent of another coordinator.
    OtherCoordinator {
        /// The directory.
        path: PathBuf,
        /// The coordinator it belongs to.
        bound_to: Fingerprint,
    },
    /// The agent has no identity at the coordinator, and no join key to get one.
    NotJoined,
    /// No socket can be opened.
    Socket(BindError),
    /// The coordinator will not have this agent; trying again is of no use.
    Refused(Refusal),
    /// Processes were to be stopped and are still there.
    StillRunning {
        /// How many.
        count: usize,
    },
}

impl AgentError {
    pub(crate) fn state(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::State { path, source }
    }
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongJoinKey(role) => {
                write!(f, "the join key is for the role {role}; make one with: playgate key new agent")
            }
            Self::State { path, source } => write!(f, "{}: {source}; the agent needs to write there", path.display()),
            Self::StateInUse { path, holder } => write!(
                f,
                "another agent ({holder}) uses {}; stop it, or give this one a state directory of its own",
                path.display()
            ),
            Self::KeyDamaged { path } => write!(
                f,
                "{} holds no private key; restore it, or use an empty state directory and a new join key",
                path.display()
            ),
            Self::OtherCoordinator { path, bound_to } => write!(
                f,
                "{} belongs to an agent of the coordinator with the key {bound_to}; use another state directory",
                path.display()
            ),
            Self::NotJoined => f.write_str(
                "this agent has not joined yet: its first start needs a join key, in a file named by --join-key or in \
                 PLAYGATE_JOIN_KEY (make one: playgate key new agent)",
            ),
            Self::Socket(error) => write!(f, "{error}"),
            Self::Refused(refusal) => write!(f, "the coordinator refuses this agent: {}", refusal.detail),
            Self::StillRunning { count } => write!(f, "{count} server processes could not be ended in time"),
        }
    }
}

impl std::error::Error for AgentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::State { source, .. } => Some(source),
            Self::Socket(error) => Some(error),
            _ => None,
        }
    }
}
