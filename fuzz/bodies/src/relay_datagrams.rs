//! The datagrams of a relay: every reader of them, and the player's end of a flow.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use playgate_protocol::handshake::Datagram;
use playgate_protocol::relay::{
    Accept, ConnectionId, Cookie, DataKind, FlowEvent, FlowKey, FlowState, HEADER_BYTES, Header, Hello, OPEN_BYTES,
    Open, PAYLOAD_BYTES_MAX, Pass, PassClaims, PassRefused, PlayerFlow, Refuse, RefuseCode, RelayAccess, RelaySecret,
    Reset, SendError,
};
use playgate_protocol::{PlayerSessionId, ServerProcessId};
use playgate_relay_core::{Config, Core, Now, Secrets, Verdict};

use crate::datagrams::parts;

const KEY: FlowKey = FlowKey::from_bytes([7; 32]);
const START_MS: u64 = 1_750_000_000_000;
const SEEN_MAX: usize = 32;

/// Takes the bytes as datagrams. What is read is written as it was, what is sealed cannot be changed, a player believes
/// his relay only.
pub fn relay_datagrams(data: &[u8]) {
    let mut ends = Ends::new();
    for (how, part) in parts(data) {
        read(part);
        written(&mut Bytes(part), part);
        passes(&mut Bytes(part), part);
        ends.step(how, part);
    }
}

