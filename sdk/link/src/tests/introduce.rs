//! A peer introduces itself: every way it comes out.

use playgate_protocol::limits::WIRE_VERSION_MAX;
use playgate_protocol::{
    Credential, Greeting, Hello, HelloRole, Refusal, RefusalReason, Text, VersionRange, Welcome, WelcomeRole,
};

use super::*;
use crate::{CloseCode, CloseReason, DialError, Fingerprint, IntroduceError, Outlook};

fn hello() -> Hello {
    Hello {
        versions: VersionRange::OURS,
        software: Text::lossy("test"),
        credential: Credential::Bound,
        role: HelloRole::Operator,
    }
}

/// Takes the next link and answers its hello.
async fn greet(listener: &Listener, greeting: Option<Greeting>) {
    let (sender, mut receiver) = listener.accept().await.unwrap().establish().await.unwrap().split();
    assert_eq!(receiver.recv::<Hello>().await.unwrap(), hello());
    match greeting {
        Some(greeting) => sender.queue(&greeting).unwrap(),
        None => sender.close(CloseCode::Busy, "not today"),
    }
    sender.closed().await;
}

type Outcome = Result<(Welcome, FrameSender, FrameReceiver), IntroduceError>;

/// The peer's end of it is dropped with the outcome, which ends the link.
async fn introduced<T>(greeting: Option<Greeting>, look: impl FnOnce(Outcome) -> T) -> T {
    let net = Net::new();
    let (target, pin) = (net.listener.local_addr().to_string(), net.server.fingerprint());
    let peer = async { look(net.dialer.introduce(&target, &pin, &hello()).await) };
    soon(async { tokio::join!(peer, greet(&net.listener, greeting)).0 }).await
}

#[tokio::test]
async fn a_welcome_comes_with_both_halves_of_the_link() {
    let welcome = Welcome { version: WIRE_VERSION_MAX, now_ms: 7, role: WelcomeRole::Operator };
    let greeting = Greeting::Welcome(welcome.clone());
    introduced(Some(greeting), |outcome| {
        let (got, sender, _receiver) = outcome.unwrap();
        assert_eq!(got, welcome);
        sender.queue(&"more").unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_refusal_is_handed_on_whole() {
    let refusal =
        Refusal { reason: RefusalReason::Busy, detail: "come back later".parse().unwrap(), retry_after_ms: 1_500 };
    introduced(Some(Greeting::Refused(refusal.clone())), |outcome| match outcome {
        Err(IntroduceError::Refused(got)) => assert_eq!(got, refusal),
        other => panic!("{other:?}"),
    })
    .await;
}

#[tokio::test]
async fn a_link_that_closes_before_the_greeting_is_an_error_that_passes() {
    introduced(None, |outcome| {
        let error = outcome.unwrap_err();
        assert!(matches!(error, IntroduceError::NoGreeting { .. }) && !error.needs_a_person(), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_name_that_leads_nowhere_is_named() {
    let net = Net::new();
    let outcome = net.dialer.introduce("no port here", &net.server.fingerprint(), &hello()).await;
    let error = outcome.unwrap_err();
    assert!(error.to_string().starts_with("no port here cannot be resolved: "), "{error}");
    assert!(!error.needs_a_person());
}

#[tokio::test]
async fn somebody_else_at_the_address_is_for_a_person_to_look_at() {
    let net = Net::new();
    let pin = Identity::generate().fingerprint();
    let target = net.listener.local_addr().to_string();
    let accept = async { net.listener.accept().await.unwrap().establish().await.is_err() };
    let introduce = async { net.dialer.introduce(&target, &pin, &hello()).await };
    let (outcome, refused) = soon(async { tokio::join!(introduce, accept) }).await;
    assert!(refused && outcome.unwrap_err().needs_a_person());
}

#[test]
fn nobody_without_the_pinned_key_says_never() {
    let addr: SocketAddr = "192.0.2.1:7600".parse().unwrap();
    let key = |byte| Fingerprint::from_bytes([byte; 32]);
    for (error, soon) in [
        (DialError::Unreachable { addr }, true),
        (DialError::Busy { addr }, true),
        (DialError::Refused { addr, reason: CloseReason::TimedOut }, true),
        (DialError::BadAddress { addr }, false),
        (DialError::NotPlaygate { addr }, false),
        (DialError::WrongFingerprint { addr, expected: key(1), got: key(2) }, false),
        (DialError::VersionMismatch { addr }, false),
    ] {
        let shown = error.to_string();
        let expected = if soon { Outlook::Soon(shown) } else { Outlook::Later(shown, Duration::ZERO) };
        assert_eq!(Outlook::from(IntroduceError::Dial(error)), expected);
    }
    let refusal = |reason| Refusal { reason, detail: Text::lossy("no room"), retry_after_ms: 1_500 };
    let outlook = |reason| Outlook::from(IntroduceError::Refused(refusal(reason)));
    let busy = Outlook::Later("it is busy: no room".to_owned(), Duration::from_millis(1_500));
    assert_eq!(outlook(RefusalReason::Busy), busy);
    let unknown = RefusalReason::UnknownKey;
    assert_eq!(outlook(unknown), Outlook::Never(refusal(unknown)));
}
