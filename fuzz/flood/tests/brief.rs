//! Every script, briefly: nothing is amplified, nothing foreign passes, memory stays, and whoever is honest gets in.
//!
//! Without root or `ip` there are no network namespaces; the tests say so and skip.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use playgate_flood::attack::SCRIPTS;
use playgate_flood::payload;
use playgate_flood::player::{AMPLE, Player, access};
use playgate_flood::relay::RelayProcess;
use playgate_flood::run::{Arena, Measure};
use playgate_flood::servers::Servers;
use playgate_flood::world::{PREFIX, Side, World};
use playgate_netns::{Namespace, process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_playgate-flood");

/// Where one namespace can be made, failing to make the others is a failure.
fn world() -> Option<World> {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    static SKIPPED: AtomicU32 = AtomicU32::new(0);
    let try_number = TRIED.fetch_add(1, Ordering::Relaxed);
    match Namespace::add(format!("{PREFIX}{}-try{try_number}", process::this_run())) {
        Ok(_) => Some(World::make().unwrap()),
        Err(error) => {
            let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
            // Past the capture of output: a test that did not run must not look like one that did.
            let _ = writeln!(std::io::stderr(), "SKIPPED {count}: no network namespaces here ({error})");
            None
        }
    }
}

#[test]
fn no_flood_does_more_than_take_time() {
    let seed = std::env::var("PLAYGATE_TEST_SEED").map_or(u64::from(std::process::id()), |seed| seed.parse().unwrap());
    println!("PLAYGATE_TEST_SEED={seed}");
    let Some(world) = world() else { return };
    let mut arena = Arena::open(world, Path::new(PROGRAM), 1).unwrap();
    for script in SCRIPTS {
        let row = arena.run(script, Measure { time: Duration::from_millis(500), players: 20, seed }).unwrap();
        assert_eq!(row.faults(), Vec::<String>::new(), "{}: {row:#?}", script.name);
    }
}

/// Datagrams of one length to one player leave as one message, and a path that takes less than one of them refuses it.
#[test]
fn a_player_behind_a_narrow_path_hears_everything() {
    const BURST: u32 = 8;
    let Some(world) = world() else { return };
    let mark = 7;
    let _relay = RelayProcess::start(&world, Path::new(PROGRAM), 1).unwrap();
    let servers = Servers::start(&world, mark).unwrap();
    world.narrow(Side::Players, 200).unwrap();
    let heard = world.side(Side::Players).within(|| {
        let access = access(1, Side::Players.relay(), Servers::addresses()[0], AMPLE);
        let (mut player, _) = Player::open(access, [1; 32], Duration::from_secs(20))?;
        let mut heard = Vec::new();
        for round in 0..20 {
            for n in 0..BURST {
                player.send(&payload::write(mark, 1, round * BURST + n))?;
            }
            let until = Instant::now() + Duration::from_secs(10);
            while heard.len() < ((round + 1) * BURST) as usize && Instant::now() < until {
                let echo = player.hear(Duration::from_millis(500))?;
                heard.extend(echo.and_then(|echo| payload::read(mark, &echo)).map(|(_, sequence)| sequence));
            }
        }
        Ok(heard)
    });
    assert_eq!(heard.unwrap(), (0..20 * BURST).collect::<Vec<_>>());
    let _ = servers.stop();
}
