//! Every bound that quinn takes is the one in `limits`: read from what it was configured with, and where a stranger can
//! see it, from the wire.

use std::any::Any;
use std::sync::{Arc, Mutex};

use quinn::crypto::{self, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session};
use quinn::{ClientConfig, ConnectError, Connection, ConnectionId, Endpoint, Side, TransportConfig};
use quinn_proto::TransportError;
use quinn_proto::transport_parameters::TransportParameters;
use rustls::client::{ClientSessionMemoryCache, Resumption};

use super::{Halves, Net, client_at, config, soon};
use crate::tls::{self, Pinned};
use crate::{CloseReason, Identity, LinkProfile, ListenConfig, Listener};

fn all_in(shown: &str, settings: &[String]) {
    for setting in settings {
        assert!(shown.contains(setting.as_str()), "no `{setting}` in {shown}");
    }
}

/// quinn's own defaults would be 1.25 MB a stream, no bound on a connection, 100 streams of each kind, and datagrams.
#[test]
fn quinn_is_configured_with_what_is_in_limits() {
    for (side, streams, keep_alive) in [(Side::Server, 1, "None"), (Side::Client, 0, "Some(1s)")] {
        let settings = [
            "max_concurrent_uni_streams: 0, max_idle_timeout: Some(3000), stream_receive_window: 65536",
            " receive_window: 131072",
            "send_window: 131072",
            "initial_rtt: 200ms, initial_mtu: 1200, min_mtu: 1200, mtu_discovery_config: None",
            "crypto_buffer_size: 8192, allow_spin: false, datagram_receive_buffer_size: None",
            "datagram_send_buffer_size: 0",
        ]
        .map(str::to_owned);
        let shown = format!("{:?}", LinkProfile::fleet().transport(side));
        all_in(&shown, &settings);
        all_in(
            &shown,
            &[format!("max_concurrent_bidi_streams: {streams}, "), format!("keep_alive_interval: {keep_alive}")],
        );
    }
    let server = crate::listener::server_config(&config(&Identity::generate()));
    let settings = [
        "retry_token_lifetime: 3s, ",
        "sent: 0, ",
        "migration: false, preferred_address_v4: None, preferred_address_v6: None, max_incoming: 2048, \
         incoming_buffer_size: 4096, incoming_buffer_size_total: 4194304",
    ]
    .map(str::to_owned);
    all_in(&format!("{server:?}"), &settings);
    let endpoint = crate::listener::endpoint_config(&config(&Identity::generate()));
    let settings = ["max_udp_payload_size: 1472, supported_versions: [1], grease_quic_bit: false"].map(str::to_owned);
    all_in(&format!("{endpoint:?}"), &settings);
}

/// TLS that remembers what transport parameters the listener sent.
struct Spy {
    inner: Arc<crypto::rustls::QuicClientConfig>,
    seen: Arc<Mutex<Option<TransportParameters>>>,
}

impl crypto::ClientConfig for Spy {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let inner = Arc::clone(&self.inner).start_session(version, server_name, params)?;
        Ok(Box::new(SpySession { inner, seen: Arc::clone(&self.seen) }))
    }
}

struct SpySession {
    inner: Box<dyn Session>,
    seen: Arc<Mutex<Option<TransportParameters>>>,
}

impl Session for SpySession {
    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        let seen = self.inner.transport_parameters()?;
        *self.seen.lock().unwrap() = seen;
        Ok(seen)
    }

    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.inner.initial_keys(dst_cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.inner.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.inner.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.inner.read_handshake(buf)
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        self.inner.write_handshake(buf)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.inner.next_1rtt_keys()
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(output, label, context)
    }
}

/// A link to `net` that this client's own settings do not restrain.
async fn link(net: &Net, endpoint: &Endpoint, config: ClientConfig) -> (Connection, crate::Link) {
    let dial = async {
        let conn = endpoint.connect_with(config, net.listener.local_addr(), "playgate").unwrap().await.unwrap();
        let (mut send, recv) = conn.open_bi().await.unwrap();
        send.write_all(&[1]).await.unwrap();
        std::mem::forget((send, recv)); // dropped, they would end the stream
        conn
    };
    let serve = async { net.listener.accept().await.unwrap().establish().await.unwrap() };
    soon(async { tokio::join!(dial, serve) }).await
}

