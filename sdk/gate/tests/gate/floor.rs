//! The floor: what a beat promises, the gate keeps, whatever its clock is told.

use playgate_gate::{RefuseReason, Verdict};
use playgate_protocol::server::{Beat, PlayerOutcome, Report};

use crate::world::*;

#[test]
fn nothing_that_expires_at_or_before_the_floor_gets_in() {
    let mut w = world();
    let ticket = w.ticket(0);
    w.pass(1);
    let challenge = w.challenge(address(1), &ticket).unwrap();
    w.now += std::time::Duration::from_millis(LIFETIME_MS - 1 - 5_000);
    let late = w.challenge(address(1), &ticket).unwrap();
    w.now += std::time::Duration::from_millis(5_000);
    let Beat { floor_ms, .. } = w.gate.beat(w.now, true);
    assert_eq!(floor_ms, ticket.expires_at_ms);
    assert_eq!(w.send(address(1), &proof(&late, &ticket)), Verdict::Refused(RefuseReason::Expired));
    assert_eq!(w.send(address(1), &proof(&challenge, &ticket)), Verdict::Refused(RefuseReason::MacExpired));
}

#[test]
fn a_millisecond_before_its_expiry_a_token_is_good() {
    let mut w = world();
    let ticket = w.ticket(0);
    w.pass(LIFETIME_MS - 2);
    assert!(w.gate.beat(w.now, true).floor_ms < ticket.expires_at_ms);
    assert!(w.join(address(1), &ticket).is_ok());
}

#[test]
fn a_clock_that_is_set_back_does_not_take_the_floor_back() {
    let mut w = world();
    let ticket = w.ticket(0);
    w.pass(LIFETIME_MS);
    let floor_ms = w.gate.beat(w.now, true).floor_ms;
    assert_eq!(floor_ms, ticket.expires_at_ms);
    w.gate.sync_clock(w.now, START_MS);
    assert_eq!(w.join(address(1), &ticket), Err(RefuseReason::Expired));
    assert_eq!(w.gate.beat(w.now, true).floor_ms, floor_ms);
    assert_eq!(w.gate.coordinator_now_ms(w.now), floor_ms);
}

#[test]
fn every_admission_before_the_floor_is_in_a_report_up_to_its_number() {
    let mut w = world();
    w.reports();
    for ordinal in 0..3 {
        let ticket = w.ticket(ordinal);
        w.join(address(1), &ticket).unwrap();
        let beat = w.gate.beat(w.now, true);
        assert_eq!(beat.players, ordinal + 1);
        let (mut last_seq, mut active) = (0, Vec::new());
        w.gate.resume(0);
        while let Some(batch) = w.gate.next_batch() {
            last_seq = batch.first_seq + batch.reports.len() as u64 - 1;
            active.extend(batch.reports.iter().filter_map(|report| match report {
                Report::Player { player_session, outcome: PlayerOutcome::Active { .. }, .. } => Some(*player_session),
                _ => None,
            }));
        }
        assert_eq!(beat.through_seq, last_seq);
        assert_eq!(active, (0..=ordinal).map(player_session).collect::<Vec<_>>());
    }
}

#[test]
fn a_beat_before_anything_happened_promises_nothing_it_could_not_know() {
    let mut w = bare_world();
    let beat = w.gate.beat(w.now, false);
    assert_eq!(beat, Beat { healthy: false, floor_ms: START_MS, through_seq: 0, held_version: 0, players: 0 });
}

