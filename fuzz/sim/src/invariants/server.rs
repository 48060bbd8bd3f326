//! What holds on servers and hosts.

use playgate_protocol::api::GameSessionStatus;

use crate::disk::{Change, Image};
use crate::host::CAPACITY;
use crate::ledger::Entry;
use crate::world::World;

type Checked = Result<(), String>;

pub(super) fn never_oversold(world: &World) -> Checked {
    for Entry { server, player, .. } in &world.log.entries {
        let Some(gate) = &world.servers[*server].gate else { continue };
        let issued = world.ledger.issued.get(player).ok_or(format!("{player} got in without a ticket"))?;
        let most = world.ledger.max_players.get(&issued.session).copied().unwrap_or(0);
        let told = world.servers[*server].wanted.as_ref().and_then(|wanted| wanted.session.as_ref());
        let most = most.min(told.map_or(0, |session| session.max_players));
        if gate.active_players() > usize::from(most) {
            return Err(format!(
                "{} players of at most {most} in {} on server {server}",
                gate.active_players(),
                issued.session
            ));
        }
    }
    Ok(())
}

pub(super) fn slots_are_held(world: &World) -> Checked {
    for Entry { server, player, .. } in &world.log.entries {
        let (Some(gate), Some(issued)) = (&world.servers[*server].gate, world.ledger.issued.get(player)) else {
            continue;
        };
        let mem = &world.coordinator.mem;
        let Some(session) = mem.sessions.get(&issued.session) else { continue };
        if session.status == GameSessionStatus::Terminated {
            continue; // A server that was cut off does not know yet.
        }
        let held = mem.players.values().filter(|row| row.game_session == session.id && Image::holds_slot(row)).count();
        if gate.active_players() > held {
            return Err(format!("{} players are in {}, {held} slots are held", gate.active_players(), session.id));
        }
    }
    Ok(())
}

pub(super) fn admitted_once(world: &World) -> Checked {
    for Entry { server, player, generation, .. } in &world.log.entries {
        match world.ledger.admitted.get(player) {
            None if *generation == 1 => {}
            Some(before) if before.server == *server && *generation > before.generation && *generation > 1 => {}
            before => {
                return Err(format!("{player} got in on server {server}, generation {generation}, behind {before:?}"));
            }
        }
    }
    Ok(())
}

pub(super) fn tokens_in_time_and_place(world: &World) -> Checked {
    for entry in &world.log.entries {
        let server = &world.servers[entry.server];
        let player = entry.player;
        let issued = world.ledger.issued.get(&player).ok_or(format!("{player} got in without a ticket"))?;
        if issued.process != server.process {
            return Err(format!("the token of {player} is for {}, not for {}", issued.process, server.process));
        }
        let wanted = server.wanted.as_ref().and_then(|wanted| wanted.session.as_ref());
        if wanted.is_none_or(|wanted| wanted.id != issued.session) || server.hosts != Some(issued.session) {
            return Err(format!("{player} got into {}, which server {} does not host", issued.session, entry.server));
        }
        if entry.generation > 1 {
            continue;
        }
        let keys = server.wanted.as_ref().map(|wanted| &wanted.keys);
        if !keys.is_some_and(|keys| keys.iter().any(|key| key.key_id == issued.key_id)) {
            return Err(format!(
                "{player} got in under key {}, which server {} was told to forget",
                issued.key_id, entry.server
            ));
        }
        let floor = world.ledger.floors.get(&entry.server).copied().unwrap_or(0);
        if issued.expires_ms <= entry.server_ms.max(floor) {
            let now = entry.server_ms;
            return Err(format!(
                "{player} got in at {now} above floor {floor}; the token was good until {}",
                issued.expires_ms
            ));
        }
        let row = world.coordinator.mem.players.get(&player);
        let session = world.coordinator.mem.sessions.get(&issued.session);
        let goes_on = session.is_some_and(|session| session.status != GameSessionStatus::Terminated);
        if goes_on && row.is_none_or(|row| !Image::holds_slot(row)) {
            return Err(format!("{player} got in although his slot was freed: {row:?}"));
        }
    }
    for (_, change) in &world.log.changes {
        let Change::Player(Some(before), Some(row)) = change else { continue };
        let Some(admitted) = world.ledger.admitted.get(&row.id) else { continue };
        let freed_unused = Image::holds_slot(before) && !Image::holds_slot(row) && row.joined_ms.is_none();
        let session = world.coordinator.mem.sessions.get(&row.game_session);
        let goes_on = session.is_some_and(|session| session.status != GameSessionStatus::Terminated);
        if freed_unused && goes_on && !world.servers[admitted.server].is_byzantine {
            return Err(format!("the slot of {} was freed as unused although he got in: {row:?}", row.id));
        }
    }
    Ok(())
}

pub(super) fn revoked_stay_out(world: &World) -> Checked {
    for Entry { server, player, genuine, proof, .. } in &world.log.entries {
        if world.ledger.used_proofs.contains(proof) {
            return Err(format!("{player} got in twice on server {server} by one and the same proof"));
        }
        if world.ledger.revoked.contains(player) {
            return Err(format!("{player} got in on server {server} although his revocation was answered"));
        }
        if !genuine {
            return Err(format!("{player} got in on server {server} by a datagram that he did not make"));
        }
    }
    Ok(())
}

pub(super) fn no_amplification(world: &World) -> Checked {
    match world.log.echoes.iter().find(|(request, reply)| reply > request) {
        Some((request, reply)) => Err(format!("{reply} bytes answered {request}")),
        None => Ok(()),
    }
}

pub(super) fn processes_are_claimed(world: &World) -> Checked {
    if let Some(process) = world.log.spawned.iter().find(|process| world.ledger.spawns.contains_key(process)) {
        return Err(format!("{process} was started twice"));
    }
    for (at, host) in world.hosts.iter().enumerate() {
        let mut count = 0;
        let mut ports = [false; 32];
        for server in world.running_on(at) {
            let server = &world.servers[server];
            count += 1;
            if !host.disk.records.contains_key(&server.process) {
                return Err(format!("{} runs on host {at} without a record", server.process));
            }
            if let Some(port) = ports.get_mut(usize::from(server.port.wrapping_sub(7_000)))
                && std::mem::replace(port, true)
            {
                return Err(format!("port {} was given twice on host {at}", server.port));
            }
        }
        if count > CAPACITY {
            return Err(format!("host {at} runs {count} processes"));
        }
    }
    Ok(())
}
