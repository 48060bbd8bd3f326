//! What people get wrong: the exit code is the documented one, the message names the thing and the remedy, and nothing
//! is lost by it.

#![allow(clippy::unwrap_used)]

mod world;

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use playgate_client::read_operator_key;
use playgate_link::{Dialer, Identity, LinkProfile};
use playgate_protocol::{Credential, Greeting, Hello, HelloRole, RefusalReason, VersionRange};
use rustix::process::Signal;
use world::*;

const REFUSED: i32 = 1;
const USAGE: i32 = 2;
const NOT_REACHED: i32 = 3;
const CANNOT_START: i32 = 4;

/// Any id of the right form.
const UNKNOWN: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A coordinator with this fleet file, in `playgate-data` of the shell's directory.
fn coordinator(shell: &Shell, fleets: &str) -> Service {
    shell.file("fleets.toml", fleets);
    let mut coordinator = shell.start("coordinator", "coordinator --listen 127.0.0.1:0 --fleets fleets.toml");
    coordinator.says("coordinator runs");
    coordinator
}

fn stop(mut coordinator: Service) {
    coordinator.signal(Signal::TERM);
    assert_eq!(coordinator.wait(), Some(0));
}

#[test]
fn exit_codes_are_documented() {
    let help = Shell::new().run("--help").out.split_whitespace().collect::<Vec<_>>().join(" ");
    let codes =
        "Exit codes: 0 done, 1 refused (the text says why), 2 usage, 3 coordinator not reached, 4 cannot start here.";
    assert!(help.contains(codes), "{help}");
}

#[test]
fn things_that_are_not_there_are_named() {
    let shell = Shell::new();
    let coordinator = coordinator(&shell, &fleet(""));
    let (gs, ps, sp) = (format!("gs-{UNKNOWN}"), format!("ps-{UNKNOWN}"), format!("sp-{UNKNOWN}"));
    for (command, code, parts) in [
        ("session create nope".to_owned(), REFUSED, ["NotFound", "\"nope\""]),
        (format!("session describe {gs}"), REFUSED, ["NotFound", &gs]),
        (format!("session stop {gs}"), REFUSED, ["NotFound", &gs]),
        (format!("player add {gs} ann"), REFUSED, ["NotFound", &gs]),
        (format!("player list {gs}"), REFUSED, ["NotFound", &gs]),
        (format!("player describe {ps}"), REFUSED, ["NotFound", &ps]),
        (format!("player ticket {ps}"), REFUSED, ["NotFound", &ps]),
        (format!("player revoke {ps}"), REFUSED, ["NotFound", &ps]),
        (format!("process stop {sp}"), REFUSED, ["NotFound", &sp]),
        ("process keep nope 3".to_owned(), REFUSED, ["NotFound", "\"nope\""]),
        ("process keep echo 999999".to_owned(), REFUSED, ["processes_per_host", "at most"]),
        ("key new server".to_owned(), REFUSED, ["names a fleet", "--fleet"]),
        ("key new agent --uses 0".to_owned(), REFUSED, ["uses", "1 to 10000"]),
        ("key new agent --lifetime 1000h".to_owned(), REFUSED, ["at most", "30 days"]),
        ("session create echo --players 0".to_owned(), REFUSED, ["InvalidRequest", "player"]),
        ("session create echo --timeout 0s".to_owned(), REFUSED, ["FleetCapacityExceeded", "process"]),
        ("session create echo --property map".to_owned(), USAGE, ["KEY=VALUE", "'map'"]),
        ("session create echo --timeout soon".to_owned(), USAGE, ["soon", "not a duration"]),
        ("session create echo --data nowhere".to_owned(), CANNOT_START, ["nowhere", "No such file"]),
        ("session describe gs-short".to_owned(), USAGE, ["gs-short", "gs-"]),
        (format!("session describe {ps}"), USAGE, [&ps, "gs-"]),
        ("key new king".to_owned(), USAGE, ["king", "agent, server, backend"]),
        ("relay run".to_owned(), USAGE, ["--to <PREFIX>", "required"]),
        ("relay run --to 10.0.0.1/8".to_owned(), USAGE, ["10.0.0.1/8", "not an address prefix like 10.0.0.0/8"]),
        ("relay run --to 10.0.0.0/8".to_owned(), CANNOT_START, ["--join-key", "playgate key new relay"]),
        ("relay top".to_owned(), CANNOT_START, ["playgate-relay/control.sock", "--state"]),
        ("dev --ports 9-1 -- x".to_owned(), USAGE, ["9-1", "7000-7099"]),
        ("status --operator-key nowhere".to_owned(), CANNOT_START, ["nowhere", "cannot be read"]),
        ("status --operator-key fleets.toml".to_owned(), CANNOT_START, ["fleets.toml", "should begin with"]),
    ] {
        shell.run(&command).says(code, &parts);
    }
    assert_eq!(shell.run("key new relay").code, Some(0), "every role has its keys");
    Shell::new().run("status").says(CANNOT_START, &["no operator key", "playgate-data/operator.key", "--operator-key"]);
    assert_eq!(shell.run("status").code, Some(0), "it lives on");
    stop(coordinator);
}

