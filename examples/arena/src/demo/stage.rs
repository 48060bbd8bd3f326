//! What is running, what was checked so far, and how the demo speaks.

use std::fmt::{Debug, Display};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use playgate_client::protocol::api::{ProcessInfo, ProcessStatus};
use playgate_client::protocol::{FleetId, ServerProcessId};
use playgate_client::{CallFailed, ConnectError, Operator};
use tokio::time::sleep;

use super::actor::{Actor, PATIENCE};

/// Something was not as it should be.
#[derive(Debug)]
pub struct Unexpected(pub String);

pub type Outcome<T = ()> = Result<T, Unexpected>;

impl Unexpected {
    /// For `map_err`: what was being done when the error came.
    pub fn because<E: Display>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |error| Self(format!("{doing}: {error}"))
    }
}

impl From<CallFailed> for Unexpected {
    fn from(error: CallFailed) -> Self {
        Self(format!("a call to the coordinator failed: {error}"))
    }
}

impl From<ConnectError> for Unexpected {
    fn from(error: ConnectError) -> Self {
        Self(error.to_string())
    }
}

pub const FLEET: &str = "arena";
/// Between two looks at what cannot be waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

pub struct Stage {
    pub home: PathBuf,
    pub exe: PathBuf,
    pub operator: Operator,
    pub coordinator: Actor,
    pub agent: Actor,
    checks: usize,
}

impl Stage {
    pub const fn new(home: PathBuf, exe: PathBuf, operator: Operator, coordinator: Actor, agent: Actor) -> Self {
        Self { home, exe, operator, coordinator, agent, checks: 0 }
    }

    pub const fn checks(&self) -> usize {
        self.checks
    }

    /// One expectation. The demo ends with the first that does not hold.
    pub fn check<T: PartialEq + Debug>(&mut self, what: &str, is: T, should_be: T) -> Outcome {
        self.checks += 1;
        if is == should_be { Ok(()) } else { Err(Unexpected(format!("{what}: should be {should_be:?}, is {is:?}"))) }
    }

    /// All processes of the fleet, those that have ended included.
    pub async fn processes(&self) -> Outcome<Vec<ProcessInfo>> {
        Ok(self.operator.list_processes(Some(fleet()), None).await?)
    }

    pub async fn ready_processes(&self, at_least: usize) -> Outcome<Vec<ProcessInfo>> {
        let (what, started) = (format!("{at_least} servers ready"), Instant::now());
        loop {
            let mut ready = self.processes().await?;
            ready.retain(|process| process.status == ProcessStatus::Ready);
            if ready.len() >= at_least {
                return Ok(ready);
            }
            look_again(&what, started).await?;
        }
    }

    /// The log of a server, which the agent keeps.
    pub fn log_of(&self, process: ServerProcessId) -> String {
        let path = agent_state(&self.home).join("logs").join(format!("{process}.log"));
        let bytes = std::fs::read(path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until a server has logged a line.
    pub async fn logged(&self, process: ServerProcessId, line: &str) -> Outcome {
        let (what, started) = (format!("{line:?} in the log of {process}"), Instant::now());
        while !self.log_of(process).lines().any(|logged| logged == line) {
            look_again(&what, started).await?;
        }
        Ok(())
    }
}

/// Pauses before the next look, unless it has taken too long already.
pub async fn look_again(what: &str, started: Instant) -> Outcome {
    if started.elapsed() > PATIENCE {
        return Err(Unexpected(format!("waited for {} s in vain for: {what}", PATIENCE.as_secs())));
    }
    sleep(LOOK_AGAIN).await;
    Ok(())
}

pub fn fleet() -> FleetId {
    FleetId::new(FLEET).expect("a short word is a fleet's name")
}

pub fn agent_state(home: &Path) -> PathBuf {
    home.join("agent")
}

/// One line a step.
pub fn say_step(number: u8, title: &str, text: &str) {
    println!("step {number}  {title:<14} {text}");
}

/// What belongs to the step above.
pub fn say_detail(kind: &str, text: &str) {
    println!("        {kind}: {text}");
}

pub fn ms(since: Instant) -> String {
    match since.elapsed() {
        short if short < Duration::from_millis(10) => format!("{:.1} ms", short.as_secs_f64() * 1_000.0),
        long if long < Duration::from_secs(10) => format!("{} ms", long.as_millis()),
        long => format!("{:.1} s", long.as_secs_f64()),
    }
}
