//! What became of the processes of a former agent.

use std::collections::{BTreeMap, BTreeSet};

use playgate_agent_core::{Found, RestoredProcess};
use playgate_protocol::ServerProcessId;
use tokio::time::sleep;

use crate::error::AgentError;
use crate::janitor::Ended;
use crate::limits::{FIND_STARTED_PAUSE, FIND_STARTED_TRIES};
use crate::proc_fs;
use crate::state::{Phase, Record, StateDir};
use crate::tail::output_tail;
use crate::watch::Watched;

/// The processes on record, each judged.
pub(crate) struct Adopted {
    pub(crate) processes: Vec<RestoredProcess>,
    pub(crate) running: BTreeMap<ServerProcessId, (Watched, Option<Record>)>,
    /// Those that are gone; they may have left something behind.
    pub(crate) gone: Ended,
}

/// Judges every process on record: the same one still runs, or it is gone.
pub(crate) async fn adopt(state: &StateDir, boot_id: &str) -> Result<Adopted, AgentError> {
    let records = state.records()?;
    state.remove_other_credentials(&records.iter().map(|(process, _)| *process).collect());
    let started = find_started(&records, boot_id).await;
    let mut adopted = Adopted { processes: Vec::new(), running: BTreeMap::new(), gone: Ended::new() };
    for (process, record) in records {
        let port = record.as_ref().and_then(|record| record.port);
        let (found, watched) = judge(process, record.as_ref(), boot_id, &started, state);
        adopted.processes.push(RestoredProcess { process, port, found });
        match watched {
            Some(watched) => drop(adopted.running.insert(process, (watched, record))),
            None => drop(adopted.gone.insert(process, record.map_or(0, |record| record.group(boot_id)))),
        }
    }
    Ok(adopted)
}

fn judge(
    process: ServerProcessId,
    record: Option<&Record>,
    boot_id: &str,
    started: &BTreeMap<ServerProcessId, (u32, u64)>,
    state: &StateDir,
) -> (Found, Option<Watched>) {
    let recorded = record.filter(|record| record.boot_id == boot_id).map(|record| record.phase);
    let watched = match recorded {
        Some(Phase::Running { pid, start_time, .. }) => Watched::adopt(pid, start_time),
        _ => started.get(&process).and_then(|(pid, start_ticks)| Watched::adopt(*pid, *start_ticks)),
    };
    let found = match (&watched, recorded) {
        (None, _) => Found::Gone { output_tail: output_tail(&state.log(process)) },
        (Some(watched), Some(Phase::Running { .. })) => Found::Running { pid: watched.pid() },
        (Some(watched), _) => Found::Started { pid: watched.pid() },
    };
    (found, watched)
}

/// Looks for processes whose process id nobody recorded. Of those that carry the mark, it is the oldest that leads a
/// group; the others are what it started.
async fn find_started(
    records: &[(ServerProcessId, Option<Record>)],
    boot_id: &str,
) -> BTreeMap<ServerProcessId, (u32, u64)> {
    let unknown = |record: &Option<Record>| {
        record.as_ref().is_none_or(|record| record.phase == Phase::Starting && record.boot_id == boot_id)
    };
    let mut wanted: BTreeSet<_> =
        records.iter().filter(|(_, record)| unknown(record)).map(|(process, _)| *process).collect();
    let mut found = BTreeMap::new();
    for _ in 0..FIND_STARTED_TRIES {
        for mark in proc_fs::marked(&wanted).into_iter().filter(|mark| mark.stat.group == mark.pid) {
            let candidate = (mark.pid, mark.stat.start_ticks);
            let oldest = found.entry(mark.process).or_insert(candidate);
            if candidate.1 < oldest.1 {
                *oldest = candidate;
            }
        }
        wanted.retain(|process| !found.contains_key(process));
        if wanted.is_empty() {
            break;
        }
        sleep(FIND_STARTED_PAUSE).await;
    }
    found
}
