//! The tokens of the scripts, made with nothing of the crates that are tested.

use data_encoding::HEXLOWER;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::format::{PublicKey, Server, Token};
use super::spec;

pub const START_MS: u64 = 1_750_000_000_000;
pub const SESSION: [u8; 16] = [0x60; 16];
pub const OTHER_SESSION: [u8; 16] = [0x61; 16];
pub const EPOCH: u16 = 5;
const MASTER: [u8; 32] = [2; 32];
const FIRST: [u8; 16] = [0x50; 16];
const NEXT: [u8; 16] = [0x51; 16];
/// Ordinals from here on are none.
pub const ORDINALS: u32 = 1 << 20;

pub fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

pub fn servers() -> Vec<Server> {
    [("first", FIRST), ("next", NEXT)]
        .map(|(name, process)| Server {
            name: name.to_owned(),
            process_id: hex(&process),
            gate_root: hex(&spec::gate_root(&MASTER, &process)),
            holder_root: hex(&spec::holder_root(&MASTER, &process)),
        })
        .to_vec()
}

/// Key n has the seed n, n, n …
pub fn public_key(key_id: u16, seed: u8) -> PublicKey {
    PublicKey { key_id, public_key: hex(key_pair(seed).public_key().as_ref()) }
}

fn key_pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

pub fn player_session(number: u32) -> [u8; 16] {
    let mut id = [0x70; 16];
    id[12..].copy_from_slice(&number.to_be_bytes());
    id
}

/// A token before it is sealed.
#[derive(Clone)]
struct Draft {
    name: &'static str,
    key_id: u16,
    epoch: u16,
    ordinal: u32,
    player: u32,
    issued_at_ms: u64,
    expires_at_ms: u64,
    session: [u8; 16],
    process: [u8; 16],
    signed_by: u8,
    /// Applied when all is sealed, and then tagged again.
    forge: fn(&mut [u8]),
    /// Applied behind the tag.
    spoil: fn(&mut Vec<u8>),
}

fn of(name: &'static str, player: u32) -> Draft {
    Draft {
        name,
        key_id: 1,
        epoch: EPOCH,
        ordinal: player,
        player,
        issued_at_ms: START_MS,
        expires_at_ms: START_MS + 60_000,
        session: SESSION,
        process: FIRST,
        signed_by: 1,
        forge: |_| (),
        spoil: |_| (),
    }
}

