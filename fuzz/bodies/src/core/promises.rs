//! What leaves is on the disk, and what is listed is what there is.

use playgate_core::fleet::RelayMode;
use playgate_core::rows::{Identity, RelayRow};
use playgate_core::{Output, TicketOrder};
use playgate_protocol::api::{Answer, BackendCall, GameSessionInfo, OperatorCall};
use playgate_protocol::server::ServerDown;
use playgate_sim::disk::Image;

use super::facts::Facts;

/// An output leaves: what it says must survive the loss of everything but the disk.
pub(super) fn judge(output: &Output, to: Option<Identity>, disk: &Image) {
    match (output, to) {
        (Output::Welcome { .. }, Some(identity)) => {
            assert!(disk.peers.values().any(|bound| *bound == identity), "{identity:?} is welcome and not on the disk");
        }
        (Output::Server(_, ServerDown::ReportAck { through_seq }), Some(Identity::Server(process))) => {
            let kept = disk.processes.get(&process).map(|row| row.applied_seq);
            assert!(kept.is_none_or(|kept| kept >= *through_seq), "{through_seq} is acknowledged and {kept:?} kept");
        }
        (Output::AgentAck { through_seq, .. }, Some(Identity::Agent(host))) => {
            let kept = disk.hosts[&host].applied_seq;
            assert!(kept >= *through_seq, "{through_seq} is acknowledged and {kept} kept");
        }
        (Output::Launch { process, .. }, _) => {
            assert!(disk.processes.contains_key(process), "{process} is launched and not on the disk");
        }
        (Output::Answer { outcome: Ok(Answer::GameSession(info)), .. }, _) => {
            assert!(disk.sessions.contains_key(&info.id), "{} is told of and not on the disk", info.id);
        }
        (Output::Tickets { orders, .. }, _) => {
            for row in orders.iter().map(|order| &order.player_session) {
                let kept = disk.players.get(&row.id);
                let ticket = |row: &playgate_core::rows::PlayerSessionRow| {
                    (row.ordinal, row.key_id, row.gate_epoch, row.created_ms, row.expires_at_ms)
                };
                assert_eq!(kept.map(ticket), Some(ticket(row)), "a ticket leaves that could not be made again");
            }
        }
        _ => {}
    }
}

/// An answer to a call of this very turn.
pub(super) fn judge_answer(call: &OperatorCall, answer: &Answer, mem: &Image, facts: &Facts) {
    match (call, answer) {
        (OperatorCall::Backend(call), answer) => judge_backend(call, answer, mem, facts),
        (OperatorCall::ListProcesses { fleet, after }, Answer::Processes(page)) => {
            let all = mem.processes.values().filter(|row| {
                fleet.as_ref().is_none_or(|fleet| row.fleet == *fleet) && after.is_none_or(|after| row.id > after)
            });
            let all = all.map(|row| (row.id, row.status, row.session, row.ended_ms));
            same_page(page.iter().map(|info| (info.id, info.status, info.session, info.ended_ms)), all, 24);
        }
        (OperatorCall::StopProcess { process, .. }, Answer::Processes(page)) => {
            same_page(page.iter().map(|info| info.id), [*process].into_iter(), 1);
        }
        (OperatorCall::ListFleets | OperatorCall::SetProcessesPerHost { .. }, Answer::Fleets(page)) => {
            let all = mem.fleets.values().map(|fleet| (fleet.name.clone(), fleet.processes_per_host));
            same_page(page.iter().map(|info| (info.id.clone(), info.processes_per_host)), all, 64);
        }
        (OperatorCall::ListRelays, Answer::Relays(page)) => {
            let is_up = |relay| facts.links.values().any(|identity| *identity == Identity::Relay(relay));
            let of = |row: &RelayRow| (row.id, row.addresses.clone(), row.secret, is_up(row.id));
            same_page(
                page.iter().map(|info| (info.id, info.addresses.clone(), info.secret, info.connected)),
                mem.relays.values().map(of),
                64,
            );
        }
        (OperatorCall::RotateRelaySecret { relay }, Answer::Done) => {
            assert!(mem.relays[relay].secret > 1, "a secret was not made");
        }
        (OperatorCall::ListHosts, Answer::Hosts(page)) => {
            let is_up = |host| facts.links.values().any(|identity| *identity == Identity::Agent(host));
            let all = mem.hosts.values().map(|row| (row.id, is_up(row.id), row.capacity));
            same_page(page.iter().map(|info| (info.id, info.connected, info.capacity)), all, 64);
        }
        (OperatorCall::ListEvents { after }, Answer::Events(page)) => {
            let all = mem.events.range(after.saturating_add(1)..).map(|(_, event)| event);
            if *after < u64::MAX {
                same_page(page.iter(), all, 64);
            }
        }
        (OperatorCall::CreateJoinKey(create), Answer::Done) => {
            let kept = mem.join_keys.get(&create.secret_sha256);
            assert_eq!(kept.map(|key| (key.role, key.uses_left)), Some((create.role, create.uses)));
        }
        other => panic!("an answer to something else: {other:?}"),
    }
}

