//! UDP sockets with the buffers that a burst of handshakes needs.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use quinn::{Endpoint, EndpointConfig, Runtime, ServerConfig, TokioRuntime};
use socket2::{Domain, Protocol, Socket, Type};

use crate::counters::ListenerCounters;
use crate::first_packets::FirstPacketLimiter;
use crate::limits;

/// Opens and binds; a wildcard IPv6 address also receives IPv4 where the system allows it.
pub(crate) fn bind(addr: SocketAddr) -> Result<UdpSocket, BindError> {
    let failed = |error| BindError { addr, error };
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP)).map_err(failed)?;
    if addr.is_ipv6()
        && let Err(error) = socket.set_only_v6(false)
    {
        tracing::debug!(%addr, %error, "IPv6 only");
    }
    grow_buffers(&socket);
    socket.bind(&addr.into()).map_err(failed)?;
    Ok(socket.into())
}

/// Hands the socket to quinn and tokio. `addr` is for the error text.
pub(crate) fn endpoint(
    addr: SocketAddr,
    config: EndpointConfig,
    server: Option<(ServerConfig, Arc<ListenerCounters>)>,
    socket: UdpSocket,
) -> Result<Endpoint, BindError> {
    let failed = |error| BindError::new(addr, error);
    if tokio::runtime::Handle::try_current().is_err() {
        return Err(failed(io::Error::other("not called inside a tokio runtime")));
    }
    let mut socket = TokioRuntime.wrap_udp_socket(socket).map_err(failed)?;
    let (server, counters) = server.unzip();
    if let Some(counters) = counters {
        socket = Arc::new(FirstPacketLimiter::new(socket, counters));
    }
    Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(TokioRuntime)).map_err(failed)
}

/// Linux silently gives what its sysctl allows; other systems refuse what is too much, so ask for less.
fn grow_buffers(socket: &Socket) {
    let sizes = || std::iter::successors(Some(limits::SOCKET_BUFFER_BYTES), |size| Some(size / 2)).take(6);
    let _ = sizes().find(|size| socket.set_recv_buffer_size(*size).is_ok());
    let _ = sizes().find(|size| socket.set_send_buffer_size(*size).is_ok());
    tracing::debug!(
        receive = socket.recv_buffer_size().unwrap_or(0),
        send = socket.send_buffer_size().unwrap_or(0),
        wanted = limits::SOCKET_BUFFER_BYTES,
        "UDP socket buffers (on Linux bounded by net.core.rmem_max and wmem_max)"
    );
}

/// A UDP socket could not be opened. Its text names the address and what to do.
#[derive(Debug)]
pub struct BindError {
    addr: SocketAddr,
    error: io::Error,
}

impl BindError {
    pub(crate) fn new(addr: SocketAddr, error: io::Error) -> Self {
        Self { addr, error }
    }

    /// The address that was asked for.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What the system said.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remedy = match self.error.kind() {
            ErrorKind::AddrInUse => "another process has this UDP port: stop it, or choose another port",
            ErrorKind::AddrNotAvailable => "no interface of this machine has this address: use one it has, or 0.0.0.0",
            ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose a higher one",
            ErrorKind::Unsupported => "this system cannot open such a socket: check that the address family is enabled",
            _ => "check the address and the limit of open files",
        };
        write!(f, "cannot open UDP {}: {}; {remedy}", self.addr, self.error)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_address_and_the_remedy() {
        let taken = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = taken.local_addr().unwrap();
        let text = bind(addr).unwrap_err().to_string();
        assert!(text.contains(&addr.to_string()) && text.contains("choose another port"), "{text}");
        // TEST-NET-3 (RFC 5737) is on no interface.
        let text = bind("203.0.113.1:0".parse().unwrap()).unwrap_err().to_string();
        assert!(text.contains("203.0.113.1:0") && text.contains("0.0.0.0"), "{text}");
    }

    #[test]
    fn buffers_grow_as_far_as_the_system_allows() {
        let plain = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap().recv_buffer_size().unwrap();
        let ours = Socket::from(bind("127.0.0.1:0".parse().unwrap()).unwrap()).recv_buffer_size().unwrap();
        assert!(ours >= plain, "{ours} < {plain}");
    }
}
