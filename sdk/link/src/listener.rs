//! The listening side: admission before cryptography, then one handshake per attempt.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use quinn::{Endpoint, EndpointConfig, Incoming, ServerConfig, Side};
use quinn_proto::HashedConnectionIdGenerator;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::admission::{Admission, Bounds, Verdict};
use crate::attempt::Attempt;
use crate::close::{CloseCode, bounded_text};
use crate::counters::{ListenerCounters, count};
use crate::identity::Identity;
use crate::profile::{LinkProfile, limits_of_endpoint};
use crate::socket::{self, BindError};
use crate::{limits, tls};

/// What a listener is made of. `Debug` shows no key.
///
/// # Why two more keys?
/// A restarted listener gets packets of links it knows nothing of. With the same `reset_key` and `connection_id_key`
/// as before it can answer them so that the peers believe it and dial again at once; otherwise they wait for the idle
/// timeout. Store both like the identity: whoever has the reset key can end links.
pub struct ListenConfig {
    /// Where to listen; port 0 lets the system choose.
    pub addr: SocketAddr,
    /// What peers pin.
    pub identity: Identity,
    /// Proves to old peers that this is the same listener. From a secure random source, the same after a restart.
    pub reset_key: [u8; 64],
    /// Tells packets of old links from noise. Random, the same after a restart.
    pub connection_id_key: u64,
    /// The same as the diallers use.
    pub profile: LinkProfile,
    /// Links and handshakes together; further attempts are refused.
    pub max_links: usize,
}

impl fmt::Debug for ListenConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenConfig")
            .field("addr", &self.addr)
            .field("identity", &self.identity)
            .field("profile", &self.profile)
            .field("max_links", &self.max_links)
            .finish_non_exhaustive()
    }
}

/// A UDP port on which peers establish links.
///
/// Dropped, it accepts nothing further; its links go on.
pub struct Listener {
    endpoint: Endpoint,
    addr: SocketAddr,
    profile: LinkProfile,
    places: Arc<Semaphore>,
    connections_max: usize,
    admission: Arc<Admission>,
    counters: Arc<ListenerCounters>,
}

impl Listener {
    /// Opens the port. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`] when the socket cannot be opened or there is no runtime.
    pub fn bind(config: ListenConfig) -> Result<Self, BindError> {
        let socket = socket::bind(config.addr)?;
        let counters: Arc<ListenerCounters> = Arc::default();
        let server = Some((server_config(&config), Arc::clone(&counters)));
        let endpoint = socket::endpoint(config.addr, endpoint_config(&config), server, socket)?;
        let addr = endpoint.local_addr().map_err(|error| BindError::new(config.addr, error))?;
        Ok(Self {
            endpoint,
            addr,
            profile: config.profile,
            places: semaphore(config.max_links),
            connections_max: config.max_links.saturating_mul(limits::CONNECTIONS_PER_LINK_MAX),
            admission: Admission::new(Bounds::of(limits::cores() * limits::HANDSHAKES_PER_CORE_MAX)),
            counters,
        })
    }

    /// Another bound on unfinished handshakes than 128 per core, at least 1. A quarter of it may come from one network,
    /// and half of each from addresses that proved nothing.
    #[must_use]
    pub fn with_handshakes_max(mut self, max: usize) -> Self {
        self.admission = Admission::new(Bounds::of(max.max(1)));
        self
    }

    /// The address it listens on, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// What happened here so far.
    #[must_use]
    pub fn counters(&self) -> &Arc<ListenerCounters> {
        &self.counters
    }

    /// The next attempt that was let in; `None` once the listener is closed. Cancel-safe.
    ///
    /// Refuses and retries on the way, before any cryptography. Establish each attempt in a task of its own: one takes
    /// a round trip or more.
    pub async fn accept(&self) -> Option<Attempt> {
        // Links that stand take turns with handshakes one by one, not with all that came in one burst.
        tokio::task::yield_now().await;
        loop {
            tokio::task::coop::consume_budget().await; // a flood of refusals must not keep the thread
            let incoming = self.endpoint.accept().await?;
            count(&self.counters.attempts);
            if let Some(attempt) = self.admit(incoming) {
                return Some(attempt);
            }
        }
    }

    fn admit(&self, incoming: Incoming) -> Option<Attempt> {
        let proven = incoming.remote_address_validated();
        let Some(place) = self.place() else { return refuse(incoming, &self.counters.refused) };
        match self.admission.judge(incoming.remote_address().ip(), proven) {
            Verdict::Admitted(permit) => {
                let counters = self.counters.clone();
                return Some(Attempt { incoming, place, permit, profile: self.profile, counters });
            }
            Verdict::Retry => {
                count(&self.counters.retried);
                incoming.retry().expect("an address that is not validated may be retried");
            }
            Verdict::Full => return refuse(incoming, &self.counters.refused),
            Verdict::NetworkFull => return refuse(incoming, &self.counters.network_refused),
        }
        None
    }

    /// A place for one more link, unless too many are open, or closed and not yet forgotten by quinn.
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        if self.endpoint.open_connections() >= self.connections_max {
            return None;
        }
        self.places.clone().try_acquire_owned().ok()
    }

    /// Closes every link without delivering what is queued, accepts nothing further, and waits until the closes are
    /// sent, at most `within`. For links that still have something to say, call
    /// [`FrameSender::close`](crate::FrameSender::close) on each before.
    pub async fn close(&self, code: CloseCode, reason: &str, within: Duration) {
        self.endpoint.close(code.to_wire(), bounded_text(reason).as_bytes());
        let _ = timeout(within, self.endpoint.wait_idle()).await;
    }

    #[cfg(test)]
    pub(crate) fn free_places(&self) -> usize {
        self.places.available_permits()
    }

    #[cfg(test)]
    pub(crate) fn unfinished(&self) -> usize {
        self.admission.unfinished()
    }

    #[cfg(test)]
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.endpoint.set_server_config(None);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("addr", &self.addr).field("counters", &self.counters).finish_non_exhaustive()
    }
}

/// Says so in one small packet, so that an honest peer backs off at once rather than after its timeout.
fn refuse(incoming: Incoming, counter: &AtomicU64) -> Option<Attempt> {
    count(counter);
    incoming.refuse();
    None
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

pub(crate) fn endpoint_config(config: &ListenConfig) -> EndpointConfig {
    let reset_key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &config.reset_key);
    let connection_id_key = config.connection_id_key;
    let mut endpoint = EndpointConfig::new(Arc::new(reset_key));
    // Key, generator and interval are needed for a restart that peers notice at once; without any one of them they wait.
    limits_of_endpoint(&mut endpoint);
    endpoint
        .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(connection_id_key)))
        .min_reset_interval(limits::RESET_INTERVAL_MIN);
    endpoint
}

pub(crate) fn server_config(config: &ListenConfig) -> ServerConfig {
    let mut server = ServerConfig::with_crypto(tls::quic_server(&config.identity));
    server
        .transport_config(config.profile.transport(Side::Server))
        // Where a hello came from is what others are told, so a peer that moves says hello again. And nobody who copies
        // packets can make a link move.
        .migration(false)
        .preferred_address_v4(None)
        .preferred_address_v6(None)
        .retry_token_lifetime(limits::RETRY_TOKEN_TIME_MAX)
        .max_incoming(limits::INCOMING_MAX)
        .incoming_buffer_size(limits::INCOMING_BUFFER_BYTES)
        .incoming_buffer_size_total(limits::INCOMING_BUFFER_BYTES_TOTAL);
    // A token for later dials would make an address count as proven for days, and save one round trip.
    server.validation_token.sent(0);
    server
}
