//! A history of a relay's core beside its model: players with passes of every kind, whose datagrams are made by hand.

use std::net::SocketAddr;
use std::time::Duration;

use playgate_protocol::handshake::Datagram;
use playgate_protocol::relay::{
    Accept, ConnectionId, Cookie, DataKind, FlowKey, HEADER_BYTES, Hello, OPEN_BYTES, Pass, PassClaims, RelaySecret,
};
use playgate_protocol::{PlayerSessionId, ServerProcessId};
use playgate_relay_core::{Config, Counters, Now, Secrets, Verdict};
use playgate_sim::relay::Judged;

use crate::core::split;

const STEPS_MAX: usize = 250;
const START_MS: u64 = 1_750_000_000_000;
const PLAYERS: u8 = 4;
const SEEN_MAX: usize = 64;
/// Sweeps in one step; what is missed is swept later, as by a relay that is busy.
const SWEEPS_MAX: usize = 60;

/// Runs the bytes as a history. Whatever the core says, its model has said before.
pub fn relay(data: &[u8]) {
    relay_seen(data);
}

/// The same, and what the core has counted.
pub fn relay_seen(data: &[u8]) -> Counters {
    let mut history = History::new();
    let mut rest = data;
    for _ in 0..STEPS_MAX {
        let Some((what, which, body, behind)) = split(rest) else { break };
        rest = behind;
        history.step(what, which, body);
        while history.judged.poll_output().is_some() {}
        if let Some(violation) = history.judged.broken() {
            panic!("{violation:?}");
        }
    }
    history.counted.add(history.judged.counters());
    history.counted
}

struct History {
    judged: Judged,
    /// By former starts of the relay.
    counted: Counters,
    now: Duration,
    start: u8,
    is_draining: bool,
    /// Its secrets: the last two are live.
    secrets: u32,
    players: Vec<Player>,
    /// Datagrams of players, genuine or not.
    seen: Vec<Vec<u8>>,
}

/// What a player has come to know.
struct Player {
    claims: PassClaims,
    pass: Pass,
    cookie: Option<Cookie>,
    /// Nonce, relay time and connection id of his last opening, and the key it was opened with.
    opening: Option<([u8; 16], u64, ConnectionId, FlowKey)>,
    sequence: u64,
    challenge: Vec<u8>,
}

fn place(number: u8) -> SocketAddr {
    match number % 8 {
        6 => "[2001:db8::1]:9".parse().expect("an address"),
        7 => "[::ffff:192.0.2.0]:9".parse().expect("an address"), // another name of place 0
        number => SocketAddr::from(([192, 0, 2, number / 2], 9 + u16::from(number % 2))),
    }
}

fn secret(number: u32) -> RelaySecret {
    RelaySecret::new(number, [u8::try_from(number % 251).expect("less than 251"); 32])
}

fn claims(player: u8) -> PassClaims {
    PassClaims {
        player_session: PlayerSessionId::from_bytes([player; 16]),
        process: ServerProcessId::from_bytes([0x50; 16]),
        server: SocketAddr::from(([10, 1, 2, 3], 7_777)),
        use_by_ms: START_MS + 60_000,
        valid_until_ms: START_MS + 3_600_000,
        packets_per_second: 1_000,
        bytes_per_second: 1_000_000,
        flow_key: FlowKey::from_bytes([player; 32]),
    }
}

fn config(start: u8) -> Config {
    Config {
        core: 1,
        epoch: start,
        flows_max: 3,
        flow_idle: Duration::from_secs(30),
        destinations: Vec::new(),
        cookie_seed: [start; 32],
        reset_key: [2; 32],
        seed: [start; 32],
    }
}

impl History {
    fn new() -> Self {
        let now = Duration::from_secs(100);
        let judged = Judged::new(config(0), Now { clock: now, ms: START_MS });
        let mut history = Self {
            judged,
            counted: Counters::default(),
            now,
            start: 0,
            is_draining: false,
            secrets: 2,
            players: Vec::new(),
            seen: Vec::new(),
        };
        history.tell_secrets();
        for number in 0..PLAYERS {
            let (claims, pass) = (claims(number), secret(2).seal(&claims(number), [number; 16]));
            history.judged.issued(pass, claims.clone());
            let (cookie, opening, challenge) = (None, None, Vec::new());
            history.players.push(Player { claims, pass, cookie, opening, sequence: 0, challenge });
        }
        history
    }

    fn now(&self) -> Now {
        let ms = START_MS + u64::try_from(self.now.as_millis()).expect("not for ever") - 100_000;
        Now { clock: self.now, ms }
    }

