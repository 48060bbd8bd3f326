//! Players: the real machine of a player's end of a flow, under a game that talks, moves, leaves and comes back; and
//! thieves, who have a pass that they saw on the wire.

use std::net::SocketAddr;
use std::time::Duration;

use playgate_protocol::relay::{
    Accept, FlowEvent, FlowKey, FlowState, HEADER_BYTES, PAYLOAD_BYTES_MAX, Pass, PassClaims, PlayerFlow, RefuseCode,
    RelayAccess,
};
use playgate_protocol::{PlayerSessionId, ServerProcessId};

use super::event::Ev;
use super::model::{canonical, is_allowed};
use super::node::server_address;
use super::world::{RELAY, RelayWorld, Sent};
use crate::clock::{MS, Micros, Monotonic};
use crate::trace::say;
use crate::udp::digest;

/// One player, or one thief.
pub(super) struct Player {
    pub(super) claims: PassClaims,
    /// The newest pass he has.
    pub(super) pass: Pass,
    pub(super) flow: Option<PlayerFlow>,
    pub(super) address: SocketAddr,
    pub(super) is_revoked: bool,
    pub(super) is_gone: bool,
    /// He has to be served once the faults have stopped.
    pub(super) is_due: bool,
    pub(super) cut_up_until: Micros,
    pub(super) cut_down_until: Micros,
    pub(super) say_at: Micros,
    is_thief: bool,
    clock: Monotonic,
    wake_at: Micros,
}

impl Player {
    pub(super) fn is_honest(&self) -> bool {
        !self.is_thief && !self.is_gone && !self.is_revoked
    }

    fn is_open(&self) -> bool {
        self.flow.as_ref().is_some_and(|flow| flow.state() == FlowState::Open)
    }
}

impl RelayWorld {
    /// A player with a ticket, or a thief with somebody's pass and no key.
    pub(super) fn player_is_made(&mut self, stolen: Option<Pass>) -> usize {
        let server = match self.rng.below(40) {
            0 => 9, // a mistake of somebody who makes passes
            other => other % 4,
        };
        let claims = PassClaims {
            player_session: PlayerSessionId::from_bytes(self.rng.bytes()),
            process: ServerProcessId::from_bytes(self.rng.bytes()),
            server: server_address(server),
            use_by_ms: 0,
            valid_until_ms: 0,
            packets_per_second: if self.weather.is_strict { 10 } else { 1_000 },
            bytes_per_second: 1_000_000,
            flow_key: FlowKey::from_bytes(self.rng.bytes()),
        };
        let ppm = self.rng.between(0, 10_000) as i64 - 5_000;
        let clock = Monotonic::new(self.now, self.rng.below(1 << 38), ppm);
        let address = self.fresh_address();
        let player = self.players.len();
        self.players.push(Player {
            claims,
            pass: stolen.unwrap_or(Pass([0; 143])),
            flow: None,
            address,
            is_revoked: false,
            is_gone: false,
            is_due: false,
            cut_up_until: 0,
            cut_down_until: 0,
            say_at: 0,
            is_thief: stolen.is_some(),
            clock,
            wake_at: 0,
        });
        player
    }

    pub(super) fn fresh_address(&mut self) -> SocketAddr {
        let bits = self.rng.next().to_le_bytes();
        let port = 1_024 + u16::from_le_bytes([bits[2], bits[3]]) % 60_000;
        if self.rng.chance(200) {
            let ip = [0x2001, 0xdb8, 9, bits[0].into(), 0, 0, 0, bits[1].into()];
            return SocketAddr::from((ip, port));
        }
        SocketAddr::from(([100, 64, bits[0], bits[1]], port))
    }

    /// What the coordinator makes, for whoever has no pass that is good.
    fn ticket(&mut self, player: usize) {
        let now_ms = self.node.now(self.now).ms;
        let valid_until_ms = now_ms + self.weather.valid_ms + self.rng.below(10_000);
        let use_by_ms = now_ms + self.rng.between(500, self.weather.pass_ms);
        let (key, salt) = (FlowKey::from_bytes(self.rng.bytes()), self.rng.bytes());
        let claims = PassClaims {
            use_by_ms: use_by_ms.min(valid_until_ms),
            valid_until_ms,
            flow_key: key,
            ..self.players[player].claims.clone()
        };
        let pass = self.node.secrets().current.seal(&claims, salt);
        self.node.judged.issued(pass, claims.clone());
        (self.players[player].claims, self.players[player].pass) = (claims, pass);
    }

