//! A game that knows nothing of Playgate, behind a relay: a Sauerbraten server as Debian ships it, asked by a query client
//! that knows nothing of it either.
//!
//! ```text
//!   quakestat ──► tap ──► pump ──► relay ──► tap ──► cube2-server       and once more directly
//! ```
//! Needs `apt-get install --no-install-recommends cube2-server qstat`, less than 1 MB; without them the test says so and
//! skips.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use playgate_client::relay::{RelaySocket, pump};
use support::*;

const SERVER: &str = "/usr/games/cube2-server";
const CLIENT: &str = "/usr/bin/quakestat";
const NAME: &str = "Behind a relay";

/// Ends with the test.
struct Game(Child);

impl Drop for Game {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// From whom, and what.
type Datagrams = Vec<(SocketAddr, Vec<u8>)>;

/// Carries datagrams between whoever sends to it and one address, and writes them down.
struct Tap {
    at: SocketAddr,
    /// Towards the server.
    up: Arc<Mutex<Datagrams>>,
    /// What came back.
    down: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Tap {
    fn start(front: UdpSocket, to: SocketAddr) -> Self {
        let back = UdpSocket::bind("127.0.0.1:0").unwrap();
        back.connect(to).unwrap();
        let tap = Self { at: front.local_addr().unwrap(), up: Arc::default(), down: Arc::default() };
        let (up, down) = (Arc::clone(&tap.up), Arc::clone(&tap.down));
        let (front_down, back_down) = (front.try_clone().unwrap(), back.try_clone().unwrap());
        let last = Arc::new(Mutex::new(None));
        let asked = Arc::clone(&last);
        // Both end with the test's process.
        thread::spawn(move || {
            let mut buffer = [0; 2_048];
            while let Ok((len, from)) = front.recv_from(&mut buffer) {
                up.lock().unwrap().push((from, buffer[..len].to_vec()));
                *last.lock().unwrap() = Some(from);
                let _ = back.send(&buffer[..len]);
            }
        });
        thread::spawn(move || {
            let mut buffer = [0; 2_048];
            loop {
                // An error tells that nobody listened yet.
                let Ok(len) = back_down.recv(&mut buffer) else { continue };
                down.lock().unwrap().push(buffer[..len].to_vec());
                let to = asked.lock().unwrap().unwrap();
                let _ = front_down.send_to(&buffer[..len], to);
            }
        });
        tap
    }

    fn payloads(&self) -> Vec<Vec<u8>> {
        self.up.lock().unwrap().iter().map(|(_, payload)| payload.clone()).collect()
    }
}

/// The client asks the port after the one it is told.
fn pair_of_ports() -> (u16, UdpSocket) {
    for _ in 0..100 {
        let asked = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = asked.local_addr().unwrap().port();
        let game = UdpSocket::bind(("127.0.0.1", port - 1));
        if game.is_ok() {
            return (port - 1, asked);
        }
    }
    panic!("no two free ports side by side")
}

/// What the client says of a server; nothing while it is down. What differs from one question to the next is left out: the
/// round trip, its own address for the server, and a number that the client shows without having read it.
fn ask(port: u16) -> Option<Vec<String>> {
    let asked = format!("127.0.0.1:{port}");
    let output = Command::new(CLIENT).args(["-nocfg", "-xml", "-R", "-P", "-cubes", &asked]).output().unwrap();
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    let differs = ["<ping>", "<retries>", "<hostname>", "rule name=\"mm\""];
    let lines = answer.lines().map(|line| line.trim().replace(&asked, ""));
    let lines = lines.filter(|line| differs.iter().all(|what| !line.contains(what)));
    answer.contains("status=\"UP\"").then(|| lines.collect())
}

fn ask_until_it_answers(port: u16) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask(port) {
            return answer;
        }
        assert!(Instant::now() < deadline, "no answer at port {port}");
    }
}

#[test]
fn a_game_from_a_distribution_answers_the_same_through_pump_and_relay() {
    if [SERVER, CLIENT].iter().any(|program| !Path::new(program).exists()) {
        // Past the capture of output: a test that did not run must not look like one that did.
        let _ = writeln!(std::io::stderr(), "SKIPPED 1: apt-get install -y --no-install-recommends cube2-server qstat");
        return;
    }
    let (relay, _reports) = start(config("127.0.0.1:0"));
    let (game_port, free) = pair_of_ports();
    drop(free);
    let home = std::env::temp_dir().join(format!("playgate-real-game-{}", std::process::id()));
    let mut command = Command::new(SERVER);
    // Not announced anywhere, four players at most.
    command.args(["-i127.0.0.1", "-m", "-c4", &format!("-j{game_port}"), &format!("-n{NAME}")]);
    command.arg(format!("-q{}", home.display())).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _game = Game(command.spawn().unwrap());
    let direct = ask_until_it_answers(game_port);
    assert!(direct.iter().any(|line| line.contains(NAME)), "{direct:?}");

    let at_server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at_server = Tap::start(at_server, SocketAddr::from(([127, 0, 0, 1], game_port + 1)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let access = access(1, relay.local_addr(), at_server.at);
    let socket = runtime.block_on(RelaySocket::open(&[access], PATIENCE)).unwrap();
    let local = runtime.block_on(tokio::net::UdpSocket::bind("127.0.0.1:0")).unwrap();
    let pump_at = local.local_addr().unwrap();
    runtime.spawn(async move { pump(&local, &socket).await });
    let (asked_port, front) = pair_of_ports();
    let at_client = Tap::start(front, pump_at);

    // Each question comes from another port of the client; the server sees one.
    let questions = 5;
    for _ in 0..questions {
        assert_eq!(ask_until_it_answers(asked_port), direct);
    }
    wait_until(|| at_client.payloads() == at_server.payloads());
    assert_eq!(at_client.payloads(), at_server.payloads(), "untouched, upstream");
    wait_until(|| *at_client.down.lock().unwrap() == *at_server.down.lock().unwrap());
    assert_eq!(*at_client.down.lock().unwrap(), *at_server.down.lock().unwrap(), "and downstream");
    let seen: std::collections::BTreeSet<_> = at_server.up.lock().unwrap().iter().map(|(from, _)| *from).collect();
    let asked: std::collections::BTreeSet<_> = at_client.up.lock().unwrap().iter().map(|(from, _)| *from).collect();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(asked.len() >= questions, "{asked:?}");
    drop(relay);
    let _ = std::fs::remove_dir_all(home); // the server may have made it
}

/// Datagrams may still be on the way.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !is_so() && Instant::now() < deadline {
        thread::yield_now();
    }
}
