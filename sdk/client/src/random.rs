//! Randomness from the system.

use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom, SystemRandom};

/// # Panics
/// When the system has no random source; nothing here is safe without one.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system has a random source");
    bytes
}

/// 128 random bits as text: a name that nobody else chose.
pub(crate) fn random_text() -> String {
    HEXLOWER.encode(&random::<16>())
}
