//! The store in one SQLite file.

use std::ffi::c_int;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use playgate_core::fleet::FleetConfig;
use playgate_core::rows::{
    GameSessionRow, HostRow, JoinKeyRow, PeerRow, PlayerSessionRow, ProcessRow, RelayRow, Row, SigningKeyRow,
};
use playgate_protocol::TimeMs;
use playgate_protocol::api::Event;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, TransactionBehavior};

use crate::clock;

use super::lock::Lock;
use super::record::{Field, Put, Record, Take};
use super::{EVENTS_LOADED_MAX, Loaded, Store, StoreError, schema, space};

/// Older ones can damage a file when a checkpoint and a write meet (fixed in 3.51.3). The bundled one is newer; this
/// finds a build that links another.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// Long enough for an operator's short write with the `sqlite3` tool, short enough to notice that it is not short.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Every table has one statement to write and one to delete.
const STATEMENTS_MAX: usize = 32;

/// The log is moved into the tables whenever it has this many pages, as SQLite does by itself: with four times as many no
/// more is written per second, and the longest commit takes four times as long.
const CHECKPOINT_PAGES: u16 = 1_000;

/// Rows in one SQLite file, one transaction for each batch, synced before `commit` returns.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    // Closed before the lock is given up.
    connection: Connection,
    /// Length of the log after the last commit.
    logged_pages: Arc<AtomicI32>,
    checkpoint_pages: u16,
    _lock: Lock,
}

