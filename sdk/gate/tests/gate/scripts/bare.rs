//! Bare tokens, in fleets that take them: whoever has the token is the player, once.

use super::Script;
use super::format::Do;
use super::story::{Again, Challenge, ELSEWHERE, Expect, HOME, In, No, Story};
use super::tokens::{OTHER_SESSION, hex};

/// What happens before, and what the token comes to on the connections 1 and 2 then.
type Row = (&'static str, fn(&mut Story), [Expect; 2]);

const ROWS: &[Row] = &[
    ("never in", |_| (), [In(1), No("still_connected")]),
    (
        "in on connection 1",
        |s| {
            s.admit(1, "ann", In(1));
        },
        [Again(1), No("still_connected")],
    ),
    (
        "in on connection 3",
        |s| {
            s.admit(3, "ann", In(1));
        },
        [No("still_connected"); 2],
    ),
    (
        "absent",
        |s| {
            s.admit(1, "ann", In(1)).disconnected("ann");
        },
        [In(2), No("still_connected")],
    ),
    (
        "absent for too long",
        |s| {
            s.admit(1, "ann", In(1)).disconnected("ann").out(1).pass_ms(5_000);
        },
        [No("used"); 2],
    ),
    (
        "left",
        |s| {
            s.admit(1, "ann", In(1)).leave("ann");
        },
        [No("used"); 2],
    ),
    (
        "revoked",
        |s| {
            s.revoke(0, 0);
        },
        [No("revoked"); 2],
    ),
    (
        "revoked while in",
        |s| {
            s.admit(1, "ann", In(1)).out(1).revoke(0, 0);
        },
        [No("revoked"); 2],
    ),
    (
        "another token of hers is in",
        |s| {
            s.admit(3, "ann again", In(1));
        },
        [No("other_token"); 2],
    ),
    (
        "full",
        |s| {
            s.want_session(|w| w.max_players = 1).admit(3, "bob", In(1));
        },
        [No("full"); 2],
    ),
    (
        "ended",
        |s| {
            s.end_session();
        },
        [No("session_ended"); 2],
    ),
    (
        "taken away",
        |s| {
            s.want(|w| w.session = None);
        },
        [No("no_session"); 2],
    ),
    (
        "another session",
        |s| {
            s.want_session(|w| w.game_session_id = hex(&OTHER_SESSION)).step(Do::Activate);
        },
        [No("wrong_session"); 2],
    ),
    (
        "not active",
        |s| {
            s.want_session(|w| w.attempt = 2);
        },
        [No("not_activated"); 2],
    ),
    (
        "expired",
        |s| {
            s.pass_ms(60_000);
        },
        [No("expired"); 2],
    ),
    (
        "expired while in",
        |s| {
            s.admit(1, "ann", In(1)).pass_ms(60_000);
        },
        [Again(1), No("still_connected")],
    ),
    (
        "epoch withdrawn",
        |s| {
            s.want(|w| (w.gate_epoch, w.min_epoch) = (6, 6));
        },
        [No("unknown_epoch"); 2],
    ),
    (
        "epoch withdrawn while absent",
        |s| {
            s.admit(1, "ann", In(1)).disconnected("ann").want(|w| (w.gate_epoch, w.min_epoch) = (6, 6));
        },
        [In(2), No("still_connected")],
    ),
    (
        "key withdrawn",
        |s| {
            s.want(|w| w.public_keys.clear());
        },
        [No("unknown_key"); 2],
    ),
    (
        "launched again",
        |s| {
            s.admit(1, "ann", In(1)).restart("next");
        },
        [No("wrong_process"); 2],
    ),
    (
        "in by a PROOF",
        |s| {
            s.join(HOME, "ann", In(1));
        },
        [No("still_connected"); 2],
    ),
    (
        "absent after a PROOF",
        |s| {
            s.join(HOME, "ann", In(1)).disconnected("ann");
        },
        [In(2), No("still_connected")],
    ),
    (
        "bare tokens are not taken any more",
        |s| {
            s.admit(1, "ann", In(1)).want_session(|w| w.bearer = false);
        },
        [No("bearer_not_allowed"); 2],
    ),
];

pub fn all() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (name, bring, [first, second]) in ROWS {
        let mut story = Story::new("bare", *name);
        story.want_session(|session| session.bearer = true);
        bring(&mut story);
        story.admit(1, "ann", *first).admit(2, "ann", *second);
        scripts.push(story.done());
    }
    // A PROOF says more than a bare token, and takes the player over; one that was seen before does not.
    let mut story = Story::new("bare", "a PROOF of a player who is in with a bare token");
    story.want_session(|session| session.bearer = true).admit(1, "ann", In(1)).join(HOME, "ann", In(2));
    story.admit(1, "ann", No("still_connected"));
    scripts.push(story.done());
    let mut story = Story::new("bare", "an old PROOF of a player who is in with a bare token");
    story.want_session(|session| session.bearer = true).join(HOME, "ann", In(1)).disconnected("ann");
    story.admit(1, "ann", In(2)).send(HOME, "ann", No("replayed")).send(ELSEWHERE, "ann", No("mac_wrong"));
    scripts.push(story.done());
    let mut story = Story::new("bare", "forged, shortened and foreign tokens");
    story.want_session(|session| session.bearer = true);
    for (token, reason) in super::forgeries::AT_THE_DOOR.into_iter().chain(super::forgeries::BEHIND_THE_PROOF) {
        story.admit(1, token, No(reason));
    }
    story.admit(1, "ann", In(1)).hello(HOME, "ann", Challenge);
    scripts.push(story.done());
    scripts
}
