//! The coordinator under attack: a real process on loopback, and what can be seen of it from outside.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use playgate_client::{Operator, read_operator_key};
use playgate_protocol::OperatorKey;
use serde::Serialize;
use tempfile::TempDir;

/// Only a fault reaches it.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The one fleet.
pub const FLEET: &str = "abuse";

/// Ends with this value.
pub struct Coordinator {
    dir: TempDir,
    binary: PathBuf,
    address: SocketAddr,
    child: Child,
}

/// What the coordinator says that it refused, since its start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Refusals {
    /// First packets over the budget of their network or of all.
    pub first_packets_dropped: u64,
    /// First packets: too many links, or too many handshakes.
    pub refused: u64,
    /// First packets: too many handshakes of that network.
    pub network_refused: u64,
    /// Sent to prove their address.
    pub retried: u64,
    /// Handshakes that failed.
    pub handshakes_failed: u64,
    /// Links without a hello in time.
    pub no_hello: u64,
    /// Hellos that were refused.
    pub not_welcome: u64,
    /// Frames of welcome peers that were no message of theirs.
    pub bad_frames: u64,
    /// Welcome peers that did not read.
    pub slow_consumers: u64,
}

impl Refusals {
    /// From a line of the coordinator's log.
    fn parse(line: &str) -> Self {
        let number = |name: &str| {
            let value = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|value| value.parse().ok()).unwrap_or(0)
        };
        Self {
            first_packets_dropped: number("first_packets_dropped"),
            refused: number("refused"),
            network_refused: number("network_refused"),
            retried: number("retried"),
            handshakes_failed: number("handshakes_failed"),
            no_hello: number("no_hello"),
            not_welcome: number("not_welcome"),
            bad_frames: number("bad_frames"),
            slow_consumers: number("slow_consumers"),
        }
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            first_packets_dropped: self.first_packets_dropped - before.first_packets_dropped,
            refused: self.refused - before.refused,
            network_refused: self.network_refused - before.network_refused,
            retried: self.retried - before.retried,
            handshakes_failed: self.handshakes_failed - before.handshakes_failed,
            no_hello: self.no_hello - before.no_hello,
            not_welcome: self.not_welcome - before.not_welcome,
            bad_frames: self.bad_frames - before.bad_frames,
            slow_consumers: self.slow_consumers - before.slow_consumers,
        }
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { first_packets_dropped, refused, network_refused, retried, handshakes_failed, .. } = *self;
        first_packets_dropped
            + refused
            + network_refused
            + retried
            + handshakes_failed
            + self.no_hello
            + self.not_welcome
            + self.bad_frames
            + self.slow_consumers
    }
}

impl Coordinator {
    /// Starts one in a directory of its own, and waits until it answers.
    ///
    /// # Errors
    /// Whatever keeps it from starting.
    pub async fn start(binary: &Path) -> io::Result<(Self, Operator)> {
        let dir = TempDir::with_prefix("playgate-abuse-")?;
        let fleet = format!("[[fleet]]\nname = \"{FLEET}\"\ncommand = [\"/bin/false\"]\nprocesses_per_host = 0\n");
        std::fs::write(dir.path().join("fleets.toml"), fleet)?;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let child = spawn(binary, dir.path(), any)?;
        let mut coordinator = Self { dir, binary: binary.to_owned(), address: any, child };
        let key = coordinator.operator_key().await?;
        coordinator.address = key.coordinator.parse().map_err(io::Error::other)?;
        let operator = Operator::connect_within(key, PATIENCE).await.map_err(io::Error::other)?;
        Ok((coordinator, operator))
    }

    /// Waits for the operator's key.
    ///
    /// # Errors
    /// When the coordinator does not write it.
    pub async fn operator_key(&self) -> io::Result<OperatorKey> {
        let path = self.dir.path().join("data/operator.key");
        let deadline = Instant::now() + PATIENCE;
        loop {
            match read_operator_key(&path) {
                Ok(key) => return Ok(key),
                Err(error) if Instant::now() > deadline => {
                    return Err(io::Error::other(format!("{error}:\n{}", self.log())));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Kills it without a word and starts it again on the same port.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        self.child = spawn(&self.binary, self.dir.path(), self.address)?;
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// For the files of honest peers.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What is wrong with it, if anything is.
    pub fn trouble(&mut self) -> Option<String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Some(format!("the coordinator ended: {status}"));
        }
        self.log().contains("panicked").then(|| "the coordinator panicked".to_owned())
    }

    /// Resident memory.
    #[must_use]
    pub fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    }

    /// CPU time taken so far.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        cpu_of(&format!("/proc/{}/stat", self.child.id()))
    }

    /// The last count of refusals in its log, at most a second old.
    #[must_use]
    pub fn refusals(&self) -> Refusals {
        let log = self.log();
        log.lines().rfind(|line| line.contains("refusals so far")).map(Refusals::parse).unwrap_or_default()
    }

    /// All that it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("coordinator.log")).unwrap_or_default()
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(binary: &Path, dir: &Path, address: SocketAddr) -> io::Result<Child> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("coordinator.log"))?;
    let mut command = Command::new(binary);
    command.args(["coordinator", "--data", "data", "--fleets", "fleets.toml", "--listen", &address.to_string()]);
    command.current_dir(dir).env("PLAYGATE_LOG", "info,playgate_coordinator::refusals=debug").env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()
}

/// User and system time from a `stat` file of `/proc`.
#[must_use]
pub fn cpu_of(stat: &str) -> Duration {
    let stat = std::fs::read_to_string(stat).unwrap_or_default();
    // The name of the command is in parentheses and may hold anything; fields are counted behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second().max(1))
}
