//! Making the vectors: each hostile token by the least that somebody had to know to make it.

use playgate_token::*;

use super::*;
use crate::spec::{self, L, SEAL_LEN, small_order_points};
use crate::support::*;

pub fn make(world: &World) -> Vectors {
    let master = MasterKey::from_bytes(MASTER);
    assert_eq!(master.gate_root(&world.process).as_bytes(), world.gate_root.as_bytes());
    let signing_keys = [(KEY_ID, SEED, &world.signing_key), (OTHER_KEY_ID, OTHER_SEED, &world.other_signing_key)];
    Vectors {
        about: ABOUT.iter().map(|line| line.to_string()).collect(),
        coordinator: Coordinator {
            master_key: to_hex(&MASTER),
            signing_keys: signing_keys
                .iter()
                .map(|(key_id, seed, key)| SigningKeyPair {
                    key_id: *key_id,
                    seed: to_hex(seed),
                    public_key: to_hex(&key.public_key()),
                })
                .collect(),
        },
        server: make_server(world),
        accept: make_accepted(world),
        reject: make_rejected(world),
        reject_public_key: make_rejected_keys(),
    }
}

const ABOUT: [&str; 5] = [
    "Golden vectors of the player-session token PGT1; the protocol is PROTOCOL.md, \"Player-session token\".",
    "All strings of bytes are hex. The keys are test keys; never use them for anything else.",
    "server: check every token as this server, at now_ms, for this game session, with these keys.",
    "accept: the token verifies, says these claims, and gives these keys; the claims, minted, give this token.",
    "reject: the token is refused, for this reason. reject_public_key: a key set with this key is refused.",
];

fn make_server(world: &World) -> Server {
    let gate_root = world.gate_root.as_bytes();
    let gate_key = |epoch| EpochKey { epoch, key: to_hex(&spec::gate_key(gate_root, epoch)) };
    let public_key = |key_id, key: &SigningKey| PublicKey { key_id, public_key: to_hex(&key.public_key()) };
    Server {
        server_process_id: world.process,
        server_process_id_hex: to_hex(world.process.as_bytes()),
        game_session_id: world.game_session,
        game_session_id_hex: to_hex(world.game_session.as_bytes()),
        gate_root: to_hex(gate_root),
        holder_root: to_hex(world.holder_root.as_bytes()),
        min_epoch: MIN_EPOCH,
        current_epoch: CURRENT_EPOCH,
        gate_keys: vec![gate_key(MIN_EPOCH), gate_key(CURRENT_EPOCH)],
        public_keys: vec![public_key(KEY_ID, &world.signing_key), public_key(OTHER_KEY_ID, &world.other_signing_key)],
        now_ms: NOW_MS,
    }
}

fn make_accepted(world: &World) -> Vec<Accepted> {
    let typical = world.claims();
    let rows = [
        ("minimal", world.minimal_claims()),
        ("typical", typical),
        ("maximal", world.maximal_claims()),
        (
            "issued an hour after the server's now",
            Claims { issued_at_ms: NOW_MS + 3_600_000, expires_at_ms: NOW_MS + 3_660_000, ..typical },
        ),
        (
            "player id with NUL, a byte order mark and a decomposed accent",
            Claims { player_id: "\0\u{feff}e\u{301}", ..typical },
        ),
    ];
    rows.into_iter().map(|(name, claims)| accepted(world, name, &claims)).collect()
}

fn accepted(world: &World, name: &str, claims: &Claims<'_>) -> Accepted {
    let token = world.mint(claims);
    let holder_key = spec::holder_key(world.holder_root.as_bytes(), token.as_bytes());
    Accepted {
        name: name.to_owned(),
        claims: ClaimsText::from(claims),
        token: to_hex(token.as_bytes()),
        token_hash: to_hex(&spec::sha256(token.as_bytes())),
        holder_key: to_hex(&holder_key),
        proof_key: to_hex(&spec::proof_key(&holder_key)),
        server_key: to_hex(&spec::server_key(&holder_key)),
    }
}

