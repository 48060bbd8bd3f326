//! Calls that the disk fails: each is told, nothing is acknowledged after it, and nothing that was is lost.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::check::check;
use super::disk::Survives;
use super::image::Image;
use super::images::line;
use super::script::{Phase, Promised, copy};
use super::story::{Chapter, Story};
use super::trace::{Record, What, file_name};
use super::work;

/// One call fails, the next ones do not; half of a write fits and then nothing more; half of a write is done.
const FAULTS: [&str; 3] = ["eio", "enospc", "short"];

/// Batches that the coordinator commits when it is started again after a sync that failed.
const BATCHES_AFTER: u64 = 3;

/// Failures that nobody is told of, and why that does no harm. What was promised is checked after them as well.
///
/// A store that is closed moves its log into the tables. Where that fails, the log stays, and the next start reads it.
const UNTOLD: &[&str] = &[
    // It says who holds the lock, in a message for people.
    "set length playgate.db.lock",
    "write playgate.db.lock",
    // The store has synced the directory itself, after the log was made and before anything is acknowledged.
    "sync playgate by SQLite",
    "sync playgate by SQLite, closing",
    "set length playgate.db, closing",
    "sync playgate.db, closing",
    "sync playgate.db-wal, closing",
    "unlink playgate.db-shm, closing",
    "unlink playgate.db-wal, closing",
    "write playgate.db, closing",
];

struct Attempt<'a> {
    chapter: &'a Chapter,
    operation: &'a Record,
    number: usize,
    fault: &'static str,
}

#[derive(Default)]
struct Counts {
    children: AtomicUsize,
    starts_after: AtomicUsize,
    told: AtomicUsize,
}

pub fn every_fault_at_every_operation() {
    let story = Story::record();
    let (counts, untold) = (Counts::default(), Mutex::new(BTreeSet::new()));
    let attempts: Vec<Attempt> = story.chapters.iter().flat_map(attempts).collect();
    let expected_children = attempts.len();
    work(attempts.into_iter(), |attempt| {
        let what = format!("{}, {} at operation {}", attempt.chapter.phase.name, attempt.fault, attempt.number);
        let outcome = attempt.run(&story, &counts, &untold);
        outcome.map_err(|failure| format!("{what} ({}): {failure}", line(attempt.operation)))
    });
    let (children, told) = (counts.children.into_inner(), counts.told.into_inner());
    let points: usize = story.chapters.iter().map(|chapter| chapter.operations().count()).sum();
    println!("{points} operations, {children} children with a fault, {told} ended with an error that tells of it,");
    println!("{} started again after a failed sync", counts.starts_after.into_inner());
    assert!(children == expected_children && children > points * 2, "too few");
    let known: BTreeSet<String> = UNTOLD.iter().map(|what| (*what).to_owned()).collect();
    assert_eq!(untold.into_inner().expect("nobody panics with it"), known);
}

fn attempts(chapter: &Chapter) -> Vec<Attempt<'_>> {
    let mut attempts = Vec::new();
    for (operation, number) in chapter.operations().zip(1..) {
        let applies = |fault: &&str| *fault != "short" || is_cut(operation);
        attempts.extend(FAULTS.into_iter().filter(applies).map(|fault| Attempt { chapter, operation, number, fault }));
    }
    attempts
}

/// A write of one byte is done or not.
fn is_cut(operation: &Record) -> bool {
    matches!(&operation.what, What::Write(_, data) if data.len() > 1)
}

