//! What goes wrong in a round, chosen by the seed: who is killed, stopped or cut off, when and for how long.

use std::time::Duration;

use clap::ValueEnum;
use playgate_protocol::ServerProcessId;
use playgate_protocol::api::ProcessStatus;
use rustix::process::Signal;

use crate::Outcome;
use crate::leftovers;
use crate::net::{Cut, Place};
use crate::rng::Rng;
use crate::served::Served;
use crate::world::{PATIENCE, World};

/// Kinds of fault, as the command line names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// SIGKILL to the coordinator, an agent or a game server.
    Kill,
    /// SIGSTOP to one of them, and SIGCONT 50 ms to 6 s later.
    Stop,
    /// A network that loses everything, both ways or one way.
    Cut,
    /// A disk without room under the coordinator; needs root.
    Disk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Coordinator,
    Agent(Place),
    Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Kill(Target),
    Stop(Target, Duration),
    Cut(Place, Cut, Duration),
    Disk,
}

impl Fault {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Kill(_) => Kind::Kill,
            Self::Stop(..) => Kind::Stop,
            Self::Cut(..) => Kind::Cut,
            Self::Disk => Kind::Disk,
        }
    }

    /// Every kind and every target once, and from then on by chance. Most are kills of the coordinator: what it has
    /// acknowledged is what is looked at.
    pub fn choose(round: u64, kinds: &[Kind], rng: &mut Rng) -> Self {
        let turn = usize::try_from(round).unwrap_or(usize::MAX);
        if let Some(kind) = kinds.get(turn) {
            return Self::of(*kind, Target::Coordinator, rng);
        }
        let targets = [Target::Agent(Place::HostA), Target::Server];
        if let Some(target) = turn.checked_sub(kinds.len()).and_then(|turn| targets.get(turn)) {
            return Self::of(*kinds.iter().find(|kind| **kind != Kind::Disk).unwrap_or(&Kind::Disk), *target, rng);
        }
        let often = kinds.iter().flat_map(|kind| std::iter::repeat_n(*kind, weight(*kind)));
        let kind = rng.pick(&often.collect::<Vec<_>>()).copied().unwrap_or(Kind::Kill);
        let target = match rng.between(0, 9) {
            0 => Target::Agent(Place::HostA),
            1 => Target::Agent(Place::HostB),
            2 | 3 => Target::Server,
            _ => Target::Coordinator,
        };
        Self::of(kind, target, rng)
    }

    fn of(kind: Kind, target: Target, rng: &mut Rng) -> Self {
        match kind {
            Kind::Kill => Self::Kill(target),
            Kind::Stop => Self::Stop(target, stretch(rng, 50)),
            Kind::Cut => {
                let place = rng.pick(&Place::ALL).copied().unwrap_or(Place::Backends);
                let cut = rng.pick(&Cut::ALL).copied().unwrap_or(Cut::Both);
                // All ways to the coordinator lead through its own link.
                Self::Cut(place, if place == Place::Coordinator { Cut::Both } else { cut }, stretch(rng, 100))
            }
            Kind::Disk => Self::Disk,
        }
    }

    pub fn describe(&self) -> String {
        let name = |target: &Target| match target {
            Target::Coordinator => "coordinator",
            Target::Agent(Place::HostA) => "agent a",
            Target::Agent(_) => "agent b",
            Target::Server => "server",
        };
        match self {
            Self::Kill(target) => format!("kill {}", name(target)),
            Self::Stop(target, time) => format!("stop {} {} ms", name(target), time.as_millis()),
            Self::Cut(place, cut, time) => {
                format!("cut {} {} {} ms", place.as_str(), cut.as_str(), time.as_millis())
            }
            Self::Disk => "disk full".to_owned(),
        }
    }
}

fn weight(kind: Kind) -> usize {
    match kind {
        Kind::Kill => 70,
        Kind::Stop => 17,
        Kind::Cut => 12,
        Kind::Disk => 1,
    }
}

/// Up to 3 s, within which a link lives; one in ten is longer, and costs the link.
fn stretch(rng: &mut Rng, least: u64) -> Duration {
    if rng.percent(10) {
        rng.millis(3_000, 6_000)
    } else {
        rng.millis(least, 1_500).mul_f64(if rng.percent(30) { 2.0 } else { 1.0 })
    }
}

/// A game server that runs, by chance.
pub async fn some_server(world: &mut World, rng: &mut Rng) -> Outcome<Option<(ServerProcessId, u32)>> {
    let live = world.live().await?;
    let up = |status| matches!(status, ProcessStatus::Ready | ProcessStatus::Hosting | ProcessStatus::Draining);
    let servers = live.iter().filter(|process| up(process.status));
    let ours = leftovers::of(&world.setup.run);
    let servers = servers.filter_map(|process| Some((process.id, process.pid.filter(|pid| ours.contains(pid))?)));
    Ok(rng.pick(&servers.collect::<Vec<_>>()).copied())
}

/// Kills a game server, and waits until the coordinator has been told.
pub async fn kill_server(world: &mut World, served: &mut Served, rng: &mut Rng) -> Outcome<()> {
    let Some((process, pid)) = some_server(world, rng).await? else { return Ok(()) };
    served.killed.insert(process);
    leftovers::kill(pid, Signal::KILL);
    let deadline = std::time::Instant::now() + PATIENCE;
    while world.live().await?.iter().any(|live| live.id == process) {
        if std::time::Instant::now() > deadline {
            return Err(format!("{process} was killed, and the coordinator does not hear of it").into());
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    Ok(())
}

/// Stops a process for a while.
pub async fn stop(world: &mut World, target: Target, time: Duration, rng: &mut Rng) -> Outcome<()> {
    let pid = match target {
        Target::Coordinator => world.coordinator_pid()?,
        Target::Agent(place) => world.agent_pid(place)?,
        Target::Server => match some_server(world, rng).await? {
            Some((_, pid)) => pid,
            None => return Ok(()),
        },
    };
    leftovers::kill(pid, Signal::STOP);
    tokio::time::sleep(time).await;
    leftovers::kill(pid, Signal::CONT);
    Ok(())
}

/// Cuts a place off for a while.
pub async fn cut(world: &World, place: Place, cut: Cut, time: Duration) -> Outcome<()> {
    world.net.cut(place, cut)?;
    tokio::time::sleep(time).await;
    world.net.restore(place, cut)
}
