//! The player's end of a flow: opens it, keeps it alive, notices its loss and opens it again.
//!
//! ```text
//!              COOKIE                 ACCEPT
//!   Knocking ─────────► Opening ─────────────────► Open ──────────────┐
//!     ▲  ▲                │ │        REFUSE          │    CLOSE       │
//!     │  └─ 3 s, silence ─┘ └──────────────► Refused ◄────────────────┘
//!     │                                              │
//!     │             RESET, or 4 s without an answer  │
//!     ├──────────────────────────────────────────────┘
//!     │        give_up_after
//!     └ (Knocking or Opening) ─────────────► TimedOut
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use ring::hmac;

use super::{
    Accept, ConnectionId, Cookie, DataKind, FlowKey, HEADER_BYTES, Header, Hello, OPEN_BYTES, PATH_CHALLENGE_BYTES,
    PAYLOAD_BYTES_MAX, PING_BYTES, Pass, RENEW_EVERY_MS, Refuse, RefuseCode, Reset, TrafficKeys, Window,
};
use crate::handshake::{Datagram, Nonce};

/// Silence before each of the first repetitions: above the round trip of nearly every player.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// So many come as fast. In a flood a relay answers some HELLOs and not others; whoever asks five times within a second
/// is heard, and 256 bytes of his are nothing beside the game's.
const RETRIES_FAST: u32 = 4;
/// From then on each waits twice as long as the last, up to this.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How long an OPEN is repeated before a new HELLO; a cookie is good for longer.
const OPEN_FOR: Duration = Duration::from_secs(3);
/// A PING at least this often: home routers forget a UDP mapping after 30 s, some after 10.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Between PINGs while none is answered.
const PING_AGAIN: Duration = Duration::from_secs(1);
/// A flow whose PINGs are not answered for this long, and on which nothing else comes, is lost.
const LOST_AFTER: Duration = Duration::from_secs(4);
/// A flow that was open and is lost is looked for this long: a relay starts again, a phone leaves a tunnel.
const REOPEN_FOR: Duration = Duration::from_secs(30);
/// Asked for with the next PING after this.
const RENEW_EVERY: Duration = Duration::from_millis(RENEW_EVERY_MS);
/// Control datagrams that wait to be sent. One more than a caller that sends them in time can see.
const OUTGOING_MAX: usize = 4;

/// What a ticket gives to reach a game server through one relay.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayAccess {
    /// The relay.
    pub address: SocketAddr,
    /// For the relay only; opaque to the player.
    pub pass: Pass,
    /// Shared with the relay.
    pub flow_key: FlowKey,
}

/// Shows the relay, and no part of pass or key.
impl fmt::Debug for RelayAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelayAccess({}, pass and key not shown)", self.address)
    }
}

/// How far a flow has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowState {
    /// Waits for a cookie.
    Knocking,
    /// Waits for the answer to its OPEN.
    Opening,
    /// Carries payload.
    Open,
    /// The relay has refused or ended it; trying again there is of no use.
    Refused(RefuseCode),
    /// Nobody answered in time.
    TimedOut,
}

/// What a datagram from the relay was.
#[derive(Debug, PartialEq, Eq)]
pub enum FlowEvent<'d> {
    /// What the game server sent.
    Payload(&'d [u8]),
    /// The state may have changed; look at [`PlayerFlow::state`].
    Control,
    /// Not from the relay, or not to be believed.
    Ignored,
}

/// Why a payload is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// The flow is not open. What a game sends meanwhile is lost, as on any network.
    NotOpen,
    /// Longer than [`PAYLOAD_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen => f.write_str("the flow through the relay is not open"),
            Self::TooLong => write!(f, "a relay carries at most {PAYLOAD_BYTES_MAX} bytes in one datagram"),
        }
    }
}

impl std::error::Error for SendError {}

/// One player's flow through one relay. Pure: time and randomness are the caller's.
///
/// After every call that takes `now`, send what [`poll_transmit`](Self::poll_transmit) returns, until it is `None`, to
/// [`relay`](Self::relay), and ask [`poll_timeout`](Self::poll_timeout) anew.
pub struct PlayerFlow {
    access: RelayAccess,
    nonces: hmac::Key,
    attempts: u64,
    give_up_after: Duration,

