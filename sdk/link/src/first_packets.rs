//! The socket of a listener: drops first packets beyond a budget before QUIC sees them.
//!
//! quinn derives keys and decrypts before anybody can refuse a first packet, which takes tens of microseconds, and it
//! answers each packet of an unknown version. Whoever sends such packets faster than that fills the kernel's buffer, and
//! the packets of links that stand are lost with his. Here one costs what it takes to read it.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use playgate_protocol::rate::{Bucket, Network, NetworkBuckets, Rate};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use ring::rand::SystemRandom;

use crate::counters::ListenerCounters;
use crate::limits;

/// Whether a datagram makes QUIC work for somebody unknown: an Initial of our version (RFC 9000, section 17.2.2), or a
/// long header of another version, which is answered with ours.
fn is_first_packet(datagram: &[u8]) -> bool {
    let Some((first, rest)) = datagram.split_first() else { return false };
    let Some((version, _)) = rest.split_first_chunk() else { return false };
    match u32::from_be_bytes(*version) {
        _ if first & 0x80 == 0 => false,
        0 => false, // says which versions it speaks, and is never answered
        limits::QUIC_VERSION => first & 0x30 == 0,
        _ => true,
    }
}

/// First packets that QUIC may still see.
struct Budget {
    rate: Rate,
    all: Bucket,
    networks: NetworkBuckets,
}

impl Budget {
    fn new(cores: usize, key: [u8; 16]) -> Self {
        let (cores, part) = (u32::try_from(cores).unwrap_or(u32::MAX), limits::NETWORK_SHARE as u32);
        let rate = Rate {
            per_second: cores.saturating_mul(limits::FIRST_PACKETS_PER_CORE_PER_SECOND),
            burst: cores.saturating_mul(limits::FIRST_PACKETS_PER_CORE_BURST),
        };
        let of_network = Rate { per_second: rate.per_second / part, burst: rate.burst / part };
        Self { rate, all: Bucket::default(), networks: NetworkBuckets::new(key, of_network, limits::NETWORKS) }
    }

    /// The network pays first, so that it cannot empty what is for all.
    fn take(&mut self, now: Duration, from: Network) -> bool {
        self.networks.take(now, from) && self.all.take(now, self.rate, 1)
    }

    /// Takes what is over budget out of one read, whose datagrams have one sender and, but for the last, one size.
    /// Returns how many were dropped.
    fn filter(&mut self, now: Duration, buf: &mut [u8], meta: &mut RecvMeta) -> u64 {
        let (stride, from) = (meta.stride.max(1), Network::of(meta.addr.ip()));
        let (mut kept, mut dropped) = (0, 0);
        for start in (0..meta.len).step_by(stride) {
            let end = (start + stride).min(meta.len);
            if is_first_packet(&buf[start..end]) && !self.take(now, from) {
                dropped += 1;
            } else {
                buf.copy_within(start..end, kept);
                kept += end - start;
            }
        }
        meta.len = kept;
        dropped
    }
}

/// A UDP socket for quinn that keeps to a budget.
pub(crate) struct FirstPacketLimiter {
    socket: Arc<dyn AsyncUdpSocket>,
    budget: Mutex<Budget>,
    started: Instant,
    counters: Arc<ListenerCounters>,
}

impl FirstPacketLimiter {
    pub(crate) fn new(socket: Arc<dyn AsyncUdpSocket>, counters: Arc<ListenerCounters>) -> Self {
        let key = ring::rand::generate(&SystemRandom::new()).expect("the system has a random source").expose();
        let budget = Mutex::new(Budget::new(limits::cores(), key));
        Self { socket, budget, started: Instant::now(), counters }
    }
}

impl AsyncUdpSocket for FirstPacketLimiter {
    /// A read of which nothing is left is still a read: quinn counts it as work, and yields when it did enough.
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let reads = ready!(self.socket.poll_recv(cx, bufs, meta))?;
        let now = self.started.elapsed();
        let mut budget = self.budget.lock().expect("nothing panics while it holds the budget");
        let filtered = bufs.iter_mut().zip(meta).take(reads);
        let dropped = filtered.map(|(buf, meta)| budget.filter(now, buf, meta)).sum();
        self.counters.count_dropped(dropped);
        Poll::Ready(Ok(reads))
    }

    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

