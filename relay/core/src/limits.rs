//! Every bound of a relay's core, with its reason.

use std::time::Duration;

use playgate_protocol::relay::{COOKIE_BYTES, HEADER_BYTES, RESET_BYTES};

/// A cookie is taken for this long: players of slow networks answer within three seconds, and repeat themselves.
pub const COOKIE_LIFE: Duration = Duration::from_secs(10);
/// The secret behind the cookies changes this often.
pub const COOKIE_SECRET_PERIOD: Duration = Duration::from_secs(60);
/// HELLOs answered in a second for one network (IPv4 /24, IPv6 /56), as long as there is enough for all networks.
pub const HELLOS_PER_NETWORK_PER_SECOND: u32 = 500;
/// HELLOs answered in a burst for one network: all players of a hall, some times each.
pub const HELLOS_PER_NETWORK_BURST: u32 = 2_000;
/// HELLOs that one core answers in a second for networks that ask for no more than that. An answer costs about as much as
/// a forwarded datagram, and not twice as much as a drop.
pub const HELLOS_PER_SECOND: u32 = 50_000;
/// The same, in a burst.
pub const HELLO_BURST: u32 = 10_000;
/// HELLOs that it answers besides, for whomever: a network that somebody floods, or in whose name he does, has a share of
/// these; and so has everybody in a flood of forged sources, by asking again.
pub const SPARE_HELLOS_PER_SECOND: u32 = 100_000;
/// The same, in a burst.
pub const SPARE_HELLO_BURST: u32 = 10_000;
/// Passes that one core opens in a second; each costs some microseconds.
pub const OPENS_PER_SECOND: u32 = 10_000;
/// Passes opened in a burst: all players of a large server who come back at once.
pub const OPEN_BURST: u32 = 2_000;
/// Passes opened in a second for one network (IPv4 /24, IPv6 /56), whose addresses are proven by then.
pub const OPENS_PER_NETWORK_PER_SECOND: u32 = 100;
/// Passes opened in a burst for one network: a hall of players behind one address.
pub const OPENS_PER_NETWORK_BURST: u32 = 400;
/// Source networks that are told apart at once, for HELLOs and for OPENs. Two that meet in a place share it.
pub const NETWORKS: usize = 4_096;
/// OPENs with one cookie that are looked at. A player sends seven, whoever has seen one of them any number.
pub const OPENS_PER_COOKIE: u32 = 8;
/// The next of them is looked at after this; a player waits longer before he repeats himself.
pub const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Cookies whose OPENs are told apart at once.
pub const COOKIES_REMEMBERED: usize = 4_096;
/// RESETs sent in a second; players who get none find out by their PINGs.
pub const RESETS_PER_SECOND: u32 = 5_000;
/// RESETs sent in a burst.
pub const RESET_BURST: u32 = 1_000;
/// A flow may send this much of its rate at once.
pub const FLOW_BURST: Duration = Duration::from_millis(250);
/// Players whose flow has ended, and who have no more of their rate when they open the next one, at once, in 192 KiB.
pub const PACES_REMEMBERED: usize = 4_096;
/// A flow is asked at most this often whether it receives at the address it sends from.
pub const PATH_CHALLENGE_EVERY: Duration = Duration::from_millis(200);
/// How long a path challenge is good: one to two of these.
pub const PATH_PERIOD: Duration = Duration::from_secs(4);
/// Flows of one core; a slot has 24 bits, and this is what 256 bytes each make 1 GiB of.
pub const FLOWS_MAX: u32 = 1 << 22;
/// Player sessions whose revocation is remembered. Their passes have expired long before as many are revoked.
pub const REVOKED_MAX: usize = 100_000;
/// Destination prefixes of a relay.
pub const DESTINATIONS_MAX: usize = 64;
/// How often flows are looked at for their end.
pub const SWEEP_EVERY: Duration = Duration::from_millis(100);
/// All flows are looked at in this many sweeps.
pub const SWEEPS: usize = 50;
/// Longest datagram that a core sends of its own accord.
pub const REPLY_BYTES_MAX: usize = playgate_protocol::relay::ACCEPT_BYTES;
/// A CLOSE with its reason.
pub const CLOSE_BYTES_MAX: usize = HEADER_BYTES + 1;

const _: () = assert!(COOKIE_BYTES <= REPLY_BYTES_MAX && RESET_BYTES <= REPLY_BYTES_MAX);
const _: () = assert!(FLOWS_MAX <= 1 << 24);
