//! PROOFs that are not what the holder makes: other keys, other challenges, other bytes. None of them spoils the right one.

use super::Script;
use super::format::Proof;
use super::story::{Again, Challenge, ELSEWHERE, HOME, In, No, Story};
use super::tokens;

/// How it differs, and what it comes to.
type Row = (&'static str, fn(&mut Proof), &'static str);

fn key_of(name: &str, key: fn(&super::format::Token) -> &String) -> Option<String> {
    tokens::all().iter().find(|token| token.name == name).map(|token| key(token).clone())
}

const ROWS: &[Row] = &[
    ("by bob's proof key", |p| p.key = key_of("bob", |token| &token.proof_key), "proof_wrong"),
    ("by ann's server key", |p| p.key = key_of("ann", |token| &token.server_key), "proof_wrong"),
    ("by the proof key of her other token", |p| p.key = key_of("ann again", |token| &token.proof_key), "proof_wrong"),
    ("by zeros", |p| p.key = Some("00".repeat(32)), "proof_wrong"),
    ("by the empty key", |p| p.key = Some(String::new()), "proof_wrong"),
    ("by the gate root", |p| p.key = Some(tokens::servers()[0].gate_root.clone()), "proof_wrong"),
    ("by the holder root", |p| p.key = Some(tokens::servers()[0].holder_root.clone()), "proof_wrong"),
    ("under the domain of an ACCEPT", |p| p.domain = Some("playgate v1 handshake accept".to_owned()), "proof_wrong"),
    ("under the domain of a REFUSE", |p| p.domain = Some("playgate v1 handshake refuse".to_owned()), "proof_wrong"),
    ("under no domain", |p| p.domain = Some(String::new()), "proof_wrong"),
    ("under the domain of a version 2", |p| p.domain = Some("playgate v2 handshake proof".to_owned()), "proof_wrong"),
    ("with another nonce, proved anew", |p| p.nonce = Some("ee".repeat(16)), "mac_wrong"),
    ("a microsecond later, proved anew", |p| p.later_us = Some(1), "mac_wrong"),
    ("a microsecond earlier, proved anew", |p| p.later_us = Some(-1), "mac_wrong"),
    // A millisecond has passed since the challenge.
    ("at this very moment, proved anew", |p| p.later_us = Some(1_000), "mac_wrong"),
    ("a microsecond in the future, proved anew", |p| p.later_us = Some(1_001), "mac_expired"),
    ("an hour in the future, proved anew", |p| p.later_us = Some(3_600_000_000), "mac_expired"),
    ("ten seconds old, proved anew", |p| p.later_us = Some(-9_999_000), "mac_wrong"),
    ("a microsecond more than ten seconds old, proved anew", |p| p.later_us = Some(-9_999_001), "mac_expired"),
    ("before time began, proved anew", |p| p.later_us = Some(-1_000_000_001), "mac_expired"),
    ("with the first bit of the MAC, proved anew", |p| p.mac_xor = Some("01".to_owned()), "mac_wrong"),
    ("with the last bit of the MAC, proved anew", |p| p.mac_xor = Some("00".repeat(15) + "80"), "mac_wrong"),
    ("with the answer to bob's challenge", |p| p.challenge = "bob".to_owned(), "mac_wrong"),
    ("with the answer to a challenge from elsewhere", |p| p.challenge = "elsewhere".to_owned(), "mac_wrong"),
    ("with bob's token in it, proved by bob", |p| p.token = "bob".to_owned(), "mac_wrong"),
    ("magic changed", |p| p.xor_at = Some(0), "not_ours"),
    ("magic of another kind", |p| p.xor_at = Some(3), "not_ours"),
    ("nonce changed", |p| p.xor_at = Some(4), "mac_wrong"),
    ("last byte of the nonce changed", |p| p.xor_at = Some(19), "mac_wrong"),
    ("magic of the token changed", |p| p.xor_at = Some(20), "token_magic"),
    ("epoch of the token changed", |p| p.xor_at = Some(26), "unknown_epoch"),
    ("ordinal of the token changed", |p| p.xor_at = Some(32), "gate_tag"),
    ("process of the token changed", |p| p.xor_at = Some(68), "wrong_process"),
    ("tag of the token changed", |p| p.xor_at = Some(-57), "gate_tag"),
    ("time changed", |p| p.xor_at = Some(-56), "mac_wrong"),
    ("last byte of the time changed", |p| p.xor_at = Some(-49), "mac_expired"),
    ("MAC changed", |p| p.xor_at = Some(-48), "mac_wrong"),
    ("last byte of the MAC changed", |p| p.xor_at = Some(-33), "mac_wrong"),
    ("proof changed", |p| p.xor_at = Some(-32), "proof_wrong"),
    ("last byte of the proof changed", |p| p.xor_at = Some(-1), "proof_wrong"),
    // What is long enough for a token is taken for one, at other places.
    ("a byte shorter", |p| p.cut = Some(1), "gate_tag"),
    ("without a proof", |p| p.cut = Some(32), "length"),
    ("a byte longer", |p| p.append = Some("00".to_owned()), "gate_tag"),
    ("with the proof twice", |p| p.append = Some("00".repeat(32)), "gate_tag"),
    ("of 652 bytes", |p| p.append = Some("00".repeat(652 - 255)), "length"),
    ("of 653 bytes", |p| p.append = Some("00".repeat(653 - 255)), "length"),
];

