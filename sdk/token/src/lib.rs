//! The player-session token of Playgate: bytes to claims, sign and verify.
//!
//! A coordinator mints a token for each player session, the player presents it to the game server, and the server
//! decides on its own, without asking anybody, whether the player may join. The crate is pure: no clock, no I/O, no
//! randomness, no allocation.
//!
//! ```text
//!   0     4      6       8      9        10      12      16        24         32             48             64              80
//!   +-----+------+-------+------+--------+-------+-------+---------+----------+--------------+--------------+---------------+
//!   |PGT1 |key id| gate  |flags |player  |player |ordinal|issued at|expires at| game session | server       | player session|
//!   |     |      | epoch | 0    |id len  |data   |       |   ms    |    ms    |      id      | process id   |       id      |
//!   |     | u16  |  u16  | u8   | u8     |len u16|  u32  |   u64   |   u64    |      16      |      16      |       16      |
//!   +-----+------+-------+------+--------+-------+-------+---------+----------+--------------+--------------+---------------+
//!   +--------------------+---------------------+---------------------------------+----------------------------------+
//!   | player id, 1..=128 | player data, 0..=256| Ed25519 signature, 64           | gate tag, SipHash-2-4-128, 16    |
//!   | UTF-8              | opaque              | over domain and all before it   | over all before it               |
//!   +--------------------+---------------------+---------------------------------+----------------------------------+
//! ```
//! Integers are little-endian. There is exactly one encoding of given claims: 161 to 544 bytes.
//!
//! | part | says | made with | checked with | costs |
//! |---|---|---|---|---|
//! | gate tag | this was made for this process | [`GateKey`], coordinator and this process | the same | 0.1 µs |
//! | signature | the coordinator made it | [`SigningKey`], coordinator only | [`PublicKeySet`] | 50 µs |
//! | [`HolderKey`] | the sender is whom it was made for | [`HolderRoot`], coordinator and this process | the same | 1 µs |
//!
//! The token is public; the holder key is not part of it. `PROTOCOL.md` in the repository specifies both, and
//! `vectors/pgt1.json` and `vectors/hostile.json` hold any implementation to it.
//!
//! # How does a token get from the coordinator to the server?
//! ```
//! use playgate_token::*;
//!
//! // The coordinator: one signing key, one master key.
//! let signing_key = SigningKey::from_seed(&[1; 32]);
//! let master = MasterKey::from_bytes([2; 32]);
//!
//! // A server process registers. Inside TLS it is given its two roots and the public keys.
//! let process = ServerProcessId::from_parts(0, 1_750_000_000_000, [3; 9]);
//! let game_session = GameSessionId::from_parts(0, 1_750_000_001_000, [4; 9]);
//! let holder_root = master.holder_root(&process);
//! let gate_keys = GateKeys::new(&master.gate_root(&process), 0, 7);
//! let key_set = PublicKeySet::new(&[(1, signing_key.public_key())])?;
//!
//! // A player is reserved a place. The coordinator mints, and hands out token and holder key.
//! let claims = Claims {
//!     key_id: 1,
//!     gate_epoch: 7,
//!     ordinal: 0,
//!     issued_at_ms: 1_750_000_002_000,
//!     expires_at_ms: 1_750_000_062_000,
//!     game_session_id: game_session,
//!     server_process_id: process,
//!     player_session_id: PlayerSessionId::from_parts(0, 1_750_000_002_000, [5; 9]),
//!     player_id: "player-4711",
//!     player_data: b"team=red",
//! };
//! let token = mint(&claims, &signing_key, &master.gate_root(&process).gate_key(7))?;
//! let holder_key = master.holder_root(&process).holder_key(token.as_bytes())?;
//!
//! // The player sends the token. The server decides on its own and derives the same holder key.
//! let audience = Audience { process, game_session, gate_keys: &gate_keys, key_set: &key_set };
//! let accepted = accept(token.as_bytes(), &audience, 1_750_000_003_000)?;
//! assert_eq!(accepted, claims);
//! assert_eq!(holder_root.holder_key(token.as_bytes())?.as_bytes(), holder_key.as_bytes());
//!
//! // A minute later it is over.
//! assert_eq!(accept(token.as_bytes(), &audience, 1_750_000_062_000), Err(Reject::Expired));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod ed25519;
pub mod id;
mod key_set;
mod keys;
mod layout;
pub mod limits;
mod mint;
mod reject;
mod token;
mod verify;

pub use ed25519::{SigningKey, VerifyingKey};
pub use id::{GameSessionId, HostId, ParseIdError, PlayerSessionId, RelayId, ServerProcessId};
pub use key_set::{KeySetError, PublicKeySet};
pub use keys::{
    FlowKey, GateKey, GateKeys, GateRoot, HolderKey, HolderRoot, LaunchCredential, MasterKey, ProofKey, RelayKey,
    ServerKey,
};
pub use layout::{Claims, MAGIC};
pub use mint::{MintError, mint};
pub use reject::Reject;
pub use token::{Token, token_hash};
pub use verify::{Audience, Screened, accept, parse, screen};
