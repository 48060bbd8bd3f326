//! Honest players: each comes at his time, opens a flow, plays for half a second and leaves.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use playgate_client::relay::RelaySocket;
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::payload;
use crate::player::{AMPLE, access};
use crate::servers::Servers;
use crate::world::{Side, World};

/// A player who is not in by then is not let in.
const PATIENCE: Duration = Duration::from_secs(20);
const DATAGRAMS: u32 = 10;
const BETWEEN: Duration = Duration::from_millis(50);
/// To the last echo after the last datagram.
const LINGER: Duration = Duration::from_millis(500);
const SOON: Duration = Duration::from_secs(1);

/// How they fared. Times are from the first HELLO to an open flow.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Honest {
    /// Who came.
    pub attempts: usize,
    /// Who got in, sooner or later.
    pub admitted: usize,
    /// Who did within a second.
    pub within_a_second: usize,
    /// Half of them were as fast.
    pub p50_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// All.
    pub max_us: u64,
    /// Datagrams to servers.
    pub sent: u64,
    /// Those that came back within half a second after the last.
    pub echoed: u64,
}

struct Match {
    admitted_after: Option<Duration>,
    sent: u64,
    echoed: u64,
}

/// So many players come each second, for so long; the call takes as long as they play. The first has this number.
///
/// # Errors
/// The system's.
pub fn play(world: &World, mark: u64, first: u32, per_second: u32, time: Duration) -> io::Result<Honest> {
    let count = u32::try_from(time.as_millis() * u128::from(per_second) / 1_000).unwrap_or(u32::MAX).max(1);
    let matches = world.side(Side::Players).within(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(async {
            let start = Instant::now();
            let coming = (0..count).map(|n| {
                let due = start + Duration::from_secs(1) * n / per_second;
                tokio::spawn(async move {
                    sleep_until(due).await;
                    play_one(mark, first + n).await
                })
            });
            let coming: Vec<_> = coming.collect();
            let mut matches = Vec::new();
            for player in coming {
                matches.push(player.await.expect("a player does not panic"));
            }
            matches
        }))
    })?;
    let mut times: Vec<Duration> = matches.iter().filter_map(|played| played.admitted_after).collect();
    times.sort_unstable();
    let quantile = |of_100: usize| {
        let at = (times.len() * of_100).div_ceil(100).saturating_sub(1);
        times.get(at).map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
    };
    Ok(Honest {
        attempts: matches.len(),
        admitted: times.len(),
        within_a_second: times.iter().filter(|time| **time <= SOON).count(),
        p50_us: quantile(50),
        p99_us: quantile(99),
        max_us: quantile(100),
        sent: matches.iter().map(|played| played.sent).sum(),
        echoed: matches.iter().map(|played| played.echoed).sum(),
    })
}

async fn play_one(mark: u64, number: u32) -> Match {
    let server = Servers::addresses()[number as usize % 2];
    let begun = Instant::now();
    let relays = [access(number, Side::Players.relay(), server, AMPLE)];
    let Ok(socket) = RelaySocket::open(&relays, PATIENCE).await else {
        return Match { admitted_after: None, sent: 0, echoed: 0 };
    };
    let admitted_after = Some(begun.elapsed());
    let (mut sent, mut echoes) = (0, BTreeSet::new());
    let mut buffer = [0; 2_048];
    let mut until = Instant::now();
    for sequence in 0..DATAGRAMS {
        sent += u64::from(socket.send(&payload::write(mark, number, sequence)).await.is_ok());
        until += if sequence + 1 == DATAGRAMS { LINGER } else { BETWEEN };
        while echoes.len() < DATAGRAMS as usize {
            let Ok(Ok(len)) = timeout_at(until, socket.recv(&mut buffer)).await else { break };
            if let Some((player, sequence)) = payload::read(mark, &buffer[..len])
                && player == number
            {
                echoes.insert(sequence);
            }
        }
    }
    socket.close().await;
    Match { admitted_after, sent, echoed: echoes.len() as u64 }
}
