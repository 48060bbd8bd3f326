//! The player's end of a relay: a socket that speaks through one, and a pump for games that know nothing of it.
//!
//! ```text
//!   game ──payload──► RelaySocket ══20 bytes and payload══► relay ──payload──► game server
//!
//!   unmodified game ──UDP──► 127.0.0.1, pump ══════════════► relay ──payload──► game server
//! ```
//! A [`RelaySocket`] opens its flow again by itself when the relay was restarted, when the player's address changes, or
//! when the network was away; what is sent meanwhile is lost, as on any network.
//!
//! # How does a player join through a relay?
//! ```no_run
//! use std::time::Duration;
//! use playgate_client::player::{self, Ticket};
//!
//! # async fn f(ticket: Ticket) -> Result<(), Box<dyn std::error::Error>> {
//! // Through a relay if the ticket names one, and straight where none answers and the fleet allows it.
//! let (server, _joined) = player::connect(&ticket, Duration::from_secs(10)).await?;
//! server.send(b"hello, game").await?;
//! let mut buffer = [0; 2048];
//! let len = server.recv(&mut buffer).await?;
//! # Ok(())
//! # }
//! ```
//! Games with a loop of their own use [`PlayerFlow`], which neither waits nor reads a clock; those that cannot be changed use
//! a [`Pump`].

mod pump;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use playgate_protocol::List;
use playgate_protocol::handshake::{JoinState, Joiner};
use playgate_protocol::relay::{FlowEvent, HEADER_BYTES, PAYLOAD_BYTES_MAX};
pub use playgate_protocol::relay::{FlowState, PlayerFlow, RefuseCode, RelayAccess, SendError};
pub use pump::{Pump, pump};
use tokio::net::UdpSocket;

use crate::limits::EARLY_DATAGRAMS_MAX;
use crate::player::{JoinError, Joined, Ticket, is_about_the_path, nonce};
use crate::random::random;

/// Longest datagram of a relay.
const DATAGRAM_BYTES_MAX: usize = HEADER_BYTES + PAYLOAD_BYTES_MAX;

/// Why there is no flow.
#[derive(Debug)]
pub enum RelayError {
    /// No relay was given.
    NoRelay,
    /// The relay said no, or ended the flow.
    Refused(RefuseCode),
    /// No relay answered in time.
    TimedOut,
    /// The payload cannot be sent.
    Send(SendError),
    /// The socket failed.
    Socket(io::Error),
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRelay => f.write_str("the ticket names no relay"),
            Self::Refused(code) => write!(f, "the relay refused: {code}"),
            Self::TimedOut => f.write_str("no relay answered in time"),
            Self::Send(error) => error.fmt(f),
            Self::Socket(error) => write!(f, "the socket failed: {error}"),
        }
    }
}

impl std::error::Error for RelayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Send(error) => Some(error),
            Self::Socket(error) => Some(error),
            Self::NoRelay | Self::Refused(_) | Self::TimedOut => None,
        }
    }
}

/// A socket whose datagrams go through a relay.
///
/// One task receives, any number may send. The flow is kept alive, and opened again, while somebody waits in
/// [`recv`](Self::recv).
pub struct RelaySocket {
    socket: UdpSocket,
    started: Instant,
    /// Held for the length of a computation, never across an await.
    flow: Mutex<PlayerFlow>,
}

