//! One core of a relay: takes datagrams of both sides and says what becomes of each.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use playgate_protocol::handshake::Datagram;
use playgate_protocol::rate::{Bucket, NetworkBuckets, Rate};
use playgate_protocol::relay::{
    ConnectionId, DataKind, HEADER_BYTES, Header, PATH_CHALLENGE_BYTES, PAYLOAD_BYTES_MAX, PING_BYTES, Pass,
    RESET_BYTES, RefuseCode, Reset,
};
use playgate_protocol::{PlayerSessionId, ServerProcessId, TimeMs};
use ring::hmac;

use crate::cookie::{Cookies, Paths, Resets};
use crate::flow::{Flow, Taken};
use crate::hellos::Hellos;
use crate::limits::{
    CLOSE_BYTES_MAX, NETWORKS, OPENS_PER_NETWORK_BURST, OPENS_PER_NETWORK_PER_SECOND, REPLY_BYTES_MAX, RESET_BURST,
    RESETS_PER_SECOND, SWEEP_EVERY, SWEEPS,
};
use crate::pace::Paces;
use crate::repeats::Repeats;
use crate::revoked::Revoked;
use crate::table::{Found, Table};
use crate::{Config, Counters, DropReason, Secrets};

const OPENS_OF_NETWORK: Rate = Rate { per_second: OPENS_PER_NETWORK_PER_SECOND, burst: OPENS_PER_NETWORK_BURST };
const RESETS: Rate = Rate { per_second: RESETS_PER_SECOND, burst: RESET_BURST };

/// The two clocks that a relay has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic, from any start.
    pub clock: Duration,
    /// The coordinator's, as the relay knows it.
    pub ms: TimeMs,
}

/// Which place of the flow table: the same for all flows that follow each other there.
pub type Slot = u32;

/// What becomes of a datagram from a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing; it is counted.
    Drop(DropReason),
    /// Send [`Core::reply`] back.
    Reply,
    /// Send the payload, what follows the first `HEADER_BYTES`, to the server of this flow.
    Forward(Slot),
    /// Both.
    ForwardAndReply(Slot),
    /// Bind a socket for this flow to its server, if the slot has none to this address yet, and send [`Core::reply`]
    /// back. If that fails call [`Core::abandon`], and send nothing.
    Open {
        /// The flow's.
        slot: Slot,
        /// Where its payload goes.
        server: SocketAddr,
    },
    /// Taken, and there is nothing to do.
    Done,
}

/// What has to be done besides; rare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A player's flow is open, or he has moved.
    PlayerAt {
        /// Whose.
        player_session: PlayerSessionId,
        /// To where.
        process: ServerProcessId,
        /// His address, as the relay sees it.
        address: SocketAddr,
    },
    /// Close the slot's socket.
    Closed(Closed),
    /// Tell a player.
    Send {
        /// Where he is.
        to: SocketAddr,
        /// What.
        datagram: Datagram<CLOSE_BYTES_MAX>,
    },
}

/// A flow has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Its slot.
    pub slot: Slot,
    /// Whose it was.
    pub player_session: PlayerSessionId,
    /// Why, if the relay ended it; `None` if its player did, or went silent.
    pub reason: Option<RefuseCode>,
}

/// A flow, for whoever looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowInfo {
    /// Whose.
    pub player_session: PlayerSessionId,
    /// To where.
    pub process: ServerProcessId,
    /// His address.
    pub player: SocketAddr,
    /// Forwarded to the server.
    pub up_datagrams: u64,
    /// Forwarded to the player.
    pub down_datagrams: u64,
}