pub fn all() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (name, change, reason) in ROWS {
        let mut story = Story::new("proof", *name);
        story.hello(HOME, "ann", Challenge).hello(HOME, "bob", Challenge);
        story.hello_kept(ELSEWHERE, "ann", "elsewhere", Challenge).pass_ms(1);
        story.make("ann", |_| ()).make("ann", |proof| {
            proof.keep = "other".to_owned();
            change(proof);
        });
        story.send(HOME, "other", No(reason)).send(HOME, "ann", In(1)).send(HOME, "other", No(reason));
        scripts.push(story.done());
    }
    scripts.extend([hellos(), two_of_one_moment(), late(), other_datagrams(), both_families()]);
    scripts
}

/// However many HELLOs there are, from wherever: nobody is in by them.
fn hellos() -> Script {
    let mut story = Story::new("proof", "nothing but HELLOs");
    for from in [HOME, HOME, ELSEWHERE, "[2001:db8::1]:40000", "203.0.113.9:1"] {
        story.hello(from, "ann", Challenge).hello(from, "bob", Challenge);
    }
    story.join(HOME, "ann", In(1));
    story.done()
}

/// Of two PROOFs with the same server time one counts.
fn two_of_one_moment() -> Script {
    let mut story = Story::new("proof", "two of one moment");
    story.hello(HOME, "ann", Challenge).hello_kept(ELSEWHERE, "ann", "second", Challenge).make("ann", |_| ());
    story.make("ann", |proof| (proof.keep, proof.challenge) = ("second".to_owned(), "second".to_owned()));
    story.send(HOME, "ann", In(1)).send(ELSEWHERE, "second", No("replayed")).send(HOME, "ann", Again(1));
    story.done()
}

/// The older of two PROOFs comes behind the newer one.
fn late() -> Script {
    let mut story = Story::new("proof", "the older of two comes late");
    story.hello(HOME, "ann", Challenge).make("ann", |_| ()).step(super::format::Do::Pass { us: 1 });
    story.hello_kept(HOME, "ann", "newer", Challenge);
    story.make("ann", |proof| (proof.keep, proof.challenge) = ("newer".to_owned(), "newer".to_owned()));
    story.send(HOME, "newer", In(1)).send(HOME, "ann", No("replayed"));
    story.done()
}

fn other_datagrams() -> Script {
    let mut story = Story::new("proof", "datagrams of other kinds");
    for (bytes, outcome) in [
        (&b""[..], "not_ours"),
        (b"PG1", "not_ours"),
        (b"PG2H", "not_ours"),
        (b"pg1h", "not_ours"),
        (b"PGT1", "not_ours"),
        (b"PG1C", "wrong_direction"),
        (b"PG1A", "wrong_direction"),
        (b"PG1R", "wrong_direction"),
        (b"PG1H", "length"),
        (b"PG1P", "length"),
    ] {
        story.raw(HOME, bytes, No(outcome)).raw(HOME, &[bytes, &[0; 16]].concat(), No(outcome));
    }
    for (len, outcome) in [(180, "length"), (181, "token_magic"), (596, "length"), (597, "length")] {
        let mut hello = vec![0; len];
        hello[..4].copy_from_slice(b"PG1H");
        story.raw(HOME, &hello, No(outcome));
    }
    let token = tokens::all()[0].token.clone();
    let text = [b"PG1H", &[7; 16][..], token.as_bytes()].concat();
    story.raw(HOME, &text, No("token_magic"));
    story.join(HOME, "ann", In(1));
    story.done()
}

/// On a socket for both families an IPv4 address has two forms.
fn both_families() -> Script {
    let mut story = Story::new("proof", "the same address in both forms");
    story.hello(HOME, "ann", Challenge).make("ann", |_| ());
    story.send("[::ffff:198.51.100.66]:40000", "ann", No("mac_wrong"));
    story.send("[::ffff:198.51.100.1]:40000", "ann", In(1));
    story.done()
}
