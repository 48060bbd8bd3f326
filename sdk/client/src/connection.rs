//! A player's way to the game server: straight, or through a relay.
//!
//! ```text
//!   ticket ──relays?──yes──► the first relay that answers ──► joined through it: Relayed
//!              │                      │ none answers, or the server does not
//!              │ no                   ▼
//!              └──────────► addresses? ──yes──► joined straight: Direct
//!                                │ no
//!                                └────► not joined
//! ```
//! Which of the two a player may go is the fleet's choice: the tickets of a fleet with `relay = "required"` have no
//! address of the server.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use playgate_protocol::Ticket;
use tokio::net::UdpSocket;

use crate::player::{JoinError, Joined, is_about_the_path, join, join_on, of_family, wildcard};
use crate::relay::{RelayAccess, RelayError, RelaySocket, SendError};

/// A socket that is connected with a game server, as far as UDP goes.
pub enum Connection {
    /// Nothing is between player and server.
    Direct {
        /// Not connected: other datagrams than the server's are left out by [`Connection::recv`].
        socket: UdpSocket,
        /// The server.
        server: SocketAddr,
    },
    /// Everything goes through a relay.
    Relayed(Box<RelaySocket>),
}

/// Shows where it goes.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct { server, .. } => write!(f, "Direct({server})"),
            Self::Relayed(relay) => write!(f, "Relayed({relay:?})"),
        }
    }
}

/// Joins the way that the ticket shows: through one of its relays, and straight if none of them leads to the server and
/// the ticket says where that is. With both ways open each has half of `timeout`; of the relays' time three quarters are for
/// finding one, shared by their addresses.
///
/// Whoever lost the connection for good calls it again, with the same ticket or a newer one.
///
/// # Errors
/// [`JoinError`]; the server's no is final, whichever way it came.
pub async fn connect(ticket: &Ticket, timeout: Duration) -> Result<(Connection, Joined), JoinError> {
    let begun = Instant::now();
    let relays: Vec<RelayAccess> = ticket.relay_accesses().collect();
    let is_hidden = ticket.addresses.is_empty();
    if !relays.is_empty() {
        let share = if is_hidden { timeout } else { timeout / 2 };
        match through(&relays, ticket, share).await {
            Err(JoinError::Relay(_) | JoinError::TimedOut | JoinError::Socket(_)) if !is_hidden => {}
            outcome => return outcome,
        }
    }
    let (socket, joined) = join(ticket, timeout.saturating_sub(begun.elapsed())).await?;
    Ok((Connection::Direct { socket, server: joined.server }, joined))
}

async fn through(
    relays: &[RelayAccess],
    ticket: &Ticket,
    timeout: Duration,
) -> Result<(Connection, Joined), JoinError> {
    let begun = Instant::now();
    let relay = RelaySocket::open(relays, timeout * 3 / 4).await.map_err(JoinError::Relay)?;
    match relay.join(ticket, timeout.saturating_sub(begun.elapsed())).await {
        Ok(joined) => Ok((Connection::Relayed(Box::new(relay)), joined)),
        Err(error) => {
            relay.close().await; // it has room at once
            Err(error)
        }
    }
}

impl Connection {
    /// The relay, if there is one.
    #[must_use]
    pub fn relay(&self) -> Option<SocketAddr> {
        match self {
            Self::Direct { .. } => None,
            Self::Relayed(relay) => Some(relay.relay()),
        }
    }

    /// Sends a datagram of the game to the server. What cannot be sent at this moment, because the network is away or the
    /// flow is being opened again, is lost, as on any network.
    ///
    /// # Errors
    /// [`RelayError::Send`] through a relay, if the datagram is too long or the flow is over; [`RelayError::Socket`].
    pub async fn send(&self, datagram: &[u8]) -> Result<(), RelayError> {
        match self {
            Self::Direct { socket, server } => match socket.send_to(datagram, server).await {
                Err(error) if !is_about_the_path(&error) => Err(RelayError::Socket(error)),
                _ => Ok(()),
            },
            Self::Relayed(relay) => match relay.send(datagram).await {
                Err(RelayError::Send(SendError::NotOpen)) if relay.is_opening() => Ok(()),
                outcome => outcome,
            },
        }
    }

    /// Waits for the server's next datagram, and keeps the flow through a relay meanwhile. Cancel-safe. What does not fit
    /// `buffer` is cut off.
    ///
    /// # Errors
    /// [`RelayError::Refused`] or [`RelayError::TimedOut`] when there is no way through the relay any more;
    /// [`RelayError::Socket`].
    pub async fn recv(&self, buffer: &mut [u8]) -> Result<usize, RelayError> {
        let (socket, server) = match self {
            Self::Direct { socket, server } => (socket, server),
            Self::Relayed(relay) => return relay.recv(buffer).await,
        };
        loop {
            match socket.recv_from(buffer).await {
                Ok((len, from)) if from == *server => return Ok(len),
                Err(error) if !is_about_the_path(&error) => return Err(RelayError::Socket(error)),
                _ => {}
            }
        }
    }

    /// Shows the ticket once more, from the same socket: for a server that does not know the player any more. When the
    /// way itself is lost, [`connect`] finds another one.
    ///
    /// # Errors
    /// [`JoinError`]
    pub async fn rejoin(&mut self, ticket: &Ticket, timeout: Duration) -> Result<Joined, JoinError> {
        match self {
            Self::Direct { socket, server } => {
                let local = socket.local_addr().map_err(JoinError::Socket)?;
                let joined = join_on(socket, &of_family(ticket, wildcard(&local)), timeout).await?;
                *server = joined.server;
                Ok(joined)
            }
            Self::Relayed(relay) => relay.join(ticket, timeout).await,
        }
    }

    /// Ends it; a relay has room at once.
    pub async fn close(self) {
        if let Self::Relayed(relay) = self {
            relay.close().await;
        }
    }
}
