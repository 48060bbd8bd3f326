//! Backends: they create, reserve, revoke and terminate, and repeat every call with its key until it is answered.

use std::collections::BTreeMap;

use playgate_protocol::api::{
    Answer, ApiDown, BackendCall, BackendUp, CallError, CreateGameSession, CreatePlayerSessions, ErrorCode,
    GameSessionStatus, NewPlayer, OperatorCall, OperatorUp,
};
use playgate_protocol::reason::PlayerEnd;
use playgate_protocol::{Blob, Credential, FleetId, GameSessionId, Greeting, HelloRole, List, Name, PlayerId, Text};

use crate::clock::{MS, Micros, SECOND};
use crate::coordinator::OPERATOR;
use crate::event::Ev;
use crate::ledger::{Created, Reserved};
use crate::net::{Down, Peer, Up};
use crate::trace::say;
use crate::world::World;

/// Calls a backend has open at a time.
const OPEN_MAX: usize = 6;
/// A backend that hears nothing for this long asks again.
const PATIENCE: Micros = 4 * SECOND;

/// A call that is not answered.
#[derive(Debug, Clone)]
struct Open {
    call: BackendCall,
    asked_at: Micros,
}

/// One backend.
#[derive(Debug, Default)]
pub struct Backend {
    link: Option<usize>,
    welcome: bool,
    open: BTreeMap<u64, Open>,
    next: u64,
    redial_at: Micros,
}

impl Backend {
    /// Calls that are not answered.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

impl World {
    pub(crate) fn backend_wakes(&mut self, backend: usize) {
        let most = if self.is_calm() { 500 } else { self.weather.call_ms };
        let pause = self.rng.between(most / 4 + 1, most) * MS;
        self.after(pause, Ev::BackendWake { backend });
        let state = &self.backends[backend];
        if state.link.is_none() {
            if state.redial_at <= self.now {
                let role = if backend == 0 { HelloRole::Operator } else { HelloRole::Backend };
                let conn = self.dial(Peer::Backend(backend), OPERATOR, Self::hello(Credential::Bound, role));
                (self.backends[backend].link, self.backends[backend].welcome) = (Some(conn), false);
            }
            return;
        }
        if !state.welcome {
            return;
        }
        // In the calm a link that stands brings its answers; only what was lost with a link is asked again.
        let patience = if self.is_calm() { Micros::MAX / 2 } else { PATIENCE };
        let late = state
            .open
            .iter()
            .find(|(_, open)| open.asked_at == 0 || open.asked_at + patience <= self.now)
            .map(|(id, _)| *id);
        if let Some(late) = late {
            // The same call again, on the same link, under a new number; the old one may still be answered.
            let open = self.backends[backend].open.remove(&late).expect("just found");
            return self.backend_calls(backend, open.call);
        }
        if state.open.len() < OPEN_MAX && !self.is_calm() {
            if backend == 0 && self.rng.chance(60) {
                return self.operator_calls(backend);
            }
            if let Some(call) = self.next_call() {
                self.backend_calls(backend, call);
            }
        }
    }

    fn backend_calls(&mut self, backend: usize, call: BackendCall) {
        let state = &mut self.backends[backend];
        let Some(conn) = state.link else { return };
        state.next += 1;
        let request = state.next;
        say!(self, "backend {backend} call {request}: {}", brief(&call));
        state.open.insert(request, Open { call: call.clone(), asked_at: self.now });
        let message = match backend {
            0 => Up::Operator(OperatorUp { request, call: OperatorCall::Backend(call) }),
            _ => Up::Backend(BackendUp { request, call }),
        };
        self.send_up(conn, message);
    }

