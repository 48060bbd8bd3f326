//! The game server: one socket, one loop, thirty ticks a second. Where it meets Playgate is in this file.
//!
//! ```text
//!   until the tick is due:  datagram ──► sdk.handle ──► NotOurs:  the match
//!                                              └──────► Admitted: a seat for this address
//!   the tick:               sdk.poll ──► start, end, remove, terminate
//!                           the match moves on, everybody gets a snapshot
//! ```

mod round;
mod seats;

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use playgate::{Admission, Config, Event, GameSession, RefuseReason, ReplyBuf, Verdict};

use crate::game::{PLAYERS_MAX, Setup, TICKS_PER_SECOND};
use crate::net::is_passing;
use crate::wire::Why;
use round::Round;

const TICK: Duration = Duration::from_nanos(1_000_000_000 / TICKS_PER_SECOND as u64);
/// A server that was held up this long does not catch up: it goes on from there.
const LATE_MAX: Duration = Duration::from_millis(200);
/// Larger than any datagram of ours, so that one that is too long is seen to be.
const RECEIVE_BYTES: usize = 2_048;
/// What the last reports may take when the server ends.
const FAREWELL: Duration = Duration::from_secs(2);
/// Refusals are printed at most this often, however many there are.
const REFUSALS_EVERY_TICKS: u32 = TICKS_PER_SECOND / 5;

/// Prints a line. A log that cannot be written is no reason to end a match.
macro_rules! say {
    ($($text:tt)*) => { drop(writeln!(std::io::stdout(), $($text)*)) };
}
use say;

/// Serves until the fleet tells it to end.
pub fn run(port: u16, name: &str) -> ExitCode {
    match Server::start(port, name) {
        Ok(server) => server.run(),
        Err(problem) => {
            say!("cannot start: {problem}");
            ExitCode::FAILURE
        }
    }
}

struct Server {
    playgate: playgate::Server,
    socket: UdpSocket,
    round: Option<Round>,
    ticks: u32,
    /// Per reason, as last printed.
    refusals: Vec<(RefuseReason, u64)>,
}

