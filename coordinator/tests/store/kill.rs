//! A coordinator killed in the middle of its work. (That the disk keeps what it was told to sync is not shown by this.)

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use playgate_coordinator::store::{Sqlite, Store};
use playgate_core::rows::Row;
use playgate_protocol::PlayerSessionId;

use super::Home;
use super::arbitrary::Arbitrary;

const STORE: &str = "PLAYGATE_TEST_STORE_TO_WRITE";
const ROUNDS: u64 = 30;
const ROWS_PER_BATCH: u64 = 20;

/// Kept rows of batch `seq`, and one that every batch overwrites.
fn batch(seq: u64) -> Vec<Row> {
    let mut rows: Vec<Row> = (0..ROWS_PER_BATCH)
        .map(|place| {
            let mut row = Arbitrary::new(seq * ROWS_PER_BATCH + place).player_session();
            row.id = PlayerSessionId::from_parts(0, seq, [place as u8; 9]);
            Row::PlayerSession(Box::new(row))
        })
        .collect();
    rows.insert(7, Row::HighWater(seq));
    rows
}

/// What the killed process does: a batch, a line, a batch, a line.
fn write_until_killed(path: &Path) {
    let mut store = Sqlite::open(path).expect("opens");
    let first = store.load().expect("loads").seq + 1;
    for seq in first.. {
        store.commit(seq, &batch(seq)).expect("commits");
        println!("acknowledged {seq}");
    }
}

#[test]
fn an_acknowledged_batch_survives_and_no_batch_is_torn() {
    if let Some(path) = std::env::var_os(STORE) {
        return write_until_killed(Path::new(&path));
    }
    let home = Home::new();
    let mut stored = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "kill::an_acknowledged_batch_survives_and_no_batch_is_torn", "--nocapture"])
            .env(STORE, home.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts itself");
        let lines = BufReader::new(child.stdout.take().expect("is piped")).lines().map_while(Result::ok);
        let mut acknowledged = stored;
        let mut arbitrary = Arbitrary::new(round);
        let kill_after = stored + 3 + arbitrary.below(12);
        // All lines to the end: the kill takes a while, and what is said meanwhile counts as well.
        for line in lines {
            if let Some((_, seq)) = line.split_once("acknowledged ") {
                acknowledged = seq.parse().expect("a number");
            }
            if acknowledged == kill_after {
                // A moment of its own in each round: a batch takes about as long.
                let (line_read, wait) = (Instant::now(), Duration::from_micros(arbitrary.below(1_000)));
                while line_read.elapsed() < wait {
                    std::hint::spin_loop();
                }
                child.kill().expect("is alive");
            }
        }
        assert!(child.wait().expect("ends").code().is_none(), "was killed, did not exit");
        assert!(acknowledged >= kill_after);

        let loaded = home.load();
        assert!(loaded.seq >= acknowledged, "round {round}: {acknowledged} was acknowledged, {} is stored", loaded.seq);
        assert!(loaded.seq <= acknowledged + 1, "round {round}: one batch at most is unacknowledged");
        let mut expected = vec![Row::HighWater(loaded.seq)];
        expected.extend((1..=loaded.seq).flat_map(batch).filter(|row| matches!(row, Row::PlayerSession(_))));
        let by_id = |row: &Row| match row {
            Row::PlayerSession(row) => Some(row.id),
            _ => None,
        };
        expected.sort_by_key(by_id);
        let mut rows = loaded.rows;
        rows.sort_by_key(by_id);
        assert!(rows == expected, "round {round}: batches 1 to {} are whole, and nothing else is there", loaded.seq);
        stored = loaded.seq;
    }
}
