//! State from rows: what was alive goes on. Links are down at first, so every process is unreachable until it is back;
//! its lost timeout starts anew.

use std::sync::Arc;

use playgate_protocol::TimeMs;
use playgate_protocol::api::{EventKind, GameSessionStatus, ProcessStatus, Subject};

use crate::core::{Core, Fleet, GameSession, Host, Process, RowKey};
use crate::fleet::FleetConfig;
use crate::io::Start;
use crate::limits::{Bounds, PLAYER_RETENTION_MS, RETURN_MS};
use crate::relays::Relay;
use crate::rows::{GameSessionRow, Identity, PlayerSessionRow, ProcessRow, Row};
use crate::sound;
use crate::timers::Timer;

/// Rows that are in memory for as long as they are stored; those of players go with their session.
fn is_kept_whole(row: &Row) -> bool {
    matches!(row, Row::Fleet(_) | Row::Host(_) | Row::Relay(_) | Row::Process(_) | Row::GameSession(_) | Row::Peer(_))
}

impl Core {
    /// Goes on from what was kept. With no rows: a new shard.
    ///
    /// Rows may come in any order. Those that contradict themselves or each other (a player of a session that is not
    /// there) are left out: they can only come from a damaged store.
    #[must_use]
    pub fn load(start: Start, rows: Vec<Row>) -> Self {
        Self::load_within(start, Bounds::default(), rows)
    }

    /// The same, within other bounds than those of a coordinator.
    #[must_use]
    pub fn load_within(start: Start, bounds: Bounds, rows: Vec<Row>) -> Self {
        let mut core = Self::empty(start, bounds);
        let found = if rows.is_empty() { "starts anew" } else { "goes on from what was stored" };
        let kept = rows.iter().filter(|row| is_kept_whole(row)).count();
        let (mut processes, mut sessions, mut players, mut peers) = (vec![], vec![], vec![], vec![]);
        for row in rows {
            match row {
                Row::SigningKey(row) => core.signing_keys.push(row),
                Row::Fleet(config) if !sound::fleet(&config) => {}
                Row::Fleet(config) => {
                    core.fleets.insert(config.name.clone(), Fleet::new(Arc::new(config)));
                }
                Row::Host(row) if !sound::host(&row) => {}
                Row::Host(row) => {
                    core.hosts.insert(row.id, Host::new(row));
                }
                Row::Relay(row) if !sound::relay(&row) => {}
                Row::Relay(row) => {
                    core.relays.insert(row.id, Relay::new(row));
                }
                Row::JoinKey(row) => {
                    core.join_keys.insert(row.secret_sha256, row);
                }
                Row::Event(event) if !sound::event(&event) => {}
                Row::Event(event) => core.restore_event(event),
                Row::Peer(row) => peers.push(row),
                Row::Process(row) => processes.push(*row),
                Row::GameSession(row) => sessions.push(*row),
                Row::PlayerSession(row) => players.push(*row),
                Row::HighWater(_)
                | Row::ForgetSigningKey(_)
                | Row::ForgetJoinKey(_)
                | Row::ForgetPeer(_)
                | Row::ForgetProcess(_)
                | Row::ForgetGameSession(_)
                | Row::ForgetPlayerSession(_)
                | Row::ForgetEvents(_) => {}
            }
        }
        core.signing_keys.sort_unstable_by_key(|key| key.key_id);
        core.events_are_written();
        let (processes, sessions) = sound::agreed(&core, processes, sessions);
        processes.into_values().for_each(|row| core.load_process(row));
        for peer in peers {
            if !sound::peer(&core, &peer) {
                continue;
            }
            core.peers.insert(peer.fingerprint, peer.identity);
            if let Identity::Server(process) = peer.identity
                && let Some(process) = core.processes.get_mut(&process)
            {
                process.peer = Some(peer.fingerprint);
            }
        }
        sessions.into_values().for_each(|row| core.load_session(row));
        // By ordinal, so that a request finds its player sessions in the order it named them.
        players.sort_unstable_by_key(|row| (row.game_session, row.ordinal));
        // A number that two of them have is nobody's.
        players.dedup_by_key(|row| (row.game_session, row.ordinal));
        players.into_iter().for_each(|row| core.load_player(row));
        let loaded = core.fleets.len()
            + core.hosts.len()
            + core.relays.len()
            + core.processes.len()
            + core.sessions.len()
            + core.peers.len();
        match kept.saturating_sub(loaded) {
            0 => core.event(EventKind::CoordinatorStarted, Subject::Coordinator, found),
            rows => {
                let detail = format!(
                    "{found}, but {rows} rows contradict themselves or each other and were left out: the database is \
                     damaged; restore the backup"
                );
                core.event(EventKind::CoordinatorStarted, Subject::Coordinator, &detail);
            }
        }
        core
    }

