//! How links end, and what each end is told about it.

use std::fmt;

use quinn::{ConnectionError, VarInt};

use crate::limits::CLOSE_REASON_BYTES_MAX;

/// What the closing side says. The numbers cross the wire as QUIC application error codes; they are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// Nothing is wrong, there is nothing left to say. Also what the peer sees when a link is dropped.
    Done,
    /// The peer may not do what it asked for; trying again will not help.
    Refused,
    /// Come back later.
    Busy,
    /// The peer did not read what it was sent; after reconnecting it gets a snapshot.
    SlowConsumer,
    /// The peer sent something that is not the protocol.
    Protocol,
    /// The same identity has another, newer link.
    Replaced,
    /// The process is going down; reconnect, to it or to its successor.
    ShuttingDown,
    /// A code of a newer version.
    Unknown(u64),
}

impl CloseCode {
    const KNOWN: [Self; 7] =
        [Self::Done, Self::Refused, Self::Busy, Self::SlowConsumer, Self::Protocol, Self::Replaced, Self::ShuttingDown];

    pub(crate) fn to_wire(self) -> VarInt {
        let number = match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::Busy => 2,
            Self::SlowConsumer => 3,
            Self::Protocol => 4,
            Self::Replaced => 5,
            Self::ShuttingDown => 6,
            Self::Unknown(number) => number,
        };
        VarInt::from_u64(number).unwrap_or(VarInt::MAX)
    }

    pub(crate) fn from_wire(code: VarInt) -> Self {
        Self::KNOWN.into_iter().find(|known| known.to_wire() == code).unwrap_or(Self::Unknown(code.into_inner()))
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Busy => "busy",
            Self::SlowConsumer => "slow consumer",
            Self::Protocol => "protocol violation",
            Self::Replaced => "replaced by a newer link",
            Self::ShuttingDown => "shutting down",
            Self::Unknown(number) => return write!(f, "unknown code {number}"),
        })
    }
}

/// Why a link is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer closed it.
    ByPeer {
        /// What it said.
        code: CloseCode,
        /// Its words: at most 256 bytes, control characters replaced, so that a log line stays one.
        reason: String,
    },
    /// This side closed it.
    ByUs,
    /// Nothing came for longer than the profile allows: peer or network is gone.
    TimedOut,
    /// The peer restarted and knows nothing of this link; reconnect at once.
    PeerRestarted,
    /// One side's QUIC stack ended it: the peer does not speak the protocol correctly.
    Violation,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByPeer { code, reason } if reason.is_empty() => write!(f, "closed by the peer: {code}"),
            Self::ByPeer { code, reason } => write!(f, "closed by the peer: {code} ({reason})"),
            Self::ByUs => f.write_str("closed by this side"),
            Self::TimedOut => f.write_str("nothing heard from the peer"),
            Self::PeerRestarted => f.write_str("the peer restarted"),
            Self::Violation => f.write_str("broken QUIC"),
        }
    }
}

impl From<ConnectionError> for CloseReason {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                Self::ByPeer { code: CloseCode::from_wire(close.error_code), reason: printable(&close.reason) }
            }
            ConnectionError::LocallyClosed => Self::ByUs,
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::Reset => Self::PeerRestarted,
            ConnectionError::VersionMismatch
            | ConnectionError::TransportError(_)
            | ConnectionError::ConnectionClosed(_)
            | ConnectionError::CidsExhausted => Self::Violation,
        }
    }
}

fn printable(bytes: &[u8]) -> String {
    let bounded = &bytes[..bytes.len().min(CLOSE_REASON_BYTES_MAX)];
    let text: String = String::from_utf8_lossy(bounded).chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    bounded_text(&text).to_owned()
}

/// The longest prefix of `reason` that may be sent.
pub(crate) fn bounded_text(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_keep_their_numbers() {
        for (number, code) in CloseCode::KNOWN.into_iter().enumerate() {
            assert_eq!(code.to_wire(), VarInt::from_u32(u32::try_from(number).unwrap()));
            assert_eq!(CloseCode::from_wire(code.to_wire()), code);
        }
        for number in [7, 1 << 40, (1 << 62) - 1] {
            let code = CloseCode::from_wire(VarInt::from_u64(number).unwrap());
            assert_eq!(code, CloseCode::Unknown(number));
            assert_eq!(code.to_wire().into_inner(), number);
        }
        assert_eq!(CloseCode::Unknown(u64::MAX).to_wire(), VarInt::MAX);
    }

    #[test]
    fn a_peers_words_are_short_and_one_line() {
        for (sent, shown) in [
            (b"".as_slice(), String::new()),
            (b"bye", "bye".to_owned()),
            (b"a\nb\x1b[31m\0", "a?b?[31m?".to_owned()),
            (b"\xff\xfe", "\u{fffd}\u{fffd}".to_owned()),
            (&[b'x'; 5000], "x".repeat(256)),
            (&[0xff; 5000], "\u{fffd}".repeat(85)),
        ] {
            assert_eq!(printable(sent), shown);
        }
    }
}
