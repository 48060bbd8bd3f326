//! One set-up for all tests: a fake coordinator that mints real tokens, and a game that does nothing but the SDK's part.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

pub mod listener;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use listener::{FakeCoordinator, Peer, soon};
use playgate::{Admission, Config, Event, ReplyBuf, Server, Verdict};
use playgate_client::player::{self, Joined};
use playgate_link::{CloseCode, CloseReason, Fingerprint, FrameSender, LinkProfile, RecvError};
use playgate_protocol::server::{
    AdmissionPolicy, Beat, Properties, Report, Revoked, ServerDown, ServerUp, SessionData, VerifyingKey, Wanted,
    WantedSession,
};
use playgate_protocol::{
    Blob, FleetId, GameSessionId, Hello, JoinKey, JoinRole, List, Name, PlayerSessionId, Secret32, ServerProcessId,
    Text, Ticket, WelcomeRole,
};
use playgate_token::{Claims, MasterKey, SigningKey, mint};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

pub const NOW_MS: u64 = 1_800_000_000_000;
pub const BEAT_MS: u32 = 100;
/// More than a player ever waits.
pub const JOIN_TIME: Duration = Duration::from_secs(10);
const EPOCH: u16 = 3;
const KEY_ID: u16 = 1;

pub fn process() -> ServerProcessId {
    ServerProcessId::from_bytes([5; 16])
}

pub fn session_id(number: u8) -> GameSessionId {
    GameSessionId::from_bytes([number; 16])
}

pub fn player_session(ordinal: u32) -> PlayerSessionId {
    let [a, b, c, d] = ordinal.to_be_bytes();
    PlayerSessionId::from_parts(0, NOW_MS, [a, b, c, d, 0, 0, 0, 0, 0])
}

/// The coordinator that the server under test is given.
pub struct World {
    pub coordinator: FakeCoordinator,
    master: MasterKey,
    signing_key: SigningKey,
}

impl World {
    pub fn start() -> Self {
        Self {
            coordinator: FakeCoordinator::start(LinkProfile::fleet()),
            master: MasterKey::from_bytes([2; 32]),
            signing_key: SigningKey::from_seed(&[1; 32]),
        }
    }

    pub fn config(&self) -> Config {
        Config::from_join_key(JoinKey {
            role: JoinRole::Server,
            coordinator: self.coordinator.addr.to_string(),
            fingerprint: self.coordinator.fingerprint(),
            secret: Secret32::from_bytes([9; 32]),
        })
        .expect("a server's key")
        .name("under test")
    }

    /// Takes the server's next link and welcomes it.
    pub async fn welcome(&self, applied: &Applied) -> ServerLink {
        let peer = self.coordinator.accept().await;
        peer.welcome(
            NOW_MS,
            WelcomeRole::Server {
                process: process(),
                fleet: FleetId::new("arena").unwrap(),
                gate_root: Secret32::from_bytes(*self.master.gate_root(&process()).as_bytes()),
                holder_root: Secret32::from_bytes(*self.master.holder_root(&process()).as_bytes()),
                applied_seq: applied.seq,
                beat_ms: BEAT_MS,
            },
        );
        ServerLink::new(peer, applied.seq + 1)
    }

    pub fn wanted(&self, version: u64, session: Option<WantedSession>) -> Wanted {
        let key = VerifyingKey { key_id: KEY_ID, public_key: self.signing_key.public_key() };
        Wanted { version, keys: List::first_of([key]), gate_epoch: EPOCH, min_epoch: 0, session, terminate_by_ms: None }
    }

    /// A ticket for session 1, which lives a minute.
    pub fn ticket(&self, ordinal: u32, player: &str, server: SocketAddr) -> Ticket {
        let claims = Claims {
            key_id: KEY_ID,
            gate_epoch: EPOCH,
            ordinal,
            issued_at_ms: NOW_MS,
            expires_at_ms: NOW_MS + 60_000,
            game_session_id: session_id(1),
            server_process_id: process(),
            player_session_id: player_session(ordinal),
            player_id: player,
            player_data: b"team=red",
        };
        let token = mint(&claims, &self.signing_key, &self.master.gate_root(&process()).gate_key(EPOCH)).unwrap();
        let holder_key = self.master.holder_root(&process()).holder_key(token.as_bytes()).unwrap();
        Ticket {
            player_session: claims.player_session_id,
            game_session: claims.game_session_id,
            addresses: List::first_of([server]),
            expires_at_ms: claims.expires_at_ms,
            bearer: false,
            token: Blob::new(token.as_bytes()).unwrap(),
            holder_key: Secret32::from_bytes(*holder_key.as_bytes()),
            relays: List::default(),
        }
    }
}

