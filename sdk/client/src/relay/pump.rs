//! Carries the datagrams of a game that knows nothing of relays.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use playgate_protocol::relay::PAYLOAD_BYTES_MAX;
use playgate_protocol::{List, Ticket};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;

use super::{RelayAccess, RelayError, RelaySocket};
use crate::player::is_about_the_path;

/// Carries the datagrams of an unmodified game: it sends to `local`, which should be bound to loopback, and hears what
/// its server says from there. Runs until the flow has ended.
///
/// The game may change its port; whoever sent last is the game.
///
/// # Errors
/// [`RelayError`], when the flow is over or the socket fails.
pub async fn pump(local: &UdpSocket, relay: &RelaySocket) -> Result<(), RelayError> {
    let mut game: Option<SocketAddr> = None;
    let (mut up, mut down) = ([0; 2_048], [0; PAYLOAD_BYTES_MAX]);
    loop {
        tokio::select! {
            said = local.recv_from(&mut up) => match said {
                Ok((len, from)) => {
                    game = Some(from);
                    // A payload that is too long, or that comes while the flow is being opened, is lost.
                    let _ = relay.send(&up[..len]).await;
                }
                Err(error) if is_about_the_path(&error) => {}
                Err(error) => return Err(RelayError::Socket(error)),
            },
            heard = relay.recv(&mut down) => {
                let len = heard?;
                if let Some(game) = game {
                    // A game that is gone hears nothing.
                    let _ = local.send_to(&down[..len], game).await;
                }
            }
        }
    }
}

/// A thread that carries the datagrams of a game through a relay, from an address on loopback. Dropped, it ends the flow
/// in good order.
///
/// ```no_run
/// # use std::time::Duration;
/// # use playgate_client::{player::{self, Ticket}, relay::Pump};
/// # fn f(ticket: &Ticket) -> Result<(), Box<dyn std::error::Error>> {
/// let pump = Pump::start(ticket, Duration::from_secs(5))?;
/// println!("let the game connect to {}", pump.local_addr());
/// // A game that shows tickets shows this one there:
/// let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// player::join_blocking(&socket, &pump.ticket(), Duration::from_secs(10))?;
/// # Ok(()) }
/// ```
pub struct Pump {
    ticket: Ticket,
    local: SocketAddr,
    relay: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Pump {
    /// Opens the flow that the ticket's relays give, and begins to carry.
    ///
    /// # Errors
    /// [`RelayError`] when there is no relay that answers.
    pub fn start(ticket: &Ticket, timeout: Duration) -> Result<Self, RelayError> {
        let relays: Vec<RelayAccess> = ticket.relay_accesses().collect();
        let (stop, stopped) = oneshot::channel();
        let (told, opened) = mpsc::sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RelayError::Socket)?;
        let carry = async move {
            let opened = open(&relays, timeout).await;
            let (sockets, outcome) = match opened {
                Ok((local, relay, at)) => {
                    let through = relay.relay();
                    (Some((local, relay)), Ok((at, through)))
                }
                Err(error) => (None, Err(error)),
            };
            let _ = told.send(outcome); // whoever started this waits for it
            let Some((local, relay)) = sockets else { return };
            tokio::select! {
                ended = pump(&local, &relay) => drop(ended),
                _ = stopped => relay.close().await,
            }
        };
        let run = move || runtime.block_on(carry);
        let thread = std::thread::Builder::new().name("playgate-pump".into()).spawn(run).map_err(RelayError::Socket)?;
        let (local, relay) = opened.recv().map_err(|_| RelayError::TimedOut)??;
        let ticket = Ticket { addresses: List::first_of([local]), relays: List::default(), ..ticket.clone() };
        Ok(Self { ticket, local, relay, stop: Some(stop), thread: Some(thread) })
    }

    /// Starts one where the ticket names relays. `None` where the way is straight: no relay is named, or none answers and
    /// the ticket says where the server is.
    ///
    /// # Errors
    /// [`RelayError`] when no relay answers and there is no other way.
    pub fn start_where_needed(ticket: &Ticket, timeout: Duration) -> Result<Option<Self>, RelayError> {
        if ticket.relays.is_empty() {
            return Ok(None);
        }
        match Self::start(ticket, timeout) {
            Err(_) if !ticket.addresses.is_empty() => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// Where the game sends to, and hears from.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The relay.
    #[must_use]
    pub fn relay(&self) -> SocketAddr {
        self.relay
    }

    /// The ticket, for a game that shows it through the pump.
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.ticket.clone()
    }

    /// Whether the flow has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

async fn open(relays: &[RelayAccess], timeout: Duration) -> Result<(UdpSocket, RelaySocket, SocketAddr), RelayError> {
    let relay = RelaySocket::open(relays, timeout).await?;
    let local = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(RelayError::Socket)?;
    let at = local.local_addr().map_err(RelayError::Socket)?;
    Ok((local, relay, at))
}

impl Drop for Pump {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Pump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pump(from {})", self.local)
    }
}
