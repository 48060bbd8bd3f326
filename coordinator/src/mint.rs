//! Secrets made on demand: tokens and tickets, the roots a server gets, the credential of a launch.

use std::sync::Arc;

use playgate_core::{RelayOrder, TicketOrder};
use playgate_protocol::api::{CallError, ErrorCode};
use playgate_protocol::relay::{FlowKey, NumberedSecret, PassClaims, RelaySecret};
use playgate_protocol::{Blob, Detail, List, RelayId, RelayPass, Secret32, ServerProcessId, Ticket};
use playgate_token::{Claims, MasterKey, SigningKey, mint};

/// Holds the master key and the private signing keys; everything else is derived from them, so that it is the same
/// after a restart. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Minter(Arc<Keys>);

#[derive(Debug)]
struct Keys {
    master: MasterKey,
    signing: Vec<(u16, SigningKey)>,
}

impl Minter {
    /// From the key file.
    #[must_use]
    pub fn new(master: MasterKey, signing: Vec<(u16, SigningKey)>) -> Self {
        Self(Arc::new(Keys { master, signing }))
    }

    /// Root of the gate keys of one process.
    #[must_use]
    pub fn gate_root(&self, process: &ServerProcessId) -> Secret32 {
        Secret32::from_bytes(*self.0.master.gate_root(process).as_bytes())
    }

    /// Root of the holder keys of one process.
    #[must_use]
    pub fn holder_root(&self, process: &ServerProcessId) -> Secret32 {
        Secret32::from_bytes(*self.0.master.holder_root(process).as_bytes())
    }

    /// What the agent hands to the process it launches.
    #[must_use]
    pub fn launch_credential(&self, process: &ServerProcessId) -> Secret32 {
        Secret32::from_bytes(*self.0.master.launch_credential(process).as_bytes())
    }

    /// Signs one ticket: always the same bytes for the same order. About one Ed25519 signature.
    ///
    /// # Errors
    /// A [`CallError`] when the key it was reserved under has been withdrawn.
    pub fn ticket(&self, order: &TicketOrder) -> Result<Ticket, CallError> {
        let row = &order.player_session;
        let failed = |detail: &str| CallError {
            code: ErrorCode::PlayerSessionOver,
            detail: Detail::lossy(detail),
            retry_after_ms: 0,
        };
        let signing = self.0.signing.iter().find(|(id, _)| *id == row.key_id).map(|(_, key)| key);
        let signing = signing.ok_or_else(|| failed("the key that signed this ticket was withdrawn; reserve anew"))?;
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
        let gate_key = self.0.master.gate_root(&order.process).gate_key(row.gate_epoch);
        let token = mint(&claims, signing, &gate_key).expect("the core checked every bound of a reservation");
        let holder_key = self.0.master.holder_root(&order.process).holder_key(token.as_bytes());
        let holder_key = holder_key.expect("the token was minted here");
        let direct = order.is_direct.then_some(order.address);
        Ok(Ticket {
            player_session: row.id,
            game_session: row.game_session,
            addresses: List::first_of(direct),
            expires_at_ms: row.expires_at_ms,
            bearer: order.bearer,
            token: Blob::new(token.as_bytes()).expect("a token is at most TOKEN_BYTES_MAX"),
            holder_key: Secret32::from_bytes(*holder_key.as_bytes()),
            relays: List::first_of(order.relay.as_ref().map(|relay| self.relay_pass(order, relay))),
        })
    }

    /// One of the two secrets of a relay that are in use.
    #[must_use]
    pub fn relay_secret(&self, relay: &RelayId, number: u32) -> NumberedSecret {
        let key = self.0.master.relay_key(relay, number);
        NumberedSecret { number, secret: Secret32::from_bytes(*key.as_bytes()) }
    }

    fn relay_pass(&self, order: &TicketOrder, relay: &RelayOrder) -> RelayPass {
        let flow_key = *self.0.master.flow_key(&relay.relay, &order.player_session.id).as_bytes();
        let claims = PassClaims {
            player_session: order.player_session.id,
            process: order.process,
            server: order.address,
            use_by_ms: relay.use_by_ms,
            valid_until_ms: relay.valid_until_ms,
            packets_per_second: relay.packets_per_second,
            bytes_per_second: relay.bytes_per_second,
            flow_key: FlowKey::from_bytes(flow_key),
        };
        let secret = RelaySecret::new(relay.secret, *self.0.master.relay_key(&relay.relay, relay.secret).as_bytes());
        let pass = secret.seal_for(b"playgate v1 ticket's pass", &claims, &[]);
        RelayPass {
            addresses: relay.addresses.clone(),
            pass: Blob::new(pass.0).expect("a pass is PASS_BYTES long"),
            flow_key: Secret32::from_bytes(flow_key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minter_and_what_it_makes_show_no_key() {
        let process = ServerProcessId::from_bytes([1; 16]);
        let signing = vec![(7, SigningKey::from_seed(&[0xd7; 32]))];
        let minter = Minter::new(MasterKey::from_bytes([0xd8; 32]), signing);
        let keys = [minter.gate_root(&process), minter.holder_root(&process), minter.launch_credential(&process)];
        let shown = format!("{minter:?} {keys:?}");
        assert!(shown.contains("MasterKey(…)") && shown.contains("SigningKey(…)"), "{shown}");
        let secrets = keys.iter().map(|key| *key.reveal()).chain([[0xd7; 32], [0xd8; 32]]);
        for secret in secrets {
            let hex: String = secret[..4].iter().map(|byte| format!("{byte:02x}")).collect();
            let list = format!("{:?}", &secret[..4]);
            assert!(!shown.contains(&hex) && !shown.contains(list.trim_matches(['[', ']'])), "{shown}");
        }
    }
}