#[tokio::test]
async fn a_stranger_is_told_these_bounds_and_no_others() {
    let net = Net::new();
    let seen = Arc::default();
    let inner = tls::quic_client(&Identity::generate(), Pinned::new(net.server.fingerprint()));
    let config = ClientConfig::new(Arc::new(Spy { inner, seen: Arc::clone(&seen) }));
    let _link = link(&net, &client_at("127.0.0.1"), config).await;
    let seen = format!("{:?}", seen.lock().unwrap().expect("the listener sent its parameters"));
    let settings = [
        "max_idle_timeout: 3000",
        "max_udp_payload_size: 1472",
        "initial_max_data: 131072",
        "initial_max_stream_data_bidi_local: 65536",
        "initial_max_stream_data_bidi_remote: 65536",
        "initial_max_stream_data_uni: 65536",
        "initial_max_streams_bidi: 1",
        "initial_max_streams_uni: 0",
        "active_connection_id_limit: 5",
        "disable_active_migration: true",
        "max_datagram_frame_size: None",
        "grease_quic_bit: false",
        "preferred_address: None",
    ];
    all_in(&seen, &settings.map(|setting| format!("{setting},")));
}

/// Tickets would let a key that was removed come back, early data can be replayed, and a token would make an address
/// count as proven for weeks.
#[tokio::test]
async fn nothing_of_one_handshake_serves_another() {
    let net = Net::new();
    let mut tls = tls::client(&Identity::generate(), Pinned::new(net.server.fingerprint()));
    tls.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(8)));
    tls.enable_early_data = true;
    let config = ClientConfig::new(Arc::new(crypto::rustls::QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = client_at("127.0.0.1");
    let (conn, _link) = link(&net, &endpoint, config.clone()).await;
    soon(async {
        while conn.stats().frame_rx.handshake_done == 0 {
            tokio::task::yield_now().await
        }
    })
    .await;
    let again = endpoint.connect_with(config, net.listener.local_addr(), "playgate").unwrap();
    assert!(again.into_0rtt().is_err(), "the first handshake left a ticket");
    assert_eq!(conn.stats().frame_rx.new_token, 0);
}

/// A client that keeps nothing alive: the listener does not do it for it, and the silence ends the link.
#[tokio::test]
async fn only_the_dialler_keeps_a_link_alive() {
    let server = Identity::generate();
    let profile = LinkProfile { idle_max: std::time::Duration::from_millis(600), ..LinkProfile::fleet() };
    let listener = Listener::bind(ListenConfig { profile, ..config(&server) }).unwrap();
    let net = Net { listener: listener.into(), dialer: Net::new().dialer, server };
    let tls = tls::quic_client(&Identity::generate(), Pinned::new(net.server.fingerprint()));
    let mut config = ClientConfig::new(tls);
    let mut silent = TransportConfig::default();
    silent.keep_alive_interval(None).max_idle_timeout(None);
    config.transport_config(Arc::new(silent));
    let (conn, link) = link(&net, &client_at("127.0.0.1"), config).await;
    assert_eq!(soon(link.closed()).await, CloseReason::TimedOut);
    assert_eq!(conn.stats().frame_rx.ping, 0);
}

/// A listener does not follow a peer to another address: its hello came from the old one.
#[tokio::test]
async fn a_peer_that_moves_has_to_dial_again() {
    let server = Identity::generate();
    let profile = LinkProfile { idle_max: std::time::Duration::from_millis(600), ..LinkProfile::fleet() };
    let listener = Listener::bind(ListenConfig { profile, ..config(&server) }).unwrap();
    let net = Net { listener: listener.into(), dialer: Net::new().dialer, server };
    let Halves { up, server_down, .. } = net.connect().await;
    net.dialer.move_to(std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    assert_eq!(soon(server_down.closed()).await, CloseReason::TimedOut);
    // The keep-alive after that is one of a link that the listener knows nothing of.
    let seen = soon(up.closed()).await;
    assert!(matches!(seen, CloseReason::PeerRestarted | CloseReason::TimedOut), "{seen}");
    net.connect().await;
}
