//! The attacker: scripts, each of which sends as fast as one thread can, bounded in time and number.

mod scripts;
mod sockets;

use std::io;
use std::time::{Duration, Instant};

use playgate_netns::process;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use scripts::Attack;
pub use scripts::SCRIPTS;

use crate::victim::Captured;

/// Datagrams between two looks at the clock.
const LOOK_EVERY: u64 = 64;

/// One kind of flood.
pub struct Script {
    /// As it is called.
    pub name: &'static str,
    /// What is sent.
    pub what: &'static str,
    /// Which of the relay's numbers must have grown: a flood that does not arrive proves nothing.
    pub shows: &'static str,
    run: fn(&mut Attack, u64) -> io::Result<()>,
}

/// What an attacker is given.
#[derive(Debug, Serialize, Deserialize)]
pub struct Given {
    /// What he saw on the path of a player.
    pub captured: Captured,
    /// What is in the payloads of players; he is one himself in one of the scripts.
    pub mark: u64,
    /// Repeats the noise.
    pub seed: u64,
    /// No longer.
    pub time_ms: u64,
    /// No more.
    pub count: u64,
}

/// What he did.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Done {
    /// Datagrams that the kernel took.
    pub sent: u64,
    /// Those it did not take.
    pub failed: u64,
    /// His CPU time.
    pub cpu_ms: u64,
    /// From the first to the last.
    pub time_ms: u64,
}

/// Is the attacker.
///
/// # Errors
/// When there is no such script, or its sockets cannot be made.
pub fn run(name: &str, given: &Given) -> io::Result<Done> {
    let script = SCRIPTS.iter().find(|script| script.name == name);
    let script = script.ok_or_else(|| io::Error::other(format!("no script {name:?}")))?;
    let mut attack = Attack::new(ChaCha8Rng::seed_from_u64(given.seed), given)?;
    let (start, mut done) = (Instant::now(), Done { sent: 0, failed: 0, cpu_ms: 0, time_ms: 0 });
    let time = Duration::from_millis(given.time_ms);
    for n in 0..given.count {
        if n % LOOK_EVERY == 0 && start.elapsed() >= time {
            break;
        }
        match (script.run)(&mut attack, n) {
            Ok(()) => done.sent += 1,
            Err(_) => done.failed += 1, // a full queue, or a source that the kernel does not like
        }
    }
    let cpu = process::stat(std::process::id()).map_or(Duration::ZERO, |stat| stat.cpu);
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    (done.cpu_ms, done.time_ms) = (ms(cpu), ms(start.elapsed()));
    Ok(done)
}
