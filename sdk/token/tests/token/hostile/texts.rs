//! Player ids: what is UTF-8 is somebody, whoever he looks like; what is not is nobody.

use super::forge::{Draft, MAIN};
use super::{ACCEPT, Table};
use crate::support::NOW_MS;

const ACCEPTED: [(&str, &[u8]); 24] = [
    ("plain", b"alice"),
    ("capital", b"Alice"),
    ("with a space behind it", b"alice "),
    ("with a space before it", b" alice"),
    ("with a newline", b"alice\n"),
    ("with a NUL", b"alice\0"),
    ("NUL alone", b"\0"),
    ("space alone", b" "),
    ("DEL", b"\x7f"),
    ("Cyrillic a", "\u{430}lice".as_bytes()),
    ("full-width", "\u{ff41}\u{ff4c}\u{ff49}\u{ff43}\u{ff45}".as_bytes()),
    ("dotless i", "al\u{131}ce".as_bytes()),
    ("composed accent", "\u{e9}".as_bytes()),
    ("decomposed accent", "e\u{301}".as_bytes()),
    ("zero-width space", "al\u{200b}ice".as_bytes()),
    ("right-to-left override", "\u{202e}ecila".as_bytes()),
    ("byte order mark", "\u{feff}alice".as_bytes()),
    ("soft hyphen", "al\u{ad}ice".as_bytes()),
    ("last of two bytes, U+07FF", "\u{7ff}".as_bytes()),
    ("first of three bytes, U+0800", "\u{800}".as_bytes()),
    ("just below the surrogates, U+D7FF", "\u{d7ff}".as_bytes()),
    ("just above the surrogates, U+E000", "\u{e000}".as_bytes()),
    ("no character, U+FFFF", "\u{ffff}".as_bytes()),
    ("last of all, U+10FFFF", "\u{10ffff}".as_bytes()),
];

const REFUSED: [(&str, &[u8]); 24] = [
    ("overlong NUL in two bytes", b"\xc0\x80"),
    ("overlong slash in two bytes", b"\xc0\xaf"),
    ("overlong DEL, c1 bf", b"\xc1\xbf"),
    ("overlong in three bytes", b"\xe0\x80\xaf"),
    ("overlong U+07FF, e0 9f bf", b"\xe0\x9f\xbf"),
    ("overlong in four bytes", b"\xf0\x80\x80\xaf"),
    ("overlong U+FFFF, f0 8f bf bf", b"\xf0\x8f\xbf\xbf"),
    ("first surrogate", b"\xed\xa0\x80"),
    ("last surrogate", b"\xed\xbf\xbf"),
    ("surrogates as a pair", b"\xed\xa0\xbd\xed\xb8\x80"),
    ("above U+10FFFF", b"\xf4\x90\x80\x80"),
    ("lead byte f5", b"\xf5\x80\x80\x80"),
    ("five bytes", b"\xf8\x88\x80\x80\x80"),
    ("six bytes", b"\xfc\x84\x80\x80\x80\x80"),
    ("fe", b"\xfe"),
    ("ff", b"\xff"),
    ("continuation alone", b"\x80"),
    ("continuation behind a character", b"a\xbf"),
    ("two bytes cut to one", b"alice\xc3"),
    ("three bytes cut to two", b"alice\xe2\x82"),
    ("four bytes cut to three", b"alice\xf0\x9f\xa6"),
    ("character broken by another", b"\xe2a\x82\xac"),
    ("Latin-1", b"caf\xe9 noir"),
    ("UTF-16 with a byte order mark", b"\xff\xfea\0l\0"),
];

pub fn add(table: &mut Table) {
    for (expect, rows) in [(ACCEPT, &ACCEPTED), ("player_id_text", &REFUSED)] {
        for (name, player_id) in rows {
            let token = Draft { player_id: player_id.to_vec(), ..Draft::new(800) }.sealed();
            table.token("player id", (*name).to_owned(), (MAIN, NOW_MS), expect, &token);
        }
    }
    // The character is complete in the token, and its second byte belongs to the player data.
    let torn = Draft { player_id: b"alic\xc3".to_vec(), player_data: b"\xa9".to_vec(), ..Draft::new(800) };
    table.token("player id", "torn from its data".to_owned(), (MAIN, NOW_MS), "player_id_text", &torn.sealed());
    let whole = Draft { player_id: b"alic\xc3\xa9".to_vec(), player_data: b"".to_vec(), ..Draft::new(800) };
    table.token("player id", "whole".to_owned(), (MAIN, NOW_MS), ACCEPT, &whole.sealed());
}
