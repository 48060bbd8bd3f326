//! What a server needs to know before it starts, and where an agent or a person leaves it.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use playgate_protocol::{Credential, Fingerprint, JoinKey, JoinRole, LaunchCredential, Name};

use crate::limits::{HEALTH_TIMEOUT, KEY_FILE_BYTES_MAX};

const COORDINATOR: &str = "PLAYGATE_COORDINATOR";
const COORDINATOR_KEY: &str = "PLAYGATE_COORDINATOR_KEY";
const CREDENTIAL_FILE: &str = "PLAYGATE_CREDENTIAL_FILE";
const JOIN_KEY: &str = "PLAYGATE_JOIN_KEY";
const JOIN_KEY_FILE: &str = "PLAYGATE_JOIN_KEY_FILE";
const NAME: &str = "PLAYGATE_NAME";
const ADVERTISE: &str = "PLAYGATE_ADVERTISE";

/// Where the coordinator is, what entitles this process, and how its health is known.
///
/// `Debug` does not show the credential.
///
/// # Where does it come from?
/// A server launched by an agent, or by `playgate dev`, finds everything in its environment: [`Config::from_env`]. One
/// that is started by hand needs a join key, made with `playgate key new server --fleet <fleet>`, in
/// `PLAYGATE_JOIN_KEY` or in the file that `PLAYGATE_JOIN_KEY_FILE` names.
///
/// ```no_run
/// use std::time::Duration;
/// let config = playgate::Config::from_env()?.name("arena eu 1").health_timeout(Duration::from_secs(5));
/// # Ok::<(), playgate::ConfigError>(())
/// ```
pub struct Config {
    pub(crate) coordinator: String,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) credential: Credential,
    pub(crate) name: Name,
    pub(crate) advertise: Option<IpAddr>,
    pub(crate) health: Health,
}

/// How the game proves that it is well.
pub(crate) enum Health {
    /// By polling at least this often.
    Polling(Duration),
    /// By what it answers when asked, on the SDK's thread.
    Asked(Box<dyn Fn() -> bool + Send>),
}

