//! What people and launchers pass around as one string: tickets, join keys, key files and launch credentials.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::ident::base32;
use crate::limits::{TICKET_ADDRESSES_MAX, TICKET_RELAYS_MAX, TOKEN_BYTES_MAX};
use crate::relay::{FlowKey, PASS_BYTES, Pass, RelayAccess, RelayAddresses};
use crate::{Blob, Fingerprint, GameSessionId, List, PlayerSessionId, Secret32, ServerProcessId, TimeMs};

/// A ticket, key or credential that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextFormError(&'static str);

impl fmt::Display for TextFormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for TextFormError {}

/// What a player is handed: where to go, the token, and the key that proves it was issued to him.
///
/// Pass it over an authenticated channel and never on a command line: whoever has all of it can join as this player.
/// [`Ticket::to_text`] is the form for environment variables, files and JSON. `Debug` shows neither token nor key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Which player session.
    pub player_session: PlayerSessionId,
    /// Which game session.
    pub game_session: GameSessionId,
    /// Where the game server is reached; the first that answers serves. Empty where it is reached through a relay only.
    pub addresses: List<SocketAddr, TICKET_ADDRESSES_MAX>,
    /// The token must be used before this.
    pub expires_at_ms: TimeMs,
    /// Whether the game takes the bare token instead of the handshake.
    pub bearer: bool,
    /// The signed, public part.
    pub token: Blob<TOKEN_BYTES_MAX>,
    /// The secret part; never sent to the server.
    pub holder_key: Secret32,
    /// The way through relays, where the fleet has one.
    pub relays: List<RelayPass, TICKET_RELAYS_MAX>,
}

/// The way through one relay.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayPass {
    /// Where players reach the relay.
    pub addresses: RelayAddresses,
    /// For the relay only.
    pub pass: Blob<PASS_BYTES>,
    /// Shared by player and relay; secret.
    pub flow_key: Secret32,
}

impl fmt::Debug for RelayPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelayPass({:?}, pass and key not shown)", self.addresses)
    }
}

const TICKET_PREFIX: &str = "pgticket1.";

impl Ticket {
    /// Every address of every relay, each with what opens a flow there. A pass of another length than ours is left out.
    pub fn relay_accesses(&self) -> impl Iterator<Item = RelayAccess> + '_ {
        self.relays.iter().flat_map(|relay| {
            let pass = <[u8; PASS_BYTES]>::try_from(&relay.pass[..]).ok().map(Pass);
            let flow_key = FlowKey::from_bytes(*relay.flow_key.reveal());
            let access = move |address: &SocketAddr| {
                Some(RelayAccess { address: *address, pass: pass?, flow_key: flow_key.clone() })
            };
            relay.addresses.iter().filter_map(access)
        })
    }

    /// The ticket as one line of text. It is a secret.
    #[must_use]
    pub fn to_text(&self) -> String {
        let bytes = postcard::to_stdvec(self).expect("a ticket has no type that postcard cannot write");
        format!("{TICKET_PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`TextFormError`] says what is wrong without repeating any of the text.
    pub fn from_text(text: &str) -> Result<Self, TextFormError> {
        const UNREADABLE: TextFormError = TextFormError("the ticket is damaged: copy the whole text, on one line");
        let encoded = text.trim().strip_prefix(TICKET_PREFIX);
        let encoded = encoded.ok_or(TextFormError("not a ticket: it should begin with pgticket1."))?;
        if encoded.len() > 2_048 {
            return Err(UNREADABLE);
        }
        let bytes = BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| UNREADABLE)?;
        let (ticket, rest) = postcard::take_from_bytes::<Self>(&bytes).map_err(|_| UNREADABLE)?;
        if rest.is_empty() { Ok(ticket) } else { Err(UNREADABLE) }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({}, secret parts not shown)", self.player_session)
    }
}

/// What a join key makes of the peer that presents it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum JoinRole {
    /// The agent of a host.
    Agent,
    /// A hand-started game server.
    Server,
    /// A studio's backend.
    Backend,
    /// A relay.
    Relay,
}

