//! Every boundary of a length: of the bytes, of the two parts of variable length, and of what the header says of them.

use super::forge::{Draft, MAIN, seal, tag};
use super::{ACCEPT, Table};
use crate::support::{NOW_MS, at, put};

const ORDINAL: u32 = 100;

pub fn add(table: &mut Table) {
    cut_or_extended(table);
    bodies(table);
    lying_headers(table);
    version_and_flags(table);
    other_things(table);
}

fn case(table: &mut Table, name: String, expect: &str, token: &[u8]) {
    table.token("length", name, (MAIN, NOW_MS), expect, token);
}

/// Cut or filled up with zeros. What is long enough still begins like a token for this process, and its last 16 bytes
/// are no tag of what is before them.
fn cut_or_extended(table: &mut Table) {
    let good = Draft::new(ORDINAL).sealed();
    case(table, "as the coordinator made it".to_owned(), ACCEPT, &good);
    for len in [0, 1, 3, 4, 5, 15, 16, 32, 48, 63, 64, 79, 80, 81, 143, 144, 145, 159, 160] {
        case(table, format!("cut to {len} bytes"), "length", &good[..len]);
    }
    for len in [161, 162, 195, 196, 197, 211] {
        case(table, format!("cut to {len} bytes"), "gate_tag", &good[..len]);
    }
    for (len, expect) in [(213, "gate_tag"), (543, "gate_tag"), (544, "gate_tag")] {
        case(table, format!("filled up to {len} bytes"), expect, &resized(&good, len));
    }
    for len in [545, 546, 576, 577, 1_200, 4_096] {
        case(table, format!("filled up to {len} bytes"), "length", &resized(&good, len));
    }
    for len in [161, 211, 213, 544] {
        let mut token = resized(&good, len);
        tag(&mut token);
        case(table, format!("of {len} bytes, tagged again"), "total_length", &token);
        seal(&mut token);
        case(table, format!("of {len} bytes, signed and tagged again"), "total_length", &token);
    }
    for len in [160, 545] {
        let mut token = resized(&good, len);
        seal(&mut token);
        case(table, format!("of {len} bytes, signed and tagged again"), "length", &token);
    }
}

fn resized(token: &[u8], len: usize) -> Vec<u8> {
    let mut token = token.to_vec();
    token.resize(len, 0);
    token
}

/// Player ids and data that are as long as the header says.
fn bodies(table: &mut Table) {
    for id_len in [1, 2, 127, 128] {
        for data_len in [0, 1, 255, 256] {
            case(table, format!("player id of {id_len}, data of {data_len}"), ACCEPT, &body(id_len, data_len));
        }
    }
    for (id_len, data_len, expect) in [
        (0, 0, "length"), // 160 bytes
        (0, 1, "player_id_length"),
        (0, 256, "player_id_length"),
        (0, 257, "player_id_length"),
        (0, 384, "player_id_length"), // 544 bytes
        (129, 0, "player_id_length"),
        (129, 1, "player_id_length"),
        (129, 255, "player_id_length"), // 544 bytes
        (129, 256, "length"),
        (255, 0, "player_id_length"),
        (255, 129, "player_id_length"),
        (1, 257, "player_data_length"),
        (127, 257, "player_data_length"), // 544 bytes
        (128, 257, "length"),
        (1, 383, "player_data_length"), // 544 bytes
        (1, 384, "length"),
    ] {
        case(table, format!("player id of {id_len}, data of {data_len}"), expect, &body(id_len, data_len));
    }
}

fn body(id_len: usize, data_len: usize) -> Vec<u8> {
    Draft { player_id: vec![b'x'; id_len], player_data: vec![0xd5; data_len], ..Draft::new(ORDINAL) }.sealed()
}