/// A token, broken: by whom, decides which function of the table below made it.
struct Broken<'w> {
    world: &'w World,
    vectors: Vec<Rejected>,
}

impl Broken<'_> {
    fn add(&mut self, name: &str, reason: Reject, token: &[u8]) {
        self.vectors.push(Rejected { name: name.to_owned(), reason: reason.as_str().to_owned(), token: to_hex(token) });
    }

    /// Changed by somebody without any key.
    fn forged(&mut self, name: &str, reason: Reject, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut token = self.world.token();
        edit(&mut token);
        self.add(name, reason, &token);
    }

    /// Changed by somebody who knows the gate root.
    fn tagged(&mut self, name: &str, reason: Reject, edit: impl FnOnce(&mut Vec<u8>)) {
        let world = self.world;
        self.forged(name, reason, |token| {
            edit(token);
            world.tag(token);
        });
    }

    /// Changed before it was signed.
    fn sealed(&mut self, name: &str, reason: Reject, edit: impl FnOnce(&mut Vec<u8>)) {
        let world = self.world;
        self.forged(name, reason, |token| {
            edit(token);
            world.seal(token);
        });
    }

    /// With another signature and the right tag.
    fn signature(&mut self, name: &str, reason: Reject, edit: impl FnOnce(&mut [u8])) {
        self.tagged(name, reason, |token| {
            let place = token.len() - SEAL_LEN;
            edit(&mut token[place..place + 64]);
        });
    }
}

fn make_rejected(world: &World) -> Vec<Rejected> {
    let mut broken = Broken { world, vectors: Vec::new() };
    reject_from_outside(&mut broken);
    reject_by_tag(&mut broken);
    reject_by_structure(&mut broken);
    reject_by_content(&mut broken);
    reject_by_signature(&mut broken);
    broken.vectors
}

/// Refused before any key is used.
fn reject_from_outside(broken: &mut Broken<'_>) {
    broken.add("nothing", Reject::Length, b"");
    broken.add("magic alone", Reject::Length, b"PGT1");
    broken.forged("one byte shorter than the shortest", Reject::Length, |token| token.truncate(160));
    broken.forged("one byte longer than the longest", Reject::Length, |token| token.resize(545, 0));
    for magic in [b"PGT0", b"PGT2", b"pgt1", b"eyJh", b"v4.p"] {
        let name = format!("magic {}", String::from_utf8_lossy(magic));
        broken.sealed(&name, Reject::Magic, |token| put(token, 0, magic));
    }
    broken.sealed("for another server process", Reject::WrongProcess, |token| token[at::SERVER_PROCESS_ID + 15] ^= 1);
    broken.sealed("epoch below the window", Reject::UnknownEpoch, |token| token[at::GATE_EPOCH] = 5);
    broken.sealed("epoch above the window", Reject::UnknownEpoch, |token| token[at::GATE_EPOCH] = 8);
    broken.sealed("epoch 7 in big-endian", Reject::UnknownEpoch, |token| put(token, at::GATE_EPOCH, &[0, 7]));
}

