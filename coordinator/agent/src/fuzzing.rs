//! What the fuzz targets reach of the parsers inside: files of a former agent, `/proc`, logs. Of use to nobody else.

use std::collections::BTreeSet;
use std::path::Path;

use playgate_agent_core::{Found, OutputTail, Restored, RestoredProcess};
use playgate_protocol::ServerProcessId;

use crate::state::{Bound, ReportFiles, StateDir};
use crate::{proc_fs, tail};

/// Everything that the next agent reads from a state directory; no process on record runs any more.
#[must_use]
pub fn restored(root: &Path) -> Option<Restored> {
    let state = StateDir::open(root).ok()?;
    let _ = (Bound::read(root), state.identity().is_ok());
    let records = state.records().ok()?;
    state.remove_other_credentials(&BTreeSet::new());
    let (_, (acknowledged_seq, reports)) = ReportFiles::open(&state).ok()?;
    let processes = records.into_iter().map(|(process, record)| {
        let output_tail = tail::output_tail(&state.log(process));
        let port = record.as_ref().and_then(|record| record.port);
        let _ = record.map(|record| record.group("boot"));
        RestoredProcess { process, port, found: Found::Gone { output_tail } }
    });
    Some(Restored { acknowledged_seq, processes: processes.collect(), reports })
}

/// State, group and start of a process, from `/proc/<pid>/stat`.
#[must_use]
pub fn stat(bytes: &[u8]) -> Option<(u8, u32, u64)> {
    proc_fs::parse_stat(bytes).map(|stat| (stat.state, stat.group, stat.start_ticks))
}

/// The server process that an environment names, from `/proc/<pid>/environ`.
#[must_use]
pub fn marked(environment: &[u8]) -> Option<ServerProcessId> {
    proc_fs::process_in(environment)
}

/// The end of a log as it is reported.
#[must_use]
pub fn log_end(bytes: &[u8]) -> OutputTail {
    tail::clean(bytes)
}