impl Sqlite {
    /// Opens the store, makes it where there is none, and brings an older one up to date.
    ///
    /// # Errors
    /// [`StoreError`]; a file of somebody else, of a newer version or in use is left untouched.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_with(path, CHECKPOINT_PAGES)
    }

    /// The same with another length of the log at which it is moved into the tables.
    ///
    /// # Errors
    /// As [`Sqlite::open`].
    pub fn open_with(path: impl Into<PathBuf>, checkpoint_pages: u16) -> Result<Self, StoreError> {
        let path = path.into();
        let version = rusqlite::version_number();
        if version < SQLITE_VERSION_MIN {
            let detail = format!("SQLite {version} can damage files; build with the bundled one");
            return Err(StoreError::Failed { path, detail });
        }
        // First of all: to close any descriptor of a file in use would take the locks of SQLite from it.
        let lock = Lock::take(&path)?;
        let mut connection = match connect(&path) {
            Err(StoreError::Full { .. }) if space::release_ballast(&path) => connect(&path),
            result => result,
        }?;
        let logged_pages = Arc::new(AtomicI32::new(0));
        let logged = Arc::clone(&logged_pages);
        // In place of SQLite's own, which moves the log and tells nobody when that fails: a disk that takes the log and
        // not the tables would go unnoticed until the log had filled it.
        let hook = move |_: &mut Wal, pages: c_int| {
            logged.store(pages, Ordering::Relaxed);
            Ok(())
        };
        connection.wal_hook(Some(hook)).map_err(|e| StoreError::from_sqlite(&path, &e))?;
        Ok(Self { path, connection, logged_pages, checkpoint_pages, _lock: lock })
    }

    /// The coordinator's time as the clock since boot tells it: the stored high-water mark and what has passed since.
    /// `None` when the machine was started anew meanwhile, or is another one.
    #[must_use]
    pub fn time_since_boot(&self) -> Option<TimeMs> {
        let stored = self.connection.query_row(BOOT, (), |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, String>(1)?, row.get::<_, i64>(2)?.cast_unsigned()))
        });
        let (high_water_ms, boot_id, then_ms) = stored.ok()?; // NULL in a store that never had a high-water mark
        let (id, now_ms) = clock::boot()?;
        let away_ms = now_ms.checked_sub(then_ms).filter(|_| id == boot_id)?;
        high_water_ms.checked_add(away_ms)
    }

    fn read<R: Record>(&self, order: &str, rows: &mut Vec<Row>, to_row: fn(R) -> Row) -> Result<(), StoreError> {
        let mut read = || -> rusqlite::Result<Result<(), String>> {
            let mut statement = self.connection.prepare(&format!("{} {order}", R::SELECT))?;
            let mut found = statement.raw_query();
            while let Some(row) = found.next()? {
                let mut columns = Take::new(row);
                match R::take(&mut columns) {
                    Some(record) => rows.push(to_row(record)),
                    None => return Ok(Err(columns.stopped_at(R::TABLE))),
                }
            }
            Ok(Ok(()))
        };
        read()
            .map_err(|e| StoreError::from_sqlite(&self.path, &e))?
            .map_err(|detail| StoreError::Damaged { path: self.path.clone(), detail })
    }
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let meta = self.connection.query_row(META, (), |row| {
            let mut columns = Take::new(row);
            Ok((columns.take::<u64>(), columns.take::<u64>(), columns.take::<Option<u64>>()))
        });
        let meta = meta.map_err(|e| StoreError::from_sqlite(&self.path, &e))?;
        let (Some(seq), Some(generation), Some(high_water)) = meta else {
            return Err(StoreError::Damaged {
                path: self.path.clone(),
                detail: "table meta cannot be read".to_owned(),
            });
        };
        let mut rows: Vec<Row> = high_water.map(Row::HighWater).into_iter().collect();
        self.read::<FleetConfig>("", &mut rows, Row::Fleet)?;
        self.read::<SigningKeyRow>("", &mut rows, Row::SigningKey)?;
        self.read::<HostRow>("", &mut rows, Row::Host)?;
        self.read::<RelayRow>("", &mut rows, Row::Relay)?;
        self.read::<JoinKeyRow>("", &mut rows, Row::JoinKey)?;
        self.read::<PeerRow>("", &mut rows, Row::Peer)?;
        self.read::<ProcessRow>("", &mut rows, |row| Row::Process(Box::new(row)))?;
        self.read::<GameSessionRow>("", &mut rows, |row| Row::GameSession(Box::new(row)))?;
        self.read::<PlayerSessionRow>("", &mut rows, |row| Row::PlayerSession(Box::new(row)))?;
        let events = rows.len();
        self.read::<Event>(&format!("ORDER BY seq DESC LIMIT {EVENTS_LOADED_MAX}"), &mut rows, Row::Event)?;
        rows[events..].reverse();
        Ok(Loaded { rows, seq, generation })
    }

    fn commit(&mut self, seq: u64, rows: &[Row]) -> Result<(), StoreError> {
        let path = &self.path;
        let mut write = || -> rusqlite::Result<Result<(), StoreError>> {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let stored = transaction.query_row("SELECT seq FROM meta", (), |row| row.get::<_, i64>(0))?.cast_unsigned();
            if stored.checked_add(1) != Some(seq) {
                return Ok(Err(StoreError::OutOfOrder { stored, submitted: seq }));
            }
            execute(&transaction, "UPDATE meta SET seq = ?", &seq)?;
            for row in rows {
                apply(&transaction, row)?;
            }
            if rows.iter().any(|row| matches!(row, Row::HighWater(_))) {
                let (boot_id, boot_ms) = clock::boot().unzip();
                transaction.prepare_cached(SET_BOOT)?.execute((boot_id, boot_ms.map(u64::cast_signed)))?;
            }
            transaction.commit()?;
            if self.logged_pages.load(Ordering::Relaxed) >= c_int::from(self.checkpoint_pages) {
                checkpoint(&self.connection)?;
            }
            Ok(Ok(()))
        };
        let result = write().map_err(|e| StoreError::from_sqlite(path, &e)).and_then(|written| written);
        if matches!(result, Err(StoreError::Full { .. })) {
            space::release_ballast(path);
        }
        result
    }
}