fn reject_by_tag(broken: &mut Broken<'_>) {
    let world = broken.world;
    let gate_root = world.gate_root.as_bytes();
    broken.forged("first bit of the tag", Reject::GateTag, |token| {
        let place = token.len() - 16;
        token[place] ^= 1;
    });
    broken.forged("last bit of the tag", Reject::GateTag, |token| *token.last_mut().unwrap() ^= 0x80);
    broken.forged("tag all zero", Reject::GateTag, |token| {
        let place = token.len() - 16;
        token[place..].fill(0);
    });
    broken.forged("ordinal changed", Reject::GateTag, |token| token[at::ORDINAL] ^= 1);
    broken.forged("signature changed", Reject::GateTag, |token| {
        let place = token.len() - SEAL_LEN;
        token[place] ^= 1;
    });
    broken.forged("last byte cut off", Reject::GateTag, |token| token.truncate(token.len() - 1));
    broken.forged("one byte appended", Reject::GateTag, |token| token.push(0));
    broken.forged("tagged under the key of the other epoch", Reject::GateTag, |token| {
        spec::tag(token, &spec::gate_key(gate_root, MIN_EPOCH));
    });
    broken.forged("tagged under the gate root", Reject::GateTag, |token| {
        spec::tag(token, gate_root.first_chunk().unwrap());
    });
    broken.forged("tagged under the public key", Reject::GateTag, |token| {
        spec::tag(token, world.signing_key.public_key().first_chunk().unwrap());
    });
}

/// Sealed by a coordinator that errs, so that each is refused for its structure alone.
fn reject_by_structure(broken: &mut Broken<'_>) {
    for bit in 0..8 {
        broken.sealed(&format!("flag {bit}"), Reject::Flags, |token| token[at::FLAGS] = 1 << bit);
    }
    let data_len = |len: u16| move |token: &mut Vec<u8>| put(token, at::PLAYER_DATA_LEN, &len.to_le_bytes());
    broken.sealed("player id of 0 bytes", Reject::PlayerIdLength, |token| token[at::PLAYER_ID_LEN] = 0);
    broken.sealed("player id of 129 bytes", Reject::PlayerIdLength, |token| token[at::PLAYER_ID_LEN] = 129);
    broken.sealed("player data of 257 bytes", Reject::PlayerDataLength, data_len(257));
    broken.sealed("player data of 65535 bytes", Reject::PlayerDataLength, data_len(u16::MAX));
    broken.sealed("player data one byte longer than it is", Reject::TotalLength, data_len(33));
    broken.sealed("player data one byte shorter than it is", Reject::TotalLength, data_len(31));
    broken.sealed("player id one byte longer than it is", Reject::TotalLength, |token| token[at::PLAYER_ID_LEN] += 1);
    broken.sealed("one byte more before the signature", Reject::TotalLength, |token| token.push(0));
    for (name, bytes) in [
        ("player id with byte ff", &[0xff][..]),
        ("player id with an overlong NUL", &[0xc0, 0x80]),
        ("player id with a surrogate", &[0xed, 0xa0, 0x80]),
        ("player id above U+10FFFF", &[0xf4, 0x90, 0x80, 0x80]),
    ] {
        broken.sealed(name, Reject::PlayerIdText, |token| put(token, at::PLAYER_ID, bytes));
    }
    // The character is complete in the token, but its end belongs to the player data.
    broken.sealed("player id that ends inside a character", Reject::PlayerIdText, |token| {
        put(token, at::PLAYER_ID + 19, "é".as_bytes());
    });
}

/// Sealed by the coordinator, but not for this server at this time.
fn reject_by_content(broken: &mut Broken<'_>) {
    for (name, reason, issued_at_ms, expires_at_ms) in [
        ("expires when it is issued", Reject::Lifetime, NOW_MS, NOW_MS),
        ("expires before it is issued", Reject::Lifetime, NOW_MS + 2, NOW_MS + 1),
        ("lives 1 ms more than an hour", Reject::Lifetime, NOW_MS, NOW_MS + 3_600_001),
        ("lives as long as numbers go", Reject::Lifetime, 0, u64::MAX),
        ("ends at 0", Reject::Lifetime, u64::MAX, 0),
        ("times all zero", Reject::Lifetime, 0, 0),
        ("expires now", Reject::Expired, NOW_MS - 60_000, NOW_MS),
        ("expired in 1970", Reject::Expired, 0, 1),
    ] {
        broken.sealed(name, reason, |token| {
            put(token, at::ISSUED_AT_MS, &u64::to_le_bytes(issued_at_ms));
            put(token, at::EXPIRES_AT_MS, &u64::to_le_bytes(expires_at_ms));
        });
    }
    broken.sealed("for another game session", Reject::WrongSession, |token| token[at::GAME_SESSION_ID] ^= 1);
    for key_id in [0, 2, 256] {
        let name = format!("key id {key_id}, which is not in the set");
        broken.sealed(&name, Reject::UnknownKey, |token| put(token, at::KEY_ID, &u16::to_le_bytes(key_id)));
    }
}

