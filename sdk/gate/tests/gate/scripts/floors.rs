//! Longer stories: time and the floor, slots, rotation of keys and epochs, processes that come after one another.

use super::Script;
use super::format::Do;
use super::story::{Challenge, Expect, HOME, In, No, Story};
use super::tokens::{START_MS, public_key};

const HOUR_MS: u64 = 3_600_000;

pub fn all() -> Vec<Script> {
    let mut scripts =
        vec![before_anything(), slots(), lowered(), keys(), epochs(), processes(), tells_by_silence(), names()];
    scripts.extend(ordinals());
    scripts.extend(times());
    scripts
}

fn story(name: &str) -> Story {
    Story::new("story", name)
}

/// From nothing to an active session.
fn before_anything() -> Script {
    let mut story = Story::closed("story", "a server that is told one thing after the other");
    story.hello(HOME, "ann", No("unknown_epoch"));
    story.want(|wanted| wanted.session = None).join(HOME, "ann", No("no_session"));
    let mut open = Story::closed("", "");
    let session = open.wanted.session.take();
    story.want(|wanted| wanted.session = session).join(HOME, "ann", No("not_activated"));
    story.step(Do::Activate).send(HOME, "ann", In(1));
    story.done()
}

fn slots() -> Script {
    let mut story = story("four slots and five players");
    for (from, token) in [("198.51.100.1:1", "ann"), ("198.51.100.2:1", "bob"), ("198.51.100.3:1", "cid")] {
        story.join(from, token, In(1));
    }
    story.join("198.51.100.4:1", "dan", In(1)).join(HOME, "last ordinal", No("full"));
    story.disconnected("bob").join(HOME, "last ordinal", No("full")).join("198.51.100.2:2", "bob", In(2));
    story.leave("cid").join(HOME, "last ordinal", In(1)).join("198.51.100.3:1", "cid", No("used"));
    story.done()
}

/// Nobody is thrown out, and nobody comes in.
fn lowered() -> Script {
    let mut story = story("fewer are to be in than are");
    story.join("198.51.100.1:1", "ann", In(1)).join("198.51.100.2:1", "bob", In(1));
    story.want_session(|session| session.max_players = 1).join(HOME, "cid", No("full"));
    story.leave("ann").join(HOME, "cid", No("full")).leave("bob").join(HOME, "cid", In(1));
    story.want_session(|session| session.max_players = 2).join("198.51.100.4:1", "dan", In(1));
    story.done()
}

fn keys() -> Script {
    let mut story = story("key 1, both, key 2");
    story.join("198.51.100.1:1", "ann", In(1)).join(HOME, "bob, key 2", No("unknown_key"));
    story.want(|wanted| wanted.public_keys = vec![public_key(2, 2), public_key(1, 1)]);
    story.join(HOME, "bob, key 2", In(1)).join("198.51.100.3:1", "cid", In(1));
    story.want(|wanted| wanted.public_keys = vec![public_key(2, 2)]);
    story.join("198.51.100.4:1", "dan", No("unknown_key")).disconnected("ann").join("198.51.100.1:2", "ann", In(2));
    // A key that cannot verify anything safely is left out, and the others stay.
    let identity = super::format::PublicKey { key_id: 3, public_key: format!("01{}", "00".repeat(31)) };
    story.want(|wanted| wanted.public_keys = vec![identity, public_key(1, 1)]).join("198.51.100.4:1", "dan", In(1));
    story.done()
}

fn epochs() -> Script {
    let mut story = story("epoch 5, both, epoch 6");
    story.join("198.51.100.1:1", "ann", In(1)).hello(HOME, "bob, epoch 6", No("unknown_epoch"));
    story.want(|wanted| wanted.gate_epoch = 6).join(HOME, "bob, epoch 6", In(1)).join("198.51.100.3:1", "cid", In(1));
    story.hello("198.51.100.4:1", "dan", Challenge).make("dan", |_| ());
    story.want(|wanted| wanted.min_epoch = 6).send("198.51.100.4:1", "dan", No("unknown_epoch"));
    story.hello("198.51.100.4:1", "dan", No("unknown_epoch")).join("198.51.100.1:2", "ann", In(2));
    story.leave("cid").hello("198.51.100.3:1", "cid", No("unknown_epoch"));
    // No epoch at all: the least is above the current one.
    story.want(|wanted| wanted.min_epoch = 7).join("198.51.100.1:3", "ann", In(3));
    story.hello("198.51.100.3:1", "bob", No("unknown_epoch"));
    story.done()
}

/// A process that takes the place of another knows nothing of its players, and takes none of its tokens.
fn processes() -> Script {
    let mut story = story("a server that is launched again");
    story.hello_kept(HOME, "ann, next process", "early", No("wrong_process")).join(HOME, "ann", In(1)).restart("next");
    story.hello_kept(HOME, "ann", "late", No("wrong_process")).send(HOME, "ann", No("wrong_process"));
    story.join(HOME, "ann, next process", In(1)).join(HOME, "ann, next process", In(2));
    story.done()
}

