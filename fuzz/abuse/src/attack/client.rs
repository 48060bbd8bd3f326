//! A QUIC client that keeps to none of the coordinator's bounds.

use std::any::Any;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use playgate_link::Identity;
use playgate_protocol::frame::{self, FRAME_HEADER_BYTES};
use playgate_protocol::{Credential, Hello, HelloRole, Text, VersionRange};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::crypto::{self, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session};
use quinn::{
    ClientConfig, ConnectError, Connection, ConnectionId, Endpoint, EndpointConfig, IdleTimeout, RecvStream,
    SendStream, Side, TokioRuntime, TransportConfig, VarInt,
};
use quinn_proto::TransportError;
use quinn_proto::transport_parameters::TransportParameters;
use rustls::SignatureScheme;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::sign::CertifiedKey;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// No wait of an attacker is longer, so that he is busy while he is measured.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// A key, and whether to believe what the coordinator says that it takes.
#[derive(Clone)]
pub struct Client {
    config: ClientConfig,
}

impl Client {
    /// With a key nobody knows.
    #[must_use]
    pub fn unknown() -> Self {
        Self::with(&Identity::generate(), false)
    }

    /// With a key nobody knows, and the belief that streams, datagrams and bytes may be sent without bound.
    #[must_use]
    pub fn boundless() -> Self {
        Self::with(&Identity::generate(), true)
    }

    /// With this key.
    #[must_use]
    pub fn with(identity: &Identity, boundless: bool) -> Self {
        let tls = Arc::new(QuicClientConfig::try_from(tls(identity)).expect("AES-128-GCM-SHA256 is offered"));
        let mut config = match boundless {
            false => ClientConfig::new(tls),
            true => ClientConfig::new(Arc::new(Liar(tls))),
        };
        let mut transport = TransportConfig::default();
        transport
            .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(60_000))))
            .keep_alive_interval(Some(Duration::from_millis(500)))
            .mtu_discovery_config(None);
        config.transport_config(Arc::new(transport));
        Self { config }
    }

    /// The bounds that this client tells the coordinator, changed.
    #[must_use]
    pub fn telling(mut self, change: impl FnOnce(&mut TransportConfig)) -> Self {
        let mut transport = TransportConfig::default();
        transport.keep_alive_interval(Some(Duration::from_millis(500))).mtu_discovery_config(None);
        change(&mut transport);
        self.config.transport_config(Arc::new(transport));
        self
    }

    /// For a stack of one's own.
    #[must_use]
    pub fn config(&self) -> ClientConfig {
        self.config.clone()
    }

    /// # Errors
    /// Whatever it is told instead.
    pub async fn connect(&self, from: &Endpoint, target: SocketAddr) -> io::Result<Connection> {
        let connecting = from.connect_with(self.config.clone(), target, "playgate").map_err(io::Error::other)?;
        match tokio::time::timeout(PATIENCE, connecting).await {
            Ok(outcome) => outcome.map_err(io::Error::other),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// A socket for hostile connections.
///
/// # Errors
/// When there is none to be had.
pub fn endpoint(ip: IpAddr) -> io::Result<Endpoint> {
    Endpoint::new(EndpointConfig::default(), None, UdpSocket::bind((ip, 0))?, Arc::new(TokioRuntime))
}

/// A hello in a frame.
#[must_use]
pub fn hello(role: HelloRole, credential: Credential, versions: VersionRange) -> Vec<u8> {
    framed(&Hello { versions, software: Text::lossy("abuse\n2026-01-01 ERROR forged"), credential, role })
}

/// Any message in a frame.
#[must_use]
pub fn framed(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::encode(message, &mut bytes).expect("the messages here fit a frame");
    bytes
}

/// Control stream of one connection.
pub struct Stream {
    /// To the coordinator.
    pub send: SendStream,
    /// From it.
    pub recv: RecvStream,
}

impl Stream {
    /// # Errors
    /// When the connection is over.
    pub async fn open(conn: &Connection) -> io::Result<Self> {
        let opened = tokio::time::timeout(PATIENCE, conn.open_bi()).await.map_err(|_| io::ErrorKind::TimedOut)?;
        let (send, recv) = opened.map_err(io::Error::other)?;
        Ok(Self { send, recv })
    }

    /// # Errors
    /// When the coordinator takes no more.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = tokio::time::timeout(PATIENCE, self.send.write_all(bytes)).await;
        written.map_err(|_| io::ErrorKind::TimedOut)?.map_err(io::Error::other)
    }

    /// # Errors
    /// When no such message comes.
    pub async fn read<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let read = async {
            let mut header = [0; FRAME_HEADER_BYTES];
            self.recv.read_exact(&mut header).await.map_err(io::Error::other)?;
            let mut payload = vec![0; frame::payload_len(header).map_err(io::Error::other)?];
            self.recv.read_exact(&mut payload).await.map_err(io::Error::other)?;
            frame::decode(&payload).map_err(io::Error::other)
        };
        tokio::time::timeout(PATIENCE, read).await.map_err(|_| io::ErrorKind::TimedOut)?
    }
}

