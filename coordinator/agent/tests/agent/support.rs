//! A host with an agent, and a test that plays its coordinator.

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use playgate_agent::{AgentConfig, AgentError, OnShutdown, run};
use playgate_link::{CloseCode, FrameSender, Identity, LinkProfile, ListenConfig, Listener};
use playgate_protocol::agent::{AgentDown, AgentReport, AgentUp, Arg, ExitStatus, LaunchOrder, StopStep};
use playgate_protocol::{
    Fingerprint, FleetId, Greeting, Hello, HostId, List, Name, Refusal, RefusalReason, Secret32, ServerProcessId, Text,
    Welcome, WelcomeRole,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Far beyond what anything here takes; who waits longer waits in vain.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The test that is an agent when this is set.
const AGENT_VARIABLE: &str = "PLAYGATE_TEST_AGENT";

/// Secrets that may appear in no log.
pub const JOIN_SECRET: [u8; 32] = [0x5a; 32];
pub const CREDENTIAL: [u8; 32] = [0xc3; 32];

/// A coordinator and one host with a state directory. Ends every process that was started from it.
pub struct World {
    pub dir: TempDir,
    listener: Listener,
    pub fingerprint: Fingerprint,
}

impl World {
    /// Call it inside a runtime.
    pub fn new() -> Self {
        let identity = Identity::generate();
        let fingerprint = identity.fingerprint();
        let listener = Listener::bind(ListenConfig {
            addr: "127.0.0.1:0".parse().unwrap(),
            identity,
            reset_key: [7; 64],
            connection_id_key: 7,
            profile: LinkProfile::fleet(),
            max_links: 16,
        });
        Self { dir: tempfile::tempdir().unwrap(), listener: listener.unwrap(), fingerprint }
    }

    pub fn addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    pub fn log(&self, process: ServerProcessId) -> String {
        fs::read_to_string(self.state().join(format!("logs/{process}.log"))).unwrap_or_default()
    }

    pub fn config(&self) -> AgentConfig {
        config(self.addr().to_string(), self.fingerprint, self.state())
    }

    /// An agent inside the test.
    pub fn agent(&self) -> Agent {
        self.agent_with(|_| {})
    }

    pub fn agent_with(&self, change: impl FnOnce(&mut AgentConfig)) -> Agent {
        let mut config = self.config();
        change(&mut config);
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        Agent { stop: Some(stop), task: tokio::spawn(run(config, shutdown)) }
    }

    /// An agent that can be killed: this executable once more.
    pub fn agent_process(&self) -> AgentProcess {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "support::this_executable_is_also_an_agent", "--nocapture"])
            .env(AGENT_VARIABLE, format!("{}\n{}\n{}", self.addr(), self.fingerprint, self.state().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        AgentProcess(child.unwrap())
    }

    /// The next agent that comes, not yet greeted.
    pub async fn caller(&self) -> Caller {
        let accept = async {
            loop {
                let attempt = self.listener.accept().await.expect("an open listener");
                let Ok(link) = attempt.establish().await else { continue };
                let peer = link.peer();
                let (sender, mut receiver) = link.split();
                let Ok(hello) = receiver.recv::<Hello>().await else { continue };
                return Caller { hello, peer, sender, receiver };
            }
        };
        timeout(PATIENCE, accept).await.expect("an agent should call")
    }

    /// The next agent that comes, welcomed.
    pub async fn welcome(&self, applied_seq: u64) -> Session {
        self.caller().await.welcome(applied_seq)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let mark = format!("PLAYGATE_CREDENTIAL_FILE={}/", self.dir.path().display());
        while kill_marked(&mark) > 0 {
            std::thread::yield_now();
        }
    }
}

fn kill_marked(mark: &str) -> usize {
    let marked = processes().into_iter().filter(|pid| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark.as_bytes()))
    });
    marked.map(|pid| kill(pid, Signal::KILL)).count()
}

pub fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

pub fn kill(pid: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal);
}

/// Whether there is such a process, dead ones that nobody reaped included.
pub fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Whether it runs.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn config(coordinator: String, fingerprint: Fingerprint, state_dir: PathBuf) -> AgentConfig {
    AgentConfig {
        coordinator,
        fingerprint,
        join_secret: Some(Secret32::from_bytes(JOIN_SECRET)),
        name: "box-1".to_owned(),
        advertise: None,
        capacity: 32,
        state_dir,
        on_shutdown: OnShutdown::LeaveRunning,
    }
}

/// Passes as a test; with the variable set it runs until it is killed.
#[test]
fn this_executable_is_also_an_agent() {
    let Ok(told) = std::env::var(AGENT_VARIABLE) else { return };
    let [addr, fingerprint, state] = told.split('\n').collect::<Vec<_>>().try_into().unwrap();
    let config = config(addr.to_owned(), fingerprint.parse().unwrap(), state.into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(config, std::future::pending())).unwrap();
}

pub struct Agent {
    stop: Option<oneshot::Sender<()>>,
    pub task: JoinHandle<Result<(), AgentError>>,
}

impl Agent {
    /// Tells it to end, and waits for that.
    pub async fn stop(mut self) -> Result<(), AgentError> {
        drop(self.stop.take());
        self.result().await
    }

    /// What it ends with by itself.
    pub async fn result(&mut self) -> Result<(), AgentError> {
        timeout(PATIENCE, &mut self.task).await.expect("the agent should end").unwrap()
    }
}

pub struct AgentProcess(Child);

