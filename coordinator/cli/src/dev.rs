//! Coordinator, agent and one fleet, and a relay if wanted, in one process: the everyday tool of a game developer.

use std::time::Duration;

use playgate_agent::{AgentConfig, OnShutdown};
use playgate_client::Operator;
use playgate_coordinator::{Coordinator, CoordinatorConfig};
use playgate_core::fleet::{FleetConfig, RelayMode};
use playgate_protocol::api::{ProcessInfo, ProcessStatus};
use playgate_protocol::{FleetId, JoinRole, List, OutOfBounds};
use playgate_relay::RelayServiceConfig;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::args::DevArgs;
use crate::error::Failure;
use crate::serve::told_to_stop;

/// From SIGTERM to SIGKILL for the servers at the end.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// Between two looks at whether the servers have ended.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Runs until Ctrl-C; then servers, agent and coordinator end in this order.
pub async fn run(args: DevArgs) -> Result<(), Failure> {
    let launches = !args.command.is_empty();
    let fleet = fleet(&args).map_err(|error| Failure::setup(error.to_string()))?;
    fleet.check().map_err(Failure::setup)?;
    let name = fleet.name.clone();
    let mut config = CoordinatorConfig::new(args.data.join("coordinator"), args.listen);
    config.fleets = vec![fleet];
    let coordinator = Coordinator::open(config).map_err(|error| Failure::setup(error.to_string()))?;
    let operator_key = coordinator.operator_key().clone();
    let (stop, stopped) = watch::channel(false);
    let mut coordinating = tokio::spawn(coordinator.run(until(stopped.clone())));

    let operator = Operator::connect(operator_key).await?;
    let relaying = match args.relay {
        Some(listen) => Some(relay(&args, &operator, listen, until(stopped)).await?),
        None => None,
    };
    let outcome = tokio::select! {
        ended = &mut coordinating => return match ended {
            Ok(Err(error)) => Err(Failure::setup(error.to_string())),
            _ => Err(Failure::setup("the coordinator ended by itself")),
        },
        outcome = serve(&args, &operator, &name, launches) => outcome,
    };
    operator.close().await;
    let _ = stop.send(true);
    let _ = coordinating.await;
    if let Some(relaying) = relaying {
        let _ = relaying.await;
    }
    outcome
}

/// Loopback is where its servers are; an address that is taken is said at once.
async fn relay(
    args: &DevArgs,
    operator: &Operator,
    listen: std::net::SocketAddr,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<JoinHandle<()>, Failure> {
    let setup = |error: &dyn std::fmt::Display| Failure::setup(format!("the relay: {error}"));
    drop(std::net::UdpSocket::bind(listen).map_err(|error| setup(&format!("{listen}: {error}")))?);
    let key = operator.create_join_key(JoinRole::Relay, None, 1, Duration::from_secs(60)).await?;
    let state = args.data.join("relay");
    let mut config = RelayServiceConfig::from_join_key(key, state).map_err(|error| setup(&error))?;
    config.name = "dev".to_owned();
    config.relay.listen = listen;
    for loopback in ["127.0.0.0/8", "::1"] {
        config.relay.destinations.push(loopback.parse().map_err(|error| setup(&error))?);
    }
    println!("players come through the relay at {listen}; an unchanged game through: playgate pump --ticket-file FILE");
    Ok(tokio::spawn(async move {
        if let Err(error) = playgate_relay::run(config, stop).await {
            tracing::error!(%error, "the relay cannot go on");
        }
    }))
}

async fn serve(args: &DevArgs, operator: &Operator, fleet: &FleetId, launches: bool) -> Result<(), Failure> {
    if !launches {
        let key =
            operator.create_join_key(JoinRole::Server, Some(fleet.clone()), 100, Duration::from_secs(86_400)).await?;
        println!("Start your server with this in its environment (good for 100 starts within a day):");
        println!("PLAYGATE_JOIN_KEY={}", key.to_text());
        told_to_stop().await;
        return Ok(());
    }
    let state = args.data.join("agent");
    let key = operator.create_join_key(JoinRole::Agent, None, 1, Duration::from_secs(60)).await?;
    let mut config = AgentConfig::from_join_key(key, state).map_err(|error| Failure::setup(error.to_string()))?;
    config.name = "dev".to_owned();
    config.advertise = Some(std::net::Ipv4Addr::LOCALHOST.into());
    config.capacity = args.processes.max(1).saturating_mul(2);
    config.on_shutdown = OnShutdown::StopAll { grace: STOP_GRACE };
    println!("fleet {fleet}; in another shell in this directory: playgate session create {fleet}");
    println!("logs of the servers: {}", args.data.join("agent/logs").display());
    let stop = async {
        told_to_stop().await;
        wind_down(operator, fleet).await;
    };
    playgate_agent::run(config, stop).await.map_err(|error| Failure::setup(error.to_string()))
}

/// Asks every server to end, so that each can; the agent ends by force what has not in time.
async fn wind_down(operator: &Operator, fleet: &FleetId) {
    let operator = operator.within(STOP_GRACE);
    if operator.set_processes_per_host(fleet.clone(), 0).await.is_err() {
        return;
    }
    let deadline = tokio::time::Instant::now() + STOP_GRACE;
    while tokio::time::Instant::now() < deadline {
        let live = live_processes(&operator, fleet).await;
        if live.is_empty() {
            return;
        }
        for process in live.iter().filter(|process| process.status != ProcessStatus::Draining) {
            let _ = operator.stop_process(process.id, STOP_GRACE).await; // asked again in the next round
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn live_processes(operator: &Operator, fleet: &FleetId) -> Vec<ProcessInfo> {
    let (mut live, mut after) = (Vec::new(), None);
    while let Ok(page) = operator.list_processes(Some(fleet.clone()), after).await {
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        live.extend(page.into_iter().filter(|process| process.ended_ms.is_none()));
    }
    live
}

async fn until(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn fleet(args: &DevArgs) -> Result<FleetConfig, OutOfBounds> {
    let mut fleet = FleetConfig::named(args.fleet.clone());
    let command: Result<Vec<_>, _> = args.command.iter().map(|argument| argument.parse()).collect();
    fleet.command = List::new(command?)?;
    fleet.ports = Some(args.ports);
    fleet.processes_per_host = args.processes;
    fleet.sessions_per_process = args.sessions_per_process;
    fleet.tell_reason = true;
    fleet.relay = if args.relay.is_some() { RelayMode::Required } else { RelayMode::Off };
    let passed = ["PATH"].into_iter().chain(args.env.iter().map(String::as_str)).map(|name| name.parse());
    fleet.env_pass = List::new(passed.collect::<Result<Vec<_>, _>>()?)?;
    Ok(fleet)
}
