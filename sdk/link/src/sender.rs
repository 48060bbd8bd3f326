//! The outgoing half of a link: frames are queued without waiting, and one task writes everything queued at once.
//!
//! ```text
//!   queue() ──► pending ──swap──► writing ──► quinn ──► peer
//!               └── together at most queue_bytes_max ──┘
//!
//!   Open ──close()──► Closing ──all acknowledged, or out of time──► Ended
//!    └───────────── close_now(), or the link is lost ────────────────▲
//! ```

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use playgate_protocol::frame;
use quinn::{Connection, SendStream, WriteError};
use serde::Serialize;
use tokio::sync::{Notify, watch};

use crate::close::{CloseCode, CloseReason, bounded_text};
use crate::limits;
use crate::link::LinkGuard;

/// Queues frames for the peer. Clones share one queue; frames arrive in the order of the calls.
///
/// When the last clone is dropped the link closes as with [`FrameSender::close`] and [`CloseCode::Done`].
#[derive(Clone)]
pub struct FrameSender(Arc<Handle>);

/// Exists once per set of clones; the writer task does not hold it.
struct Handle(Arc<Outgoing>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.request_close(CloseCode::Done, "", limits::CLOSE_FLUSH_TIME_MAX);
    }
}

/// Why a frame was not queued. The frame is gone, the link is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueError {
    /// The peer is too far behind. For orders and reports that must not be lost: close with
    /// [`CloseCode::SlowConsumer`] and start from a snapshot on the next link.
    Full,
    /// The link is closing or over.
    Closed,
    /// The message does not fit in a frame.
    TooLarge,
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the peer does not read what it is sent",
            Self::Closed => "the link is closed",
            Self::TooLarge => "the message does not fit in a frame",
        })
    }
}

impl std::error::Error for QueueError {}

/// What was queued may not have reached the peer: the link was lost, or the time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotDelivered;

impl fmt::Display for NotDelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer did not acknowledge everything that was queued")
    }
}

impl std::error::Error for NotDelivered {}

impl FrameSender {
    pub(crate) fn start(outgoing: Arc<Outgoing>, stream: SendStream) -> Self {
        tokio::spawn(outgoing.clone().run(stream));
        Self(Arc::new(Handle(outgoing)))
    }

    /// Queues one message. Never waits; may be called from any thread.
    ///
    /// # Errors
    /// [`QueueError`] when the message was not queued.
    pub fn queue<T: Serialize>(&self, message: &T) -> Result<(), QueueError> {
        self.0.0.queue(message)
    }

    /// Bytes queued that the peer has not made room for.
    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        self.0.0.outbox().unsent()
    }

    /// Waits until fewer than this many bytes are unsent: who answers a peer that does not read should not listen to it
    /// either. Cancel-safe.
    ///
    /// # Errors
    /// Why the link is over; what is unsent then stays so.
    pub async fn drained_below(&self, bytes: usize) -> Result<(), CloseReason> {
        let outgoing = &self.0.0;
        loop {
            let mut drained = std::pin::pin!(outgoing.drained.notified());
            drained.as_mut().enable(); // before looking, so that nothing is missed in between
            if outgoing.outbox().unsent() < bytes {
                return Ok(());
            }
            tokio::select! {
                reason = outgoing.conn.closed() => return Err(reason.into()),
                () = drained => {}
            }
        }
    }

    /// On the listening side: the peer is known and may stay, so that its attempt is finished and makes room for another.
    /// Without it the attempt counts until the link is over, with the bound of its network. No effect elsewhere, or
    /// twice.
    pub fn introduced(&self) {
        self.0.0.guard.introduced();
    }

    /// Closes the link once everything queued is acknowledged, or after 2 s. Returns at once; the first call decides
    /// code and reason, of which the peer sees the first 256 bytes.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.0.0.request_close(code, reason, limits::CLOSE_FLUSH_TIME_MAX);
    }

    /// Closes the link in this moment; what is queued or unacknowledged is lost.
    pub fn close_now(&self, code: CloseCode, reason: &str) {
        self.0.0.end(code, reason, false);
    }

    /// Closes with [`CloseCode::Done`] and waits until the peer has acknowledged everything queued: what a process
    /// does with its last report before it exits.
    ///
    /// Before the process exits, call [`Dialer::shutdown`](crate::Dialer::shutdown) too: without it the close itself
    /// may stay unsent, and the peer waits for the idle timeout.
    ///
    /// # Errors
    /// [`NotDelivered`] when the link is lost or `within` has passed; the link is closed all the same.
    pub async fn finish_and_wait(&self, within: Duration) -> Result<(), NotDelivered> {
        self.0.0.request_close(CloseCode::Done, "", within);
        let mut phase = self.0.0.phase.subscribe();
        let ended = phase.wait_for(|phase| matches!(phase, Phase::Ended { .. }));
        // The writer task keeps the time; it ends the phase in any case.
        match ended.await.as_deref() {
            Ok(Phase::Ended { delivered: true }) => Ok(()),
            _ => Err(NotDelivered),
        }
    }

    /// Waits until the link is over.
    pub async fn closed(&self) -> CloseReason {
        self.0.0.conn.closed().await.into()
    }
}

impl fmt::Debug for FrameSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameSender").field("phase", &*self.0.0.phase.borrow()).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Closing { within: Duration },
    Ended { delivered: bool },
}