pub fn session(number: u8) -> WantedSession {
    WantedSession {
        id: session_id(number),
        attempt: 1,
        name: Name::lossy("friday night"),
        max_players: 4,
        properties: Properties::first_of([(Text::lossy("map"), Text::lossy("plaza"))]),
        data: SessionData::new(vec![1, 2, 3]).unwrap(),
        policy: AdmissionPolicy { rejoin_grace_ms: 60_000, bearer: false, tell_reason: true },
        revoked: List::default(),
        end_by_ms: None,
    }
}

pub fn revoking(mut session: WantedSession, ordinal: u32) -> WantedSession {
    session.revoked = List::first_of([Revoked { ordinal, player_session: player_session(ordinal) }]);
    session
}

/// What a coordinator has of a server's reports, across all links.
#[derive(Default)]
pub struct Applied {
    pub seq: u64,
    pub reports: Vec<Report>,
}

/// The server's link, from the coordinator's end. Beats are answered by a task, whatever the test is busy with.
pub struct ServerLink {
    pub fingerprint: Fingerprint,
    pub hello: Hello,
    pub answers_beats: Arc<AtomicBool>,
    sender: FrameSender,
    frames: mpsc::Receiver<Result<ServerUp, RecvError>>,
    next_seq: u64,
}

impl ServerLink {
    fn new(peer: Peer, next_seq: u64) -> Self {
        let Peer { fingerprint, hello, sender, mut receiver } = peer;
        let answers_beats = Arc::new(AtomicBool::new(true));
        let (forward, frames) = mpsc::channel(10_000);
        let (clock, answers) = (sender.clone(), answers_beats.clone());
        tokio::spawn(async move {
            loop {
                let frame = receiver.recv().await;
                if matches!(frame, Ok(ServerUp::Beat(_))) && answers.load(Ordering::Relaxed) {
                    let _ = clock.queue(&ServerDown::Clock { now_ms: NOW_MS }); // the link may be over
                }
                let over = frame.is_err();
                if forward.send(frame).await.is_err() || over {
                    return;
                }
            }
        });
        Self { fingerprint, hello, answers_beats, sender, frames, next_seq }
    }

    fn send(&self, message: &ServerDown) {
        self.sender.queue(message).expect("the link is up");
    }

    pub fn want(&self, wanted: Wanted) {
        self.send(&ServerDown::Wanted(wanted));
    }

    pub fn cut(self) {
        self.sender.close_now(CloseCode::ShuttingDown, "");
    }

    pub fn acknowledge(&self, applied: &Applied) {
        self.send(&ServerDown::ReportAck { through_seq: applied.seq });
    }

    async fn next(&mut self) -> Result<ServerUp, RecvError> {
        soon("a frame", self.frames.recv()).await.expect("the link was up")
    }

    /// Reads one frame. Reports must go on exactly where the last ones on this link, or the
    /// welcome, left off.
    async fn step(&mut self, applied: &mut Applied) -> Option<Beat> {
        let batch = match self.next().await.expect("the link is up") {
            ServerUp::Beat(beat) => return Some(beat),
            ServerUp::Reports(batch) => batch,
        };
        assert_eq!(batch.first_seq, self.next_seq, "a gap or a repetition: {batch:?}");
        for report in batch.reports {
            self.next_seq += 1;
            applied.seq += 1;
            applied.reports.push(report);
        }
        None
    }

