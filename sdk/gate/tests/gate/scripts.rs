//! `vectors/admission.json`: what befalls a gate, step by step, and what it says to each, for every implementation.
//!
//! The expectations are written by hand, from the two tables of "What the server does" in PROTOCOL.md.
//! `PLAYGATE_BLESS=1 cargo test -p playgate-gate` writes the file; "Admission scripts" in PROTOCOL.md describes it.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use playgate_gate::RefuseReason;
use playgate_protocol::Ticket;
use serde::{Deserialize, Serialize};

mod bare;
mod floors;
mod forgeries;
mod format;
mod lives;
mod proofs;
mod runner;
#[path = "../../../token/tests/token/spec.rs"]
#[allow(dead_code)] // the tests of the token use the rest of it
mod spec;
mod story;
mod tickets;
mod tokens;

use format::{Server, Step, Token};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/admission.json");

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    about: Vec<String>,
    start_ms: u64,
    servers: Vec<Server>,
    tokens: Vec<Token>,
    tickets: Vec<TicketCase>,
    scripts: Vec<Script>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    family: String,
    name: String,
    steps: Vec<Step>,
}

/// The token that is in the text, or `null` where it is no ticket.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketCase {
    name: String,
    text: String,
    token: Option<String>,
}

const ABOUT: [&str; 5] = [
    "Admission on a game server, step by step; PROTOCOL.md, \"Admission scripts\".",
    "Strings of bytes are hex; numbers are integers of up to 64 bits. The keys are test keys.",
    "servers: by name, processes and their roots. tokens: by name, with the keys of their holders.",
    "tickets: the text is a ticket with this token; where token is null it is none.",
    "scripts: each begins with a new server named first, at start_ms, that was told of no session.",
];

fn make() -> Table {
    let mut table = Table {
        about: ABOUT.map(str::to_owned).into(),
        start_ms: tokens::START_MS,
        servers: tokens::servers(),
        tokens: tokens::all(),
        tickets: tickets::all(),
        scripts: Vec::new(),
    };
    for family in [lives::all, bare::all, proofs::all, forgeries::all, floors::all] {
        table.scripts.extend(family());
    }
    table
}

/// One case, or one step, a line, in ASCII.
fn to_json(table: &Table) -> String {
    fn lines<T: Serialize>(items: &[T]) -> String {
        items.iter().map(|item| serde_json::to_string(item).unwrap()).collect::<Vec<_>>().join(",\n")
    }
    let script = |script: &Script| {
        let [family, name] = [&script.family, &script.name].map(|text| serde_json::to_string(text).unwrap());
        format!("{{\"family\":{family},\"name\":{name},\"steps\":[\n{}]}}", lines(&script.steps))
    };
    let scripts: Vec<_> = table.scripts.iter().map(script).collect();
    let text = format!(
        "{{\n\"about\": [\n{}\n],\n\"start_ms\": {},\n\"servers\": [\n{}\n],\n\"tokens\": [\n{}\n],\n\"tickets\": [\n{}\n],\n\"scripts\": [\n{}\n]\n}}\n",
        lines(&table.about),
        table.start_ms,
        lines(&table.servers),
        lines(&table.tokens),
        lines(&table.tickets),
        scripts.join(",\n"),
    );
    let mut units = [0; 2];
    let escaped = |c: char| match c.is_ascii() {
        true => c.to_string(),
        false => c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    text.chars().map(escaped).collect()
}

fn committed() -> Table {
    serde_json::from_str(&std::fs::read_to_string(FILE).expect("vectors/admission.json is committed")).unwrap()
}

#[test]
fn the_committed_scripts_are_those_the_code_makes() {
    let made = to_json(&make());
    if std::env::var_os("PLAYGATE_BLESS").is_some() {
        std::fs::write(FILE, &made).unwrap();
    }
    let committed = std::fs::read_to_string(FILE).expect("vectors/admission.json is committed");
    assert!(made == committed, "the scripts differ from {FILE}; PLAYGATE_BLESS=1 shows how");
}

/// As another implementation would use the file: from its text alone.
#[test]
fn every_step_of_every_script_comes_out_as_written() {
    let table = committed();
    let mut wrong = Vec::new();
    for script in &table.scripts {
        wrong.extend(runner::run(&table, script).err().map(|why| format!("{}: {}: {why}", script.family, script.name)));
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.scripts.len(), wrong.join("\n"));
}

#[test]
fn every_text_of_a_ticket_gets_its_verdict() {
    for case in &committed().tickets {
        let token = Ticket::from_text(&case.text).ok().map(|ticket| HEXLOWER.encode(&ticket.token));
        assert_eq!(token, case.token, "{}", case.name);
    }
}

#[test]
fn the_scripts_differ_and_every_reason_is_among_them() {
    let table = committed();
    assert!(table.scripts.len() >= 150, "{} scripts", table.scripts.len());
    let (mut names, mut contents, mut expected) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for script in &table.scripts {
        assert!(names.insert((&script.family, &script.name)), "two scripts are named {}", script.name);
        assert!(contents.insert(serde_json::to_string(&script.steps).unwrap()), "{} is twice", script.name);
        expected.extend(script.steps.iter().filter_map(|step| step.expect.clone()));
    }
    for family in names.iter().map(|(family, _)| family).collect::<BTreeSet<_>>() {
        let mut steps = table.scripts.iter().filter(|script| script.family == **family).flat_map(|s| &s.steps);
        assert!(steps.any(|step| step.expect.as_deref() == Some("admitted")), "{family} has no control");
    }
    // How many signatures are checked at once is the server's own affair.
    for reason in RefuseReason::ALL.iter().filter(|reason| **reason != RefuseReason::RateLimited) {
        assert!(expected.contains(reason.as_str()), "no step is refused as {reason}");
    }
    let unique: BTreeSet<_> = table.tickets.iter().map(|case| &case.text).collect();
    assert_eq!(unique.len(), table.tickets.len());
    assert!(table.tickets.iter().any(|case| case.token.is_some()));
    let unique: BTreeSet<_> = table.tokens.iter().map(|token| &token.token).collect();
    assert_eq!(unique.len(), table.tokens.len());
}
