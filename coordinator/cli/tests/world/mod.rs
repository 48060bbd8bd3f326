//! Real processes: `playgate coordinator`, `playgate agent`, and game servers that they launch, all on loopback.

#![allow(dead_code, clippy::unwrap_used)] // each test file uses its part

pub mod secrets;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use playgate_client::{NewGameSession, NewPlayerSessions, Operator, player, read_operator_key};
use playgate_protocol::api::{
    EventKind, GameSessionInfo, PlayerSessionInfo, PlayerSessionStatus, ProcessInfo, ProcessStatus,
};
use playgate_protocol::{FleetId, GameSessionId, JoinRole, PlayerSessionId, ServerProcessId, Ticket};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;
use tokio::net::UdpSocket;

use secrets::{Captured, Kind};

pub const PLAYGATE: &str = env!("CARGO_BIN_EXE_playgate");
/// Far more than anything here takes, so that only a fault reaches it.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Everything, libraries included: what is not logged in this run of a test is never logged.
const LOG: &str = "trace";

pub struct World {
    pub dir: TempDir,
    pub fleets: String,
    /// What the environment of the coordinator, and of the agent, has beside the usual.
    pub coordinator_env: Vec<(String, String)>,
    pub agent_env: Vec<(String, String)>,
    address: Option<SocketAddr>,
    coordinator: Option<Child>,
    agent: Option<Child>,
    servers: Vec<u32>,
    captured: Captured,
}

/// The example that the tests launch, built once from what is there: cargo does not build it for a single test.
pub fn echo_server() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let profile = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().to_owned();
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "--locked", "--package", "playgate-cli", "--example", "echo_server"]);
            build.arg("--target-dir").arg(profile.parent().unwrap());
            if profile.ends_with("release") {
                build.arg("--release");
            }
            // What cargo says to a test about its package; a build script that watches it would build everything anew.
            let about = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
            for (name, _) in std::env::vars().filter(|(name, _)| about.iter().any(|of| name.starts_with(of))) {
                build.env_remove(name);
            }
            assert!(build.status().unwrap().success());
            profile.join("examples/echo_server")
        })
        .clone()
}

/// A fleet file with one fleet of echo servers; `more` are further lines of its table.
pub fn fleet(more: &str) -> String {
    let (server, ports) = (echo_server(), port_range());
    format!(
        "[[fleet]]\nname = \"echo\"\ncommand = [\"{}\", \"--port\", \"{{port}}\"]\nports = \"{ports}\"\nenv_pass = [\"PLAYGATE_LOG\"]\ntell_reason = true\n{more}\n",
        server.display()
    )
}

/// A hundred ports of its own for each world, so that worlds side by side do not race for the same one.
pub fn port_range() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let hundred = 200 + (NEXT.fetch_add(1, Ordering::Relaxed) + u16::try_from(std::process::id() % 100).unwrap()) % 100;
    format!("{hundred}00-{hundred}99")
}

