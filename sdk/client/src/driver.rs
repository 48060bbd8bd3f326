//! The task that keeps the link: sends calls, matches answers to them by number, dials again when the link is lost.
//!
//! ```text
//!   callers ──commands──► unsent ──queue()──► sent ──answer with the same number──► outcome
//!                           ▲                  │ link lost
//!                           └─ safe to repeat ─┴─ not: OutcomeUnknown
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use playgate_link::{Backoff, CloseCode, Dialer, FrameReceiver, FrameSender, QueueError, RecvError};
use playgate_protocol::api::{ApiDown, BackendUp, OperatorCall, OperatorUp};
use playgate_protocol::frame::FRAME_BYTES_MAX;
use playgate_protocol::{Credential, OutOfBounds, Refusal, RefusalReason, Secret32};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::calls::{Command, OpenCall, Status, changes_something, is_safe_to_repeat};
use crate::connect::{NoLink, Role, Target, Welcomed, connect};
use crate::error::CallFailed;
use crate::limits::{
    CALLS_IN_FLIGHT_MAX, FULL_WAIT, LAST_PACKETS_TIME_MAX, REDIAL_MAX, REDIAL_MIN, REFUSED_WAIT, SWEEP_INTERVAL,
};
use crate::random::random;

pub(crate) struct Driver {
    dialer: Arc<Dialer>,
    target: Target,
    introduction: Introduction,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<Status>,
    link: Link,
    backoff: Backoff,
    open: BTreeMap<u64, OpenCall>,
    /// Numbers of open calls that are to be sent, in their order.
    unsent: VecDeque<u64>,
    last_number: u64,
    sweep_at: Instant,
    /// The link was full at the last try.
    full_until: Option<Instant>,
}

/// How this client shows who it is.
pub(crate) struct Introduction {
    /// From the join key, as long as it may be needed.
    pub(crate) join: Option<Secret32>,
    /// The key is known to the coordinator, or may be.
    pub(crate) bound: bool,
}

impl Introduction {
    fn credential(&self) -> Credential {
        match &self.join {
            Some(secret) if !self.bound => Credential::Join { secret: secret.clone() },
            _ => Credential::Bound,
        }
    }
}

enum Link {
    Down { redial_at: Instant },
    Dialling(Pin<Box<dyn Future<Output = Result<Welcomed, NoLink>> + Send>>),
    Up(FrameSender, FrameReceiver),
}

/// Everything that can happen here.
enum Happening {
    Asked(Option<Command>),
    Dialled(Result<Welcomed, NoLink>),
    Heard(Result<ApiDown, RecvError>),
    /// A deadline came.
    Time,
}

impl Driver {
    pub(crate) fn new(
        dialer: Dialer,
        target: Target,
        introduction: Introduction,
        commands: mpsc::Receiver<Command>,
        status: watch::Sender<Status>,
    ) -> Self {
        let now = Instant::now();
        Self {
            dialer: Arc::new(dialer),
            target,
            introduction,
            commands,
            status,
            link: Link::Down { redial_at: now },
            backoff: Backoff::new(u64::from_le_bytes(random()), REDIAL_MIN, REDIAL_MAX),
            open: BTreeMap::new(),
            unsent: VecDeque::new(),
            last_number: 0,
            sweep_at: now + SWEEP_INTERVAL,
            full_until: None,
        }
    }

    /// Runs until all handles are gone, or one of them closes.
    pub(crate) async fn run(mut self) {
        let closing = loop {
            match self.next().await {
                Happening::Asked(None) => break None,
                Happening::Asked(Some(Command::Close(done))) => break Some(done),
                Happening::Asked(Some(Command::Call(call))) => self.take(call),
                Happening::Heard(Ok(answer)) => self.answered(answer),
                Happening::Heard(Err(error)) => self.lose(&error),
                Happening::Dialled(Ok((sender, receiver))) => self.come_up(sender, receiver),
                Happening::Dialled(Err(no_link)) => self.stay_down(no_link),
                Happening::Time => {}
            }
            self.keep_time();
            self.send();
        };
        self.leave(closing).await;
    }

