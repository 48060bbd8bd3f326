//! What a studio's backend can ask of the coordinator.

use std::fmt;
use std::time::Duration;

use playgate_link::{Dialer, Identity, LinkProfile};
use playgate_protocol::api::{Answer, BackendCall, GameSessionInfo, OperatorCall, PlayerSessionInfo};
use playgate_protocol::{FleetId, GameSessionId, PlayerSessionId, Ticket};
use tokio::sync::{mpsc, watch};

use crate::calls::{Calls, Status};
use crate::config::{BackendConfig, Start};
use crate::driver::Driver;
use crate::error::{CallFailed, ConnectError};
use crate::limits::{ACTIVATIONS_TIME_MAX, CALLS_QUEUED_MAX};
use crate::requests::{NewGameSession, NewPlayerSessions, millis};

/// A studio's backend, connected to its coordinator.
///
/// Cheap to clone; clones share one link, and any number of calls may be under way at once. The link is dialled again
/// whenever it breaks. Calls that were under way then are repeated if that is safe: reads, and what carries an
/// idempotency key; others fail with [`CallFailed::OutcomeUnknown`].
///
/// Dropping a call's future gives the call up, not what it may do.
#[derive(Clone)]
pub struct Backend {
    pub(crate) calls: Calls,
    pub(crate) patience: Duration,
}

/// Until when [`Backend::await_game_session`] waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// It takes players, or is over.
    Active,
    /// It is over.
    Terminated,
}

impl Backend {
    /// Connects, and returns once the coordinator has welcomed this backend. Call it inside a tokio runtime, which then
    /// carries the link.
    ///
    /// # Errors
    /// [`ConnectError`] says what a person should look at.
    pub async fn connect(config: BackendConfig) -> Result<Self, ConnectError> {
        let patience = config.patience;
        connect(config.resolve()?, patience).await
    }

    /// The same link with another patience for calls.
    ///
    /// ```no_run
    /// # async fn f(backend: playgate_client::Backend, id: playgate_client::protocol::GameSessionId)
    /// # -> Result<(), playgate_client::CallFailed> {
    /// use std::time::Duration;
    /// let session = backend.within(Duration::from_secs(2)).describe_game_session(id).await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        Self { calls: self.calls.clone(), patience }
    }

    /// Places a game session and waits until players can join it: as long as the placement may take, and then for its
    /// activations. A repetition with the same idempotency key finds the session of the first call.
    ///
    /// # Errors
    /// [`CallFailed`]: among the codes, `FleetCapacityExceeded` when no process became free in time, and
    /// `GameSessionActivationFailed` when no process that was given the session activated it.
    pub async fn create_game_session(&self, request: impl Into<NewGameSession>) -> Result<GameSessionInfo, CallFailed> {
        let request = request.into().finish()?;
        let wait = Duration::from_millis(request.placement_timeout_ms.into()) + ACTIVATIONS_TIME_MAX;
        game_session(self.call(BackendCall::CreateGameSession(request), wait).await?)
    }

    /// A game session as it is at this moment.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn describe_game_session(&self, session: GameSessionId) -> Result<GameSessionInfo, CallFailed> {
        game_session(self.call(BackendCall::DescribeGameSession { session }, Duration::ZERO).await?)
    }

    /// Waits until a game session is active or over; after `timeout` the answer is the session as it is then.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn await_game_session(
        &self,
        session: GameSessionId,
        until: Until,
        timeout: Duration,
    ) -> Result<GameSessionInfo, CallFailed> {
        let terminated = until == Until::Terminated;
        let call = BackendCall::AwaitGameSession { session, terminated, timeout_ms: millis(timeout) };
        game_session(self.call(call, timeout).await?)
    }

    /// A page of live and lately ended game sessions, by id, behind `after`: pass the last of the page before, until a
    /// page is empty.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn list_game_sessions(
        &self,
        fleet: Option<FleetId>,
        after: Option<GameSessionId>,
    ) -> Result<Vec<GameSessionInfo>, CallFailed> {
        match self.call(BackendCall::ListGameSessions { fleet, after }, Duration::ZERO).await? {
            Answer::GameSessions(page) => Ok(page.into_vec()),
            _ => Err(CallFailed::UnexpectedAnswer),
        }
    }

    /// Asks the game to end its session within `grace`, after which it is ended by force; zero forces at once. Answers
    /// at once; [`Backend::await_game_session`] waits for the end.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn terminate_game_session(
        &self,
        session: GameSessionId,
        grace: Duration,
    ) -> Result<GameSessionInfo, CallFailed> {
        let call = BackendCall::TerminateGameSession { session, grace_ms: millis(grace) };
        game_session(self.call(call, Duration::ZERO).await?)
    }

    /// Reserves slots, for all players or for none, and answers their tickets in the order of the request. Hand each to
    /// its player over a channel that nobody else reads.
    ///
    /// # Errors
    /// [`CallFailed::Refused`] with [`GameSessionFull`](playgate_protocol::api::ErrorCode::GameSessionFull) or
    /// [`AlreadyReserved`](playgate_protocol::api::ErrorCode::AlreadyReserved), among others.
    pub async fn create_player_sessions(
        &self,
        request: impl Into<NewPlayerSessions>,
    ) -> Result<Vec<Ticket>, CallFailed> {
        let call = BackendCall::CreatePlayerSessions(request.into().finish()?);
        tickets(self.call(call, Duration::ZERO).await?)
    }

    /// The ticket of a player session once more, byte for byte but for the way through a relay, while it is reserved or active.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn get_ticket(&self, player_session: PlayerSessionId) -> Result<Ticket, CallFailed> {
        let tickets = tickets(self.call(BackendCall::GetTicket { player_session }, Duration::ZERO).await?)?;
        only(tickets)
    }

    /// A player session as it is at this moment.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn describe_player_session(
        &self,
        player_session: PlayerSessionId,
    ) -> Result<PlayerSessionInfo, CallFailed> {
        let call = BackendCall::DescribePlayerSession { player_session };
        only(player_sessions(self.call(call, Duration::ZERO).await?)?)
    }

    /// A page of player sessions of one game session, by id, behind `after`, until one is empty.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn list_player_sessions(
        &self,
        session: GameSessionId,
        after: Option<PlayerSessionId>,
    ) -> Result<Vec<PlayerSessionInfo>, CallFailed> {
        player_sessions(self.call(BackendCall::ListPlayerSessions { session, after }, Duration::ZERO).await?)
    }

    /// Takes a reservation back, or a player out of the game. Waits up to `timeout` for the server to confirm it; after
    /// that the answer is the player session as it is, with
    /// [`revoking`](playgate_protocol::api::PlayerSessionInfo::revoking) set.
    ///
    /// # Errors
    /// [`CallFailed`]
    pub async fn revoke_player_session(
        &self,
        player_session: PlayerSessionId,
        timeout: Duration,
    ) -> Result<PlayerSessionInfo, CallFailed> {
        let call = BackendCall::RevokePlayerSession { player_session, timeout_ms: millis(timeout) };
        only(player_sessions(self.call(call, timeout).await?)?)
    }

    /// Ends the link in good order, for all clones: what a short-lived tool does before it exits. A program that just
    /// drops its handles does no harm.
    pub async fn close(&self) {
        self.calls.close().await;
    }

    async fn call(&self, call: BackendCall, wait: Duration) -> Result<Answer, CallFailed> {
        self.calls.call(OperatorCall::Backend(call), self.patience.saturating_add(wait)).await
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("link", &*self.calls.status.borrow()).finish_non_exhaustive()
    }
}