    /// Whether his pass opens a flow for so long.
    pub(super) fn is_good(&self, player: usize, for_ms: u64) -> bool {
        let secrets = self.node.secrets();
        let pass = &self.players[player].pass;
        let mut live = [Some(secrets.current), secrets.before].into_iter().flatten();
        let until_ms = self.node.now(self.now).ms + for_ms;
        live.any(|secret| secret.number() == pass.secret_number())
            && self.node.judged.claims(pass).is_some_and(|claims| claims.use_by_ms > until_ms)
    }

    pub(super) fn player_comes(&mut self, player: usize) {
        if self.players[player].is_gone {
            return;
        }
        if !self.players[player].is_thief && !self.is_good(player, 0) {
            if self.players[player].is_revoked {
                self.players[player].is_gone = true;
                return;
            }
            self.ticket(player);
        }
        let (seed, patience) = (self.rng.bytes(), Duration::from_secs(self.rng.between(4, 10)));
        let state = &mut self.players[player];
        let access = RelayAccess { address: RELAY, pass: state.pass, flow_key: state.claims.flow_key.clone() };
        state.flow = Some(PlayerFlow::new(access, seed, patience, state.clock.read(self.now)));
        say!(self, "player {player} comes from {}", self.players[player].address);
        self.player_acts(player);
        if self.players[player].say_at <= self.now && !self.players[player].is_thief {
            self.says_later(player);
        }
    }

    /// He ends his game, says so or not, and starts it again.
    pub(super) fn player_restarts(&mut self, player: usize) {
        self.player_leaves(player);
        if self.rng.chance(500) {
            self.players[player].address = self.fresh_address();
        }
        let delay = self.rng.below(2_000) * MS;
        self.after(delay, Ev::Come { player });
    }

    /// For good.
    pub(super) fn player_leaves(&mut self, player: usize) {
        if self.rng.chance(500)
            && let Some(flow) = &mut self.players[player].flow
        {
            flow.close();
            self.player_sends(player);
        }
        self.players[player].flow = None;
    }

    pub(super) fn thief_comes(&mut self) {
        let opens: Vec<_> = self.captured.iter().filter(|(_, _, bytes)| bytes.starts_with(b"PR1O")).collect();
        let Some((_, _, bytes)) = self.rng.pick(&opens) else { return };
        let pass = Pass(*bytes[4..].first_chunk().unwrap_or(&[0; 143]));
        if self.players.len() < 16 {
            let player = self.player_is_made(Some(pass));
            let delay = self.rng.below(500) * MS;
            self.after(delay, Ev::Come { player });
        }
    }

    pub(super) fn player_wakes(&mut self, player: usize) {
        let state = &mut self.players[player];
        state.wake_at = 0;
        let local = state.clock.read(self.now);
        if let Some(flow) = &mut state.flow {
            if flow.poll_timeout().is_some_and(|at| at <= local) {
                flow.handle_timeout(local);
            }
            self.player_acts(player);
        }
    }

    fn player_sends(&mut self, player: usize) {
        while let Some(datagram) = self.players[player].flow.as_mut().and_then(PlayerFlow::poll_transmit) {
            self.player_transmits(player, datagram.as_slice().to_vec());
        }
    }

    fn player_transmits(&mut self, player: usize, bytes: Vec<u8>) {
        if !self.players[player].is_thief {
            self.node.judged.said(&bytes);
        }
        self.send_datagram(self.players[player].address, RELAY, bytes);
    }

    fn player_acts(&mut self, player: usize) {
        self.player_sends(player);
        let state = &mut self.players[player];
        let Some(flow) = &state.flow else { return };
        match flow.state() {
            FlowState::TimedOut | FlowState::Refused(_) => self.player_is_out(player),
            FlowState::Knocking | FlowState::Opening | FlowState::Open => {
                let due = flow.poll_timeout().map(|at| state.clock.when(at));
                if let Some(at) = due
                    && (state.wake_at <= self.now || at < state.wake_at)
                {
                    state.wake_at = at;
                    self.at(at, Ev::PlayerWake { player });
                }
            }
        }
    }

