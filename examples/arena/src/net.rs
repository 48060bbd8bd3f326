//! What server and bot share about sockets.

use std::io;

/// Whether a receive failed only for this moment: nothing came in time, or an ICMP message did, which anybody can send.
pub fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | Interrupted | TimedOut | WouldBlock)
}
