//! From a name to a welcome: resolve, dial each address in turn, say hello, hear the greeting.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use playgate_protocol::{Fingerprint, Greeting, Hello, Refusal, RefusalReason, Welcome};
use tokio::time::timeout;

use crate::dialer::{DialError, Dialer};
use crate::limits::{ADDRESSES_MAX, GREETING_TIME_MAX, RESOLVE_TIME_MAX};
use crate::link::Link;
use crate::receiver::{FrameReceiver, RecvError};
use crate::sender::{FrameSender, QueueError};

impl Dialer {
    /// Reaches the coordinator at `target` (`host:port`) and introduces this peer to it with `hello`.
    ///
    /// The name is looked up each time, and its first 4 addresses are tried in turn. Whether the welcome is for the
    /// role that `hello` names is for the caller to look at.
    ///
    /// # Errors
    /// [`IntroduceError`]. Of several addresses the last failure counts, unless somebody else answered at one of them:
    /// that tells more.
    pub async fn introduce(
        &self,
        target: &str,
        pin: &Fingerprint,
        hello: &Hello,
    ) -> Result<(Welcome, FrameSender, FrameReceiver), IntroduceError> {
        let (sender, mut receiver) = self.dial_in_turn(target, pin).await?.split();
        sender.queue(hello).map_err(IntroduceError::HelloNotSent)?;
        match receiver.recv_within(GREETING_TIME_MAX).await {
            Ok(Greeting::Welcome(welcome)) => Ok((welcome, sender, receiver)),
            Ok(Greeting::Refused(refusal)) => Err(IntroduceError::Refused(refusal)),
            Err(error) => Err(IntroduceError::NoGreeting { target: target.to_owned(), error }),
        }
    }

    async fn dial_in_turn(&self, target: &str, pin: &Fingerprint) -> Result<Link, IntroduceError> {
        let mut failure = unresolved(target, "it has no address".to_owned());
        for addr in resolve(target).await? {
            match self.dial(addr, pin).await {
                Ok(link) => return Ok(link),
                Err(error) if !failure.needs_a_person() => failure = IntroduceError::Dial(error),
                Err(_) => {}
            }
        }
        Err(failure)
    }
}

async fn resolve(target: &str) -> Result<Vec<SocketAddr>, IntroduceError> {
    match timeout(RESOLVE_TIME_MAX, tokio::net::lookup_host(target)).await {
        Ok(Ok(addresses)) => Ok(addresses.take(ADDRESSES_MAX).collect()),
        Ok(Err(error)) => Err(unresolved(target, error.to_string())),
        Err(_) => Err(unresolved(target, "no answer in time".to_owned())),
    }
}

fn unresolved(target: &str, problem: String) -> IntroduceError {
    IntroduceError::Unresolved { target: target.to_owned(), problem }
}

/// Why a peer could not introduce itself.
#[derive(Debug)]
pub enum IntroduceError {
    /// The name leads nowhere. Try again later.
    Unresolved {
        /// Host and port that were looked up.
        target: String,
        /// What the resolver says.
        problem: String,
    },
    /// No address led to a link.
    Dial(DialError),
    /// The link broke before the hello was queued. Try again.
    HelloNotSent(QueueError),
    /// The link stood, and no greeting came. Try again later.
    NoGreeting {
        /// Who was greeted.
        target: String,
        /// What came instead.
        error: RecvError,
    },
    /// The coordinator said no; the refusal says what to do.
    Refused(Refusal),
}

impl IntroduceError {
    /// Whether somebody else answers, or answers in another version: a person has to look, time alone cures nothing.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        matches!(
            self,
            Self::Dial(
                DialError::WrongFingerprint { .. } | DialError::VersionMismatch { .. } | DialError::NotPlaygate { .. }
            )
        )
    }
}

/// What to expect of another attempt. Only who has shown the pinned key can say that there is no use in it; whoever else
/// answers at the address, in another version or in none of ours, is looked at again later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outlook {
    /// It passes by itself; this is what is wrong.
    Soon(String),
    /// It passes when somebody does something, or when an overload is over: this is what is wrong, and the shortest wait.
    Later(String, Duration),
    /// It does not pass.
    Never(Refusal),
}

impl From<IntroduceError> for Outlook {
    fn from(error: IntroduceError) -> Self {
        match error {
            IntroduceError::Refused(refusal) => refused(refusal),
            error if error.needs_a_person() => Self::Later(error.to_string(), Duration::ZERO),
            IntroduceError::Dial(DialError::BadAddress { .. }) => Self::Later(error.to_string(), Duration::ZERO),
            // A listener with too many handshakes is one after a restart: it is done with them within seconds.
            error => Self::Soon(error.to_string()),
        }
    }
}

fn refused(refusal: Refusal) -> Outlook {
    match refusal.reason {
        RefusalReason::Busy => {
            let at_least = Duration::from_millis(refusal.retry_after_ms.into());
            Outlook::Later(format!("it is busy: {}", refusal.detail), at_least)
        }
        RefusalReason::VersionMismatch
        | RefusalReason::UnknownKey
        | RefusalReason::JoinKeyInvalid
        | RefusalReason::CredentialTaken
        | RefusalReason::WrongRole
        | RefusalReason::ProcessEnded => Outlook::Never(refusal),
    }
}

impl fmt::Display for IntroduceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved { target, problem } => write!(f, "{target} cannot be resolved: {problem}"),
            Self::Dial(error) => error.fmt(f),
            Self::HelloNotSent(error) => error.fmt(f),
            Self::NoGreeting { target, error } => write!(f, "no greeting from {target}: {error}"),
            Self::Refused(refusal) => write!(f, "refused: {}", refusal.detail),
        }
    }
}

impl std::error::Error for IntroduceError {}