/// Starts the task that keeps the link, and waits for its first word.
pub(crate) async fn connect(start: Start, patience: Duration) -> Result<Backend, ConnectError> {
    let Start { target, pkcs8, introduction } = start;
    let identity = Identity::from_pkcs8(pkcs8.reveal()).map_err(|error| ConnectError::BadKey(error.to_string()))?;
    let dialer =
        Dialer::new(identity, LinkProfile::fleet()).map_err(|error| ConnectError::Socket(error.to_string()))?;
    let (commands, asked) = mpsc::channel(CALLS_QUEUED_MAX);
    let (told, status) = watch::channel(Status::Dialling);
    tokio::spawn(Driver::new(dialer, target, introduction, asked, told).run());
    first_word(status.clone(), patience).await?;
    Ok(Backend { calls: Calls { commands, status }, patience })
}

async fn first_word(mut status: watch::Receiver<Status>, patience: Duration) -> Result<(), ConnectError> {
    let decided = status.wait_for(|status| !matches!(status, Status::Dialling | Status::Down(_)));
    drop(tokio::time::timeout(patience, decided).await);
    match &*status.borrow() {
        Status::Up => Ok(()),
        Status::Refused(refusal) => Err(ConnectError::Refused(refusal.clone())),
        Status::Down(detail) | Status::Misplaced(detail) => Err(ConnectError::Unreachable { detail: detail.clone() }),
        Status::Dialling | Status::Closed => {
            Err(ConnectError::Unreachable { detail: format!("no answer within {patience:?}") })
        }
    }
}

fn game_session(answer: Answer) -> Result<GameSessionInfo, CallFailed> {
    match answer {
        Answer::GameSession(session) => Ok(session),
        _ => Err(CallFailed::UnexpectedAnswer),
    }
}

fn tickets(answer: Answer) -> Result<Vec<Ticket>, CallFailed> {
    match answer {
        Answer::Tickets(tickets) => Ok(tickets.into_vec()),
        _ => Err(CallFailed::UnexpectedAnswer),
    }
}

fn player_sessions(answer: Answer) -> Result<Vec<PlayerSessionInfo>, CallFailed> {
    match answer {
        Answer::PlayerSessions(page) => Ok(page.into_vec()),
        _ => Err(CallFailed::UnexpectedAnswer),
    }
}

/// The one element of an answer that has exactly one.
pub(crate) fn only<T>(items: Vec<T>) -> Result<T, CallFailed> {
    let [item] = <[T; 1]>::try_from(items).map_err(|_| CallFailed::UnexpectedAnswer)?;
    Ok(item)
}
