//! Honest peers: a game server that hosts one game session, and backends that ask about it and reserve in it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use playgate::{Config, Event, Server};
use playgate_client::{Backend, BackendConfig, NewGameSession, NewPlayerSessions, Operator};
use playgate_protocol::{FleetId, GameSessionId, JoinRole};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval_at};

use crate::coordinator::{Coordinator, FLEET, PATIENCE};

/// Backends, each with a link of its own.
const BACKENDS: usize = 4;
/// Requests a second, by all of them. They are due at fixed times, whether the ones before are answered or not.
pub const RATE: u32 = 400;
/// Of so many requests one reserves for a player, which is a commit on the disk; the others read.
const RESERVES_EVERY: usize = 4;

/// Everybody honest, linked.
pub struct Honest {
    backends: Vec<Backend>,
    session: GameSessionId,
    /// No player comes twice: he may still hold his reservation.
    players: AtomicU64,
    stop: Arc<AtomicBool>,
    game: Option<std::thread::JoinHandle<()>>,
}

/// How long honest requests took, from the time they were due.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// Requests made.
    pub requests: usize,
    /// Of them without a right answer.
    pub failures: usize,
    /// The first failure.
    pub failure: Option<String>,
    /// Median, in microseconds.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99th percentile of those that read.
    pub read_p99_us: u64,
    /// 99th percentile of those that reserve.
    pub reserve_p99_us: u64,
}

#[derive(Default)]
struct Timed {
    reads: Vec<u64>,
    reserves: Vec<u64>,
    failures: Vec<String>,
}

impl Honest {
    /// Joins them all and places the game session.
    ///
    /// # Errors
    /// Whatever an honest peer is refused.
    pub async fn start(coordinator: &Coordinator, operator: &Operator) -> io::Result<Self> {
        let fleet = FleetId::new(FLEET).expect("a fleet's name");
        let key =
            operator.create_join_key(JoinRole::Server, Some(fleet), 1, PATIENCE).await.map_err(io::Error::other)?;
        let config = Config::from_join_key(key).map_err(io::Error::other)?.name("honest");
        let server = Server::start(config).map_err(io::Error::other)?;
        server.ready(&[7_777]);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let game = std::thread::spawn(move || play(&server, &stopped));

        let key = operator.create_join_key(JoinRole::Backend, None, 64, PATIENCE).await.map_err(io::Error::other)?;
        let mut backends = Vec::new();
        for number in 0..BACKENDS {
            let identity = coordinator.dir().join(format!("backend-{number}.key"));
            let config = BackendConfig::from_join_key(key.clone(), identity);
            backends.push(Backend::connect(config).await.map_err(io::Error::other)?.within(PATIENCE));
        }
        let session = backends[0].create_game_session(NewGameSession::new(FLEET, u16::MAX)).await;
        let session = session.map_err(io::Error::other)?.id;
        Ok(Self { backends, session, players: AtomicU64::new(0), stop, game: Some(game) })
    }

    /// Asks at the fixed rate for this long, and waits for all answers.
    pub async fn ask_for(&self, time: Duration) -> Latency {
        let timed = Arc::new(Mutex::new(Timed::default()));
        let mut due = interval_at(tokio::time::Instant::now(), Duration::from_secs(1) / RATE);
        due.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let count = (time.as_secs_f64() * f64::from(RATE)) as usize;
        let mut asked = tokio::task::JoinSet::new();
        for number in 0..count {
            let due = due.tick().await.into_std();
            let (backend, session) = (self.backends[number % BACKENDS].clone(), self.session);
            let player = number.is_multiple_of(RESERVES_EVERY).then(|| self.players.fetch_add(1, Ordering::Relaxed));
            asked.spawn(ask(backend, session, player, due, Arc::clone(&timed)));
        }
        asked.join_all().await;
        let timed = std::mem::take(&mut *timed.lock().expect("no test panics while it holds it"));
        timed.sum_up()
    }
}

async fn ask(backend: Backend, session: GameSessionId, player: Option<u64>, due: Instant, timed: Arc<Mutex<Timed>>) {
    let reserves = player.is_some();
    let outcome = if let Some(player) = player {
        let player = format!("player-{player}");
        let new = NewPlayerSessions::new(session).player(&player, b"").reservation(Duration::from_secs(1));
        match backend.create_player_sessions(new).await {
            Ok(tickets) if tickets.len() == 1 => Ok(()),
            Ok(tickets) => Err(format!("{} tickets", tickets.len())),
            Err(error) => Err(error.to_string()),
        }
    } else {
        match backend.describe_game_session(session).await {
            Ok(info) if info.id == session => Ok(()),
            Ok(info) => Err(format!("another session: {}", info.id)),
            Err(error) => Err(error.to_string()),
        }
    };
    let took = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
    let mut timed = timed.lock().expect("no test panics while it holds it");
    match outcome {
        Ok(()) if reserves => timed.reserves.push(took),
        Ok(()) => timed.reads.push(took),
        Err(failure) => timed.failures.push(failure),
    }
}

impl Timed {
    fn sum_up(mut self) -> Latency {
        let mut all = [self.reads.as_slice(), &self.reserves].concat();
        Latency {
            requests: all.len() + self.failures.len(),
            failures: self.failures.len(),
            failure: self.failures.into_iter().next(),
            p50_us: part(&mut all, 50),
            p99_us: part(&mut all, 99),
            read_p99_us: part(&mut self.reads, 99),
            reserve_p99_us: part(&mut self.reserves, 99),
        }
    }
}

/// The value that so many percent do not exceed.
fn part(values: &mut [u64], percent: usize) -> u64 {
    values.sort_unstable();
    let at = (values.len() * percent).div_ceil(100).max(1) - 1;
    values.get(at).copied().unwrap_or(0)
}

/// The game: it activates what it is given.
fn play(server: &Server, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        while let Some(event) = server.poll() {
            if matches!(event, Event::StartSession(_)) {
                let _ = server.activate(); // the coordinator places anew what is not activated
            }
        }
        std::thread::sleep(Duration::from_millis(10)); // a game's tick
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(game) = self.game.take() {
            let _ = game.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut values: Vec<u64> = (1..=200).rev().collect();
        assert_eq!((part(&mut values, 50), part(&mut values, 99), part(&mut [], 99)), (100, 198, 0));
        assert_eq!(part(&mut [7], 99), 7);
    }
}
