//! The batches of the script, and what a store holds after each.

use std::path::Path;

use playgate_coordinator::store::{Loaded, Sqlite, Store};
use playgate_core::fleet::FleetConfig;
use playgate_core::rows::{
    GameSessionRow, HostRow, Identity, JoinKeyRow, PeerRow, PlayerSessionRow, ProcessRow, Row, SigningKeyRow,
};
use playgate_protocol::api::{Event, EventKind, GameSessionStatus, PlayerSessionStatus, ProcessStatus, Subject};
use playgate_protocol::{
    Blob, Fingerprint, FleetId, GameSessionId, HostId, JoinRole, List, PlayerId, PlayerSessionId, ServerProcessId, Text,
};

/// Time of the first batch.
const START_MS: u64 = 1_750_000_000_000;
/// One batch in this many has the same kinds of rows.
const ROUND: u64 = 6;

/// The rows of one batch: every kind in [`ROUND`] batches, written, overwritten and forgotten.
pub fn batch(seq: u64) -> Vec<Row> {
    let mut rows = vec![Row::HighWater(START_MS + seq * 1_000)];
    rows.extend(match seq % ROUND {
        1 => vec![
            Row::Fleet(fleet(seq)),
            Row::SigningKey(SigningKeyRow { key_id: seq as u16, public_key: [seq as u8; 32] }),
            Row::Host(host(seq)),
            Row::JoinKey(join_key(seq)),
            Row::Peer(PeerRow { fingerprint: Fingerprint::from_bytes([seq as u8; 32]), identity: Identity::Backend }),
        ],
        2 => vec![Row::Process(Box::new(process(seq))), Row::Event(event(seq))],
        3 => vec![Row::GameSession(Box::new(game_session(seq))), Row::Event(event(seq))],
        4 => (0..3).map(|place| Row::PlayerSession(Box::new(player_session(seq, place)))).collect(),
        5 => vec![
            Row::ForgetJoinKey([(seq - 4) as u8; 32]),
            Row::ForgetPeer(Fingerprint::from_bytes([(seq - 4) as u8; 32])),
            Row::ForgetSigningKey((seq - 4) as u16),
            Row::ForgetEvents(seq - 3),
            Row::PlayerSession(Box::new(player_session(seq - 1, 0))),
        ],
        _ => vec![
            Row::ForgetPlayerSession(player_session(seq - 2, 1).id),
            Row::ForgetGameSession(game_session(seq.saturating_sub(9)).id),
            Row::ForgetProcess(process(seq.saturating_sub(10)).id),
        ],
    });
    rows
}

/// What is loaded after each batch up to this one, by a store that nothing befalls. (That it is what was committed is
/// shown by the tests of the store.)
pub fn expected(directory: &Path, through: u64) -> Vec<Loaded> {
    let mut store = Sqlite::open(directory.join("playgate.db")).expect("opens");
    let mut load = |seq: u64| {
        if seq > 0 {
            store.commit(seq, &batch(seq)).expect("commits");
        }
        store.load().expect("loads")
    };
    (0..=through).map(&mut load).collect()
}

fn fleet(seq: u64) -> FleetConfig {
    let json = serde_json::json!({ "name": "arena", "command": ["./arena", "{port}"], "processes_per_host": seq });
    serde_json::from_value(json).expect("a fleet")
}

fn fleet_id() -> FleetId {
    FleetId::new("arena").expect("a name")
}

fn host(seq: u64) -> HostRow {
    let id = HostId::from_parts(0, 1, [1; 9]);
    HostRow { id, name: Text::lossy("host"), address: None, capacity: 8, applied_seq: seq }
}

fn join_key(seq: u64) -> JoinKeyRow {
    let (role, expires_ms) = (JoinRole::Agent, START_MS + 3_600_000);
    JoinKeyRow { secret_sha256: [seq as u8; 32], role, fleet: Some(fleet_id()), uses_left: 3, expires_ms }
}

fn process(seq: u64) -> ProcessRow {
    ProcessRow {
        id: ServerProcessId::from_parts(0, seq, [2; 9]),
        fleet: fleet_id(),
        host: Some(host(0).id),
        name: Text::lossy("arena-1"),
        status: ProcessStatus::Ready,
        launched: true,
        pid: Some(seq as u32),
        address: None,
        ports: List::first_of([7_000]),
        session: None,
        sessions_hosted: 0,
        applied_seq: seq,
        gate_epoch: 1,
        drain: None,
        killed: false,
        reason: None,
        exit: None,
        output_tail: Text::lossy(&"a line of output\n".repeat(40)),
        created_ms: START_MS,
        ready_ms: Some(START_MS + seq),
        ended_ms: None,
    }
}

/// With data for a page of its own.
fn game_session(seq: u64) -> GameSessionRow {
    GameSessionRow {
        id: GameSessionId::from_parts(0, seq, [3; 9]),
        fleet: fleet_id(),
        name: Text::lossy("a game"),
        status: GameSessionStatus::Active,
        attempt: 1,
        process: Some(process(seq - seq.min(1)).id),
        max_players: 16,
        properties: List::first_of([(Text::lossy("map"), Text::lossy("maze"))]),
        data: Blob::new(vec![seq as u8; 5_000]).expect("within the bound"),
        ordinal_high: 64,
        place_by_ms: START_MS,
        end_by_ms: None,
        idempotency_key: Text::lossy(&format!("game {seq}")),
        request_sha256: [4; 32],
        reason: None,
        created_ms: START_MS,
        activated_ms: Some(START_MS + seq),
        terminated_ms: None,
    }
}

fn player_session(seq: u64, place: u8) -> PlayerSessionRow {
    PlayerSessionRow {
        id: PlayerSessionId::from_parts(0, seq, [place; 9]),
        game_session: game_session(seq - seq.min(1)).id,
        player: PlayerId::new(format!("player {place}")).expect("a name"),
        data: Blob::new(vec![place; 30]).expect("within the bound"),
        status: PlayerSessionStatus::Reserved,
        ordinal: u32::from(place),
        key_id: 1,
        gate_epoch: 1,
        created_ms: START_MS + seq,
        expires_at_ms: START_MS + seq + 60_000,
        revoking: false,
        idempotency_key: Text::lossy(&format!("player {seq}")),
        request_sha256: [5; 32],
        generation: 1,
        reason: None,
        joined_ms: None,
        ended_ms: None,
    }
}

fn event(seq: u64) -> Event {
    let detail = Text::lossy(&"what happened ".repeat(8));
    Event { seq, at_ms: START_MS + seq, kind: EventKind::ProcessReady, subject: Subject::Host(host(0).id), detail }
}
