//! Calls over real links: many at once, refused, late, and interrupted.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod support;

use std::time::{Duration, Instant};

use playgate_client::limits::CALLS_IN_FLIGHT_MAX;
use playgate_client::{CallFailed, NewGameSession, NewPlayerSessions, Until};
use playgate_link::RecvError;
use playgate_protocol::api::{Answer, BackendCall, BackendUp, ErrorCode};
use playgate_protocol::{List, WelcomeRole};
use support::listener::soon;
use support::{World, answer, next_call, player_session, refuse, session_id, session_info};

#[tokio::test]
async fn many_calls_share_a_link_and_get_their_own_answers_in_any_order() {
    let world = World::start();
    let (backend, mut peer) = world.backend().await;
    let calls: Vec<_> = (0..100)
        .map(|number| {
            let backend = backend.clone();
            tokio::spawn(async move { backend.describe_game_session(session_id(number)).await })
        })
        .collect();
    let mut open = Vec::new();
    while open.len() < calls.len() {
        open.push(next_call(&mut peer).await); // all of them are under way before the first answer
    }
    for (request, call) in open.into_iter().rev() {
        let BackendCall::DescribeGameSession { session } = call else { panic!("{call:?}") };
        answer(&peer, request, Answer::GameSession(session_info(session)));
    }
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap().id, session_id(u16::try_from(number).unwrap()));
    }
}

