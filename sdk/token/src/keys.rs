//! The secret keys around a token, each derived from the one above it.
//!
//! ```text
//!  MasterKey ──process id──► GateRoot ───epoch──────► GateKey      tags tokens
//!      │
//!      ├───────process id──► LaunchCredential                   introduces the process to the coordinator
//!      ├───────relay id, number──► RelayKey                     seals the passes of one relay
//!      ├───────relay id, player session id──► FlowKey           shared by relay and player
//!      └───────process id──► HolderRoot ──token hash──► HolderKey ──► ProofKey    the player proves itself with it
//!                                                           └───────► ServerKey   the server answers with it
//! ```
//! Each arrow is HKDF-SHA256 with a salt of its own, so no key tells anything about its siblings or its parent, and
//! coordinator and server need not exchange more than the two roots. Every key is wiped when it is dropped, and none
//! shows its bytes in its `Debug` form.

use core::fmt;
use core::hint::black_box;

use ring::hkdf;
use siphasher::sip128::SipHasher24;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::id::{PlayerSessionId, RelayId, ServerProcessId};
use crate::layout::View;
use crate::limits::{GATE_TAG_LEN, MAX_GATE_EPOCHS};
use crate::reject::Reject;
use crate::token::sha256;

/// The HKDF salts. A label is never used for two purposes.
mod salt {
    pub const GATE_ROOT: &[u8] = b"playgate/v1/gate-root";
    pub const HOLDER_ROOT: &[u8] = b"playgate/v1/holder-root";
    pub const GATE: &[u8] = b"playgate/v1/gate";
    pub const HOLDER: &[u8] = b"playgate/v1/holder";
    pub const PROOF: &[u8] = b"playgate/v1/proof";
    pub const SERVER: &[u8] = b"playgate/v1/server";
    pub const LAUNCH: &[u8] = b"playgate/v1/launch";
    pub const RELAY: &[u8] = b"playgate/v1/relay";
    pub const FLOW: &[u8] = b"playgate/v1/flow";
}

