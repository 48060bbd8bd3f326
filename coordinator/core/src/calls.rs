//! The verbs of backends and operators, one match arm each.

use playgate_protocol::api::{
    Answer, BackendCall, BackendUp, CallError, CreateJoinKey, ErrorCode, EventKind, OperatorCall, OperatorUp, Subject,
};
use playgate_protocol::reason::ProcessEnd;
use playgate_protocol::{FleetId, JoinRole, List};
use serde::Serialize;

use crate::core::{Core, Refused, RowKey, refused};
use crate::fleet::FleetConfig;
use crate::io::{LinkId, Output};
use crate::rows::{Identity, JoinKeyRow};
use crate::waiters::Awaited;

/// Longest a join key may be good for: 30 days.
const JOIN_KEY_LIFETIME_MS_MAX: u64 = 30 * 24 * 3_600_000;
/// Keys one join key may bind.
const JOIN_KEY_USES_MAX: u32 = 10_000;
/// Join keys at a time.
const JOIN_KEYS_MAX: usize = 10_000;

/// SHA-256 of a request, its idempotency key included: the same key must come with the same request.
pub(crate) fn request_sha256(call: &impl Serialize) -> [u8; 32] {
    let bytes = postcard::to_stdvec(call).expect("calls have no type that postcard cannot write");
    ring::digest::digest(&ring::digest::SHA256, &bytes).as_ref().try_into().expect("SHA-256 is 32 bytes")
}

impl Core {
    pub(crate) fn backend_said(&mut self, link: LinkId, up: BackendUp) {
        if matches!(self.links.get(&link), Some(Identity::Backend | Identity::Operator)) {
            self.backend_call(link, up.request, up.call);
        }
    }

    pub(crate) fn operator_said(&mut self, link: LinkId, up: OperatorUp) {
        if self.links.get(&link) != Some(&Identity::Operator) {
            return;
        }
        match up.call {
            OperatorCall::Backend(call) => self.backend_call(link, up.request, call),
            call => {
                let outcome = self.operator_call(call);
                self.output(Output::Answer { link, request: up.request, outcome });
            }
        }
    }

    fn backend_call(&mut self, link: LinkId, request: u64, call: BackendCall) {
        let outcome = match call {
            BackendCall::CreateGameSession(create) => match self.create_game_session(&create) {
                Ok(session) => return self.wait(link, request, Awaited::Created(session), None),
                Err(error) => Err(error),
            },
            BackendCall::DescribeGameSession { session } => self.describe_session(session).map(Answer::GameSession),
            BackendCall::AwaitGameSession { session, terminated, timeout_ms } => {
                let awaited = if terminated { Awaited::Terminated(session) } else { Awaited::Settled(session) };
                return self.wait(link, request, awaited, Some(timeout_ms.into()));
            }
            BackendCall::ListGameSessions { fleet, after } => Ok(self.list_sessions(fleet.as_ref(), after)),
            BackendCall::TerminateGameSession { session, grace_ms } => {
                let done = self.terminate_game_session(session, grace_ms);
                done.and_then(|()| self.describe_session(session)).map(Answer::GameSession)
            }
            BackendCall::CreatePlayerSessions(create) => {
                let tickets = self.create_player_sessions(&create);
                return self.answer_with_tickets(link, request, tickets);
            }
            BackendCall::GetTicket { player_session } => {
                let ticket = self.ticket_order(player_session).map(|order| vec![order]);
                return self.answer_with_tickets(link, request, ticket);
            }
            BackendCall::DescribePlayerSession { player_session } => {
                self.describe_player(player_session).map(|info| Answer::PlayerSessions(List::first_of([info])))
            }
            BackendCall::ListPlayerSessions { session, after } => self.list_players(session, after),
            BackendCall::RevokePlayerSession { player_session, timeout_ms } => match self.revoke(player_session) {
                Ok(()) => return self.wait(link, request, Awaited::Revoked(player_session), Some(timeout_ms.into())),
                Err(error) => Err(error),
            },
        };
        self.output(Output::Answer { link, request, outcome });
    }

