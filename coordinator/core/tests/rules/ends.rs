//! How processes end, deadline by deadline, and the timers behind it.

use playgate_core::limits::HIGH_WATER_MS;
use playgate_core::rows::Row;
use playgate_core::{CloseWhy, Core, Input, Output, Start, Welcomed};
use playgate_protocol::agent::ExitStatus;
use playgate_protocol::api::*;
use playgate_protocol::reason::{ProcessEnd, SessionEnd};
use playgate_protocol::server::Report;
use playgate_protocol::*;

use crate::world::{Server, World, fleet, key};

fn stop(world: &mut World, process: ServerProcessId, grace_ms: u32) {
    world.operate(OperatorCall::StopProcess { process, grace_ms }).unwrap();
}

/// A server that nobody launched, ready.
fn hand_started(world: &mut World) -> ServerProcessId {
    let secret = world.join_key(JoinRole::Server, 1);
    let link = world.link();
    let role = HelloRole::Server { name: "by hand".parse().unwrap(), advertise: None, held_version: 0 };
    world.open(link, key(30), Credential::Join { secret }, role);
    let Ok(Welcomed::Server { process, .. }) = world.greeting(link) else { panic!() };
    world.servers.insert(process, Server { link: Some(link), ..Default::default() });
    process
}

#[test]
fn the_next_deadline_is_known_and_a_budget_is_kept() {
    let mut core = Core::load(Start { shard: 0, seed: [7; 32], now_ms: 1_000 }, Vec::new());
    let high_water = |core: &mut Core| {
        let rows = core.take_turn().rows;
        rows.into_iter().find_map(|row| match row {
            Row::HighWater(at) => Some(at),
            _ => None,
        })
    };
    assert_eq!(high_water(&mut core), Some(1_000), "the first turn writes the time down");
    assert_eq!(high_water(&mut core), None);
    assert_eq!(core.poll_timeout(), Some(1_000 + HIGH_WATER_MS));
    core.handle_timeout(1_000 + HIGH_WATER_MS - 1, 9);
    assert_eq!(high_water(&mut core), None);
    core.handle_timeout(1_000 + HIGH_WATER_MS, 0);
    assert_eq!(high_water(&mut core), None, "a budget of nothing does nothing");
    core.handle_timeout(1_000 + HIGH_WATER_MS, 1);
    assert_eq!(high_water(&mut core), Some(1_000 + HIGH_WATER_MS));
    assert_eq!(core.poll_timeout(), Some(1_000 + 2 * HIGH_WATER_MS));
    // Time never goes back.
    core.handle_timeout(1, 9);
    core.handle(2, Input::StoreLow(true));
    let rows = core.take_turn().rows;
    assert!(rows.iter().any(|row| matches!(row, Row::Event(event) if event.at_ms == 1_000 + HIGH_WATER_MS)));
}

#[test]
fn a_process_that_is_never_ready_is_stopped() {
    for connects in [false, true] {
        let mut config = fleet();
        config.processes_per_host = 1;
        let mut world = World::new(config);
        world.agent_connects(true);
        let process = world.launches()[0];
        if connects {
            world.servers.insert(process, Server::default());
            world.server_connects(process);
        }
        world.pass(59_999);
        assert_ne!(world.process(process).status, ProcessStatus::Draining);
        world.pass(1);
        assert_eq!(world.stops(), [(process, 0)]);
        world.exits(process, ExitStatus::Signal(15));
        assert_eq!(world.process(process).reason, Some(ProcessEnd::ReadyTimeout));
        world.silence(499);
        assert_eq!(world.launches().len(), 1, "the first failure costs at most half a second");
    }
}

