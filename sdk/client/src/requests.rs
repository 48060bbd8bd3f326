//! What a backend asks for, put together step by step.

use std::time::Duration;

use playgate_protocol::api::{CreateGameSession, CreatePlayerSessions, NewPlayer, PlayerData};
use playgate_protocol::limits::PLAYERS_PER_REQUEST_MAX;
use playgate_protocol::server::{Properties, SessionData};
use playgate_protocol::{FleetId, GameSessionId, List, Name, OutOfBounds, PlayerId, Text};

use crate::random::random_text;

/// A game session to be placed on a fleet.
///
/// Each carries an idempotency key: a random one, so that the client can repeat the call when the link breaks, or one
/// that you choose, so that you can repeat it after a crash of your own. A clone is the same request, with the same key.
///
/// A value that breaks a limit is reported by the call that uses the request.
///
/// ```
/// use std::time::Duration;
/// use playgate_client::NewGameSession;
/// let request = NewGameSession::new("arena", 16)
///     .name("friday night")
///     .property("map", "plaza")
///     .placement_timeout(Duration::from_secs(20));
/// ```
#[derive(Debug, Clone)]
pub struct NewGameSession(Result<CreateGameSession, OutOfBounds>);

impl NewGameSession {
    /// On this fleet, for at most so many players at a time. Waits up to 10 s for a free process.
    #[must_use]
    pub fn new(fleet: &str, max_players: u16) -> Self {
        Self(FleetId::new(fleet).map(|fleet| CreateGameSession {
            fleet,
            name: Name::default(),
            max_players,
            properties: Properties::default(),
            data: SessionData::default(),
            placement_timeout_ms: 10_000,
            idempotency_key: Text::lossy(&random_text()),
        }))
    }

    /// Display name, at most 256 bytes.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        self.with(|request| {
            request.name = Name::new(name)?;
            Ok(())
        })
    }

    /// One property more, at most 16: a key of 32 bytes, a value of 96.
    #[must_use]
    pub fn property(self, key: &str, value: &str) -> Self {
        self.with(|request| {
            let mut properties = std::mem::take(&mut request.properties).into_vec();
            properties.push((Text::new(key)?, Text::new(value)?));
            request.properties = List::new(properties)?;
            Ok(())
        })
    }

    /// Opaque data for the game, at most 48 KiB.
    #[must_use]
    pub fn data(self, data: &[u8]) -> Self {
        self.with(|request| {
            request.data = SessionData::new(data)?;
            Ok(())
        })
    }

    /// How long to wait for a free process; zero fails at once when there is none.
    #[must_use]
    pub fn placement_timeout(self, timeout: Duration) -> Self {
        self.with(|request| {
            request.placement_timeout_ms = millis(timeout);
            Ok(())
        })
    }

    /// Same key and same request, same game session: 1 to 64 bytes.
    #[must_use]
    pub fn idempotency_key(self, key: &str) -> Self {
        self.with(|request| {
            request.idempotency_key = Text::new(key)?;
            Ok(())
        })
    }

    fn with(self, change: impl FnOnce(&mut CreateGameSession) -> Result<(), OutOfBounds>) -> Self {
        Self(self.0.and_then(|mut request| change(&mut request).map(|()| request)))
    }

    pub(crate) fn finish(self) -> Result<CreateGameSession, OutOfBounds> {
        self.0
    }
}

impl From<CreateGameSession> for NewGameSession {
    fn from(request: CreateGameSession) -> Self {
        Self(Ok(request))
    }
}

/// Slots to be reserved in a game session: for all these players, or for none.
///
/// Carries an idempotency key as [`NewGameSession`] does.
///
/// ```
/// # let session = playgate_client::protocol::GameSessionId::from_bytes([0; 16]);
/// use playgate_client::NewPlayerSessions;
/// let request = NewPlayerSessions::new(session).player("alice", b"team=red").player("bob", b"");
/// ```
#[derive(Debug, Clone)]
pub struct NewPlayerSessions(Result<CreatePlayerSessions, OutOfBounds>);

impl NewPlayerSessions {
    /// In this game session, for nobody yet.
    #[must_use]
    pub fn new(session: GameSessionId) -> Self {
        Self(Ok(CreatePlayerSessions {
            session,
            players: List::default(),
            reservation_ms: None,
            idempotency_key: Text::lossy(&random_text()),
        }))
    }

    /// One player more, at most 64: your id of 1 to 128 bytes, and up to 256 bytes that the game server gets with the
    /// player. Both travel in clear.
    #[must_use]
    pub fn player(self, id: &str, data: &[u8]) -> Self {
        self.with(|request| {
            let player = NewPlayer { player: PlayerId::new(id)?, data: PlayerData::new(data)? };
            let mut players: Vec<NewPlayer> = std::mem::take(&mut request.players).into_vec();
            players.push(player);
            request.players = List::<NewPlayer, PLAYERS_PER_REQUEST_MAX>::new(players)?;
            Ok(())
        })
    }

    /// How long the slots are held for players who do not come, 1 s to 1 h; the fleet's choice if never set.
    #[must_use]
    pub fn reservation(self, time: Duration) -> Self {
        self.with(|request| {
            request.reservation_ms = Some(millis(time));
            Ok(())
        })
    }

    /// Same key and same request, same tickets: 1 to 64 bytes.
    #[must_use]
    pub fn idempotency_key(self, key: &str) -> Self {
        self.with(|request| {
            request.idempotency_key = Text::new(key)?;
            Ok(())
        })
    }

    fn with(self, change: impl FnOnce(&mut CreatePlayerSessions) -> Result<(), OutOfBounds>) -> Self {
        Self(self.0.and_then(|mut request| change(&mut request).map(|()| request)))
    }

    pub(crate) fn finish(self) -> Result<CreatePlayerSessions, OutOfBounds> {
        self.0
    }
}

impl From<CreatePlayerSessions> for NewPlayerSessions {
    fn from(request: CreatePlayerSessions) -> Self {
        Self(Ok(request))
    }
}

/// What crosses the wire of a duration: whole milliseconds, at most 49 days.
pub(crate) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_a_limit_is_reported_once() {
        let session = GameSessionId::from_bytes([0; 16]);
        let good = NewGameSession::new("arena", 2).name("n").property("map", "plaza").data(&[1]);
        assert!(good.finish().is_ok());
        for bad in [
            NewGameSession::new("no spaces", 2).name("n"),
            NewGameSession::new("arena", 2).name(&"n".repeat(257)),
            NewGameSession::new("arena", 2).property(&"k".repeat(33), ""),
            NewGameSession::new("arena", 2).data(&vec![0; 48 * 1024 + 1]),
            (0..17).fold(NewGameSession::new("arena", 2), |request, n| request.property(&n.to_string(), "")),
        ] {
            assert!(bad.finish().is_err());
        }
        assert!(NewPlayerSessions::new(session).player("", b"").player("alice", b"").finish().is_err());
        let many = (0..65).fold(NewPlayerSessions::new(session), |request, n| request.player(&n.to_string(), b""));
        assert!(many.finish().is_err());
    }

    #[test]
    fn a_request_has_a_key_of_its_own_until_it_is_given_one() {
        let key = |request: NewGameSession| request.finish().unwrap().idempotency_key;
        let request = NewGameSession::new("arena", 2);
        assert_eq!(key(request.clone()), key(request.clone()));
        assert_ne!(key(request), key(NewGameSession::new("arena", 2)));
        assert_eq!(key(NewGameSession::new("arena", 2).idempotency_key("mine")).as_str(), "mine");
    }
}
