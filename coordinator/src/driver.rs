//! The one loop of the coordinator: inputs to the core, rows to the store, outputs to the links once the rows are
//! durable.

use std::collections::BTreeMap;
use std::time::Duration;

use playgate_core::rows::Row;
use playgate_core::{Core, Input, LinkId, Output, Turn};
use playgate_protocol::{Detail, TimeMs};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::clock::Clock;
use crate::peer::FromPeer;
use crate::store::space::{Guard, Space};
use crate::store::{Batch, CommitDone, StoreError, Writer};

/// Inputs taken in one turn, so that commits and timers get their share.
const INPUTS_PER_TURN: usize = 1_024;
/// Timers fired in one turn.
const TIMERS_PER_TURN: usize = 1_024;
/// Outputs, or rows, that wait for a commit before the loop takes no more inputs. The links fill, and peers wait.
const WAITING_MAX: usize = 200_000;

pub(crate) struct Driver {
    pub(crate) core: Core,
    pub(crate) clock: Clock,
    pub(crate) inputs: mpsc::Receiver<FromPeer>,
    pub(crate) commits: mpsc::Receiver<CommitDone>,
    pub(crate) writer: Writer,
    pub(crate) space: Guard,
    pub(crate) seq: u64,
    pub(crate) links: BTreeMap<LinkId, mpsc::Sender<Output>>,
    pub(crate) gathering: Turn,
    pub(crate) in_flight: Option<Vec<Output>>,
    pub(crate) timers_from: TimeMs,
    pub(crate) looked_at: TimeMs,
    /// The ballast is being written, on a thread of its own: links would wait for the disk otherwise.
    pub(crate) placing: Option<JoinHandle<std::io::Result<()>>>,
}

/// The loop wakes at least this often, in milliseconds.
const LOOK_MS: u64 = 1_000;
/// A loop that wakes later than this after it was due stood still: stopped, suspended, or starved of its core.
const STALL_MS: u64 = 500;
/// For how long timers wait at most after a stall. What peers sent meanwhile lies in sockets and is read far sooner.
const STALL_HOLD_MS_MAX: u64 = 2_000;

/// What wakes the loop, in this order of priority.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, on the stack")]
enum Happening {
    Committed(CommitDone),
    Shutdown,
    Peer(FromPeer),
    Timer,
    Look,
    NoMorePeers,
}

impl Driver {
    /// Runs until `shutdown`, or until the store fails, which is fatal: what is on the disk is known only after a
    /// restart.
    pub(crate) async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<(), StoreError> {
        let mut shutdown = std::pin::pin!(shutdown);
        let mut look = interval(Duration::from_millis(LOOK_MS));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.looked_at = self.clock.now_ms();
        loop {
            let now = self.look_at_clock(0);
            let due = self.core.poll_timeout().unwrap_or(TimeMs::MAX).max(self.timers_from).min(now + LOOK_MS);
            let wake = Instant::now() + Duration::from_millis(due.saturating_sub(now));
            let happening = tokio::select! {
                biased;
                done = self.commits.recv() => {
                    Happening::Committed(done.expect("the store's thread lives as long as the loop"))
                }
                () = &mut shutdown => Happening::Shutdown,
                _ = look.tick() => Happening::Look,
                peer = self.inputs.recv(), if self.has_room() => {
                    peer.map_or(Happening::NoMorePeers, Happening::Peer)
                }
                () = sleep_until(wake) => Happening::Timer,
            };
            self.look_at_clock(due);
            match happening {
                Happening::Committed(done) => self.committed(done)?,
                Happening::Shutdown | Happening::NoMorePeers => return self.finish().await,
                Happening::Peer(first) => self.take_inputs(first),
                Happening::Timer => {}
                Happening::Look => self.look().await,
            }
            let now = self.look_at_clock(0);
            if now >= self.timers_from {
                self.core.handle_timeout(now, TIMERS_PER_TURN);
            }
            self.turn();
        }
    }

    /// The time, which the loop looks at wherever it may have stood still: it should be little later than the last look,
    /// or than the moment it meant to sleep to. After a stall the silence of peers was the coordinator's own: their beats
    /// and answers wait to be read, and no deadline may pass before they are.
    fn look_at_clock(&mut self, due: TimeMs) -> TimeMs {
        let now = self.clock.now_ms();
        let late_ms = now.saturating_sub(self.looked_at.max(due));
        self.looked_at = now;
        if late_ms > STALL_MS {
            tracing::warn!(late_ms, "the coordinator stood still; timers wait until what peers sent meanwhile is read");
            self.timers_from = now + late_ms.min(STALL_HOLD_MS_MAX);
        }
        now
    }