/// There is no agent that could stop it: it is asked over its link, and its record is closed when its time is over.
#[test]
fn a_hand_started_process_that_does_not_end_is_given_up() {
    let mut config = fleet();
    config.command = List::default();
    let mut world = World::new(config);
    let process = hand_started(&mut world);
    world.report(process, Report::Ready { ports: List::first_of([7_777]) });
    world.beat(process, true);
    let link = world.servers[&process].link.unwrap();
    stop(&mut world, process, 1_000);
    assert_eq!(world.servers[&process].wanted.clone().unwrap().terminate_by_ms, Some(world.now + 1_000));
    assert_eq!(world.stops(), []);
    world.silence(35_999); // the grace, 5 s from SIGTERM to SIGKILL, 30 s to exit
    assert_eq!(world.process(process).status, ProcessStatus::Draining);
    world.silence(1);
    assert_eq!(world.process(process).reason, Some(ProcessEnd::ForceTerminated));
    let closed = |output: &Output| matches!(output, Output::Close { link: of, why: CloseWhy::Ended } if *of == link);
    assert_eq!(world.outputs.iter().filter(|output| closed(output)).count(), 1);
    world.input(Input::Closed(link));
    assert_eq!(world.events(EventKind::ProcessUnreachable).len(), 0, "its link was closed here");
}

#[test]
fn a_hand_started_process_that_was_asked_to_end_and_does_was_stopped() {
    let mut config = fleet();
    config.command = List::default();
    let mut world = World::new(config);
    let process = hand_started(&mut world);
    stop(&mut world, process, 1_000);
    world.report(process, Report::Ending);
    assert_eq!(world.process(process).reason, Some(ProcessEnd::Stopped));
}

/// A process that is asked to end can be hurried, and for no other reason than the first.
#[test]
fn the_earliest_deadline_of_a_process_counts() {
    let mut world = World::running();
    let process = *world.servers.keys().next().unwrap();
    let asked = world.now;
    for (grace_ms, end_by_ms, orders) in [(5_000, 5_000, 1), (9_000, 5_000, 1), (5_000, 5_000, 1), (2_000, 2_000, 2)] {
        stop(&mut world, process, grace_ms);
        let wanted = world.servers[&process].wanted.clone().unwrap();
        assert_eq!(wanted.terminate_by_ms, Some(asked + end_by_ms), "{grace_ms}");
        assert_eq!(world.stops().len(), orders, "{grace_ms}");
    }
    world.report(process, Report::Ending);
    assert_eq!(world.events(EventKind::ProcessDraining), ["STOPPED: 5000 ms until it is stopped by force"]);
    world.exits(process, ExitStatus::Code(0));
    assert_eq!(world.process(process).reason, Some(ProcessEnd::Stopped));
}

/// A hand-started server is judged by the ready timeout as well.
#[test]
fn a_hand_started_process_that_is_never_ready_is_asked_to_end() {
    let mut config = fleet();
    config.command = List::default();
    let mut world = World::new(config);
    let process = hand_started(&mut world);
    world.silence(59_999);
    assert_eq!(world.process(process).status, ProcessStatus::Connected);
    world.silence(1);
    assert_eq!(world.process(process).status, ProcessStatus::Draining);
}

/// The agent is asked again when a process should be gone; where it is away, the process is lost in the end.
#[test]
fn a_process_that_should_be_gone_is_asked_for_again_or_lost() {
    let mut world = World::running();
    let process = *world.servers.keys().next().unwrap();
    stop(&mut world, process, 1_000);
    assert_eq!(world.stops(), [(process, 1_000)]);
    world.silence(35_999);
    assert_eq!(world.stops().len(), 1);
    world.silence(1);
    assert_eq!(world.stops(), [(process, 1_000), (process, 0)]);
    let agent = world.agent();
    world.server_loses_link(process);
    world.input(Input::Closed(agent));
    // Ten minutes from its deadline, which was one second after the order.
    world.silence(601_000 - 36_000 - 1);
    assert_eq!(world.process(process).status, ProcessStatus::Draining);
    world.silence(1);
    assert_eq!(world.process(process).reason, Some(ProcessEnd::Lost));
}

