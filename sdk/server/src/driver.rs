//! The loop of the SDK's thread: keeps the link, sends reports and beats, and hands the coordinator's word to the gate.
//!
//! ```text
//!            dialled                  lost, silent, refused
//!   Down ──────────────► Dialling ──────────────────────────► Down
//!    ▲  wait is over        │ welcomed
//!    │                      ▼
//!    └── lost, silent ──── Up ── everything acknowledged after a shutdown ──► over
//! ```
//! The gate's timers and the game's health run on in every state.

use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use playgate_link::{Backoff, Dialer};
use playgate_protocol::server::ServerDown;
use playgate_protocol::{Refusal, RefusalReason};
use ring::rand::{SecureRandom, SystemRandom};

use crate::config::{Config, Health};
use crate::connect::{NoLink, Target, Welcomed, connect};
use crate::event::Event;
use crate::limits::{BEAT_DEFAULT, LAST_PACKETS_TIME_MAX, REDIAL_MAX, REDIAL_MIN, REFUSED_WAIT};
use crate::shared::Shared;
use crate::up::{Ended, Up};

pub(crate) struct Driver {
    shared: Arc<Shared>,
    dialer: Arc<Dialer>,
    target: Arc<Target>,
    health: Health,
    link: Link,
    backoff: Backoff,
    beat: Duration,
    beat_at: Instant,
    /// What the game was last told about a refusal, so that it is told once.
    told: Option<RefusalReason>,
    misplaced: bool,
}

enum Link {
    Down { redial_at: Instant },
    Dialling(Pin<Box<dyn Future<Output = Result<Welcomed, NoLink>> + Send>>),
    Up(Up),
}

/// Everything that can happen here.
enum Happening {
    Dialled(Result<Welcomed, NoLink>),
    Heard(Result<ServerDown, playgate_link::RecvError>),
    /// Another thread has something to send, or wants to stop.
    Woken,
    /// A deadline came.
    Time,
}

impl Driver {
    pub(crate) fn new(config: Config, dialer: Dialer, shared: Arc<Shared>) -> Self {
        let target = Arc::new(Target::new(&config));
        let now = Instant::now();
        Self {
            shared,
            dialer: Arc::new(dialer),
            target,
            health: config.health,
            link: Link::Down { redial_at: now },
            backoff: Backoff::new(u64::from_le_bytes(random()), REDIAL_MIN, REDIAL_MAX),
            beat: BEAT_DEFAULT,
            beat_at: now + BEAT_DEFAULT,
            told: None,
            misplaced: false,
        }
    }

    /// Runs until a shutdown, or until the coordinator says that this process has ended.
    pub(crate) async fn run(mut self) {
        loop {
            // Asked for before sending: what was said together with it is then among what is sent.
            let leave_by = self.shared.lock().leave_by;
            self.send();
            if self.is_over(leave_by) {
                break;
            }
            let until = self.next_deadline();
            match self.link.next(&self.shared, until).await {
                Happening::Heard(Ok(message)) => self.hear(message),
                Happening::Heard(Err(error)) => self.lose(&Ended::from(error)),
                Happening::Dialled(Ok(welcomed)) => self.come_up(welcomed),
                Happening::Dialled(Err(no_link)) => self.stay_down(no_link),
                Happening::Woken | Happening::Time => {}
            }
            self.keep_time();
        }
        self.leave().await;
    }

    fn next_deadline(&self) -> Instant {
        let state = self.shared.lock();
        let gate = state.gate.as_ref().and_then(|gate| gate.poll_timeout()).map(|at| self.shared.instant(at));
        let link = match &self.link {
            Link::Down { redial_at } => Some(*redial_at),
            Link::Dialling(_) | Link::Up(_) => None,
        };
        [Some(self.beat_at), gate, link, state.leave_by].into_iter().flatten().min().expect("a beat is always due")
    }

    /// Whatever is due. Runs after every happening, so that a busy link cannot put it off.
    fn keep_time(&mut self) {
        let now = Instant::now();
        let lapsed = self.shared.gate(|gate, gate_now| {
            let due = gate.poll_timeout().is_some_and(|at| at <= gate_now);
            if due {
                gate.handle_timeout(gate_now);
            }
            due
        });
        if lapsed == Some(true) {
            self.shared.news.notify_waiters();
        }
        if matches!(self.link, Link::Down { redial_at } if redial_at <= now) {
            self.dial();
        }
        if self.beat_at <= now {
            self.beat_at = now + self.beat;
            self.beat();
            // Whoever waits for an event polls once, and thereby shows that the game's own runtime turns.
            self.shared.news.notify_waiters();
        }
    }

    fn dial(&mut self) {
        let held_version = self.shared.gate(|gate, _| gate.held_version()).unwrap_or(0);
        let dialling = connect(self.dialer.clone(), self.target.clone(), held_version);
        self.link = Link::Dialling(Box::pin(dialling));
    }

    fn come_up(&mut self, welcomed: Welcomed) {
        self.beat = welcomed.beat;
        self.beat_at = Instant::now();
        (self.told, self.misplaced) = (None, false);
        match Up::start(welcomed, &self.shared) {
            Ok(up) => {
                tracing::info!("the coordinator is reached");
                self.link = Link::Up(up);
                self.shared.tell(Event::LinkUp);
            }
            Err(detail) => self.stay_down(NoLink::Misplaced(detail)),
        }
    }

