//! What a row costs in memory, with every index and timer that it has: the figures of `limits.rs`, measured on demand.
//!
//! `cargo test --release -p playgate-core --test memory -- --ignored --nocapture`

#![allow(clippy::unwrap_used)]

mod world;

use playgate_core::Input;
use playgate_core::limits::{
    ENDED_PROCESS_BYTES_MAX, ENDED_SESSION_BYTES_MAX, PLAYER_BYTES_MAX, WAITING_SESSION_BYTES_MAX,
};
use playgate_protocol::agent::{AgentReport, AgentReportBatch, AgentUp, ExitStatus};
use playgate_protocol::api::*;
use playgate_protocol::limits::*;
use playgate_protocol::reason::PlayerEnd;
use playgate_protocol::server::{PlayerOutcome, Report, ReportBatch, ServerUp};
use playgate_protocol::*;
use world::{OPERATOR, World, fleet};

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1_024
}

/// Bytes for each of `rows` that `make` adds. The events that come with the first ones are no part of it.
fn bytes_each(what: &str, mut world: World, rows: usize, mut make: impl FnMut(&mut World, usize)) -> usize {
    let warm = rows / 2;
    (0..warm).for_each(|n| make(&mut world, n));
    let before = resident();
    (warm..warm + rows).for_each(|n| make(&mut world, n));
    let each = resident().saturating_sub(before) / rows;
    println!("{what:<34} {each:>7} bytes, {rows} rows");
    std::mem::forget(world); // what the allocator had back would not be seen to be taken again
    each
}

/// The core alone: what it says and writes goes nowhere.
fn tell(world: &mut World, input: Input) {
    world.core.handle(world.now, input);
    drop(world.core.take_turn());
}

fn ask(world: &mut World, call: BackendCall) {
    tell(world, Input::Operator(OPERATOR, OperatorUp { request: 0, call: OperatorCall::Backend(call) }));
}

fn text(len: usize, n: usize) -> String {
    format!("{n:0len$}")
}

fn create(world: &World, n: usize, largest: bool) -> CreateGameSession {
    if !largest {
        return CreateGameSession { data: Blob::default(), ..world.create(&text(36, n), 8) };
    }
    let property = |n| (Text::lossy(&text(PROPERTY_KEY_BYTES_MAX, n)), Text::lossy(&text(PROPERTY_VALUE_BYTES_MAX, n)));
    CreateGameSession {
        name: Name::lossy(&text(NAME_BYTES_MAX, n)),
        properties: List::first_of((0..PROPERTIES_MAX).map(property)),
        data: Blob::new(vec![7; SESSION_DATA_BYTES_MAX]).unwrap(),
        ..world.create(&text(IDEMPOTENCY_KEY_BYTES_MAX, n), 8)
    }
}

/// The game session that was made last.
fn newest(world: &mut World, after: Option<GameSessionId>) -> GameSessionId {
    let request =
        OperatorUp { request: 1, call: OperatorCall::Backend(BackendCall::ListGameSessions { fleet: None, after }) };
    world.core.handle(world.now, Input::Operator(OPERATOR, request));
    let outputs = world.core.take_turn().outputs;
    let Some(playgate_core::Output::Answer { outcome: Ok(Answer::GameSessions(page)), .. }) = outputs.last() else {
        panic!("{outputs:?}")
    };
    page.last().unwrap().id
}

fn sessions(largest: bool, ended: bool) -> usize {
    let world = World::new(fleet());
    let mut last = None;
    let what = format!(
        "{} {} session",
        ["typical", "maximal"][usize::from(largest)],
        ["waiting", "ended"][usize::from(ended)]
    );
    let rows = if ended { 12_000 } else { 2_000 };
    bytes_each(&what, world, rows, |world, n| {
        world.now += 1; // so that the newest has the highest id
        let create = create(world, n, largest);
        ask(world, BackendCall::CreateGameSession(create));
        if ended {
            let session = newest(world, last);
            ask(world, BackendCall::TerminateGameSession { session, grace_ms: 0 });
            last = Some(session);
        }
    })
}

