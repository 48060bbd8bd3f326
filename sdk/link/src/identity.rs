//! Who this process is on a link: an Ed25519 key, and its fingerprint.

use std::fmt;
use std::sync::Arc;

use playgate_protocol::Fingerprint;
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::public_key;

/// The key that a process proves to hold on each of its links.
///
/// Cheap to clone. `Debug` shows the fingerprint only.
///
/// # How do I keep an identity across restarts?
/// ```
/// use playgate_link::Identity;
/// let identity = Identity::generate();
/// let secret = identity.to_pkcs8(); // write `secret.as_bytes()` to a file that only this user can read
/// let again = Identity::from_pkcs8(secret.as_bytes())?;
/// assert_eq!(again.fingerprint(), identity.fingerprint());
/// # Ok::<(), playgate_link::IdentityError>(())
/// ```
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    pkcs8: Zeroizing<Vec<u8>>,
    key: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
}

impl Identity {
    /// A new key from the system's random source.
    ///
    /// # Panics
    /// When the system has no random source; nothing here is safe without one.
    #[must_use]
    pub fn generate() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("the system has a random source");
        Self::from_pkcs8(pkcs8.as_ref()).expect("a key just generated is valid")
    }

    /// The key in a PKCS#8 document, as [`Identity::to_pkcs8`] wrote it.
    ///
    /// # Errors
    /// [`IdentityError`] when the bytes are not an Ed25519 private key, or its public half does not match.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, IdentityError> {
        // ring compares the public key in the document with the private one, if there is one.
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| IdentityError)?;
        let signer =
            rustls::crypto::ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8)).map_err(|_| IdentityError)?;
        let spki = signer.public_key().ok_or(IdentityError)?.to_vec();
        let fingerprint = public_key::fingerprint(&spki).ok_or(IdentityError)?;
        let key = Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], signer));
        Ok(Self(Arc::new(Inner { pkcs8: Zeroizing::new(pkcs8.to_vec()), key, fingerprint })))
    }

    /// The private key as PKCS#8, for the key file.
    #[must_use]
    pub fn to_pkcs8(&self) -> SecretKeyBytes {
        SecretKeyBytes(self.0.pkcs8.clone())
    }

    /// What peers know this identity by: SHA-256 of the public key's SubjectPublicKeyInfo.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }

    /// The form TLS wants: where a certificate chain would be there is the bare public key.
    pub(crate) fn certified_key(&self) -> Arc<CertifiedKey> {
        self.0.key.clone()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.0.fingerprint).finish()
    }
}

/// A private key on its way to a file. Wiped when dropped; `Debug` does not show it.
pub struct SecretKeyBytes(Zeroizing<Vec<u8>>);

impl SecretKeyBytes {
    /// The PKCS#8 document.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretKeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKeyBytes(..)")
    }
}

/// The bytes are not an Ed25519 private key in PKCS#8 form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdentityError;

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an Ed25519 private key (PKCS#8); the key file is damaged or of another kind")
    }
}

impl std::error::Error for IdentityError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neither does a listener, for which two more keys are kept.
    #[test]
    fn an_identity_does_not_show_its_key() {
        let identity = Identity::generate();
        let key = identity.to_pkcs8();
        let config = crate::ListenConfig {
            addr: ([127, 0, 0, 1], 0).into(),
            identity: identity.clone(),
            reset_key: [0xd7; 64],
            connection_id_key: 0xd7d7_d7d7_d7d7_d7d7,
            profile: crate::LinkProfile::fleet(),
            max_links: 1,
        };
        let secret = &key.as_bytes()[16..48];
        for shown in [format!("{identity:?}"), format!("{key:?}"), format!("{config:?}")] {
            for four in secret.windows(4).chain([&[0xd7; 4][..]]) {
                let hex: String = four.iter().map(|byte| format!("{byte:02x}")).collect();
                let list = format!("{four:?}");
                assert!(!shown.contains(&hex) && !shown.contains(list.trim_matches(['[', ']'])), "{shown}");
            }
            assert!(!shown.contains(&0xd7d7_d7d7_d7d7_d7d7_u64.to_string()), "{shown}");
        }
    }

    #[test]
    fn damaged_key_files_are_refused() {
        let good = Identity::generate().to_pkcs8();
        let good = good.as_bytes();
        assert!(Identity::from_pkcs8(good).is_ok());
        assert_eq!(Identity::from_pkcs8(&[]).err(), Some(IdentityError));
        for cut in 0..good.len() {
            assert!(Identity::from_pkcs8(&good[..cut]).is_err(), "first {cut} bytes");
        }
        for at in 0..good.len() {
            let mut damaged = good.to_vec();
            damaged[at] ^= 1;
            assert!(Identity::from_pkcs8(&damaged).is_err(), "bit flip in byte {at}");
        }
    }
}
