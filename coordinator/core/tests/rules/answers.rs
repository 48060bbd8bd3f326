//! Answers: lists, pages, counts, and calls that wait.

use playgate_core::{Input, Output};
use playgate_protocol::agent::{AgentReport, AgentUp, ExitStatus};
use playgate_protocol::api::*;
use playgate_protocol::reason::PlayerEnd;
use playgate_protocol::server::Report;
use playgate_protocol::*;

use crate::world::{FLEET, OPERATOR, Server, World, fleet, key};

fn backend(world: &mut World, call: BackendCall) -> Answer {
    world.operate(OperatorCall::Backend(call)).unwrap()
}

/// An operator may do what a backend may, in the words of either; nobody else may.
#[test]
fn a_backend_is_answered_on_its_own_link() {
    let mut world = World::running();
    let secret = world.join_key(JoinRole::Backend, 1);
    let link = world.link();
    world.open(link, key(40), Credential::Join { secret }, HelloRole::Backend);
    let server = world.servers.values().next().unwrap().link.unwrap();
    let (agent, stranger) = (world.agent(), world.link());
    for (from, is_answered) in [(link, true), (OPERATOR, true), (server, false), (agent, false), (stranger, false)] {
        world.outputs.clear();
        let call = BackendCall::ListGameSessions { fleet: None, after: None };
        world.input(Input::Backend(from, BackendUp { request: 7, call }));
        let answered = |o: &Output| matches!(o, Output::Answer { link, request: 7, outcome: Ok(_) } if *link == from);
        assert_eq!(
            world.outputs.iter().filter(|output| answered(output)).count(),
            usize::from(is_answered),
            "{from:?}"
        );
        assert_eq!(world.outputs.len(), usize::from(is_answered), "{from:?}");
    }
}

#[test]
fn game_sessions_are_listed_page_by_page_and_by_fleet() {
    let mut world = World::new(fleet());
    let mut other = fleet();
    other.name = FleetId::new("other").unwrap();
    world.input(Input::ApplyFleet(other));
    for n in 0..60 {
        let mut create = world.create(&n.to_string(), 4);
        create.fleet = FleetId::new(if n % 3 == 0 { "other" } else { FLEET }).unwrap();
        world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    }
    for (fleet, pages) in [(None, &[24, 24, 12][..]), (Some("other"), &[20, 0]), (Some(FLEET), &[24, 16, 0])] {
        let fleet = fleet.map(|name| FleetId::new(name).unwrap());
        let (mut after, mut seen, mut lens) = (None, Vec::new(), Vec::new());
        for _ in pages {
            let list = BackendCall::ListGameSessions { fleet: fleet.clone(), after };
            let Answer::GameSessions(page) = backend(&mut world, list) else { panic!() };
            assert!(page.iter().all(|info| fleet.as_ref().is_none_or(|fleet| info.fleet == *fleet)));
            after = page.last().map(|info| info.id).or(after);
            lens.push(page.len());
            seen.extend(page.iter().map(|info| info.id));
        }
        assert_eq!(lens, pages);
        assert!(seen.is_sorted_by(|a, b| a < b), "in order, and none twice");
    }
}

