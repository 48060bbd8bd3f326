//! Processes of a run, found by a variable in their environment, whoever started them; also those of a run that died.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// Every process of a run has this variable, with the run's name as its value.
pub const MARK: &str = "PLAYGATE_CHAOS_RUN";

/// The name of this run: its process id and when that started, so that it cannot be mistaken for a later one.
pub fn this_run() -> String {
    let pid = std::process::id();
    format!("{pid}.{}", stat(pid).map_or(0, |stat| stat.start_ticks))
}

/// Whether the run of this name lives. One that was killed and that nobody has taken note of is dead.
pub fn is_running(run: &str) -> bool {
    let parts = run.split_once('.').and_then(|(pid, ticks)| Some((pid.parse().ok()?, ticks.parse().ok()?)));
    parts.is_some_and(|(pid, ticks): (u32, u64)| {
        stat(pid).is_some_and(|stat| stat.start_ticks == ticks && stat.state != b'Z')
    })
}

/// Living processes of this run. A zombie has no environment any more, and is not among them.
pub fn of(run: &str) -> Vec<u32> {
    marked().into_iter().filter(|(_, of)| of == run).map(|(pid, _)| pid).collect()
}

/// Kills the processes of runs that are dead.
pub fn end_those_of_the_dead() {
    for (pid, _) in marked().into_iter().filter(|(_, run)| !is_running(run)) {
        kill(pid, Signal::KILL);
    }
}

/// A process that is gone by itself in this very moment is as good.
pub fn kill(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

pub fn command_line(pid: u32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned()
}

/// Dead children that one of these processes has not taken note of.
pub fn zombies_of(parents: &[u32]) -> Vec<u32> {
    let is_one = |pid: &u32| stat(*pid).is_some_and(|stat| stat.state == b'Z' && parents.contains(&stat.parent));
    pids().filter(is_one).collect()
}

/// Memory that a process has in use, in bytes.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1_024)
}

struct Stat {
    state: u8,
    parent: u32,
    start_ticks: u64,
}

/// The second field is the program's name in parentheses, and may hold anything.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?; // field 3
    let parent = fields.next()?.parse().ok()?; // field 4
    let start_ticks = fields.nth(17)?.parse().ok()?; // field 22
    Some(Stat { state, parent, start_ticks })
}

fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn marked() -> Vec<(u32, String)> {
    let mark = |pid: u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let variables = environment.split(|byte| *byte == 0).filter_map(|variable| std::str::from_utf8(variable).ok());
        let run = variables.filter_map(|variable| variable.split_once('=')).find(|(name, _)| *name == MARK)?.1;
        Some((pid, run.to_owned()))
    };
    pids().filter_map(mark).collect()
}
