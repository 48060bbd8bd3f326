//! What comes about once faults have stopped.

use playgate_protocol::api::{GameSessionStatus, PlayerSessionStatus, ProcessStatus};

use crate::server::Line;
use crate::world::World;

type Checked = Result<(), String>;

/// A reservation may outlive its time by a beat and the way of its report.
const SLACK_MS: u64 = 6_000;

pub(super) fn calls_are_answered(world: &World) -> Checked {
    match world.backends.iter().position(|backend| backend.open() > 0) {
        Some(backend) => Err(format!("backend {backend} still waits: {:?}", world.backends[backend])),
        None => Ok(()),
    }
}

pub(super) fn sessions_have_servers(world: &World) -> Checked {
    let mem = &world.coordinator.mem;
    for row in mem.sessions.values() {
        match row.status {
            GameSessionStatus::Active => {
                let alive = world.servers.iter().any(|server| server.alive && Some(server.process) == row.process);
                if !alive {
                    return Err(format!("{} is active on {:?}, which is gone", row.id, row.process));
                }
            }
            GameSessionStatus::Terminated => {}
            other => return Err(format!("{} is still {other:?}", row.id)),
        }
    }
    Ok(())
}

pub(super) fn reservations_end(world: &World) -> Checked {
    let now = world.coordinator.clock.now_ms();
    for row in world.coordinator.mem.players.values() {
        let waits = row.status == PlayerSessionStatus::Reserved && row.expires_at_ms + SLACK_MS < now;
        if waits || row.revoking {
            return Err(format!("{} is still {:?} at {now} (until {})", row.id, row.status, row.expires_at_ms));
        }
    }
    Ok(())
}

pub(super) fn servers_are_back(world: &World) -> Checked {
    let mem = &world.coordinator.mem;
    for server in world.servers.iter().filter(|server| server.alive) {
        let known = mem.processes.get(&server.process).is_some_and(|row| row.status != ProcessStatus::Ended);
        if !known || !matches!(server.line, Line::Up(_)) {
            return Err(format!("{} runs: known {known}, {:?}", server.process, server.line));
        }
    }
    let wanted = mem.fleets.values().next().map_or(0, |fleet| fleet.processes_per_host);
    for host in 0..world.hosts.len() {
        let running = world.running_on(host).count();
        if running < usize::try_from(wanted).unwrap_or(0) {
            return Err(format!("host {host} runs {running} processes of {wanted}"));
        }
    }
    Ok(())
}

pub(super) fn drained_servers_exit(world: &World) -> Checked {
    for row in world.coordinator.mem.processes.values() {
        let runs = world.servers.iter().any(|server| server.alive && server.process == row.id);
        match row.status {
            ProcessStatus::Ready | ProcessStatus::Hosting if runs => {}
            ProcessStatus::Ended if !runs => {}
            other => return Err(format!("{} is {other:?}, runs: {runs}", row.id)),
        }
    }
    Ok(())
}

pub(super) fn views_agree(world: &World) -> Checked {
    let mem = &world.coordinator.mem;
    for (at, server) in world.servers.iter().enumerate().filter(|(_, server)| server.alive) {
        let Some(gate) = &server.gate else { return Err(format!("server {at} was never welcome")) };
        let hosted = mem.processes.get(&server.process).and_then(|row| row.session);
        if hosted != server.hosts {
            return Err(format!("server {at} hosts {:?}, the coordinator says {hosted:?}", server.hosts));
        }
        let active = mem
            .players
            .values()
            .filter(|row| Some(row.game_session) == hosted && row.status == PlayerSessionStatus::Active);
        let active = active.count();
        if gate.active_players() != active {
            return Err(format!("server {at} counts {} players, the coordinator {active}", gate.active_players()));
        }
    }
    Ok(())
}

pub(super) fn rows_are_the_state(world: &World) -> Checked {
    let (mem, disk) = (&world.coordinator.mem, &world.coordinator.disk);
    if world.coordinator.core.is_none() || !world.coordinator.is_synced() {
        return Err("the coordinator is not at rest".to_owned());
    }
    let same = mem.sessions == disk.sessions && mem.players == disk.players && mem.processes == disk.processes;
    if same { Ok(()) } else { Err("what was decided is not what is on the disk".to_owned()) }
}
