//! Why things end. One list each, used in rows, events, answers and the log alike.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every reason, in wire order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name used in the store, in events and in metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::OutOfBounds;

            fn from_str(text: &str) -> Result<Self, crate::OutOfBounds> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    _ => Err(crate::OutOfBounds { problem: "unknown reason", max: Self::ALL.len() }),
                }
            }
        }
    };
}

reasons! {
    /// Why a server process ended.
    ProcessEnd {
        /// Said *ending*, then exited.
        Shutdown = "SHUTDOWN",
        /// Exited without saying so.
        Crashed = "CRASHED",
        /// Could not be started at all.
        LaunchFailed = "LAUNCH_FAILED",
        /// Was not ready within the fleet's launch timeout.
        ReadyTimeout = "PROCESS_READY_TIMEOUT",
        /// Its game session was not active within the fleet's activation timeout.
        ActivationTimeout = "GAME_SESSION_ACTIVATION_TIMEOUT",
        /// Reported bad health, or none, for the fleet's unhealthy timeout.
        Unhealthy = "TERMINATED_UNHEALTHY",
        /// Did not exit within the fleet's exit timeout after it said *ending*.
        ExitTimeout = "PROCESS_EXIT_TIMEOUT",
        /// Was asked to stop, and did within the deadline.
        Stopped = "STOPPED",
        /// Was stopped by force.
        ForceTerminated = "FORCE_TERMINATED",
        /// Hosted as many game sessions as the fleet allows, or became too old.
        Recycled = "RECYCLED",
        /// Neither it nor its agent was heard of for the fleet's lost timeout.
        Lost = "LOST",
    }
}

reasons! {
    /// Why a game session was terminated.
    SessionEnd {
        /// The game ended it.
        Ended = "ENDED",
        /// A backend or an operator asked, and the game ended it in time.
        Terminated = "TERMINATED",
        /// A backend or an operator asked, and the deadline passed.
        ForceTerminated = "FORCE_TERMINATED",
        /// Its server process ended under it.
        ProcessEnded = "PROCESS_ENDED",
        /// Its server process was lost.
        ProcessLost = "PROCESS_LOST",
        /// No attempt led to an active session.
        ActivationFailed = "ACTIVATION_FAILED",
        /// No server process was free in time.
        NoCapacity = "FLEET_CAPACITY_EXCEEDED",
    }
}

reasons! {
    /// Why a player session was completed.
    PlayerEnd {
        /// The game said the player left.
        Left = "LEFT",
        /// Did not come back within the rejoin grace.
        Absent = "ABSENT",
        /// Revoked by a backend or an operator.
        Revoked = "REVOKED",
        /// Its game session ended.
        SessionEnded = "GAME_SESSION_ENDED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_text() {
        for reason in ProcessEnd::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
        }
        for reason in SessionEnd::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
        }
        for reason in PlayerEnd::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
        }
        assert!("nonsense".parse::<PlayerEnd>().is_err());
    }
}