    async fn next(&mut self) -> Happening {
        let until = self.next_deadline();
        let room = self.open.len() < CALLS_IN_FLIGHT_MAX;
        tokio::select! {
            biased;
            happening = self.link.happening() => happening,
            command = self.commands.recv(), if room => Happening::Asked(command),
            () = tokio::time::sleep_until(until) => Happening::Time,
        }
    }

    fn next_deadline(&self) -> Instant {
        let link = match &self.link {
            Link::Down { redial_at } => Some(*redial_at),
            Link::Dialling(_) | Link::Up(..) => None,
        };
        [Some(self.sweep_at), link, self.full_until].into_iter().flatten().min().expect("a sweep is always due")
    }

    /// Whatever is due. Runs after every happening, so that a busy link cannot put it off.
    fn keep_time(&mut self) {
        let now = Instant::now();
        if self.sweep_at <= now {
            self.sweep_at = now + SWEEP_INTERVAL;
            self.open.retain(|_, call| !call.outcome.is_closed());
            self.unsent.retain(|number| self.open.contains_key(number));
        }
        if self.full_until.is_some_and(|at| at <= now) {
            self.full_until = None;
        }
        if matches!(self.link, Link::Down { redial_at } if redial_at <= now) {
            let credential = self.introduction.credential();
            self.link = Link::Dialling(Box::pin(connect(self.dialer.clone(), self.target.clone(), credential)));
        }
    }

    fn take(&mut self, call: OpenCall) {
        if let Status::Refused(refusal) = &*self.status.borrow() {
            let _ = call.outcome.send(Err(CallFailed::LinkRefused(refusal.clone()))); // the caller may be gone
            return;
        }
        self.last_number += 1;
        self.open.insert(self.last_number, call);
        self.unsent.push_back(self.last_number);
    }

    fn send(&mut self) {
        let Link::Up(sender, _) = &self.link else { return };
        let sender = sender.clone();
        while self.full_until.is_none()
            && let Some(number) = self.unsent.front().copied()
        {
            let Some(call) = self.open.get(&number).filter(|call| !call.outcome.is_closed()) else {
                self.unsent.pop_front();
                self.open.remove(&number);
                continue;
            };
            // Said before it is so: a caller that gives up in between must not believe that nothing was sent.
            let sent_before = call.sent.swap(true, Ordering::AcqRel);
            let queued = queue(&sender, self.target.role, number, &call.call);
            if matches!(queued, Err(QueueError::Full | QueueError::TooLarge)) {
                call.sent.store(sent_before, Ordering::Release);
            }
            match queued {
                Ok(()) => {}
                Err(QueueError::Full) => {
                    self.full_until = Some(Instant::now() + FULL_WAIT);
                    return;
                }
                Err(QueueError::Closed) => return, // the receiver is about to say why
                Err(QueueError::TooLarge) => {
                    let problem = "the request does not fit in a frame";
                    self.close_call(number, CallFailed::Invalid(OutOfBounds { problem, max: FRAME_BYTES_MAX }));
                }
            }
            self.unsent.pop_front();
        }
    }

    fn answered(&mut self, ApiDown { request, outcome }: ApiDown) {
        // A link that works is one on which something was heard behind the welcome.
        self.backoff.reset();
        if let Some(call) = self.open.remove(&request) {
            let _ = call.outcome.send(outcome.map_err(CallFailed::Refused)); // the caller may be gone
        }
    }

    fn close_call(&mut self, number: u64, failure: CallFailed) {
        if let Some(call) = self.open.remove(&number) {
            let _ = call.outcome.send(Err(failure)); // the caller may be gone
        }
    }

    fn come_up(&mut self, sender: FrameSender, receiver: FrameReceiver) {
        tracing::debug!(coordinator = self.target.coordinator, "the coordinator is reached");
        self.introduction = Introduction { join: None, bound: true };
        self.link = Link::Up(sender, receiver);
        self.status.send_replace(Status::Up);
    }

