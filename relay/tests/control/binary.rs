//! The `playgate-relay` command, as a supervisor runs it.

use std::fs;
use std::process::{Child, Command, Output, Stdio};

use playgate_protocol::{JoinKey, JoinRole, Secret32};
use playgate_relay::Status;
use rustix::process::{Pid, Signal, kill_process};

use crate::players::server;
use crate::world::*;

fn command(world: &World, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_playgate-relay"));
    command.args(args).arg("--state").arg(world.state()).env_remove("PLAYGATE_JOIN_KEY").env_remove("PLAYGATE_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(world: &World, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command(world, args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// Killed with the test.
struct Process(Child);

impl Process {
    fn start(world: &World, args: &[&str]) -> Self {
        Self(command(world, args).stderr(Stdio::null()).spawn().unwrap())
    }

    fn end(mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
        self.0.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_command_joins_survives_a_kill_shows_what_it_does_and_ends() {
    let world = World::new();
    let key = JoinKey {
        role: JoinRole::Relay,
        coordinator: world.addr().to_string(),
        fingerprint: world.fingerprint,
        secret: Secret32::from_bytes(JOIN_SECRET),
    };
    let key_file = world.dir.path().join("relay.join");
    fs::write(&key_file, format!("{}\n", key.to_text())).unwrap();
    let key_file = key_file.display().to_string();
    let to = ["run", "--to", "127.0.0.0/8", "--cores", "2"];
    let relay = Process::start(
        &world,
        &[&to[..], &["--listen", "127.0.0.1:0", "--name", "edge-1", "--join-key", &key_file]].concat(),
    );
    let mut session = world.welcome().await;
    let at = session.set_up().await;
    let here = server("127.0.0.1:0");
    let player = open(1, at, here).await;
    say(&player, "hello").await;
    session.revoke(2);
    world.status(|status| status.revoked == 1).await;
    assert_eq!(relay.end(Signal::KILL), None);
    drop(session);
    fs::remove_file(&key_file).unwrap();

    let listen = at.to_string();
    let again = [&to[..], &["--listen", &listen]].concat();
    let relay = Process::start(&world, &again);
    // It serves before anybody has welcomed it.
    say(&player, "still here, with a sentence that is long enough").await;
    assert_revoked(2, at, here).await;
    let mut session = world.welcome().await;
    session.beat(|beat| beat.secret == 1 && beat.flows == 1).await;
    world.status(|status| status.cores.iter().any(|core| core.up_datagrams > 0)).await;

    let (code, table, _) = output(&world, &["top", "--once"]);
    assert!(code == 0 && table.contains("core 1") && table.contains("packets in"), "{table}");
    let (code, json, _) = output(&world, &["top", "--once", "--output", "json"]);
    let status: Status = serde_json::from_str(&json).unwrap();
    assert_eq!((code, status.secret, status.revoked, status.cores.len(), status.linked), (0, 1, 1, 2, true));
    let (code, _, error) = output(&world, &again);
    assert!(code == 4 && error.contains("another relay (process "), "{error}");

    assert_eq!(relay.end(Signal::TERM), Some(0));
    let (code, _, error) = output(&world, &["top", "--once"]);
    assert!(code == 4 && error.contains("is it running?"), "{error}");
}

#[tokio::test]
async fn what_is_wrong_with_a_command_is_said() {
    let world = World::new();
    let backend = JoinKey {
        role: JoinRole::Backend,
        coordinator: world.addr().to_string(),
        fingerprint: world.fingerprint,
        secret: Secret32::from_bytes(JOIN_SECRET),
    };
    let key_file = world.dir.path().join("backend.join");
    fs::write(&key_file, backend.to_text().as_str()).unwrap();
    let key_file = key_file.display().to_string();
    let both = ["--advertise", "192.0.2.1:1", "--advertise", "192.0.2.2:1"];
    for (args, expected, part) in [
        (&["run"][..], 2, "--to <PREFIX>"),
        (&["run", "--to", "10.0.0.0/8"], 4, "playgate key new relay"),
        (&["run", "--to", "10.0.0.0/8", "--join-key", &key_file], 4, "is for the role backend"),
        (&["run", "--to", "10.0.0.0/8", "--join-key", "/nowhere"], 4, "/nowhere: No such file"),
        (&[&["run", "--to", "10.0.0.0/8"], &both[..]].concat(), 2, "one address of each family"),
    ] {
        let (code, _, error) = output(&world, args);
        assert!(code == expected && error.contains(part), "{args:?}: {code} {error}");
    }
}
