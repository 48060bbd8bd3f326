//! What holds of what is kept and told: ids, events, bounds.

use playgate_core::limits::EVENTS_MAX;
use playgate_protocol::api::{EventKind, GameSessionStatus, ProcessStatus, Subject};

use super::coordinator::{Checked, live_in, players, processes, sessions};
use crate::disk::Change;
use crate::host::CAPACITY;
use crate::world::World;

pub(super) fn ids_are_new(world: &World) -> Checked {
    let mut fresh: Vec<[u8; 16]> = Vec::new();
    fresh.extend(players(world).filter(|(_, (before, _))| before.is_none()).map(|(_, (_, row))| *row.id.as_bytes()));
    fresh.extend(sessions(world).filter(|(_, (before, _))| before.is_none()).map(|(_, (_, row))| *row.id.as_bytes()));
    fresh.extend(processes(world).filter(|(_, (before, _))| before.is_none()).map(|(_, (_, row))| *row.id.as_bytes()));
    if let Some(id) = fresh.iter().find(|id| world.ledger.ids.contains(*id)) {
        return Err(format!("id {id:02x?} was used before"));
    }
    for (_, (_, row)) in players(world).filter(|(_, (before, _))| before.is_none()) {
        let holder = world.ledger.ordinals.get(&(row.game_session, row.ordinal));
        if holder.is_some_and(|holder| *holder != row.id) {
            return Err(format!("ordinal {} of {} had a ticket of {holder:?}", row.ordinal, row.game_session));
        }
        let high = world.coordinator.mem.sessions.get(&row.game_session).map_or(0, |session| session.ordinal_high);
        if row.ordinal >= high {
            return Err(format!(
                "ordinal {} of {} is above what was written down, {high}",
                row.ordinal, row.game_session
            ));
        }
    }
    Ok(())
}

pub(super) fn ended_sessions_hold_nothing(world: &World) -> Checked {
    for (_, (_, row)) in sessions(world).filter(|(_, (_, row))| row.status == GameSessionStatus::Terminated) {
        if let Some(player) = live_in(world, row.id).next() {
            return Err(format!("{} is over and {} holds a slot", row.id, player.id));
        }
    }
    Ok(())
}

pub(super) fn bounds(world: &World) -> Checked {
    let (waiting, events) = (world.coordinator.waiting(), world.coordinator.mem.events.len());
    if waiting > 200_000 || events > EVENTS_MAX + 1_024 {
        return Err(format!("{waiting} outputs wait, {events} events are kept"));
    }
    for (server, beat) in &world.log.beats {
        let acked = world.ledger.acked.get(&world.servers[*server].process).copied().unwrap_or(0);
        // What was pending when there was still room is numbered whole: one record of each player, and some.
        let most = playgate_gate::limits::REPORTS_UNACKED_MAX as u64 + 256;
        if beat.through_seq > acked + most {
            return Err(format!("server {server} holds reports {acked} to {}", beat.through_seq));
        }
    }
    let carried = world.hosts.iter().filter_map(|host| host.agent.as_ref());
    if let Some(most) = carried.map(playgate_agent_core::AgentCore::process_count).max()
        && most > CAPACITY as usize
    {
        return Err(format!("an agent carries {most} processes"));
    }
    let reports =
        world.hosts.iter().filter_map(|host| host.agent.as_ref()).map(playgate_agent_core::AgentCore::report_count);
    match reports.max() {
        Some(most) if most > playgate_agent_core::limits::REPORTS_PENDING_MAX + 64 => {
            Err(format!("{most} reports wait"))
        }
        _ => Ok(()),
    }
}

pub(super) fn events_tell_all(world: &World) -> Checked {
    let mem = &world.coordinator.mem;
    for (_, change) in &world.log.changes {
        let Change::Event(event) = change else { continue };
        let Subject::Process(process) = event.subject else { continue };
        let honest = world.servers.iter().any(|server| server.process == process && !server.is_byzantine);
        if honest && event.detail.contains("the server counts") {
            return Err(format!("the views of {process} differ: {}", event.detail));
        }
    }
    for (_, change) in &world.log.changes {
        let Change::Event(event) = change else { continue };
        let first = mem.events.keys().next().copied().unwrap_or(0);
        if event.seq > first && !mem.events.contains_key(&(event.seq - 1)) {
            return Err(format!("event {} has none before it", event.seq));
        }
    }
    told_once(world)?;
    let told = |kind: EventKind, subject: &Subject| {
        world
            .log
            .changes
            .iter()
            .any(|(_, change)| matches!(change, Change::Event(e) if e.kind == kind && e.subject == *subject))
    };
    for (_, (before, row)) in sessions(world) {
        if before.is_some_and(|before| before.status == row.status && before.attempt == row.attempt) {
            continue;
        }
        let kind = match row.status {
            GameSessionStatus::Placing if before.is_none() => EventKind::GameSessionPlacing,
            GameSessionStatus::Placing => continue,
            GameSessionStatus::Activating => EventKind::GameSessionActivating,
            GameSessionStatus::Active => EventKind::GameSessionActive,
            GameSessionStatus::Terminating => EventKind::GameSessionTerminating,
            GameSessionStatus::Terminated => EventKind::GameSessionTerminated,
        };
        if !told(kind, &Subject::GameSession(row.id)) {
            return Err(format!("{} became {:?} without an event", row.id, row.status));
        }
    }
    for (_, (before, row)) in processes(world) {
        if before.is_some_and(|before| before.status == row.status) {
            continue;
        }
        let kind = match row.status {
            ProcessStatus::Launching => EventKind::ProcessLaunching,
            ProcessStatus::Connected => EventKind::ProcessConnected,
            ProcessStatus::Draining => EventKind::ProcessDraining,
            ProcessStatus::Ended => EventKind::ProcessEnded,
            ProcessStatus::Ready | ProcessStatus::Hosting
                if before
                    .is_some_and(|before| before.ready_ms.is_none() || before.status == ProcessStatus::Connected) =>
            {
                EventKind::ProcessReady
            }
            ProcessStatus::Ready | ProcessStatus::Hosting => continue,
        };
        if !told(kind, &Subject::Process(row.id)) {
            return Err(format!("{} became {:?} without an event", row.id, row.status));
        }
    }
    Ok(())
}

/// What comes about once in a life is told of once, and time goes on from event to event.
fn told_once(world: &World) -> Checked {
    use EventKind::{
        GameSessionActive, GameSessionPlacing, GameSessionTerminated, GameSessionTerminating, ProcessConnected,
        ProcessDraining, ProcessEnded, ProcessLaunching, ProcessReady,
    };
    let events = &world.coordinator.mem.events;
    for (_, change) in &world.log.changes {
        let Change::Event(event) = change else { continue };
        if let Some((_, before)) = events.range(..event.seq).next_back()
            && before.at_ms > event.at_ms
        {
            return Err(format!("event {} is from {}, the one before from {}", event.seq, event.at_ms, before.at_ms));
        }
        let once = matches!(
            event.kind,
            GameSessionPlacing | GameSessionActive | GameSessionTerminating | GameSessionTerminated | ProcessLaunching
        ) || matches!(event.kind, ProcessConnected | ProcessReady | ProcessDraining | ProcessEnded);
        let same = |other: &&playgate_protocol::api::Event| other.kind == event.kind && other.subject == event.subject;
        if once && events.values().filter(same).count() != 1 {
            return Err(format!("{:?} of {} is told of more than once", event.kind, event.subject));
        }
    }
    Ok(())
}