impl RelaySocket {
    /// Opens a flow through the first relay that takes it; each gets its share of `timeout`.
    ///
    /// # Errors
    /// [`RelayError`] of the last relay.
    pub async fn open(relays: &[RelayAccess], timeout: Duration) -> Result<Self, RelayError> {
        let share = timeout / u32::try_from(relays.len()).unwrap_or(u32::MAX).max(1);
        let mut failure = RelayError::NoRelay;
        for access in relays {
            match Self::open_one(access.clone(), share).await {
                Ok(socket) => return Ok(socket),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn open_one(access: RelayAccess, timeout: Duration) -> Result<Self, RelayError> {
        let wildcard = match access.address {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(wildcard).await.map_err(RelayError::Socket)?;
        let flow = PlayerFlow::new(access, random(), timeout, Duration::ZERO);
        let relay = Self { socket, started: Instant::now(), flow: Mutex::new(flow) };
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        while relay.state() != FlowState::Open {
            relay.turn(&mut buffer).await?;
        }
        Ok(relay)
    }

    /// The relay.
    #[must_use]
    pub fn relay(&self) -> SocketAddr {
        self.with(|flow| flow.relay())
    }

    /// How the flow is.
    #[must_use]
    pub fn state(&self) -> FlowState {
        self.with(|flow| flow.state())
    }

    pub(crate) fn is_opening(&self) -> bool {
        matches!(self.state(), FlowState::Knocking | FlowState::Opening)
    }

    /// The last round trip between player and relay that was measured.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.with(|flow| flow.round_trip())
    }

    /// Sends a payload to the game server.
    ///
    /// # Errors
    /// [`RelayError::Send`] if it is too long, or if the flow is not open at this moment.
    pub async fn send(&self, payload: &[u8]) -> Result<(), RelayError> {
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        let len = self.with(|flow| flow.wrap(payload, &mut datagram)).map_err(RelayError::Send)?;
        match self.socket.send_to(&datagram[..len], self.relay()).await {
            Err(error) if !is_about_the_path(&error) => Err(RelayError::Socket(error)),
            _ => Ok(()),
        }
    }

    /// Waits for the next payload of the game server, and keeps the flow meanwhile. Cancel-safe. What does not fit
    /// `buffer` is cut off; 1,432 bytes fit all.
    ///
    /// # Errors
    /// [`RelayError::Refused`] when the relay has ended the flow, [`RelayError::TimedOut`] when it was lost and could not be
    /// opened again.
    pub async fn recv(&self, buffer: &mut [u8]) -> Result<usize, RelayError> {
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        loop {
            if let Some(payload) = self.turn(&mut datagram).await? {
                let len = payload.len().min(buffer.len());
                buffer[..len].copy_from_slice(&payload[..len]);
                return Ok(len);
            }
        }
    }

    /// Shows a ticket to the game server, through the relay.
    ///
    /// # Errors
    /// [`JoinError`]
    pub async fn join(&self, ticket: &Ticket, timeout: Duration) -> Result<Joined, JoinError> {
        let relay = self.relay();
        let ticket = Ticket { addresses: List::first_of([relay]), ..ticket.clone() };
        let begun = Instant::now();
        let mut joiner = Joiner::new(&ticket, nonce(), timeout, Duration::ZERO).map_err(JoinError::BadTicket)?;
        let mut early = Vec::new();
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        loop {
            while let Some(transmit) = joiner.poll_transmit() {
                // What cannot be sent at this moment is as good as lost: the joiner repeats it.
                let _ = self.send(transmit.datagram.as_slice()).await;
            }
            match *joiner.state() {
                JoinState::Accepted { generation, server } => return Ok(Joined { server, generation, early }),
                JoinState::Refused(reason) => return Err(JoinError::Refused { reason }),
                JoinState::TimedOut => return Err(JoinError::TimedOut),
                JoinState::Knocking | JoinState::Proving => {}
            }
            let wait = joiner.poll_timeout().unwrap_or_default().saturating_sub(begun.elapsed());
            if let Ok(turn) = tokio::time::timeout(wait, self.turn(&mut datagram)).await
                && let Some(payload) = turn.map_err(JoinError::Relay)?
                && !joiner.handle(begun.elapsed(), relay, payload)
                && early.len() < EARLY_DATAGRAMS_MAX
            {
                early.push(payload.to_vec());
            }
            joiner.handle_timeout(begun.elapsed());
        }
    }

    /// Ends the flow in good order, so that the relay has room at once.
    pub async fn close(self) {
        self.with(PlayerFlow::close);
        self.flush().await;
    }

    /// Sends what is due, waits for one datagram or the next deadline, and says what came for the game. Cancel-safe.
    async fn turn<'b>(&self, datagram: &'b mut [u8; DATAGRAM_BYTES_MAX]) -> Result<Option<&'b [u8]>, RelayError> {
        self.flush().await;
        let deadline = match self.with(|flow| (flow.state(), flow.poll_timeout())) {
            (FlowState::Refused(code), _) => return Err(RelayError::Refused(code)),
            (FlowState::TimedOut, _) => return Err(RelayError::TimedOut),
            (_, deadline) => deadline.unwrap_or_default(),
        };
        let wait = deadline.saturating_sub(self.started.elapsed());
        let received = match tokio::time::timeout(wait, self.socket.recv_from(datagram)).await {
            Ok(Ok(received)) => Some(received),
            Ok(Err(error)) if !is_about_the_path(&error) => return Err(RelayError::Socket(error)),
            Ok(Err(_)) | Err(_) => None,
        };
        let now = self.started.elapsed();
        let range = self.with(|flow| {
            let is_payload = received
                .is_some_and(|(len, from)| matches!(flow.handle(now, from, &datagram[..len]), FlowEvent::Payload(_)));
            flow.handle_timeout(now);
            received.filter(|_| is_payload).map(|(len, _)| HEADER_BYTES..len)
        });
        // With a payload in the hand nothing is awaited, or whoever gives up at this moment loses it; the next turn sends.
        if range.is_none() {
            self.flush().await;
        }
        Ok(range.map(|range| &datagram[range]))
    }

    async fn flush(&self) {
        while let Some((datagram, relay)) = self.with(|flow| flow.poll_transmit().map(|sent| (sent, flow.relay()))) {
            // What cannot be sent is as good as lost: the flow repeats it.
            let _ = self.socket.send_to(datagram.as_slice(), relay).await;
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut PlayerFlow) -> T) -> T {
        work(&mut self.flow.lock().expect("nobody panics while holding it"))
    }
}

impl fmt::Debug for RelaySocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with(|flow| fmt::Debug::fmt(flow, f))
    }
}
