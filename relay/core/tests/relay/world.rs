//! One core, its secrets, and players whose datagrams the test carries.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use playgate_protocol::relay::{
    FlowEvent, FlowKey, FlowState, HEADER_BYTES, PassClaims, PlayerFlow, RelayAccess, RelaySecret,
};
use playgate_protocol::{PlayerSessionId, ServerProcessId};
use playgate_relay_core::{Config, Core, Now, Output, Secrets, Slot, Verdict};

pub const RELAY: &str = "198.51.100.9:4000";
pub const SERVER: &str = "10.1.2.3:7777";
pub const USE_BY_MS: u64 = 60_000;
pub const VALID_UNTIL_MS: u64 = 12 * 3_600_000;

pub struct World {
    pub core: Core,
    pub config: Config,
    pub now: Duration,
    /// Payloads that reached servers, by slot.
    pub at_servers: VecDeque<(Slot, Vec<u8>)>,
    pub opened: Vec<(Slot, SocketAddr)>,
    pub outputs: Vec<Output>,
}

pub struct Player {
    pub flow: PlayerFlow,
    pub address: SocketAddr,
    /// Payloads that reached him.
    pub got: VecDeque<Vec<u8>>,
}

pub fn config() -> Config {
    Config {
        core: 0,
        epoch: 5,
        flows_max: 8,
        flow_idle: Duration::from_secs(30),
        destinations: vec!["10.0.0.0/8".parse().unwrap()],
        cookie_seed: [1; 32],
        reset_key: [2; 32],
        seed: [3; 32],
    }
}

pub fn secret(number: u8) -> RelaySecret {
    RelaySecret::new(number.into(), [number; 32])
}

pub fn claims(player: u8) -> PassClaims {
    PassClaims {
        player_session: PlayerSessionId::from_bytes([player; 16]),
        process: ServerProcessId::from_bytes([0x50; 16]),
        server: SERVER.parse().unwrap(),
        use_by_ms: USE_BY_MS,
        valid_until_ms: VALID_UNTIL_MS,
        packets_per_second: 1_000,
        bytes_per_second: 1_000_000,
        flow_key: FlowKey::from_bytes([player; 32]),
    }
}

impl World {
    pub fn new() -> Self {
        let config = config();
        let mut core = Core::new(config.clone(), Now { clock: Duration::ZERO, ms: 0 });
        core.set_secrets(Secrets { current: secret(1), before: None });
        let (at_servers, opened, outputs) = (VecDeque::new(), Vec::new(), Vec::new());
        Self { core, config, now: Duration::from_secs(1), at_servers, opened, outputs }
    }

    /// Another start of the same relay: nothing but what it keeps on disk is left.
    pub fn restart(&mut self) {
        self.config.epoch = self.config.epoch.wrapping_add(1);
        self.config.cookie_seed[0] ^= 1;
        self.config.seed[0] ^= 1;
        let before = self.config.clone();
        self.core = Core::new(before, self.now());
        self.core.set_secrets(Secrets { current: secret(1), before: None });
    }

    pub fn now(&self) -> Now {
        Now { clock: self.now, ms: u64::try_from(self.now.as_millis()).unwrap() }
    }

    pub fn player(&self, number: u8) -> Player {
        self.player_with(number, &claims(number))
    }

    pub fn player_with(&self, number: u8, claims: &PassClaims) -> Player {
        let access = RelayAccess {
            address: RELAY.parse().unwrap(),
            pass: secret(1).seal(claims, [number; 16]),
            flow_key: claims.flow_key.clone(),
        };
        let flow = PlayerFlow::new(access, [number; 32], Duration::from_secs(10), self.now);
        Player { flow, address: SocketAddr::from(([192, 0, 2, number], 1_000)), got: VecDeque::new() }
    }

    pub fn joined(&mut self, number: u8) -> Player {
        let mut player = self.player(number);
        self.exchange(&mut player);
        assert_eq!(player.flow.state(), FlowState::Open);
        player
    }

    /// Carries control datagrams to and fro until nobody has any.
    pub fn exchange(&mut self, player: &mut Player) {
        for _ in 0..16 {
            let Some(datagram) = player.flow.poll_transmit() else { break };
            self.send(player, datagram.as_slice());
        }
        self.collect(player);
    }

    /// One datagram from the player, and the answer back to him.
    pub fn send(&mut self, player: &mut Player, datagram: &[u8]) -> Verdict {
        let verdict = self.from(player.address, datagram);
        if matches!(verdict, Verdict::Reply | Verdict::ForwardAndReply(_) | Verdict::Open { .. }) {
            let reply = self.core.reply().to_vec();
            player.take(self.now, &reply);
        }
        verdict
    }

    /// One datagram from anywhere; the answer is left in the core.
    pub fn from(&mut self, from: SocketAddr, datagram: &[u8]) -> Verdict {
        let verdict = self.core.from_player(self.now(), from, datagram);
        match verdict {
            Verdict::Forward(slot) | Verdict::ForwardAndReply(slot) => {
                self.at_servers.push_back((slot, datagram[HEADER_BYTES..].to_vec()));
            }
            Verdict::Open { slot, server } => self.opened.push((slot, server)),
            Verdict::Drop(_) | Verdict::Reply | Verdict::Done => {}
        }
        if matches!(verdict, Verdict::Reply | Verdict::ForwardAndReply(_) | Verdict::Open { .. }) {
            assert!(self.core.reply().len() <= datagram.len(), "no answer is larger than its cause");
        }
        verdict
    }

    pub fn say(&mut self, player: &mut Player, payload: &[u8]) -> Verdict {
        let datagram = player.wrapped(payload);
        self.send(player, &datagram)
    }

    /// What a server sends to the player of a slot; returns where it went.
    pub fn answer(&mut self, slot: Slot, payload: &[u8], player: &mut Player) -> Option<SocketAddr> {
        let mut datagram = [&[0; HEADER_BYTES], payload].concat();
        let to = self.core.to_player(slot, &mut datagram)?;
        if to == player.address {
            player.take(self.now, &datagram);
        }
        Some(to)
    }

    /// Time passes, for the relay alone.
    pub fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while self.core.poll_timeout() <= until {
            self.now = self.now.max(self.core.poll_timeout());
            let now = self.now();
            self.core.handle_timeout(now);
        }
        self.now = until;
    }

    /// Time passes, and the player does what he does meanwhile.
    pub fn keep(&mut self, player: &mut Player, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            let at = player.flow.poll_timeout().unwrap().clamp(self.now, until);
            self.wait(at - self.now);
            player.flow.handle_timeout(at);
            self.exchange(player);
        }
    }

    pub fn collect(&mut self, player: &mut Player) {
        while let Some(output) = self.core.poll_output() {
            if let Output::Send { to, datagram } = &output
                && *to == player.address
            {
                player.take(self.now, datagram.as_slice());
            }
            self.outputs.push(output);
        }
    }
}

impl Player {
    pub fn wrapped(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut datagram = vec![0; HEADER_BYTES + payload.len()];
        self.flow.wrap(payload, &mut datagram).unwrap();
        datagram
    }

    fn take(&mut self, now: Duration, datagram: &[u8]) {
        if let FlowEvent::Payload(payload) = self.flow.handle(now, RELAY.parse().unwrap(), datagram) {
            self.got.push_back(payload.to_vec());
        }
    }
}
