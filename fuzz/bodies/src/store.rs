//! The store and what is made of it: damaged files, and rows that hold anything their columns can.

use std::cell::RefCell;
use std::path::PathBuf;

use playgate_coordinator::store::{Sqlite, Store};
use playgate_core::rows::Row;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::core::rows_of_a_story;
use crate::draw::{Draw, Pool};
use crate::recovery::recover;
use crate::scratch::Scratch;

/// Tables in the order in which the story fills them.
const TABLES: [&str; 10] =
    ["process", "game_session", "player_session", "fleet", "host", "join_key", "peer", "event", "signing_key", "meta"];
const EDITS_MAX: usize = 24;

/// A database file: a real one with the bytes laid over it in pieces, or the bytes alone.
pub fn store(data: &[u8]) {
    thread_local! { static PLACE: (Scratch, Vec<u8>) = real_file(); }
    PLACE.with(|(scratch, real)| {
        let Some((how, mut rest)) = data.split_first() else { return };
        let path = scratch.file("damaged.db");
        let mut file = real.clone();
        if how % 8 == 7 {
            file = rest.to_vec();
        } else {
            while let Some((head, behind)) = rest.split_first_chunk::<4>() {
                let (over, behind) = behind.split_at(usize::from(head[3]).min(behind.len()));
                let at = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                let at = at % file.len();
                file[at..].iter_mut().zip(over).for_each(|(byte, over)| *byte = *over);
                rest = behind;
            }
            // Cut in the middle, as a copy that was not finished.
            let pages = file.len() / 4_096;
            file.truncate(if how % 8 == 6 { ((pages * usize::from(*how)) >> 8) * 4_096 + 17 } else { file.len() });
        }
        for left in ["damaged.db-wal", "damaged.db-shm"] {
            let _ = std::fs::remove_file(scratch.file(left)); // there are none behind a clean end
        }
        std::fs::write(&path, file).expect("room");
        if let Ok(mut store) = Sqlite::open(&path)
            && let Ok(loaded) = store.load()
        {
            // What can be read can be written on.
            let _ = store.commit(loaded.seq.wrapping_add(1), &[Row::HighWater(1)]);
            recover(loaded.rows);
        }
    });
}

fn real_file() -> (Scratch, Vec<u8>) {
    let scratch = Scratch::new();
    let path = scratch.file("real.db");
    let mut store = Sqlite::open(&path).expect("a new database");
    store.commit(1, &rows_of_a_story()).expect("room");
    drop(store);
    let bytes = std::fs::read(&path).expect("written just now");
    (scratch, bytes)
}

/// Rows of a real history, edited column by column behind the store's back, then loaded and lived with.
pub fn rows(data: &[u8]) {
    thread_local! { static BENCH: RefCell<Bench> = RefCell::new(Bench::new()); }
    BENCH.with_borrow_mut(|bench| {
        bench.edit(data);
        if let Ok(loaded) = bench.store.load() {
            recover(loaded.rows);
        }
    });
}

/// A store and a second connection to its file.
struct Bench {
    store: Sqlite,
    raw: Connection,
    columns: Vec<Vec<String>>,
    keys: Vec<Vec<Value>>,
    pool: Pool,
    /// Tables that the last input has edited.
    touched: Vec<usize>,
    _scratch: Scratch,
}

impl Bench {
    fn new() -> Self {
        let scratch = Scratch::new();
        let path: PathBuf = scratch.file("rows.db");
        let mut store = Sqlite::open(&path).expect("a new database");
        store.commit(1, &rows_of_a_story()).expect("room");
        let raw = Connection::open(&path).expect("it was made just now");
        raw.execute_batch("PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY").expect("settings");
        raw.set_prepared_statement_cache_capacity(512);
        let mut bench = Self {
            store,
            raw,
            columns: Vec::new(),
            keys: Vec::new(),
            pool: Pool { numbers: vec![1_700_000_000_000, i64::MAX as u64, 1 << 63], ..Pool::default() },
            touched: Vec::new(),
            _scratch: scratch,
        };
        TABLES.iter().for_each(|table| bench.learn(table));
        bench
    }

