//! The loop of one agent: what happens goes into the core, what the core wants is carried out.

mod effects;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use playgate_agent_core::{AgentCore, CoreConfig, Input, LaunchFailure, Restored};
use playgate_link::{Dialer, FrameSender, LinkProfile};
use playgate_protocol::agent::AgentDown;
use playgate_protocol::{HelloRole, Name, ServerProcessId};
use rustix::process::{Resource, getrlimit};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};

use crate::adopt::{Adopted, adopt};
use crate::config::{AgentConfig, OnShutdown};
use crate::courier::Courier;
use crate::error::AgentError;
use crate::janitor::Ended;
use crate::launch::Launcher;
use crate::limits::{CAPACITY_MAX, DESCRIPTORS_SPARE, EVENTS_MAX, FAREWELL_WAIT, SHUTDOWN_GRACE_MAX, SHUTDOWN_MARGIN};
use crate::proc_fs;
use crate::state::{Lock, Record, ReportFiles, StateDir};
use crate::watch::Watched;

/// Everything that can happen to an agent, besides time passing.
#[derive(Debug)]
pub(crate) enum Event {
    /// The coordinator said welcome.
    LinkUp { sender: FrameSender, applied_seq: u64 },
    /// It said something.
    Message(AgentDown),
    /// The link is over.
    LinkDown,
    /// The coordinator will not have this agent.
    LinkRefused(AgentError),
    /// A launch came to its end.
    Launched { record: Box<Record>, outcome: Result<Watched, LaunchFailure> },
    /// A process is gone.
    Exited(ServerProcessId),
    /// The janitor is done.
    Cleaned,
}

/// Runs the agent of this host until `shutdown` resolves, or until it cannot go on.
///
/// Then the servers live on, or are stopped, as [`AgentConfig::on_shutdown`] says. Dropping the future is like killing
/// the agent: the servers live on. Needs a tokio runtime with I/O and time enabled; one thread is enough.
///
/// # Errors
/// [`AgentError`] when the agent cannot start, when the coordinator refuses it for good, or when processes that were
/// to be stopped are still there.
pub async fn run(config: AgentConfig, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
    let state = StateDir::open(&config.state_dir)?;
    let lock = Lock::take(state.root()).await?;
    Agent::start(config, state, lock).await?.run(shutdown).await
}

struct Agent {
    core: AgentCore,
    /// Where the core's time begins.
    epoch: Instant,
    launcher: Arc<Launcher>,
    reports: ReportFiles,
    running: BTreeMap<ServerProcessId, Running>,
    link: Option<FrameSender>,
    dialer: Arc<Dialer>,
    on_shutdown: OnShutdown,
    events: mpsc::Sender<Event>,
    incoming: mpsc::Receiver<Event>,
    /// Everything that runs beside the loop; aborted with it.
    tasks: JoinSet<()>,
    ended: Ended,
    is_cleaning: bool,
    save_again_at: Option<Instant>,
    ending: Option<Ending>,
}

/// A process that runs, and its record, unless that was damaged.
struct Running {
    watched: Watched,
    record: Option<Record>,
}

/// The agent is on its way out.
struct Ending {
    give_up_at: Instant,
    /// Why, if not because it was told to.
    error: Option<AgentError>,
}

impl Agent {
    async fn start(config: AgentConfig, state: StateDir, lock: Lock) -> Result<Self, AgentError> {
        let identity = state.identity()?;
        let bound = state.bound(config.fingerprint)?;
        if bound.is_none() && config.join_secret.is_none() {
            return Err(AgentError::NotJoined);
        }
        let boot_id = proc_fs::boot_id().map_err(AgentError::state("/proc/sys/kernel/random/boot_id"))?;
        let seed = seed().map_err(AgentError::state("/dev/urandom"))?;
        let (reports, (acknowledged_seq, saved)) = ReportFiles::open(&state)?;
        let Adopted { processes, running, gone } = adopt(&state, &boot_id).await?;
        let restored = Restored { acknowledged_seq, reports: saved, processes };
        let dialer = Arc::new(Dialer::new(identity, LinkProfile::fleet()).map_err(AgentError::Socket)?);
        let name = Name::lossy(&config.name);
        let capacity = config.capacity.min(CAPACITY_MAX);
        check_descriptors(capacity);
        let core_config = CoreConfig { host: name.as_str().to_owned(), capacity, seed };
        let (events, incoming) = mpsc::channel(EVENTS_MAX);
        let mut tasks = JoinSet::new();
        let courier = Courier {
            dialer: Arc::clone(&dialer),
            coordinator: config.coordinator.clone(),
            fingerprint: config.fingerprint,
            role: HelloRole::Agent { name, advertise: config.advertise, capacity },
            join_secret: config.join_secret,
            bound,
            state: state.clone(),
            events: events.clone(),
        };
        tasks.spawn(courier.run(seed));
        let launcher = Launcher {
            state,
            coordinator: config.coordinator,
            fingerprint: config.fingerprint,
            advertise: config.advertise,
            boot_id,
            _lock: lock,
        };
        let mut agent = Self {
            core: AgentCore::new(Duration::ZERO, core_config, restored),
            epoch: Instant::now(),
            launcher: Arc::new(launcher),
            reports,
            running: BTreeMap::new(),
            link: None,
            dialer,
            on_shutdown: config.on_shutdown,
            events,
            incoming,
            tasks,
            ended: gone,
            is_cleaning: false,
            save_again_at: None,
            ending: None,
        };
        for (process, (watched, record)) in running {
            tracing::info!(%process, pid = watched.pid(), "watches a process of the former agent again");
            agent.watch(process, watched, record);
        }
        agent.clean();
        Ok(agent)
    }

