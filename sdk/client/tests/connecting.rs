//! Who a client is to the coordinator, and what happens when that is in doubt.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod support;

use std::time::{Duration, Instant};

use playgate_client::{Backend, BackendConfig, CallFailed, ConnectError, Operator};
use playgate_link::Identity;
use playgate_protocol::api::{Answer, ApiDown, CreateJoinKey, OperatorCall, OperatorUp};
use playgate_protocol::{Credential, HelloRole, JoinRole, RefusalReason, Secret32, WelcomeRole};
use support::{PATIENCE, World, session_id, session_info};

fn joins() -> Credential {
    Credential::Join { secret: Secret32::from_bytes([9; 32]) }
}

#[tokio::test]
async fn a_join_key_is_needed_once() {
    let world = World::start();
    let (first, peer) = world.backend().await;
    assert_eq!((&peer.hello.credential, &peer.hello.role), (&joins(), &HelloRole::Backend));
    first.close().await;

    let config = BackendConfig::from_identity_file(world.identity_file()).patience(PATIENCE);
    let (second, again) = tokio::join!(Backend::connect(config), world.welcome(WelcomeRole::Backend));
    assert_eq!(again.hello.credential, Credential::Bound);
    assert_eq!(again.fingerprint, peer.fingerprint);
    second.unwrap();
}

#[tokio::test]
async fn a_key_that_was_never_bound_is_introduced_after_all() {
    let world = World::start();
    let config = || world.backend_config();
    // The first connection breaks before the coordinator has seen the hello; the file is there already.
    let refused = async { world.coordinator.accept().await.refuse(RefusalReason::JoinKeyInvalid, "expired") };
    let (failed, ()) = tokio::join!(Backend::connect(config()), refused);
    let Err(ConnectError::Refused(refusal)) = failed else { panic!("{failed:?}") };
    assert_eq!(refusal.detail.as_str(), "expired");

    let coordinator = async {
        let unknown = world.coordinator.accept().await;
        assert_eq!(unknown.hello.credential, Credential::Bound);
        unknown.refuse(RefusalReason::UnknownKey, "who is this?");
        let peer = world.welcome(WelcomeRole::Backend).await;
        assert_eq!(peer.hello.credential, joins());
        peer
    };
    let (backend, _peer) = tokio::join!(Backend::connect(config()), coordinator);
    backend.unwrap();
}

#[tokio::test]
async fn a_backend_that_is_turned_away_later_fails_at_once() {
    let mut world = World::start();
    let (backend, peer) = world.backend().await;
    drop(peer);
    world.coordinator.stop().await;
    world.coordinator.restart().await;
    let refuse = async { world.coordinator.accept().await.refuse(RefusalReason::UnknownKey, "removed") };
    let (failed, ()) = tokio::join!(backend.describe_game_session(session_id(1)), refuse);
    assert!(matches!(failed, Err(CallFailed::LinkRefused(_))), "{failed:?}");
    let failed = backend.describe_game_session(session_id(1)).await;
    assert!(matches!(failed, Err(CallFailed::LinkRefused(_))), "{failed:?}");
}

#[tokio::test]
async fn a_wrong_coordinator_is_told_from_an_absent_one() {
    let mut world = World::start();
    let mut key = world.operator_key();
    key.fingerprint = Identity::generate().fingerprint();
    let started = Instant::now();
    let connecting = Operator::connect_within(key, Duration::from_secs(60));
    let failed = tokio::select! {
        failed = connecting => failed.unwrap_err(),
        _ = world.coordinator.accept() => panic!("no link with a wrong key"),
    };
    let ConnectError::Unreachable { detail } = failed else { panic!("{failed:?}") };
    assert!(detail.contains("key") && started.elapsed() < Duration::from_secs(30), "{detail}");

    world.coordinator.stop().await;
    let failed = Operator::connect_within(world.operator_key(), Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(failed, ConnectError::Unreachable { .. }), "{failed:?}");
}

#[tokio::test]
async fn a_join_key_for_something_else_is_refused_before_it_is_used() {
    let world = World::start();
    let config = BackendConfig::from_join_key(world.join_key(JoinRole::Agent), world.identity_file());
    assert!(matches!(Backend::connect(config).await, Err(ConnectError::WrongRole)));
    assert!(!world.identity_file().exists());
}

#[tokio::test]
async fn an_operator_makes_join_keys_and_keeps_their_secret_from_the_coordinator() {
    let world = World::start();
    let (operator, mut peer) = world.operator().await;
    assert_eq!((&peer.hello.credential, &peer.hello.role), (&Credential::Bound, &HelloRole::Operator));
    let lifetime = Duration::from_secs(3_600);
    let (key, asked) = tokio::join!(operator.create_join_key(JoinRole::Agent, None, 3, lifetime), async {
        let OperatorUp { request, call } = peer.recv().await;
        peer.send(&ApiDown { request, outcome: Ok(Answer::Done) });
        call
    });
    let key = key.unwrap();
    let secret_sha256 = key.secret.sha256();
    let expected = CreateJoinKey { secret_sha256, role: JoinRole::Agent, fleet: None, uses: 3, lifetime_ms: 3_600_000 };
    assert_eq!(asked, OperatorCall::CreateJoinKey(expected));
    assert_eq!(key.coordinator, world.coordinator.addr.to_string());
    assert_eq!(key.fingerprint, world.coordinator.fingerprint());
}

#[tokio::test]
async fn an_operator_calls_what_a_backend_calls() {
    let world = World::start();
    let (operator, mut peer) = world.operator().await;
    let (answered, ()) = tokio::join!(operator.describe_game_session(session_id(1)), async {
        let OperatorUp { request, call } = peer.recv().await;
        assert!(matches!(call, OperatorCall::Backend(_)));
        peer.send(&ApiDown { request, outcome: Ok(Answer::GameSession(session_info(session_id(1)))) });
    });
    assert_eq!(answered.unwrap().id, session_id(1));
}

#[tokio::test]
async fn no_secret_is_shown() {
    let world = World::start();
    let (join, operator) = (world.join_key(JoinRole::Backend), world.operator_key());
    let secrets = [
        join.to_text().rsplit('/').next().unwrap().to_owned(),
        operator.to_text().rsplit('/').next().unwrap().to_owned(),
        format!("{:?}", operator.pkcs8.reveal()),
    ];
    let (client, _peer) = world.operator().await;
    for shown in [
        format!("{operator:?}"),
        format!("{:?}", BackendConfig::from_operator_key(operator.clone())),
        format!("{:?}", BackendConfig::from_join_key(join, "backend.key")),
        format!("{client:?}"),
    ] {
        assert!(secrets.iter().all(|secret| !shown.contains(secret.as_str())), "{shown}");
    }
}
