//! What a relay is told at its start.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use playgate_relay_core::Prefix;

/// Flows of one core that a relay carries unless told otherwise: each costs a socket.
const FLOWS_MAX: u32 = 10_000;
/// Three PINGs of a player.
const FLOW_IDLE: Duration = Duration::from_secs(20);

/// How a relay works.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// Where players send to. `[::]:4000` takes both address families.
    pub listen: SocketAddr,
    /// Threads, one for each CPU core that serves; at least 1.
    pub cores: u8,
    /// Flows of one core at once. Each needs a descriptor: raise `ulimit -n` above their sum.
    pub flows_max: u32,
    /// A flow on which nothing comes from its player for this long has ended.
    pub flow_idle: Duration,
    /// Where servers are. Payload goes nowhere else, whatever a pass says; empty admits nothing.
    pub destinations: Vec<Prefix>,
    /// Addresses from which payload goes to servers; where there is none of a family, the system chooses.
    pub send_from: Vec<IpAddr>,
    /// Random, kept by the relay across its starts: players recognise by it that they should open their flow again.
    pub reset_key: [u8; 32],
}

impl RelayConfig {
    /// One core, nothing allowed, and a reset key of zeros: set what is yours.
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            cores: 1,
            flows_max: FLOWS_MAX,
            flow_idle: FLOW_IDLE,
            destinations: Vec::new(),
            send_from: Vec::new(),
            reset_key: [0; 32],
        }
    }
}
