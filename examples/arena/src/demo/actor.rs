//! One child process: this binary in another role.

use std::fs::File;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::leftovers::MARK;
use super::stage::{Outcome, Unexpected};

/// What a child may take to do what is awaited of it, on a machine that is busy with something else.
pub const PATIENCE: Duration = Duration::from_secs(15);

pub struct Actor {
    name: String,
    child: Child,
    /// Every role ends when this closes, also when this process was killed.
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    /// What was read while something else was awaited.
    heard: Vec<String>,
}

impl Actor {
    /// Starts `exe` in a role. Its errors go to `<name>.log` in the demo's directory.
    pub fn start(home: &Path, exe: &Path, name: &str, args: &[&str], secret: Option<(&str, &str)>) -> Outcome<Self> {
        let because = || Unexpected::because(format!("start of {name}"));
        let log = File::options().create(true).append(true).open(home.join(format!("{name}.log"))).map_err(because())?;
        let mut command = Command::new(exe);
        command.args(args).env(MARK, home).envs(secret);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        command.process_group(0); // Ctrl-C in the terminal is for the demo alone, which ends the others in order
        let mut child = command.spawn().map_err(because())?;
        let stdout = child.stdout.take().expect("it was asked for");
        let stdin = child.stdin.take();
        Ok(Self { name: name.to_owned(), child, stdin, lines: BufReader::new(stdout).lines(), heard: Vec::new() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rest of the first line that begins with `prefix`, of those not yet asked for.
    pub async fn line(&mut self, prefix: &str) -> Outcome<String> {
        loop {
            if let Some(at) = self.heard.iter().position(|line| line.starts_with(prefix)) {
                return Ok(self.heard.remove(at)[prefix.len()..].to_owned());
            }
            match timeout(PATIENCE, self.lines.next_line()).await {
                Ok(Ok(Some(line))) => self.heard.push(line),
                Ok(_) => return Err(self.unexpected(&format!("ended before it said {prefix:?}"))),
                Err(_) => return Err(self.unexpected(&format!("did not say {prefix:?}"))),
            }
        }
    }

    /// Closes the standard input: the polite request to end.
    pub fn ask_to_end(&mut self) {
        self.stdin = None;
    }

    /// Kill -9.
    pub fn kill(&mut self) -> Outcome {
        self.child.start_kill().map_err(Unexpected::because(format!("kill -9 of {}", self.name)))
    }

    pub async fn exit(&mut self) -> Outcome<ExitStatus> {
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => status.map_err(Unexpected::because(format!("wait for {}", self.name))),
            Err(_) => Err(self.unexpected("did not end")),
        }
    }

    fn unexpected(&self, what: &str) -> Unexpected {
        Unexpected(format!("{} {what}; it said {:?}", self.name, self.heard))
    }
}
