//! Network namespaces of a test run: made with `ip`, entered by threads, and removed with everything in them when the
//! run ends. Needs root.

pub mod process;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::process::{Child, Command};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// One network namespace. Dropping it removes it, and the links that end in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one of this name, with its loopback up. A name that begins like others of its kind, and goes on with
    /// [`process::this_run`] and a dash, is found by [`remove_leftovers`].
    ///
    /// # Errors
    /// What `ip` says; without root it is not permitted.
    pub fn add(name: String) -> io::Result<Self> {
        ip(&format!("netns add {name}"))?;
        let made = Self { name };
        made.ip("link set lo up")?;
        Ok(made)
    }

    /// As it is known to `ip`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `ip` with these arguments, inside.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn ip(&self, arguments: &str) -> io::Result<()> {
        ip(&format!("-n {} {arguments}", self.name))
    }

    /// Moves the calling thread there; what it opens and starts from here on is there.
    ///
    /// # Errors
    /// The system's.
    pub fn enter(&self) -> io::Result<()> {
        let file = File::open(format!("/run/netns/{}", self.name))?;
        Ok(move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    /// Does something there, on a thread of its own.
    ///
    /// # Errors
    /// Those of the work, and of [`enter`](Self::enter).
    pub fn within<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        std::thread::scope(|scope| {
            let working = scope.spawn(|| {
                self.enter()?;
                work()
            });
            working.join().unwrap_or_else(|_| Err(io::Error::other("a thread in a network namespace panicked")))
        })
    }

    /// Starts a process there.
    ///
    /// # Errors
    /// The system's.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        self.within(|| command.spawn())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&format!("netns del {}", self.name)); // somebody may have been faster
    }
}

/// Removes the namespaces with names of this prefix, of runs that are dead.
pub fn remove_leftovers(prefix: &str) {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let run = name.strip_prefix(prefix).and_then(|rest| rest.split('-').next());
        if run.is_some_and(|run| !process::is_running(run)) {
            let _ = ip(&format!("netns del {name}")); // somebody else was faster
        }
    }
}

fn ip(arguments: &str) -> io::Result<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| io::Error::new(error.kind(), format!("ip: {error}")))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()))),
    }
}
