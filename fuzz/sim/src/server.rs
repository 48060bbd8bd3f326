//! A game server: the real gate, driven as the SDK drives it, and a game that loads, plays, ends, hangs and crashes.
//! The rules of `sdk/server/src/driver.rs` and `up.rs`.

use std::net::IpAddr;

use playgate_gate::{Gate, GateConfig};
use playgate_protocol::server::{ServerDown, ServerUp, Wanted};
use playgate_protocol::{
    Credential, Fingerprint, GameSessionId, Greeting, HelloRole, Name, RefusalReason, Secret32, ServerProcessId,
    WelcomeRole,
};
use playgate_token::{GateRoot, HolderRoot};

use crate::clock::{MS, Micros, Monotonic, SECOND};
use crate::event::{Ev, Game};
use crate::net::{Down, Peer, Up};
use crate::trace::say;
use crate::world::World;

const REDIAL_MIN: Micros = 200 * MS;
const REDIAL_MAX: Micros = 10 * SECOND;
const REFUSED_WAIT: Micros = 30 * SECOND;
const SILENT_BEATS_MAX: u32 = 3;
const REPORTS_IN_FLIGHT_MAX: u64 = 2_048;

/// The SDK's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Waits before it dials.
    Down {
        /// Until then.
        redial_at: Micros,
    },
    /// Has dialled.
    Dialling(usize),
    /// Is welcome.
    Up(Linked),
}

/// A link that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linked {
    /// It.
    pub conn: usize,
    pub(crate) sent: u64,
    pub(crate) acked: u64,
    unanswered: u32,
    pub(crate) drained: bool,
}

/// One server process.
pub struct Server {
    /// Its id.
    pub process: ServerProcessId,
    /// Its host.
    pub host: usize,
    /// Its port on that host.
    pub port: u16,
    /// Whether it runs.
    pub alive: bool,
    pub(crate) clock: Monotonic,
    key: Fingerprint,
    credential: Secret32,
    /// Once it was welcome.
    pub gate: Option<Gate>,
    pub(crate) over: bool,
    pub(crate) line: Line,
    backoff: Micros,
    beat_at: Micros,
    wake_at: Micros,
    pub(crate) ready: bool,
    pub(crate) leave_by: Option<Micros>,
    pub(crate) paused_until: Micros,
    /// The game hangs until then: its health is bad.
    pub sick_until: Micros,
    /// What it hosts, as its game knows.
    pub hosts: Option<GameSessionId>,
    /// The last wanted state it took in.
    pub wanted: Option<Wanted>,
    /// It says what it likes.
    pub is_byzantine: bool,
    pub(crate) evil_seq: u64,
}

impl Server {
    pub(crate) fn heal(&mut self, now: Micros) {
        self.paused_until = self.paused_until.min(now);
        self.sick_until = 0;
    }
}

impl World {
    /// A process is started on a host.
    pub(crate) fn server_starts(&mut self, process: ServerProcessId, host: usize, port: u16, credential: Secret32) {
        let ppm = self.rng.between(0, 10_000) as i64 - 5_000;
        let clock = Monotonic::new(self.now, self.rng.below(1 << 38), ppm);
        let byzantine = !self.is_calm()
            && self.weather.byzantine
            && !self.servers.iter().any(|server| server.is_byzantine && server.alive)
            && self.rng.chance(500);
        let server = self.servers.len();
        let key = Fingerprint::from_bytes(self.rng.bytes());
        self.servers.push(Server {
            process,
            host,
            port,
            alive: true,
            clock,
            key,
            credential,
            gate: None,
            over: false,
            line: Line::Down { redial_at: self.now + 5 * MS },
            backoff: REDIAL_MIN,
            beat_at: self.now + SECOND,
            wake_at: 0,
            ready: false,
            leave_by: None,
            paused_until: 0,
            sick_until: 0,
            hosts: None,
            wanted: None,
            is_byzantine: byzantine,
            evil_seq: 0,
        });
        say!(self, "server {server} is {process} on host {host}{}", if byzantine { ", and lies" } else { "" });
        let ready_in = self.around(self.weather.ready_ms, 3_800);
        if let Some(ready_in) = ready_in {
            self.after(ready_in, Ev::Game { server, what: Game::Ready });
        }
        self.server_wakes_at(server, self.now);
    }

    /// A time a game takes: mostly short, sometimes just around the deadline, sometimes for ever.
    pub(crate) fn around(&mut self, usual_ms: u64, deadline_ms: u64) -> Option<Micros> {
        let (hang, late) = if self.is_calm() { (0, 0) } else { (self.weather.hang, 150) };
        if self.rng.chance(hang) {
            return None;
        }
        if self.rng.chance(late) {
            return Some(self.rng.between(deadline_ms.saturating_sub(300), deadline_ms + 300) * MS);
        }
        Some(self.rng.between(1, usual_ms.max(1)) * MS)
    }

