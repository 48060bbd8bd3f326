//! From the launch to the end: what a game sees, and what its coordinator hears.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod support;

use std::time::{Duration, Instant};

use playgate::{ActivateError, Event, PlayerEnd, RefuseReason, Verdict};
use playgate_client::player::{self, JoinError, RefuseCode};
use playgate_link::{CloseCode, CloseReason};
use playgate_protocol::server::{PlayerOutcome, Report};
use playgate_protocol::{Credential, HelloRole, Secret32};
use support::{Applied, Game, JOIN_TIME, World, hosting, player_session, process, revoking, session, session_id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_started_and_a_player_gets_in() {
    let (world, mut applied) = (World::start(), Applied::default());
    let game = Game::start(world.config().advertise("203.0.113.7".parse().unwrap())).await;
    assert_eq!(game.server.process(), None);

    let mut link = world.welcome(&applied).await;
    assert_eq!(link.hello.credential, Credential::Join { secret: Secret32::from_bytes([9; 32]) });
    let HelloRole::Server { name, advertise, held_version } = &link.hello.role else { panic!("a server") };
    assert_eq!((name.as_str(), *held_version), ("under test", 0));
    assert_eq!(*advertise, Some("203.0.113.7".parse().unwrap()));
    assert_eq!(game.event().await, Event::LinkUp);
    assert_eq!(game.server.process(), Some(process()));
    let ready = link.report(&mut applied, true, |_| true).await;
    assert!(matches!(ready, Report::Ready { ports } if *ports == [game.addr.port()]), "said before the link was up");

    link.want(world.wanted(1, Some(session(1))));
    let Event::StartSession(started) = game.event().await else { panic!("a session") };
    assert_eq!((started.id, started.name.as_str(), started.max_players), (session_id(1), "friday night", 4));
    assert_eq!((started.properties.get("map"), started.properties.get("mode")), (Some("plaza"), None));
    assert_eq!(started.data, [1, 2, 3]);
    game.server.activate().unwrap();
    link.report(&mut applied, true, |report| matches!(report, Report::Activated { .. })).await;

    let ticket = world.ticket(7, "alice", game.addr);
    let (socket, joined, admitted) = game.admit(&ticket).await;
    assert_eq!((joined.server, joined.generation), (game.addr, 1));
    assert_eq!((admitted.player.as_str(), &admitted.data[..], admitted.ordinal), ("alice", &b"team=red"[..], 7));
    assert_eq!(admitted.from.map(|from| from.port()), Some(socket.local_addr().unwrap().port()));
    let active = link.report(&mut applied, true, |report| matches!(report, Report::Player { .. })).await;
    let Report::Player { player_session: player, outcome: PlayerOutcome::Active { generation, .. }, .. } = active
    else {
        panic!("{active:?}")
    };
    assert_eq!((player, generation), (player_session(7), 1));
    let beat = link.beat(&mut applied, |beat| beat.players == 1).await;
    assert_eq!((beat.healthy, beat.held_version, beat.through_seq), (true, 1, applied.seq));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_comes_back_leaves_and_is_refused() {
    let (world, game, mut link, mut applied) = hosting(|config| config).await;
    let ticket = world.ticket(0, "alice", game.addr);
    let (_, _, admitted) = game.admit(&ticket).await;
    game.server.disconnected(admitted.player_session);
    assert_eq!(game.server.active_players(), 1);

    // The blocking way, from another socket.
    let again = {
        let ticket = ticket.clone();
        tokio::task::spawn_blocking(move || {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            let joined = player::join_blocking(&socket, &ticket, JOIN_TIME);
            assert_eq!(socket.read_timeout().unwrap(), None, "as it was before");
            joined
        })
    };
    let (again, verdict) = game.serve(again).await;
    assert_eq!(again.unwrap().unwrap().generation, 2);
    assert!(matches!(verdict, Some(Verdict::Admitted(admitted)) if admitted.reconnected));

    game.server.leave(player_session(0));
    let completed = |report: &Report| {
        matches!(report, Report::Player { outcome: PlayerOutcome::Completed { reason: PlayerEnd::Left, .. }, .. })
    };
    link.report(&mut applied, true, completed).await;
    assert_eq!(game.server.active_players(), 0);
    let (joined, verdict) = game.serve(player::join(&ticket, JOIN_TIME)).await;
    assert!(matches!(joined, Err(JoinError::Refused { reason: RefuseCode::Over })), "{joined:?}");
    assert_eq!(verdict, Some(Verdict::Refused(RefuseReason::Used)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wanted_state_that_is_repeated_does_nothing_twice() {
    let (world, game, link, _) = hosting(|config| config).await;
    link.want(world.wanted(1, Some(session(1))));
    link.want(world.wanted(2, Some(session(1))));
    link.want(world.wanted(2, Some(session(2))));
    let mut last = world.wanted(3, Some(session(1)));
    last.terminate_by_ms = Some(support::NOW_MS + 30_000);
    link.want(last);
    let Event::Terminate { by } = game.event().await else { panic!("nothing before it") };
    let left = by.saturating_duration_since(Instant::now());
    assert!(left > Duration::from_secs(10) && left <= Duration::from_secs(30), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_player_is_shown_the_door() {
    let (world, game, mut link, mut applied) = hosting(|config| config).await;
    let ticket = world.ticket(3, "alice", game.addr);
    game.admit(&ticket).await;
    link.want(world.wanted(2, Some(revoking(session(1), 3))));
    assert_eq!(game.event().await, Event::PlayerLeft { player: player_session(3), reason: PlayerEnd::Revoked });
    let completed = |report: &Report| {
        matches!(report, Report::Player { outcome: PlayerOutcome::Completed { reason: PlayerEnd::Revoked, .. }, .. })
    };
    link.report(&mut applied, true, completed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_game_says_late_is_not_taken_for_another_session() {
    let (world, mut applied) = (World::start(), Applied::default());
    let game = Game::start(world.config()).await;
    let mut link = world.welcome(&applied).await;
    link.want(world.wanted(1, Some(session(1))));
    game.event_that(|event| matches!(event, Event::StartSession(_))).await;
    // While the game loads session 1, it is placed elsewhere, and session 2 takes its place here.
    link.want(world.wanted(2, Some(session(2))));
    link.beat(&mut applied, |beat| beat.held_version == 2).await;
    assert_eq!(game.server.activate(), Err(ActivateError::NoSession));
    game.server.end_session();
    assert!(matches!(game.event().await, Event::EndSession { .. }));
    game.server.end_session();
    assert!(matches!(game.event().await, Event::StartSession(started) if started.id == session_id(2)));
    game.server.activate().unwrap();
    let activated = |report: &Report| matches!(report, Report::Activated { session, .. } if *session == session_id(2));
    link.report(&mut applied, true, activated).await;
    assert!(!applied.reports.iter().any(|report| matches!(report, Report::SessionEnded { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_token_is_enough_where_the_fleet_says_so() {
    let (world, mut applied) = (World::start(), Applied::default());
    let game = Game::start(world.config()).await;
    let ticket = world.ticket(0, "alice", game.addr);
    assert_eq!(game.server.admit(1, &ticket.token), Err(RefuseReason::NoSession));
    let mut link = world.welcome(&applied).await;
    let mut bearer = session(1);
    bearer.policy.bearer = true;
    link.want(world.wanted(1, Some(bearer)));
    game.event_that(|event| matches!(event, Event::StartSession(started) if started.bearer)).await;
    game.server.activate().unwrap();
    assert_eq!(game.server.admit(1, &ticket.token).unwrap().player, "alice");
    link.report(&mut applied, true, |report| matches!(report, Report::Player { .. })).await;
    assert_eq!(game.server.counters().unwrap().admitted, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_delivers_the_last_report_and_says_so() {
    let (world, game, mut link, mut applied) = hosting(|config| config).await;
    let shutdown = tokio::spawn(async move {
        assert!(game.shutdown(JOIN_TIME).await, "everything is acknowledged");
        assert_eq!(game.server.next_event().await, None);
        assert!(game.shutdown(JOIN_TIME).await, "said twice");
    });
    link.report(&mut applied, true, |report| matches!(report, Report::Ending)).await;
    let reason = link.gone().await;
    assert_eq!(reason, CloseReason::ByPeer { code: CloseCode::Done, reason: String::new() });
    assert!(matches!(applied.reports[..], [.., Report::SessionEnded { .. }, Report::Ending]));
    shutdown.await.unwrap();
    drop(world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_that_nobody_acknowledges_ends_in_time() {
    let (_world, game, mut link, mut applied) = hosting(|config| config).await;
    let started = Instant::now();
    let shutdown = tokio::spawn(async move { game.shutdown(Duration::from_millis(300)).await });
    link.report(&mut applied, false, |report| matches!(report, Report::Ending)).await;
    assert!(!shutdown.await.unwrap());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_dropped_says_goodbye_too() {
    let (_world, mut game, mut link, mut applied) = hosting(|config| config).await;
    game.goodbye = None;
    let dropped = tokio::task::spawn_blocking(move || drop(game));
    link.report(&mut applied, true, |report| matches!(report, Report::Ending)).await;
    dropped.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_first_link_everything_is_the_games() {
    let world = World::start();
    let game = Game::start(world.config()).await;
    let ticket = world.ticket(0, "alice", game.addr);
    let mut reply = playgate::ReplyBuf::new();
    let mut joiner = player::Joiner::new(&ticket, player::nonce(), JOIN_TIME, Duration::ZERO).unwrap();
    let hello = joiner.poll_transmit().unwrap();
    assert_eq!(game.server.handle(game.addr, hello.datagram.as_slice(), &mut reply), Verdict::NotOurs);
    assert!(reply.is_empty());
    assert_eq!((game.server.active_players(), game.server.link_is_up()), (0, false));
    assert_eq!(game.server.activate(), Err(ActivateError::NoSession));
    tokio::task::spawn_blocking(move || game.server.shutdown(Duration::ZERO)).await.unwrap();
}
