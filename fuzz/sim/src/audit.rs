//! The auditor: an operator with a link of his own into the core, who compares what it answers with what its rows say.
//! He also forges the one wrong rule of the canary.

use playgate_core::rows::Row;
use playgate_core::{Input, LinkId, Output, Start};
use playgate_protocol::api::{Answer, BackendCall, OperatorCall, OperatorUp};
use playgate_protocol::server::{Beat, ServerUp};
use playgate_protocol::{Credential, GameSessionId, Hello, HelloRole, PlayerSessionId, Text, VersionRange};

use crate::coordinator::{OPERATOR, load};
use crate::ledger::Cause;
use crate::net::Peer;
use crate::world::World;

/// His link.
pub const AUDITOR: LinkId = LinkId(u64::MAX);
/// Player sessions whose tickets he asks for in one audit.
const TICKETS: usize = 8;

impl World {
    pub(crate) fn hello(credential: Credential, role: HelloRole) -> Hello {
        Hello { versions: VersionRange::OURS, software: Text::lossy("sim"), credential, role }
    }

    /// Asks the core as an operator and takes the answer at once, durable or not.
    pub(crate) fn ask(&mut self, call: OperatorCall) -> Option<Output> {
        let now = self.coordinator_ms();
        self.collect(Cause::Boot);
        self.log.audit.clear();
        self.core().handle(now, Input::Operator(AUDITOR, OperatorUp { request: 0, call }));
        self.collect(Cause::Call);
        self.log.audit.pop()
    }

    pub(crate) fn auditor_enters(&mut self) {
        let now = self.coordinator_ms();
        let hello = Self::hello(Credential::Bound, HelloRole::Operator);
        let from = std::net::Ipv4Addr::LOCALHOST.into();
        self.core().handle(now, Input::Opened { link: AUDITOR, peer: OPERATOR, from, hello, launch_proven: false });
        self.collect(Cause::Boot);
        self.log.audit.clear();
    }

    /// Loading what was loaded changes nothing, and the same rows load the same way.
    pub(crate) fn load_twice(&mut self, start: Start) {
        let mut disk = self.coordinator.disk.clone();
        let first = load(start, disk.rows()).take_turn();
        if first.rows != load(start, disk.rows()).take_turn().rows {
            return self.fail("20", "the same rows were loaded in two ways".to_owned());
        }
        for row in first.rows {
            let _ = disk.apply(row);
        }
        let second = load(start, disk.rows()).take_turn();
        let changed = second.rows.iter().find(|row| !matches!(row, Row::Event(_) | Row::HighWater(_)));
        if let Some(row) = changed {
            self.fail("20", format!("what was loaded and written is loaded as something else: {row:?}"));
        }
    }

    /// What the core answers must be what its rows say: after a recovery, and now and then.
    pub(crate) fn coordinator_audit(&mut self) {
        if self.coordinator.core.is_none() || self.broken.is_some() {
            return;
        }
        self.auditor_enters();
        let sessions: Vec<GameSessionId> = self.coordinator.mem.sessions.keys().copied().collect();
        for session in sessions {
            self.audit_session(session);
        }
        let live = self.coordinator.mem.players.values().filter(|row| row.ended_ms.is_none()).map(|row| row.id);
        let live: Vec<PlayerSessionId> = live.collect();
        for player in live.into_iter().take(TICKETS) {
            self.audit_ticket(player);
        }
        self.audit_processes();
        self.audit_keys();
    }

    fn audit_session(&mut self, session: GameSessionId) {
        let answer = self.ask(OperatorCall::Backend(BackendCall::DescribeGameSession { session }));
        let row = self.coordinator.mem.sessions[&session].clone();
        let Some(Output::Answer { outcome: Ok(Answer::GameSession(info)), .. }) = answer else {
            return self.fail("20", format!("{session} is in the rows ({:?}) and not in the core", row.status));
        };
        let same = info.status == row.status && info.process == row.process && info.reason == row.reason;
        if !same || info.attempt != row.attempt || info.max_players != row.max_players {
            self.fail("20", format!("{session}: the core says {info:?}, its row {row:?}"));
        }
        let players = self.coordinator.mem.players.values().filter(|player| player.game_session == session);
        let (mut held, mut active) = (0, 0);
        for player in players.filter(|player| player.ended_ms.is_none()) {
            held += 1;
            active += u32::from(player.status == playgate_protocol::api::PlayerSessionStatus::Active);
        }
        let (says_active, says_held) = (u32::from(info.active), u32::from(info.active) + u32::from(info.reserved));
        if (says_active, says_held) != (active, held) {
            let what =
                format!("{session}: the core counts {says_active} active of {says_held}, its rows {active} of {held}");
            self.fail("21", what);
        }
    }