    fn server_wakes_at(&mut self, server: usize, at: Micros) {
        let state = &mut self.servers[server];
        if state.wake_at <= self.now || at < state.wake_at {
            state.wake_at = at.max(self.now);
            self.at(at, Ev::ServerWake { server });
        }
    }

    /// One round of the SDK's loop.
    pub(crate) fn server_turn(&mut self, server: usize) {
        if !self.servers[server].alive {
            return;
        }
        if self.servers[server].wake_at <= self.now {
            self.servers[server].wake_at = 0;
        }
        self.server_keeps_time(server);
        self.server_sends(server);
        self.server_maybe_leaves(server);
        let state = &self.servers[server];
        if !state.alive {
            return;
        }
        let gate = state.gate.as_ref().and_then(Gate::poll_timeout).map(|at| state.clock.when(at));
        let line = match state.line {
            Line::Down { redial_at } if !state.over => Some(redial_at),
            _ => None,
        };
        let next = [Some(state.beat_at), gate, line, state.leave_by].into_iter().flatten().min();
        self.server_wakes_at(server, next.unwrap_or(self.now + SECOND).max(self.now + 1));
    }

    fn server_keeps_time(&mut self, server: usize) {
        let now = self.now;
        let state = &mut self.servers[server];
        let local = state.clock.read(now);
        if let Some(gate) = &mut state.gate
            && gate.poll_timeout().is_some_and(|at| at <= local)
        {
            gate.handle_timeout(local);
        }
        if matches!(state.line, Line::Down { redial_at } if redial_at <= now) && !state.over {
            self.server_dials(server);
        }
        if self.servers[server].beat_at <= now {
            self.servers[server].beat_at = now + SECOND;
            self.server_beats(server);
        }
        self.gate_events(server);
    }

    fn server_dials(&mut self, server: usize) {
        let state = &self.servers[server];
        let credential = Credential::Launch { process: state.process, secret: state.credential.clone() };
        let held_version = state.gate.as_ref().map_or(0, Gate::held_version);
        let role = HelloRole::Server { name: Name::lossy("server"), advertise: None, held_version };
        let key = state.key;
        let conn = self.dial(Peer::Server(server), key, Self::hello(credential, role));
        self.servers[server].line = Line::Dialling(conn);
    }

    fn server_beats(&mut self, server: usize) {
        let state = &mut self.servers[server];
        let Line::Up(up) = &mut state.line else { return };
        if up.unanswered == SILENT_BEATS_MAX {
            return self.server_hangs_up(server);
        }
        up.unanswered += 1;
        let conn = up.conn;
        if state.is_byzantine {
            return self.byzantine_says(server, conn);
        }
        let Some(gate) = &mut state.gate else { return };
        let healthy = state.sick_until <= self.now;
        let beat = gate.beat(state.clock.read(self.now), healthy);
        self.log.beats.push((server, beat));
        self.server_sends(server);
        self.send_up(conn, Up::Server(ServerUp::Beat(beat)));
    }

    fn server_sends(&mut self, server: usize) {
        loop {
            let state = &mut self.servers[server];
            let (Line::Up(up), Some(gate)) = (&mut state.line, &mut state.gate) else { return };
            up.drained = false;
            if up.sent - up.acked >= REPORTS_IN_FLIGHT_MAX || state.is_byzantine {
                return;
            }
            let Some(batch) = gate.next_batch() else {
                up.drained = true;
                return;
            };
            for (seq, report) in (batch.first_seq..).zip(&batch.reports) {
                self.log.reports.push((server, seq, report.clone()));
                up.sent = up.sent.max(seq);
            }
            let conn = up.conn;
            if !self.is_calm() && self.rng.chance(self.weather.repeat) {
                self.send_up(conn, Up::Server(ServerUp::Reports(batch.clone())));
            }
            self.send_up(conn, Up::Server(ServerUp::Reports(batch)));
        }
    }

    fn server_hangs_up(&mut self, server: usize) {
        if let Line::Up(Linked { conn, .. }) | Line::Dialling(conn) = self.servers[server].line {
            self.peer_closes(conn);
        }
        self.server_is_down(server, 0);
    }

    fn server_is_down(&mut self, server: usize, wait: Micros) {
        let state = &mut self.servers[server];
        let backoff = state.backoff;
        state.backoff = (backoff * 2).min(REDIAL_MAX);
        let redial_at = self.now + wait + self.rng.below(backoff) + 1;
        self.servers[server].line = Line::Down { redial_at };
        self.server_wakes_at(server, redial_at);
    }

    pub(crate) fn server_loses(&mut self, server: usize, conn: usize) {
        let state = &self.servers[server];
        let is_mine = matches!(state.line, Line::Up(Linked { conn: mine, .. }) | Line::Dialling(mine) if mine == conn);
        if state.alive && is_mine {
            self.server_is_down(server, 0);
        }
    }