/// A UDP port nobody uses at this moment, to be reused across restarts.
pub fn free_port() -> u16 {
    std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks until there is an answer, with a deadline that only a fault reaches.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn is_alive(pid: u32) -> bool {
    // A zombie has no command line.
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

pub fn kill(process: u32) {
    kill_process(pid(process), Signal::KILL).unwrap();
}

impl World {
    /// Coordinator only.
    pub async fn coordinator(fleets: &str) -> (Self, Operator) {
        let dir = TempDir::with_prefix("playgate-test-").unwrap();
        let mut world = Self {
            dir,
            fleets: fleets.to_owned(),
            coordinator_env: Vec::new(),
            agent_env: Vec::new(),
            address: None,
            coordinator: None,
            agent: None,
            servers: Vec::new(),
            captured: Captured::default(),
        };
        world.start_coordinator();
        let operator = world.operator().await;
        (world, operator)
    }

    /// Coordinator, agent, and as many ready servers as the fleet keeps.
    pub async fn running(fleets: &str, servers: usize) -> (Self, Operator) {
        let (mut world, operator) = Self::coordinator(fleets).await;
        world.start_agent(&operator).await;
        world.ready(&operator, servers).await;
        (world, operator)
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn operator_key(&self) -> PathBuf {
        self.data().join("operator.key")
    }

    pub fn start_coordinator(&mut self) {
        let address = self.address.map_or_else(|| "127.0.0.1:0".to_owned(), |address| address.to_string());
        let fleets = self.dir.path().join("fleets.toml");
        fs::write(&fleets, &self.fleets).unwrap();
        let data = self.data();
        let arguments = ["coordinator", "--data", path(&data), "--listen", &address, "--fleets", path(&fleets)];
        self.coordinator = Some(self.spawn("coordinator", &arguments, &self.coordinator_env));
    }

    fn spawn(&self, name: &str, arguments: &[&str], env: &[(String, String)]) -> Child {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join(format!("{name}.log"))).unwrap();
        let mut command = Command::new(PLAYGATE);
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.env("PLAYGATE_LOG", LOG).envs(env.iter().cloned()).spawn().unwrap()
    }

    /// Connects once the coordinator has written its key and answers.
    pub async fn operator(&mut self) -> Operator {
        let key = self.operator_key();
        let key = until("operator.key", || async { read_operator_key(&key).ok() }).await;
        self.address = Some(key.coordinator.parse().unwrap());
        Operator::connect_within(key, PATIENCE).await.unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    pub fn kill_coordinator(&mut self) {
        let mut child = self.coordinator.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops the coordinator's process for a while, as a suspended machine or a debugger would.
    pub async fn suspend_coordinator(&self, during: Duration) {
        kill_process(pid(self.coordinator_pid()), Signal::STOP).unwrap();
        tokio::time::sleep(during).await;
        kill_process(pid(self.coordinator_pid()), Signal::CONT).unwrap();
    }

    pub async fn start_agent(&mut self, operator: &Operator) {
        let key = self.dir.path().join("agent.joinkey");
        if !key.exists() {
            let join = operator.create_join_key(JoinRole::Agent, None, 1, PATIENCE).await.unwrap();
            fs::write(&key, join.to_text()).unwrap();
        }
        let state = self.dir.path().join("agent");
        let arguments = ["agent", "--state", path(&state), "--join-key", path(&key), "--name", "host"];
        self.agent = Some(self.spawn("agent", &arguments, &self.agent_env));
    }

    pub fn kill_agent(&mut self) {
        let mut child = self.agent.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks the agent to end, as a service manager does, and waits.
    pub fn stop_agent(&mut self) {
        let mut child = self.agent.take().unwrap();
        kill_process(pid(child.id()), Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success());
    }

    pub fn stop_coordinator(&mut self) {
        let mut child = self.coordinator.take().unwrap();
        kill_process(pid(child.id()), Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success());
    }

    pub fn coordinator_pid(&self) -> u32 {
        self.coordinator.as_ref().unwrap().id()
    }

    pub async fn processes(&mut self, operator: &Operator) -> Vec<ProcessInfo> {
        let (mut all, mut after) = (Vec::new(), None::<ServerProcessId>);
        loop {
            let page = operator.list_processes(None, after).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            all.extend(page);
        }
        self.servers.extend(all.iter().filter_map(|process: &ProcessInfo| process.pid));
        secrets::told("list of processes", format!("{all:?}"));
        all
    }

    /// Waits until so many processes can host, or host.
    pub async fn ready(&mut self, operator: &Operator, count: usize) -> Vec<ProcessInfo> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let up = |process: &ProcessInfo| {
                matches!(process.status, ProcessStatus::Ready | ProcessStatus::Hosting)
                    && process.unreachable_since_ms.is_none()
            };
            let mut processes = self.processes(operator).await;
            processes.retain(up);
            if processes.len() >= count {
                return processes;
            }
            assert!(Instant::now() < deadline, "{} of {count} servers are up:\n{}", processes.len(), self.logs());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn process(&mut self, operator: &Operator, process: ServerProcessId) -> ProcessInfo {
        self.processes(operator).await.into_iter().find(|info| info.id == process).unwrap()
    }

    /// Secrets that are where they must not be, as of now. When the world ends there must be none.
    pub fn leaks(&self) -> Vec<String> {
        self.captured.leaks(self.dir.path())
    }

    pub fn logs(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        let mut logs = format!("--- coordinator\n{}--- agent\n{}", read("coordinator.log"), read("agent.log"));
        for log in fs::read_dir(self.dir.path().join("agent/logs")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(log.path()).unwrap_or_default();
            logs.push_str(&format!("--- {}\n{text}", log.file_name().to_string_lossy()));
        }
        logs
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Drop for World {
    /// Ends what this world started, and nothing else.
    fn drop(&mut self) {
        for child in [self.agent.take(), self.coordinator.take()].into_iter().flatten() {
            let mut child = child;
            let _ = child.kill();
            let _ = child.wait();
        }
        kill_servers(self.servers.iter().copied().chain(launched(&self.dir.path().join("agent"))));
        if std::thread::panicking() {
            eprintln!("{}", readable(&self.logs()));
        }
        self.captured.check(self.dir.path());
    }
}

/// A log without what is for whoever looks for a fault.
pub fn readable(log: &str) -> String {
    let lines = log.lines().filter(|line| !line.contains(" TRACE ") && !line.contains(" DEBUG "));
    lines.map(|line| line.to_owned() + "\n").collect()
}

/// Process ids that an agent has on record as running.
fn launched(state: &Path) -> Vec<u32> {
    let records = fs::read_dir(state.join("processes")).into_iter().flatten().flatten();
    let pid = records.filter_map(|file| {
        let record: serde_json::Value = serde_json::from_slice(&fs::read(file.path()).ok()?).ok()?;
        u32::try_from(record.get("pid")?.as_u64()?).ok()
    });
    pid.collect()
}

fn kill_servers(all: impl IntoIterator<Item = u32>) {
    for server in all {
        let line = fs::read(format!("/proc/{server}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains("echo_server") && test_kill_process(pid(server)).is_ok() {
            let _ = kill_process(pid(server), Signal::KILL);
        }
    }
}

/// A directory in which somebody types commands.
pub struct Shell {
    pub dir: TempDir,
    captured: Captured,
}

/// What a command that ended has left.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Shell {
    pub fn new() -> Self {
        Self { dir: TempDir::with_prefix("playgate-test-").unwrap(), captured: Captured::default() }
    }

    /// Secrets that are where they must not be, as of now.
    pub fn leaks(&self) -> Vec<String> {
        self.captured.leaks(self.dir.path())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file and gives its name.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.captured.given(&self.path(name));
        self.path(name)
    }

    /// `playgate` with these arguments, split at spaces.
    pub fn run(&self, arguments: &str) -> Ran {
        self.run_with(arguments, |_| {})
    }

    /// The same, with a change to the command, such as a variable.
    pub fn run_with(&self, arguments: &str, change: impl FnOnce(&mut Command)) -> Ran {
        let mut command = self.command(arguments);
        let (out, err) = (tempfile::NamedTempFile::new().unwrap(), tempfile::NamedTempFile::new().unwrap());
        command.stdout(out.reopen().unwrap()).stderr(err.reopen().unwrap());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let code = wait(&mut child, arguments).code();
        let ran = Ran { code, out: fs::read_to_string(out).unwrap(), err: fs::read_to_string(err).unwrap() };
        self.captured.printed(arguments, &ran.out, &ran.err);
        ran
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(PLAYGATE);
        command.args(arguments.split_whitespace()).current_dir(self.dir.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PLAYGATE_")) {
            command.env_remove(name);
        }
        command
    }

    /// `playgate` with these arguments, in the background.
    pub fn start(&self, name: &str, arguments: &str) -> Service {
        self.start_command(name, self.command(arguments))
    }

    /// Any command in the background, its output in `<name>.log` of this directory.
    pub fn start_command(&self, name: &str, mut command: Command) -> Service {
        let log = self.path(&format!("{name}.log"));
        let file = fs::File::create(&log).unwrap();
        command.current_dir(self.dir.path()).stdin(Stdio::null()).env("PLAYGATE_LOG", LOG);
        let child = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        let states = vec![self.path(".playgate-dev/agent"), self.path("playgate-agent")];
        Service { child, log, states }
    }
}

impl Drop for Shell {
    /// The services are dropped before: a shell is the first thing that a test makes.
    fn drop(&mut self) {
        self.captured.check(self.dir.path());
    }
}

impl Ran {
    /// The one JSON document that it printed.
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// It failed with this code, and what it says names all of these.
    pub fn says(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "no {part:?} in {self:?}");
        }
        assert!(!self.err.contains("panicked"), "{self:?}");
    }
}

/// Something that runs until it is told to stop. Dropping it kills it, and the servers that it launched.
pub struct Service {
    child: Child,
    log: PathBuf,
    states: Vec<PathBuf>,
}

impl Service {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(pid(self.child.id()), signal).unwrap();
    }

    /// Its exit code; none when a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        wait(&mut self.child, "the service").code()
    }

    /// Waits until the log holds this, and gives the rest of that line.
    pub fn says(&mut self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            let line = log.split_once(part).and_then(|(_, rest)| rest.split_once('\n'));
            if let Some((rest, _)) = line {
                return rest.to_owned();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "no {part:?}, {ended:?}:\n{log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        kill_servers(self.states.iter().flat_map(|state| launched(state)));
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), readable(&self.log()));
        }
    }
}

fn wait(child: &mut Child, what: &str) -> std::process::ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{what} did not end within {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// As [`until`], for what needs no runtime.
pub fn wait_until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A player on a socket of his own.
pub struct Player {
    pub socket: UdpSocket,
    pub server: SocketAddr,
    pub generation: u32,
}

pub async fn join(ticket: &Ticket) -> Result<Player, player::JoinError> {
    let (socket, joined) = player::join(ticket, PATIENCE / 4).await?;
    Ok(Player { socket, server: joined.server, generation: joined.generation })
}

impl Player {
    /// Says something until the server answers, and gives the answer.
    pub async fn say(&self, what: &str) -> String {
        until("an echo", || async {
            self.socket.send_to(what.as_bytes(), self.server).await.ok()?;
            let heard = tokio::time::timeout(Duration::from_millis(200), self.heard()).await.ok()?;
            // The answer to an earlier question may come late.
            Some(heard).filter(|heard| heard.ends_with(what))
        })
        .await
    }

    /// The next thing the server says. Anybody on this machine can send to the socket, and late packets of others do,
    /// whose port it was before.
    pub async fn heard(&self) -> String {
        let mut buffer = [0; 2_048];
        loop {
            let (len, from) = self.socket.recv_from(&mut buffer).await.unwrap();
            if from == self.server {
                return String::from_utf8(buffer[..len].to_vec()).unwrap();
            }
        }
    }
}

pub fn new_session(players: u16) -> NewGameSession {
    NewGameSession::new("echo", players).property("map", "ruins").data(&private("data of a session"))
}

/// Something that a backend says, and that is for the game alone.
pub fn private(what: &str) -> Vec<u8> {
    let data = HEXLOWER.encode(&[player::nonce(), player::nonce()].concat()).into_bytes();
    secrets::know(Kind::Data, what, &data);
    data
}

pub async fn reserve(operator: &Operator, session: GameSessionId, players: &[&str]) -> Vec<Ticket> {
    let add = |new: NewPlayerSessions, player: &&str| new.player(player, &private("data of a player"));
    let new = players.iter().fold(NewPlayerSessions::new(session), add);
    let tickets = operator.create_player_sessions(new).await.unwrap();
    tickets.iter().for_each(secrets::know_ticket);
    tickets
}

pub async fn player_is(operator: &Operator, player: PlayerSessionId, status: PlayerSessionStatus) -> PlayerSessionInfo {
    until(&format!("{player} is {status:?}"), || async {
        let info = operator.describe_player_session(player).await.unwrap();
        secrets::told("a player session", format!("{info:?}"));
        (info.status == status).then_some(info)
    })
    .await
}

pub async fn session_is(
    operator: &Operator,
    session: GameSessionId,
    as_wanted: impl Fn(&GameSessionInfo) -> bool,
) -> GameSessionInfo {
    until("the session is as wanted", || async {
        let info = operator.describe_game_session(session).await.unwrap();
        secrets::told("a game session", format!("{info:?}"));
        as_wanted(&info).then_some(info)
    })
    .await
}

pub async fn events(operator: &Operator, kind: EventKind) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let page = operator.list_events(after).await.unwrap();
        let Some(last) = page.last() else { return found };
        secrets::told("events", format!("{page:?}"));
        after = last.seq;
        found.extend(page.iter().filter(|event| event.kind == kind).map(|event| event.detail.to_string()));
    }
}

pub fn echo_fleet() -> FleetId {
    FleetId::new("echo").unwrap()
}
