//! Stories over real sockets on loopback. Nothing here sleeps to let something happen; waits have generous ends.

mod admission;
mod bounds;
mod endings;
mod hostile_peers;
mod introduce;
mod restart;
mod stories;
mod strangers;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig};

use crate::{Dialer, FrameReceiver, FrameSender, Identity, LinkProfile, ListenConfig, Listener, socket};

/// Long enough for a starved machine; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it should have happened by now")
}

/// Waits for a condition that nothing announces.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tick.tick().await < deadline, "never: {what}");
    }
}

fn config(identity: &Identity) -> ListenConfig {
    ListenConfig {
        addr: "127.0.0.1:0".parse().unwrap(),
        identity: identity.clone(),
        reset_key: [0xab; 64],
        connection_id_key: 0x0123_4567_89ab_cdef,
        profile: LinkProfile::fleet(),
        max_links: 100,
    }
}

/// A listener and a dialler that pins it.
struct Net {
    listener: Arc<Listener>,
    dialer: Dialer,
    server: Identity,
}

/// The four halves of one link over which one frame, `"hello"`, has passed.
struct Halves {
    up: FrameSender,
    down: FrameReceiver,
    server_up: FrameReceiver,
    server_down: FrameSender,
}

impl Net {
    fn new() -> Self {
        Self::with(|listener| listener)
    }

    fn with(change: impl FnOnce(Listener) -> Listener) -> Self {
        let server = Identity::generate();
        let listener = Arc::new(change(Listener::bind(config(&server)).unwrap()));
        let dialer = Dialer::new(Identity::generate(), LinkProfile::fleet()).unwrap();
        Self { listener, dialer, server }
    }

    async fn connect(&self) -> Halves {
        soon(async {
            let (served, dialled) = tokio::join!(self.serve(), self.dial());
            let ((server_down, server_up), (up, down)) = (served, dialled);
            Halves { up, down, server_up, server_down }
        })
        .await
    }

    async fn dial(&self) -> (FrameSender, FrameReceiver) {
        let link = self.dialer.dial(self.listener.local_addr(), &self.server.fingerprint()).await.unwrap();
        assert_eq!(link.peer(), self.server.fingerprint());
        let (sender, receiver) = link.split();
        sender.queue(&"hello").unwrap();
        (sender, receiver)
    }

    async fn serve(&self) -> (FrameSender, FrameReceiver) {
        let link = self.listener.accept().await.unwrap().establish().await.unwrap();
        let (sender, mut receiver) = link.split();
        assert_eq!(receiver.recv::<String>().await.unwrap(), "hello");
        sender.introduced();
        (sender, receiver)
    }
}

/// A client of our own making: TLS as given, and whatever bytes we like.
async fn connect_with(tls: rustls::ClientConfig, addr: SocketAddr) -> (Endpoint, Result<Connection, ConnectionError>) {
    let endpoint = client_at("127.0.0.1");
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let conn = endpoint.connect_with(config, addr, "playgate").unwrap().await;
    (endpoint, conn)
}

/// A socket for dialling from this address.
fn client_at(ip: &str) -> Endpoint {
    let local = SocketAddr::new(ip.parse().unwrap(), 0);
    socket::endpoint(local, EndpointConfig::default(), None, socket::bind(local).unwrap()).unwrap()
}
