//! The link to the coordinator: dials for ever, says how the relay does, and takes secrets, revocations and the time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use playgate_link::{Backoff, CloseCode, CloseReason, Dialer, FrameReceiver, FrameSender, Outlook, RecvError};
use playgate_protocol::relay::{FlowRevocation, RelayBeat, RelayDown, RelayUp};
use playgate_protocol::{
    Credential, Fingerprint, Hello, HelloRole, Name, RelayId, Secret32, Text, TimeMs, VersionRange, WelcomeRole,
};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::Relay;
use crate::control::error::ServiceError;
use crate::control::flows::Flows;
use crate::control::limits::{
    BEAT_INTERVAL, CLOCK_SAVED_AGAIN_MS, FAREWELL_WAIT, REDIAL, REDIAL_SLOWLY, SILENCE_MAX, TELL_UNSENT_MAX, TELL_WAIT,
};
use crate::control::revoked::RevokedFile;
use crate::control::state::{Bound, SavedSecrets, StateDir};
use crate::control::status::{LinkState, Shown};
use crate::relay::wall_clock_ms;

const SOFTWARE: &str = concat!("playgate-relay ", env!("CARGO_PKG_VERSION"));

/// What the link serves.
pub(crate) struct Control {
    pub(crate) relay: Arc<Relay>,
    pub(crate) flows: Arc<Flows>,
    pub(crate) shown: Arc<Shown>,
    pub(crate) dialer: Dialer,
    pub(crate) coordinator: String,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) name: Name,
    pub(crate) addresses: Vec<std::net::SocketAddr>,
    pub(crate) join_secret: Option<Secret32>,
    /// As it is on disk.
    pub(crate) bound: Option<Bound>,
    pub(crate) state: StateDir,
    /// What the relay opens passes with.
    pub(crate) secrets: Option<SavedSecrets>,
    /// What it will, as soon as the disk takes it.
    pub(crate) unsaved: Option<SavedSecrets>,
    pub(crate) revoked: RevokedFile,
    pub(crate) clock: Clock,
    pub(crate) link: Option<FrameSender>,
}

/// The coordinator's time at a moment; until it is told, the wall clock's and what that differed by before.
pub(crate) struct Clock {
    pub(crate) known: (TimeMs, Instant),
    /// As it is on disk.
    ahead_ms: i64,
}

impl Clock {
    /// Passes and revocations end by the coordinator's time, and this host's wall clock may be hours off.
    pub(crate) fn start(ahead_ms: i64) -> Self {
        Self { known: (wall_clock_ms().saturating_add_signed(ahead_ms), Instant::now()), ahead_ms }
    }

    pub(crate) fn now_ms(&self) -> TimeMs {
        let passed = u64::try_from(self.known.1.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.known.0.saturating_add(passed)
    }
}

/// A link on which the coordinator said welcome.
struct Welcomed {
    sender: FrameSender,
    receiver: FrameReceiver,
}

impl Control {
    /// Returns when the coordinator will not have this relay, and it has nothing to serve with.
    pub(crate) async fn keep_linked(&mut self, seed: u64) -> ServiceError {
        let mut soon = Backoff::new(seed, REDIAL.0, REDIAL.1);
        let mut later = Backoff::new(seed.rotate_left(32), REDIAL_SLOWLY.0, REDIAL_SLOWLY.1);
        loop {
            let (problem, wait) = match self.connect().await {
                Ok(link) => {
                    soon.reset();
                    later.reset();
                    let problem = self.serve(link).await;
                    self.link = None;
                    tracing::warn!(coordinator = self.coordinator, problem, "lost the coordinator");
                    (problem, soon.next())
                }
                Err(Outlook::Soon(problem)) => {
                    tracing::warn!(coordinator = self.coordinator, problem, "no link to the coordinator");
                    (problem, soon.next())
                }
                Err(Outlook::Later(problem, at_least)) => {
                    tracing::error!(coordinator = self.coordinator, problem, "the coordinator cannot be used");
                    (problem, later.next().max(at_least))
                }
                // Who has secrets may have players: they are not thrown out because of a coordinator that was set up
                // anew, or restored from an old backup. Whoever wants the relay gone stops it.
                Err(Outlook::Never(refusal)) if self.secrets.is_some() => {
                    let problem = ServiceError::Refused(refusal).to_string();
                    tracing::error!(coordinator = self.coordinator, problem, "the relay goes on without a coordinator");
                    (problem, later.next())
                }
                Err(Outlook::Never(refusal)) => return ServiceError::Refused(refusal),
            };
            self.shown.set_link(LinkState::Away { problem });
            sleep(wait).await;
        }
    }

    /// Takes no new players, says so, and closes the link in good order.
    pub(crate) async fn farewell(mut self) {
        self.relay.set_draining(true);
        self.shown.set_draining();
        if let Some(link) = self.link.take() {
            self.beat(&link);
            let _ = link.finish_and_wait(FAREWELL_WAIT).await;
        }
        self.dialer.shutdown(FAREWELL_WAIT).await;
    }

    async fn connect(&mut self) -> Result<Welcomed, Outlook> {
        let introduced = self.dialer.introduce(&self.coordinator, &self.fingerprint, &self.hello()).await;
        let (welcome, sender, receiver) = introduced.map_err(Outlook::from)?;
        let WelcomeRole::Relay { relay } = welcome.role else {
            sender.close(CloseCode::Protocol, "welcomed as something else than a relay");
            return Err(Outlook::Later("it takes this relay for something else".to_owned(), Duration::ZERO));
        };
        self.set_time(welcome.now_ms);
        self.remember(relay);
        self.shown.set_link(LinkState::Up { relay });
        tracing::info!(coordinator = self.coordinator, %relay, "linked to the coordinator");
        Ok(Welcomed { sender, receiver })
    }