/// The coordinator acknowledges nothing while players come and go: memory stays bounded, and the floor says no more
/// than the reports that were numbered.
#[test]
fn while_nobody_acknowledges_the_floor_stands_still() {
    let mut w = world();
    let ticket = w.ticket(0);
    let mut last = w.gate.beat(w.now, true);
    let mut stood_still = 0;
    for _ in 0..2 * playgate_gate::limits::REPORTS_UNACKED_MAX {
        w.join(address(1), &ticket).unwrap();
        let beat = w.gate.beat(w.now, true);
        stood_still += u32::from(beat.floor_ms == last.floor_ms);
        assert!(beat.floor_ms == last.floor_ms || beat.through_seq == last.through_seq + 1);
        last = beat;
    }
    assert!(stood_still > 4_000, "{stood_still}");
    assert_eq!(last.through_seq, playgate_gate::limits::REPORTS_UNACKED_MAX as u64);
    // It catches up: one coalesced record is left.
    w.gate.acked(last.through_seq);
    let beat = w.gate.beat(w.now, true);
    assert_eq!(beat.through_seq, last.through_seq + 1);
    assert_eq!(beat.floor_ms, w.gate.coordinator_now_ms(w.now));
}

#[test]
fn clocks_an_hour_off_work_both_ways() {
    const HOUR_MS: u64 = 3_600_000;
    // The server heard an hour less than the coordinator's clock shows: the first token moves it.
    let mut behind = world();
    behind.coordinator_ms += HOUR_MS;
    let ticket = behind.ticket(0);
    behind.join(address(1), &ticket).unwrap();
    assert!(behind.gate.coordinator_now_ms(behind.now) >= START_MS + HOUR_MS);
    // It heard an hour more: what it was told stays, tokens issued by the clock it heard are good, and when the
    // coordinator's clock has caught up so are the others.
    let mut ahead = world();
    ahead.gate.sync_clock(ahead.now, START_MS + HOUR_MS);
    ahead.gate.sync_clock(ahead.now, START_MS);
    let ticket = ahead.ticket(0);
    assert_eq!(ahead.join(address(1), &ticket), Err(RefuseReason::Expired));
    ahead.pass(HOUR_MS);
    let ticket = ahead.ticket(1);
    ahead.join(address(1), &ticket).unwrap();
    // The game's own wall clock plays no part: only differences of the local clock count.
    let mut other_origin = world();
    other_origin.now += std::time::Duration::from_millis(HOUR_MS);
    other_origin.gate.sync_clock(other_origin.now, START_MS);
    assert!(other_origin.gate.coordinator_now_ms(other_origin.now) >= START_MS);
}

#[test]
fn a_local_clock_that_steps_back_stands_still() {
    let mut w = world();
    let ticket = w.ticket(0);
    w.pass(LIFETIME_MS);
    w.gate.handle_timeout(w.now);
    let shown = w.gate.coordinator_now_ms(w.now);
    w.now = LOCAL_START;
    assert_eq!(w.gate.coordinator_now_ms(w.now), shown);
    assert_eq!(w.join(address(1), &ticket), Err(RefuseReason::Expired));
}

#[test]
fn a_forged_token_does_not_move_the_clock() {
    let mut w = world();
    let mut claims = w.claims(0);
    claims.issued_at_ms += 1_000_000;
    claims.expires_at_ms += 1_000_000;
    let forged = ticket_signed(&claims, &signing_key(2));
    assert_eq!(w.join(address(1), &forged), Err(RefuseReason::Signature));
    assert_eq!(w.gate.coordinator_now_ms(w.now), w.coordinator_ms);
    w.join(address(1), &ticket(&claims)).unwrap();
    assert_eq!(w.gate.coordinator_now_ms(w.now), claims.issued_at_ms);
}

#[test]
fn before_the_coordinator_was_heard_a_token_tells_the_time() {
    let mut w = world();
    let config = playgate_gate::GateConfig {
        process: PROCESS,
        gate_root: master().gate_root(&PROCESS),
        holder_root: master().holder_root(&PROCESS),
        secret_seed: [9; 32],
    };
    w.gate = playgate_gate::Gate::new(config, w.now);
    w.want(|_| {});
    w.gate.activate(w.now).unwrap();
    assert_eq!(w.gate.coordinator_now_ms(w.now), 0);
    let ticket = w.ticket(0);
    w.join(address(1), &ticket).unwrap();
    assert_eq!(w.gate.coordinator_now_ms(w.now), START_MS);
}
