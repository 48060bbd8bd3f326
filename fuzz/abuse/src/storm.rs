//! A thousand honest peers behind one address lose their coordinator at the same moment, and all want it back.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use playgate_client::Operator;
use playgate_link::{Backoff, Dialer, FrameReceiver, FrameSender, Identity, LinkProfile};
use playgate_protocol::{Credential, Hello, HelloRole, JoinKey, JoinRole, Text, VersionRange};
use serde::Serialize;

use crate::coordinator::{Coordinator, PATIENCE, Refusals};

/// Waits before dialling again, as the SDKs have them.
const REDIAL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How they came back, in milliseconds since the restart.
#[derive(Debug, Serialize)]
pub struct Storm {
    /// How many.
    pub peers: usize,
    /// Until half of them were welcome.
    pub half_ms: u64,
    /// Until 99 of 100 were.
    pub p99_ms: u64,
    /// Until all were.
    pub all_ms: u64,
    /// Dials that led nowhere.
    pub failed_dials: u64,
    /// What the coordinator refused meanwhile.
    pub refusals: Refusals,
}

struct Peer {
    dialer: Dialer,
    key: JoinKey,
    backoff: Backoff,
    failed: u64,
}

impl Peer {
    /// Dials until it is welcome.
    async fn come_in(&mut self, credential: &Credential) -> (FrameSender, FrameReceiver) {
        let versions = VersionRange::OURS;
        let hello = Hello {
            versions,
            software: Text::lossy("storm"),
            credential: credential.clone(),
            role: HelloRole::Backend,
        };
        loop {
            match self.dialer.introduce(&self.key.coordinator, &self.key.fingerprint, &hello).await {
                Ok((_, sender, receiver)) => return (sender, receiver),
                Err(_) => {
                    self.failed += 1;
                    tokio::time::sleep(self.backoff.next()).await;
                }
            }
        }
    }
}

/// Joins so many backends, kills and restarts the coordinator, and waits for all of them.
///
/// # Errors
/// When they are not all back within a minute.
pub async fn storm(coordinator: &mut Coordinator, operator: &Operator, peers: usize) -> io::Result<Storm> {
    let uses = u32::try_from(peers).map_err(io::Error::other)?;
    let key = operator.create_join_key(JoinRole::Backend, None, uses, PATIENCE).await.map_err(io::Error::other)?;
    let (go, restarted) = tokio::sync::watch::channel(None::<Instant>);
    let joined = Arc::new(tokio::sync::Semaphore::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for seed in 0..u64::from(uses) {
        let dialer = Dialer::new(Identity::generate(), LinkProfile::fleet()).map_err(io::Error::other)?;
        let mut peer = Peer { dialer, key: key.clone(), backoff: Backoff::new(seed, REDIAL.0, REDIAL.1), failed: 0 };
        let (mut restarted, joined) = (restarted.clone(), Arc::clone(&joined));
        tasks.spawn(async move {
            let join = Credential::Join { secret: peer.key.secret.clone() };
            let (sender, _receiver) = peer.come_in(&join).await;
            joined.add_permits(1);
            sender.closed().await;
            (peer.failed, peer.backoff) = (0, Backoff::new(seed, REDIAL.0, REDIAL.1));
            let since = restarted.wait_for(Option::is_some).await.ok().and_then(|at| *at)?;
            tokio::time::sleep(peer.backoff.next()).await;
            let link = peer.come_in(&Credential::Bound).await;
            Some((since.elapsed(), peer.failed, link, peer.dialer))
        });
    }
    let everybody = tokio::time::timeout(PATIENCE, joined.acquire_many(uses)).await;
    everybody.map_err(|_| io::Error::other("not all peers joined"))?.map_err(io::Error::other)?.forget();
    coordinator.restart()?;
    go.send_replace(Some(Instant::now()));
    let back = tokio::time::timeout(PATIENCE, tasks.join_all()).await;
    let back: Vec<_> = back.map_err(|_| io::Error::other("not all peers came back"))?.into_iter().flatten().collect();
    tokio::time::sleep(Duration::from_millis(1_200)).await; // the log tells refusals once a second
    let mut times: Vec<u64> =
        back.iter().map(|(time, ..)| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).collect();
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent).div_ceil(100).max(1) - 1];
    Ok(Storm {
        peers,
        half_ms: at(50),
        p99_ms: at(99),
        all_ms: at(100),
        failed_dials: back.iter().map(|(_, failed, ..)| failed).sum(),
        refusals: coordinator.refusals(),
    })
}