impl JoinRole {
    /// The name used in the key's text and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Server => "server",
            Self::Backend => "backend",
            Self::Relay => "relay",
        }
    }
}

impl fmt::Display for JoinRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for JoinRole {
    type Err = TextFormError;

    fn from_str(text: &str) -> Result<Self, TextFormError> {
        [Self::Agent, Self::Server, Self::Backend, Self::Relay]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(TextFormError("the role is one of agent, server, backend, relay"))
    }
}

/// Everything a new peer needs to reach the coordinator and be somebody there, in one string:
/// `pgkey1/<role>/<address>/<fingerprint>/<secret>`.
///
/// It is a secret until its uses are spent. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinKey {
    /// What it makes of its bearer.
    pub role: JoinRole,
    /// Host and port of the coordinator, as the operator's peers reach it.
    pub coordinator: String,
    /// The coordinator's key, pinned.
    pub fingerprint: Fingerprint,
    /// Proves the entitlement.
    pub secret: Secret32,
}

impl JoinKey {
    /// The key as one string. It is a secret.
    #[must_use]
    pub fn to_text(&self) -> String {
        let secret = base32().encode(self.secret.reveal());
        format!("pgkey1/{}/{}/{}/{secret}", self.role, self.coordinator, self.fingerprint)
    }

    /// Reads the string.
    ///
    /// # Errors
    /// [`TextFormError`] says what is wrong without repeating any of the text.
    pub fn from_text(text: &str) -> Result<Self, TextFormError> {
        let mut parts = text.trim().split('/');
        if parts.next() != Some("pgkey1") {
            return Err(TextFormError("not a join key: it should begin with pgkey1/ (make one: playgate key new)"));
        }
        let mut part = || parts.next().ok_or(TextFormError("the join key is cut short: copy the whole text"));
        let role = part()?.parse()?;
        let coordinator = part()?.to_owned();
        let fingerprint = part()?.parse().map_err(|_| TextFormError("the join key's fingerprint is damaged"))?;
        let secret = base32().decode(part()?.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        let secret = Secret32::from_bytes(secret.ok_or(TextFormError("the join key's secret is damaged"))?);
        if coordinator.is_empty() || parts.next().is_some() {
            return Err(TextFormError("the join key is damaged: copy the whole text, on one line"));
        }
        Ok(Self { role, coordinator, fingerprint, secret })
    }
}

impl fmt::Debug for JoinKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinKey({} at {}, secret not shown)", self.role, self.coordinator)
    }
}

/// By what a server process proves which process it is: `pgcred1/<process id>/<secret>`.
///
/// The agent writes it to a file that only its own user can read, and removes it when the process ends; the server reads
/// it once. The id is in its text form (`sp-…`), the 32 bytes of the secret are 52 characters of lower-case unpadded
/// base32. `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct LaunchCredential {
    /// The process it was made for.
    pub process: ServerProcessId,
    /// Known to the coordinator.
    pub secret: Secret32,
}

impl LaunchCredential {
    /// The content of the file, one line without a line end. It is a secret.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(base32().encode(self.secret.reveal()));
        Zeroizing::new(format!("pgcred1/{}/{}", self.process, *secret))
    }

    /// Reads the line.
    ///
    /// # Errors
    /// [`TextFormError`] says what is wrong without repeating any of the text.
    pub fn from_text(text: &str) -> Result<Self, TextFormError> {
        const DAMAGED: TextFormError = TextFormError("the launch credential is damaged");
        let mut parts = text.trim().split('/');
        if parts.next() != Some("pgcred1") {
            return Err(TextFormError("not a launch credential: it should begin with pgcred1/"));
        }
        let (Some(process), Some(secret), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(DAMAGED);
        };
        let process = process.parse().map_err(|_| DAMAGED)?;
        let secret = base32().decode(secret.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        Ok(Self { process, secret: Secret32::from_bytes(secret.ok_or(DAMAGED)?) })
    }
}

impl fmt::Debug for LaunchCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LaunchCredential({}, secret not shown)", self.process)
    }
}

