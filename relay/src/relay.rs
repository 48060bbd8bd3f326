//! Starts the threads, and speaks to all of them.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use playgate_protocol::{PlayerSessionId, TimeMs};
use playgate_relay_core::{Config, Core, Counters, FlowInfo, Now, Secrets};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::RelayConfig;
use crate::os::steer_by_fifth_byte;
use crate::upstream::Upstreams;
use crate::worker::{Buffers, COMMANDS, Command, PLAYERS, Report, Worker, WorkerClock};

/// Commands that wait for a thread; a full queue makes the caller wait.
const COMMANDS_MAX: usize = 1_024;
/// Receive and send buffers of the players' sockets, in bytes; the kernel grants as much as it allows.
const BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// A relay that runs. Dropping it stops it.
pub struct Relay {
    threads: Vec<Thread>,
    local: SocketAddr,
}

struct Thread {
    commands: SyncSender<Command>,
    wake: Arc<OwnedFd>,
    view: Arc<Mutex<CoreView>>,
    running: Option<JoinHandle<()>>,
}

/// What one core did, as of half a second ago.
#[derive(Debug, Clone, Default)]
pub struct CoreView {
    /// Since the start.
    pub counters: Counters,
    /// Flows that are open.
    pub flows: usize,
    /// Datagrams that were to be sent and that the kernel did not take.
    pub lost: u64,
    /// Each of the flows, while [`Relay::show_flows`] is on.
    pub flow_list: Vec<FlowInfo>,
}

/// Why a relay does not start.
#[derive(Debug)]
pub enum StartError {
    /// The port for players.
    Bind {
        /// Which.
        listen: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// A thread, or what it waits with.
    Io(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { listen, error } => write!(f, "cannot listen on {listen}: {error}"),
            Self::Io(error) => write!(f, "cannot start a relay thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Relay {
    /// Binds the port and starts the threads. Until [`Relay::set_secrets`] no flow is opened. `report` is called by the
    /// threads, so it must not block.
    ///
    /// # Errors
    /// [`StartError`]
    pub fn start(config: RelayConfig, report: impl Fn(Report) + Clone + Send + 'static) -> Result<Self, StartError> {
        let cores = config.cores.max(1);
        let bind_error = |error| StartError::Bind { listen: config.listen, error };
        let first = bind(config.listen).map_err(bind_error)?;
        let local = first.local_addr().map_err(bind_error)?;
        let mut sockets = vec![first];
        for _ in 1..cores {
            sockets.push(bind(local).map_err(bind_error)?);
        }
        steer_by_fifth_byte(sockets[0].as_fd(), cores)?;
        let shared = Shared { epoch: random::<1>()[0], cookie_seed: random(), start: Instant::now() };
        let cpus = allowed_cpus();
        let mut threads = Vec::new();
        for (core, socket) in (0..cores).zip(sockets) {
            let cpu = (cores > 1).then(|| cpus.get(usize::from(core) % cpus.len().max(1)).copied()).flatten();
            threads.push(spawn(core, cpu, socket, &config, &shared, Box::new(report.clone()))?);
        }
        Ok(Self { threads, local })
    }

    /// Where players send to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Opens passes with these from here on.
    pub fn set_secrets(&self, secrets: Secrets) {
        self.tell(&Command::Secrets(secrets));
    }

    /// Ends a player session's flow, and takes no pass of it until `until_ms`.
    pub fn revoke(&self, player_session: PlayerSessionId, until_ms: TimeMs) {
        self.revoke_all(&[(player_session, until_ms)]);
    }

    /// The same for many at once.
    pub fn revoke_all(&self, list: &[(PlayerSessionId, TimeMs)]) {
        self.tell(&Command::Revoke(list.into()));
    }

    /// Takes no new players while it drains.
    pub fn set_draining(&self, is_draining: bool) {
        self.tell(&Command::Draining(is_draining));
    }

    /// The coordinator's time at this moment. Until it is told, a relay goes by the wall clock.
    pub fn set_time(&self, ms: TimeMs) {
        self.tell(&Command::Time { ms, at: Instant::now() });
    }

    /// Whether views list the flows one by one.
    pub fn show_flows(&self, shows: bool) {
        self.tell(&Command::ShowFlows(shows));
    }

    /// What each core did.
    #[must_use]
    pub fn views(&self) -> Vec<CoreView> {
        self.threads.iter().map(|thread| thread.view.lock().expect("nobody panics while holding it").clone()).collect()
    }

    /// What all cores did together, as of half a second ago.
    #[must_use]
    pub fn totals(&self) -> Counters {
        let mut totals = Counters::default();
        self.views().iter().for_each(|view| totals.add(&view.counters));
        totals
    }

    fn tell(&self, command: &Command) {
        for thread in &self.threads {
            // A thread that has stopped needs to be told nothing.
            if thread.commands.send(command.clone()).is_ok() {
                let _ = rustix::io::write(&*thread.wake, &1_u64.to_ne_bytes());
            }
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.tell(&Command::Stop);
        for thread in &mut self.threads {
            if let Some(running) = thread.running.take() {
                let _ = running.join();
            }
        }
    }
}

/// What the cores of one start have in common.
struct Shared {
    epoch: u8,
    cookie_seed: [u8; 32],
    start: Instant,
}

fn spawn(
    core: u8,
    cpu: Option<usize>,
    players: UdpSocket,
    config: &RelayConfig,
    shared: &Shared,
    report: Box<dyn Fn(Report) + Send>,
) -> io::Result<Thread> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    epoll::add(&poll, &players, epoll::EventData::new_u64(PLAYERS), epoll::EventFlags::IN)?;
    epoll::add(&poll, &*wake, epoll::EventData::new_u64(COMMANDS), epoll::EventFlags::IN)?;
    let clock = WorkerClock { start: shared.start, known: (wall_clock_ms(), Instant::now()) };
    let core_config = Config {
        core,
        epoch: shared.epoch,
        flows_max: config.flows_max,
        flow_idle: config.flow_idle,
        destinations: config.destinations.clone(),
        cookie_seed: shared.cookie_seed,
        reset_key: config.reset_key,
        seed: random(),
    };
    let (commands, told) = sync_channel(COMMANDS_MAX);
    let view = Arc::new(Mutex::new(CoreView::default()));
    let worker = Worker {
        core: Core::new(core_config, Now { clock: Duration::ZERO, ms: clock.known.0 }),
        players,
        poll,
        upstreams: Upstreams::new(config.send_from.clone(), &config.reset_key),
        commands: told,
        wake: Arc::clone(&wake),
        report,
        view: Arc::clone(&view),
        clock,
        buffers: Buffers::new(),
    };
    let running = thread::Builder::new().name(format!("relay-{core}")).spawn(move || {
        if let Some(cpu) = cpu {
            let mut set = CpuSet::new();
            set.set(cpu);
            // Without it the relay works, and threads wander.
            let _ = sched_setaffinity(None, &set);
        }
        worker.run();
    })?;
    Ok(Thread { commands, wake, view, running: Some(running) })
}

fn bind(listen: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    if listen.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_port(true)?;
    // A kernel that grants less still works.
    let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(BUFFER_BYTES);
    socket.bind(&listen.into())?;
    Ok(socket.into())
}

fn allowed_cpus() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

pub(crate) fn wall_clock_ms() -> TimeMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn random<const LEN: usize>() -> [u8; LEN] {
    let mut bytes = [0; LEN];
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