    /// The latest moment that any row speaks of: the clock must not start before it.
    #[must_use]
    pub fn high_water(rows: &[Row]) -> TimeMs {
        let latest = rows.iter().map(|row| match row {
            Row::HighWater(at) => *at,
            Row::Process(row) => row.ended_ms.unwrap_or(row.created_ms),
            Row::GameSession(row) => row.terminated_ms.or(row.activated_ms).unwrap_or(row.created_ms),
            Row::PlayerSession(row) => row.ended_ms.unwrap_or(row.created_ms),
            Row::Event(event) => event.at_ms,
            _ => 0,
        });
        latest.filter(|at| sound::is_time(*at)).max().unwrap_or(0)
    }

    fn load_process(&mut self, row: ProcessRow) {
        let id = row.id;
        let Some(fleet) = self.fleets.get_mut(&row.fleet) else { return };
        let config: Arc<FleetConfig> = Arc::clone(&fleet.config);
        if row.status == ProcessStatus::Ready {
            fleet.ready.insert(id);
        }
        let mut process = Process::new(row, config, self.now);
        match process.row.ended_ms {
            Some(ended) => self.keep_ended_process(id, ended),
            None => {
                process.unreachable_since = Some(self.now);
                self.timers.set(Timer::Lost(id), self.now + process.fleet.lost_after.0);
                if matches!(process.row.status, ProcessStatus::Launching | ProcessStatus::Connected) {
                    self.timers.set(Timer::Ready(id), self.now + process.fleet.ready_timeout.0);
                }
                if let Some(drain) = process.row.drain {
                    let patience = process.fleet.term_grace.0 + process.fleet.exit_timeout.0;
                    self.timers.set(Timer::Drain(id), drain.deadline_ms.max(self.now) + patience);
                }
                if let Some(host) = process.row.host.and_then(|host| self.hosts.get_mut(&host)) {
                    host.live.insert(id);
                }
            }
        }
        self.processes.insert(id, process);
    }

    fn load_session(&mut self, row: GameSessionRow) {
        let id = row.id;
        let Some(fleet) = self.fleets.get(&row.fleet) else { return };
        match row.status {
            GameSessionStatus::Placing => {
                // Servers need a moment to come back; a session that waited for one gets it.
                self.timers.set(Timer::Placement(id), row.place_by_ms.max(self.now + RETURN_MS));
            }
            // The server may have activated it meanwhile and says so when it is back: it gets its time again.
            GameSessionStatus::Activating => {
                self.timers.set(Timer::Activation(id), self.now + fleet.config.activation_timeout.0);
            }
            GameSessionStatus::Terminating => {
                self.timers.set(Timer::SessionEnd(id), row.end_by_ms.unwrap_or(self.now).max(self.now));
            }
            GameSessionStatus::Terminated => self.keep_ended_session(id, row.terminated_ms.unwrap_or(self.now)),
            GameSessionStatus::Active => {}
        }
        self.session_requests.insert((row.fleet.clone(), row.idempotency_key.as_str().to_owned()), id);
        let is_placing = row.status == GameSessionStatus::Placing;
        self.sessions.insert(id, GameSession::new(row));
        self.set_placing(id, is_placing);
    }

    fn load_player(&mut self, row: PlayerSessionRow) {
        if !self.sessions.contains_key(&row.game_session) {
            // Its session was forgotten first; so is this.
            return self.mark(RowKey::PlayerSession(row.id));
        }
        if !sound::player(self, &row) {
            return;
        }
        let request = (row.game_session, row.idempotency_key.as_str().to_owned());
        self.player_requests.entry(request).or_default().push(row.id);
        if row.ended_ms.is_some() {
            // From here on: when it ended is the server's word, and how long its key was kept is not written down.
            self.timers.set(Timer::ForgetPlayer(row.id), self.now + PLAYER_RETENTION_MS);
        }
        self.add_player(row);
    }
}
