//! What dies, and what goes on: real processes, killed.

#![allow(clippy::unwrap_used)]

mod world;

use std::time::Duration;

use playgate_client::player::JoinError;
use playgate_client::{NewPlayerSessions, Operator, Until};
use playgate_protocol::agent::ExitStatus;
use playgate_protocol::api::{EventKind, GameSessionStatus, PlayerSessionStatus, ProcessStatus};
use playgate_protocol::reason::{ProcessEnd, SessionEnd};
use playgate_protocol::{GameSessionId, Ticket};
use world::*;

#[tokio::test]
async fn a_killed_coordinator_loses_nothing_and_players_join_meanwhile() {
    let (mut world, operator) = World::running(&fleet("processes_per_host = 1"), 1).await;
    let session = operator.create_game_session(new_session(4)).await.unwrap();
    let tickets = reserve(&operator, session.id, &["ann", "bob", "cid"]).await;
    let ann = join(&tickets[0]).await.unwrap();
    player_is(&operator, tickets[0].player_session, PlayerSessionStatus::Active).await;

    world.kill_coordinator();
    assert_eq!(ann.say("still here?").await, "ann: still here?");
    let bob = join(&tickets[1]).await.unwrap();
    assert_eq!(bob.say("me too").await, "bob: me too", "his ticket was issued before");
    let again = join(&tickets[0]).await.unwrap();
    assert_eq!(again.generation, 2, "and ann may reconnect");

    world.start_coordinator();
    let operator = world.operator().await;
    // What was acknowledged is there, what happened meanwhile is reported, and nobody sits on a slot twice.
    player_is(&operator, tickets[1].player_session, PlayerSessionStatus::Active).await;
    let info = session_is(&operator, session.id, |info| info.active == 2).await;
    assert_eq!((info.status, info.reserved), (GameSessionStatus::Active, 1));
    assert_eq!(operator.get_ticket(tickets[2].player_session).await.unwrap(), tickets[2], "byte for byte");
    let full = NewPlayerSessions::new(session.id).player("dan", b"").player("eve", b"");
    let error = until("the server is back", || async {
        let error = operator.create_player_sessions(full.clone()).await.unwrap_err();
        (error.code() != Some(playgate_protocol::api::ErrorCode::ServerUnavailable)).then_some(error)
    })
    .await;
    assert_eq!(error.code(), Some(playgate_protocol::api::ErrorCode::GameSessionFull));
    reserve(&operator, session.id, &["dan"]).await;
    join(&tickets[2]).await.unwrap();
    assert_eq!(world.processes(&operator).await.len(), 1, "no process was launched anew");
    assert!(events(&operator, EventKind::ProtocolViolation).await.is_empty());
}

#[tokio::test]
async fn a_coordinator_killed_again_and_again_keeps_its_word() {
    let (mut world, mut operator) = World::running(&fleet("processes_per_host = 1"), 1).await;
    let session = operator.create_game_session(new_session(2_000)).await.unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..4_usize {
        // Eight backends reserve one slot after the other; the coordinator dies while they do.
        let (told, mut heard) = tokio::sync::mpsc::channel(1_000);
        let backends: Vec<_> = (0..8)
            .map(|n| tokio::spawn(reserve_on(operator.clone(), session.id, format!("{round}-{n}"), told.clone())))
            .collect();
        for _ in 0..=round * 5 {
            heard.recv().await.unwrap();
        }
        drop(heard);
        world.kill_coordinator();
        world.start_coordinator();
        for backend in backends {
            acknowledged.extend(backend.await.unwrap());
        }
        operator = world.operator().await;
        session_is(&operator, session.id, |info| info.status == GameSessionStatus::Active).await;
        world.ready(&operator, 1).await;
    }
    assert_eq!(acknowledged.len(), 4 * 8 * 10);
    let info = operator.describe_game_session(session.id).await.unwrap();
    assert!(usize::from(info.reserved) >= acknowledged.len());
    for (name, ticket) in &acknowledged {
        let again = operator.get_ticket(ticket.player_session).await.unwrap();
        assert_eq!(&again, ticket, "an acknowledged reservation survives");
        let new = NewPlayerSessions::new(session.id).player(name, b"").idempotency_key(name);
        assert_eq!(operator.create_player_sessions(new).await.unwrap(), [again], "one key, one effect");
    }
}

