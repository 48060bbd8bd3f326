//! Who a relay says it is, how it comes back, and what keeps it from starting.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use playgate_protocol::relay::RelayUp;
use playgate_protocol::{Credential, Fingerprint, HelloRole, JoinKey, JoinRole, RefusalReason, Secret32, VersionRange};
use playgate_relay::{RelayServiceConfig, ServiceError};

use crate::players::server;
use crate::world::*;

#[tokio::test]
async fn a_relay_joins_once_and_then_is_known_by_its_key() {
    let world = World::new();
    let advertise = vec!["192.0.2.7:4000".parse().unwrap(), "[::]:4000".parse().unwrap()];
    let relay = world.relay_with(|config| config.advertise = advertise.clone());
    let caller = world.caller().await;
    assert_eq!(caller.hello.credential, Credential::Join { secret: Secret32::from_bytes(JOIN_SECRET) });
    assert_eq!(caller.hello.versions, VersionRange::OURS);
    let HelloRole::Relay { name, addresses, secret } = caller.hello.role.clone() else { panic!("no relay") };
    assert_eq!((name.as_str(), addresses.into_vec(), secret), ("edge-1", advertise, 0));
    let key = caller.peer;
    caller.refuse(RefusalReason::Busy); // it was not welcomed yet, so it still needs the join key
    let caller = world.caller().await;
    assert!(matches!(caller.hello.credential, Credential::Join { .. }));
    let mut session = caller.welcome();
    session.set_up().await;
    session.close();
    let session = world.welcome().await;
    assert_eq!((session.hello.credential.clone(), session.peer), (Credential::Bound, key));
    assert_eq!(session.told().1, 1, "it says which secret it holds");
    relay.stop().await.unwrap();

    // The join key is not needed again, and of no use elsewhere.
    let relay = world.relay_with(|config| config.join_secret = None);
    let session = world.welcome().await;
    assert_eq!((session.hello.credential.clone(), session.peer), (Credential::Bound, key));
    let listening = world.status(|status| status.linked).await.listening;
    assert_eq!(session.told().0, [listening], "where it listens, unless told otherwise");
    relay.stop().await.unwrap();
    let known = RelayServiceConfig::from_state(world.state()).unwrap();
    assert_eq!((known.coordinator, known.fingerprint), (world.addr().to_string(), world.fingerprint));
    let other = Fingerprint::from_bytes([1; 32]);
    let error = world.relay_with(|config| config.fingerprint = other).result().await.unwrap_err();
    assert!(matches!(error, ServiceError::OtherCoordinator { .. }), "{error:?}");
}

