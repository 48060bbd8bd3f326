//! What holds of reports: numbered, applied exactly once and in order, and durable when they are acknowledged.

use playgate_core::Output;
use playgate_protocol::agent::AgentReport;
use playgate_protocol::api::{GameSessionStatus, PlayerSessionStatus, ProcessStatus};
use playgate_protocol::server::{PlayerOutcome, Report, ServerDown};
use playgate_protocol::{HostId, ServerProcessId};

use super::coordinator::Checked;
use crate::disk::{Change, Image};
use crate::net::Peer;
use crate::world::World;

pub(super) fn reports_are_applied(world: &World) -> Checked {
    for (server, seq, report) in &world.log.reports {
        let before = world.ledger.reports.get(&(world.servers[*server].process, *seq));
        if before.is_some_and(|before| before != report) {
            return Err(format!("report {seq} of server {server} was {before:?} and is {report:?}"));
        }
    }
    for (host, seq, report) in &world.log.agent_reports {
        let before = world.ledger.agent_reports.get(&(*host, *seq));
        if before.is_some_and(|before| before != report) {
            return Err(format!("report {seq} of agent {host} was {before:?} and is {report:?}"));
        }
    }
    for (cause, change) in world.log.changes.iter().filter(|_| world.log.repeated) {
        let same = matches!(change, Change::Process(Some(before), Some(row)) if before == row);
        if matches!(cause, crate::ledger::Cause::Server(_)) && !same && !matches!(change, Change::HighWater(..)) {
            return Err(format!("reports that were applied before changed {change:?}"));
        }
    }
    for (_, change) in &world.log.changes {
        if let Change::Process(Some(before), Some(row)) = change
            && before.applied_seq > row.applied_seq
        {
            return Err(format!("{}: applied reports went from {} to {}", row.id, before.applied_seq, row.applied_seq));
        }
    }
    for output in &world.log.released {
        match output {
            Output::Server(link, ServerDown::ReportAck { through_seq }) => {
                if let Peer::Server(server) = world.conns[link.0 as usize].peer {
                    server_acknowledged(world, server, *through_seq)?;
                }
            }
            Output::AgentAck { link, through_seq } => {
                if let Peer::Agent(host) = world.conns[link.0 as usize].peer {
                    agent_acknowledged(world, host, *through_seq)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn server_acknowledged(world: &World, server: usize, through: u64) -> Checked {
    let process = world.servers[server].process;
    let disk = &world.coordinator.disk;
    let Some(row) = disk.processes.get(&process) else { return Ok(()) };
    if row.applied_seq < through {
        return Err(format!("report {through} of {process} is acknowledged, {} is durable", row.applied_seq));
    }
    if world.servers[server].is_byzantine {
        return Ok(());
    }
    let from = world.ledger.acked.get(&process).copied().unwrap_or(0) + 1;
    for seq in from..=through {
        let Some(report) = world.ledger.reports.get(&(process, seq)) else {
            return Err(format!("report {seq} of {process} is acknowledged and was never sent"));
        };
        if !report_has_effect(disk, process, report) {
            return Err(format!("report {seq} of {process} is acknowledged without effect: {report:?}"));
        }
    }
    Ok(())
}

fn report_has_effect(disk: &Image, process: ServerProcessId, report: &Report) -> bool {
    use PlayerSessionStatus::{Active, Completed, Reserved, TimedOut};
    match report {
        Report::Ready { .. } => disk.processes.get(&process).is_none_or(|row| {
            row.ready_ms.is_some() || matches!(row.status, ProcessStatus::Draining | ProcessStatus::Ended)
        }),
        Report::Activated { session, attempt } => disk.sessions.get(session).is_none_or(|row| {
            row.attempt > *attempt || !matches!(row.status, GameSessionStatus::Activating | GameSessionStatus::Placing)
        }),
        Report::SessionEnded { session, attempt } => disk
            .sessions
            .get(session)
            .is_none_or(|row| row.attempt > *attempt || row.status == GameSessionStatus::Terminated),
        Report::Player { player_session, outcome, .. } => {
            let Some(row) = disk.players.get(player_session) else { return true };
            match outcome {
                PlayerOutcome::Active { generation, .. } => {
                    let counted = row.generation >= *generation || row.ended_ms.is_some();
                    matches!(row.status, Active | Completed) && counted
                }
                PlayerOutcome::Completed { .. } => row.status == Completed,
                PlayerOutcome::Blocked => matches!(row.status, Completed | TimedOut) && row.status != Reserved,
            }
        }
        Report::Ending => disk.processes.get(&process).is_none_or(|row| row.drain.is_some() || row.ended_ms.is_some()),
    }
}

pub(super) fn host_id(world: &World, host: usize) -> Option<HostId> {
    world.ledger.host_ids.get(&host).copied()
}

fn agent_acknowledged(world: &World, host: usize, through: u64) -> Checked {
    let disk = &world.coordinator.disk;
    let Some(row) = host_id(world, host).and_then(|id| disk.hosts.get(&id)) else { return Ok(()) };
    if row.applied_seq < through {
        return Err(format!("report {through} of agent {host} is acknowledged, {} is durable", row.applied_seq));
    }
    let from = world.ledger.agent_acked.get(&host).copied().unwrap_or(0) + 1;
    for seq in from..=through {
        let Some(report) = world.ledger.agent_reports.get(&(host, seq)) else {
            return Err(format!("report {seq} of agent {host} is acknowledged and was never sent"));
        };
        let done = match report {
            AgentReport::Exited { process, .. } | AgentReport::LaunchFailed { process, .. } => {
                disk.processes.get(process).is_none_or(|row| row.status == ProcessStatus::Ended)
            }
            AgentReport::Launched { process, .. } | AgentReport::Adopted { process, .. } => {
                disk.processes.get(process).is_none_or(|row| row.launched || row.status == ProcessStatus::Ended)
            }
            AgentReport::StopStep { .. } => true,
        };
        if !done {
            return Err(format!("report {seq} of agent {host} is acknowledged without effect: {report:?}"));
        }
    }
    Ok(())
}
