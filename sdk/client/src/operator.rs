//! What an operator can ask of the coordinator, beyond what a backend can.

use std::ops::Deref;
use std::time::Duration;

use playgate_protocol::api::{Answer, CreateJoinKey, Event, FleetInfo, HostInfo, OperatorCall, ProcessInfo, RelayInfo};
use playgate_protocol::{Fingerprint, FleetId, JoinKey, JoinRole, OperatorKey, RelayId, Secret32, ServerProcessId};

use crate::backend::{self, Backend, only};
use crate::config::Start;
use crate::error::{CallFailed, ConnectError};
use crate::limits::PATIENCE;
use crate::random::random;
use crate::requests::millis;

/// An operator, connected to the coordinator. An operator may call everything that a backend may, hence the `Deref`.
///
/// ```no_run
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use playgate_client::{Operator, read_operator_key};
/// let operator = Operator::connect(read_operator_key("playgate/operator.key")?).await?;
/// for fleet in operator.list_fleets().await? {
///     println!("{}: {} game sessions", fleet.id, fleet.game_sessions);
/// }
/// for session in operator.list_game_sessions(None, None).await? {
///     println!("{}: {:?}", session.id, session.status);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Operator {
    backend: Backend,
    coordinator: String,
    fingerprint: Fingerprint,
}

impl Deref for Operator {
    type Target = Backend;

    fn deref(&self) -> &Backend {
        &self.backend
    }
}

impl Operator {
    /// Connects, and returns once the coordinator has welcomed the operator, within 30 s. Call it inside a tokio
    /// runtime, which then carries the link.
    ///
    /// # Errors
    /// [`ConnectError`] says what a person should look at.
    pub async fn connect(key: OperatorKey) -> Result<Self, ConnectError> {
        Self::connect_within(key, PATIENCE).await
    }

    /// As [`Operator::connect`], with another patience for connecting and for calls.
    ///
    /// # Errors
    /// As [`Operator::connect`].
    pub async fn connect_within(key: OperatorKey, patience: Duration) -> Result<Self, ConnectError> {
        let (coordinator, fingerprint) = (key.coordinator.clone(), key.fingerprint);
        let backend = backend::connect(Start::operator(key), patience).await?;
        Ok(Self { backend, coordinator, fingerprint })
    }

    /// The same link with another patience for calls.
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        Self { backend: self.backend.within(patience), ..self.clone() }
    }

    /// All fleets.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn list_fleets(&self) -> Result<Vec<FleetInfo>, CallFailed> {
        fleets(self.call(OperatorCall::ListFleets).await?)
    }

    /// All hosts.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn list_hosts(&self) -> Result<Vec<HostInfo>, CallFailed> {
        match self.call(OperatorCall::ListHosts).await? {
            Answer::Hosts(hosts) => Ok(hosts.into_vec()),
            _ => Err(CallFailed::UnexpectedAnswer),
        }
    }

    /// All relays.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn list_relays(&self) -> Result<Vec<RelayInfo>, CallFailed> {
        match self.call(OperatorCall::ListRelays).await? {
            Answer::Relays(relays) => Ok(relays.into_vec()),
            _ => Err(CallFailed::UnexpectedAnswer),
        }
    }

    /// Gives a relay a new secret. Passes sealed with the one before are taken until the next time, so that doing it twice
    /// shuts out whoever has an old pass and is not connected.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn rotate_relay_secret(&self, relay: RelayId) -> Result<(), CallFailed> {
        match self.call(OperatorCall::RotateRelaySecret { relay }).await? {
            Answer::Done => Ok(()),
            _ => Err(CallFailed::UnexpectedAnswer),
        }
    }

    /// A page of server processes, by id, behind `after`, until one is empty.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn list_processes(
        &self,
        fleet: Option<FleetId>,
        after: Option<ServerProcessId>,
    ) -> Result<Vec<ProcessInfo>, CallFailed> {
        processes(self.call(OperatorCall::ListProcesses { fleet, after }).await?)
    }

    /// Asks a process to end within `grace`; then it is sent SIGTERM, then SIGKILL. Answers at once.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn stop_process(&self, process: ServerProcessId, grace: Duration) -> Result<ProcessInfo, CallFailed> {
        only(processes(self.call(OperatorCall::StopProcess { process, grace_ms: millis(grace) }).await?)?)
    }

    /// Changes how many processes a fleet keeps on each host; 0 stops those that host nothing.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn set_processes_per_host(
        &self,
        fleet: FleetId,
        processes_per_host: u32,
    ) -> Result<Vec<FleetInfo>, CallFailed> {
        fleets(self.call(OperatorCall::SetProcessesPerHost { fleet, processes_per_host }).await?)
    }

    /// Makes a join key for `uses` peers within `lifetime`; a key for servers names the fleet they serve. Its secret is
    /// made here and only its hash is sent, so this answer is the only place where it can be read.
    ///
    /// The key names the coordinator by the address in the operator's own key; set
    /// [`JoinKey::coordinator`] where its bearer needs another one.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn create_join_key(
        &self,
        role: JoinRole,
        fleet: Option<FleetId>,
        uses: u32,
        lifetime: Duration,
    ) -> Result<JoinKey, CallFailed> {
        let secret = Secret32::from_bytes(random());
        let lifetime_ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        let secret_sha256 = secret.sha256();
        let call = OperatorCall::CreateJoinKey(CreateJoinKey { secret_sha256, role, fleet, uses, lifetime_ms });
        match self.call(call).await? {
            Answer::Done => {
                let coordinator = self.coordinator.clone();
                Ok(JoinKey { role, coordinator, fingerprint: self.fingerprint, secret })
            }
            _ => Err(CallFailed::UnexpectedAnswer),
        }
    }

    /// A page of events behind the number `after`, oldest first; 0 begins at the oldest that is kept.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn list_events(&self, after: u64) -> Result<Vec<Event>, CallFailed> {
        match self.call(OperatorCall::ListEvents { after }).await? {
            Answer::Events(events) => Ok(events.into_vec()),
            _ => Err(CallFailed::UnexpectedAnswer),
        }
    }

    async fn call(&self, call: OperatorCall) -> Result<Answer, CallFailed> {
        self.backend.calls.call(call, self.backend.patience).await
    }
}

fn fleets(answer: Answer) -> Result<Vec<FleetInfo>, CallFailed> {
    match answer {
        Answer::Fleets(fleets) => Ok(fleets.into_vec()),
        _ => Err(CallFailed::UnexpectedAnswer),
    }
}

fn processes(answer: Answer) -> Result<Vec<ProcessInfo>, CallFailed> {
    match answer {
        Answer::Processes(page) => Ok(page.into_vec()),
        _ => Err(CallFailed::UnexpectedAnswer),
    }
}
