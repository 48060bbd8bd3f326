//! The writer's thread: order, counters, the end.

use std::sync::mpsc::{Receiver, Sender, channel};

use playgate_coordinator::store::{Batch, CommitDone, Loaded, NotSubmitted, Store, StoreError, Writer, Written};
use playgate_core::rows::Row;

use super::Home;

/// A store that commits when it is told to, and fails at one batch.
struct Scripted {
    entered: Sender<()>,
    go: Receiver<()>,
    fails_at: u64,
    committed: Sender<(u64, usize)>,
}

impl Store for Scripted {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        Ok(Loaded { rows: Vec::new(), seq: 0, generation: 1 })
    }

    fn commit(&mut self, seq: u64, rows: &[Row]) -> Result<(), StoreError> {
        self.entered.send(()).expect("the test listens");
        self.go.recv().expect("the test tells");
        if seq == self.fails_at {
            return Err(StoreError::Full { path: "playgate.db".into() });
        }
        self.committed.send((seq, rows.len())).expect("the test listens");
        Ok(())
    }
}

struct Scene {
    writer: Writer,
    entered: Receiver<()>,
    go: Sender<()>,
    done: Receiver<CommitDone>,
    committed: Receiver<(u64, usize)>,
}

fn scene(fails_at: u64) -> Scene {
    let (enter, entered) = channel();
    let (go, told) = channel();
    let (commit, committed) = channel();
    let (tell, done) = channel();
    let store = Scripted { entered: enter, go: told, fails_at, committed: commit };
    let writer = Writer::spawn(Box::new(store), move |outcome| {
        let _ = tell.send(outcome);
    });
    Scene { entered, writer: writer.expect("a thread"), go, done, committed }
}

fn batch(seq: u64) -> Batch {
    Batch { seq, rows: vec![Row::HighWater(seq); 3] }
}

#[test]
fn batches_are_acknowledged_in_order_and_counted() {
    let scene = scene(u64::MAX);
    assert_eq!(scene.writer.written(), Written { commits: 0, rows: 0 });
    for seq in 1..=5 {
        scene.writer.submit(batch(seq)).unwrap();
        scene.go.send(()).unwrap();
        let done = scene.done.recv().unwrap();
        assert_eq!((done.seq, done.result), (seq, Ok(())));
        assert_eq!(scene.writer.written(), Written { commits: seq, rows: 3 * seq }, "counted before it is told");
    }
    assert_eq!(scene.writer.finish(), Ok(()));
}

#[test]
fn submit_never_waits() {
    let scene = scene(u64::MAX);
    scene.writer.submit(batch(1)).unwrap();
    scene.entered.recv().unwrap();
    scene.writer.submit(batch(2)).unwrap();
    assert_eq!(scene.writer.submit(batch(3)), Err(NotSubmitted::QueueFull), "one is written, one waits");
    for _ in 1..=2 {
        scene.go.send(()).unwrap();
    }
    assert_eq!(scene.writer.finish(), Ok(()));
    let committed: Vec<u64> = scene.committed.iter().map(|(seq, _)| seq).collect();
    assert_eq!(committed, [1, 2], "what was taken is written before the end");
}

#[test]
fn a_failed_commit_is_the_end() {
    let scene = scene(2);
    let full = || StoreError::Full { path: "playgate.db".into() };
    for (seq, result) in [(1, Ok(())), (2, Err(full()))] {
        scene.writer.submit(batch(seq)).unwrap();
        scene.go.send(()).unwrap();
        assert_eq!(scene.done.recv().unwrap().result, result);
    }
    assert!(scene.done.recv().is_err(), "the thread is gone, and with it what it would have told");
    assert_eq!(scene.writer.submit(batch(3)), Err(NotSubmitted::Stopped));
    assert_eq!(scene.writer.written(), Written { commits: 1, rows: 3 });
    assert_eq!(scene.writer.finish(), Err(full()));
    assert_eq!(scene.committed.iter().collect::<Vec<_>>(), [(1, 3)]);
}

#[test]
fn a_dropped_writer_has_written_what_it_took_and_closed_the_store() {
    let home = Home::new();
    let writer = Writer::spawn(Box::new(home.open()), |_| {}).unwrap();
    writer.submit(Batch { seq: 1, rows: vec![Row::HighWater(42)] }).unwrap();
    drop(writer);
    assert_eq!(home.load().rows, [Row::HighWater(42)]);
}
