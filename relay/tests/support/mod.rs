//! A relay on loopback, servers that know nothing of it, and what a player gets to reach them.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use playgate_protocol::relay::{FlowKey, PassClaims, RelayAccess, RelaySecret};
use playgate_protocol::{PlayerSessionId, ServerProcessId};
use playgate_relay::{Relay, RelayConfig, Report, Secrets};

pub const PATIENCE: Duration = Duration::from_secs(20);
pub const VALID_UNTIL_MS: u64 = u64::MAX / 2;

pub fn id(player: u8) -> PlayerSessionId {
    PlayerSessionId::from_parts(0, 1_750_000_000_000, [player; 9])
}

pub fn config(listen: &str) -> RelayConfig {
    let mut config = RelayConfig::new(listen.parse().unwrap());
    config.destinations = vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
    config.reset_key = [2; 32];
    config
}

pub fn start(config: RelayConfig) -> (Relay, Receiver<Report>) {
    let (told, reports) = channel();
    let relay = Relay::start(config, move |report| {
        let _ = told.send(report); // a test that has seen enough does not listen any more
    })
    .unwrap();
    relay.set_secrets(Secrets { current: RelaySecret::new(1, [1; 32]), before: None });
    (relay, reports)
}

/// Answers each datagram with the port it came from, and what it said. Ends with its socket's silence.
pub fn server(at: &str) -> SocketAddr {
    let socket = UdpSocket::bind(at).unwrap();
    let address = socket.local_addr().unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let answer = [from.port().to_string().as_bytes(), b" ", &buffer[..len]].concat();
            let _ = socket.send_to(&answer, from);
        }
    });
    address
}

pub fn access(number: u8, relay: SocketAddr, server: SocketAddr) -> RelayAccess {
    let claims = PassClaims {
        player_session: id(number),
        process: ServerProcessId::from_bytes([0x50; 16]),
        server,
        use_by_ms: VALID_UNTIL_MS,
        valid_until_ms: VALID_UNTIL_MS,
        packets_per_second: 10_000,
        bytes_per_second: 10_000_000,
        flow_key: FlowKey::from_bytes([number; 32]),
    };
    let pass = RelaySecret::new(1, [1; 32]).seal(&claims, [number; 16]);
    RelayAccess { address: relay, pass, flow_key: claims.flow_key.clone() }
}
