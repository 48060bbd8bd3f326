//! An authenticated link, before it is split into its two halves.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use playgate_protocol::Fingerprint;
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::OwnedSemaphorePermit;

use crate::admission::Permit;
use crate::close::CloseReason;
use crate::counters::{ListenerCounters, count};
use crate::profile::LinkProfile;
use crate::receiver::FrameReceiver;
use crate::sender::{FrameSender, Outgoing};

/// A link whose peer has proved who it is. Dropped before [`Link::split`], it closes.
pub struct Link {
    conn: Connection,
    peer: Fingerprint,
    send: SendStream,
    recv: RecvStream,
    profile: LinkProfile,
    guard: Arc<LinkGuard>,
}

/// What a listener keeps of each of its links: a place among the `max_links`, a permit until the peer is introduced,
/// and where to count. Empty on the dialling side.
#[derive(Default)]
pub(crate) struct LinkGuard {
    counters: Option<Arc<ListenerCounters>>,
    _place: Option<OwnedSemaphorePermit>,
    permit: Mutex<Option<Permit>>,
}

impl LinkGuard {
    pub(crate) fn of_listener(counters: Arc<ListenerCounters>, place: OwnedSemaphorePermit, permit: Permit) -> Self {
        Self { counters: Some(counters), _place: Some(place), permit: Mutex::new(Some(permit)) }
    }

    pub(crate) fn introduced(&self) {
        *self.permit.lock().expect("nothing panics while it holds the permit") = None;
    }

    pub(crate) fn count_refused_frame(&self) {
        if let Some(counters) = &self.counters {
            count(&counters.frames_refused);
        }
    }
}

impl Link {
    pub(crate) fn new(
        conn: Connection,
        peer: Fingerprint,
        (send, recv): (SendStream, RecvStream),
        profile: LinkProfile,
        guard: LinkGuard,
    ) -> Self {
        Self { conn, peer, send, recv, profile, guard: Arc::new(guard) }
    }

    /// The key that the peer proved to hold.
    #[must_use]
    pub fn peer(&self) -> Fingerprint {
        self.peer
    }

    /// Where the peer dialled from; a peer that moves has to dial again. An IPv4 peer of an IPv6 socket is shown as IPv4.
    #[must_use]
    pub fn remote_addr(&self) -> SocketAddr {
        canonical(self.conn.remote_address())
    }

    /// The local address that the peer's packets arrive at, where the system tells.
    #[must_use]
    pub fn local_ip(&self) -> Option<IpAddr> {
        self.conn.local_ip().map(|ip| ip.to_canonical())
    }

    /// Waits until the link is over.
    pub async fn closed(&self) -> CloseReason {
        self.conn.closed().await.into()
    }

    /// The two halves; each may move to a task of its own. Starts the task that writes, so call it inside a tokio
    /// runtime.
    #[must_use]
    pub fn split(self) -> (FrameSender, FrameReceiver) {
        let outgoing = Outgoing::new(self.conn.clone(), self.profile.queue_bytes_max, self.guard.clone());
        let receiver = FrameReceiver::new(self.conn, self.recv, self.guard);
        (FrameSender::start(outgoing, self.send), receiver)
    }

    #[cfg(test)]
    pub(crate) fn connection(&self) -> &Connection {
        &self.conn
    }
}

pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("peer", &self.peer).finish_non_exhaustive()
    }
}
