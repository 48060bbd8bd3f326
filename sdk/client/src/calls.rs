//! The caller's end: hands a call to the task that keeps the link, and waits for its outcome with a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use playgate_protocol::Refusal;
use playgate_protocol::api::{Answer, BackendCall, OperatorCall};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::CallFailed;

/// Clones share one link.
#[derive(Clone)]
pub(crate) struct Calls {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) status: watch::Receiver<Status>,
}

/// What callers ask of the task that keeps the link.
pub(crate) enum Command {
    Call(OpenCall),
    /// Say goodbye, and drop the sender once that is done.
    Close(oneshot::Sender<()>),
}

/// A call that waits for its answer.
pub(crate) struct OpenCall {
    pub(crate) call: OperatorCall,
    pub(crate) outcome: oneshot::Sender<Result<Answer, CallFailed>>,
    pub(crate) sent: Arc<AtomicBool>,
}

/// How the link is.
#[derive(Debug, Clone)]
pub(crate) enum Status {
    Dialling,
    Up,
    Down(String),
    /// Not the coordinator answers; a person has to act.
    Misplaced(String),
    Refused(Refusal),
    Closed,
}

impl Calls {
    /// Waits for the answer for as long as `patience` says.
    pub(crate) async fn call(&self, call: OperatorCall, patience: Duration) -> Result<Answer, CallFailed> {
        let changes_something = changes_something(&call);
        let sent = Arc::new(AtomicBool::new(false));
        let (outcome, answer) = oneshot::channel();
        let open = OpenCall { call, outcome, sent: sent.clone() };
        let answered = async {
            self.commands.send(Command::Call(open)).await.ok()?;
            answer.await.ok()
        };
        match tokio::time::timeout(patience, answered).await {
            Ok(Some(outcome)) => outcome,
            _ if sent.load(Ordering::Acquire) && changes_something => Err(CallFailed::OutcomeUnknown),
            Ok(None) => Err(CallFailed::Unreachable { detail: "this client is closed".to_owned() }),
            Err(_) => Err(self.no_answer(sent.load(Ordering::Acquire), patience)),
        }
    }

    fn no_answer(&self, sent: bool, patience: Duration) -> CallFailed {
        let detail = match &*self.status.borrow() {
            Status::Refused(refusal) => return CallFailed::LinkRefused(refusal.clone()),
            Status::Down(detail) | Status::Misplaced(detail) => detail.clone(),
            Status::Closed => "this client is closed".to_owned(),
            Status::Up if sent => format!("no answer within {patience:?}"),
            Status::Up => format!("too many calls before this one, for {patience:?}"),
            Status::Dialling => format!("no link within {patience:?}"),
        };
        CallFailed::Unreachable { detail }
    }

    /// Ends the link in good order, for all clones.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.commands.send(Command::Close(done)).await.is_ok() {
            let _ = closed.await; // an error only says that somebody else closed it first
        }
    }
}

/// Whether asking twice is as good as asking once: reads, and what carries an idempotency key.
pub(crate) fn is_safe_to_repeat(call: &OperatorCall) -> bool {
    match call {
        OperatorCall::Backend(BackendCall::CreateGameSession(request)) => !request.idempotency_key.is_empty(),
        OperatorCall::Backend(BackendCall::CreatePlayerSessions(request)) => !request.idempotency_key.is_empty(),
        call => !changes_something(call),
    }
}

/// Whether a call that was sent may have left something behind, answered or not.
pub(crate) fn changes_something(call: &OperatorCall) -> bool {
    match call {
        OperatorCall::Backend(call) => match call {
            BackendCall::DescribeGameSession { .. }
            | BackendCall::AwaitGameSession { .. }
            | BackendCall::ListGameSessions { .. }
            | BackendCall::GetTicket { .. }
            | BackendCall::DescribePlayerSession { .. }
            | BackendCall::ListPlayerSessions { .. } => false,
            BackendCall::CreateGameSession(_)
            | BackendCall::CreatePlayerSessions(_)
            | BackendCall::TerminateGameSession { .. }
            | BackendCall::RevokePlayerSession { .. } => true,
        },
        OperatorCall::ListFleets
        | OperatorCall::ListHosts
        | OperatorCall::ListProcesses { .. }
        | OperatorCall::ListEvents { .. }
        | OperatorCall::ListRelays => false,
        OperatorCall::StopProcess { .. }
        | OperatorCall::SetProcessesPerHost { .. }
        | OperatorCall::CreateJoinKey(_)
        | OperatorCall::RotateRelaySecret { .. } => true,
    }
}