    /// Applies reports until one is as wanted, and acknowledges them if `ack` says so.
    pub async fn report(&mut self, applied: &mut Applied, ack: bool, wanted: impl Fn(&Report) -> bool) -> Report {
        let found = soon("a certain report", async {
            loop {
                if let Some(found) = applied.reports.iter().find(|report| wanted(report)) {
                    return found.clone();
                }
                self.step(applied).await;
            }
        });
        let found = found.await;
        if ack {
            self.acknowledge(applied);
        }
        found
    }

    /// Reads on until a beat is as wanted.
    pub async fn beat(&mut self, applied: &mut Applied, wanted: impl Fn(&Beat) -> bool) -> Beat {
        soon("a certain beat", async {
            loop {
                if let Some(beat) = self.step(applied).await.filter(|beat| wanted(beat)) {
                    return beat;
                }
            }
        })
        .await
    }

    /// Reads on until the server is gone.
    pub async fn gone(&mut self) -> CloseReason {
        loop {
            match self.next().await {
                Ok(_) => {}
                Err(RecvError::Closed(reason)) => return reason,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The game's part: one socket, and the SDK.
pub struct Game {
    pub server: Server,
    pub socket: UdpSocket,
    pub addr: SocketAddr,
    /// What the end of a test may spend on a goodbye that nobody acknowledges; `None` leaves it to the SDK.
    pub goodbye: Option<Duration>,
}

impl Drop for Game {
    fn drop(&mut self) {
        if let Some(timeout) = self.goodbye {
            self.server.shutdown(timeout);
        }
    }
}

impl Game {
    pub async fn start(config: Config) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let server = Server::start(config).expect("a thread and a socket");
        server.ready(&[addr.port()]);
        Self { server, socket, addr, goodbye: Some(Duration::ZERO) }
    }

    pub async fn event(&self) -> Event {
        soon("an event", self.server.next_event()).await.expect("the server is running")
    }

    /// Reads events until one is as wanted.
    pub async fn event_that(&self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.event().await;
            if wanted(&event) {
                return event;
            }
        }
    }

    /// Serves the socket until a player's attempt is over: its outcome, and the last admission or refusal behind it.
    pub async fn serve<T>(&self, attempt: impl Future<Output = T>) -> (T, Option<Verdict>) {
        let mut decided = None;
        let mut attempt = std::pin::pin!(attempt);
        let (mut buffer, mut reply) = ([0; 2048], ReplyBuf::new());
        loop {
            let received = tokio::select! {
                outcome = soon("the end of an attempt", &mut attempt) => return (outcome, decided),
                received = self.socket.recv_from(&mut buffer) => received,
            };
            let (len, from) = received.unwrap();
            let verdict = self.server.handle(from, &buffer[..len], &mut reply);
            if !reply.is_empty() {
                self.socket.send_to(reply.as_slice(), from).await.unwrap();
            }
            if matches!(verdict, Verdict::Admitted(_) | Verdict::Refused(_)) {
                decided = Some(verdict);
            }
        }
    }

    /// Somebody gets in.
    pub async fn admit(&self, ticket: &Ticket) -> (UdpSocket, Joined, Admission) {
        let (joined, verdict) = self.serve(player::join(ticket, JOIN_TIME)).await;
        let (socket, joined) = joined.expect("the ticket is good");
        let Some(Verdict::Admitted(admission)) = verdict else { panic!("{verdict:?}") };
        (socket, joined, admission)
    }

    /// As a game does when it ends: blocking, on a thread of its own.
    pub async fn shutdown(&self, timeout: Duration) -> bool {
        let server = self.server.clone();
        soon("a shutdown", tokio::task::spawn_blocking(move || server.shutdown(timeout))).await.unwrap()
    }
}

/// A game that hosts session 1, with a coordinator that knows it.
pub async fn hosting(config: impl FnOnce(Config) -> Config) -> (World, Game, ServerLink, Applied) {
    let (world, mut applied) = (World::start(), Applied::default());
    let game = Game::start(config(world.config())).await;
    let mut link = world.welcome(&applied).await;
    link.want(world.wanted(1, Some(session(1))));
    game.event_that(|event| matches!(event, Event::StartSession(_))).await;
    game.server.activate().expect("it was just started");
    link.report(&mut applied, true, |report| matches!(report, Report::Activated { .. })).await;
    (world, game, link, applied)
}