    /// His flow is over, or never was: most try again.
    fn player_is_out(&mut self, player: usize) {
        let ended = self.players[player].flow.take().map(|flow| flow.state());
        say!(self, "player {player}: {ended:?}");
        let state = &self.players[player];
        match ended {
            Some(FlowState::Refused(RefuseCode::Revoked)) if !state.is_revoked => {
                self.fail("R3", format!("player {player} was never revoked"));
            }
            Some(FlowState::Refused(RefuseCode::Destination)) if is_allowed(state.claims.server) => {
                self.fail("R6", format!("player {player} may go to {}", self.players[player].claims.server));
            }
            Some(FlowState::Refused(RefuseCode::Expired)) if state.is_due => {
                self.fail("R11", format!("player {player} has a pass that is good, and is told that it has expired"));
            }
            Some(FlowState::Refused(RefuseCode::Revoked | RefuseCode::Destination)) => {
                self.players[player].is_gone = true;
            }
            _ if state.is_thief => self.players[player].is_gone = true,
            _ => {
                let delay = self.rng.between(50, 1_000) * MS;
                self.after(delay, Ev::Come { player });
            }
        }
    }

    pub(super) fn player_hears(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let to = canonical(to);
        let there = |player: &Player| player.address == to && player.flow.is_some();
        let Some(player) = self.players.iter().rposition(there) else { return };
        let is_genuine = self.node_said.contains(&digest(bytes));
        let state = &mut self.players[player];
        let local = state.clock.read(self.now);
        let flow = state.flow.as_mut().expect("it was found with one");
        let before = flow.state();
        let event = flow.handle(local, from, bytes);
        let after = flow.state();
        let believes = match &event {
            FlowEvent::Payload(_) => true,
            FlowEvent::Control => before != FlowState::Knocking,
            FlowEvent::Ignored => false,
        };
        if believes && !is_genuine {
            return self.fail("R9", format!("player {player} believes what no relay said: {bytes:02x?}"));
        }
        match event {
            FlowEvent::Payload(payload) => {
                let payload = payload.to_vec();
                self.player_gets(player, &payload);
            }
            FlowEvent::Control if before == FlowState::Opening && after == FlowState::Open => {
                if let Some(accept) = Accept::open(bytes, &state.claims.flow_key) {
                    state.pass = accept.fresh_pass;
                }
            }
            FlowEvent::Control if before == FlowState::Open && bytes.first() == Some(&8) => {
                state.pass = bytes[HEADER_BYTES..].try_into().map_or(state.pass, Pass);
            }
            _ => {}
        }
        self.player_acts(player);
    }

    fn player_gets(&mut self, player: usize, payload: &[u8]) {
        let number = |at: usize| payload.get(at..)?.first_chunk().map(|number| u32::from_le_bytes(*number) as usize);
        let (answer, sent) = (number(0).unwrap_or(usize::MAX), number(4).unwrap_or(usize::MAX));
        let expected = self.answers.get(answer).copied();
        if expected != Some((player, false)) {
            return self.fail("R9", format!("player {player} gets answer {answer}, which is {expected:?}"));
        }
        self.answers[answer].1 = true;
        self.sent[sent].answered = true;
        self.meet("answered");
    }

    pub(super) fn says_later(&mut self, player: usize) {
        let most = if self.is_faulty() { self.weather.say_ms } else { 900 };
        let at = self.now + self.rng.between(most / 4, most) * MS;
        self.players[player].say_at = at;
        self.at(at, Ev::Say { player });
    }

    pub(super) fn player_says(&mut self, player: usize) {
        if self.players[player].say_at != self.now || self.players[player].is_gone {
            return;
        }
        self.says_later(player);
        if !self.players[player].is_open() {
            if self.players[player].is_due && self.is_served_now() {
                self.fail("R11", format!("player {player} is not served: {:?}", self.players[player].flow));
            }
            return;
        }
        let is_chatty = self.is_faulty() && self.weather.is_strict && self.rng.chance(50);
        for _ in 0..if is_chatty { 40 } else { 1 } {
            self.player_sends_payload(player);
        }
    }

    fn player_sends_payload(&mut self, player: usize) {
        let mut payload = (self.sent.len() as u32).to_le_bytes().to_vec();
        let len = match self.rng.below(20) {
            // Too short for a path challenge, or for a RESET, as an answer.
            0 => 4 + self.rng.below(5) as usize,
            1 => PAYLOAD_BYTES_MAX,
            _ => 9 + self.rng.below(60) as usize,
        };
        payload.resize(len, player as u8);
        let (digest, server) = (digest(&payload), self.players[player].claims.server);
        self.sent.push(Sent { player, server, digest, at: self.now, arrived: false, answered: false });
        let mut datagram = vec![0; HEADER_BYTES + len];
        let flow = self.players[player].flow.as_mut().expect("it is open");
        if let Err(error) = flow.wrap(&payload, &mut datagram) {
            return self.fail("R11", format!("player {player} cannot send {len} bytes: {error}"));
        }
        self.player_transmits(player, datagram);
    }
}
