//! Any order of events: slots are never oversold, and a restart finds exactly what was there.

#![allow(clippy::unwrap_used)]

mod world;

use std::collections::BTreeMap;

use playgate_core::TicketOrder;
use playgate_protocol::agent::ExitStatus;
use playgate_protocol::api::{BackendCall, GameSessionStatus, OperatorCall};
use playgate_protocol::reason::PlayerEnd;
use playgate_protocol::server::{PlayerOutcome, Report};
use playgate_protocol::{GameSessionId, ServerProcessId};
use proptest::prelude::*;
use world::World;

const MAX_PLAYERS: u16 = 3;

#[derive(Debug, Clone)]
enum Step {
    Create,
    Reserve { players: u8, short: bool },
    Join(u8),
    Leave(u8),
    Revoke(u8),
    Answer(u8),
    Pass(u16),
    Beat,
    Cut,
    EndSession,
    Exit,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Create),
        6 => (1..4_u8, any::<bool>()).prop_map(|(players, short)| Step::Reserve { players, short }),
        6 => any::<u8>().prop_map(Step::Join),
        3 => any::<u8>().prop_map(Step::Leave),
        2 => any::<u8>().prop_map(Step::Revoke),
        2 => any::<u8>().prop_map(Step::Answer),
        4 => (1..3_000_u16).prop_map(Step::Pass),
        4 => Just(Step::Beat),
        1 => Just(Step::Cut),
        1 => Just(Step::EndSession),
        1 => Just(Step::Exit),
        2 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..60)
}

/// The server's own view, as the gate keeps it: who is in, and who was in or is blocked.
#[derive(Default)]
struct Truth {
    hosted: Option<(GameSessionId, ServerProcessId)>,
    tickets: Vec<TicketOrder>,
    inside: BTreeMap<u32, TicketOrder>,
    done: Vec<u32>,
    floor: u64,
}

struct Run {
    world: World,
    truth: Truth,
    n: u32,
}

impl Run {
    fn step(&mut self, step: Step) {
        self.n += 1;
        let hosted = self.truth.hosted;
        match (step, hosted) {
            (Step::Create, None) => self.create(),
            (Step::Reserve { players, short }, Some((session, _))) => {
                let names: Vec<String> = (0..players).map(|p| format!("p{}-{p}", self.n)).collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let lifetime = short.then_some(1_000);
                if let Ok(made) = self.world.reserve_for(session, &self.n.to_string(), &names, lifetime) {
                    self.truth.tickets.extend(made);
                }
            }
            (Step::Join(which), Some((_, process))) => self.join(usize::from(which), process),
            (Step::Leave(which), Some((_, process))) => {
                let ordinals: Vec<u32> = self.truth.inside.keys().copied().collect();
                if let (Some(ordinal), true) =
                    (ordinals.get(usize::from(which) % ordinals.len().max(1)), self.is_up(process))
                {
                    let ticket = self.truth.inside.remove(ordinal).unwrap();
                    self.truth.done.push(*ordinal);
                    self.world.leaves(process, &ticket, PlayerEnd::Left);
                }
            }
            (Step::Revoke(which), Some(_)) if !self.truth.tickets.is_empty() => {
                let ticket = &self.truth.tickets[usize::from(which) % self.truth.tickets.len()];
                let call =
                    BackendCall::RevokePlayerSession { player_session: ticket.player_session.id, timeout_ms: 10 };
                self.world.call(OperatorCall::Backend(call));
            }
            (Step::Answer(which), Some((_, process))) => self.answer_revocation(usize::from(which), process),
            (Step::Pass(ms), _) => self.world.silence(ms.into()),
            (Step::Beat, Some((_, process))) if self.is_up(process) => {
                self.truth.floor = self.world.now;
                self.world.beat(process, true);
            }
            (Step::Cut, Some((_, process))) if self.is_up(process) => self.world.server_loses_link(process),
            (Step::EndSession, Some((session, process))) if self.is_up(process) => {
                self.world.report(process, Report::SessionEnded { session, attempt: 1 });
                self.world.report(process, Report::Ending);
                self.world.exits(process, ExitStatus::Code(0));
                self.truth = Truth::default();
            }
            (Step::Exit, Some((_, process))) if self.is_up(process) => {
                self.world.exits(process, ExitStatus::Signal(11));
                self.truth = Truth::default();
            }
            (Step::Crash, _) => self.crash(),
            _ => {}
        }
    }

