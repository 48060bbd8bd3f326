//! What breaks, and what that does not break.

use std::time::{Duration, Instant};

use playgate_client::protocol::ServerProcessId;
use playgate_client::protocol::agent::ExitStatus;
use playgate_client::protocol::api::{GameSessionStatus, PlayerSessionStatus, ProcessInfo, ProcessStatus};
use playgate_client::protocol::reason::{ProcessEnd, SessionEnd};
use playgate_client::{Ticket, Until, read_operator_key};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep_until;

use super::actor::{Actor, PATIENCE};
use super::launch::{data_dir, start_coordinator};
use super::players::{Player, RESERVATION, await_active, joined, start_bot};
use super::sessions::Hosted;
use super::stage::{Outcome, Stage, Unexpected, look_again, ms, say_detail};
use crate::bot::EXIT_SILENCE;

/// How long there is no coordinator. No player may be without snapshots for as long as that.
pub const OUTAGE: Duration = Duration::from_secs(2);

/// A player whose process was killed.
pub struct Dropped {
    ticket: Ticket,
    asked: Instant,
    dropped: Instant,
}

/// A player's process is gone without a goodbye.
pub fn drop_player(mut dan: Player) -> Outcome<Dropped> {
    dan.bot.kill()?;
    Ok(Dropped { ticket: dan.ticket, asked: dan.asked, dropped: Instant::now() })
}

/// He comes back after his ticket has expired: the slot is his, so that does not matter.
pub async fn reconnect(stage: &mut Stage, arena: &Hosted, dan: Dropped) -> Outcome<Actor> {
    let Dropped { ticket, asked, dropped } = dan;
    stage.logged(arena.process, "player dan is silent; the slot is kept").await?;
    sleep_until((asked + RESERVATION).into()).await; // time itself is the subject
    let status = stage.operator.describe_player_session(ticket.player_session).await?.status;
    stage.check("the slot of a dropped player", status, PlayerSessionStatus::Active)?;
    let away = dropped.elapsed().as_secs_f64();
    let mut bot = start_bot(stage, "dan", &ticket)?;
    let took = joined(&mut bot, 2).await?;
    stage.logged(arena.process, "player dan is back (generation 2)").await?;
    say_detail("dropped", &format!("a player, {away:.1} s away, back in {took:.1} ms with a ticket that has expired"));
    Ok(bot)
}

/// Kill -9 of a server: its session is over, and another server takes its place.
pub async fn kill_server(stage: &mut Stage, hill: &Hosted, mut gus: Player) -> Outcome {
    let processes = stage.processes().await?;
    let pid = processes.iter().find(|process| process.id == hill.process).and_then(|process| process.pid);
    let pid = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let pid = pid.ok_or_else(|| Unexpected("a server has no pid".to_owned()))?;

    let started = Instant::now();
    kill_process(pid, Signal::KILL).map_err(Unexpected::because("kill -9 of a server"))?;
    let over = stage.operator.await_game_session(hill.id, Until::Terminated, PATIENCE).await?;
    let noticed = ms(started);
    stage.check("why the session is over", over.reason, Some(SessionEnd::ProcessEnded))?;
    stage.ready_processes(1).await?;
    let replaced = ms(started);

    let processes = stage.processes().await?;
    let dead = processes.iter().find(|process| process.id == hill.process);
    let record = dead.map(|process| (process.status, process.reason, process.exit));
    let killed = (ProcessStatus::Ended, Some(ProcessEnd::Crashed), Some(ExitStatus::Signal(9)));
    stage.check("the record of a killed server", record, Some(killed))?;
    let tail = dead.is_some_and(|process| process.output_tail.contains("player gus is in"));
    stage.check("the last output of a killed server is on record", tail, true)?;
    say_detail(
        "killed",
        &format!("a server, kill -9: noticed in {noticed}, session closed, another one ready after {replaced}"),
    );

    let code = gus.bot.exit().await?.code();
    stage.check("exit code of a bot whose server is gone", code, Some(EXIT_SILENCE.into()))
}

/// Kill -9 of the coordinator while everybody plays: players join and play on, and the record is complete afterwards.
pub async fn kill_coordinator(stage: &mut Stage, arena: &Hosted, spare: Ticket) -> Outcome<Actor> {
    let before = stage.processes().await?;
    let key = read_operator_key(data_dir(&stage.home).join("operator.key"));
    let address = key.map_err(Unexpected::because("operator.key"))?.coordinator;

    let killed = Instant::now();
    stage.coordinator.kill()?;
    stage.coordinator.exit().await?;
    let mut finn = start_bot(stage, "finn", &spare)?;
    let took = joined(&mut finn, 1).await?;
    finn.line("playing ").await?;
    say_detail(
        "killed",
        &format!("the coordinator, kill -9: all play on, one more joins with his ticket in {took:.1} ms"),
    );
    sleep_until((killed + OUTAGE).into()).await; // time itself is the subject

    let (down, restarted) = (ms(killed), Instant::now());
    stage.coordinator = start_coordinator(&stage.home, &stage.exe, &address)?;
    await_active(stage, spare.player_session).await?;
    let on_record = ms(restarted);
    let session = stage.operator.describe_game_session(arena.id).await?;
    stage.check("the session after the restart", (session.status, session.active), (GameSessionStatus::Active, 4))?;
    let after = await_everybody(stage).await?;
    stage.check("the servers after the restart", live(&after), live(&before))?;
    let text = format!("the coordinator, after {down}: the newcomer is on record {on_record} later");
    say_detail("restarted", &format!("{text}, servers and agent are back after {}; none was lost", ms(restarted)));
    Ok(finn)
}

/// Waits until the agent and every server that lives has found the coordinator again.
async fn await_everybody(stage: &Stage) -> Outcome<Vec<ProcessInfo>> {
    let started = Instant::now();
    loop {
        let (processes, hosts) = (stage.processes().await?, stage.operator.list_hosts().await?);
        let is_back = |p: &ProcessInfo| p.status == ProcessStatus::Ended || p.unreachable_since_ms.is_none();
        if processes.iter().all(is_back) && hosts.iter().all(|host| host.connected) {
            return Ok(processes);
        }
        look_again("agent and servers back at the coordinator", started).await?;
    }
}

fn live(processes: &[ProcessInfo]) -> Vec<(ServerProcessId, ProcessStatus, Option<u32>)> {
    let live = processes.iter().filter(|process| process.status != ProcessStatus::Ended);
    live.map(|process| (process.id, process.status, process.pid)).collect()
}