/// Fields out of the bytes; zeros when they are used up.
struct Bytes<'d>(&'d [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_at(self.0.len().min(N));
        self.0 = rest;
        let mut bytes = [0; N];
        bytes[..field.len()].copy_from_slice(field);
        bytes
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

fn made(write: impl FnOnce(&mut Datagram<OPEN_BYTES>)) -> Vec<u8> {
    let mut datagram = Datagram::new();
    write(&mut datagram);
    datagram.as_slice().to_vec()
}

/// Whatever is read is written as it was, and one reader takes it at most.
fn read(bytes: &[u8]) {
    let mut readers = 0;
    let mut again = |written: Vec<u8>| {
        readers += 1;
        assert_eq!(written, bytes, "it has another encoding");
    };
    if let Some(hello) = Hello::read(bytes) {
        again(made(|out| hello.write(out)));
    }
    if let Some(cookie) = Cookie::read(bytes) {
        again(made(|out| cookie.write(out)));
    }
    if let Some(open) = Open::read(bytes) {
        let cookie = Cookie { nonce: open.nonce, relay_time_us: open.relay_time_us, mac: open.mac };
        let genuine = made(|out| cookie.answer(&open.pass, &KEY, out));
        assert_eq!(open.verify(&KEY), genuine == bytes);
        again([&genuine[..OPEN_BYTES - 32], &bytes[OPEN_BYTES - 32..]].concat());
    }
    if let Some(reset) = Reset::read(bytes) {
        again(made(|out| reset.write(out)));
    }
    if let Some(header) = Header::read(bytes) {
        let low = header.sequence_low.to_le_bytes();
        let start = [&[header.kind as u8], &low[..3], &header.connection.0, &header.tag.to_le_bytes()].concat();
        again([&start, &bytes[HEADER_BYTES..]].concat());
        let [core, epoch] = [header.connection.core(), header.connection.epoch()];
        let (slot, generation) = (header.connection.slot(), header.connection.generation());
        assert_eq!(ConnectionId::from_parts(core, epoch, slot, generation), header.connection);
    }
    if let Some(accept) = Accept::open(bytes, &KEY) {
        again(made(|out| accept.seal(&KEY, out)));
    }
    // Nobody can make one without the key; a fuzzer has seen genuine ones, in the comparisons below.
    if let Some(refuse) = Refuse::open(bytes, &KEY) {
        again(made(|out| refuse.seal(&KEY, out)));
    }
    assert!(readers <= 1, "{readers} readers take it");
}

/// The bytes laid over a datagram; `None` if that changes nothing.
fn changed(datagram: &[u8], over: &[u8]) -> Option<Vec<u8>> {
    let mut changed = datagram.to_vec();
    changed.iter_mut().zip(over).for_each(|(byte, over)| *byte ^= over);
    (changed != datagram).then_some(changed)
}

/// What is written is read as it was; what is sealed cannot be changed.
fn written(bytes: &mut Bytes<'_>, over: &[u8]) {
    let (nonce, relay_time_us) = (bytes.take(), bytes.number());
    let hello = Hello { nonce };
    assert_eq!(Hello::read(&made(|out| hello.write(out))), Some(hello));
    let cookie = Cookie { nonce, relay_time_us, mac: bytes.take() };
    assert_eq!(Cookie::read(&made(|out| cookie.write(out))), Some(cookie));
    let (connection, token) = (ConnectionId(bytes.take()), bytes.take());
    let reset = Reset { connection, token };
    assert_eq!(Reset::read(&made(|out| reset.write(out))), Some(reset));

    let pass = Pass(bytes.take());
    let open = made(|out| cookie.answer(&pass, &KEY, out));
    let opened = Open::read(&open).expect("it was written as one");
    assert!(opened.verify(&KEY) && opened.pass == pass && opened.nonce == nonce);
    let accept = Accept { nonce, relay_time_us, connection, reset_token: token, fresh_pass: pass };
    let accepted = made(|out| accept.seal(&KEY, out));
    assert_eq!(Accept::open(&accepted, &KEY), Some(accept));
    let code = RefuseCode::from_byte(bytes.take::<1>()[0]);
    let refuse = Refuse { nonce, relay_time_us, code };
    let refused = made(|out| refuse.seal(&KEY, out));
    assert_eq!(Refuse::open(&refused, &KEY), Some(refuse));
    assert!(accepted.len() < open.len() && refused.len() < open.len());

    if let Some(open) = changed(&open, over) {
        assert!(!Open::read(&open).is_some_and(|open| open.verify(&KEY)));
    }
    assert!(changed(&accepted, over).is_none_or(|accepted| Accept::open(&accepted, &KEY).is_none()));
    assert!(changed(&refused, over).is_none_or(|refused| Refuse::open(&refused, &KEY).is_none()));
}

/// A pass opens as it was sealed, in one encoding, or not at all.
fn passes(bytes: &mut Bytes<'_>, over: &[u8]) {
    let claims = PassClaims {
        player_session: PlayerSessionId::from_bytes(bytes.take()),
        process: ServerProcessId::from_bytes(bytes.take()),
        server: SocketAddr::new(IpAddr::from(bytes.take::<16>()).to_canonical(), u16::from_le_bytes(bytes.take())),
        use_by_ms: bytes.number(),
        valid_until_ms: bytes.number(),
        packets_per_second: u32::from_le_bytes(bytes.take()),
        bytes_per_second: u32::from_le_bytes(bytes.take()),
        flow_key: FlowKey::from_bytes(bytes.take()),
    };
    let secret = RelaySecret::new(u32::from_le_bytes(bytes.take()), [1; 32]);
    let salt = bytes.take();
    let pass = secret.seal(&claims, salt);
    let is_sensible = claims.server.port() != 0 && claims.use_by_ms <= claims.valid_until_ms;
    match secret.open(&pass) {
        Ok(opened) => {
            assert!(is_sensible && opened == claims);
            assert!(secret.seal(&opened, salt) == pass, "one encoding");
        }
        Err(refused) => assert!(!is_sensible && refused == PassRefused::Claims),
    }
    if let Some(other) = changed(&pass.0, over) {
        let other = Pass(other.try_into().expect("as long as a pass"));
        assert!(matches!(secret.open(&other), Err(PassRefused::Seal | PassRefused::UnknownSecret)));
    }
    let raw = Pass(Bytes(over).take());
    assert!(secret.open(&raw).is_err(), "nobody can make one without the secret");
}

/// A player and his relay, with somebody between them.
struct Ends {
    flow: PlayerFlow,
    core: Core,
    now: Duration,
    /// From the relay, in order; the oldest are forgotten.
    seen: VecDeque<Vec<u8>>,
    /// All that the relay ever said.
    said: BTreeSet<Vec<u8>>,
}

fn relay() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 9], 4_000))
}

fn player() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 1_000))
}

impl Ends {
    fn new() -> Self {
        let now = Duration::from_secs(1_000);
        let config = Config {
            core: 0,
            epoch: 5,
            flows_max: 2,
            flow_idle: Duration::from_secs(30),
            destinations: vec!["10.0.0.0/8".parse().expect("a prefix")],
            cookie_seed: [1; 32],
            reset_key: [2; 32],
            seed: [3; 32],
        };
        let claims = PassClaims {
            player_session: PlayerSessionId::from_bytes([0x70; 16]),
            process: ServerProcessId::from_bytes([0x50; 16]),
            server: SocketAddr::from(([10, 1, 2, 3], 7_777)),
            use_by_ms: START_MS + 60_000,
            valid_until_ms: START_MS + 3_600_000,
            packets_per_second: 10_000,
            bytes_per_second: 10_000_000,
            flow_key: KEY,
        };
        let secret = RelaySecret::new(1, [1; 32]);
        let access = RelayAccess { address: relay(), pass: secret.seal(&claims, [9; 16]), flow_key: KEY };
        let mut core = Core::new(config, Now { clock: now, ms: START_MS });
        core.set_secrets(Secrets { current: secret, before: None });
        let flow = PlayerFlow::new(access, [4; 32], Duration::from_secs(20), now);
        Self { flow, core, now, seen: VecDeque::new(), said: BTreeSet::new() }
    }