#[test]
fn an_unreachable_process_is_lost_after_its_time_and_not_if_it_comes_back() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    world.server_loses_link(process);
    assert_eq!(world.process(process).unreachable_since_ms, Some(world.now));
    world.silence(599_999);
    world.server_connects(process);
    assert_eq!(world.process(process).unreachable_since_ms, None);
    world.pass(2_000);
    world.server_loses_link(process);
    world.silence(599_999);
    assert_eq!(world.process(process).status, ProcessStatus::Hosting);
    world.outputs.clear();
    world.silence(1);
    assert_eq!(world.stops(), [(process, 0)]);
    assert_eq!(world.process(process).reason, Some(ProcessEnd::Lost));
    assert_eq!(world.describe(session).reason, Some(SessionEnd::ProcessLost));
}

/// Three and a half seconds without a beat; one beat in time is enough.
#[test]
fn silence_makes_a_linked_process_unwell() {
    let mut world = World::running();
    let process = *world.servers.keys().next().unwrap();
    for (silence_ms, healthy) in [(3_499, true), (3_499, true), (3_500, false)] {
        world.beat(process, true);
        world.silence(silence_ms);
        assert_eq!(world.process(process).healthy, healthy, "{silence_ms}");
    }
    world.beat(process, true);
    assert!(world.process(process).healthy);
    assert_eq!(world.events(EventKind::ProcessWell).len(), 1);
    // Unwell for a minute, but never for a minute in a row: it is kept.
    for _ in 0..3 {
        world.silence(50_000);
        assert!(!world.process(process).healthy);
        world.beat(process, true);
    }
    assert_eq!(world.process(process).status, ProcessStatus::Ready);
}

#[test]
fn bad_health_counts_when_it_is_said_three_times_in_a_row() {
    let mut world = World::running();
    let process = *world.servers.keys().next().unwrap();
    for (healthy, is_well) in
        [(false, true), (false, true), (true, true), (false, true), (false, true), (false, false), (false, false)]
    {
        world.beat(process, healthy);
        assert_eq!(world.process(process).healthy, is_well);
    }
    assert_eq!(world.events(EventKind::ProcessUnwell).iter().filter(|why| *why == "reports bad health").count(), 1);
    world.beat(process, true);
    assert!(world.process(process).healthy);
    world.beat(process, false);
    assert!(world.process(process).healthy, "one good report, and it takes three bad ones again");
}

/// An ended process is forgotten after an hour, and with it the key that was bound to it.
#[test]
fn an_ended_process_is_forgotten_with_its_key() {
    let mut world = World::running();
    let process = *world.servers.keys().next().unwrap();
    world.exits(process, ExitStatus::Code(0));
    let kept = |world: &World| {
        let of_it = |row: &&Row| match row {
            Row::Process(row) => row.id == process,
            Row::Peer(row) => row.fingerprint == crate::world::key_of(process),
            _ => false,
        };
        world.disk.values().filter(of_it).count()
    };
    world.silence(3_599_999);
    assert_eq!(kept(&world), 2);
    world.silence(1);
    assert_eq!(kept(&world), 0);
}

/// The reports of one batch are applied in order, also when the first of them are known.
#[test]
fn a_batch_that_overlaps_is_applied_from_where_it_is_unknown() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let tickets = world.reserve(session, "k", &["ann", "bob", "cid"]).unwrap();
    world.joins(process, &tickets[0]);
    let (link, seq) = (world.servers[&process].link.unwrap(), world.servers[&process].seq);
    let joins = tickets.iter().map(|order| Report::Player {
        session,
        player_session: order.player_session.id,
        outcome: server::PlayerOutcome::Active { generation: 1, joined_ms: 5 },
    });
    let batch = server::ReportBatch { first_seq: seq, reports: List::first_of(joins) };
    world.outputs.clear();
    world.input(Input::Server(link, server::ServerUp::Reports(batch)));
    assert_eq!(world.describe(session).active, 3);
    let acks = world.outputs.iter().filter_map(|output| match output {
        Output::Server(_, server::ServerDown::ReportAck { through_seq }) => Some(*through_seq),
        _ => None,
    });
    assert_eq!(acks.collect::<Vec<_>>(), [seq + 2]);
    assert_eq!(
        world.player(tickets[0].player_session.id).joined_ms,
        Some(world.now),
        "the first was not applied again"
    );
}
