//! Reports: what is told, in which order, and that each is told once however the link behaves.

use playgate_protocol::GameSessionId;
use playgate_protocol::reason::PlayerEnd;
use playgate_protocol::server::{PlayerOutcome, Report, ReportBatch};

use crate::world::*;

fn player(ordinal: u32, outcome: PlayerOutcome) -> Report {
    Report::Player { session: SESSION, player_session: player_session(ordinal), outcome }
}

fn kinds(reports: &[Report]) -> Vec<&'static str> {
    let kind = |report: &Report| match report {
        Report::Ready { .. } => "ready",
        Report::Activated { .. } => "activated",
        Report::Player { outcome: PlayerOutcome::Active { .. }, .. } => "active",
        Report::Player { outcome: PlayerOutcome::Completed { .. }, .. } => "completed",
        Report::Player { outcome: PlayerOutcome::Blocked, .. } => "blocked",
        Report::SessionEnded { .. } => "ended",
        Report::Ending => "ending",
    };
    reports.iter().map(kind).collect()
}

#[test]
fn a_whole_life_is_told_in_order() {
    let mut w = bare_world();
    w.gate.ready(w.now, &[7_000]);
    w.gate.ready(w.now, &[7_000, 7_001]);
    w.want(|_| {});
    w.gate.activate(w.now).unwrap();
    w.gate.activate(w.now).unwrap();
    let tickets = [w.ticket(0), w.ticket(1), w.ticket(2)];
    for ticket in &tickets {
        w.join(address(1), ticket).unwrap();
    }
    w.gate.leave(w.now, player_session(0));
    w.revoke(7);
    w.gate.end_session(w.now);
    w.gate.end_session(w.now);
    w.gate.leave(w.now, player_session(1));
    w.gate.ready(w.now, &[7_000]);
    w.gate.ending(w.now);
    w.gate.ending(w.now);
    let reports = w.reports();
    let told = ["ready", "activated", "completed", "active", "active", "blocked", "ended", "ready", "ending"];
    assert_eq!(kinds(&reports), told);
    assert_eq!(reports[0], Report::Ready { ports: playgate_protocol::List::first_of([7_000, 7_001]) });
    assert_eq!(w.reports(), []);
}

#[test]
fn a_process_that_ends_says_first_that_its_session_is_over() {
    let mut w = world();
    w.gate.ending(w.now);
    assert_eq!(kinds(&w.reports()), ["activated", "ended", "ending"]);
}

#[test]
fn what_was_not_numbered_coalesces_to_the_last_state() {
    let mut w = world();
    w.reports();
    let ticket = w.ticket(0);
    for _ in 0..3 {
        w.join(address(1), &ticket).unwrap();
    }
    let joined_ms = w.coordinator_ms - 2;
    assert_eq!(w.reports(), [player(0, PlayerOutcome::Active { generation: 3, joined_ms })]);
    w.join(address(1), &ticket).unwrap();
    w.gate.leave(w.now, player_session(0));
    let left_ms = w.coordinator_ms;
    let completed = PlayerOutcome::Completed { reason: PlayerEnd::Left, joined_ms, left_ms };
    assert_eq!(w.reports(), [player(0, completed)]);
}

#[test]
fn what_was_numbered_keeps_its_content() {
    let mut w = world();
    w.reports();
    let ticket = w.ticket(0);
    w.join(address(1), &ticket).unwrap();
    w.gate.beat(w.now, true);
    w.gate.leave(w.now, player_session(0));
    let batch = w.gate.next_batch().unwrap();
    assert_eq!(kinds(&batch.reports), ["active", "completed"]);
    assert_eq!(batch.first_seq, 2);
}

fn drain(w: &mut World) -> Vec<ReportBatch> {
    std::iter::from_fn(|| w.gate.next_batch()).collect()
}

#[test]
fn a_new_link_gets_what_was_not_applied_again_with_the_same_numbers_and_content() {
    let mut w = world();
    w.want_session(|session| session.max_players = 600);
    for ordinal in 0..600 {
        w.pass(1);
        let ticket = w.ticket(ordinal);
        w.join(address(1), &ticket).unwrap();
    }
    let first = drain(&mut w);
    assert_eq!(
        first.iter().map(|b| (b.first_seq, b.reports.len())).collect::<Vec<_>>(),
        [(1, 256), (257, 256), (513, 89)]
    );
    assert_eq!(drain(&mut w), [], "all are on their way");
    // The link breaks before any acknowledgement.
    w.gate.resume(0);
    assert!(drain(&mut w) == first);
    // It breaks after 300 were applied, whose acknowledgement was lost.
    w.gate.resume(300);
    let rest = drain(&mut w);
    assert_eq!(rest.iter().map(|b| (b.first_seq, b.reports.len())).collect::<Vec<_>>(), [(301, 256), (557, 45)]);
    assert_eq!(rest[0].reports[0], first[1].reports[44]);
    // Late, repeated and overreaching acknowledgements do no harm.
    w.gate.acked(10);
    w.gate.acked(601);
    w.gate.acked(601);
    w.gate.acked(u64::MAX);
    w.gate.resume(0);
    assert_eq!(drain(&mut w), []);
    w.gate.leave(w.now, player_session(5));
    assert_eq!(drain(&mut w)[0].first_seq, 602);
}

#[test]
fn what_the_last_link_delivered_is_not_sent_on_this_one() {
    let mut w = world();
    drain(&mut w);
    w.gate.resume(0);
    // The acknowledgement of the last link's batch comes before the first batch of this one.
    w.gate.acked(1);
    assert_eq!(drain(&mut w), []);
    w.gate.end_session(w.now);
    assert_eq!(drain(&mut w)[0].first_seq, 2);
}

#[test]
fn an_acknowledgement_from_the_future_acknowledges_nothing_that_is_pending() {
    let mut w = world();
    w.gate.acked(u64::MAX);
    w.gate.resume(u64::MAX);
    assert_eq!(kinds(&drain(&mut w)[0].reports), ["activated"]);
}

#[test]
fn nothing_is_told_about_a_session_that_was_taken_away() {
    let mut w = world();
    let ticket = w.ticket(0);
    w.join(address(1), &ticket).unwrap();
    w.gate.ready(w.now, &[7_000]);
    w.want_session(|session| session.id = OTHER_SESSION);
    w.gate.activate(w.now).unwrap();
    w.gate.leave(w.now, player_session(0));
    let told = w.reports();
    assert_eq!(kinds(&told), ["ready", "activated"]);
    assert_eq!(told[1], Report::Activated { session: OTHER_SESSION, attempt: 1 });
    w.want_session(|session| session.attempt = 2);
    w.gate.end_session(w.now);
    let ended = |session: GameSessionId, attempt| Report::SessionEnded { session, attempt };
    assert_eq!(w.reports(), [ended(OTHER_SESSION, 2)]);
}