impl Config {
    /// What the agent that launched this process left in the environment, or a join key that a person put there.
    ///
    /// | variable | holds |
    /// |---|---|
    /// | `PLAYGATE_COORDINATOR` | host and port of the coordinator |
    /// | `PLAYGATE_COORDINATOR_KEY` | fingerprint of its key |
    /// | `PLAYGATE_CREDENTIAL_FILE` | path of the file with this process's credential |
    /// | `PLAYGATE_JOIN_KEY`, `PLAYGATE_JOIN_KEY_FILE` | instead of these three: a join key, or the file it is in |
    /// | `PLAYGATE_NAME` | display name; optional |
    /// | `PLAYGATE_ADVERTISE` | IP address at which players reach this server; optional |
    ///
    /// # Errors
    /// [`ConfigError`] names the variable and the remedy.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut config = match (variable(CREDENTIAL_FILE), variable(JOIN_KEY), variable(JOIN_KEY_FILE)) {
            (Some(path), _, _) => Self::launched(Path::new(&path), &variable)?,
            (None, Some(text), _) => Self::joining(JOIN_KEY, &text)?,
            (None, None, Some(path)) => Self::joining(JOIN_KEY_FILE, &read_line(JOIN_KEY_FILE, Path::new(&path))?)?,
            (None, None, None) => return Err(ConfigError::NotLaunched),
        };
        if let Some(name) = variable(NAME) {
            config = config.name(&name);
        }
        if let Some(ip) = variable(ADVERTISE) {
            let problem = "should be an IP address, such as 203.0.113.7";
            let ip = ip.parse().map_err(|_| ConfigError::Invalid { variable: ADVERTISE, problem })?;
            config = config.advertise(ip);
        }
        Ok(config)
    }

    fn launched(path: &Path, variable: &impl Fn(&'static str) -> Option<String>) -> Result<Self, ConfigError> {
        let needed = |name| variable(name).ok_or(ConfigError::Missing { variable: name });
        let coordinator = needed(COORDINATOR)?;
        let fingerprint = needed(COORDINATOR_KEY)?.trim().parse().map_err(|_| ConfigError::Invalid {
            variable: COORDINATOR_KEY,
            problem: "should be a fingerprint: 52 lower-case letters and digits",
        })?;
        let credential = LaunchCredential::from_text(&read_line(CREDENTIAL_FILE, path)?);
        let LaunchCredential { process, secret } = credential.map_err(|_| ConfigError::Invalid {
            variable: CREDENTIAL_FILE,
            problem: "should name a credential file as an agent writes it (pgcred1/...); this one is damaged",
        })?;
        Ok(Self::new(coordinator, fingerprint, Credential::Launch { process, secret }))
    }

    fn joining(variable: &'static str, text: &str) -> Result<Self, ConfigError> {
        let key = JoinKey::from_text(text).map_err(|_| ConfigError::Invalid {
            variable,
            problem: "should hold a join key (pgkey1/server/...), whole and on one line",
        })?;
        Self::from_join_key(key)
    }

    /// For a server that is started by hand.
    ///
    /// # Errors
    /// [`ConfigError::WrongRole`] when the key is for something else than servers.
    pub fn from_join_key(key: JoinKey) -> Result<Self, ConfigError> {
        if key.role != JoinRole::Server {
            return Err(ConfigError::WrongRole { role: key.role });
        }
        Ok(Self::new(key.coordinator, key.fingerprint, Credential::Join { secret: key.secret }))
    }

    fn new(coordinator: String, fingerprint: Fingerprint, credential: Credential) -> Self {
        let health = Health::Polling(HEALTH_TIMEOUT);
        Self { coordinator, fingerprint, credential, name: Name::default(), advertise: None, health }
    }

    /// What people see this server called, at most 256 bytes; a longer name is cut.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Name::lossy(name);
        self
    }

    /// The address at which players reach this server, where neither agent nor coordinator can know it.
    #[must_use]
    pub fn advertise(mut self, ip: IpAddr) -> Self {
        self.advertise = Some(ip);
        self
    }

    /// How long the game may go without a [`poll`](crate::Server::poll) and still count as well; 3 s if never set.
    #[must_use]
    pub fn health_timeout(mut self, timeout: Duration) -> Self {
        self.health = Health::Polling(timeout);
        self
    }

    /// Asks `healthy` at every beat, about once a second, instead of watching the polls.
    ///
    /// It is called on the SDK's thread and should answer at once: while it thinks, no report leaves. A panic counts as
    /// "no".
    #[must_use]
    pub fn on_health(mut self, healthy: impl Fn() -> bool + Send + 'static) -> Self {
        self.health = Health::Asked(Box::new(healthy));
        self
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("coordinator", &self.coordinator)
            .field("name", &self.name)
            .field("advertise", &self.advertise)
            .finish_non_exhaustive()
    }
}

fn read_line(variable: &'static str, path: &Path) -> Result<String, ConfigError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| ConfigError::Unreadable { variable, path: path.to_owned(), error })?;
    Ok(text)
}

/// Why there is no configuration. Its text names the variable and the remedy, and repeats no secret.
#[derive(Debug)]
pub enum ConfigError {
    /// Nothing in the environment says what entitles this process.
    NotLaunched,
    /// The agent sets these together, and one is missing.
    Missing {
        /// Which.
        variable: &'static str,
    },
    /// A variable holds something else than it should.
    Invalid {
        /// Which.
        variable: &'static str,
        /// What it should hold.
        problem: &'static str,
    },
    /// The file that a variable names cannot be read.
    Unreadable {
        /// The variable.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The join key is not for a server.
    WrongRole {
        /// What it is for.
        role: JoinRole,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLaunched => f.write_str(
                "neither PLAYGATE_CREDENTIAL_FILE nor PLAYGATE_JOIN_KEY is set: let an agent launch this server \
                 (try: playgate dev -- <command>), or make it a join key (playgate key new server --fleet <fleet>)",
            ),
            Self::Missing { variable } => {
                write!(f, "{variable} is not set, though PLAYGATE_CREDENTIAL_FILE is: an agent sets both; pass both on")
            }
            Self::Invalid { variable, problem } => write!(f, "{variable} {problem}"),
            Self::Unreadable { variable, path, error } => {
                write!(f, "{variable} names {}, which cannot be read: {error}", path.display())
            }
            Self::WrongRole { role } => {
                write!(f, "the join key is for role {role}: a server needs one made with playgate key new server")
            }
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { error, .. } => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
