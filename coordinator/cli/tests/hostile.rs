//! What strangers and rogue peers are told, and what stays on record of them, while honest ones go on. What they cost is
//! measured by `playgate-abuse`.

#![allow(clippy::unwrap_used)]

mod world;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use playgate_client::{Operator, read_operator_key};
use playgate_link::{Dialer, FrameReceiver, FrameSender, Identity, LinkProfile, RecvError};
use playgate_protocol::agent::{AgentReport, AgentReportBatch, AgentUp, ExitStatus};
use playgate_protocol::api::{BackendCall, BackendUp, EventKind, GameSessionStatus, OperatorCall, OperatorUp};
use playgate_protocol::server::{Beat, PlayerOutcome, Report, ReportBatch, ServerUp};
use playgate_protocol::{
    Credential, Fingerprint, Greeting, Hello, HelloRole, JoinRole, List, RefusalReason, Secret32, Text, VersionRange,
};
use serde::ser::{Serialize, SerializeTuple, Serializer};
use world::*;

/// A row of attempts by strangers.
const CONNECTS: usize = 500;
/// Links with noise, for each role.
const NOISY_LINKS: usize = 40;

/// Noise that repeats from its seed.
struct Noise(u64);

impl Noise {
    fn seeded() -> Self {
        let seed = u64::from_le_bytes(playgate_client::player::nonce()[..8].try_into().unwrap());
        let seed = std::env::var("PLAYGATE_TEST_SEED").map_or(seed, |seed| seed.parse().unwrap());
        println!("PLAYGATE_TEST_SEED={seed}");
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[3]).collect()
    }
}

/// A payload as it stands, in a frame of the right length.
struct Raw(Vec<u8>);

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

/// Somebody with a key of his own who can reach the coordinator.
struct Peer {
    sender: FrameSender,
    receiver: FrameReceiver,
    _dialer: Dialer,
}

impl Peer {
    async fn dial(world: &World) -> Self {
        let pin = read_operator_key(world.operator_key()).unwrap().fingerprint;
        Self::dial_as(world, Identity::generate(), pin).await
    }

    async fn dial_as(world: &World, identity: Identity, pin: Fingerprint) -> Self {
        let dialer = Dialer::new(identity, LinkProfile::fleet()).unwrap();
        let link = until("a link", || async { dialer.dial(world.address(), &pin).await.ok() }).await;
        let (sender, receiver) = link.split();
        Self { sender, receiver, _dialer: dialer }
    }

    fn hello(&self, role: HelloRole, credential: Credential) {
        let software = Text::lossy("stranger\n2026-01-01 ERROR forged");
        self.sender.queue(&Hello { versions: VersionRange::OURS, software, credential, role }).unwrap();
    }

    async fn greeting(&mut self) -> Greeting {
        self.receiver.recv_within(PATIENCE).await.unwrap()
    }

    /// Joined with a key that an operator made for it.
    async fn joined(world: &World, operator: &Operator, role: JoinRole) -> Self {
        let fleet = (role == JoinRole::Server).then(echo_fleet);
        let key = operator.create_join_key(role, fleet, 1, PATIENCE).await.unwrap();
        secrets::know_join_key(&key);
        let secret = key.secret;
        let mut peer = Self::dial(world).await;
        peer.hello(hello_of(role), Credential::Join { secret });
        let greeting = peer.greeting().await;
        assert!(matches!(greeting, Greeting::Welcome(_)), "{greeting:?}");
        peer
    }

    fn say(&self, message: &impl Serialize) {
        let _ = self.sender.queue(message); // it may be closed already
    }

    /// Reads on until the coordinator closes the link.
    async fn until_closed(mut self, what: &str) {
        let closed = async {
            while !matches!(self.receiver.recv::<Anything>().await, Err(RecvError::Closed(_) | RecvError::Frame(_))) {}
            self.sender.closed().await
        };
        tokio::time::timeout(PATIENCE, closed).await.unwrap_or_else(|_| panic!("{what}: the link stays open"));
    }
}

/// Takes no message of the coordinator: the link counts as broken on this side, and the close still arrives.
#[derive(serde::Deserialize)]
struct Anything;

fn hello_of(role: JoinRole) -> HelloRole {
    let name = "rogue".parse().unwrap();
    match role {
        JoinRole::Backend => HelloRole::Backend,
        JoinRole::Agent => HelloRole::Agent { name, advertise: None, capacity: 0 },
        JoinRole::Server => HelloRole::Server { name, advertise: None, held_version: 0 },
        JoinRole::Relay => HelloRole::Relay { name, addresses: List::default(), secret: 0 },
    }
}

