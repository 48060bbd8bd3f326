//! What holds of the coordinator's decisions: each change of a row is judged, and what it was caused by.

use playgate_core::rows::{GameSessionRow, PlayerSessionRow, ProcessRow};
use playgate_core::{Output, Welcomed};
use playgate_protocol::api::{GameSessionStatus, PlayerSessionStatus, ProcessStatus};
use playgate_protocol::reason::ProcessEnd;

use crate::disk::{Change, Image};
use crate::ledger::Cause;
use crate::net::Peer;
use crate::world::World;

pub(super) type Checked = Result<(), String>;
pub(super) type Two<'a, T> = (Option<&'a T>, &'a T);

pub(super) fn players(world: &World) -> impl Iterator<Item = (Cause, Two<'_, PlayerSessionRow>)> {
    world.log.changes.iter().filter_map(|(cause, change)| match change {
        Change::Player(before, Some(row)) => Some((*cause, (before.as_deref(), &**row))),
        _ => None,
    })
}

pub(super) fn sessions(world: &World) -> impl Iterator<Item = (Cause, Two<'_, GameSessionRow>)> {
    world.log.changes.iter().filter_map(|(cause, change)| match change {
        Change::Session(before, Some(row)) => Some((*cause, (before.as_deref(), &**row))),
        _ => None,
    })
}

pub(super) fn processes(world: &World) -> impl Iterator<Item = (Cause, Two<'_, ProcessRow>)> {
    world.log.changes.iter().filter_map(|(cause, change)| match change {
        Change::Process(before, Some(row)) => Some((*cause, (before.as_deref(), &**row))),
        _ => None,
    })
}

pub(super) fn live_in(
    world: &World,
    session: playgate_protocol::GameSessionId,
) -> impl Iterator<Item = &PlayerSessionRow> {
    world.coordinator.mem.players.values().filter(move |row| row.game_session == session && Image::holds_slot(row))
}

pub(super) fn held_slots(world: &World) -> Checked {
    for (_, (_, row)) in players(world).filter(|(_, (before, _))| before.is_none()) {
        let most = world.coordinator.mem.sessions.get(&row.game_session).map_or(0, |session| session.max_players);
        let held = live_in(world, row.game_session).count();
        if held > usize::from(most) {
            return Err(format!("{held} slots of {most} are held in {}", row.game_session));
        }
    }
    Ok(())
}

pub(super) fn players_stay(world: &World) -> Checked {
    let fixed = |row: &PlayerSessionRow| {
        let key = row.idempotency_key.as_str().to_owned();
        let token = (row.ordinal, row.key_id, row.gate_epoch, row.created_ms, row.expires_at_ms);
        (row.game_session, row.player.clone(), token, key, row.request_sha256)
    };
    for (_, (before, row)) in players(world) {
        if before.is_some_and(|before| fixed(before) != fixed(row) || before.generation > row.generation) {
            return Err(format!("{before:?} became {row:?}"));
        }
    }
    Ok(())
}

pub(super) fn one_live_session_of_a_player(world: &World) -> Checked {
    for (_, (_, row)) in players(world).filter(|(_, (before, row))| before.is_none() && Image::holds_slot(row)) {
        if live_in(world, row.game_session).any(|other| other.id != row.id && other.player == row.player) {
            return Err(format!("{} holds two slots of {}", row.player, row.game_session));
        }
    }
    Ok(())
}

