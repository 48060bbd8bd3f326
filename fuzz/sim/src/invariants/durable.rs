//! What holds of the disk: nothing is said that is not on it, and nothing that was said is lost.

use playgate_core::limits::{IDEMPOTENCY_MS, PLAYER_RETENTION_MS, PROCESS_RETENTION_MS, SESSION_RETENTION_MS};
use playgate_core::rows::{GameSessionRow, Identity, ProcessRow};
use playgate_core::{Output, Welcomed};
use playgate_protocol::api::{Answer, GameSessionStatus, PlayerSessionStatus, ProcessStatus};
use playgate_protocol::server::ServerDown;

use super::reports::host_id;
use crate::coordinator::{ENDED_PROCESSES_MAX, ENDED_SESSIONS_MAX};
use crate::disk::Change;
use crate::world::World;

type Checked = Result<(), String>;

fn session_rank(status: GameSessionStatus) -> u8 {
    match status {
        GameSessionStatus::Placing | GameSessionStatus::Activating => 0,
        GameSessionStatus::Active => 1,
        GameSessionStatus::Terminating => 2,
        GameSessionStatus::Terminated => 3,
    }
}

fn player_rank(status: PlayerSessionStatus) -> u8 {
    match status {
        PlayerSessionStatus::Reserved => 0,
        PlayerSessionStatus::Active => 1,
        PlayerSessionStatus::Completed | PlayerSessionStatus::TimedOut => 2,
    }
}

pub(super) fn acknowledged_facts_survive(world: &World) -> Checked {
    let now = world.coordinator.clock.now_ms();
    for (_, change) in &world.log.changes {
        let (id, kept_until) = match change {
            Change::Session(Some(row), None) => {
                let ended = |row: &GameSessionRow| row.terminated_ms.map(|at| (at, row.id));
                let newer = world.coordinator.mem.sessions.values().filter(|other| ended(other) > ended(row)).count();
                let retention = if newer >= ENDED_SESSIONS_MAX { IDEMPOTENCY_MS } else { SESSION_RETENTION_MS };
                (row.id.to_string(), row.terminated_ms.map(|at| at + retention))
            }
            Change::Player(Some(row), None) if !world.coordinator.mem.sessions.contains_key(&row.game_session) => {
                continue;
            }
            Change::Player(Some(row), None) => (row.id.to_string(), row.ended_ms.map(|at| at + PLAYER_RETENTION_MS)),
            Change::Process(Some(row), None) => {
                // Where many end in one batch, the oldest of them leave in it: what was before had not ended.
                let ended = |row: &ProcessRow| row.ended_ms.map(|at| (at, row.id));
                let newer = world.coordinator.mem.processes.values().filter(|other| ended(other) > ended(row)).count();
                let retention = if newer >= ENDED_PROCESSES_MAX { 0 } else { PROCESS_RETENTION_MS };
                (row.id.to_string(), Some(row.ended_ms.unwrap_or(now) + retention))
            }
            _ => continue,
        };
        if kept_until.is_none_or(|until| until > now) {
            return Err(format!("{id} was forgotten at {now}, kept until {kept_until:?}"));
        }
    }
    if !world.log.recovered {
        return Ok(());
    }
    let mem = &world.coordinator.mem;
    let forgotten = |id: &[u8; 16]| world.ledger.forgotten.contains(id);
    for made in world.ledger.created.values() {
        if !mem.sessions.contains_key(&made.session) && !forgotten(made.session.as_bytes()) {
            return Err(format!("{} was answered and is lost", made.session));
        }
    }
    for (player, issued) in &world.ledger.issued {
        if !mem.players.contains_key(player) && !forgotten(player.as_bytes()) && !forgotten(issued.session.as_bytes()) {
            return Err(format!("{player} has a ticket and is lost"));
        }
    }
    for (process, acked) in &world.ledger.acked {
        if mem.processes.get(process).is_some_and(|row| row.applied_seq < *acked) {
            return Err(format!("{process}: report {acked} was acknowledged and is lost"));
        }
    }
    Ok(())
}

