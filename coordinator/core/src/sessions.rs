//! Game sessions: placement, activation, the end.

use playgate_protocol::api::{CreateGameSession, ErrorCode, EventKind, GameSessionStatus, ProcessStatus, Subject};
use playgate_protocol::reason::{ProcessEnd, SessionEnd};
use playgate_protocol::server::SessionData;
use playgate_protocol::{GameSessionId, ServerProcessId};

use crate::calls::request_sha256;
use crate::core::{Core, GameSession, Refused, RowKey, refused};
use crate::limits::{ATTEMPTS_MAX, PLACING_MAX, WAIT_MS_MAX};
use crate::placement::{Candidate, choose};
use crate::process_state::ProcessStep;
use crate::rows::GameSessionRow;
use crate::session_state::{SessionStep, after};
use crate::timers::Timer;

impl Core {
    /// Makes a game session and begins to place it; the same request again finds the one it made.
    pub(crate) fn create_game_session(&mut self, call: &CreateGameSession) -> Result<GameSessionId, Refused> {
        let sha256 = request_sha256(call);
        let request = (call.fleet.clone(), call.idempotency_key.as_str().to_owned());
        if let Some(made) = self.session_requests.get(&request).copied() {
            return match self.sessions[&made].row.request_sha256 == sha256 {
                true => Ok(made),
                false => Err(refused(
                    ErrorCode::IdempotentParameterMismatch,
                    "this idempotency key made another game session; use a new key for a new request",
                )),
            };
        }
        self.check_create(call)?;
        let (shard, time, random) = self.id_parts();
        let id = GameSessionId::from_parts(shard, time, random);
        let row = GameSessionRow {
            id,
            fleet: call.fleet.clone(),
            name: call.name.clone(),
            status: GameSessionStatus::Placing,
            attempt: 1,
            process: None,
            max_players: call.max_players,
            properties: call.properties.clone(),
            data: call.data.clone(),
            ordinal_high: 0,
            place_by_ms: self.now + u64::from(call.placement_timeout_ms).min(WAIT_MS_MAX),
            end_by_ms: None,
            idempotency_key: call.idempotency_key.clone(),
            request_sha256: sha256,
            reason: None,
            created_ms: self.now,
            activated_ms: None,
            terminated_ms: None,
        };
        self.session_requests.insert(request, id);
        self.sessions.insert(id, GameSession::new(row));
        self.mark(RowKey::GameSession(id));
        self.set_placing(id, true);
        self.event(EventKind::GameSessionPlacing, Subject::GameSession(id), &format!("fleet {}", call.fleet));
        self.place(id);
        Ok(id)
    }

    fn check_create(&self, call: &CreateGameSession) -> Result<(), Refused> {
        self.room_for_new_facts()?;
        let Some(fleet) = self.fleets.get(&call.fleet) else {
            let known: Vec<&str> = self.fleets.keys().map(|id| id.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(refused(ErrorCode::NotFound, &format!("no fleet \"{}\"; fleets here: {known}", call.fleet)));
        };
        if call.max_players == 0 {
            return Err(refused(ErrorCode::InvalidRequest, "max_players must be at least 1"));
        }
        if call.idempotency_key.is_empty() {
            return Err(refused(
                ErrorCode::InvalidRequest,
                "an idempotency key is needed: any text that is new for a new session",
            ));
        }
        let mut keys: Vec<&str> = call.properties.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(refused(ErrorCode::InvalidRequest, "a property is named twice"));
        }
        if call.placement_timeout_ms == 0 && self.choose_process(&call.fleet).is_none() {
            return Err(self.no_capacity(&call.fleet));
        }
        if fleet.placing.len() >= PLACING_MAX {
            return Err(refused(ErrorCode::Busy, "too many game sessions wait for a process of this fleet"));
        }
        let is_too_much = self.placing_data_bytes + call.data.len() > self.bounds.placing_data_bytes;
        if !call.data.is_empty() && is_too_much && self.choose_process(&call.fleet).is_none() {
            let text =
                "the game sessions that wait for a process bring too much data; keep more processes, or bring less";
            return Err(refused(ErrorCode::Busy, text));
        }
        self.room_for_session()
    }

