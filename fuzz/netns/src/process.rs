//! Processes as `/proc` shows them, and the name of a run.

use std::fs;
use std::time::Duration;

/// The name of this run: its process id and when that started, so that it cannot be mistaken for a later one.
#[must_use]
pub fn this_run() -> String {
    let pid = std::process::id();
    format!("{pid}.{}", stat(pid).map_or(0, |stat| stat.start_ticks))
}

/// Whether the run of this name lives. One that was killed and that nobody has taken note of is dead.
#[must_use]
pub fn is_running(run: &str) -> bool {
    let parts = run.split_once('.').and_then(|(pid, ticks)| Some((pid.parse().ok()?, ticks.parse().ok()?)));
    parts.is_some_and(|(pid, ticks): (u32, u64)| {
        stat(pid).is_some_and(|stat| stat.start_ticks == ticks && stat.state != b'Z')
    })
}

/// What is known of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// As a letter; `Z` is dead, and its parent has not taken note of it.
    pub state: u8,
    /// Who started it.
    pub parent: u32,
    /// User and system time of all its threads.
    pub cpu: Duration,
    /// When it started, in ticks since the machine did.
    pub start_ticks: u64,
}

/// The second field is the program's name in parentheses, and may hold anything.
#[must_use]
pub fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?; // field 3
    let parent = fields.next()?.parse().ok()?; // field 4
    let user: u64 = fields.nth(9)?.parse().ok()?; // field 14
    let system: u64 = fields.next()?.parse().ok()?; // field 15
    let start_ticks = fields.nth(6)?.parse().ok()?; // field 22
    let cpu = Duration::from_millis((user + system) * 1_000 / rustix::param::clock_ticks_per_second().max(1));
    Some(Stat { state, parent, cpu, start_ticks })
}

/// For how long threads of a process that live could have run and waited for a CPU.
#[must_use]
pub fn waited(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let texts = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    Duration::from_nanos(texts.filter_map(|text| text.split(' ').nth(1)?.parse::<u64>().ok()).sum())
}

/// Memory that a process has in use, in bytes.
#[must_use]
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_run_lives_and_another_start_of_its_number_is_dead() {
        let run = this_run();
        assert!(is_running(&run));
        let (pid, ticks) = run.split_once('.').unwrap();
        let ticks: u64 = ticks.parse().unwrap();
        assert!(ticks > 0);
        for dead in [format!("{pid}.{}", ticks + 1), "0.0".to_owned(), "x".to_owned()] {
            assert!(!is_running(&dead), "{dead}");
        }
        let own = stat(std::process::id()).unwrap();
        assert_eq!((own.parent, own.start_ticks), (std::os::unix::process::parent_id(), ticks));
        assert!(resident_bytes(std::process::id()) > Some(0));
    }
}
