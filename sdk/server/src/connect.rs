//! From the configuration to a welcome as a game server.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use playgate_link::{CloseCode, Dialer, Fingerprint, FrameReceiver, FrameSender, IntroduceError};
use playgate_protocol::{
    Credential, Hello, HelloRole, Name, Refusal, Secret32, ServerProcessId, Text, VersionRange, Welcome, WelcomeRole,
};

use crate::config::Config;
use crate::limits::{BEAT_MAX, BEAT_MIN};

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
    let hello = target.hello(held_version);
    match dialer.introduce(&target.coordinator, &target.fingerprint, &hello).await {
        Ok((welcome, sender, receiver)) => welcomed(sender, receiver, welcome),
        Err(IntroduceError::Refused(refusal)) => Err(NoLink::Refused(refusal)),
        Err(error) if error.needs_a_person() => Err(NoLink::Misplaced(error.to_string())),
        Err(error) => Err(NoLink::Unreachable(error.to_string())),
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