/// Reserves ten slots, each under a key of its own; gives those that were acknowledged.
async fn reserve_on(
    operator: Operator,
    session: GameSessionId,
    name: String,
    told: tokio::sync::mpsc::Sender<()>,
) -> Vec<(String, Ticket)> {
    let mut acknowledged = Vec::new();
    for n in 0..10 {
        let name = format!("{name}-{n}");
        let new = NewPlayerSessions::new(session).player(&name, b"").idempotency_key(&name);
        // The client repeats the call while the coordinator is away, the test while the server is.
        let mut tickets = until("a slot", || async { operator.create_player_sessions(new.clone()).await.ok() }).await;
        secrets::know_ticket(&tickets[0]);
        acknowledged.push((name, tickets.remove(0)));
        let _ = told.try_send(());
    }
    acknowledged
}

#[tokio::test]
async fn a_killed_server_is_noticed_recorded_and_replaced() {
    let (mut world, operator) = World::running(&fleet("processes_per_host = 1"), 1).await;
    let session = operator.create_game_session(new_session(4)).await.unwrap();
    let tickets = reserve(&operator, session.id, &["ann"]).await;
    join(&tickets[0]).await.unwrap();
    let process = session.process.unwrap();
    let pid = world.process(&operator, process).await.pid.unwrap();
    kill(pid);
    let info = operator.await_game_session(session.id, Until::Terminated, PATIENCE).await.unwrap();
    assert_eq!(info.reason, Some(SessionEnd::ProcessEnded));
    let ended = world.process(&operator, process).await;
    assert_eq!((ended.reason, ended.exit), (Some(ProcessEnd::Crashed), Some(ExitStatus::Signal(9))));
    assert!(ended.output_tail.contains("ann is in"), "{:?}", ended.output_tail);
    player_is(&operator, tickets[0].player_session, PlayerSessionStatus::Completed).await;
    let replacement = &world.ready(&operator, 1).await[0];
    assert_ne!(replacement.id, process);
    let again = operator.create_game_session(new_session(4)).await.unwrap();
    assert_eq!(again.process, Some(replacement.id));
}

