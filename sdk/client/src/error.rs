//! What can go wrong between a backend and its coordinator, by what the caller can do about it.

use std::fmt;
use std::path::PathBuf;

use playgate_protocol::api::{CallError, ErrorCode};
use playgate_protocol::{OutOfBounds, Refusal};

/// Why a call brought no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallFailed {
    /// The coordinator said no: [`CallError::code`] is what to act on, its text is for people.
    Refused(CallError),
    /// The request breaks a limit; it was not sent.
    Invalid(OutOfBounds),
    /// No answer in time, and nothing was changed: the call is a read, or was not sent.
    Unreachable {
        /// What stands between, as far as is known.
        detail: String,
    },
    /// The call was sent, no answer came, and it may or may not have been done. One that carries an idempotency key can
    /// be repeated with the same key; after any other, look before you repeat it.
    OutcomeUnknown,
    /// The coordinator does not want this client any more. A person has to act.
    LinkRefused(Refusal),
    /// The answer is to another question: client and coordinator are of different versions.
    UnexpectedAnswer,
}

impl CallFailed {
    /// The coordinator's error code, if it was the coordinator that said no.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(error) => Some(error.code),
            _ => None,
        }
    }
}

impl fmt::Display for CallFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Invalid(error) => error.fmt(f),
            Self::Unreachable { detail } => write!(f, "the coordinator was not reached: {detail}"),
            Self::OutcomeUnknown => {
                f.write_str("the link was lost before the answer came; the call may or may not have been done")
            }
            Self::LinkRefused(refusal) => write!(f, "the coordinator refuses this client: {}", refusal.detail),
            Self::UnexpectedAnswer => {
                f.write_str("the coordinator's answer is of another kind: use the same release on both sides")
            }
        }
    }
}

impl std::error::Error for CallFailed {}

impl From<OutOfBounds> for CallFailed {
    fn from(error: OutOfBounds) -> Self {
        Self::Invalid(error)
    }
}

/// Why a client could not connect for the first time. Once connected, it reconnects by itself.
#[derive(Debug)]
pub enum ConnectError {
    /// The key file.
    KeyFile(KeyFileError),
    /// The key file is readable, and what is in it is no private key.
    BadKey(String),
    /// The join key is for another role than backend.
    WrongRole,
    /// The coordinator said no.
    Refused(Refusal),
    /// Nobody answers, or not the coordinator.
    Unreachable {
        /// What stands between, as far as is known.
        detail: String,
    },
    /// The system gives no UDP socket.
    Socket(String),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFile(error) => error.fmt(f),
            Self::BadKey(problem) => f.write_str(problem),
            Self::WrongRole => {
                f.write_str("the join key is for another role: a backend needs one made with playgate key new backend")
            }
            Self::Refused(refusal) => write!(f, "the coordinator refuses this client: {}", refusal.detail),
            Self::Unreachable { detail } => write!(f, "the coordinator was not reached: {detail}"),
            Self::Socket(error) => write!(f, "the system gives no UDP socket: {error}"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::KeyFile(error) => Some(error),
            _ => None,
        }
    }
}

impl From<KeyFileError> for ConnectError {
    fn from(error: KeyFileError) -> Self {
        Self::KeyFile(error)
    }
}

/// Why a key file is of no use. Its text names the file and the remedy, and repeats no secret.
#[derive(Debug)]
pub enum KeyFileError {
    /// It cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// It cannot be written.
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// It holds something else.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no file yet, and no join key to make it with.
    NoIdentity {
        /// Where it would be.
        path: PathBuf,
    },
    /// It belongs to another coordinator than the join key.
    OtherCoordinator {
        /// The file.
        path: PathBuf,
    },
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => write!(f, "{} cannot be read: {error}", path.display()),
            Self::Unwritable { path, error } => write!(f, "{} cannot be written: {error}", path.display()),
            Self::Damaged { path, problem } => write!(f, "{}: {problem}", path.display()),
            Self::NoIdentity { path } => write!(
                f,
                "{} does not exist: the first connection needs a join key (playgate key new backend)",
                path.display()
            ),
            Self::OtherCoordinator { path } => write!(
                f,
                "{} belongs to another coordinator than the join key: use another file, or remove it",
                path.display()
            ),
        }
    }
}

impl std::error::Error for KeyFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } | Self::Unwritable { error, .. } => Some(error),
            _ => None,
        }
    }
}