fn tls(identity: &Identity) -> rustls::ClientConfig {
    let pkcs8 = identity.to_pkcs8();
    let signer = rustls::crypto::ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8.as_bytes()));
    let signer = signer.expect("an identity is an Ed25519 key");
    let spki = signer.public_key().expect("it has a public key").to_vec();
    let key = Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], signer));
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)));
    config.alpn_protocols = vec![playgate_link::limits::ALPN.to_vec()];
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    config
}

/// An attacker does not care whom he talks to.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _proof: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        proof: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, proof, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// TLS that reads bounds into the coordinator's transport parameters which it did not send.
struct Liar(Arc<QuicClientConfig>);

impl crypto::ClientConfig for Liar {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        Ok(Box::new(LiarSession(Arc::clone(&self.0).start_session(version, server_name, params)?)))
    }
}

struct LiarSession(Box<dyn Session>);

impl Session for LiarSession {
    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        Ok(self.0.transport_parameters()?.map(|sent| without_bounds(&sent)))
    }

    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.0.initial_keys(dst_cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.0.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.0.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.0.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.0.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.0.read_handshake(buf)
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        self.0.write_handshake(buf)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.0.next_1rtt_keys()
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.0.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.0.export_keying_material(output, label, context)
    }
}

/// Parameters of RFC 9000, section 18.2, and RFC 9221 that allow something, each raised to this.
const RAISED: [(u64, u32); 7] = [
    (0x04, 1 << 29), // bytes on all streams
    (0x05, 1 << 29), // bytes on a stream, of each kind
    (0x06, 1 << 29),
    (0x07, 1 << 29),
    (0x08, 1 << 20), // streams of two directions
    (0x09, 1 << 20), // streams of one direction
    (0x20, 1_200),   // bytes of a datagram
];

fn without_bounds(sent: &TransportParameters) -> TransportParameters {
    let (mut wire, mut raised) = (Vec::new(), Vec::new());
    sent.write(&mut wire);
    let mut rest = wire.as_slice();
    while !rest.is_empty() {
        let start = rest;
        let id = varint(&mut rest);
        let len = usize::try_from(varint(&mut rest)).expect("a parameter fits memory");
        rest = &rest[len..];
        if RAISED.iter().all(|(name, _)| *name != id) {
            raised.extend_from_slice(&start[..start.len() - rest.len()]);
        }
    }
    for (id, value) in RAISED {
        // Ids here are below 64, one byte each; the value is a varint of four bytes.
        raised.extend_from_slice(&[u8::try_from(id).expect("below 64"), 4]);
        raised.extend_from_slice(&(value | 0x8000_0000).to_be_bytes());
    }
    TransportParameters::read(Side::Client, &mut raised.as_slice()).expect("only numbers were changed")
}

/// RFC 9000, section 16.
fn varint(from: &mut &[u8]) -> u64 {
    let len = 1 << (from[0] >> 6);
    let value = from[1..len].iter().fold(u64::from(from[0] & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    *from = &from[len..];
    value
}
