//! A relay that belongs to a coordinator: its state directory, its link, and what it shows.
//!
//! It serves without a coordinator, too: what it needs for that is on disk before it is used.

mod config;
mod error;
mod flows;
pub(crate) mod limits;
mod link;
mod revoked;
pub(crate) mod state;
mod status;

use std::sync::Arc;

use playgate_link::{Dialer, LinkProfile};
use playgate_protocol::Name;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::Relay;
use crate::relay::random;
use flows::Flows;
use limits::DESCRIPTORS_SPARE;
use link::{Clock, Control};
use revoked::RevokedFile;
use state::{Lock, StateDir, socket_path};
use status::Shown;

pub use config::RelayServiceConfig;
pub use error::ServiceError;
pub use status::{CoreStatus, Status};

/// Runs a relay until `shutdown` resolves, or until it cannot go on.
///
/// It serves at once with what its state directory holds. Dropping the future is like killing it. Needs a tokio runtime
/// with I/O and time enabled; the datagrams have threads of their own.
///
/// # Errors
/// [`ServiceError`] when the relay cannot start, or when the coordinator refuses it for good before it was ever given a
/// secret.
pub async fn run(config: RelayServiceConfig, shutdown: impl Future<Output = ()>) -> Result<(), ServiceError> {
    if config.relay.destinations.is_empty() {
        return Err(ServiceError::NoDestinations);
    }
    let state = StateDir::open(&config.state_dir)?;
    let _lock = Lock::take(state.root()).await?;
    let socket = socket_path(state.root());
    let mut control = start(config, state)?;
    let (shown, relay) = (Arc::clone(&control.shown), Arc::clone(&control.relay));
    let answering = async {
        match status::listen(&socket) {
            Ok(listener) => shown.answer(listener, &relay).await,
            Err(error) => {
                tracing::warn!(path = %socket.display(), %error, "nobody can be told the status; the relay serves");
                std::future::pending().await
            }
        }
    };
    let outcome = tokio::select! {
        error = control.keep_linked(u64::from_le_bytes(random())) => Err(error),
        () = answering => unreachable!("it never returns"),
        () = shutdown => Ok(()),
    };
    tracing::info!(flows = control.flows.count(), "the relay ends");
    control.farewell().await;
    let _ = std::fs::remove_file(&socket);
    outcome
}

/// Everything that is on disk is in force before the first player gets in.
fn start(config: RelayServiceConfig, state: StateDir) -> Result<Control, ServiceError> {
    let identity = state.identity()?;
    let bound = state.bound(config.fingerprint)?;
    if bound.is_none() && config.join_secret.is_none() {
        return Err(ServiceError::NotJoined);
    }
    let mut relay_config = config.relay;
    relay_config.reset_key = state.reset_key()?;
    let secrets = state.secrets()?;
    let clock = Clock::start(state.clock_ahead_ms()?);
    let revoked = RevokedFile::open(state.revoked(), clock.now_ms())?;
    let dialer = Dialer::new(identity, LinkProfile::fleet()).map_err(ServiceError::Socket)?;
    let flows_max = relay_config.flows_max.saturating_mul(relay_config.cores.max(1).into());
    raise_descriptors(u64::from(flows_max) + DESCRIPTORS_SPARE);
    let flows = Arc::new(Flows::default());
    let reports = Arc::clone(&flows);
    let relay = Relay::start(relay_config, move |report| reports.report(report)).map_err(ServiceError::Start)?;
    relay.set_time(clock.now_ms());
    let list: Vec<_> = revoked.known().iter().collect();
    relay.revoke_all(&list);
    // Last: no flow opens before.
    if let Some(secrets) = &secrets {
        relay.set_secrets(secrets.for_passes());
    }
    let listening = relay.local_addr();
    let secret = secrets.as_ref().map_or(0, |secrets| secrets.current.number);
    tracing::info!(%listening, secret, revoked = revoked.known().len(), "relay runs");
    let addresses = if config.advertise.is_empty() { vec![listening] } else { config.advertise };
    let name = Name::lossy(&config.name);
    let shown = Shown::new(Status {
        relay: bound.as_ref().map(|bound| bound.relay),
        name: name.as_str().to_owned(),
        coordinator: config.coordinator.clone(),
        linked: false,
        problem: None,
        secret,
        draining: false,
        revoked: revoked.known().len(),
        listening,
        uptime_ms: 0,
        flows_max,
        cores: Vec::new(),
    });
    Ok(Control {
        relay: Arc::new(relay),
        flows,
        shown: Arc::new(shown),
        dialer,
        coordinator: config.coordinator,
        fingerprint: config.fingerprint,
        name,
        addresses,
        join_secret: config.join_secret,
        bound,
        state,
        secrets,
        unsaved: None,
        revoked,
        clock,
        link: None,
    })
}

/// Each flow has a socket. What the system allows is taken; better to hear of a low limit before the relay is full.
fn raise_descriptors(needed: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    let current = Some(limit.maximum.map_or(needed, |maximum| maximum.min(needed)));
    let raised = setrlimit(Resource::Nofile, Rlimit { current, maximum: limit.maximum });
    if raised.is_err() || current < Some(needed) {
        tracing::warn!(?limit.maximum, needed, "the limit of open files (ulimit -n) is too low for all flows; raise it");
    }
}
