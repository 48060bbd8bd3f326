//! Short runs of the program itself, without root where they can do without; and the canary: a lost fact is found.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The command under test, built once from what is there: cargo does not build another package's program for a test.
fn playgate() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let profile = PathBuf::from(env!("CARGO_BIN_EXE_playgate-chaos")).parent().unwrap().to_owned();
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
        })
        .clone()
}

/// `ps-` and 26 characters.
const ID_LEN: usize = 29;

/// What it printed, and which process it was.
fn run(arguments: &str) -> (Output, Value, u32) {
    let mut chaos = Command::new(env!("CARGO_BIN_EXE_playgate-chaos"));
    chaos.args(arguments.split(' ')).arg("--json").arg("--playgate").arg(playgate());
    let running = chaos.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = running.id();
    let output = running.wait_with_output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output, report, pid)
}

/// Whatever a run has made is gone: directories, mounts, network namespaces.
fn leaves_nothing(pid: u32) {
    let name = format!("playgate-chaos-{pid}.");
    for directory in [std::env::temp_dir(), PathBuf::from("/run/netns")] {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let left = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        assert_eq!(left.filter(|left| left.starts_with(&name)).collect::<Vec<_>>(), Vec::<String>::new());
    }
    assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&name));
}

#[test]
fn each_fault_once_over_loopback_loses_nothing() {
    let (output, report, pid) = run("--rounds 6 --seed 1 --isolation loopback");
    assert_eq!(output.status.code(), Some(0), "{report:#} {output:?}");
    let rounds = |kind: &str| report["rounds"][kind].as_u64().unwrap_or(0);
    assert!(rounds("kill") >= 3 && rounds("stop") >= 1 && rounds("cut") >= 1, "{report:#}");
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!(rounds("disk") >= 1, is_root, "{report:#}");
    assert_eq!(report["disk"]["refused"].as_u64() > Some(0), is_root, "{report:#}");
    // A run in which nothing happened would have lost nothing either.
    for fact in ["sessions", "activations", "reservations", "joins", "ends"] {
        assert!(report["facts"][fact].as_u64() > Some(0), "no {fact}: {report:#}");
    }
    assert!(report["compared"].as_u64() > Some(0) && report["settled"].as_u64() > Some(0), "{report:#}");
    leaves_nothing(pid);
}

#[test]
fn a_fact_that_nobody_kept_fails_the_run() {
    let (output, report, pid) = run("--rounds 1 --seed 2 --faults kill --isolation auto --invent");
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    let details: Vec<_> = report["details"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let missed = details.iter().find(|text| text.contains("nobody, key invented): itself"));
    let id = missed.and_then(|text| text.get(..ID_LEN)).unwrap_or_else(|| panic!("{report:#}"));
    // The API may have been asked for it too; nothing else is missing.
    assert!(report["findings"]["missing"].as_u64() >= Some(1), "{report:#}");
    assert!(details.iter().all(|text| text.starts_with(id)), "{report:#}");
    leaves_nothing(pid);
}

#[test]
fn fifty_servers_come_back_to_their_coordinator() {
    let (output, report, pid) = run("storm --servers 50 --sessions 10");
    assert_eq!(output.status.code(), Some(0), "{report:#} {output:?}");
    assert_eq!(report["back"], 50, "{report:#}");
    leaves_nothing(pid);
}
