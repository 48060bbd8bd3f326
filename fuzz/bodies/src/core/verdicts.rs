//! Which answers there may be. A call or a hello is refused exactly if there is a reason to, and by one of the reasons;
//! in which order they are looked at is not the model's business.

use playgate_core::fleet::RelayMode;
use playgate_core::rows::{GameSessionRow, Identity};
use playgate_core::{Input, LinkId, Output, TicketOrder};
use playgate_protocol::api::{
    BackendCall, CreateGameSession, CreateJoinKey, CreatePlayerSessions, ErrorCode, GameSessionStatus, OperatorCall,
    ProcessStatus,
};
use playgate_protocol::{
    Credential, Fingerprint, Hello, HelloRole, JoinRole, RefusalReason, ServerProcessId, VersionRange,
};
use playgate_sim::disk::Image;

use super::facts::{Facts, Slot};
use super::promises::{judge_answer, judge_order};

/// What must follow an input.
pub(super) enum Verdict {
    /// Nothing that the model foretells.
    Open,
    /// A call from a link that may not make it.
    Silence { link: LinkId, request: u64 },
    /// A welcome exactly if there is no reason against it.
    Hello { link: LinkId, reasons: Vec<RefusalReason> },
    /// An answer, now or later.
    Call { link: LinkId, request: u64, call: Box<OperatorCall>, reasons: Reasons },
}

/// Why a call is refused.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    /// With one of these it must be.
    must: Vec<ErrorCode>,
    /// With one of these it may be.
    may: Vec<ErrorCode>,
}

impl Reasons {
    fn when(mut self, is: bool, code: ErrorCode) -> Self {
        self.must.extend(is.then_some(code));
        self
    }

    fn perhaps(mut self, is: bool, code: ErrorCode) -> Self {
        self.may.extend(is.then_some(code));
        self
    }
}

impl Facts {
    pub(super) fn verdict(&self, mem: &Image, now: u64, input: &Input) -> Verdict {
        let (link, request, call) = match input {
            Input::Opened { link, peer, hello, launch_proven, .. } => {
                let reasons = self.hello_reasons(mem, now, *peer, hello, *launch_proven);
                return Verdict::Hello { link: *link, reasons };
            }
            Input::Backend(link, up) => (*link, up.request, OperatorCall::Backend(up.call.clone())),
            Input::Operator(link, up) => (*link, up.request, up.call.clone()),
            _ => return Verdict::Open,
        };
        if self.speaker(input).is_none() {
            return Verdict::Silence { link, request };
        }
        let reasons = self.call_reasons(mem, &call);
        Verdict::Call { link, request, call: Box::new(call), reasons }
    }

    fn hello_reasons(
        &self,
        mem: &Image,
        now: u64,
        peer: Fingerprint,
        hello: &Hello,
        launch_proven: bool,
    ) -> Vec<RefusalReason> {
        use RefusalReason::{
            Busy, CredentialTaken, JoinKeyInvalid, ProcessEnded, UnknownKey, VersionMismatch, WrongRole,
        };
        let (ours, theirs) = (VersionRange::OURS, hello.versions);
        let mut reasons = Vec::new();
        let mut when = |is: bool, reason| reasons.extend(is.then_some(reason));
        when(theirs.min > theirs.max || theirs.min > ours.max || theirs.max < ours.min, VersionMismatch);
        let ended = |process: &ServerProcessId| mem.processes.get(process).is_none_or(|row| row.ended_ms.is_some());
        let is_server = matches!(hello.role, HelloRole::Server { .. });
        match (mem.peers.get(&peer), &hello.credential) {
            (Some(Identity::Server(process)), _) => {
                when(!is_server, WrongRole);
                when(ended(process), ProcessEnded);
            }
            (Some(Identity::Agent(_)), _) => when(!matches!(hello.role, HelloRole::Agent { .. }), WrongRole),
            (Some(Identity::Relay(_)), _) => when(!matches!(hello.role, HelloRole::Relay { .. }), WrongRole),
            (Some(Identity::Backend), _) => when(hello.role != HelloRole::Backend, WrongRole),
            (Some(Identity::Operator), _) => {
                when(!matches!(hello.role, HelloRole::Operator | HelloRole::Backend), WrongRole);
            }
            (None, Credential::Bound) => when(true, UnknownKey),
            (None, Credential::Launch { process, .. }) => {
                when(!launch_proven || !is_server, JoinKeyInvalid);
                when(ended(process), ProcessEnded);
                when(mem.peers.values().any(|of| *of == Identity::Server(*process)), CredentialTaken);
            }
            (None, Credential::Join { secret }) => {
                when(self.store_low, Busy);
                let key = mem.join_keys.get(&secret.sha256());
                let key = key.filter(|key| key.uses_left > 0 && key.expires_ms > now);
                when(key.is_none(), JoinKeyInvalid);
                let role = match hello.role {
                    HelloRole::Server { .. } => Some(JoinRole::Server),
                    HelloRole::Agent { .. } => Some(JoinRole::Agent),
                    HelloRole::Backend => Some(JoinRole::Backend),
                    HelloRole::Relay { .. } => Some(JoinRole::Relay),
                    HelloRole::Operator => None,
                };
                when(key.is_some_and(|key| Some(key.role) != role), WrongRole);
            }
        }
        reasons
    }

