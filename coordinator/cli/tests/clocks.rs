//! Clocks that are an hour off, on any machine: games go on.
//!
//! The wall clock of one program is moved by libfaketime (Debian: `faketime`). Where that is not installed the tests
//! say so and skip; CI installs it.

#![allow(clippy::unwrap_used)]

mod world;

use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use playgate_client::Operator;
use playgate_protocol::api::{EventKind, GameSessionInfo, GameSessionStatus, PlayerSessionStatus};
use playgate_protocol::{GameSessionId, Ticket};
use world::*;

const AHEAD: &str = "+1h";
const BEHIND: &str = "-1h";
const MINUTE_MS: u64 = 60_000;

/// The variables that move the wall clock of a program, and leave its other clocks alone.
fn off_by(offset: &str) -> Option<Vec<(String, String)>> {
    let library = fs::read_dir("/usr/lib").ok()?.flatten().find_map(|directory| {
        let library = directory.path().join("faketime/libfaketimeMT.so.1");
        library.exists().then(|| library.display().to_string())
    });
    let Some(library) = library else {
        static SKIPPED: AtomicU32 = AtomicU32::new(0);
        let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
        // Past the capture of output: a test that did not run must not look like one that did.
        let _ = writeln!(std::io::stderr(), "SKIPPED {count}: libfaketime is not installed (apt-get install faketime)");
        return None;
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Some(vec![pair("LD_PRELOAD", &library), pair("FAKETIME", offset), pair("FAKETIME_DONT_FAKE_MONOTONIC", "1")])
}

fn toml_table(env: &[(String, String)]) -> String {
    let pairs: Vec<String> = env.iter().map(|(name, value)| format!("{name} = \"{value}\"")).collect();
    format!("env = {{ {} }}", pairs.join(", "))
}

/// Events of all kinds, which must be dated in their order.
async fn dated_in_order(operator: &Operator) -> u64 {
    let (mut after, mut latest) = (0, 0);
    loop {
        let page = operator.list_events(after).await.unwrap();
        let Some(last) = page.last() else { return latest };
        after = last.seq;
        for event in &page {
            assert!(event.at_ms >= latest, "{event:?} is dated before {latest}");
            latest = event.at_ms;
        }
    }
}

/// Reserves as soon as the server is back.
async fn reserve_again(operator: &Operator, session: GameSessionId, player: &str) -> Ticket {
    let new = playgate_client::NewPlayerSessions::new(session).player(player, b"");
    let ticket = until("a slot", || async { operator.create_player_sessions(new.clone()).await.ok() }).await.remove(0);
    secrets::know_ticket(&ticket);
    ticket
}

async fn a_whole_story(operator: &Operator) -> GameSessionInfo {
    let session = operator.create_game_session(new_session(4)).await.unwrap();
    let ticket = reserve_again(operator, session.id, "zoe").await;
    let zoe = join(&ticket).await.unwrap();
    assert_eq!(zoe.say("hi").await, "zoe: hi");
    player_is(operator, ticket.player_session, PlayerSessionStatus::Active).await;
    session
}

/// The coordinator is restarted with its wall clock off, and once more with the right one.
async fn a_coordinator_restarted(offset: &str, told: &str) {
    let Some(env) = off_by(offset) else { return };
    let (mut world, operator) = World::running(&fleet("processes_per_host = 2"), 2).await;
    let session = operator.create_game_session(new_session(9)).await.unwrap();
    let tickets = reserve(&operator, session.id, &["ann", "bob", "cid"]).await;
    let ann = join(&tickets[0]).await.unwrap();
    player_is(&operator, tickets[0].player_session, PlayerSessionStatus::Active).await;
    let before = dated_in_order(&operator).await;

    world.stop_coordinator();
    world.coordinator_env = env;
    world.start_coordinator();
    let operator = world.operator().await;
    world.ready(&operator, 2).await;
    let skew = || async { events(&operator, EventKind::ClockSkew).await.into_iter().next() };
    let skew = until("the skew is told", skew).await;
    assert!(skew.contains(told) && skew.contains("check the time service"), "{skew}");
    assert_eq!(ann.say("still here?").await, "ann: still here?");
    let bob = join(&tickets[1]).await.expect("his ticket was issued before");
    assert_eq!(bob.say("me too").await, "bob: me too");
    let dan = reserve_again(&operator, session.id, "dan").await;
    join(&dan).await.expect("his was issued after");
    session_is(&operator, session.id, |info| info.active == 3 && info.reserved == 1).await;
    let story = a_whole_story(&operator).await;
    let meanwhile = dated_in_order(&operator).await;
    assert!((before..before + MINUTE_MS).contains(&meanwhile), "time goes on as it did: {before}, {meanwhile}");

    world.kill_coordinator();
    world.coordinator_env.clear();
    world.start_coordinator();
    let operator = world.operator().await;
    world.ready(&operator, 2).await;
    join(&tickets[2]).await.expect("two restarts later");
    session_is(&operator, session.id, |info| info.active == 4).await;
    session_is(&operator, story.id, |info| info.status == GameSessionStatus::Active).await;
    let after = dated_in_order(&operator).await;
    assert!((meanwhile..meanwhile + MINUTE_MS).contains(&after));
    assert!(events(&operator, EventKind::ProtocolViolation).await.is_empty());
}

#[tokio::test]
async fn a_coordinator_restarted_with_its_clock_an_hour_behind_goes_on() {
    a_coordinator_restarted(BEHIND, "behind").await;
}

#[tokio::test]
async fn a_coordinator_restarted_with_its_clock_an_hour_ahead_goes_on() {
    a_coordinator_restarted(AHEAD, "ahead of").await;
}

/// A machine that was down for an hour cannot be told from one whose clock was moved while it was down.
#[tokio::test]
async fn after_a_boot_the_wall_clock_is_believed_forwards_and_never_back() {
    let Some(ahead) = off_by(AHEAD) else { return };
    let (mut world, operator) = World::coordinator(&fleet("")).await;
    let mut latest = dated_in_order(&operator).await;
    for (env, hours) in [(ahead, 1), (off_by(BEHIND).unwrap(), 0)] {
        world.stop_coordinator();
        let store = rusqlite::Connection::open(world.data().join("playgate.db")).unwrap();
        store.execute("UPDATE meta SET boot_id = 'the one before'", ()).unwrap();
        drop(store);
        world.coordinator_env = env;
        world.start_coordinator();
        let operator = world.operator().await;
        let now = dated_in_order(&operator).await;
        let expected = latest + hours * 60 * MINUTE_MS;
        assert!((expected..expected + MINUTE_MS).contains(&now), "{latest}, {now}");
        latest = now;
    }
}

async fn agent_and_server(agent: &str, server: &str) {
    let (Some(agent_env), Some(server_env)) = (off_by(agent), off_by(server)) else { return };
    let more = format!("processes_per_host = 1\nsessions_per_process = 0\n{}", toml_table(&server_env));
    let (mut world, operator) = World::coordinator(&fleet(&more)).await;
    world.agent_env = agent_env;
    world.start_agent(&operator).await;
    let server = world.ready(&operator, 1).await.remove(0);
    let environment = fs::read(format!("/proc/{}/environ", server.pid.unwrap())).unwrap();
    assert!(String::from_utf8_lossy(&environment).contains("FAKETIME="), "its clock is off");
    let session = a_whole_story(&operator).await;

    // An end with a deadline, an agent that dies and adopts: all of it is about times.
    operator.terminate_game_session(session.id, PATIENCE).await.unwrap();
    session_is(&operator, session.id, |info| info.status == GameSessionStatus::Terminated).await;
    world.kill_agent();
    world.start_agent(&operator).await;
    let adopted = || async { (!events(&operator, EventKind::ProcessAdopted).await.is_empty()).then_some(()) };
    until("it is adopted", adopted).await;
    let other = a_whole_story(&operator).await;
    assert_eq!(other.process, Some(server.id), "the same process as before");
    for wrong in [EventKind::ClockSkew, EventKind::ProtocolViolation, EventKind::ProcessUnwell] {
        assert_eq!(events(&operator, wrong).await, [""; 0], "{wrong:?}");
    }
    dated_in_order(&operator).await;
}

#[tokio::test]
async fn an_agent_ahead_and_a_server_behind_work() {
    agent_and_server(AHEAD, BEHIND).await;
}

#[tokio::test]
async fn an_agent_behind_and_a_server_ahead_work() {
    agent_and_server(BEHIND, AHEAD).await;
}
