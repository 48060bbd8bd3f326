//! The game on a server: it loads what it is told to, plays, ends, hangs and exits.

use playgate_gate::{Gate, GateEvent};
use playgate_protocol::agent::ExitStatus;

use crate::clock::MS;
use crate::event::{Ev, Game};
use crate::server::{Line, Linked};
use crate::trace::say;
use crate::world::World;

impl World {
    pub(crate) fn gate_events(&mut self, server: usize) {
        while let Some(event) = self.servers[server].gate.as_mut().and_then(Gate::poll_event) {
            say!(self, "server {server} event {}", short(&event));
            match event {
                GateEvent::StartSession(session) => {
                    if !self.servers[server].ready {
                        self.fail("11", format!("server {server} was given {} before it was ready", session.id));
                    }
                    self.servers[server].hosts = Some(session.id);
                    if let Some(delay) = self.around(self.weather.load_ms, 3_000) {
                        self.after(delay, Ev::Game { server, what: Game::Activate(session.id) });
                    }
                }
                GateEvent::EndSession { session, .. } => {
                    if let Some(delay) = self.around(400, 1_000) {
                        self.after(delay, Ev::Game { server, what: Game::EndSession(session) });
                    }
                }
                GateEvent::Terminate { .. } => {
                    if let Some(delay) = self.around(300, 1_500) {
                        self.after(delay, Ev::Game { server, what: Game::Ending });
                    }
                }
                GateEvent::PlayerLeft { .. } => {}
            }
        }
    }

    /// The game does something.
    pub(crate) fn game(&mut self, server: usize, what: Game) {
        let state = &mut self.servers[server];
        if !state.alive {
            return;
        }
        say!(self, "server {server} game {what:?}");
        let local = self.servers[server].clock.read(self.now);
        let state = &mut self.servers[server];
        match what {
            Game::Ready => state.ready = true,
            Game::Ending => state.leave_by = Some(self.now + 1_200 * MS),
            Game::Exit(code) => return self.server_exits(server, ExitStatus::Code(code)),
            _ => {}
        }
        let Some(gate) = &mut state.gate else { return };
        match what {
            Game::Ready => gate.ready(local, &[state.port]),
            Game::Activate(session) if state.hosts == Some(session) => {
                if gate.activate(local).is_ok() {
                    let plays = self.rng.between(2_000, self.weather.session_ms) * MS;
                    self.after(plays, Ev::Game { server, what: Game::EndSession(session) });
                }
            }
            Game::EndSession(session) if state.hosts == Some(session) => {
                gate.end_session(local);
                state.hosts = None;
            }
            Game::Ending => gate.ending(local),
            Game::Disconnected(player) => gate.disconnected(local, player),
            Game::Leave(player) => gate.leave(local, player),
            Game::Activate(_) | Game::EndSession(_) | Game::Exit(_) => {}
        }
        self.server_turn(server);
    }

    /// After *ending*: until everything is acknowledged, or out of time.
    pub(crate) fn server_maybe_leaves(&mut self, server: usize) {
        let state = &self.servers[server];
        let Some(leave_by) = state.leave_by else { return };
        let delivered = matches!(state.line, Line::Up(up) if up.drained && up.acked == up.sent);
        if delivered || state.over || leave_by <= self.now {
            self.server_exits(server, ExitStatus::Code(0));
        }
    }

    /// The process is gone. Its links are closed by the system; its host's agent hears of it.
    pub(crate) fn server_exits(&mut self, server: usize, status: ExitStatus) {
        let state = &mut self.servers[server];
        if !std::mem::replace(&mut state.alive, false) {
            return;
        }
        state.gate = None;
        let (process, line) = (state.process, state.line);
        say!(self, "server {server} exits: {status}");
        if let Line::Up(Linked { conn, .. }) | Line::Dialling(conn) = line {
            self.peer_closes(conn);
        }
        self.process_is_gone(self.servers[server].host, process, status);
    }
}

fn short(event: &GateEvent) -> String {
    match event {
        GateEvent::StartSession(session) => format!("StartSession {} attempt {}", session.id, session.attempt),
        other => format!("{other:?}"),
    }
}
