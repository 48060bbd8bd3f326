//! The search for secrets that every world ends with: it knows them all, and finds them wherever they are planted.

#![allow(clippy::unwrap_used)]

mod world;

use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use playgate_client::player::nonce;
use playgate_protocol::{Fingerprint, JoinKey, JoinRole, Secret32};
use world::*;

/// What a world with everything in it has to be silent about.
const NAMES: [&str; 17] = [
    "a gate root",
    "a holder key",
    "a holder root",
    "a join key",
    "a launch credential",
    "a proof key",
    "a server key",
    "connection_id of the coordinator",
    "data of a player",
    "data of a session",
    "quic_reset of the coordinator",
    "seed of the coordinator",
    "the agent's key",
    "the coordinator's key",
    "the master key",
    "the operator's key",
    "the seal of a token",
];

fn append(file: &Path, bytes: &[u8]) -> u64 {
    let mut file = fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
    let before = file.metadata().unwrap().len();
    file.write_all(&[b"a line\nand a secret: <", bytes, b">\n"].concat()).unwrap();
    before
}

fn cut(file: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(len).unwrap();
}

#[tokio::test]
async fn every_secret_is_known_and_found_in_every_log_in_every_form() {
    let (mut world, operator) = World::running(&fleet("processes_per_host = 1"), 1).await;
    let session = operator.create_game_session(new_session(2)).await.unwrap();
    let tickets = reserve(&operator, session.id, &["ann", "bob"]).await;
    assert_eq!(join(&tickets[0]).await.unwrap().say("hello").await, "ann: hello");
    world.kill_agent();
    world.kill_coordinator();
    assert_eq!(world.leaks(), Vec::<String>::new());
    // Other tests of this program have secrets of their own.
    let mut samples = secrets::samples();
    samples.retain(|what, _| NAMES.contains(&what.as_str()));
    assert_eq!(samples.keys().collect::<Vec<_>>(), NAMES.iter().collect::<Vec<_>>());

    let dir = world.dir.path();
    let server = format!("agent/logs/{}.log", session.process.unwrap());
    let logs = ["coordinator.log", "agent.log", &server].map(|name| dir.join(name));
    for log in &logs {
        let text = fs::read_to_string(log).unwrap();
        assert!(text.contains(" TRACE "), "{} is not at the level of TRACE", log.display());
        cut(log, 1_000); // so that the searches below are short
    }
    // The server goes on writing into its log; the other two are at rest.
    let log = &logs[0];
    for (what, secret) in &samples {
        for form in secrets::printed(secret).into_iter().filter(|form| form.len() >= 11) {
            for part in [&form[..], &form[..form.len() * 3 / 4], &form[form.len() / 4..]] {
                let found =
                    secrets::found_in(&[b"key=", part, b"\n"].concat(), &[secrets::Kind::Key, secrets::Kind::Data]);
                assert!(found.contains(what) || part.len() < 32, "{what} as {:?}", String::from_utf8_lossy(part));
            }
        }
        let before = append(log, &secrets::printed(secret)[1]);
        let leaks = world.leaks();
        assert_eq!(leaks, [format!("{what}: {}", log.display())]);
        cut(log, before);
    }
    // A key has no place in any other file either; what backends say may be in the store.
    for (what, place, leaks) in [
        ("the master key", "agent/reports/9.json", 1),
        ("the seal of a token", "data/store.note", 1),
        ("data of a player", "data/store.note", 0),
        ("data of a player", "agent.log", 1),
        ("the operator's key", "agent/credentials/x", 0),
    ] {
        let file = dir.join(place);
        let existed = file.exists();
        let before = append(&file, &samples[what]);
        assert_eq!(world.leaks().len(), leaks, "{what} in {place}");
        if existed { cut(&file, before) } else { fs::remove_file(&file).unwrap() }
    }
    assert_eq!(world.leaks(), Vec::<String>::new());
}

/// The end of a world is where its test fails.
#[test]
fn a_planted_secret_fails_the_test() {
    let secret = private("planted");
    for (name, leaks) in [("dev.log", true), ("other.txt", false)] {
        let shell = Shell::new();
        append(&shell.path(name), &secret);
        let ended = catch_unwind(AssertUnwindSafe(|| drop(shell)));
        let said = ended.err().map(|panic| panic.downcast_ref::<String>().unwrap().clone());
        assert_eq!(said.is_some(), leaks, "{said:?}");
        let said = said.unwrap_or_default();
        assert!(!said.contains(std::str::from_utf8(&secret[..8]).unwrap()), "it says which, and not what: {said}");
        assert_eq!(said.contains("planted: ") && said.contains(name), leaks, "{said}");
    }
}

#[test]
fn output_of_a_command_is_searched_unless_it_is_there_to_print_the_secret() {
    let said = String::from_utf8(private("said aloud")).unwrap();
    let key = JoinKey {
        role: JoinRole::Agent,
        coordinator: "[::1]:7600".to_owned(),
        fingerprint: Fingerprint::from_bytes([7; 32]),
        secret: Secret32::from_bytes([nonce(), nonce()].concat().try_into().unwrap()),
    };
    secrets::know_join_key(&key);
    let (key, secret) = (key.to_text(), key.to_text().rsplit('/').next().unwrap().to_owned());
    for (arguments, out, err, leaks) in [
        ("key new agent", key.as_str(), "", 0),
        ("key new agent", "", key.as_str(), 1),
        ("key new agent", secret.as_str(), "", 1),
        ("status", key.as_str(), "", 1),
        ("status", said.as_str(), "", 1),
        ("player add gs-1 ann", said.as_str(), "", 1),
    ] {
        let captured = secrets::Captured::default();
        captured.printed(arguments, out, err);
        assert_eq!(captured.leaks(Path::new("no such directory")).len(), leaks, "{arguments}: {out} {err}");
    }
}
