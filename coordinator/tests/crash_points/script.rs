//! What the child does, and how it is started: a coordinator's start, then batch after batch, each acknowledged.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use playgate_coordinator::store::{Sqlite, Store};
use playgate_coordinator::{Coordinator, CoordinatorConfig, DATABASE_FILE};

use super::rows::batch;
use super::trace::{self, Record, What};

const DATA_DIR: &str = "PLAYGATE_TEST_CRASH_DATA_DIR";
const THROUGH: &str = "PLAYGATE_TEST_CRASH_THROUGH";
const ENDING: &str = "PLAYGATE_TEST_CRASH_ENDING";
const MARKS: &str = "CRASH_MARKS";

/// Where the coordinator keeps its data, below the root; it makes both directories.
pub const DATA_BELOW: &str = "var/playgate";
/// So few that the log is moved into the tables, and begun anew, several times.
const CHECKPOINT_PAGES: u16 = 16;

/// One life of the coordinator.
#[derive(Debug, Clone, Copy)]
pub struct Phase {
    pub name: &'static str,
    /// The last batch it commits.
    pub through: u64,
    /// Whether it closes its store, or just ends.
    pub closes: bool,
}

/// What has been promised by now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Promised {
    /// The last batch that was acknowledged.
    pub batch: u64,
    /// What peers may have pinned.
    pub fingerprint: Option<String>,
}

impl Promised {
    pub fn hear(&mut self, record: &Record) {
        let What::Mark(line) = &record.what else { return };
        match line.split_once(' ') {
            Some(("batch", seq)) => self.batch = seq.parse().expect("a number"),
            Some(("keys", fingerprint)) => self.fingerprint = Some(fingerprint.to_owned()),
            _ => {}
        }
    }
}

/// The part of the child; false in the process that runs the tests.
pub fn is_child() -> bool {
    let Some(data_dir) = std::env::var_os(DATA_DIR) else { return false };
    let marks = std::env::var_os(MARKS).expect("is set with the directory");
    let mut marks = OpenOptions::new().write(true).open(marks).expect("the file for marks");
    let mut mark = |line: String| marks.write_all(line.as_bytes()).expect("the shim takes marks");
    let last = match live(Path::new(&data_dir), &mut mark) {
        Ok(()) => "finished".to_owned(),
        Err(error) => format!("refused {error}"),
    };
    mark(last);
    true
}

fn live(data_dir: &Path, mark: &mut dyn FnMut(String)) -> Result<(), Box<dyn std::error::Error>> {
    let through: u64 = std::env::var(THROUGH)?.parse()?;
    let fingerprint = start(data_dir, || mark("closing".to_owned()))?;
    mark(format!("keys {fingerprint}"));
    let mut store = Sqlite::open_with(data_dir.join(DATABASE_FILE), CHECKPOINT_PAGES)?;
    let next = store.load()?.seq + 1;
    for seq in next..=through {
        if let Err(error) = store.commit(seq, &batch(seq)) {
            mark("closing".to_owned());
            return Err(error.into());
        }
        mark(format!("batch {seq}"));
    }
    if std::env::var(ENDING)? == "closes" {
        mark("closing".to_owned());
    } else {
        std::mem::forget(store);
    }
    Ok(())
}

/// Starts a coordinator and lets it go; says what peers would pin.
pub fn start(data_dir: &Path, before_closing: impl FnOnce()) -> Result<String, playgate_coordinator::StartError> {
    // Whatever was spawned ends with it, the endpoint of the links before all.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _entered = runtime.enter();
    let coordinator = Coordinator::open(CoordinatorConfig::new(data_dir, ([127, 0, 0, 1], 0).into()))?;
    let fingerprint = coordinator.fingerprint().to_string();
    before_closing();
    drop(coordinator);
    Ok(fingerprint)
}

/// The shim, compiled.
pub struct Shim {
    directory: tempfile::TempDir,
}

impl Shim {
    pub fn compile() -> Self {
        let directory = scratch();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash_points/shim.c");
        let mut cc = Command::new("cc");
        cc.args(["-Wall", "-Wextra", "-Werror", "-O1", "-U_FORTIFY_SOURCE", "-fPIC", "-shared", "-o"]);
        let output = cc.arg(directory.path().join("shim.so")).arg(source).args(["-ldl", "-lpthread"]).output();
        let output = output.expect("a C compiler, which the bundled SQLite needs as well");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { directory }
    }

    /// Runs a child in `root`. A fault is the number of an operation and what becomes of it.
    ///
    /// # Panics
    /// When the child does: whatever the disk does, it has to end with an error that says so.
    pub fn run(&self, root: &Path, phase: Phase, fault: Option<(usize, &str)>) -> Vec<Record> {
        let home = self.home();
        let (trace, marks) = (home.path().join("trace"), home.path().join("marks"));
        fs::write(&marks, "").expect("writes");
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child
            .args(["--exact", "every_loss_of_power_leaves_what_was_promised", "--nocapture"])
            .env("LD_PRELOAD", self.directory.path().join("shim.so"))
            .env("CRASH_ROOT", root)
            .env("CRASH_TRACE", &trace)
            .env(MARKS, &marks)
            .env(DATA_DIR, root.join(DATA_BELOW))
            .env(THROUGH, phase.through.to_string())
            .env(ENDING, if phase.closes { "closes" } else { "just ends" });
        if let Some((operation, kind)) = fault {
            child.env("CRASH_FAULT", format!("{operation} {kind}"));
        }
        let output = child.output().expect("starts itself");
        let said = || [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).concat();
        assert!(output.status.success(), "{phase:?} with {fault:?}: {}: {}", output.status, said());
        let records = trace::read(&trace, root);
        let last = records.iter().rev().find_map(|record| match &record.what {
            What::Mark(line) => Some(line.as_str()),
            _ => None,
        });
        let has_ended = last.is_some_and(|line| line == "finished" || line.starts_with("refused "));
        assert!(has_ended, "{phase:?} with {fault:?} ends at {last:?}: {}", said());
        records
    }

    fn home(&self) -> tempfile::TempDir {
        tempfile::tempdir_in(self.directory.path()).expect("a temporary directory")
    }
}

/// In memory where that can be had: what survives is computed, and no test of this file waits for a disk.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary directory")
}

/// A copy of a directory.
pub fn copy(from: &Path) -> (tempfile::TempDir, PathBuf) {
    let home = scratch();
    super::image::Image::of(from).put(home.path());
    let root = home.path().to_owned();
    (home, root)
}
