//! What the handshake datagrams have in common: magics, a buffer to write them to, a reader, and the HMACs over them.

use std::fmt;

use playgate_token::ServerKey;
use ring::hmac;

use super::{MAC_BYTES, MAGIC_BYTES, NONCE_BYTES, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, SEAL_BYTES};

/// Chosen at random by the client for each attempt; the server repeats it in every answer.
pub type Nonce = [u8; NONCE_BYTES];
/// Made and checked by the server alone; opaque to the client.
pub type Mac = [u8; MAC_BYTES];

/// What the HMACs cover before the datagram: off the wire, a different one for each use of a key.
pub(super) mod domain {
    pub const PROOF: &[u8] = b"playgate v1 handshake proof";
    pub const ACCEPT: &[u8] = b"playgate v1 handshake accept";
    pub const REFUSE: &[u8] = b"playgate v1 handshake refuse";
}

/// The kinds of handshake datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Client to server: this is my token.
    Hello,
    /// Server to client: show that you receive at your address and hold the key.
    Challenge,
    /// Client to server: here is the proof.
    Proof,
    /// Server to client: you are in.
    Accept,
    /// Server to client: it is of no use.
    Refuse,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Hello, Self::Challenge, Self::Proof, Self::Accept, Self::Refuse];

    /// The first four bytes of a datagram of this kind.
    #[must_use]
    pub const fn magic(self) -> [u8; MAGIC_BYTES] {
        match self {
            Self::Hello => *b"PG1H",
            Self::Challenge => *b"PG1C",
            Self::Proof => *b"PG1P",
            Self::Accept => *b"PG1A",
            Self::Refuse => *b"PG1R",
        }
    }

    /// The kind of a datagram by its first four bytes; `None` is somebody else's traffic.
    #[must_use]
    pub fn of(datagram: &[u8]) -> Option<Self> {
        let magic = datagram.first_chunk()?;
        Self::ALL.into_iter().find(|kind| kind.magic() == *magic)
    }
}

/// A datagram to be sent, of at most `MAX` bytes, kept without the heap.
#[derive(Clone, PartialEq, Eq)]
pub struct Datagram<const MAX: usize> {
    bytes: [u8; MAX],
    len: usize,
}

/// Holds any datagram of a client.
pub type RequestBuf = Datagram<REQUEST_BYTES_MAX>;
/// Holds any datagram of a server.
pub type ReplyBuf = Datagram<REPLY_BYTES_MAX>;

impl<const MAX: usize> Datagram<MAX> {
    /// Nothing to be sent.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; MAX], len: 0 }
    }

    /// The bytes to send.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Makes it empty.
    pub const fn clear(&mut self) {
        self.len = 0;
    }

    /// Replaces what is in it by these fields, one after the other.
    ///
    /// # Panics
    /// If they are longer than `MAX` together.
    pub fn write(&mut self, fields: &[&[u8]]) {
        self.clear();
        fields.iter().for_each(|field| self.push(field));
    }

    fn push(&mut self, field: &[u8]) {
        let end = self.len + field.len();
        self.bytes[self.len..end].copy_from_slice(field);
        self.len = end;
    }

    pub(crate) fn seal(&mut self, domain: &[u8], key: &[u8; 32]) {
        let seal = sealing(domain, key, self.as_slice()).sign();
        self.push(seal.as_ref());
    }
}

impl<const MAX: usize> Default for Datagram<MAX> {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows the kind and the length: the rest may be a token.
impl<const MAX: usize> fmt::Debug for Datagram<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Datagram({:?}, {} bytes)", Kind::of(self.as_slice()), self.len)
    }
}

/// The rest of a datagram that is being read, without magic.
pub(super) struct Fields<'d>(pub(super) &'d [u8]);

impl<'d> Fields<'d> {
    pub(super) fn of(kind: Kind, datagram: &'d [u8]) -> Option<Self> {
        datagram.strip_prefix(&kind.magic()).map(Self)
    }

    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    pub(super) fn take_last<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (rest, field) = self.0.split_last_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

pub(super) fn open<'d>(
    kind: Kind,
    domain: &[u8],
    len: usize,
    datagram: &'d [u8],
    key: &ServerKey,
) -> Option<Fields<'d>> {
    if datagram.len() != len {
        return None;
    }
    let (sealed, seal) = datagram.split_last_chunk()?;
    let fields = Fields::of(kind, sealed)?;
    sealing(domain, key.as_bytes(), sealed).matches(seal).then_some(fields)
}

/// HMAC-SHA256 over domain and bytes.
pub(crate) struct Sealing(hmac::Tag);

pub(crate) fn sealing(domain: &[u8], key: &[u8; 32], bytes: &[u8]) -> Sealing {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(domain);
    context.update(bytes);
    Sealing(context.sign())
}

impl Sealing {
    fn sign(self) -> hmac::Tag {
        self.0
    }

    pub(crate) fn matches(&self, seal: &[u8; SEAL_BYTES]) -> bool {
        // No branch depends on where the two differ.
        let difference = self.0.as_ref().iter().zip(seal).fold(0, |found, (ours, theirs)| found | (ours ^ theirs));
        std::hint::black_box(difference) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_magic_names_one_kind_and_is_no_tokens() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(&kind.magic()), Some(kind));
            assert_eq!(Kind::of(&kind.magic()[..3]), None);
            assert_ne!(kind.magic(), playgate_token::MAGIC);
        }
        assert_eq!(Kind::of(b""), None);
        assert_eq!(Kind::of(b"PG1X, and more"), None);
    }

    #[test]
    fn debug_shows_the_kind_and_the_length_only() {
        let mut datagram = ReplyBuf::new();
        datagram.write(&[&Kind::Accept.magic(), &[0xab; 9]]);
        assert_eq!(format!("{datagram:?}"), "Datagram(Some(Accept), 13 bytes)");
        datagram.clear();
        assert!(datagram.is_empty());
    }
}