    fn has_room(&self) -> bool {
        self.gathering.outputs.len() < WAITING_MAX && self.gathering.rows.len() < WAITING_MAX
    }

    fn take_inputs(&mut self, first: FromPeer) {
        let now = self.clock.now_ms();
        self.take(now, first);
        for _ in 1..INPUTS_PER_TURN {
            let Ok(next) = self.inputs.try_recv() else { return };
            self.take(now, next);
        }
    }

    fn take(&mut self, now: TimeMs, from: FromPeer) {
        let input = match from {
            FromPeer::Said(input, _turn) => input,
            FromPeer::Gone(link) => Input::Closed(link),
            FromPeer::Opened { link, outbox, input } => {
                self.links.insert(link, outbox);
                input
            }
        };
        if let Input::Closed(link) = &input {
            self.links.remove(link);
        }
        self.core.handle(now, input);
    }

    /// Gathers what the turn decided; hands it to the writer when that is free.
    fn turn(&mut self) {
        let Turn { rows, outputs } = self.core.take_turn();
        rows.iter().for_each(log_event);
        // The answer to a beat acknowledges nothing, and a slow disk must not look like a lost coordinator.
        let (clocks, outputs): (Vec<_>, Vec<_>) = outputs.into_iter().partition(Output::is_clock);
        self.release(clocks);
        self.gathering.rows.extend(rows);
        self.gathering.outputs.extend(outputs);
        if self.in_flight.is_none() {
            self.submit();
        }
    }

    fn submit(&mut self) {
        let Turn { rows, outputs } = std::mem::take(&mut self.gathering);
        if rows.is_empty() {
            return self.release(outputs);
        }
        self.seq += 1;
        self.in_flight = Some(outputs);
        self.writer.submit(Batch { seq: self.seq, rows }).expect("one batch is in flight at a time");
    }

    fn committed(&mut self, done: CommitDone) -> Result<(), StoreError> {
        done.result?;
        let outputs = self.in_flight.take().expect("a batch was in flight");
        self.release(outputs);
        Ok(())
    }

    fn release(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            let link = output.link();
            let Some(outbox) = self.links.get(&link) else { continue };
            // A full outbox means that the link's task is stuck; closing it makes the peer come back for the state.
            if outbox.try_send(output).is_err() {
                self.links.remove(&link);
            }
        }
    }

    /// Waits for nothing.
    async fn look(&mut self) {
        if let Some(placed) = self.placing.take_if(|placing| placing.is_finished()) {
            self.space.ballast_placed(&placed.await.expect("writing the ballast does not panic"));
        }
        let now = self.clock.now_ms();
        self.core.handle(now, Input::StoreLow(self.space.check() == Space::Low));
        if self.placing.is_none() {
            let missing = self.space.missing_ballast();
            self.placing = missing.map(|ballast| spawn_blocking(move || ballast.place()));
        }
        if let Some(skew) = self.clock.skew() {
            tracing::warn!(%skew, "the wall clock disagrees with coordinator time");
            self.core.handle(now, Input::ClockSkew(Detail::lossy(&skew.to_string())));
        }
    }

    /// Everything decided is made durable and said; then the links close.
    async fn finish(mut self) -> Result<(), StoreError> {
        self.turn();
        while self.in_flight.is_some() {
            match self.commits.recv().await {
                Some(done) => self.committed(done)?,
                None => break,
            }
            if self.in_flight.is_none() {
                self.submit();
            }
        }
        self.links.clear();
        if let Some(placing) = self.placing.take() {
            // Nothing of this process writes to the directory once another may have it.
            let _ = placing.await;
        }
        spawn_blocking(move || self.writer.finish()).await.expect("the writer does not panic")
    }
}

/// Events are the log: one line each, nothing in them that a peer could forge.
fn log_event(row: &Row) {
    if let Row::Event(event) = row {
        tracing::info!(kind = ?event.kind, subject = %event.subject, "{}", event.detail);
    }
}
