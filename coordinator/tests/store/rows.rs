//! What was committed is what is loaded.

use std::collections::BTreeMap;

use playgate_coordinator::store::{EVENTS_LOADED_MAX, Store, StoreError};
use playgate_core::rows::Row;
use playgate_protocol::api::{Event, EventKind, Subject};

use super::Home;
use super::arbitrary::{Arbitrary, ROUND};

/// What a store is: the last row of each key.
#[derive(Debug, Default, PartialEq)]
struct Model(BTreeMap<String, Row>);

/// Table and key.
fn place(row: &Row) -> String {
    match row {
        Row::HighWater(_) => "high water".to_owned(),
        Row::SigningKey(row) => format!("signing key {}", row.key_id),
        Row::Fleet(row) => format!("fleet {}", row.name),
        Row::Host(row) => format!("host {}", row.id),
        Row::Relay(row) => format!("relay {}", row.id),
        Row::JoinKey(row) => format!("join key {:?}", row.secret_sha256),
        Row::Peer(row) => format!("peer {}", row.fingerprint),
        Row::Process(row) => format!("process {}", row.id),
        Row::GameSession(row) => format!("game session {}", row.id),
        Row::PlayerSession(row) => format!("player session {}", row.id),
        Row::Event(row) => format!("event {:020}", row.seq),
        Row::ForgetSigningKey(id) => format!("signing key {id}"),
        Row::ForgetJoinKey(key) => format!("join key {key:?}"),
        Row::ForgetPeer(key) => format!("peer {key}"),
        Row::ForgetProcess(key) => format!("process {key}"),
        Row::ForgetGameSession(key) => format!("game session {key}"),
        Row::ForgetPlayerSession(key) => format!("player session {key}"),
        Row::ForgetEvents(through_seq) => format!("event {through_seq:020}"),
    }
}

impl Model {
    fn apply(&mut self, row: &Row) {
        let place = place(row);
        match row {
            Row::HighWater(time_ms) if matches!(self.0.get(&place), Some(Row::HighWater(t)) if t > time_ms) => {}
            Row::ForgetEvents(_) => self.0.retain(|key, _| !key.starts_with("event ") || *key > place),
            Row::ForgetSigningKey(_)
            | Row::ForgetJoinKey(_)
            | Row::ForgetPeer(_)
            | Row::ForgetProcess(_)
            | Row::ForgetGameSession(_)
            | Row::ForgetPlayerSession(_) => {
                self.0.remove(&place);
            }
            _ => {
                self.0.insert(place, row.clone());
            }
        }
    }

    fn of(rows: &[Row]) -> Self {
        Self(rows.iter().map(|row| (place(row), row.clone())).collect())
    }
}

#[test]
fn every_value_of_every_field_comes_back() {
    let home = Home::new();
    let mut model = Model::default();
    for number in 0..ROUND * 10 {
        // Few ids: what one batch wrote, a later one overwrites and forgets.
        let rows = Arbitrary::new(number).rows();
        rows.iter().for_each(|row| model.apply(row));
        home.write(&rows);
        let loaded = home.load();
        assert_eq!(loaded.seq, number + 1);
        let places: Vec<String> = loaded.rows.iter().map(place).collect();
        assert_eq!(Model::of(&loaded.rows), model, "number {number}");
        assert_eq!(places.len(), model.0.len(), "number {number}: a row came twice");
    }
}

/// One row of each kind alone, so that no later row of the same key hides what went wrong with it.
#[test]
fn a_row_alone_comes_back() {
    for number in 0..ROUND {
        let home = Home::new();
        let rows = Arbitrary::new(number).rows();
        let kept: Vec<Row> = rows.into_iter().filter(|row| !format!("{row:?}").starts_with("Forget")).collect();
        home.write(&kept);
        assert_eq!(Model::of(&home.load().rows), Model::of(&kept), "number {number}");
    }
}

#[test]
fn a_new_store_is_empty() {
    let loaded = Home::new().load();
    assert_eq!((loaded.rows, loaded.seq, loaded.generation), (vec![], 0, 1));
}

#[test]
fn the_high_water_never_falls() {
    let home = Home::new();
    home.write(&[Row::HighWater(7_000)]);
    home.write(&[Row::HighWater(5_000)]);
    assert_eq!(home.load().rows, [Row::HighWater(7_000)]);
}

#[test]
fn the_clock_since_boot_tells_how_long_ago_the_high_water_was() {
    let home = Home::new();
    assert_eq!(home.open().time_since_boot(), None);
    home.write(&[Row::HighWater(7_000)]);
    let store = home.open();
    let first = store.time_since_boot().unwrap();
    assert!(first >= 7_000 && store.time_since_boot().unwrap() >= first);
    drop(store);
    for another_boot in ["UPDATE meta SET boot_id = 'another'", "UPDATE meta SET boot_ms = 1 << 60"] {
        home.write(&[Row::HighWater(8_000)]);
        assert!(home.open().time_since_boot().unwrap() >= 8_000);
        rusqlite::Connection::open(home.path()).unwrap().execute(another_boot, ()).unwrap();
        assert_eq!(home.open().time_since_boot(), None, "{another_boot}");
    }
}

#[test]
fn the_last_events_come_back_oldest_first() {
    let home = Home::new();
    let event = |seq| {
        Row::Event(Event {
            seq,
            at_ms: 5,
            kind: EventKind::CoordinatorStarted,
            subject: Subject::Coordinator,
            detail: Default::default(),
        })
    };
    let last = u64::from(EVENTS_LOADED_MAX) + 500;
    home.write(&(1..=last).map(event).collect::<Vec<_>>());
    let expected: Vec<Row> = (501..=last).map(event).collect();
    assert_eq!(home.load().rows, expected);
    home.write(&[Row::ForgetEvents(last - 2)]);
    assert_eq!(home.load().rows, [event(last - 1), event(last)]);
}

#[test]
fn only_the_next_batch_is_taken() {
    let home = Home::new();
    let mut store = home.open();
    store.commit(1, &[Row::HighWater(1)]).unwrap();
    for submitted in [0, 1, 3, u64::MAX] {
        let refused = store.commit(submitted, &[Row::HighWater(9)]);
        assert_eq!(refused, Err(StoreError::OutOfOrder { stored: 1, submitted }));
    }
    store.commit(2, &[Row::HighWater(2)]).unwrap();
    assert_eq!(store.load().unwrap().rows, [Row::HighWater(2)]);
}
