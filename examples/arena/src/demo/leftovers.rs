//! Finds the demo's processes by a variable in their environment, whoever started them, and ends what is left.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Every process of a demo has this variable, with the demo's directory as its value.
pub const MARK: &str = "ARENA_DEMO";

const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub struct Leftovers(String);

impl Leftovers {
    pub fn of(home: &Path) -> Self {
        Self(format!("{MARK}={}", home.display()))
    }

    /// Waits until nobody is left. Who is still there after `patience` is killed, and named.
    pub async fn end(&self, patience: Duration) -> Option<String> {
        let give_up = Instant::now() + patience;
        loop {
            let left = self.find();
            if left.is_empty() {
                return None;
            }
            if Instant::now() >= give_up {
                return Some(left.into_iter().map(end_by_force).collect::<Vec<_>>().join(", "));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Who runs at this moment. A zombie has no environment any more, and is not counted.
    pub fn find(&self) -> Vec<Pid> {
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter_map(Pid::from_raw).filter(|pid| self.is_marked(*pid)).collect()
    }

    fn is_marked(&self, pid: Pid) -> bool {
        let environment = std::fs::read(proc_path(pid, "environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == self.0.as_bytes())
    }
}

fn end_by_force(pid: Pid) -> String {
    let command = std::fs::read(proc_path(pid, "cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    let _ = kill_process(pid, Signal::KILL); // gone by itself in this very moment: as good
    format!("{} (pid {})", command.trim(), pid.as_raw_nonzero())
}

fn proc_path(pid: Pid, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{file}", pid.as_raw_nonzero()))
}
