//! Texts of ids: each id has one, and everything near it is none.

use super::{IdCase, Table, to_hex};

const KINDS: [(&str, &str); 4] =
    [("game_session", "gs-"), ("player_session", "ps-"), ("server_process", "sp-"), ("host", "h-")];

/// The bytes 00 to 0f.
const DIGITS: &str = "aaaqeayeaudaocajbifqydiob4";
/// The same bytes in other bases.
const HEX: &str = "000102030405060708090a0b0c0d0e0f";
const UUID: &str = "00010203-0405-0607-0809-0a0b0c0d0e0f";
const BASE64: &str = "AAECAwQFBgcICQoLDA0ODw";
const BASE32_HEX: &str = "000g40o40k30e209185go38e1s";

pub fn add(table: &mut Table) {
    let ascending: [u8; 16] = std::array::from_fn(|place| place as u8);
    for (kind, prefix) in KINDS {
        for (name, text, bytes) in [
            ("zeros", "a".repeat(26), [0; 16]),
            ("ones", format!("{}4", "7".repeat(25)), [0xff; 16]),
            ("ascending", DIGITS.to_owned(), ascending),
        ] {
            add_one(table, kind, name, format!("{prefix}{text}"), Some(&bytes));
        }
        for (other, wrong) in KINDS.into_iter().filter(|(other, _)| *other != kind) {
            add_one(table, kind, &format!("prefix of a {other}"), format!("{wrong}{DIGITS}"), None);
        }
        for (name, text) in near_misses(prefix) {
            add_one(table, kind, name, text, None);
        }
    }
}

fn near_misses(prefix: &str) -> Vec<(&'static str, String)> {
    let good = format!("{prefix}{DIGITS}");
    let with_last = |last: char| format!("{}{last}", &good[..good.len() - 1]);
    let with_first = |first: &str| format!("{prefix}{first}{}", &DIGITS[1..]);
    vec![
        ("nothing", String::new()),
        ("prefix alone", prefix.to_owned()),
        ("no prefix", DIGITS.to_owned()),
        ("prefix twice", format!("{prefix}{good}")),
        ("prefix in upper case", format!("{}{DIGITS}", prefix.to_uppercase())),
        ("upper case", format!("{prefix}{}", DIGITS.to_uppercase())),
        ("one letter in upper case", with_first("A")),
        ("25 characters", good[..good.len() - 1].to_owned()),
        ("27 characters", format!("{good}a")),
        ("padded", format!("{good}======")),
        ("one sign of padding instead of a character", with_last('=')),
        ("twice", format!("{good}{DIGITS}")),
        ("space behind it", format!("{good} ")),
        ("space before it", format!(" {good}")),
        ("space behind the prefix", format!("{prefix} {DIGITS}")),
        ("newline", format!("{good}\n")),
        ("carriage return", format!("{good}\r\n")),
        ("NUL", format!("{good}\0")),
        ("space instead of a character", with_first(" ")),
        ("spare bits 01", with_last('5')),
        ("spare bits 10", with_last('6')),
        ("spare bits 11", with_last('7')),
        ("digit 0", with_first("0")),
        ("digit 1", with_first("1")),
        ("digit 8", with_first("8")),
        ("digit 9", with_first("9")),
        ("hyphen", with_first("-")),
        ("underscore", with_first("_")),
        ("Cyrillic a", with_first("\u{430}")),
        ("full-width a", with_first("\u{ff41}")),
        ("full-width 2", with_first("\u{ff12}")),
        ("Kelvin sign", with_first("\u{212a}")),
        ("long s", with_first("\u{17f}")),
        ("combining accent", format!("{prefix}a\u{301}{}", &DIGITS[2..])),
        ("zero-width space", format!("{prefix}\u{200b}{DIGITS}")),
        ("byte order mark", format!("\u{feff}{good}")),
        ("no-break space behind it", format!("{good}\u{a0}")),
        ("other hyphen", format!("{}\u{2010}{DIGITS}", &prefix[..prefix.len() - 1])),
        ("percent sign", format!("{}%2d{DIGITS}", &prefix[..prefix.len() - 1])),
        ("as hex", format!("{prefix}{HEX}")),
        ("as a UUID", UUID.to_owned()),
        ("as base64url", format!("{prefix}{BASE64}")),
        ("as base32hex", format!("{prefix}{BASE32_HEX}")),
    ]
}

fn add_one(table: &mut Table, kind: &str, name: &str, text: String, bytes: Option<&[u8; 16]>) {
    let (kind, name) = (kind.to_owned(), name.to_owned());
    table.ids.push(IdCase { name, kind, text, bytes: bytes.map(|bytes| to_hex(bytes)) });
}
