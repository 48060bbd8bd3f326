//! Every field changed alone, by whoever has no key, by whoever has the gate key, and by the coordinator.

use super::forge::{Draft, MAIN, main_server, seal, tag};
use super::{ACCEPT, Table};
use crate::support::NOW_MS;

type Edit = (&'static str, fn(&mut [u8]));

const EDITS: [Edit; 4] = [
    ("lowest bit", |field| field[0] ^= 1),
    ("highest bit", |field| *field.last_mut().unwrap() ^= 0x80),
    ("all zero", |field| field.fill(0)),
    ("all ones", |field| field.fill(0xff)),
];

/// Name, offset, length; then for each of the edits what becomes of the token that is tagged again, and of the one that
/// is signed and tagged again. `SAME` is an edit that changes nothing, or what another one does.
type Field = (&'static str, usize, usize, [&'static str; 4], [&'static str; 4]);

const SAME: &str = "";
const ALL_ACCEPTED: [&str; 4] = [ACCEPT; 4];
const SIGNATURE: [&str; 4] = ["signature"; 4];

/// Signed by nobody, the changed claims fail at the signature, unless a check before it finds them.
const CLAIMS: [Field; 14] = [
    ("magic", 0, 4, ["magic"; 4], ["magic"; 4]),
    // Key ids 0, 32769, again 0, and 65535, which is in the set and then signs.
    ("key id", 4, 2, ["unknown_key", "unknown_key", SAME, "signature"], ["unknown_key", "unknown_key", SAME, ACCEPT]),
    // Epochs 6, which is in the window, 32775, 0 and 65535.
    (
        "gate epoch",
        6,
        2,
        ["signature", "unknown_epoch", "unknown_epoch", "unknown_epoch"],
        [ACCEPT, "unknown_epoch", "unknown_epoch", "unknown_epoch"],
    ),
    ("flags", 8, 1, ["flags", "flags", SAME, "flags"], ["flags", "flags", SAME, "flags"]),
    // 21, 148, 0 and 255 bytes.
    (
        "player id length",
        9,
        1,
        ["total_length", "player_id_length", "player_id_length", "player_id_length"],
        ["total_length", "player_id_length", "player_id_length", "player_id_length"],
    ),
    // 33, 32800, 0 and 65535 bytes.
    (
        "player data length",
        10,
        2,
        ["total_length", "player_data_length", "total_length", "player_data_length"],
        ["total_length", "player_data_length", "total_length", "player_data_length"],
    ),
    ("ordinal", 12, 4, SIGNATURE, ALL_ACCEPTED),
    // A millisecond later; far behind the expiry; 1970; behind the expiry.
    (
        "issued at",
        16,
        8,
        ["signature", "lifetime", "lifetime", "lifetime"],
        [ACCEPT, "lifetime", "lifetime", "lifetime"],
    ),
    (
        "expires at",
        24,
        8,
        ["signature", "lifetime", "lifetime", "lifetime"],
        [ACCEPT, "lifetime", "lifetime", "lifetime"],
    ),
    ("game session id", 32, 16, ["wrong_session"; 4], ["wrong_session"; 4]),
    ("server process id", 48, 16, ["wrong_process"; 4], ["wrong_process"; 4]),
    ("player session id", 64, 16, SIGNATURE, ALL_ACCEPTED),
    // "q…", "…ã" cut in its middle, twenty NULs, and no UTF-8 at all.
    (
        "player id",
        80,
        20,
        ["signature", "player_id_text", "signature", "player_id_text"],
        [ACCEPT, "player_id_text", ACCEPT, "player_id_text"],
    ),
    ("player data", 100, 32, SIGNATURE, ALL_ACCEPTED),
];

const R: (usize, [&str; 4]) = (132, ["signature", "signature", "small_order", "signature"]);
const S: (usize, [&str; 4]) = (164, SIGNATURE);
const TAG: usize = 196;

pub fn add(table: &mut Table) {
    table.server(main_server());
    let good = Draft::new(42).sealed();
    let mut case = |name: String, expect: &str, token: &[u8]| {
        table.token("field", name, (MAIN, NOW_MS), expect, token);
    };
    case("as the coordinator made it".to_owned(), ACCEPT, &good);
    for (field, offset, len, tagged, sealed) in CLAIMS {
        for (edit, (what, change)) in EDITS.iter().enumerate().filter(|(edit, _)| tagged[*edit] != SAME) {
            let mut token = good.clone();
            change(&mut token[offset..offset + len]);
            case(format!("{field}, {what}"), untagged(tagged[edit]), &token);
            tag(&mut token);
            case(format!("{field}, {what}, tagged again"), tagged[edit], &token);
            seal(&mut token);
            case(format!("{field}, {what}, signed and tagged again"), sealed[edit], &token);
        }
    }
    for (field, (offset, tagged)) in [("R of the signature", R), ("S of the signature", S)] {
        for (edit, (what, change)) in EDITS.iter().enumerate() {
            let mut token = good.clone();
            change(&mut token[offset..offset + 32]);
            case(format!("{field}, {what}"), "gate_tag", &token);
            tag(&mut token);
            case(format!("{field}, {what}, tagged again"), tagged[edit], &token);
        }
    }
    for (what, change) in EDITS {
        let mut token = good.clone();
        change(&mut token[TAG..]);
        case(format!("gate tag, {what}"), "gate_tag", &token);
    }
}

/// What becomes of the same token with the tag it had: checks 1 to 4 come before the tag, all others behind it.
fn untagged(tagged: &'static str) -> &'static str {
    match tagged {
        "magic" | "wrong_process" | "unknown_epoch" => tagged,
        _ => "gate_tag",
    }
}