    state: FlowState,
    nonce: Nonce,
    open: Option<Datagram<OPEN_BYTES>>,
    opened_us: u64,
    open_until: Duration,
    repetitions: u32,
    retry_at: Duration,
    give_up_at: Duration,
    live: Option<Live>,
    outgoing: VecDeque<Datagram<OPEN_BYTES>>,
}

/// An open flow.
struct Live {
    connection: ConnectionId,
    reset_token: [u8; super::RESET_TOKEN_BYTES],
    keys: TrafficKeys,
    sequence: u64,
    window: Window,
    /// When the PING was sent to which nothing came back yet.
    unanswered_since: Option<Duration>,
    round_trip: Option<Duration>,
    renew_at: Duration,
}

impl PlayerFlow {
    /// Begins to open the flow. `seed` is random; `now` is a monotonic clock's. Without an answer within `give_up_after` it
    /// ends as [`FlowState::TimedOut`]; once it was open, it is opened again for at least 30 s.
    #[must_use]
    pub fn new(access: RelayAccess, seed: [u8; 32], give_up_after: Duration, now: Duration) -> Self {
        let mut flow = Self {
            access,
            nonces: hmac::Key::new(hmac::HMAC_SHA256, &seed),
            attempts: 0,
            give_up_after,
            state: FlowState::Knocking,
            nonce: [0; 16],
            open: None,
            opened_us: 0,
            open_until: now,
            repetitions: 0,
            retry_at: now,
            give_up_at: now,
            live: None,
            outgoing: VecDeque::with_capacity(OUTGOING_MAX),
        };
        flow.begin(now);
        flow.give_up_at = now.saturating_add(give_up_after);
        flow
    }

    /// How far it has come.
    #[must_use]
    pub const fn state(&self) -> FlowState {
        self.state
    }

    /// Where everything goes, and from where everything comes.
    #[must_use]
    pub const fn relay(&self) -> SocketAddr {
        self.access.address
    }