    fn operator_calls(&mut self, backend: usize) {
        let processes: Vec<_> = self.coordinator.mem.processes.keys().copied().collect();
        let call = match (self.rng.below(3), self.rng.pick(&processes).copied()) {
            (0, _) => {
                let processes_per_host = 1 + self.rng.below(u64::from(self.weather.per_host)) as u32;
                OperatorCall::SetProcessesPerHost { fleet: fleet_id(), processes_per_host }
            }
            (_, Some(process)) => OperatorCall::StopProcess { process, grace_ms: self.rng.below(2_000) as u32 },
            _ => OperatorCall::ListFleets,
        };
        let Some(conn) = self.backends[backend].link else { return };
        self.send_up(conn, Up::Operator(OperatorUp { request: 0, call }));
    }

    fn next_call(&mut self) -> Option<BackendCall> {
        let mem = &self.coordinator.mem;
        let live: Vec<GameSessionId> =
            mem.sessions.values().filter(|row| row.status != GameSessionStatus::Terminated).map(|row| row.id).collect();
        let active: Vec<GameSessionId> =
            mem.sessions.values().filter(|row| row.status == GameSessionStatus::Active).map(|row| row.id).collect();
        let roll = self.rng.below(100);
        match roll {
            0..18 if live.len() < self.weather.sessions_max => Some(self.create_call()),
            18..70 => self.rng.pick(&active).copied().map(|session| self.reserve_call(session)),
            70..78 => {
                let held: Vec<_> =
                    mem.players.values().filter(|row| row.ended_ms.is_none()).map(|row| row.id).collect();
                let player_session = *self.rng.pick(&held)?;
                let timeout_ms = self.rng.below(4_000) as u32;
                Some(BackendCall::RevokePlayerSession { player_session, timeout_ms })
            }
            78..84 => {
                let held: Vec<_> = mem.players.keys().copied().collect();
                Some(BackendCall::GetTicket { player_session: *self.rng.pick(&held)? })
            }
            84..88 => {
                let session = *self.rng.pick(&live)?;
                Some(BackendCall::TerminateGameSession { session, grace_ms: self.rng.below(3_000) as u32 })
            }
            88..92 => {
                let timeout_ms = self.rng.below(3_000) as u32;
                let session = *self.rng.pick(&live)?;
                Some(BackendCall::AwaitGameSession { session, terminated: self.rng.chance(500), timeout_ms })
            }
            92..96 => {
                let made: Vec<_> = self.ledger.created.values().map(|made| made.call.clone()).collect();
                self.rng.pick(&made).cloned().map(BackendCall::CreateGameSession)
            }
            96..100 => {
                let made: Vec<_> = self.ledger.reserved.values().map(|made| made.call.clone()).collect();
                self.rng.pick(&made).cloned().map(BackendCall::CreatePlayerSessions)
            }
            _ => None,
        }
    }

    fn create_call(&mut self) -> BackendCall {
        let placement_timeout_ms = [0, 2_000, 6_000][self.rng.below(3) as usize];
        BackendCall::CreateGameSession(CreateGameSession {
            fleet: fleet_id(),
            name: Name::lossy("match"),
            max_players: self.rng.between(1, self.weather.players_max) as u16,
            properties: List::default(),
            data: Blob::default(),
            placement_timeout_ms,
            idempotency_key: Text::lossy(&format!("c{:x}", self.rng.next())),
        })
    }

    fn reserve_call(&mut self, session: GameSessionId) -> BackendCall {
        let names = 1 + self.rng.below(3);
        let first = self.rng.below(12);
        let players = (0..names).map(|n| NewPlayer {
            player: PlayerId::new(format!("p{}", (first + n) % 12)).expect("a valid name"),
            data: Blob::default(),
        });
        let players = List::first_of(players);
        let reservation_ms = match self.rng.below(3) {
            0 => None,
            _ => Some(self.rng.between(1_000, 6_000) as u32),
        };
        let idempotency_key = Text::lossy(&format!("r{:x}", self.rng.next()));
        BackendCall::CreatePlayerSessions(CreatePlayerSessions { session, players, reservation_ms, idempotency_key })
    }

