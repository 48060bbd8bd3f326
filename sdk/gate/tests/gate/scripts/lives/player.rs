//! What has become of the player: in, absent, gone, revoked, or in with another token.

use super::super::format::Do;
use super::super::story::{Again, Challenge, ELSEWHERE, HOME, In, No, Story};
use super::{MOMENT, Moment};

fn enter(story: &mut Story) {
    story.send(HOME, "ann", In(1));
}

pub const MOMENTS: &[Moment] = &[
    MOMENT,
    Moment { name: "in", bring: enter, joins: In(2), seen: Again(1), ..MOMENT },
    Moment {
        name: "in, ten seconds later",
        bring: |s| {
            s.send(HOME, "ann", In(1)).pass_ms(9_999);
        },
        joins: In(2),
        seen: Again(1),
        ..MOMENT
    },
    Moment {
        name: "in, a microsecond more than ten seconds later",
        bring: |s| {
            s.send(HOME, "ann", In(1)).step(Do::Pass { us: 9_999_001 });
        },
        joins: In(2),
        seen: No("mac_expired"),
        elsewhere: "mac_expired",
        ..MOMENT
    },
    Moment {
        name: "in again from elsewhere",
        bring: |s| {
            s.send(HOME, "ann", In(1))
                .pass_ms(1)
                .hello_kept(ELSEWHERE, "ann", "again", Challenge)
                .make("ann", |p| {
                    (p.keep, p.challenge) = ("again".to_owned(), "again".to_owned());
                })
                .send(ELSEWHERE, "again", In(2));
        },
        joins: In(3),
        seen: No("replayed"),
        ..MOMENT
    },
    Moment {
        name: "absent",
        bring: |s| {
            s.send(HOME, "ann", In(1)).disconnected("ann");
        },
        joins: In(2),
        seen: No("replayed"),
        ..MOMENT
    },
    Moment {
        name: "absent, a microsecond before the end of the grace",
        bring: |s| {
            s.send(HOME, "ann", In(1)).disconnected("ann").step(Do::Pass { us: 4_998_999 });
        },
        joins: In(2),
        seen: No("replayed"),
        ..MOMENT
    },
    Moment {
        name: "absent until the end of the grace",
        bring: |s| {
            s.send(HOME, "ann", In(1)).disconnected("ann").out(1).pass_ms(5_000);
        },
        joins: No("used"),
        seen: No("used"),
        ..MOMENT
    },
    Moment {
        name: "left",
        bring: |s| {
            s.send(HOME, "ann", In(1)).leave("ann");
        },
        joins: No("used"),
        seen: No("used"),
        ..MOMENT
    },
    Moment {
        name: "revoked before she came",
        bring: |s| {
            s.revoke(0, 0);
        },
        joins: No("revoked"),
        seen: No("revoked"),
        ..MOMENT
    },
    Moment {
        name: "revoked while in",
        bring: |s| {
            s.send(HOME, "ann", In(1)).out(1).revoke(0, 0);
        },
        joins: No("revoked"),
        seen: No("revoked"),
        ..MOMENT
    },
    Moment {
        name: "revoked while absent",
        bring: |s| {
            s.send(HOME, "ann", In(1)).disconnected("ann").out(1).revoke(0, 0);
        },
        joins: No("revoked"),
        seen: No("revoked"),
        ..MOMENT
    },
    Moment {
        name: "revoked, and not in the list any more",
        bring: |s| {
            s.revoke(0, 0).want_session(|session| session.revoked.clear());
        },
        joins: No("revoked"),
        seen: No("revoked"),
        ..MOMENT
    },
    Moment {
        name: "revoked after she left",
        bring: |s| {
            s.send(HOME, "ann", In(1)).leave("ann").revoke(0, 0);
        },
        joins: No("used"),
        seen: No("used"),
        ..MOMENT
    },
    Moment {
        name: "another ordinal is revoked",
        bring: |s| {
            s.revoke(1, 1);
        },
        ..MOMENT
    },
    Moment {
        name: "in, and her ordinal is revoked for somebody else",
        bring: |s| {
            s.send(HOME, "ann", In(1)).revoke(0, 1);
        },
        joins: In(2),
        seen: Again(1),
        ..MOMENT
    },
    Moment {
        name: "another token of hers is in",
        bring: |s| {
            s.join(ELSEWHERE, "ann again", In(1));
        },
        joins: No("other_token"),
        seen: No("other_token"),
        ..MOMENT
    },
    Moment {
        name: "her ordinal is in for somebody else",
        bring: |s| {
            s.join(ELSEWHERE, "bob under ann's ordinal", In(1));
        },
        joins: No("other_token"),
        seen: No("other_token"),
        ..MOMENT
    },
    Moment {
        name: "she is in under another ordinal",
        bring: |s| {
            s.join(ELSEWHERE, "ann under bob's ordinal", In(1));
        },
        joins: No("other_token"),
        seen: No("other_token"),
        ..MOMENT
    },
    Moment {
        name: "another token of hers was in, and left",
        bring: |s| {
            s.join(ELSEWHERE, "ann again", In(1)).leave("ann");
        },
        joins: No("used"),
        seen: No("used"),
        ..MOMENT
    },
];
