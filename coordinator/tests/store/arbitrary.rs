//! Rows of every shape, from a number.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use playgate_core::fleet::{Admission, FleetConfig, Millis, PortRange, RelayMode};
use playgate_core::rows::{
    Drain, GameSessionRow, HostRow, Identity, JoinKeyRow, PeerRow, PlayerSessionRow, ProcessRow, RelayRow, Row,
    SigningKeyRow,
};
use playgate_protocol::agent::ExitStatus;
use playgate_protocol::api::{Event, Subject};
use playgate_protocol::{
    Blob, Fingerprint, FleetId, GameSessionId, HostId, List, PlayerId, PlayerSessionId, RelayId, ServerProcessId, Text,
};
use serde::de::DeserializeOwned;

/// Rows of this many consecutive numbers hold every variant of every enum.
pub const ROUND: u64 = 40;

/// Few ids, so that rows meet; every value otherwise.
pub struct Arbitrary {
    number: u64,
    state: u64,
}

impl Arbitrary {
    pub fn new(number: u64) -> Self {
        Self { number, state: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678 }
    }

    /// Splitmix64.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    fn long(&mut self) -> u64 {
        const EDGES: [u64; 5] = [0, 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX];
        match self.below(3) {
            0 => EDGES[self.below(5) as usize],
            1 => 1_750_000_000_000 + self.below(1_000_000),
            _ => self.bits(),
        }
    }

    fn int(&mut self) -> u32 {
        match self.below(4) {
            0 => u32::MAX,
            1 => 0,
            _ => self.bits() as u32,
        }
    }

    fn short(&mut self) -> u16 {
        self.int() as u16
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 0
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.flag() { Some(make(self)) } else { None }
    }

    fn bytes<const LEN: usize>(&mut self) -> [u8; LEN] {
        std::array::from_fn(|_| self.bits() as u8)
    }

    /// The variants of an enum in turn, as the wire knows them.
    fn each<T: DeserializeOwned + Clone>(&self) -> T {
        let every: Vec<T> = (0..u8::MAX).map_while(|index| postcard::from_bytes(&[index]).ok()).collect();
        assert!(!every.is_empty() && every.len() as u64 <= ROUND, "{} variants in rounds of {ROUND}", every.len());
        every[(self.number % every.len() as u64) as usize].clone()
    }

    fn key(&mut self) -> [u8; 16] {
        [self.below(4) as u8; 16]
    }

    fn text<const MAX: usize>(&mut self) -> Text<MAX> {
        const PARTS: [&str; 8] =
            ["a", "Z9-", "\"", "'; DROP TABLE process; --", "\\", "\u{e9}\u{1f600}", " ", "{}[],:"];
        let parts = match self.below(6) {
            0 => 0,
            1 => MAX as u64,
            _ => self.below(12),
        };
        let text: String = (0..parts).map(|_| PARTS[self.below(8) as usize]).collect();
        Text::lossy(&text)
    }

    fn blob<const MAX: usize>(&mut self) -> Blob<MAX> {
        let len = match self.below(6) {
            0 => 0,
            1 => MAX,
            _ => self.below(MAX.min(64) as u64) as usize,
        };
        Blob::new((0..len).map(|_| self.bits() as u8).collect::<Vec<_>>()).expect("not longer than the bound")
    }

    fn list<T, const MAX: usize>(&mut self, mut make: impl FnMut(&mut Self) -> T) -> List<T, MAX> {
        let len = if self.below(4) == 0 { MAX as u64 } else { self.below(MAX.min(4) as u64) };
        List::first_of((0..len).map(|_| make(self)).collect::<Vec<_>>())
    }

    fn fleet_id(&mut self) -> FleetId {
        let names = ["arena", "eu-west.1_x", "4", &"z".repeat(64)];
        FleetId::new(names[self.below(4) as usize]).expect("a good name")
    }

    fn ip(&mut self) -> IpAddr {
        if self.flag() { IpAddr::from(self.bytes::<4>()) } else { IpAddr::from(self.bytes::<16>()) }
    }

    fn host_id(&mut self) -> HostId {
        HostId::from_bytes(self.key())
    }

    fn relay_id(&mut self) -> RelayId {
        RelayId::from_bytes(self.key())
    }

    fn process_id(&mut self) -> ServerProcessId {
        ServerProcessId::from_bytes(self.key())
    }

    fn session_id(&mut self) -> GameSessionId {
        GameSessionId::from_bytes(self.key())
    }

    fn player_session_id(&mut self) -> PlayerSessionId {
        PlayerSessionId::from_bytes(self.key())
    }

    fn secret_hash(&mut self) -> [u8; 32] {
        [self.below(4) as u8; 32]
    }

    fn fingerprint(&mut self) -> Fingerprint {
        Fingerprint::from_bytes(self.secret_hash())
    }

    fn exit(&mut self) -> ExitStatus {
        match self.number % 3 {
            0 => ExitStatus::Code(self.int().cast_signed()),
            1 => ExitStatus::Signal(self.int().cast_signed()),
            _ => ExitStatus::Unknown,
        }
    }

    fn identity(&mut self) -> Identity {
        match self.number % 5 {
            0 => Identity::Operator,
            1 => Identity::Backend,
            2 => Identity::Agent(self.host_id()),
            3 => Identity::Relay(self.relay_id()),
            _ => Identity::Server(self.process_id()),
        }
    }

    fn subject(&mut self) -> Subject {
        match self.number % 7 {
            0 => Subject::Coordinator,
            1 => Subject::Fleet(self.fleet_id()),
            2 => Subject::Host(self.host_id()),
            3 => Subject::Process(self.process_id()),
            4 => Subject::GameSession(self.session_id()),
            5 => Subject::Relay(self.relay_id()),
            _ => Subject::Peer(self.fingerprint()),
        }
    }

    fn millis(&mut self) -> Millis {
        Millis(u64::from(self.int()))
    }

    pub fn fleet(&mut self) -> FleetConfig {
        let map = |it: &mut Self| -> BTreeMap<_, _> { (0..it.below(4)).map(|_| (it.text(), it.text())).collect() };
        FleetConfig {
            name: self.fleet_id(),
            command: self.list(Self::text),
            properties: map(self),
            env: map(self),
            env_pass: self.list(Self::text),
            working_dir: self.maybe(Self::text),
            ports: self.maybe(|it| {
                let first = it.short().max(1);
                PortRange { first, last: first.saturating_add(it.short()) }
            }),
            processes_per_host: self.int(),
            sessions_per_process: self.int(),
            ready_timeout: self.millis(),
            activation_timeout: self.millis(),
            unhealthy_timeout: self.millis(),
            lost_after: self.millis(),
            exit_timeout: self.millis(),
            stop_grace: self.millis(),
            term_grace: self.millis(),
            reservation_timeout: self.millis(),
            rejoin_grace: self.millis(),
            admission: if self.flag() { Admission::Proof } else { Admission::Bearer },
            tell_reason: self.flag(),
            relay: [RelayMode::Off, RelayMode::On, RelayMode::Required][self.below(3) as usize],
            relay_packets_per_second: self.int(),
            relay_bytes_per_second: self.int(),
        }
    }

    pub fn host(&mut self) -> HostRow {
        HostRow {
            id: self.host_id(),
            name: self.text(),
            address: self.maybe(Self::ip),
            capacity: self.int(),
            applied_seq: self.long(),
        }
    }

    pub fn relay(&mut self) -> RelayRow {
        RelayRow {
            id: self.relay_id(),
            name: self.text(),
            addresses: self.list(|it| SocketAddr::new(it.ip(), it.short())),
            secret: self.int(),
            rotated_ms: self.long(),
        }
    }

    pub fn join_key(&mut self) -> JoinKeyRow {
        JoinKeyRow {
            secret_sha256: self.secret_hash(),
            role: self.each(),
            fleet: self.maybe(Self::fleet_id),
            uses_left: self.int(),
            expires_ms: self.long(),
        }
    }

    pub fn process(&mut self) -> ProcessRow {
        ProcessRow {
            id: self.process_id(),
            fleet: self.fleet_id(),
            host: self.maybe(Self::host_id),
            name: self.text(),
            status: self.each(),
            launched: self.flag(),
            pid: self.maybe(Self::int),
            address: self.maybe(|it| SocketAddr::new(it.ip(), it.short())),
            ports: self.list(Self::short),
            session: self.maybe(Self::session_id),
            sessions_hosted: self.int(),
            applied_seq: self.long(),
            gate_epoch: self.short(),
            drain: self.maybe(|it| Drain { reason: it.each(), deadline_ms: it.long() }),
            killed: self.flag(),
            reason: self.maybe(|it| it.each()),
            exit: self.maybe(Self::exit),
            output_tail: self.text(),
            created_ms: self.long(),
            ready_ms: self.maybe(Self::long),
            ended_ms: self.maybe(Self::long),
        }
    }

    pub fn game_session(&mut self) -> GameSessionRow {
        GameSessionRow {
            id: self.session_id(),
            fleet: self.fleet_id(),
            name: self.text(),
            status: self.each(),
            attempt: self.int(),
            process: self.maybe(Self::process_id),
            max_players: self.short(),
            properties: self.list(|it| (it.text(), it.text())),
            data: self.blob(),
            ordinal_high: self.int(),
            place_by_ms: self.long(),
            end_by_ms: self.maybe(Self::long),
            idempotency_key: self.text(),
            request_sha256: self.bytes(),
            reason: self.maybe(|it| it.each()),
            created_ms: self.long(),
            activated_ms: self.maybe(Self::long),
            terminated_ms: self.maybe(Self::long),
        }
    }

    pub fn player_session(&mut self) -> PlayerSessionRow {
        let player = format!("player {}\u{e9}'\"", self.bits());
        PlayerSessionRow {
            id: self.player_session_id(),
            game_session: self.session_id(),
            player: PlayerId::new(player).expect("a good id"),
            data: self.blob(),
            status: self.each(),
            ordinal: self.int(),
            key_id: self.short(),
            gate_epoch: self.short(),
            created_ms: self.long(),
            expires_at_ms: self.long(),
            revoking: self.flag(),
            idempotency_key: self.text(),
            request_sha256: self.bytes(),
            generation: self.int(),
            reason: self.maybe(|it| it.each()),
            joined_ms: self.maybe(Self::long),
            ended_ms: self.maybe(Self::long),
        }
    }

    pub fn event(&mut self) -> Event {
        Event {
            seq: self.below(8),
            at_ms: self.long(),
            kind: self.each(),
            subject: self.subject(),
            detail: self.text(),
        }
    }

    /// Every kind of row, in an order that differs.
    pub fn rows(&mut self) -> Vec<Row> {
        let mut rows = vec![
            Row::HighWater(self.below(1 << 50)),
            Row::SigningKey(SigningKeyRow { key_id: self.short(), public_key: self.bytes() }),
            Row::Fleet(self.fleet()),
            Row::Host(self.host()),
            Row::Relay(self.relay()),
            Row::JoinKey(self.join_key()),
            Row::Peer(PeerRow { fingerprint: self.fingerprint(), identity: self.identity() }),
            Row::Process(Box::new(self.process())),
            Row::GameSession(Box::new(self.game_session())),
            Row::PlayerSession(Box::new(self.player_session())),
            Row::Event(self.event()),
            Row::ForgetSigningKey(2),
            Row::ForgetJoinKey(self.secret_hash()),
            Row::ForgetPeer(self.fingerprint()),
            Row::ForgetProcess(self.process_id()),
            Row::ForgetGameSession(self.session_id()),
            Row::ForgetPlayerSession(self.player_session_id()),
            Row::ForgetEvents(self.below(4)),
        ];
        for at in (1..rows.len()).rev() {
            rows.swap(at, self.below(at as u64 + 1) as usize);
        }
        rows
    }
}