    fn call_reasons(&self, mem: &Image, call: &OperatorCall) -> Reasons {
        use ErrorCode::{Busy, InvalidRequest, NotFound, PlayerSessionOver};
        let none = Reasons::default();
        let OperatorCall::Backend(call) = call else {
            return match call {
                OperatorCall::StopProcess { process, .. } => none.when(!mem.processes.contains_key(process), NotFound),
                OperatorCall::SetProcessesPerHost { fleet, processes_per_host } => none
                    .when(!mem.fleets.contains_key(fleet), NotFound)
                    .when(*processes_per_host > 2_048, InvalidRequest),
                OperatorCall::CreateJoinKey(create) => self.join_key_reasons(mem, create),
                OperatorCall::RotateRelaySecret { relay } => {
                    none.when(self.store_low, ErrorCode::StoreFull).when(!mem.relays.contains_key(relay), NotFound)
                }
                _ => none,
            };
        };
        match call {
            BackendCall::CreateGameSession(create) => self.create_reasons(mem, create),
            BackendCall::CreatePlayerSessions(create) => self.reserve_reasons(mem, create),
            BackendCall::DescribeGameSession { session }
            | BackendCall::TerminateGameSession { session, .. }
            | BackendCall::AwaitGameSession { session, .. }
            | BackendCall::ListPlayerSessions { session, .. } => {
                none.when(!mem.sessions.contains_key(session), NotFound)
            }
            BackendCall::GetTicket { player_session } => {
                let row = mem.players.get(player_session);
                let session = row.and_then(|row| mem.sessions.get(&row.game_session));
                none.when(row.is_none(), NotFound)
                    .when(session.is_some_and(|row| self.lacks_a_relay(mem, row)), ErrorCode::ServerUnavailable)
                    .when(row.is_some() && !self.slots.contains_key(player_session), PlayerSessionOver)
            }
            BackendCall::DescribePlayerSession { player_session } => {
                none.when(!mem.players.contains_key(player_session), NotFound)
            }
            BackendCall::RevokePlayerSession { player_session, .. } => {
                let waiting = self.slots.values().filter(|slot| slot.revoking).count();
                none.when(!mem.players.contains_key(player_session), NotFound).perhaps(waiting >= 512, Busy)
            }
            BackendCall::ListGameSessions { .. } => none,
        }
        .perhaps(self.calls.len() >= 4_096, Busy)
    }

    fn join_key_reasons(&self, mem: &Image, create: &CreateJoinKey) -> Reasons {
        let names_a_fleet = create.fleet.as_ref().is_some_and(|fleet| mem.fleets.contains_key(fleet));
        let wrong = create.uses == 0
            || create.uses > 10_000
            || create.lifetime_ms == 0
            || create.lifetime_ms > 30 * 24 * 3_600_000
            || (create.role == JoinRole::Server && !names_a_fleet)
            || mem.join_keys.contains_key(&create.secret_sha256);
        Reasons::default().when(self.store_low, ErrorCode::StoreFull).when(wrong, ErrorCode::InvalidRequest)
    }

    fn create_reasons(&self, mem: &Image, create: &CreateGameSession) -> Reasons {
        let key = (create.fleet.clone(), create.idempotency_key.as_str().to_owned());
        if let Some((request, session)) = self.session_keys.get(&key) {
            let row = &mem.sessions[session];
            let failed = matches!(row.status, GameSessionStatus::Terminating | GameSessionStatus::Terminated)
                && row.activated_ms.is_none();
            return Reasons::default()
                .when(request != create, ErrorCode::IdempotentParameterMismatch)
                .perhaps(failed, ErrorCode::InvalidGameSessionStatus)
                .perhaps(failed, ErrorCode::FleetCapacityExceeded)
                .perhaps(failed, ErrorCode::GameSessionActivationFailed);
        }
        let mut properties: Vec<_> = create.properties.iter().map(|(key, _)| key.as_str()).collect();
        properties.sort_unstable();
        let twice = properties.windows(2).any(|pair| pair[0] == pair[1]);
        let at_once = create.placement_timeout_ms == 0;
        // Its health is not the model's: a process that looks fit may be unwell.
        let fit = mem
            .processes
            .values()
            .any(|row| row.fleet == create.fleet && row.status == ProcessStatus::Ready && self.takes_tokens(row.id));
        Reasons::default()
            .when(self.store_low, ErrorCode::StoreFull)
            .when(!mem.fleets.contains_key(&create.fleet), ErrorCode::NotFound)
            .when(create.max_players == 0 || create.idempotency_key.is_empty() || twice, ErrorCode::InvalidRequest)
            .when(at_once && !fit, ErrorCode::FleetCapacityExceeded)
            .perhaps(at_once && fit, ErrorCode::FleetCapacityExceeded)
    }