    fn no_capacity(&self, fleet: &playgate_protocol::FleetId) -> Refused {
        let counts = self.count_processes(fleet);
        let text = format!(
            "no process of fleet {fleet} can host now ({} launching or connecting, {} ready but unfit, {} hosting, {} draining); \
             wait with a placement timeout, or keep more processes",
            counts[0] + counts[1],
            counts[2],
            counts[3],
            counts[4]
        );
        refused(ErrorCode::FleetCapacityExceeded, &text)
    }

    fn choose_process(&self, fleet: &playgate_protocol::FleetId) -> Option<ServerProcessId> {
        let ready = self.fleets.get(fleet)?.ready.iter();
        let hosting = |process: &crate::core::Process| {
            let live = process.row.host.map(|host| self.hosts[&host].live.iter());
            let on_host =
                live.into_iter().flatten().filter(|id| self.processes[*id].row.status == ProcessStatus::Hosting);
            u32::try_from(on_host.count()).unwrap_or(u32::MAX)
        };
        let mut by_host = std::collections::BTreeMap::new();
        choose(ready.map(|id| &self.processes[id]).filter(|process| process.is_fit()).map(|process| Candidate {
            process: process.row.id,
            host: process.row.host,
            hosting_on_host: *by_host.entry(process.row.host).or_insert_with(|| hosting(process)),
        }))
    }

    /// Gives a placing session a process, if one is fit; otherwise it waits until its time is over.
    fn place(&mut self, session: GameSessionId) {
        let known = &self.sessions[&session].row;
        let (fleet, place_by) = (known.fleet.clone(), known.place_by_ms);
        let Some(process) = self.choose_process(&fleet) else {
            return self.timers.set(Timer::Placement(session), place_by.max(self.now));
        };
        self.step_session(session, SessionStep::Place);
        self.timers.cancel(&Timer::Placement(session));
        let timeout = self.fleet(&fleet).config.activation_timeout.0;
        self.timers.set(Timer::Activation(session), self.now + timeout);
        let known = self.sessions.get_mut(&session).expect("looked up above");
        known.row.process = Some(process);
        let what = format!("attempt {} on {process}", known.row.attempt);
        self.event(EventKind::GameSessionActivating, Subject::GameSession(session), &what);
        self.step_process(process, ProcessStep::Host);
        let known = self.processes.get_mut(&process).expect("chosen from the ready ones");
        known.row.session = Some(session);
        known.row.sessions_hosted = known.row.sessions_hosted.saturating_add(1);
        self.send_wanted(process);
    }

    /// A process became fit: the oldest waiting session takes it.
    pub(crate) fn place_waiting(&mut self, process: ServerProcessId) {
        let Some(known) = self.processes.get(&process).filter(|known| known.is_fit()) else { return };
        if let Some(session) = self.fleet(&known.row.fleet).placing.first().copied() {
            self.place(session);
        }
    }

    pub(crate) fn step_session(&mut self, session: GameSessionId, step: SessionStep) -> bool {
        let Some(known) = self.sessions.get_mut(&session) else { return false };
        let Some(status) = after(known.row.status, step) else { return false };
        known.row.status = status;
        self.set_placing(session, status == GameSessionStatus::Placing);
        self.mark(RowKey::GameSession(session));
        true
    }

    /// Puts a session into its fleet's queue, or takes it out.
    pub(crate) fn set_placing(&mut self, session: GameSessionId, is_placing: bool) {
        let row = &self.sessions[&session].row;
        let (fleet, bytes) = (row.fleet.clone(), row.data.len());
        let placing = &mut self.fleet_mut(&fleet).placing;
        if is_placing && placing.insert(session) {
            self.placing_data_bytes += bytes;
        } else if !is_placing && placing.remove(&session) {
            self.placing_data_bytes -= bytes;
        }
    }

