//! The player's side of the handshake: says HELLO until challenged, proves itself until answered, starts over if not.
//!
//! ```text
//!              CHALLENGE                     ACCEPT
//!   Knocking ─────────────► Proving ─────────────────────► Accepted ──┐
//!     ▲  ▲                    │ │            REFUSE                   │ reconnect
//!     │  └──── 3 s, silence ──┘ └────────────────────────► Refused ───┤
//!     │                     give_up_after                             │
//!     │        (Knocking or Proving) ────────────────────► TimedOut ──┤
//!     └───────────────────────────────────────────────────────────────┘
//! ```

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use playgate_token::{HolderKey, ProofKey, ServerKey};

use super::TOKEN_BYTES_MIN;
use super::datagram::{Kind, Nonce, RequestBuf};
use super::reply::{Accept, Challenge, Refuse, RefuseCode};
use super::request::Hello;
use crate::Ticket;

/// Silence before the first repetition: above the round trip of nearly every player.
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// Repetitions come at least this often, so that a server that comes back is noticed within a second.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How long a PROOF is repeated before a new HELLO. Servers take a challenge for 10 s; one that stays silent for
/// three has seen another source address, or somebody forged the challenge.
const PROVE_FOR: Duration = Duration::from_secs(3);

/// A datagram and where to send it.
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit {
    /// The server, or a relay in front of it.
    pub to: SocketAddr,
    /// What to send.
    pub datagram: RequestBuf,
}

/// Does not show the address.
impl fmt::Debug for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.datagram, f)
    }
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinState {
    /// Waits for a challenge.
    Knocking,
    /// Waits for the answer to its proof.
    Proving,
    /// The player is in.
    Accepted {
        /// 1 at the first admission, one more with every reconnect.
        generation: u32,
        /// Which of the ticket's addresses serves.
        server: SocketAddr,
    },
    /// The server has refused the player; trying again is of no use.
    Refused(RefuseCode),
    /// Nobody answered in time.
    TimedOut,
}

impl JoinState {
    /// Whether the attempt goes on.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Knocking | Self::Proving)
    }
}

/// Why a ticket cannot be shown to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketUnusable {
    /// It names no address.
    NoAddress,
    /// What it holds is too short to be a token.
    NoToken,
}

impl fmt::Display for TicketUnusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoAddress => "the ticket names no address",
            Self::NoToken => "the ticket holds no token",
        })
    }
}

impl std::error::Error for TicketUnusable {}

/// One player's attempts to join with one ticket. Pure: time and randomness are the caller's.
///
/// After every call of [`new`](Self::new), [`handle`](Self::handle), [`handle_timeout`](Self::handle_timeout) or
/// [`reconnect`](Self::reconnect), send what [`poll_transmit`](Self::poll_transmit) returns and ask
/// [`poll_timeout`](Self::poll_timeout) anew. HELLOs go to the ticket's addresses in turn; the first that challenges
/// serves.
pub struct Joiner {
    token: Vec<u8>,
    proof_key: ProofKey,
    server_key: ServerKey,
    addresses: Vec<SocketAddr>,
    give_up_after: Duration,

    nonce: Nonce,
    state: JoinState,
    knocks: usize,
    proof: Option<SentProof>,
    outgoing: Option<Transmit>,
    retry_after: Duration,
    retry_at: Duration,
    give_up_at: Duration,
}

/// The last challenge that was answered.
struct SentProof {
    transmit: Transmit,
    server_time_us: u64,
    repeat_until: Duration,
}

impl Joiner {
    /// Begins an attempt. `nonce` is random and used once; `now` is a monotonic clock's.
    ///
    /// # Errors
    /// The ticket has no address or no token.
    pub fn new(ticket: &Ticket, nonce: Nonce, give_up_after: Duration, now: Duration) -> Result<Self, TicketUnusable> {
        if ticket.addresses.is_empty() {
            return Err(TicketUnusable::NoAddress);
        }
        if ticket.token.len() < TOKEN_BYTES_MIN {
            return Err(TicketUnusable::NoToken);
        }
        let holder_key = HolderKey::from_bytes(*ticket.holder_key.reveal());
        let mut joiner = Self {
            token: ticket.token.to_vec(),
            proof_key: holder_key.proof_key(),
            server_key: holder_key.server_key(),
            addresses: ticket.addresses.to_vec(),
            give_up_after,
            nonce,
            state: JoinState::Knocking,
            knocks: 0,
            proof: None,
            outgoing: None,
            retry_after: RETRY_FIRST,
            retry_at: now,
            give_up_at: now,
        };
        joiner.reconnect(nonce, now);
        Ok(joiner)
    }

