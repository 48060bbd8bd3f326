//! Who may be whom, and what agents and restarts change.

#![allow(clippy::unwrap_used)]

mod world;

use std::net::{IpAddr, Ipv4Addr};

use playgate_core::{CloseWhy, Input, LinkId, Output, Welcomed};
use playgate_protocol::agent::{AgentReport, AgentReportBatch, AgentUp, ExitStatus};
use playgate_protocol::api::*;
use playgate_protocol::reason::ProcessEnd;
use playgate_protocol::server::Report;
use playgate_protocol::*;
use world::{OPERATOR, World, fleet, key};

fn backend() -> HelloRole {
    HelloRole::Backend
}

fn server() -> HelloRole {
    HelloRole::Server { name: "by hand".parse().unwrap(), advertise: None, held_version: 0 }
}

#[test]
fn a_join_key_binds_as_many_keys_as_it_has_uses() {
    let mut world = World::new(fleet());
    let secret = world.join_key(JoinRole::Backend, 2);
    let mut greet = |peer: u8, credential: Credential| {
        let link = world.link();
        world.open(link, key(peer), credential, backend());
        world.greeting(link)
    };
    let join = || Credential::Join { secret: secret.clone() };
    assert_eq!(greet(10, join()), Ok(Welcomed::Backend));
    assert_eq!(greet(10, join()), Ok(Welcomed::Backend), "the same key may present it again");
    assert_eq!(greet(11, join()), Ok(Welcomed::Backend), "that was its second use");
    assert_eq!(greet(12, join()), Err(RefusalReason::JoinKeyInvalid));
    assert_eq!(greet(10, Credential::Bound), Ok(Welcomed::Backend), "from then on the key is the identity");
    assert_eq!(greet(12, Credential::Bound), Err(RefusalReason::UnknownKey));
    let wrong = Credential::Join { secret: Secret32::from_bytes([0xee; 32]) };
    assert_eq!(greet(12, wrong), Err(RefusalReason::JoinKeyInvalid));
}

#[test]
fn bindings_survive_a_crash_and_join_keys_expire() {
    let mut world = World::new(fleet());
    let secret = world.join_key(JoinRole::Backend, 2);
    let link = world.link();
    world.open(link, key(10), Credential::Join { secret: secret.clone() }, backend());
    world.crash();
    let link = world.link();
    world.open(link, key(10), Credential::Bound, backend());
    assert_eq!(world.greeting(link), Ok(Welcomed::Backend));
    world.silence(61_000);
    let link = world.link();
    world.open(link, key(11), Credential::Join { secret }, backend());
    assert_eq!(world.greeting(link), Err(RefusalReason::JoinKeyInvalid));
}

#[test]
fn a_key_has_one_role() {
    let mut world = World::running();
    let secret = world.join_key(JoinRole::Backend, 9);
    for (peer, credential, role, expected) in [
        (1, Credential::Bound, backend(), Ok(Welcomed::Backend.clone())),
        (1, Credential::Bound, server(), Err(RefusalReason::WrongRole)),
        (2, Credential::Bound, backend(), Err(RefusalReason::WrongRole)),
        (2, Credential::Bound, HelloRole::Operator, Err(RefusalReason::WrongRole)),
        (20, Credential::Join { secret: secret.clone() }, HelloRole::Operator, Err(RefusalReason::WrongRole)),
        (20, Credential::Join { secret: secret.clone() }, server(), Err(RefusalReason::WrongRole)),
        (20, Credential::Bound, HelloRole::Operator, Err(RefusalReason::UnknownKey)),
    ] {
        let link = world.link();
        let what = format!("{peer} {role:?}");
        world.open(link, key(peer), credential, role);
        match expected {
            Ok(Welcomed::Backend) => assert!(world.greeting(link).is_ok(), "{what}"),
            Ok(_) => unreachable!(),
            Err(reason) => assert_eq!(world.greeting(link), Err(reason), "{what}"),
        }
    }
}

