//! What has become of the server: full, ended, with other keys and epochs, launched again.

use super::super::format::Do;
use super::super::story::{Again, ELSEWHERE, HOME, In, No};
use super::super::tokens::{OTHER_SESSION, hex, public_key};
use super::{MOMENT, Moment, UNUSABLE};

pub const MOMENTS: &[Moment] = &[
    Moment {
        name: "the session is full",
        bring: |s| {
            s.want_session(|session| session.max_players = 1).join(ELSEWHERE, "bob", In(1));
        },
        joins: No("full"),
        seen: No("full"),
        ..MOMENT
    },
    Moment {
        name: "the session is full of somebody absent",
        bring: |s| {
            s.want_session(|w| w.max_players = 1).join(ELSEWHERE, "bob", In(1)).disconnected("bob");
        },
        joins: No("full"),
        seen: No("full"),
        ..MOMENT
    },
    Moment {
        name: "the session was full",
        bring: |s| {
            s.want_session(|w| w.max_players = 1).join(ELSEWHERE, "bob", In(1)).leave("bob");
        },
        ..MOMENT
    },
    Moment {
        name: "in, and nobody is to be in any more",
        bring: |s| {
            s.send(HOME, "ann", In(1)).want_session(|w| w.max_players = 0);
        },
        joins: In(2),
        seen: Again(1),
        ..MOMENT
    },
    Moment {
        name: "the session was ended by the game",
        bring: |s| {
            s.end_session();
        },
        joins: No("session_ended"),
        seen: No("session_ended"),
        ..MOMENT
    },
    Moment {
        name: "in, and the session was ended by the game",
        bring: |s| {
            s.send(HOME, "ann", In(1)).end_session();
        },
        joins: No("session_ended"),
        seen: No("session_ended"),
        ..MOMENT
    },
    Moment {
        name: "the session was taken away",
        bring: |s| {
            s.want(|wanted| wanted.session = None);
        },
        joins: No("no_session"),
        seen: No("no_session"),
        bare: "no_session",
        ..MOMENT
    },
    Moment {
        name: "in, and another session is hosted",
        bring: |s| {
            s.send(HOME, "ann", In(1))
                .out(1)
                .want_session(|w| w.game_session_id = hex(&OTHER_SESSION))
                .step(Do::Activate);
        },
        joins: No("wrong_session"),
        seen: No("wrong_session"),
        ..MOMENT
    },
    Moment {
        name: "the next attempt of the session is not active yet",
        bring: |s| {
            s.want_session(|w| w.attempt = 2);
        },
        joins: No("not_activated"),
        seen: No("not_activated"),
        ..MOMENT
    },
    Moment {
        name: "expired before she came",
        token: "ann, five seconds",
        bring: |s| {
            s.pass_ms(5_000);
        },
        joins: No("expired"),
        seen: No("expired"),
        ..MOMENT
    },
    Moment {
        name: "expired while in",
        token: "ann, five seconds",
        bring: |s| {
            s.send(HOME, "ann, five seconds", In(1)).pass_ms(5_000);
        },
        joins: In(2),
        seen: Again(1),
        ..MOMENT
    },
    Moment {
        name: "her epoch was withdrawn before she came",
        bring: |s| {
            s.want(|w| (w.gate_epoch, w.min_epoch) = (6, 6));
        },
        ..UNUSABLE
    },
    Moment {
        name: "her epoch is the one before",
        bring: |s| {
            s.want(|w| w.gate_epoch = 6);
        },
        ..MOMENT
    },
    Moment {
        name: "her epoch is two before",
        bring: |s| {
            s.want(|w| w.gate_epoch = 7);
        },
        ..UNUSABLE
    },
    Moment {
        name: "her epoch was withdrawn while in",
        bring: |s| {
            s.send(HOME, "ann", In(1)).want(|w| (w.gate_epoch, w.min_epoch) = (9, 9));
        },
        joins: In(2),
        seen: Again(1),
        ..MOMENT
    },
    Moment {
        name: "her epoch was withdrawn while absent",
        bring: |s| {
            s.send(HOME, "ann", In(1)).disconnected("ann").want(|w| (w.gate_epoch, w.min_epoch) = (6, 6));
        },
        joins: In(2),
        seen: No("replayed"),
        ..MOMENT
    },
    Moment {
        name: "her epoch was withdrawn, and she left",
        bring: |s| {
            s.send(HOME, "ann", In(1)).want(|w| (w.gate_epoch, w.min_epoch) = (6, 6)).leave("ann");
        },
        ..UNUSABLE
    },
    Moment {
        name: "her epoch was withdrawn, and another token of hers is in",
        bring: |s| {
            s.join(ELSEWHERE, "ann again", In(1)).want(|w| (w.gate_epoch, w.min_epoch) = (6, 6));
        },
        ..UNUSABLE
    },
    Moment {
        name: "her key was withdrawn before she came",
        bring: |s| {
            s.want(|w| w.public_keys = vec![public_key(2, 2)]);
        },
        joins: No("unknown_key"),
        seen: No("unknown_key"),
        ..MOMENT
    },
    Moment {
        name: "her key is followed by another",
        bring: |s| {
            s.want(|w| w.public_keys = vec![public_key(2, 2), public_key(1, 1)]);
        },
        ..MOMENT
    },
    Moment {
        name: "her key was replaced under its id",
        bring: |s| {
            s.want(|w| w.public_keys = vec![public_key(1, 2)]);
        },
        joins: No("signature"),
        seen: No("signature"),
        ..MOMENT
    },
    Moment {
        name: "her key was withdrawn while in",
        bring: |s| {
            s.send(HOME, "ann", In(1)).want(|w| w.public_keys.clear());
        },
        joins: In(2),
        seen: Again(1),
        ..MOMENT
    },
    Moment {
        name: "her server was launched again as another process",
        bring: |s| {
            s.send(HOME, "ann", In(1)).restart("next");
        },
        joins: No("wrong_process"),
        seen: No("wrong_process"),
        hello: No("wrong_process"),
        elsewhere: "wrong_process",
        thief: "wrong_process",
        ..MOMENT
    },
    Moment {
        name: "the gate was made anew with other random bytes",
        bring: |s| {
            s.restart("first");
        },
        seen: No("mac_wrong"),
        ..MOMENT
    },
];
