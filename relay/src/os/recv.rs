//! Takes up to [`BATCH`] datagrams from a socket by one call.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::{BATCH, DATAGRAM_BYTES, address};

/// Buffers for a batch, with room before each datagram for a header.
pub(crate) struct Received {
    headroom: usize,
    bytes: Box<[u8]>,
    lengths: [usize; BATCH],
    from: [libc::sockaddr_storage; BATCH],
}

impl Received {
    pub(crate) fn new(headroom: usize) -> Self {
        let bytes = vec![0; BATCH * (headroom + DATAGRAM_BYTES)].into_boxed_slice();
        Self { headroom, bytes, lengths: [0; BATCH], from: [address::none(); BATCH] }
    }

    /// Takes what is there, without waiting. Returns how many datagrams; none is an error of kind `WouldBlock`.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let headroom = self.headroom;
        let mut places: [libc::iovec; BATCH] = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH];
        for (place, buffer) in places.iter_mut().zip(self.bytes.chunks_exact_mut(headroom + DATAGRAM_BYTES)) {
            let buffer = &mut buffer[headroom..];
            *place = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        }
        // SAFETY: an `mmsghdr` is numbers and pointers only, for which zeros are valid.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        for ((header, place), from) in headers.iter_mut().zip(&mut places).zip(&mut self.from) {
            from.ss_family = 0;
            header.msg_hdr.msg_name = (&raw mut *from).cast();
            header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_iov = place;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: all pointers in the headers are to `places`, `self.from` and `self.bytes`, which outlive the call and
        // are borrowed for it alone; lengths are those of what they point to.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (length, header) in self.lengths.iter_mut().zip(&headers[..count]) {
            *length = header.msg_len as usize;
        }
        Ok(count)
    }

    /// A datagram of the last batch, and where it came from; `None` where the socket is connected.
    pub(crate) fn datagram(&self, n: usize) -> (Option<SocketAddr>, &[u8]) {
        let start = self.start(n) + self.headroom;
        (address::decode(&self.from[n]), &self.bytes[start..start + self.lengths[n]])
    }

    /// The same with the room before it.
    pub(crate) fn with_headroom(&mut self, n: usize) -> &mut [u8] {
        let start = self.start(n);
        &mut self.bytes[start..start + self.headroom + self.lengths[n]]
    }

    /// Where datagram `n`, with the room before it, begins in [`Received::bytes`].
    pub(crate) fn start(&self, n: usize) -> usize {
        n * (self.headroom + DATAGRAM_BYTES)
    }

    /// All buffers, one after the other.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