#[test]
fn messages_of_a_role_the_link_does_not_have_do_nothing() {
    let mut world = World::running();
    let process = *world.servers.keys().next().unwrap();
    let stranger = world.link();
    let agent = Input::Agent(stranger, AgentUp::Inventory { alive: List::default() });
    let call = OperatorUp { request: 77, call: OperatorCall::StopProcess { process, grace_ms: 0 } };
    let secret = world.join_key(JoinRole::Backend, 1);
    let link = world.link();
    world.open(link, key(10), Credential::Join { secret }, backend());
    for input in [agent, Input::Operator(stranger, call.clone()), Input::Operator(link, call)] {
        world.input(input);
    }
    assert_eq!(world.process(process).status, ProcessStatus::Ready);
    assert_eq!(world.answer(77), None);
}

#[test]
fn a_launch_credential_is_bound_to_the_first_key_that_presents_it() {
    let mut world = World::running();
    let process = *world.servers.keys().next().unwrap();
    let credential = |byte| Credential::Launch { process, secret: Secret32::from_bytes([byte; 32]) };
    for (credential, expected) in [
        (credential(5), Err(RefusalReason::CredentialTaken)),
        (credential(6), Err(RefusalReason::JoinKeyInvalid)),
        (Credential::Bound, Err(RefusalReason::UnknownKey)),
    ] {
        let link = world.link();
        world.open(link, key(99), credential, server());
        assert_eq!(world.greeting(link), expected);
    }
    assert_eq!(world.events(EventKind::PeerRefused).len(), 3);
    world.exits(process, ExitStatus::Code(0));
    world.servers.insert(process, world::Server::default());
    let link = world.server_connects(process);
    assert_eq!(world.greeting(link), Err(RefusalReason::ProcessEnded));
}

#[test]
fn a_wire_version_that_nobody_shares_is_refused_with_both_ranges() {
    let mut world = World::new(fleet());
    let link = world.link();
    let versions = VersionRange { min: 7, max: 9 };
    let hello = Hello { versions, software: "future".parse().unwrap(), credential: Credential::Bound, role: backend() };
    let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
    world.input(Input::Opened { link, peer: key(1), from, hello, launch_proven: false });
    assert_eq!(world.greeting(link), Err(RefusalReason::VersionMismatch));
    assert!(world.events(EventKind::PeerRefused)[0].contains("7..=9"));
}

#[test]
fn a_hand_started_server_gets_a_process_of_its_own() {
    let mut config = fleet();
    config.command = List::default();
    let mut world = World::new(config);
    let secret = world.join_key(JoinRole::Server, 5);
    let link = world.link();
    world.open(link, key(30), Credential::Join { secret }, server());
    let Ok(Welcomed::Server { process, applied_seq: 0, .. }) = world.greeting(link) else { panic!() };
    world.servers.insert(process, world::Server { link: Some(link), ..Default::default() });
    world.report(process, Report::Ready { ports: List::first_of([7_777]) });
    let again = world.link();
    world.open(again, key(30), Credential::Bound, server());
    assert!(
        matches!(world.greeting(again), Ok(Welcomed::Server { process: same, applied_seq: 1, .. }) if same == process)
    );
    let replaced = |o: &Output| matches!(o, Output::Close { link: old, why: CloseWhy::Replaced } if *old == link);
    assert!(world.outputs.iter().any(replaced));
    world.servers.get_mut(&process).unwrap().link = Some(again);
    world.report(process, Report::Ending);
    assert_eq!(world.process(process).reason, Some(ProcessEnd::Shutdown));
}

#[test]
fn after_a_restart_lost_launch_orders_are_sent_again_and_strays_are_stopped() {
    let mut world = World::new(fleet());
    world.agent_connects(true);
    let mut ordered = world.launches();
    ordered.sort_unstable();
    assert_eq!(ordered.len(), 2);
    world.crash();
    let stray = ServerProcessId::from_bytes([0xaa; 16]);
    world.servers.insert(stray, world::Server::default());
    world.agent_connects(false);
    assert_eq!(world.launches(), ordered, "the same processes, not others");
    assert!(world.stops().contains(&(stray, 0)));
}

#[test]
fn a_process_the_agent_no_longer_knows_is_lost() {
    let mut world = World::running();
    let process = *world.servers.keys().next().unwrap();
    world.servers.remove(&process);
    world.agent_connects(false);
    assert_eq!(world.process(process).reason, Some(ProcessEnd::Lost));
    world.silence(1_000);
    assert_eq!(world.launches().len(), 1, "and replaced");
}

