//! The reference model of a relay's core: what must become of each datagram, from the tables of `PROTOCOL.md` alone. It
//! knows no key: what a player sent and what a relay gave out is entered as bytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use playgate_protocol::PlayerSessionId;
use playgate_protocol::relay::{ConnectionId, HEADER_BYTES, PASS_BYTES, Pass, PassClaims, RefuseCode};
use playgate_relay_core::limits::{PACES_REMEMBERED, SWEEP_EVERY, SWEEPS};
use playgate_relay_core::{Closed, Config, Now, Output, Secrets, Slot};

use super::address::Addresses;
use crate::invariants::Violation;
use crate::udp::digest;

/// Where servers may be, in the words of a relay's configuration.
pub const DESTINATIONS: [&str; 2] = ["10.0.0.0/8", "2001:db8:5::/48"];

/// The same for the model.
pub(super) fn is_allowed(server: SocketAddr) -> bool {
    match server.ip().to_canonical() {
        IpAddr::V4(ip) => ip.octets()[0] == 10,
        IpAddr::V6(ip) => ip.segments()[..3] == [0x2001, 0xdb8, 5],
    }
}

pub(super) type Checked = Result<(), Violation>;

pub(super) fn must(holds: bool, number: &'static str, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation { number, what: what() }) }
}

/// An open flow, as far as it can be seen from outside.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) connection: ConnectionId,
    pub(super) claims: PassClaims,
    /// Nonce and relay time of its OPEN.
    pub(super) opened: ([u8; 16], u64),
    pub(super) heard_at: Duration,
    /// Where its player has shown that he receives.
    pub(super) at: SocketAddr,
    /// The datagram that showed it; an older one shows nothing.
    pub(super) at_since: Option<u32>,
    pub(super) taken: BTreeSet<u32>,
    pub(super) challenge_from: Duration,
    pub(super) account: Account,
    pub(super) forwarded: u64,
    /// Next number towards the player.
    pub(super) down: u32,
    /// Sweeps since its time was over.
    overdue: usize,
}

impl Flow {
    pub(super) fn new(
        now: Now,
        from: SocketAddr,
        claims: PassClaims,
        connection: ConnectionId,
        opened: ([u8; 16], u64),
        account: Account,
    ) -> Self {
        Self {
            connection,
            claims,
            opened,
            heard_at: now.clock,
            at: from,
            at_since: None,
            taken: BTreeSet::new(),
            challenge_from: now.clock,
            account,
            forwarded: 0,
            down: 0,
            overdue: 0,
        }
    }
}

/// What a player sent through his flows, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    pub(super) since: Duration,
    pub(super) tried: u64,
    /// Datagrams and bytes that were within his rate.
    pub(super) paid: u64,
    pub(super) paid_bytes: u64,
    /// Of the pass.
    pub(super) rate: (u32, u32),
}

fn place_of(player: &PlayerSessionId) -> u64 {
    let random = player.as_bytes().last_chunk().expect("an id has 16 bytes");
    u64::from_be_bytes(*random) % PACES_REMEMBERED as u64
}

/// What everybody knows, whichever start of the relay it was.
#[derive(Default)]
pub(super) struct Known {
    /// Made by the coordinator, or by the relay.
    pub(super) passes: BTreeMap<[u8; PASS_BYTES], PassClaims>,
    /// What players with a ticket sent: the digests of whole datagrams.
    pub(super) said: BTreeSet<u64>,
    pub(super) forwarded: BTreeSet<u64>,
    pub(super) tokens: BTreeMap<ConnectionId, [u8; 16]>,
}

/// The state that a start of the relay should have.
pub(super) struct Model {
    pub(super) config: Config,
    pub(super) known: Known,
    pub(super) secrets: Option<Secrets>,
    pub(super) is_draining: bool,
    pub(super) revoked: BTreeMap<PlayerSessionId, u64>,
    pub(super) flows: BTreeMap<Slot, Flow>,
    /// Of flows that have ended, by place: two players who meet in one of 4,096 forget each other's.
    pub(super) accounts: BTreeMap<u64, (PlayerSessionId, Account)>,
    pub(super) addresses: Addresses,
    /// Given out by this start.
    pub(super) given: BTreeSet<ConnectionId>,
    /// Nonce, time and MAC, by the address they were sent to.
    pub(super) cookies: BTreeSet<(SocketAddr, [u8; 40])>,
    /// Cookie, how often it was heard in an OPEN, and when it may be heard again, by the place of its MAC.
    pub(super) heard_opens: BTreeMap<u64, (u64, u32, Duration)>,
    /// Path challenges, with the period they were made in.
    pub(super) challenges: BTreeMap<(SocketAddr, ConnectionId, [u8; 8]), u64>,
    pub(super) hellos: u32,
    pub(super) opens: u32,
    pub(super) resets: u32,
    /// Whoever has to be announced: his flow was opened, or he has moved.
    pub(super) announced: VecDeque<(PlayerSessionId, SocketAddr)>,
    /// Its player, or the relay's socket, has ended it.
    pub(super) closing: Option<Slot>,
}

impl Model {
    pub(super) fn new(config: Config, known: Known) -> Self {
        Self {
            config,
            known,
            secrets: None,
            is_draining: false,
            revoked: BTreeMap::new(),
            flows: BTreeMap::new(),
            accounts: BTreeMap::new(),
            addresses: Addresses::default(),
            given: BTreeSet::new(),
            cookies: BTreeSet::new(),
            heard_opens: BTreeMap::new(),
            challenges: BTreeMap::new(),
            hellos: 0,
            opens: 0,
            resets: 0,
            announced: VecDeque::new(),
            closing: None,
        }
    }

