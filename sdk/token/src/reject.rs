//! Why a token was refused: one reason per check, in the order of the checks.

use core::fmt;

/// Why a token was refused.
///
/// The variants stand in the order in which [`accept`](crate::accept) checks, cheapest first, and a token with
/// several faults is refused for the first of them. The reason is for the server's own counters; the sender learns
/// nothing.
///
/// # Example: count refusals by reason
/// ```
/// use playgate_token::Reject;
///
/// let mut refused = [0u64; Reject::COUNT];
/// refused[Reject::GateTag as usize] += 1;
/// for reason in Reject::ALL {
///     println!("token_refused{{reason=\"{}\"}} {}", reason.as_str(), refused[reason as usize]);
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reject {
    /// Shorter than the shortest token or longer than the longest.
    Length,
    /// Does not begin with `PGT1`.
    Magic,
    /// Names another server process.
    WrongProcess,
    /// Its gate epoch is not among those accepted.
    UnknownEpoch,
    /// The gate tag does not match.
    GateTag,
    /// A flag bit is set; PGT1 has none.
    Flags,
    /// The length of the player id is 0 or above 128.
    PlayerIdLength,
    /// The length of the player data is above 256.
    PlayerDataLength,
    /// The lengths do not add up to the length of the token.
    TotalLength,
    /// The player id is not UTF-8.
    PlayerIdText,
    /// It expires before it was issued, at the same time, or more than an hour after.
    Lifetime,
    /// Its time is over.
    Expired,
    /// Names another game session.
    WrongSession,
    /// Its signing key is not in the key set.
    UnknownKey,
    /// The signature's R is a point of small order, which no honest signer makes.
    SmallOrder,
    /// The signature does not verify.
    Signature,
}

impl Reject {
    /// How many reasons there are.
    pub const COUNT: usize = Reject::Signature as usize + 1;

    /// Every reason, in the order of the checks: `ALL[r as usize] == r`.
    pub const ALL: [Reject; Reject::COUNT] = [
        Reject::Length,
        Reject::Magic,
        Reject::WrongProcess,
        Reject::UnknownEpoch,
        Reject::GateTag,
        Reject::Flags,
        Reject::PlayerIdLength,
        Reject::PlayerDataLength,
        Reject::TotalLength,
        Reject::PlayerIdText,
        Reject::Lifetime,
        Reject::Expired,
        Reject::WrongSession,
        Reject::UnknownKey,
        Reject::SmallOrder,
        Reject::Signature,
    ];

    /// The reason as a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reject::Length => "length",
            Reject::Magic => "magic",
            Reject::WrongProcess => "wrong_process",
            Reject::UnknownEpoch => "unknown_epoch",
            Reject::GateTag => "gate_tag",
            Reject::Flags => "flags",
            Reject::PlayerIdLength => "player_id_length",
            Reject::PlayerDataLength => "player_data_length",
            Reject::TotalLength => "total_length",
            Reject::PlayerIdText => "player_id_text",
            Reject::Lifetime => "lifetime",
            Reject::Expired => "expired",
            Reject::WrongSession => "wrong_session",
            Reject::UnknownKey => "unknown_key",
            Reject::SmallOrder => "small_order",
            Reject::Signature => "signature",
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::error::Error for Reject {}

#[cfg(test)]
mod tests {
    use super::Reject;

    #[test]
    fn a_reason_is_its_place_in_all_and_has_a_label_of_its_own() {
        for (place, reason) in Reject::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
            assert_eq!(Reject::ALL.iter().filter(|r| r.as_str() == reason.as_str()).count(), 1);
            assert_eq!(reason.to_string(), reason.as_str());
        }
    }
}