    /// The last round trip between player and relay that a PING measured.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.live.as_ref()?.round_trip
    }

    /// Puts the header before a payload. Writes `HEADER_BYTES` and the payload to `out`, and returns how many bytes
    /// that are.
    ///
    /// # Errors
    /// [`SendError`]
    ///
    /// # Panics
    /// If `out` is shorter than `HEADER_BYTES` and the payload.
    pub fn wrap(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, SendError> {
        let live = self.live.as_mut().ok_or(SendError::NotOpen)?;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(SendError::TooLong);
        }
        let (header, rest) = out.split_first_chunk_mut().expect("`out` has room for the header");
        live.write(DataKind::Data, payload, header);
        rest[..payload.len()].copy_from_slice(payload);
        Ok(HEADER_BYTES + payload.len())
    }

    /// Ends the flow; send what [`poll_transmit`](Self::poll_transmit) returns.
    pub fn close(&mut self) {
        if self.live.is_some() {
            self.say(DataKind::Close, &[]);
        }
        self.finish(FlowState::Refused(RefuseCode::Refused));
    }

    /// What to send to the relay besides payloads.
    pub fn poll_transmit(&mut self) -> Option<Datagram<OPEN_BYTES>> {
        self.outgoing.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` when the flow is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.state {
            FlowState::Knocking | FlowState::Opening => Some(self.retry_at.min(self.give_up_at)),
            FlowState::Open => Some(self.retry_at),
            FlowState::Refused(_) | FlowState::TimedOut => None,
        }
    }

    /// Time has passed: repeats itself, says PING, or gives up.
    pub fn handle_timeout(&mut self, now: Duration) {
        match self.state {
            FlowState::Knocking | FlowState::Opening if now >= self.give_up_at => self.finish(FlowState::TimedOut),
            FlowState::Knocking | FlowState::Opening if now >= self.retry_at => self.repeat(now),
            FlowState::Open if now >= self.retry_at => self.ping(now),
            _ => {}
        }
    }

    /// Takes a datagram that came in.
    pub fn handle<'d>(&mut self, now: Duration, from: SocketAddr, datagram: &'d [u8]) -> FlowEvent<'d> {
        if canonical(from) != canonical(self.access.address) {
            return FlowEvent::Ignored;
        }
        let taken = match self.state {
            FlowState::Knocking => self.cookie(now, datagram),
            FlowState::Opening => self.answered(now, datagram),
            FlowState::Open if self.is_reset(datagram) => {
                self.begin(now);
                Some(())
            }
            FlowState::Open => return self.carried(now, datagram),
            FlowState::Refused(_) | FlowState::TimedOut => None,
        };
        taken.map_or(FlowEvent::Ignored, |()| FlowEvent::Control)
    }

    fn cookie(&mut self, now: Duration, datagram: &[u8]) -> Option<()> {
        let cookie = Cookie::read(datagram).filter(|cookie| cookie.nonce == self.nonce)?;
        let mut open = Datagram::new();
        cookie.answer(&self.access.pass, &self.access.flow_key, &mut open);
        self.state = FlowState::Opening;
        self.opened_us = cookie.relay_time_us;
        self.open_until = now.saturating_add(OPEN_FOR);
        self.repetitions = 0;
        self.open = Some(open.clone());
        self.send_again_later(open, now);
        Some(())
    }

    fn answered(&mut self, now: Duration, datagram: &[u8]) -> Option<()> {
        let is_mine = |nonce, time| nonce == self.nonce && time == self.opened_us;
        let key = &self.access.flow_key;
        if let Some(refuse) = Refuse::open(datagram, key).filter(|r| is_mine(r.nonce, r.relay_time_us)) {
            self.finish(FlowState::Refused(refuse.code));
            return Some(());
        }
        let accept = Accept::open(datagram, key).filter(|a| is_mine(a.nonce, a.relay_time_us))?;
        self.live = Some(Live {
            connection: accept.connection,
            reset_token: accept.reset_token,
            keys: key.traffic_keys(&self.nonce, self.opened_us, accept.connection),
            sequence: 0,
            window: Window::default(),
            unanswered_since: None,
            round_trip: None,
            renew_at: now.saturating_add(RENEW_EVERY),
        });
        self.access.pass = accept.fresh_pass;
        self.open = None;
        self.state = FlowState::Open;
        self.retry_at = now.saturating_add(PING_EVERY);
        Some(())
    }

    fn is_reset(&self, datagram: &[u8]) -> bool {
        let Some(live) = &self.live else { return false };
        Reset::read(datagram).is_some_and(|reset| {
            // No branch depends on where the tokens differ.
            let difference = u128::from_le_bytes(reset.token) ^ u128::from_le_bytes(live.reset_token);
            reset.connection == live.connection && std::hint::black_box(difference) == 0
        })
    }

    fn carried<'d>(&mut self, now: Duration, datagram: &'d [u8]) -> FlowEvent<'d> {
        let Some((kind, payload)) = self.live.as_mut().and_then(|live| live.take(datagram)) else {
            return FlowEvent::Ignored;
        };
        match kind {
            DataKind::Data => return FlowEvent::Payload(payload),
            DataKind::Pong => self.measure(now, payload),
            DataKind::FreshPass => self.renewed(now, payload),
            DataKind::PathChallenge if payload.len() == PATH_CHALLENGE_BYTES => {
                self.say(DataKind::PathResponse, payload);
            }
            DataKind::Close => {
                let code = payload.first().map_or(RefuseCode::Refused, |byte| RefuseCode::from_byte(*byte));
                self.finish(FlowState::Refused(code));
            }
            _ => return FlowEvent::Ignored,
        }
        FlowEvent::Control
    }

    fn measure(&mut self, now: Duration, payload: &[u8]) {
        let sent_us = payload.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let sent = sent_us.map(Duration::from_micros).filter(|sent| *sent <= now);
        if let (Some(live), Some(sent)) = (&mut self.live, sent) {
            live.round_trip = Some(now - sent);
            self.retry_at = now.saturating_add(PING_EVERY);
        }
    }

    fn renewed(&mut self, now: Duration, pass: &[u8]) {
        if let (Some(live), Ok(pass)) = (&mut self.live, pass.try_into()) {
            live.renew_at = now.saturating_add(RENEW_EVERY);
            self.access.pass = Pass(pass);
        }
    }

    fn ping(&mut self, now: Duration) {
        let Some(live) = &mut self.live else { return };
        let since = *live.unanswered_since.get_or_insert(now);
        if now.saturating_sub(since) >= LOST_AFTER {
            return self.begin(now);
        }
        let renew = now >= live.renew_at;
        if renew {
            let pass = self.access.pass;
            self.say(DataKind::Renew, &pass.0);
        }
        let mut payload = [0; PING_BYTES];
        payload[..8].copy_from_slice(&u64::try_from(now.as_micros()).unwrap_or(u64::MAX).to_le_bytes());
        self.retry_at = now.saturating_add(PING_AGAIN);
        self.say(DataKind::Ping, &payload);
    }

    fn say(&mut self, kind: DataKind, payload: &[u8]) {
        let Some(live) = &mut self.live else { return };
        let mut header = [0; HEADER_BYTES];
        live.write(kind, payload, &mut header);
        let mut datagram = Datagram::new();
        datagram.write(&[&header, payload]);
        self.transmit(datagram);
    }

    /// A new attempt, with a nonce of its own.
    fn begin(&mut self, now: Duration) {
        self.live = None;
        self.give_up_at = now.saturating_add(self.give_up_after.max(REOPEN_FOR));
        self.knock(now);
    }

    fn knock(&mut self, now: Duration) {
        self.attempts += 1;
        self.repetitions = 0;
        let nonce = hmac::sign(&self.nonces, &self.attempts.to_le_bytes());
        self.nonce = *nonce.as_ref().first_chunk().expect("HMAC-SHA256 has 32 bytes");
        self.state = FlowState::Knocking;
        self.hello(now);
    }

    fn hello(&mut self, now: Duration) {
        let mut datagram = Datagram::new();
        Hello { nonce: self.nonce }.write(&mut datagram);
        self.send_again_later(datagram, now);
    }

    fn repeat(&mut self, now: Duration) {
        match (&self.open, self.state) {
            (Some(open), FlowState::Opening) if now < self.open_until => {
                let open = open.clone();
                self.send_again_later(open, now);
            }
            (_, FlowState::Opening) => self.knock(now),
            _ => self.hello(now),
        }
    }

    fn send_again_later(&mut self, datagram: Datagram<OPEN_BYTES>, now: Duration) {
        self.outgoing.clear();
        self.transmit(datagram);
        self.repetitions += 1;
        let doubled = self.repetitions.saturating_sub(RETRIES_FAST).min(2);
        self.retry_at = now.saturating_add((RETRY_FIRST * (1 << doubled)).min(RETRY_MAX));
    }

    fn transmit(&mut self, datagram: Datagram<OPEN_BYTES>) {
        if self.outgoing.len() == OUTGOING_MAX {
            self.outgoing.pop_front();
        }
        self.outgoing.push_back(datagram);
    }

    fn finish(&mut self, state: FlowState) {
        self.state = state;
        self.live = None;
        self.open = None;
    }
}

impl Live {
    fn write(&mut self, kind: DataKind, payload: &[u8], header: &mut [u8; HEADER_BYTES]) {
        self.keys.up.write(kind, self.sequence, self.connection, payload, header);
        self.sequence += 1;
    }

    fn take<'d>(&mut self, datagram: &'d [u8]) -> Option<(DataKind, &'d [u8])> {
        let header = Header::read(datagram)?;
        let payload = &datagram[HEADER_BYTES..];
        let sequence = self.window.expand(header.sequence_low);
        let tag = self.keys.down.tag(header.kind, sequence, self.connection, payload);
        if header.connection != self.connection || !self.window.admits(sequence) || tag != header.tag {
            return None;
        }
        self.window.take(sequence);
        self.unanswered_since = None;
        Some((header.kind, payload))
    }
}

/// Shows how far it has come, and no key.
impl fmt::Debug for PlayerFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlayerFlow({:?} through {})", self.state, self.access.address)
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