/// A private key in PKCS#8 form. Wiped when dropped; `Debug` does not show it.
#[derive(Clone)]
pub struct PrivateKey(Zeroizing<Vec<u8>>);

impl PrivateKey {
    /// Wraps the document; whether it holds a usable key is for the link to say.
    #[must_use]
    pub fn from_pkcs8(pkcs8: &[u8]) -> Self {
        Self(Zeroizing::new(pkcs8.to_vec()))
    }

    /// The document; name what you do with it.
    #[must_use]
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private key]")
    }
}

/// An Ed25519 key in PKCS#8 has 83 bytes, 111 characters of base64; other writers add attributes.
const PRIVATE_KEY_CHARS_MAX: usize = 512;

macro_rules! key_files {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal, $kind:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name {
            /// Host and port of the coordinator.
            pub coordinator: String,
            /// The coordinator's key, pinned.
            pub fingerprint: Fingerprint,
            /// The bearer's own key.
            pub pkcs8: PrivateKey,
        }

        impl $name {
            /// What the text form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The one line of the key file. It is a secret.
            #[must_use]
            pub fn to_text(&self) -> Zeroizing<String> {
                let key = Zeroizing::new(BASE64URL_NOPAD.encode(self.pkcs8.reveal()));
                Zeroizing::new(format!("{}/{}/{}/{}", $prefix, self.coordinator, self.fingerprint, *key))
            }

            /// Reads the line.
            ///
            /// # Errors
            /// [`TextFormError`] says what is wrong without repeating any of the text.
            pub fn from_text(text: &str) -> Result<Self, TextFormError> {
                let mut parts = text.trim().split('/');
                if parts.next() != Some($prefix) {
                    return Err(TextFormError(concat!("not ", $kind, ": it should begin with ", $prefix, "/")));
                }
                let (Some(coordinator), Some(fingerprint), Some(key), None) =
                    (parts.next(), parts.next(), parts.next(), parts.next())
                else {
                    return Err(TextFormError(concat!($kind, " has four parts on one line; this one is cut or mixed up")));
                };
                let fingerprint = fingerprint
                    .parse()
                    .map_err(|_| TextFormError(concat!("the fingerprint in ", $kind, " is damaged")))?;
                if coordinator.is_empty() || key.is_empty() || key.len() > PRIVATE_KEY_CHARS_MAX {
                    return Err(TextFormError(concat!($kind, " is damaged")));
                }
                let key = BASE64URL_NOPAD
                    .decode(key.as_bytes())
                    .map_err(|_| TextFormError(concat!("the private key in ", $kind, " is damaged")))?;
                Ok(Self { coordinator: coordinator.to_owned(), fingerprint, pkcs8: PrivateKey(Zeroizing::new(key)) })
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "(at {}, private key not shown)"), self.coordinator)
            }
        }
    )+};
}

