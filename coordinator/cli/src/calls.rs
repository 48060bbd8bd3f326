//! Commands that call the coordinator, one arm each.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use playgate_client::{NewGameSession, NewPlayerSessions, Operator, Until};
use playgate_core::fleet::Millis;
use playgate_protocol::api::GameSessionStatus;
use playgate_protocol::{GameSessionId, PlayerSessionId, Ticket};

use crate::args::{Command, KeyCommand, OutputFormat, PlayerCommand, ProcessCommand, SessionCommand};
use crate::error::Failure;
use crate::output::{json, list, one};

/// Runs one command against the coordinator.
pub async fn run(command: Command, operator: &Operator, format: OutputFormat) -> Result<(), Failure> {
    match command {
        Command::Coordinator(_) | Command::Agent(_) | Command::Relay(_) | Command::Dev(_) | Command::Pump { .. } => {
            unreachable!("these call nobody")
        }
        Command::Key(KeyCommand::New { role, fleet, uses, lifetime }) => {
            let key = operator.create_join_key(role, fleet, uses, duration(lifetime)).await?.to_text();
            match format {
                OutputFormat::Json => json(&serde_json::json!({ "join_key": key })),
                OutputFormat::Table => println!("{key}"),
            }
            Ok(())
        }
        Command::Key(KeyCommand::RotateRelay { relay }) => Ok(operator.rotate_relay_secret(relay).await?),
        Command::Session(command) => session(command, operator, format).await,
        Command::Player(command) => player(command, operator, format).await,
        Command::Process(command) => process(command, operator, format).await,
        Command::Status => {
            let (fleets, hosts) = (operator.list_fleets().await?, operator.list_hosts().await?);
            let relays = operator.list_relays().await?;
            match format {
                OutputFormat::Json => json(&serde_json::json!({ "fleets": fleets, "hosts": hosts, "relays": relays })),
                OutputFormat::Table => {
                    list(format, &fleets);
                    println!();
                    list(format, &hosts);
                    println!();
                    list(format, &relays);
                }
            }
            Ok(())
        }
        Command::Events { mut after } => {
            let mut events = Vec::new();
            loop {
                let page = operator.list_events(after).await?;
                let Some(last) = page.last() else { break };
                after = last.seq;
                events.extend(page);
            }
            list(format, &events);
            Ok(())
        }
    }
}

async fn session(command: SessionCommand, operator: &Operator, format: OutputFormat) -> Result<(), Failure> {
    match command {
        SessionCommand::Create { fleet, players, name, properties, data, timeout, idempotency_key } => {
            let mut new = NewGameSession::new(fleet.as_str(), players).name(&name).placement_timeout(duration(timeout));
            for (key, value) in &properties {
                new = new.property(key, value);
            }
            if let Some(path) = data {
                let data = fs::read(&path).map_err(|error| Failure::setup(format!("{}: {error}", path.display())))?;
                new = new.data(&data);
            }
            if let Some(key) = idempotency_key {
                new = new.idempotency_key(&key);
            }
            one(format, &operator.create_game_session(new).await?);
        }
        SessionCommand::List { fleet } => {
            let (mut sessions, mut after) = (Vec::new(), None::<GameSessionId>);
            loop {
                let page = operator.list_game_sessions(fleet.clone(), after).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.id);
                sessions.extend(page);
            }
            list(format, &sessions);
        }
        SessionCommand::Describe { session } => one(format, &operator.describe_game_session(session).await?),
        SessionCommand::Stop { session, grace } => {
            operator.terminate_game_session(session, duration(grace)).await?;
            // The stop ladder comes behind the game's own time.
            let patience = duration(grace) + Duration::from_secs(30);
            let info = operator.await_game_session(session, Until::Terminated, patience).await?;
            one(format, &info);
            if info.status != GameSessionStatus::Terminated {
                return Err(Failure::refused(format!("{session} is not over yet; see playgate events")));
            }
        }
    }
    Ok(())
}

async fn player(command: PlayerCommand, operator: &Operator, format: OutputFormat) -> Result<(), Failure> {
    match command {
        PlayerCommand::Add { session, players, tickets, reservation, idempotency_key } => {
            let mut new = NewPlayerSessions::new(session);
            for player in &players {
                new = new.player(player, b"");
            }
            if let Some(time) = reservation {
                new = new.reservation(duration(time));
            }
            if let Some(key) = idempotency_key {
                new = new.idempotency_key(&key);
            }
            let made = operator.create_player_sessions(new).await?;
            let mut printed = Vec::new();
            for (player, ticket) in players.iter().zip(&made) {
                let (key, text) = match &tickets {
                    Some(directory) => ("file", write_ticket(directory, player, ticket)?.display().to_string()),
                    None => ("ticket", ticket.to_text()),
                };
                match format {
                    OutputFormat::Table => println!("{text}"),
                    OutputFormat::Json => {
                        let id = ticket.player_session.to_string();
                        printed.push(serde_json::json!({ "player": player, "player_session": id, key: text }));
                    }
                }
            }
            if format == OutputFormat::Json {
                json(&printed);
            }
        }
        PlayerCommand::List { session } => {
            let (mut players, mut after) = (Vec::new(), None::<PlayerSessionId>);
            loop {
                let page = operator.list_player_sessions(session, after).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.id);
                players.extend(page);
            }
            list(format, &players);
        }
        PlayerCommand::Describe { player_session } => {
            one(format, &operator.describe_player_session(player_session).await?)
        }
        PlayerCommand::Ticket { player_session } => {
            let ticket = operator.get_ticket(player_session).await?.to_text();
            match format {
                OutputFormat::Json => json(&serde_json::json!({ "ticket": ticket })),
                OutputFormat::Table => println!("{ticket}"),
            }
        }
        PlayerCommand::Revoke { player_session, timeout } => {
            let info = operator.revoke_player_session(player_session, duration(timeout)).await?;
            one(format, &info);
            if info.revoking {
                return Err(Failure::refused("the server has not confirmed yet; the slot is held until it does"));
            }
        }
    }
    Ok(())
}

/// The file's name is the player's id, as far as a file may be called that.
fn write_ticket(directory: &Path, player: &str, ticket: &Ticket) -> Result<PathBuf, Failure> {
    let failed = |path: &Path, error: std::io::Error| Failure::setup(format!("{}: {error}", path.display()));
    fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    let path = directory.join(format!("{}.ticket", player.chars().map(safe).collect::<String>()));
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
    file.and_then(|mut file| writeln!(file, "{}", ticket.to_text())).map_err(|error| failed(&path, error))?;
    Ok(path)
}

async fn process(command: ProcessCommand, operator: &Operator, format: OutputFormat) -> Result<(), Failure> {
    match command {
        ProcessCommand::List { fleet } => {
            let (mut processes, mut after) = (Vec::new(), None);
            loop {
                let page = operator.list_processes(fleet.clone(), after).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.id);
                processes.extend(page);
            }
            list(format, &processes);
        }
        ProcessCommand::Stop { process, grace } => one(format, &operator.stop_process(process, duration(grace)).await?),
        ProcessCommand::Keep { fleet, count } => {
            operator.set_processes_per_host(fleet, count).await?;
            list(format, &operator.list_fleets().await?);
        }
    }
    Ok(())
}

fn duration(millis: Millis) -> Duration {
    Duration::from_millis(millis.0)
}
