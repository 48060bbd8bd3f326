//! The five steps through a relay: the servers' addresses are in nothing that a player gets.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use playgate_client::NewPlayerSessions;
use playgate_client::protocol::JoinRole;
use playgate_client::protocol::api::{EventKind, GameSessionStatus, ProcessStatus};

use super::actor::{Actor, PATIENCE};
use super::launch::{self, data_dir, path, start_coordinator};
use super::players::{Player, await_active, joined, start_bot};
use super::sessions::{self, Hosted};
use super::stage::{Outcome, Stage, Unexpected, look_again, ms, say_detail, say_step};
use crate::bot::EXIT_REMOVED;
use crate::services::JOIN_KEY_VARIABLE;

const NAMES: [&str; 4] = ["ann", "ben", "cleo", "dan"];

/// Plays everything; answers how many expectations were checked, all of which held.
pub async fn play(home: &Path) -> Outcome<usize> {
    let mut stage = launch::launch(home, "required").await?;
    let arena = sessions::start(&mut stage).await?;
    let nobody = reserve(&stage, &arena, "early", &["zoe"]).await;
    stage.check("a reservation while there is no relay", nobody.is_err(), true)?;
    let mut relay = start(&mut stage).await?;

    let mut players = join(&mut stage, &arena, &relay).await?;
    kick(&mut stage, players.remove(2)).await?;
    kill(&mut stage, &mut relay, players.len()).await?;
    let eve = without_a_coordinator(&mut stage, &arena, &mut relay).await?;
    players.push(eve);

    let bots = players.into_iter().map(|player| player.bot).collect();
    stop(&mut stage, &arena, bots).await?;
    relay.actor.ask_to_end();
    let code = relay.actor.exit().await?.code();
    stage.check("exit code of the relay", code, Some(0))?;
    launch::shut_down(stage, 0).await
}

struct Relay {
    actor: Actor,
    listen: SocketAddr,
}

fn spawn(stage: &Stage, listen: SocketAddr, join_key: Option<&str>) -> Outcome<Actor> {
    let (state, listen) = (stage.home.join("relay"), listen.to_string());
    let args = ["relay", "--state", path(&state)?, "--listen", &listen];
    Actor::start(&stage.home, &stage.exe, "relay", &args, join_key.map(|key| (JOIN_KEY_VARIABLE, key)))
}

async fn start(stage: &mut Stage) -> Outcome<Relay> {
    let started = Instant::now();
    // A port that is free now; the relay takes it again when it is restarted.
    let probe = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let listen = probe.map_err(Unexpected::because("a port for the relay"))?;
    let key = stage.operator.create_join_key(JoinRole::Relay, None, 1, Duration::from_secs(60)).await?;
    let actor = spawn(stage, listen, Some(&key.to_text()))?;
    await_relay(stage).await?;
    say_detail("relay", &format!("at {listen}, takes players {} after its start", ms(started)));
    Ok(Relay { actor, listen })
}

/// Waits until the coordinator names the relay in tickets.
async fn await_relay(stage: &Stage) -> Outcome {
    let started = Instant::now();
    loop {
        let relays = stage.operator.list_relays().await?;
        if relays.iter().any(|relay| relay.beat.is_some_and(|beat| beat.secret == relay.secret)) {
            return Ok(());
        }
        look_again("a relay that takes players", started).await?;
    }
}

async fn reserve(
    stage: &Stage,
    arena: &Hosted,
    key: &str,
    names: &[&str],
) -> Result<Vec<playgate_client::Ticket>, playgate_client::CallFailed> {
    let request = NewPlayerSessions::new(arena.id).idempotency_key(key);
    let request = names.iter().fold(request, |request, name| request.player(name, b""));
    stage.operator.create_player_sessions(request).await
}

/// Step 3: the tickets name the relay and nothing else, and the game sees the relay's address.
async fn join(stage: &mut Stage, arena: &Hosted, relay: &Relay) -> Outcome<Vec<Player>> {
    let asked = Instant::now();
    let tickets = reserve(stage, arena, "party", &NAMES).await?;
    stage.check("tickets", tickets.len(), NAMES.len())?;
    let server = arena.info.address.ok_or_else(|| Unexpected("the session has no address".to_owned()))?;
    let mut players = Vec::new();
    for (name, ticket) in NAMES.into_iter().zip(tickets) {
        stage.check("addresses of servers in a ticket", ticket.addresses.len(), 0)?;
        let relays: Vec<SocketAddr> = ticket.relay_accesses().map(|access| access.address).collect();
        stage.check("addresses of relays in a ticket", relays, vec![relay.listen])?;
        let port = server.port().to_le_bytes();
        let bytes = ticket.relays.iter().flat_map(|relay| relay.pass.to_vec()).collect::<Vec<u8>>();
        let shows = bytes.windows(6).any(|window| window[..4] == [127, 0, 0, 1] && window[4..] == port);
        stage.check("the server's address can be read in a pass", shows, false)?;
        players.push(Player { bot: start_bot(stage, name, &ticket)?, ticket, asked });
    }
    let mut slowest: f64 = 0.0;
    for player in &mut players {
        let through = player.bot.line("through the relay at ").await?;
        stage.check("the way of a player", through, relay.listen.to_string())?;
        slowest = slowest.max(joined(&mut player.bot, 1).await?);
    }
    for player in &mut players {
        player.bot.line("playing deathmatch on crossroads").await?;
        await_active(stage, player.ticket.player_session).await?;
    }
    let text =
        format!("4 joined through the relay, the last handshake in {slowest:.1} ms; all on record {}", ms(asked));
    say_step(3, "add players", &format!("{text} after the request"));
    Ok(players)
}

