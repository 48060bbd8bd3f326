//! One player's datagrams through this core: one entry of the table.

use std::net::SocketAddr;
use std::time::Duration;

use playgate_protocol::relay::{
    ConnectionId, DataKind, HEADER_BYTES, Header, PAYLOAD_BYTES_MAX, PassClaims, TrafficKeys, Window,
};
use playgate_protocol::{PlayerSessionId, ServerProcessId, TimeMs};

use crate::DropReason;
use crate::limits::PATH_CHALLENGE_EVERY;
use crate::pace::Pace;

pub(crate) struct Flow {
    pub(crate) connection: ConnectionId,
    pub(crate) keys: TrafficKeys,
    window: Window,
    down_sequence: u64,
    pub(crate) player: SocketAddr,
    /// Sequence number of the datagram that showed that the player receives there.
    pub(crate) proven_from: u64,
    pub(crate) pace: Pace,
    pub(crate) heard_at: Duration,
    challenge_from: Duration,
    pub(crate) valid_until_ms: TimeMs,
    pub(crate) player_session: PlayerSessionId,
    pub(crate) process: ServerProcessId,
    /// Relay time of the OPEN that opened it.
    pub(crate) opened_us: u64,
    pub(crate) up_datagrams: u64,
    pub(crate) down_datagrams: u64,
}

// A table of 10,000 flows is 2.4 MiB.
const _: () = assert!(size_of::<Option<Flow>>() <= 256);

/// What a datagram of a flow turned out to be.
pub(crate) struct Taken {
    pub(crate) kind: DataKind,
    /// No later one came before it.
    pub(crate) is_newest: bool,
    pub(crate) sequence: u64,
}

impl Flow {
    pub(crate) fn new(
        now: Duration,
        from: SocketAddr,
        claims: &PassClaims,
        keys: TrafficKeys,
        connection: ConnectionId,
        opened_us: u64,
        pace: Pace,
    ) -> Self {
        Self {
            connection,
            keys,
            window: Window::default(),
            down_sequence: 0,
            player: from,
            proven_from: 0,
            pace,
            heard_at: now,
            challenge_from: now,
            valid_until_ms: claims.valid_until_ms,
            player_session: claims.player_session,
            process: claims.process,
            opened_us,
            up_datagrams: 0,
            down_datagrams: 0,
        }
    }

    /// Cheapest first: sequence, tag, rate. Only what passes all of them changes anything but the rate.
    pub(crate) fn take(&mut self, now: Duration, header: &Header, payload: &[u8]) -> Result<Taken, DropReason> {
        let sequence = self.window.expand(header.sequence_low);
        if !self.window.admits(sequence) {
            return Err(DropReason::Replay);
        }
        if self.keys.up.tag(header.kind, sequence, self.connection, payload) != header.tag {
            return Err(DropReason::Tag);
        }
        // Taken even if the rate forbids it: a copy of it would have to pay, too.
        let is_newest = self.window.take(sequence);
        self.heard_at = now;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(DropReason::TooLong);
        }
        if !self.pace.pays(now, payload.len()) {
            return Err(DropReason::FlowRate);
        }
        Ok(Taken { kind: header.kind, is_newest, sequence })
    }

    /// Whether to ask for a proof of a new address; not for each datagram from there.
    pub(crate) fn may_challenge(&mut self, now: Duration) -> bool {
        let may = now >= self.challenge_from;
        if may {
            self.challenge_from = now.saturating_add(PATH_CHALLENGE_EVERY);
        }
        may
    }

    /// Writes header and tag for something that goes to the player.
    pub(crate) fn write(&mut self, kind: DataKind, payload: &[u8], header: &mut [u8; HEADER_BYTES]) {
        self.keys.down.write(kind, self.down_sequence, self.connection, payload, header);
        self.down_sequence += 1;
    }
}
