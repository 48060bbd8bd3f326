//! What a token is worth at each moment of a player session: to its holder, to a thief, and to whoever has seen a PROOF.

use super::Script;
use super::story::{Challenge, ELSEWHERE, Expect, HOME, In, No, Story};

mod player;
mod server;

/// Brings a player session to the moment. Ann has a challenge, and her PROOF is made, when it begins.
struct Moment {
    name: &'static str,
    token: &'static str,
    bring: fn(&mut Story),
    /// She joins, from the same address.
    joins: Expect,
    /// Her PROOF, from the same address.
    seen: Expect,
    /// A HELLO of anybody who has the token.
    hello: Expect,
    /// Her PROOF from another address, and a thief's own PROOF: nothing, unless the token is of no use at all.
    elsewhere: &'static str,
    thief: &'static str,
    /// The bare token, in a fleet that takes none.
    bare: &'static str,
}

const MOMENT: Moment = Moment {
    name: "never in",
    token: "ann",
    bring: |_| (),
    joins: In(1),
    seen: In(1),
    hello: Challenge,
    elsewhere: "mac_wrong",
    thief: "proof_wrong",
    bare: "bearer_not_allowed",
};

const UNUSABLE: Moment = Moment {
    joins: No("unknown_epoch"),
    seen: No("unknown_epoch"),
    hello: No("unknown_epoch"),
    elsewhere: "unknown_epoch",
    thief: "unknown_epoch",
    ..MOMENT
};

pub fn all() -> Vec<Script> {
    [player::MOMENTS, server::MOMENTS]
        .into_iter()
        .flatten()
        .flat_map(|moment| [moment.joins(true), moment.joins(false), moment.seen(), moment.others()])
        .collect()
}

impl Moment {
    fn begin(&self, what: &str, tells: bool) -> Story {
        let mut story = Story::new("life", format!("{}: {what}", self.name));
        if !tells {
            story.want_session(|session| session.tell_reason = false);
        }
        story.hello(HOME, self.token, Challenge).make(self.token, |_| ()).pass_ms(1);
        (self.bring)(&mut story);
        story
    }

    fn joins(&self, tells: bool) -> Script {
        let what = if tells { "she joins" } else { "she joins, and no reasons are told" };
        let mut story = self.begin(what, tells);
        match self.hello {
            Challenge => story.join(HOME, self.token, self.joins),
            refused => story.hello(HOME, self.token, refused),
        };
        story.done()
    }

    fn seen(&self) -> Script {
        let mut story = self.begin("her PROOF comes again", true);
        story.send(HOME, self.token, self.seen);
        story.done()
    }

    fn others(&self) -> Script {
        let mut story = self.begin("somebody else has token and PROOF", true);
        story.send(ELSEWHERE, self.token, No(self.elsewhere));
        story.send("198.51.100.1:40001", self.token, No(self.elsewhere));
        story.hello_kept(ELSEWHERE, self.token, "stolen", self.hello);
        if matches!(self.hello, Challenge) {
            story.make(self.token, |proof| {
                (proof.keep, proof.challenge) = ("stolen".to_owned(), "stolen".to_owned());
                proof.key = Some("00".repeat(32));
            });
            story.send(ELSEWHERE, "stolen", No(self.thief));
        }
        story.admit(7, self.token, No(self.bare));
        story.done()
    }
}