impl fmt::Debug for FirstPacketLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstPacketLimiter").field("socket", &self.socket).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INITIAL: [u8; 5] = [0xc3, 0, 0, 0, 1];
    const NOW: Duration = Duration::from_secs(1);

    fn read(datagrams: &[&[u8]], from: &str) -> (Vec<u8>, RecvMeta) {
        let buf = datagrams.concat();
        let (len, stride) = (buf.len(), datagrams[0].len());
        (buf, RecvMeta { len, stride, addr: from.parse().unwrap(), ecn: None, dst_ip: None })
    }

    #[test]
    fn what_is_a_first_packet() {
        for (first, version, is) in [
            (0xc0, 1, true),
            (0xcf, 1, true),
            (0x80, 1, true),  // without the fixed bit, for QUIC to refuse
            (0xd0, 1, false), // 0-RTT, which nobody takes
            (0xe0, 1, false), // handshake
            (0xf0, 1, false), // Retry
            (0xc0, 0, false), // version negotiation
            (0xe0, 0x6b33_43cf, true),
            (0xc0, u32::MAX, true),
            (0x40, 1, false), // of a link that stands
            (0x7f, 7, false),
        ] {
            let datagram = [&[first][..], &u32::to_be_bytes(version), &[9; 20]].concat();
            assert_eq!(is_first_packet(&datagram), is, "{first:#x} of version {version}");
            for len in 0..5 {
                assert!(!is_first_packet(&datagram[..len]), "{len} bytes are none");
            }
            assert_eq!(is_first_packet(&datagram[..5]), is);
        }
    }

    #[test]
    fn a_network_has_a_share_and_all_have_a_bound() {
        let mut budget = Budget::new(1, [7; 16]);
        let all = limits::FIRST_PACKETS_PER_CORE_BURST as usize;
        let network = |n: usize| Network::of([10, 0, u8::try_from(n).unwrap(), 1].into());
        let taken = |budget: &mut Budget, now, n| (0..2 * all).filter(|_| budget.take(now, network(n))).count();
        for n in 0..limits::NETWORK_SHARE {
            assert_eq!(taken(&mut budget, NOW, n), all / limits::NETWORK_SHARE, "network {n}");
        }
        assert_eq!(taken(&mut budget, NOW, 9), 0, "four shares are everything");
        let later = NOW + Duration::from_millis(100);
        let earned = limits::FIRST_PACKETS_PER_CORE_PER_SECOND as usize / 10;
        assert_eq!(taken(&mut budget, later, 0), earned / limits::NETWORK_SHARE);
        assert!(Budget::new(usize::MAX, [7; 16]).take(NOW, network(1)), "as many cores as there may be");
    }

    /// Reads of several datagrams, of which any may be dropped, the last and shorter one too.
    #[test]
    fn the_rest_of_a_read_is_what_it_was() {
        let link = |n: u8| [0x40, n, n, n, n];
        for (number, datagrams, kept) in [
            (0, vec![&INITIAL[..], &INITIAL], vec![]),
            (1, vec![&INITIAL, &INITIAL], vec![&INITIAL[..]]),
            (0, vec![&link(1), &INITIAL, &link(2), &[0x40, 3]], vec![&link(1), &link(2), &[0x40, 3]]),
            (0, vec![&INITIAL, &link(1), &INITIAL], vec![&link(1)]),
            (1, vec![&link(1), &INITIAL, &INITIAL, &[0x40]], vec![&link(1), &INITIAL, &[0x40]]),
            (0, vec![&link(1)], vec![&link(1)]),
        ] {
            let mut budget = Budget::new(1, [7; 16]);
            let source = Network::of([192, 0, 2, 7].into());
            let share = limits::FIRST_PACKETS_PER_CORE_BURST as usize / limits::NETWORK_SHARE;
            assert!((0..share - number).all(|_| budget.take(NOW, source)));
            let (mut buf, mut meta) = read(&datagrams, "192.0.2.1:9");
            let dropped = budget.filter(NOW, &mut buf, &mut meta);
            assert_eq!(buf[..meta.len], kept.concat(), "{number} left, {datagrams:?}");
            assert_eq!(dropped as usize, datagrams.len() - kept.len());
        }
    }

    #[test]
    fn an_empty_read_stays_empty() {
        let (mut buf, mut meta) = read(&[&[]], "192.0.2.1:9");
        assert_eq!((Budget::new(1, [7; 16]).filter(NOW, &mut buf, &mut meta), meta.len), (0, 0));
    }
}