impl Attempt<'_> {
    fn run(&self, story: &Story, counts: &Counts, untold: &Mutex<BTreeSet<String>>) -> Result<(), String> {
        let Self { chapter, operation, number, fault } = *self;
        let (_home, root) = copy(&chapter.before);
        let records = story.shim.run(&root, chapter.phase, Some((number, fault)));
        counts.children.fetch_add(1, Ordering::Relaxed);
        let at = records.iter().position(|record| matches!(record.what, What::Fault(_)));
        let at = at.ok_or("the operation did not come")?;
        if records[at].what != What::Fault(operation.kind().expect("an operation"))
            || records[at].path.rsplit('/').next() != Some(file_name(operation))
        {
            return Err(format!("another operation came: {}", line(&records[at])));
        }
        let mut promised = chapter.promised.clone();
        records[..at].iter().for_each(|record| promised.hear(record));
        let before = promised.clone();
        records[at..].iter().for_each(|record| promised.hear(record));
        let is_damage = |record: &&Record| matches!(&record.what, What::Mark(line) if line.contains("is damaged"));
        if let Some(told) = records.iter().find(is_damage) {
            return Err(format!("a call that fails is no damage: {:?}", told.what));
        }
        let refused =
            records.iter().any(|record| matches!(&record.what, What::Mark(line) if line.starts_with("refused ")));
        if fault == "short" {
            if refused || promised.batch != chapter.phase.through {
                return Err(format!("half a write is no error: {:?}", records.last()));
            }
        } else if refused && promised == before {
            counts.told.fetch_add(1, Ordering::Relaxed);
        } else {
            untold.lock().expect("nobody panics with it").insert(self.describe(&records[..at]));
        }
        self.check_what_is_left(story, counts, &root, &records, promised)
    }

    /// What the next start finds, now and after a loss of power; and what is left when that start has gone on and then
    /// the power is lost.
    fn check_what_is_left(
        &self,
        story: &Story,
        counts: &Counts,
        root: &std::path::Path,
        records: &[Record],
        mut promised: Promised,
    ) -> Result<(), String> {
        let mut disk = self.chapter.disk.clone();
        records.iter().for_each(|record| disk.apply(record));
        disk.process_ended();
        let now = Image::of(root);
        disk.now().same_as(&now)?;
        check(&now, &promised, &story.expected)?;
        let cut_off = disk.image(Survives::Nothing, None);
        check(&cut_off, &promised, &story.expected).map_err(|e| format!("then a loss of power: {e}"))?;
        if self.operation.what != What::Sync {
            return Ok(());
        }
        let again = Phase { through: self.chapter.phase.through + BATCHES_AFTER, closes: false, ..self.chapter.phase };
        let records = story.shim.run(root, again, None);
        counts.starts_after.fetch_add(1, Ordering::Relaxed);
        for record in &records {
            disk.apply(record);
            promised.hear(record);
        }
        disk.process_ended();
        if promised.batch != again.through {
            return Err(format!("started again, it ends at batch {}", promised.batch));
        }
        let cut_off = disk.image(Survives::Nothing, None);
        check(&cut_off, &promised, &story.expected).map_err(|e| format!("started again, and then a loss of power: {e}"))
    }

    /// The kind of operation, its file, who did it, and whether the store was being closed.
    fn describe(&self, before: &[Record]) -> String {
        let operations = before.iter().rev().filter(|record| record.is_operation());
        // It syncs a directory in which it made a log, right behind the log.
        let is_of_log = |record: &Record| record.path.ends_with("-wal") || record.path.ends_with("-journal");
        let is_directory = !file_name(self.operation).contains('.') && self.operation.what == What::Sync;
        let by = if is_directory && operations.take(1).any(is_of_log) { " by SQLite" } else { "" };
        let marks = before.iter().rev().find_map(|record| match &record.what {
            What::Mark(line) => Some(line.as_str()),
            _ => None,
        });
        let closing = if marks == Some("closing") { ", closing" } else { "" };
        let what = match self.operation.kind().expect("an operation") {
            'c' => "make",
            'd' => "make directory",
            'w' => "write",
            'f' => "set length",
            's' => "sync",
            'r' => "rename to",
            _ => "unlink",
        };
        format!("{what} {}{by}{closing}", file_name(self.operation))
    }
}
