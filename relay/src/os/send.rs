//! Sends many datagrams by few calls: one message for each run of equal destination and length, by `UDP_SEGMENT`.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{BATCH, address};

/// Segments that older kernels take in one message.
const SEGMENTS_MAX: usize = 64;
/// Bytes of one message, below what an IPv4 packet can carry.
const RUN_BYTES_MAX: usize = 65_000;

/// One datagram: bytes of an arena, and where they go; `None` on a connected socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing {
    pub(crate) to: Option<SocketAddr>,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// How many datagrams the kernel took and how many it did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sent {
    pub(crate) taken: u64,
    pub(crate) lost: u64,
}

/// Remembers whether the device can segment.
pub(crate) struct Sender {
    segments: bool,
}

/// Room for one `UDP_SEGMENT` message, aligned as the kernel wants it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

// SAFETY: CMSG_SPACE only computes.
const CONTROL_BYTES: usize = unsafe { libc::CMSG_SPACE(mem::size_of::<u16>() as libc::c_uint) as usize };

/// A run of datagrams that is one message.
#[derive(Clone, Copy, Default)]
struct Run {
    first: usize,
    count: usize,
}

impl Sender {
    pub(crate) fn new() -> Self {
        Self { segments: true }
    }

    /// Sends all of them, in their order. What the kernel does not take is lost, as on any network: nothing is queued.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>, arena: &[u8], datagrams: &[Outgoing]) -> Sent {
        let mut sent = Sent::default();
        for batch in datagrams.chunks(BATCH) {
            self.send_batch(socket, arena, batch, &mut sent);
        }
        sent
    }

    fn send_batch(&mut self, socket: BorrowedFd<'_>, arena: &[u8], datagrams: &[Outgoing], sent: &mut Sent) {
        let mut from = 0;
        // Each turn gets rid of one datagram at least.
        while from < datagrams.len() {
            let mut runs = [Run::default(); BATCH];
            let count = self.runs(&datagrams[from..], &mut runs);
            match call(socket, arena, &datagrams[from..], &runs[..count]) {
                Ok(taken) => {
                    let taken: usize = runs[..taken].iter().map(|run| run.count).sum();
                    sent.taken += taken as u64;
                    from += taken;
                }
                // One by one. Where the device cannot segment, that is so from here on; otherwise it is about this
                // destination, which must not cost the others anything: its path takes less than a segment.
                Err(error) if runs[0].count > 1 && cannot_segment(&error) => {
                    let run = &datagrams[from..from + runs[0].count];
                    Self { segments: false }.send_batch(socket, arena, run, sent);
                    self.segments = !is_the_device(&error);
                    from += run.len();
                }
                // Nobody listens at the server's port: told once, for something sent earlier.
                Err(error) if error.raw_os_error() == Some(libc::ECONNREFUSED) => {
                    if call(socket, arena, &datagrams[from..], &runs[..1]).is_ok() {
                        sent.taken += runs[0].count as u64;
                    } else {
                        sent.lost += runs[0].count as u64;
                    }
                    from += runs[0].count;
                }
                Err(error) if is_full(&error) => {
                    sent.lost += (datagrams.len() - from) as u64;
                    return;
                }
                Err(_) => {
                    sent.lost += runs[0].count as u64;
                    from += runs[0].count;
                }
            }
        }
    }

    /// Equal destination, and equal length but for a shorter last one.
    fn runs(&self, datagrams: &[Outgoing], runs: &mut [Run; BATCH]) -> usize {
        let mut count = 0;
        let mut open = false;
        for (n, datagram) in datagrams.iter().enumerate() {
            if open && self.segments {
                let run = &mut runs[count - 1];
                let head = &datagrams[run.first];
                let fits = run.count < SEGMENTS_MAX && (run.count + 1) * head.len <= RUN_BYTES_MAX;
                if fits && head.to == datagram.to && datagram.len <= head.len && datagram.len > 0 {
                    run.count += 1;
                    open = datagram.len == head.len;
                    continue;
                }
            }
            runs[count] = Run { first: n, count: 1 };
            count += 1;
            open = true;
        }
        count
    }
}

/// Sends the runs; returns how many of them the kernel took, at least one.
fn call(socket: BorrowedFd<'_>, arena: &[u8], datagrams: &[Outgoing], runs: &[Run]) -> io::Result<usize> {
    let mut places = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH];
    for (place, datagram) in places.iter_mut().zip(datagrams) {
        let bytes = &arena[datagram.start..datagram.start + datagram.len];
        *place = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    }
    let mut names = [address::none(); BATCH];
    let mut controls = [Control([0; CONTROL_BYTES]); BATCH];
    // SAFETY: an `mmsghdr` is numbers and pointers only, for which zeros are valid.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
    for (n, run) in runs.iter().enumerate() {
        let header = &mut headers[n].msg_hdr;
        let head = &datagrams[run.first];
        if let Some(to) = head.to {
            header.msg_namelen = address::encode(to, &mut names[n]);
            header.msg_name = (&raw mut names[n]).cast();
        }
        header.msg_iov = &raw mut places[run.first];
        header.msg_iovlen = run.count as _;
        if run.count > 1 {
            header.msg_control = controls[n].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_BYTES as _;
            let size = u16::try_from(head.len).expect("a datagram has fewer than 65,536 bytes");
            // SAFETY: the control buffer is aligned and has room for one message with a u16, which is what is written.
            unsafe {
                let message = libc::CMSG_FIRSTHDR(header);
                (*message).cmsg_level = libc::SOL_UDP;
                (*message).cmsg_type = libc::UDP_SEGMENT;
                (*message).cmsg_len = libc::CMSG_LEN(mem::size_of::<u16>() as libc::c_uint) as _;
                libc::CMSG_DATA(message).cast::<u16>().write_unaligned(size);
            }
        }
    }
    // SAFETY: all pointers in the headers are to `places`, `names`, `controls` and `arena`, which outlive the call; the
    // kernel only reads what an `iovec` of a message that is sent points to, so the arena's constness is kept.
    let taken = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            runs.len() as libc::c_uint,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    usize::try_from(taken).map_err(|_| io::Error::last_os_error())
}

