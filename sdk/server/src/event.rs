//! What the game is told.

use std::fmt;
use std::time::Instant;

use playgate_protocol::reason::PlayerEnd;
use playgate_protocol::server::WantedSession;
use playgate_protocol::{GameSessionId, PlayerSessionId, RefusalReason};

/// Something the game should act on. Nothing else ever needs an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Load this game session and call [`Server::activate`](crate::Server::activate) once players can come.
    StartSession(GameSession),
    /// End the game session by then: save, tell the players, and call
    /// [`Server::end_session`](crate::Server::end_session). Sent again when the deadline changes.
    EndSession {
        /// The process is stopped by force after this.
        by: Instant,
    },
    /// Remove this player from the game: its slot is free already.
    PlayerLeft {
        /// Whose.
        player: PlayerSessionId,
        /// Did not come back in time, or was revoked.
        reason: PlayerEnd,
    },
    /// Exit by then: call [`Server::shutdown`](crate::Server::shutdown) and return from `main`.
    Terminate {
        /// The process is stopped by force after this.
        by: Instant,
    },
    /// The coordinator is reached. Nothing to do.
    LinkUp,
    /// The coordinator is not reached. Nothing to do: reserved players are admitted all the same, and the SDK keeps
    /// dialling.
    LinkDown,
    /// The coordinator does not want this process, or somebody else answers at its address. A person has to act; the
    /// SDK asks again every half minute.
    LinkRefused {
        /// What the coordinator said; `None` when it is not the coordinator that answers.
        reason: Option<RefusalReason>,
        /// Names the thing and the remedy.
        detail: String,
    },
}

/// A game session that this server should host.
///
/// `Debug` shows how long the data is, and none of it: what a backend tells a game is for the game alone.
#[derive(Clone, PartialEq, Eq)]
pub struct GameSession {
    /// Its id.
    pub id: GameSessionId,
    /// Display name; may be empty.
    pub name: String,
    /// Most players at a time. Enforced by the SDK; here to size things.
    pub max_players: u16,
    /// Map, mode and so on.
    pub properties: Properties,
    /// Opaque data from the backend; may be empty.
    pub data: Vec<u8>,
    /// Whether players come with a bare token, for [`Server::admit`](crate::Server::admit), instead of the handshake.
    pub bearer: bool,
}

impl fmt::Debug for GameSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GameSession")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("max_players", &self.max_players)
            .field("properties", &self.properties)
            .field("data", &format_args!("[{} bytes]", self.data.len()))
            .field("bearer", &self.bearer)
            .finish()
    }
}

impl From<WantedSession> for GameSession {
    fn from(wanted: WantedSession) -> Self {
        let properties = wanted.properties.iter();
        Self {
            id: wanted.id,
            name: wanted.name.as_str().to_owned(),
            max_players: wanted.max_players,
            properties: Properties(properties.map(|(key, value)| (key.to_string(), value.to_string())).collect()),
            data: wanted.data.to_vec(),
            bearer: wanted.policy.bearer,
        }
    }
}

/// Keys and values that a backend gave a game session.
///
/// ```
/// # let session_properties = playgate::Properties::default();
/// let map = session_properties.get("map").unwrap_or("plaza");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Properties(Vec<(String, String)>);

impl Properties {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// All of them, in the backend's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_does_not_show_the_data_of_a_session() {
        let session = GameSession {
            id: GameSessionId::from_bytes([0; 16]),
            name: "a match".to_owned(),
            max_players: 4,
            properties: Properties::default(),
            data: b"wxyz".to_vec(),
            bearer: false,
        };
        let shown = format!("{:?}", Event::StartSession(session));
        assert!(shown.contains("a match") && shown.contains("data: [4 bytes]"), "{shown}");
        assert!(!shown.contains("119") && !shown.contains("wxyz"), "{shown}");
    }
}
