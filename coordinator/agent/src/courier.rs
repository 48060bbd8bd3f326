//! Keeps a link to the coordinator: dials, says hello, hands on what comes, and dials again, for ever.

use std::time::Duration;

use playgate_link::{Backoff, CloseCode, Dialer, FrameReceiver, FrameSender, Outlook, RecvError};
use playgate_protocol::{Credential, Fingerprint, Hello, HelloRole, HostId, Secret32, Text, VersionRange, WelcomeRole};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::agent::Event;
use crate::error::AgentError;
use crate::limits::{REDIAL, REDIAL_SLOWLY};
use crate::state::{Bound, StateDir};

const SOFTWARE: &str = concat!("playgate-agent ", env!("CARGO_PKG_VERSION"));

/// What a courier is made of.
pub(crate) struct Courier {
    pub(crate) dialer: std::sync::Arc<Dialer>,
    pub(crate) coordinator: String,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) role: HelloRole,
    pub(crate) join_secret: Option<Secret32>,
    /// As it is on disk.
    pub(crate) bound: Option<Bound>,
    pub(crate) state: StateDir,
    pub(crate) events: mpsc::Sender<Event>,
}

/// A link on which the coordinator said welcome.
struct Welcomed {
    sender: FrameSender,
    receiver: FrameReceiver,
    host: HostId,
    applied_seq: u64,
}

impl Courier {
    /// Returns when the coordinator will not have this agent, or when nobody takes events any more.
    pub(crate) async fn run(mut self, seed: u64) {
        let mut soon = Backoff::new(seed, REDIAL.0, REDIAL.1);
        let mut later = Backoff::new(seed.rotate_left(32), REDIAL_SLOWLY.0, REDIAL_SLOWLY.1);
        loop {
            let wait = match self.connect().await {
                Ok(link) => {
                    soon.reset();
                    later.reset();
                    if self.serve(link).await.is_err() {
                        return;
                    }
                    soon.next()
                }
                Err(Outlook::Soon(problem)) => {
                    tracing::warn!(coordinator = self.coordinator, problem, "no link to the coordinator");
                    soon.next()
                }
                Err(Outlook::Later(problem, at_least)) => {
                    tracing::error!(coordinator = self.coordinator, problem, "the coordinator cannot be used");
                    later.next().max(at_least)
                }
                Err(Outlook::Never(refusal)) => {
                    let error = AgentError::Refused(refusal);
                    tracing::error!(coordinator = self.coordinator, problem = %error, "the agent cannot go on");
                    let _ = self.events.send(Event::LinkRefused(error)).await;
                    return;
                }
            };
            sleep(wait).await;
        }
    }

    async fn connect(&mut self) -> Result<Welcomed, Outlook> {
        let introduced = self.dialer.introduce(&self.coordinator, &self.fingerprint, &self.hello()).await;
        let (welcome, sender, receiver) = introduced.map_err(Outlook::from)?;
        let WelcomeRole::Agent { host, applied_seq } = welcome.role else {
            sender.close(CloseCode::Protocol, "welcomed as something else than an agent");
            return Err(Outlook::Later("it takes this agent for something else".to_owned(), Duration::ZERO));
        };
        self.remember(host);
        Ok(Welcomed { sender, receiver, host, applied_seq })
    }

    fn hello(&self) -> Hello {
        let credential = match &self.join_secret {
            Some(secret) if self.bound.is_none() => Credential::Join { secret: secret.clone() },
            _ => Credential::Bound,
        };
        Hello { versions: VersionRange::OURS, software: Text::lossy(SOFTWARE), credential, role: self.role.clone() }
    }

    fn remember(&mut self, host: HostId) {
        let bound = Bound { host, coordinator: self.fingerprint, address: self.coordinator.clone() };
        if self.bound.as_ref() == Some(&bound) {
            return;
        }
        if let Err(error) = self.state.save_bound(&bound) {
            tracing::error!(%error, "cannot remember that this agent has joined; keep the join key for its next start");
        }
        self.bound = Some(bound);
    }

    /// Hands on what comes until the link is over. Fails when nobody takes events any more.
    async fn serve(&mut self, link: Welcomed) -> Result<(), mpsc::error::SendError<Event>> {
        let Welcomed { sender, mut receiver, host, applied_seq } = link;
        tracing::info!(coordinator = self.coordinator, %host, "linked to the coordinator");
        let closer = sender.clone();
        self.events.send(Event::LinkUp { sender, applied_seq }).await?;
        loop {
            match receiver.recv().await {
                Ok(message) => self.events.send(Event::Message(message)).await?,
                Err(error) => {
                    if matches!(error, RecvError::Frame(_)) {
                        closer.close_now(CloseCode::Protocol, "not a message for an agent");
                    }
                    tracing::warn!(coordinator = self.coordinator, problem = %error, "lost the coordinator");
                    return self.events.send(Event::LinkDown).await;
                }
            }
        }
    }
}