    fn tell_secrets(&mut self) {
        let before = Some(secret(self.secrets - 1));
        self.judged.set_secrets(Secrets { current: secret(self.secrets), before });
    }

    fn step(&mut self, what: u8, which: u8, body: &[u8]) {
        let byte = |at: usize| body.get(at).copied().unwrap_or(0);
        let player = usize::from(which % PLAYERS);
        let from = place(which / PLAYERS);
        match what % 20 {
            0 => self.passes(Duration::from_millis(u64::from(which) * 97)),
            1 => self.passes(Duration::from_secs(u64::from(which) * 10)),
            2 => self.ticket(player, &[byte(0), byte(1), byte(2), byte(3), byte(4)]),
            3 => self.hello(player, from, byte(0)),
            4 => self.open(player, from, byte(0), byte(1)),
            5 => {
                self.hello(player, from, byte(0));
                self.open(player, from, 0, 0);
            }
            6 => self.repeat(which, place(byte(0)), &[]),
            7 => self.repeat(which, place(byte(0)), body.get(1..).unwrap_or(&[])),
            8..=10 => self.says(player, from, DataKind::Data, &vec![byte(0); usize::from(byte(1)) * 6], byte(2)),
            11 => {
                let kind = DataKind::ALL[usize::from(byte(0)) % 8];
                self.says(player, from, kind, body.get(2..).unwrap_or(&[]), byte(1));
            }
            12 => self.says(player, from, DataKind::Ping, &[byte(0); 16], byte(1)),
            13 => {
                let response = self.players[player].challenge.clone();
                self.says(player, from, DataKind::PathResponse, &response, byte(0));
            }
            14 => {
                let whose = (player + usize::from(byte(0) % 16 == 15)) % usize::from(PLAYERS);
                let pass = self.players[whose].pass;
                self.says(player, from, DataKind::Renew, &pass.0, byte(1));
            }
            15 => self.answers(u32::from(which % 5), body.len() * usize::from(byte(0) % 16)),
            16 => {
                let until_ms = self.now().ms + u64::from(byte(0)) * 10_000;
                self.judged.revoke(self.now(), self.players[player].claims.player_session, until_ms);
            }
            17 => self.administer(which, byte(0)),
            18 => self.judged.abandon(self.now(), u32::from(which % 5)),
            _ => drop(self.sends(from, body)),
        }
    }

    fn passes(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..SWEEPS_MAX {
            let due = self.judged.poll_timeout();
            if due > until {
                break;
            }
            self.now = self.now.max(due);
            self.judged.handle_timeout(self.now());
        }
        self.now = until;
    }

    /// A new pass, good or not.
    fn ticket(&mut self, player: usize, how: &[u8; 5]) {
        let now_ms = self.now().ms;
        let servers = ["10.1.2.3:7777", "10.255.0.1:1", "[2001:db8:5::9]:7", "[::ffff:10.0.0.1]:7", "192.0.2.9:7777"];
        let servers = [&servers[..], &["[2001:db8:6::9]:7", "11.0.0.1:7", "10.0.0.1:0"]].concat();
        let rates = [1_000, 1_000, 1_000_000, 3, 1, 0];
        let use_by_ms = now_ms + u64::from(how[1]) * 1_000;
        let claims = PassClaims {
            server: servers[usize::from(how[0] % 8)].parse().expect("an address"),
            use_by_ms,
            valid_until_ms: if how[2] == 1 { use_by_ms - 1 } else { use_by_ms + u64::from(how[2]) * 10_000 },
            packets_per_second: rates[usize::from(how[3] % 6)],
            bytes_per_second: rates[usize::from(how[3] / 6 % 6)].saturating_mul(1_000),
            flow_key: FlowKey::from_bytes([how[4]; 32]),
            ..self.players[player].claims.clone()
        };
        let salt = u128::from(now_ms) << 64 | u128::from(u32::from_le_bytes([how[0], how[1], how[2], how[3]]));
        let number = self.secrets - u32::from(how[4] % 4).min(self.secrets - 1);
        let is_stranger = how[4] == 255;
        let sealing = if is_stranger { RelaySecret::new(number, [0xee; 32]) } else { secret(number) };
        let pass = sealing.seal(&claims, salt.to_le_bytes());
        if !is_stranger {
            let server = SocketAddr::new(claims.server.ip().to_canonical(), claims.server.port());
            self.judged.issued(pass, PassClaims { server, ..claims.clone() });
        }
        (self.players[player].claims, self.players[player].pass) = (claims, pass);
    }

