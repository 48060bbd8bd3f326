//! Who runs on which CPU: an attacker on another machine takes none of the coordinator's.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Leaves the last CPU that this thread may use to somebody else, and says which it is; `None` where there is only one.
/// Threads and processes that this thread starts keep to it, too.
#[must_use]
pub fn leave_one() -> Option<usize> {
    let mut ours = sched_getaffinity(None).ok()?;
    let last = (0..CpuSet::MAX_CPU).rev().find(|cpu| ours.is_set(*cpu))?;
    if ours.count() < 2 {
        return None;
    }
    ours.unset(last);
    sched_setaffinity(None, &ours).ok()?;
    Some(last)
}

/// Keeps this thread, and what it starts, to one CPU. Where the system does not let us, it runs where it may.
pub fn keep_to(cpu: usize) {
    let mut only = CpuSet::new();
    only.set(cpu);
    let _ = sched_setaffinity(None, &only);
}
