//! Fleets: the bounds of a configuration, its texts, and what it says to servers, agents and players.

use playgate_core::fleet::{Admission, FleetConfig, Millis, PortRange};
use playgate_core::{Input, Output};
use playgate_protocol::api::*;
use playgate_protocol::*;

use crate::world::{FLEET, World, fleet, key};

#[test]
fn durations_and_port_ranges_have_texts() {
    for (text, ms) in [
        ("0ms", Some(0)),
        ("500ms", Some(500)),
        ("60s", Some(60_000)),
        (" 10m ", Some(600_000)),
        ("1h", Some(3_600_000)),
        ("2 s", Some(2_000)),
        ("4294967295ms", Some(4_294_967_295)),
        ("4294967296ms", None),
        ("1193h", Some(4_294_800_000)),
        ("1194h", None),
        ("18446744073709551615h", None),
        ("18446744073709551616s", None),
        ("60", None),
        ("s", None),
        ("1d", None),
        ("-1s", None),
        ("", None),
    ] {
        assert_eq!(text.parse::<Millis>().ok(), ms.map(Millis), "{text:?}");
    }
    for (ms, text) in [(0, "0s"), (999, "999ms"), (1_000, "1s"), (1_500, "1500ms"), (60_000, "60s")] {
        assert_eq!(Millis(ms).to_string(), text);
        assert_eq!(text.parse(), Ok(Millis(ms)));
    }
    for (text, range) in [
        ("7000-7099", Some((7_000, 7_099))),
        ("7000", Some((7_000, 7_000))),
        ("1-65535", Some((1, 65_535))),
        (" 7000 - 7001 ", Some((7_000, 7_001))),
        ("0", None),
        ("0-5", None),
        ("5-4", None),
        ("7000-65536", None),
        ("7000-", None),
        ("-7000", None),
        ("7000-7001-7002", None),
        ("", None),
    ] {
        let found = text.parse::<PortRange>().ok();
        assert_eq!(found.map(|range| (range.first, range.last)), range, "{text:?}");
        assert!(found.is_none_or(|range| range.to_string().parse() == Ok(range)), "{text:?}");
    }
}