    fn answer_with_tickets(
        &mut self,
        link: LinkId,
        request: u64,
        tickets: Result<Vec<crate::io::TicketOrder>, Refused>,
    ) {
        match tickets {
            Ok(orders) => self.output(Output::Tickets { link, request, orders }),
            Err(error) => self.output(Output::Answer { link, request, outcome: Err(error) }),
        }
    }

    fn operator_call(&mut self, call: OperatorCall) -> Result<Answer, CallError> {
        match call {
            OperatorCall::Backend(_) => unreachable!("taken by operator_said"),
            OperatorCall::ListFleets => Ok(self.list_fleets()),
            OperatorCall::ListHosts => Ok(self.list_hosts()),
            OperatorCall::ListProcesses { fleet, after } => Ok(self.list_processes(fleet.as_ref(), after)),
            OperatorCall::StopProcess { process, grace_ms } => {
                if !self.processes.contains_key(&process) {
                    return Err(refused(ErrorCode::NotFound, &format!("no server process {process}")));
                }
                self.drain(process, ProcessEnd::Stopped, grace_ms.into());
                Ok(self.describe_process(process))
            }
            OperatorCall::SetProcessesPerHost { fleet, processes_per_host } => {
                self.set_processes(&fleet, processes_per_host)
            }
            OperatorCall::CreateJoinKey(create) => self.create_join_key(create),
            OperatorCall::ListEvents { after } => Ok(self.list_events(after)),
            OperatorCall::ListRelays => Ok(self.list_relays()),
            OperatorCall::RotateRelaySecret { relay } => self.rotate_relay_secret(relay),
        }
    }

    fn set_processes(&mut self, fleet: &FleetId, processes_per_host: u32) -> Result<Answer, CallError> {
        let Some(known) = self.fleets.get(fleet) else {
            return Err(refused(ErrorCode::NotFound, &format!("no fleet \"{fleet}\"")));
        };
        let config = FleetConfig { processes_per_host, ..FleetConfig::clone(&known.config) };
        config.check().map_err(|why| refused(ErrorCode::InvalidRequest, &why))?;
        self.apply_fleet(config);
        Ok(self.list_fleets())
    }

    fn create_join_key(&mut self, create: CreateJoinKey) -> Result<Answer, CallError> {
        self.room_for_new_facts()?;
        let invalid = |text: &str| Err(refused(ErrorCode::InvalidRequest, text));
        if create.uses == 0 || create.uses > JOIN_KEY_USES_MAX {
            return invalid("a join key has 1 to 10000 uses");
        }
        if create.lifetime_ms == 0 || create.lifetime_ms > JOIN_KEY_LIFETIME_MS_MAX {
            return invalid("a join key is good for at most 30 days");
        }
        if create.role == JoinRole::Server && create.fleet.as_ref().is_none_or(|fleet| !self.fleets.contains_key(fleet))
        {
            return invalid("a join key for servers names a fleet of this coordinator (--fleet)");
        }
        if self.join_keys.len() >= JOIN_KEYS_MAX {
            let now = self.now;
            let expired: Vec<_> =
                self.join_keys.extract_if(.., |_, key| key.expires_ms <= now).map(|(id, _)| id).collect();
            expired.into_iter().for_each(|id| self.mark(RowKey::JoinKey(id)));
        }
        if self.join_keys.len() >= JOIN_KEYS_MAX {
            return Err(refused(ErrorCode::Busy, "there are 10000 unused join keys; let some expire"));
        }
        if self.join_keys.contains_key(&create.secret_sha256) {
            return invalid("this join key was made before");
        }
        let row = JoinKeyRow {
            secret_sha256: create.secret_sha256,
            role: create.role,
            fleet: create.fleet,
            uses_left: create.uses,
            expires_ms: self.now + create.lifetime_ms,
        };
        self.join_keys.insert(create.secret_sha256, row);
        self.mark(RowKey::JoinKey(create.secret_sha256));
        let what = format!("role {}, {} uses", create.role, create.uses);
        self.event(EventKind::JoinKeyCreated, Subject::Coordinator, &what);
        Ok(Answer::Done)
    }
}
