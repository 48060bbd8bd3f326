//! Step 3: slots are reserved, and players go to the server directly.

use std::time::{Duration, Instant};

use playgate_client::protocol::PlayerSessionId;
use playgate_client::protocol::api::PlayerSessionStatus;
use playgate_client::{NewPlayerSessions, Ticket};

use super::actor::Actor;
use super::sessions::Hosted;
use super::stage::{Outcome, Stage, Unexpected, look_again, ms, say_step};
use crate::bot::TICKET_VARIABLE;

/// How long the first four tickets can be used: dan comes back with an expired one.
pub const RESERVATION: Duration = Duration::from_secs(3);
/// The shortest there is; eve comes too late.
pub const SHORT_RESERVATION: Duration = Duration::from_secs(1);

/// A player, played by a bot process.
pub struct Player {
    pub bot: Actor,
    pub ticket: Ticket,
    /// When the ticket was asked for.
    pub asked: Instant,
}

/// A ticket that nobody uses in time.
pub struct Latecomer {
    pub ticket: Ticket,
    pub asked: Instant,
}

pub struct Cast {
    pub ann: Actor,
    pub ben: Actor,
    pub cleo: Player,
    pub dan: Player,
    pub latecomer: Latecomer,
}

/// Step 3.
pub async fn join(stage: &mut Stage, arena: &Hosted) -> Outcome<Cast> {
    let asked = Instant::now();
    let names = ["ann", "ben", "cleo", "dan"];
    let request = NewPlayerSessions::new(arena.id).reservation(RESERVATION);
    let request = names.iter().fold(request, |request, name| request.player(name, b"level=3"));
    let tickets = stage.operator.create_player_sessions(request).await?;
    let reserved = ms(asked);
    stage.check("tickets", tickets.len(), names.len())?;
    let latecomer = Latecomer { asked: Instant::now(), ticket: reserve(stage, arena, "eve", SHORT_RESERVATION).await? };

    let mut players = Vec::new();
    for (name, ticket) in names.into_iter().zip(tickets) {
        players.push(Player { bot: start_bot(stage, name, &ticket)?, ticket, asked });
    }
    let mut slowest: f64 = 0.0;
    for player in &mut players {
        slowest = slowest.max(joined(&mut player.bot, 1).await?);
    }
    for player in &mut players {
        player.bot.line("playing deathmatch on crossroads").await?;
        await_active(stage, player.ticket.player_session).await?;
    }
    let text = format!("4 reserved in one request in {reserved}, 4 joined directly, each within {slowest:.1} ms");
    say_step(3, "add players", &format!("{text}; all on record {} after the request", ms(asked)));
    let [ann, ben, cleo, dan] =
        <[Player; 4]>::try_from(players).map_err(|_| Unexpected("not four players".to_owned()))?;
    Ok(Cast { ann: ann.bot, ben: ben.bot, cleo, dan, latecomer })
}

/// One slot.
pub async fn reserve(stage: &Stage, session: &Hosted, name: &str, time: Duration) -> Outcome<Ticket> {
    let request = NewPlayerSessions::new(session.id).reservation(time).player(name, b"");
    let mut tickets = stage.operator.create_player_sessions(request).await?;
    tickets.pop().ok_or_else(|| Unexpected(format!("no ticket for {name}")))
}

/// A bot process that plays until it is told to leave. The ticket goes through its environment: a command line can be
/// read by everybody.
pub fn start_bot(stage: &Stage, name: &str, ticket: &Ticket) -> Outcome<Actor> {
    let secret = (TICKET_VARIABLE, ticket.to_text());
    Actor::start(&stage.home, &stage.exe, name, &["bot", "--until-eof"], Some((secret.0, &secret.1)))
}

/// Waits until a bot is in, for this time; answers how many milliseconds that took it.
pub async fn joined(bot: &mut Actor, generation: u32) -> Outcome<f64> {
    let line = bot.line("joined in ").await?;
    let took = line.strip_suffix(&format!(" ms (generation {generation})")).and_then(|ms| ms.parse().ok());
    took.ok_or_else(|| Unexpected(format!("{} joined otherwise than for time {generation}: {line}", bot.name())))
}

/// Waits until the coordinator has it on record that a player is in.
pub async fn await_active(stage: &Stage, player: PlayerSessionId) -> Outcome {
    let started = Instant::now();
    while stage.operator.describe_player_session(player).await?.status != PlayerSessionStatus::Active {
        look_again("a joined player on record", started).await?;
    }
    Ok(())
}
