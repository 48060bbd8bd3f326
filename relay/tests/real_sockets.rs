//! A relay on real sockets: players with a `PlayerFlow`, servers that know nothing of it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use playgate_protocol::relay::{FlowEvent, FlowState, HEADER_BYTES, PlayerFlow, RefuseCode};
use playgate_relay::{DropReason, RelayConfig, Report};

mod support;

use support::*;

struct Player {
    socket: UdpSocket,
    flow: PlayerFlow,
    started: Instant,
}

impl Player {
    fn new(number: u8, relay: SocketAddr, server: SocketAddr) -> Self {
        let access = access(number, relay, server);
        let flow = PlayerFlow::new(access, [number; 32], Duration::from_secs(5), Duration::ZERO);
        Self { socket: Self::socket(relay), flow, started: Instant::now() }
    }

    fn socket(relay: SocketAddr) -> UdpSocket {
        UdpSocket::bind(if relay.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).unwrap()
    }

    /// Moves datagrams until something is there that `wanted` takes.
    fn until<T>(&mut self, mut wanted: impl FnMut(FlowState, Option<&[u8]>) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 2_048];
        loop {
            while let Some(datagram) = self.flow.poll_transmit() {
                self.socket.send_to(datagram.as_slice(), self.flow.relay()).unwrap();
            }
            if let Some(found) = wanted(self.flow.state(), None) {
                return found;
            }
            assert!(Instant::now() < deadline, "{:?} and nothing more", self.flow.state());
            let wait = self.flow.poll_timeout().unwrap_or(PATIENCE).saturating_sub(self.started.elapsed());
            let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(100));
            self.socket.set_read_timeout(Some(wait)).unwrap();
            if let Ok((len, from)) = self.socket.recv_from(&mut buffer)
                && let FlowEvent::Payload(payload) = self.flow.handle(self.started.elapsed(), from, &buffer[..len])
                && let Some(found) = wanted(self.flow.state(), Some(payload))
            {
                return found;
            }
            self.flow.handle_timeout(self.started.elapsed());
        }
    }

    fn open(&mut self) -> FlowState {
        self.until(|state, _| (!matches!(state, FlowState::Knocking | FlowState::Opening)).then_some(state))
    }

    fn send(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut datagram = vec![0; HEADER_BYTES + payload.len()];
        self.flow.wrap(payload, &mut datagram).unwrap();
        self.socket.send_to(&datagram, self.flow.relay()).unwrap();
        datagram
    }

    /// Says something until it is answered; datagrams may be lost on loopback, too.
    fn say(&mut self, payload: &[u8]) -> String {
        self.send(payload);
        self.until(|_, answer| answer.map(|answer| String::from_utf8(answer.to_vec()).unwrap()))
    }
}

#[test]
fn players_play_through_a_relay_with_servers_that_know_nothing_of_it() {
    let (relay, reports) = start(config("127.0.0.1:0"));
    let servers = [server("127.0.0.1:0"), server("127.0.0.1:0")];
    let mut ports = BTreeMap::new();
    let mut players: Vec<_> =
        (0..8_u8).map(|n| Player::new(n, relay.local_addr(), servers[usize::from(n % 2)])).collect();
    for (n, player) in (0_u8..).zip(&mut players) {
        assert_eq!(player.open(), FlowState::Open);
        let answer = player.say(b"hello");
        ports.insert(n, answer.split_once(' ').unwrap().0.to_owned());
        let Report::PlayerAt { player_session, address, .. } = reports.recv_timeout(PATIENCE).unwrap() else {
            panic!("a player has come")
        };
        assert_eq!(player_session, id(n));
        assert_eq!(address, player.socket.local_addr().unwrap(), "the true address");
    }
    let told_apart: std::collections::BTreeSet<_> = ports.values().collect();
    assert_eq!(told_apart.len(), 8, "each player has a port of his own");
    // And keeps it, also when he opens his flow again from another socket.
    for (n, player) in (0_u8..).zip(&mut players) {
        assert_eq!(player.say(&[b'x'; 1_400]).split_once(' ').unwrap().0, ports[&n]);
        let mut again = Player::new(n, relay.local_addr(), servers[usize::from(n % 2)]);
        assert_eq!(again.open(), FlowState::Open);
        assert_eq!(again.say(b"back").split_once(' ').unwrap().0, ports[&n]);
    }
}