    fn audit_ticket(&mut self, player_session: PlayerSessionId) {
        let answer = self.ask(OperatorCall::Backend(BackendCall::GetTicket { player_session }));
        let row = &self.coordinator.mem.players[&player_session];
        match answer {
            Some(Output::Tickets { orders, .. }) if orders.len() == 1 && orders[0].player_session == *row => {}
            other => {
                let what = format!("{player_session}: the ticket of a live reservation is {other:?}, its row {row:?}");
                self.fail("20", what);
            }
        }
    }

    fn audit_processes(&mut self) {
        let mut after = None;
        let mut seen = 0;
        loop {
            let answer = self.ask(OperatorCall::ListProcesses { fleet: None, after });
            let Some(Output::Answer { outcome: Ok(Answer::Processes(page)), .. }) = answer else { return };
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for info in &page {
                seen += 1;
                let row = self.coordinator.mem.processes.get(&info.id);
                if !row.is_some_and(|row| row.status == info.status && row.session == info.session) {
                    self.fail("20", format!("{}: the core says {info:?}, its row {row:?}", info.id));
                }
            }
        }
        let rows = self.coordinator.mem.processes.len();
        if seen != rows {
            self.fail("20", format!("the core knows {seen} processes, its rows {rows}"));
        }
    }

    /// Repeats calls that were answered: the same key has the same effect, also after a restart.
    fn audit_keys(&mut self) {
        let mem = &self.coordinator.mem;
        let mut creates: Vec<_> =
            self.ledger.created.values().filter(|made| mem.sessions.contains_key(&made.session)).collect();
        let keep = creates.len().saturating_sub(2);
        let creates: Vec<_> =
            creates.split_off(keep).into_iter().map(|made| (made.call.clone(), made.session)).collect();
        for (call, session) in creates {
            let before = self.log.changes.len();
            let _ = self.ask(OperatorCall::Backend(BackendCall::CreateGameSession(call)));
            if self.log.changes.len() != before {
                self.fail("7", format!("the request that made {session} made another when it was repeated"));
            }
        }
        let reserved = self.ledger.reserved.values().rev().find(|made| {
            made.players.iter().all(|id| self.coordinator.mem.players.get(id).is_some_and(|row| row.ended_ms.is_none()))
        });
        let Some((call, players)) = reserved.map(|made| (made.call.clone(), made.players.clone())) else { return };
        let answer = self.ask(OperatorCall::Backend(BackendCall::CreatePlayerSessions(call)));
        let again = match &answer {
            Some(Output::Tickets { orders, .. }) => orders.iter().map(|order| order.player_session.id).collect(),
            _ => Vec::new(),
        };
        if again != players {
            self.fail("7", format!("the request that reserved {players:?} was repeated and answered {answer:?}"));
        }
    }

    /// The canary: the coordinator takes it that the server has said what it only might have said.
    pub(crate) fn free_slots_on_timer(&mut self, now_ms: u64) {
        let beats: Vec<_> = (self.coordinator.links.iter().copied())
            .filter_map(|link| match self.conns[link.0 as usize].peer {
                Peer::Server(server) => self.servers[server].gate.as_ref().map(|gate| (link, gate.held_version())),
                _ => None,
            })
            .collect();
        for (link, held_version) in beats {
            let beat = Beat { healthy: true, floor_ms: now_ms, through_seq: 0, held_version, players: 0 };
            self.core().handle(now_ms, Input::Server(link, ServerUp::Beat(beat)));
        }
        self.collect(Cause::Timer);
    }
}