/// One core of a relay.
pub struct Core {
    pub(crate) config: Config,
    pub(crate) secrets: Option<Secrets>,
    pub(crate) cookies: Cookies,
    pub(crate) resets: Resets,
    pub(crate) repeats: Repeats,
    pub(crate) hellos: Hellos,
    pub(crate) opens_of_networks: NetworkBuckets,
    pub(crate) paces: Paces,
    pub(crate) revoked: Revoked,
    pub(crate) table: Table,
    pub(crate) counters: Counters,
    pub(crate) open_bucket: Bucket,
    pub(crate) reply: Datagram<REPLY_BYTES_MAX>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) is_draining: bool,
    paths: Paths,
    reset_bucket: Bucket,
    sweep_at: Duration,
    sweep_from: usize,
}

impl Core {
    /// A core without flows. Until it has secrets it opens none.
    #[must_use]
    pub fn new(config: Config, now: Now) -> Self {
        let own = hmac::Key::new(hmac::HMAC_SHA256, &config.seed);
        let key = |of: &[u8]| -> [u8; 16] {
            let whole = hmac::sign(&own, of);
            *whole.as_ref().first_chunk().expect("HMAC-SHA256 has 32 bytes")
        };
        let generation = u32::from_le_bytes(*config.seed.first_chunk().expect("a seed has 32 bytes"));
        Self {
            cookies: Cookies::new(config.cookie_seed),
            resets: Resets::new(config.reset_key),
            paths: Paths::new(key(b"playgate v1 relay paths")),
            repeats: Repeats::new(),
            hellos: Hellos::new(key(b"playgate v1 relay hellos")),
            opens_of_networks: NetworkBuckets::new(key(b"playgate v1 relay opens"), OPENS_OF_NETWORK, NETWORKS),
            paces: Paces::new(),
            table: Table::new(config.core, config.epoch, generation, config.flows_max.min(crate::limits::FLOWS_MAX)),
            config,
            secrets: None,
            revoked: Revoked::default(),
            counters: Counters::default(),
            open_bucket: Bucket::default(),
            reset_bucket: Bucket::default(),
            reply: Datagram::new(),
            outputs: VecDeque::new(),
            is_draining: false,
            sweep_at: now.clock,
            sweep_from: 0,
        }
    }

    /// Opens passes with these from here on. Open flows go on.
    pub fn set_secrets(&mut self, secrets: Secrets) {
        self.secrets = Some(secrets);
    }

    /// Opens no new flows while it drains; open ones go on.
    pub fn set_draining(&mut self, is_draining: bool) {
        self.is_draining = is_draining;
    }

    /// Ends a player session's flow, and takes no pass of it until `until_ms`, when all of them have expired.
    pub fn revoke(&mut self, player_session: PlayerSessionId, until_ms: TimeMs) {
        self.revoked.insert(player_session, until_ms);
        if let Some(slot) = self.table.of_player(&player_session) {
            self.end(slot, Some(RefuseCode::Revoked));
        }
    }

    /// Takes a datagram from a player's side. What a verdict says to reply is in [`Core::reply`] until the next call.
    pub fn from_player(&mut self, now: Now, from: SocketAddr, datagram: &[u8]) -> Verdict {
        let verdict = match datagram.first() {
            _ if from.port() == 0 => Err(DropReason::Malformed),
            Some(b'P') => self.handshake(now, from, datagram),
            _ => self.carry(now, from, datagram),
        };
        verdict.unwrap_or_else(|reason| {
            self.counters.dropped(reason);
            Verdict::Drop(reason)
        })
    }

    /// What the last verdict said to send back.
    #[must_use]
    pub fn reply(&self) -> &[u8] {
        self.reply.as_slice()
    }

    /// Takes a datagram from the server of a flow: the payload lies behind `HEADER_BYTES`, which are filled in. Says
    /// where to send all of it; `None` is dropped, and counted.
    pub fn to_player(&mut self, slot: Slot, datagram: &mut [u8]) -> Option<SocketAddr> {
        let (header, payload) = datagram.split_first_chunk_mut::<HEADER_BYTES>()?;
        let Some(flow) = self.table.get_mut(slot) else {
            self.counters.dropped(DropReason::DownUnknownFlow);
            return None;
        };
        if payload.len() > PAYLOAD_BYTES_MAX {
            self.counters.dropped(DropReason::TooLong);
            return None;
        }
        flow.write(DataKind::Data, payload, header);
        flow.down_datagrams += 1;
        self.counters.down_datagrams += 1;
        self.counters.down_bytes += payload.len() as u64;
        Some(flow.player)
    }