    fn hello(&mut self, player: usize, from: SocketAddr, nonce: u8) {
        let mut datagram = Datagram::<OPEN_BYTES>::new();
        Hello { nonce: [nonce; 16] }.write(&mut datagram);
        if self.sends(from, datagram.as_slice()) == Verdict::Reply {
            self.players[player].cookie = Cookie::read(self.judged.reply());
        }
    }

    fn open(&mut self, player: usize, from: SocketAddr, wrong: u8, at: u8) {
        let Player { claims, pass, cookie: Some(cookie), .. } = &self.players[player] else { return };
        let key = if wrong == 255 { FlowKey::from_bytes([0xee; 32]) } else { claims.flow_key.clone() };
        let mut datagram = Datagram::new();
        cookie.answer(pass, &key, &mut datagram);
        let mut bytes = datagram.as_slice().to_vec();
        bytes[usize::from(at)] ^= wrong % 255;
        if wrong == 0 && self.judged.claims(pass).is_some_and(|claims| claims.flow_key == key) {
            self.judged.said(&bytes);
        }
        let (nonce, time) = (cookie.nonce, cookie.relay_time_us);
        let verdict = self.sends(from, &bytes);
        if matches!(verdict, Verdict::Open { .. } | Verdict::Reply)
            && let Some(accept) = Accept::open(self.judged.reply(), &key)
        {
            let player = &mut self.players[player];
            player.pass = accept.fresh_pass;
            let opening = Some((nonce, time, accept.connection, key));
            if player.opening != opening {
                (player.opening, player.sequence) = (opening, 0);
            }
        }
    }

    /// A datagram of the player's last opening; `how` says which number it has.
    fn says(&mut self, player: usize, from: SocketAddr, kind: DataKind, payload: &[u8], how: u8) {
        let state = &mut self.players[player];
        let Some((nonce, time, connection, key)) = &state.opening else { return };
        let sequence = match how {
            0..128 => state.sequence,
            128..192 => state.sequence + u64::from(how - 128) * 4,
            192.. => state.sequence.saturating_sub(u64::from(how - 191) * 4),
        };
        state.sequence = state.sequence.max(sequence + 1);
        let mut header = [0; HEADER_BYTES];
        key.traffic_keys(nonce, *time, *connection).up.write(kind, sequence, *connection, payload, &mut header);
        let datagram = [&header, payload].concat();
        self.judged.said(&datagram);
        let verdict = self.sends(from, &datagram);
        let reply = self.judged.reply();
        if matches!(verdict, Verdict::Reply | Verdict::ForwardAndReply(_)) {
            match reply.split_first() {
                Some((4, _)) => self.players[player].challenge = reply[HEADER_BYTES..].to_vec(),
                Some((8, _)) => {
                    self.players[player].pass = Pass(reply[HEADER_BYTES..].try_into().expect("a pass"));
                }
                _ => {}
            }
        }
    }

    /// Something that was seen, as it was or with bytes laid over it.
    fn repeat(&mut self, which: u8, from: SocketAddr, over: &[u8]) {
        let Some(seen) = self.seen.get(usize::from(which) % self.seen.len().max(1)) else { return };
        let mut datagram = seen.clone();
        let (at, over) = over.split_first().map_or((0, over), |(at, over)| (usize::from(*at), over));
        datagram.iter_mut().skip(at).zip(over).for_each(|(byte, over)| *byte ^= over);
        let _ = self.sends(from, &datagram);
    }

    fn sends(&mut self, from: SocketAddr, datagram: &[u8]) -> Verdict {
        if self.seen.len() == SEEN_MAX {
            self.seen.remove(0);
        }
        self.seen.push(datagram.to_vec());
        self.judged.from_player(self.now(), from, datagram)
    }

    fn answers(&mut self, slot: u32, len: usize) {
        let mut datagram = vec![0; HEADER_BYTES + len];
        let _ = self.judged.to_player(slot, &mut datagram);
    }

    fn administer(&mut self, which: u8, how: u8) {
        match which % 4 {
            0 | 1 => {
                self.secrets += 1;
                self.tell_secrets();
            }
            2 => {
                self.is_draining = !self.is_draining;
                self.judged.set_draining(self.is_draining);
            }
            _ if self.start < 255 => {
                self.start += 1;
                self.is_draining = false;
                self.counted.add(self.judged.counters());
                self.judged.restart(config(self.start), self.now());
                if how != 255 {
                    self.tell_secrets();
                }
            }
            _ => {}
        }
    }
}
