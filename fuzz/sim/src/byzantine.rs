//! A game server that says what it likes: every message is legal, and none needs to be true. It knows every id there
//! is. Whatever it says, only its own sessions may suffer.

use playgate_core::rows::PlayerSessionRow;
use playgate_protocol::reason::PlayerEnd;
use playgate_protocol::server::{Beat, PlayerOutcome, Report, ReportBatch, ServerUp};
use playgate_protocol::{GameSessionId, List, PlayerSessionId};

use crate::net::Up;
use crate::trace::say;
use crate::world::World;

impl World {
    /// One message.
    pub(crate) fn byzantine_says(&mut self, server: usize, conn: usize) {
        let roll = self.rng.below(100);
        let message = if roll < 40 { self.false_beat(server) } else { self.false_reports(server) };
        say!(self, "server {server} lies: {message:?}");
        self.send_up(conn, Up::Server(message));
    }

    fn false_beat(&mut self, server: usize) -> ServerUp {
        let now = self.coordinator_ms();
        let floor_ms = match self.rng.below(5) {
            0 => 0,
            1 => u64::MAX,
            2 => now + self.rng.below(20_000),
            _ => now,
        };
        let held = self.servers[server].wanted.as_ref().map_or(0, |wanted| wanted.version);
        let held_version = if self.rng.chance(900) { held } else { self.rng.next() };
        let through_seq = if self.rng.chance(700) { self.servers[server].evil_seq } else { self.rng.next() };
        let players = self.rng.below(9) as u32;
        ServerUp::Beat(Beat { healthy: self.rng.chance(900), floor_ms, through_seq, held_version, players })
    }

    fn false_reports(&mut self, server: usize) -> ServerUp {
        let next = self.servers[server].evil_seq + 1;
        let first_seq = match self.rng.below(20) {
            0 => next + 1,
            1 => next.saturating_sub(2).max(1),
            _ => next,
        };
        let count = self.rng.between(1, 4);
        let reports: Vec<Report> = (0..count).map(|_| self.false_report(server)).collect();
        self.servers[server].evil_seq = (first_seq + count - 1).max(next - 1);
        ServerUp::Reports(ReportBatch { first_seq, reports: List::first_of(reports) })
    }

    fn false_report(&mut self, server: usize) -> Report {
        let wanted = self.servers[server].wanted.as_ref().and_then(|wanted| wanted.session.as_ref());
        let wanted = wanted.map(|session| (session.id, session.attempt));
        // What lives, or was its own, is worth more than what is long over.
        let all = self.rng.chance(300);
        let mem = &self.coordinator.mem;
        let live = mem.sessions.values().filter(|row| all || row.terminated_ms.is_none());
        let sessions: Vec<GameSessionId> = live.map(|row| row.id).collect();
        let near = |row: &&PlayerSessionRow| all || wanted.is_some_and(|(id, _)| id == row.game_session);
        let players: Vec<PlayerSessionId> = mem.players.values().filter(near).map(|row| row.id).collect();
        let (mut session, mut attempt) = wanted.unwrap_or((GameSessionId::from_bytes([9; 16]), 1));
        if self.rng.chance(400) {
            session = self.rng.pick(&sessions).copied().unwrap_or(session);
            attempt = self.rng.between(0, 4) as u32;
        }
        match self.rng.below(100) {
            0..25 => Report::Ready { ports: List::first_of([self.servers[server].port]) },
            25..55 => Report::Activated { session, attempt },
            55..90 => {
                let at = self.rng.next();
                let outcome = match self.rng.below(3) {
                    0 => PlayerOutcome::Active { generation: self.rng.next() as u32, joined_ms: at },
                    1 => PlayerOutcome::Completed { reason: PlayerEnd::Left, joined_ms: at, left_ms: at },
                    _ => PlayerOutcome::Blocked,
                };
                let nobody = PlayerSessionId::from_bytes([8; 16]);
                Report::Player { session, player_session: self.rng.pick(&players).copied().unwrap_or(nobody), outcome }
            }
            90..98 => Report::SessionEnded { session, attempt },
            _ => Report::Ending,
        }
    }
}
