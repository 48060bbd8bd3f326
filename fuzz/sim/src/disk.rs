//! What the rows say: kept twice, once as the coordinator decided and once as it is on the disk.

use std::collections::BTreeMap;

use playgate_core::fleet::FleetConfig;
use playgate_core::rows::{
    GameSessionRow, HostRow, Identity, JoinKeyRow, PeerRow, PlayerSessionRow, ProcessRow, RelayRow, Row, SigningKeyRow,
};
use playgate_protocol::api::Event;
use playgate_protocol::{
    Fingerprint, FleetId, GameSessionId, HostId, PlayerSessionId, RelayId, ServerProcessId, TimeMs,
};

/// All rows, by their keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Image {
    /// The coordinator's time.
    pub high_water: TimeMs,
    /// Public signing keys.
    pub signing: BTreeMap<u16, SigningKeyRow>,
    /// Fleets.
    pub fleets: BTreeMap<FleetId, FleetConfig>,
    /// Hosts.
    pub hosts: BTreeMap<HostId, HostRow>,
    /// Relays.
    pub relays: BTreeMap<RelayId, RelayRow>,
    /// Join keys.
    pub join_keys: BTreeMap<[u8; 32], JoinKeyRow>,
    /// Bound keys.
    pub peers: BTreeMap<Fingerprint, Identity>,
    /// Server processes.
    pub processes: BTreeMap<ServerProcessId, ProcessRow>,
    /// Game sessions.
    pub sessions: BTreeMap<GameSessionId, GameSessionRow>,
    /// Player sessions.
    pub players: BTreeMap<PlayerSessionId, PlayerSessionRow>,
    /// Events.
    pub events: BTreeMap<u64, Event>,
}

/// What one row changed: before and behind it.
#[derive(Debug, Clone)]
pub enum Change {
    /// A process.
    Process(Option<Box<ProcessRow>>, Option<Box<ProcessRow>>),
    /// A game session.
    Session(Option<Box<GameSessionRow>>, Option<Box<GameSessionRow>>),
    /// A player session.
    Player(Option<Box<PlayerSessionRow>>, Option<Box<PlayerSessionRow>>),
    /// A peer's key.
    Peer(Option<Identity>, Option<Identity>),
    /// An event.
    Event(Event),
    /// Time.
    HighWater(TimeMs, TimeMs),
}

impl Image {
    /// Takes in one row.
    pub fn apply(&mut self, row: Row) -> Option<Change> {
        match row {
            Row::HighWater(at) => {
                let before = std::mem::replace(&mut self.high_water, at);
                return Some(Change::HighWater(before, at));
            }
            Row::SigningKey(row) => drop(self.signing.insert(row.key_id, row)),
            Row::ForgetSigningKey(key) => drop(self.signing.remove(&key)),
            Row::Fleet(row) => drop(self.fleets.insert(row.name.clone(), row)),
            Row::Host(row) => drop(self.hosts.insert(row.id, row)),
            Row::Relay(row) => drop(self.relays.insert(row.id, row)),
            Row::JoinKey(row) => drop(self.join_keys.insert(row.secret_sha256, row)),
            Row::ForgetJoinKey(key) => drop(self.join_keys.remove(&key)),
            Row::Peer(PeerRow { fingerprint, identity }) => {
                return Some(Change::Peer(self.peers.insert(fingerprint, identity), Some(identity)));
            }
            Row::ForgetPeer(key) => return Some(Change::Peer(self.peers.remove(&key), None)),
            Row::Process(row) => {
                let before = self.processes.insert(row.id, (*row).clone()).map(Box::new);
                return Some(Change::Process(before, Some(row)));
            }
            Row::ForgetProcess(id) => return Some(Change::Process(self.processes.remove(&id).map(Box::new), None)),
            Row::GameSession(row) => {
                let before = self.sessions.insert(row.id, (*row).clone()).map(Box::new);
                return Some(Change::Session(before, Some(row)));
            }
            Row::ForgetGameSession(id) => return Some(Change::Session(self.sessions.remove(&id).map(Box::new), None)),
            Row::PlayerSession(row) => {
                let before = self.players.insert(row.id, (*row).clone()).map(Box::new);
                return Some(Change::Player(before, Some(row)));
            }
            Row::ForgetPlayerSession(id) => return Some(Change::Player(self.players.remove(&id).map(Box::new), None)),
            Row::Event(event) => {
                self.events.insert(event.seq, event.clone());
                return Some(Change::Event(event));
            }
            Row::ForgetEvents(through) => self.events = self.events.split_off(&(through + 1)),
        }
        None
    }

    /// As the coordinator loads them.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let high_water = (self.high_water > 0).then_some(Row::HighWater(self.high_water));
        let peers =
            self.peers.iter().map(|(fingerprint, identity)| PeerRow { fingerprint: *fingerprint, identity: *identity });
        let rows = high_water.into_iter();
        let rows = rows.chain(self.players.values().map(|row| Row::PlayerSession(Box::new(row.clone()))));
        let rows = rows.chain(self.sessions.values().map(|row| Row::GameSession(Box::new(row.clone()))));
        let rows = rows.chain(self.processes.values().map(|row| Row::Process(Box::new(row.clone()))));
        let rows = rows.chain(peers.map(Row::Peer));
        let rows = rows.chain(self.join_keys.values().cloned().map(Row::JoinKey));
        let rows = rows.chain(self.relays.values().cloned().map(Row::Relay));
        let rows = rows.chain(self.hosts.values().cloned().map(Row::Host));
        let rows = rows.chain(self.fleets.values().cloned().map(Row::Fleet));
        let rows = rows.chain(self.signing.values().copied().map(Row::SigningKey));
        rows.chain(self.events.values().cloned().map(Row::Event)).collect()
    }

    /// Whether a player session holds a slot.
    #[must_use]
    pub fn holds_slot(row: &PlayerSessionRow) -> bool {
        row.ended_ms.is_none()
    }
}
