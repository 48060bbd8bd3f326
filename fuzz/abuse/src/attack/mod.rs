//! The scripts: each does one thing that a coordinator must bear, as fast as it can, for a bounded time.

mod client;
mod peers;
mod raw;
mod strangers;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use playgate_core::limits::{ENDED_SESSION_BYTES_MAX, SESSIONS_MAX};
use playgate_link::limits::{PEER_BYTES_MAX, STRANGERS_BYTES_MAX};
use playgate_protocol::{JoinKey, JoinRole};
use serde::{Deserialize, Serialize};

/// No script makes more attempts than this, however fast the machine is.
const ATTEMPTS_MAX: u64 = 20_000_000;

/// One thing to be borne.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// On the command line and in the table.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// What it needs to be: nobody, or somebody whom an operator let in.
    pub role: Option<JoinRole>,
    /// Welcome peers at a time; each may hold memory of its own.
    pub peers: u64,
    /// Whether each attempt makes a game session, which the coordinator keeps when it is over.
    pub makes_sessions: bool,
}

impl Script {
    /// Bytes that the coordinator may take above what it had, if the script is run with so many attempts.
    #[must_use]
    pub fn bytes_max(&self, attempts: u64) -> usize {
        let of = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let sessions = if self.makes_sessions { of(attempts).min(SESSIONS_MAX) } else { 0 };
        STRANGERS_BYTES_MAX + of(self.peers) * PEER_BYTES_MAX + sessions * ENDED_SESSION_BYTES_MAX
    }
}

const fn stranger(name: &'static str, what: &'static str) -> Script {
    Script { name, what, role: None, peers: 0, makes_sessions: false }
}

const fn peer(name: &'static str, what: &'static str, role: JoinRole, peers: u64) -> Script {
    Script { name, what, role: Some(role), peers, makes_sessions: false }
}

/// All of them.
pub const SCRIPTS: &[Script] = &[
    stranger("random-datagrams", "datagrams of noise, 0 to 1,400 bytes"),
    stranger("garbage-initials", "QUIC Initials of 1,200 bytes whose payload is noise"),
    stranger("version-probes", "first packets of an unknown QUIC version, 1,200 bytes"),
    stranger("half-open-ports", "a valid ClientHello, then silence, from 64 ports of one address"),
    stranger("half-open-nets", "the same from 512 addresses in 256 networks of 127.0.0.0/8"),
    stranger("silent-links", "a handshake with an unknown key, then silence, from 4 networks"),
    stranger("slow-hello", "a handshake, then a hello of which a byte comes every 100 ms, from 4 networks"),
    stranger("hostile-hello", "first frames that are none: wrong versions, unknown role, too large, too long, empty"),
    stranger("churn", "connect, a hello with an unknown key, close"),
    stranger("stream-reset", "streams opened and reset at once, beyond what is allowed"),
    stranger("not-allowed", "datagrams, one-way streams and bytes beyond the windows"),
    peer("slow-reader", "backends that ask for the largest answers and read nothing", JoinRole::Backend, 8),
    Script {
        makes_sessions: true,
        ..peer(
            "session-flood",
            "backends that make game sessions of the largest size, answers read",
            JoinRole::Backend,
            2,
        )
    },
    peer("frame-flood", "calls of backends as fast as they can be written, answers read", JoinRole::Backend, 2),
    peer("oversized-frames", "a backend whose frames are larger than a frame may be", JoinRole::Backend, 4),
    peer("rogue-server", "a game server that lies, leaves gaps and sends what it may not", JoinRole::Server, 4),
];

/// What an attacker did.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub struct Done {
    /// Datagrams, connections or messages, by script.
    pub attempts: u64,
    /// Of them refused, as far as the attacker was told.
    pub refused: u64,
    /// CPU time of the attacker in milliseconds.
    pub cpu_ms: u64,
}

/// One run of one script.
#[derive(Clone)]
struct Attack {
    target: SocketAddr,
    until: Instant,
    seed: u64,
    key: Option<JoinKey>,
    attempts: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
}

impl Attack {
    /// Whether there is time for one more; counts it.
    fn go_on(&self) -> bool {
        Instant::now() < self.until && self.attempts.fetch_add(1, Ordering::Relaxed) < ATTEMPTS_MAX
    }

