//! What an attacker sends with: sockets of his own, and one that writes any source.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const IPV4_BYTES: usize = 20;
const UDP_BYTES: usize = 8;
/// IPPROTO_RAW: the packet comes with its IP header.
const ANY_PROTOCOL: i32 = 255;
const UDP: u8 = 17;

/// Sends from addresses that are not his.
pub struct Forger {
    socket: Socket,
    packet: Vec<u8>,
}

impl Forger {
    pub fn new() -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(ANY_PROTOCOL)))?;
        Ok(Self { socket, packet: Vec::new() })
    }

    /// The kernel fills in length and checksum of the IP header; a UDP checksum of 0 is none.
    pub fn send(&mut self, from: SocketAddrV4, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        let SocketAddr::V4(to) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        let udp_len = u16::try_from(UDP_BYTES + datagram.len()).map_err(io::Error::other)?;
        let packet = &mut self.packet;
        packet.clear();
        packet.extend_from_slice(&[0x45, 0, 0, 0, 0, 0, 0, 0, 64, UDP, 0, 0]);
        packet.extend_from_slice(&from.ip().octets());
        packet.extend_from_slice(&to.ip().octets());
        for number in [from.port(), to.port(), udp_len, 0] {
            packet.extend_from_slice(&number.to_be_bytes());
        }
        debug_assert_eq!(packet.len(), IPV4_BYTES + UDP_BYTES);
        packet.extend_from_slice(datagram);
        self.socket.send_to(packet, &SockAddr::from(SocketAddrV4::new(*to.ip(), 0))).map(drop)
    }
}

/// Ports of his own address. What is sent to them is not read.
pub struct Own {
    sockets: Vec<UdpSocket>,
}

impl Own {
    pub fn new(count: usize) -> io::Result<Self> {
        let sockets = (0..count).map(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)));
        Ok(Self { sockets: sockets.collect::<io::Result<_>>()? })
    }

    /// From one of them after the other.
    pub fn send(&self, n: u64, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
        let turn = usize::try_from(n % self.sockets.len() as u64).expect("fewer than 2^32 sockets");
        self.sockets[turn].send_to(datagram, to).map(drop)
    }
}
