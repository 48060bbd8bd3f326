//! The coordinator's file as somebody else reads it: SQLite, read-only, by the published columns.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use playgate_protocol::{GameSessionId, PlayerSessionId, ServerProcessId};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::Outcome;

pub const FILE: &str = "playgate.db";

pub struct Database(Connection);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    pub status: String,
    pub key: String,
    pub max_players: u16,
    pub activated: bool,
    pub ending: bool,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerRow {
    pub session: GameSessionId,
    pub player: String,
    pub key: String,
    pub status: String,
    pub reason: Option<String>,
    pub revoking: bool,
    pub joined: bool,
    pub over: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRow {
    pub status: String,
    pub reason: Option<String>,
    pub pid: Option<u32>,
    pub session: Option<String>,
}

impl Database {
    /// One view of everything, however long one looks at it.
    pub fn open(directory: &Path) -> Outcome<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(directory.join(FILE), flags)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.execute_batch("BEGIN")?;
        connection.query_row("SELECT seq FROM meta", (), |row| row.get::<_, i64>(0))?; // the view begins with a read
        Ok(Self(connection))
    }

    pub fn session(&self, id: GameSessionId) -> Outcome<Option<SessionRow>> {
        let sql = "SELECT status, idempotency_key, max_players, activated_ms IS NOT NULL, end_by_ms IS NOT NULL, reason
                   FROM game_session WHERE id = ?";
        let mut statement = self.0.prepare_cached(sql)?;
        let found = statement.query_row([id.to_string()], |row| {
            Ok(SessionRow {
                status: row.get(0)?,
                key: row.get(1)?,
                max_players: row.get(2)?,
                activated: row.get(3)?,
                ending: row.get(4)?,
                reason: row.get(5)?,
            })
        });
        Ok(found.optional()?)
    }

    pub fn players(&self) -> Outcome<BTreeMap<PlayerSessionId, PlayerRow>> {
        let sql = "SELECT id, game_session, player, idempotency_key, status, reason, revoking, joined_ms IS NOT NULL,
                   ended_ms IS NOT NULL FROM player_session";
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query(())?;
        let mut players = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let (id, session): (String, String) = (row.get(0)?, row.get(1)?);
            let player = PlayerRow {
                session: session.parse()?,
                player: row.get(2)?,
                key: row.get(3)?,
                status: row.get(4)?,
                reason: row.get(5)?,
                revoking: row.get(6)?,
                joined: row.get(7)?,
                over: row.get(8)?,
            };
            players.insert(id.parse()?, player);
        }
        Ok(players)
    }

    pub fn processes(&self) -> Outcome<BTreeMap<ServerProcessId, ProcessRow>> {
        let mut statement = self.0.prepare_cached("SELECT id, status, reason, pid, session FROM process")?;
        let mut rows = statement.query(())?;
        let mut processes = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            let process =
                ProcessRow { status: row.get(1)?, reason: row.get(2)?, pid: row.get(3)?, session: row.get(4)? };
            processes.insert(id.parse()?, process);
        }
        Ok(processes)
    }

    /// Game sessions that are not over.
    pub fn live_sessions(&self) -> Outcome<Vec<GameSessionId>> {
        let ids = self.lines("SELECT id FROM game_session WHERE status <> 'TERMINATED'")?;
        Ok(ids.iter().map(|id| id.parse()).collect::<Result<_, _>>()?)
    }

    /// Game sessions with more live players than slots.
    pub fn oversold(&self) -> Outcome<Vec<String>> {
        self.lines(
            "SELECT g.id || ' sold ' || count(*) || ' of ' || g.max_players FROM player_session s
             JOIN game_session g ON g.id = s.game_session
             WHERE s.ended_ms IS NULL GROUP BY g.id HAVING count(*) > g.max_players",
        )
    }

    /// Game sessions on two processes.
    pub fn hosted_twice(&self) -> Outcome<Vec<String>> {
        self.lines(
            "SELECT session || ' is on ' || group_concat(id, ' and ') FROM process
             WHERE session IS NOT NULL AND status <> 'ENDED' GROUP BY session HAVING count(*) > 1",
        )
    }

    /// Idempotency keys with more than one object.
    pub fn duplicates(&self) -> Outcome<Vec<String>> {
        self.lines(
            "SELECT 'key ' || idempotency_key || ' has ' || count(*) || ' game sessions' FROM game_session
             GROUP BY fleet, idempotency_key HAVING count(*) > 1
             UNION ALL
             SELECT 'key ' || idempotency_key || ' has ' || count(*) || ' player sessions of ' || player
             FROM player_session GROUP BY game_session, idempotency_key, player HAVING count(*) > 1",
        )
    }

    /// Players who hold two slots of one game session.
    pub fn known_twice(&self) -> Outcome<Vec<String>> {
        self.lines(
            "SELECT player || ' is live ' || count(*) || ' times in ' || game_session FROM player_session
             WHERE ended_ms IS NULL GROUP BY game_session, player HAVING count(*) > 1",
        )
    }

    /// What the coordinator itself holds for a bug or an attack.
    pub fn violations(&self) -> Outcome<Vec<String>> {
        self.lines("SELECT seq || ' ' || subject || ': ' || detail FROM event WHERE kind = 'PROTOCOL_VIOLATION'")
    }

    fn lines(&self, sql: &str) -> Outcome<Vec<String>> {
        let mut statement = self.0.prepare_cached(sql)?;
        let lines = statement.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(lines)
    }
}

/// Copies what a killed coordinator has left: the file and its log, without the index that is made anew.
pub fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let _ = std::fs::remove_dir_all(to); // the copy of an earlier round
    std::fs::create_dir_all(to)?;
    std::fs::copy(from.join(FILE), to.join(FILE))?;
    match std::fs::copy(from.join("playgate.db-wal"), to.join("playgate.db-wal")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The coordinator's own tables, with rows that must never be.
    const WRONG: &str = "
        INSERT INTO game_session SELECT 'gs-' || n, 'f', '', status, 1, NULL, 1, '[]', 0, 0, NULL, key, x'', NULL, 0, 0,
            NULL, x'' FROM (SELECT 'a' n, 'ACTIVE' status, 'same' key UNION SELECT 'b', 'TERMINATED', 'same');
        INSERT INTO player_session SELECT 'ps-' || n, 'gs-a', 'ann', x'', 'RESERVED', 0, 0, 0, 0, 0, 0, key, x'', 0, NULL,
            NULL, NULL FROM (SELECT 1 n, 'k' key UNION SELECT 2, 'k');
        INSERT INTO process SELECT 'sp-' || n, 'f', NULL, '', 'HOSTING', 0, NULL, NULL, '[]', 'gs-a', 0, 0, 0, NULL,
            NULL, 0, NULL, NULL, NULL, '', 0, NULL, NULL FROM (SELECT 1 n UNION SELECT 2);
        INSERT INTO event VALUES (1, 0, 'PROTOCOL_VIOLATION', 'peer', 'x', 'said too much');";

    #[test]
    fn what_must_not_be_is_found_in_the_coordinators_own_tables() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("../../../coordinator/src/store/migrations/0001_rows.sql")).unwrap();
        let database = Database(connection);
        let look = || {
            let found = [
                database.oversold(),
                database.hosted_twice(),
                database.duplicates(),
                database.known_twice(),
                database.violations(),
            ];
            found.map(|lines| lines.unwrap().len())
        };
        assert_eq!(look(), [0; 5]);
        database.0.execute_batch(WRONG).unwrap();
        assert_eq!(look(), [1, 1, 2, 1, 1]);
    }
}