    pub(crate) fn placement_overdue(&mut self, session: GameSessionId) {
        let status = self.sessions.get(&session).map(|known| (known.row.status, known.row.attempt));
        match status {
            Some((GameSessionStatus::Placing, 1)) => self.finish_session(session, SessionEnd::NoCapacity),
            Some((GameSessionStatus::Placing, _)) => self.finish_session(session, SessionEnd::ActivationFailed),
            _ => {}
        }
    }

    pub(crate) fn activated(&mut self, session: GameSessionId, attempt: u32) -> bool {
        let now = self.now;
        let Some(known) = self.sessions.get_mut(&session).filter(|known| known.row.attempt == attempt) else {
            return false;
        };
        if known.row.status == GameSessionStatus::Terminating {
            return true; // Asked to end while it was loading.
        }
        if known.row.status != GameSessionStatus::Activating {
            return false;
        }
        known.row.activated_ms = Some(now);
        self.step_session(session, SessionStep::Activate);
        self.timers.cancel(&Timer::Activation(session));
        self.event(EventKind::GameSessionActive, Subject::GameSession(session), "takes players");
        self.answer_session_waiters(session);
        true
    }

    pub(crate) fn activation_overdue(&mut self, session: GameSessionId) {
        let known = self.sessions.get(&session).filter(|known| known.row.status == GameSessionStatus::Activating);
        if let Some(process) = known.and_then(|known| known.row.process) {
            self.fail_attempt(session);
            self.drain(process, ProcessEnd::ActivationTimeout, 0);
        }
    }

    /// Places the session anew, elsewhere; after the last attempt it is over.
    fn fail_attempt(&mut self, session: GameSessionId) {
        self.timers.cancel(&Timer::Activation(session));
        let Some(known) = self.sessions.get_mut(&session) else { return };
        if let Some(process) = known.row.process.take().and_then(|process| self.processes.get_mut(&process)) {
            process.row.session = None;
            let id = process.row.id;
            self.mark(RowKey::Process(id));
        }
        let known = self.sessions.get_mut(&session).expect("looked up above");
        if known.row.attempt >= ATTEMPTS_MAX {
            return self.finish_session(session, SessionEnd::ActivationFailed);
        }
        let patience = self.fleets[&known.row.fleet].config.activation_timeout.0;
        known.row.attempt += 1;
        known.row.place_by_ms = known.row.place_by_ms.max(self.now + patience);
        self.step_session(session, SessionStep::FailAttempt);
        self.place(session);
    }

    /// The game says that its session is over.
    pub(crate) fn ended_by_game(&mut self, session: GameSessionId, attempt: u32) -> bool {
        let Some(known) = self.sessions.get(&session).filter(|known| known.row.attempt == attempt) else {
            return false;
        };
        let process = known.row.process;
        match known.row.status {
            GameSessionStatus::Activating => {
                self.fail_attempt(session);
                if let Some(process) = process {
                    self.drain(process, ProcessEnd::ActivationTimeout, 0);
                }
            }
            GameSessionStatus::Terminating => self.finish_session(session, SessionEnd::Terminated),
            _ => self.finish_session(session, SessionEnd::Ended),
        }
        true
    }

    /// Its process ended, was lost, or is about to exit.
    pub(crate) fn session_lost_its_process(&mut self, session: GameSessionId, reason: SessionEnd) {
        match self.sessions.get(&session).map(|known| known.row.status) {
            Some(GameSessionStatus::Activating) => self.fail_attempt(session),
            Some(GameSessionStatus::Terminating) => self.finish_session(session, SessionEnd::ForceTerminated),
            Some(_) => self.finish_session(session, reason),
            None => {}
        }
    }

