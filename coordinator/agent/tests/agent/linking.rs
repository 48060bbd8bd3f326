//! The link to the coordinator: who the agent says it is, and how it comes back.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use playgate_agent::{AgentConfig, AgentError};
use playgate_protocol::agent::{AgentReport, ExitStatus};
use playgate_protocol::{Credential, Fingerprint, HelloRole, JoinKey, JoinRole, RefusalReason, Secret32, VersionRange};

use crate::support::{CREDENTIAL, Heard, JOIN_SECRET, World, process_id, script};

#[tokio::test]
async fn an_agent_joins_once_and_then_is_known_by_its_key() {
    let world = World::new();
    let advertise = Some("192.0.2.7".parse().unwrap());
    let agent = world.agent_with(|config| config.advertise = advertise);
    let caller = world.caller().await;
    assert_eq!(caller.hello.credential, Credential::Join { secret: Secret32::from_bytes(JOIN_SECRET) });
    assert_eq!(caller.hello.versions, VersionRange::OURS);
    let HelloRole::Agent { name, advertise: told, capacity } = caller.hello.role.clone() else { panic!() };
    assert_eq!((name.as_str(), told, capacity), ("box-1", advertise, 32));
    let key = caller.peer;
    // It was not welcomed yet, so it still needs the key.
    caller.refuse(RefusalReason::Busy);
    let caller = world.caller().await;
    assert!(matches!(caller.hello.credential, Credential::Join { .. }));
    let mut session = caller.welcome(0);
    session.inventory().await;
    session.close().await;
    let mut session = world.welcome(0).await;
    assert_eq!((session.hello.credential.clone(), session.peer), (Credential::Bound, key));
    session.inventory().await;
    agent.stop().await.unwrap();

    // The join key is not needed again, and of no use elsewhere.
    let agent = world.agent_with(|config| config.join_secret = None);
    let session = world.welcome(0).await;
    assert_eq!((session.hello.credential.clone(), session.peer), (Credential::Bound, key));
    agent.stop().await.unwrap();
    let known = AgentConfig::from_state(world.config().state_dir).unwrap();
    assert_eq!((known.coordinator, known.fingerprint), (world.config().coordinator, world.config().fingerprint));
    assert_eq!(known.join_secret, None);
    let other = Fingerprint::from_bytes([1; 32]);
    let error = world.agent_with(|config| config.fingerprint = other).result().await.unwrap_err();
    assert!(matches!(error, AgentError::OtherCoordinator { .. }), "{error:?}");
}

#[tokio::test]
async fn an_agent_that_will_never_be_welcomed_ends() {
    for reason in [
        RefusalReason::UnknownKey,
        RefusalReason::JoinKeyInvalid,
        RefusalReason::CredentialTaken,
        RefusalReason::WrongRole,
        RefusalReason::VersionMismatch,
    ] {
        let world = World::new();
        let mut agent = world.agent();
        world.caller().await.refuse(reason);
        let error = agent.result().await.unwrap_err();
        assert!(matches!(&error, AgentError::Refused(refusal) if refusal.reason == reason), "{error:?}");
        assert!(error.to_string().contains("try something else"), "{error}");
    }
    let world = World::new();
    let error = world.agent_with(|config| config.join_secret = None).result().await.unwrap_err();
    assert!(matches!(error, AgentError::NotJoined), "{error:?}");
    let nobody = AgentConfig::from_state(world.config().state_dir.join("nobody")).unwrap_err();
    assert!(matches!(nobody, AgentError::NotJoined), "{nobody:?}");
    assert!(nobody.to_string().contains("playgate key new agent"), "{nobody}");
}

#[tokio::test]
async fn reports_resume_where_the_coordinator_is() {
    let world = World::new();
    let agent = world.agent();
    let mut session = world.welcome(0).await;
    let processes = [(); 40].map(|()| process_id());
    for process in processes {
        session.stop(process, 0, 0);
    }
    let mut first = Vec::new();
    while first.len() < 40 {
        first.push(session.report().await);
    }
    assert!(first.iter().map(|(seq, _)| *seq).eq(1..=40));
    session.acknowledge(10);
    session.close().await;
    // It applied more than its acknowledgement said.
    let mut session = world.welcome(25).await;
    let mut again = Vec::new();
    loop {
        match session.heard().await {
            Heard::Report(seq, report) => again.push((seq, report)),
            Heard::Inventory(alive) => break assert_eq!(alive, []),
        }
    }
    assert_eq!(again, first[25..]);
    session.acknowledge(40);
    session.stop(processes[0], 0, 0);
    assert_eq!(session.report().await.0, 41);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_coordinator_that_says_nothing_is_dialled_again() {
    let world = World::new();
    let agent = world.agent();
    let silent = world.welcome(0).await;
    silent.answers_beats.store(false, Ordering::Relaxed);
    // QUIC itself is content: packets are acknowledged. Only the beats go unanswered.
    let mut session = world.welcome(0).await;
    assert_eq!(session.inventory().await, []);
    let order = script("exit 0");
    let process = order.process;
    session.launch(order);
    assert_eq!(session.exit_of(process).await.0, ExitStatus::Code(0));
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn an_agent_waits_for_a_coordinator_that_is_not_there_yet() {
    let world = World::new();
    // Nobody listens on this one; it can be told to end all the same.
    let agent = world.agent_with(|config| config.coordinator = "127.0.0.1:9".to_owned());
    tokio::task::yield_now().await;
    agent.stop().await.unwrap();
}

#[test]
fn a_join_key_is_all_an_agent_needs() {
    let key = |role| JoinKey {
        role,
        coordinator: "coordinator.example:7600".to_owned(),
        fingerprint: Fingerprint::from_bytes([1; 32]),
        secret: Secret32::from_bytes(JOIN_SECRET),
    };
    let config = AgentConfig::from_join_key(key(JoinRole::Agent), "/tmp/x".into()).unwrap();
    assert_eq!(config.coordinator, "coordinator.example:7600");
    assert!(!config.name.is_empty());
    assert!(!format!("{config:?}").contains("90, 90"));
    let error = AgentConfig::from_join_key(key(JoinRole::Backend), "/tmp/x".into()).unwrap_err();
    assert!(error.to_string().contains("playgate key new agent"), "{error}");
}

#[test]
fn no_secret_reaches_a_log() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&log);
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || Sink(Arc::clone(&sink)))
        .finish();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(subscriber, || {
        runtime.block_on(async {
            let world = World::new();
            let agent = world.agent();
            let mut session = world.welcome(0).await;
            let order = script("cat \"$PLAYGATE_CREDENTIAL_FILE\" > /dev/null; exit 1");
            let process = order.process;
            session.run(order).await;
            session.exit_of(process).await;
            session.launch(crate::support::order(&["./missing"]));
            assert!(matches!(session.report().await.1, AgentReport::LaunchFailed { .. }));
            agent.stop().await.unwrap();
        });
    });
    let log = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    assert!(log.contains("launched") && log.contains("linked to the coordinator"), "{log}");
    for secret in [JOIN_SECRET, CREDENTIAL] {
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let base32 = Fingerprint::from_bytes(secret).to_string();
        let list = format!("{}, {}, {}", secret[0], secret[1], secret[2]);
        for form in [hex, base32, list] {
            assert!(!log.contains(&form), "{form} is in the log");
        }
    }
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
