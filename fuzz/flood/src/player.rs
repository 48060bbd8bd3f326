//! A player by hand: a socket and a `PlayerFlow`, and what was sent to open the flow.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use playgate_client::relay::{FlowState, PlayerFlow, RelayAccess};
use playgate_protocol::relay::{FlowEvent, FlowKey, HEADER_BYTES, PAYLOAD_BYTES_MAX, PassClaims};
use playgate_protocol::{PlayerSessionId, ServerProcessId};

use crate::relay::secret;

const VALID_UNTIL_MS: u64 = u64::MAX / 2;

/// How much a pass allows.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// In a second.
    pub datagrams: u32,
    /// In a second, of payload.
    pub bytes: u32,
}

/// More than any honest player here sends.
pub const AMPLE: Allowance = Allowance { datagrams: 1_000, bytes: 1_000_000 };
/// The greedy player's.
pub const SCARCE: Allowance = Allowance { datagrams: 200, bytes: 100_000 };
/// What he may send at once: 32 datagrams, or those of a quarter of a second.
pub const SCARCE_BURST: u64 = 50;

/// What the coordinator gives a player.
#[must_use]
pub fn access(number: u32, relay: SocketAddr, server: SocketAddr, allowance: Allowance) -> RelayAccess {
    let mut bytes = [0x66; 32];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    let claims = PassClaims {
        player_session: PlayerSessionId::from_parts(0, 1_750_000_000_000, *bytes.first_chunk().expect("32 bytes")),
        process: ServerProcessId::from_bytes([0x50; 16]),
        server,
        use_by_ms: VALID_UNTIL_MS,
        valid_until_ms: VALID_UNTIL_MS,
        packets_per_second: allowance.datagrams,
        bytes_per_second: allowance.bytes,
        flow_key: FlowKey::from_bytes(bytes),
    };
    let pass = secret().seal(&claims, *bytes.first_chunk().expect("32 bytes"));
    RelayAccess { address: relay, pass, flow_key: claims.flow_key.clone() }
}

/// A player whose flow is open.
pub struct Player {
    /// His.
    pub socket: UdpSocket,
    /// Likewise.
    pub flow: PlayerFlow,
    started: Instant,
    buffer: [u8; 2_048],
}

impl Player {
    /// Opens a flow. Also returns what was sent for it, in its order.
    ///
    /// # Errors
    /// The socket's, and that the relay does not answer within `patience`, or refuses.
    pub fn open(access: RelayAccess, seed: [u8; 32], patience: Duration) -> io::Result<(Self, Vec<Vec<u8>>)> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        let flow = PlayerFlow::new(access, seed, patience, Duration::ZERO);
        let mut player = Self { socket, flow, started: Instant::now(), buffer: [0; 2_048] };
        let mut said = Vec::new();
        loop {
            match player.flow.state() {
                FlowState::Open => return Ok((player, said)),
                FlowState::Knocking | FlowState::Opening => {}
                over => return Err(io::Error::other(format!("no flow: {over:?}"))),
            }
            while let Some(datagram) = player.flow.poll_transmit() {
                player.socket.send_to(datagram.as_slice(), player.flow.relay())?;
                said.push(datagram.as_slice().to_vec());
            }
            player.hear(Duration::from_millis(50))?;
        }
    }

    /// Sends a payload, and returns the datagram.
    ///
    /// # Errors
    /// The socket's, and that the flow is not open.
    pub fn send(&mut self, payload: &[u8]) -> io::Result<Vec<u8>> {
        let mut datagram = vec![0; HEADER_BYTES + payload.len().min(PAYLOAD_BYTES_MAX)];
        self.flow.wrap(payload, &mut datagram).map_err(io::Error::other)?;
        self.socket.send_to(&datagram, self.flow.relay())?;
        Ok(datagram)
    }

    /// Waits at most this long for a datagram, does what the flow wants, and returns a payload that came.
    ///
    /// # Errors
    /// The socket's.
    pub fn hear(&mut self, wait: Duration) -> io::Result<Option<Vec<u8>>> {
        self.socket.set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        let mut heard = None;
        if let Ok((len, from)) = self.socket.recv_from(&mut self.buffer)
            && let FlowEvent::Payload(payload) = self.flow.handle(self.started.elapsed(), from, &self.buffer[..len])
        {
            heard = Some(payload.to_vec());
        }
        self.flow.handle_timeout(self.started.elapsed());
        if self.flow.state() == FlowState::Open {
            while let Some(datagram) = self.flow.poll_transmit() {
                self.socket.send_to(datagram.as_slice(), self.flow.relay())?;
            }
        }
        Ok(heard)
    }
}
