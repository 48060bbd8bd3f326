//! A relay of datagrams between the coordinator and one place, for machines without namespaces: it forgets those of one
//! direction, or of both, for as long as it is told to.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;

use super::{Cut, Place};

/// Somebody who was silent for this long is forgotten; far longer than a link lives in silence.
const IDLE: Duration = Duration::from_secs(20);
/// Peers of one relay at a time.
const PEERS_MAX: usize = 4_096;
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// One relay for each place but the coordinator's.
pub struct Relays(BTreeMap<Place, Relay>);

struct Relay {
    front: SocketAddr,
    cut: Arc<Switches>,
}

#[derive(Default)]
struct Switches {
    to: AtomicBool,
    from: AtomicBool,
}

impl Relays {
    /// On a thread of their own, which ends with the program.
    pub fn start(coordinator: SocketAddr) -> io::Result<Self> {
        let (mut relays, mut sockets) = (BTreeMap::new(), Vec::new());
        for place in [Place::HostA, Place::HostB, Place::Backends] {
            let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_nonblocking(true)?;
            let relay = Relay { front: socket.local_addr()?, cut: Arc::default() };
            sockets.push((socket, relay.cut.clone()));
            relays.insert(place, relay);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serve = move || {
            runtime.block_on(async {
                let serving: Vec<_> = sockets
                    .into_iter()
                    .map(|(socket, cut)| tokio::spawn(async move { serve(socket, coordinator, cut).await }))
                    .collect();
                for relay in serving {
                    if let Ok(Err(error)) = relay.await {
                        eprintln!("a relay failed: {error}");
                    }
                }
            });
        };
        std::thread::Builder::new().name("relays".to_owned()).spawn(serve)?;
        Ok(Self(relays))
    }

    pub fn front(&self, place: Place) -> SocketAddr {
        self.0[&place].front
    }

    /// The coordinator's place is cut off by cutting off all others.
    pub fn cut(&self, place: Place, cut: Cut) {
        for relay in self.of(place) {
            relay.cut.to.store(cut != Cut::FromCoordinator, Ordering::Relaxed);
            relay.cut.from.store(cut != Cut::ToCoordinator, Ordering::Relaxed);
        }
    }

    pub fn restore(&self, place: Place) {
        for relay in self.of(place) {
            relay.cut.to.store(false, Ordering::Relaxed);
            relay.cut.from.store(false, Ordering::Relaxed);
        }
    }

    fn of(&self, place: Place) -> impl Iterator<Item = &Relay> {
        self.0.iter().filter(move |(at, _)| place == Place::Coordinator || **at == place).map(|(_, relay)| relay)
    }
}

async fn serve(socket: std::net::UdpSocket, coordinator: SocketAddr, cut: Arc<Switches>) -> io::Result<()> {
    let front = Arc::new(UdpSocket::from_std(socket)?);
    let mut peers = BTreeMap::<SocketAddr, Arc<UdpSocket>>::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let Ok((len, from)) = front.recv_from(&mut buffer).await else { continue };
        if cut.to.load(Ordering::Relaxed) {
            continue;
        }
        if !peers.contains_key(&from) {
            peers.retain(|_, back| Arc::strong_count(back) > 1); // the task of an idle one has ended
            if peers.len() == PEERS_MAX {
                continue;
            }
            let back = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
            back.connect(coordinator).await?;
            peers.insert(from, back.clone());
            tokio::spawn(bring_back(back, front.clone(), from, cut.clone()));
        }
        let _ = peers[&from].send(&buffer[..len]).await; // as good as lost on the way
    }
}

async fn bring_back(back: Arc<UdpSocket>, front: Arc<UdpSocket>, to: SocketAddr, cut: Arc<Switches>) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    while let Ok(received) = tokio::time::timeout(IDLE, back.recv(&mut buffer)).await {
        // An error tells that nobody listens at this moment.
        let Ok(len) = received else { continue };
        if !cut.from.load(Ordering::Relaxed) {
            let _ = front.send_to(&buffer[..len], to).await; // as good as lost on the way
        }
    }
}
