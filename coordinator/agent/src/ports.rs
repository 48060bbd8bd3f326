//! Whether anybody uses a port.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

/// The first of these ports on which both a UDP and a TCP server could listen at this moment.
pub(crate) fn first_free(candidates: &[u16]) -> Option<u16> {
    candidates.iter().copied().find(|port| is_free(*port))
}

/// An IPv6 wildcard takes the IPv4 port too, so it meets whoever uses either; not every machine has IPv6.
fn is_free(port: u16) -> bool {
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let any_v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let wildcard = if UdpSocket::bind(any_v6).is_ok() { v6 } else { v4 };
    UdpSocket::bind(wildcard).is_ok() && TcpListener::bind(wildcard).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_on_any_address_is_not_free() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let Ok(udp) = UdpSocket::bind(address) else { continue };
            let port = udp.local_addr().unwrap().port();
            assert_eq!(first_free(&[port]), None, "UDP {address}");
            let Ok(tcp) = TcpListener::bind(address) else { continue };
            let port = tcp.local_addr().unwrap().port();
            assert_eq!(first_free(&[port]), None, "TCP {address}");
        }
    }
}
