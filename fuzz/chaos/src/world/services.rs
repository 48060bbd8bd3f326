//! Starting and ending the services: the `playgate` binary as coordinator and as agent.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use playgate_client::{Operator, read_operator_key};
use rustix::process::Signal;

use super::{LOOK_AGAIN, PATIENCE, Setup};
use crate::Outcome;
use crate::leftovers::{self, MARK};
use crate::net::{Net, Place};

/// What the coordinator logs once it listens.
const RUNS: &str = "coordinator runs";

/// A coordinator that was started and has not answered.
pub struct Starting {
    pub child: Child,
    pub log_from: u64,
}

impl Starting {
    /// Waits for its first answer.
    pub async fn answers(&mut self, setup: &Setup) -> Outcome<Operator> {
        let (log, deadline) = (setup.dir.join("coordinator.log"), Instant::now() + PATIENCE);
        while !fs::read(&log).is_ok_and(|text| has(&text, self.log_from)) {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the coordinator did not start: {status}").into());
            }
            if Instant::now() > deadline {
                return Err("the coordinator does not come up".into());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let key = read_operator_key(setup.dir.join("data/operator.key"))?;
        let operator = Operator::connect_within(key, PATIENCE).await?;
        operator.list_hosts().await?;
        Ok(operator)
    }
}

fn has(log: &[u8], from: u64) -> bool {
    let behind = log.get(usize::try_from(from).unwrap_or(usize::MAX)..).unwrap_or_default();
    String::from_utf8_lossy(behind).contains(RUNS)
}

pub fn start_coordinator(setup: &Setup, net: &Net, port: u16) -> Outcome<Child> {
    let mut command = playgate(setup, "coordinator")?;
    let address = format!("{}:{port}", net.address(Place::Coordinator));
    command.arg("coordinator").arg("--data").arg(setup.dir.join("data")).args(["--listen", &address]);
    command.arg("--fleets").arg(setup.dir.join("fleets.toml"));
    net.spawn(Place::Coordinator, &mut command)
}

/// The binary under test, out of reach of a Ctrl-C that is meant for this program.
pub fn playgate(setup: &Setup, name: &str) -> Outcome<Command> {
    let log = File::options().create(true).append(true).open(setup.dir.join(format!("{name}.log")))?;
    let mut command = Command::new(&setup.playgate);
    command.env(MARK, &setup.run).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    Ok(command)
}

pub fn kill(child: Option<Child>) -> Outcome<()> {
    let Some(mut child) = child else { return Ok(()) };
    child.kill()?;
    child.wait()?;
    Ok(())
}

pub async fn stop(child: Option<Child>, name: &str) -> Outcome<bool> {
    let mut child = child.ok_or_else(|| format!("{name} does not run"))?;
    leftovers::kill(child.id(), Signal::TERM);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if Instant::now() > deadline {
            kill(Some(child))?;
            return Err(format!("{name} was asked to end and has not").into());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