    pub(crate) fn backend_loses(&mut self, backend: usize, conn: usize) {
        let state = &mut self.backends[backend];
        if state.link == Some(conn) {
            state.link = None;
            // What was not answered is asked again at once on the next link.
            state.open.values_mut().for_each(|open| open.asked_at = 0);
            state.redial_at = self.now + self.rng.between(10, 1_000) * MS;
        }
    }

    pub(crate) fn backend_hears(&mut self, backend: usize, conn: usize, message: Down) {
        if self.backends[backend].link != Some(conn) {
            return;
        }
        match message {
            Down::Greeting(Greeting::Welcome(_)) => self.backends[backend].welcome = true,
            Down::Greeting(Greeting::Refused(_)) | Down::Close => self.backend_loses(backend, conn),
            Down::Api(ApiDown { request, outcome }) => {
                if let Some(open) = self.backends[backend].open.remove(&request) {
                    self.ledger.answered += 1;
                    self.answered(open.call, outcome);
                }
            }
            Down::Server(_) | Down::Agent(_) => {}
        }
    }

    fn answered(&mut self, call: BackendCall, outcome: Result<Answer, CallError>) {
        match (call, outcome) {
            (BackendCall::CreateGameSession(call), Ok(Answer::GameSession(info))) => {
                let key = call.idempotency_key.as_str().to_owned();
                let made = Created { call, session: info.id };
                let before = self.ledger.created.insert(key.clone(), made);
                let forgotten =
                    before.as_ref().is_some_and(|made| self.ledger.forgotten.contains(made.session.as_bytes()));
                if let Some(before) = before.filter(|made| made.session != info.id && !forgotten) {
                    self.fail("7", format!("key {key} made {} and then {}", before.session, info.id));
                }
                if matches!(info.status, GameSessionStatus::Placing | GameSessionStatus::Activating) {
                    self.fail("26", format!("create was answered with {} while it is {:?}", info.id, info.status));
                }
            }
            (BackendCall::CreatePlayerSessions(call), Ok(Answer::Tickets(tickets))) => {
                let players = tickets.iter().map(|ticket| ticket.player_session).collect::<Vec<_>>();
                let key = (call.session, call.idempotency_key.as_str().to_owned());
                let before = self.ledger.reserved.insert(key, Reserved { call, players: players.clone() });
                let forgotten =
                    |made: &Reserved| made.players.iter().any(|id| self.ledger.forgotten.contains(id.as_bytes()));
                if let Some(before) = before.filter(|made| made.players != players && !forgotten(made)) {
                    self.fail("7", format!("one request reserved {:?} and then {players:?}", before.players));
                }
                let repeated = players.iter().any(|id| self.ledger.admitted.contains_key(id));
                for ticket in tickets.into_vec() {
                    if !repeated || self.rng.chance(100) {
                        let delay = self.rng.between(1, 200) * MS;
                        self.after(delay, Ev::Ticket { ticket: Box::new(ticket) });
                    }
                }
            }
            // Ended otherwise, with its game session say, a server that is cut off may not know.
            (BackendCall::RevokePlayerSession { player_session, .. }, Ok(Answer::PlayerSessions(infos)))
                if infos.iter().all(|info| info.reason == Some(PlayerEnd::Revoked)) =>
            {
                self.ledger.revoked.insert(player_session);
            }
            (call, Err(error)) if matches!(error.code, ErrorCode::Busy | ErrorCode::StoreFull) => {
                let again = self.backends[0].open.len() < OPEN_MAX && !self.is_calm();
                if again && self.rng.chance(500) {
                    self.backend_calls(0, call);
                }
            }
            _ => {}
        }
    }
}

/// The one fleet.
pub(crate) fn fleet_id() -> FleetId {
    FleetId::new("arena").expect("a valid name")
}

fn brief(call: &BackendCall) -> String {
    format!("{call:?}").chars().take(300).collect()
}
