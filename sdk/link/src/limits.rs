//! Every bound and every time of a link, with its reason.

use std::time::Duration;

use playgate_protocol::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES};

/// Name and major version of what is spoken on a link, agreed in the handshake. A peer that speaks something else is
/// refused before it can send a byte.
pub const ALPN: &[u8] = b"playgate/1";

/// QUIC version 1 (RFC 9000). quinn would also speak drafts, which no peer of ours does.
pub const QUIC_VERSION: u32 = 1;

// --- Time ---------------------------------------------------------------------------------------------------------

/// From the first packet to an open control stream, on either side. Without it an attempt lives until the idle
/// timeout. Three transmissions of the first packet fit (0, 0.6 and 1.8 s, see [`INITIAL_RTT`]).
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(3);

/// How long the answer to a Retry counts. Whoever dials gives up after this time.
pub const RETRY_TOKEN_TIME_MAX: Duration = HANDSHAKE_TIME_MAX;

/// Finding the addresses of a name. A resolver that is down takes longer to say so.
pub const RESOLVE_TIME_MAX: Duration = Duration::from_secs(5);

/// From the hello to the greeting, after the handshake. The coordinator makes a binding durable before it answers, so a
/// slow disk counts.
pub const GREETING_TIME_MAX: Duration = Duration::from_secs(5);

/// The round trip assumed before one was measured. A lost first packet is repeated after three of these; the default
/// of 333 ms would leave room for two transmissions in [`HANDSHAKE_TIME_MAX`], too few for a lossy path.
pub const INITIAL_RTT: Duration = Duration::from_millis(200);

/// Silence after which a link inside one network is lost: three missed keep-alives. The listener learns of a vanished
/// host in 2 to 3 s, the dialler (which restarts its own clock by sending) in 3 to 4 s.
pub const FLEET_IDLE_MAX: Duration = Duration::from_secs(3);
/// How often the dialling side of a fleet link breaks its silence. Reports every second make it free: each received
/// packet re-arms the timer.
pub const FLEET_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Silence after which a link across the internet is lost; rides out a few seconds of a bad path.
pub const WAN_IDLE_MAX: Duration = Duration::from_secs(10);
/// Keep-alive of a link across the internet, short enough for the UDP mappings of home routers.
pub const WAN_KEEP_ALIVE: Duration = Duration::from_secs(3);

/// How long [`close`](crate::FrameSender::close) may spend on delivering what is queued, and how long a peer that
/// finished its stream may take to say why. Longer than one loss and its repetition on a slow
/// path, shorter than the patience of a process that waits to exit.
pub const CLOSE_FLUSH_TIME_MAX: Duration = Duration::from_secs(2);

/// Shortest pause between two stateless resets of a listener. Zero, because quinn handles a batch of packets with one
/// clock reading: any pause lets through one reset a batch, and after a restart most peers would wait for the idle
/// timeout. It is safe at zero: a reset is smaller than the packet that caused it, so it neither amplifies nor loops,
/// and packets without a valid connection id get none.
pub const RESET_INTERVAL_MIN: Duration = Duration::ZERO;

// --- Bytes --------------------------------------------------------------------------------------------------------

/// Encoded frames that may wait for the peer, per link. What a coordinator owes one peer in a burst is a snapshot of a
/// few hundred KiB; who is further behind does not read, and is closed as a slow consumer.
pub const QUEUE_BYTES_MAX: usize = 1024 * 1024;

/// What the peer may send beyond what was read, on the control stream. It is also the most one read can return.
pub const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// The same for all streams of a link together.
pub const LINK_WINDOW_BYTES: u32 = 128 * 1024;
/// Sent and not yet acknowledged bytes that quinn keeps, beside our own queue.
pub const SEND_WINDOW_BYTES: u64 = 128 * 1024;

/// Handshake bytes that may arrive out of order. Both flights of two raw public keys fit in 1 KiB.
pub const CRYPTO_BUFFER_BYTES: usize = 8 * 1024;

/// Capacity that an idle link may keep in each of its buffers; a larger one is given back once it is empty. Ten
/// thousand idle links then keep tens of MiB, not gigabytes.
pub const IDLE_BUFFER_BYTES: usize = 4 * 1024;

/// Largest UDP payload that is taken: an Ethernet frame without IPv4 and UDP headers. quinn multiplies it with the
/// number of datagrams of one read for its receive buffer.
pub const DATAGRAM_BYTES_MAX: u16 = 1_472;
/// Largest UDP payload that is sent: what every QUIC path carries (RFC 9000, section 14). Probing for more costs a
/// quarter of the CPU of a registration, and frames are small.
pub const DATAGRAM_SENT_BYTES_MAX: u16 = 1_200;

