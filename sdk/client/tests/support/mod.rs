//! One set-up for all tests: a fake coordinator that reads every call and answers as the test says.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

#[path = "../../../server/tests/support/listener.rs"]
pub mod listener;

use std::time::Duration;

use listener::{FakeCoordinator, Peer};
use playgate_client::{Backend, BackendConfig, JoinKey, Operator, OperatorKey};
use playgate_link::{Identity, LinkProfile};
use playgate_protocol::api::{
    Answer, ApiDown, BackendCall, BackendUp, CallError, ErrorCode, GameSessionInfo, GameSessionStatus,
};
use playgate_protocol::server::Properties;
use playgate_protocol::{
    FleetId, GameSessionId, JoinRole, Name, PlayerSessionId, PrivateKey, Secret32, Text, WelcomeRole,
};

/// Enough for everything that is meant to work.
pub const PATIENCE: Duration = Duration::from_secs(15);

pub struct World {
    pub coordinator: FakeCoordinator,
    dir: tempfile::TempDir,
}

impl World {
    pub fn start() -> Self {
        Self { coordinator: FakeCoordinator::start(LinkProfile::fleet()), dir: tempfile::tempdir().unwrap() }
    }

    pub fn join_key(&self, role: JoinRole) -> JoinKey {
        JoinKey {
            role,
            coordinator: self.coordinator.addr.to_string(),
            fingerprint: self.coordinator.fingerprint(),
            secret: Secret32::from_bytes([9; 32]),
        }
    }

    pub fn identity_file(&self) -> std::path::PathBuf {
        self.dir.path().join("backend.key")
    }

    pub fn backend_config(&self) -> BackendConfig {
        BackendConfig::from_join_key(self.join_key(JoinRole::Backend), self.identity_file()).patience(PATIENCE)
    }

    pub fn operator_key(&self) -> OperatorKey {
        OperatorKey {
            coordinator: self.coordinator.addr.to_string(),
            fingerprint: self.coordinator.fingerprint(),
            pkcs8: PrivateKey::from_pkcs8(Identity::generate().to_pkcs8().as_bytes()),
        }
    }

    /// The next link, welcomed.
    pub async fn welcome(&self, role: WelcomeRole) -> Peer {
        let peer = self.coordinator.accept().await;
        peer.welcome(1, role);
        peer
    }

    /// A backend and its link.
    pub async fn backend(&self) -> (Backend, Peer) {
        let (backend, peer) = tokio::join!(Backend::connect(self.backend_config()), self.welcome(WelcomeRole::Backend));
        (backend.expect("welcomed"), peer)
    }

    /// An operator and its link.
    pub async fn operator(&self) -> (Operator, Peer) {
        let connecting = Operator::connect_within(self.operator_key(), PATIENCE);
        let (operator, peer) = tokio::join!(connecting, self.welcome(WelcomeRole::Operator));
        (operator.expect("welcomed"), peer)
    }
}

pub fn session_id(number: u16) -> GameSessionId {
    GameSessionId::from_parts(0, number.into(), [0; 9])
}

pub fn player_session(number: u16) -> PlayerSessionId {
    PlayerSessionId::from_parts(0, number.into(), [0; 9])
}

pub fn session_info(id: GameSessionId) -> GameSessionInfo {
    GameSessionInfo {
        id,
        fleet: FleetId::new("arena").unwrap(),
        name: Name::default(),
        status: GameSessionStatus::Active,
        attempt: 1,
        reason: None,
        process: None,
        address: None,
        max_players: 4,
        reserved: 0,
        active: 0,
        properties: Properties::default(),
        created_ms: 0,
        activated_ms: None,
        terminated_ms: None,
    }
}

/// The next call of a backend.
pub async fn next_call(peer: &mut Peer) -> (u64, BackendCall) {
    let BackendUp { request, call } = peer.recv().await;
    (request, call)
}

pub fn answer(peer: &Peer, request: u64, answer: Answer) {
    peer.send(&ApiDown { request, outcome: Ok(answer) });
}

pub fn refuse(peer: &Peer, request: u64, code: ErrorCode) {
    let error = CallError { code, detail: Text::lossy("because"), retry_after_ms: 0 };
    peer.send(&ApiDown { request, outcome: Err(error) });
}
