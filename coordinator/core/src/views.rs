//! Answers: what the state looks like from outside.

use std::ops::Bound;

use playgate_protocol::api::{
    Answer, ErrorCode, FleetInfo, GameSessionInfo, GameSessionStatus, HostInfo, PlayerSessionInfo, ProcessInfo,
    ProcessStatus,
};
use playgate_protocol::limits::PAGE_MAX;
use playgate_protocol::{FleetId, GameSessionId, List, PlayerSessionId, ServerProcessId};

use crate::core::{Core, Process, Refused, refused};
use crate::rows::PlayerSessionRow;

fn behind<T: Ord + Copy>(after: Option<T>) -> (Bound<T>, Bound<T>) {
    (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
}

impl Core {
    pub(crate) fn describe_session(&self, session: GameSessionId) -> Result<GameSessionInfo, Refused> {
        let Some(known) = self.sessions.get(&session) else {
            return Err(refused(
                ErrorCode::NotFound,
                &format!("no game session {session}; ended ones are kept for a day at most"),
            ));
        };
        let row = &known.row;
        let process = row.process.and_then(|process| self.processes.get(&process));
        Ok(GameSessionInfo {
            id: row.id,
            fleet: row.fleet.clone(),
            name: row.name.clone(),
            status: row.status,
            attempt: row.attempt,
            reason: row.reason,
            process: row.process,
            address: process.and_then(|process| process.row.address),
            max_players: row.max_players,
            reserved: known.reserved(),
            active: known.active,
            properties: row.properties.clone(),
            created_ms: row.created_ms,
            activated_ms: row.activated_ms,
            terminated_ms: row.terminated_ms,
        })
    }

    /// At most 16 of the largest sessions fit a frame, so a page of them is shorter than others.
    pub(crate) fn list_sessions(&self, fleet: Option<&FleetId>, after: Option<GameSessionId>) -> Answer {
        let behind =
            self.sessions.range(behind(after)).filter(|(_, known)| fleet.is_none_or(|fleet| known.row.fleet == *fleet));
        let infos = behind.filter_map(|(id, _)| self.describe_session(*id).ok());
        Answer::GameSessions(List::first_of(infos.take(crate::limits::SESSIONS_PAGE)))
    }

    pub(crate) fn describe_player(&self, player: PlayerSessionId) -> Result<PlayerSessionInfo, Refused> {
        let row = self.players.get(&player);
        row.map(player_info).ok_or_else(|| {
            refused(ErrorCode::NotFound, &format!("no player session {player}; ended ones are kept for ten minutes"))
        })
    }

    pub(crate) fn list_players(
        &self,
        session: GameSessionId,
        after: Option<PlayerSessionId>,
    ) -> Result<Answer, Refused> {
        let Some(known) = self.sessions.get(&session) else {
            return Err(refused(ErrorCode::NotFound, &format!("no game session {session}")));
        };
        let rows = known.players.range(behind(after)).map(|id| player_info(&self.players[id]));
        Ok(Answer::PlayerSessions(List::first_of(rows)))
    }

    /// Live processes of a fleet: launching, connected, ready, hosting, draining.
    pub(crate) fn count_processes(&self, fleet: &FleetId) -> [u32; 5] {
        let mut counts = [0; 5];
        for process in self.processes.values().filter(|process| process.row.fleet == *fleet) {
            let index = match process.row.status {
                ProcessStatus::Launching => 0,
                ProcessStatus::Connected => 1,
                ProcessStatus::Ready => 2,
                ProcessStatus::Hosting => 3,
                ProcessStatus::Draining => 4,
                ProcessStatus::Ended => continue,
            };
            counts[index] += 1;
        }
        counts
    }

    pub(crate) fn list_fleets(&self) -> Answer {
        let infos = self.fleets.values().map(|fleet| {
            let id = fleet.config.name.clone();
            let live =
                self.sessions.values().filter(|s| s.row.fleet == id && s.row.status != GameSessionStatus::Terminated);
            let game_sessions = u32::try_from(live.count()).unwrap_or(u32::MAX);
            let processes = self.count_processes(&id);
            FleetInfo { id, processes_per_host: fleet.config.processes_per_host, processes, game_sessions }
        });
        Answer::Fleets(List::first_of(infos))
    }

    pub(crate) fn list_hosts(&self) -> Answer {
        let infos = self.hosts.values().map(|host| HostInfo {
            id: host.row.id,
            name: host.row.name.clone(),
            connected: host.link.is_some(),
            address: host.row.address,
            processes: u32::try_from(host.live.len()).unwrap_or(u32::MAX),
            capacity: host.row.capacity,
        });
        Answer::Hosts(List::first_of(infos))
    }

    /// Output tails make processes large: a page is what fits a frame.
    pub(crate) fn list_processes(&self, fleet: Option<&FleetId>, after: Option<ServerProcessId>) -> Answer {
        let behind =
            self.processes.range(behind(after)).filter(|(_, p)| fleet.is_none_or(|fleet| p.row.fleet == *fleet));
        let infos = behind.map(|(_, process)| process_info(process));
        Answer::Processes(List::first_of(infos.take(crate::limits::PROCESSES_PAGE)))
    }

    pub(crate) fn describe_process(&self, process: ServerProcessId) -> Answer {
        Answer::Processes(List::first_of(self.processes.get(&process).map(process_info)))
    }

    pub(crate) fn list_events(&self, after: u64) -> Answer {
        let behind = self.events.partition_point(|event| event.seq <= after);
        Answer::Events(List::first_of(self.events.iter().skip(behind).take(PAGE_MAX).cloned()))
    }
}

fn player_info(row: &PlayerSessionRow) -> PlayerSessionInfo {
    PlayerSessionInfo {
        id: row.id,
        game_session: row.game_session,
        player: row.player.clone(),
        status: row.status,
        reason: row.reason,
        revoking: row.revoking,
        created_ms: row.created_ms,
        expires_at_ms: row.expires_at_ms,
        joined_ms: row.joined_ms,
        ended_ms: row.ended_ms,
    }
}

fn process_info(process: &Process) -> ProcessInfo {
    let row = &process.row;
    ProcessInfo {
        id: row.id,
        fleet: row.fleet.clone(),
        host: row.host,
        name: row.name.clone(),
        status: row.status,
        healthy: process.unwell_since.is_none(),
        unreachable_since_ms: process.unreachable_since,
        pid: row.pid,
        ports: row.ports.clone(),
        session: row.session,
        sessions_hosted: row.sessions_hosted,
        reason: row.reason,
        exit: row.exit,
        output_tail: row.output_tail.clone(),
        created_ms: row.created_ms,
        ended_ms: row.ended_ms,
    }
}
