//! Every script, briefly: the coordinator lives, has not panicked, keeps its memory, and answers who is honest.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use playgate_abuse::attack::SCRIPTS;
use playgate_abuse::run::Arena;

const ATTACKER: &str = env!("CARGO_BIN_EXE_playgate-abuse");

/// The coordinator, built from what is there: cargo builds only the binaries of the package under test.
fn playgate() -> PathBuf {
    let profile = Path::new(ATTACKER).parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "--package", "playgate-cli", "--bin", "playgate"]);
    build.arg("--target-dir").arg(profile.parent().unwrap());
    if profile.ends_with("release") {
        build.arg("--release");
    }
    // What cargo says to a test about its package; a build script that watches it would build everything anew.
    let about = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    for (name, _) in std::env::vars().filter(|(name, _)| about.iter().any(|of| name.starts_with(of))) {
        build.env_remove(name);
    }
    assert!(build.status().unwrap().success());
    profile.join("playgate")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_script_does_more_than_take_time() {
    let seed = std::env::var("PLAYGATE_TEST_SEED").map_or(u64::from(std::process::id()), |seed| seed.parse().unwrap());
    println!("PLAYGATE_TEST_SEED={seed}");
    let mut arena = Arena::open(&playgate(), Path::new(ATTACKER), seed).await.unwrap();
    let mut refused = 0;
    for script in SCRIPTS {
        let row = arena.run(script, Duration::from_millis(500), false).await.unwrap();
        assert_eq!(row.faults(), Vec::<String>::new(), "{}: {row:?}\n{}", script.name, arena.log());
        refused += row.refusals.total();
    }
    assert!(refused > 0, "the coordinator counted nothing:\n{}", arena.log());
}