/// What senders and the writer task share.
pub(crate) struct Outgoing {
    conn: Connection,
    queue_bytes_max: usize,
    /// Held for a few instructions or one encoding, never across an await.
    outbox: Mutex<Outbox>,
    /// There is something to write.
    work: Notify,
    /// Something was written.
    drained: Notify,
    phase: watch::Sender<Phase>,
    guard: Arc<LinkGuard>,
}

#[derive(Default)]
struct Outbox {
    pending: Vec<u8>,
    /// Bytes that the writer took and has not handed to quinn.
    writing: usize,
    closing: Option<(CloseCode, String)>,
}

impl Outbox {
    fn unsent(&self) -> usize {
        self.pending.len() + self.writing
    }
}

/// What the writer finds to do.
enum Work {
    Write,
    Finish,
    Nothing,
}

impl Outgoing {
    pub(crate) fn new(conn: Connection, queue_bytes_max: usize, guard: Arc<LinkGuard>) -> Arc<Self> {
        Arc::new(Self {
            conn,
            queue_bytes_max,
            outbox: Mutex::default(),
            work: Notify::new(),
            drained: Notify::new(),
            phase: watch::Sender::new(Phase::Open),
            guard,
        })
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().expect("encoding a message does not panic, and nothing else under this lock can")
    }

    fn queue<T: Serialize>(&self, message: &T) -> Result<(), QueueError> {
        let mut outbox = self.outbox();
        if outbox.closing.is_some() {
            return Err(QueueError::Closed);
        }
        let before = outbox.pending.len();
        frame::encode(message, &mut outbox.pending).map_err(|_| QueueError::TooLarge)?;
        if outbox.unsent() > self.queue_bytes_max {
            outbox.pending.truncate(before);
            return Err(QueueError::Full);
        }
        drop(outbox);
        if before == 0 {
            self.work.notify_one();
        }
        Ok(())
    }

    fn request_close(&self, code: CloseCode, reason: &str, within: Duration) {
        let mut outbox = self.outbox();
        if outbox.closing.is_some() {
            return;
        }
        outbox.closing = Some((code, bounded_text(reason).to_owned()));
        drop(outbox);
        self.phase.send_if_modified(|phase| {
            let open = *phase == Phase::Open;
            if open {
                *phase = Phase::Closing { within };
            }
            open
        });
        self.work.notify_one();
    }

    /// The link is over; only the first call has an effect on the peer.
    fn end(&self, code: CloseCode, reason: &str, delivered: bool) {
        let mut outbox = self.outbox();
        outbox.pending = Vec::new();
        outbox.closing.get_or_insert((code, String::new()));
        drop(outbox);
        // quinn would let a later local close hide what the peer said.
        if self.conn.close_reason().is_none() {
            self.conn.close(code.to_wire(), bounded_text(reason).as_bytes());
        }
        self.phase.send_if_modified(|phase| {
            let first = !matches!(phase, Phase::Ended { .. });
            if first {
                *phase = Phase::Ended { delivered };
            }
            first
        });
    }

    /// The writer task.
    async fn run(self: Arc<Self>, mut stream: SendStream) {
        let delivered = tokio::select! {
            biased;
            delivered = self.write_until_closed(&mut stream) => delivered,
            () = self.patience() => false,
            _ = self.conn.closed() => false,
        };
        let (code, reason) = self.outbox().closing.clone().unwrap_or((CloseCode::Done, String::new()));
        self.end(code, &reason, delivered);
    }

    /// Writes what is queued until a close is requested and everything before it is acknowledged.
    async fn write_until_closed(&self, stream: &mut SendStream) -> bool {
        let mut buffer = Vec::new();
        loop {
            match self.take(&mut buffer) {
                Work::Write => match self.write(stream, &buffer).await {
                    Ok(()) => buffer.clear(),
                    Err(WriteError::Stopped(_)) => return self.await_peers_close().await,
                    Err(_) => return false,
                },
                Work::Finish => {
                    let _ = stream.finish(); // fails only when the peer stopped it, which `stopped` tells
                    return matches!(stream.stopped().await, Ok(None));
                }
                Work::Nothing => self.work.notified().await,
            }
        }
    }

    /// Moves everything queued into `buffer`, which is empty.
    fn take(&self, buffer: &mut Vec<u8>) -> Work {
        if buffer.capacity() > limits::IDLE_BUFFER_BYTES {
            *buffer = Vec::new();
        }
        let mut outbox = self.outbox();
        if !outbox.pending.is_empty() {
            std::mem::swap(&mut outbox.pending, buffer);
            outbox.writing = buffer.len();
            Work::Write
        } else if outbox.closing.is_some() {
            Work::Finish
        } else {
            Work::Nothing
        }
    }

    async fn write(&self, stream: &mut SendStream, mut rest: &[u8]) -> Result<(), WriteError> {
        while !rest.is_empty() {
            let written = stream.write(rest).await?;
            rest = &rest[written..];
            self.outbox().writing = rest.len();
            self.drained.notify_waiters();
        }
        Ok(())
    }

    /// The peer reads no more, so it is about to close; its code tells more than ours would.
    async fn await_peers_close(&self) -> bool {
        self.request_close(CloseCode::Done, "", limits::CLOSE_FLUSH_TIME_MAX);
        self.conn.closed().await;
        false
    }

    /// Ends when a requested close has taken too long.
    async fn patience(&self) {
        let mut phase = self.phase.subscribe();
        let within = match phase.wait_for(|phase| *phase != Phase::Open).await.as_deref() {
            Ok(Phase::Closing { within }) => *within,
            _ => Duration::ZERO, // ended already
        };
        tokio::time::sleep(within).await;
    }
}
