//! Two faults in one token: it is refused for the one that is checked first.

use super::forge::{Draft, MAIN, STRANGERS_SEED, key_pair, signer, tag};
use super::{ACCEPT, Table};
use crate::spec;
use crate::support::{KEY_ID, NOW_MS, at, put};

/// How a coordinator that errs brings a fault into a token before it is signed.
type Fault = (&'static str, fn(&mut [u8]));

/// In the order of PROTOCOL.md.
const FAULTS: [Fault; 14] = [
    ("magic", |token| put(token, 0, b"PGT2")),
    ("wrong_process", |token| token[at::SERVER_PROCESS_ID + 15] ^= 2),
    ("unknown_epoch", |token| put(token, at::GATE_EPOCH, &8u16.to_le_bytes())),
    ("gate_tag", |_| ()), // broken when everything else is done
    ("flags", |token| token[at::FLAGS] = 3),
    ("player_id_length", |token| token[at::PLAYER_ID_LEN] = 200),
    ("player_data_length", |token| put(token, at::PLAYER_DATA_LEN, &300u16.to_le_bytes())),
    ("total_length", |token| token[at::PLAYER_DATA_LEN] = 30),
    ("player_id_text", |token| token[at::PLAYER_ID] = 0xfe),
    ("lifetime", |token| put(token, at::ISSUED_AT_MS, &(1u64 << 60).to_le_bytes())),
    ("expired", |token| put(token, at::EXPIRES_AT_MS, &NOW_MS.to_le_bytes())),
    ("wrong_session", |token| token[at::GAME_SESSION_ID] ^= 2),
    ("unknown_key", |token| put(token, at::KEY_ID, &3u16.to_le_bytes())),
    ("signature", |_| ()), // signed by a key of nobody
];

pub fn add(table: &mut Table) {
    let mut case = |name: String, expect: &str, token: &[u8]| {
        table.token("order", name, (MAIN, NOW_MS), expect, token);
    };
    case("no fault".to_owned(), ACCEPT, &with_faults(&[]));
    for (first, (reason, _)) in FAULTS.iter().enumerate() {
        case(format!("{reason} alone"), reason, &with_faults(&[first]));
        for (second, (other, _)) in FAULTS.iter().enumerate().skip(first + 1) {
            // Data that is too long by its header is always longer than it is.
            if (*reason, *other) == ("player_data_length", "total_length") {
                continue;
            }
            case(format!("{reason} before {other}"), reason, &with_faults(&[first, second]));
        }
    }
    case("everything at once".to_owned(), "magic", &with_faults(&(0..FAULTS.len()).collect::<Vec<_>>()));
    case("everything at once, and too long".to_owned(), "length", &[0xff; 545]);
    // R of small order is found before S, but behind the key.
    let mut token = with_faults(&[]);
    let place = token.len() - spec::SEAL_LEN;
    token[place..place + 64].fill(0xff);
    put(&mut token, place, &[[1].as_slice(), &[0; 31]].concat());
    tag(&mut token);
    case("small_order before signature".to_owned(), "small_order", &token);
    put(&mut token, at::KEY_ID, &3u16.to_le_bytes());
    tag(&mut token);
    case("unknown_key before small_order".to_owned(), "unknown_key", &token);
}

fn with_faults(faults: &[usize]) -> Vec<u8> {
    let has = |reason| faults.iter().any(|fault| FAULTS[*fault].0 == reason);
    let mut token = Draft::new(900).bare();
    // Those that write the same field are applied last first, so that what is found first is there.
    faults.iter().rev().for_each(|fault| FAULTS[*fault].1(&mut token));
    let signer = if has("signature") { key_pair(&STRANGERS_SEED) } else { signer(KEY_ID) };
    spec::sign(&mut token, &signer);
    tag(&mut token);
    if has("gate_tag") {
        *token.last_mut().unwrap() ^= 1;
    }
    token
}
