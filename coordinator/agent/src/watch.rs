//! One running server process, held by a pidfd: a process id may be given to somebody else, a pidfd never is.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use playgate_protocol::agent::ExitStatus;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, pidfd_open, pidfd_send_signal,
    waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::proc_fs;

/// A running server process. It leads the process group of the same number.
#[derive(Debug)]
pub(crate) struct Watched {
    pidfd: Arc<OwnedFd>,
    pid: Pid,
    start_ticks: u64,
    origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Started by this agent. Until it is reaped nobody else gets its number, for process or group.
    Child,
    /// Started by a former agent. The system reaps it, and its number may be given away.
    Adopted,
}

impl Watched {
    /// Watches a child that was just started and not reaped.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub(crate) fn child(pid: u32) -> io::Result<Self> {
        let pid = to_pid(pid).ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = Arc::new(pidfd_open(pid, PidfdFlags::empty())?);
        let stat = proc_fs::stat(from_pid(pid)).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { pidfd, pid, start_ticks: stat.start_ticks, origin: Origin::Child })
    }

    /// Watches a process that a former agent started, if it is still that one and runs.
    pub(crate) fn adopt(pid: u32, start_ticks: u64) -> Option<Self> {
        let pid = to_pid(pid)?;
        let pidfd = Arc::new(pidfd_open(pid, PidfdFlags::empty()).ok()?);
        let adopted = Self { pidfd, pid, start_ticks, origin: Origin::Adopted };
        // The descriptor comes first: if it still runs after its start was read, the start is of what is held.
        let same = proc_fs::stat(from_pid(pid)).is_some_and(|stat| stat.start_ticks == start_ticks);
        (same && !adopted.has_exited()).then_some(adopted)
    }

    pub(crate) fn pid(&self) -> u32 {
        from_pid(self.pid)
    }

    pub(crate) fn start_ticks(&self) -> u64 {
        self.start_ticks
    }

    pub(crate) fn is_adopted(&self) -> bool {
        self.origin == Origin::Adopted
    }

    /// Resolves once it is gone. Call it inside a tokio runtime.
    pub(crate) fn exit(&self) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        #[expect(
            deprecated,
            reason = "sound here, as nobody can close what an Arc owns; its successor is unsafe to call"
        )]
        let pidfd = AsyncFd::with_interest(Arc::clone(&self.pidfd), Interest::READABLE)?;
        Ok(async move {
            // An error would mean that the runtime is going down; then nobody waits for this either.
            let _ = pidfd.readable().await;
        })
    }

    /// Signals every process of its group, and itself if it moved to another group; nobody, if it is gone.
    pub(crate) fn signal_group(&self, signal: Signal) {
        if self.has_exited() {
            return;
        }
        let _ = kill_process_group(self.pid, signal); // gone in this moment: nothing to signal
        let moved = proc_fs::stat(self.pid()).is_some_and(|stat| stat.group != self.pid());
        if moved {
            let _ = pidfd_send_signal(&*self.pidfd, signal);
        }
    }

    /// After its exit: kills what is left of its group, reaps it, and says how it ended.
    pub(crate) fn collect(&self) -> ExitStatus {
        if self.is_adopted() {
            return ExitStatus::Unknown; // the janitor looks after the group, which may have another owner by now
        }
        let id = || WaitId::PidFd(self.pidfd.as_fd());
        let status = waitid(id(), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT);
        if !matches!(status, Ok(Some(_))) {
            return ExitStatus::Unknown; // somebody else in this program reaped it
        }
        let _ = kill_process_group(self.pid, Signal::KILL);
        match waitid(id(), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(Some(status)) => exit_status(&status),
            Ok(None) | Err(_) => ExitStatus::Unknown,
        }
    }

    fn has_exited(&self) -> bool {
        self.exits_within(Timespec { tv_sec: 0, tv_nsec: 0 })
    }

    fn exits_within(&self, time: Timespec) -> bool {
        let mut fds = [PollFd::new(&*self.pidfd, PollFlags::IN)];
        poll(&mut fds, Some(&time)).is_ok_and(|ready| ready > 0)
    }

    /// Waits for its end without a runtime.
    #[cfg(test)]
    pub(crate) fn wait(&self) -> ExitStatus {
        let exited = self.exits_within(Timespec { tv_sec: 30, tv_nsec: 0 });
        if !exited {
            self.signal_group(Signal::KILL);
        }
        assert!(exited, "process {} does not end", self.pid());
        self.collect()
    }
}

fn exit_status(status: &WaitIdStatus) -> ExitStatus {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitStatus::Code(code),
        (None, Some(signal)) => ExitStatus::Signal(signal),
        (None, None) => ExitStatus::Unknown,
    }
}

pub(crate) fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

fn from_pid(pid: Pid) -> u32 {
    u32::try_from(pid.as_raw_nonzero().get()).expect("process ids are positive")
}
