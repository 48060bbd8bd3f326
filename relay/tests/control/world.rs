//! A state directory, a relay, and a test that plays its coordinator, with a clock that is decades behind.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use playgate_client::relay::{RelayError, RelaySocket};
use playgate_link::{CloseCode, FrameReceiver, FrameSender, Identity, LinkProfile, ListenConfig, Listener};
use playgate_protocol::relay::{
    FlowRevocation, NumberedSecret, PlayerAt, RefuseCode, RelayAccess, RelayBeat, RelayDown, RelaySecret, RelayUp,
};
use playgate_protocol::{
    Fingerprint, Greeting, Hello, HelloRole, List, PlayerSessionId, Refusal, RefusalReason, RelayId, Secret32, Text,
    Welcome, WelcomeRole,
};
use playgate_relay::{RelayConfig, RelayServiceConfig, ServiceError, Status, run};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::players::{self, PATIENCE, VALID_UNTIL_MS, id};

/// Secrets that may appear in no log.
pub const JOIN_SECRET: [u8; 32] = [0x5a; 32];
/// That of [`players::access`].
pub const SECRET: [u8; 32] = [1; 32];
/// Nobody listens there.
pub const NOBODY: &str = "127.0.0.1:9";

/// A coordinator, and a host with a state directory.
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

    pub fn config(&self) -> RelayServiceConfig {
        let mut relay = RelayConfig::new("127.0.0.1:0".parse().unwrap());
        relay.destinations = vec!["127.0.0.0/8".parse().unwrap()];
        RelayServiceConfig {
            coordinator: self.addr().to_string(),
            fingerprint: self.fingerprint,
            join_secret: Some(Secret32::from_bytes(JOIN_SECRET)),
            name: "edge-1".to_owned(),
            advertise: Vec::new(),
            state_dir: self.state(),
            relay,
        }
    }

    pub fn relay(&self) -> Running {
        self.relay_with(|_| {})
    }

    /// A relay inside the test.
    pub fn relay_with(&self, change: impl FnOnce(&mut RelayServiceConfig)) -> Running {
        let mut config = self.config();
        change(&mut config);
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        Running { stop: Some(stop), task: tokio::spawn(run(config, shutdown)) }
    }

    /// One that serves without a coordinator, where the one before did.
    pub fn relay_alone(&self, listen: SocketAddr) -> Running {
        self.relay_with(|config| {
            config.coordinator = NOBODY.to_owned();
            config.join_secret = None;
            config.relay.listen = listen;
        })
    }

    /// The next relay that comes, not yet greeted.
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
        timeout(PATIENCE, accept).await.expect("a relay should call")
    }

    /// The next relay that comes, welcomed.
    pub async fn welcome(&self) -> Session {
        self.caller().await.welcome()
    }

    /// What the relay of this state directory tells of itself, once that is so.
    pub async fn status(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let path = self.state().join("control.sock");
        let ask = async {
            loop {
                let mut document = Vec::new();
                if let Ok(mut stream) = UnixStream::connect(&path).await
                    && stream.read_to_end(&mut document).await.is_ok()
                    && let Ok(status) = serde_json::from_slice(&document)
                    && wanted(&status)
                {
                    return status;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, ask).await.expect("the relay should come to that")
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.state().join(name)).unwrap_or_default()
    }
}

pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServiceError>>,
}

impl Running {
    /// Tells it to end, and waits for that.
    pub async fn stop(mut self) -> Result<(), ServiceError> {
        drop(self.stop.take());
        self.result().await
    }

    /// What it ends with by itself.
    pub async fn result(&mut self) -> Result<(), ServiceError> {
        timeout(PATIENCE, &mut self.task).await.expect("the relay should end").unwrap()
    }

    /// It ends without another word.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

pub struct Caller {
    pub hello: Hello,
    pub peer: Fingerprint,
    sender: FrameSender,
    receiver: FrameReceiver,
}

impl Caller {
    pub fn welcome(self) -> Session {
        let role = WelcomeRole::Relay { relay: RelayId::from_bytes([3; 16]) };
        self.sender.queue(&Greeting::Welcome(Welcome { version: 1, now_ms: 1, role })).unwrap();
        Session { hello: self.hello, peer: self.peer, sender: self.sender, receiver: self.receiver }
    }

