//! Steps 1 and 5: servers come and go.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use playgate_client::protocol::JoinRole;
use playgate_client::protocol::agent::ExitStatus;
use playgate_client::protocol::api::ProcessStatus;
use playgate_client::protocol::reason::ProcessEnd;
use playgate_client::{Operator, read_operator_key};

use super::actor::Actor;
use super::leftovers::{Leftovers, MARK};
use super::stage::{FLEET, Outcome, Stage, Unexpected, agent_state, fleet, look_again, ms, say_detail, say_step};
use crate::services::{JOIN_KEY_VARIABLE, LISTENING};

const SERVERS: u32 = 2;

/// Step 1: coordinator, agent, and the servers that the fleet asks for.
pub async fn launch(home: &Path, relay: &str) -> Outcome<Stage> {
    let started = Instant::now();
    let exe = std::env::current_exe().map_err(Unexpected::because("path of this program"))?;
    write_fleet(home, &exe, relay)?;
    let mut coordinator = start_coordinator(home, &exe, "127.0.0.1:0")?;
    coordinator.line(LISTENING).await?;
    let key = read_operator_key(data_dir(home).join("operator.key")).map_err(Unexpected::because("operator.key"))?;
    let operator = Operator::connect(key).await?;
    let coordinator_up = ms(started);

    let join_key = operator.create_join_key(JoinRole::Agent, None, 1, Duration::from_secs(60)).await?;
    let state = agent_state(home);
    let args = ["agent", "--state", path(&state)?];
    let agent = Actor::start(home, &exe, "agent", &args, Some((JOIN_KEY_VARIABLE, &join_key.to_text())))?;
    let mut stage = Stage::new(home.to_owned(), exe, operator, coordinator, agent);
    let ready = stage.ready_processes(SERVERS as usize).await?;
    say_step(
        1,
        "launch",
        &format!("{SERVERS} servers ready {} after the start; coordinator in {coordinator_up}", ms(started)),
    );

    for process in &ready {
        let (pid, port) = (process.pid.unwrap_or(0), process.ports.first().copied().unwrap_or(0));
        stage.check("a ready server has a pid and a port", (pid > 0, port > 0), (true, true))?;
        say_detail(
            "launched",
            &format!("{}  pid {pid}: arena server --port {port} --name {}", process.id, process.name),
        );
        stage.logged(process.id, &format!("server {} listens on port {port}", process.name)).await?;
    }
    stage.check("servers of the fleet", stage.processes().await?.len(), SERVERS as usize)?;
    Ok(stage)
}

pub fn start_coordinator(home: &Path, exe: &Path, listen: &str) -> Outcome<Actor> {
    let (data, fleets) = (data_dir(home), fleet_file(home));
    let args = ["coordinator", "--data", path(&data)?, "--listen", listen, "--fleets", path(&fleets)?];
    Actor::start(home, exe, "coordinator", &args, None)
}

/// Step 5: no server is wanted any more, then agent and coordinator are told to end. So many servers were killed before.
pub async fn shut_down(mut stage: Stage, killed: usize) -> Outcome<usize> {
    let started = Instant::now();
    stage.operator.set_processes_per_host(fleet(), 0).await?;
    let ended = loop {
        let processes = stage.processes().await?;
        if processes.iter().all(|process| process.status == ProcessStatus::Ended) {
            break processes;
        }
        look_again("all servers ended", started).await?;
    };
    let servers_gone = ms(started);
    let (crashed, stopped): (Vec<_>, Vec<_>) =
        ended.iter().partition(|process| process.reason == Some(ProcessEnd::Crashed));
    stage.check("servers that were killed", crashed.len(), killed)?;
    for process in &stopped {
        let how = (process.reason, process.exit);
        stage.check("how a server ended", how, (Some(ProcessEnd::Stopped), Some(ExitStatus::Code(0))))?;
    }
    for service in [Service::Agent, Service::Coordinator] {
        end(&mut stage, service).await?;
    }
    let left = Leftovers::of(&stage.home).find();
    stage.check("processes left", left, Vec::new())?;
    let text = format!("{} servers told to end, all exited 0 in {servers_gone}", stopped.len());
    say_step(5, "shut down", &format!("{text}; agent and coordinator too after {}; nothing is left", ms(started)));
    Ok(stage.checks())
}

#[derive(Clone, Copy)]
enum Service {
    Agent,
    Coordinator,
}

async fn end(stage: &mut Stage, service: Service) -> Outcome {
    let actor = match service {
        Service::Agent => &mut stage.agent,
        Service::Coordinator => &mut stage.coordinator,
    };
    actor.ask_to_end();
    let (name, status) = (actor.name().to_owned(), actor.exit().await?);
    stage.check(&format!("exit code of the {name}"), status.code(), Some(0))
}

/// The fleet as an operator would write it; the mark is the demo's own.
fn write_fleet(home: &Path, exe: &Path, relay: &str) -> Outcome {
    let text = format!(
        "\
[[fleet]]
name = {FLEET:?}
command = [{:?}, \"server\", \"--port\", \"{{port}}\", \"--name\", \"{{name}}\"]
ports = \"27000-27099\"
processes_per_host = {SERVERS}
sessions_per_process = 0 # any number, one after the other
tell_reason = true
relay = {relay:?}
env = {{ {MARK} = {:?} }}
",
        literal(path(exe)?),
        literal(path(home)?),
    );
    std::fs::write(fleet_file(home), text).map_err(Unexpected::because("fleet file"))
}

/// Braces in a path are no placeholders.
fn literal(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

fn fleet_file(home: &Path) -> PathBuf {
    home.join("fleets.toml")
}

pub fn data_dir(home: &Path) -> PathBuf {
    home.join("coordinator")
}

pub fn path(path: &Path) -> Outcome<&str> {
    path.to_str().ok_or_else(|| Unexpected(format!("{} is not UTF-8", path.display())))
}
