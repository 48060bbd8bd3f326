//! A player without a person: joins by ticket, plays, comes back when the connection breaks, leaves when told.

mod brain;
mod path;

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use playgate_client::player::{self, JoinError, Ticket};
use playgate_client::relay::Pump;

use crate::game::map::Map;
use crate::game::{Intent, TICKS_PER_SECOND};
use crate::net::is_passing;
use crate::wire::{DATAGRAM_BYTES_MAX, Ending, FromPlayer, FromServer, Look, Snapshot, Why};
use brain::Brain;

/// The server refused the ticket.
pub const EXIT_REFUSED: u8 = 3;
/// The server does not answer, or not any more.
pub const EXIT_SILENCE: u8 = 4;
/// The fleet took this player out.
pub const EXIT_REMOVED: u8 = 5;

/// Where the ticket is, unless a file is named.
pub const TICKET_VARIABLE: &str = "PLAYGATE_TICKET";

const TICK: Duration = Duration::from_nanos(1_000_000_000 / TICKS_PER_SECOND as u64);
const JOIN_TIME: Duration = Duration::from_secs(5);
/// A server that is silent for this long is looked for by joining again.
const SILENCE_MAX: Duration = Duration::from_secs(1);
const REJOIN_TIME: Duration = Duration::from_secs(3);
/// A goodbye is not acknowledged, so it is sent more than once.
const GOODBYE_COPIES: usize = 3;

pub struct Options {
    pub ticket_file: Option<PathBuf>,
    pub seconds: Option<u64>,
    /// Leave when the standard input ends.
    pub until_eof: bool,
}

pub fn run(options: &Options) -> ExitCode {
    let outcome = ticket(options).and_then(|ticket| {
        // The game knows nothing of relays: where there is one, a pump carries its datagrams.
        let pump = Pump::start_where_needed(&ticket, JOIN_TIME).map_err(|error| error.to_string())?;
        match &pump {
            Some(pump) => println!("through the relay at {}", pump.relay()),
            None if ticket.relays.is_empty() => {}
            None => println!("no relay answers; going straight to the server"),
        }
        let ticket = pump.as_ref().map_or(ticket, Pump::ticket);
        let socket = open(&ticket)?;
        Ok(Bot::new(ticket, socket).run(options))
    });
    outcome.unwrap_or_else(|problem| {
        eprintln!("{problem}");
        ExitCode::FAILURE
    })
}

fn ticket(options: &Options) -> Result<Ticket, String> {
    let text = match &options.ticket_file {
        Some(path) => std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?,
        None => std::env::var(TICKET_VARIABLE)
            .map_err(|_| format!("no ticket: put it into {TICKET_VARIABLE}, or name its file with --ticket-file"))?,
    };
    Ticket::from_text(&text).map_err(|error| error.to_string())
}

fn open(ticket: &Ticket) -> Result<UdpSocket, String> {
    let is_v6 = ticket.addresses.first().is_some_and(SocketAddr::is_ipv6);
    let socket = match is_v6 {
        true => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
        false => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
    };
    socket.map_err(|error| format!("no UDP socket: {error}"))
}

/// Why a bot stops.
enum Stop {
    Told,
    Over(Ending),
    Join(JoinError),
    Socket(io::Error),
}

struct Bot {
    ticket: Ticket,
    socket: UdpSocket,
    seed: u64,
    /// Made for the map that the first snapshot names.
    brain: Option<Brain>,
    view: Option<Snapshot>,
    sequence: u32,
    heard_at: Instant,
    snapshots: u64,
    longest_silence: Duration,
    deaths: u32,
}

impl Bot {
    fn new(ticket: Ticket, socket: UdpSocket) -> Self {
        let seed = ticket.player_session.to_string().bytes().fold(0, |seed: u64, b| seed.rotate_left(7) ^ u64::from(b));
        Self {
            ticket,
            socket,
            seed,
            brain: None,
            view: None,
            sequence: 0,
            heard_at: Instant::now(),
            snapshots: 0,
            longest_silence: Duration::ZERO,
            deaths: 0,
        }
    }

    fn run(mut self, options: &Options) -> ExitCode {
        let told = Arc::new(AtomicBool::new(false));
        if options.until_eof {
            watch_stdin(Arc::clone(&told));
        }
        let until = options.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let started = Instant::now();
        let stop = self.play(&told, until);
        if self.snapshots > 0 {
            self.summarise(started.elapsed());
        }
        report(&stop)
    }

    fn play(&mut self, told: &AtomicBool, until: Option<Instant>) -> Stop {
        let mut server = match self.join(JOIN_TIME) {
            Ok(server) => server,
            Err(error) => return Stop::Join(error),
        };
        let mut tick_at = Instant::now();
        loop {
            tick_at = (tick_at + TICK).max(Instant::now());
            if let Some(stop) = self.receive_until(tick_at, server) {
                return stop;
            }
            if told.load(Ordering::Relaxed) || until.is_some_and(|until| Instant::now() >= until) {
                (0..GOODBYE_COPIES).for_each(|_| self.send(FromPlayer::Goodbye, server));
                return Stop::Told;
            }
            if self.heard_at.elapsed() > SILENCE_MAX {
                println!("the server is silent; joining again");
                match self.join(REJOIN_TIME) {
                    Ok(address) => server = address,
                    Err(error) => return Stop::Join(error),
                }
            }
            self.act(server);
        }
    }

