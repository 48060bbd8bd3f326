//! Texts of tickets: what a player may be handed, and what has come to harm on its way.

use data_encoding::{BASE64, BASE64URL, BASE64URL_NOPAD, HEXLOWER};

use super::TicketCase;
use super::tokens::{self, player_session};

const V4: &[u8] = &[0, 203, 0, 113, 1, 0xd8, 0x36];
const V6: &[u8] = &[1, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xd8, 0x36];

/// As PROTOCOL.md has it.
fn bytes(addresses: &[&[u8]], count: u8, bearer: u8, token: &[u8]) -> Vec<u8> {
    let mut bytes = [player_session(0), tokens::SESSION].concat();
    bytes.push(count);
    bytes.extend(addresses.concat());
    bytes.extend(varint(tokens::START_MS + 60_000));
    bytes.push(bearer);
    bytes.extend(varint(token.len() as u64));
    bytes.extend(token);
    bytes.extend([0xa5; 32]);
    bytes.push(0); // no relay
    bytes
}

/// The way through one relay.
fn relay(addresses: &[&[u8]], pass: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(addresses.len()).unwrap()];
    bytes.extend(addresses.concat());
    bytes.extend(varint(pass.len() as u64));
    bytes.extend(pass);
    bytes.extend([0xa6; 32]);
    bytes
}

/// The same ticket, with these relays.
fn through(ticket: &[u8], relays: &[Vec<u8>]) -> Vec<u8> {
    let count = u8::try_from(relays.len()).unwrap();
    [&ticket[..ticket.len() - 1], &[count], &relays.concat()].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn text(bytes: &[u8]) -> String {
    format!("pgticket1.{}", BASE64URL_NOPAD.encode(bytes))
}

pub fn all() -> Vec<TicketCase> {
    let token = HEXLOWER.decode(tokens::all()[0].token.as_bytes()).unwrap();
    let mut cases = Vec::new();
    let mut add = |name: &str, text: String, token: Option<&[u8]>| {
        cases.push(TicketCase { name: name.to_owned(), text, token: token.map(|token| HEXLOWER.encode(token)) });
    };
    let raw = bytes(&[V4], 1, 0, &token);
    let good = text(&raw);
    let body = good.strip_prefix("pgticket1.").unwrap();
    let some = Some(&token[..]);
    add("good", good.clone(), some);
    add("two addresses", text(&bytes(&[V4, V6], 2, 0, &token)), some);
    add("four addresses", text(&bytes(&[V6, V6, V4, V4], 4, 0, &token)), some);
    add("for a game that takes the bare token", text(&bytes(&[V4], 1, 1, &token)), some);
    let one = relay(&[V4], &[0x78; 143]);
    let nowhere = bytes(&[], 0, 0, &token);
    add("through a relay, and directly", text(&through(&raw, std::slice::from_ref(&one))), some);
    add("through a relay only", text(&through(&nowhere, std::slice::from_ref(&one))), some);
    let two_ways = relay(&[V4, V6], &[0x78; 143]);
    add("through a relay of two addresses", text(&through(&nowhere, &[two_ways])), some);
    add("with a newline behind it", format!("{good}\n"), some);
    add("with spaces around it", format!("  {good} \t\r\n"), some);
    for (name, text) in [
        ("nothing", String::new()),
        ("prefix alone", "pgticket1.".to_owned()),
        ("without its prefix", body.to_owned()),
        ("prefix in upper case", format!("PGTICKET1.{body}")),
        ("prefix with a capital", format!("Pgticket1.{body}")),
        ("prefix of a version 2", format!("pgticket2.{body}")),
        ("prefix twice", format!("pgticket1.{good}")),
        ("prefix with another dot", format!("pgticket1\u{2024}{body}")),
        ("prefix with a full-width digit", format!("pgticket\u{ff11}.{body}")),
        ("prefix with a Cyrillic letter", format!("pgti\u{441}ket1.{body}")),
        ("prefix behind a byte order mark", format!("\u{feff}{good}")),
        ("space behind the prefix", format!("pgticket1. {body}")),
        ("a join key", format!("pgkey1/agent/[::1]:7600/{body}")),
        ("upper case", format!("pgticket1.{}", body.to_uppercase())),
        ("lower case", format!("pgticket1.{}", body.to_lowercase())),
        ("padded", format!("pgticket1.{}=", BASE64URL.encode(&raw))),
        ("in the alphabet of plain base64", format!("pgticket1.{}", BASE64.encode(&raw))),
        ("as hex", format!("pgticket1.{}", HEXLOWER.encode(&raw))),
        ("a line end in its middle", format!("{}\n{}", &good[..100], &good[100..])),
        ("a space in its middle", format!("{} {}", &good[..100], &good[100..])),
        ("a hyphen of another kind in its middle", format!("{}\u{2010}{}", &good[..100], &good[101..])),
        ("a zero-width space in its middle", format!("{}\u{200b}{}", &good[..100], &good[100..])),
        ("a NUL behind it", format!("{good}\0")),
        ("quoted", format!("\"{good}\"")),
        ("percent-encoded", good.replace('.', "%2E")),
        ("twice", format!("{good}{good}")),
        ("its body twice", format!("{good}{body}")),
        ("two on two lines", format!("{good}\n{good}")),
        ("cut by 1", good[..good.len() - 1].to_owned()),
        ("cut by 2", good[..good.len() - 2].to_owned()),
        ("cut by 4", good[..good.len() - 4].to_owned()),
        ("cut to a half", good[..good.len() / 2].to_owned()),
        ("one character more", format!("{good}A")),
        ("four characters more", format!("{good}AAAA")),
        ("3,000 characters", format!("pgticket1.{}", "A".repeat(3_000))),
        ("two bytes more", text(&[&raw[..], &[0, 0]].concat())),
        ("two bytes less", text(&raw[..raw.len() - 2])),
        ("five addresses", text(&bytes(&[V4; 5], 5, 0, &token))),
        ("more addresses said than there are", text(&bytes(&[V4], 2, 0, &token))),
        ("a family of addresses that is none", text(&bytes(&[&[2, 1, 1, 1, 1, 1]], 1, 0, &token))),
        ("a port above 65,535", text(&bytes(&[&[0, 203, 0, 113, 1, 0x80, 0x80, 0x04]], 1, 0, &token))),
        ("neither bearer nor not", text(&bytes(&[V4], 1, 2, &token))),
        ("two relays", text(&through(&raw, &[one.clone(), one.clone()]))),
        ("more relays said than there are", text(&[&raw[..raw.len() - 1], &[1]].concat())),
        ("a relay of three addresses", text(&through(&raw, &[relay(&[V4; 3], &[0x78; 143])]))),
        ("a pass of 144 bytes", text(&through(&raw, &[relay(&[V4], &[0x78; 144])]))),
        ("a relay without a whole key", text(&through(&raw, &[one[..one.len() - 1].to_vec()]))),
        ("a relay and a byte more", text(&[&through(&raw, &[one])[..], &[0]].concat())),
        ("a token of 577 bytes", text(&bytes(&[V4], 1, 0, &[0; 577]))),
    ] {
        add(name, text, None);
    }
    // These can be read; that they are of no use is found when somebody joins with them.
    add("no address", text(&nowhere), some);
    add("a pass of 142 bytes", text(&through(&nowhere, &[relay(&[V4], &[0x78; 142])])), some);
    add("no token", text(&bytes(&[V4], 1, 0, &[])), Some(&[]));
    add("a token of 576 bytes", text(&bytes(&[V4], 1, 0, &[1; 576])), Some(&[1; 576]));
    cases
}
