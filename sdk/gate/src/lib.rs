//! Admission on the game server: who comes in, without asking anybody.
//!
//! ```text
//!                    coordinator
//!     Wanted, acks, time │ ▲ beats, reports
//!      apply, acked,     │ │ beat,
//!      resume, sync_clock│ │ next_batch
//!                      ┌─▼─┴─────────────────────────────────────────┐
//!   datagrams  handle  │ Gate                                        │  poll_event   StartSession, EndSession,
//!   ─────────────────► │  handshake ─► ordinals, slots ─► reports    ├─────────────► Terminate, PlayerLeft
//!   ◄───────────────── │  (tokens)     (who is in)        (numbered) │
//!     Verdict, reply   └─▲───────────────────────────────────────────┘
//!                        │ ready, activate, disconnected, leave, end_session, ending
//!                      the game
//! ```
//! A [`Gate`] is a value: it waits for nothing, opens no socket, and time comes in with every call, on a monotonic
//! clock whose start does not matter. The game keeps its own UDP socket and shows the gate what comes in; whatever is
//! not of the handshake is the game's, told by four bytes.
//!
//! # What does it promise?
//! - **Never oversold.** No more than `max_players` are in, whatever tokens there are. What a beat calls its *floor* is
//!   kept: no token that expires at or before it gets in from then on, and whoever got in before is in a report up to
//!   `through_seq`. So the coordinator can sell a slot again without asking.
//! - **Once.** What became of an ordinal is kept until its game session ends, in two bits, and never evicted. Whoever
//!   left, was absent for too long or was revoked does not come in again with the same token.
//! - **The holder only.** A token that was seen on the wire is of no use, nor is a PROOF: it is good for one source
//!   address and ten seconds, and only a later one lets its player in again.
//! - **Cheap to refuse.** Refusals take no memory; junk costs about as much as receiving it, and signatures are checked
//!   at a limited rate, of holders only. No reply is longer than the datagram it answers.
//! - **Exactly once.** Reports are numbered, and kept until acknowledged. What waits coalesces to one record for each
//!   player session, so a coordinator that is away costs no more memory than there are players.
//!
//! # How does a game server use it?
//! ```
//! use std::time::Duration;
//! use playgate_gate::{Gate, GateConfig, GateEvent, ReplyBuf, Verdict};
//! # use playgate_protocol::server::{AdmissionPolicy, VerifyingKey, Wanted, WantedSession};
//! # use playgate_protocol::handshake::{Joiner, JoinState};
//! # use playgate_protocol::{Blob, List, Name, Secret32, Ticket};
//! # use playgate_token::{mint, Claims, GameSessionId, MasterKey, PlayerSessionId, ServerProcessId, SigningKey};
//! # let (process, session) = (ServerProcessId::from_bytes([1; 16]), GameSessionId::from_bytes([2; 16]));
//! # let (master, signing_key) = (MasterKey::from_bytes([3; 32]), SigningKey::from_seed(&[4; 32]));
//! # let (gate_root, holder_root) = (master.gate_root(&process), master.holder_root(&process));
//! # let policy = AdmissionPolicy { rejoin_grace_ms: 60_000, bearer: false, tell_reason: false };
//! # let wanted = Wanted {
//! #     version: 1, gate_epoch: 1, min_epoch: 1, terminate_by_ms: None,
//! #     keys: List::first_of([VerifyingKey { key_id: 1, public_key: signing_key.public_key() }]),
//! #     session: Some(WantedSession {
//! #         id: session, attempt: 1, name: Name::lossy("match"), max_players: 8, properties: List::default(),
//! #         data: Blob::default(), policy, revoked: List::default(), end_by_ms: None,
//! #     }),
//! # };
//! # let claims = Claims {
//! #     key_id: 1, gate_epoch: 1, ordinal: 0, issued_at_ms: 1_000_000, expires_at_ms: 1_060_000,
//! #     game_session_id: session, server_process_id: process, player_session_id: PlayerSessionId::from_bytes([5; 16]),
//! #     player_id: "ada", player_data: b"",
//! # };
//! # let token = mint(&claims, &signing_key, &gate_root.gate_key(1))?;
//! # let ticket = Ticket {
//! #     player_session: claims.player_session_id, game_session: session, expires_at_ms: claims.expires_at_ms,
//! #     addresses: List::first_of(["127.0.0.1:7000".parse()?]), bearer: false, token: Blob::new(token.as_bytes())?,
//! #     holder_key: Secret32::from_bytes(*holder_root.holder_key(token.as_bytes())?.as_bytes()),
//! #     relays: List::default(),
//! # };
//! # let now = Duration::from_secs(1);
//! # let player_address = "127.0.0.1:9000".parse()?;
//! // Random bytes from the operating system, and the roots that the coordinator gave inside TLS.
//! let mut gate = Gate::new(GateConfig { process, gate_root, holder_root, secret_seed: [7; 32] }, now);
//! gate.sync_clock(now, 1_000_000);
//! gate.ready(now, &[7_000]);
//!
//! // The coordinator says what it wants; the game loads it.
//! gate.apply(now, wanted);
//! while let Some(event) = gate.poll_event() {
//!     if let GateEvent::StartSession(session) = event {
//!         gate.activate(now)?;
//!     }
//! }
//!
//! // Datagrams come in on the game's socket. Here a player joins with his ticket.
//! let mut joiner = Joiner::new(&ticket, [8; 16], Duration::from_secs(10), now)?;
//! let mut reply = ReplyBuf::new();
//! while let Some(transmit) = joiner.poll_transmit() {
//!     match gate.handle(now, player_address, transmit.datagram.as_slice(), &mut reply) {
//!         Verdict::NotOurs => { /* game traffic */ }
//!         Verdict::Reply => { /* send the reply */ }
//!         Verdict::Admitted(admission) => assert_eq!(admission.player, "ada"), // and send the reply
//!         Verdict::Refused(_) => { /* send the reply if there is one */ }
//!     }
//!     joiner.handle(now, transmit.to, reply.as_slice());
//! }
//! assert!(matches!(joiner.state(), JoinState::Accepted { generation: 1, .. }));
//!
//! // Every second, and when something happened: the coordinator hears of it.
//! assert_eq!(gate.beat(now, true).players, 1);
//! while let Some(batch) = gate.next_batch() { /* send it; then gate.acked(..) */ }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod admit;
mod challenge;
mod clock;
mod event;
mod gate;
pub mod limits;
mod link;
mod ordinals;
mod refuse;
mod report;
mod session;
mod wanted;

pub use event::{ActivateError, Admission, Counters, GateEvent, Verdict};
pub use gate::{Gate, GateConfig};
pub use playgate_protocol::handshake::ReplyBuf;
pub use refuse::RefuseReason;