#[test]
fn player_sessions_are_listed_behind_the_last_one() {
    let mut world = World::running();
    let (session, _) = world.session("one", 9);
    let tickets = world.reserve(session, "k", &["ann", "bob", "cid"]).unwrap();
    let mut made: Vec<_> = tickets.iter().map(|order| order.player_session.id).collect();
    made.sort_unstable();
    for (after, expected) in [(None, &made[..]), (Some(made[0]), &made[1..]), (Some(made[2]), &[])] {
        let list = BackendCall::ListPlayerSessions { session, after };
        let Answer::PlayerSessions(page) = backend(&mut world, list) else { panic!() };
        assert_eq!(page.iter().map(|info| info.id).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn processes_are_listed_page_by_page_and_by_fleet() {
    let mut config = fleet();
    config.processes_per_host = 30;
    let mut other = fleet();
    other.name = FleetId::new("other").unwrap();
    let mut world = World::new(config);
    world.input(Input::ApplyFleet(other));
    world.agent_connects(true);
    for (fleet, pages) in [(None, &[24, 8][..]), (Some("other"), &[2, 0]), (Some(FLEET), &[24, 6])] {
        let fleet = fleet.map(|name| FleetId::new(name).unwrap());
        let (mut after, mut lens) = (None, Vec::new());
        for _ in pages {
            let list = OperatorCall::ListProcesses { fleet: fleet.clone(), after };
            let Ok(Answer::Processes(page)) = world.operate(list) else { panic!() };
            after = page.last().map(|info| info.id).or(after);
            lens.push(page.len());
        }
        assert_eq!(lens, pages, "{fleet:?}");
    }
}

/// Launching, connected, ready, hosting, draining; ended ones are not counted.
#[test]
fn a_fleet_is_shown_with_its_processes_by_status() {
    let mut config = fleet();
    config.processes_per_host = 15;
    let mut world = World::new(config);
    let mut other = fleet();
    other.name = FleetId::new("other").unwrap();
    other.command = List::default();
    world.input(Input::ApplyFleet(other));
    world.agent_connects(true);
    let launched = world.launches();
    for process in &launched[1..] {
        world.servers.insert(*process, Server::default());
        world.server_connects(*process);
    }
    for process in &launched[3..] {
        world.report(*process, Report::Ready { ports: List::first_of([7_000]) });
        world.beat(*process, true);
    }
    for n in 0..4 {
        world.session(&n.to_string(), 4);
    }
    let ready: Vec<_> =
        launched[3..].iter().copied().filter(|id| world.process(*id).status == ProcessStatus::Ready).collect();
    for process in &ready[..5] {
        world.operate(OperatorCall::StopProcess { process: *process, grace_ms: 1_000 }).unwrap();
    }
    world.launches();
    world.input(Input::StoreLow(true)); // so that the one that ends is not replaced
    world.exits(ready[0], ExitStatus::Code(0));
    let Ok(Answer::Fleets(fleets)) = world.operate(OperatorCall::ListFleets) else { panic!() };
    let shown: Vec<_> = fleets.iter().map(|info| (info.id.as_str(), info.processes, info.game_sessions)).collect();
    assert_eq!(shown, [(FLEET, [1, 2, 3, 4, 4], 4), ("other", [0; 5], 0)]);
}

#[test]
fn a_host_is_shown_with_its_address_its_processes_and_whether_its_agent_is_there() {
    let mut world = World::running();
    let Ok(Answer::Hosts(hosts)) = world.operate(OperatorCall::ListHosts) else { panic!() };
    let host = hosts[0].clone();
    assert_eq!((host.name.as_str(), host.connected, host.processes, host.capacity), ("host", true, 2, 2_048));
    assert_eq!(host.address.unwrap().to_string(), "192.0.2.9");
    let agent = world.agent();
    world.input(Input::Closed(agent));
    let Ok(Answer::Hosts(hosts)) = world.operate(OperatorCall::ListHosts) else { panic!() };
    assert_eq!(hosts[..], [HostInfo { connected: false, ..host }]);
    assert_eq!(world.events(EventKind::HostDisconnected).len(), 1);
}

#[test]
fn a_beat_of_an_agent_is_answered_with_the_time() {
    let mut world = World::running();
    let agent = world.agent();
    world.now += 7;
    world.input(Input::Agent(agent, AgentUp::Beat));
    let told = world.outputs.iter().filter(
        |output| matches!(output, Output::AgentClock { link, now_ms } if (*link, *now_ms) == (agent, world.now)),
    );
    assert_eq!(told.count(), 1);
}

/// Settled is: neither being placed nor activated. Terminated is over.
#[test]
fn awaiting_a_game_session_is_answered_when_it_has_come_so_far_or_time_is_up() {
    let mut world = World::running();
    let create = world.create("one", 4);
    world.call(OperatorCall::Backend(BackendCall::CreateGameSession(create)));
    let process = world.hosting().unwrap();
    let session = world.servers[&process].wanted.clone().unwrap().session.unwrap().id;
    let wait = |world: &mut World, terminated, timeout_ms| {
        world.call(OperatorCall::Backend(BackendCall::AwaitGameSession { session, terminated, timeout_ms }))
    };
    let status = |world: &World, request| match world.answer(request) {
        Some(Ok(Answer::GameSession(info))) => Some(info.status),
        None => None,
        other => panic!("{other:?}"),
    };
    let (settled, over) = (wait(&mut world, false, 60_000), wait(&mut world, true, 60_000));
    let (settled_in_vain, over_in_vain) = (wait(&mut world, false, 500), wait(&mut world, true, 500));
    world.silence(499);
    assert_eq!([settled_in_vain, over_in_vain].map(|request| status(&world, request)), [None; 2]);
    world.silence(1);
    let activating = Some(GameSessionStatus::Activating);
    assert_eq!([settled_in_vain, over_in_vain].map(|request| status(&world, request)), [activating; 2]);
    assert_eq!([settled, over].map(|request| status(&world, request)), [None; 2]);

    world.report(process, Report::Activated { session, attempt: 1 });
    assert_eq!([settled, over].map(|request| status(&world, request)), [Some(GameSessionStatus::Active), None]);
    let at_once = wait(&mut world, false, 60_000);
    assert_eq!(status(&world, at_once), Some(GameSessionStatus::Active));
    world.report(process, Report::SessionEnded { session, attempt: 1 });
    assert_eq!(status(&world, over), Some(GameSessionStatus::Terminated));
    let at_once = wait(&mut world, true, 60_000);
    assert_eq!(status(&world, at_once), Some(GameSessionStatus::Terminated));
    let answers = |request| {
        world
            .outputs
            .iter()
            .filter(|output| matches!(output, Output::Answer { request: of, .. } if *of == request))
            .count()
    };
    assert_eq!([settled, over, settled_in_vain, over_in_vain].map(answers), [1; 4], "one answer for each call");
}

#[test]
fn a_revocation_that_is_not_answered_in_time_shows_the_player_as_he_is() {
    let mut world = World::running();
    let (session, _) = world.session("one", 4);
    let ticket = world.reserve(session, "k", &["ann"]).unwrap().remove(0);
    let player_session = ticket.player_session.id;
    let call = BackendCall::RevokePlayerSession { player_session, timeout_ms: 300 };
    let request = world.call(OperatorCall::Backend(call));
    world.silence(299);
    assert_eq!(world.answer(request), None);
    world.silence(1);
    let Some(Ok(Answer::PlayerSessions(infos))) = world.answer(request) else { panic!() };
    assert_eq!((infos[0].id, infos[0].revoking), (player_session, true));
}

/// The same request finds the session it made, whatever became of it.
#[test]
fn creating_again_finds_a_session_that_is_over() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    world.report(process, Report::SessionEnded { session, attempt: 1 });
    let create = world.create("one", 4);
    let again = backend(&mut world, BackendCall::CreateGameSession(create));
    let Answer::GameSession(info) = again else { panic!("{again:?}") };
    assert_eq!((info.id, info.status), (session, GameSessionStatus::Terminated));
}

#[test]
fn a_player_is_shown_with_all_that_happened() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let ticket = world.reserve(session, "k", &["ann"]).unwrap().remove(0);
    let (id, made) = (ticket.player_session.id, world.now);
    world.now += 10;
    world.joins(process, &ticket);
    world.now += 10;
    world.leaves(process, &ticket, PlayerEnd::Absent);
    let info = world.player(id);
    assert_eq!((info.id, info.game_session, info.player.as_str()), (id, session, "ann"));
    assert_eq!((info.status, info.reason), (PlayerSessionStatus::Completed, Some(PlayerEnd::Absent)));
    assert_eq!((info.created_ms, info.expires_at_ms), (made, made + 60_000));
    assert_eq!((info.joined_ms, info.ended_ms, info.revoking), (Some(made + 10), Some(made + 20), false));
}

#[test]
fn a_process_is_shown_with_all_that_happened() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let info = world.process(process);
    assert_eq!((info.session, info.sessions_hosted, info.pid), (Some(session), 1, Some(100)));
    assert_eq!((info.ports[..].to_vec(), info.ended_ms), (vec![7_000], None));
    assert!(info.name.starts_with("arena-") && info.name.len() == "arena-".len() + 6, "{}", info.name);
    let agent_says = AgentReport::Launched { process, pid: 100, port: None };
    world.agent_reports(agent_says);
    let launched = world.events(EventKind::ProcessLaunched);
    assert_eq!(launched, ["pid 100, port 7000", "pid 100, port 7000"], "said twice, it is one event");
    world.now += 5;
    world.exits(process, ExitStatus::Code(3));
    let info = world.process(process);
    assert_eq!((info.session, info.ended_ms, info.exit), (None, Some(world.now), Some(ExitStatus::Code(3))));
}
