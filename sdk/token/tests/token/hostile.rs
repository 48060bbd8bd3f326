//! `vectors/hostile.json`: hostile inputs by name, each with its verdict, for every implementation of PGT1.
//!
//! Three have to agree on each case: whoever wrote the case and reasoned from the order of checks in PROTOCOL.md, the
//! `oracle`, which is that order written a second time, and the crate. `PLAYGATE_BLESS=1 cargo test -p playgate-token`
//! writes the file; "Hostile vectors" in PROTOCOL.md describes it.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use playgate_token::*;
use serde::{Deserialize, Serialize};

mod audience;
mod fields;
mod forge;
mod ids;
mod keys;
mod lengths;
mod oracle;
mod pairs;
mod signatures;
mod speccheck;
mod swaps;
mod texts;
mod times;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/hostile.json");

/// What stands for the reason of a token that is accepted, and of a key set that may be loaded.
pub const ACCEPT: &str = "accept";

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    about: Vec<String>,
    servers: Vec<Server>,
    tokens: Vec<TokenCase>,
    key_sets: Vec<KeySetCase>,
    ids: Vec<IdCase>,
}

/// Whom a token is presented to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    name: String,
    process_id: String,
    game_session_id: String,
    gate_root: String,
    min_epoch: u16,
    current_epoch: u16,
    public_keys: Vec<PublicKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKey {
    key_id: u16,
    public_key: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenCase {
    family: String,
    name: String,
    server: String,
    now_ms: u64,
    expect: String,
    token: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySetCase {
    name: String,
    expect: String,
    public_keys: Vec<PublicKey>,
}

/// The bytes of the id, or `null` for a text that is none.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdCase {
    name: String,
    kind: String,
    text: String,
    bytes: Option<String>,
}

const ABOUT: [&str; 6] = [
    "Hostile inputs of the player-session token PGT1 and their verdicts; PROTOCOL.md, \"Hostile vectors\".",
    "All strings of bytes are hex; numbers are integers of up to 64 bits. The keys are test keys.",
    "servers: by name, whom a token is presented to. gate_root is the root of its gate keys.",
    "tokens: verified by this server at now_ms, the token gets this verdict: accept, or the reason of the first check that fails.",
    "key_sets: a set of these public keys may be loaded (accept), or is refused for this reason.",
    "ids: the text is an id of this kind with these bytes; where bytes is null it is none.",
];

fn make() -> Table {
    let mut table = Table { about: ABOUT.map(str::to_owned).into(), ..Table::default() };
    for family in [
        fields::add,
        lengths::add,
        times::add,
        audience::add,
        keys::add,
        signatures::add,
        speccheck::add,
        swaps::add,
        texts::add,
        pairs::add,
        ids::add,
    ] {
        family(&mut table);
    }
    table
}

impl Table {
    /// A server for cases to name.
    fn server(&mut self, server: Server) -> String {
        let name = server.name.clone();
        match self.servers.iter().find(|known| known.name == name) {
            Some(known) => assert_eq!(*known, server, "two servers have the name {name}"),
            None => self.servers.push(server),
        }
        name
    }

    fn token(&mut self, family: &str, name: String, at: (&str, u64), expect: &str, token: &[u8]) {
        let (server, now_ms) = (at.0.to_owned(), at.1);
        let (family, expect, token) = (family.to_owned(), expect.to_owned(), to_hex(token));
        self.tokens.push(TokenCase { family, name, server, now_ms, expect, token });
    }

    fn find(&self, server: &str) -> &Server {
        self.servers.iter().find(|known| known.name == server).unwrap_or_else(|| panic!("no server {server}"))
    }

    /// One case a line, in ASCII, so that a change is seen and an invisible character is not.
    fn to_json(&self) -> String {
        fn section<T: Serialize>(name: &str, items: &[T]) -> String {
            let lines: Vec<_> = items.iter().map(|item| serde_json::to_string(item).unwrap()).collect();
            format!("\"{name}\": [\n{}\n]", lines.join(",\n"))
        }
        let sections = [
            section("about", &self.about),
            section("servers", &self.servers),
            section("tokens", &self.tokens),
            section("key_sets", &self.key_sets),
            section("ids", &self.ids),
        ];
        let text = format!("{{\n{}\n}}\n", sections.join(",\n"));
        text.chars().map(escaped).collect()
    }
}

fn escaped(character: char) -> String {
    let mut units = [0; 2];
    match character.is_ascii() {
        true => character.to_string(),
        false => character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    }
}

fn committed() -> Table {
    serde_json::from_str(&std::fs::read_to_string(FILE).expect("vectors/hostile.json is committed")).unwrap()
}

#[test]
fn the_committed_table_is_the_one_the_code_makes() {
    let made = make().to_json();
    if std::env::var_os("PLAYGATE_BLESS").is_some() {
        std::fs::write(FILE, &made).unwrap();
    }
    let committed = std::fs::read_to_string(FILE).expect("vectors/hostile.json is committed");
    assert!(made == committed, "the cases differ from {FILE}; PLAYGATE_BLESS=1 shows how");
}

/// As another implementation would use the file: from its text alone.
#[test]
fn every_token_gets_its_verdict() {
    let table = committed();
    let servers: BTreeMap<&str, Loaded> =
        table.servers.iter().map(|server| (server.name.as_str(), Loaded::new(server))).collect();
    let mut wrong = Vec::new();
    for case in &table.tokens {
        let token = from_hex(&case.token);
        let verdict = servers[case.server.as_str()].verdict(&token, case.now_ms);
        if verdict != case.expect {
            wrong.push(format!("{}: {}: {verdict} instead of {}", case.family, case.name, case.expect));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.tokens.len(), wrong.join("\n"));
}

#[test]
fn every_key_set_and_every_text_of_an_id_gets_its_verdict() {
    let table = committed();
    for case in &table.key_sets {
        let verdict = match PublicKeySet::new(&public_keys(&case.public_keys)) {
            Ok(_) => ACCEPT,
            Err(KeySetError::TooMany) => "too_many",
            Err(KeySetError::DuplicateId(_)) => "duplicate_id",
            Err(KeySetError::SmallOrder(_)) => "small_order",
            Err(KeySetError::NonCanonical(_)) => "non_canonical",
        };
        assert_eq!(verdict, case.expect, "{}", case.name);
    }
    for case in &table.ids {
        let text = case.text.as_str();
        let bytes = match case.kind.as_str() {
            "game_session" => GameSessionId::from_str(text).ok().map(|id| *id.as_bytes()),
            "player_session" => PlayerSessionId::from_str(text).ok().map(|id| *id.as_bytes()),
            "server_process" => ServerProcessId::from_str(text).ok().map(|id| *id.as_bytes()),
            "host" => HostId::from_str(text).ok().map(|id| *id.as_bytes()),
            kind => panic!("no such kind of id: {kind}"),
        };
        assert_eq!(bytes.map(|bytes| to_hex(&bytes)), case.bytes, "{}: {text:?}", case.name);
    }
}

/// What was reasoned case by case, and the checks of PROTOCOL.md written a second time.
#[test]
fn the_oracle_agrees_with_what_was_reasoned() {
    let table = committed();
    let mut wrong = Vec::new();
    for case in &table.tokens {
        let verdict = oracle::verdict(table.find(&case.server), case.now_ms, &from_hex(&case.token));
        if verdict != case.expect {
            wrong.push(format!("{}: {}: {verdict}, and {} was reasoned", case.family, case.name, case.expect));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.tokens.len(), wrong.join("\n"));
}

#[test]
fn the_cases_differ_and_neither_a_yes_nor_a_no_man_passes() {
    let table = committed();
    assert!(table.tokens.len() >= 400, "{} cases", table.tokens.len());
    let mut names = BTreeSet::new();
    let mut inputs = BTreeMap::new();
    let mut verdicts: BTreeMap<&str, BTreeSet<bool>> = BTreeMap::new();
    for case in &table.tokens {
        assert!(names.insert((&case.family, &case.name)), "two cases of {} are named {}", case.family, case.name);
        let Server { name: _, ref process_id, ref game_session_id, ref gate_root, .. } = *table.find(&case.server);
        let Server { min_epoch, current_epoch, ref public_keys, .. } = *table.find(&case.server);
        let server = (process_id, game_session_id, gate_root, min_epoch, current_epoch, public_keys);
        if let Some(other) = inputs.insert((&case.token, case.now_ms, server), &case.name) {
            panic!("{} is the case {other} under another name", case.name);
        }
        verdicts.entry(&case.family).or_default().insert(case.expect == ACCEPT);
    }
    for (family, verdicts) in verdicts {
        assert_eq!(verdicts.len(), 2, "{family} has no control, or nothing but controls");
    }
    for reason in Reject::ALL {
        assert!(table.tokens.iter().any(|case| case.expect == reason.as_str()), "no case for {reason}");
    }
    let unique = |all: Vec<String>| all.iter().collect::<BTreeSet<_>>().len() == all.len();
    assert!(unique(table.key_sets.iter().map(|case| case.name.clone()).collect()));
    assert!(unique(table.key_sets.iter().map(|case| format!("{:?}", case.public_keys)).collect()));
    assert!(unique(table.ids.iter().map(|case| format!("{} {}", case.kind, case.name)).collect()));
    assert!(unique(table.ids.iter().map(|case| format!("{} {}", case.kind, case.text)).collect()));
    assert!(table.ids.iter().any(|case| case.bytes.is_some()) && table.key_sets.iter().any(|c| c.expect == ACCEPT));
}

/// A server's keys, as the crate holds them.
struct Loaded {
    process: ServerProcessId,
    game_session: GameSessionId,
    gate_keys: GateKeys,
    key_set: PublicKeySet,
}

impl Loaded {
    fn new(server: &Server) -> Self {
        let gate_root = GateRoot::from_bytes(from_hex(&server.gate_root).try_into().unwrap());
        Self {
            process: ServerProcessId::from_bytes(from_hex(&server.process_id).try_into().unwrap()),
            game_session: GameSessionId::from_bytes(from_hex(&server.game_session_id).try_into().unwrap()),
            gate_keys: GateKeys::new(&gate_root, server.min_epoch, server.current_epoch),
            key_set: PublicKeySet::new(&public_keys(&server.public_keys)).unwrap(),
        }
    }

    fn verdict(&self, token: &[u8], now_ms: u64) -> &'static str {
        let Self { process, game_session, gate_keys, key_set } = self;
        let audience = Audience { process: *process, game_session: *game_session, gate_keys, key_set };
        accept(token, &audience, now_ms).map_or_else(Reject::as_str, |_| ACCEPT)
    }
}

fn public_keys(keys: &[PublicKey]) -> Vec<(u16, [u8; 32])> {
    keys.iter().map(|key| (key.key_id, from_hex(&key.public_key).try_into().unwrap())).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "half a byte: {text}");
    (0..text.len()).step_by(2).map(|place| u8::from_str_radix(&text[place..place + 2], 16).unwrap()).collect()
}