/// What strangers together may make a coordinator hold above its idle memory: handshakes, closed connections, attempts
/// that wait, and what the allocator keeps of it. `playgate-abuse` holds every script to it.
pub const STRANGERS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What each welcome peer may make it hold beside that: a full queue, what quinn keeps unacknowledged, both windows, a
/// frame that is not whole, and calls on their way through the coordinator.
pub const PEER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest reason text in a close, either direction. It must fit in one packet, and ends in logs.
pub const CLOSE_REASON_BYTES_MAX: usize = 256;

/// Kernel buffers of the UDP socket, as far as the system allows. With Linux' default of 208 KiB, ten thousand peers
/// that reconnect at once lost first packets by the hundred, each loss worth a second.
pub const SOCKET_BUFFER_BYTES: usize = 8 * 1024 * 1024;

// --- Counts -------------------------------------------------------------------------------------------------------

/// Streams a dialler may have open: the control stream. There are none in one direction, none that a listener opens, and
/// no datagrams.
pub const DIALLED_STREAMS_MAX: u32 = 1;

/// Handshakes unfinished per core: from the first packet until the peer is introduced, refused or gone. One costs 0.3 to
/// 0.5 ms of a core, so this many are about 50 ms of work; more only makes all of them late. Further attempts are
/// refused before any cryptography.
pub const HANDSHAKES_PER_CORE_MAX: usize = 128;

/// First packets that QUIC gets to see in a second, for each core. An honest handshake sends two, so these are 1,500
/// handshakes of 0.4 ms, two thirds of a core; garbage costs about 20 µs to decrypt before it can be refused. Beyond it
/// they are dropped, and honest diallers repeat theirs.
pub const FIRST_PACKETS_PER_CORE_PER_SECOND: u32 = 3_000;
/// The same in a burst, which is read as one: 24 ms of a core, and 12 ms for what one network may send to two cores.
/// Packets of links that stand wait behind it.
pub const FIRST_PACKETS_PER_CORE_BURST: u32 = 1_200;
/// Networks whose first packets are told apart at once, in 64 KiB. Two that meet in a place share it.
pub const NETWORKS: usize = 4_096;

/// Of the unfinished handshakes, and of first packets, one part in this many may come from one network (an IPv4 /24 or IPv6 /56), so one that
/// holds its handshakes open leaves the rest to others. It is a bound on what is unfinished, not on how often a network
/// may try: a thousand game servers behind one address take turns, each for a few round trips.
pub const NETWORK_SHARE: usize = 4;

/// Of the unfinished handshakes, in all and of one network, one part in this many may come from addresses that proved
/// nothing. Beyond it an address must first answer a Retry, so a sender of forged addresses can keep out neither
/// everybody nor the network whose addresses it forges. Below it the round trip is saved.
pub const UNPROVEN_SHARE: usize = 2;

/// QUIC connections for each place of a link. A closed connection stays for three probe timeouts (RFC 9000, section
/// 10.2), which the peer's round trip decides, and its place is free by then; so this bounds what a peer that opens and
/// closes without end makes us remember.
pub const CONNECTIONS_PER_LINK_MAX: usize = 2;

/// Attempts that wait for `accept`. Each holds one datagram (1.5 KB).
pub const INCOMING_MAX: usize = 2048;
/// Further bytes kept for one such attempt: its repeated first packet and what may follow.
pub const INCOMING_BUFFER_BYTES: u64 = 4 * 1024;
/// The same for all of them together.
pub const INCOMING_BUFFER_BYTES_TOTAL: u64 = 4 * 1024 * 1024;

/// Addresses of one name that are tried in turn, each for [`HANDSHAKE_TIME_MAX`] at most.
pub const ADDRESSES_MAX: usize = 4;

/// Chunks of a stream taken by one read. A chunk is what one packet carried.
pub const READ_CHUNKS: usize = 16;

/// Processors that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

// Three keep-alives fit in the silence that ends a link.
const _: () = assert!(FLEET_KEEP_ALIVE.as_millis() * 3 <= FLEET_IDLE_MAX.as_millis());
const _: () = assert!(WAN_KEEP_ALIVE.as_millis() * 3 <= WAN_IDLE_MAX.as_millis());
// A queue that is not empty can still take a frame of the largest size.
const _: () = assert!(QUEUE_BYTES_MAX >= 2 * (FRAME_BYTES_MAX + FRAME_HEADER_BYTES));
const _: () = assert!(STREAM_WINDOW_BYTES <= LINK_WINDOW_BYTES);
// A reason fits in the smallest packet, beside headers.
const _: () = assert!(CLOSE_REASON_BYTES_MAX <= 1024);