    pub(super) fn keep_account(&mut self, player: PlayerSessionId, account: Account) {
        self.accounts.insert(place_of(&player), (player, account));
    }

    /// Closing a flow and opening the next one earns nothing.
    pub(super) fn account_of(&self, now: Now, claims: &PassClaims) -> Account {
        let rate = (claims.packets_per_second, claims.bytes_per_second);
        let kept = self.accounts.get(&place_of(&claims.player_session));
        let kept = kept.filter(|(of, account)| *of == claims.player_session && account.rate == rate);
        let fresh = Account { since: now.clock, tried: 0, paid: 0, paid_bytes: 0, rate };
        kept.map_or(fresh, |(_, account)| *account)
    }

    pub(super) fn slot_of(&self, player: &PlayerSessionId) -> Option<Slot> {
        self.flows.iter().find(|(_, flow)| flow.claims.player_session == *player).map(|(slot, _)| *slot)
    }

    pub(super) fn is_live_secret(&self, number: u32) -> bool {
        let secrets = self.secrets.as_ref();
        let mut live = secrets.into_iter().flat_map(|secrets| [Some(&secrets.current), secrets.before.as_ref()]);
        live.any(|secret| secret.is_some_and(|secret| secret.number() == number))
    }

    pub(super) fn revoke(&mut self, player: PlayerSessionId, until_ms: u64) {
        let until = self.revoked.entry(player).or_default();
        *until = until_ms.max(*until);
    }

    /// A pass that the relay made: what is in it must be the claims of the one before, for ten minutes at most.
    pub(super) fn fresh_pass(&mut self, now: Now, before: &PassClaims, pass: Pass) -> Checked {
        let opened = self.secrets.as_ref().and_then(|secrets| secrets.current.open(&pass).ok());
        let use_by_ms = now.ms.saturating_add(600_000).min(before.valid_until_ms);
        let expected = PassClaims { use_by_ms, ..before.clone() };
        must(opened.as_ref() == Some(&expected), "R4", || {
            let (player, had) = (before.player_session, opened.map(|claims| claims.use_by_ms));
            format!("the fresh pass of {player} is good until {had:?}, it should be until {use_by_ms} and say the same")
        })?;
        self.known.passes.insert(pass.0, expected);
        Ok(())
    }

    /// A datagram from the relay with a header: numbered in order, for this flow.
    pub(super) fn is_next_down(&mut self, slot: Slot, kind: u8, datagram: &[u8]) -> Checked {
        let flow = self.flows.get_mut(&slot).expect("the caller has found it");
        let header = [&[kind], &flow.down.to_le_bytes()[..3], &flow.connection.0].concat();
        let is_right = datagram.get(..12) == Some(&header[..]) && datagram.len() >= HEADER_BYTES;
        flow.down += 1;
        must(is_right, "R9", || format!("slot {slot}: {datagram:02x?} is not number {} of kind {kind}", flow.down - 1))
    }

    /// What the core wants done besides.
    pub(super) fn output(&mut self, now: Now, output: &Output) -> Checked {
        match output {
            Output::PlayerAt { player_session, address, .. } => {
                let expected = self.announced.pop_front();
                let told = (*player_session, canonical(*address));
                must(expected == Some(told), "R5", || format!("{told:?} was announced, it should be {expected:?}"))
            }
            Output::Send { to, datagram } => {
                let bytes = datagram.as_slice();
                let connection = bytes.get(4..12).unwrap_or(&[]);
                let slot = self.flows.iter().find(|(_, flow)| flow.connection.0 == connection).map(|(slot, _)| *slot);
                let Some(slot) = slot else {
                    return must(false, "R9", || format!("{bytes:02x?} is of no flow"));
                };
                must(self.flows[&slot].at == canonical(*to), "R5", || format!("a CLOSE goes to {to}"))?;
                self.is_next_down(slot, 6, bytes)
            }
            Output::Closed(closed) => self.closed(now, closed),
        }
    }

    fn closed(&mut self, now: Now, closed: &Closed) -> Checked {
        let Some(flow) = self.flows.remove(&closed.slot) else {
            return must(false, "R8", || format!("{closed:?}, and there is no flow"));
        };
        let player = flow.claims.player_session;
        self.keep_account(player, flow.account);
        let is_right = match closed.reason {
            Some(RefuseCode::Revoked) => self.revoked.contains_key(&player),
            Some(RefuseCode::Expired) => now.ms >= flow.claims.valid_until_ms,
            Some(_) => false,
            None => self.closing == Some(closed.slot) || now.clock - flow.heard_at >= self.config.flow_idle,
        };
        must(is_right && closed.player_session == player, "R8", || format!("{closed:?} of {flow:?} at {now:?}"))
    }

    /// After a sweep: no flow is there that should have ended long ago.
    pub(super) fn swept(&mut self, now: Now) -> Checked {
        self.revoked.retain(|_, until_ms| *until_ms > now.ms);
        for (slot, flow) in &mut self.flows {
            let is_idle = now.clock.saturating_sub(flow.heard_at) >= self.config.flow_idle;
            flow.overdue = if is_idle || now.ms >= flow.claims.valid_until_ms { flow.overdue + 1 } else { 0 };
            must(flow.overdue <= SWEEPS + 1, "R8", || {
                format!("slot {slot} is over since {} sweeps, {SWEEP_EVERY:?} each: {flow:?}", flow.overdue)
            })?;
        }
        Ok(())
    }

    pub(super) fn has_said(&self, datagram: &[u8]) -> bool {
        self.known.said.contains(&digest(datagram))
    }
}

/// The same place, however it is written.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
