//! System calls that move many datagrams at once. The only unsafe code of the relay; each block says why it is sound.
//!
//! Linux only, as the agent is: `recvmmsg`, `sendmmsg`, `UDP_SEGMENT`, `SO_ATTACH_REUSEPORT_CBPF`.

#![allow(unsafe_code)]

mod address;
mod recv;
mod send;
mod steer;

pub(crate) use recv::Received;
pub(crate) use send::{Outgoing, Sender};
pub(crate) use steer::steer_by_fifth_byte;

/// Datagrams moved by one call.
pub(crate) const BATCH: usize = 32;
/// Room for one datagram: more than any that is forwarded, so that one that fills it is known to be too long.
pub(crate) const DATAGRAM_BYTES: usize = 2_048;
