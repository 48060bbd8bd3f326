//! A coordinator's end of links, without a coordinator behind it: the test reads and writes every frame.

use std::fmt::Debug;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use playgate_link::{
    CloseCode, Fingerprint, FrameReceiver, FrameSender, Identity, LinkProfile, ListenConfig, Listener,
};
use playgate_protocol::{Greeting, Hello, Refusal, RefusalReason, Text, Welcome, WelcomeRole};

/// No step of any test takes this long, unless it hangs.
pub const TOO_LONG: Duration = Duration::from_secs(20);

pub async fn soon<T>(what: &str, step: impl Future<Output = T>) -> T {
    tokio::time::timeout(TOO_LONG, step).await.unwrap_or_else(|_| panic!("{what}: nothing for {TOO_LONG:?}"))
}

pub struct FakeCoordinator {
    identity: Identity,
    profile: LinkProfile,
    pub addr: SocketAddr,
    listener: Option<Listener>,
}

impl FakeCoordinator {
    pub fn start(profile: LinkProfile) -> Self {
        let identity = Identity::generate();
        let listener = bind(&identity, profile, "127.0.0.1:0".parse().unwrap()).expect("a port is free");
        Self { identity, profile, addr: listener.local_addr(), listener: Some(listener) }
    }

    pub fn fingerprint(&self) -> Fingerprint {
        self.identity.fingerprint()
    }

    /// The next link, at its hello.
    pub async fn accept(&self) -> Peer {
        let listener = self.listener.as_ref().expect("started");
        soon("accept", async {
            loop {
                let attempt = listener.accept().await.expect("open");
                let Ok(link) = attempt.establish().await else { continue };
                let fingerprint = link.peer();
                let (sender, mut receiver) = link.split();
                if let Ok(hello) = receiver.recv().await {
                    return Peer { fingerprint, hello, sender, receiver };
                }
            }
        })
        .await
    }

    /// Every link breaks, and nobody answers any more.
    pub async fn stop(&mut self) {
        let listener = self.listener.take().expect("started");
        listener.close(CloseCode::ShuttingDown, "", Duration::from_secs(1)).await;
    }

    /// The same coordinator at the same address.
    pub async fn restart(&mut self) {
        let listener = soon("the port is free again", async {
            loop {
                if let Some(listener) = bind(&self.identity, self.profile, self.addr) {
                    return listener;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        self.listener = Some(listener.await);
    }
}

fn bind(identity: &Identity, profile: LinkProfile, addr: SocketAddr) -> Option<Listener> {
    let identity = identity.clone();
    let config = ListenConfig { addr, identity, reset_key: [7; 64], connection_id_key: 7, profile, max_links: 64 };
    Listener::bind(config).ok()
}

/// One link, seen from the coordinator.
pub struct Peer {
    pub fingerprint: Fingerprint,
    pub hello: Hello,
    pub sender: FrameSender,
    pub receiver: FrameReceiver,
}

impl Peer {
    pub fn welcome(&self, now_ms: u64, role: WelcomeRole) {
        self.send(&Greeting::Welcome(Welcome { version: 1, now_ms, role }));
    }

    pub fn refuse(&self, reason: RefusalReason, detail: &str) {
        let refusal = Refusal { reason, detail: Text::lossy(detail), retry_after_ms: 0 };
        self.send(&Greeting::Refused(refusal));
        self.sender.close(CloseCode::Refused, "");
    }

    pub fn send<T: serde::Serialize>(&self, message: &T) {
        self.sender.queue(message).expect("the link is up");
    }

    pub async fn recv<T: serde::de::DeserializeOwned + Debug>(&mut self) -> T {
        soon("a frame", self.receiver.recv()).await.expect("the link is up")
    }
}
