//! From an address to a welcome as a backend or an operator.

use std::sync::Arc;

use playgate_link::{CloseCode, Dialer, Fingerprint, FrameReceiver, FrameSender, IntroduceError};
use playgate_protocol::{Credential, Hello, HelloRole, Refusal, Text, VersionRange, WelcomeRole};

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
    let hello = target.hello(credential);
    let (welcome, sender, receiver) = match dialer.introduce(&target.coordinator, &target.fingerprint, &hello).await {
        Ok(introduced) => introduced,
        Err(IntroduceError::Refused(refusal)) => return Err(NoLink::Refused(refusal)),
        Err(error) if error.needs_a_person() => return Err(NoLink::Misplaced(error.to_string())),
        Err(error) => return Err(NoLink::Unreachable(error.to_string())),
    };
    match (target.role, welcome.role) {
        (Role::Backend, WelcomeRole::Backend) | (Role::Operator, WelcomeRole::Operator) => Ok((sender, receiver)),
        _ => {
            sender.close(CloseCode::Protocol, "welcomed as somebody else");
            Err(NoLink::Misplaced("the coordinator took this client for somebody else".to_owned()))
        }
    }
}