    fn is_up(&self, process: ServerProcessId) -> bool {
        self.world.servers.get(&process).is_some_and(|server| server.link.is_some())
    }

    fn create(&mut self) {
        // Processes that never lasted are replaced with growing pauses.
        while !self.world.has_ready() {
            self.world.pass(3_000);
            self.world.start_servers();
        }
        self.truth.hosted = Some(self.world.session(&format!("s{}", self.n), MAX_PLAYERS));
    }

    /// As the gate decides: in time for floor and clock, new, not blocked, and a slot is free.
    fn join(&mut self, which: usize, process: ServerProcessId) {
        let Some(ticket) = self.truth.tickets.get(which % self.truth.tickets.len().max(1)).cloned() else { return };
        let (ordinal, expires) = (ticket.player_session.ordinal, ticket.player_session.expires_at_ms);
        let fresh = !self.truth.inside.contains_key(&ordinal) && !self.truth.done.contains(&ordinal);
        let in_time = expires > self.world.now.max(self.truth.floor);
        if fresh && in_time && self.is_up(process) {
            assert!(
                self.truth.inside.len() < MAX_PLAYERS.into(),
                "the coordinator sold more tickets than there are slots"
            );
            self.truth.inside.insert(ordinal, ticket.clone());
            self.world.joins(process, &ticket);
        }
    }

    fn answer_revocation(&mut self, which: usize, process: ServerProcessId) {
        let wanted = self.world.servers.get(&process).and_then(|server| server.wanted.clone()).and_then(|w| w.session);
        let revoked = wanted.map(|session| session.revoked.into_vec()).unwrap_or_default();
        let Some(order) = revoked.get(which % revoked.len().max(1)).filter(|_| self.is_up(process)) else { return };
        let ticket = self.truth.tickets.iter().find(|t| t.player_session.ordinal == order.ordinal).unwrap().clone();
        if self.truth.inside.remove(&order.ordinal).is_some() {
            self.truth.done.push(order.ordinal);
            self.world.leaves(process, &ticket, PlayerEnd::Revoked);
        } else if !self.truth.done.contains(&order.ordinal) {
            self.truth.done.push(order.ordinal);
            self.world.player_report(process, &ticket, PlayerOutcome::Blocked);
        }
    }

    fn crash(&mut self) {
        let sessions: Vec<_> = self.truth.hosted.iter().map(|(session, _)| self.world.describe(*session)).collect();
        self.world.crash();
        for before in sessions {
            assert_eq!(self.world.describe(before.id), before, "a restart finds what was there");
        }
        self.world.agent_connects(false);
        for process in self.world.servers.keys().copied().collect::<Vec<_>>() {
            self.world.server_connects(process);
            self.world.beat_with(process, true, self.truth.floor);
        }
    }

    fn check(&mut self) {
        let Some((session, process)) = self.truth.hosted else { return };
        let info = self.world.describe(session);
        if info.status == GameSessionStatus::Terminated {
            self.truth = Truth::default();
            return;
        }
        assert!(info.reserved + info.active <= MAX_PLAYERS, "slots are never oversold");
        assert!(usize::from(info.active) == self.truth.inside.len() || !self.is_up(process));
        assert!(usize::from(info.reserved + info.active) >= self.truth.inside.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 8 * ProptestConfig::default().cases, // 2,048, unless PROPTEST_CASES says otherwise
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn slots_are_never_oversold_in_any_order_of_events(steps in steps()) {
        let mut run = Run { world: World::running(), truth: Truth::default(), n: 0 };
        for step in steps {
            run.step(step);
            run.check();
        }
        let violations = run.world.events(playgate_protocol::api::EventKind::ProtocolViolation);
        prop_assert!(violations.iter().all(|what| what.contains("counts")), "{violations:?}");
    }
}
