//! The demo, run as a person runs it: what it must show, and that it leaves nothing behind however it ends.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The demo takes about ten seconds and gives itself two minutes.
const DEADLINE: Duration = Duration::from_secs(150);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[test]
fn the_five_steps_hold_and_every_refusal_is_shown() {
    let demo = Demo::start();
    let (status, lines) = demo.finish();
    let shown = lines.join("\n");
    assert_eq!(status.code(), Some(0), "{shown}");

    let steps = lines.iter().filter(|line| line.starts_with("step "));
    let steps: Vec<&str> = steps.filter_map(|line| line.get(..22)).map(str::trim_end).collect();
    let expected =
        ["step 1  launch", "step 2  start session", "step 3  add players", "step 4  stop session", "step 5  shut down"];
    assert_eq!(steps, expected, "{shown}");
    for (kind, what, why) in [
        ("refused", "a second slot for a player who is in", "(AlreadyReserved)"),
        ("refused", "forged token", "(gate_tag)"),
        ("refused", "stolen token without its holder key", "(proof_wrong)"),
        ("refused", "overheard HELLO and PROOF", "(mac_wrong)"),
        ("refused", "token for another session", "(wrong_process)"),
        ("refused", "full session", "(GameSessionFull)"),
        ("refused", "expired reservation", "(Expired)"),
        ("refused", "kicked player", "(Revoked)"),
        ("dropped", "a player", "expired"),
        ("killed", "a server, kill -9", "ready after"),
        ("killed", "the coordinator, kill -9", "joins"),
        ("restarted", "the coordinator", "none was lost"),
    ] {
        let begin = format!("        {kind}: {what}");
        let is_shown = lines.iter().any(|line| line.starts_with(&begin) && line.contains(why));
        assert!(is_shown, "no line {begin:?} with {why}:\n{shown}");
    }
    assert!(shown.contains("\nall five steps held: "), "{shown}");
}

#[test]
fn the_five_steps_hold_through_a_relay() {
    let (status, lines) = Demo::start_with(&["demo", "--relay"]).finish();
    let shown = lines.join("\n");
    assert_eq!(status.code(), Some(0), "{shown}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("step ")).count(), 5, "{shown}");
    for part in
        ["joined through the relay", "removed: cleo", "killed: the relay, kill -9", "lets eve in", "eve is on record"]
    {
        assert!(shown.contains(part), "no {part:?}:\n{shown}");
    }
}

#[test]
fn an_interrupted_demo_ends_everything_and_says_so() {
    let mut demo = Demo::start();
    demo.read_until("step 3");
    kill_process(demo.pid(), Signal::INT).unwrap();
    let (status, lines) = demo.finish_with_logs();
    assert_eq!(status.code(), Some(1));
    assert!(lines.iter().any(|line| line == "FAILED: interrupted"), "{lines:?}");
}

#[test]
fn even_a_killed_demo_leaves_nothing_running() {
    let mut demo = Demo::start();
    demo.read_until("step 2");
    kill_process(demo.pid(), Signal::KILL).unwrap();
    let (status, _) = demo.finish_with_logs();
    assert_eq!(status.code(), None, "killed");
}

/// All demos choose from the same ports, and two cores are not enough for three of them.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Demo {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    lines: Vec<String>,
    /// Every process of the demo has this path in its environment.
    dir: TempDir,
    started: Instant,
    _alone: MutexGuard<'static, ()>,
}

impl Demo {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(args: &[&str]) -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_arena"));
        let mut child = command.args(args).env("TMPDIR", dir.path()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output, lines: Vec::new(), dir, started: Instant::now(), _alone: alone }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn read_until(&mut self, prefix: &str) {
        while !self.lines.last().is_some_and(|line| line.starts_with(prefix)) {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "ended before {prefix:?}: {:?}", self.lines);
            self.lines.push(line.trim_end().to_owned());
        }
    }

    /// To the end of a demo that goes well: it has cleaned up behind itself.
    fn finish(self) -> (ExitStatus, Vec<String>) {
        let (status, lines, dir) = self.end();
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert!(!status.success() || left.is_empty(), "files left: {left:?}");
        (status, lines)
    }

    /// To the end of a demo that does not go well: its logs stay.
    fn finish_with_logs(self) -> (ExitStatus, Vec<String>) {
        let (status, lines, dir) = self.end();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "the directory with the logs");
        (status, lines)
    }

    fn end(mut self) -> (ExitStatus, Vec<String>, TempDir) {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if self.started.elapsed() > DEADLINE {
                self.child.kill().unwrap();
            }
            std::thread::sleep(LOOK_AGAIN);
        };
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        self.lines.extend(rest.lines().map(str::to_owned));
        // A demo that was killed could not wait for the others; they end by themselves.
        let patience = if status.code().is_some() { Duration::ZERO } else { Duration::from_secs(20) };
        let ended = Instant::now();
        while !self.processes().is_empty() {
            assert!(ended.elapsed() <= patience, "still running: {:?}\n{}", self.processes(), self.lines.join("\n"));
            std::thread::sleep(LOOK_AGAIN);
        }
        (status, self.lines, self.dir)
    }

    /// The command lines of everybody who has the demo's directory in the environment.
    fn processes(&self) -> Vec<String> {
        let dir = self.dir.path().to_str().unwrap();
        let entries = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let read = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).replace('\0', " ");
        let marked = entries.filter(|entry| read(entry.path().join("environ")).contains(dir));
        marked.map(|entry| read(entry.path().join("cmdline"))).collect()
    }
}
