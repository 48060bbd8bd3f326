//! The five steps as somebody at a shell takes them: nothing but commands, their output and their exit codes.

#![allow(clippy::unwrap_used)]

mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use playgate_protocol::Ticket;
use rustix::process::Signal;
use serde_json::Value;
use world::*;

/// `playgate dev` in this directory, with its own ports.
fn dev(shell: &Shell, port: u16, command: &str) -> Service {
    let ports = port_range();
    shell.start("dev", &format!("dev --listen 127.0.0.1:{port} --ports {ports} --env PLAYGATE_LOG {command}"))
}

fn echo_command() -> String {
    format!("-- {} --port {{port}}", echo_server().display())
}

fn list(shell: &Shell, what: &str) -> Vec<Value> {
    let ran = shell.run(&format!("{what} --output json"));
    ran.json().as_array().unwrap().clone()
}

/// Waits until so many processes can host, and gives them.
fn ready(shell: &Shell, count: usize) -> Vec<Value> {
    wait_until("servers are ready", || {
        if !shell.path(".playgate-dev/coordinator/operator.key").exists() {
            return None;
        }
        let all = list(shell, "process list");
        let ready: Vec<Value> = all.into_iter().filter(|process| process["status"] == "Ready").collect();
        (ready.len() == count).then_some(ready)
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn pid_of(process: &Value) -> u32 {
    u32::try_from(process["pid"].as_u64().unwrap()).unwrap()
}

/// Joins with the ticket in a file, as a player does.
fn join_by_file(runtime: &tokio::runtime::Runtime, path: &str) -> Option<Player> {
    let ticket = Ticket::from_text(&fs::read_to_string(path).unwrap()).unwrap();
    runtime.block_on(join(&ticket)).ok()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn the_five_steps_from_a_shell() {
    let (shell, port) = (Shell::new(), free_port());
    // 1. Launch a game server.
    let mut dev = dev(&shell, port, &echo_command());
    let server = ready(&shell, 1).remove(0);
    assert!(is_alive(pid_of(&server)));
    assert_eq!(dev.says("fleet dev"), "; in another shell in this directory: playgate session create dev");

    // 2. Start a game session. The same request again gives the same one.
    shell.file("session.data", std::str::from_utf8(&private("data of a session")).unwrap());
    let create = "session create dev --players 2 --property map=ruins --data session.data --idempotency-key k \
                  --output json";
    let session = shell.run(create).json();
    assert_eq!((text(&session["status"]), text(&session["fleet"])), ("Active", "dev"));
    assert_eq!((&session["max_players"], &session["process"]), (&Value::from(2), &server["id"]));
    assert_eq!(session["properties"], serde_json::json!([["map", "ruins"]]));
    assert_eq!(shell.run(create).json()["id"], session["id"]);
    shell.run(&create.replace("ruins", "plaza")).says(1, &["IdempotentParameterMismatch"]);
    assert_eq!(list(&shell, "session list").len(), 1);
    let id = text(&session["id"]);

    // 3. Add players; each finds the way with the ticket alone.
    let made = shell.run(&format!("player add {id} ann bob --tickets tickets --output json")).json();
    assert_eq!(made.as_array().unwrap().len(), 2);
    assert_eq!(text(&made[0]["file"]), "tickets/ann.ticket");
    let files: Vec<String> =
        ["ann", "bob"].map(|name| shell.path(&format!("tickets/{name}.ticket")).display().to_string()).into();
    for file in &files {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "a ticket is a secret");
    }
    shell.run(&format!("player add {id} cid")).says(1, &["GameSessionFull"]);
    let again = shell.run(&format!("player ticket {}", text(&made[0]["player_session"])));
    assert_eq!(again.out, fs::read_to_string(&files[0]).unwrap(), "a lost ticket is made again");
    let runtime = runtime();
    let players: Vec<Player> = files.iter().map(|file| join_by_file(&runtime, file).unwrap()).collect();
    assert_eq!(runtime.block_on(players[0].say("hello")), "ann: hello");
    let players_of = |status: &str| {
        let all = list(&shell, &format!("player list {id}"));
        all.iter().filter(|player| player["status"] == status).count()
    };
    wait_until("both are seen", || (players_of("Active") == 2).then_some(()));
    let out = shell.run(&format!("player revoke {} --output json", text(&made[0]["player_session"]))).json();
    assert_eq!((text(&out["status"]), text(&out["player"]), &out["revoking"]), ("Completed", "ann", &false.into()));
    assert!(join_by_file(&runtime, &files[0]).is_none(), "she is out");
    assert_eq!(runtime.block_on(players[1].say("and I?")), "bob: and I?");

    // 4. Stop the game session.
    let over = shell.run(&format!("session stop {id} --output json")).json();
    assert_eq!((text(&over["status"]), text(&over["reason"])), ("Terminated", "Terminated"));
    assert_eq!(players_of("Completed"), 2);

    // 5. Shut the server down. The fleet keeps one, so another takes its place.
    let process = text(&server["id"]);
    let stopped = shell.run(&format!("process stop {process} --output json")).json();
    assert!(["Draining", "Ended"].contains(&text(&stopped["status"])), "{stopped}");
    wait_until("it is gone", || (!is_alive(pid_of(&server))).then_some(()));
    let other = ready(&shell, 1).remove(0);
    assert_ne!(other["id"], server["id"]);
    let ended = wait_until("its end is known", || {
        let all = list(&shell, "process list");
        all.into_iter().find(|known| known["id"] == server["id"] && known["status"] == "Ended")
    });
    assert_eq!((text(&ended["reason"]), &ended["exit"]["Code"]), ("Stopped", &0.into()));

    // All of it is on record, and both forms of output show it.
    let events = list(&shell, "events");
    let mut kinds = events.iter().map(|event| text(&event["kind"]));
    for expected in [
        "ProcessLaunching",
        "ProcessReady",
        "GameSessionPlacing",
        "GameSessionActive",
        "GameSessionTerminated",
        "ProcessDraining",
        "ProcessEnded",
    ] {
        assert!(kinds.any(|kind| kind == expected), "{expected} in this order: {events:?}");
    }
    let last = events.last().unwrap()["seq"].as_u64().unwrap();
    assert!(list(&shell, &format!("events --after {last}")).len() < events.len());
    let status = shell.run("status --output json").json();
    assert_eq!((text(&status["fleets"][0]["id"]), text(&status["hosts"][0]["name"])), ("dev", "dev"));
    let table = shell.run("status");
    assert!(table.out.starts_with("FLEET ") && table.out.contains("connected"), "{table:?}");
    for table in ["session list", "process list", "events"].map(|what| shell.run(what)) {
        assert_eq!((table.code, table.err.as_str()), (Some(0), ""));
        assert!(table.out.lines().count() >= 2, "{table:?}");
    }

    dev.signal(Signal::INT);
    assert_eq!(dev.wait(), Some(0));
    assert!(!is_alive(pid_of(&other)), "dev ends all it started");
}

#[test]
fn dev_takes_its_servers_with_it_and_goes_on_where_it_was() {
    let (shell, port) = (Shell::new(), free_port());
    let command = format!("--processes 2 --fleet arena {}", echo_command());
    let mut first = dev(&shell, port, &command);
    let servers = ready(&shell, 2);
    let session = shell.run("session create arena --output json").json();
    first.signal(Signal::TERM);
    assert_eq!(first.wait(), Some(0));
    assert!(servers.iter().all(|server| !is_alive(pid_of(server))), "also the one with a game session");

    // What was before is still known; what ended is not pretended to run.
    let mut second = dev(&shell, port, &command);
    ready(&shell, 2);
    let over = wait_until("the session is over", || {
        let all = list(&shell, "session list");
        all.into_iter().find(|known| known["id"] == session["id"] && known["status"] == "Terminated")
    });
    assert_eq!(text(&over["reason"]), "Ended", "the game was asked, and ended it");
    let crashed = list(&shell, "process list").into_iter().filter(|process| process["reason"] == "Crashed");
    assert_eq!(crashed.count(), 0, "to be asked and to end is no crash");
    second.signal(Signal::INT);
    assert_eq!(second.wait(), Some(0));
}

/// A server started by hand, in a debugger for instance.
fn by_hand(shell: &Shell, name: &str, key: &str) -> Service {
    let mut command = Command::new(echo_server());
    command.args(["--port", &free_port().to_string()]).env("PLAYGATE_JOIN_KEY", key);
    shell.start_command(name, command)
}

#[test]
fn a_server_is_started_by_hand_with_the_key_that_dev_prints() {
    let (shell, port) = (Shell::new(), free_port());
    let mut dev = dev(&shell, port, "");
    let key = dev.says("PLAYGATE_JOIN_KEY=");
    let mut server = by_hand(&shell, "server", &key);
    let process = ready(&shell, 1).remove(0);
    assert_eq!(process["host"], Value::Null);
    let session = shell.run("session create dev --output json").json();
    assert_eq!((text(&session["status"]), &session["process"]), ("Active", &process["id"]));
    let ticket = shell.run(&format!("player add {} ann", text(&session["id"])));
    let file = shell.file("ann.ticket", &ticket.out);
    let runtime = runtime();
    let ann = join_by_file(&runtime, file.to_str().unwrap()).unwrap();
    assert_eq!(runtime.block_on(ann.say("hello")), "ann: hello");

    // The next start is another process, with the same key.
    let mut other = by_hand(&shell, "other", &key);
    let another = ready(&shell, 1).remove(0);
    assert_ne!(another["id"], process["id"]);
    for process in [&process, &another] {
        assert_eq!(shell.run(&format!("process stop {}", text(&process["id"]))).code, Some(0));
    }
    assert_eq!((server.wait(), other.wait()), (Some(0), Some(0)), "they were asked, and ended by themselves");
    dev.signal(Signal::TERM);
    assert_eq!(dev.wait(), Some(0));
}

#[test]
fn coordinator_and_agent_are_set_up_one_after_the_other() {
    let (shell, port) = (Shell::new(), free_port());
    shell.file("fleets.toml", &fleet("processes_per_host = 1"));
    let mut coordinator =
        shell.start("coordinator", &format!("coordinator --listen 127.0.0.1:{port} --fleets fleets.toml"));
    coordinator.says("coordinator runs");
    let key = shell.run("key new agent");
    assert!(key.out.starts_with(&format!("pgkey1/agent/127.0.0.1:{port}/")), "{key:?}");
    shell.file("agent.joinkey", &key.out);
    let mut agent = shell.start("agent", "agent --join-key agent.joinkey --name box");
    let ready = || {
        wait_until("a server is ready", || {
            let all = list(&shell, "process list");
            all.into_iter().find(|process| process["status"] == "Ready")
        })
    };
    let server = ready();
    assert_eq!(shell.run("session create echo --players 2 --name first").code, Some(0));

    // The agent has joined: it needs no key again, and watches the servers of the one before.
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait(), Some(0));
    fs::remove_file(shell.path("agent.joinkey")).unwrap();
    let mut agent = shell.start("agent-again", "agent --name box --stop-servers");
    wait_until("it is adopted", || {
        list(&shell, "events").iter().any(|event| event["kind"] == "ProcessAdopted").then_some(())
    });
    assert!(is_alive(pid_of(&server)));
    assert_eq!(shell.run("status --output json").json()["hosts"].as_array().unwrap().len(), 1);
    agent.signal(Signal::INT);
    assert_eq!(agent.wait(), Some(0));
    assert!(!is_alive(pid_of(&server)), "--stop-servers");

    let backend = shell.run("key new backend --uses 2 --lifetime 10m --output json").json();
    assert!(text(&backend["join_key"]).starts_with("pgkey1/backend/"));
    coordinator.signal(Signal::TERM);
    assert_eq!(coordinator.wait(), Some(0));
}