    fn step(&mut self, how: u8, part: &[u8]) {
        let which = usize::from(how / 8);
        let genuine = self.seen.get(which % self.seen.len().max(1)).cloned().unwrap_or_default();
        match how % 8 {
            0 => self.hears(relay(), part),
            1 => self.hears(SocketAddr::from(([198, 51, 100, 9], 4_001)), part),
            2 => self.hears(relay(), &genuine),
            3 => self.hears(relay(), &changed(&genuine, part).unwrap_or_default()),
            4 => self.passes(Duration::from_millis(which as u64 * 200)),
            5 => self.says(part),
            6 => self.answers(part),
            _ if part.first() == Some(&1) => self.flow.close(),
            _ => {
                if let Some(newest) = self.seen.back().cloned() {
                    self.hears(relay(), &newest);
                }
            }
        }
        self.transmits();
    }

    fn hears(&mut self, from: SocketAddr, datagram: &[u8]) {
        let before = self.flow.state();
        let event = self.flow.handle(self.now, from, datagram);
        let believed = match event {
            FlowEvent::Payload(payload) => {
                assert!(payload.len() <= PAYLOAD_BYTES_MAX);
                true
            }
            // A COOKIE is not authentic.
            FlowEvent::Control => before != FlowState::Knocking,
            FlowEvent::Ignored => false,
        };
        assert!(!believed || (from == relay() && self.said.contains(datagram)), "believed a stranger");
        assert!(believed || self.flow.state() == before || before == FlowState::Knocking);
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
        self.flow.handle_timeout(self.now);
        let next = self.flow.poll_timeout();
        assert!(next.is_none_or(|at| at > self.now), "{:?} is due at {next:?}, now {:?}", self.flow, self.now);
        let now = self.now();
        self.core.handle_timeout(now);
    }

    fn now(&self) -> Now {
        let ms = START_MS + u64::try_from(self.now.as_millis()).expect("not for ever") - 1_000_000;
        Now { clock: self.now, ms }
    }

    /// A payload, whose way through the relay nothing stands in.
    fn says(&mut self, payload: &[u8]) {
        let mut datagram = vec![0; HEADER_BYTES + payload.len()];
        match self.flow.wrap(payload, &mut datagram) {
            Ok(len) => {
                assert_eq!((len, &datagram[HEADER_BYTES..]), (datagram.len(), payload));
                let header = Header::read(&datagram).expect("it was written as one");
                assert_eq!(header.kind, DataKind::Data);
                self.reaches(&datagram);
            }
            Err(SendError::NotOpen) => assert_ne!(self.flow.state(), FlowState::Open),
            Err(SendError::TooLong) => assert!(payload.len() > PAYLOAD_BYTES_MAX),
        }
    }

    /// The server says something.
    fn answers(&mut self, payload: &[u8]) {
        let mut datagram = [&[0; HEADER_BYTES], payload].concat();
        if self.core.to_player(0, &mut datagram) == Some(player()) {
            self.relay_says(datagram);
        }
    }

    fn transmits(&mut self) {
        for sent in 0.. {
            let Some(datagram) = self.flow.poll_transmit() else { break };
            assert!(sent < 4, "more than four wait to be sent");
            self.reaches(datagram.as_slice());
        }
    }

    fn reaches(&mut self, datagram: &[u8]) {
        let now = self.now();
        let verdict = self.core.from_player(now, player(), datagram);
        if matches!(verdict, Verdict::Reply | Verdict::ForwardAndReply(_) | Verdict::Open { .. }) {
            let reply = self.core.reply().to_vec();
            assert!(reply.len() <= datagram.len());
            self.relay_says(reply);
        }
        while self.core.poll_output().is_some() {}
    }

    fn relay_says(&mut self, datagram: Vec<u8>) {
        self.said.insert(datagram.clone());
        if self.seen.len() == SEEN_MAX {
            self.seen.pop_front();
        }
        self.seen.push_back(datagram);
    }
}
