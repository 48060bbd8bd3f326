//! The game server that is run here: admits players, and writes down each fact that it acted on before anybody hears.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use playgate::{Config, Event, PlayerSessionId, ReplyBuf, Server, Verdict};
use playgate_protocol::GameSessionId;

use crate::Outcome;

/// How long one look at the socket takes at most; events are polled in between.
const TICK: Duration = Duration::from_millis(20);
const FAREWELL: Duration = Duration::from_secs(2);

/// The property by which a session is told to end by itself, after so many milliseconds.
pub const ENDS_MS: &str = "ends_ms";

/// Serves until the fleet tells it to end.
pub fn run(port: u16, facts: &Path) -> Outcome<()> {
    // Two hosts on one machine have addresses of their own, and perhaps the same ports.
    let ip = std::env::var("PLAYGATE_ADVERTISE").ok().and_then(|text| text.parse().ok());
    let socket = UdpSocket::bind((ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port))?;
    socket.set_read_timeout(Some(TICK))?;
    let facts = File::options().create(true).append(true).open(facts)?;
    let server = Server::start(Config::from_env()?)?;
    server.ready(&[socket.local_addr()?.port()]);
    Game { socket, facts, server, players: BTreeMap::new(), session: None, ends_at: None }.run()
}

struct Game {
    socket: UdpSocket,
    facts: File,
    server: Server,
    players: BTreeMap<SocketAddr, PlayerSessionId>,
    session: Option<GameSessionId>,
    ends_at: Option<Instant>,
}

impl Game {
    fn run(mut self) -> Outcome<()> {
        let mut buffer = [0; 2_048];
        loop {
            while let Some(event) = self.server.poll() {
                if self.happened(event)? {
                    let delivered = self.server.shutdown(FAREWELL);
                    return self.note(&format!("exits {delivered}"));
                }
            }
            if self.ends_at.is_some_and(|at| at <= Instant::now()) {
                self.end()?;
            }
            if let Ok((len, from)) = self.socket.recv_from(&mut buffer) {
                self.datagram(from, &buffer[..len])?;
            }
        }
    }

    /// One write for one fact: it is there as a whole, or it is not.
    fn note(&mut self, fact: &str) -> Outcome<()> {
        Ok(self.facts.write_all(format!("{fact}\n").as_bytes())?)
    }

    /// Whether it is time to exit.
    fn happened(&mut self, event: Event) -> Outcome<bool> {
        match event {
            Event::StartSession(session) => {
                self.players.clear();
                self.note(&format!("started {} {}", session.id, session.max_players))?;
                if self.server.activate().is_ok() {
                    self.note(&format!("activated {}", session.id))?;
                }
                let ends_ms = session.properties.get(ENDS_MS).and_then(|text| text.parse().ok());
                self.ends_at = ends_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
                self.session = Some(session.id);
            }
            Event::PlayerLeft { player, reason } => {
                self.players.retain(|_, known| *known != player);
                self.note(&format!("gone {player} {reason}"))?;
            }
            Event::EndSession { .. } => self.end()?,
            Event::Terminate { .. } => return Ok(true),
            Event::LinkRefused { detail, .. } => eprintln!("{detail}"),
            Event::LinkUp | Event::LinkDown => {}
        }
        Ok(false)
    }

    fn end(&mut self) -> Outcome<()> {
        self.ends_at = None;
        self.players.clear();
        if let Some(session) = self.session.take() {
            self.note(&format!("ended {session}"))?;
        }
        self.server.end_session();
        Ok(())
    }

    fn datagram(&mut self, from: SocketAddr, datagram: &[u8]) -> Outcome<()> {
        let mut reply = ReplyBuf::new();
        match self.server.handle(from, datagram, &mut reply) {
            Verdict::Admitted(player) => {
                let (id, generation) = (player.player_session, player.generation);
                let session = self.session.ok_or("a player was admitted to no game session")?;
                self.note(&format!("admitted {session} {id} {generation}"))?;
                self.players.retain(|_, known| *known != id);
                self.players.insert(from, id);
            }
            Verdict::NotOurs => self.said(from, datagram)?,
            Verdict::Reply | Verdict::Refused(_) => {}
        }
        if !reply.is_empty() {
            let _ = self.socket.send_to(reply.as_slice(), from); // as good as lost on the way
        }
        Ok(())
    }

    fn said(&mut self, from: SocketAddr, datagram: &[u8]) -> Outcome<()> {
        let Some(player) = self.players.get(&from).copied() else { return Ok(()) };
        match datagram {
            b"leave" => {
                self.players.remove(&from);
                self.note(&format!("left {player}"))?;
                self.server.leave(player);
            }
            b"drop" => {
                self.players.remove(&from);
                self.server.disconnected(player);
            }
            _ => {}
        }
        Ok(())
    }
}