pub(super) fn tickets_are_durable(world: &World) -> Checked {
    for output in &world.log.released {
        let Output::Server(_, ServerDown::Wanted(wanted)) = output else { continue };
        if let Some(key) = wanted.keys.iter().find(|key| !world.keys.holds(key.key_id)) {
            return Err(format!("key {} was withdrawn and a server is told to take it", key.key_id));
        }
    }
    for (_, change) in &world.log.changes {
        let Change::Player(None, Some(row)) = change else { continue };
        if !world.keys.holds(row.key_id) {
            return Err(format!("{} is reserved under key {}, which was withdrawn", row.id, row.key_id));
        }
    }
    for output in &world.log.released {
        let Output::Tickets { orders, .. } = output else { continue };
        for order in orders {
            let told = &order.player_session;
            let forgotten = |id: &[u8; 16]| world.ledger.forgotten.contains(id);
            if forgotten(told.id.as_bytes()) || forgotten(told.game_session.as_bytes()) {
                continue; // over, and even that was long ago, before its ticket left
            }
            let kept = world.coordinator.disk.players.get(&told.id);
            let same = kept.is_some_and(|kept| {
                let of = |row: &playgate_core::rows::PlayerSessionRow| {
                    (row.game_session, row.ordinal, row.key_id, row.gate_epoch, row.created_ms, row.expires_at_ms)
                };
                of(kept) == of(told) && player_rank(kept.status) >= player_rank(told.status)
            });
            if !same {
                return Err(format!("a ticket of {told:?} leaves; on the disk is {kept:?}"));
            }
            let session = world.coordinator.disk.sessions.get(&told.game_session);
            if session.is_none_or(|session| session.ordinal_high <= told.ordinal || session.process.is_none()) {
                return Err(format!("a ticket of {} leaves; on the disk is {session:?}", told.id));
            }
            let issued = world.ledger.issued.get(&told.id);
            if issued.is_some_and(|issued| issued.process != order.process || issued.ordinal != told.ordinal) {
                return Err(format!("the ticket of {} was {issued:?} and is now for {}", told.id, order.process));
            }
        }
    }
    for ticket in &world.log.tickets {
        let issued = world.ledger.issued.get(&ticket.player_session);
        if issued.is_some_and(|issued| issued.token != ticket.token.to_vec()) {
            return Err(format!("the ticket of {} was made again with other bytes", ticket.player_session));
        }
    }
    Ok(())
}

pub(super) fn replies_imply_durable(world: &World) -> Checked {
    let disk = &world.coordinator.disk;
    // What is long over may have been forgotten in the very batch behind which this leaves.
    let forgotten = |id: &[u8; 16]| world.ledger.forgotten.contains(id);
    for output in &world.log.released {
        let durable = match output {
            Output::Answer { outcome: Ok(answer), .. } => answer_is_durable(world, answer),
            Output::Welcome { role: Welcomed::Server { process, .. }, .. } if forgotten(process.as_bytes()) => true,
            Output::Welcome { role: Welcomed::Server { process, applied_seq, .. }, .. } => {
                let bound = disk.peers.values().any(|peer| *peer == Identity::Server(*process));
                bound && disk.processes.get(process).is_some_and(|row| row.applied_seq >= *applied_seq)
            }
            Output::Welcome { role: Welcomed::Agent { host, applied_seq }, .. } => {
                let bound = disk.peers.values().any(|peer| *peer == Identity::Agent(*host));
                bound && disk.hosts.get(host).is_some_and(|row| row.applied_seq >= *applied_seq)
            }
            Output::Server(_, ServerDown::Wanted(wanted)) => {
                let keys = wanted.keys.iter().all(|key| disk.signing.contains_key(&key.key_id));
                let kept = wanted.session.as_ref().filter(|wanted| !forgotten(wanted.id.as_bytes()));
                let session = kept.is_none_or(|wanted| {
                    let row = disk.sessions.get(&wanted.id);
                    row.is_some_and(|row| {
                        row.attempt >= wanted.attempt && row.end_by_ms.is_some() >= wanted.end_by_ms.is_some()
                    }) && wanted.revoked.iter().all(|revoked| {
                        disk.players
                            .get(&revoked.player_session)
                            .map_or(forgotten(revoked.player_session.as_bytes()), |row| {
                                row.revoking || row.ended_ms.is_some()
                            })
                    })
                });
                keys && session
            }
            _ => true,
        };
        if !durable {
            return Err(format!("this leaves and is not durable: {}", crate::ledger::brief_output(output)));
        }
    }
    Ok(())
}

