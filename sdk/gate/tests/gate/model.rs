//! Random histories of a gate beside a tiny coordinator that believes nothing but reports and floors.
//!
//! The coordinator reserves a slot only while it knows one to be free, and frees a reservation only when a floor has
//! passed it and every report before that floor is applied. If the gate keeps its promises, nobody is ever refused
//! because the session is full, and no freed reservation comes in.

use std::collections::{BTreeMap, BTreeSet};

use playgate_gate::{GateEvent, RefuseReason, Verdict};
use playgate_protocol::server::{PlayerOutcome, Report, ReportBatch};
use playgate_protocol::{GameSessionId, PlayerSessionId, Ticket};
use proptest::prelude::*;

use crate::world::*;

const MAX_PLAYERS: usize = 4;

#[derive(Clone, Debug)]
enum Op {
    Reserve { lifetime_ms: u64 },
    Join { player: usize, from: u8 },
    Replay { proof: usize },
    Disconnect { player: usize },
    Leave { player: usize },
    Revoke { player: usize },
    Pass { local_ms: u64, coordinator_ms: u64 },
    Sync { late_ms: u64 },
    Beat { arrives: bool },
    Send { arrives: bool, acked: bool },
    Relink,
    RaiseEpoch,
    EndSession,
}

fn op() -> impl Strategy<Value = Op> {
    let player = 0..6_usize;
    prop_oneof![
        12 => (1_000..20_000_u64).prop_map(|lifetime_ms| Op::Reserve { lifetime_ms }),
        20 => (player.clone(), 0..3_u8).prop_map(|(player, from)| Op::Join { player, from }),
        4 => (0..8_usize).prop_map(|proof| Op::Replay { proof }),
        6 => player.clone().prop_map(|player| Op::Disconnect { player }),
        4 => player.clone().prop_map(|player| Op::Leave { player }),
        2 => player.prop_map(|player| Op::Revoke { player }),
        6 => (0..3_000_u64, 0..3_000_u64).prop_map(|(local_ms, coordinator_ms)| Op::Pass { local_ms, coordinator_ms }),
        2 => (0..4_000_u64).prop_map(|late_ms| Op::Sync { late_ms }),
        8 => any::<bool>().prop_map(|arrives| Op::Beat { arrives }),
        12 => any::<(bool, bool)>().prop_map(|(arrives, acked)| Op::Send { arrives, acked }),
        2 => Just(Op::Relink),
        1 => Just(Op::RaiseEpoch),
        1 => Just(Op::EndSession),
    ]
}

/// What the coordinator knows of a player session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Reserved,
    Active(u32),
    /// Completed or blocked, by report.
    Over,
    /// Not used in time, by floor.
    Freed,
}

struct History {
    w: World,
    session: GameSessionId,
    sessions: u8,
    tickets: Vec<(u32, Ticket)>,
    proofs: Vec<(u8, Vec<u8>)>,
    /// Who is in, as the game sees it.
    playing: BTreeMap<PlayerSessionId, u32>,
    gone: BTreeSet<PlayerSessionId>,
    applied_seq: u64,
    known: BTreeMap<PlayerSessionId, (Known, u64)>,
    in_flight: Vec<ReportBatch>,
}

