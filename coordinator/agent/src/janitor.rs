//! Clears away what ended processes leave: processes of their own, and old logs.

use std::collections::{BTreeMap, BTreeSet};

use playgate_protocol::ServerProcessId;
use rustix::process::{PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

use crate::limits::{LOGS_KEPT_MAX, STRAY_ROUNDS_MAX};
use crate::proc_fs::{self, Marked};
use crate::state::{StateDir, ids_in};
use crate::watch::to_pid;

/// Processes that ended, each with the group it led.
pub(crate) type Ended = BTreeMap<ServerProcessId, u32>;

/// Kills everything that carries the id of an ended process, and removes the oldest logs. Blocks.
///
/// The group of a child is killed when it is reaped. What this finds has left the group, or belongs to the group of an
/// adopted process, whose number may have another owner: a mark in it proves that it does not.
pub(crate) fn clean(state: &StateDir, ended: &Ended, live: &BTreeSet<ServerProcessId>) {
    let wanted = ended.keys().copied().collect();
    for _ in 0..STRAY_ROUNDS_MAX {
        let strays = proc_fs::marked(&wanted);
        if strays.is_empty() {
            break;
        }
        for stray in strays {
            kill(stray, ended[&stray.process]);
        }
    }
    remove_old_logs(state, live);
}

fn kill(stray: Marked, group_led: u32) {
    let Some(pid) = to_pid(stray.pid) else { return };
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    // Read again behind the descriptor: what is killed is what was judged.
    if proc_fs::mark_of(stray.pid).is_none_or(|mark| mark.stat.start_ticks != stray.stat.start_ticks) {
        return;
    }
    tracing::warn!(process = %stray.process, pid = stray.pid, "killed a process that an ended server left behind");
    if let Some(group) = to_pid(group_led).filter(|_| stray.stat.group == group_led) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = pidfd_send_signal(&pidfd, Signal::KILL);
}

fn remove_old_logs(state: &StateDir, live: &BTreeSet<ServerProcessId>) {
    let Ok(logs) = ids_in(&state.logs(), ".log") else {
        return;
    };
    let mut old: Vec<_> = logs.difference(live).copied().collect();
    old.sort_unstable_by_key(ServerProcessId::time_ms);
    let surplus = old.len().saturating_sub(LOGS_KEPT_MAX);
    for process in &old[..surplus] {
        let _ = std::fs::remove_file(state.log(*process)); // the next round tries again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_logs_and_those_in_use_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        // The later ids sort before the earlier ones as text: digits come before letters.
        let process = |n: usize| ServerProcessId::from_parts(0, 1 << 20 | n as u64, [n as u8; 9]);
        let written = LOGS_KEPT_MAX + 40;
        for n in 0..written {
            std::fs::write(state.log(process(n)), "text").unwrap();
        }
        let live = BTreeSet::from([process(3)]);
        clean(&state, &Ended::new(), &live);
        let kept = ids_in(&state.logs(), ".log").unwrap();
        let newest = (written - LOGS_KEPT_MAX..written).map(process);
        assert_eq!(kept, newest.chain(live).collect());
    }
}