macro_rules! secrets {
    ($($(#[$doc:meta])* $name:ident)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The key with these bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The secret bytes, for handing them over inside TLS or to a MAC.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )+};
}

secrets! {
    /// The root of one server process's gate keys. Coordinator and server process hold it.
    GateRoot
    /// The root of one server process's holder keys. Coordinator and server process hold it.
    HolderRoot
    /// What a launched server process presents to be bound to its identity. Coordinator, agent and process hold it.
    LaunchCredential
    /// Seals and opens the passes of one relay. Coordinator and relay hold it.
    RelayKey
    /// The key of one player's flow through one relay. The player gets it inside TLS, the relay in the pass.
    FlowKey
    /// The secret that belongs to one token. The coordinator hands it to the player inside TLS, the server derives it
    /// from the token; it never crosses the path between the two.
    HolderKey
    /// The key of the MAC by which a player proves to hold the holder key.
    ProofKey
    /// The key of the MAC by which the server proves to a player that an answer is its own.
    ServerKey
}

/// The secret from which the keys of every server process are derived. Only the coordinator holds it, in its key file.
#[derive(ZeroizeOnDrop)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// The master key with these bytes, which must come from a good source of randomness.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The root of the gate keys of `process`.
    pub fn gate_root(&self, process: &ServerProcessId) -> GateRoot {
        GateRoot(derive(salt::GATE_ROOT, &self.0, process.as_bytes()))
    }

    /// The root of the holder keys of `process`.
    pub fn holder_root(&self, process: &ServerProcessId) -> HolderRoot {
        HolderRoot(derive(salt::HOLDER_ROOT, &self.0, process.as_bytes()))
    }

    /// The credential with which `process` introduces itself.
    pub fn launch_credential(&self, process: &ServerProcessId) -> LaunchCredential {
        LaunchCredential(derive(salt::LAUNCH, &self.0, process.as_bytes()))
    }

    /// The key of this number of `relay`; the number rises with each rotation.
    pub fn relay_key(&self, relay: &RelayId, number: u32) -> RelayKey {
        let mut info = [0; 20];
        info[..16].copy_from_slice(relay.as_bytes());
        info[16..].copy_from_slice(&number.to_le_bytes());
        RelayKey(derive(salt::RELAY, &self.0, &info))
    }

    /// The key of the flow of `player_session` through `relay`.
    pub fn flow_key(&self, relay: &RelayId, player_session: &PlayerSessionId) -> FlowKey {
        let mut info = [0; 32];
        info[..16].copy_from_slice(relay.as_bytes());
        info[16..].copy_from_slice(player_session.as_bytes());
        FlowKey(derive(salt::FLOW, &self.0, &info))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl GateRoot {
    /// The gate key of one epoch.
    pub fn gate_key(&self, epoch: u16) -> GateKey {
        GateKey { key: derive(salt::GATE, &self.0, &epoch.to_le_bytes()), epoch }
    }
}

impl HolderRoot {
    /// The holder key of a token: the same wherever it is derived, within about 1 µs.
    ///
    /// It covers the token up to the end of its signature, so two tokens that differ in a single bit of it have
    /// nothing in common. It does not cover the gate tag.
    ///
    /// # Errors
    /// The reason why the bytes are not a token. That they are genuine is not checked.
    pub fn holder_key(&self, token: &[u8]) -> Result<HolderKey, Reject> {
        let token = View::with_magic(token)?;
        token.claims()?;
        Ok(HolderKey(derive(salt::HOLDER, &self.0, &sha256(token.tagged_part()))))
    }
}

impl HolderKey {
    /// The key for the player's proof.
    pub fn proof_key(&self) -> ProofKey {
        ProofKey(derive(salt::PROOF, &self.0, &[]))
    }

    /// The key for the server's answers.
    pub fn server_key(&self) -> ServerKey {
        ServerKey(derive(salt::SERVER, &self.0, &[]))
    }
}

/// The key of the gate tag for one server process and one epoch.
#[derive(Clone, ZeroizeOnDrop)]
pub struct GateKey {
    key: [u8; 16],
    #[zeroize(skip)]
    epoch: u16,
}

impl GateKey {
    /// The epoch it belongs to.
    pub fn epoch(&self) -> u16 {
        self.epoch
    }

    pub(crate) fn tag(&self, tagged_part: &[u8]) -> [u8; GATE_TAG_LEN] {
        SipHasher24::new_with_key(&self.key).hash(tagged_part).as_bytes()
    }

    /// Compares in a time that does not depend on where the tags differ.
    pub(crate) fn tag_matches(&self, tagged_part: &[u8], tag: &[u8; GATE_TAG_LEN]) -> bool {
        let difference = u128::from_le_bytes(self.tag(tagged_part)) ^ u128::from_le_bytes(*tag);
        black_box(difference) == 0
    }
}

impl fmt::Debug for GateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GateKey(epoch {}, …)", self.epoch)
    }
}

/// The gate keys that a server process accepts at one time: those of the current epoch and of the one before it.
///
/// Epochs are plain numbers from 0 to 65,535 that never wrap: there is no epoch after the last. A process that gets a
/// fresh epoch every hour reaches it after seven years; to go on, it is started again under another process id.
#[derive(Clone, Debug)]
pub struct GateKeys {
    keys: [Option<GateKey>; MAX_GATE_EPOCHS],
}

impl GateKeys {
    /// Derives the keys of `current_epoch` and its predecessor, leaving out those below `min_epoch`. A `min_epoch`
    /// above `current_epoch` leaves no key, and no token passes.
    pub fn new(root: &GateRoot, min_epoch: u16, current_epoch: u16) -> Self {
        let key = |epoch: Option<u16>| epoch.filter(|epoch| *epoch >= min_epoch).map(|epoch| root.gate_key(epoch));
        Self { keys: [key(Some(current_epoch)), key(current_epoch.checked_sub(1))] }
    }

    pub(crate) fn get(&self, epoch: u16) -> Option<&GateKey> {
        self.keys.iter().flatten().find(|key| key.epoch == epoch)
    }
}

/// HKDF-SHA256 (RFC 5869) with output of `N` bytes.
fn derive<const N: usize>(salt: &[u8], key: &[u8; 32], info: &[u8]) -> [u8; N] {
    struct Len(usize);
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }

    let mut output = [0; N];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(key)
        .expand(&[info], Len(N))
        .and_then(|okm| okm.fill(&mut output))
        .expect("HKDF refuses only outputs above 8,160 bytes");
    output
}
