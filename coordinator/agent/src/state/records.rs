//! One file for each process that may run.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use playgate_protocol::{FleetId, ServerProcessId};
use serde::{Deserialize, Serialize};

use super::{StateDir, remove, write_json};
use crate::error::AgentError;

/// What is known of one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) process: ServerProcessId,
    pub(crate) fleet: FleetId,
    pub(crate) port: Option<u16>,
    pub(crate) log: PathBuf,
    /// Of the system's start in which it was launched.
    pub(crate) boot_id: String,
    pub(crate) phase: Phase,
}

/// How far its launch came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// It is being started, or was when the agent died.
    Starting,
    /// It was started, and its report is saved.
    Running {
        pid: u32,
        /// Its process group.
        pgid: u32,
        /// In ticks since the system started: a process id alone may belong to another by now.
        start_time: u64,
    },
}

impl Record {
    /// The process group it led since this start of the system; 0 where that is not known.
    pub(crate) fn group(&self, boot_id: &str) -> u32 {
        match self.phase {
            Phase::Running { pgid, .. } if self.boot_id == boot_id => pgid,
            Phase::Running { .. } | Phase::Starting => 0,
        }
    }
}

impl StateDir {
    pub(crate) fn save_record(&self, record: &Record) -> io::Result<()> {
        write_json(&self.record(record.process), record)
    }

    /// Removes what is kept of a process while it runs. Its log stays.
    pub(crate) fn forget(&self, process: ServerProcessId) {
        remove(&self.credential(process));
        remove(&self.record(process));
    }

    /// Every record. One that cannot be read says no more than that the process may run.
    pub(crate) fn records(&self) -> Result<Vec<(ServerProcessId, Option<Record>)>, AgentError> {
        let dir = self.root.join("processes");
        let ids = ids_in(&dir, ".json").map_err(AgentError::state(&dir))?;
        let read = |process| fs::read(self.record(process)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(ids.into_iter().map(|process| (process, read(process))).collect())
    }

    /// Removes credentials of processes that are not on record.
    pub(crate) fn remove_other_credentials(&self, on_record: &BTreeSet<ServerProcessId>) {
        let ids = ids_in(&self.root.join("credentials"), "").unwrap_or_default();
        for process in ids.difference(on_record) {
            remove(&self.credential(*process));
        }
    }

    fn record(&self, process: ServerProcessId) -> PathBuf {
        self.root.join("processes").join(format!("{process}.json"))
    }
}

/// The processes that files in `dir` are named for.
pub(crate) fn ids_in(dir: &Path, suffix: &str) -> io::Result<BTreeSet<ServerProcessId>> {
    let mut ids = BTreeSet::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        ids.extend(name.to_str().and_then(|name| name.strip_suffix(suffix)?.parse::<ServerProcessId>().ok()));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_found_again_also_a_damaged_one() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let process = |n| ServerProcessId::from_parts(0, n, [0; 9]);
        let record = |n, phase| Record {
            process: process(n),
            fleet: FleetId::new("arena").unwrap(),
            port: Some(7000),
            log: state.log(process(n)),
            boot_id: "boot".to_owned(),
            phase,
        };
        let running = record(1, Phase::Running { pid: 7, pgid: 7, start_time: 99 });
        state.save_record(&record(1, Phase::Starting)).unwrap();
        state.save_record(&running).unwrap();
        state.save_record(&record(2, Phase::Starting)).unwrap();
        fs::write(state.record(process(3)), "").unwrap();
        fs::write(state.record(process(4)).with_extension("tmp"), "{").unwrap();
        let found = state.records().unwrap();
        assert_eq!(
            found,
            [(process(1), Some(running)), (process(2), Some(record(2, Phase::Starting))), (process(3), None)]
        );
        for n in 1..4 {
            state.forget(process(n));
        }
        assert_eq!(state.records().unwrap(), []);
    }
}
