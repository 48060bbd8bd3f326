//! Relays: who a ticket leads through, which secret seals its pass, and which flows are ended.

use std::net::SocketAddr;

use playgate_core::fleet::{FleetConfig, RelayMode};
use playgate_core::limits::{FLOW_FAREWELL_MS, RELAY_SECRET_MS, RELAYS_MAX};
use playgate_core::{Input, LinkId, Output, TicketOrder};
use playgate_protocol::api::*;
use playgate_protocol::relay::{FlowRevocation, PASS_LIFE_MS, PlayerAt, RelayAddresses, RelayBeat, RelayDown, RelayUp};
use playgate_protocol::server::{PlayerOutcome, Report, ServerDown};
use playgate_protocol::*;

use crate::world::{World, fleet, key};

const RELAY_KEY: u8 = 77;

fn relayed(relay: RelayMode) -> World {
    World::running_with(FleetConfig { relay, ..fleet() })
}

fn role(addresses: &[&str], secret: u32) -> HelloRole {
    let addresses = RelayAddresses::first_of(addresses.iter().map(|text| text.parse().unwrap()));
    HelloRole::Relay { name: "eu".parse().unwrap(), addresses, secret }
}

fn joins(world: &mut World, key_byte: u8, addresses: &[&str]) -> LinkId {
    let (secret, link) = (world.join_key(JoinRole::Relay, 1), world.link());
    world.open(link, key(key_byte), Credential::Join { secret }, role(addresses, 0));
    link
}

fn comes_back(world: &mut World, secret: u32) -> LinkId {
    let link = world.link();
    world.open(link, key(RELAY_KEY), Credential::Bound, role(&["192.0.2.80:4000"], secret));
    link
}

fn beats(world: &mut World, link: LinkId, secret: u32, flows: u32) {
    let beat = RelayBeat { secret, flows, flows_max: 100, is_draining: false };
    world.input(Input::Relay(link, RelayUp::Beat(beat)));
}

/// One relay that is connected and takes players.
fn with_a_relay(mode: RelayMode) -> (World, LinkId) {
    let mut world = relayed(mode);
    let link = joins(&mut world, RELAY_KEY, &["192.0.2.80:4000"]);
    beats(&mut world, link, 1, 0);
    (world, link)
}

fn sessions(world: &mut World) -> Vec<GameSessionInfo> {
    match world.operate(OperatorCall::Backend(BackendCall::ListGameSessions { fleet: None, after: None })) {
        Ok(Answer::GameSessions(sessions)) => sessions.into_vec(),
        other => panic!("{other:?}"),
    }
}

/// In the one session that there is.
fn reserve(world: &mut World, key: &str, player: &str) -> Result<TicketOrder, ErrorCode> {
    let session = match sessions(world).first() {
        Some(session) => session.id,
        None => world.session("one", 9).0,
    };
    world.reserve(session, key, &[player]).map(|mut orders| orders.remove(0))
}

/// Numbers of the secrets that a relay was given, oldest first.
fn given(world: &World, to: LinkId) -> Vec<u32> {
    let of = |output: &Output| match output {
        Output::RelaySecrets { link, number, .. } if *link == to => Some(*number),
        _ => None,
    };
    world.outputs.iter().filter_map(of).collect()
}

fn revoked(world: &World, to: LinkId) -> Vec<FlowRevocation> {
    let of = |output: &Output| match output {
        Output::Relay(link, RelayDown::Revoke(over)) if *link == to => Some(over.clone().into_vec()),
        _ => None,
    };
    world.outputs.iter().filter_map(of).flatten().collect()
}

