//! Many game servers lose their coordinator at once: how many come back, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use playgate::{Config, Event, Server};
use playgate_client::player::join;
use playgate_client::{NewGameSession, NewPlayerSessions};
use playgate_netns::process::resident_bytes;
use playgate_protocol::api::{GameSessionStatus, ProcessStatus};
use playgate_protocol::{FleetId, JoinRole, Ticket};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use crate::Outcome;
use crate::compare::{self, Findings, Kind};
use crate::database::{self, Database};
use crate::ledger::Ledger;
use crate::net::{Isolation, Net};
use crate::report::{quantiles, spread};
use crate::world::{PATIENCE, Setup, World};

const FLEET: &str = "storm";
/// Servers that one thread of a game looks after.
const SERVERS_PER_LOOP: usize = 250;
const TICK: Duration = Duration::from_millis(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// What each server needs: a socket, an event loop with its wake-up, the game's socket.
const DESCRIPTORS_PER_SERVER: u64 = 8;
const DESCRIPTORS_SPARE: u64 = 256;

pub struct Report {
    servers: u32,
    sessions: u32,
    connected_after: Duration,
    answers_after: Duration,
    back_after: Vec<Duration>,
    resident: (u64, u64),
    findings: Findings,
}

/// One game server of many: its own socket, no thread of its own.
struct One {
    server: Server,
    socket: std::net::UdpSocket,
    /// Moments since the start, in microseconds, at which its link came up last.
    up_us: Arc<AtomicU64>,
}

pub async fn run(mut setup: Setup, servers: u32, sessions: u32) -> Outcome<Report> {
    let sessions = sessions.min(servers);
    allow_descriptors(u64::from(servers) * DESCRIPTORS_PER_SERVER + DESCRIPTORS_SPARE)?;
    setup.fleets = Some(format!("[[fleet]]\nname = {FLEET:?}\nreservation_timeout = \"10m\"\n"));
    let port = std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let net = Arc::new(Net::new(Isolation::Loopback, &setup.run, port)?);
    let mut world = World::coordinator(setup, net, port).await?;
    let fleet = FleetId::new(FLEET)?;
    let key = world.operator.create_join_key(JoinRole::Server, Some(fleet), servers, PATIENCE).await?;

    let started = Instant::now();
    let crowd = Crowd::start(&key, servers, started)?;
    wait_for(&mut world, servers, "connected").await?;
    let connected_after = started.elapsed();
    let (mut ledger, mut tickets) = (Ledger::default(), Vec::new());
    for number in 0..sessions {
        tickets.push(begin(&world, &mut ledger, number).await?);
    }
    let resident_before = resident_bytes(world.coordinator_pid()?).unwrap_or(0);

    world.kill_coordinator()?;
    let copy = world.setup.dir.join("copy");
    database::copy(&world.data(), &copy)?;
    let mut findings = look(&ledger, &copy)?;
    let restarted_us = micros(started);
    let answers_after = world.start_coordinator().await?;
    wait_for(&mut world, servers, "back").await?;
    let back_after = crowd.all_up_since(restarted_us).await;
    let resident = (resident_before, resident_bytes(world.coordinator_pid()?).unwrap_or(0));

    findings.extend(look(&ledger, &world.data())?);
    findings.extend(still_there(&world, &ledger, &tickets).await?);
    if back_after.len() != crowd.len() {
        findings.insert((Kind::Process, format!("{} of {servers} servers came back", back_after.len())));
    }
    crowd.end();
    Ok(Report { servers, sessions, connected_after, answers_after, back_after, resident, findings })
}

/// Until the coordinator has all of them, ready or at work, with their links up.
async fn wait_for(world: &mut World, servers: u32, what: &str) -> Outcome<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let live = world.live().await?;
        let up = live.iter().filter(|process| {
            matches!(process.status, ProcessStatus::Ready | ProcessStatus::Hosting)
                && process.unreachable_since_ms.is_none()
        });
        let up = up.count();
        if up == servers as usize {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{up} of {servers} servers are {what} after {PATIENCE:?}").into());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// A game session with one player inside and one who has a ticket.
async fn begin(world: &World, ledger: &mut Ledger, number: u32) -> Outcome<Ticket> {
    let key = format!("storm-{number}");
    let info = world.operator.create_game_session(NewGameSession::new(FLEET, 2).idempotency_key(&key)).await?;
    ledger.created(&key, &info);
    let names = ["ann".to_owned(), "bob".to_owned()];
    let new = NewPlayerSessions::new(info.id).player(&names[0], b"").player(&names[1], b"").idempotency_key(&key);
    let mut tickets = world.operator.create_player_sessions(new).await?;
    ledger.reserved(info.id, &key, &names, &tickets);
    join(&tickets[0], PATIENCE).await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let player = world.operator.describe_player_session(tickets[0].player_session).await?;
        if player.joined_ms.is_some() {
            ledger.saw_player(&player);
            return Ok(tickets.swap_remove(1));
        }
        if Instant::now() > deadline {
            return Err(format!("{} has joined, and the coordinator does not hear of it", player.id).into());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn look(ledger: &Ledger, data: &std::path::Path) -> Outcome<Findings> {
    let database = Database::open(data)?;
    let mut sessions = std::collections::BTreeMap::new();
    for id in ledger.sessions.keys() {
        sessions.extend(database.session(*id)?.map(|row| (*id, row)));
    }
    let missing = compare::missing(ledger, &sessions, &database.players()?);
    Ok(missing.into_iter().map(|what| (Kind::Missing, what)).collect())
}

/// Sessions as they were, and tickets that still let their players in.
async fn still_there(world: &World, ledger: &Ledger, tickets: &[Ticket]) -> Outcome<Findings> {
    let mut findings = Findings::new();
    for session in ledger.sessions.keys() {
        let info = world.operator.describe_game_session(*session).await?;
        if (info.status, info.active, info.reserved) != (GameSessionStatus::Active, 1, 1) {
            findings.insert((Kind::Missing, format!("{session} is {:?}", (info.status, info.active, info.reserved))));
        }
    }
    for ticket in tickets {
        if let Err(error) = join(ticket, PATIENCE).await {
            findings.insert((Kind::Missing, format!("{}: {error}", ticket.player_session)));
        }
    }
    Ok(findings)
}

/// All servers, and the threads that play their games.
struct Crowd {
    up: Vec<Arc<AtomicU64>>,
    over: Arc<AtomicBool>,
    loops: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn start(key: &playgate_protocol::JoinKey, servers: u32, started: Instant) -> Outcome<Self> {
        let (mut crowd, mut up) = (Vec::new(), Vec::new());
        for number in 0..servers {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
            socket.set_nonblocking(true)?;
            let config = Config::from_join_key(key.clone())?.name(&format!("storm {number}"));
            let server = Server::start(config)?;
            server.ready(&[socket.local_addr()?.port()]);
            let up_us = Arc::new(AtomicU64::new(0));
            up.push(up_us.clone());
            crowd.push(One { server, socket, up_us });
        }
        let (over, mut loops) = (Arc::new(AtomicBool::new(false)), Vec::new());
        while !crowd.is_empty() {
            let (part, over) = (crowd.split_off(crowd.len().saturating_sub(SERVERS_PER_LOOP)), over.clone());
            loops.push(std::thread::Builder::new().spawn(move || play(&part, started, &over))?);
        }
        Ok(Self { up, over, loops })
    }

    fn len(&self) -> usize {
        self.up.len()
    }

    /// The coordinator may know that a link is up before the game has asked.
    async fn all_up_since(&self, moment_us: u64) -> Vec<Duration> {
        let deadline = Instant::now() + PATIENCE;
        while self.up_since(moment_us).len() < self.len() && Instant::now() < deadline {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.up_since(moment_us)
    }

    /// Of those that came up behind a moment: how long after it.
    fn up_since(&self, moment_us: u64) -> Vec<Duration> {
        let up = self.up.iter().map(|up| up.load(Ordering::Relaxed));
        up.filter(|up| *up > moment_us).map(|up| Duration::from_micros(up - moment_us)).collect()
    }

    /// Without a goodbye for each: the coordinator ends too.
    fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        for game in self.loops {
            let _ = game.join(); // a panic was printed by its thread
        }
    }
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn play(servers: &[One], started: Instant, over: &AtomicBool) {
    let (mut buffer, mut reply) = ([0; 2_048], playgate::ReplyBuf::new());
    while !over.load(Ordering::Relaxed) {
        for one in servers {
            while let Some(event) = one.server.poll() {
                match event {
                    Event::StartSession(_) => drop(one.server.activate()),
                    Event::EndSession { .. } => one.server.end_session(),
                    Event::LinkUp => one.up_us.store(micros(started), Ordering::Relaxed),
                    _ => {}
                }
            }
            while let Ok((len, from)) = one.socket.recv_from(&mut buffer) {
                one.server.handle(from, &buffer[..len], &mut reply);
                if !reply.is_empty() {
                    let _ = one.socket.send_to(reply.as_slice(), from); // as good as lost on the way
                }
            }
        }
        std::thread::sleep(TICK);
    }
    // All goodbyes at once: one after the other would take as many times as long.
    std::thread::scope(|scope| {
        for one in servers {
            scope.spawn(|| one.server.shutdown(Duration::from_secs(2)));
        }
    });
}

fn allow_descriptors(needed: u64) -> Outcome<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(needed));
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })
        .map_err(|error| format!("{needed} open files are needed, and the system allows fewer: {error}").into())
}

impl Report {
    pub fn passed(&self) -> bool {
        self.findings.is_empty()
    }

    pub fn text(&self) -> String {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let mut out = format!(
            "servers         {} connected in {} ms\n\
             game sessions   {}, each with a player inside and one with a ticket\n\
             first answer    {} ms after the restart\n\
             servers back    {} of {}: {}\n\
             coordinator     {:.1} MiB resident before, {:.1} MiB after\n\
             sessions lost   {}\n",
            self.servers,
            self.connected_after.as_millis(),
            self.sessions,
            self.answers_after.as_millis(),
            self.back_after.len(),
            self.servers,
            spread(&self.back_after),
            mib(self.resident.0),
            mib(self.resident.1),
            self.findings.iter().filter(|(kind, _)| *kind == Kind::Missing).count(),
        );
        for (kind, what) in self.findings.iter().take(20) {
            out.push_str(&format!("  {}: {what}\n", kind.as_str()));
        }
        out.push_str(if self.passed() { "passed\n" } else { "FAILED\n" });
        out
    }

    pub fn json(&self) -> serde_json::Value {
        json!({
            "servers": self.servers,
            "sessions": self.sessions,
            "connected_ms": self.connected_after.as_secs_f64() * 1e3,
            "first_answer_ms": self.answers_after.as_secs_f64() * 1e3,
            "back": self.back_after.len(),
            "back_ms": quantiles(&self.back_after).map(|time| time.as_secs_f64() * 1e3),
            "resident_bytes": [self.resident.0, self.resident.1],
            "findings": self.findings.iter().map(|(_, what)| what).collect::<Vec<_>>(),
            "passed": self.passed(),
        })
    }
}