#[tokio::test]
async fn a_killed_agent_leaves_its_servers_which_are_adopted_and_still_stopped() {
    let (mut world, operator) = World::running(&fleet("processes_per_host = 2"), 2).await;
    let session = operator.create_game_session(new_session(4)).await.unwrap();
    let tickets = reserve(&operator, session.id, &["ann"]).await;
    let ann = join(&tickets[0]).await.unwrap();
    let before: Vec<_> = world.ready(&operator, 2).await.iter().map(|process| (process.id, process.pid)).collect();

    world.kill_agent();
    assert_eq!(ann.say("hello").await, "ann: hello");
    world.start_agent(&operator).await;
    let adopted = || async { (events(&operator, EventKind::ProcessAdopted).await.len() >= 2).then_some(()) };
    until("both are adopted", adopted).await;
    let after: Vec<_> = world.processes(&operator).await.iter().map(|process| (process.id, process.pid)).collect();
    assert_eq!(after, before, "nothing was launched twice");
    assert_eq!(ann.say("and now").await, "ann: and now");

    let (hosting, pid) =
        (session.process.unwrap(), world.process(&operator, session.process.unwrap()).await.pid.unwrap());
    operator.terminate_game_session(session.id, Duration::from_secs(5)).await.unwrap();
    let info = operator.await_game_session(session.id, Until::Terminated, PATIENCE).await.unwrap();
    assert_eq!(info.reason, Some(SessionEnd::Terminated));
    let gone = || async { (!is_alive(pid)).then_some(()) };
    until("the recycled process is gone", gone).await;
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let process = world.process(&operator, hosting).await;
        if process.status == ProcessStatus::Ended {
            break assert_eq!(process.reason, Some(ProcessEnd::Recycled));
        }
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_agent_that_is_told_to_stop_leaves_its_servers_running() {
    let (mut world, operator) = World::running(&fleet("processes_per_host = 1"), 1).await;
    let pid = world.ready(&operator, 1).await[0].pid.unwrap();
    world.stop_agent();
    assert!(is_alive(pid));
    world.start_agent(&operator).await;
    let adopted = || async { (!events(&operator, EventKind::ProcessAdopted).await.is_empty()).then_some(()) };
    until("it is adopted", adopted).await;
    assert!(is_alive(pid));
}

#[tokio::test]
async fn a_server_that_hangs_is_shown_and_ended_in_the_end() {
    let timeouts = "processes_per_host = 1\nunhealthy_timeout = \"1s\"\nstop_grace = \"200ms\"\nterm_grace = \"500ms\"";
    let (mut world, operator) = World::running(&fleet(timeouts), 1).await;
    let session = operator.create_game_session(new_session(4).property("behave", "hang")).await.unwrap();
    let process = session.process.unwrap();
    let shown = || async { (!events(&operator, EventKind::ProcessUnwell).await.is_empty()).then_some(()) };
    until("it is shown as unwell", shown).await;
    let info = operator.await_game_session(session.id, Until::Terminated, PATIENCE).await.unwrap();
    assert_eq!(info.reason, Some(SessionEnd::ProcessEnded));
    assert_eq!(world.process(&operator, process).await.reason, Some(ProcessEnd::Unhealthy));
}

#[tokio::test]
async fn a_coordinator_that_stood_still_blames_nobody() {
    let timeouts = "processes_per_host = 2\nactivation_timeout = \"4s\"\nunhealthy_timeout = \"1s\"";
    let (mut world, operator) = World::running(&fleet(timeouts), 2).await;
    let session = operator.create_game_session(new_session(4)).await.unwrap();
    let before: Vec<_> = world.processes(&operator).await.iter().map(|process| process.id).collect();
    // Longer than the silence after which a server is unwell, and its timeout on top of that.
    world.suspend_coordinator(Duration::from_secs(6)).await;
    // The peers gave it up and dial again; players' slots are sold once their server is back.
    let ann = NewPlayerSessions::new(session.id).player("ann", b"");
    let reserved = || async { operator.create_player_sessions(ann.clone()).await.ok() };
    let tickets = until("the server is back", reserved).await;
    join(&tickets[0]).await.unwrap();
    player_is(&operator, tickets[0].player_session, PlayerSessionStatus::Active).await;
    assert_eq!(events(&operator, EventKind::ProcessUnwell).await, [""; 0]);
    let after: Vec<_> = world.processes(&operator).await.iter().map(|process| process.id).collect();
    assert_eq!(after, before, "nothing was replaced");
}

#[tokio::test]
async fn a_session_that_ignores_its_end_is_ended_by_force() {
    let timeouts = "processes_per_host = 1\nstop_grace = \"200ms\"\nterm_grace = \"5s\"";
    let (mut world, operator) = World::running(&fleet(timeouts), 1).await;
    let session = operator.create_game_session(new_session(4).property("behave", "ignore")).await.unwrap();
    operator.terminate_game_session(session.id, Duration::from_millis(300)).await.unwrap();
    let info = operator.await_game_session(session.id, Until::Terminated, PATIENCE).await.unwrap();
    assert_eq!(info.reason, Some(SessionEnd::ForceTerminated));
    let process = world.process(&operator, session.process.unwrap()).await;
    assert_eq!(process.exit, Some(ExitStatus::Signal(15)), "SIGTERM was enough");
}

#[tokio::test]
async fn a_server_that_never_activates_is_replaced_within_the_request() {
    let timeouts = "processes_per_host = 2\nactivation_timeout = \"1s\"";
    let (mut world, operator) = World::running(&fleet(timeouts), 2).await;
    let new = new_session(4).property("behave", "never-activate").placement_timeout(Duration::from_secs(20));
    let error = operator.create_game_session(new).await.unwrap_err();
    assert_eq!(error.code(), Some(playgate_protocol::api::ErrorCode::GameSessionActivationFailed));
    let failed = world.processes(&operator).await;
    let failed = failed.iter().filter(|process| process.reason == Some(ProcessEnd::ActivationTimeout)).count();
    assert!(failed >= 2, "{failed} of three were ended by now");
    operator.create_game_session(new_session(4)).await.unwrap();
}

#[tokio::test]
async fn late_tickets_full_sessions_and_revoked_players_are_refused_by_the_server_itself() {
    let (_world, operator) = World::running(&fleet("processes_per_host = 1"), 1).await;
    let session = operator.create_game_session(new_session(2)).await.unwrap();
    let short = NewPlayerSessions::new(session.id).player("late", b"").reservation(Duration::from_secs(1));
    let late = operator.create_player_sessions(short).await.unwrap();
    player_is(&operator, late[0].player_session, PlayerSessionStatus::TimedOut).await;
    let refused = |outcome: Result<Player, JoinError>| matches!(outcome, Err(JoinError::Refused { .. }));
    assert!(refused(join(&late[0]).await), "the reservation has expired");

    let tickets = reserve(&operator, session.id, &["ann", "bob"]).await;
    let ann = join(&tickets[0]).await.unwrap();
    for ticket in &tickets {
        let info = operator.revoke_player_session(ticket.player_session, PATIENCE).await.unwrap();
        assert_eq!(info.status, PlayerSessionStatus::Completed);
        assert!(refused(join(ticket).await), "revoked, used or not");
    }
    ann.socket.send_to(b"am I in?", ann.server).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_millis(300), ann.heard()).await;
    assert!(answer.is_err(), "the game removed her");
    assert_eq!(operator.describe_game_session(session.id).await.unwrap().active, 0);
}
