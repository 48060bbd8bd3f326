//! The incoming half of a link: bytes become messages, or a reason to close.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use playgate_protocol::frame::{self, FRAME_HEADER_BYTES, FrameError};
use quinn::{Connection, ReadError, RecvStream};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::close::{CloseCode, CloseReason};
use crate::limits;
use crate::link::LinkGuard;

/// Receives the peer's messages in order.
///
/// Holds at most one frame and one stream window (128 KiB) of unread bytes; a peer that sends more waits.
pub struct FrameReceiver {
    conn: Connection,
    stream: RecvStream,
    inbox: BytesMut,
    /// What ended the reading for good.
    broken: Option<FrameError>,
    /// The peer finished its stream; until then its close may arrive.
    finished: Option<Instant>,
    guard: Arc<LinkGuard>,
}

/// Why there is no further message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecvError {
    /// The link is over; every frame that arrived before was returned.
    Closed(CloseReason),
    /// The peer sent what is no frame of the expected kind. Every later call says the same; close with
    /// [`CloseCode::Protocol`].
    Frame(FrameError),
    /// Nothing whole came in time ([`FrameReceiver::recv_within`] only).
    Timeout,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(reason) => reason.fmt(f),
            Self::Frame(error) => error.fmt(f),
            Self::Timeout => f.write_str("the peer did not send a message in time"),
        }
    }
}

impl std::error::Error for RecvError {}

/// What one read of the stream brought.
enum Read {
    Bytes,
    /// The peer will not send more.
    End,
}

impl FrameReceiver {
    pub(crate) fn new(conn: Connection, stream: RecvStream, guard: Arc<LinkGuard>) -> Self {
        Self { conn, stream, inbox: BytesMut::new(), broken: None, finished: None, guard }
    }

    /// The next message. Cancel-safe: a dropped call loses nothing.
    ///
    /// # Errors
    /// [`RecvError`]; after the first error there are no further messages.
    pub async fn recv<T: DeserializeOwned>(&mut self) -> Result<T, RecvError> {
        // A peer that always has a frame ready must not keep this thread from other links.
        tokio::task::coop::consume_budget().await;
        loop {
            if let Some(message) = self.take_frame()? {
                return Ok(message);
            }
            match self.read().await? {
                Read::Bytes => {}
                Read::End if self.inbox.is_empty() => return Err(self.await_close().await),
                Read::End => return Err(self.break_off(FrameError::Malformed)),
            }
        }
    }

    /// The next message, if it is whole in time; for the first frame, before which a peer is nobody.
    ///
    /// # Errors
    /// As [`FrameReceiver::recv`], and [`RecvError::Timeout`].
    pub async fn recv_within<T: DeserializeOwned>(&mut self, within: Duration) -> Result<T, RecvError> {
        tokio::time::timeout(within, self.recv()).await.unwrap_or(Err(RecvError::Timeout))
    }

    fn take_frame<T: DeserializeOwned>(&mut self) -> Result<Option<T>, RecvError> {
        match self.decode_first() {
            Ok(message) => Ok(message),
            Err(error) => Err(self.break_off(error)),
        }
    }

    fn decode_first<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let Some((header, behind)) = self.inbox.split_first_chunk::<FRAME_HEADER_BYTES>() else {
            return Ok(None);
        };
        // Refuses a frame that is too large from its header, before a byte of it is kept.
        let payload_bytes = frame::payload_len(*header)?;
        let Some(payload) = behind.get(..payload_bytes) else {
            return Ok(None);
        };
        let message = frame::decode(payload)?;
        self.inbox.advance(FRAME_HEADER_BYTES + payload_bytes);
        Ok(Some(message))
    }

    fn break_off(&mut self, error: FrameError) -> RecvError {
        if self.broken.is_none() {
            self.broken = Some(error);
            self.inbox = BytesMut::new();
            self.guard.count_refused_frame();
        }
        RecvError::Frame(error)
    }

    /// Takes everything that is ready in one go, or waits for something.
    async fn read(&mut self) -> Result<Read, RecvError> {
        if self.inbox.is_empty() && self.inbox.capacity() > limits::IDLE_BUFFER_BYTES {
            self.inbox = BytesMut::new();
        }
        let mut chunks: [Bytes; limits::READ_CHUNKS] = Default::default();
        match self.stream.read_chunks(&mut chunks).await {
            Ok(Some(count)) => {
                // Flow control bounds what a read can bring, and the inbox held less than one frame before it.
                chunks[..count].iter().for_each(|chunk| self.inbox.extend_from_slice(chunk));
                Ok(Read::Bytes)
            }
            Ok(None) | Err(ReadError::Reset(_)) => Ok(Read::End),
            Err(ReadError::ConnectionLost(error)) => Err(RecvError::Closed(error.into())),
            // The first cannot be, since this value owns the stream; the second because 0-RTT is off.
            Err(ReadError::ClosedStream | ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected) => {
                Err(RecvError::Closed(CloseReason::Violation))
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn unread_bytes(&self) -> usize {
        self.inbox.len()
    }

    /// A peer finishes its stream on the way to closing the link, and its reason comes a moment later.
    async fn await_close(&mut self) -> RecvError {
        let patience = limits::CLOSE_FLUSH_TIME_MAX;
        let until = *self.finished.get_or_insert_with(|| Instant::now() + patience);
        match tokio::time::timeout_at(until, self.conn.closed()).await {
            Ok(reason) => RecvError::Closed(reason.into()),
            Err(_) => {
                self.conn.close(CloseCode::Done.to_wire(), b"");
                RecvError::Closed(CloseReason::ByPeer { code: CloseCode::Done, reason: String::new() })
            }
        }
    }
}

impl fmt::Debug for FrameReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReceiver")
            .field("unread_bytes", &self.inbox.len())
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}
