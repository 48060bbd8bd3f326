//! Files that are not a store, not this version's, not whole, or not free: refused, left as they are, in words that help.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};

use playgate_coordinator::store::{Sqlite, Store, StoreError};
use playgate_core::rows::Row;
use rusqlite::Connection;

use super::Home;
use super::arbitrary::Arbitrary;

/// Opens and loads what must not open or load, and says what the operator is told.
fn refusal(home: &Home) -> (StoreError, String) {
    let error = Sqlite::open(home.path()).and_then(|mut store| store.load()).expect_err("must be refused");
    let told = error.to_string();
    assert!(told.contains(&home.path().display().to_string()), "names the file: {told}");
    (error, told)
}

fn edit(home: &Home, sql: &str) {
    Connection::open(home.path()).and_then(|c| c.execute_batch(sql)).unwrap_or_else(|e| panic!("{sql}: {e}"));
}

#[test]
fn a_store_in_use_is_refused() {
    let home = Home::new();
    let store = home.open();
    let (error, told) = refusal(&home);
    assert!(matches!(error, StoreError::InUse { .. }));
    assert!(told.contains(&format!("process {}", std::process::id())), "{told}");
    drop(store);
    home.load();
}

#[test]
fn a_newer_store_is_refused_with_both_versions() {
    let home = Home::new();
    home.write(&[Row::HighWater(1)]);
    edit(&home, "PRAGMA user_version = 7");
    let before = fs::read(home.path()).unwrap();
    let (error, told) = refusal(&home);
    assert!(matches!(error, StoreError::Newer { found: 7, .. }));
    assert!(told.contains("version 7") && told.contains("up to 3") && told.contains("backup"), "{told}");
    assert_eq!(fs::read(home.path()).unwrap(), before);
}

#[test]
fn a_file_of_somebody_else_is_left_as_it_is() {
    let database = Home::new();
    edit(&database, "CREATE TABLE theirs (x)");
    let marked = Home::new();
    edit(&marked, "PRAGMA application_id = 99");
    let text = Home::new();
    fs::write(text.path(), "A text that is long enough to be read as the head of a database. ".repeat(20)).unwrap();
    for home in [database, marked, text] {
        let before = fs::read(home.path()).unwrap();
        let (error, _) = refusal(&home);
        assert!(matches!(error, StoreError::NotOurs { .. }), "{error:?}");
        assert_eq!(fs::read(home.path()).unwrap(), before);
    }
}

#[test]
fn a_column_with_a_wrong_value_is_named() {
    for (sql, part) in [
        ("UPDATE process SET status = 'ASLEEP'", "column status"),
        ("UPDATE process SET id = 'sp-1'", "row sp-1: column id"),
        ("UPDATE process SET exit_kind = 'CODE', exit_number = NULL", "column exit_number"),
        ("UPDATE game_session SET max_players = 70000", "table game_session"),
        ("UPDATE game_session SET properties = '{\"map\"'", "column properties"),
        ("UPDATE player_session SET request_sha256 = x'00'", "column request_sha256"),
        ("UPDATE player_session SET revoking = 2", "column revoking"),
        ("UPDATE peer SET role = 'king'", "table peer"),
        ("UPDATE fleet SET config = '{}'", "table fleet"),
        ("UPDATE event SET subject_kind = 'weather'", "table event"),
        ("DELETE FROM meta", "no rows"),
        ("DROP VIEW live_game_session; DROP TABLE host", "no such table"),
    ] {
        let home = Home::new();
        home.write(
            &Arbitrary::new(0)
                .rows()
                .into_iter()
                .filter(|r| !format!("{r:?}").starts_with("Forget"))
                .collect::<Vec<_>>(),
        );
        edit(&home, sql);
        let (error, told) = refusal(&home);
        assert!(matches!(error, StoreError::Damaged { .. }), "{sql}: {error:?}");
        assert!(told.contains(part) && told.contains("backup"), "{sql}: {told}");
    }
}

/// Never a panic, never a guess: a damaged page is refused, or it held nothing that is read.
#[test]
fn a_damaged_file_is_refused_or_gives_what_was_written() {
    let home = Home::new();
    let rows: Vec<Row> = (0..200).map(|number| Row::PlayerSession(Box::new(distinct(number)))).collect();
    home.write(&rows);
    let written = home.load();
    let whole = fs::read(home.path()).unwrap();
    let mut refused = 0;
    for page in 0..whole.len() / 4_096 {
        for at in [0, 3, 8, 100, 2_000, 4_000] {
            let file = fs::File::options().write(true).open(home.path()).unwrap();
            file.write_all_at(&[0xff; 16], (page * 4_096 + at) as u64).unwrap();
            match Sqlite::open(home.path()).and_then(|mut store| store.load()) {
                Err(_) => refused += 1,
                Ok(loaded) => assert_eq!(loaded.rows.len(), written.rows.len(), "page {page} at {at}"),
            }
            fs::write(home.path(), &whole).unwrap();
        }
    }
    assert!(refused > 20, "only {refused} damages were noticed");
    assert_eq!(home.load(), written);
}

fn distinct(number: u8) -> playgate_core::rows::PlayerSessionRow {
    let mut row = Arbitrary::new(u64::from(number)).player_session();
    row.id = playgate_protocol::PlayerSessionId::from_bytes([number; 16]);
    row
}

#[test]
fn a_store_locked_by_another_program_is_busy() {
    let home = Home::new();
    let mut store = home.open();
    let other = Connection::open(home.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.commit(1, &[Row::HighWater(1)]).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error:?}");
    assert!(error.to_string().contains("-readonly"));
}

#[test]
fn an_operator_reads_it_while_the_coordinator_writes() {
    let home = Home::new();
    let mut store = home.open();
    store.commit(1, &Arbitrary::new(2).rows()).unwrap();
    let reader = Connection::open(home.path()).unwrap();
    for view in ["event_log", "live_game_session"] {
        reader.query_row(&format!("SELECT count(*) FROM {view}"), (), |row| row.get::<_, i64>(0)).unwrap();
    }
    reader.execute_batch("BEGIN; SELECT count(*) FROM process").unwrap();
    store.commit(2, &Arbitrary::new(3).rows()).unwrap();
    let at: Option<String> =
        reader.query_row("SELECT min(at) FROM event_log WHERE at LIKE '20__-__-__ %'", (), |row| row.get(0)).unwrap();
    assert!(at.is_none_or(|at| at.len() == "2025-06-15 15:06:40.000".len()));
}

#[test]
fn only_the_coordinators_user_reads_it() {
    let home = Home::new();
    let mut store = home.open();
    store.commit(1, &[]).unwrap();
    for file in fs::read_dir(home.0.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", file.path());
    }
    assert!(Sqlite::open(home.0.path().join("nowhere/playgate.db")).unwrap_err().to_string().contains("nowhere"));
}