#[test]
fn an_agents_reports_are_applied_once() {
    let mut world = World::running();
    let process = *world.servers.keys().next().unwrap();
    let agent = LinkId(2);
    let exited = AgentReport::Exited { process, status: ExitStatus::Code(0), output_tail: Text::default() };
    let send = |world: &mut World, first_seq| {
        let batch = AgentReportBatch { first_seq, reports: List::first_of([exited.clone()]) };
        world.input(Input::Agent(agent, AgentUp::Reports(batch)));
    };
    send(&mut world, 2);
    assert_eq!(world.process(process).status, ProcessStatus::Ready, "number 2 was applied before");
    send(&mut world, 9);
    assert_eq!(world.events(EventKind::ProtocolViolation).len(), 1, "a gap");
    for first_seq in [0, u64::MAX] {
        let batch = AgentReportBatch { first_seq, reports: List::default() };
        world.input(Input::Agent(agent, AgentUp::Reports(batch)));
    }
    assert_eq!(world.events(EventKind::ProtocolViolation).len(), 3, "numbers begin at 1, and end before the last");
    send(&mut world, 3);
    assert_eq!(world.process(process).status, ProcessStatus::Ended);
    let mut acked = world.outputs.iter().filter_map(|o| match o {
        Output::AgentAck { through_seq, .. } => Some(*through_seq),
        _ => None,
    });
    assert_eq!(acked.next_back(), Some(3));
}

#[test]
fn tokens_are_minted_only_under_what_the_server_has_acknowledged() {
    let mut world = World::running();
    let (session, process) = world.session("one", 4);
    let old = world.servers[&process].wanted.clone().unwrap();
    world.input(Input::ApplySigningKey { key_id: 2, public_key: [2; 32] });
    let wanted = world.servers[&process].wanted.clone().unwrap();
    assert_eq!(wanted.keys.iter().map(|key| key.key_id).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(world.reserve(session, "a", &["ann"]).unwrap()[0].player_session.key_id, 1);
    world.servers.get_mut(&process).unwrap().wanted = Some(old);
    world.beat(process, true);
    assert_eq!(world.reserve(session, "b", &["bob"]).unwrap()[0].player_session.key_id, 1);
    world.servers.get_mut(&process).unwrap().wanted = Some(wanted);
    world.beat(process, true);
    assert_eq!(world.reserve(session, "c", &["cid"]).unwrap()[0].player_session.key_id, 2);
}

#[test]
fn wanted_versions_rise_across_restarts() {
    let mut world = World::running();
    let (_, process) = world.session("one", 4);
    let before = world.servers[&process].wanted.clone().unwrap().version;
    world.crash();
    world.server_connects(process);
    assert!(world.servers[&process].wanted.clone().unwrap().version > before);
}

#[test]
fn an_operator_scales_a_fleet_and_stops_a_process() {
    let mut world = World::running();
    let fleet_id = FleetId::new(world::FLEET).unwrap();
    let keep = |n| OperatorCall::SetProcessesPerHost { fleet: fleet_id.clone(), processes_per_host: n };
    world.operate(keep(4)).unwrap();
    assert_eq!(world.start_servers().len(), 2);
    let (_, hosting) = world.session("one", 4);
    world.operate(keep(0)).unwrap();
    assert_eq!(world.stops().len(), 3, "the one that hosts is left to finish");
    assert!(!world.stops().iter().any(|(process, _)| *process == hosting));
    world.operate(OperatorCall::StopProcess { process: hosting, grace_ms: 700 }).unwrap();
    assert!(world.stops().contains(&(hosting, 700)));
    assert!(world.servers[&hosting].wanted.clone().unwrap().terminate_by_ms.is_some());
    world.operate(OperatorCall::StopProcess { process: hosting, grace_ms: 0 }).unwrap();
    assert!(world.stops().contains(&(hosting, 0)), "a second order may hurry the first");
    let nobody = ServerProcessId::from_bytes([9; 16]);
    let error = world.operate(OperatorCall::StopProcess { process: nobody, grace_ms: 0 }).unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound);
}

#[test]
fn a_link_that_is_gone_is_answered_no_more() {
    let mut world = World::running();
    let (session, _) = world.session("one", 4);
    let call = BackendCall::AwaitGameSession { session, terminated: true, timeout_ms: 1_000 };
    let request = world.call(OperatorCall::Backend(call));
    world.input(Input::Closed(OPERATOR));
    world.pass(2_000);
    assert_eq!(world.answer(request), None);
}
