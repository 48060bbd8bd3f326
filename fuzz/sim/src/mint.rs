//! Tickets as the coordinator's shell makes them: signed and tagged for real.

use playgate_core::TicketOrder;
use playgate_protocol::{Blob, List, Secret32, ServerProcessId, Ticket};
use playgate_token::{Claims, GateRoot, HolderRoot, MasterKey, SigningKey, mint};

use crate::rng::Rng;

/// Signing keys a world may have in its life.
pub const KEYS: usize = 5;

/// What the key file holds: the same after every restart.
pub struct KeyFile {
    master: MasterKey,
    signing: Vec<SigningKey>,
    /// Keys that ever came into the file; the others come by rotation.
    pub made: usize,
    /// The first of them were withdrawn.
    pub withdrawn: usize,
}

impl KeyFile {
    /// Keys of a new world.
    #[must_use]
    pub fn new(rng: &mut Rng) -> Self {
        let signing = (0..KEYS).map(|_| SigningKey::from_seed(&rng.bytes())).collect();
        Self { master: MasterKey::from_bytes(rng.bytes()), signing, made: 1, withdrawn: 0 }
    }

    /// Key ids and public keys in the file.
    pub fn public_keys(&self) -> impl Iterator<Item = (u16, [u8; 32])> + '_ {
        let made = (1..).zip(self.signing.iter().take(self.made).map(SigningKey::public_key));
        made.skip(self.withdrawn)
    }

    /// Whether the private half of a key is in the file.
    #[must_use]
    pub fn holds(&self, key_id: u16) -> bool {
        (self.withdrawn + 1..=self.made).contains(&usize::from(key_id))
    }

    /// The roots a server gets inside TLS.
    #[must_use]
    pub fn roots(&self, process: &ServerProcessId) -> (GateRoot, HolderRoot) {
        (self.master.gate_root(process), self.master.holder_root(process))
    }

    /// What the agent hands to the process it launches.
    #[must_use]
    pub fn launch_credential(&self, process: &ServerProcessId) -> Secret32 {
        Secret32::from_bytes(*self.master.launch_credential(process).as_bytes())
    }

    /// Signs one ticket; `None` when its key was withdrawn.
    #[must_use]
    pub fn ticket(&self, order: &TicketOrder) -> Option<Ticket> {
        let row = &order.player_session;
        if !self.holds(row.key_id) {
            return None;
        }
        let claims = Claims {
            key_id: row.key_id,
            gate_epoch: row.gate_epoch,
            ordinal: row.ordinal,
            issued_at_ms: row.created_ms,
            expires_at_ms: row.expires_at_ms,
            game_session_id: row.game_session,
            server_process_id: order.process,
            player_session_id: row.id,
            player_id: row.player.as_str(),
            player_data: &row.data,
        };
        let (gate_root, holder_root) = self.roots(&order.process);
        let signing = &self.signing[usize::from(row.key_id) - 1];
        let token = mint(&claims, signing, &gate_root.gate_key(row.gate_epoch)).expect("the core checked its bounds");
        let holder_key = holder_root.holder_key(token.as_bytes()).expect("it was minted here");
        Some(Ticket {
            player_session: row.id,
            game_session: row.game_session,
            addresses: List::first_of(order.is_direct.then_some(order.address)),
            expires_at_ms: row.expires_at_ms,
            bearer: order.bearer,
            token: Blob::new(token.as_bytes()).expect("a token fits"),
            holder_key: Secret32::from_bytes(*holder_key.as_bytes()),
            relays: List::default(), // no fleet here has a relay
        })
    }
}
