//! A small game server: it tells every admitted player what it was told. The tests of this crate run it.
//!
//! `playgate dev -- target/debug/examples/echo_server --port {port}`
//!
//! A session's `behave` property makes it misbehave, so that one can watch what happens: `crash`, `hang` (stops
//! ticking), `never-activate`, `ignore` (ignores every request to end).

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use playgate::{Config, Event, PlayerSessionId, ReplyBuf, Server, Verdict};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    // What the SDK logs, where somebody asks for it: PLAYGATE_LOG=debug, let through by the fleet's `env_pass`.
    if let Ok(filter) = EnvFilter::try_from_env("PLAYGATE_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    }
    let port = std::env::args().skip_while(|argument| argument != "--port").nth(1);
    let port: u16 = port.ok_or("usage: echo_server --port PORT")?.parse()?;
    let socket = UdpSocket::bind(("0.0.0.0", port))?;
    socket.set_read_timeout(Some(Duration::from_millis(5)))?;
    let server = Server::start(Config::from_env()?)?;
    server.ready(&[socket.local_addr()?.port()]);
    println!("listens on {}", socket.local_addr()?);
    Echo { socket, server, players: BTreeMap::new(), behave: String::new() }.run()
}

struct Echo {
    socket: UdpSocket,
    server: Server,
    players: BTreeMap<SocketAddr, (PlayerSessionId, String)>,
    behave: String,
}

impl Echo {
    fn run(mut self) -> Result<(), Box<dyn Error>> {
        let mut buffer = [0; 2_048];
        loop {
            while let Some(event) = self.server.poll() {
                if self.happened(event) {
                    self.server.shutdown(Duration::from_secs(2));
                    return Ok(());
                }
            }
            if self.behave == "hang" {
                loop {
                    std::thread::park(); // no more ticks: the SDK's thread goes on and reports bad health
                }
            }
            if let Ok((len, from)) = self.socket.recv_from(&mut buffer) {
                self.datagram(from, &buffer[..len])?;
            }
        }
    }

    /// Whether it is time to exit.
    fn happened(&mut self, event: Event) -> bool {
        match event {
            Event::StartSession(session) => {
                self.behave = session.properties.get("behave").unwrap_or_default().to_owned();
                println!("session {} map={:?}", session.id, session.properties.get("map"));
                match self.behave.as_str() {
                    "crash" => panic!("told to crash"),
                    "never-activate" => {}
                    _ => drop(self.server.activate()),
                }
            }
            Event::PlayerLeft { player, .. } => self.players.retain(|_, (id, _)| *id != player),
            Event::EndSession { .. } if self.behave != "ignore" => {
                self.players.clear();
                self.server.end_session();
            }
            Event::Terminate { .. } => return self.behave != "ignore",
            Event::LinkRefused { detail, .. } => eprintln!("{detail}"),
            Event::EndSession { .. } | Event::LinkUp | Event::LinkDown => {}
        }
        false
    }

    fn datagram(&mut self, from: SocketAddr, datagram: &[u8]) -> std::io::Result<()> {
        let mut reply = ReplyBuf::new();
        match self.server.handle(from, datagram, &mut reply) {
            Verdict::Admitted(player) => {
                println!("{} is in, generation {}", player.player, player.generation);
                self.players.retain(|_, (id, _)| *id != player.player_session);
                self.players.insert(from, (player.player_session, player.player));
            }
            Verdict::NotOurs => self.said(from, datagram)?,
            Verdict::Refused(reason) => println!("refused: {reason}"),
            Verdict::Reply => {}
        }
        if !reply.is_empty() {
            self.socket.send_to(reply.as_slice(), from)?;
        }
        Ok(())
    }

    fn said(&mut self, from: SocketAddr, datagram: &[u8]) -> std::io::Result<()> {
        let Some((id, name)) = self.players.get(&from).cloned() else { return Ok(()) };
        match datagram {
            b"bye" => {
                self.server.leave(id);
                self.players.remove(&from);
            }
            b"end" => self.server.end_session(),
            said => {
                let echo = format!("{name}: {}", String::from_utf8_lossy(said));
                self.socket.send_to(echo.as_bytes(), from)?;
            }
        }
        Ok(())
    }
}
