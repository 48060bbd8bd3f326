//! Why somebody was not admitted: one reason per check.

use std::fmt;

use playgate_protocol::handshake::RefuseCode;
use playgate_token::Reject;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $label:literal, $told:expr;)+) => {
        /// Why somebody was not admitted. For the server's counters and its game; the player learns at most the
        /// [`RefuseCode`], and that only where the fleet tells reasons.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RefuseReason { $($(#[$doc])* $variant,)+ }

        impl RefuseReason {
            /// Every reason: `ALL[reason as usize] == reason`.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// How many reasons there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The reason as a metric label.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            const fn told(self) -> Told {
                match self { $(Self::$variant => $told,)+ }
            }
        }
    };
}

/// What goes back to the sender of a refused PROOF that proved to be its holder's.
#[derive(Clone, Copy)]
enum Told {
    /// Nothing: the sender is not known to hold the key, or another try may well succeed.
    Nothing,
    /// REFUSE, with this code where the fleet tells reasons.
    Code(RefuseCode),
}

use RefuseCode::{Expired, Full, Over, Refused, Revoked, SessionOver};
use Told::{Code, Nothing};

reasons! {
    /// No HELLO, PROOF or token has this length.
    Length = "length", Nothing;
    /// A datagram that servers send and never get.
    WrongDirection = "wrong_direction", Nothing;
    /// What should be a token does not begin like one.
    TokenMagic = "token_magic", Nothing;
    /// The token is for another server process.
    WrongProcess = "wrong_process", Nothing;
    /// The token's gate epoch is not accepted, and its player is not in.
    UnknownEpoch = "unknown_epoch", Nothing;
    /// The token's gate tag does not match.
    GateTag = "gate_tag", Nothing;
    /// The token has a flag that PGT1 does not know.
    Flags = "flags", Nothing;
    /// The token's player id is empty or too long.
    PlayerIdLength = "player_id_length", Nothing;
    /// The token's player data is too long.
    PlayerDataLength = "player_data_length", Nothing;
    /// The token's lengths do not add up.
    TotalLength = "total_length", Nothing;
    /// The token's player id is not UTF-8.
    PlayerIdText = "player_id_text", Nothing;
    /// The token lives for too long, or not at all.
    Lifetime = "lifetime", Nothing;
    /// The challenge is older than ten seconds, or from the future.
    MacExpired = "mac_expired", Nothing;
    /// The challenge was not made for this sender, token and nonce.
    MacWrong = "mac_wrong", Nothing;
    /// The sender does not hold the holder key.
    ProofWrong = "proof_wrong", Nothing;
    /// Not newer than the last accepted PROOF of this player: a replay.
    Replayed = "replayed", Nothing;
    /// No game session is hosted.
    NoSession = "no_session", Code(SessionOver);
    /// The token is for another game session.
    WrongSession = "wrong_session", Code(SessionOver);
    /// The game session is not active yet.
    NotActivated = "not_activated", Nothing;
    /// The game has ended its session.
    SessionEnded = "session_ended", Code(SessionOver);
    /// Above what any game session hands out.
    OrdinalTooLarge = "ordinal_too_large", Code(Refused);
    /// The player has left, or was absent for too long.
    Used = "used", Code(Over);
    /// The player session was revoked.
    Revoked = "revoked", Code(Revoked);
    /// Another token with this ordinal or player session is in.
    OtherToken = "other_token", Code(Refused);
    /// The token's time is over.
    Expired = "expired", Code(Expired);
    /// Too many signatures to check at once.
    RateLimited = "rate_limited", Nothing;
    /// The token's signing key is not in force.
    UnknownKey = "unknown_key", Code(Refused);
    /// The token's signature is one that no honest signer makes.
    SmallOrder = "small_order", Code(Refused);
    /// The token's signature does not verify.
    Signature = "signature", Code(Refused);
    /// As many players are in as the game session admits.
    Full = "full", Code(Full);
    /// A bare token, in a fleet that wants a proof.
    BearerNotAllowed = "bearer_not_allowed", Nothing;
    /// A bare token whose player is still connected elsewhere.
    StillConnected = "still_connected", Nothing;
}

impl RefuseReason {
    /// What the holder of the token is sent; `None` is silence.
    pub(crate) const fn code(self, tell_reason: bool) -> Option<RefuseCode> {
        match self.told() {
            Nothing => None,
            Code(code) if tell_reason => Some(code),
            Code(_) => Some(Refused),
        }
    }
}

impl From<Reject> for RefuseReason {
    fn from(reject: Reject) -> Self {
        match reject {
            Reject::Length => Self::Length,
            Reject::Magic => Self::TokenMagic,
            Reject::WrongProcess => Self::WrongProcess,
            Reject::UnknownEpoch => Self::UnknownEpoch,
            Reject::GateTag => Self::GateTag,
            Reject::Flags => Self::Flags,
            Reject::PlayerIdLength => Self::PlayerIdLength,
            Reject::PlayerDataLength => Self::PlayerDataLength,
            Reject::TotalLength => Self::TotalLength,
            Reject::PlayerIdText => Self::PlayerIdText,
            Reject::Lifetime => Self::Lifetime,
            Reject::Expired => Self::Expired,
            Reject::WrongSession => Self::WrongSession,
            Reject::UnknownKey => Self::UnknownKey,
            Reject::SmallOrder => Self::SmallOrder,
            Reject::Signature => Self::Signature,
        }
    }
}

impl fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::error::Error for RefuseReason {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_its_place_in_all_and_has_a_label_of_its_own() {
        for (place, reason) in RefuseReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place);
            assert_eq!(RefuseReason::ALL.iter().filter(|r| r.as_str() == reason.as_str()).count(), 1);
            assert_eq!(format!("{reason:<20}|"), format!("{:<20}|", reason.as_str()));
        }
    }

    /// Both have one label for the same thing, so that the counters of a game and of its server agree.
    #[test]
    fn what_is_wrong_with_a_token_keeps_its_label() {
        for reject in Reject::ALL {
            let label = if reject == Reject::Magic { "token_magic" } else { reject.as_str() };
            assert_eq!(RefuseReason::from(reject).as_str(), label);
        }
    }

    #[test]
    fn a_fleet_that_tells_no_reasons_has_one_code_for_all() {
        for reason in RefuseReason::ALL {
            let untold = reason.code(false);
            assert_eq!(untold.is_some(), reason.code(true).is_some(), "{reason}: silence must not tell either");
            assert!(untold.is_none_or(|code| code == Refused), "{reason}");
        }
    }
}
