//! The player's end: shows a ticket to the game server and gets in.
//!
//! ```text
//!   ticket ──► join ──HELLO, PROOF──► game server
//!                  ◄──ACCEPT───────┘
//!              the same socket, the server's address: now speak the game's own protocol
//! ```
//! Coming back after a lost connection is the same call with the same ticket, from any socket: as long as the server
//! keeps the slot it lets the player in, however old the ticket is.
//!
//! # What if my game has a loop of its own?
//! [`connect`] goes through a relay where the ticket has one. Those who own their socket have three ways to go straight, from
//! the simplest to the one that owns nothing: [`join`] on tokio; [`join_blocking`] on a plain socket, before the loop begins;
//! [`Joiner`] inside the loop, which neither waits nor reads a clock. A [`Pump`](crate::relay::Pump) takes any of them
//! through a relay.
//!
//! ```no_run
//! use std::time::{Duration, Instant};
//! use playgate_client::player::{Joiner, JoinState, Ticket, nonce};
//!
//! # fn handle_game_datagram(_: &[u8]) {}
//! # fn f(ticket: &Ticket) -> Result<(), Box<dyn std::error::Error>> {
//! let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
//! socket.set_nonblocking(true)?;
//! let start = Instant::now();
//! let mut joiner = Joiner::new(ticket, nonce(), Duration::from_secs(10), start.elapsed())?;
//! let mut buffer = [0; 2048];
//! loop {
//!     // Once a tick:
//!     while let Ok((len, from)) = socket.recv_from(&mut buffer) {
//!         if !joiner.handle(start.elapsed(), from, &buffer[..len]) {
//!             handle_game_datagram(&buffer[..len]);
//!         }
//!     }
//!     joiner.handle_timeout(start.elapsed());
//!     while let Some(transmit) = joiner.poll_transmit() {
//!         socket.send_to(transmit.datagram.as_slice(), transmit.to)?;
//!     }
//!     if let JoinState::Accepted { server, .. } = joiner.state() {
//!         println!("in; play with {server}");
//!     }
//! #   break Ok(());
//! }
//! # }
//! ```

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

pub use playgate_protocol::handshake::{JoinState, Joiner, RefuseCode, TicketUnusable, Transmit};
pub use playgate_protocol::{TextFormError, Ticket};
use tokio::net::UdpSocket;

pub use crate::connection::{Connection, connect};
use crate::limits::{DATAGRAM_BYTES_MAX, EARLY_DATAGRAMS_MAX};
use crate::random::random;
use crate::relay::RelayError;

/// The player is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Which of the ticket's addresses serves; send the game's datagrams there.
    pub server: SocketAddr,
    /// 1 at the first admission, one more with every reconnect.
    pub generation: u32,
    /// Datagrams of the game that came before the server's answer did, oldest first, at most 32.
    pub early: Vec<Vec<u8>>,
}

/// Why the player is not in.
#[derive(Debug)]
pub enum JoinError {
    /// The server said no. Trying again with this ticket is of no use.
    Refused {
        /// Why, where the fleet tells players; [`RefuseCode::Refused`] where it does not.
        reason: RefuseCode,
    },
    /// No answer in time: nobody is there, packets are lost, or the ticket is for another server.
    TimedOut,
    /// The ticket is not one that can be shown.
    BadTicket(TicketUnusable),
    /// No relay leads to the server, and the ticket knows no other way.
    Relay(RelayError),
    /// The socket failed.
    Socket(io::Error),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { reason: RefuseCode::Refused } => f.write_str("the server refused the ticket"),
            Self::Refused { reason } => write!(f, "the server refused the ticket: {reason}"),
            Self::TimedOut => f.write_str("the server did not answer in time"),
            Self::BadTicket(error) => error.fmt(f),
            Self::Relay(error) => error.fmt(f),
            Self::Socket(error) => write!(f, "the socket failed: {error}"),
        }
    }
}

impl std::error::Error for JoinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::BadTicket(error) => Some(error),
            Self::Relay(error) => Some(error),
            Self::Socket(error) => Some(error),
            Self::Refused { .. } | Self::TimedOut => None,
        }
    }
}

/// 16 random bytes for [`Joiner::new`] and [`Joiner::reconnect`].
#[must_use]
pub fn nonce() -> [u8; 16] {
    random()
}

/// Opens a socket and joins with it. A ticket with addresses of both families is tried with one after the other, each
/// for its share of `timeout`.
///
/// # Errors
/// [`JoinError`]
pub async fn join(ticket: &Ticket, timeout: Duration) -> Result<(UdpSocket, Joined), JoinError> {
    let families = families(ticket);
    let share = timeout / u32::try_from(families.len()).expect("there are two families").max(1);
    let mut failure = JoinError::BadTicket(TicketUnusable::NoAddress);
    for wildcard in families {
        let socket = match UdpSocket::bind((wildcard, 0)).await {
            Ok(socket) => socket,
            Err(error) => {
                failure = JoinError::Socket(error); // a machine without this family may have the other
                continue;
            }
        };
        match join_on(&socket, &of_family(ticket, wildcard), share).await {
            Err(missed @ (JoinError::TimedOut | JoinError::Socket(_))) => failure = missed,
            outcome => return outcome.map(|joined| (socket, joined)),
        }
    }
    Err(failure)
}