    /// Players of its fleet come through relays only, and there is none.
    fn lacks_a_relay(&self, mem: &Image, row: &GameSessionRow) -> bool {
        mem.fleets[&row.fleet].relay == RelayMode::Required && !self.has_relay(mem)
    }

    fn takes_tokens(&self, process: ServerProcessId) -> bool {
        let server = self.servers.get(&process);
        self.is_linked(process) && server.is_some_and(|server| !server.runs_ahead && !server.known_keys().is_empty())
    }

    fn reserve_reasons(&self, mem: &Image, create: &CreatePlayerSessions) -> Reasons {
        let key = (create.session, create.idempotency_key.as_str().to_owned());
        if let Some((request, made)) = self.player_keys.get(&key) {
            let over = made.len() != create.players.len() || made.iter().any(|id| !self.slots.contains_key(id));
            return Reasons::default()
                .when(request != create, ErrorCode::IdempotentParameterMismatch)
                .when(request == create && over, ErrorCode::PlayerSessionOver)
                .when(
                    request == create && self.lacks_a_relay(mem, &mem.sessions[&create.session]),
                    ErrorCode::ServerUnavailable,
                );
        }
        let row = mem.sessions.get(&create.session);
        let mut players: Vec<_> = create.players.iter().map(|new| &new.player).collect();
        players.sort_unstable();
        let twice = players.windows(2).any(|pair| pair[0] == pair[1]);
        let lasts = |ms: u32| (1_000..=3_600_000).contains(&ms);
        let nobody = players.is_empty() || create.idempotency_key.is_empty();
        let held = || self.slots.values().filter(|slot| slot.session == create.session);
        let free = row.map_or(0, |row| usize::from(row.max_players)).saturating_sub(held().count());
        let host = row.and_then(|row| mem.processes.get(&row.process?));
        let serves = host.is_some_and(|row| row.status == ProcessStatus::Hosting && self.takes_tokens(row.id));
        Reasons::default()
            .when(self.store_low, ErrorCode::StoreFull)
            .when(row.is_none(), ErrorCode::NotFound)
            .when(nobody || twice || !create.reservation_ms.is_none_or(lasts), ErrorCode::InvalidRequest)
            .when(row.is_some_and(|row| row.status != GameSessionStatus::Active), ErrorCode::InvalidGameSessionStatus)
            .when(!serves, ErrorCode::ServerUnavailable)
            .when(row.is_some_and(|row| self.lacks_a_relay(mem, row)), ErrorCode::ServerUnavailable)
            .when(held().any(|slot| players.contains(&&slot.player)), ErrorCode::AlreadyReserved)
            .when(players.len() > free, ErrorCode::GameSessionFull)
    }
}

impl Verdict {
    /// Compares what was said with what had to be said, and takes down what binds from here on.
    pub(super) fn judge(self, outputs: &[Output], mem: &Image, facts: &mut Facts, now: u64) {
        match self {
            Self::Open => {}
            Self::Silence { link, request } => {
                assert!(answer_to(outputs, link, request).is_none(), "a link that may not ask is answered");
            }
            Self::Hello { link, reasons } => judge_hello(outputs, link, &reasons),
            Self::Call { link, request, call, reasons } => {
                let answer = answer_to(outputs, link, request);
                let refused = match answer {
                    Some(Output::Answer { outcome: Err(error), .. }) => Some(error.code),
                    _ => None,
                };
                let may = refused.is_some_and(|code| reasons.must.contains(&code) || reasons.may.contains(&code));
                let told = refused.is_some() || !reasons.must.is_empty();
                assert!(!told || may, "{call:?}: {refused:?} is none of {reasons:?}");
                if refused.is_none() {
                    accepted(&call, answer, mem, facts, now);
                }
            }
        }
    }
}

fn judge_hello(outputs: &[Output], link: LinkId, reasons: &[RefusalReason]) {
    let said = outputs.iter().find_map(|output| match output {
        Output::Welcome { link: to, .. } if *to == link => Some(None),
        Output::Refuse { link: to, refusal } if *to == link => Some(Some(refusal.reason)),
        _ => None,
    });
    match said {
        Some(None) => assert!(reasons.is_empty(), "welcome in spite of {reasons:?}"),
        Some(Some(reason)) => assert!(reasons.contains(&reason), "{reason:?} is none of {reasons:?}"),
        None => panic!("a hello is not answered"),
    }
}

