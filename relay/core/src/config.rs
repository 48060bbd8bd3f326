//! What a core is told at its start.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use playgate_protocol::relay::{Pass, PassClaims, PassRefused, RelaySecret};

/// What the cores of one relay have in common, and what tells them apart.
#[derive(Clone)]
pub struct Config {
    /// Which core this is; the relay sends it what has this number in the byte at offset 4, modulo the cores.
    pub core: u8,
    /// Which start of the relay this is: random, and the same for all cores.
    pub epoch: u8,
    /// Flows at once, at most [`FLOWS_MAX`](crate::limits::FLOWS_MAX).
    pub flows_max: u32,
    /// A flow on which nothing comes from its player for this long has ended.
    pub flow_idle: Duration,
    /// Where servers are: payload goes nowhere else, whatever a pass says. Empty admits nothing.
    pub destinations: Vec<Prefix>,
    /// Random, the same for all cores: any of them checks the cookies of any other.
    pub cookie_seed: [u8; 32],
    /// Random, kept by the relay across its starts: players recognise its RESETs.
    pub reset_key: [u8; 32],
    /// Random, this core's own.
    pub seed: [u8; 32],
}

/// Shows no seed.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Config(core {}, {} flows, to {:?})", self.core, self.flows_max, self.destinations)
    }
}

impl Config {
    pub(crate) fn admits(&self, server: SocketAddr) -> bool {
        self.destinations.iter().any(|prefix| prefix.contains(server.ip()))
    }
}

/// The secrets by which passes are opened: that of today, and the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// Makes fresh passes.
    pub current: RelaySecret,
    /// Its passes are still taken.
    pub before: Option<RelaySecret>,
}

impl Secrets {
    pub(crate) fn open(&self, pass: &Pass) -> Result<PassClaims, PassRefused> {
        match (self.current.open(pass), &self.before) {
            (Err(PassRefused::UnknownSecret), Some(before)) => before.open(pass),
            (outcome, _) => outcome,
        }
    }
}

/// Addresses that begin alike: `10.0.0.0/8`, `2001:db8::/32`; an address alone is itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    bits: u128,
    mask: u128,
    is_v4: bool,
}

impl Prefix {
    /// Whether an address is in it. An IPv4 address written as an IPv6 one is an IPv4 address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let (bits, is_v4) = left_aligned(ip);
        is_v4 == self.is_v4 && bits & self.mask == self.bits
    }
}

/// Not an address prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPrefix(String);

impl fmt::Display for BadPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not an address prefix like 10.0.0.0/8 or 2001:db8::/32 with zeros behind it", self.0)
    }
}

impl std::error::Error for BadPrefix {}

impl FromStr for Prefix {
    type Err = BadPrefix;

    fn from_str(text: &str) -> Result<Self, BadPrefix> {
        let bad = || BadPrefix(text.chars().take(64).collect());
        let (ip, len) = text.split_once('/').map_or((text, None), |(ip, len)| (ip, Some(len)));
        let (bits, is_v4) = left_aligned(ip.parse().map_err(|_| bad())?);
        let len_max: u32 = if is_v4 { 32 } else { 128 };
        let len = len.map_or(Ok(len_max), str::parse).ok().filter(|len| *len <= len_max).ok_or_else(bad)?;
        let mask = u128::MAX.checked_shl(128 - len).unwrap_or(0);
        if bits & !mask == 0 { Ok(Self { bits, mask, is_v4 }) } else { Err(bad()) }
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = match self.is_v4 {
            true => IpAddr::V4(u32::try_from(self.bits >> 96).expect("32 bits").into()),
            false => IpAddr::V6(self.bits.into()),
        };
        write!(f, "{ip}/{}", self.mask.leading_ones())
    }
}

fn left_aligned(ip: IpAddr) -> (u128, bool) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()) << 96, true),
        IpAddr::V6(ip) => (ip.to_bits(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_what_begins_alike() {
        let rows = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "10.0.0.1", false),
        ];
        for (prefix, ip, expected) in rows {
            let parsed: Prefix = prefix.parse().unwrap();
            assert_eq!(parsed.contains(ip.parse().unwrap()), expected, "{prefix} {ip}");
        }
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for text in ["", "10", "10.0.0.0/33", "10.0.0.1/8", "2001:db8::/129", "10.0.0.0/", "10.0.0.0/-1", "a/8"] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
        for text in ["10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0", "::1/128"] {
            assert_eq!(format!("{:?}", text.parse::<Prefix>().unwrap()), text);
        }
    }
}