/// An operator who keeps calling.
struct Honest {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Honest {
    fn start(operator: &Operator) -> Self {
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (operator, stopped, counted) = (operator.clone(), Arc::clone(&stop), Arc::clone(&calls));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                operator.list_fleets().await.expect("an honest call succeeds");
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(2)).await; // a pace, not a wait
            }
        });
        Self { stop, calls, task }
    }

    /// He got on while this went on.
    async fn got_on(&self, what: &str) {
        let before = self.calls.load(Ordering::Relaxed);
        until(what, || async { (self.calls.load(Ordering::Relaxed) > before + 3).then_some(()) }).await;
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_bytes_cost_nothing_but_their_own_link() {
    let (mut world, operator) = World::running(&fleet("processes_per_host = 1"), 1).await;
    let session = operator.create_game_session(new_session(4)).await.unwrap();
    let process = session.process.unwrap();
    let pid = world.coordinator_pid();
    let mut noise = Noise::seeded();
    let honest = Honest::start(&operator);
    honest.got_on("warm").await;

    strangers(&world, &mut noise).await;
    honest.got_on("strangers").await;
    roles(&world, &operator).await;
    honest.got_on("messages of other roles").await;
    noisy_links(&world, &operator, &mut noise).await;
    honest.got_on("noise").await;

    honest.stop().await;
    assert_eq!(world.coordinator_pid(), pid);
    assert!(is_alive(pid));
    let info = operator.describe_game_session(session.id).await.unwrap();
    assert_eq!((info.status, info.process), (GameSessionStatus::Active, Some(process)));
    let tickets = reserve(&operator, session.id, &["ann"]).await;
    join(&tickets[0]).await.unwrap();
    lines_are_events(&mut world, &operator).await;
}

/// Each line of the log is an event, and strangers cannot make many of those.
async fn lines_are_events(world: &mut World, operator: &Operator) {
    let (mut kinds, mut after) = (Vec::new(), 0);
    world.stop_agent(); // so that nothing happens between the two counts
    until("the agent is away", || async {
        operator.list_hosts().await.unwrap().iter().all(|host| !host.connected).then_some(())
    })
    .await;
    while let Some(last) =
        { operator.list_events(after).await.unwrap() }.iter().inspect(|event| kinds.push(event.kind)).last()
    {
        after = last.seq;
    }
    // As an operator has it, who asks for no more than what happens.
    let log = readable(&fs::read_to_string(world.dir.path().join("coordinator.log")).unwrap());
    let others: Vec<&str> = log.lines().filter(|line| !line.contains(" kind=")).collect();
    assert_eq!(others.len(), 1, "the line that it runs, and no other: {others:?}");
    assert_eq!(log.lines().count() - 1, kinds.len(), "{log}");
    assert!(log.lines().all(|line| line.contains(" INFO ")), "{log}");
    assert!(!log.contains("forged"));
    let refused = kinds.iter().filter(|kind| **kind == EventKind::PeerRefused).count();
    assert!((1..CONNECTS / 2).contains(&refused), "{refused} refusals are on record");
}

async fn strangers(world: &World, noise: &mut Noise) {
    let pin = read_operator_key(world.operator_key()).unwrap().fingerprint;
    for n in 0..CONNECTS {
        let mut peer = Peer::dial_as(world, Identity::generate(), pin).await;
        let secret = Secret32::from_bytes(noise.bytes(32).try_into().unwrap());
        let (credential, expected) = match n % 2 {
            0 => (Credential::Bound, RefusalReason::UnknownKey),
            _ => (Credential::Join { secret }, RefusalReason::JoinKeyInvalid),
        };
        peer.hello([HelloRole::Backend, HelloRole::Operator][n % 3 % 2].clone(), credential);
        let greeting = peer.greeting().await;
        assert!(matches!(&greeting, Greeting::Refused(refusal) if refusal.reason == expected), "{n}: {greeting:?}");
        drop(peer);
    }
    // A first frame that is no Hello: noise, the largest frame, nothing in it, another message.
    for payload in [noise.bytes(1), noise.bytes(100), noise.bytes(64 * 1024), vec![], vec![0xff; 300]] {
        let peer = Peer::dial(world).await;
        peer.say(&Raw(payload));
        peer.until_closed("a first frame that is no hello").await;
    }
    let peer = Peer::dial(world).await;
    peer.say(&BackendUp { request: 1, call: BackendCall::ListGameSessions { fleet: None, after: None } });
    peer.until_closed("a call before the hello").await;
}

async fn roles(world: &World, operator: &Operator) {
    let honest = operator.list_game_sessions(None, None).await.unwrap().remove(0);
    let process = honest.process.unwrap();
    let stop = OperatorUp { request: 7, call: OperatorCall::StopProcess { process, grace_ms: 0 } };
    let keep = OperatorCall::SetProcessesPerHost { fleet: echo_fleet(), processes_per_host: 0 };
    let keep = OperatorUp { request: 8, call: keep };
    let exited = AgentReport::Exited { process, status: ExitStatus::Code(0), output_tail: Text::default() };
    let exited = AgentUp::Reports(AgentReportBatch { first_seq: 1, reports: List::first_of([exited]) });
    let terminate = BackendCall::TerminateGameSession { session: honest.id, grace_ms: 0 };
    let terminate = BackendUp { request: 9, call: terminate };

    for role in [JoinRole::Backend, JoinRole::Agent, JoinRole::Server] {
        let peer = Peer::joined(world, operator, role).await;
        peer.say(&stop);
        peer.say(&keep);
        if role != JoinRole::Backend {
            peer.say(&terminate);
        }
        if role != JoinRole::Agent {
            peer.say(&exited);
        }
        peer.say(&Raw(vec![0xff; 40]));
        peer.until_closed("messages of another role").await;
    }
    // An agent that speaks of another's process, a server that speaks of another's game session.
    let agent = Peer::joined(world, operator, JoinRole::Agent).await;
    agent.say(&exited);
    let server = Peer::joined(world, operator, JoinRole::Server).await;
    let (session, attempt) = (honest.id, honest.attempt);
    let player_session = playgate_protocol::PlayerSessionId::from_bytes([7; 16]);
    let outcome = PlayerOutcome::Active { generation: 1, joined_ms: 1 };
    let lies = [
        Report::SessionEnded { session, attempt },
        Report::Activated { session, attempt },
        Report::Player { session, player_session, outcome },
    ];
    server.say(&ServerUp::Reports(ReportBatch { first_seq: 1, reports: List::first_of(lies) }));
    let violations = || async { (events(operator, EventKind::ProtocolViolation).await.len() >= 4).then_some(()) };
    until("four lies are on record", violations).await;
    let gap = Report::Ready { ports: List::first_of([7]) };
    server.say(&ServerUp::Reports(ReportBatch { first_seq: 99, reports: List::first_of([gap]) }));
    server.until_closed("a gap in the reports").await;
    drop(agent);
    let info = operator.describe_game_session(honest.id).await.unwrap();
    assert_eq!((info.status, info.process, info.active), (GameSessionStatus::Active, Some(process), 0));
    assert_eq!(operator.list_fleets().await.unwrap()[0].processes_per_host, 1);
}

async fn noisy_links(world: &World, operator: &Operator, noise: &mut Noise) {
    let operator_key = read_operator_key(world.operator_key()).unwrap();
    for n in 0..NOISY_LINKS {
        let role = [None, Some(JoinRole::Backend), Some(JoinRole::Agent), Some(JoinRole::Server)][n % 4];
        let peer = match role {
            Some(role) => Peer::joined(world, operator, role).await,
            None => {
                let identity = Identity::from_pkcs8(operator_key.pkcs8.reveal()).unwrap();
                let mut peer = Peer::dial_as(world, identity, operator_key.fingerprint).await;
                peer.hello(HelloRole::Operator, Credential::Bound);
                assert!(matches!(peer.greeting().await, Greeting::Welcome(_)));
                peer
            }
        };
        for _ in 0..20 {
            let len = noise.below(200);
            peer.say(&Raw(noise.bytes(len)));
            if role == Some(JoinRole::Server) {
                peer.say(&ServerUp::Beat(Beat {
                    healthy: noise.below(2) == 0,
                    floor_ms: noise.next(),
                    through_seq: noise.next(),
                    held_version: noise.next(),
                    players: 7,
                }));
            }
        }
        // Whatever the noise meant, this is no message of anybody.
        peer.say(&Raw(vec![0xff; 64]));
        peer.until_closed("noise").await;
    }
}

/// Besides what every world is silent about.
#[tokio::test]
async fn a_refused_key_and_a_players_address_reach_no_log() {
    let (mut world, operator) = World::running(&fleet("processes_per_host = 1"), 1).await;
    let session = operator.create_game_session(new_session(4)).await.unwrap();
    let tickets = reserve(&operator, session.id, &["ann", "bob", "cid"]).await;
    let ann = join(&tickets[0]).await.unwrap();
    join(&tickets[1]).await.unwrap();
    operator.revoke_player_session(tickets[1].player_session, PATIENCE).await.unwrap();
    assert!(join(&tickets[1]).await.is_err());
    let server_key = operator.create_join_key(JoinRole::Server, Some(echo_fleet()), 1, PATIENCE).await.unwrap();
    secrets::know_join_key(&server_key);
    let mut stranger = Peer::dial(&world).await;
    stranger.hello(hello_of(JoinRole::Agent), Credential::Join { secret: server_key.secret.clone() });
    assert!(matches!(stranger.greeting().await, Greeting::Refused(_)), "it is for servers");
    world.kill_coordinator();
    world.start_coordinator();
    let operator = world.operator().await;
    world.ready(&operator, 1).await;

    let log = world.logs();
    for known in ["coordinator runs", "linked to the coordinator", "ann is in", &session.id.to_string()] {
        assert!(log.contains(known), "{known:?} is logged:\n{log}");
    }
    let player = format!("127.0.0.1:{}", ann.socket.local_addr().unwrap().port());
    assert!(!log.contains(&player), "{player} is in a log");
    assert_eq!(world.leaks(), Vec::<String>::new());
}
