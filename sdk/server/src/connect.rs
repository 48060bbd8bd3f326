//! From an address to a welcome: resolve, dial, say hello.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use playgate_link::{CloseCode, DialError, Dialer, Fingerprint, FrameReceiver, FrameSender, Link};
use playgate_protocol::{
    Credential, Greeting, Hello, HelloRole, Name, Refusal, Secret32, ServerProcessId, Text, VersionRange, Welcome,
    WelcomeRole,
};
use tokio::time::timeout;

use crate::config::Config;
use crate::limits::{ADDRESSES_MAX, BEAT_MAX, BEAT_MIN, GREETING_TIME_MAX, RESOLVE_TIME_MAX};

/// Whom to dial, and what to say first.
pub(crate) struct Target {
    coordinator: String,
    fingerprint: Fingerprint,
    credential: Credential,
    name: Name,
    advertise: Option<IpAddr>,
}

impl Target {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            coordinator: config.coordinator.clone(),
            fingerprint: config.fingerprint,
            credential: config.credential.clone(),
            name: config.name.clone(),
            advertise: config.advertise,
        }
    }

    /// The credential goes with every hello: the key that presented it first may present it again.
    fn hello(&self, held_version: u64) -> Hello {
        Hello {
            versions: VersionRange::OURS,
            software: Text::lossy(concat!("playgate-server ", env!("CARGO_PKG_VERSION"))),
            credential: self.credential.clone(),
            role: HelloRole::Server { name: self.name.clone(), advertise: self.advertise, held_version },
        }
    }
}

/// A link on which this process is welcome.
pub(crate) struct Welcomed {
    pub(crate) sender: FrameSender,
    pub(crate) receiver: FrameReceiver,
    pub(crate) now_ms: u64,
    pub(crate) process: ServerProcessId,
    pub(crate) gate_root: Secret32,
    pub(crate) holder_root: Secret32,
    pub(crate) applied_seq: u64,
    pub(crate) beat: Duration,
}

/// Why there is none.
pub(crate) enum NoLink {
    /// The coordinator said no.
    Refused(Refusal),
    /// Not the coordinator answers, or it does not speak as it should; a person has to act.
    Misplaced(String),
    /// Nobody answers; later perhaps.
    Unreachable(String),
}

pub(crate) async fn connect(dialer: Arc<Dialer>, target: Arc<Target>, held_version: u64) -> Result<Welcomed, NoLink> {
    let link = dial(&dialer, &target).await?;
    let (sender, mut receiver) = link.split();
    sender.queue(&target.hello(held_version)).map_err(|error| NoLink::Unreachable(error.to_string()))?;
    match receiver.recv_within(GREETING_TIME_MAX).await {
        Ok(Greeting::Welcome(welcome)) => welcomed(sender, receiver, welcome),
        Ok(Greeting::Refused(refusal)) => Err(NoLink::Refused(refusal)),
        Err(error) => Err(NoLink::Unreachable(format!("no greeting from {}: {error}", target.coordinator))),
    }
}

fn welcomed(sender: FrameSender, receiver: FrameReceiver, welcome: Welcome) -> Result<Welcomed, NoLink> {
    let WelcomeRole::Server { process, gate_root, holder_root, applied_seq, beat_ms, .. } = welcome.role else {
        sender.close(CloseCode::Protocol, "welcomed as something else than a server");
        return Err(NoLink::Misplaced("the coordinator took this server for something else".to_owned()));
    };
    let beat = Duration::from_millis(u64::from(beat_ms)).clamp(BEAT_MIN, BEAT_MAX);
    Ok(Welcomed { sender, receiver, now_ms: welcome.now_ms, process, gate_root, holder_root, applied_seq, beat })
}

/// Tries the coordinator's addresses in turn; what the last one said is what is reported, unless one showed a wrong key.
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
