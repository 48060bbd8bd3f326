//! One file for each report that is not acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use playgate_files::write_whole;
use playgate_protocol::agent::AgentReport;

use super::{StateDir, remove, write_json};
use crate::error::AgentError;

/// The reports on disk, and those that are still to be written.
#[derive(Debug)]
pub(crate) struct ReportFiles {
    dir: PathBuf,
    acknowledged: u64,
    on_disk: BTreeSet<u64>,
    /// The disk refused them; they are tried again, in order.
    unsaved: BTreeMap<u64, AgentReport>,
}

/// What a former run left: the last number that is acknowledged, and the reports behind it, by number.
pub(crate) type Saved = (u64, Vec<(u64, AgentReport)>);

impl ReportFiles {
    pub(crate) fn open(state: &StateDir) -> Result<(Self, Saved), AgentError> {
        let dir = state.root().join("reports");
        let mut numbers = BTreeSet::new();
        for entry in fs::read_dir(&dir).map_err(AgentError::state(&dir))? {
            let name = entry.map_err(AgentError::state(&dir))?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".json")?.parse::<u64>().ok()));
        }
        let acknowledged = fs::read_to_string(dir.join("acknowledged")).ok().and_then(|text| text.trim().parse().ok());
        let acknowledged =
            acknowledged.unwrap_or_else(|| numbers.first().map_or(0, |first: &u64| first.saturating_sub(1)));
        let files = Self { dir, acknowledged, on_disk: numbers, unsaved: BTreeMap::new() };
        let mut saved = Vec::new();
        for seq in files.on_disk.iter().copied() {
            let report = fs::read(files.path(seq)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            match report {
                Some(report) if seq > acknowledged => saved.push((seq, report)),
                Some(_) => {} // goes with the next acknowledgement
                None => tracing::warn!(seq, "a saved report is damaged; the inventory makes up for it"),
            }
        }
        Ok((files, (acknowledged, saved)))
    }

    /// Writes a report, behind those that wait already. Returns the numbers that are on disk with this.
    pub(crate) fn save(&mut self, seq: u64, report: AgentReport) -> Vec<u64> {
        self.unsaved.insert(seq, report);
        self.save_again()
    }

    /// Writes what waits, until the disk refuses.
    pub(crate) fn save_again(&mut self) -> Vec<u64> {
        let mut saved = Vec::new();
        while let Some(entry) = self.unsaved.first_entry() {
            let seq = *entry.key();
            let path = self.dir.join(file_name(seq));
            if let Err(error) = write_json(&path, entry.get()) {
                tracing::error!(path = %path.display(), %error, "cannot save a report; it waits. Is the disk full?");
                break;
            }
            entry.remove();
            self.on_disk.insert(seq);
            saved.push(seq);
        }
        saved
    }

    pub(crate) fn has_unsaved(&self) -> bool {
        !self.unsaved.is_empty()
    }

    /// Remembers that reports up to this number are acknowledged, then removes them.
    pub(crate) fn trim(&mut self, through_seq: u64) {
        self.unsaved = self.unsaved.split_off(&through_seq.saturating_add(1));
        if through_seq <= self.acknowledged {
            return;
        }
        let path = self.dir.join("acknowledged");
        if let Err(error) = write_whole(&path, through_seq.to_string().as_bytes()) {
            // They stay, and the next greeting tells again how far they are applied.
            return tracing::warn!(path = %path.display(), %error, "cannot remember which reports are acknowledged");
        }
        self.acknowledged = through_seq;
        let kept = self.on_disk.split_off(&through_seq.saturating_add(1));
        for seq in std::mem::replace(&mut self.on_disk, kept) {
            remove(&self.path(seq));
        }
    }

    fn path(&self, seq: u64) -> PathBuf {
        self.dir.join(file_name(seq))
    }
}

fn file_name(seq: u64) -> String {
    format!("{seq}.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use playgate_protocol::ServerProcessId;
    use playgate_protocol::agent::StopStep;

    fn report(n: u64) -> AgentReport {
        AgentReport::StopStep { process: ServerProcessId::from_parts(0, n, [0; 9]), step: StopStep::Term }
    }

    #[test]
    fn reports_outlive_the_agent_until_they_are_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let (mut files, saved) = ReportFiles::open(&state).unwrap();
        assert_eq!(saved, (0, vec![]));
        for n in 1..=12 {
            assert_eq!(files.save(n, report(n)), [n]);
        }
        files.trim(9);
        files.trim(8);
        let (mut files, saved) = ReportFiles::open(&state).unwrap();
        assert_eq!(saved, (9, (10..=12).map(|n| (n, report(n))).collect()));
        files.trim(12);
        let (_, saved) = ReportFiles::open(&state).unwrap();
        assert_eq!(saved, (12, vec![]), "the numbers go on");
    }

    #[test]
    fn a_report_that_the_disk_refuses_keeps_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let (mut files, _) = ReportFiles::open(&state).unwrap();
        // A directory in its place cannot be replaced by a file.
        fs::create_dir_all(files.path(1).join("x")).unwrap();
        assert!(files.save(1, report(1)).is_empty());
        assert!(files.save(2, report(2)).is_empty());
        assert!(files.has_unsaved());
        fs::remove_dir_all(files.path(1)).unwrap();
        assert_eq!(files.save(3, report(3)), [1, 2, 3]);
        assert!(!files.has_unsaved());
    }
}
