//! What can be done to a listener by who is no link yet: nothing but cause a typed refusal and a count.

use std::sync::Arc;

use quinn::Endpoint;
use quinn::crypto::rustls::QuicServerConfig;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use tokio::net::UdpSocket;

use super::{Net, connect_with, soon, until};
use crate::tls::{self, Pinned};
use crate::{CloseCode, CloseReason, DialError, Dialer, EstablishError, Identity, LinkProfile, Listener};

#[tokio::test]
async fn a_client_that_says_nothing_is_no_link() {
    let net = Net::new();
    let pin = net.server.fingerprint();
    let dial = net.dialer.dial(net.listener.local_addr(), &pin);
    let serve = async { net.listener.accept().await.unwrap().establish().await };
    let (link, refused) = soon(async { tokio::join!(dial, serve) }).await;
    assert_eq!(refused.unwrap_err(), EstablishError::Silent);
    let reason = soon(link.unwrap().closed()).await;
    assert!(matches!(reason, CloseReason::ByPeer { code: CloseCode::Protocol, .. }), "{reason}");
    assert_eq!(net.listener.counters().failed(EstablishError::Silent), 1);
}

/// What a client shows instead of a key of its own.
#[derive(Debug)]
struct Shows {
    raw: bool,
    key: Option<Arc<CertifiedKey>>,
}