    /// Begins again with the same ticket: after the connection was lost, a refusal or a timeout. `nonce` is random and
    /// was not used before. A server that still keeps the player's slot lets him back in, however old the ticket is.
    pub fn reconnect(&mut self, nonce: Nonce, now: Duration) {
        self.nonce = nonce;
        self.proof = None;
        self.give_up_at = now.saturating_add(self.give_up_after);
        self.retry_after = RETRY_FIRST;
        self.knock(now);
    }

    /// How far it has come.
    #[must_use]
    pub const fn state(&self) -> &JoinState {
        &self.state
    }

    /// What to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outgoing.take()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` when the attempt is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.state.is_open().then(|| self.retry_at.min(self.give_up_at))
    }

    /// Time has passed: repeats itself, or gives up.
    pub fn handle_timeout(&mut self, now: Duration) {
        if !self.state.is_open() {
            return;
        }
        if now >= self.give_up_at {
            self.finish(JoinState::TimedOut);
        } else if now >= self.retry_at {
            match &self.proof {
                Some(proof) if self.state == JoinState::Proving && now < proof.repeat_until => {
                    let again = proof.transmit.clone();
                    self.send(again, now);
                }
                _ => self.knock(now),
            }
        }
    }

    /// Takes a datagram that came in, and says whether it belongs to the handshake; one that does not is the game's.
    pub fn handle(&mut self, now: Duration, from: SocketAddr, datagram: &[u8]) -> bool {
        let Some(kind) = Kind::of(datagram) else { return false };
        let listed = self.addresses.iter().any(|address| canonical(*address) == canonical(from));
        if self.state.is_open() && listed {
            match kind {
                Kind::Challenge => self.challenged(now, from, datagram),
                Kind::Accept | Kind::Refuse => self.answered(from, datagram),
                Kind::Hello | Kind::Proof => {}
            }
        }
        true
    }

    fn challenged(&mut self, now: Duration, from: SocketAddr, datagram: &[u8]) {
        let challenge = Challenge::read(datagram).filter(|challenge| challenge.nonce == self.nonce);
        let (JoinState::Knocking, Some(challenge)) = (&self.state, challenge) else {
            return;
        };
        let mut transmit = Transmit { to: from, datagram: RequestBuf::new() };
        challenge.answer(&self.token, &self.proof_key, &mut transmit.datagram);
        self.state = JoinState::Proving;
        self.retry_after = RETRY_FIRST;
        self.proof = Some(SentProof {
            transmit: transmit.clone(),
            server_time_us: challenge.server_time_us,
            repeat_until: now.saturating_add(PROVE_FOR),
        });
        self.send(transmit, now);
    }

    /// Only the answer to the last proof counts: an earlier one may have been overtaken by a reconnect.
    fn answered(&mut self, server: SocketAddr, datagram: &[u8]) {
        let Some(proved_us) = self.proof.as_ref().map(|proof| proof.server_time_us) else {
            return;
        };
        let is_mine = |nonce, server_time_us| nonce == self.nonce && server_time_us == proved_us;
        let accept = Accept::open(datagram, &self.server_key).filter(|a| is_mine(a.nonce, a.server_time_us));
        let refuse = Refuse::open(datagram, &self.server_key).filter(|r| is_mine(r.nonce, r.server_time_us));
        match (accept, refuse) {
            (Some(Accept { generation, .. }), _) => self.finish(JoinState::Accepted { generation, server }),
            (_, Some(Refuse { code, .. })) => self.finish(JoinState::Refused(code)),
            (None, None) => {}
        }
    }

    fn knock(&mut self, now: Duration) {
        let mut datagram = RequestBuf::new();
        Hello { nonce: self.nonce, token: &self.token }.write(&mut datagram);
        let to = self.addresses[self.knocks % self.addresses.len()];
        self.knocks = self.knocks.wrapping_add(1);
        self.state = JoinState::Knocking;
        self.send(Transmit { to, datagram }, now);
    }

    fn send(&mut self, transmit: Transmit, now: Duration) {
        self.outgoing = Some(transmit);
        self.retry_at = now.saturating_add(self.retry_after);
        self.retry_after = (self.retry_after * 2).min(RETRY_MAX);
    }

    fn finish(&mut self, state: JoinState) {
        self.state = state;
        self.outgoing = None;
    }
}

/// Shows how far it has come, and neither token nor keys.
impl fmt::Debug for Joiner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            JoinState::Knocking => "Joiner(knocking)",
            JoinState::Proving => "Joiner(proving)",
            JoinState::Accepted { .. } => "Joiner(accepted)",
            JoinState::Refused(_) => "Joiner(refused)",
            JoinState::TimedOut => "Joiner(timed out)",
        })
    }
}

/// A socket for both families shows an IPv4 peer as an IPv6 address that contains it.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
