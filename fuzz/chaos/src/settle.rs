//! Everything at rest: nobody begins anything, and then both sides must come to the same view; and the end of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use playgate_protocol::api::ProcessStatus;
use playgate_protocol::{PlayerSessionId, ServerProcessId};

use crate::Outcome;
use crate::compare::{Findings, Kind};
use crate::database::{Database, PlayerRow, ProcessRow};
use crate::leftovers;
use crate::load::{Load, Shared};
use crate::net::Place;
use crate::served::Served;
use crate::world::{GRACE, PATIENCE, World, fleet};

type Players = BTreeMap<PlayerSessionId, PlayerRow>;
type Processes = BTreeMap<ServerProcessId, ProcessRow>;

const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Players whose joins were compared, and those of whom only their dead server knew.
#[derive(Debug, Default)]
pub struct Joins {
    confirmed: BTreeSet<PlayerSessionId>,
    /// Admitted by a server that was killed before it could report it.
    pub died_with_server: u64,
    /// Times that both sides were found to hold the same players.
    pub agreed: u64,
}

/// Holds the load until the servers and the coordinator have the same players, and lets it go on.
pub async fn settle(world: &World, shared: &Shared, served: &mut Served, joins: &mut Joins) -> Outcome<Findings> {
    let _held = shared.hold().await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let differences = differences(world, served, joins)?;
        if differences.is_empty() {
            joins.agreed += 1;
            return Ok(Findings::new());
        }
        if Instant::now() > deadline {
            return Ok(differences.into_iter().map(|what| (Kind::Views, what)).collect());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Where the two views differ at this moment.
fn differences(world: &World, served: &mut Served, joins: &mut Joins) -> Outcome<Vec<String>> {
    served.read()?;
    let database = Database::open(&world.data())?;
    let (players, processes) = (database.players()?, database.processes()?);
    let mut differences = not_joined(served, joins, &players, &processes);
    differences.extend(other_players(served, &players, &processes));
    differences.extend(other_processes(world, &processes));
    Ok(differences)
}

/// Who was admitted and has not joined.
fn not_joined(served: &Served, joins: &mut Joins, players: &Players, processes: &Processes) -> Vec<String> {
    let mut differences = Vec::new();
    for (player, (_, servers)) in &served.admitted {
        if joins.confirmed.contains(player) {
            continue;
        }
        // Who was forgotten had been over for ten minutes, and each was compared before.
        if players.get(player).is_none_or(|row| row.joined) {
            joins.confirmed.insert(*player);
            continue;
        }
        if servers.iter().all(|server| ended_without_a_word(served, processes, *server)) {
            joins.confirmed.insert(*player);
            joins.died_with_server += 1;
        } else {
            differences.push(format!("{player} was admitted by {servers:?}, and has not joined"));
        }
    }
    differences
}

/// Where a server hosts another game session than the coordinator says, or other players.
fn other_players(served: &Served, players: &Players, processes: &Processes) -> Vec<String> {
    let mut differences = Vec::new();
    let live = |status: &str| !matches!(status, "ENDED" | "LAUNCHING");
    for (process, row) in processes.iter().filter(|(_, row)| live(&row.status)) {
        let hosting = served.hosting(*process).map(|session| session.to_string());
        if row.session != hosting {
            differences.push(format!("{process} hosts {:?}, and says {hosting:?}", row.session));
            continue;
        }
        let Some(session) = &row.session else { continue };
        let active = players.iter().filter(|(_, player)| player.status == "ACTIVE");
        let active = active.filter(|(_, player)| player.session.to_string() == *session).map(|(id, _)| *id);
        let (active, present) = (active.collect::<BTreeSet<_>>(), &served.servers[process].present);
        if active != *present {
            differences.push(format!("{session}: active are {active:?}, and on the server {present:?}"));
        }
    }
    differences
}

/// Server processes that run and are not known, or are known and do not run.
fn other_processes(world: &World, processes: &Processes) -> Vec<String> {
    let services = world.service_pids();
    let running: BTreeSet<_> = leftovers::of(&world.setup.run).into_iter().collect();
    let running: BTreeSet<_> = running.into_iter().filter(|pid| !services.contains(pid)).collect();
    let known = processes.values().filter(|row| row.status != "ENDED").filter_map(|row| row.pid);
    let known: BTreeSet<_> = known.collect();
    let strays = running.difference(&known).map(|pid| format!("{pid} runs and is not known"));
    strays.chain(known.difference(&running).map(|pid| format!("{pid} is known and does not run"))).collect()
}

/// Ended, and not in the good order in which its last reports are delivered.
fn ended_without_a_word(served: &Served, processes: &Processes, server: ServerProcessId) -> bool {
    let ended = processes.get(&server).is_none_or(|row| row.status == "ENDED");
    ended && served.servers.get(&server).and_then(|server| server.delivered) != Some(true)
}

/// Ends the load, all game sessions and all processes, and looks at what is left.
pub async fn finish(world: &mut World, load: Load, served: &mut Served, joins: &mut Joins) -> Outcome<Findings> {
    let mut findings = settle(world, &load.shared, served, joins).await?;
    let mut found = |kind, what: String| {
        findings.insert((kind, what));
    };
    load.stop();
    wait("the load comes to its end", || Ok(load.is_over())).await?;
    let shared = load.shared.clone();
    load.join()?;
    for session in Database::open(&world.data())?.live_sessions()? {
        let asked = Instant::now();
        let info = world.operator.terminate_game_session(session, GRACE).await?;
        shared.ledger().hear(asked).saw_session(&info);
    }
    let data = world.data();
    wait("all game sessions are over", || Ok(Database::open(&data)?.live_sessions()?.is_empty())).await?;
    for what in settle(world, &shared, served, joins).await? {
        found(what.0, what.1);
    }
    let agents = [world.agent_pid(Place::HostA)?, world.agent_pid(Place::HostB)?];
    let deadline = Instant::now() + PATIENCE;
    world.operator.set_processes_per_host(fleet()?, 0).await?;
    loop {
        let live = world.live().await?;
        if live.is_empty() {
            break;
        }
        if Instant::now() > deadline {
            found(Kind::Process, format!("{} servers do not end: {:?}", live.len(), live[0]));
            break;
        }
        for process in live.iter().filter(|process| process.status != ProcessStatus::Draining) {
            world.operator.stop_process(process.id, GRACE).await?;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    if wait("no zombie", || Ok(leftovers::zombies_of(&agents).is_empty())).await.is_err() {
        found(Kind::Process, format!("zombies: {:?}", leftovers::zombies_of(&agents)));
    }
    for place in Place::HOSTS {
        if !world.stop_agent(place).await? {
            found(Kind::Process, format!("the agent of {} ended badly", place.as_str()));
        }
    }
    if !world.stop_coordinator().await? {
        found(Kind::Process, "the coordinator ended badly".to_owned());
    }
    let run = world.setup.run.clone();
    if wait("nobody is left", || Ok(leftovers::of(&run).is_empty())).await.is_err() {
        for pid in leftovers::of(&run) {
            found(Kind::Process, format!("left behind: {pid} {}", leftovers::command_line(pid)));
        }
    }
    Ok(findings)
}

async fn wait(what: &str, mut is_so: impl FnMut() -> Outcome<bool>) -> Outcome<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > deadline {
            return Err(format!("not within {PATIENCE:?}: {what}").into());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}
