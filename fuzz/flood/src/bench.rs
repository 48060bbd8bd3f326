//! What a datagram costs a relay, in what it costs the plainest proxy there is: one thread that receives a datagram and sends
//! it on, and one more for each player on the way back. Both in this process, over loopback, one after the other in turns.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use playgate_protocol::relay::HEADER_BYTES;
use playgate_relay::{Relay, RelayConfig, Secrets};
use serde::Serialize;

use crate::player::{Allowance, Player, access};
use crate::relay::secret;

/// Lengths of payloads.
pub const PAYLOADS: [usize; 3] = [64, 256, 1_200];
const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);
const PLAYERS: u16 = 32;
/// Datagrams of one turn.
const DATAGRAMS: usize = 64_000;
const TURNS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(10);
/// More than a core can carry.
const NO_LIMIT: Allowance = Allowance { datagrams: u32::MAX, bytes: u32::MAX };
/// How often a thread of the proxy looks whether it is to stop.
const LOOK_UP: Duration = Duration::from_millis(100);
/// The relay shows its numbers twice a second.
const SHOWN_AFTER: Duration = Duration::from_millis(600);

/// Who carries datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Carrier {
    /// The relay, on one core.
    Relay,
    /// The baseline.
    Proxy,
}

/// One turn: a flood from one side, which the carrier takes from as fast as it can.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Turn {
    /// Whose.
    pub carrier: Carrier,
    /// From players to the server, or back.
    pub is_up: bool,
    /// Of each payload.
    pub bytes: usize,
    /// Of those that were sent, how many it carried.
    pub carried: u64,
    /// CPU time of its threads for each of them.
    pub cpu_ns: u64,
    /// In a second of the turn.
    pub per_second: u64,
}

/// All turns; both carriers take them alternately, so that both meet what else the machine does.
///
/// # Errors
/// When a socket cannot be made.
pub fn run() -> io::Result<Vec<Turn>> {
    let mut turns = Vec::new();
    for bytes in PAYLOADS {
        for is_up in [true, false] {
            for _ in 0..TURNS {
                turns.push(turn(Carrier::Relay, is_up, bytes)?);
                turns.push(turn(Carrier::Proxy, is_up, bytes)?);
            }
        }
    }
    Ok(turns)
}

/// The turns of one kind: median of the CPU time, and of datagrams a second.
#[must_use]
pub fn median(turns: &[Turn], carrier: Carrier, is_up: bool, bytes: usize) -> (u64, u64) {
    let of_the_kind = |turn: &&Turn| (turn.carrier, turn.is_up, turn.bytes) == (carrier, is_up, bytes);
    let middle = |number: fn(&Turn) -> u64| {
        let mut numbers: Vec<u64> = turns.iter().filter(of_the_kind).map(number).collect();
        numbers.sort_unstable();
        numbers.get(numbers.len() / 2).copied().unwrap_or(0)
    };
    (middle(|turn| turn.cpu_ns), middle(|turn| turn.per_second))
}

fn turn(carrier: Carrier, is_up: bool, bytes: usize) -> io::Result<Turn> {
    let server = UdpSocket::bind(LOOPBACK)?;
    server.set_read_timeout(Some(PATIENCE))?;
    let mut stand = match carrier {
        Carrier::Relay => Stand::relay(&server)?,
        Carrier::Proxy => Stand::proxy(&server)?,
    };
    let seen_at = stand.places(&server)?;
    let datagrams = if is_up { stand.wrapped(bytes)? } else { vec![vec![7; bytes]; 1] };
    let before = (stand.carried(is_up), threads_cpu(carrier), Instant::now());
    for n in 0..DATAGRAMS {
        let turn = n % usize::from(PLAYERS);
        // What the kernel does not take is lost, as what nobody reads.
        let _ = match is_up {
            true => stand.sockets[turn].send_to(&datagrams[n % datagrams.len()], stand.front),
            false => server.send_to(&datagrams[0], seen_at[turn]),
        };
    }
    let time = before.2.elapsed();
    std::thread::sleep(SHOWN_AFTER);
    let cpu = threads_cpu(carrier).saturating_sub(before.1);
    let carried = stand.carried(is_up) - before.0;
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
    let per_second = carried.saturating_mul(1_000_000_000) / nanoseconds(time);
    Ok(Turn { carrier, is_up, bytes, carried, cpu_ns: nanoseconds(cpu) / carried.max(1), per_second })
}

/// A carrier with its players.
struct Stand {
    front: SocketAddr,
    sockets: Vec<UdpSocket>,
    players: Vec<Player>,
    relay: Option<Relay>,
    proxy: Arc<Proxied>,
    running: Option<JoinHandle<io::Result<()>>>,
}

/// What a proxy has carried, and whether it is to stop.
#[derive(Default)]
struct Proxied {
    up: AtomicU64,
    down: AtomicU64,
    stops: AtomicBool,
}

