//! Steps 2 and 4: game sessions begin and end.

use std::time::{Duration, Instant};

use playgate_client::protocol::api::{GameSessionInfo, GameSessionStatus, PlayerSessionStatus, ProcessStatus};
use playgate_client::protocol::reason::{PlayerEnd, SessionEnd};
use playgate_client::protocol::{GameSessionId, ServerProcessId};
use playgate_client::{NewGameSession, Until};

use super::actor::{Actor, PATIENCE};
use super::outages::OUTAGE;
use super::stage::{FLEET, Outcome, Stage, Unexpected, look_again, ms, say_detail, say_step};

/// A game session that is active, and where.
pub struct Hosted {
    pub id: GameSessionId,
    pub process: ServerProcessId,
    pub info: GameSessionInfo,
}

/// Step 2.
pub async fn start(stage: &mut Stage) -> Outcome<Hosted> {
    let started = Instant::now();
    let request = NewGameSession::new(FLEET, 8).name("friday night");
    let request = request.property("map", "crossroads").property("mode", "deathmatch");
    let hosted = create(stage, request.property("score_limit", "65535")).await?;
    let took = ms(started);
    let address = hosted.info.address.map(|address| address.to_string()).unwrap_or_default();
    say_step(2, "start session", &format!("\"friday night\" on map crossroads, deathmatch, 8 slots: active in {took}"));
    say_detail("hosted", &format!("{} by {} at {address}", hosted.id, hosted.process));
    Ok(hosted)
}

/// Another one, which lands on the other server.
pub async fn start_second(stage: &mut Stage) -> Outcome<Hosted> {
    let request = NewGameSession::new(FLEET, 2).name("the hill").property("map", "ruins");
    create(stage, request.property("mode", "king-of-the-hill").property("score_limit", "65535")).await
}

async fn create(stage: &mut Stage, request: NewGameSession) -> Outcome<Hosted> {
    let info = stage.operator.create_game_session(request).await?;
    stage.check("status of a game session", info.status, GameSessionStatus::Active)?;
    let process = info.process.ok_or_else(|| Unexpected("an active session has no server".to_owned()))?;
    stage.logged(process, &server_line(&info)).await?;
    Ok(Hosted { id: info.id, process, info })
}

fn server_line(info: &GameSessionInfo) -> String {
    let property = |key: &str| {
        let found = info.properties.iter().find(|(known, _)| known.as_str() == key);
        found.map_or(String::new(), |(_, value)| value.to_string())
    };
    let (map, mode) = (property("map"), property("mode"));
    format!("session {} {:?}: map {map}, {mode}, up to {} players", info.id, info.name.as_str(), info.max_players)
}

/// Step 4: the game is asked to end its session, tells its players, and its server is free for another one.
pub async fn stop(stage: &mut Stage, arena: &Hosted, bots: Vec<Actor>) -> Outcome {
    let started = Instant::now();
    stage.operator.terminate_game_session(arena.id, Duration::from_secs(5)).await?;
    let over = stage.operator.await_game_session(arena.id, Until::Terminated, PATIENCE).await?;
    let took = ms(started);
    stage.check("how the session ended", over.reason, Some(SessionEnd::Terminated))?;
    stage.check("slots in use after the end", (over.reserved, over.active), (0, 0))?;
    await_ready(stage, arena.process).await?;
    let ready_again = ms(started);
    let count = bots.len();
    let mut played = Vec::new();
    for bot in bots {
        played.push(farewell(stage, bot).await?);
    }
    let text = format!(
        "ended by the game in {took}; {count} players told; the server is ready for another after {ready_again}"
    );
    say_step(4, "stop session", &text);
    for line in played {
        say_detail("played", &line);
    }
    check_players(stage, arena).await
}

async fn await_ready(stage: &Stage, process: ServerProcessId) -> Outcome {
    let started = Instant::now();
    while !stage.processes().await?.iter().any(|known| known.id == process && known.status == ProcessStatus::Ready) {
        look_again("the server ready again", started).await?;
    }
    Ok(())
}

/// A bot says how it went. None may have noticed that the coordinator was gone.
async fn farewell(stage: &mut Stage, mut bot: Actor) -> Outcome<String> {
    let summary = bot.line("played ").await?;
    let name = bot.name().to_owned();
    bot.line("the game session was stopped").await?;
    let code = bot.exit().await?.code();
    stage.check(&format!("exit code of {name}"), code, Some(0))?;
    let silence = summary.split("longest silence ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    let undisturbed = silence.is_some_and(|ms| Duration::from_millis(ms) < OUTAGE);
    stage.check(&format!("{name} got snapshots all the time ({summary})"), undisturbed, true)?;
    Ok(format!("{name:<5} {summary}"))
}

/// What the coordinator has on record about every player of the session.
async fn check_players(stage: &mut Stage, arena: &Hosted) -> Outcome {
    use PlayerSessionStatus::{Completed, TimedOut};
    let players = stage.operator.list_player_sessions(arena.id, None).await?;
    let mut record: Vec<_> = players.iter().map(|p| (p.player.as_str(), p.status, p.reason)).collect();
    record.sort_unstable_by_key(|(name, _, _)| *name);
    let ended = Some(PlayerEnd::SessionEnded);
    let expected = vec![
        ("ann", Completed, ended),
        ("ben", Completed, ended),
        ("cleo", Completed, Some(PlayerEnd::Revoked)),
        ("dan", Completed, ended),
        ("eve", TimedOut, None),
        ("finn", Completed, ended),
        ("nina", Completed, Some(PlayerEnd::Left)),
    ];
    stage.check("the record of all players", record, expected)
}
