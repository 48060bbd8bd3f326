//! A listener dies without a word. With its stored keys its successor tells the old peers at once; without them they
//! find out by silence.

use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use quinn_proto::{ConnectionIdGenerator, HashedConnectionIdGenerator};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;

use super::{PATIENCE, config, soon, until};
use crate::{CloseReason, Dialer, Identity, Link, LinkProfile, ListenConfig, Listener};

/// Silence ends nothing while a test lasts.
const PATIENT: LinkProfile =
    LinkProfile { idle_max: PATIENCE.saturating_mul(4), keep_alive: Duration::from_millis(50), ..LinkProfile::fleet() };

/// A listener in a runtime of its own, with one link, that can die like a process: from one moment to the next no task
/// runs, and nothing is said to anyone.
struct Victim {
    addr: SocketAddr,
    kill: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Victim {
    async fn start(config: ListenConfig) -> Self {
        let (kill, killed) = oneshot::channel();
        let (ready, bound) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let remains = runtime.block_on(async {
                let listener = Listener::bind(config).unwrap();
                ready.send(listener.local_addr()).unwrap();
                let link = listener.accept().await.unwrap().establish().await.unwrap().split();
                link.0.queue(&"welcome").unwrap();
                let _ = killed.await;
                (listener, link)
            });
            // First the tasks, so that dropping the rest cannot send anything.
            drop(runtime);
            drop(remains);
        });
        Self { addr: soon(bound).await.unwrap(), kill, thread }
    }

    async fn die(self) {
        self.kill.send(()).unwrap();
        soon(tokio::task::spawn_blocking(|| self.thread.join().unwrap())).await.unwrap();
    }
}

struct Client {
    dialer: Dialer,
    conn: quinn::Connection,
    halves: (crate::FrameSender, crate::FrameReceiver),
}

async fn client(addr: SocketAddr, server: &Identity, profile: LinkProfile) -> Client {
    let dialer = Dialer::new(Identity::generate(), profile).unwrap();
    let link: Link = soon(dialer.dial(addr, &server.fingerprint())).await.unwrap();
    let conn = link.connection().clone();
    let mut halves = link.split();
    halves.0.queue(&"hello").unwrap();
    assert_eq!(soon(halves.1.recv::<String>()).await, Ok("welcome".to_owned()));
    Client { dialer, conn, halves }
}

/// Kills a listener of `before` and starts one of `after` on its port, with a client that lives through it.
async fn restart(before: ListenConfig, after: impl FnOnce(SocketAddr) -> ListenConfig) -> (Client, Listener) {
    let server = before.identity.clone();
    let victim = Victim::start(before).await;
    let addr = victim.addr;
    let client = client(addr, &server, PATIENT).await;
    victim.die().await;
    assert!(client.conn.close_reason().is_none(), "a dead listener says nothing");
    (client, Listener::bind(after(addr)).unwrap())
}

#[tokio::test]
async fn with_its_stored_keys_a_restart_is_noticed_at_once() {
    let server = Identity::generate();
    let stored = |addr| ListenConfig { addr, profile: PATIENT, ..config(&server) };
    let (client, listener) = restart(stored("127.0.0.1:0".parse().unwrap()), stored).await;
    assert_eq!(soon(client.halves.0.closed()).await, CloseReason::PeerRestarted);
    assert_eq!(listener.counters().attempts(), 0);
}

/// Proves the test above: each of the keys is needed.
#[tokio::test]
async fn without_either_stored_key_a_restart_is_not_noticed() {
    let server = Identity::generate();
    let stored = |addr| ListenConfig { addr, profile: PATIENT, ..config(&server) };
    let any = "127.0.0.1:0".parse().unwrap();
    for lost in ["reset_key", "connection_id_key"] {
        let (client, _listener) = restart(stored(any), |addr| match lost {
            "reset_key" => ListenConfig { reset_key: [0xcd; 64], ..stored(addr) },
            _ => ListenConfig { connection_id_key: 1, ..stored(addr) },
        })
        .await;
        // With the keys the first of these packets is answered.
        let sent = client.conn.stats().udp_tx.datagrams;
        until("four more packets", || client.conn.stats().udp_tx.datagrams >= sent + 4).await;
        assert_eq!(client.conn.close_reason(), None, "without {lost}");
    }
}

#[tokio::test]
async fn a_listener_that_stays_away_is_noticed_by_silence() {
    let server = Identity::generate();
    let profile = LinkProfile { idle_max: Duration::from_millis(500), ..PATIENT };
    let victim = Victim::start(ListenConfig { profile, ..config(&server) }).await;
    let client = client(victim.addr, &server, profile).await;
    victim.die().await;
    assert_eq!(soon(client.halves.0.closed()).await, CloseReason::TimedOut);
}

/// Whole cycle: noticed, dialled again, and the successor is the same to the pin.
#[tokio::test]
async fn after_a_restart_the_same_pin_dials_again() {
    let server = Identity::generate();
    let stored = |addr| ListenConfig { addr, profile: PATIENT, ..config(&server) };
    let (old, listener) = restart(stored("127.0.0.1:0".parse().unwrap()), stored).await;
    soon(old.halves.0.closed()).await;
    let addr = listener.local_addr();
    let dial = async {
        let link = old.dialer.dial(addr, &server.fingerprint()).await.unwrap();
        let halves = link.split();
        halves.0.queue(&"again").unwrap();
        halves
    };
    let serve = async { listener.accept().await.unwrap().establish().await.unwrap().split() };
    let (_halves, (_sender, mut receiver)) = soon(async { tokio::join!(dial, serve) }).await;
    assert_eq!(soon(receiver.recv::<String>()).await, Ok("again".to_owned()));
}

/// Ten thousand peers notice together only if no pause between resets holds any of them back; and a listener that
/// answers everything must answer with less.
#[tokio::test]
async fn every_packet_of_a_former_link_is_answered_with_a_smaller_one() {
    const PACKETS: usize = 8;
    let config = config(&Identity::generate());
    let ours = config.connection_id_key;
    let listener = Listener::bind(config).unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for key in [!ours, ours] {
        let mut ids = HashedConnectionIdGenerator::from_key(key);
        for _ in 0..PACKETS {
            // RFC 9000, section 17.3: a short header is 0b01, then the connection id.
            let packet = [&[0x40], &ids.generate_cid()[..], &[0x55; 91]].concat();
            peer.send_to(&packet, listener.local_addr()).await.unwrap();
        }
    }
    let mut answer = [0; 2000];
    for _ in 0..PACKETS {
        assert!(soon(peer.recv(&mut answer)).await.unwrap() < 100);
    }
    // Packets that were never a link's came first, so an answer to one would have come first too.
    assert!(peer.try_recv(&mut answer).is_err(), "noise was answered");
}