    fn hello(&self) -> Hello {
        let credential = match &self.join_secret {
            // A coordinator that knows this key looks at nothing else; one that was restored may not know it any more.
            Some(secret) => Credential::Join { secret: secret.clone() },
            None => Credential::Bound,
        };
        let addresses = playgate_protocol::List::first_of(self.addresses.iter().copied());
        let role = HelloRole::Relay { name: self.name.clone(), addresses, secret: self.secret_number() };
        Hello { versions: VersionRange::OURS, software: Text::lossy(SOFTWARE), credential, role }
    }

    fn remember(&mut self, relay: RelayId) {
        self.join_secret = None;
        let bound = Bound { relay, coordinator: self.fingerprint, address: self.coordinator.clone() };
        if self.bound.as_ref() == Some(&bound) {
            return;
        }
        if let Err(error) = self.state.save_bound(&bound) {
            tracing::error!(%error, "cannot remember that this relay has joined; keep the join key for its next start");
        }
        self.bound = Some(bound);
    }

    /// Returns when the link is over, with the reason.
    async fn serve(&mut self, link: Welcomed) -> String {
        let Welcomed { sender, mut receiver } = link;
        self.link = Some(sender.clone());
        let flows = Arc::clone(&self.flows);
        let mut telling = std::pin::pin!(tell_players(&flows, &sender));
        let mut beats = interval(BEAT_INTERVAL);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        loop {
            tokio::select! {
                message = receiver.recv::<RelayDown>() => match message {
                    Ok(message) => {
                        heard_at = Instant::now();
                        self.take(message, &sender);
                    }
                    Err(error) => {
                        if matches!(error, RecvError::Frame(_)) {
                            sender.close_now(CloseCode::Protocol, "not a message for a relay");
                        }
                        return error.to_string();
                    }
                },
                _ = beats.tick() => {
                    if heard_at.elapsed() >= SILENCE_MAX {
                        sender.close_now(CloseCode::Done, "no answer to beats");
                        return "the coordinator is silent".to_owned();
                    }
                    self.use_secrets();
                    self.beat(&sender);
                }
                reason = &mut telling => return reason,
            }
        }
    }

    fn take(&mut self, message: RelayDown, sender: &FrameSender) {
        match message {
            RelayDown::Secrets { current, before } => {
                self.unsaved = Some(SavedSecrets { current, before });
                if self.use_secrets() {
                    self.beat(sender);
                }
            }
            RelayDown::Revoke(list) => self.revoke(&list),
            RelayDown::Clock { now_ms } => self.set_time(now_ms),
        }
    }

    /// Secrets are on disk before anything is done with them: a pass under a secret that is forgotten opens nothing.
    fn use_secrets(&mut self) -> bool {
        let Some(secrets) = self.unsaved.take() else { return false };
        if self.secrets.as_ref() != Some(&secrets) {
            if let Err(error) = self.state.save_secrets(&secrets) {
                let path = self.state.secrets_path();
                tracing::error!(path = %path.display(), %error, "cannot save the secrets; they wait. Is the disk full?");
                self.unsaved = Some(secrets);
                return false;
            }
            tracing::info!(secret = secrets.current.number, "passes are opened with another secret");
        }
        self.relay.set_secrets(secrets.for_passes());
        self.secrets = Some(secrets);
        self.shown.set_secret(self.secret_number());
        true
    }

    fn revoke(&mut self, list: &[FlowRevocation]) {
        let list: Vec<_> = list.iter().map(|one| (one.player_session, one.until_ms)).collect();
        self.relay.revoke_all(&list);
        if let Err(error) = self.revoked.add(self.clock.now_ms(), list.into_iter()) {
            tracing::error!(%error, "cannot save revocations: a restart would forget them. Is the disk full?");
        }
        self.shown.set_revoked(self.revoked.known().len());
    }

    fn set_time(&mut self, now_ms: TimeMs) {
        self.clock.known = (now_ms, Instant::now());
        self.relay.set_time(now_ms);
        let ahead_ms = now_ms.wrapping_sub(wall_clock_ms()).cast_signed();
        if ahead_ms.abs_diff(self.clock.ahead_ms) < CLOCK_SAVED_AGAIN_MS {
            return;
        }
        match self.state.save_clock_ahead(ahead_ms) {
            Ok(()) => self.clock.ahead_ms = ahead_ms,
            Err(error) => tracing::debug!(%error, "cannot save the difference of the clocks"),
        }
    }

    fn beat(&self, sender: &FrameSender) {
        let beat = RelayBeat {
            secret: self.secret_number(),
            flows: u32::try_from(self.flows.count()).unwrap_or(u32::MAX),
            flows_max: self.shown.flows_max(),
            is_draining: self.shown.is_draining(),
        };
        // A link that takes nothing any more tells its receiver, too.
        let _ = sender.queue(&RelayUp::Beat(beat));
    }

    fn secret_number(&self) -> u32 {
        self.secrets.as_ref().map_or(0, |secrets| secrets.current.number)
    }
}

/// Tells all open flows, then each as it opens or moves. Returns when the link is over, with the reason.
async fn tell_players(flows: &Flows, sender: &FrameSender) -> String {
    let ended = |reason: CloseReason| reason.to_string();
    flows.tell_all();
    loop {
        if let Err(reason) = sender.drained_below(TELL_UNSENT_MAX).await {
            return ended(reason);
        }
        let list = flows.take_untold();
        if list.is_empty() {
            flows.changed().await;
            sleep(TELL_WAIT).await;
        } else if let Err(error) = sender.queue(&RelayUp::Players(list)) {
            return error.to_string();
        }
    }
}