#[test]
fn both_families_and_a_mix_of_them() {
    let (relay, _reports) = start(config("[::]:0"));
    let port = relay.local_addr().port();
    let mut n = 0;
    for relay in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        for server in [server("127.0.0.1:0"), server("[::1]:0")] {
            n += 1;
            let mut player = Player::new(n, relay.parse().unwrap(), server);
            assert_eq!(player.open(), FlowState::Open, "{relay} {server}");
            assert!(player.say(b"hello").ends_with(" hello"));
        }
    }
}

#[test]
fn a_player_who_moves_plays_on() {
    let (relay, reports) = start(config("127.0.0.1:0"));
    let mut player = Player::new(1, relay.local_addr(), server("127.0.0.1:0"));
    player.open();
    let port = player.say(b"here").split_once(' ').unwrap().0.to_owned();
    player.socket = Player::socket(relay.local_addr());
    // The first answers go to where he was; a challenge comes to where he is.
    let deadline = Instant::now() + PATIENCE;
    let answer = loop {
        assert!(Instant::now() < deadline);
        player.send(b"there, with some length");
        let until = Instant::now() + Duration::from_millis(300);
        let answer = player.until(|_, answer| match answer {
            Some(answer) => Some(Some(String::from_utf8(answer.to_vec()).unwrap())),
            None => (Instant::now() > until).then_some(None),
        });
        if let Some(answer) = answer {
            break answer;
        }
        player.flow.handle_timeout(player.started.elapsed());
    };
    assert_eq!(answer, format!("{port} there, with some length"));
    let moved = reports.try_iter().filter(|report| matches!(report, Report::PlayerAt { .. })).last();
    let Some(Report::PlayerAt { address, .. }) = moved else { panic!("he was seen") };
    assert_eq!(address, player.socket.local_addr().unwrap());
}

/// Eight datagrams are on the way at any moment, also when he moves. Echoes of those, and of what he sends until he has
/// answered the path challenge, may go to where he was; all others come to where he is. Upstream nothing is lost.
#[test]
fn a_move_costs_what_was_on_the_way_down_and_nothing_else() {
    const IN_FLIGHT: u32 = 8;
    let (relay, _reports) = start(config("127.0.0.1:0"));
    let mut player = Player::new(1, relay.local_addr(), server("127.0.0.1:0"));
    player.open();
    let number = |echo: &str| echo.rsplit_once(' ').unwrap().1.trim_start_matches('0').parse::<u32>().unwrap();
    let (mut sent, mut port) = (0, None);
    let mut send = |player: &mut Player| {
        sent += 1;
        player.send(format!("{sent:032}").as_bytes());
        sent
    };
    for _ in 0..3 {
        // He plays: an echo for each datagram, in their order, from one port.
        let mut next = send(&mut player);
        for _ in 1..IN_FLIGHT {
            send(&mut player);
        }
        for _ in 0..200 {
            let echo = player.until(|_, echo| echo.map(|echo| String::from_utf8(echo.to_vec()).unwrap()));
            let from = echo.split_once(' ').unwrap().0.to_owned();
            assert_eq!(*port.get_or_insert(from.clone()), from, "the server sees him at one port");
            assert_eq!(number(&echo), next);
            next += 1;
            send(&mut player);
        }
        // He moves, and sends until he is asked whether he is there; he is asked at most five times a second.
        let before = std::mem::replace(&mut player.socket, Player::socket(relay.local_addr()));
        let deadline = Instant::now() + PATIENCE;
        let last_before_the_response = loop {
            let last = send(&mut player);
            let mut buffer = [0; 2_048];
            player.socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            if let Ok((len, from)) = player.socket.recv_from(&mut buffer) {
                let event = player.flow.handle(player.started.elapsed(), from, &buffer[..len]);
                assert_eq!(event, FlowEvent::Control, "nothing comes before the challenge");
                let response = player.flow.poll_transmit().unwrap();
                player.socket.send_to(response.as_slice(), from).unwrap();
                break last;
            }
            assert!(Instant::now() < deadline, "no challenge");
        };
        let after_the_response = send(&mut player);
        let mut here = Vec::new();
        while here.last() != Some(&after_the_response) {
            let echo = player.until(|_, echo| echo.map(|echo| String::from_utf8(echo.to_vec()).unwrap()));
            here.push(number(&echo));
        }
        before.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut buffer = [0; 2_048];
        let mut lost = Vec::new();
        while let Ok((len, from)) = before.recv_from(&mut buffer) {
            if let FlowEvent::Payload(echo) = player.flow.handle(player.started.elapsed(), from, &buffer[..len]) {
                lost.push(number(std::str::from_utf8(echo).unwrap()));
            }
        }
        // The first of what was on the way went to the old address, the rest came to where he is; each once.
        assert!(lost.last() <= Some(&last_before_the_response), "{lost:?} and {last_before_the_response}");
        assert_eq!([lost, here].concat(), (next..=after_the_response).collect::<Vec<_>>());
    }
    let last = sent;
    let deadline = Instant::now() + PATIENCE;
    while relay.totals().down_datagrams < u64::from(last) {
        assert!(Instant::now() < deadline, "{:?}", relay.totals());
        thread::sleep(Duration::from_millis(20));
    }
    let totals = relay.totals();
    assert_eq!((totals.up_datagrams, totals.down_datagrams, totals.moved), (last.into(), last.into(), 3));
    assert_eq!(totals.drops_total(), 0);
}