impl AgentProcess {
    /// As the out-of-memory killer does it.
    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Caller {
    pub hello: Hello,
    pub peer: Fingerprint,
    sender: FrameSender,
    receiver: playgate_link::FrameReceiver,
}

impl Caller {
    pub fn welcome(self, applied_seq: u64) -> Session {
        let Self { hello, peer, sender, mut receiver } = self;
        let role = WelcomeRole::Agent { host: HostId::from_bytes([3; 16]), applied_seq };
        sender.queue(&Greeting::Welcome(Welcome { version: 1, now_ms: 1, role })).unwrap();
        let (heard, inbox) = mpsc::channel(10_000);
        let answers_beats = Arc::new(AtomicBool::new(true));
        let (answers, answerer) = (Arc::clone(&answers_beats), sender.clone());
        let pump = tokio::spawn(async move {
            while let Ok(message) = receiver.recv::<AgentUp>().await {
                match message {
                    AgentUp::Reports(batch) => {
                        for (seq, report) in (batch.first_seq..).zip(batch.reports) {
                            let _ = heard.send(Heard::Report(seq, report)).await;
                        }
                    }
                    AgentUp::Inventory { alive } => drop(heard.send(Heard::Inventory(alive.into_vec())).await),
                    AgentUp::Beat if answers.load(Ordering::Relaxed) => {
                        let _ = answerer.queue(&AgentDown::Clock { now_ms: 1 });
                    }
                    AgentUp::Beat => {}
                }
            }
        });
        Session { hello, peer, sender, inbox, answers_beats, pump }
    }

    pub fn refuse(self, reason: RefusalReason) {
        let refusal = Refusal { reason, detail: Text::lossy("try something else"), retry_after_ms: 0 };
        self.sender.queue(&Greeting::Refused(refusal)).unwrap();
        self.sender.close(CloseCode::Refused, "refused");
    }
}

#[derive(Debug, PartialEq)]
pub enum Heard {
    Report(u64, AgentReport),
    Inventory(Vec<ServerProcessId>),
}

/// A link on which the test is the coordinator. It answers beats by itself.
pub struct Session {
    pub hello: Hello,
    pub peer: Fingerprint,
    pub sender: FrameSender,
    inbox: mpsc::Receiver<Heard>,
    pub answers_beats: Arc<AtomicBool>,
    pump: JoinHandle<()>,
}

impl Session {
    pub fn launch(&self, order: LaunchOrder) {
        self.sender.queue(&AgentDown::Launch(order)).unwrap();
    }

    pub fn stop(&self, process: ServerProcessId, grace_ms: u32, term_grace_ms: u32) {
        self.sender.queue(&AgentDown::Stop { process, grace_ms, term_grace_ms }).unwrap();
    }

    pub fn acknowledge(&self, through_seq: u64) {
        self.sender.queue(&AgentDown::ReportAck { through_seq }).unwrap();
    }

    pub async fn heard(&mut self) -> Heard {
        timeout(PATIENCE, self.inbox.recv()).await.expect("something should come").expect("the link should last")
    }

    pub async fn report(&mut self) -> (u64, AgentReport) {
        loop {
            if let Heard::Report(seq, report) = self.heard().await {
                return (seq, report);
            }
        }
    }

    pub async fn inventory(&mut self) -> Vec<ServerProcessId> {
        loop {
            if let Heard::Inventory(alive) = self.heard().await {
                return alive;
            }
        }
    }

    /// Launches, and returns the pid.
    pub async fn run(&mut self, order: LaunchOrder) -> u32 {
        let wanted = order.process;
        self.launch(order);
        match self.report().await {
            (_, AgentReport::Launched { process, pid, .. }) if process == wanted => pid,
            other => panic!("{other:?}"),
        }
    }

    pub async fn exit_of(&mut self, wanted: ServerProcessId) -> (ExitStatus, String) {
        loop {
            if let (_, AgentReport::Exited { process, status, output_tail }) = self.report().await
                && process == wanted
            {
                return (status, output_tail.as_str().to_owned());
            }
        }
    }

    pub async fn step_of(&mut self, wanted: ServerProcessId) -> StopStep {
        match self.report().await {
            (_, AgentReport::StopStep { process, step }) if process == wanted => step,
            other => panic!("{other:?}"),
        }
    }

    /// The coordinator goes away.
    pub async fn close(self) {
        self.sender.close_now(CloseCode::ShuttingDown, "restarting");
        self.pump.await.unwrap();
    }
}

/// Waits until something is so.
pub async fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = check() {
                return found;
            }
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"))
}

pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    bytes
}

/// Of its own for each launch: processes are found by it, on the whole machine.
pub fn process_id() -> ServerProcessId {
    ServerProcessId::from_parts(0, 1_700_000_000_000, random())
}

pub fn arg(text: &str) -> Arg {
    Text::new(text).unwrap()
}

pub fn name(text: &str) -> Name {
    Text::new(text).unwrap()
}

pub fn order(argv: &[&str]) -> LaunchOrder {
    LaunchOrder {
        process: process_id(),
        fleet: FleetId::new("arena").unwrap(),
        name: name("arena-1"),
        argv: List::first_of(argv.iter().map(|argument| arg(argument))),
        properties: List::default(),
        env: List::default(),
        env_pass: List::first_of([name("PATH")]),
        working_dir: None,
        ports: None,
        credential: Secret32::from_bytes(CREDENTIAL),
    }
}

/// A few lines for the shell, as a game server. `exec` would hide the script from its own traps.
pub fn script(lines: &str) -> LaunchOrder {
    order(&["/bin/sh", "-c", lines])
}