/// Whoever is removed is removed at the relay, too.
async fn kick(stage: &mut Stage, mut player: Player) -> Outcome {
    let flows = flows(stage).await?;
    let asked = Instant::now();
    stage.operator.revoke_player_session(player.ticket.player_session, PATIENCE).await?;
    let confirmed = ms(asked);
    let code = player.bot.exit().await?.code();
    stage.check("exit code of a player who was removed", code, Some(EXIT_REMOVED.into()))?;
    await_flows(stage, flows - 1).await?;
    say_detail("removed", &format!("{} in {confirmed}, his flow through the relay too", player.bot.name()));
    Ok(())
}

async fn flows(stage: &Stage) -> Outcome<u32> {
    await_flows(stage, u32::try_from(NAMES.len()).expect("four")).await
}

/// Waits until the relay says that it carries so many flows.
async fn await_flows(stage: &Stage, flows: u32) -> Outcome<u32> {
    let started = Instant::now();
    loop {
        let relays = stage.operator.list_relays().await?;
        if relays.iter().any(|relay| relay.beat.is_some_and(|beat| beat.flows == flows)) {
            return Ok(flows);
        }
        look_again(&format!("{flows} flows at the relay"), started).await?;
    }
}

/// Kill -9 of the relay: players notice by its resets and open their flows again. The game sees them where they were.
async fn kill(stage: &mut Stage, relay: &mut Relay, players: usize) -> Outcome {
    relay.actor.kill()?;
    relay.actor.exit().await?;
    let killed = Instant::now();
    relay.actor = spawn(stage, relay.listen, None)?;
    await_links(stage, 2).await?;
    await_flows(stage, u32::try_from(players).expect("three")).await?;
    say_detail(
        "killed",
        &format!(
            "the relay, kill -9, and started again: the coordinator knows of all flows again {} later",
            ms(killed)
        ),
    );
    Ok(())
}

/// Waits until relays have connected so many times; what they say of themselves is from then on.
async fn await_links(stage: &Stage, times: usize) -> Outcome {
    let started = Instant::now();
    loop {
        let (mut connected, mut after) = (0, 0);
        while let Some(last) = {
            let page = stage.operator.list_events(after).await?;
            connected += page.iter().filter(|event| event.kind == EventKind::RelayConnected).count();
            page.last().map(|event| event.seq)
        } {
            after = last;
        }
        if connected >= times {
            return Ok(());
        }
        look_again("the relay's link to the coordinator", started).await?;
    }
}

/// Kill -9 of the coordinator, then of the relay: it serves from what it has on disk, and lets a newcomer in.
async fn without_a_coordinator(stage: &mut Stage, arena: &Hosted, relay: &mut Relay) -> Outcome<Player> {
    await_relay(stage).await?;
    let asked = Instant::now();
    let ticket = reserve(stage, arena, "late", &["eve"]).await?.pop();
    let ticket = ticket.ok_or_else(|| Unexpected("no ticket for eve".to_owned()))?;
    let key = playgate_client::read_operator_key(data_dir(&stage.home).join("operator.key"));
    let address = key.map_err(Unexpected::because("operator.key"))?.coordinator;
    stage.coordinator.kill()?;
    stage.coordinator.exit().await?;
    relay.actor.kill()?;
    relay.actor.exit().await?;
    relay.actor = spawn(stage, relay.listen, None)?;
    let mut bot = start_bot(stage, "eve", &ticket)?;
    let took = joined(&mut bot, 1).await?;
    bot.line("playing ").await?;
    say_detail(
        "killed",
        &format!("coordinator and relay: the relay, alone again, lets eve in, whose handshake takes {took:.1} ms"),
    );
    let restarted = Instant::now();
    stage.coordinator = start_coordinator(&stage.home, &stage.exe, &address)?;
    await_active(stage, ticket.player_session).await?;
    let session = stage.operator.describe_game_session(arena.id).await?;
    stage.check("the session after the restart", (session.status, session.active), (GameSessionStatus::Active, 4))?;
    await_flows(stage, 4).await?;
    say_detail(
        "restarted",
        &format!("the coordinator: eve is on record, and all flows known, {} later", ms(restarted)),
    );
    Ok(Player { bot, ticket, asked })
}

/// Step 4.
async fn stop(stage: &mut Stage, arena: &Hosted, bots: Vec<Actor>) -> Outcome {
    let started = Instant::now();
    stage.operator.terminate_game_session(arena.id, Duration::from_secs(5)).await?;
    let mut silence: u64 = 0;
    for mut bot in bots {
        let summary = bot.line("played ").await?;
        let longest = summary.split("longest silence ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        silence = silence.max(longest.ok_or_else(|| Unexpected(format!("no silence in {summary:?}")))?);
        bot.line("the game session was stopped").await?;
        let code = bot.exit().await?.code();
        stage.check("exit code of a bot", code, Some(0))?;
    }
    await_flows(stage, 0).await?;
    let over = started;
    while !stage.processes().await?.iter().any(|process| process.status == ProcessStatus::Ready) {
        look_again("a server ready again", over).await?;
    }
    say_step(4, "stop session", &format!("ended by the game, every flow closed, after {}", ms(started)));
    say_detail(
        "played",
        &format!("through two deaths of the relay; the longest that anybody heard nothing was {silence} ms"),
    );
    Ok(())
}
