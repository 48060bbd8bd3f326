//! What a core knows again without having kept it: cookies, path challenges and reset tokens.

use std::hash::Hasher;
use std::net::SocketAddr;
use std::time::Duration;

use playgate_protocol::address_mac::{AddressMacs, address_bytes, is_same_mac};
use playgate_protocol::handshake::Nonce;
use playgate_protocol::relay::{ConnectionId, Cookie, Open, PATH_CHALLENGE_BYTES, RESET_TOKEN_BYTES};
use ring::hmac;
use siphasher::sip::SipHasher24;
use zeroize::Zeroizing;

use crate::DropReason;
use crate::limits::{COOKIE_LIFE, COOKIE_SECRET_PERIOD, PATH_PERIOD};

/// Cookies: a MAC over source address, time and nonce, under a secret that changes every minute.
pub(crate) struct Cookies {
    macs: AddressMacs,
}

impl Cookies {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { macs: AddressMacs::new(seed, COOKIE_SECRET_PERIOD) }
    }

    pub(crate) fn make(&mut self, now: Duration, from: SocketAddr, nonce: Nonce) -> Cookie {
        let relay_time_us = microseconds(now);
        Cookie { nonce, relay_time_us, mac: self.macs.mac(from, relay_time_us, &[&nonce]) }
    }

    pub(crate) fn check(&mut self, now: Duration, from: SocketAddr, open: &Open<'_>) -> Result<(), DropReason> {
        let age_us = microseconds(now).checked_sub(open.relay_time_us);
        if age_us.is_none_or(|age_us| age_us > microseconds(COOKIE_LIFE)) {
            return Err(DropReason::CookieAge);
        }
        let mac = self.macs.mac(from, open.relay_time_us, &[&open.nonce]);
        if is_same_mac(&mac, &open.mac) { Ok(()) } else { Err(DropReason::CookieMac) }
    }
}

/// Path challenges: whoever sends one back, tagged, receives at the address it was sent to.
pub(crate) struct Paths {
    key: Zeroizing<[u8; 16]>,
}

impl Paths {
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self { key: Zeroizing::new(key) }
    }

    pub(crate) fn challenge(
        &self,
        now: Duration,
        at: SocketAddr,
        connection: ConnectionId,
    ) -> [u8; PATH_CHALLENGE_BYTES] {
        self.of(period(now), at, connection)
    }

    pub(crate) fn answers(&self, now: Duration, at: SocketAddr, connection: ConnectionId, response: &[u8]) -> bool {
        let now = period(now);
        [now, now.saturating_sub(1)].into_iter().any(|period| self.of(period, at, connection) == response)
    }

    fn of(&self, period: u64, at: SocketAddr, connection: ConnectionId) -> [u8; PATH_CHALLENGE_BYTES] {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&period.to_le_bytes());
        hasher.write(&address_bytes(at));
        hasher.write(&connection.0);
        hasher.finish().to_le_bytes()
    }
}

/// Reset tokens, the same after a restart.
pub(crate) struct Resets(hmac::Key);

impl Resets {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    pub(crate) fn token(&self, connection: ConnectionId) -> [u8; RESET_TOKEN_BYTES] {
        let token = hmac::sign(&self.0, &connection.0);
        *token.as_ref().first_chunk().expect("HMAC-SHA256 has 32 bytes")
    }
}

pub(crate) fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn period(now: Duration) -> u64 {
    now.as_secs() / PATH_PERIOD.as_secs()
}