pub(super) fn one_key_one_object(world: &World) -> Checked {
    let mem = &world.coordinator.mem;
    for (_, (_, row)) in sessions(world).filter(|(_, (before, _))| before.is_none()) {
        let same = |other: &&GameSessionRow| other.id != row.id && other.idempotency_key == row.idempotency_key;
        if let Some(other) = mem.sessions.values().find(same) {
            return Err(format!("key {} made {} and {}", row.idempotency_key, other.id, row.id));
        }
    }
    for (_, (_, row)) in players(world).filter(|(_, (before, _))| before.is_none()) {
        let same = |other: &&PlayerSessionRow| {
            other.game_session == row.game_session && other.idempotency_key == row.idempotency_key
        };
        let made = mem.players.values().filter(same);
        if let Some(other) = made.into_iter().find(|other| other.created_ms != row.created_ms) {
            return Err(format!("key {} reserved {} and later {}", row.idempotency_key, other.id, row.id));
        }
        let twice = |other: &&PlayerSessionRow| same(other) && other.id != row.id && other.player == row.player;
        if let Some(other) = mem.players.values().find(twice) {
            return Err(format!("key {} reserved {} and {} for one player", row.idempotency_key, other.id, row.id));
        }
    }
    Ok(())
}

fn is_hosted(row: &GameSessionRow) -> bool {
    use GameSessionStatus::{Activating, Active, Terminating};
    matches!(row.status, Activating | Active | Terminating)
}

pub(super) fn one_session_per_process(world: &World) -> Checked {
    let mem = &world.coordinator.mem;
    let touched = sessions(world).next().is_some() || processes(world).next().is_some();
    if !touched {
        return Ok(());
    }
    let mut hosting = std::collections::BTreeMap::new();
    for row in mem.sessions.values().filter(|row| is_hosted(row)) {
        let Some(process) = row.process else { return Err(format!("{} is {:?} on no process", row.id, row.status)) };
        if let Some(other) = hosting.insert(process, row.id) {
            return Err(format!("{process} hosts {other} and {}", row.id));
        }
        if mem.processes.get(&process).and_then(|row| row.session) != Some(row.id) {
            return Err(format!("{} is on {process}, whose record says otherwise", row.id));
        }
    }
    for row in mem.processes.values() {
        if let Some(session) = row.session
            && hosting.get(&row.id) != Some(&session)
        {
            return Err(format!("{} ({:?}) says that it hosts {session}", row.id, row.status));
        }
        if row.status == ProcessStatus::Ready && row.session.is_some()
            || row.status == ProcessStatus::Hosting && row.session.is_none()
        {
            // Between two attempts a process that failed the first is asked to end within the same turn.
            return Err(format!("{} is {:?} with session {:?}", row.id, row.status, row.session));
        }
    }
    Ok(())
}

pub(super) fn owners_stay(world: &World) -> Checked {
    for (_, (before, row)) in sessions(world) {
        let Some(before) = before else { continue };
        let moved = before.process.is_some() && row.process != before.process;
        if moved && row.attempt <= before.attempt && row.status != GameSessionStatus::Terminated {
            return Err(format!("{} moved from {:?} to {:?} in one attempt", row.id, before.process, row.process));
        }
        if row.attempt < before.attempt {
            return Err(format!("{} went from attempt {} to {}", row.id, before.attempt, row.attempt));
        }
        if before.activated_ms.is_some() && row.attempt != before.attempt {
            return Err(format!("{} was active and is placed anew", row.id));
        }
        if row.attempt > 3 || before.ordinal_high > row.ordinal_high {
            return Err(format!(
                "{}: attempt {}, ordinals {} after {}",
                row.id, row.attempt, row.ordinal_high, before.ordinal_high
            ));
        }
    }
    Ok(())
}

/// Whether a path of listed transitions leads from one to the other; a turn may take several.
fn process_may(from: ProcessStatus, to: ProcessStatus) -> bool {
    use ProcessStatus::{Connected, Draining, Ended, Hosting, Launching, Ready};
    match from {
        Launching => true,
        Connected => to != Launching,
        Ready | Hosting => matches!(to, Ready | Hosting | Draining | Ended),
        Draining => matches!(to, Draining | Ended),
        Ended => to == Ended,
    }
}

fn session_may(from: GameSessionStatus, to: GameSessionStatus) -> bool {
    use GameSessionStatus::{Activating, Active, Placing, Terminated, Terminating};
    match from {
        Placing | Activating => true,
        Active => matches!(to, Active | Terminating | Terminated),
        Terminating => matches!(to, Terminating | Terminated),
        Terminated => to == Terminated,
    }
}

