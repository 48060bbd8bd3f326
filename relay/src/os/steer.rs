//! Has the kernel give each datagram to the core that it names.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Among the sockets that share a port, in the order in which they were bound, the one whose number is the byte at
/// offset 4 of the datagram, modulo `cores`; of a shorter datagram the first. Attach it to any of them, after all are
/// bound.
pub(crate) fn steer_by_fifth_byte(socket: BorrowedFd<'_>, cores: u8) -> io::Result<()> {
    const LOAD_BYTE: u16 = 0x30; // BPF_LD | BPF_B | BPF_ABS
    const MODULO: u16 = 0x94; // BPF_ALU | BPF_MOD | BPF_K
    const RETURN: u16 = 0x16; // BPF_RET | BPF_A
    let instruction = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let mut program = [instruction(LOAD_BYTE, 4), instruction(MODULO, u32::from(cores)), instruction(RETURN, 0)];
    let filter = libc::sock_fprog { len: 3, filter: program.as_mut_ptr() };
    // SAFETY: the option takes a `sock_fprog`, whose length is given; the kernel copies the program it points to, which
    // outlives the call.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const filter).cast(),
            mem::size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::os::fd::AsFd;
    use std::time::Duration;

    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn the_fifth_byte_chooses_the_socket() {
        let bind = |at: SocketAddr| -> UdpSocket {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
            socket.set_reuse_port(true).unwrap();
            socket.bind(&at.into()).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            socket.into()
        };
        let first = bind("127.0.0.1:0".parse().unwrap());
        let at = first.local_addr().unwrap();
        let sockets = [first, bind(at), bind(at)];
        steer_by_fifth_byte(sockets[0].as_fd(), 3).unwrap();
        let player = UdpSocket::bind("127.0.0.1:0").unwrap();
        for byte in 0..=u8::MAX {
            player.send_to(&[9, 9, 9, 9, byte, 9], at).unwrap();
            let mut buffer = [0; 16];
            let len = sockets[usize::from(byte % 3)].recv(&mut buffer).unwrap();
            assert_eq!(buffer[..len], [9, 9, 9, 9, byte, 9]);
        }
        player.send_to(&[9, 9], at).unwrap();
        assert_eq!(sockets[0].recv(&mut [0; 16]).unwrap(), 2);
    }
}
