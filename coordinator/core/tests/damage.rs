//! Rows that the core cannot have written: a damaged store costs what is damaged, and never the coordinator.

#![allow(clippy::unwrap_used)]

mod world;

use playgate_core::rows::{Identity, PeerRow, Row};
use playgate_core::{Core, Input, Start};
use playgate_protocol::agent::AgentUp;
use playgate_protocol::api::*;
use playgate_protocol::server::Report;
use playgate_protocol::*;
use world::{World, fleet, key, key_of};

type Damage = fn(&mut Row);

/// Changes what a kind of row holds; other kinds stay as they are.
macro_rules! damaged {
    ($kind:ident, $row:ident => $change:expr) => {
        |row| {
            if let Row::$kind($row) = row {
                $change;
            }
        }
    };
}

#[test]
fn a_row_that_cannot_be_is_left_out() {
    let nowhere = HostId::from_bytes([9; 16]);
    #[rustfmt::skip]
    let table: [(&str, Damage); 21] = [
        ("a process on no host", damaged!(Process, row => row.host = Some(HostId::from_bytes([9; 16])))),
        ("a process that hosts nothing", damaged!(Process, row => row.session = None)),
        ("a process that nobody can reach", damaged!(Process, row => row.address = None)),
        ("a process that has ended and hosts", damaged!(Process, row => row.status = ProcessStatus::Ended)),
        ("a process that will end for ever", damaged!(Process, row => row.ended_ms = Some(u64::MAX))),
        ("a process with all reports there are", damaged!(Process, row => row.applied_seq = u64::MAX)),
        ("a process of another fleet", damaged!(Process, row => row.fleet = "other".parse().unwrap())),
        ("a session on no process", damaged!(GameSession, row => row.process = None)),
        ("a session on another process", damaged!(GameSession, row => row.process = Some(ServerProcessId::from_bytes([9; 16])))),
        ("a session that waits and is hosted", damaged!(GameSession, row => row.status = GameSessionStatus::Placing)),
        ("a session that ends for ever", damaged!(GameSession, row => (row.status, row.end_by_ms) = (GameSessionStatus::Terminating, Some(u64::MAX)))),
        ("a session without slots", damaged!(GameSession, row => row.max_players = 0)),
        ("a session that handed out nothing", damaged!(GameSession, row => row.ordinal_high = 0)),
        ("a session that handed out everything", damaged!(GameSession, row => row.ordinal_high = u32::MAX)),
        ("a session in its last attempt", damaged!(GameSession, row => row.attempt = u32::MAX)),
        ("one player twice", damaged!(PlayerSession, row => row.player = "same".parse().unwrap())),
        ("one ordinal twice", damaged!(PlayerSession, row => row.ordinal = 0)),
        ("a player who is gone and plays", damaged!(PlayerSession, row => (row.status, row.ended_ms) = (PlayerSessionStatus::Active, Some(u64::MAX)))),
        ("a player for ever", damaged!(PlayerSession, row => row.expires_at_ms = u64::MAX)),
        ("the last of all events", damaged!(Event, row => row.seq = u64::MAX)),
        ("a host with all reports there are", damaged!(Host, row => row.applied_seq = u64::MAX)),
    ];
    for (what, damage) in table {
        let (mut world, session, process) = full();
        world.disk.values_mut().for_each(damage);
        world.crash();
        live_with_it(&mut world, session, process);
        println!("{what}: survived");
    }
    let (mut world, session, process) = full();
    let peer = PeerRow { fingerprint: key(2), identity: Identity::Agent(nowhere) };
    world.disk.insert("a key of no host".to_owned(), Row::Peer(peer));
    world.disk.retain(
        |_, row| !matches!(row, Row::Peer(peer) if matches!(peer.identity, Identity::Agent(host) if host != nowhere)),
    );
    world.crash();
    live_with_it(&mut world, session, process);
}

#[test]
fn a_damaged_high_water_mark_does_not_move_the_clock() {
    let rows = vec![Row::HighWater(7), Row::HighWater(u64::MAX)];
    assert_eq!(Core::high_water(&rows), 7);
    let core = Core::load(Start { shard: 0, seed: [0; 32], now_ms: 7 }, rows);
    assert!(core.poll_timeout().is_some());
}

/// A session with one who plays and one who may come.
fn full() -> (World, GameSessionId, ServerProcessId) {
    let mut world = World::running_with(fleet());
    let (session, process) = world.session("one", 4);
    let tickets = world.reserve(session, "r", &["ada", "bob"]).unwrap();
    world.joins(process, &tickets[0]);
    (world, session, process)
}

/// Everybody comes back and speaks; then so much time passes that everything is forgotten.
fn live_with_it(world: &mut World, session: GameSessionId, process: ServerProcessId) {
    let ask = |world: &mut World| {
        for call in [
            BackendCall::DescribeGameSession { session },
            BackendCall::ListPlayerSessions { session, after: None },
            BackendCall::ListGameSessions { fleet: None, after: None },
        ] {
            if let Ok(Answer::GameSession(info)) = world.operate(OperatorCall::Backend(call)) {
                assert!(info.reserved + info.active <= info.max_players);
            }
        }
        let _ = world.operate(OperatorCall::ListProcesses { fleet: None, after: None });
        let _ = world.operate(OperatorCall::ListEvents { after: 0 });
    };
    ask(world);
    let link = world.link();
    let role = HelloRole::Agent { name: "host".parse().unwrap(), advertise: None, capacity: 8 };
    world.open(link, key(2), Credential::Bound, role);
    world.input(Input::Agent(link, AgentUp::Inventory { alive: List::first_of([process]) }));
    world.server_connects(process);
    assert!(world.servers[&process].link.is_some() && key_of(process) != key(2));
    world.beat(process, true);
    world.report(process, Report::Ready { ports: List::first_of([7_000]) });
    let _ = world.reserve(session, "again", &["eve", "ada"]);
    world.report(process, Report::SessionEnded { session, attempt: 1 });
    world.silence(60_000);
    world.silence(49 * 3_600_000);
    ask(world);
}
