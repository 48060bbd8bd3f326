//! The tables' versions, and how a store gets from one to the next.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::StoreError;

/// Marks the file as ours (`PRAGMA application_id`); spells "PlGt".
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"PlGt");

/// Each takes a store from the version that is its place in the list to the next. Once released, one is never edited.
///
/// A field that is added to a type kept as JSON (a fleet's configuration) is a version of its own too, though it may
/// need no SQL: an older program would refuse the unknown field in words that do not tell the operator why.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_rows.sql"),
    include_str!("migrations/0002_boot.sql"),
    include_str!("migrations/0003_relays.sql"),
];

/// Version of the tables that this program writes.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// Whose file it is, found out without writing to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// An empty file.
    Nothing,
    /// A store of this version.
    Store(usize),
}

/// Looks who wrote the file.
pub(super) fn identify(connection: &Connection, path: &Path) -> Result<Found, StoreError> {
    let number = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, i64>(0));
    let read = || Ok((number("PRAGMA application_id")?, number("PRAGMA user_version")?, number(COUNT_TABLES)?));
    let (id, version, tables) = read().map_err(|e: rusqlite::Error| match e.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::NotOurs { path: path.to_owned() },
        _ => StoreError::from_sqlite(path, &e),
    })?;
    if (id, version, tables) == (0, 0, 0) {
        return Ok(Found::Nothing);
    }
    if id != i64::from(APPLICATION_ID) {
        return Err(StoreError::NotOurs { path: path.to_owned() });
    }
    match usize::try_from(version) {
        Ok(known) if known <= VERSION => Ok(Found::Store(known)),
        _ => Err(StoreError::Newer { path: path.to_owned(), found: version }),
    }
}

const COUNT_TABLES: &str = "SELECT count(*) FROM sqlite_schema";

/// Brings the tables to this program's version, wholly or not at all.
pub(super) fn migrate(connection: &mut Connection, found: Found) -> rusqlite::Result<()> {
    migrate_by(connection, found, MIGRATIONS)
}

fn migrate_by(connection: &mut Connection, found: Found, migrations: &[&str]) -> rusqlite::Result<()> {
    let from = match found {
        Found::Nothing => 0,
        Found::Store(version) => version,
    };
    let due = &migrations[from.min(migrations.len())..];
    if due.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for migration in due {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", i64::try_from(migrations.len()).expect("a short list"))?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(connection: &Connection) -> (i64, i64) {
        connection
            .query_row("SELECT user_version, (SELECT count(*) FROM t) FROM pragma_user_version", (), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap()
    }

    #[test]
    fn migrations_run_once_in_order_and_wholly() {
        const FIRST: &str = "CREATE TABLE t (x); INSERT INTO t VALUES (1)";
        const SECOND: &str = "INSERT INTO t SELECT x + 1 FROM t";
        let mut connection = Connection::open_in_memory().unwrap();
        migrate_by(&mut connection, Found::Nothing, &[FIRST]).unwrap();
        assert_eq!(version(&connection), (1, 1));
        migrate_by(&mut connection, Found::Store(1), &[FIRST]).unwrap();
        assert_eq!(version(&connection), (1, 1));

        let broken = [FIRST, SECOND, "INSERT INTO t VALUES (9); no such statement"];
        assert!(migrate_by(&mut connection, Found::Store(1), &broken).is_err());
        assert_eq!(version(&connection), (1, 1), "a failed upgrade leaves the store as it was");

        migrate_by(&mut connection, Found::Store(1), &[FIRST, SECOND, SECOND]).unwrap();
        assert_eq!(version(&connection), (3, 4));
    }
}
