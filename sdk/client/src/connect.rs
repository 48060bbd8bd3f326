//! From an address to a welcome: resolve, dial, say hello.

use std::net::SocketAddr;
use std::sync::Arc;

use playgate_link::{CloseCode, DialError, Dialer, Fingerprint, FrameReceiver, FrameSender, Link};
use playgate_protocol::{Credential, Greeting, Hello, HelloRole, Refusal, Text, VersionRange, WelcomeRole};
use tokio::time::timeout;

use crate::limits::{ADDRESSES_MAX, GREETING_TIME_MAX, RESOLVE_TIME_MAX};

/// As what a client comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Backend,
    Operator,
}

/// Whom to dial.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) coordinator: String,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) role: Role,
}

impl Target {
    fn hello(&self, credential: Credential) -> Hello {
        Hello {
            versions: VersionRange::OURS,
            software: Text::lossy(concat!("playgate-client ", env!("CARGO_PKG_VERSION"))),
            credential,
            role: match self.role {
                Role::Backend => HelloRole::Backend,
                Role::Operator => HelloRole::Operator,
            },
        }
    }
}

/// Why there is no link.
#[derive(Debug, Clone)]
pub(crate) enum NoLink {
    /// The coordinator said no.
    Refused(Refusal),
    /// Not the coordinator answers, or it does not speak as it should; a person has to act.
    Misplaced(String),
    /// Nobody answers; later perhaps.
    Unreachable(String),
}

/// A link on which this client is welcome.
pub(crate) type Welcomed = (FrameSender, FrameReceiver);

pub(crate) async fn connect(dialer: Arc<Dialer>, target: Target, credential: Credential) -> Result<Welcomed, NoLink> {
    let (sender, mut receiver) = dial(&dialer, &target).await?.split();
    sender.queue(&target.hello(credential)).map_err(|error| NoLink::Unreachable(error.to_string()))?;
    let welcome = match receiver.recv_within(GREETING_TIME_MAX).await {
        Ok(Greeting::Welcome(welcome)) => welcome,
        Ok(Greeting::Refused(refusal)) => return Err(NoLink::Refused(refusal)),
        Err(error) => {
            return Err(NoLink::Unreachable(format!("no greeting from {}: {error}", target.coordinator)));
        }
    };
    match (target.role, welcome.role) {
        (Role::Backend, WelcomeRole::Backend) | (Role::Operator, WelcomeRole::Operator) => Ok((sender, receiver)),
        _ => {
            sender.close(CloseCode::Protocol, "welcomed as somebody else");
            Err(NoLink::Misplaced("the coordinator took this client for somebody else".to_owned()))
        }
    }
}

/// Tries the coordinator's addresses in turn. The last failure is reported, unless somebody else answered at an
/// address: that tells more.
async fn dial(dialer: &Dialer, target: &Target) -> Result<Link, NoLink> {
    let mut failure = NoLink::Unreachable(format!("{} has no address", target.coordinator));
    for addr in resolve(&target.coordinator).await? {
        match dialer.dial(addr, &target.fingerprint).await {
            Ok(link) => return Ok(link),
            Err(error) if matches!(failure, NoLink::Unreachable(_)) => failure = classify(&error),
            Err(_) => {}
        }
    }
    Err(failure)
}

fn classify(error: &DialError) -> NoLink {
    let text = error.to_string();
    match error {
        DialError::WrongFingerprint { .. } | DialError::VersionMismatch { .. } | DialError::NotPlaygate { .. } => {
            NoLink::Misplaced(text)
        }
        _ => NoLink::Unreachable(text),
    }
}

async fn resolve(coordinator: &str) -> Result<Vec<SocketAddr>, NoLink> {
    let failed = |why: String| NoLink::Unreachable(format!("{coordinator} cannot be resolved: {why}"));
    match timeout(RESOLVE_TIME_MAX, tokio::net::lookup_host(coordinator)).await {
        Ok(Ok(addresses)) => Ok(addresses.take(ADDRESSES_MAX).collect()),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("no answer in time".to_owned())),
    }
}
