//! What the kernel tells about processes: /proc.

use std::collections::BTreeSet;
use std::{fs, io};

use playgate_protocol::ServerProcessId;

/// The variable by which a process is found again when its process id was not recorded.
pub(crate) const PROCESS_VARIABLE: &str = "PLAYGATE_PROCESS_ID";

/// Three fields of `/proc/<pid>/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// `R`, `S`, `Z` …
    pub(crate) state: u8,
    /// Its process group.
    pub(crate) group: u32,
    /// When it started, in ticks since the system did. With the process id it names one process of one boot.
    pub(crate) start_ticks: u64,
}

pub(crate) fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The second field is the program's name in parentheses, and may hold anything, also parentheses and line ends.
pub(crate) fn parse_stat(stat: &[u8]) -> Option<Stat> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = std::str::from_utf8(&stat[after_name..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?; // field 3
    let group = fields.nth(1)?.parse().ok()?; // field 5
    let start_ticks = fields.nth(16)?.parse().ok()?; // field 22
    Some(Stat { state, group, start_ticks })
}

/// Changes with every start of the system.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// A process that carries the id of a server process in its environment: that server, or something it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marked {
    pub(crate) pid: u32,
    pub(crate) process: ServerProcessId,
    pub(crate) stat: Stat,
}

/// Every process that carries one of these ids. Zombies have no environment.
pub(crate) fn marked(wanted: &BTreeSet<ServerProcessId>) -> Vec<Marked> {
    if wanted.is_empty() {
        return Vec::new();
    }
    pids().into_iter().filter_map(|pid| mark_of(pid).filter(|mark| wanted.contains(&mark.process))).collect()
}

/// The mark of one process.
pub(crate) fn mark_of(pid: u32) -> Option<Marked> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    Some(Marked { pid, process: process_in(&environ)?, stat: stat(pid)? })
}

pub(crate) fn process_in(environ: &[u8]) -> Option<ServerProcessId> {
    environ.split(|byte| *byte == 0).find_map(process_id)
}

fn process_id(variable: &[u8]) -> Option<ServerProcessId> {
    let (name, value) = std::str::from_utf8(variable).ok()?.split_once('=')?;
    if name == PROCESS_VARIABLE { value.parse().ok() } else { None }
}

fn pids() -> Vec<u32> {
    let ours = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(|pid| *pid != ours).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_cannot_forge_a_field() {
        let tail = "S 1 77 77 0 -1 4194560 1 0 0 0 1 1 0 0 20 0 1 0 987654 1 1";
        let expected = Some(Stat { state: b'S', group: 77, start_ticks: 987_654 });
        for name in ["(sleep)", "(a b)", "(x) R 1 1 1)", "(\n)"] {
            assert_eq!(parse_stat(format!("42 {name} {tail}").as_bytes()), expected, "{name:?}");
        }
        for damaged in ["", "42 (sleep", "42 (sleep)", "42 (sleep) S 1", "42 (sleep) S 1 x 77"] {
            assert_eq!(parse_stat(damaged.as_bytes()), None, "{damaged:?}");
        }
    }

    #[test]
    fn this_process_has_a_start_and_a_group() {
        let stat = stat(std::process::id()).unwrap();
        assert!(stat.start_ticks > 0 && stat.group > 0);
        assert!(!boot_id().unwrap().is_empty());
    }
}