fn player_may(from: PlayerSessionStatus, to: PlayerSessionStatus) -> bool {
    use PlayerSessionStatus::{Active, Completed, Reserved, TimedOut};
    match from {
        Reserved => true,
        Active => matches!(to, Active | Completed),
        Completed | TimedOut => to == from,
    }
}

pub(super) fn state_graphs(world: &World) -> Checked {
    for (_, (before, row)) in processes(world) {
        let from = before.map_or(ProcessStatus::Launching, |before| before.status);
        if !process_may(from, row.status) || (row.status == ProcessStatus::Ended) != row.ended_ms.is_some() {
            return Err(format!("{} went from {from:?} to {:?}", row.id, row.status));
        }
    }
    for (_, (before, row)) in sessions(world) {
        let from = before.map_or(GameSessionStatus::Placing, |before| before.status);
        let over = row.status == GameSessionStatus::Terminated;
        if !session_may(from, row.status) || over != row.terminated_ms.is_some() || over != row.reason.is_some() {
            return Err(format!("{} went from {from:?} to {:?} ({:?})", row.id, row.status, row.reason));
        }
        if from == GameSessionStatus::Terminated && before != Some(row) {
            return Err(format!("{} is over and became {row:?}", row.id));
        }
    }
    for (_, (before, row)) in players(world) {
        let from = before.map_or(PlayerSessionStatus::Reserved, |before| before.status);
        let over = matches!(row.status, PlayerSessionStatus::Completed | PlayerSessionStatus::TimedOut);
        if !player_may(from, row.status) || over != row.ended_ms.is_some() || (over && row.revoking) {
            return Err(format!("{} went from {from:?} to {:?}", row.id, row.status));
        }
        if before.is_some_and(|before| before.ended_ms.is_some() && before != row) {
            return Err(format!("{} is over and became {row:?}", row.id));
        }
        let timed_out = row.status == PlayerSessionStatus::TimedOut && from != row.status;
        if timed_out && (row.joined_ms.is_some() || row.revoking) {
            return Err(format!("{} timed out although {row:?}", row.id));
        }
    }
    Ok(())
}

pub(super) fn right_states(world: &World) -> Checked {
    let mem = &world.coordinator.mem;
    let linked = |process| {
        // What was welcomed in this very turn is known to the ledger when the welcome leaves.
        let welcomed = world.coordinator.linked.get(&process);
        welcomed.is_some_and(|link| world.coordinator.links.contains(link))
    };
    let fresh = players(world).any(|(_, (before, _))| before.is_none());
    let several = world.log.changes.iter().any(|(cause, _)| *cause == Cause::Several);
    if world.ledger.low && !several && (fresh || sessions(world).any(|(_, (before, _))| before.is_none())) {
        return Err("something is made while the disk is nearly full".to_owned());
    }
    for (cause, (_, row)) in players(world).filter(|(_, (before, _))| before.is_none()) {
        let session = mem.sessions.get(&row.game_session);
        let takes_players = session.is_some_and(|session| match cause {
            Cause::Call => session.status == GameSessionStatus::Active,
            Cause::Several => session.activated_ms.is_some(),
            _ => false,
        });
        if !takes_players {
            return Err(format!("{} was reserved in {session:?} because of {cause:?}", row.id));
        }
        if cause != Cause::Several && !session.and_then(|session| session.process).is_some_and(linked) {
            return Err(format!("{} was reserved on a server without a link", row.id));
        }
    }
    for (cause, (before, row)) in sessions(world) {
        let placed = row.status == GameSessionStatus::Activating
            && before.is_none_or(|before| before.process != row.process || before.attempt != row.attempt);
        if !placed {
            continue;
        }
        if cause != Cause::Several && !row.process.is_some_and(linked) {
            return Err(format!("{} was placed on {:?}, which has no link", row.id, row.process));
        }
        let on = processes(world).find(|(_, (_, process))| Some(process.id) == row.process);
        let from = on.and_then(|(_, (before, _))| before.map(|before| before.status));
        use ProcessStatus::{Connected, Hosting, Ready};
        if !matches!(from, Some(Ready | Connected | Hosting)) && cause != Cause::Several {
            return Err(format!("{} was placed on {:?}, which was {from:?}", row.id, row.process));
        }
        let process = row.process.and_then(|process| mem.processes.get(&process));
        if process.is_none_or(|process| process.ready_ms.is_none()) {
            return Err(format!("{} was placed on a server that never said ready: {process:?}", row.id));
        }
    }
    Ok(())
}