#[test]
fn after_a_restart_players_are_back_at_once_and_nothing_old_passes() {
    let first = config("127.0.0.1:0");
    let (relay, _reports) = start(first.clone());
    let at = relay.local_addr();
    let mut player = Player::new(1, at, server("127.0.0.1:0"));
    player.open();
    let before = player.say(b"before");
    let old = player.send(b"captured by somebody else");
    drop(relay);
    let (relay, _reports) = start(RelayConfig { listen: at, ..first });
    player.send(b"is anybody there? this is long enough");
    player.until(|state, _| (state == FlowState::Knocking).then_some(()));
    assert_eq!(player.open(), FlowState::Open);
    // The server answers with the port that it sees, and sees the same.
    assert_eq!(player.say(b"after").strip_suffix(" after"), before.strip_suffix(" before"));
    player.socket.send_to(&old, at).unwrap();
    assert!(player.say(b"last").ends_with(" last"), "no answer to the old one comes first");
    assert_eq!(relay.views().len(), 1);
}

#[test]
fn several_cores_serve_and_each_player_meets_his_own() {
    let mut config = config("127.0.0.1:0");
    config.cores = 4;
    let (relay, _reports) = start(config);
    let server = server("127.0.0.1:0");
    let mut players: Vec<_> = (0..24).map(|n| Player::new(n, relay.local_addr(), server)).collect();
    for player in &mut players {
        assert_eq!(player.open(), FlowState::Open);
    }
    for player in &mut players {
        assert!(player.say(b"hello").ends_with(" hello"));
        player.socket = Player::socket(relay.local_addr());
        player.send(b"from another port, and the same core");
    }
    let deadline = Instant::now() + PATIENCE;
    while relay.totals().up_datagrams < 48 {
        assert!(Instant::now() < deadline, "{:?}", relay.totals());
        thread::sleep(Duration::from_millis(20));
    }
    let views = relay.views();
    assert!(views.iter().filter(|view| view.flows > 0).count() > 1, "more than one core has flows");
    assert_eq!(relay.totals().drops(DropReason::WrongCore), 0);
}

#[test]
fn revoked_players_and_forbidden_servers() {
    let (relay, reports) = start(config("127.0.0.1:0"));
    let here = server("127.0.0.1:0");
    let mut player = Player::new(1, relay.local_addr(), here);
    player.open();
    relay.revoke(id(1), VALID_UNTIL_MS);
    let over = player.until(|state, _| (state != FlowState::Open).then_some(state));
    assert_eq!(over, FlowState::Refused(RefuseCode::Revoked));
    let ended = reports.iter().any(|report| matches!(report, Report::FlowEnded { .. }));
    assert!(ended);
    let mut again = Player::new(1, relay.local_addr(), here);
    assert_eq!(again.open(), FlowState::Refused(RefuseCode::Revoked));
    let mut other = Player::new(2, relay.local_addr(), "192.0.2.1:7777".parse().unwrap());
    assert_eq!(other.open(), FlowState::Refused(RefuseCode::Destination));
}