fn judge_backend(call: &BackendCall, answer: &Answer, mem: &Image, facts: &Facts) {
    match (call, answer) {
        (BackendCall::CreateGameSession(create), Answer::GameSession(info)) => {
            judge_info(info, mem, facts);
            let key = (create.fleet.clone(), create.idempotency_key.as_str().to_owned());
            assert_eq!(facts.session_keys.get(&key).map(|(_, id)| *id), Some(info.id), "another session");
        }
        (
            BackendCall::DescribeGameSession { session }
            | BackendCall::TerminateGameSession { session, .. }
            | BackendCall::AwaitGameSession { session, .. },
            Answer::GameSession(info),
        ) => {
            assert_eq!(info.id, *session);
            judge_info(info, mem, facts);
        }
        (BackendCall::ListGameSessions { fleet, after }, Answer::GameSessions(page)) => {
            page.iter().for_each(|info| judge_info(info, mem, facts));
            let all = mem.sessions.values().filter(|row| {
                fleet.as_ref().is_none_or(|fleet| row.fleet == *fleet) && after.is_none_or(|after| row.id > after)
            });
            same_page(page.iter().map(|info| info.id), all.map(|row| row.id), 24);
        }
        (BackendCall::ListPlayerSessions { session, after }, Answer::PlayerSessions(page)) => {
            let all = mem.players.values().filter(|row| row.game_session == *session);
            let all = all.filter(|row| after.is_none_or(|after| row.id > after));
            let all = all.map(|row| (row.id, &row.player, row.status, row.revoking, row.ended_ms));
            let said = page.iter().map(|info| (info.id, &info.player, info.status, info.revoking, info.ended_ms));
            same_page(said, all, 64);
        }
        (
            BackendCall::DescribePlayerSession { player_session }
            | BackendCall::RevokePlayerSession { player_session, .. },
            Answer::PlayerSessions(page),
        ) => same_page(page.iter().map(|info| info.id), [*player_session].into_iter(), 1),
        other => panic!("an answer to something else: {other:?}"),
    }
}

/// A ticket is made of what its row says, for where its session is.
pub(super) fn judge_order(order: &TicketOrder, mem: &Image, facts: &Facts) {
    let row = &order.player_session;
    assert_eq!(mem.players.get(&row.id), Some(row), "a ticket is not what its row says");
    assert_eq!(mem.sessions[&row.game_session].process, Some(order.process), "a ticket for another process");
    assert_eq!(mem.processes[&order.process].address, Some(order.address), "a ticket leads elsewhere");
    let mode = mem.fleets[&mem.sessions[&row.game_session].fleet].relay;
    assert_eq!(order.is_direct, mode != RelayMode::Required, "the server's address is shown, or is not");
    assert_eq!(order.relay.is_some(), mode != RelayMode::Off && facts.has_relay(mem), "{:?}", order.relay);
    if let Some(relay) = &order.relay {
        let known = &mem.relays[&relay.relay];
        assert_eq!(relay.addresses, known.addresses);
        assert!(relay.secret == known.secret || relay.secret + 1 == known.secret, "{relay:?} of {known:?}");
        assert!(relay.use_by_ms >= row.expires_at_ms && relay.valid_until_ms >= relay.use_by_ms, "{relay:?}");
    }
}

/// What is said of a session is what its row and its slots are.
fn judge_info(info: &GameSessionInfo, mem: &Image, facts: &Facts) {
    let row = &mem.sessions[&info.id];
    let of_it = || facts.slots.values().filter(|slot| slot.session == info.id);
    let (active, reserved) =
        (of_it().filter(|slot| slot.is_active).count(), of_it().filter(|slot| !slot.is_active).count());
    assert_eq!((usize::from(info.active), usize::from(info.reserved)), (active, reserved), "{info:?}");
    assert_eq!(
        (info.status, info.process, info.attempt, info.reason, info.max_players),
        (row.status, row.process, row.attempt, row.reason, row.max_players)
    );
}

/// Only a page of answers.
fn same_page<T: PartialEq + std::fmt::Debug>(said: impl Iterator<Item = T>, all: impl Iterator<Item = T>, page: usize) {
    assert_eq!(said.collect::<Vec<_>>(), all.take(page).collect::<Vec<_>>(), "a page leaves out or adds");
}