#[test]
fn a_fleet_file_that_cannot_be_used_is_refused_before_anything_is_made() {
    let shell = Shell::new();
    let rows = [
        ("[[fleet]]\nname = \"a\"\nspeed = 9", "speed"),
        ("[[fleet]]\nname = \"a\"\ncommand = [\"x\", \"{port}\"]", "add ports = \"7000-7099\""),
        ("[[fleet]]\nname = \"a\"\n[[fleet]]\nname = \"a\"", "fleet a is there twice"),
        ("fleet: a", "line 1"),
        ("", "[[fleet]]"),
        ("[[fleet]]\nname = \"a\"\nports = \"7\u{2013}9\"", "7000-7099"),
        ("[[fleet]]\nname = \"a\"\nready_timeout = 60", "ready_timeout"),
    ];
    for (text, part) in rows {
        shell.file("bad.toml", text);
        let ran = shell.run("coordinator --listen 127.0.0.1:0 --fleets bad.toml");
        ran.says(CANNOT_START, &["bad.toml", part]);
        assert!(!shell.path("playgate-data").exists(), "{text}");
    }
    shell
        .run("coordinator --listen 127.0.0.1:0 --fleets none.toml")
        .says(CANNOT_START, &["none.toml", "cannot be read"]);
}

#[test]
fn a_launch_that_cannot_work_says_why_and_the_other_fleets_go_on() {
    let shell = Shell::new();
    let script = shell.file("script", "#!/bin/sh\nsleep 100\n");
    let text = shell.file("text", "no program").display().to_string();
    fs::set_permissions(&text, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let port = free_port();
    let one_port = format!("ports = \"{port}\"\nprocesses_per_host = 2");
    let server = echo_server().display().to_string();
    let echo = format!("\"{server}\", \"--port\", \"{{port}}\"");
    let rows = [
        ("placeholder", format!("\"{server}\", \"{{mpa}}\""), "", "BadTemplate", "{mpa} is unknown"),
        ("missing", "\"./nowhere\"".to_owned(), "", "ExecutableMissing", "correct the fleet's command"),
        ("in-path", "\"no-such-game\"".to_owned(), "", "ExecutableMissing", "nowhere in PATH"),
        ("text", format!("\"{text}\""), "", "ExecutableNotExecutable", "chmod +x"),
        ("dir", format!("\"{server}\""), "working_dir = \"/no/such\"", "WorkingDirectoryMissing", "/no/such"),
        ("ports", echo, one_port.as_str(), "PortsExhausted", "widen the fleet's port range"),
    ];
    let mut fleets = fleet("");
    for (name, command, more, ..) in &rows {
        fleets.push_str(&format!("[[fleet]]\nname = \"{name}\"\ncommand = [{command}]\n{more}\n"));
    }
    let coordinator = coordinator(&shell, &fleets);
    shell.file("agent.joinkey", &shell.run("key new agent").out);
    let agent = shell.start("agent", "agent --join-key agent.joinkey --stop-servers");
    for (name, _, _, kind, part) in &rows {
        wait_until(&format!("{name} failed with {kind}: {part}"), || {
            let events = shell.run("events --output json").json();
            let mut details = events.as_array().unwrap().iter().filter_map(|event| {
                (event["kind"] == "ProcessLaunchFailed").then(|| event["detail"].as_str()).flatten()
            });
            details.any(|detail| detail.starts_with(kind) && detail.contains(part)).then_some(())
        });
    }
    assert_eq!(shell.run("session create echo").code, Some(0));
    assert_eq!(shell.run("session create ports").code, Some(0), "one of the two has the port");
    stop(agent);
    stop(coordinator);
}

#[test]
fn a_join_key_that_is_of_no_use_is_told_apart() {
    let shell = Shell::new();
    let coordinator = coordinator(&shell, &fleet("processes_per_host = 0"));
    let key = |arguments: &str| {
        let ran = shell.run(&format!("key new {arguments}"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.out
    };
    let cut = |key: &str| key.rsplit_once('/').unwrap().0.to_owned();
    let (agents, servers) = (key("agent"), key("server --fleet echo"));
    shell.run("agent").says(CANNOT_START, &["not joined", "--join-key", "playgate key new agent"]);
    shell.run("agent --join-key nowhere").says(CANNOT_START, &["nowhere", "No such file"]);
    assert!(!shell.path("playgate-agent").exists());
    let expired = || key("agent --lifetime 1ms");
    for (what, text, parts) in [
        ("cut", cut(&agents), ["cut short", "copy the whole text"]),
        ("damaged", agents.replace("pgkey1/agent", "pgkey1/agnet"), ["the role is one of", "agent"]),
        ("no key", "hello".to_owned(), ["should begin with pgkey1/", "playgate key new"]),
        ("role", servers.clone(), ["role server", "playgate key new agent"]),
        ("expired", expired(), ["expired", "make another: playgate key new"]),
    ] {
        shell.file("joinkey", &text);
        let ran = shell.run(&format!("agent --state {}-state --join-key joinkey", what.replace(' ', "-")));
        ran.says(CANNOT_START, &parts);
        assert!(!ran.err.contains(agents.rsplit('/').next().unwrap().trim()), "{what}: {}", ran.err);
    }

    // From standard input and from the environment it works as well; a second time it does not.
    let mut agent = Command::new(PLAYGATE);
    agent.args(["agent", "--name", "box"]).env("PLAYGATE_JOIN_KEY", agents.trim());
    let mut agent = shell.start_command("agent", agent);
    agent.says("linked to the coordinator");
    let given = |name: &str| shell.file(name, &agents);
    let from_stdin = fs::File::open(given("again")).unwrap();
    let ran = shell.run_with("agent --state other --join-key -", |command| {
        command.stdin(from_stdin);
    });
    ran.says(CANNOT_START, &["used up", "make another: playgate key new"]);
    shell.run("agent").says(CANNOT_START, &["another agent", "state directory of its own"]);

    // A server says at once what it can see for itself, and keeps asking where an operator may help.
    let by_hand = |name: &str, key: &str| {
        let mut command = Command::new(echo_server());
        command.args(["--port", &free_port().to_string()]).env("PLAYGATE_JOIN_KEY", key.trim());
        shell.start_command(name, command)
    };
    for (name, key, parts) in [
        ("server-cut", cut(&servers), ["PLAYGATE_JOIN_KEY", "whole and on one line"]),
        ("server-role", agents.clone(), ["role agent", "playgate key new server"]),
    ] {
        let mut server = by_hand(name, &key);
        assert_eq!(server.wait(), Some(1));
        assert!(parts.iter().all(|part| server.log().contains(part)), "{}", server.log());
    }
    let ready = || shell.run("process list --output json").out.matches("\"Ready\"").count();
    let first = by_hand("server", &servers);
    wait_until("the server is ready", || (ready() == 1).then_some(()));
    for (name, key) in [("server-again", servers.clone()), ("server-late", key("server --fleet echo --lifetime 1ms"))] {
        by_hand(name, &key).says("expired or used up; make another: playgate key new");
    }
    assert_eq!(ready(), 1);

    // Nobody else on the machine can read a key from the list of processes.
    for pid in [agent.pid(), first.pid(), coordinator.pid()] {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!line.is_empty() && !String::from_utf8_lossy(&line).contains("pgkey1"));
    }
    stop(agent);
    stop(coordinator);
}

#[test]
fn a_data_directory_that_cannot_be_used_is_left_as_it_is() {
    let shell = Shell::new();
    let running = coordinator(&shell, &fleet(""));
    let again = "coordinator --listen 127.0.0.1:0";
    shell.run(again).says(CANNOT_START, &["in use by another", &format!("process {}", running.pid()), "directory"]);
    assert_eq!(shell.run("status").code, Some(0), "the first does not mind");
    stop(running);

    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ran = shell.run(&format!("coordinator --listen 127.0.0.1:{port}"));
    ran.says(CANNOT_START, &[&port.to_string(), "already", "another port"]);

    let (database, keys) = (shell.path("playgate-data/playgate.db"), shell.path("playgate-data/coordinator.keys"));
    let version = |value: u32| {
        rusqlite::Connection::open(&database).unwrap().pragma_update(None, "user_version", value).unwrap();
    };
    let read = |sql| rusqlite::Connection::open(&database).unwrap().query_row(sql, (), |row| row.get::<_, u32>(0));
    let known = read("PRAGMA user_version").unwrap();
    version(9_999);
    shell.run(again).says(CANNOT_START, &["playgate.db", "version 9999", "start the newer program again"]);
    version(known);

    fs::set_permissions(&keys, fs::Permissions::from_mode(0o644)).unwrap();
    shell.run(again).says(CANNOT_START, &["coordinator.keys", "chmod 600"]);
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();

    fs::rename(&keys, shell.path("aside")).unwrap();
    shell.run(again).says(CANNOT_START, &["no coordinator.keys", "restore", "backup"]);
    assert!(!keys.exists(), "no new ones are made");
    fs::rename(shell.path("aside"), &keys).unwrap();

    fs::rename(&database, shell.path("db-aside")).unwrap();
    fs::write(&database, "somebody's diary, long enough to be looked at as a database header would be".repeat(9))
        .unwrap();
    shell.run(again).says(CANNOT_START, &["not a store of Playgate", "left as it is"]);
    assert!(fs::read_to_string(&database).unwrap().starts_with("somebody's diary"));
    fs::rename(shell.path("db-aside"), &database).unwrap();

    fs::write(shell.path("file"), "").unwrap();
    shell.run("coordinator --listen 127.0.0.1:0 --data file/below").says(CANNOT_START, &["data directory"]);

    // All that was put right again: what was known before is known.
    let running = coordinator(&shell, &fleet(""));
    assert!(shell.run("status").out.contains("echo"));
    stop(running);
    shell.run("status").says(NOT_REACHED, &["not reached", "127.0.0.1", "check that it runs"]);
}

#[tokio::test]
async fn a_peer_of_another_version_is_told_both_ranges() {
    let (mut world, operator) = World::coordinator(&fleet("")).await;
    let key = read_operator_key(world.operator_key()).unwrap();
    let dialer = Dialer::new(Identity::generate(), LinkProfile::fleet()).unwrap();
    let (sender, mut receiver) = dialer.dial(world.address(), &key.fingerprint).await.unwrap().split();
    let versions = VersionRange { min: 7, max: 9 };
    let software = "future 7.0".parse().unwrap();
    sender.queue(&Hello { versions, software, credential: Credential::Bound, role: HelloRole::Backend }).unwrap();
    let Greeting::Refused(refusal) = receiver.recv_within(PATIENCE).await.unwrap() else { panic!("welcome") };
    assert_eq!(refusal.reason, RefusalReason::VersionMismatch);
    let ours = format!("{}..={}", VersionRange::OURS.min, VersionRange::OURS.max);
    for part in [ours.as_str(), "7..=9", "future 7.0", "update the older"] {
        assert!(refusal.detail.contains(part), "{part} in {}", refusal.detail);
    }
    assert!(operator.list_fleets().await.is_ok());
    world.stop_coordinator();
}
