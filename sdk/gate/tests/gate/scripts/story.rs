//! Writing a script: a step, and what is expected of it.

use super::Script;
use super::format::{Do, Proof, Revoked, Step, Wanted, WantedSession};
use super::tokens::{EPOCH, SESSION, hex, player_session, public_key};

pub const HOME: &str = "198.51.100.1:40000";
pub const ELSEWHERE: &str = "198.51.100.66:40000";

/// What a datagram or bare token comes to.
#[derive(Clone, Copy)]
pub enum Expect {
    Challenge,
    /// Admitted, with this generation.
    In(u32),
    /// The answer of this generation again.
    Again(u32),
    No(&'static str),
}
pub use Expect::{Again, Challenge, In, No};

pub struct Story {
    script: Script,
    pub wanted: Wanted,
    players: u32,
    nonces: u8,
    /// Of the session that is or was hosted.
    tells: bool,
}

impl Story {
    /// The session is active, for up to four players, with a grace of five seconds; reasons are told.
    pub fn new(family: &str, name: impl Into<String>) -> Self {
        let mut story = Self::closed(family, name);
        story.want(|_| ());
        story.step(Do::Activate);
        story
    }

    /// Nothing was said to the server yet.
    pub fn closed(family: &str, name: impl Into<String>) -> Self {
        let session = WantedSession {
            game_session_id: hex(&SESSION),
            attempt: 1,
            max_players: 4,
            rejoin_grace_ms: 5_000,
            bearer: false,
            tell_reason: true,
            revoked: Vec::new(),
        };
        let wanted =
            Wanted { gate_epoch: EPOCH, min_epoch: EPOCH, public_keys: vec![public_key(1, 1)], session: Some(session) };
        let script = Script { family: family.to_owned(), name: name.into(), steps: Vec::new() };
        Self { script, wanted, players: 0, nonces: 0, tells: false }
    }

    pub fn done(self) -> Script {
        self.script
    }

    pub fn step(&mut self, what: Do) -> &mut Self {
        let players = self.players;
        self.script.steps.push(Step { what, expect: None, generation: None, refuse: None, players });
        self
    }

    /// With the next step this many players are out.
    pub fn out(&mut self, players: u32) -> &mut Self {
        self.players -= players;
        self
    }

    pub fn want(&mut self, change: impl FnOnce(&mut Wanted)) -> &mut Self {
        change(&mut self.wanted);
        self.tells = self.wanted.session.as_ref().map_or(self.tells, |session| session.tell_reason);
        self.step(Do::Want(self.wanted.clone()))
    }

    pub fn want_session(&mut self, change: impl FnOnce(&mut WantedSession)) -> &mut Self {
        self.want(|wanted| change(wanted.session.as_mut().unwrap()))
    }

    pub fn revoke(&mut self, ordinal: u32, player: u32) -> &mut Self {
        let revoked = Revoked { ordinal, player_session_id: hex(&player_session(player)) };
        self.want_session(|session| session.revoked.push(revoked))
    }

    pub fn pass_ms(&mut self, ms: u64) -> &mut Self {
        self.step(Do::Pass { us: ms * 1_000 })
    }

    fn outcome(&mut self, what: Do, expect: Expect) -> &mut Self {
        self.players += u32::from(matches!(expect, In(1)));
        self.step(what);
        let tells = self.tells;
        let is_bare = matches!(self.script.steps.last().unwrap().what, Do::Admit { .. });
        let (name, generation, refuse) = match expect {
            Challenge => ("challenge", None, None),
            In(generation) => ("admitted", Some(generation), None),
            Again(generation) => ("repeated", Some(generation), None),
            No(reason) => (reason, None, code(reason).filter(|_| !is_bare).map(|code| if tells { code } else { 0 })),
        };
        let step = self.script.steps.last_mut().unwrap();
        (step.expect, step.generation, step.refuse) = (Some(name.to_owned()), generation, refuse);
        self
    }

    /// A HELLO; the challenge is kept under the name of the token.
    pub fn hello(&mut self, from: &str, token: &str, expect: Expect) -> &mut Self {
        self.hello_kept(from, token, token, expect)
    }

    pub fn hello_kept(&mut self, from: &str, token: &str, keep: &str, expect: Expect) -> &mut Self {
        self.nonces += 1;
        let (from, token, keep) = (from.to_owned(), token.to_owned(), keep.to_owned());
        self.outcome(Do::Hello { from, nonce: hex(&[self.nonces; 16]), token, keep }, expect)
    }

    /// The PROOF that answers the challenge of this name, kept under the same name.
    pub fn make(&mut self, token: &str, change: impl FnOnce(&mut Proof)) -> &mut Self {
        let [keep, challenge, token] = [token; 3].map(str::to_owned);
        let mut proof = Proof { keep, challenge, token, ..Proof::default() };
        change(&mut proof);
        self.step(Do::Make(proof))
    }

    pub fn send(&mut self, from: &str, datagram: &str, expect: Expect) -> &mut Self {
        self.outcome(Do::Send { from: from.to_owned(), datagram: datagram.to_owned() }, expect)
    }

    pub fn raw(&mut self, from: &str, bytes: &[u8], expect: Expect) -> &mut Self {
        self.outcome(Do::Raw { from: from.to_owned(), bytes: hex(bytes) }, expect)
    }

    /// HELLO and PROOF, a millisecond after what was before.
    pub fn join(&mut self, from: &str, token: &str, expect: Expect) -> &mut Self {
        self.pass_ms(1).hello(from, token, Challenge).make(token, |_| ()).send(from, token, expect)
    }

    pub fn admit(&mut self, connection: u64, token: &str, expect: Expect) -> &mut Self {
        self.outcome(Do::Admit { connection, token: token.to_owned() }, expect)
    }

    pub fn disconnected(&mut self, player: &str) -> &mut Self {
        self.step(Do::Disconnected { player: player.to_owned() })
    }

    pub fn leave(&mut self, player: &str) -> &mut Self {
        self.out(1).step(Do::Leave { player: player.to_owned() })
    }

    pub fn end_session(&mut self) -> &mut Self {
        self.players = 0;
        self.step(Do::EndSession)
    }

    /// A new process, or a new start of one, is told the same as the one before.
    pub fn restart(&mut self, server: &str) -> &mut Self {
        self.players = 0;
        self.step(Do::Restart { server: server.to_owned() });
        self.want(|_| ()).step(Do::Activate)
    }
}

/// The code of the REFUSE, from the column "if it fails" of PROTOCOL.md; none is silence.
fn code(reason: &str) -> Option<u8> {
    match reason {
        "no_session" | "wrong_session" | "session_ended" => Some(5),
        "ordinal_too_large" | "other_token" | "unknown_key" | "small_order" | "signature" => Some(0),
        "revoked" => Some(2),
        "used" => Some(3),
        "expired" => Some(1),
        "full" => Some(4),
        _ => None,
    }
}