    async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            self.carry_out();
            self.reap_tasks();
            if self.is_done() {
                return self.farewell().await;
            }
            let due = self.next_deadline();
            tokio::select! {
                biased;
                () = &mut shutdown, if self.ending.is_none() => self.end(None),
                event = self.incoming.recv() => self.on_event(event.expect("the agent holds a sender itself")),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.on_deadline(),
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let core = self.core.poll_timeout().and_then(|at| self.epoch.checked_add(at));
        let ending = self.ending.as_ref().map(|ending| ending.give_up_at);
        [core, ending, self.save_again_at].into_iter().flatten().min()
    }

    fn on_deadline(&mut self) {
        if self.save_again_at.is_some_and(|at| at <= Instant::now()) {
            let saved = self.reports.save_again();
            self.reports_saved(&saved);
        }
        self.input(Input::Timeout);
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::LinkUp { sender, applied_seq } => {
                self.link = Some(sender);
                self.input(Input::LinkUp { applied_seq });
            }
            Event::Message(message) => self.input(Input::Message(message)),
            Event::LinkDown => {
                self.link = None;
                self.input(Input::LinkDown);
            }
            Event::LinkRefused(error) => self.end(Some(error)),
            Event::Launched { record, outcome } => self.launched(*record, outcome),
            Event::Exited(process) => self.exited(process),
            Event::Cleaned => {
                self.is_cleaning = false;
                self.clean();
            }
        }
    }

    fn input(&mut self, input: Input) {
        let now = self.epoch.elapsed();
        self.core.handle(now, input);
    }

    fn end(&mut self, error: Option<AgentError>) {
        let stop_all = match self.on_shutdown {
            OnShutdown::LeaveRunning => None,
            OnShutdown::StopAll { grace } => Some(grace.min(SHUTDOWN_GRACE_MAX)),
        };
        tracing::info!(processes = self.core.process_count(), stop_all = stop_all.is_some(), "the agent ends");
        let patience = stop_all.unwrap_or_default() + SHUTDOWN_MARGIN;
        self.ending.get_or_insert(Ending { give_up_at: Instant::now() + patience, error });
        self.input(Input::Shutdown { stop_all });
    }

    fn is_done(&self) -> bool {
        let settled = self.core.is_settled() && !self.is_cleaning;
        self.ending.as_ref().is_some_and(|ending| settled || ending.give_up_at <= Instant::now())
    }

    /// Sends what is left to say, and says why it ends.
    async fn farewell(mut self) -> Result<(), AgentError> {
        if let Some(link) = self.link.take() {
            let _ = link.finish_and_wait(FAREWELL_WAIT).await; // what does not arrive is in the state directory
        }
        self.dialer.shutdown(FAREWELL_WAIT).await;
        let stop_all = self.on_shutdown != OnShutdown::LeaveRunning;
        match self.ending.and_then(|ending| ending.error) {
            Some(error) => Err(error),
            None if stop_all && !self.core.is_settled() => {
                Err(AgentError::StillRunning { count: self.core.process_count() })
            }
            None => Ok(()),
        }
    }

    /// A bug in a task is a bug in the agent.
    fn reap_tasks(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended
                && let Ok(panic) = error.try_into_panic()
            {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// For jitter only.
fn seed() -> std::io::Result<u64> {
    let mut seed = [0; 8];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(u64::from_le_bytes(seed))
}

/// One descriptor watches each process; better to hear of a low limit before the host is full.
fn check_descriptors(capacity: u32) {
    let needed = u64::from(capacity) + DESCRIPTORS_SPARE;
    if let Some(limit) = getrlimit(Resource::Nofile).current.filter(|limit| *limit < needed) {
        tracing::warn!(limit, needed, "the limit of open files (ulimit -n) is too low for this capacity; raise it");
    }
}