/// What is silent where reasons are told is silent where they are not.
fn tells_by_silence() -> Script {
    let mut story = story("no reasons are told");
    story.want_session(|session| (session.tell_reason, session.max_players) = (false, 1));
    story.join(HOME, "ann", In(1)).join("198.51.100.2:1", "bob", No("full")).revoke(2, 2);
    story.join("198.51.100.3:1", "cid", No("revoked")).leave("ann").join(HOME, "ann", No("used"));
    story.want_session(|session| session.tell_reason = true).join(HOME, "ann", No("used"));
    story.done()
}

/// A revocation counts where ordinal and player session are of the same player.
fn names() -> Script {
    let mut story = story("revocations that mix up two players who are in");
    story.join(HOME, "ann", In(1)).join("198.51.100.2:1", "bob", In(1)).revoke(0, 1).revoke(1, 0);
    story.join(HOME, "ann", In(2)).join("198.51.100.2:1", "bob", In(2));
    story.out(1).revoke(1, 1).join("198.51.100.2:1", "bob", No("revoked")).join(HOME, "ann", In(3));
    story.done()
}

fn ordinals() -> Vec<Script> {
    let rows = [
        ("last ordinal", In(1)),
        ("first ordinal that is none", No("ordinal_too_large")),
        ("greatest number for an ordinal", No("ordinal_too_large")),
    ];
    let script = |(token, expect): (&str, Expect)| {
        let mut story = story(token);
        story.join("198.51.100.1:1", "ann", In(1)).join(HOME, token, expect);
        story.done()
    };
    rows.map(script).into()
}

fn times() -> Vec<Script> {
    let five = "ann, five seconds";
    let mut scripts = Vec::new();
    let mut add = |name: &str, tell: &dyn Fn(&mut Story)| {
        let mut story = story(name);
        tell(&mut story);
        scripts.push(story.done());
    };
    // A join takes a millisecond.
    add("a millisecond before the expiry", &|s| {
        s.pass_ms(4_998).join(HOME, five, In(1));
    });
    add("at the expiry", &|s| {
        s.pass_ms(4_999).join(HOME, five, No("expired")).join(HOME, "bob", In(1));
    });
    add("at the expiry of a token whose key is not known", &|s| {
        s.pass_ms(4_998).join(HOME, "signed by nobody, five seconds", No("unknown_key"));
        s.join(HOME, "signed by nobody, five seconds", No("expired")).join(HOME, "bob", In(1));
    });
    add("a beat has promised the time of the expiry", &|s| {
        s.hello(HOME, five, Challenge).make(five, |_| ()).pass_ms(5_000);
        s.step(Do::Beat { floor_ms: START_MS + 5_000 }).step(Do::Sync { coordinator_ms: START_MS });
        s.send(HOME, five, No("expired")).step(Do::Beat { floor_ms: START_MS + 5_000 }).join(HOME, "bob", In(1));
    });
    add("a beat has promised a millisecond less", &|s| {
        s.pass_ms(4_998).step(Do::Beat { floor_ms: START_MS + 4_998 }).join(HOME, five, In(1));
    });
    add("the clock is set back", &|s| {
        s.pass_ms(10_000).step(Do::Sync { coordinator_ms: START_MS }).step(Do::Beat { floor_ms: START_MS + 10_000 });
        s.join(HOME, five, No("expired")).pass_ms(9_000).step(Do::Beat { floor_ms: START_MS + 10_000 });
        s.pass_ms(999).step(Do::Beat { floor_ms: START_MS + 10_000 });
        s.pass_ms(1).step(Do::Beat { floor_ms: START_MS + 10_001 }).join(HOME, "bob", In(1));
    });
    add("the clock is set an hour ahead", &|s| {
        s.step(Do::Sync { coordinator_ms: START_MS + HOUR_MS }).join(HOME, "ann", No("expired"));
        s.join(HOME, "ann, an hour", No("expired")).join(HOME, "ann, from the future", In(1));
    });
    add("a good token from the future moves the clock", &|s| {
        s.join(HOME, "ann, from the future", In(1)).step(Do::Beat { floor_ms: START_MS + HOUR_MS });
        s.join("198.51.100.2:1", "bob", No("expired"));
    });
    add("a forged token from the future does not move the clock", &|s| {
        s.join(HOME, "eve, from the future", No("signature")).step(Do::Beat { floor_ms: START_MS + 1 });
        s.join(HOME, five, In(1));
    });
    add("a token from the future that finds no slot moves the clock", &|s| {
        s.want_session(|session| session.max_players = 0).join(HOME, "ann, from the future", No("full"));
        s.step(Do::Beat { floor_ms: START_MS + HOUR_MS }).join(HOME, "bob", No("expired"));
        s.want_session(|session| session.max_players = 1).join(HOME, "ann, from the future", In(1));
    });
    scripts
}