    pub(crate) fn server_hears(&mut self, server: usize, conn: usize, message: Down) {
        if !self.servers[server].alive {
            return;
        }
        let mine = match self.servers[server].line {
            Line::Up(Linked { conn, .. }) | Line::Dialling(conn) => Some(conn),
            Line::Down { .. } => None,
        };
        if mine != Some(conn) {
            return;
        }
        match message {
            Down::Greeting(Greeting::Welcome(welcome)) => {
                self.server_is_welcome(server, conn, welcome.now_ms, welcome.role)
            }
            Down::Greeting(Greeting::Refused(refusal)) => match refusal.reason {
                RefusalReason::ProcessEnded => {
                    // The fleet has given it up: nobody is admitted, and it should exit.
                    let state = &mut self.servers[server];
                    (state.gate, state.over, state.hosts) = (None, true, None);
                    state.line = Line::Down { redial_at: Micros::MAX };
                    let ignores = !self.is_calm() && self.rng.chance(250);
                    if let Some(delay) = self.around(500, 1_000).filter(|_| !ignores) {
                        self.after(delay, Ev::Game { server, what: Game::Exit(0) });
                    }
                }
                RefusalReason::Busy => self.server_is_down(server, Micros::from(refusal.retry_after_ms) * MS),
                _ => self.server_is_down(server, REFUSED_WAIT),
            },
            Down::Close => self.server_is_down(server, 0),
            Down::Server(message) => self.server_takes(server, message),
            Down::Agent(_) | Down::Api(_) => {}
        }
        self.server_turn(server);
    }

    fn server_is_welcome(&mut self, server: usize, conn: usize, now_ms: u64, role: WelcomeRole) {
        let WelcomeRole::Server { process, gate_root, holder_root, applied_seq, .. } = role else {
            return self.fail("13", format!("server {server} was welcomed as something else"));
        };
        if process != self.servers[server].process {
            return self.fail("13", format!("server {server} was welcomed as {process}"));
        }
        let secret_seed = self.rng.bytes();
        let state = &mut self.servers[server];
        let local = state.clock.read(self.now);
        if state.gate.is_none() {
            let gate_root = GateRoot::from_bytes(*gate_root.reveal());
            let holder_root = HolderRoot::from_bytes(*holder_root.reveal());
            let mut gate = Gate::new(GateConfig { process, gate_root, holder_root, secret_seed }, local);
            if state.ready {
                gate.ready(local, &[state.port]);
            }
            if state.leave_by.is_some() {
                gate.ending(local);
            }
            state.gate = Some(gate);
        }
        let gate = state.gate.as_mut().expect("made above");
        gate.sync_clock(local, now_ms);
        gate.resume(applied_seq);
        state.evil_seq = applied_seq;
        state.beat_at = self.now;
        state.line = Line::Up(Linked { conn, sent: applied_seq, acked: applied_seq, unanswered: 0, drained: false });
    }

    fn server_takes(&mut self, server: usize, message: ServerDown) {
        let state = &mut self.servers[server];
        let (Line::Up(up), Some(gate)) = (&mut state.line, &mut state.gate) else { return };
        up.unanswered = 0;
        state.backoff = REDIAL_MIN;
        let local = state.clock.read(self.now);
        match message {
            ServerDown::Wanted(mut wanted) => {
                if let Some(session) = wanted.session.as_mut().filter(|_| self.weather.tight) {
                    // As if more had been sold than there is: the server's own maximum is the one that counts.
                    session.max_players = session.max_players.div_ceil(2);
                }
                state.beat_at = self.now;
                state.wanted = Some(wanted.clone());
                if !state.is_byzantine {
                    gate.apply(local, wanted);
                    self.log.applied.push(server);
                }
            }
            ServerDown::ReportAck { through_seq } => {
                up.acked = up.acked.max(through_seq.min(up.sent));
                state.evil_seq = through_seq;
                let acked = up.acked;
                gate.acked(acked);
            }
            ServerDown::Clock { now_ms } => gate.sync_clock(local, now_ms),
            ServerDown::PlayerAt { .. } => unreachable!("nobody joins as a relay"),
        }
        self.gate_events(server);
    }

    pub(crate) fn host_address(host: usize) -> IpAddr {
        IpAddr::from([10, 0, host as u8, 1])
    }

    pub(crate) fn address_of(&self, peer: Peer) -> IpAddr {
        match peer {
            Peer::Agent(host) => Self::host_address(host),
            Peer::Server(server) => Self::host_address(self.servers[server].host),
            Peer::Backend(_) | Peer::Stranger => IpAddr::from([192, 0, 2, 1]),
        }
    }
}
