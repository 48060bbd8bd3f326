//! The services: coordinator, agent and relay, until SIGTERM or Ctrl-C.

use std::io::Read;
use std::time::Duration;

use playgate_agent::{AgentConfig, OnShutdown};
use playgate_coordinator::{Coordinator, CoordinatorConfig, read_fleets};
use playgate_protocol::JoinKey;
use playgate_relay::command::RelayCommand;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{AgentArgs, CoordinatorArgs, OutputFormat};
use crate::error::Failure;

/// From SIGTERM to SIGKILL when an agent takes its servers with it.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Waits for SIGTERM or Ctrl-C.
pub async fn told_to_stop() {
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    if let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

pub async fn coordinator(args: CoordinatorArgs) -> Result<(), Failure> {
    let mut config = CoordinatorConfig::new(args.data, args.listen);
    config.advertise = args.advertise;
    if let Some(path) = args.fleets {
        config.fleets = read_fleets(&path).map_err(|error| Failure::setup(error.to_string()))?;
    }
    let operator_key = config.data_dir.join("operator.key");
    let coordinator = Coordinator::open(config).map_err(|error| Failure::setup(error.to_string()))?;
    tracing::info!(
        listening = %coordinator.local_addr(),
        reached_at = coordinator.address(),
        fingerprint = %coordinator.fingerprint(),
        operator_key = %operator_key.display(),
        "coordinator runs"
    );
    coordinator.run(told_to_stop()).await.map_err(|error| Failure::setup(error.to_string()))
}

pub async fn agent(args: AgentArgs) -> Result<(), Failure> {
    let setup = |error: &dyn std::fmt::Display| Failure::setup(error.to_string());
    let mut config = match join_key(&args)? {
        Some(text) => {
            let key = JoinKey::from_text(&text).map_err(|error| setup(&error))?;
            AgentConfig::from_join_key(key, args.state).map_err(|error| setup(&error))?
        }
        None => AgentConfig::from_state(args.state).map_err(|error| setup(&error))?,
    };
    if let Some(name) = args.name {
        config.name = name;
    }
    config.advertise = args.advertise;
    config.capacity = args.capacity;
    if args.stop_servers {
        config.on_shutdown = OnShutdown::StopAll { grace: STOP_GRACE };
    }
    playgate_agent::run(config, told_to_stop()).await.map_err(|error| setup(&error))
}

pub async fn relay(command: RelayCommand, format: OutputFormat) -> Result<(), Failure> {
    let json = format == OutputFormat::Json;
    command.execute(json, told_to_stop()).await.map_err(Failure::from)
}

/// From the file, standard input or the environment; never from the command line, where everybody could read it.
fn join_key(args: &AgentArgs) -> Result<Option<String>, Failure> {
    let Some(path) = &args.join_key else { return Ok(std::env::var("PLAYGATE_JOIN_KEY").ok()) };
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().read_to_string(&mut text).map(|_| ()),
        _ => std::fs::read_to_string(path).map(|content| text = content),
    };
    read.map_err(|error| Failure::setup(format!("{}: {error}", path.display())))?;
    Ok(Some(text))
}