/// 20 and 32 bytes are there. Where the sum is right the boundary moves, which is for the signature to find.
fn lying_headers(table: &mut Table) {
    for (id_len, data_len, tagged, sealed) in [
        (19, 33, "signature", ACCEPT),
        (21, 31, "signature", ACCEPT),
        (1, 51, "signature", ACCEPT),
        (52, 0, "signature", ACCEPT),
        (32, 20, "signature", ACCEPT),
        (20, 31, "total_length", "total_length"),
        (19, 32, "total_length", "total_length"),
        (1, 0, "total_length", "total_length"),
        (128, 256, "total_length", "total_length"),
        (0, 52, "player_id_length", "player_id_length"),
        (129, 0, "player_id_length", "player_id_length"),
        (20, 257, "player_data_length", "player_data_length"),
        // The sum is right in 8 and in 16 bits.
        (20, 32 + 256, "player_data_length", "player_data_length"),
        (255, 0x1_0000 - 203, "player_id_length", "player_id_length"),
        (53, u16::MAX as usize, "player_data_length", "player_data_length"),
        // 32 in big-endian.
        (20, 0x2000, "player_data_length", "player_data_length"),
    ] {
        let mut token = Draft::new(ORDINAL).sealed();
        token[at::PLAYER_ID_LEN] = id_len;
        put(&mut token, at::PLAYER_DATA_LEN, &(data_len as u16).to_le_bytes());
        let what = format!("header says {id_len} and {data_len} where 20 and 32 are");
        tag(&mut token);
        case(table, format!("{what}, tagged again"), tagged, &token);
        seal(&mut token);
        case(table, format!("{what}, signed and tagged again"), sealed, &token);
    }
}

fn version_and_flags(table: &mut Table) {
    for magic in [
        b"PGT0", b"PGT2", b"PGT9", b"PGT\x01", b"PGT\0", b"pgt1", b"PGt1", b"1TGP", b" PGT", b"GT1\0", b"PG1H", b"PG1P",
    ] {
        let mut token = Draft::new(ORDINAL).sealed();
        put(&mut token, 0, magic);
        seal(&mut token);
        case(table, format!("magic {}", magic.escape_ascii()), "magic", &token);
    }
    for flags in [2, 4, 8, 0x10, 0x20, 0x40, 0x7f, 0xfe] {
        let mut token = Draft::new(ORDINAL).sealed();
        token[at::FLAGS] = flags;
        seal(&mut token);
        case(table, format!("flags {flags:#04x}, signed and tagged again"), "flags", &token);
    }
}

/// Things that somebody might send where a token should be.
fn other_things(table: &mut Table) {
    let good = Draft::new(ORDINAL).sealed();
    let hex = super::to_hex(&good).into_bytes();
    let jwt = b"eyJhbGciOiJub25lIn0.eyJzdWIiOiJwbGF5ZXItNDcxMSJ9.".repeat(4);
    let paseto = b"v4.public.eyJzdWIiOiJwbGF5ZXItNDcxMSIsImV4cCI6IjIwMzktMDEtMDFUMDA6MDA6MDAifQ".repeat(3);
    for (name, expect, bytes) in [
        ("twice in a row", "gate_tag", [&good[..], &good].concat()),
        ("with a newline behind it", "gate_tag", [&good[..], b"\n"].concat()),
        ("with a NUL behind it", "gate_tag", [&good[..], b"\0\0"].concat()),
        ("with a space before it", "magic", [b" ", &good[..]].concat()),
        ("with a byte order mark before it", "magic", [b"\xef\xbb\xbf", &good[..]].concat()),
        ("as hex", "magic", hex.clone()),
        ("as hex with 0x", "magic", [b"0x", &hex[..]].concat()),
        ("as a HELLO", "magic", [b"PG1H", &[7; 16][..], &good].concat()),
        ("as a ticket's text", "magic", [b"pgticket1.", &hex[..200]].concat()),
        ("its bytes in reverse", "magic", good.iter().rev().copied().collect()),
        ("each byte complemented", "magic", good.iter().map(|byte| !byte).collect()),
        ("a JSON web token without algorithm", "magic", jwt),
        ("a PASETO", "magic", paseto),
        ("zeros", "magic", vec![0; 212]),
        ("ones", "magic", vec![0xff; 212]),
    ] {
        case(table, name.to_owned(), expect, &bytes);
    }
    let mut twice = [&good[..], &good].concat();
    seal(&mut twice);
    case(table, "twice in a row, signed and tagged again".to_owned(), "total_length", &twice);
}