impl ResolvesClientCert for Shows {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.key.clone()
    }

    fn only_raw_public_keys(&self) -> bool {
        self.raw
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_client_without_a_proven_key_is_refused() {
    let net = Net::new();
    let (own, victim) = (Identity::generate(), Identity::generate());
    let key = |shown: &[&[u8]]| {
        let chain = shown.iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        Some(Arc::new(CertifiedKey::new(chain, own.certified_key().key.clone())))
    };
    let [own_spki, victim_spki] = [&own, &victim].map(|identity| identity.certified_key().cert[0].to_vec());
    let rows = [
        ("a certificate", Shows { raw: false, key: key(&[&[0x30; 300]]) }),
        ("no certificate", Shows { raw: false, key: None }),
        ("no key", Shows { raw: true, key: None }),
        ("somebody else's key", Shows { raw: true, key: key(&[&victim_spki]) }),
        ("a key that is none", Shows { raw: true, key: key(&[&own_spki[1..]]) }),
        ("two keys", Shows { raw: true, key: key(&[&own_spki, &own_spki]) }),
    ];
    for (count, (what, shows)) in (1..).zip(rows) {
        let mut tls = tls::client(&own, Pinned::new(net.server.fingerprint()));
        tls.client_auth_cert_resolver = Arc::new(shows);
        let dial = connect_with(tls, net.listener.local_addr());
        let serve = async { net.listener.accept().await.unwrap().establish().await };
        let ((_endpoint, conn), refused) = soon(async { tokio::join!(dial, serve) }).await;
        assert_eq!(refused.unwrap_err(), EstablishError::NoKey, "{what}");
        assert_eq!(net.listener.counters().failed(EstablishError::NoKey), count, "{what}");
        if let Ok(conn) = conn {
            soon(conn.closed()).await; // TLS lets the client finish first
        }
    }
    assert_eq!(net.listener.counters().established(), 0);
    net.connect().await;
}

#[tokio::test]
async fn another_version_is_refused_on_either_side() {
    let net = Net::new();
    let mut tls = tls::client(&Identity::generate(), Pinned::new(net.server.fingerprint()));
    tls.alpn_protocols = vec![b"playgate/2".to_vec()];
    let dial = connect_with(tls, net.listener.local_addr());
    let serve = async { net.listener.accept().await.unwrap().establish().await };
    let ((_endpoint, conn), refused) = soon(async { tokio::join!(dial, serve) }).await;
    assert!(conn.is_err());
    assert_eq!(refused.unwrap_err(), EstablishError::Version);

    let mut tls = tls::server(&net.server);
    tls.alpn_protocols = vec![b"playgate/2".to_vec()];
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let other = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = other.local_addr().unwrap();
    let pin = net.server.fingerprint();
    let dial = net.dialer.dial(addr, &pin);
    let serve = async { other.accept().await.unwrap().await };
    let (error, _) = soon(async { tokio::join!(dial, serve) }).await;
    let error = error.unwrap_err();
    assert!(matches!(error, DialError::VersionMismatch { .. }), "{error}");
}

/// The first datagram of a real dial, whose sender then falls silent.
async fn first_datagram() -> Vec<u8> {
    let deaf = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dialer = Dialer::new(Identity::generate(), LinkProfile::fleet()).unwrap();
    let pin = Identity::generate().fingerprint();
    let mut datagram = vec![0; 2000];
    let length = soon(async {
        tokio::select! {
            _ = dialer.dial(deaf.local_addr().unwrap(), &pin) => panic!("nobody answers"),
            length = deaf.recv(&mut datagram) => length.unwrap(),
        }
    })
    .await;
    datagram.truncate(length);
    datagram
}

#[tokio::test]
async fn a_handshake_that_never_completes_gives_everything_back() {
    let datagram = first_datagram().await;
    let net = Net::new();
    let places = net.listener.free_places();
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    stranger.send_to(&datagram, net.listener.local_addr()).await.unwrap();
    let attempt = soon(net.listener.accept()).await.unwrap();
    assert_eq!(attempt.remote_addr(), stranger.local_addr().unwrap());
    assert_eq!(net.listener.free_places(), places - 1);
    assert_eq!(soon(attempt.establish()).await.unwrap_err(), EstablishError::Timeout);
    assert_eq!(net.listener.free_places(), places);
    assert_eq!(net.listener.counters().failed(EstablishError::Timeout), 1);
    until("quinn forgot it", || net.listener.endpoint().open_connections() == 0).await;
}

/// Bytes that follow from a seed, so that a failure can be repeated.
fn noise(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

#[tokio::test]
async fn junk_datagrams_do_no_harm() {
    let initial = first_datagram().await;
    let net = Net::new();
    let serve = tokio::spawn(serve_all(net.listener.clone()));
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut seed = 0x706c_6179;
    for round in 0..3000_u32 {
        let mut datagram: Vec<u8> = match round % 3 {
            0 => (0..noise(&mut seed) % 1500).map(|_| noise(&mut seed).to_le_bytes()[0]).collect(),
            1 => initial[..usize::try_from(noise(&mut seed)).unwrap() % initial.len()].to_vec(),
            _ => initial.clone(),
        };
        for _ in 0..noise(&mut seed) % 4 {
            if let Some(last) = u64::try_from(datagram.len()).unwrap().checked_sub(1) {
                let at = usize::try_from(noise(&mut seed) % (last + 1)).unwrap();
                datagram[at] ^= 1 << (noise(&mut seed) % 8);
            }
        }
        stranger.send_to(&datagram, net.listener.local_addr()).await.unwrap();
        tokio::task::yield_now().await; // so that the listener reads it, rather than the kernel drop it
    }
    let link = soon(net.dialer.dial(net.listener.local_addr(), &net.server.fingerprint())).await.unwrap();
    let (sender, mut receiver) = link.split();
    sender.queue(&"still there?").unwrap();
    assert_eq!(soon(receiver.recv::<String>()).await, Ok("still there?".to_owned()));
    let counters = net.listener.counters();
    assert!(counters.attempts() > 1, "the replayed first packets are attempts too");
    assert_eq!(counters.established(), 1);
    serve.abort();
}

/// The flood comes from one network until its budget is empty; the link that stands and a dialler elsewhere notice nothing.
#[tokio::test]
async fn first_packets_beyond_a_networks_budget_are_dropped_unread() {
    let net = Net::new();
    let mut halves = net.connect().await;
    let flood = UdpSocket::bind("127.77.0.1:0").await.unwrap();
    let counters = net.listener.counters();
    for _ in 0..1_000 {
        for _ in 0..1_000 {
            flood.send_to(&[0xc3, 0, 0, 0, 1], net.listener.local_addr()).await.unwrap();
        }
        tokio::task::yield_now().await;
        if counters.first_packets_dropped() > 0 {
            break;
        }
    }
    assert!(counters.first_packets_dropped() > 0, "a million of them were within the budget");
    halves.up.queue(&"still there?").unwrap();
    assert_eq!(soon(halves.server_up.recv::<String>()).await, Ok("still there?".to_owned()));
    net.connect().await;
    assert_eq!(counters.established(), 2);
}

/// Establishes every attempt and sends the first frame back.
async fn serve_all(listener: Arc<Listener>) {
    while let Some(attempt) = listener.accept().await {
        tokio::spawn(async move {
            let Ok(link) = attempt.establish().await else { return };
            let (sender, mut receiver) = link.split();
            let first: String = receiver.recv().await.unwrap();
            sender.queue(&first).unwrap();
            sender.closed().await;
        });
    }
}