    fn hear(&mut self, message: ServerDown) {
        if let Link::Up(up) = &mut self.link {
            // A beat acknowledges a wanted state: what waits for that should not wait for the next one that is due.
            if matches!(message, ServerDown::Wanted(_)) {
                self.beat_at = Instant::now();
            }
            // A link that works is one on which reports or beats were answered, not merely a welcome.
            if matches!(message, ServerDown::ReportAck { .. } | ServerDown::Clock { .. }) {
                self.backoff.reset();
            }
            up.hear(message, &self.shared);
        }
    }

    fn beat(&mut self) {
        let healthy = self.is_healthy();
        if let Link::Up(up) = &mut self.link
            && let Err(ended) = up.beat(&self.shared, healthy)
        {
            self.lose(&ended);
        }
    }

    fn send(&mut self) {
        if let Link::Up(up) = &mut self.link
            && let Err(ended) = up.send_reports(&self.shared)
        {
            self.lose(&ended);
        }
    }

    fn is_healthy(&self) -> bool {
        match &self.health {
            Health::Polling(timeout) => self.shared.lock().polled.elapsed() <= *timeout,
            Health::Asked(healthy) => catch_unwind(AssertUnwindSafe(healthy)).unwrap_or(false),
        }
    }

    fn lose(&mut self, why: &Ended) {
        tracing::info!(%why, "the coordinator is out of reach");
        let down = Link::Down { redial_at: Instant::now() + self.backoff.next() };
        if let Link::Up(up) = std::mem::replace(&mut self.link, down) {
            up.close(why);
        }
        self.shared.lock().link_up = false;
        self.shared.tell(Event::LinkDown);
    }

    fn stay_down(&mut self, no_link: NoLink) {
        let wait = match no_link {
            NoLink::Unreachable(detail) => {
                tracing::debug!(detail, "the coordinator is not reached");
                Duration::ZERO
            }
            NoLink::Misplaced(detail) => self.misplace(detail),
            NoLink::Refused(refusal) => self.refuse(refusal),
        };
        self.link = Link::Down { redial_at: Instant::now() + wait + self.backoff.next() };
    }

    fn misplace(&mut self, detail: String) -> Duration {
        if !std::mem::replace(&mut self.misplaced, true) {
            tracing::warn!(detail, "this is not the coordinator");
            self.shared.tell(Event::LinkRefused { reason: None, detail });
        }
        REFUSED_WAIT
    }

    fn refuse(&mut self, refusal: Refusal) -> Duration {
        let Refusal { reason, detail, retry_after_ms } = refusal;
        if self.told.replace(reason) != Some(reason) && reason != RefusalReason::Busy {
            tracing::warn!(?reason, %detail, "the coordinator refuses this process");
            self.shared.tell(Event::LinkRefused { reason: Some(reason), detail: detail.to_string() });
        }
        match reason {
            RefusalReason::ProcessEnded => self.detach(),
            RefusalReason::Busy => {}
            _ => return REFUSED_WAIT.max(Duration::from_millis(retry_after_ms.into())),
        }
        Duration::from_millis(retry_after_ms.into())
    }

    /// The fleet has given this process up: its tokens are void, so nobody is admitted, and it should exit.
    fn detach(&self) {
        let mut state = self.shared.lock();
        state.gate = None;
        state.over = true;
        drop(state);
        self.shared.tell(Event::Terminate { by: Instant::now() });
    }

    /// Whether there is nothing left to do here.
    fn is_over(&mut self, leave_by: Option<Instant>) -> bool {
        let Some(leave_by) = leave_by else { return self.shared.lock().over };
        self.hurry();
        let delivered = matches!(&self.link, Link::Up(up) if up.everything_is_acknowledged());
        let mut state = self.shared.lock();
        state.delivered |= delivered;
        state.over || state.delivered || Instant::now() >= leave_by
    }

    /// Once there is a shutdown to report, no long wait is worth its while.
    fn hurry(&mut self) {
        if let Link::Down { redial_at } = &mut self.link {
            *redial_at = (*redial_at).min(Instant::now() + REDIAL_MIN);
        }
    }

    async fn leave(self) {
        if let Link::Up(up) = self.link {
            let _ = up.finish().await; // what mattered was acknowledged, or is out of time
        }
        self.dialer.shutdown(LAST_PACKETS_TIME_MAX).await;
        let mut state = self.shared.lock();
        state.link_up = false;
        state.over = true;
        drop(state);
        self.shared.news.notify_waiters();
    }
}

impl Link {
    async fn next(&mut self, shared: &Shared, until: Instant) -> Happening {
        tokio::select! {
            biased;
            happening = self.happening() => happening,
            () = shared.work.notified() => Happening::Woken,
            () = tokio::time::sleep_until(until.into()) => Happening::Time,
        }
    }

    async fn happening(&mut self) -> Happening {
        match self {
            Self::Down { .. } => pending().await,
            Self::Dialling(dialling) => Happening::Dialled(dialling.await),
            Self::Up(up) => Happening::Heard(up.recv().await),
        }
    }
}

/// Bytes from the system's random source.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system has a random source; nothing here is safe without one");
    bytes
}
