//! Which file a command means.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use playgate_agent_core::{LaunchFailure, SpawnPlan};
use playgate_protocol::agent::LaunchError;
use rustix::fs::{Access, access};

/// Where programs are where nobody says anything else.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// `PATH` as the fleet sets it, else as the agent has it.
pub(super) fn search_path(plan: &SpawnPlan) -> OsString {
    let set = plan.env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.into());
    set.or_else(|| std::env::var_os("PATH")).unwrap_or_else(|| DEFAULT_PATH.into())
}

/// A name with a slash is relative to the working directory, one without is searched for.
pub(super) fn find(name: &str, dir: &Path, path: &OsStr) -> Result<PathBuf, LaunchFailure> {
    if name.contains('/') {
        let file = dir.join(name);
        return match check(&file) {
            Usable::Yes => Ok(file),
            Usable::Missing => Err(missing(&format!("{} does not exist", file.display()))),
            Usable::No(why) => Err(not_executable(&file, why)),
        };
    }
    let mut refused = None;
    for place in std::env::split_paths(path).filter(|place| place.is_absolute()) {
        let file = place.join(name);
        match check(&file) {
            Usable::Yes => return Ok(file),
            Usable::No(why) => refused = refused.or(Some((file, why))),
            Usable::Missing => {}
        }
    }
    Err(match refused {
        Some((file, why)) => not_executable(&file, why),
        None => missing(&format!("{name:?} is nowhere in PATH ({})", path.display())),
    })
}

enum Usable {
    Yes,
    Missing,
    No(&'static str),
}

fn check(file: &Path) -> Usable {
    match fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Usable::No("cannot be reached"),
        Err(_) => Usable::Missing,
        Ok(found) if !found.is_file() => Usable::No("is not a file"),
        Ok(_) if access(file, Access::EXEC_OK).is_err() => Usable::No("may not be executed"),
        Ok(_) => Usable::Yes,
    }
}

fn missing(problem: &str) -> LaunchFailure {
    let detail = format!("{problem}; install the server on this host or correct the fleet's command");
    LaunchFailure::new(LaunchError::ExecutableMissing, &detail)
}

fn not_executable(file: &Path, why: &str) -> LaunchFailure {
    let file = file.display();
    let detail = format!("{file} {why}; try chmod +x {file}, or correct the fleet's command");
    LaunchFailure::new(LaunchError::ExecutableNotExecutable, &detail)
}