fn relays(world: &mut World) -> Vec<RelayInfo> {
    match world.operate(OperatorCall::ListRelays) {
        Ok(Answer::Relays(relays)) => relays.into_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_ticket_says_of_the_way() {
    use RelayMode::{Off, On, Required};
    for (mode, has_relay, is_direct, through) in
        [(Off, true, true, false), (On, true, true, true), (On, false, true, false), (Required, true, false, true)]
    {
        let (mut world, link) = with_a_relay(mode);
        if !has_relay {
            world.input(Input::Closed(link));
        }
        let order = reserve(&mut world, "k", "ann").unwrap();
        assert_eq!((order.is_direct, order.relay.is_some()), (is_direct, through), "{mode:?}");
        let Some(relay) = order.relay else { continue };
        let address: SocketAddr = "192.0.2.80:4000".parse().unwrap();
        assert_eq!((relay.secret, relay.addresses.to_vec()), (1, vec![address]));
        assert_eq!((relay.packets_per_second, relay.bytes_per_second), (1_000, 1_000_000));
        assert_eq!(relay.use_by_ms, world.now + PASS_LIFE_MS, "longer than the reservation");
        assert!(relay.valid_until_ms > relay.use_by_ms);
    }
}

#[test]
fn a_fleet_behind_relays_reserves_nothing_while_there_is_none() {
    let mut world = relayed(RelayMode::Required);
    assert_eq!(reserve(&mut world, "k", "ann").unwrap_err(), ErrorCode::ServerUnavailable);
    let says = |output: &Output| match output {
        Output::Answer { outcome: Err(error), .. } => error.detail.as_str().contains("playgate relay run"),
        _ => false,
    };
    assert!(world.outputs.iter().any(says), "the remedy is named");
    let session = sessions(&mut world).remove(0);
    assert_eq!((session.reserved, session.active), (0, 0), "no slot is held by a ticket that nobody has");
    let link = joins(&mut world, RELAY_KEY, &["192.0.2.80:4000"]);
    assert!(reserve(&mut world, "k", "ann").is_err(), "it has not said that it takes players");
    beats(&mut world, link, 1, 0);
    let order = reserve(&mut world, "k", "ann").unwrap();
    world.input(Input::Closed(link));
    let call = BackendCall::GetTicket { player_session: order.player_session.id };
    let request = world.call(OperatorCall::Backend(call));
    assert!(world.answer(request).unwrap().is_err());
}

/// The same request again gives the same player sessions, whatever relay is there by then.
#[test]
fn a_repeated_request_gets_the_way_of_the_moment() {
    let (mut world, first) = with_a_relay(RelayMode::On);
    let one = reserve(&mut world, "k", "ann").unwrap();
    world.input(Input::Closed(first));
    let again = reserve(&mut world, "k", "ann").unwrap();
    assert_eq!((again.player_session.id, again.relay), (one.player_session.id, None));
    let second = joins(&mut world, RELAY_KEY + 1, &["192.0.2.81:4000"]);
    beats(&mut world, second, 1, 0);
    let again = reserve(&mut world, "k", "ann").unwrap();
    assert_ne!(again.relay.unwrap().relay, one.relay.unwrap().relay);
}

#[test]
fn the_least_busy_relay_that_takes_players_is_named() {
    let mut world = relayed(RelayMode::On);
    let links = [1, 2, 3].map(|n| joins(&mut world, RELAY_KEY + n, &[&format!("192.0.2.{n}:4000")]));
    let beat = |world: &mut World, n: usize, flows, flows_max, is_draining| {
        let beat = RelayBeat { secret: 1, flows, flows_max, is_draining };
        world.input(Input::Relay(links[n], RelayUp::Beat(beat)));
    };
    for (row, (beats, chosen)) in [
        ([(50, 100, false), (10, 100, false), (90, 100, false)], Some(2)),
        ([(50, 100, false), (10, 15, false), (90, 100, false)], Some(1)), // by what share is taken
        ([(99, 100, false), (0, 100, true), (100, 100, false)], Some(1)), // draining, and full
        ([(100, 100, false), (0, 0, false), (101, 100, false)], None),
    ]
    .into_iter()
    .enumerate()
    {
        for (n, (flows, flows_max, is_draining)) in beats.into_iter().enumerate() {
            beat(&mut world, n, flows, flows_max, is_draining);
        }
        let order = reserve(&mut world, &format!("k{row}"), &format!("p{row}")).unwrap();
        let at = order.relay.map(|relay| relay.addresses[0].to_string());
        assert_eq!(at, chosen.map(|n: u32| format!("192.0.2.{n}:4000")), "row {row}");
    }
}

#[test]
fn the_address_of_no_interface_is_where_the_link_comes_from() {
    let mut world = relayed(RelayMode::On);
    joins(&mut world, RELAY_KEY, &["0.0.0.0:4000", "[2001:db8::1]:4001"]);
    let addresses = relays(&mut world)[0].addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(addresses, ["192.0.2.9:4000", "[2001:db8::1]:4001"]);
    comes_back(&mut world, 1);
    assert_eq!(relays(&mut world)[0].addresses[0].to_string(), "192.0.2.80:4000", "the newest counts");
}

/// A pass is never sealed with a secret that the relay does not have, nor with one that it will forget with the next.
#[test]
fn a_pass_is_sealed_with_the_newest_secret_that_the_relay_has() {
    let (mut world, link) = with_a_relay(RelayMode::On);
    let relay = relays(&mut world)[0].id;
    let sealed = |world: &mut World, n: u32| {
        reserve(world, &format!("k{n}"), &format!("p{n}")).unwrap().relay.map(|relay| relay.secret)
    };
    assert_eq!((given(&world, link), sealed(&mut world, 0)), (vec![1], Some(1)));
    assert_eq!(world.operate(OperatorCall::RotateRelaySecret { relay }), Ok(Answer::Done));
    assert_eq!((given(&world, link), sealed(&mut world, 1)), (vec![1, 2], Some(1)), "it did not say that it has it");
    beats(&mut world, link, 2, 0);
    assert_eq!(sealed(&mut world, 2), Some(2));
    world.input(Input::Closed(link));
    for _ in 0..2 {
        world.operate(OperatorCall::RotateRelaySecret { relay }).unwrap();
    }
    let link = comes_back(&mut world, 2);
    assert_eq!(given(&world, link), [4]);
    beats(&mut world, link, 2, 0);
    assert_eq!(sealed(&mut world, 3), None, "passes of 2 are refused as soon as it has 4");
    beats(&mut world, link, 4, 0);
    assert_eq!(sealed(&mut world, 4), Some(4));
    let unknown = world.operate(OperatorCall::RotateRelaySecret { relay: RelayId::from_bytes([9; 16]) });
    assert_eq!(unknown.unwrap_err().code, ErrorCode::NotFound);
}

#[test]
fn secrets_change_every_day_and_only_for_a_relay_that_is_there() {
    let (mut world, link) = with_a_relay(RelayMode::On);
    world.pass(RELAY_SECRET_MS - 1_000);
    assert_eq!(given(&world, link), [1]);
    world.pass(1_000);
    assert_eq!(given(&world, link), [1, 2]);
    world.input(Input::Closed(link));
    world.pass(3 * RELAY_SECRET_MS);
    assert_eq!(relays(&mut world)[0].secret, 2, "nobody would know it");
    let link = comes_back(&mut world, 2);
    assert_eq!(given(&world, link), [3]);
    world.crash();
    let link = comes_back(&mut world, 3);
    assert_eq!(given(&world, link), [3], "numbers survive a crash");
    world.pass(RELAY_SECRET_MS);
    assert_eq!(given(&world, link), [3, 4], "and so does when they were made");
}

/// The coordinator is one of a restored backup, or a new one: it gives the relay what it should have.
#[test]
fn a_relay_with_a_secret_that_was_never_made_here_gets_those_that_were() {
    let (mut world, link) = with_a_relay(RelayMode::On);
    world.input(Input::Closed(link));
    let link = comes_back(&mut world, 5);
    beats(&mut world, link, 5, 0);
    assert_eq!(given(&world, link), [1]);
    assert_eq!(reserve(&mut world, "a", "ann").unwrap().relay, None, "nothing is sealed with it");
    beats(&mut world, link, 1, 0);
    assert_eq!(reserve(&mut world, "b", "ben").unwrap().relay.map(|relay| relay.secret), Some(1));
    assert_eq!(world.events(EventKind::ProtocolViolation).len(), 0);
}

/// A tournament begins between two beats.
#[test]
fn tickets_count_until_the_relay_says_how_many_came() {
    let mut world = relayed(RelayMode::On);
    let links = [1, 2].map(|n| joins(&mut world, RELAY_KEY + n, &[&format!("192.0.2.{n}:4000")]));
    links.iter().for_each(|link| beats(&mut world, *link, 1, 0));
    let mut named = std::collections::BTreeMap::<String, u32>::new();
    for n in 0..8 {
        let order = reserve(&mut world, &format!("k{n}"), &format!("p{n}")).unwrap();
        *named.entry(order.relay.unwrap().addresses[0].to_string()).or_default() += 1;
    }
    assert_eq!(named.into_values().collect::<Vec<_>>(), [4, 4]);
}

/// A fleet that is not relayed any more still has players who are.
#[test]
fn a_flow_is_ended_though_its_fleet_is_not_relayed_any_more() {
    let (mut world, link) = with_a_relay(RelayMode::Required);
    let (session, process) = world.session("one", 9);
    let ann = world.reserve(session, "k", &["ann"]).unwrap().remove(0);
    let address = "203.0.113.5:40000".parse().unwrap();
    let at = PlayerAt { player_session: ann.player_session.id, process, address };
    world.input(Input::Relay(link, RelayUp::Players(List::first_of([at]))));
    world.player_report(process, &ann, PlayerOutcome::Active { generation: 1, joined_ms: 1 });
    world.input(Input::ApplyFleet(fleet()));
    world.report(process, Report::SessionEnded { session, attempt: 1 });
    world.silence(FLOW_FAREWELL_MS);
    assert_eq!(revoked(&world, link).len(), 1);
}

/// The relay was back before the server was.
#[test]
fn a_server_that_comes_back_hears_where_its_players_are() {
    let (mut world, link) = with_a_relay(RelayMode::On);
    let (session, process) = world.session("one", 9);
    let ann = world.reserve(session, "k", &["ann"]).unwrap().remove(0);
    world.input(Input::Closed(world.servers[&process].link.unwrap()));
    let address: SocketAddr = "203.0.113.5:40000".parse().unwrap();
    let at = PlayerAt { player_session: ann.player_session.id, process, address };
    world.input(Input::Relay(link, RelayUp::Players(List::first_of([at]))));
    let told = |world: &World| {
        let is = |output: &&Output| matches!(output, Output::Server(_, ServerDown::PlayerAt { address: at, .. }) if *at == address);
        world.outputs.iter().filter(is).count()
    };
    assert_eq!(told(&world), 0);
    world.server_connects(process);
    assert_eq!(told(&world), 1);
    world.input(Input::Relay(link, RelayUp::Players(List::first_of([at]))));
    assert_eq!(told(&world), 1, "what it knows is not said again");
}

#[test]
fn whoever_is_over_is_revoked_at_every_relay_and_in_one_frame_a_turn() {
    let (mut world, link) = with_a_relay(RelayMode::Required);
    let (session, process) = world.session("one", 9);
    let players = world.reserve(session, "k", &["ann", "ben", "cleo"]).unwrap();
    let ids: Vec<PlayerSessionId> = players.iter().map(|order| order.player_session.id).collect();
    world.player_report(process, &players[0], PlayerOutcome::Active { generation: 1, joined_ms: 1 });
    assert_eq!(revoked(&world, link), []);
    let over = |world: &World| {
        let mut over: Vec<_> = revoked(world, link).iter().map(|over| over.player_session).collect();
        over.sort_unstable();
        over
    };
    let kick = |world: &mut World, player_session| {
        world.call(OperatorCall::Backend(BackendCall::RevokePlayerSession { player_session, timeout_ms: 60_000 }));
    };
    kick(&mut world, ids[1]);
    assert_eq!(over(&world), [ids[1]], "his token was not used, and never will be");
    kick(&mut world, ids[0]);
    world.silence(FLOW_FAREWELL_MS - 1);
    assert_eq!(over(&world), [ids[1]], "the game tells him");
    world.silence(1);
    let mut expected = vec![ids[0], ids[1]];
    expected.sort_unstable();
    assert_eq!(over(&world), expected, "whether the server has answered or not");
    let until = revoked(&world, link).iter().map(|over| over.until_ms).min().unwrap();
    assert!(until > world.now + PASS_LIFE_MS - FLOW_FAREWELL_MS);

    world.player_report(process, &players[2], PlayerOutcome::Active { generation: 1, joined_ms: 1 });
    world.outputs.clear();
    world.report(process, Report::SessionEnded { session, attempt: 1 });
    world.silence(FLOW_FAREWELL_MS);
    let mut expected = ids.clone();
    expected.sort_unstable();
    let mut all = over(&world);
    all.dedup();
    assert_eq!(all, expected);
    let frames = world.outputs.iter().filter(|output| matches!(output, Output::Relay(_, RelayDown::Revoke(_)))).count();
    assert_eq!(frames, 2, "of him who was never in at once, of the others together");
}

#[test]
fn players_who_go_straight_to_the_server_are_no_news_for_relays() {
    let (mut world, link) = with_a_relay(RelayMode::Off);
    let (session, process) = world.session("one", 9);
    world.reserve(session, "k", &["ann"]).unwrap();
    world.report(process, Report::SessionEnded { session, attempt: 1 });
    assert_eq!(revoked(&world, link), []);
}

/// What a relay says when its link comes up: flows that should be are told to their servers, the others are ended.
#[test]
fn flows_of_nobody_are_ended_and_servers_learn_where_their_players_are() {
    let (mut world, link) = with_a_relay(RelayMode::On);
    let (session, process) = world.session("one", 9);
    let [ann, ben]: [TicketOrder; 2] = world.reserve(session, "k", &["ann", "ben"]).unwrap().try_into().unwrap();
    world.player_report(process, &ben, PlayerOutcome::Active { generation: 1, joined_ms: 1 });
    let call = BackendCall::RevokePlayerSession { player_session: ben.player_session.id, timeout_ms: 1 };
    world.call(OperatorCall::Backend(call));
    world.outputs.clear();
    let address: SocketAddr = "203.0.113.5:40000".parse().unwrap();
    let stranger = PlayerSessionId::from_bytes([9; 16]);
    let at = |player_session, process| PlayerAt { player_session, process, address };
    let players = [
        at(ann.player_session.id, process),
        at(ben.player_session.id, process),
        at(stranger, process),
        at(ann.player_session.id, ServerProcessId::from_bytes([9; 16])), // of a game that has moved on
    ];
    world.input(Input::Relay(link, RelayUp::Players(List::first_of(players))));
    let ended: Vec<_> = revoked(&world, link).iter().map(|over| over.player_session).collect();
    assert_eq!(ended, [ben.player_session.id, stranger]);
    let told = world.outputs.iter().filter_map(|output| match output {
        Output::Server(_, ServerDown::PlayerAt { player_session, address }) => Some((*player_session, *address)),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [(ann.player_session.id, address)]);
    // A link that is no relay's says nothing of players.
    world.outputs.clear();
    let agent = world.agent();
    let players = RelayUp::Players(List::first_of([at(stranger, process)]));
    world.input(Input::Relay(agent, players));
    assert_eq!(world.outputs.len(), 0);
}

#[test]
fn relays_have_one_link_one_role_and_a_bound() {
    let (mut world, link) = with_a_relay(RelayMode::On);
    let newer = comes_back(&mut world, 1);
    let replaced = |output: &Output| matches!(output, Output::Close { link: of, .. } if *of == link);
    assert!(world.outputs.iter().any(replaced));
    beats(&mut world, newer, 1, 7);
    let beat = RelayBeat { secret: 1, flows: 7, flows_max: 100, is_draining: false };
    let info = relays(&mut world).remove(0);
    assert_eq!((info.connected, info.beat, info.name.as_str()), (true, Some(beat), "eu"));
    world.input(Input::Closed(newer));
    let info = relays(&mut world).remove(0);
    assert_eq!((info.connected, info.beat), (false, None));
    assert_eq!(world.events(EventKind::RelayDisconnected).len(), 1);
    let link = world.link();
    world.open(link, key(RELAY_KEY), Credential::Bound, HelloRole::Backend);
    assert_eq!(world.greeting(link), Err(RefusalReason::WrongRole));
    for n in 1..RELAYS_MAX {
        joins(&mut world, RELAY_KEY + u8::try_from(n).unwrap(), &[]);
    }
    let link = joins(&mut world, 200, &[]);
    assert_eq!(world.greeting(link), Err(RefusalReason::Busy));
}
