//! The dialling side.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use playgate_protocol::Fingerprint;
use quinn::{ClientConfig, ConnectError, Connecting, Connection, ConnectionError, Endpoint, EndpointConfig, Side};
use quinn::{RecvStream, SendStream, TransportConfig, TransportErrorCode};
use tokio::time::{Instant, timeout, timeout_at};

use crate::close::{CloseCode, CloseReason};
use crate::identity::Identity;
use crate::limits;
use crate::link::{Link, LinkGuard};
use crate::profile::{LinkProfile, limits_of_endpoint};
use crate::socket::{self, BindError};
use crate::tls::{self, Pinned};

/// Dials links under one identity. One UDP socket per address family serves all of them.
pub struct Dialer {
    identity: Identity,
    profile: LinkProfile,
    transport: Arc<TransportConfig>,
    /// Held while a socket is opened or a dial begins, never across an await.
    sockets: Mutex<Sockets>,
}

struct Sockets {
    v4: Option<Endpoint>,
    v6: Option<Endpoint>,
    shut: bool,
}

impl Dialer {
    /// Opens the first socket, so that a machine that cannot dial says so at once. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`] when no UDP socket of either address family can be opened, or there is no runtime.
    pub fn new(identity: Identity, profile: LinkProfile) -> Result<Self, BindError> {
        let mut sockets = Sockets { v4: None, v6: None, shut: false };
        match open(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) {
            Ok(endpoint) => sockets.v4 = Some(endpoint),
            Err(_) => sockets.v6 = Some(open(IpAddr::V6(Ipv6Addr::UNSPECIFIED))?),
        }
        let transport = profile.transport(Side::Client);
        Ok(Self { identity, profile, transport, sockets: Mutex::new(sockets) })
    }

    /// Who this dialler is to its peers.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Establishes a link with the holder of the pinned key, within 3 s.
    ///
    /// The listener sees the link once the first frame is queued; a dialler that stays silent for 3 s is closed. The
    /// listener checks this side's key after this returns, so a refusal of it shows as a close of the link.
    ///
    /// # Errors
    /// [`DialError`]: each kind needs something else from the caller.
    pub async fn dial(&self, addr: SocketAddr, pin: &Fingerprint) -> Result<Link, DialError> {
        let deadline = Instant::now() + limits::HANDSHAKE_TIME_MAX;
        let pinned = Pinned::new(*pin);
        let connecting = self.connect(addr, &pinned)?;
        let established = timeout_at(deadline, handshake_and_stream(connecting)).await;
        match established.map_err(|_| DialError::Unreachable { addr })? {
            Ok((conn, streams)) => Ok(Link::new(conn, *pin, streams, self.profile, LinkGuard::default())),
            Err(error) => Err(classify(addr, error, &pinned)),
        }
    }

    /// Closes all links of this dialler with [`CloseCode::Done`] and waits until that is sent, at most `within`: the
    /// last thing before the process exits. Nothing can be dialled after it.
    pub async fn shutdown(&self, within: Duration) {
        let endpoints: Vec<Endpoint> = {
            let mut sockets = self.sockets();
            sockets.shut = true;
            [sockets.v4.take(), sockets.v6.take()].into_iter().flatten().collect()
        };
        for endpoint in &endpoints {
            endpoint.close(CloseCode::Done.to_wire(), b"");
        }
        let all_idle = async {
            for endpoint in &endpoints {
                endpoint.wait_idle().await;
            }
        };
        let _ = timeout(within, all_idle).await;
    }

    /// As when the machine gets another address.
    #[cfg(test)]
    pub(crate) fn move_to(&self, socket: std::net::UdpSocket) {
        self.sockets().v4.as_ref().expect("it has dialled").rebind(socket).expect("a fresh socket");
    }

    fn sockets(&self) -> MutexGuard<'_, Sockets> {
        self.sockets.lock().expect("nothing panics while it holds the sockets")
    }

    fn connect(&self, addr: SocketAddr, pin: &Arc<Pinned>) -> Result<Connecting, DialError> {
        let mut config = ClientConfig::new(tls::quic_client(&self.identity, pin.clone()));
        config.transport_config(self.transport.clone());
        let mut sockets = self.sockets();
        let endpoint = sockets.endpoint_for(addr)?;
        match endpoint.connect_with(config.clone(), addr, tls::SERVER_NAME) {
            // The socket failed since it was opened, for instance with an interface that went away.
            Err(ConnectError::EndpointStopping) => {
                sockets.forget(addr);
                sockets.endpoint_for(addr)?.connect_with(config, addr, tls::SERVER_NAME)
            }
            outcome => outcome,
        }
        .map_err(|_| DialError::BadAddress { addr })
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("identity", &self.identity)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}

impl Sockets {
    fn endpoint_for(&mut self, addr: SocketAddr) -> Result<Endpoint, DialError> {
        if self.shut {
            return Err(DialError::ShutDown);
        }
        let (slot, wildcard): (_, IpAddr) = match addr {
            SocketAddr::V4(_) => (&mut self.v4, Ipv4Addr::UNSPECIFIED.into()),
            SocketAddr::V6(_) => (&mut self.v6, Ipv6Addr::UNSPECIFIED.into()),
        };
        if slot.is_none() {
            *slot = Some(open(wildcard).map_err(DialError::Socket)?);
        }
        Ok(slot.clone().expect("filled just above"))
    }