fn answer_is_durable(world: &World, answer: &Answer) -> bool {
    let disk = &world.coordinator.disk;
    match answer {
        Answer::GameSession(info) => match disk.sessions.get(&info.id) {
            Some(row) => session_rank(row.status) >= session_rank(info.status) && row.attempt >= info.attempt,
            None => world.ledger.forgotten.contains(info.id.as_bytes()),
        },
        Answer::PlayerSessions(infos) => infos.iter().all(|info| {
            let row = disk.players.get(&info.id);
            row.is_none_or(|row| {
                player_rank(row.status) >= player_rank(info.status)
                    && (row.revoking || row.ended_ms.is_some() || !info.revoking)
            })
        }),
        Answer::Processes(infos) => infos.iter().all(|info| {
            let row = disk.processes.get(&info.id);
            row.is_none_or(|row| info.status != ProcessStatus::Ended || row.status == ProcessStatus::Ended)
        }),
        _ => true,
    }
}

pub(super) fn time_goes_on(world: &World) -> Checked {
    for (_, change) in &world.log.changes {
        match change {
            Change::HighWater(before, after) if after < before => {
                return Err(format!("the high-water mark went from {before} to {after}"));
            }
            Change::Player(None, Some(row)) if row.created_ms < world.ledger.issued_ms => {
                return Err(format!(
                    "{} is issued at {}, a ticket before was at {}",
                    row.id, row.created_ms, world.ledger.issued_ms
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn orders_fit(world: &World) -> Checked {
    for (_, change) in &world.log.changes {
        let Change::Player(Some(before), Some(row)) = change else { continue };
        let session = world.coordinator.mem.sessions.get(&row.game_session);
        let link = session.and_then(|session| world.coordinator.linked.get(&session.process?));
        let link = link.filter(|link| world.coordinator.links.contains(link));
        if !before.revoking && row.revoking && link.is_some_and(|link| !world.log.wanted.contains(link)) {
            return Err(format!("{} is revoked and its server is not told", row.id));
        }
    }
    let disk = &world.coordinator.disk;
    for (cause, change) in &world.log.changes {
        let Change::Process(Some(before), Some(row)) = change else { continue };
        let given_up = *cause == crate::ledger::Cause::Timer
            && before.ended_ms.is_none()
            && row.reason == Some(playgate_protocol::reason::ProcessEnd::Lost);
        let host = (0..world.hosts.len()).find(|host| host_id(world, *host) == row.host);
        let linked = host.is_some_and(|host| agent_is_linked(world, host));
        if given_up && linked && !world.log.stops.contains(&row.id) {
            return Err(format!("{} is given up and its agent is not told to stop it", row.id));
        }
    }
    for output in &world.log.released {
        let fits = match output {
            Output::Launch { process, .. } => {
                disk.processes.contains_key(process) || world.ledger.forgotten.contains(process.as_bytes())
            }
            Output::Stop { process, .. } => {
                disk.processes.get(process).is_none_or(|row| row.drain.is_some() || row.ended_ms.is_some())
            }
            _ => true,
        };
        if !fits {
            return Err(format!("ordered without a reason on the disk: {}", crate::ledger::brief_output(output)));
        }
    }
    Ok(())
}

/// The coordinator has welcomed the agent, and has not heard that its link is over.
fn agent_is_linked(world: &World, host: usize) -> bool {
    let conn = world.hosts[host].link();
    conn.is_some_and(|conn| world.coordinator.links.contains(&playgate_core::LinkId(conn as u64)))
}