    /// Keeps a copy of the table, and its texts as values for other columns.
    fn learn(&mut self, table: &str) {
        let copy = format!("CREATE TEMP TABLE kept_{table} AS SELECT * FROM main.{table}");
        self.raw.execute_batch(&copy).expect("a copy");
        let mut statement = self.raw.prepare(&format!("SELECT * FROM {table}")).expect("a table of the store");
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut keys = Vec::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().expect("a row") {
            keys.push(row.get::<_, Value>(0).expect("a key"));
            let texts = (0..columns.len()).filter_map(|column| row.get::<_, String>(column).ok());
            self.pool.texts.extend(texts.filter(|text| table != "event" || text.len() < 40));
        }
        self.pool.texts.sort();
        self.pool.texts.dedup();
        self.columns.push(columns);
        self.keys.push(keys);
    }

    /// Everything as it was, then edited by the bytes.
    fn edit(&mut self, data: &[u8]) {
        self.raw.execute_batch("BEGIN").expect("no transaction is open");
        for table in std::mem::take(&mut self.touched) {
            let table = TABLES[table];
            self.run(&format!("DELETE FROM main.{table}"), &[]);
            self.run(&format!("INSERT INTO main.{table} SELECT * FROM temp.kept_{table}"), &[]);
        }
        let pool = std::mem::take(&mut self.pool);
        let mut draw = Draw::new(data, &pool);
        for _ in 0..EDITS_MAX {
            if draw.is_empty() {
                break;
            }
            self.edit_one(&mut draw);
        }
        self.pool = pool;
        self.raw.execute_batch("COMMIT").expect("nobody else writes");
    }

    fn edit_one(&mut self, draw: &mut Draw<'_>) {
        let what = draw.byte();
        let index = usize::from(what >> 3) % TABLES.len();
        let (table, columns, keys) = (TABLES[index], &self.columns[index], &self.keys[index]);
        if keys.is_empty() {
            return;
        }
        let (key, key_column) = (keys[usize::from(draw.byte()) % keys.len()].clone(), &columns[0]);
        let column = &columns[usize::from(draw.byte()) % columns.len()];
        let sql = match what % 8 {
            0 => format!("DELETE FROM main.{table} WHERE {key_column} = ?1"),
            1 => {
                let others = columns[1..].join(", ");
                format!(
                    "INSERT OR IGNORE INTO main.{table} ({key_column}, {others}) SELECT ?2, {others} FROM main.{table} WHERE {key_column} = ?1"
                )
            }
            2 => format!("UPDATE main.{table} SET {column} = CAST(?2 AS TEXT) WHERE {key_column} = ?1"),
            _ => format!("UPDATE main.{table} SET {column} = ?2 WHERE {key_column} = ?1"),
        };
        let value = if what.is_multiple_of(8) { Vec::new() } else { vec![any_value(draw)] };
        self.touched.push(index);
        self.run(&sql, &[vec![key], value].concat());
    }

    /// What the tables' types do not allow is not done.
    fn run(&self, sql: &str, values: &[Value]) {
        let mut statement = self.raw.prepare_cached(sql).expect(sql);
        let _ = statement.execute(params_from_iter(values));
    }
}

fn any_value(draw: &mut Draw<'_>) -> Value {
    match draw.byte() % 8 {
        0 => Value::Null,
        1..=3 => Value::Integer(draw.number().cast_signed()),
        4 | 5 => draw.value::<String>().map_or(Value::Null, Value::Text),
        6 => Value::Text(format!("\"{}\"", draw.value::<String>().unwrap_or_default())),
        _ => {
            let len = draw.byte();
            Value::Blob(draw.take(len.into()).to_vec())
        }
    }
}