impl Stand {
    fn relay(server: &UdpSocket) -> io::Result<Self> {
        let mut config = RelayConfig::new(LOOPBACK.into());
        config.destinations.push("127.0.0.0/8".parse().map_err(io::Error::other)?);
        let relay = Relay::start(config, |_| {}).map_err(io::Error::other)?;
        relay.set_secrets(Secrets { current: secret(), before: None });
        let (front, to) = (relay.local_addr(), server.local_addr()?);
        let open = |n: u16| Ok(Player::open(access(n.into(), front, to, NO_LIMIT), [1; 32], PATIENCE)?.0);
        let players = (0..PLAYERS).map(open).collect::<io::Result<Vec<_>>>()?;
        let sockets = players.iter().map(|player| player.socket.try_clone()).collect::<io::Result<_>>()?;
        Ok(Self { front, sockets, players, relay: Some(relay), proxy: Arc::default(), running: None })
    }

    fn proxy(server: &UdpSocket) -> io::Result<Self> {
        let front = UdpSocket::bind(LOOPBACK)?;
        let sockets = (0..PLAYERS).map(|_| UdpSocket::bind(LOOPBACK)).collect::<io::Result<Vec<_>>>()?;
        let (at, to, state) = (front.local_addr()?, server.local_addr()?, Arc::<Proxied>::default());
        let its = Arc::clone(&state);
        let running = Some(named("proxy", move || proxy(&front, to, &its))?);
        Ok(Self { front: at, sockets, players: Vec::new(), relay: None, proxy: state, running })
    }

    /// Where the server sees each player.
    fn places(&mut self, server: &UdpSocket) -> io::Result<Vec<SocketAddr>> {
        let mut places = Vec::new();
        for n in 0..self.sockets.len() {
            match self.players.get_mut(n) {
                Some(player) => drop(player.send(b"hello")?),
                None => drop(self.sockets[n].send_to(b"hello", self.front)?),
            }
            places.push(server.recv_from(&mut [0; 64])?.1);
        }
        Ok(places)
    }

    /// What the players send, in their turn.
    fn wrapped(&mut self, bytes: usize) -> io::Result<Vec<Vec<u8>>> {
        let (payload, count) = (vec![7; bytes], self.players.len());
        if count == 0 {
            return Ok(vec![payload]);
        }
        let wrap = |n: usize| {
            let mut datagram = vec![0; HEADER_BYTES + bytes];
            self.players[n % count].flow.wrap(&payload, &mut datagram).map_err(io::Error::other)?;
            Ok(datagram)
        };
        (0..DATAGRAMS).map(wrap).collect()
    }

    fn carried(&self, is_up: bool) -> u64 {
        match self.relay.as_ref().map(Relay::totals) {
            Some(totals) if is_up => totals.up_datagrams,
            Some(totals) => totals.down_datagrams,
            None if is_up => self.proxy.up.load(Ordering::Relaxed),
            None => self.proxy.down.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.proxy.stops.store(true, Ordering::Relaxed);
        if let Some(running) = self.running.take() {
            let _ = running.join(); // it has failed in sight of its turn already
        }
    }
}

fn proxy(front: &UdpSocket, server: SocketAddr, proxied: &Arc<Proxied>) -> io::Result<()> {
    front.set_read_timeout(Some(LOOK_UP))?;
    let (mut players, mut ways_back) = (HashMap::new(), Vec::new());
    let mut buffer = [0; 2_048];
    while !proxied.stops.load(Ordering::Relaxed) {
        let Ok((len, from)) = front.recv_from(&mut buffer) else { continue };
        if let Entry::Vacant(place) = players.entry(from) {
            let back = UdpSocket::bind(LOOPBACK)?;
            back.connect(server)?;
            place.insert(back.try_clone()?);
            let (front, proxied) = (front.try_clone()?, Arc::clone(proxied));
            ways_back.push(named("proxy", move || way_back(&back, &front, from, &proxied))?);
        }
        proxied.up.fetch_add(u64::from(players[&from].send(&buffer[..len]).is_ok()), Ordering::Relaxed);
    }
    ways_back.into_iter().try_for_each(|way| way.join().unwrap_or_else(|_| Err(io::Error::other("a panic"))))
}

fn way_back(back: &UdpSocket, front: &UdpSocket, to: SocketAddr, proxied: &Proxied) -> io::Result<()> {
    back.set_read_timeout(Some(LOOK_UP))?;
    let mut buffer = [0; 2_048];
    while !proxied.stops.load(Ordering::Relaxed) {
        let Ok(len) = back.recv(&mut buffer) else { continue };
        proxied.down.fetch_add(u64::from(front.send_to(&buffer[..len], to).is_ok()), Ordering::Relaxed);
    }
    Ok(())
}

fn named(name: &str, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<JoinHandle<io::Result<()>>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Of this process' threads of a carrier that live.
fn threads_cpu(carrier: Carrier) -> Duration {
    let begins = if carrier == Carrier::Relay { "relay-" } else { "proxy" };
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of = |name: &str, path: &std::path::Path| std::fs::read_to_string(path.join(name)).unwrap_or_default();
    let theirs = tasks.map(|task| task.path()).filter(|path| of("comm", path).starts_with(begins));
    let ran = theirs.filter_map(|path| of("schedstat", &path).split(' ').next()?.parse::<u64>().ok());
    Duration::from_nanos(ran.sum())
}