    fn lose(&mut self, why: &RecvError) {
        tracing::info!(%why, "the coordinator is out of reach");
        let down = Link::Down { redial_at: Instant::now() + self.backoff.next() };
        if let Link::Up(sender, _) = std::mem::replace(&mut self.link, down) {
            let code = if matches!(why, RecvError::Frame(_)) { CloseCode::Protocol } else { CloseCode::Done };
            sender.close_now(code, "dialling anew");
        }
        self.status.send_replace(Status::Down(why.to_string()));
        self.full_until = None;
        self.recover_calls();
    }

    /// What was sent and may be repeated goes to the front of those to be sent; of the rest nobody knows the outcome.
    fn recover_calls(&mut self) {
        let (mut kept, lost): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.open)
            .into_iter()
            .partition(|(_, call)| !call.sent.load(Ordering::Relaxed) || is_safe_to_repeat(&call.call));
        kept.retain(|_, call| !call.outcome.is_closed());
        self.unsent = kept.keys().copied().collect();
        self.open = kept;
        for call in lost.into_values() {
            let _ = call.outcome.send(Err(CallFailed::OutcomeUnknown)); // the caller may be gone
        }
    }

    fn stay_down(&mut self, no_link: NoLink) {
        let wait = match no_link {
            NoLink::Unreachable(detail) => {
                tracing::debug!(detail, "the coordinator is not reached");
                self.status.send_replace(Status::Down(detail));
                Duration::ZERO
            }
            NoLink::Misplaced(detail) => {
                tracing::warn!(detail, "this is not the coordinator");
                self.status.send_replace(Status::Misplaced(detail));
                REFUSED_WAIT
            }
            NoLink::Refused(refusal) => self.refused(refusal),
        };
        self.link = Link::Down { redial_at: Instant::now() + wait + self.backoff.next() };
    }

    fn refused(&mut self, refusal: Refusal) -> Duration {
        let wait = Duration::from_millis(refusal.retry_after_ms.into());
        match refusal.reason {
            RefusalReason::Busy => {
                self.status.send_replace(Status::Down(refusal.detail.to_string()));
                wait
            }
            // The key in the file was never bound after all; that is what the join key is for.
            RefusalReason::UnknownKey if self.introduction.bound && self.introduction.join.is_some() => {
                self.introduction.bound = false;
                Duration::ZERO
            }
            _ => {
                tracing::warn!(reason = ?refusal.reason, detail = %refusal.detail, "the coordinator refuses this client");
                for number in std::mem::take(&mut self.unsent) {
                    // One that went out on an earlier link may have been done.
                    let unknown = |call: &OpenCall| call.sent.load(Ordering::Acquire) && changes_something(&call.call);
                    let failed = match self.open.get(&number).is_some_and(unknown) {
                        true => CallFailed::OutcomeUnknown,
                        false => CallFailed::LinkRefused(refusal.clone()),
                    };
                    self.close_call(number, failed);
                }
                self.status.send_replace(Status::Refused(refusal));
                wait.max(REFUSED_WAIT)
            }
        }
    }

    async fn leave(self, done: Option<oneshot::Sender<()>>) {
        if let Link::Up(sender, _) = self.link {
            let _ = sender.finish_and_wait(LAST_PACKETS_TIME_MAX).await; // callers hear of what is lost below
        }
        self.status.send_replace(Status::Closed);
        drop(self.open);
        self.dialer.shutdown(LAST_PACKETS_TIME_MAX).await;
        drop(done);
    }
}

impl Link {
    /// Cancel-safe.
    async fn happening(&mut self) -> Happening {
        match self {
            Self::Down { .. } => pending().await,
            Self::Dialling(dialling) => Happening::Dialled(dialling.await),
            Self::Up(_, receiver) => Happening::Heard(receiver.recv().await),
        }
    }
}

fn queue(sender: &FrameSender, role: Role, request: u64, call: &OperatorCall) -> Result<(), QueueError> {
    match (role, call) {
        (Role::Backend, OperatorCall::Backend(call)) => sender.queue(&BackendUp { request, call: call.clone() }),
        (_, call) => sender.queue(&OperatorUp { request, call: call.clone() }),
    }
}