/// A path that takes less than a segment is EINVAL, and EMSGSIZE to younger kernels.
fn cannot_segment(error: &io::Error) -> bool {
    is_the_device(error) || matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EMSGSIZE))
}

/// What devices without checksum offload say.
fn is_the_device(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EOPNOTSUPP))
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;
    use crate::os::Received;

    fn sockets() -> (UdpSocket, UdpSocket) {
        let pair = ["127.0.0.1:0"; 2].map(|at| UdpSocket::bind(at).unwrap());
        let [one, other] = pair;
        (one, other)
    }

    /// Sends datagrams of these lengths and returns what came, with its sender.
    fn exchange(sender: &mut Sender, lengths: &[usize], connected: bool) -> Vec<Vec<u8>> {
        let (from, to) = sockets();
        let arena: Vec<u8> = (0..=u8::MAX).cycle().take(4_096).collect();
        let destination = to.local_addr().unwrap();
        if connected {
            from.connect(destination).unwrap();
        }
        let datagrams: Vec<_> = lengths
            .iter()
            .enumerate()
            .map(|(start, len)| Outgoing { to: (!connected).then_some(destination), start, len: *len })
            .collect();
        let sent = sender.send(from.as_fd(), &arena, &datagrams);
        assert_eq!(sent, Sent { taken: lengths.len() as u64, lost: 0 });
        let mut received = Received::new(20);
        let mut came = Vec::new();
        while let Ok(count) = received.receive(to.as_fd()) {
            for n in 0..count {
                let (address, bytes) = received.datagram(n);
                assert_eq!(address, Some(from.local_addr().unwrap()));
                came.push(bytes.to_vec());
                assert_eq!(received.with_headroom(n).len(), 20 + came.last().unwrap().len());
            }
        }
        let expected: Vec<_> =
            lengths.iter().enumerate().map(|(start, len)| arena[start..start + len].to_vec()).collect();
        assert_eq!(came, expected);
        came
    }

    #[test]
    fn what_is_sent_arrives_in_its_order_and_its_pieces() {
        for segments in [true, false] {
            for connected in [true, false] {
                let mut sender = Sender { segments };
                exchange(&mut sender, &[1], connected);
                exchange(&mut sender, &[200; 100], connected);
                exchange(&mut sender, &[200, 200, 100, 200, 0, 0, 1, 1_432, 1_432, 7], connected);
                assert_eq!(sender.segments, segments, "loopback can segment");
            }
        }
    }

    #[test]
    fn equal_datagrams_are_one_message() {
        let to = "192.0.2.1:1".parse().ok();
        let other = "192.0.2.2:1".parse().ok();
        let datagrams = [(to, 9), (to, 9), (to, 4), (to, 4), (other, 4), (to, 4), (to, 5), (to, 0), (to, 0)];
        let datagrams = datagrams.map(|(to, len)| Outgoing { to, start: 0, len });
        let counts = |segments| {
            let mut runs = [Run::default(); BATCH];
            let count = Sender { segments }.runs(&datagrams, &mut runs);
            runs[..count].iter().map(|run| run.count).collect::<Vec<_>>()
        };
        assert_eq!(counts(true), [3, 1, 1, 1, 1, 1, 1]);
        assert_eq!(counts(false), [1; 9]);
    }

    /// Nothing can be sent to port 0, and anybody may write it as his source.
    #[test]
    fn a_destination_that_takes_nothing_costs_its_own_datagrams_only() {
        let (from, to) = sockets();
        let nowhere = "127.0.0.1:0".parse().ok();
        let list = [nowhere, nowhere, to.local_addr().ok(), to.local_addr().ok()];
        let mut sender = Sender::new();
        let sent = sender.send(from.as_fd(), &[7; 8], &list.map(|to| Outgoing { to, start: 0, len: 8 }));
        assert_eq!(sent, Sent { taken: 2, lost: 2 });
        assert!(sender.segments, "the others' datagrams leave together as before");
        assert_eq!(Received::new(0).receive(to.as_fd()).unwrap(), 2);
    }

    #[test]
    fn a_port_where_nobody_listens_costs_its_own_datagrams_only() {
        let (from, to) = sockets();
        from.connect(to.local_addr().unwrap()).unwrap();
        drop(to);
        let mut sender = Sender::new();
        let mut sent = Sent::default();
        for _ in 0..4 {
            let now = sender.send(from.as_fd(), &[0; 8], &[Outgoing { to: None, start: 0, len: 8 }; 3]);
            sent = Sent { taken: sent.taken + now.taken, lost: sent.lost + now.lost };
        }
        assert_eq!(sent.taken + sent.lost, 12);
        assert!(sent.taken > 0, "an error of one datagram does not fail the next");
    }
}