key_files! {
    /// What makes its bearer an operator of a coordinator: address, pinned key and the operator's own private key.
    ///
    /// The coordinator writes it beside its store on first start; the text form is one line,
    /// `pgoperator1/<host:port>/<fingerprint>/<PKCS#8 in base64url>`. `Debug` does not show the key.
    OperatorKey = "pgoperator1", "an operator key";
    /// What makes its bearer one certain backend: it is what a backend keeps once a join key has introduced it.
    ///
    /// The text form is one line, `pgbackend1/<host:port>/<fingerprint>/<PKCS#8 in base64url>`. `Debug` does not show
    /// the key.
    BackendKey = "pgbackend1", "a backend key";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            player_session: PlayerSessionId::from_bytes([1; 16]),
            game_session: GameSessionId::from_bytes([2; 16]),
            addresses: List::first_of(["127.0.0.1:7000".parse().unwrap(), "[::1]:7001".parse().unwrap()]),
            expires_at_ms: 1_700_000_000_000,
            bearer: false,
            token: Blob::new(vec![0xab; 212]).unwrap(),
            holder_key: Secret32::from_bytes([0xcd; 32]),
            relays: List::first_of([RelayPass {
                addresses: List::first_of(["192.0.2.1:4000".parse().unwrap(), "[2001:db8::1]:4000".parse().unwrap()]),
                pass: Blob::new(vec![0xce; PASS_BYTES]).unwrap(),
                flow_key: Secret32::from_bytes([0xcf; 32]),
            }]),
        }
    }

    #[test]
    fn a_ticket_survives_its_text_form_and_hides_in_debug() {
        let text = ticket().to_text();
        assert_eq!(Ticket::from_text(&format!(" {text}\n")), Ok(ticket()));
        assert!(Ticket::from_text(&text[..text.len() - 4]).is_err());
        assert!(Ticket::from_text(&format!("{text}AAAA")).is_err());
        assert!(Ticket::from_text("hello").is_err());
        let shown = format!("{:?}", ticket());
        assert!(!shown.contains("171") && !shown.contains("ab") && !shown.contains("cd"), "{shown}");
    }

    #[test]
    fn a_join_key_survives_its_text_form_and_hides_in_debug() {
        let key = JoinKey {
            role: JoinRole::Agent,
            coordinator: "[::1]:7600".to_owned(),
            fingerprint: Fingerprint::from_bytes([7; 32]),
            secret: Secret32::from_bytes([9; 32]),
        };
        let text = key.to_text();
        assert_eq!(JoinKey::from_text(&text), Ok(key.clone()));
        let secret = text.rsplit('/').next().unwrap();
        assert!(!format!("{key:?}").contains(secret));
        for bad in [&text[..text.len() - 1], &text[1..], &format!("{text}/x"), "pgkey1/agent", "pgkey1/king/a/b/c"] {
            assert!(JoinKey::from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_launch_credential_has_one_text_and_hides_in_debug() {
        let process = ServerProcessId::from_bytes([0; 16]);
        let credential = LaunchCredential { process, secret: Secret32::from_bytes([0xff; 32]) };
        let text = credential.to_text();
        let (id, secret) = (format!("sp-{}", "a".repeat(26)), format!("{}q", "7".repeat(51)));
        assert_eq!(*text, format!("pgcred1/{id}/{secret}"));
        assert_eq!(LaunchCredential::from_text(&format!("{}\n", *text)), Ok(credential.clone()));
        assert!(!format!("{credential:?}").contains(&secret));
        for bad in [
            String::new(),
            format!("pgcred1/{id}"),
            format!("pgcred2/{id}/{secret}"),
            format!("pgcred1/gs-{}/{secret}", "a".repeat(26)),
            format!("pgcred1/{id}/{}", secret.to_uppercase()),
            format!("pgcred1/{id}/{}", &secret[1..]),
            format!("pgcred1/{id}/{secret}/x"),
        ] {
            let error = LaunchCredential::from_text(&bad).expect_err(&bad);
            assert!(!error.to_string().contains(&secret), "{bad}");
        }
    }

    #[test]
    fn a_key_file_survives_its_text_form_and_hides_in_debug() {
        let key = OperatorKey {
            coordinator: "[::1]:7600".to_owned(),
            fingerprint: Fingerprint::from_bytes([7; 32]),
            pkcs8: PrivateKey::from_pkcs8(&[0xfb; 83]),
        };
        let text = key.to_text();
        let again = OperatorKey::from_text(&format!("{}\n", *text)).unwrap();
        assert_eq!(again.coordinator, key.coordinator);
        assert_eq!(again.fingerprint, key.fingerprint);
        assert_eq!(again.pkcs8.reveal(), key.pkcs8.reveal());
        let secret = text.rsplit('/').next().unwrap();
        for shown in [format!("{key:?}"), format!("{:?}", key.pkcs8)] {
            assert!(!shown.contains(secret) && !shown.contains("251"), "{shown}");
        }
        for bad in [
            &text[1..],
            &text[..text.len() - 1],
            &text[..text.rfind('/').unwrap()],
            &format!("{}/x", *text),
            &text.replace("[::1]:7600", ""),
            &text.replace("pgoperator1", "pgbackend1"),
            &"a".repeat(100_000),
        ] {
            let error = OperatorKey::from_text(bad).unwrap_err();
            assert!(!error.to_string().contains(secret), "{bad}");
        }
    }
}
