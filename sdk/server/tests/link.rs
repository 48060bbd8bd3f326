//! What happens when the link does not do as one would like.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use playgate::{Config, Event, RefusalReason, RefuseReason, Verdict};
use playgate_client::player;
use playgate_link::Identity;
use playgate_protocol::server::{PlayerOutcome, Report};
use playgate_protocol::{HelloRole, JoinKey, JoinRole, Secret32};
use support::{Applied, Game, JOIN_TIME, World, hosting, player_session, session};

fn is_active(ordinal: u32) -> impl Fn(&Report) -> bool {
    move |report| match report {
        Report::Player { player_session: player, outcome: PlayerOutcome::Active { .. }, .. } => {
            *player == player_session(ordinal)
        }
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn players_get_in_while_the_coordinator_is_away_and_are_reported_once() {
    let (mut world, game, mut link, mut applied) = hosting(|config| config).await;
    game.admit(&world.ticket(0, "alice", game.addr)).await;
    // Applied, but the acknowledgement never leaves: after the restart it must not come again.
    link.report(&mut applied, false, is_active(0)).await;
    let first_peer = link.fingerprint;

    world.coordinator.stop().await;
    game.event_that(|event| *event == Event::LinkDown).await;
    assert!(!game.server.link_is_up());
    let (_, joined, _) = game.admit(&world.ticket(1, "bob", game.addr)).await;
    assert_eq!(joined.generation, 1, "nobody was asked");

    drop(link); // it holds the port
    world.coordinator.restart().await;
    let mut link = world.welcome(&applied).await;
    assert_eq!(link.fingerprint, first_peer, "the key is kept");
    assert!(matches!(link.hello.role, HelloRole::Server { held_version: 1, .. }));
    game.event_that(|event| *event == Event::LinkUp).await;
    link.report(&mut applied, true, is_active(1)).await;
    let beat = link.beat(&mut applied, |beat| beat.players == 2).await;
    assert_eq!(beat.through_seq, applied.seq);
    for ordinal in [0, 1] {
        assert_eq!(applied.reports.iter().filter(|report| is_active(ordinal)(report)).count(), 1, "once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_that_were_not_applied_come_again_with_the_same_numbers() {
    let (mut world, game, mut link, mut applied) = hosting(|config| config).await;
    game.admit(&world.ticket(0, "alice", game.addr)).await;
    let durable = Applied { seq: applied.seq, reports: applied.reports.clone() };
    link.report(&mut applied, false, is_active(0)).await;
    drop(link); // it holds the port
    world.coordinator.stop().await;
    world.coordinator.restart().await;
    // What was received and not yet durable is lost with the coordinator.
    let mut applied = durable;
    let mut link = world.welcome(&applied).await;
    link.report(&mut applied, true, is_active(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_that_nobody_acknowledges_wait_for_room_on_the_link() {
    const PLAYERS: u32 = 3_000;
    let (world, mut applied) = (World::start(), Applied::default());
    let game = Game::start(world.config().health_timeout(JOIN_TIME)).await;
    let mut link = world.welcome(&applied).await;
    let mut large = session(1);
    (large.max_players, large.policy.bearer) = (u16::MAX, true);
    link.want(world.wanted(1, Some(large)));
    game.event_that(|event| matches!(event, Event::StartSession(_))).await;
    game.server.activate().unwrap();
    for ordinal in 0..PLAYERS {
        let ticket = world.ticket(ordinal, "somebody", game.addr);
        while let Err(refused) = game.server.admit(ordinal.into(), &ticket.token) {
            assert_eq!(refused, RefuseReason::RateLimited, "{ordinal}");
            tokio::time::sleep(Duration::from_millis(5)).await; // signatures are checked at a bounded rate
        }
    }
    link.beat(&mut applied, |beat| beat.players == PLAYERS).await;
    assert!((2_048..2_048 + 256).contains(&applied.seq), "{}", applied.seq);
    link.acknowledge(&applied);
    link.report(&mut applied, true, is_active(PLAYERS - 1)).await;
    for ordinal in [0, 1, PLAYERS / 2, PLAYERS - 1] {
        assert_eq!(applied.reports.iter().filter(|report| is_active(ordinal)(report)).count(), 1, "once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_falls_silent_is_dialled_anew() {
    let (world, game, link, applied) = hosting(|config| config).await;
    link.answers_beats.store(false, Ordering::Relaxed); // its process hangs, its network stack does not
    let again = world.welcome(&applied).await;
    game.event_that(|event| *event == Event::LinkDown).await;
    game.event_that(|event| *event == Event::LinkUp).await;
    drop((link, again));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_worked_is_dialled_again_without_a_long_wait_however_often_it_broke() {
    let (world, applied) = (World::start(), Applied::default());
    let game = Game::start(world.config()).await;
    let started = Instant::now();
    for version in 1..=8 {
        let link = world.welcome(&applied).await;
        let mut wanted = world.wanted(version, None);
        wanted.terminate_by_ms = Some(support::NOW_MS + version);
        link.acknowledge(&applied); // a link that answers is one that works
        link.want(wanted);
        game.event_that(|event| matches!(event, Event::Terminate { .. })).await;
        link.cut();
    }
    // Waits that grew with each break would add up to 16 s on average.
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_was_given_up_is_told_to_exit_and_admits_nobody() {
    let (mut world, game, link, _) = hosting(|config| config).await;
    drop(link);
    world.coordinator.stop().await;
    world.coordinator.restart().await;
    world.coordinator.accept().await.refuse(RefusalReason::ProcessEnded, "it was declared lost");
    game.event_that(|event| *event == Event::LinkDown).await;
    let Event::LinkRefused { reason, detail } = game.event().await else { panic!("why") };
    assert_eq!((reason, detail.as_str()), (Some(RefusalReason::ProcessEnded), "it was declared lost"));
    assert!(matches!(game.event().await, Event::Terminate { .. }));
    assert_eq!(game.server.next_event().await, None);

    let ticket = world.ticket(0, "alice", game.addr);
    let mut joiner = player::Joiner::new(&ticket, player::nonce(), JOIN_TIME, Duration::ZERO).unwrap();
    let hello = joiner.poll_transmit().unwrap();
    let mut reply = playgate::ReplyBuf::new();
    assert_eq!(game.server.handle(game.addr, hello.datagram.as_slice(), &mut reply), Verdict::NotOurs);
    assert!(!game.shutdown(JOIN_TIME).await, "and at once: there is nobody to tell");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_shown_with_its_remedy() {
    let world = World::start();
    let game = Game::start(world.config()).await;
    world.coordinator.accept().await.refuse(RefusalReason::JoinKeyInvalid, "make a new one");
    let event = game.event().await;
    let expected =
        Event::LinkRefused { reason: Some(RefusalReason::JoinKeyInvalid), detail: "make a new one".to_owned() };
    assert_eq!(event, expected);
    game.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_coordinator_is_asked_again() {
    let (world, applied) = (World::start(), Applied::default());
    let game = Game::start(world.config()).await;
    world.coordinator.accept().await.refuse(RefusalReason::Busy, "later");
    let _link = world.welcome(&applied).await;
    assert_eq!(game.event().await, Event::LinkUp, "and no refusal before it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_elses_key_is_a_matter_for_people() {
    let world = World::start();
    let config = Config::from_join_key(JoinKey {
        role: JoinRole::Server,
        coordinator: world.coordinator.addr.to_string(),
        fingerprint: Identity::generate().fingerprint(),
        secret: Secret32::from_bytes([9; 32]),
    });
    let game = Game::start(config.unwrap()).await;
    let event = tokio::select! {
        event = game.event() => event,
        _ = world.coordinator.accept() => panic!("no link with a wrong key"),
    };
    let Event::LinkRefused { reason: None, detail } = event else { panic!("{event:?}") };
    assert!(detail.contains("key"), "{detail}");
    game.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_game_that_stops_polling_is_not_well() {
    let (_world, game, mut link, mut applied) =
        hosting(|config| config.health_timeout(Duration::from_millis(500))).await;
    // Nobody polls.
    link.beat(&mut applied, |beat| !beat.healthy).await;
    assert_eq!(game.server.poll(), None);
    link.beat(&mut applied, |beat| beat.healthy).await;
    link.beat(&mut applied, |beat| !beat.healthy).await;
    // Waiting for an event counts, as long as the runtime turns.
    let server = game.server.clone();
    let waiting = tokio::spawn(async move { server.next_event().await });
    link.beat(&mut applied, |beat| beat.healthy).await;
    for _ in 0..15 {
        let beat = link.beat(&mut applied, |_| true).await;
        assert!(beat.healthy, "for more than a second now");
    }
    waiting.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_speaks_for_the_game_where_there_is_one() {
    let answer = Arc::new(AtomicU8::new(1));
    let asked = answer.clone();
    let (_world, _game, mut link, mut applied) = hosting(move |config| {
        config.on_health(move || match asked.load(Ordering::Relaxed) {
            0 => false,
            1 => true,
            _ => {
                asked.store(1, Ordering::Relaxed);
                panic!("a callback that panics, once")
            }
        })
    })
    .await;
    link.beat(&mut applied, |beat| beat.healthy).await;
    for unwell in [0, 2] {
        answer.store(unwell, Ordering::Relaxed);
        link.beat(&mut applied, |beat| !beat.healthy).await;
        answer.store(1, Ordering::Relaxed);
        link.beat(&mut applied, |beat| beat.healthy).await;
    }
}
