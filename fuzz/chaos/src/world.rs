//! The processes of one run: the real coordinator, two real agents, and the game servers that they launch.

mod services;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use playgate_client::Operator;
use playgate_protocol::api::{EventKind, HostInfo, ProcessInfo, ProcessStatus};
use playgate_protocol::{FleetId, JoinRole, ServerProcessId};
use rustix::process::Signal;

use crate::Outcome;
use crate::leftovers::{self, MARK};
use crate::net::{Net, Place};
use services::{Starting, kill, playgate, start_coordinator, stop};

pub const FLEET: &str = "chaos";
/// Servers that each of the two hosts keeps.
pub const SERVERS_PER_HOST: usize = 3;
/// Far more than anything here takes, so that only a fault reaches it.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Time that a game has to end its session, and a server to exit: longer than any fault and the dialling after it, so
/// that nobody is ended by force because he could not hear.
pub const GRACE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(15);

/// How to start one.
pub struct Setup {
    pub run: String,
    pub dir: PathBuf,
    pub playgate: PathBuf,
    /// The directory stays when the run is over.
    pub keep: bool,
    /// The TOML of the fleets; without it, the one of this program's game servers.
    pub fleets: Option<String>,
}

pub struct World {
    pub setup: Setup,
    pub net: Arc<Net>,
    /// Where the coordinator listens.
    pub port: u16,
    pub operator: Operator,
    coordinator: Option<Child>,
    agents: [Option<Child>; 2],
    /// All processes up to this one have ended.
    ended_through: Option<ServerProcessId>,
    events_seen: u64,
}

impl World {
    /// A coordinator alone, which answers.
    pub async fn coordinator(setup: Setup, net: Arc<Net>, port: u16) -> Outcome<Self> {
        fs::create_dir_all(setup.dir.join("facts"))?;
        net.enter_control()?;
        let fleets = setup.fleets.clone().unwrap_or(own_fleet(&setup)?);
        fs::write(setup.dir.join("fleets.toml"), fleets)?;
        let mut starting = Starting { child: start_coordinator(&setup, &net, port)?, log_from: 0 };
        let operator = starting.answers(&setup).await?;
        let coordinator = Some(starting.child);
        Ok(Self { setup, net, port, operator, coordinator, agents: [None, None], ended_through: None, events_seen: 0 })
    }

    /// The coordinator and both agents.
    pub async fn start(setup: Setup, net: Arc<Net>, port: u16) -> Outcome<Self> {
        let mut world = Self::coordinator(setup, net, port).await?;
        for place in Place::HOSTS {
            world.start_agent(place).await?;
        }
        Ok(world)
    }

    pub fn data(&self) -> PathBuf {
        self.setup.dir.join("data")
    }

    pub fn facts(&self) -> PathBuf {
        self.setup.dir.join("facts")
    }

    /// Starts the coordinator where none runs, and waits for its first answer. Gives how long that took.
    pub async fn start_coordinator(&mut self) -> Outcome<Duration> {
        let log_from = fs::metadata(self.setup.dir.join("coordinator.log")).map_or(0, |log| log.len());
        let started = Instant::now();
        let child = start_coordinator(&self.setup, &self.net, self.port)?;
        let mut starting = Starting { child, log_from };
        let operator = starting.answers(&self.setup).await;
        self.coordinator = Some(starting.child);
        self.operator = operator?;
        Ok(started.elapsed())
    }

