//! Processes of a run, found by a variable in their environment, whoever started them; also those of a run that died.

use std::fs;

use playgate_netns::process::{is_running, stat};
use rustix::process::{Pid, Signal, kill_process};

/// Every process of a run has this variable, with the run's name as its value.
pub const MARK: &str = "PLAYGATE_CHAOS_RUN";

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