    pub fn refuse(self, reason: RefusalReason) {
        let refusal = Refusal { reason, detail: Text::lossy("try something else"), retry_after_ms: 0 };
        self.sender.queue(&Greeting::Refused(refusal)).unwrap();
        self.sender.close(CloseCode::Refused, "refused");
    }
}

/// A link on which the test is the coordinator. It answers the beats that it looks at.
pub struct Session {
    pub hello: Hello,
    pub peer: Fingerprint,
    pub sender: FrameSender,
    receiver: FrameReceiver,
}

impl Session {
    /// Where it says that players reach it, and the secret it holds.
    pub fn told(&self) -> (Vec<SocketAddr>, u32) {
        let HelloRole::Relay { addresses, secret, .. } = self.hello.role.clone() else { panic!("no relay") };
        (addresses.into_vec(), secret)
    }

    pub fn give(&self, number: u32, secret: [u8; 32]) {
        let current = NumberedSecret { number, secret: Secret32::from_bytes(secret) };
        self.sender.queue(&RelayDown::Secrets { current, before: None }).unwrap();
    }

    /// Gives the first secret, and waits until it is confirmed. Returns where players reach the relay.
    pub async fn set_up(&mut self) -> SocketAddr {
        self.give(1, SECRET);
        self.beat(|beat| beat.secret == 1).await;
        self.told().0[0]
    }

    pub fn revoke(&self, player: u8) {
        let revocation = FlowRevocation { player_session: id(player), until_ms: VALID_UNTIL_MS };
        self.sender.queue(&RelayDown::Revoke(List::first_of([revocation]))).unwrap();
    }

    async fn heard(&mut self) -> RelayUp {
        let message = self.receiver.recv().await.expect("the link should last");
        if matches!(message, RelayUp::Beat(_)) {
            let _ = self.sender.queue(&RelayDown::Clock { now_ms: 1 });
        }
        message
    }

    /// The first such message. Beats never end, so the patience is for all of it.
    async fn first<T>(&mut self, wanted: impl Fn(RelayUp) -> Option<T>) -> T {
        let wait = async {
            loop {
                if let Some(found) = wanted(self.heard().await) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, wait).await.expect("such a message should come")
    }

    pub async fn beat(&mut self, wanted: impl Fn(&RelayBeat) -> bool) -> RelayBeat {
        self.first(|message| match message {
            RelayUp::Beat(beat) if wanted(&beat) => Some(beat),
            _ => None,
        })
        .await
    }

    pub async fn players(&mut self) -> Vec<PlayerAt> {
        self.first(|message| match message {
            RelayUp::Players(list) => Some(list.into_vec()),
            RelayUp::Beat(_) => None,
        })
        .await
    }

    /// The next that are told, until as many are.
    pub async fn flows(&mut self, count: usize) -> Vec<PlayerSessionId> {
        let mut flows = Vec::new();
        while flows.len() < count {
            flows.extend(self.players().await.iter().map(|flow| flow.player_session));
        }
        flows.sort();
        flows
    }

    /// The coordinator goes away.
    pub fn close(self) {
        self.sender.close_now(CloseCode::ShuttingDown, "restarting");
    }

    /// The relay closes the link in good order.
    pub async fn ended(&mut self) -> Vec<RelayUp> {
        let mut last = Vec::new();
        let end = async {
            while let Ok(message) = self.receiver.recv().await {
                last.push(message);
            }
        };
        timeout(PATIENCE, end).await.expect("the link should end");
        last
    }
}

/// A pass under a numbered secret for a player.
pub fn access(number: u8, relay: SocketAddr, server: SocketAddr, secret: u32) -> RelayAccess {
    let mut access = players::access(number, relay, server);
    let claims = RelaySecret::new(1, SECRET).open(&access.pass).unwrap();
    access.pass = RelaySecret::new(secret, [u8::try_from(secret).unwrap(); 32]).seal(&claims, [number; 16]);
    access
}

pub async fn open(number: u8, relay: SocketAddr, server: SocketAddr) -> RelaySocket {
    RelaySocket::open(&[players::access(number, relay, server)], PATIENCE).await.unwrap()
}

pub async fn assert_revoked(number: u8, relay: SocketAddr, server: SocketAddr) {
    let refused = RelaySocket::open(&[players::access(number, relay, server)], PATIENCE).await;
    assert!(matches!(refused, Err(RelayError::Refused(RefuseCode::Revoked))), "{:?}", refused.err());
}

/// Something goes there and back.
pub async fn say(socket: &RelaySocket, what: &str) {
    let mut buffer = [0; 2_048];
    for _ in 0..50 {
        let _ = socket.send(what.as_bytes()).await;
        if let Ok(len) = timeout(Duration::from_millis(400), socket.recv(&mut buffer)).await
            && buffer[..len.unwrap()].ends_with(what.as_bytes())
        {
            return;
        }
    }
    panic!("no answer to {what}")
}
