//! What was refused, for whoever looks: at debug, one line a second at most, and none while nothing is refused.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use playgate_link::{EstablishError, ListenerCounters};
use tokio::time::{MissedTickBehavior, interval};

use crate::peer::PeerCounters;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The counters at one moment.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Refusals {
    first_packets_dropped: u64,
    refused: u64,
    network_refused: u64,
    retried: u64,
    handshakes_failed: u64,
    no_hello: u64,
    not_welcome: u64,
    bad_frames: u64,
    slow_consumers: u64,
}

impl Refusals {
    fn now(links: &ListenerCounters, peers: &PeerCounters) -> Self {
        Self {
            first_packets_dropped: links.first_packets_dropped(),
            refused: links.refused(),
            network_refused: links.network_refused(),
            retried: links.retried(),
            handshakes_failed: EstablishError::ALL.into_iter().map(|reason| links.failed(reason)).sum(),
            no_hello: peers.no_hello.load(Ordering::Relaxed),
            not_welcome: peers.not_welcome.load(Ordering::Relaxed),
            bad_frames: peers.bad_frames.load(Ordering::Relaxed),
            slow_consumers: peers.slow_consumers.load(Ordering::Relaxed),
        }
    }
}

/// Never ends.
pub(crate) async fn log(links: Arc<ListenerCounters>, peers: Arc<PeerCounters>) {
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Refusals::default();
    loop {
        look.tick().await;
        let now = Refusals::now(&links, &peers);
        if now != before {
            let Refusals { first_packets_dropped, refused, network_refused, retried, handshakes_failed, .. } = now;
            let Refusals { no_hello, not_welcome, bad_frames, slow_consumers, .. } = now;
            tracing::debug!(
                first_packets_dropped,
                refused,
                network_refused,
                retried,
                handshakes_failed,
                no_hello,
                not_welcome,
                bad_frames,
                slow_consumers,
                "refusals so far"
            );
            before = now;
        }
    }
}