fn answer_to(outputs: &[Output], to: LinkId, of: u64) -> Option<&Output> {
    outputs.iter().find(|output| match output {
        Output::Answer { link, request, .. } | Output::Tickets { link, request, .. } => (*link, *request) == (to, of),
        _ => false,
    })
}

/// A call that was not refused: it is answered rightly, or waits if it may.
fn accepted(call: &OperatorCall, answer: Option<&Output>, mem: &Image, facts: &mut Facts, now: u64) {
    let waits = matches!(
        call,
        OperatorCall::Backend(
            BackendCall::CreateGameSession(_)
                | BackendCall::AwaitGameSession { .. }
                | BackendCall::RevokePlayerSession { .. }
        )
    );
    assert!(answer.is_some() || waits, "{call:?} is not answered");
    if let OperatorCall::Backend(call) = call {
        match call {
            BackendCall::CreateGameSession(create) => created(create, mem, facts, now),
            BackendCall::RevokePlayerSession { player_session, .. } => {
                if let Some(slot) = facts.slots.get_mut(player_session) {
                    slot.revoking = true;
                }
            }
            _ => {}
        }
        match (call, answer) {
            (BackendCall::CreatePlayerSessions(create), Some(Output::Tickets { orders, .. })) => {
                reserved(create, orders, mem, facts, now);
            }
            (BackendCall::GetTicket { player_session }, Some(Output::Tickets { orders, .. })) => {
                assert_eq!(orders.iter().map(|o| o.player_session.id).collect::<Vec<_>>(), [*player_session]);
            }
            (BackendCall::CreatePlayerSessions(_) | BackendCall::GetTicket { .. }, other) => panic!("{other:?}"),
            _ => {}
        }
    }
    match answer {
        Some(Output::Answer { outcome: Ok(answer), .. }) => judge_answer(call, answer, mem, facts),
        Some(Output::Tickets { orders, .. }) => orders.iter().for_each(|order| judge_order(order, mem, facts)),
        _ => {}
    }
}

fn created(create: &CreateGameSession, mem: &Image, facts: &mut Facts, now: u64) {
    let key = (create.fleet.clone(), create.idempotency_key.as_str().to_owned());
    let made = |row: &&GameSessionRow| row.fleet == create.fleet && row.idempotency_key == create.idempotency_key;
    let rows: Vec<_> = mem.sessions.values().filter(made).collect();
    assert_eq!(rows.len(), 1, "one key, one session: {rows:?}");
    let row = rows[0];
    if let Some((_, session)) = facts.session_keys.get(&key) {
        return assert_eq!(row.id, *session, "the key made another session before");
    }
    assert_eq!(
        (&row.name, row.max_players, &row.properties, &row.data, row.created_ms, row.attempt),
        (&create.name, create.max_players, &create.properties, &create.data, now, 1)
    );
    facts.session_keys.insert(key, (create.clone(), row.id));
}

fn reserved(create: &CreatePlayerSessions, orders: &[TicketOrder], mem: &Image, facts: &mut Facts, now: u64) {
    let key = (create.session, create.idempotency_key.as_str().to_owned());
    let ids: Vec<_> = orders.iter().map(|order| order.player_session.id).collect();
    let asked = create.players.iter().map(|new| (&new.player, &new.data));
    assert!(asked.eq(orders.iter().map(|order| (&order.player_session.player, &order.player_session.data))));
    if let Some((_, made)) = facts.player_keys.get(&key) {
        return assert_eq!(ids, *made, "the same request reserves again");
    }
    for TicketOrder { player_session: row, process, .. } in orders {
        assert!(facts.ordinals.insert((create.session, row.ordinal)), "ordinal {} again", row.ordinal);
        let keys = facts.servers.get(process).map(|server| server.known_keys()).unwrap_or_default();
        assert!(keys.contains(&row.key_id), "key {} is not among {keys:?}, which the server knows", row.key_id);
        let lifetime = create.reservation_ms.map_or(60_000, u64::from);
        let times = row.expires_at_ms.checked_sub(now + lifetime);
        let capped = now + 3_600_000;
        assert!(times.is_some_and(|ahead| ahead <= 5_000) || row.expires_at_ms == capped, "{row:?} at {now}");
        assert_eq!(row.created_ms, now);
        let slot = Slot {
            session: create.session,
            player: row.player.clone(),
            expires_ms: row.expires_at_ms,
            is_active: false,
            revoking: false,
        };
        facts.slots.insert(row.id, slot);
    }
    let held = facts.slots.values().filter(|slot| slot.session == create.session).count();
    assert!(held <= usize::from(mem.sessions[&create.session].max_players), "{held} slots are sold");
    facts.player_keys.insert(key, (create.clone(), ids));
}