/// Opens the file, sees that it is ours before anything is written to it, and brings it up to date.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    make_private(path).map_err(|e| StoreError::from_io(path, "make the file", &e))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sqlite = |e: rusqlite::Error| StoreError::from_sqlite(path, &e);
    let mut connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    let found = schema::identify(&connection, path)?;
    let mode = write_ahead(&connection).map_err(sqlite)?;
    if mode != "wal" {
        let detail = format!("no write-ahead log here (journal mode {mode}); use a local file system");
        return Err(StoreError::Failed { path: path.to_owned(), detail });
    }
    connection.execute_batch(SETTINGS).map_err(sqlite)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    schema::migrate(&mut connection, found).map_err(sqlite)?;
    let synced = playgate_files::parent(path).map_or(Ok(()), playgate_files::sync_dir);
    synced.map_err(|e| StoreError::from_io(path, "sync the directory", &e))?;
    Ok(connection)
}

/// Switches to the log; says which mode it is. The switch is a transaction, whose failure comes behind the row that says
/// "wal": whoever reads that row alone would go on without a log.
fn write_ahead(connection: &Connection) -> rusqlite::Result<String> {
    let mut statement = connection.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = statement.query(())?;
    let mut mode = String::new();
    while let Some(row) = rows.next()? {
        mode = row.get(0)?;
    }
    Ok(mode)
}

/// Moves the log into the tables. The commit before it is durable, and fails with it all the same.
fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    match connection.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE) {
        // Another program is at it.
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(()),
        result => result.map(drop),
    }
}

/// FULL syncs the log in each commit; NORMAL would lose the last ones with the power. 64 MiB of cache hold the part of
/// the player sessions that still changes. `cell_size_check` finds a damaged page when it is read.
const SETTINGS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA cache_size = -65536;
    PRAGMA cell_size_check = ON;
    PRAGMA trusted_schema = OFF;
";

/// SQLite would make the file with rights for everybody; its log takes the rights of the file.
fn make_private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
}

fn apply(connection: &Connection, row: &Row) -> rusqlite::Result<()> {
    match row {
        Row::HighWater(time_ms) => execute(connection, HIGH_WATER, time_ms),
        Row::SigningKey(row) => upsert(connection, row),
        Row::Fleet(row) => upsert(connection, row),
        Row::Relay(row) => upsert(connection, row),
        Row::Host(row) => upsert(connection, row),
        Row::JoinKey(row) => upsert(connection, row),
        Row::Peer(row) => upsert(connection, row),
        Row::Process(row) => upsert(connection, row.as_ref()),
        Row::GameSession(row) => upsert(connection, row.as_ref()),
        Row::PlayerSession(row) => upsert(connection, row.as_ref()),
        Row::Event(row) => upsert(connection, row),
        Row::ForgetSigningKey(key) => execute(connection, SigningKeyRow::DELETE, key),
        Row::ForgetJoinKey(key) => execute(connection, JoinKeyRow::DELETE, key),
        Row::ForgetPeer(key) => execute(connection, PeerRow::DELETE, key),
        Row::ForgetProcess(key) => execute(connection, ProcessRow::DELETE, key),
        Row::ForgetGameSession(key) => execute(connection, GameSessionRow::DELETE, key),
        Row::ForgetPlayerSession(key) => execute(connection, PlayerSessionRow::DELETE, key),
        Row::ForgetEvents(through_seq) => execute(connection, FORGET_EVENTS, through_seq),
    }
}

const META: &str = "SELECT seq, generation, high_water_ms FROM meta";
const HIGH_WATER: &str = "UPDATE meta SET high_water_ms = max(?, ifnull(high_water_ms, 0))";
const BOOT: &str = "SELECT high_water_ms, boot_id, boot_ms FROM meta";
const SET_BOOT: &str = "UPDATE meta SET boot_id = ?, boot_ms = ?";
const FORGET_EVENTS: &str = "DELETE FROM event WHERE seq <= ?";

fn upsert<R: Record>(connection: &Connection, record: &R) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(R::UPSERT)?;
    record.put(&mut Put::new(&mut statement))?;
    statement.raw_execute().map(drop)
}

fn execute(connection: &Connection, sql: &str, parameter: &impl Field) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    Put::new(&mut statement).put(parameter)?;
    statement.raw_execute().map(drop)
}