pub fn all() -> Vec<Token> {
    let hour = 3_600_000;
    let good = ["ann", "bob", "cid", "dan"].into_iter().zip(0..).map(|(name, player)| of(name, player));
    let others = [
        // The same ordinal, the same player session, or both, in another token.
        Draft { issued_at_ms: START_MS + 1, ..of("ann again", 0) },
        Draft { player: 1, ..of("bob under ann's ordinal", 0) },
        Draft { ordinal: 1, ..of("ann under bob's ordinal", 0) },
        Draft { expires_at_ms: START_MS + 5_000, ..of("ann, five seconds", 0) },
        Draft { expires_at_ms: START_MS + hour, ..of("ann, an hour", 0) },
        Draft { issued_at_ms: START_MS + hour, expires_at_ms: START_MS + 2 * hour, ..of("ann, from the future", 0) },
        Draft {
            issued_at_ms: START_MS + hour,
            expires_at_ms: START_MS + 2 * hour,
            signed_by: 9,
            ..of("eve, from the future", 5)
        },
        Draft { key_id: 2, signed_by: 2, ..of("bob, key 2", 1) },
        Draft { epoch: 6, ..of("bob, epoch 6", 1) },
        Draft { epoch: 4, ..of("bob, epoch 4", 1) },
        Draft { session: OTHER_SESSION, ..of("bob, other session", 1) },
        Draft { process: NEXT, ..of("ann, next process", 0) },
        Draft { ordinal: ORDINALS - 1, ..of("last ordinal", 6) },
        Draft { ordinal: ORDINALS, ..of("first ordinal that is none", 7) },
        Draft { ordinal: u32::MAX, ..of("greatest number for an ordinal", 8) },
        // What whoever has the gate root can make.
        Draft { signed_by: 9, ..of("signed by nobody", 5) },
        Draft { key_id: 9, signed_by: 9, ..of("signed by nobody, who says so", 5) },
        Draft { key_id: 9, signed_by: 9, expires_at_ms: START_MS + 5_000, ..of("signed by nobody, five seconds", 5) },
        Draft { forge: |token| token[12] ^= 1, ..of("ordinal changed", 5) },
        Draft { forge: |token| token[64] ^= 1, ..of("player session changed", 5) },
        Draft { forge: |token| token[24] ^= 1, ..of("expiry changed", 5) },
        Draft { forge: |token| small_r(token), ..of("R of small order", 5) },
        Draft { forge: |token| token[8] = 1, ..of("flag 0", 5) },
        Draft { forge: |token| token[9] = 0, ..of("player id of no length", 5) },
        Draft { forge: |token| token[11] = 2, ..of("player data of 512 bytes", 5) },
        Draft { forge: |token| token[9] += 1, ..of("lengths that do not add up", 5) },
        Draft { forge: |token| token[80] = 0xff, ..of("player id that is no text", 5) },
        Draft { expires_at_ms: START_MS, ..of("no lifetime", 5) },
        Draft { expires_at_ms: START_MS + hour + 1, ..of("an hour and a millisecond", 5) },
        // What anybody can make.
        Draft { spoil: |token| token[3] = b'2', ..of("PGT2", 5) },
        Draft { spoil: |token| *token.last_mut().unwrap() ^= 0x80, ..of("last bit of the tag", 5) },
        Draft { spoil: |token| token.push(0), ..of("a byte more", 5) },
        Draft { spoil: |token| token.truncate(160), ..of("160 bytes", 5) },
        Draft { spoil: |token| token.truncate(161), ..of("161 bytes", 5) },
        Draft { spoil: |token| token.resize(544, 0), ..of("544 bytes", 5) },
        Draft { spoil: |token| token.resize(545, 0), ..of("545 bytes", 5) },
        Draft { spoil: |token| token.resize(576, 0), ..of("576 bytes", 5) },
        Draft { spoil: |token| token.resize(577, 0), ..of("577 bytes", 5) },
    ];
    good.chain(others).map(Draft::seal).collect()
}

fn small_r(token: &mut [u8]) {
    let at = token.len() - spec::SEAL_LEN;
    token[at..at + 32].copy_from_slice(&spec::small_order_points()[0].1);
}

impl Draft {
    fn seal(self) -> Token {
        let (id, data) = (format!("player-{:04}", self.player), b"team=red");
        let mut token = b"PGT1".to_vec();
        token.extend(self.key_id.to_le_bytes());
        token.extend(self.epoch.to_le_bytes());
        token.extend([0, id.len() as u8, data.len() as u8, 0]);
        token.extend(self.ordinal.to_le_bytes());
        token.extend(self.issued_at_ms.to_le_bytes());
        token.extend(self.expires_at_ms.to_le_bytes());
        let player_session = player_session(self.player);
        token.extend([self.session, self.process, player_session].concat());
        token.extend(id.bytes().chain(*data));
        token.resize(token.len() + spec::SEAL_LEN, 0);
        spec::sign(&mut token, &key_pair(self.signed_by));
        (self.forge)(&mut token);
        spec::tag(&mut token, &spec::gate_key(&spec::gate_root(&MASTER, &self.process), self.epoch));
        (self.spoil)(&mut token);
        let holder_key = spec::holder_key(&spec::holder_root(&MASTER, &self.process), &token);
        Token {
            name: self.name.to_owned(),
            player_session_id: hex(&player_session),
            token: hex(&token),
            proof_key: hex(&spec::proof_key(&holder_key)),
            server_key: hex(&spec::server_key(&holder_key)),
        }
    }
}