#[test]
fn every_bound_of_a_fleet_is_kept_and_can_be_reached() {
    let arg = |text: &str| -> agent::Arg { text.parse().unwrap() };
    let entries = |count: usize| (0..count).map(|n| (format!("k{n}").parse().unwrap(), arg("v"))).collect();
    type Change<'a> = &'a dyn Fn(&mut FleetConfig);
    let changes: [(Change<'_>, Option<&str>); 21] = [
        (&|_| (), None),
        (&|f| f.processes_per_host = 2_048, None),
        (&|f| f.processes_per_host = 2_049, Some("processes_per_host is at most 2048")),
        (&|f| f.command = List::default(), None),
        (&|f| f.command = List::first_of([arg("")]), Some("empty executable")),
        (&|f| f.command = List::first_of([arg("x"), arg("")]), None),
        (&|f| f.command = List::first_of([arg("x"), arg("-p{port}")]), Some("add ports")),
        (&|f| f.env = [("P".parse().unwrap(), arg("{port}"))].into(), Some("add ports")),
        (&|f| (f.command, f.ports) = (List::first_of([arg("{port}")]), "7000".parse().ok()), None),
        (&|f| f.reservation_timeout = Millis(999), Some("between 1s and 1h")),
        (&|f| f.reservation_timeout = Millis(1_000), None),
        (&|f| f.reservation_timeout = Millis(3_600_000), None),
        (&|f| f.reservation_timeout = Millis(3_600_001), Some("between 1s and 1h")),
        (&|f| f.ready_timeout = Millis(0), Some("ready_timeout must not be 0")),
        (&|f| f.activation_timeout = Millis(0), Some("activation_timeout must not be 0")),
        (&|f| f.unhealthy_timeout = Millis(0), Some("unhealthy_timeout must not be 0")),
        (&|f| f.lost_after = Millis(0), Some("lost_after must not be 0")),
        (&|f| (f.exit_timeout, f.stop_grace, f.term_grace) = (Millis(0), Millis(0), Millis(0)), None),
        (&|f| (f.properties, f.env) = (entries(64), entries(64)), None),
        (&|f| f.properties = entries(65), Some("properties has more than 64 entries")),
        (&|f| f.env = entries(65), Some("env has more than 64 entries")),
    ];
    for (n, (change, error)) in changes.into_iter().enumerate() {
        let mut config = fleet();
        change(&mut config);
        match (config.check(), error) {
            (Ok(()), None) => {}
            (Err(found), Some(part)) => assert!(found.contains(part), "{n}: {found}"),
            other => panic!("{n}: {other:?}"),
        }
    }
}

/// What a fleet file leaves out is what `named` says, and what is written is read again.
#[test]
fn defaults_are_the_same_wherever_a_fleet_comes_from() {
    let read: FleetConfig = toml::from_str("name = \"arena\"").unwrap();
    assert_eq!(read, FleetConfig::named(FleetId::new(FLEET).unwrap()));
    let mut full = fleet();
    (full.ports, full.admission, full.tell_reason) = ("7000-7009".parse().ok(), Admission::Bearer, true);
    full.lost_after = Millis(1_500);
    let json = serde_json::to_string(&full).unwrap();
    assert!(json.contains("\"7000-7009\"") && json.contains("\"1500ms\"") && json.contains("\"bearer\""), "{json}");
    assert_eq!(serde_json::from_str::<FleetConfig>(&json).unwrap(), full);
    assert!(serde_json::from_str::<FleetConfig>(&json.replace("7000-7009", "9-1")).is_err());
}

#[test]
fn servers_agents_and_players_are_told_what_the_fleet_says() {
    for (admission, bearer) in [(Admission::Proof, false), (Admission::Bearer, true)] {
        let mut config = fleet();
        (config.admission, config.tell_reason) = (admission, bearer);
        (config.rejoin_grace, config.term_grace) = (Millis(7_000), Millis(3_000));
        config.reservation_timeout = Millis(9_000);
        let mut world = World::running_with(config);
        let (session, process) = world.session("one", 4);
        let policy = world.servers[&process].wanted.clone().unwrap().session.unwrap().policy;
        let expected = server::AdmissionPolicy { rejoin_grace_ms: 7_000, bearer, tell_reason: bearer };
        assert_eq!(policy, expected);
        let order = world.reserve(session, "k", &["ann"]).unwrap().remove(0);
        assert_eq!((order.bearer, order.process), (bearer, process));
        assert_eq!(order.address.to_string(), "192.0.2.9:7000");
        assert_eq!(order.player_session.expires_at_ms, world.now + 9_000);
        world.operate(OperatorCall::StopProcess { process, grace_ms: 1_000 }).unwrap();
        let stop = |o: &Output| matches!(o, Output::Stop { grace_ms: 1_000, term_grace_ms: 3_000, .. });
        assert_eq!(world.outputs.iter().filter(|output| stop(output)).count(), 1);
    }
}

/// Two hosts with two processes each.
fn two_hosts() -> (World, Vec<ServerProcessId>, Vec<ServerProcessId>) {
    let mut config = fleet();
    config.sessions_per_process = 0;
    let mut world = World::new(config);
    let secret = world.join_key(JoinRole::Agent, 1);
    let link = world.link();
    let role = HelloRole::Agent { name: "other".parse().unwrap(), advertise: None, capacity: 9 };
    world.open(link, key(50), Credential::Join { secret }, role);
    world.input(Input::Agent(link, agent::AgentUp::Inventory { alive: List::default() }));
    let theirs = world.launches();
    for process in &theirs {
        world.servers.insert(*process, Default::default());
        world.server_connects(*process);
        world.report(*process, server::Report::Ready { ports: List::first_of([7_000]) });
        world.beat(*process, true);
    }
    let there = std::mem::take(&mut world.servers);
    world.agent_connects(true);
    let ours = world.start_servers();
    world.servers.extend(there);
    (world, ours, theirs)
}

/// The busiest host is filled first, so that the others can be emptied.
#[test]
fn sessions_are_packed() {
    let (mut world, ours, theirs) = two_hosts();
    assert_eq!((ours.len(), theirs.len()), (2, 2));
    let of = |process: ServerProcessId| ours.contains(&process);
    let place = |world: &mut World, key| {
        world.now += 1_000; // so that the wanted state of the one that hosts is the newest
        world.session(key, 4)
    };
    let (first, second) = (place(&mut world, "one"), place(&mut world, "two"));
    assert_eq!(of(first.1), of(second.1), "on one host");
    let third = place(&mut world, "three");
    assert_ne!(of(third.1), of(first.1), "that one is full");
    world.report(first.1, server::Report::SessionEnded { session: first.0, attempt: 1 });
    world.report(second.1, server::Report::SessionEnded { session: second.0, attempt: 1 });
    let fourth = place(&mut world, "four");
    assert_eq!(of(fourth.1), of(third.1), "beside the only one that is left");
}

#[test]
fn a_fleet_that_keeps_fewer_keeps_fewer_on_each_host() {
    let (mut world, ours, theirs) = two_hosts();
    let keep = OperatorCall::SetProcessesPerHost { fleet: FleetId::new(FLEET).unwrap(), processes_per_host: 1 };
    world.operate(keep).unwrap();
    for host in [ours, theirs] {
        let draining = |process: &&ServerProcessId| world.stops().contains(&(**process, 10_000));
        assert_eq!(host.iter().filter(draining).count(), 1);
    }
}

/// Nothing is recorded that nobody could have been told.
#[test]
fn nothing_is_launched_on_a_host_whose_agent_is_away() {
    let mut world = World::running();
    let agent = world.agent();
    world.input(Input::Closed(agent));
    let keep = OperatorCall::SetProcessesPerHost { fleet: FleetId::new(FLEET).unwrap(), processes_per_host: 4 };
    world.operate(keep).unwrap();
    let Ok(Answer::Fleets(fleets)) = world.operate(OperatorCall::ListFleets) else { panic!() };
    assert_eq!(fleets[0].processes, [0, 0, 2, 0, 0]);
    world.agent_connects(false);
    assert_eq!(world.launches().len(), 2);
}

#[test]
fn an_agent_may_come_back_with_another_name_address_and_capacity() {
    let mut world = World::running();
    let link = world.link();
    let address = "203.0.113.7".parse().unwrap();
    let role = HelloRole::Agent { name: "renamed".parse().unwrap(), advertise: Some(address), capacity: 5 };
    world.open(link, key(2), Credential::Bound, role);
    world.crash();
    let Ok(Answer::Hosts(hosts)) = world.operate(OperatorCall::ListHosts) else { panic!() };
    let host = &hosts[0];
    assert_eq!((host.name.as_str(), host.address, host.capacity), ("renamed", Some(address), 5));
    assert_eq!((host.connected, host.processes, hosts.len()), (false, 2, 1));
}