    fn was_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs so many of these side by side to their end.
    async fn side_by_side<F: Future<Output = ()> + Send + 'static>(
        &self,
        count: usize,
        make: impl Fn(Self, usize) -> F,
    ) {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..count {
            tasks.spawn(make(self.clone(), number));
        }
        // Whatever still waits for something when the time is over is of no interest.
        let _ = tokio::time::timeout_at((self.until + Duration::from_millis(200)).into(), tasks.join_all()).await;
    }
}

/// Runs one script in this process, on one thread.
///
/// # Errors
/// When the machine, not the coordinator, keeps it from attacking.
pub async fn run(name: &str, target: SocketAddr, time: Duration, seed: u64, key: Option<JoinKey>) -> io::Result<Done> {
    let attack =
        Attack { target, until: Instant::now() + time, seed, key, attempts: Arc::default(), refused: Arc::default() };
    let a = &attack;
    match name {
        "random-datagrams" => raw::random_datagrams(a).await?,
        "garbage-initials" => raw::garbage_initials(a).await?,
        "version-probes" => raw::version_probes(a).await?,
        "half-open-ports" => raw::half_open(a, raw::ports_of_one_address()?).await?,
        "half-open-nets" => raw::half_open(a, raw::addresses_of_many_networks()?).await?,
        "silent-links" => strangers::silent_links(a).await?,
        "slow-hello" => strangers::slow_hello(a).await?,
        "hostile-hello" => strangers::hostile_hello(a).await?,
        "churn" => strangers::churn(a).await?,
        "stream-reset" => strangers::stream_reset(a).await?,
        "not-allowed" => strangers::not_allowed(a).await?,
        "slow-reader" => peers::slow_reader(a).await?,
        "session-flood" => peers::session_flood(a).await?,
        "frame-flood" => peers::frame_flood(a).await?,
        "oversized-frames" => peers::oversized_frames(a).await?,
        "rogue-server" => peers::rogue_server(a).await?,
        _ => return Err(io::Error::other(format!("there is no script {name:?}"))),
    }
    Ok(Done {
        attempts: attack.attempts.load(Ordering::Relaxed),
        refused: attack.refused.load(Ordering::Relaxed),
        cpu_ms: own_cpu_ms(),
    })
}

/// Takes as much CPU time as the script did, on sockets of its own: the control.
///
/// # Errors
/// When there is no socket.
pub fn burn(cpu: Duration, time: Duration) -> io::Result<Done> {
    let sink = std::net::UdpSocket::bind("127.0.0.1:0")?;
    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(sink.local_addr()?)?;
    let (start, mut attempts, mut received) = (Instant::now(), 0, [0; 2_048]);
    sink.set_nonblocking(true)?;
    while start.elapsed() < time {
        // In step with the time that passed, so that the load is as even as an attacker's.
        let share = cpu.as_secs_f64() * (start.elapsed().as_secs_f64() / time.as_secs_f64());
        if Duration::from_millis(own_cpu_ms()).as_secs_f64() > share {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        for _ in 0..50 {
            socket.send(&[0x55; 1_200])?;
            let _ = sink.recv(&mut received); // so that its buffer takes the next one
            attempts += 1;
        }
    }
    Ok(Done { attempts, refused: 0, cpu_ms: own_cpu_ms() })
}

fn own_cpu_ms() -> u64 {
    u64::try_from(crate::coordinator::cpu_of("/proc/self/stat").as_millis()).unwrap_or(u64::MAX)
}

/// Noise that follows from a seed.
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below a usize")
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let noise = self.next().to_le_bytes();
            chunk.copy_from_slice(&noise[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_script_that_makes_sessions_may_fill_the_memory_for_them() {
        let declared = |name: &str, attempts| {
            let script = SCRIPTS.iter().find(|script| script.name == name).expect("a script");
            script.bytes_max(attempts)
                - STRANGERS_BYTES_MAX
                - usize::try_from(script.peers).expect("few") * PEER_BYTES_MAX
        };
        for (name, attempts, expected) in [
            ("churn", u64::MAX, 0),
            ("slow-reader", u64::MAX, 0),
            ("session-flood", 0, 0),
            ("session-flood", 1_000, 1_000 * ENDED_SESSION_BYTES_MAX),
            ("session-flood", u64::MAX, SESSIONS_MAX * ENDED_SESSION_BYTES_MAX),
        ] {
            assert_eq!(declared(name, attempts), expected, "{name}, {attempts}");
        }
    }
}