pub(super) fn ended_is_ended(world: &World) -> Checked {
    for (_, (before, row)) in processes(world) {
        if before.is_some_and(|before| before.status == ProcessStatus::Ended && before != row) {
            return Err(format!("{} had ended and became {row:?}", row.id));
        }
    }
    let from_older_link = world.log.changes.iter().find(|(cause, change)| {
        world.log.from_older_link
            && matches!(cause, Cause::Server(_) | Cause::Agent(_))
            && !matches!(change, Change::HighWater(..))
    });
    if let Some((cause, change)) = from_older_link {
        return Err(format!("{cause:?} on a link that was replaced changed {change:?}"));
    }
    for (cause, change) in &world.log.changes {
        let Cause::Server(process) = cause else { continue };
        let ended = world.coordinator.mem.processes.get(process).is_none_or(|row| row.status == ProcessStatus::Ended);
        let just_now = processes(world).any(|(_, (_, row))| row.id == *process);
        if ended && !just_now && !matches!(change, Change::Event(_) | Change::HighWater(..)) {
            return Err(format!("{process} has ended and changed {change:?}"));
        }
    }
    Ok(())
}

pub(super) fn own_records_only(world: &World) -> Checked {
    for output in &world.log.released {
        let Output::Welcome { link, role, .. } = output else { continue };
        let right = match (world.conns[link.0 as usize].peer, role) {
            (Peer::Server(server), Welcomed::Server { process, .. }) => world.servers[server].process == *process,
            (Peer::Agent(_), Welcomed::Agent { .. }) | (Peer::Backend(_), Welcomed::Backend | Welcomed::Operator) => {
                true
            }
            _ => false,
        };
        if !right {
            return Err(format!("{:?} is welcome as {role:?}", world.conns[link.0 as usize].peer));
        }
    }
    let before_of = |session| {
        let changed = sessions(world).find(|(_, (_, row))| row.id == session);
        let now = world.coordinator.mem.sessions.get(&session).and_then(|row| row.process);
        changed.map_or(now, |(_, (before, _))| before.and_then(|before| before.process))
    };
    for (cause, (_, row)) in players(world) {
        if let Cause::Server(process) = cause
            && before_of(row.game_session) != Some(process)
        {
            return Err(format!("{process} changed {} of {}", row.id, row.game_session));
        }
    }
    for (cause, (before, row)) in sessions(world) {
        let Cause::Server(process) = cause else { continue };
        let waited = before.is_some_and(|before| before.status == GameSessionStatus::Placing);
        if !waited && before.and_then(|before| before.process) != Some(process) {
            return Err(format!("{process} changed {}", row.id));
        }
    }
    for (cause, (before, row)) in processes(world) {
        let Cause::Server(process) = cause else { continue };
        // A session that waited, or a fleet that keeps fewer by now.
        let idle = before.is_some_and(|before| before.status == ProcessStatus::Ready);
        let surplus = row.drain.is_some_and(|drain| drain.reason == ProcessEnd::Stopped);
        let chosen = idle && (row.status == ProcessStatus::Hosting || row.status == ProcessStatus::Draining && surplus);
        let launched = before.is_none() && row.status == ProcessStatus::Launching;
        if row.id != process && !chosen && !launched {
            return Err(format!("{process} changed {}: {before:?} to {row:?}", row.id));
        }
    }
    Ok(())
}