impl History {
    fn new() -> Self {
        let w = world();
        Self {
            w,
            session: SESSION,
            sessions: 0,
            tickets: vec![],
            proofs: vec![],
            playing: BTreeMap::new(),
            gone: BTreeSet::new(),
            applied_seq: 0,
            known: BTreeMap::new(),
            in_flight: vec![],
        }
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Reserve { lifetime_ms } => self.reserve(lifetime_ms),
            Op::Join { player, from } => self.join(player, from),
            Op::Replay { proof } => self.replay(proof),
            Op::Disconnect { player } => {
                if let Some(id) = self.pick(player) {
                    self.w.gate.disconnected(self.w.now, id);
                }
            }
            Op::Leave { player } => {
                if let Some(id) = self.pick(player) {
                    self.w.gate.leave(self.w.now, id);
                    if self.playing.remove(&id).is_some() {
                        self.gone.insert(id);
                    }
                }
            }
            Op::Revoke { player } => self.revoke(player),
            Op::Pass { local_ms, coordinator_ms } => {
                self.w.now += std::time::Duration::from_millis(local_ms);
                self.w.coordinator_ms += coordinator_ms;
                if self.w.gate.poll_timeout().is_some_and(|at| at <= self.w.now) {
                    self.w.gate.handle_timeout(self.w.now);
                }
            }
            Op::Sync { late_ms } => self.w.gate.sync_clock(self.w.now, self.w.coordinator_ms - late_ms),
            Op::Beat { arrives } => self.beat(arrives),
            Op::Send { arrives, acked } => self.send(arrives, acked),
            Op::Relink => self.relink(),
            Op::RaiseEpoch => self.w.want(|wanted| {
                wanted.gate_epoch += 1;
                wanted.min_epoch = wanted.gate_epoch;
            }),
            Op::EndSession => {
                self.w.gate.end_session(self.w.now);
                self.gone.extend(std::mem::take(&mut self.playing).into_keys());
            }
        }
        self.take_events();
        assert!(self.w.gate.active_players() <= MAX_PLAYERS);
        assert_eq!(self.w.gate.active_players(), self.playing.len());
    }

    /// One of the latest.
    fn pick(&self, player: usize) -> Option<PlayerSessionId> {
        self.tickets.iter().rev().nth(player).map(|(_, ticket)| ticket.player_session)
    }

    fn reserve(&mut self, lifetime_ms: u64) {
        let held = self.known.values().filter(|(known, _)| matches!(known, Known::Reserved | Known::Active(_))).count();
        if held >= MAX_PLAYERS {
            return;
        }
        let mut claims = self.w.claims(u32::try_from(self.tickets.len()).unwrap());
        claims.game_session_id = self.session;
        claims.gate_epoch = self.w.wanted.gate_epoch;
        claims.expires_at_ms = claims.issued_at_ms + lifetime_ms;
        self.known.insert(claims.player_session_id, (Known::Reserved, claims.expires_at_ms));
        self.tickets.push((claims.ordinal, ticket(&claims)));
    }

    fn join(&mut self, player: usize, from: u8) {
        let Some((_, ticket)) = self.tickets.iter().rev().nth(player).cloned() else { return };
        self.w.pass(1);
        match self.w.challenge(address(from), &ticket) {
            Ok(challenge) => {
                let proof = proof(&challenge, &ticket);
                let verdict = self.w.send(address(from), &proof);
                self.proofs.push((from, proof));
                assert_ne!(verdict, Verdict::Reply);
                self.judged(verdict);
            }
            Err(reason) => assert_eq!(reason, RefuseReason::UnknownEpoch),
        }
    }

    /// Somebody sends what he saw; it changes nothing.
    fn replay(&mut self, proof: usize) {
        if let Some((from, proof)) = self.proofs.iter().rev().nth(proof).cloned() {
            let verdict = self.w.send(address(from), &proof);
            // A PROOF that was refused before may come in later, like a datagram that was delayed.
            self.judged(verdict);
        }
    }

    fn judged(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Admitted(admission) => {
                let id = admission.player_session;
                assert!(!self.gone.contains(&id), "{id} came in after it was over");
                let before = self.playing.insert(id, admission.generation);
                assert_eq!(admission.generation, before.unwrap_or(0) + 1);
                assert_eq!(admission.reconnected, before.is_some());
            }
            Verdict::Refused(reason) => {
                use RefuseReason as R;
                let expected = [R::Expired, R::Used, R::Revoked, R::SessionEnded, R::WrongSession, R::UnknownEpoch];
                let replayed = [R::Replayed, R::MacExpired];
                assert!(expected.contains(&reason) || replayed.contains(&reason), "{reason}");
            }
            Verdict::Reply => {}
            Verdict::NotOurs => panic!("not a handshake datagram"),
        }
    }

    fn revoke(&mut self, player: usize) {
        let Some((ordinal, ticket)) = self.tickets.iter().rev().nth(player) else {
            return;
        };
        let ordinal = *ordinal;
        if self.known.contains_key(&ticket.player_session) {
            self.gone.insert(ticket.player_session);
            self.w.revoke(ordinal);
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.w.gate.poll_event() {
            match event {
                GateEvent::PlayerLeft { player, .. } => {
                    assert!(self.playing.remove(&player).is_some());
                    self.gone.insert(player);
                }
                GateEvent::StartSession(session) => {
                    assert_eq!(session.id, self.session);
                    self.w.gate.activate(self.w.now).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn beat(&mut self, arrives: bool) {
        let beat = self.w.gate.beat(self.w.now, true);
        if !arrives || self.applied_seq < beat.through_seq {
            return;
        }
        for (known, expires_at_ms) in self.known.values_mut() {
            if *known == Known::Reserved && *expires_at_ms <= beat.floor_ms {
                *known = Known::Freed;
            }
        }
        let active = self.known.values().filter(|(known, _)| matches!(known, Known::Active(_))).count();
        if self.applied_seq == beat.through_seq {
            assert_eq!(active, usize::try_from(beat.players).unwrap());
        }
    }

    fn send(&mut self, arrives: bool, acked: bool) {
        self.in_flight.extend(self.w.gate.next_batch());
        if arrives {
            for batch in std::mem::take(&mut self.in_flight) {
                self.apply(&batch);
                // The network repeats itself.
                self.apply(&batch);
            }
            if acked {
                self.w.gate.acked(self.applied_seq);
            }
        }
    }

    /// What was under way is lost.
    fn relink(&mut self) {
        self.in_flight.clear();
        self.w.gate.resume(self.applied_seq);
    }

    fn apply(&mut self, batch: &ReportBatch) {
        for (seq, report) in (batch.first_seq..).zip(&batch.reports) {
            assert!(seq <= self.applied_seq + 1, "a gap before {seq}");
            if seq == self.applied_seq + 1 {
                self.applied_seq = seq;
                self.apply_report(report);
            }
        }
    }

    fn apply_report(&mut self, report: &Report) {
        match report {
            Report::Player { session, player_session, outcome } => {
                assert_eq!(*session, self.session, "about a session that is over");
                let (known, _) = self.known.get_mut(player_session).unwrap();
                *known = match (*known, outcome) {
                    (Known::Reserved, PlayerOutcome::Active { generation, .. }) => Known::Active(*generation),
                    (Known::Active(before), PlayerOutcome::Active { generation, .. }) if *generation > before => {
                        Known::Active(*generation)
                    }
                    (Known::Reserved | Known::Active(_), PlayerOutcome::Completed { .. }) => Known::Over,
                    // A floor frees what a revocation was sent for all the same.
                    (Known::Reserved | Known::Freed, PlayerOutcome::Blocked) => Known::Over,
                    (before, outcome) => panic!("{player_session}: {outcome:?} after {before:?}"),
                };
            }
            Report::SessionEnded { session, .. } => {
                assert_eq!(*session, self.session);
                self.known.clear();
                self.sessions += 1;
                self.session = GameSessionId::from_bytes([0x80 + self.sessions; 16]);
                let next = self.session;
                self.w.want_session(|session| {
                    session.id = next;
                    session.revoked = playgate_protocol::List::default();
                });
            }
            Report::Activated { session, .. } => assert_eq!(*session, self.session),
            Report::Ready { .. } | Report::Ending => panic!("{report:?}"),
        }
    }

    /// The network is good again: both sides agree.
    fn settle(&mut self) {
        self.relink();
        for _ in 0..3 {
            self.send(true, true);
            self.take_events();
        }
        self.beat(true);
        let active = self.known.iter().filter_map(|(id, (known, _))| match known {
            Known::Active(generation) => Some((*id, *generation)),
            _ => None,
        });
        assert_eq!(active.collect::<BTreeMap<_, _>>(), self.playing);
    }
}

proptest! {
    #[test]
    fn what_is_reported_is_what_is_and_nobody_is_oversold(ops in proptest::collection::vec(op(), 1..300)) {
        let mut history = History::new();
        for op in &ops {
            history.step(op);
        }
        history.settle();
    }
}