impl Server {
    fn start(port: u16, name: &str) -> Result<Self, String> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).map_err(|error| format!("port {port}: {error}"))?;
        let port = socket.local_addr().map_err(|error| error.to_string())?.port();
        let config = Config::from_env().map_err(|error| error.to_string())?.name(name);
        let playgate = playgate::Server::start(config).map_err(|error| error.to_string())?;
        playgate.ready(&[port]);
        say!("server {name} listens on port {port}");
        Ok(Self { playgate, socket, round: None, ticks: 0, refusals: Vec::new() })
    }

    fn run(mut self) -> ExitCode {
        let mut tick_at = Instant::now() + TICK;
        loop {
            if let Err(error) = self.receive_until(tick_at) {
                say!("the socket failed: {error}");
                return ExitCode::FAILURE; // an exit without a goodbye: the fleet counts it as a crash and replaces us
            }
            tick_at = (tick_at + TICK).max(Instant::now().checked_sub(LATE_MAX).unwrap_or(tick_at));
            while let Some(event) = self.playgate.poll() {
                if let Event::Terminate { .. } = event {
                    return self.end();
                }
                self.obey(event);
            }
            self.tick();
        }
    }

    /// Takes datagrams as they come, so that nobody waits for a tick to be admitted. A flood ends with the tick.
    fn receive_until(&mut self, tick_at: Instant) -> io::Result<()> {
        let (mut buffer, mut reply) = ([0; RECEIVE_BYTES], ReplyBuf::new());
        loop {
            let left = tick_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) => self.take(from, &buffer[..len], &mut reply),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Every datagram goes to Playgate first; what is not of the handshake is the game's.
    fn take(&mut self, from: SocketAddr, datagram: &[u8], reply: &mut ReplyBuf) {
        match self.playgate.handle(from, datagram, reply) {
            Verdict::NotOurs => self.take_game_datagram(from, datagram),
            Verdict::Admitted(admission) => self.admit(from, &admission),
            Verdict::Reply | Verdict::Refused(_) => {}
        }
        if !reply.is_empty() {
            send(&self.socket, reply.as_slice(), from);
        }
    }

    fn take_game_datagram(&mut self, from: SocketAddr, datagram: &[u8]) {
        let Some(round) = &mut self.round else { return };
        if let Some(left) = round.take(from, datagram) {
            self.playgate.leave(left);
        }
    }

    fn admit(&mut self, from: SocketAddr, admission: &Admission) {
        let Some(round) = &mut self.round else { return };
        if !round.seat(from, admission) {
            self.playgate.leave(admission.player_session); // never: Setup is refused when it asks for more seats
        }
    }

    fn obey(&mut self, event: Event) {
        match event {
            Event::StartSession(session) => self.start_session(&session),
            Event::EndSession { .. } => self.end_session(Why::Stopped),
            Event::PlayerLeft { player, reason } => {
                if let Some(round) = &mut self.round {
                    round.remove(&self.socket, player, reason);
                }
            }
            Event::LinkUp => say!("the coordinator is reached"),
            Event::LinkDown => say!("the coordinator is away; players do not notice"),
            Event::LinkRefused { detail, .. } => say!("the coordinator refuses this server: {detail}"),
            Event::Terminate { .. } => {} // the loop ends before it comes here
        }
    }

    fn start_session(&mut self, session: &GameSession) {
        self.end_session(Why::Stopped); // does nothing unless the fleet has replaced a session under way
        let setup = match Setup::from_properties(|key| session.properties.get(key)) {
            Ok(setup) if usize::from(session.max_players) <= PLAYERS_MAX => setup,
            Ok(_) => return self.decline(&format!("{} players are asked for", session.max_players)),
            Err(error) => return self.decline(&error.to_string()),
        };
        let round = Round::new(session, setup);
        match self.playgate.activate() {
            Ok(()) => self.round = Some(round),
            Err(error) => say!("{} is not wanted any more: {error}", session.id),
        }
    }

    /// The session asks for what this game does not have.
    fn decline(&self, why: &str) {
        say!("declined: {why}; at most {PLAYERS_MAX} players");
        self.playgate.end_session();
    }

    fn end_session(&mut self, why: Why) {
        if let Some(round) = self.round.take() {
            round.end(&self.socket, why);
            self.playgate.end_session();
        }
    }

    fn tick(&mut self) {
        self.ticks = self.ticks.wrapping_add(1);
        if let Some(round) = &mut self.round {
            for silent in round.find_silent(Instant::now()) {
                self.playgate.disconnected(silent);
            }
            if round.step(&self.socket) {
                self.end_session(Why::MatchOver);
            }
        }
        if self.ticks.is_multiple_of(REFUSALS_EVERY_TICKS) {
            self.print_refusals();
        }
    }

    /// What rose since the last time, one line a reason: an attacker cannot fill the disk with them.
    fn print_refusals(&mut self) {
        let Some(counters) = self.playgate.counters() else { return };
        for reason in RefuseReason::ALL {
            let count = counters.refused(*reason);
            let printed = self.refusals.iter_mut().find(|(known, _)| known == reason);
            match printed {
                Some((_, printed)) if *printed != count => *printed = count,
                None if count > 0 => self.refusals.push((*reason, count)),
                _ => continue,
            }
            say!("refused {reason} {count}");
        }
    }

    fn end(mut self) -> ExitCode {
        self.end_session(Why::Stopped);
        let delivered = self.playgate.shutdown(FAREWELL);
        say!("ends; the coordinator knows everything: {delivered}");
        ExitCode::SUCCESS
    }
}

/// A player whose datagram cannot be sent is one whose datagram was lost; silence tells the rest.
fn send(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) {
    let _ = socket.send_to(datagram, to);
}
