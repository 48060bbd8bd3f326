//! The commands of a relay, for `playgate-relay` and for `playgate relay`. Their help is the manual.

mod args;
mod table;
mod top;

use std::fmt;
use std::io::Read;

use playgate_protocol::JoinKey;

use crate::control::{RelayServiceConfig, ServiceError, run as run_service};
use args::cores;

pub use args::{AFTER_HELP, RelayCommand, RunArgs, TopArgs};
pub use top::TopError;

/// Why a command fails.
#[derive(Debug)]
pub enum CommandError {
    /// Arguments that do not go together.
    Usage(String),
    /// The relay cannot start, or cannot go on.
    Service(ServiceError),
    /// The join key cannot be read, or is none.
    JoinKey(String),
    /// No relay tells what it does.
    Top(TopError),
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(error) => error.fmt(f),
            Self::Usage(problem) | Self::JoinKey(problem) => f.write_str(problem),
            Self::Top(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CommandError {}

impl CommandError {
    /// 2 usage, 4 something on this machine has to be mended first.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Service(_) | Self::JoinKey(_) | Self::Top(_) => 4,
        }
    }
}

impl From<ServiceError> for CommandError {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl RelayCommand {
    /// Does it. `shutdown` ends it in good order; `json` prints for programs.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn execute(self, json: bool, shutdown: impl Future<Output = ()>) -> Result<(), CommandError> {
        match self {
            Self::Run(args) => Ok(run_service(args.into_config()?, shutdown).await?),
            Self::Top(args) => tokio::select! {
                outcome = top::top(&args, json) => outcome.map_err(CommandError::Top),
                () = shutdown => Ok(()),
            },
        }
    }

    /// Services log what happens, tools only what is wrong.
    #[must_use]
    pub fn is_service(&self) -> bool {
        matches!(self, Self::Run(_))
    }
}

impl RunArgs {
    fn into_config(self) -> Result<RelayServiceConfig, CommandError> {
        self.check().map_err(CommandError::Usage)?;
        let mut config = match self.join_key()? {
            Some(text) => {
                let key = JoinKey::from_text(&text).map_err(|error| CommandError::JoinKey(error.to_string()))?;
                RelayServiceConfig::from_join_key(key, self.state)?
            }
            None => RelayServiceConfig::from_state(self.state)?,
        };
        if let Some(name) = self.name {
            config.name = name;
        }
        config.advertise = self.advertise;
        config.relay.listen = self.listen;
        config.relay.destinations = self.to;
        config.relay.cores = self.cores.unwrap_or_else(cores);
        config.relay.flows_max = self.flows_max;
        Ok(config)
    }

    /// From the file, standard input or the environment; never from the command line, where everybody could read it.
    fn join_key(&self) -> Result<Option<String>, CommandError> {
        let Some(path) = &self.join_key else { return Ok(std::env::var("PLAYGATE_JOIN_KEY").ok()) };
        let mut text = String::new();
        let read = match path.to_str() {
            Some("-") => std::io::stdin().read_to_string(&mut text).map(|_| ()),
            _ => std::fs::read_to_string(path).map(|content| text = content),
        };
        read.map_err(|error| CommandError::JoinKey(format!("{}: {error}", path.display())))?;
        Ok(Some(text))
    }
}