    fn join(&mut self, timeout: Duration) -> Result<SocketAddr, JoinError> {
        let asked = Instant::now();
        let joined = player::join_blocking(&self.socket, &self.ticket, timeout)?;
        let ms = asked.elapsed().as_secs_f64() * 1_000.0;
        println!("joined in {ms:.2} ms (generation {})", joined.generation);
        (self.sequence, self.heard_at) = (0, Instant::now());
        Ok(joined.server)
    }

    fn receive_until(&mut self, until: Instant, server: SocketAddr) -> Option<Stop> {
        let mut buffer = [0; 2 * DATAGRAM_BYTES_MAX];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let received = self.socket.set_read_timeout(Some(left)).and_then(|()| self.socket.recv_from(&mut buffer));
            let stop = match received {
                Ok((len, from)) if from == server => self.take(&buffer[..len]),
                Ok(_) => None,
                Err(error) if is_passing(&error) => None,
                Err(error) => Some(Stop::Socket(error)),
            };
            if stop.is_some() {
                return stop;
            }
        }
    }

    fn take(&mut self, datagram: &[u8]) -> Option<Stop> {
        match FromServer::read(datagram)? {
            FromServer::Over(ending) => Some(Stop::Over(ending)),
            FromServer::Snapshot(snapshot) => {
                self.look(snapshot);
                None
            }
        }
    }

    fn look(&mut self, snapshot: Snapshot) {
        self.longest_silence = self.longest_silence.max(self.heard_at.elapsed());
        self.heard_at = Instant::now();
        self.snapshots += 1;
        if self.view.as_ref().is_some_and(|before| before.tick >= snapshot.tick) {
            return; // overtaken by a later one
        }
        if self.brain.is_none() {
            let map = Map::by_id(snapshot.map).map_or("an unknown map", |map| map.name());
            println!("playing {} on {map}", snapshot.mode.name());
            self.brain = Brain::new(snapshot.map, self.seed);
        }
        let died =
            self.view.as_ref().map(own_look) == Some(Some(Look::Alive)) && own_look(&snapshot) == Some(Look::Dead);
        self.deaths += u32::from(died);
        self.view = Some(snapshot);
    }

    fn act(&mut self, server: SocketAddr) {
        let intent = match (&mut self.brain, &self.view) {
            (Some(brain), Some(view)) => brain.decide(view),
            _ => Intent::default(), // says at least that somebody is there
        };
        self.sequence += 1;
        self.send(FromPlayer::Input { sequence: self.sequence, intent }, server);
    }

    fn send(&self, message: FromPlayer, server: SocketAddr) {
        let _ = self.socket.send_to(&message.write(), server); // as good as lost on the way
    }

    fn summarise(&self, time: Duration) {
        let own = self.view.as_ref().and_then(|view| view.players.iter().find(|player| player.index == view.you));
        let score = own.map_or(0, |own| own.score);
        let acked = self.view.as_ref().map_or(0, |view| view.acked);
        println!(
            "played {:.1} s: {} snapshots, {acked} of {} inputs taken, longest silence {} ms, score {score}, {} deaths",
            time.as_secs_f64(),
            self.snapshots,
            self.sequence,
            self.longest_silence.as_millis(),
            self.deaths,
        );
    }
}

fn own_look(view: &Snapshot) -> Option<Look> {
    view.players.iter().find(|player| player.index == view.you).map(|own| own.look)
}

fn report(stop: &Stop) -> ExitCode {
    let (line, code) = match stop {
        Stop::Told => ("left".to_owned(), 0),
        Stop::Over(Ending { why: Why::Removed, .. }) => ("was taken out".to_owned(), EXIT_REMOVED),
        Stop::Over(Ending { why: Why::Stopped, .. }) => ("the game session was stopped".to_owned(), 0),
        Stop::Over(Ending { why: Why::MatchOver, winner }) => {
            (winner.map_or("the match is over".to_owned(), |winner| format!("player {winner} wins")), 0)
        }
        Stop::Join(error @ JoinError::Refused { .. }) => (error.to_string(), EXIT_REFUSED),
        Stop::Join(error @ JoinError::TimedOut) => (error.to_string(), EXIT_SILENCE),
        Stop::Join(error) => (error.to_string(), 1),
        Stop::Socket(error) => (format!("the socket failed: {error}"), 1),
    };
    println!("{line}");
    ExitCode::from(code)
}

/// The end of the standard input is how a parent says that it is enough, also when it was killed.
fn watch_stdin(told: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        while !matches!(stdin.read(&mut [0; 64]), Ok(0) | Err(_)) {}
        told.store(true, Ordering::Relaxed);
    });
}