fn players(largest: bool, ended: bool) -> usize {
    let mut world = World::running();
    let (session, process) = world.session("one", u16::MAX);
    let link = world.servers[&process].link.unwrap();
    let mut seq = world.servers[&process].seq;
    let what = format!(
        "{} {} player session",
        ["typical", "maximal"][usize::from(largest)],
        ["live", "ended"][usize::from(ended)]
    );
    bytes_each(&what, world, 40_000, |world, n| {
        let (name, key) = if largest { (PLAYER_ID_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX) } else { (16, 36) };
        let data = if largest { vec![7; PLAYER_DATA_BYTES_MAX] } else { Vec::new() };
        let player = NewPlayer { player: PlayerId::new(text(name, n)).unwrap(), data: Blob::new(data).unwrap() };
        let call = BackendCall::CreatePlayerSessions(CreatePlayerSessions {
            session,
            players: List::first_of([player]),
            reservation_ms: Some(3_600_000),
            idempotency_key: text(key, n).parse().unwrap(),
        });
        let up = OperatorUp { request: 1, call: OperatorCall::Backend(call) };
        world.core.handle(world.now, Input::Operator(OPERATOR, up));
        let outputs = world.core.take_turn().outputs;
        let Some(playgate_core::Output::Tickets { orders, .. }) = outputs.last() else { panic!("{outputs:?}") };
        if ended {
            let outcome = PlayerOutcome::Completed { reason: PlayerEnd::Left, joined_ms: 1, left_ms: world.now };
            let report = Report::Player { session, player_session: orders[0].player_session.id, outcome };
            seq += 1;
            let batch = ReportBatch { first_seq: seq, reports: List::first_of([report]) };
            tell(world, Input::Server(link, ServerUp::Reports(batch)));
        }
    })
}

fn processes(largest: bool) -> usize {
    let mut config = fleet();
    config.processes_per_host = 1_000;
    let mut world = World::new(config);
    world.agent_connects(true);
    let (link, mut seq) = (world.agent(), 0);
    let mut launched = world.launches();
    let tail = if largest { OUTPUT_TAIL_BYTES_MAX } else { 200 };
    let what = format!("{} ended process", ["typical", "maximal"][usize::from(largest)]);
    bytes_each(&what, world, 6_000, |world, n| {
        while launched.is_empty() {
            world.now += 60_000; // those that failed are replaced
            world.core.handle_timeout(world.now, 100_000);
            for output in world.core.take_turn().outputs {
                if let playgate_core::Output::Launch { process, .. } = output {
                    launched.push(process);
                }
            }
        }
        let (status, output_tail) = (ExitStatus::Code(1), Text::lossy(&text(tail, n)));
        seq += 1;
        let report = AgentReport::Exited { process: launched.pop().unwrap(), status, output_tail };
        let batch = AgentReportBatch { first_seq: seq, reports: List::first_of([report]) };
        tell(world, Input::Agent(link, AgentUp::Reports(batch)));
    })
}

/// In one test, so that none measures what another takes.
#[test]
#[ignore = "a measurement, of release builds; a minute"]
fn a_row_takes_what_limits_say() {
    for (each, declared) in [
        (sessions(false, true), ENDED_SESSION_BYTES_MAX),
        (sessions(true, true), ENDED_SESSION_BYTES_MAX),
        (sessions(false, false), WAITING_SESSION_BYTES_MAX),
        (sessions(true, false), WAITING_SESSION_BYTES_MAX),
        (players(false, false), PLAYER_BYTES_MAX),
        (players(true, false), PLAYER_BYTES_MAX),
        (players(false, true), PLAYER_BYTES_MAX),
        (players(true, true), PLAYER_BYTES_MAX),
        (processes(false), ENDED_PROCESS_BYTES_MAX),
        (processes(true), ENDED_PROCESS_BYTES_MAX),
    ] {
        assert!(each > 0 && each <= declared, "{each} bytes, declared are {declared}");
    }
}