fn reject_by_signature(broken: &mut Broken<'_>) {
    let world = broken.world;
    broken.signature("signature all zero", Reject::SmallOrder, |signature| signature.fill(0));
    for (name, bytes) in small_order_points() {
        broken.signature(&format!("R is {name}, S = 0"), Reject::SmallOrder, |signature| {
            signature[..32].copy_from_slice(&bytes);
            signature[32..].fill(0);
        });
    }
    broken.signature("signature all ones", Reject::Signature, |signature| signature.fill(0xff));
    broken.signature("S = 0", Reject::Signature, |signature| signature[32..].fill(0));
    broken.signature("S = L", Reject::Signature, |signature| signature[32..].copy_from_slice(&L));
    broken.signature("S = L - 1", Reject::Signature, |signature| {
        signature[32..].copy_from_slice(&L);
        signature[32] -= 1;
    });
    broken.signature("S + L", Reject::Signature, |signature| add(&mut signature[32..], &L));
    broken.signature("sign bit of R", Reject::Signature, |signature| signature[31] ^= 0x80);
    broken.signature("highest bit of S", Reject::Signature, |signature| signature[63] ^= 0x80);
    broken.tagged("ordinal changed, tagged again", Reject::Signature, |token| token[at::ORDINAL] ^= 1);
    broken.tagged("other key id in the set, tagged again", Reject::Signature, |token| {
        put(token, at::KEY_ID, &OTHER_KEY_ID.to_le_bytes());
    });
    broken.tagged("other epoch of the window, tagged again", Reject::Signature, |token| token[at::GATE_EPOCH] = 6);
    broken.tagged("last byte of the player id moved to the data", Reject::Signature, |token| {
        token[at::PLAYER_ID_LEN] -= 1;
        token[at::PLAYER_DATA_LEN] += 1;
    });
    broken.tagged("signature of another token", Reject::Signature, |token| {
        let other = world.mint(&Claims { ordinal: 43, ..world.claims() });
        let place = token.len() - SEAL_LEN;
        put(token, place, &other.as_bytes()[place..place + 64]);
    });
    for (name, domain) in [("no domain", &b""[..]), ("the domain of a version 2", b"playgate v2 player-session-token")]
    {
        broken.tagged(&format!("signed under {name}"), Reject::Signature, |token| {
            spec::sign_under(domain, token, &world.signer);
        });
    }
    broken.tagged("signed by another key than it names", Reject::Signature, |token| {
        spec::sign(token, &world.other_signer);
    });
}

fn make_rejected_keys() -> Vec<RejectedKey> {
    let small = small_order_points().into_iter().map(|(name, bytes)| (name.to_owned(), "small_order", bytes));
    let above_p = [0xef, 0xf0, 0xff].into_iter().flat_map(|low| {
        [0x7f, 0xff].map(|high| {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, high);
            (format!("y = p + {}, sign {}", low - 0xed, high >> 7), "non_canonical", bytes)
        })
    });
    small
        .chain(above_p)
        .map(|(name, reason, bytes)| RejectedKey { name, reason: reason.to_owned(), public_key: to_hex(&bytes) })
        .collect()
}

/// Adds two little-endian numbers.
fn add(number: &mut [u8], other: &[u8; 32]) {
    let mut carry = 0u16;
    for (byte, other) in number.iter_mut().zip(other) {
        carry += u16::from(*byte) + u16::from(*other);
        *byte = carry as u8;
        carry >>= 8;
    }
}
