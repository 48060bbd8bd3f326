//! The relay that is flooded: a process of its own, and what can be seen of it from outside.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use playgate_netns::process;
use playgate_protocol::relay::RelaySecret;
use playgate_relay::{DropReason, Relay, RelayConfig, Secrets};

use crate::world::{Side, World};

/// Each of them: honest players come and go, and a flow that is not closed stays for 20 s.
const FLOWS_MAX: u32 = 4_000;

/// By which the passes of a run are sealed.
#[must_use]
pub fn secret() -> RelaySecret {
    RelaySecret::new(1, [1; 32])
}

/// What a relay counts, by name: its counters, `lost`, `flows`, and `drop:` with each reason.
pub type Numbers = BTreeMap<String, u64>;

/// Is the relay: starts, says where it listens, and shows its numbers for each line that is written to it.
///
/// # Errors
/// When it cannot listen.
pub fn serve(listen: SocketAddr, cores: u8) -> io::Result<()> {
    // A thread that panics must not go unnoticed among others.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
    let mut config = RelayConfig::new(listen);
    config.cores = cores;
    config.flows_max = FLOWS_MAX;
    config.destinations.push(format!("{}/32", Side::Servers.address()).parse().map_err(io::Error::other)?);
    let relay = Relay::start(config, |_| {}).map_err(io::Error::other)?;
    relay.set_secrets(Secrets { current: secret(), before: None });
    println!("{}", relay.local_addr());
    for line in io::stdin().lock().lines() {
        line?;
        println!("{}", serde_json::to_string(&numbers(&relay))?);
    }
    Ok(())
}

fn numbers(relay: &Relay) -> Numbers {
    let (totals, views) = (relay.totals(), relay.views());
    let named = [
        ("up_datagrams", totals.up_datagrams),
        ("down_datagrams", totals.down_datagrams),
        ("cookies", totals.cookies),
        ("opened", totals.opened),
        ("reopened", totals.reopened),
        ("refused", totals.refused),
        ("moved", totals.moved),
        ("pings", totals.pings),
        ("resets", totals.resets),
        ("lost", views.iter().map(|view| view.lost).sum()),
        ("flows", views.iter().map(|view| view.flows as u64).sum()),
    ];
    let drops = DropReason::ALL.iter().map(|reason| (format!("drop:{}", reason.as_str()), totals.drops(*reason)));
    named.into_iter().map(|(name, number)| (name.to_owned(), number)).chain(drops).collect()
}

/// The relay, for whoever started it. Dropping it ends it.
#[derive(Debug)]
pub struct RelayProcess {
    child: Child,
    said: BufReader<ChildStdout>,
    asked: ChildStdin,
}

impl RelayProcess {
    /// `program` is this package's binary.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(world: &World, program: &Path, cores: u8) -> io::Result<Self> {
        let mut command = Command::new(program);
        let listen = SocketAddr::from(([0, 0, 0, 0], Side::Players.relay().port()));
        command.args(["relay", "--listen", &listen.to_string(), "--cores", &cores.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = world.relay().spawn(&mut command)?;
        let (Some(asked), Some(said)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("a process without its pipes"));
        };
        let mut relay = Self { child, said: BufReader::new(said), asked };
        relay.line()?;
        Ok(relay)
    }

    /// As of half a second ago.
    ///
    /// # Errors
    /// When it is gone.
    pub fn numbers(&mut self) -> io::Result<Numbers> {
        self.asked.write_all(b"\n")?;
        Ok(serde_json::from_str(&self.line()?)?)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.said.read_line(&mut line)? {
            0 => Err(io::Error::other("the relay has ended")),
            _ => Ok(line),
        }
    }

    /// Resident memory, in bytes.
    #[must_use]
    pub fn resident(&self) -> u64 {
        process::resident_bytes(self.child.id()).unwrap_or(0)
    }

    /// CPU time so far.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        process::stat(self.child.id()).map_or(Duration::ZERO, |stat| stat.cpu)
    }

    /// For how long it waited for a CPU.
    #[must_use]
    pub fn waited(&self) -> Duration {
        process::waited(self.child.id())
    }

    /// Datagrams to its port that found no room in the kernel's buffer, of whomever they were.
    #[must_use]
    pub fn unread(&self) -> u64 {
        let table = std::fs::read_to_string(format!("/proc/{}/net/udp", self.child.id())).unwrap_or_default();
        let port = format!(":{:04X}", Side::Players.relay().port());
        let rows = table.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
        let of_the_port = rows.filter(|row| row.get(1).is_some_and(|local| local.ends_with(&port)));
        of_the_port.filter_map(|row| row.last()?.parse::<u64>().ok()).sum()
    }

    /// How it ended, if it did.
    pub fn trouble(&mut self) -> Option<String> {
        self.child.try_wait().ok()?.map(|status| format!("the relay ended: {status}"))
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may be dead
        let _ = self.child.wait();
    }
}
