//! One attempt to establish a link: the handshake, the first bytes, and what can go wrong with them.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use playgate_protocol::Fingerprint;
use quinn::{Connection, ConnectionError, Incoming, RecvStream, SendStream, TransportErrorCode};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use crate::admission::Permit;
use crate::close::CloseCode;
use crate::counters::{ListenerCounters, count};
use crate::link::{Link, LinkGuard, canonical};
use crate::profile::LinkProfile;
use crate::{limits, tls};

/// A first packet that was let in. Dropped, it is refused.
pub struct Attempt {
    pub(crate) incoming: Incoming,
    pub(crate) place: OwnedSemaphorePermit,
    pub(crate) permit: Permit,
    pub(crate) profile: LinkProfile,
    pub(crate) counters: Arc<ListenerCounters>,
}

impl Attempt {
    /// Where the packet says it comes from; anyone can write that.
    #[must_use]
    pub fn remote_addr(&self) -> SocketAddr {
        canonical(self.incoming.remote_address())
    }

    /// Runs the handshake and waits for the peer's first bytes, at most 3 s together. A peer opens its stream by
    /// sending its first frame, so one that says nothing is no link.
    ///
    /// The attempt counts as unfinished until [`FrameSender::introduced`](crate::FrameSender::introduced), or the end
    /// of the link.
    ///
    /// # Errors
    /// [`EstablishError`]; everything the attempt held is given back, and it is counted.
    pub async fn establish(self) -> Result<Link, EstablishError> {
        let Self { incoming, place, mut permit, profile, counters } = self;
        match handshake_and_stream(incoming, &mut permit).await {
            Ok((conn, peer, streams)) => {
                count(&counters.established);
                let guard = LinkGuard::of_listener(counters, place, permit);
                Ok(Link::new(conn, peer, streams, profile, guard))
            }
            Err(reason) => {
                tracing::debug!(%reason, "attempt failed");
                counters.count_failed(reason);
                Err(reason)
            }
        }
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").finish_non_exhaustive()
    }
}

type Established = (Connection, Fingerprint, (SendStream, RecvStream));

async fn handshake_and_stream(incoming: Incoming, permit: &mut Permit) -> Result<Established, EstablishError> {
    let deadline = Instant::now() + limits::HANDSHAKE_TIME_MAX;
    let connecting = incoming.accept().map_err(|error| classify(&error))?;
    // Awaited to its end: only then has the client proved its key.
    let conn = timeout_at(deadline, connecting).await.map_err(|_| EstablishError::Timeout)?;
    let conn = conn.map_err(|error| classify(&error))?;
    permit.address_is_proven();
    let peer = tls::peer(&conn).ok_or(EstablishError::NoKey)?;
    match timeout_at(deadline, conn.accept_bi()).await {
        Ok(Ok(streams)) => Ok((conn, peer, streams)),
        Ok(Err(_)) => Err(EstablishError::Gone),
        Err(_) => {
            conn.close(CloseCode::Protocol.to_wire(), b"no first frame in time");
            Err(EstablishError::Silent)
        }
    }
}

/// Why an attempt became no link. Nothing to act on: the peer, or a stranger, did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EstablishError {
    /// The handshake was not done in 3 s.
    Timeout,
    /// The handshake was done, but no first frame came.
    Silent,
    /// The client showed no Ed25519 raw public key, or did not prove to hold it.
    NoKey,
    /// The client speaks another major version, or something else.
    Version,
    /// The client gave up.
    Gone,
    /// The client does not speak TLS as links do.
    Tls,
}

impl EstablishError {
    /// In the order of the variants, which is the order of the counters.
    pub const ALL: [Self; 6] = [Self::Timeout, Self::Silent, Self::NoKey, Self::Version, Self::Gone, Self::Tls];

    /// For metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Silent => "silent",
            Self::NoKey => "no_key",
            Self::Version => "version",
            Self::Gone => "gone",
            Self::Tls => "tls",
        }
    }
}

impl fmt::Display for EstablishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for EstablishError {}

fn classify(error: &ConnectionError) -> EstablishError {
    match error {
        ConnectionError::TimedOut => EstablishError::Timeout,
        ConnectionError::VersionMismatch => EstablishError::Version,
        ConnectionError::ConnectionClosed(_)
        | ConnectionError::ApplicationClosed(_)
        | ConnectionError::Reset
        | ConnectionError::LocallyClosed => EstablishError::Gone,
        ConnectionError::TransportError(error) => classify_alert(error.code),
        ConnectionError::CidsExhausted => EstablishError::Tls,
    }
}

fn classify_alert(code: TransportErrorCode) -> EstablishError {
    match tls::alert(code) {
        Some(tls::ALERT_NO_APPLICATION_PROTOCOL) => EstablishError::Version,
        Some(alert) if tls::KEY_ALERTS.contains(&alert) => EstablishError::NoKey,
        _ => EstablishError::Tls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_apart() {
        let counters = ListenerCounters::default();
        for (index, reason) in EstablishError::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            counters.count_failed(reason);
            assert!(
                EstablishError::ALL.iter().all(|other| counters.failed(*other) == u64::from(*other as usize <= index))
            );
        }
    }
}
