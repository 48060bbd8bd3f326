//! The sockets towards servers: one for each flow, so that a server sees each player at an address of his own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use playgate_protocol::PlayerSessionId;
use playgate_relay_core::Slot;
use ring::hmac;
use rustix::event::epoll;
use socket2::{Domain, Protocol, Socket, Type};

/// Socket buffers, in bytes: half a second of a busy player.
const BUFFER_BYTES: usize = 256 * 1024;

/// Ports that are tried before the system chooses one.
const PORTS_TRIED: u8 = 3;
/// Ports that follow from a player session: above those that are well known, below those that Linux gives out by itself.
const PORTS: std::ops::Range<u16> = 10_000..32_768;

/// By slot.
pub(crate) struct Upstreams {
    send_from: Vec<IpAddr>,
    /// Makes ports.
    key: hmac::Key,
    sockets: Vec<Option<Upstream>>,
}

struct Upstream {
    socket: UdpSocket,
    server: SocketAddr,
}

impl Upstreams {
    /// `key` is the relay's own and the same after a restart, so that a server sees its players where they were before.
    pub(crate) fn new(send_from: Vec<IpAddr>, key: &[u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Self { send_from, key, sockets: Vec::new() }
    }

    /// A socket for the flow in this slot. One that goes to the same server already is kept: it is the same player's,
    /// who has opened his flow again.
    pub(crate) fn open(
        &mut self,
        slot: Slot,
        player: PlayerSessionId,
        server: SocketAddr,
        poll: &OwnedFd,
    ) -> io::Result<()> {
        let index = slot as usize;
        if self.sockets.len() <= index {
            self.sockets.resize_with(index + 1, || None);
        }
        if self.sockets[index].as_ref().is_some_and(|upstream| upstream.server == server) {
            return Ok(());
        }
        self.sockets[index] = None;
        let socket = self.connect(player, server)?;
        epoll::add(poll, &socket, epoll::EventData::new_u64(u64::from(slot)), epoll::EventFlags::IN)?;
        self.sockets[index] = Some(Upstream { socket, server });
        Ok(())
    }

    pub(crate) fn close(&mut self, slot: Slot) {
        if let Some(place) = self.sockets.get_mut(slot as usize) {
            *place = None;
        }
    }

    /// Slots that were ever used.
    pub(crate) fn slots(&self) -> Slot {
        Slot::try_from(self.sockets.len()).expect("slots have 24 bits")
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<BorrowedFd<'_>> {
        self.sockets.get(slot as usize)?.as_ref().map(|upstream| upstream.socket.as_fd())
    }

    /// A server knows a player by address and port. A port that is taken by somebody else is not waited for.
    fn connect(&self, player: PlayerSessionId, server: SocketAddr) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(server), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        let anywhere = match server {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let from = self.send_from.iter().copied().find(|ip| ip.is_ipv4() == server.is_ipv4()).unwrap_or(anywhere);
        let ports = (0..PORTS_TRIED).map(|attempt| self.port(player, attempt));
        if !ports.into_iter().any(|port| socket.bind(&SocketAddr::new(from, port).into()).is_ok()) {
            socket.bind(&SocketAddr::new(from, 0).into())?;
        }
        let socket = speak_with(socket.into(), server)?;
        // A kernel that grants less still works.
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(BUFFER_BYTES);
        Ok(socket)
    }
}

impl Upstreams {
    fn port(&self, player: PlayerSessionId, attempt: u8) -> u16 {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [b"playgate v1 relay port".as_slice(), player.as_bytes(), &[attempt]] {
            context.update(part);
        }
        let number = u16::from_le_bytes(*context.sign().as_ref().first_chunk().expect("HMAC-SHA256 has 32 bytes"));
        PORTS.start + number % (PORTS.end - PORTS.start)
    }
}

/// From here on nothing but the server's comes out of a socket that is bound and takes no time to be read.
fn speak_with(socket: UdpSocket, server: SocketAddr) -> io::Result<UdpSocket> {
    socket.connect(server)?;
    // Between the two calls the port was open to anybody, and what came is still there. If some of it is the server's, who
    // knows this port from before a restart, it is lost as on any network.
    while socket.recv(&mut [0]).is_ok() {}
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_sent_before_the_socket_was_connected_is_not_the_servers() {
        let [socket, server, stranger] = ["127.0.0.1:0"; 3].map(|at| UdpSocket::bind(at).unwrap());
        socket.set_nonblocking(true).unwrap();
        let at = socket.local_addr().unwrap();
        stranger.send_to(b"I am your server", at).unwrap();
        stranger.send_to(b"", at).unwrap();
        let socket = speak_with(socket, server.local_addr().unwrap()).unwrap();
        stranger.send_to(b"and still am", at).unwrap();
        server.send_to(b"hello", at).unwrap();
        let mut buffer = [0; 64];
        let len = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"hello");
        assert!(socket.recv(&mut buffer).is_err());
    }
}
