//! The UDP handshake, from both ends.

use std::net::SocketAddr;
use std::time::Duration;

use playgate_gate::{Gate, GateConfig, ReplyBuf, Verdict};
use playgate_protocol::handshake::{JoinState, Joiner};
use playgate_protocol::server::{AdmissionPolicy, VerifyingKey, Wanted, WantedSession};
use playgate_protocol::{Blob, GameSessionId, List, Name, PlayerSessionId, Secret32, ServerProcessId, Ticket};
use playgate_token::{Claims, MasterKey, SigningKey, mint};

const START_MS: u64 = 1_750_000_000_000;
const NOW: Duration = Duration::from_secs(1_000);
const PROCESS: ServerProcessId = ServerProcessId::from_bytes([0x50; 16]);
const SESSION: GameSessionId = GameSessionId::from_bytes([0x60; 16]);
const REQUESTS_MAX: usize = 32;

fn master() -> MasterKey {
    MasterKey::from_bytes([3; 32])
}

fn signing_key() -> SigningKey {
    SigningKey::from_seed(&[4; 32])
}

fn gate() -> Gate {
    let config = GateConfig {
        process: PROCESS,
        gate_root: master().gate_root(&PROCESS),
        holder_root: master().holder_root(&PROCESS),
        secret_seed: [9; 32],
    };
    let mut gate = Gate::new(config, NOW);
    gate.sync_clock(NOW, START_MS);
    gate.apply(
        NOW,
        Wanted {
            version: 1,
            keys: List::first_of([VerifyingKey { key_id: 1, public_key: signing_key().public_key() }]),
            gate_epoch: 1,
            min_epoch: 1,
            session: Some(WantedSession {
                id: SESSION,
                attempt: 1,
                name: Name::default(),
                max_players: 2,
                properties: List::default(),
                data: Blob::default(),
                policy: AdmissionPolicy { rejoin_grace_ms: 10_000, bearer: false, tell_reason: true },
                revoked: List::default(),
                end_by_ms: None,
            }),
            terminate_by_ms: None,
        },
    );
    gate.poll_event();
    gate.activate(NOW).expect("the session is wanted");
    gate
}

fn ticket() -> Ticket {
    let claims = Claims {
        key_id: 1,
        gate_epoch: 1,
        ordinal: 0,
        issued_at_ms: START_MS,
        expires_at_ms: START_MS + 60_000,
        game_session_id: SESSION,
        server_process_id: PROCESS,
        player_session_id: PlayerSessionId::from_bytes([0x70; 16]),
        player_id: "p",
        player_data: b"",
    };
    let token = mint(&claims, &signing_key(), &master().gate_root(&PROCESS).gate_key(1)).expect("the claims are right");
    let holder_key = master().holder_root(&PROCESS).holder_key(token.as_bytes()).expect("minted here");
    Ticket {
        player_session: claims.player_session_id,
        game_session: SESSION,
        addresses: List::first_of([address(1)]),
        expires_at_ms: claims.expires_at_ms,
        bearer: false,
        token: Blob::new(token.as_bytes()).expect("a token is short"),
        holder_key: Secret32::from_bytes(*holder_key.as_bytes()),
        relays: List::default(),
    }
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, last], 40_000))
}

/// Splits the bytes into datagrams: one byte says what to do with the next ones, two how many they are.
pub(crate) fn parts(mut data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = data.split_first_chunk::<3>()?;
        let len = usize::from(u16::from_le_bytes([head[1], head[2]]) % 1_300).min(rest.len());
        let (part, behind) = rest.split_at(len);
        data = behind;
        Some((head[0], part))
    })
    .take(REQUESTS_MAX)
}

/// Datagrams to a gate that hosts a session: raw, and real ones with the bytes laid over them. The holder's key is not
/// among what the attacker has, so nobody is ever let in.
pub fn handshake(data: &[u8]) {
    let mut gate = gate();
    let ticket = ticket();
    let mut attacker =
        Joiner::new(&forged(&ticket), [7; 16], Duration::from_secs(60), NOW).expect("its address is there");
    let mut now = NOW;
    for (how, part) in parts(data) {
        now += Duration::from_millis(u64::from(how) * 8);
        let mut datagram = match how % 4 {
            0 => part.to_vec(),
            // A token seen on the wire, anything around it.
            1 => [&b"PG1H"[..], part.get(..16).unwrap_or(&[0; 16]), &ticket.token].concat(),
            _ => {
                attacker.handle_timeout(now);
                attacker.poll_transmit().map(|transmit| transmit.datagram.as_slice().to_vec()).unwrap_or_default()
            }
        };
        if how % 4 == 3 {
            for (byte, over) in datagram.iter_mut().zip(part) {
                *byte ^= over;
            }
        }
        let mut reply = ReplyBuf::new();
        let from = address(how % 3);
        let verdict = gate.handle(now, from, &datagram, &mut reply);
        assert!(!matches!(verdict, Verdict::Admitted(_)), "admitted without the holder key");
        assert!(reply.as_slice().len() <= datagram.len(), "a reply is larger than its request");
        attacker.handle(now, address(1), reply.as_slice());
    }
    assert_eq!(gate.active_players(), 0);
}

/// The token is the real one, the key is not.
fn forged(ticket: &Ticket) -> Ticket {
    Ticket { holder_key: Secret32::from_bytes([0; 32]), ..ticket.clone() }
}

/// Datagrams to a player who joins: he is let in by the server's word only, which needs the server's key.
pub fn joiner(data: &[u8]) {
    let mut joiner = Joiner::new(&ticket(), [7; 16], Duration::from_secs(60), NOW).expect("its address is there");
    let mut now = NOW;
    for (how, part) in parts(data) {
        now += Duration::from_millis(u64::from(how) * 8);
        while joiner.poll_transmit().is_some() {}
        joiner.handle(now, address(how % 2), part);
        joiner.handle_timeout(now);
        let state = joiner.state();
        assert!(!matches!(state, JoinState::Accepted { .. } | JoinState::Refused(_)), "believed a stranger");
    }
}
