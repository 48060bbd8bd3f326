//! Tokens that are not the coordinator's, through the handshake: most end at the door, the others behind the proof.

use super::Script;
use super::story::{Challenge, HOME, In, No, Story};

/// By what a HELLO and a PROOF with the token are refused, in silence.
pub const AT_THE_DOOR: [(&str, &str); 19] = [
    ("160 bytes", "length"),
    ("161 bytes", "gate_tag"),
    ("544 bytes", "gate_tag"),
    ("545 bytes", "length"),
    ("576 bytes", "length"),
    ("577 bytes", "length"),
    ("PGT2", "token_magic"),
    ("ann, next process", "wrong_process"),
    ("bob, epoch 4", "unknown_epoch"),
    ("bob, epoch 6", "unknown_epoch"),
    ("last bit of the tag", "gate_tag"),
    ("a byte more", "gate_tag"),
    ("flag 0", "flags"),
    ("player id of no length", "player_id_length"),
    ("player data of 512 bytes", "player_data_length"),
    ("lengths that do not add up", "total_length"),
    ("player id that is no text", "player_id_text"),
    ("no lifetime", "lifetime"),
    ("an hour and a millisecond", "lifetime"),
];

/// By what the PROOF of the holder is refused: whoever has the roots of the process can be one.
pub const BEHIND_THE_PROOF: [(&str, &str); 11] = [
    ("bob, other session", "wrong_session"),
    ("first ordinal that is none", "ordinal_too_large"),
    ("greatest number for an ordinal", "ordinal_too_large"),
    ("bob, key 2", "unknown_key"),
    ("signed by nobody, who says so", "unknown_key"),
    ("R of small order", "small_order"),
    ("signed by nobody", "signature"),
    ("ordinal changed", "signature"),
    ("player session changed", "signature"),
    ("expiry changed", "signature"),
    ("eve, from the future", "signature"),
];

pub fn all() -> Vec<Script> {
    let mut scripts = Vec::new();
    for (token, reason) in AT_THE_DOOR {
        let mut story = Story::new("forgery", token);
        story.hello_kept(HOME, token, "refused", No(reason));
        // Nor does it help to have a challenge for another token.
        story.hello(HOME, "ann", Challenge).make(token, |proof| proof.challenge = "ann".to_owned());
        story.send(HOME, token, No(reason)).join(HOME, "ann", In(1));
        scripts.push(story.done());
    }
    for (token, reason) in BEHIND_THE_PROOF {
        let mut story = Story::new("forgery", token);
        story.hello(HOME, token, Challenge).make(token, |proof| proof.key = Some("00".repeat(32)));
        story.send(HOME, token, No("proof_wrong"));
        story.make(token, |_| ()).send(HOME, token, No(reason)).send(HOME, token, No(reason));
        // It has used up no slot, no ordinal and no player session.
        story.join(HOME, "ann", In(1)).join("198.51.100.2:40000", "bob", In(1));
        scripts.push(story.done());
    }
    scripts
}
