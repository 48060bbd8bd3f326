//! The timing and the bounds of a link, as named sets.

use std::sync::Arc;
use std::time::Duration;

use quinn::{EndpointConfig, IdleTimeout, Side, TransportConfig, VarInt};

use crate::limits;

/// How patient a link is. Both ends use the same profile: the shorter silence of the two ends the link, and the
/// keep-alives must fit into it.
///
/// Only the dialling side sends keep-alives. A side that sends them restarts its own clock and learns of a dead peer
/// up to one interval later, and the listener is the side whose verdict matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkProfile {
    pub(crate) idle_max: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) queue_bytes_max: usize,
}

impl LinkProfile {
    /// For hosts in one network with their coordinator: lost after 3 s of silence.
    #[must_use]
    pub const fn fleet() -> Self {
        Self {
            idle_max: limits::FLEET_IDLE_MAX,
            keep_alive: limits::FLEET_KEEP_ALIVE,
            queue_bytes_max: limits::QUEUE_BYTES_MAX,
        }
    }

    /// For hosts that reach their coordinator across the internet: lost after 10 s of silence.
    #[must_use]
    pub const fn wan() -> Self {
        Self {
            idle_max: limits::WAN_IDLE_MAX,
            keep_alive: limits::WAN_KEEP_ALIVE,
            queue_bytes_max: limits::QUEUE_BYTES_MAX,
        }
    }

    /// The silence after which a link is lost.
    #[must_use]
    pub const fn idle_max(&self) -> Duration {
        self.idle_max
    }

    /// quinn's defaults suit downloads by a few peers (1.25 MB windows, 200 streams each); every number that a peer
    /// could make us spend memory with is set here.
    pub(crate) fn transport(&self, side: Side) -> Arc<TransportConfig> {
        let idle = IdleTimeout::try_from(self.idle_max).expect("the idle times of profiles are seconds");
        let (keep_alive, streams) = match side {
            Side::Client => (Some(self.keep_alive), 0),
            Side::Server => (None, limits::DIALLED_STREAMS_MAX),
        };
        let mut config = TransportConfig::default();
        config
            .max_idle_timeout(Some(idle))
            .keep_alive_interval(keep_alive)
            .initial_rtt(limits::INITIAL_RTT)
            .max_concurrent_bidi_streams(VarInt::from_u32(streams))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .stream_receive_window(VarInt::from_u32(limits::STREAM_WINDOW_BYTES))
            .receive_window(VarInt::from_u32(limits::LINK_WINDOW_BYTES))
            .send_window(limits::SEND_WINDOW_BYTES)
            .crypto_buffer_size(limits::CRYPTO_BUFFER_BYTES)
            .datagram_receive_buffer_size(None)
            .datagram_send_buffer_size(0)
            .initial_mtu(limits::DATAGRAM_SENT_BYTES_MAX)
            .min_mtu(limits::DATAGRAM_SENT_BYTES_MAX)
            .mtu_discovery_config(None)
            // Would show everybody on the path how far away a peer is.
            .allow_spin(false);
        Arc::new(config)
    }
}

/// What one socket takes, on either side.
pub(crate) fn limits_of_endpoint(config: &mut EndpointConfig) {
    config
        .supported_versions(vec![limits::QUIC_VERSION])
        // A packet without QUIC's fixed bit is noise, and dropped by its first byte.
        .grease_quic_bit(false)
        .max_udp_payload_size(limits::DATAGRAM_BYTES_MAX)
        .expect("at least 1,200");
}
