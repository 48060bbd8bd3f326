//! The SDK's own thread: a small runtime that does nothing but the link.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use playgate_link::{Dialer, Identity, LinkProfile};
use tokio::runtime::{Builder, Runtime};

use crate::config::Config;
use crate::driver::Driver;
use crate::limits::LAST_PACKETS_TIME_MAX;
use crate::shared::Shared;

pub(crate) struct LinkThread {
    handle: JoinHandle<()>,
    /// Hangs up when the thread is done.
    done: Receiver<()>,
}

impl LinkThread {
    /// Does everything that can fail before the thread exists, so that the caller hears of it.
    pub(crate) fn start(config: Config, shared: Arc<Shared>) -> Result<Self, StartError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let dialer = {
            let _inside = runtime.enter();
            Dialer::new(Identity::generate(), LinkProfile::fleet())
        };
        let dialer = match dialer {
            Ok(dialer) => dialer,
            Err(error) => {
                runtime.shutdown_background(); // a plain drop would panic on a thread of another runtime
                return Err(StartError::Socket(error.to_string()));
            }
        };
        let (still_running, done) = sync_channel::<()>(0);
        let driver = Driver::new(config, dialer, shared);
        let run = move || {
            let _still_running = still_running;
            drive(driver, runtime);
        };
        let handle = std::thread::Builder::new().name("playgate-link".to_owned()).spawn(run);
        Ok(Self { handle: handle.map_err(StartError::Thread)?, done })
    }

    /// Waits for the thread until a little after `by`. A thread that hangs in the game's health callback is left
    /// behind; the process is about to exit anyway.
    pub(crate) fn join(self, by: Instant) {
        if self.handle.thread().id() == std::thread::current().id() {
            return; // the health callback held the last clone; the thread ends by itself
        }
        let patience = by.saturating_duration_since(Instant::now()) + 3 * LAST_PACKETS_TIME_MAX;
        if self.done.recv_timeout(patience) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = self.handle.join(); // a panic in there was printed by its own thread
        }
    }
}

fn drive(driver: Driver, runtime: Runtime) {
    runtime.block_on(driver.run());
    runtime.shutdown_background(); // a resolver that hangs must not keep the process
}

/// Why the SDK could not start. Both are the system's refusal to give what every process may have.
#[derive(Debug)]
pub enum StartError {
    /// No thread, or no event loop for it.
    Thread(std::io::Error),
    /// No UDP socket.
    Socket(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thread(error) => write!(f, "the system gives no thread for the link: {error}"),
            Self::Socket(error) => write!(f, "the system gives no UDP socket for the link: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Thread(error) => Some(error),
            Self::Socket(_) => None,
        }
    }
}