/// Joins with a socket of the game's own, which is not connected. Cancel-safe: the server then holds a player who does not come, as if the
/// connection had broken.
///
/// # Errors
/// [`JoinError`]
pub async fn join_on(socket: &UdpSocket, ticket: &Ticket, timeout: Duration) -> Result<Joined, JoinError> {
    let mut attempt = Attempt::new(ticket, timeout)?;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        while let Some(transmit) = attempt.joiner.poll_transmit() {
            // What cannot be sent to one address, or at this moment, is as good as lost: the joiner repeats and goes on.
            let _ = socket.send_to(transmit.datagram.as_slice(), transmit.to).await;
        }
        if let Some(outcome) = attempt.outcome() {
            return outcome;
        }
        match tokio::time::timeout(attempt.patience(), socket.recv_from(&mut buffer)).await {
            Ok(received) => attempt.received(received, &buffer)?,
            Err(_) => attempt.wake(),
        }
    }
}

/// Joins with a plain socket, which is not connected, and blocks the thread for at most `timeout`. The socket may be in
/// non-blocking mode, and its read timeout is afterwards what it was before.
///
/// # Errors
/// [`JoinError`]
pub fn join_blocking(socket: &std::net::UdpSocket, ticket: &Ticket, timeout: Duration) -> Result<Joined, JoinError> {
    let read_timeout = socket.read_timeout().map_err(JoinError::Socket)?;
    let outcome = block(socket, ticket, timeout);
    socket.set_read_timeout(read_timeout).map_err(JoinError::Socket)?;
    outcome
}

fn block(socket: &std::net::UdpSocket, ticket: &Ticket, timeout: Duration) -> Result<Joined, JoinError> {
    let mut attempt = Attempt::new(ticket, timeout)?;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        while let Some(transmit) = attempt.joiner.poll_transmit() {
            let _ = socket.send_to(transmit.datagram.as_slice(), transmit.to); // as in `join_on`
        }
        if let Some(outcome) = attempt.outcome() {
            return outcome;
        }
        // The system refuses a timeout of zero.
        let patience = attempt.patience().max(TICK);
        let asked = Instant::now();
        socket.set_read_timeout(Some(patience)).map_err(JoinError::Socket)?;
        match socket.recv_from(&mut buffer) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if asked.elapsed() < patience {
                    std::thread::sleep(TICK); // a non-blocking socket does not wait by itself
                }
                attempt.wake();
            }
            received => attempt.received(received, &buffer)?,
        }
    }
}

/// Shortest wait of [`join_blocking`].
const TICK: Duration = Duration::from_millis(1);

/// What both ways of waiting have in common: a joiner, its clock, and what came for the game meanwhile.
struct Attempt {
    joiner: Joiner,
    started: Instant,
    early: Vec<(SocketAddr, Vec<u8>)>,
}

impl Attempt {
    fn new(ticket: &Ticket, timeout: Duration) -> Result<Self, JoinError> {
        let joiner = Joiner::new(ticket, nonce(), timeout, Duration::ZERO).map_err(JoinError::BadTicket)?;
        Ok(Self { joiner, started: Instant::now(), early: Vec::new() })
    }

    fn patience(&self) -> Duration {
        let at = self.joiner.poll_timeout().unwrap_or_default();
        at.saturating_sub(self.started.elapsed())
    }

    fn wake(&mut self) {
        self.joiner.handle_timeout(self.started.elapsed());
    }

    fn received(&mut self, received: io::Result<(usize, SocketAddr)>, buffer: &[u8]) -> Result<(), JoinError> {
        match received {
            Ok((len, from)) => {
                let ours = self.joiner.handle(self.started.elapsed(), from, &buffer[..len]);
                if !ours && self.early.len() < EARLY_DATAGRAMS_MAX {
                    self.early.push((from, buffer[..len].to_vec()));
                }
                // Datagrams in a row must not put off the repetitions.
                self.wake();
                Ok(())
            }
            Err(error) if is_about_the_path(&error) => Ok(()),
            Err(error) => Err(JoinError::Socket(error)),
        }
    }

    fn outcome(&mut self) -> Option<Result<Joined, JoinError>> {
        match *self.joiner.state() {
            JoinState::Knocking | JoinState::Proving => None,
            JoinState::Accepted { generation, server } => {
                let early = std::mem::take(&mut self.early).into_iter();
                let early = early.filter(|(from, _)| *from == server).map(|(_, datagram)| datagram).collect();
                Some(Ok(Joined { server, generation, early }))
            }
            JoinState::Refused(reason) => Some(Err(JoinError::Refused { reason })),
            JoinState::TimedOut => Some(Err(JoinError::TimedOut)),
        }
    }
}

/// Errors that tell of ICMP messages, which anybody can send, or of one address only.
pub(crate) fn is_about_the_path(error: &io::Error) -> bool {
    use io::ErrorKind::{
        AddrNotAvailable, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, WouldBlock,
    };
    let kind = error.kind();
    matches!(
        kind,
        AddrNotAvailable
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | WouldBlock
    )
}

/// A wildcard for each address family in the ticket, in the ticket's order.
fn families(ticket: &Ticket) -> Vec<IpAddr> {
    let mut families: Vec<IpAddr> = Vec::new();
    for address in &ticket.addresses {
        let wildcard = wildcard(address);
        if !families.contains(&wildcard) {
            families.push(wildcard);
        }
    }
    families
}

pub(crate) fn wildcard(address: &SocketAddr) -> IpAddr {
    match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

pub(crate) fn of_family(ticket: &Ticket, family: IpAddr) -> Ticket {
    let mut ticket = ticket.clone();
    let addresses = ticket.addresses.iter().filter(|address| wildcard(address) == family).copied();
    ticket.addresses = playgate_protocol::List::first_of(addresses.collect::<Vec<_>>());
    ticket
}
