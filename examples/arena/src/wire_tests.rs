//! Golden bytes, round trips, and everything that is not a datagram of this game.

use super::*;
use crate::game::Setup;
use crate::game::space::Random;

#[test]
fn an_input_has_ten_bytes() {
    let intent = Intent { walk: (1, -1), aim: (127, -128), fire: true };
    let input = FromPlayer::Input { sequence: 0x0403_0201, intent };
    assert_eq!(input.write(), [0xa1, 1, 2, 3, 4, 1, 0xff, 0x7f, 0x80, 1]);
    assert_eq!(FromPlayer::read(&input.write()), Some(input));
    assert_eq!(FromPlayer::read(&FromPlayer::Goodbye.write()), Some(FromPlayer::Goodbye));
}

#[test]
fn an_ending_has_three_bytes() {
    for (why, winner, bytes) in [
        (Why::MatchOver, Some(63), [0xb2, 0, 63]),
        (Why::Stopped, None, [0xb2, 1, 0xff]),
        (Why::Removed, Some(0), [0xb2, 2, 0]),
    ] {
        let ending = Ending { why, winner };
        assert_eq!(ending.write(), bytes);
        assert_eq!(FromServer::read(&bytes), Some(FromServer::Over(ending)));
    }
}

#[test]
fn a_snapshot_shows_the_world() {
    let world = busy_world();
    let FromServer::Snapshot(seen) = FromServer::read(&snapshot(&world)).unwrap() else { panic!("a snapshot") };
    assert_eq!((seen.tick, seen.acked, seen.you), (world.tick(), 77, 2));
    assert_eq!((seen.map, seen.mode), (world.setup().map.id(), world.setup().mode));
    let players: Vec<_> = world.players().iter().map(|(index, p)| (*index, p.position, p.score)).collect();
    assert_eq!(seen.players.iter().map(|p| (p.index, p.position, p.score)).collect::<Vec<_>>(), players);
    assert_eq!(seen.shots, world.shots().collect::<Vec<_>>());
    assert!(seen.players.iter().any(|p| p.look == Look::Away) && !seen.shots.is_empty());
}

#[test]
fn a_full_match_fits_one_datagram() {
    let mut world = World::new(setup(), 1);
    while world.add().is_some() {}
    for _ in 0..300 {
        for player in 0..64 {
            let intent = Intent { walk: (1, 1), aim: (1, 0), fire: true };
            world.set_intent(player, intent);
        }
        world.step();
        let datagram = snapshot(&world);
        assert!(datagram.len() <= DATAGRAM_BYTES_MAX && FromServer::read(&datagram).is_some());
    }
}

#[test]
fn junk_is_refused() {
    let input = FromPlayer::Input { sequence: 1, intent: Intent::default() }.write();
    let snapshot = snapshot(&busy_world());
    let with = |bytes: &[u8], at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        bytes
    };
    for junk in [
        vec![],
        vec![0xa1],
        vec![0xa2, 0],
        vec![0xb2, 0],
        vec![0xb2, 3, 0],
        vec![0xb2, 0, 64],
        b"PG1H and more".to_vec(),
        input[..9].to_vec(),
        [&input[..], &[0]].concat(),
        with(&input, 0, 0xa0),
        with(&input, 9, 2),
        with(&snapshot, 9, 64),
        with(&snapshot, 10, 3),
        with(&snapshot, 11, 2),
        with(&snapshot, 12, 65),
        with(&snapshot, 13, snapshot[13] + 1),
        with(&snapshot, 14, 64),
        with(&snapshot, 15, 3),
        snapshot[..snapshot.len() - 1].to_vec(),
        [&snapshot[..], &[0]].concat(),
        [&snapshot[..], &vec![0; DATAGRAM_BYTES_MAX]].concat(),
    ] {
        assert_eq!((FromPlayer::read(&junk), FromServer::read(&junk)), (None, None), "{junk:02x?}");
    }
}

#[test]
fn no_bytes_make_it_panic_and_what_is_read_is_written_back() {
    let mut random = Random::new(7);
    let seeds = [FromPlayer::Input { sequence: 1, intent: Intent::default() }.write(), snapshot(&busy_world())];
    for _ in 0..100_000 {
        let mut bytes = seeds[random.below(2)].clone();
        for _ in 0..random.below(4) {
            let at = random.below(bytes.len());
            bytes[at] = u8::try_from(random.below(256)).unwrap();
        }
        bytes.truncate(random.below(bytes.len() * 2));
        if let Some(message) = FromPlayer::read(&bytes) {
            assert_eq!(message.write(), bytes);
        }
        let _ = FromServer::read(&bytes);
    }
}

fn setup() -> Setup {
    let properties = |key: &str| (key == "map").then_some("ruins");
    Setup::from_properties(properties).unwrap()
}

fn busy_world() -> World {
    let mut world = World::new(setup(), 3);
    for _ in 0..4 {
        let player = world.add().unwrap();
        world.set_intent(player, Intent { walk: (5, 5), aim: (1, 1), fire: true });
    }
    world.send_away(1);
    for _ in 0..5 {
        world.step();
    }
    world
}

fn snapshot(world: &World) -> Vec<u8> {
    Snapshot::write_scene(world).for_player(2, 77).to_vec()
}
