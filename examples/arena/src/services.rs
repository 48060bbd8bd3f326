//! The demo's coordinator, agent and relay, each a process of its own. An operator runs `playgate coordinator`,
//! `playgate agent` and `playgate relay`, which do the same.
//!
//! All end with their standard input, so that they do not outlive the demo, however it ends.

use std::fmt::Display;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use playgate_agent::{AgentConfig, OnShutdown};
use playgate_client::JoinKey;
use playgate_coordinator::{Coordinator, CoordinatorConfig, read_fleets};
use playgate_relay::RelayServiceConfig;
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

/// Where the agent finds its join key.
pub const JOIN_KEY_VARIABLE: &str = "PLAYGATE_JOIN_KEY";
/// What the coordinator prints when it listens.
pub const LISTENING: &str = "listening on ";

/// From SIGTERM to SIGKILL when the agent ends.
pub const STOP_GRACE: Duration = Duration::from_secs(2);

pub fn coordinator(data: PathBuf, listen: SocketAddr, fleets: &Path) -> ExitCode {
    serve(async {
        let mut config = CoordinatorConfig::new(data, listen);
        config.fleets = read_fleets(fleets).map_err(text)?;
        let coordinator = Coordinator::open(config).map_err(text)?;
        println!("{LISTENING}{}", coordinator.local_addr());
        coordinator.run(end_of_stdin()).await.map_err(text)
    })
}

pub fn agent(state: PathBuf) -> ExitCode {
    serve(async {
        let key = std::env::var(JOIN_KEY_VARIABLE).map_err(|_| format!("{JOIN_KEY_VARIABLE} is not set"))?;
        let key = JoinKey::from_text(&key).map_err(text)?;
        let mut config = AgentConfig::from_join_key(key, state).map_err(text)?;
        config.on_shutdown = OnShutdown::StopAll { grace: STOP_GRACE };
        playgate_agent::run(config, end_of_stdin()).await.map_err(text)
    })
}

pub fn relay(state: PathBuf, listen: SocketAddr) -> ExitCode {
    serve(async move {
        let mut config = match std::env::var(JOIN_KEY_VARIABLE) {
            Ok(key) => {
                RelayServiceConfig::from_join_key(JoinKey::from_text(&key).map_err(text)?, state).map_err(text)?
            }
            Err(_) => RelayServiceConfig::from_state(state).map_err(text)?,
        };
        config.relay.listen = listen;
        config.relay.destinations = vec!["127.0.0.0/8".parse().map_err(text)?];
        playgate_relay::run(config, end_of_stdin()).await.map_err(text)
    })
}

fn serve(service: impl Future<Output = Result<(), String>>) -> ExitCode {
    let filter = EnvFilter::try_from_env("PLAYGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(text).and_then(|runtime| runtime.block_on(service)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

async fn end_of_stdin() {
    let (ended, end) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        while !matches!(stdin.read(&mut [0; 64]), Ok(0) | Err(_)) {}
        drop(ended);
    });
    let _ = end.await; // the sender is gone: that is the message
}

fn text(error: impl Display) -> String {
    error.to_string()
}
