//! Starts server processes. Nothing else on a host does.
//!
//! No shell is involved: the arguments of a plan become the arguments of the process, byte for byte. The process leads
//! a group of its own, gets no descriptor but its log, and no variable that was not asked for.

mod executable;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use playgate_agent_core::{LaunchFailure, SpawnPlan};
use playgate_protocol::agent::LaunchError;
use playgate_protocol::{Fingerprint, LaunchCredential};
use rustix::io::Errno;
use rustix::process::{Signal, kill_process_group};

use crate::proc_fs::PROCESS_VARIABLE;
use crate::state::{Lock, Phase, Record, StateDir};
use crate::watch::{Watched, to_pid};

/// What is the same for all processes of this agent.
#[derive(Debug)]
pub(crate) struct Launcher {
    pub(crate) state: StateDir,
    pub(crate) coordinator: String,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) advertise: Option<IpAddr>,
    pub(crate) boot_id: String,
    /// Held as long as anything may still be launched, also when nobody waits for it any more.
    pub(crate) _lock: Lock,
}

impl Launcher {
    /// Saves the intent, then starts the process. Blocks for as long as the disk takes to load it.
    pub(crate) fn launch(&self, plan: &SpawnPlan) -> Result<Watched, LaunchFailure> {
        let dir = working_dir(plan.working_dir.as_deref())?;
        let path = executable::search_path(plan);
        let program = executable::find(&plan.argv[0], &dir, &path)?;
        self.save_intent(plan)?;
        let (out, err) = self.open_log(plan)?;
        let mut command = Command::new(&program);
        command
            .arg0(&plan.argv[0])
            .args(&plan.argv[1..])
            .env_clear()
            .envs(self.environment(plan))
            .current_dir(&dir)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err);
        let child = command.spawn().map_err(|error| spawn_failure(&program, &error))?;
        Watched::child(child.id()).map_err(|error| abandon(child, &error))
    }

    /// The record of a process.
    pub(crate) fn record(&self, plan: &SpawnPlan, phase: Phase) -> Record {
        Record {
            process: plan.process,
            fleet: plan.fleet.clone(),
            port: plan.port,
            log: self.state.log(plan.process),
            boot_id: self.boot_id.clone(),
            phase,
        }
    }

    fn save_intent(&self, plan: &SpawnPlan) -> Result<(), LaunchFailure> {
        let saved = self.state.save_record(&self.record(plan, Phase::Starting));
        let credential = || {
            let credential = LaunchCredential { process: plan.process, secret: plan.credential.clone() };
            self.state.save_credential(plan.process, &credential.to_text())
        };
        saved.and_then(|()| credential()).map_err(|error| self.state_failure(&error))
    }

    fn open_log(&self, plan: &SpawnPlan) -> Result<(File, File), LaunchFailure> {
        let open = || {
            let out = self.state.open_log(plan.process)?;
            Ok((out.try_clone()?, out))
        };
        open().map_err(|error: io::Error| self.state_failure(&error))
    }

    fn state_failure(&self, error: &io::Error) -> LaunchFailure {
        let dir = self.state.root().display();
        os(&format!("the agent cannot write to its state directory {dir}: {error}; make room or correct its owner"))
    }

    /// Exactly what the fleet lets through and sets, and what the agent adds. Later ones replace earlier ones.
    fn environment(&self, plan: &SpawnPlan) -> Vec<(OsString, OsString)> {
        let passed = plan.env_pass.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
        let set = plan.env.iter().map(|(name, value)| (name.into(), value.into()));
        let ours = [
            ("PLAYGATE_COORDINATOR", Some(self.coordinator.clone().into())),
            ("PLAYGATE_COORDINATOR_KEY", Some(self.fingerprint.to_string().into())),
            ("PLAYGATE_CREDENTIAL_FILE", Some(self.state.credential(plan.process).into())),
            (PROCESS_VARIABLE, Some(plan.process.to_string().into())),
            ("PLAYGATE_ADVERTISE", self.advertise.map(|address| address.to_string().into())),
            ("PLAYGATE_NAME", Some(plan.name.as_str().into())),
        ];
        let ours = ours.into_iter().filter_map(|(name, value)| Some((name.into(), value?)));
        passed.chain(set).chain(ours).collect()
    }
}

fn working_dir(wanted: Option<&str>) -> Result<PathBuf, LaunchFailure> {
    let dir = std::path::absolute(wanted.unwrap_or("."))
        .map_err(|error| os(&format!("the agent's own directory is not known: {error}")))?;
    match std::fs::metadata(&dir) {
        Ok(found) if found.is_dir() => Ok(dir),
        Ok(_) => Err(no_dir(&dir, "is not a directory")),
        Err(error) => Err(no_dir(&dir, &format!("cannot be entered: {error}"))),
    }
}

fn no_dir(dir: &Path, problem: &str) -> LaunchFailure {
    let detail = format!(
        "the working directory {} {problem}; make it on this host or correct the fleet's working_dir",
        dir.display()
    );
    LaunchFailure::new(LaunchError::WorkingDirectoryMissing, &detail)
}

fn spawn_failure(program: &Path, error: &io::Error) -> LaunchFailure {
    let program = program.display();
    match error.kind() {
        ErrorKind::NotFound => os(&format!(
            "{program} exists, but the interpreter in its first line, or its dynamic loader, does not; install it"
        )),
        ErrorKind::PermissionDenied => LaunchFailure::new(
            LaunchError::ExecutableNotExecutable,
            &format!("{program} may not be executed: {error}; is its file system mounted noexec?"),
        ),
        _ if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
            os(&format!("{program} is no program for this machine; a script needs a first line such as #!/bin/sh"))
        }
        _ => os(&format!("{program} could not be started: {error}")),
    }
}

/// A process that cannot be watched is not kept.
fn abandon(mut child: std::process::Child, error: &io::Error) -> LaunchFailure {
    if let Some(pid) = to_pid(child.id()) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let _ = child.wait();
    os(&format!("no descriptor is left to watch it with: {error}; raise the agent's limit of open files"))
}

fn os(detail: &str) -> LaunchFailure {
    LaunchFailure::new(LaunchError::Os, detail)
}

#[cfg(test)]
mod tests;
