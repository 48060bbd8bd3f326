//! TLS as every link uses it: version 1.3, Ed25519 raw public keys on both sides (RFC 7250), nothing resumed.
//!
//! A certificate binds a key to a name and to dates. Links need neither: the dialler pins the key, the listener learns
//! it, and who may do what is decided above. So there is no CA, no certificate parser, and a wrong clock does no harm.

use std::sync::{Arc, OnceLock};

use playgate_protocol::Fingerprint;
use quinn::TransportErrorCode;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::ring::{cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, ServerConfig,
    SignatureScheme,
};

use crate::identity::Identity;
use crate::{limits, public_key};

/// TLS wants a name for the server. Ours have none: the pin says who it must be, and the name is not sent.
pub(crate) const SERVER_NAME: &str = "playgate";

/// What both sides may use. AES-128 comes first: with AES-256 the key schedule would use SHA-384, which most CPUs have
/// no instructions for, and a handshake costs a quarter more.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![kx_group::X25519],
        signature_verification_algorithms: ed25519_only(),
        ..rustls::crypto::ring::default_provider()
    })
}

fn ed25519_only() -> WebPkiSupportedAlgorithms {
    let known = rustls::crypto::ring::default_provider().signature_verification_algorithms.mapping;
    let entry = known.iter().find(|(scheme, _)| *scheme == SignatureScheme::ED25519).expect("ring verifies Ed25519");
    WebPkiSupportedAlgorithms { all: entry.1, mapping: std::slice::from_ref(entry) }
}

/// The listening side: asks every client for a key and takes any that it proves to hold.
pub(crate) fn server(identity: &Identity) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3 suites")
        .with_client_cert_verifier(Arc::new(AnyProvenKey))
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(identity.certified_key())));
    config.alpn_protocols = vec![limits::ALPN.to_vec()];
    config.ignore_client_order = true;
    // Early data can be replayed, and a resumed session would outlive the removal of a key.
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}

/// The dialling side: shows its key, and talks to the holder of the pinned key only.
pub(crate) fn client(identity: &Identity, pin: Arc<Pinned>) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3 suites")
        .dangerous() // rustls' name for any check of its own that is replaced; ours is the pin.
        .with_custom_certificate_verifier(pin)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(identity.certified_key())));
    config.alpn_protocols = vec![limits::ALPN.to_vec()];
    config.enable_sni = false;
    config.enable_early_data = false;
    config.resumption = Resumption::disabled();
    config
}

/// [`server`] as quinn takes it.
pub(crate) fn quic_server(identity: &Identity) -> Arc<QuicServerConfig> {
    Arc::new(QuicServerConfig::try_from(server(identity)).expect("AES-128-GCM-SHA256 is offered"))
}

/// [`client`] as quinn takes it.
pub(crate) fn quic_client(identity: &Identity, pin: Arc<Pinned>) -> Arc<QuicClientConfig> {
    Arc::new(QuicClientConfig::try_from(client(identity, pin)).expect("AES-128-GCM-SHA256 is offered"))
}

/// Who the other end of an established connection proved to be.
pub(crate) fn peer(conn: &quinn::Connection) -> Option<Fingerprint> {
    let chain = conn.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    let [key] = chain.as_slice() else { return None };
    public_key::fingerprint(key)
}

/// TLS alerts as they appear in QUIC errors (RFC 9001, section 4.8: 0x0100 and the alert).
pub(crate) fn alert(code: TransportErrorCode) -> Option<u8> {
    let code = u64::from(code);
    u8::try_from(code.checked_sub(0x100)?).ok()
}

/// No common protocol name, so no common version.
pub(crate) const ALERT_NO_APPLICATION_PROTOCOL: u8 = 120;
/// What a peer without a proven raw public key causes: handshake_failure (it wants certificates), bad_certificate,
/// decrypt_error (wrong signature), certificate_required.
pub(crate) const KEY_ALERTS: [u8; 4] = [40, 42, 51, 116];

fn read_key(end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Result<Fingerprint, Error> {
    if !intermediates.is_empty() {
        return Err(CertificateError::BadEncoding.into());
    }
    public_key::fingerprint(end_entity).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

fn check_proof(
    message: &[u8],
    key: &CertificateDer<'_>,
    proof: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    verify_tls13_signature_with_raw_key(message, &SubjectPublicKeyInfoDer::from(key.as_ref()), proof, &ed25519_only())
}

fn no_tls12() -> Error {
    PeerIncompatible::Tls12NotOffered.into()
}

/// Accepts exactly one server key, and remembers which one was shown, for the error text.
#[derive(Debug)]
pub(crate) struct Pinned {
    expected: Fingerprint,
    shown: OnceLock<Fingerprint>,
}

impl Pinned {
    pub(crate) fn new(expected: Fingerprint) -> Arc<Self> {
        Arc::new(Self { expected, shown: OnceLock::new() })
    }

    /// The pin and the key that was shown instead of it.
    pub(crate) fn mismatch(&self) -> Option<(Fingerprint, Fingerprint)> {
        self.shown.get().filter(|shown| **shown != self.expected).map(|shown| (self.expected, *shown))
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = read_key(end_entity, intermediates)?;
        if *self.shown.get_or_init(|| shown) == self.expected {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_proof(message, key, proof)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// Accepts every client key whose holder signs the handshake.
#[derive(Debug)]
struct AnyProvenKey;

impl ClientCertVerifier for AnyProvenKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        read_key(end_entity, intermediates).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _key: &CertificateDer<'_>,
        _proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_proof(message, key, proof)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing of one handshake can be used in another, on either side.
    #[test]
    fn no_early_data_no_resumption_no_key_log() {
        let identity = Identity::generate();
        let server = server(&identity);
        assert_eq!(server.max_early_data_size, 0);
        assert_eq!(server.send_tls13_tickets, 0);
        assert!(!server.session_storage.can_cache());
        assert!(!server.ticketer.enabled());
        assert!(!server.key_log.will_log("CLIENT_TRAFFIC_SECRET_0"));

        let client = client(&identity, Pinned::new(identity.fingerprint()));
        assert!(!client.enable_early_data);
        assert!(!client.enable_sni);
        assert!(!client.key_log.will_log("CLIENT_TRAFFIC_SECRET_0"));
        assert!(format!("{:?}", client.resumption).contains("NoClientSessionStorage"));
    }

    #[test]
    fn the_cheapest_suite_comes_first_and_only_ed25519_signs() {
        let provider = provider();
        let suites: Vec<_> = provider.cipher_suites.iter().map(rustls::SupportedCipherSuite::suite).collect();
        assert_eq!(suites[0], rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert!(provider.cipher_suites.iter().all(|suite| suite.version() == &rustls::version::TLS13));
        let schemes = provider.signature_verification_algorithms.supported_schemes();
        assert_eq!(schemes, [SignatureScheme::ED25519]);
    }
}