    /// The same where it may fail, because the disk is full: whether it runs.
    pub async fn try_start_coordinator(&mut self) -> Outcome<bool> {
        match self.start_coordinator().await {
            Ok(_) => Ok(true),
            Err(_) if !self.coordinator_runs()? => {
                self.coordinator = None;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    pub fn coordinator_pid(&self) -> Outcome<u32> {
        Ok(self.coordinator.as_ref().ok_or("no coordinator runs")?.id())
    }

    /// Whether it runs; one that ended by itself is taken note of.
    pub fn coordinator_runs(&mut self) -> Outcome<bool> {
        match &mut self.coordinator {
            Some(child) => Ok(child.try_wait()?.is_none()),
            None => Ok(false),
        }
    }

    pub fn kill_coordinator(&mut self) -> Outcome<()> {
        kill(self.coordinator.take())
    }

    /// Asks it to end, as a service manager does. Whether it ended well.
    pub async fn stop_coordinator(&mut self) -> Outcome<bool> {
        stop(self.coordinator.take(), "the coordinator").await
    }

    pub async fn start_agent(&mut self, place: Place) -> Outcome<()> {
        let name = place.as_str();
        let key = self.setup.dir.join(format!("{name}.joinkey"));
        if !key.exists() {
            let mut join = self.operator.create_join_key(JoinRole::Agent, None, 1, PATIENCE).await?;
            join.coordinator = self.net.coordinator_for(place, self.port).to_string();
            fs::write(&key, join.to_text())?;
        }
        let mut command = playgate(&self.setup, name)?;
        command.arg("agent").arg("--state").arg(self.setup.dir.join(name)).arg("--join-key").arg(key);
        command.args(["--name", name, "--advertise", &self.net.address(place).to_string()]);
        *self.agent(place)? = Some(self.net.spawn(place, &mut command)?);
        Ok(())
    }

    /// Starts an agent again, and waits until the coordinator has taken note of it: until then the link of the one
    /// that was killed may still count.
    pub async fn restart_agent(&mut self, place: Place) -> Outcome<()> {
        while let Some(last) = self.operator.list_events(self.events_seen).await?.last() {
            self.events_seen = last.seq;
        }
        self.start_agent(place).await?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let events = self.operator.list_events(self.events_seen).await?;
            if events.iter().any(|event| event.kind == EventKind::HostConnected) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(format!("the agent of {} does not come back", place.as_str()).into())
    }

    pub fn agent_pid(&mut self, place: Place) -> Outcome<u32> {
        Ok(self.agent(place)?.as_ref().ok_or("no agent runs")?.id())
    }

    pub fn kill_agent(&mut self, place: Place) -> Outcome<()> {
        kill(self.agent(place)?.take())
    }

    pub async fn stop_agent(&mut self, place: Place) -> Outcome<bool> {
        let agent = self.agent(place)?.take();
        stop(agent, place.as_str()).await
    }

    /// The coordinator and the agents.
    pub fn service_pids(&self) -> Vec<u32> {
        std::iter::once(&self.coordinator).chain(&self.agents).flatten().map(Child::id).collect()
    }

    /// Services that have ended though nobody told them to.
    pub fn ended_by_themselves(&mut self) -> Outcome<Vec<String>> {
        let names = ["the coordinator", "the agent of host-a", "the agent of host-b"];
        let services = std::iter::once(&mut self.coordinator).chain(&mut self.agents);
        let mut ended = Vec::new();
        for (name, service) in names.into_iter().zip(services) {
            if let Some(status) = service.as_mut().map(Child::try_wait).transpose()?.flatten() {
                ended.push(format!("{name} ended by itself: {status}"));
            }
        }
        Ok(ended)
    }

    fn agent(&mut self, place: Place) -> Outcome<&mut Option<Child>> {
        match place {
            Place::HostA => Ok(&mut self.agents[0]),
            Place::HostB => Ok(&mut self.agents[1]),
            Place::Coordinator | Place::Backends => Err("no agent is there".into()),
        }
    }

    /// Server processes that have not ended.
    pub async fn live(&mut self) -> Outcome<Vec<ProcessInfo>> {
        let (mut live, mut after, mut all_ended) = (Vec::new(), self.ended_through, true);
        loop {
            let page = self.operator.list_processes(None, after).await?;
            let Some(last) = page.last() else { return Ok(live) };
            after = Some(last.id);
            for process in page {
                all_ended &= process.status == ProcessStatus::Ended;
                if all_ended {
                    self.ended_through = Some(process.id);
                }
                if process.status != ProcessStatus::Ended {
                    live.push(process);
                }
            }
        }
    }

    /// Waits until the coordinator has everybody back: both agents, every server that lives, and some that can host.
    pub async fn recovered(&mut self) -> Outcome<Duration> {
        let started = Instant::now();
        loop {
            let why = match self.what_is_missing().await {
                Ok(None) => return Ok(started.elapsed()),
                Ok(Some(why)) => why,
                Err(error) => error.to_string(),
            };
            if let Some(ended) = self.ended_by_themselves()?.pop() {
                return Err(ended.into());
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("not everybody is back after {PATIENCE:?}: {why}").into());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn what_is_missing(&mut self) -> Outcome<Option<String>> {
        let hosts = self.operator.list_hosts().await?;
        if hosts.iter().filter(|host: &&HostInfo| host.connected).count() < Place::HOSTS.len() {
            return Ok(Some("an agent is not connected".to_owned()));
        }
        let live = self.live().await?;
        let lost = |process: &&ProcessInfo| process.unreachable_since_ms.is_some() || !process.healthy;
        let up = |process: &&ProcessInfo| {
            matches!(process.status, ProcessStatus::Ready | ProcessStatus::Hosting | ProcessStatus::Draining)
        };
        if let Some(process) = live.iter().filter(up).find(lost) {
            return Ok(Some(format!("{} is unreachable or not well", process.id)));
        }
        let able = live.iter().filter(up).filter(|process| process.status != ProcessStatus::Draining).count();
        Ok((able < SERVERS_PER_HOST).then(|| format!("{able} servers can host")))
    }

    /// The end of the services' logs, for a report of what went wrong.
    pub fn logs(&self) -> String {
        let tail = |name: &str| {
            let text = fs::read_to_string(self.setup.dir.join(name)).unwrap_or_default();
            let lines: Vec<_> = text.lines().rev().take(12).collect();
            format!("--- {name}\n{}\n", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
        };
        ["coordinator.log", "host-a.log", "host-b.log"].map(tail).concat()
    }
}

impl Drop for World {
    /// Ends everything that belongs to this run, and nothing else.
    fn drop(&mut self) {
        for service in [self.coordinator.take(), self.agents[0].take(), self.agents[1].take()] {
            let _ = kill(service); // the marked ones below are a second look
        }
        // A server that was just being launched has no environment yet; one round later it has.
        for _ in 0..5 {
            let left = leftovers::of(&self.setup.run);
            left.iter().filter(|pid| **pid != std::process::id()).for_each(|pid| leftovers::kill(*pid, Signal::KILL));
            if left.is_empty() {
                break;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        crate::disk::unmount(&self.data());
        if !self.setup.keep {
            let _ = fs::remove_dir_all(&self.setup.dir); // a temporary directory
        }
    }
}

pub fn fleet() -> Outcome<FleetId> {
    Ok(FleetId::new(FLEET)?)
}

/// The timeouts are short, so that what waits for them is seen within a run, and longer than a faulty second.
fn own_fleet(setup: &Setup) -> Outcome<String> {
    let (exe, facts) = (std::env::current_exe()?, setup.dir.join("facts"));
    // Runs side by side on one machine do not race for the same ports.
    let first = 20_000 + std::process::id() % 50 * 200;
    Ok(format!(
        "[[fleet]]
name = {FLEET:?}
command = [{:?}, \"server\", \"--port\", \"{{port}}\", \"--facts\", {:?}]
ports = \"{first}-{}\"
processes_per_host = {SERVERS_PER_HOST}
sessions_per_process = 20
activation_timeout = \"20s\"
unhealthy_timeout = \"30s\"
lost_after = \"60s\"
stop_grace = \"{}s\"
reservation_timeout = \"30s\"
rejoin_grace = \"3s\"
tell_reason = true
env = {{ {MARK} = {:?} }}
",
        literal(&exe)?,
        format!("{}/{{process}}.facts", literal(&facts)?),
        first + 199,
        GRACE.as_secs(),
        setup.run,
    ))
}

/// Braces in a path are no placeholders.
fn literal(path: &Path) -> Outcome<String> {
    let text = path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.replace('{', "{{").replace('}', "}}"))
}