    fn forget(&mut self, addr: SocketAddr) {
        match addr {
            SocketAddr::V4(_) => self.v4 = None,
            SocketAddr::V6(_) => self.v6 = None,
        }
    }
}

fn open(wildcard: IpAddr) -> Result<Endpoint, BindError> {
    let addr = SocketAddr::new(wildcard, 0);
    let mut config = EndpointConfig::default();
    limits_of_endpoint(&mut config);
    socket::endpoint(addr, config, None, socket::bind(addr)?)
}

async fn handshake_and_stream(
    connecting: Connecting,
) -> Result<(Connection, (SendStream, RecvStream)), ConnectionError> {
    let conn = connecting.await?;
    let streams = conn.open_bi().await?;
    Ok((conn, streams))
}

/// Why there is no link.
#[derive(Debug)]
pub enum DialError {
    /// Nobody answered in time. Try again later.
    Unreachable {
        /// Who was dialled.
        addr: SocketAddr,
    },
    /// Nobody can be dialled at such an address (port 0, or a wildcard).
    BadAddress {
        /// Who was dialled.
        addr: SocketAddr,
    },
    /// Somebody else answers there. Trying again will not help.
    WrongFingerprint {
        /// Who was dialled.
        addr: SocketAddr,
        /// The pin.
        expected: Fingerprint,
        /// The key that was shown.
        got: Fingerprint,
    },
    /// The listener takes no further links at the moment. Try again later.
    Busy {
        /// Who was dialled.
        addr: SocketAddr,
    },
    /// The listener closed the link during the handshake.
    Refused {
        /// Who was dialled.
        addr: SocketAddr,
        /// What it said.
        reason: CloseReason,
    },
    /// What answers there speaks another major version. It has not shown its key, so it may be somebody else; look again
    /// later.
    VersionMismatch {
        /// Who was dialled.
        addr: SocketAddr,
    },
    /// What answers there speaks QUIC, but not as links do. Trying again will not help.
    NotPlaygate {
        /// Who was dialled.
        addr: SocketAddr,
    },
    /// No socket of that address family can be opened here.
    Socket(BindError),
    /// [`Dialer::shutdown`] was called.
    ShutDown,
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { addr } => write!(
                f,
                "no answer from {addr} within {} s: check that it runs, the address, and that UDP may pass",
                limits::HANDSHAKE_TIME_MAX.as_secs()
            ),
            Self::BadAddress { addr } => write!(f, "{addr} cannot be dialled: give an address and a port"),
            Self::WrongFingerprint { addr, expected, got } => write!(
                f,
                "{addr} has the key {got}, not {expected}: if it was set up anew, get a new join key from it; \
                 otherwise this is another machine, or somebody is in between"
            ),
            Self::Busy { addr } => write!(f, "{addr} takes no further links at the moment: try again later"),
            Self::Refused { addr, reason } => write!(f, "{addr} refused: {reason}"),
            Self::VersionMismatch { addr } => {
                write!(f, "what answers at {addr} speaks another version: use the same release on both sides")
            }
            Self::NotPlaygate { addr } => write!(f, "{addr} is not a Playgate listener: check address and port"),
            Self::Socket(error) => error.fmt(f),
            Self::ShutDown => f.write_str("this side is shutting down"),
        }
    }
}

impl std::error::Error for DialError {}

fn classify(addr: SocketAddr, error: ConnectionError, pin: &Pinned) -> DialError {
    if let Some((expected, got)) = pin.mismatch() {
        return DialError::WrongFingerprint { addr, expected, got };
    }
    match error {
        ConnectionError::TimedOut => DialError::Unreachable { addr },
        ConnectionError::VersionMismatch => DialError::VersionMismatch { addr },
        ConnectionError::LocallyClosed => DialError::ShutDown,
        ConnectionError::ApplicationClosed(_) | ConnectionError::Reset => {
            DialError::Refused { addr, reason: error.into() }
        }
        ConnectionError::ConnectionClosed(close) => classify_code(addr, close.error_code),
        ConnectionError::TransportError(error) => classify_code(addr, error.code),
        ConnectionError::CidsExhausted => DialError::NotPlaygate { addr },
    }
}

fn classify_code(addr: SocketAddr, code: TransportErrorCode) -> DialError {
    // A listener that shuts down in mid-handshake says so in a packet that cannot carry its reason (RFC 9000, 10.2.3).
    let gone = [TransportErrorCode::APPLICATION_ERROR, TransportErrorCode::NO_ERROR].contains(&code);
    // A listener whose wall clock was stepped forward finds its own Retry too old.
    let outdated = code == TransportErrorCode::INVALID_TOKEN;
    if gone || outdated || code == TransportErrorCode::CONNECTION_REFUSED {
        DialError::Busy { addr }
    } else if tls::alert(code) == Some(tls::ALERT_NO_APPLICATION_PROTOCOL) {
        DialError::VersionMismatch { addr }
    } else {
        DialError::NotPlaygate { addr }
    }
}
