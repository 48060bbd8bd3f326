//! What each script sends.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use playgate_protocol::handshake::Datagram;
use playgate_protocol::relay::{
    COOKIE_BYTES, Cookie, FlowKey, HELLO_BYTES, Hello, OPEN_BYTES, PASS_BYTES, PAYLOAD_BYTES_MAX, Pass,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use super::sockets::{Forger, Own};
use super::{Given, Script};
use crate::payload::{self, GREEDY};
use crate::player::{Player, SCARCE, access};
use crate::servers::Servers;
use crate::victim::Captured;
use crate::world::Side;

/// Every script, in the order in which they run.
pub const SCRIPTS: &[Script] = &[
    script("quiet", "nothing; what honest players notice without an attack", "opened", |_, _| {
        std::thread::sleep(Duration::from_millis(1));
        Err(io::ErrorKind::WouldBlock.into())
    }),
    script("forged-hellos", "HELLOs, two from each of any addresses, some from port 0", "cookies", |attack, n| {
        if n.is_multiple_of(2) {
            attack.stranger = attack.anybody();
        }
        let mut hello = Datagram::<OPEN_BYTES>::new();
        Hello { nonce: attack.random() }.write(&mut hello);
        attack.forger.send(attack.stranger, attack.relay, hello.as_slice())
    }),
    script("forged-junk", "headers and magics with noise behind them, from any addresses", "resets", |attack, _| {
        let (from, len) = (attack.anybody(), attack.junk());
        attack.forger.send(from, attack.relay, &attack.buffer[..len])
    }),
    script("own-junk", "the same from his own address", "resets", |attack, n| {
        let len = attack.junk();
        attack.own.send(n, attack.relay, &attack.buffer[..len])
    }),
    script("own-hellos", "HELLOs from his own address", "cookies", |attack, n| {
        let mut hello = Datagram::<OPEN_BYTES>::new();
        Hello { nonce: attack.random() }.write(&mut hello);
        attack.own.send(n, attack.relay, hello.as_slice())
    }),
    script("forged-passes", "HELLOs, and an OPEN with noise to each cookie", "drop:pass_seal", Attack::forged_pass),
    script("replayed-hellos", "a player's HELLO, from anywhere", "cookies", |attack, _| {
        let from = attack.anybody();
        attack.forger.send(from, attack.relay, &attack.captured.hello)
    }),
    script("replayed-opens", "a player's OPEN, from the attacker's address", "drop:cookie_mac", |attack, n| {
        attack.own.send(n, attack.relay, &attack.captured.open)
    }),
    script("replayed-opens-as-him", "a player's OPEN, with his address", "drop:open_repeated", |attack, _| {
        attack.forger.send(attack.victim()?, attack.relay, &attack.captured.open)
    }),
    script("replayed-data", "a player's datagrams, from the attacker's address", "drop:replay", |attack, n| {
        attack.own.send(n, attack.relay, attack.captured.data_of(n))
    }),
    script("replayed-data-as-him", "the same with his address", "drop:replay", |attack, n| {
        attack.forger.send(attack.victim()?, attack.relay, attack.captured.data_of(n))
    }),
    script("forged-data", "noise for a player's flow, from the attacker's address", "drop:tag", |attack, n| {
        let mut datagram = attack.captured.data_of(n).to_vec();
        attack.rng.fill_bytes(&mut datagram[1..4]); // the sequence number
        attack.rng.fill_bytes(&mut datagram[12..]); // tag and payload
        attack.own.send(n, attack.relay, &datagram)
    }),
    script("wrong-lengths", "what he saw, cut or with up to 65,507 bytes", "drop:malformed", Attack::wrong_length),
    script("above-his-rate", "a player with a pass for 200 datagrams a second", "drop:flow_rate", Attack::too_fast),
];

const fn script(
    name: &'static str,
    what: &'static str,
    shows: &'static str,
    run: fn(&mut Attack, u64) -> io::Result<()>,
) -> Script {
    Script { name, what, shows, run }
}

const OWN_PORTS: usize = 8;
const UDP_BYTES_MAX: usize = 65_507;

/// An attacker at work.
pub struct Attack {
    rng: ChaCha8Rng,
    relay: SocketAddr,
    forger: Forger,
    own: Own,
    captured: Captured,
    mark: u64,
    stranger: SocketAddrV4,
    buffer: Vec<u8>,
    /// A socket that has a cookie, and the cookie.
    knocked: Option<(UdpSocket, Cookie)>,
    player: Option<Player>,
}

impl Captured {
    fn data_of(&self, n: u64) -> &[u8] {
        &self.data[usize::try_from(n % self.data.len() as u64).expect("fewer than 2^32")]
    }
}

impl Attack {
    pub fn new(rng: ChaCha8Rng, given: &Given) -> io::Result<Self> {
        Ok(Self {
            rng,
            relay: Side::Attacker.relay(),
            forger: Forger::new()?,
            own: Own::new(OWN_PORTS)?,
            captured: given.captured.clone(),
            mark: given.mark,
            stranger: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
            buffer: vec![0; UDP_BYTES_MAX],
            knocked: None,
            player: None,
        })
    }

    fn random<const LEN: usize>(&mut self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    fn below(&mut self, bound: usize) -> usize {
        self.rng.next_u32() as usize % bound
    }

    /// Any address but those that are spoken for here; one port of 16 is 0.
    fn anybody(&mut self) -> SocketAddrV4 {
        let ip = loop {
            let ip = Ipv4Addr::from(self.random::<4>());
            if !matches!(ip.octets()[0], 0 | 10 | 127 | 224..) {
                break ip;
            }
        };
        let port = if self.below(16) == 0 { 0 } else { u16::from_le_bytes(self.random()) };
        SocketAddrV4::new(ip, port)
    }

    fn victim(&self) -> io::Result<SocketAddrV4> {
        match (self.captured.from.ip(), self.captured.from.port()) {
            (IpAddr::V4(ip), port) => Ok(SocketAddrV4::new(ip, port)),
            (IpAddr::V6(_), _) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Fills the buffer; returns how much of it is a datagram.
    fn junk(&mut self) -> usize {
        let longest = 20 + PAYLOAD_BYTES_MAX;
        let len = match self.below(4) {
            0 => self.below(65),
            1 => HELLO_BYTES,
            2 => OPEN_BYTES,
            _ => self.below(longest + 1),
        };
        self.rng.fill_bytes(&mut self.buffer[..len.max(12)]);
        match self.below(4) {
            0 => {}
            1 => {
                let magic = [b"PR1H", b"PR1O", b"PR1A", b"PR1R"][self.below(4)];
                self.buffer[..4].copy_from_slice(magic);
            }
            // A kind there is, and core 0.
            _ => {
                self.buffer[0] = u8::try_from(1 + self.below(8)).expect("at most 8");
                self.buffer[4] = 0;
            }
        }
        len
    }

    /// A HELLO whose cookie is awaited, then an OPEN.
    fn forged_pass(&mut self, _: u64) -> io::Result<()> {
        if let Some((socket, cookie)) = self.knocked.take() {
            let (mut pass, key) = (Pass(self.random::<PASS_BYTES>()), FlowKey::from_bytes(self.random()));
            pass.0[1..5].copy_from_slice(&1_u32.to_le_bytes()); // a secret that the relay has
            let mut open = Datagram::new();
            cookie.answer(&pass, &key, &mut open);
            return socket.send_to(open.as_slice(), self.relay).map(drop);
        }
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        let mut hello = Datagram::<OPEN_BYTES>::new();
        Hello { nonce: self.random() }.write(&mut hello);
        socket.send_to(hello.as_slice(), self.relay)?;
        let mut answer = [0; COOKIE_BYTES];
        // What is lost is lost: the next turn begins with another HELLO.
        let len = socket.recv(&mut answer).unwrap_or(0);
        self.knocked = Cookie::read(&answer[..len]).map(|cookie| (socket, cookie));
        Ok(())
    }

    fn wrong_length(&mut self, n: u64) -> io::Result<()> {
        let whole = match n % 3 {
            0 => &self.captured.hello,
            1 => &self.captured.open,
            _ => self.captured.data_of(n),
        };
        let right = whole.len();
        self.buffer[..right].copy_from_slice(whole);
        let len = match self.below(16) {
            // The kernel cuts them into packets.
            0 => right + 1 + self.below(UDP_BYTES_MAX - right),
            1..6 => right + 1 + self.below(1_472 - right),
            _ => self.below(right),
        };
        self.own.send(n, self.relay, &self.buffer[..len])
    }

    /// He has a pass, and keeps to no rate; what comes back he does not read.
    fn too_fast(&mut self, n: u64) -> io::Result<()> {
        if self.player.is_none() {
            let access = access(GREEDY, self.relay, Servers::addresses()[1], SCARCE);
            let seed = self.random();
            self.player = Some(Player::open(access, seed, Duration::from_secs(10))?.0);
        }
        let player = self.player.as_mut().expect("he is in");
        let sequence = u32::try_from(n).unwrap_or(u32::MAX);
        player.send(&payload::write(self.mark, GREEDY, sequence)).map(drop)
    }
}