    pub(crate) fn terminate_game_session(&mut self, session: GameSessionId, grace_ms: u32) -> Result<(), Refused> {
        let deadline = self.now + u64::from(grace_ms);
        let Some(known) = self.sessions.get_mut(&session) else {
            return Err(refused(ErrorCode::NotFound, &format!("no game session {session}")));
        };
        match known.row.status {
            GameSessionStatus::Terminated => return Ok(()),
            GameSessionStatus::Placing => {
                self.step_session(session, SessionStep::Terminate);
                self.finish_session(session, SessionEnd::Terminated);
                return Ok(());
            }
            _ => {}
        }
        if known.row.end_by_ms.is_some_and(|before| before <= deadline) {
            return Ok(());
        }
        known.row.end_by_ms = Some(deadline);
        let process = known.row.process;
        self.mark(RowKey::GameSession(session));
        self.timers.cancel(&Timer::Activation(session));
        if self.step_session(session, SessionStep::Terminate) {
            let what = format!("the game has {grace_ms} ms to end it");
            self.event(EventKind::GameSessionTerminating, Subject::GameSession(session), &what);
        }
        self.timers.set(Timer::SessionEnd(session), deadline);
        self.answer_session_waiters(session);
        if let Some(process) = process {
            self.send_wanted(process);
        }
        Ok(())
    }

    /// The game did not end its session in time: its process is stopped, and with it the session is over.
    pub(crate) fn session_end_overdue(&mut self, session: GameSessionId) {
        let known = self.sessions.get(&session).filter(|known| known.row.status == GameSessionStatus::Terminating);
        if let Some(process) = known.and_then(|known| known.row.process) {
            self.drain(process, ProcessEnd::ForceTerminated, crate::limits::FORCE_GRACE_MS);
        }
    }

    pub(crate) fn finish_session(&mut self, session: GameSessionId, reason: SessionEnd) {
        if !self.step_session(session, SessionStep::End) {
            return;
        }
        let now = self.now;
        let known = self.sessions.get_mut(&session).expect("the step found it");
        known.row.reason = Some(reason);
        known.row.terminated_ms = Some(now);
        // The session is remembered for a while; what was meant for the game is not.
        known.row.data = SessionData::default();
        let process = known.row.process;
        self.complete_all_players(session);
        for timer in [Timer::Activation, Timer::Placement, Timer::SessionEnd] {
            self.timers.cancel(&timer(session));
        }
        self.keep_ended_session(session, now);
        self.event(EventKind::GameSessionTerminated, Subject::GameSession(session), reason.as_str());
        self.answer_session_waiters(session);
        if let Some(process) = process {
            self.release_process(process);
        }
    }

    /// The session on a process is over: it may host another, or is recycled.
    fn release_process(&mut self, process: ServerProcessId) {
        let Some(known) = self.processes.get_mut(&process).filter(|known| known.row.status != ProcessStatus::Ended)
        else {
            return;
        };
        known.row.session = None;
        let limit = known.fleet.sessions_per_process;
        let grace = known.fleet.stop_grace.0;
        let spent = limit != 0 && known.row.sessions_hosted >= limit;
        self.mark(RowKey::Process(process));
        if spent {
            return self.drain(process, ProcessEnd::Recycled, grace);
        }
        self.send_wanted(process);
        if self.step_process(process, ProcessStep::Reuse) {
            let row = &self.processes[&process].row;
            if let (fleet, Some(host)) = (row.fleet.clone(), row.host) {
                self.reconcile(&fleet, host); // the fleet may keep fewer by now
            }
            self.place_waiting(process);
        }
    }

    pub(crate) fn forget_session(&mut self, session: GameSessionId) {
        if let Some(known) = self.sessions.remove(&session) {
            self.session_requests.remove(&(known.row.fleet, known.row.idempotency_key.as_str().to_owned()));
            if let Some(ended) = known.row.terminated_ms {
                self.ended_sessions.remove(&(ended, session));
            }
            for player in known.players {
                self.forget_player(player);
            }
        }
        self.mark(RowKey::GameSession(session));
    }
}

impl GameSession {
    pub(crate) fn new(row: GameSessionRow) -> Self {
        let (players, live, expiries) = Default::default();
        Self { next_ordinal: row.ordinal_high, row, players, live, active: 0, expiries }
    }
}