    /// The socket for a flow could not be made: it has ended, like any other.
    pub fn abandon(&mut self, slot: Slot) {
        self.end(slot, None);
    }

    /// What has to be done besides.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub const fn poll_timeout(&self) -> Duration {
        self.sweep_at
    }

    /// Looks at some of the flows, for those that have ended.
    pub fn handle_timeout(&mut self, now: Now) {
        if now.clock < self.sweep_at {
            return;
        }
        self.sweep_at = now.clock.saturating_add(SWEEP_EVERY);
        self.revoked.forget_expired(now.ms);
        let slots = self.table.slots();
        let until = self.sweep_from.saturating_add(slots / SWEEPS + 1).min(slots);
        for slot in self.sweep_from..until {
            let slot = Slot::try_from(slot).expect("slots have 24 bits");
            let Some(flow) = self.table.get(slot) else { continue };
            if now.ms >= flow.valid_until_ms {
                self.end(slot, Some(RefuseCode::Expired));
            } else if now.clock.saturating_sub(flow.heard_at) >= self.config.flow_idle {
                self.end(slot, None);
            }
        }
        self.sweep_from = if until == slots { 0 } else { until };
    }

    /// What was done so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Flows that are open.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.table.len()
    }

    /// The flow in this slot.
    #[must_use]
    pub fn flow(&self, slot: Slot) -> Option<FlowInfo> {
        self.table.get(slot).map(|flow| FlowInfo {
            player_session: flow.player_session,
            process: flow.process,
            player: flow.player,
            up_datagrams: flow.up_datagrams,
            down_datagrams: flow.down_datagrams,
        })
    }

    fn carry(&mut self, now: Now, from: SocketAddr, datagram: &[u8]) -> Result<Verdict, DropReason> {
        let header = Header::read(datagram).ok_or(DropReason::Malformed)?;
        let payload = &datagram[HEADER_BYTES..];
        let (slot, flow) = match self.table.find(header.connection) {
            Found::Flow(slot, flow) => (slot, flow),
            Found::Ended => return self.reset(now, header.connection, datagram.len()),
            Found::Never => return Err(DropReason::UnknownFlow),
            Found::WrongCore => return Err(DropReason::WrongCore),
        };
        if now.ms >= flow.valid_until_ms {
            self.end(slot, Some(RefuseCode::Expired));
            return self.reset(now, header.connection, datagram.len());
        }
        let Taken { kind, is_newest, sequence } = flow.take(now.clock, &header, payload)?;
        let is_elsewhere = !is_same(flow.player, from);
        let has_moved = is_newest && is_elsewhere;
        match kind {
            DataKind::Data => {
                flow.up_datagrams += 1;
                self.counters.up_datagrams += 1;
                self.counters.up_bytes += payload.len() as u64;
                let challenge = has_moved && self.challenge(now, from, slot, datagram.len());
                Ok(if challenge { Verdict::ForwardAndReply(slot) } else { Verdict::Forward(slot) })
            }
            // Nothing but a challenge goes to where nobody has shown that he is the player.
            DataKind::Ping | DataKind::Renew if is_elsewhere => {
                let challenge = has_moved && self.challenge(now, from, slot, datagram.len());
                Ok(if challenge { Verdict::Reply } else { Verdict::Done })
            }
            DataKind::Ping if payload.len() == PING_BYTES => {
                reply(flow, &mut self.reply, DataKind::Pong, payload);
                self.counters.pings += 1;
                Ok(Verdict::Reply)
            }
            DataKind::Ping => Err(DropReason::Malformed),
            DataKind::PathResponse => self.proven(now, from, slot, payload, sequence),
            DataKind::Close => {
                self.end(slot, None);
                Ok(Verdict::Done)
            }
            DataKind::Renew => self.renew(now, slot, payload),
            DataKind::Pong | DataKind::PathChallenge | DataKind::FreshPass => Err(DropReason::WrongKind),
        }
    }

    /// Makes a fresh pass of one that is as long.
    fn renew(&mut self, now: Now, slot: Slot, pass: &[u8]) -> Result<Verdict, DropReason> {
        let flow = self.table.get(slot).expect("it was found just before");
        let pass = Pass(pass.try_into().map_err(|_| DropReason::Malformed)?);
        let fresh = self.fresh_pass(now, flow.player_session, flow.connection, &pass)?;
        let flow = self.table.get_mut(slot).expect("it was found just before");
        reply(flow, &mut self.reply, DataKind::FreshPass, &fresh.0);
        Ok(Verdict::Reply)
    }

    /// Asks whether the player receives where he seems to be, with no more bytes than came from there.
    fn challenge(&mut self, now: Now, from: SocketAddr, slot: Slot, len: usize) -> bool {
        let Some(flow) = self.table.get_mut(slot) else { return false };
        if len < HEADER_BYTES + PATH_CHALLENGE_BYTES || !flow.may_challenge(now.clock) {
            return false;
        }
        let challenge = self.paths.challenge(now.clock, from, flow.connection);
        reply(flow, &mut self.reply, DataKind::PathChallenge, &challenge);
        true
    }

    /// A response that one to a later challenge has overtaken moves nobody back.
    fn proven(
        &mut self,
        now: Now,
        from: SocketAddr,
        slot: Slot,
        response: &[u8],
        sequence: u64,
    ) -> Result<Verdict, DropReason> {
        let flow = self.table.get_mut(slot).expect("it was found just before");
        if !self.paths.answers(now.clock, from, flow.connection, response) {
            return Err(DropReason::PathResponse);
        }
        if sequence < flow.proven_from {
            return Ok(Verdict::Done);
        }
        flow.proven_from = sequence;
        if !is_same(flow.player, from) {
            flow.player = from;
            self.counters.moved += 1;
            let (player_session, process) = (flow.player_session, flow.process);
            self.outputs.push_back(Output::PlayerAt { player_session, process, address: from });
        }
        Ok(Verdict::Done)
    }

    /// Tells whoever still sends to a flow that is no more, with fewer bytes than came.
    fn reset(&mut self, now: Now, connection: ConnectionId, len: usize) -> Result<Verdict, DropReason> {
        if len <= RESET_BYTES || !self.reset_bucket.take(now.clock, RESETS, 1) {
            return Err(DropReason::UnknownFlow);
        }
        Reset { connection, token: self.resets.token(connection) }.write(&mut self.reply);
        self.counters.resets += 1;
        Ok(Verdict::Reply)
    }

    fn end(&mut self, slot: Slot, reason: Option<RefuseCode>) {
        let Some(mut flow) = self.table.remove(slot) else { return };
        self.paces.keep(flow.player_session, flow.pace);
        if let Some(code) = reason {
            let mut datagram = Datagram::new();
            reply(&mut flow, &mut datagram, DataKind::Close, &[code as u8]);
            self.outputs.push_back(Output::Send { to: flow.player, datagram });
        }
        self.outputs.push_back(Output::Closed(Closed { slot, player_session: flow.player_session, reason }));
    }
}

fn reply<const MAX: usize>(flow: &mut Flow, out: &mut Datagram<MAX>, kind: DataKind, payload: &[u8]) {
    let mut header = [0; HEADER_BYTES];
    flow.write(kind, payload, &mut header);
    out.write(&[&header, payload]);
}

/// A socket for both families shows an IPv4 peer as an IPv6 address that contains it.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    one == other || (one.port() == other.port() && one.ip().to_canonical() == other.ip().to_canonical())
}