#[tokio::test]
async fn a_relay_that_was_never_welcomed_ends_and_one_that_serves_does_not() {
    for reason in [RefusalReason::UnknownKey, RefusalReason::JoinKeyInvalid, RefusalReason::VersionMismatch] {
        let world = World::new();
        let mut relay = world.relay();
        world.caller().await.refuse(reason);
        let error = relay.result().await.unwrap_err();
        assert!(matches!(&error, ServiceError::Refused(refusal) if refusal.reason == reason), "{error:?}");
        assert!(error.to_string().contains("try something else"), "{error}");
    }
    let world = World::new();
    let relay = world.relay();
    let mut session = world.welcome().await;
    let at = session.set_up().await;
    session.close();
    world.caller().await.refuse(RefusalReason::UnknownKey);
    let status = world.status(|status| status.problem.is_some()).await;
    assert!(!status.linked && status.secret == 1, "{status:?}");
    say(&open(1, at, server("127.0.0.1:0")).await, "hello").await;
    // And it asks again: the coordinator may have been restored from an old backup.
    world.welcome().await.beat(|beat| beat.secret == 1).await;
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_missing_is_said_before_anything_is_made() {
    let world = World::new();
    let error = world.relay_with(|config| config.relay.destinations.clear()).result().await.unwrap_err();
    assert!(matches!(error, ServiceError::NoDestinations) && error.to_string().contains("--to"), "{error}");
    let nobody = RelayServiceConfig::from_state(world.state()).unwrap_err();
    assert!(nobody.to_string().contains("playgate key new relay"), "{nobody}");
    assert!(!world.state().exists());
    let error = world.relay_with(|config| config.join_secret = None).result().await.unwrap_err();
    assert!(matches!(error, ServiceError::NotJoined), "{error:?}");
    let key = |role| JoinKey {
        role,
        coordinator: "coordinator.example:7600".to_owned(),
        fingerprint: world.fingerprint,
        secret: Secret32::from_bytes(JOIN_SECRET),
    };
    let config = RelayServiceConfig::from_join_key(key(JoinRole::Relay), world.state()).unwrap();
    assert_eq!((config.coordinator.as_str(), config.relay.listen.port()), ("coordinator.example:7600", 4_000));
    let error = RelayServiceConfig::from_join_key(key(JoinRole::Agent), world.state()).unwrap_err();
    assert!(error.to_string().contains("playgate key new relay"), "{error}");
}

#[tokio::test]
async fn nobody_but_the_pinned_coordinator_is_served() {
    let world = World::new();
    let other = Fingerprint::from_bytes([1; 32]);
    let relay = world.relay_with(|config| config.fingerprint = other);
    let caller = world.caller();
    let status = world.status(|status| status.problem.is_some());
    let status = tokio::select! {
        status = status => status,
        _ = caller => panic!("it introduced itself"),
    };
    assert!(status.problem.unwrap().contains(&other.to_string()) && !status.linked);
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn a_coordinator_that_says_nothing_is_dialled_again() {
    let world = World::new();
    let relay = world.relay();
    // QUIC itself is content: packets are acknowledged. Only the beats go unanswered.
    let _silent = world.welcome().await;
    world.welcome().await.set_up().await;
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn an_ending_relay_drains_and_takes_its_leave() {
    let world = World::new();
    let relay = world.relay();
    let mut session = world.welcome().await;
    session.set_up().await;
    let (ended, last) = tokio::join!(relay.stop(), session.ended());
    ended.unwrap();
    assert!(matches!(last.last(), Some(RelayUp::Beat(beat)) if beat.is_draining), "{last:?}");
    assert!(!world.state().join("control.sock").exists());
}

#[tokio::test]
async fn a_state_directory_is_for_one_relay_and_one_user() {
    let world = World::new();
    let relay = world.relay();
    world.welcome().await.set_up().await;
    world.status(|_| true).await;
    let error = world.relay().result().await.unwrap_err();
    assert!(matches!(error, ServiceError::StateInUse { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&world.state()), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(world.state()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().unwrap().to_owned().into_string().unwrap());
    }
    names.sort();
    let expected = ["bound.json", "clock", "control.sock", "lock", "relay.key", "reset.key", "revoked", "secrets.json"]
        .map(str::to_owned);
    assert_eq!(names, expected);
    relay.stop().await.unwrap();
}

/// A coordinator that was restored from an old backup does not know the relay's key any more.
#[tokio::test]
async fn a_relay_that_is_given_a_join_key_again_presents_it() {
    let world = World::new();
    let relay = world.relay();
    world.welcome().await.set_up().await;
    relay.stop().await.unwrap();
    let relay = world.relay();
    let caller = world.caller().await;
    assert!(matches!(caller.hello.credential, Credential::Join { .. }));
    caller.welcome().set_up().await;
    relay.stop().await.unwrap();
}

/// They are not synced: a loss of power may leave them without their content.
#[tokio::test]
async fn a_relay_starts_whatever_a_loss_of_power_did_to_its_clock_and_its_list() {
    let world = World::new();
    let relay = world.relay();
    world.welcome().await.set_up().await;
    relay.stop().await.unwrap();
    for content in [&b""[..], b"\0\0\0\0", b"\0\n"] {
        for name in ["clock", "revoked"] {
            fs::write(world.state().join(name), content).unwrap();
        }
        let relay = world.relay();
        world.welcome().await.set_up().await;
        relay.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_damaged_file_is_named_with_the_remedy() {
    let world = World::new();
    let relay = world.relay();
    world.welcome().await.set_up().await;
    relay.stop().await.unwrap();
    for (name, remedy) in [
        ("relay.key", "restore it, or use an empty state directory"),
        ("reset.key", "remove it"),
        ("bound.json", "playgate key new relay"),
        ("secrets.json", "the coordinator sends the secrets again"),
    ] {
        let path = world.state().join(name);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, "{\"current\":[1,2,3\n").unwrap();
        let error = world.relay().result().await.unwrap_err();
        assert!(matches!(&error, ServiceError::Damaged { path: damaged, .. } if *damaged == path), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(remedy) && !text.contains("1,2,3"), "{text}");
        fs::write(&path, whole).unwrap();
    }
}
