//! A link that is up: which reports are on their way, and when the coordinator was last heard.

use std::fmt;
use std::time::Duration;

use playgate_gate::{Gate, GateConfig};
use playgate_link::{CloseCode, FrameReceiver, FrameSender, NotDelivered, QueueError, RecvError};
use playgate_protocol::server::{ReportBatch, ServerDown, ServerUp};
use playgate_token::{GateRoot, HolderRoot};

use crate::connect::Welcomed;
use crate::driver::random;
use crate::limits::{LAST_PACKETS_TIME_MAX, REPORTS_IN_FLIGHT_MAX, SILENT_BEATS_MAX};
use crate::shared::{Shared, State};

pub(crate) struct Up {
    sender: FrameSender,
    receiver: FrameReceiver,
    /// Last report that was queued on this link.
    sent_seq: u64,
    /// Last report that the coordinator has durably.
    acked_seq: u64,
    /// Beats since the coordinator was last heard. Counted instead of timed, so that a thread that stood still for a
    /// while (a slow health callback, a suspended machine) does not take its own silence for the coordinator's.
    unanswered: u32,
    /// The gate has no further report than those queued.
    drained: bool,
}

impl Up {
    /// Takes the welcome: the first one brings the gate to life, later ones say where its reports go on.
    ///
    /// # Errors
    /// When the coordinator takes this process for another one than before.
    pub(crate) fn start(welcomed: Welcomed, shared: &Shared) -> Result<Self, String> {
        let Welcomed { sender, receiver, applied_seq, now_ms, .. } = welcomed;
        let secret_seed = random();
        let mut state = shared.lock();
        if state.process.is_some_and(|process| process != welcomed.process) {
            sender.close(CloseCode::Protocol, "welcomed as another process than before");
            return Err("the coordinator takes this process for another one than before: start it anew".to_owned());
        }
        let now = shared.now();
        if state.process.replace(welcomed.process).is_none() {
            let config = GateConfig {
                process: welcomed.process,
                gate_root: GateRoot::from_bytes(*welcomed.gate_root.reveal()),
                holder_root: HolderRoot::from_bytes(*welcomed.holder_root.reveal()),
                secret_seed,
            };
            state.open_gate(Gate::new(config, now), now);
        }
        if let Some(gate) = state.gate.as_mut() {
            gate.sync_clock(now, now_ms);
            gate.resume(applied_seq);
        }
        state.link_up = true;
        Ok(Self { sender, receiver, sent_seq: applied_seq, acked_seq: applied_seq, unanswered: 0, drained: false })
    }

    /// Cancel-safe.
    pub(crate) async fn recv(&mut self) -> Result<ServerDown, RecvError> {
        self.receiver.recv().await
    }

    pub(crate) fn hear(&mut self, message: ServerDown, shared: &Shared) {
        self.unanswered = 0;
        match message {
            ServerDown::Wanted(wanted) => {
                shared.gate(|gate, now| gate.apply(now, wanted));
                shared.news.notify_waiters();
            }
            ServerDown::ReportAck { through_seq } => {
                // An acknowledgement of what was never sent is a lie; believing it would stop the reports.
                self.acked_seq = self.acked_seq.max(through_seq.min(self.sent_seq));
                shared.gate(|gate, _| gate.acked(self.acked_seq));
            }
            ServerDown::PlayerAt { player_session, address } => shared.player_is_at(player_session, address),
            ServerDown::Clock { now_ms } => {
                shared.gate(|gate, now| gate.sync_clock(now, now_ms));
            }
        }
    }

    /// Reports go first, so that a beat's `through_seq` speaks of what was sent.
    pub(crate) fn beat(&mut self, shared: &Shared, healthy: bool) -> Result<(), Ended> {
        if self.unanswered == SILENT_BEATS_MAX {
            return Err(Ended::Silent);
        }
        self.unanswered += 1;
        let Some(beat) = shared.gate(|gate, now| gate.beat(now, healthy)) else { return Ok(()) };
        self.send_reports(shared)?;
        self.queue(&ServerUp::Beat(beat))
    }

    /// Queues what the gate has to report, as far as the window allows.
    pub(crate) fn send_reports(&mut self, shared: &Shared) -> Result<(), Ended> {
        self.drained = false;
        while self.sent_seq - self.acked_seq < REPORTS_IN_FLIGHT_MAX {
            let Some(batch) = shared.gate(|gate, _| gate.next_batch()).flatten() else {
                self.drained = true;
                break;
            };
            self.sent_seq = last_seq(&batch).max(self.sent_seq);
            self.queue(&ServerUp::Reports(batch))?;
        }
        Ok(())
    }

    pub(crate) fn everything_is_acknowledged(&self) -> bool {
        self.drained && self.acked_seq == self.sent_seq
    }

    fn queue(&self, message: &ServerUp) -> Result<(), Ended> {
        self.sender.queue(message).map_err(Ended::Queue)
    }

    /// What is unacknowledged is sent again on the next link, so nothing is flushed here.
    pub(crate) fn close(&self, why: &Ended) {
        let code = match why {
            Ended::Received(RecvError::Frame(_)) => CloseCode::Protocol,
            Ended::Queue(QueueError::Full) => CloseCode::SlowConsumer,
            _ => CloseCode::Done,
        };
        self.sender.close_now(code, "dialling anew");
    }

    /// Goodbye in good order.
    pub(crate) async fn finish(self) -> Result<(), NotDelivered> {
        self.sender.finish_and_wait(LAST_PACKETS_TIME_MAX).await
    }
}

impl State {
    fn open_gate(&mut self, mut gate: Gate, now: Duration) {
        if let Some(ports) = &self.ready_ports {
            gate.ready(now, ports);
        }
        if self.leave_by.is_some() || self.is_ending {
            gate.ending(now);
        }
        self.gate = Some(gate);
    }
}

fn last_seq(batch: &ReportBatch) -> u64 {
    let count = u64::try_from(batch.reports.len()).expect("a batch holds a few hundred");
    batch.first_seq + count.saturating_sub(1)
}

/// Why a link is not up any more.
pub(crate) enum Ended {
    /// It broke, or the coordinator closed it.
    Received(RecvError),
    /// It takes no more.
    Queue(QueueError),
    /// Three beats went unanswered.
    Silent,
}

impl From<RecvError> for Ended {
    fn from(error: RecvError) -> Self {
        Self::Received(error)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Received(error) => error.fmt(f),
            Self::Queue(error) => error.fmt(f),
            Self::Silent => f.write_str("the coordinator answers no beats"),
        }
    }
}