#[tokio::test]
async fn more_calls_than_fit_on_a_link_wait_for_their_turn() {
    let world = World::start();
    let (backend, mut peer) = world.backend().await;
    let count = CALLS_IN_FLIGHT_MAX + 300;
    let calls: Vec<_> = (0..count)
        .map(|_| {
            let backend = backend.clone();
            tokio::spawn(async move { backend.describe_game_session(session_id(1)).await })
        })
        .collect();
    let mut open = Vec::new();
    while open.len() < CALLS_IN_FLIGHT_MAX {
        open.push(next_call(&mut peer).await.0);
    }
    for _ in 0..count {
        let request = match open.pop() {
            Some(request) => request,
            None => next_call(&mut peer).await.0,
        };
        answer(&peer, request, Answer::GameSession(session_info(session_id(1))));
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_link_that_is_full_for_a_while_loses_nothing() {
    let world = World::start();
    let (backend, mut peer) = world.backend().await;
    let count = 60; // of 48 KiB each: three times what a link queues
    let calls: Vec<_> = (0..count)
        .map(|_| {
            let (backend, request) = (backend.clone(), NewGameSession::new("arena", 4).data(&vec![7; 48 * 1024]));
            tokio::spawn(async move { backend.create_game_session(request).await })
        })
        .collect();
    for _ in 0..count {
        let (request, _) = next_call(&mut peer).await;
        answer(&peer, request, Answer::GameSession(session_info(session_id(1))));
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_refusal_comes_with_its_code() {
    let world = World::start();
    let (backend, mut peer) = world.backend().await;
    let request = NewPlayerSessions::new(session_id(1)).player("alice", b"");
    let (failed, ()) = tokio::join!(backend.create_player_sessions(request), async {
        let (request, _) = next_call(&mut peer).await;
        refuse(&peer, request, ErrorCode::GameSessionFull);
    });
    let failed = failed.unwrap_err();
    assert_eq!(failed.code(), Some(ErrorCode::GameSessionFull));
    assert!(failed.to_string().contains("because"), "{failed}");
}

#[tokio::test]
async fn a_request_that_breaks_a_limit_is_not_sent() {
    let world = World::start();
    let (backend, _peer) = world.backend().await;
    let failed = backend.create_game_session(NewGameSession::new("no such name", 4)).await.unwrap_err();
    assert!(matches!(failed, CallFailed::Invalid(_)), "{failed:?}");
}

#[tokio::test]
async fn an_answer_to_another_question_is_an_error() {
    let world = World::start();
    let (backend, mut peer) = world.backend().await;
    for wrong in [Answer::Done, Answer::PlayerSessions(List::default())] {
        let (failed, ()) = tokio::join!(backend.describe_player_session(player_session(1)), async {
            let (request, _) = next_call(&mut peer).await;
            answer(&peer, request + 1, Answer::Done); // to a call that was never made: ignored
            answer(&peer, request, wrong);
        });
        assert_eq!(failed.unwrap_err(), CallFailed::UnexpectedAnswer);
    }
}

#[tokio::test]
async fn a_deadline_says_whether_the_call_may_have_been_done() {
    let world = World::start();
    let (backend, mut peer) = world.backend().await;
    let hasty = backend.within(Duration::from_millis(200));
    let started = Instant::now();
    let read = hasty.describe_game_session(session_id(1)).await.unwrap_err();
    assert!(matches!(read, CallFailed::Unreachable { .. }), "{read:?}");
    let wrote = hasty.terminate_game_session(session_id(1), Duration::ZERO).await.unwrap_err();
    assert_eq!(wrote, CallFailed::OutcomeUnknown);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());

    // What a call asks the coordinator to wait comes on top.
    let (waited, ()) =
        tokio::join!(hasty.await_game_session(session_id(1), Until::Terminated, Duration::from_secs(10)), async {
            loop {
                let (request, call) = next_call(&mut peer).await;
                if let BackendCall::AwaitGameSession { terminated: true, timeout_ms: 10_000, .. } = call {
                    let late = tokio::time::sleep(Duration::from_millis(400));
                    late.await; // the coordinator really waits
                    answer(&peer, request, Answer::GameSession(session_info(session_id(1))));
                    return;
                }
            }
        });
    waited.unwrap();
}

#[tokio::test]
async fn a_lost_link_repeats_what_is_safe_and_tells_of_the_rest() {
    let mut world = World::start();
    let (backend, mut peer) = world.backend().await;
    let keyed = NewPlayerSessions::new(session_id(1)).player("alice", b"").idempotency_key("order-1");
    let keyed = backend.create_player_sessions(keyed);
    let read = backend.describe_game_session(session_id(1));
    let unkeyed = backend.terminate_game_session(session_id(1), Duration::ZERO);
    let calls = async { tokio::join!(keyed, read, unkeyed) };
    let coordinator = async {
        let mut before = [next_call(&mut peer).await, next_call(&mut peer).await, next_call(&mut peer).await];
        drop(peer);
        world.coordinator.stop().await;
        world.coordinator.restart().await;
        let mut peer = world.welcome(WelcomeRole::Backend).await;
        let mut again = [next_call(&mut peer).await, next_call(&mut peer).await];
        before.sort_by_key(|(request, _)| *request);
        again.sort_by_key(|(request, _)| *request);
        assert_eq!(again[..], before[..2], "the same requests under the same numbers");
        for (request, call) in again {
            let outcome = match call {
                BackendCall::CreatePlayerSessions(_) => Answer::Tickets(List::default()),
                _ => Answer::GameSession(session_info(session_id(1))),
            };
            answer(&peer, request, outcome);
        }
        let nothing = peer.receiver.recv_within::<BackendUp>(Duration::from_millis(300)).await;
        assert_eq!(nothing, Err(RecvError::Timeout), "no termination");
    };
    let ((keyed, read, unkeyed), ()) = tokio::join!(calls, coordinator);
    assert_eq!(keyed, Ok(Vec::new()));
    assert_eq!(read.unwrap().id, session_id(1));
    assert_eq!(unkeyed, Err(CallFailed::OutcomeUnknown));
}

#[tokio::test]
async fn calls_wait_for_a_coordinator_that_is_away() {
    let mut world = World::start();
    let (backend, peer) = world.backend().await;
    drop(peer);
    world.coordinator.stop().await;
    let hasty = backend.within(Duration::from_millis(100));
    let failed = hasty.terminate_game_session(session_id(1), Duration::ZERO).await.unwrap_err();
    assert!(matches!(failed, CallFailed::Unreachable { .. } | CallFailed::OutcomeUnknown), "{failed:?}");
    let patient = backend.terminate_game_session(session_id(2), Duration::ZERO);
    let coordinator = async {
        world.coordinator.restart().await;
        let mut peer = world.welcome(WelcomeRole::Backend).await;
        let (request, call) = next_call(&mut peer).await;
        assert_eq!(call, BackendCall::TerminateGameSession { session: session_id(2), grace_ms: 0 });
        answer(&peer, request, Answer::GameSession(session_info(session_id(2))));
        peer
    };
    let (answered, _peer) = tokio::join!(patient, coordinator);
    assert_eq!(answered.unwrap().id, session_id(2));
}

#[tokio::test]
async fn a_caller_that_gives_up_makes_room() {
    let world = World::start();
    let (backend, mut peer) = world.backend().await;
    let abandoned = tokio::spawn({
        let backend = backend.clone();
        async move { backend.describe_game_session(session_id(1)).await }
    });
    let (late, _) = next_call(&mut peer).await;
    abandoned.abort();
    answer(&peer, late, Answer::GameSession(session_info(session_id(1))));
    let (answered, ()) = tokio::join!(backend.describe_game_session(session_id(2)), async {
        let (request, _) = next_call(&mut peer).await;
        answer(&peer, request, Answer::GameSession(session_info(session_id(2))));
    });
    assert_eq!(answered.unwrap().id, session_id(2));
}

#[tokio::test]
async fn a_client_says_goodbye() {
    let world = World::start();
    let (backend, mut peer) = world.backend().await;
    let other = backend.clone();
    backend.close().await;
    let gone = soon("the end", peer.receiver.recv::<BackendUp>()).await;
    assert!(matches!(gone, Err(RecvError::Closed(_))), "{gone:?}");
    let failed = other.describe_game_session(session_id(1)).await.unwrap_err();
    assert!(failed.to_string().contains("closed"), "{failed}");
    other.close().await;
}
