//! The encoding of every message, held still; what decoders make of damaged bytes; and that whatever is legal fits.
//!
//! `golden/messages.txt` has one line for each message: a name that ends with `Enum/Variant`, and the payload in hex.
//! With `PLAYGATE_BLESS=1` the test writes the file anew. A line that changes breaks every peer in the field; lines are
//! only ever added.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

#[path = "golden/hostile.rs"]
mod hostile;
#[path = "golden/samples.rs"]
mod samples;
#[path = "golden/shape.rs"]
mod shape;
#[path = "golden/sizes.rs"]
mod sizes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use data_encoding::HEXLOWER;
use playgate_protocol::agent::{AgentDown, AgentUp};
use playgate_protocol::api::{ApiDown, BackendUp, OperatorUp};
use playgate_protocol::relay::{RelayDown, RelayUp};
use playgate_protocol::server::{ServerDown, ServerUp};
use playgate_protocol::{Greeting, Hello, Ticket};

use crate::shape::Shape;

/// Everything that is ever decoded from a peer, and the ticket, which is decoded from text.
fn shape_of_all() -> Shape {
    let mut shape = Shape::default();
    shape.explore::<Hello>();
    shape.explore::<Greeting>();
    shape.explore::<ServerUp>();
    shape.explore::<ServerDown>();
    shape.explore::<AgentUp>();
    shape.explore::<AgentDown>();
    shape.explore::<RelayUp>();
    shape.explore::<RelayDown>();
    shape.explore::<BackendUp>();
    shape.explore::<OperatorUp>();
    shape.explore::<ApiDown>();
    shape.explore::<Ticket>();
    shape
}

#[test]
fn every_message_is_encoded_as_ever() {
    let samples = samples::all();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/messages.txt");
    let lines: String = samples.iter().map(|s| format!("{} {}\n", s.name, HEXLOWER.encode(&s.bytes))).collect();
    if std::env::var_os("PLAYGATE_BLESS").is_some() {
        std::fs::write(&path, &lines).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    let written: BTreeMap<&str, &str> = written.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!(
        samples.len(),
        lines.lines().map(|l| l.split(' ').next()).collect::<BTreeSet<_>>().len(),
        "one name each"
    );
    for sample in &samples {
        let golden = written.get(sample.name.as_str()).copied();
        assert_eq!(golden, Some(HEXLOWER.encode(&sample.bytes).as_str()), "{}: PLAYGATE_BLESS=1 adds it", sample.name);
        assert!((sample.is_read_from)(&HEXLOWER.decode(golden.unwrap().as_bytes()).unwrap()), "{}", sample.name);
    }
    let known: BTreeSet<&str> = samples.iter().map(|sample| sample.name.as_str()).collect();
    let gone: Vec<_> = written.keys().filter(|name| !known.contains(*name)).collect();
    assert!(gone.is_empty(), "in the file and nowhere else: {gone:?}");
}

/// The types themselves say what there is, so that neither a variant nor a whole enum can be forgotten in the samples.
#[test]
fn every_variant_of_every_enum_has_a_line() {
    let samples = samples::all();
    let has_line =
        |variant: &String| samples.iter().any(|sample| format!("/{}", sample.name).ends_with(&format!("/{variant}")));
    let variants = shape_of_all().variants();
    assert!(variants.len() > 150, "{}", variants.len());
    let missing: Vec<String> = variants.into_iter().filter(|variant| !has_line(variant)).collect();
    assert!(missing.is_empty(), "without a golden line: {missing:?}");
}

/// The samples' secrets are 32 bytes c1, c2 … c9, their token 161 bytes 77, their pass 143 bytes 78, and their data 1, 2, 3 and 9, 8.
#[test]
fn no_message_shows_a_secret_a_token_or_what_a_backend_tells_a_game() {
    let samples = samples::all();
    let run = |byte: u8| [byte; 4].to_vec();
    let private = [0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0x77, 0x78]
        .map(run)
        .into_iter()
        .chain([vec![1, 2, 3], vec![9, 8]]);
    for bytes in private {
        let carried = samples.iter().filter(|sample| sample.bytes.windows(bytes.len()).any(|window| window == bytes));
        assert!(carried.count() > 0, "{bytes:02x?} is in no message");
        // A secret may be shown in part; data is so short that only all of it tells it from other numbers.
        let list = format!("{bytes:?}");
        let list = if bytes.len() < 4 { list.as_str() } else { list.trim_matches(['[', ']']) };
        let forms = [list.to_owned(), HEXLOWER.encode(&bytes), format!("{bytes:02x?}")];
        for sample in &samples {
            let shown = sample.debug.to_lowercase();
            let found = forms.iter().find(|form| form.len() > 4 && shown.contains(form.as_str()));
            assert_eq!(found, None, "{}: {}", sample.name, sample.debug);
        }
    }
    // The search finds what may be shown.
    assert!(samples.iter().any(|sample| sample.debug.contains(&format!("{}, {}", 0x5e, 0x5e))), "a public key");
}

#[test]
fn no_message_contains_itself() {
    assert_eq!(shape_of_all().cycle(), None);
}
