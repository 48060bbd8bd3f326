//! The rules, as tables and short matches.

use super::*;
use crate::game::map::{Map, centre};

const RIGHT: (i8, i8) = (127, 0);
const LEFT: (i8, i8) = (-127, 0);
const UP: (i8, i8) = (0, -127);
const DOWN: (i8, i8) = (0, 127);

#[test]
fn walls_stop_and_let_slide() {
    for (walk, moves) in [
        (RIGHT, (true, false)),
        (LEFT, (false, false)),
        (DOWN, (false, true)),
        (UP, (false, false)),
        ((100, -100), (true, false)),
        ((-100, 100), (false, true)),
        ((0, 0), (false, false)),
    ] {
        let mut world = world(Mode::Deathmatch);
        let player = put(&mut world, (1, 1));
        world.set_intent(player, Intent { walk, ..Intent::default() });
        run(&mut world, 5);
        let moved = world.players()[&player].position - centre((1, 1));
        assert_eq!((moved.x.abs() > 99, moved.y.abs() > 99), moves, "{walk:?}");
    }
}

#[test]
fn no_direction_is_faster_than_another() {
    for walk in [(127, 0), (127, 127), (1, 0), (-128, -128), (3, 4)] {
        let mut world = world(Mode::Deathmatch);
        let player = put(&mut world, (10, 8));
        world.set_intent(player, Intent { walk, ..Intent::default() });
        run(&mut world, 1);
        let moved = (world.players()[&player].position - centre((10, 8))).length();
        assert!((PLAYER_SPEED - 2..=PLAYER_SPEED).contains(&moved), "{walk:?} moves by {moved}");
    }
}

#[test]
fn an_intent_that_is_not_renewed_ends() {
    let mut world = world(Mode::Deathmatch);
    let player = put(&mut world, (2, 8));
    world.set_intent(player, Intent { walk: RIGHT, fire: true, ..Intent::default() });
    run(&mut world, 60);
    let moved = world.players()[&player].position - centre((2, 8));
    assert!(moved.x <= PLAYER_SPEED * 10, "stands after a third of a second");
    assert_eq!(world.shots().len(), 0);
}

#[test]
fn four_hits_kill_and_a_kill_is_a_point() {
    let mut world = world(Mode::Deathmatch);
    let (shooter, target) = (put(&mut world, (5, 8)), put(&mut world, (9, 8)));
    let mut hp = vec![100];
    for _ in 0..40 {
        world.set_intent(shooter, Intent { aim: RIGHT, fire: true, ..Intent::default() });
        world.step();
        match world.players()[&target].standing {
            Standing::Alive { hp: left } if hp.last() != Some(&left) => hp.push(left),
            Standing::Dead { .. } => break,
            _ => {}
        }
    }
    assert_eq!(hp, [100, 75, 50, 25]);
    assert_eq!((world.players()[&shooter].score, world.players()[&target].score), (1, 0));
    run(&mut world, RESPAWN_TICKS);
    assert_eq!(world.players()[&target].standing, Standing::Alive { hp: 100 }, "is back");
}

#[test]
fn shots_end_at_walls_and_spare_their_owner() {
    let mut world = world(Mode::Deathmatch);
    let (shooter, behind_wall) = (put(&mut world, (13, 1)), put(&mut world, (18, 1)));
    for _ in 0..60 {
        world.set_intent(shooter, Intent { aim: RIGHT, fire: true, ..Intent::default() });
        world.step();
    }
    for player in [shooter, behind_wall] {
        assert_eq!(world.players()[&player].standing, Standing::Alive { hp: 100 });
    }
}

#[test]
fn only_who_is_alone_on_the_hill_holds_it() {
    let mut world = world(Mode::KingOfTheHill);
    let king = put(&mut world, (16, 8));
    run(&mut world, 61);
    assert_eq!(world.players()[&king].score, 2);
    let rival = put(&mut world, (15, 9));
    run(&mut world, 300);
    assert_eq!((world.players()[&king].score, world.players()[&rival].score), (2, 0));
    world.send_away(king);
    run(&mut world, 30);
    assert_eq!((world.players()[&king].score, world.players()[&rival].score), (2, 1));
}

#[test]
fn the_away_are_not_on_the_field_and_keep_their_score() {
    let mut world = world(Mode::Deathmatch);
    let (shooter, target) = (put(&mut world, (5, 8)), put(&mut world, (9, 8)));
    world.players.get_mut(&target).unwrap().score = 7;
    world.send_away(target);
    for _ in 0..100 {
        world.set_intent(shooter, Intent { aim: RIGHT, fire: true, ..Intent::default() });
        world.step();
    }
    assert_eq!(world.players()[&target].standing, Standing::Away);
    world.bring_back(target);
    assert_eq!((world.players()[&target].standing, world.players()[&target].score), (Standing::Alive { hp: 100 }, 7));
}

#[test]
fn a_match_ends_by_score_or_time_and_ties_have_no_winner() {
    let setup = |score_limit, time_limit_ticks| Setup { score_limit, time_limit_ticks, ..setup(Mode::Deathmatch) };
    for (setup, scores, expected) in [
        (setup(5, 1_000), [4, 0], None),
        (setup(5, 1_000), [5, 0], Some(Outcome { winner: Some(0) })),
        (setup(5, 1_000), [5, 5], Some(Outcome { winner: None })),
        (setup(5, 1), [1, 2], Some(Outcome { winner: Some(1) })),
        (setup(5, 1), [0, 0], Some(Outcome { winner: None })),
    ] {
        let mut world = World::new(setup, 1);
        for score in scores {
            let player = world.add().unwrap();
            world.players.get_mut(&player).unwrap().score = score;
        }
        assert_eq!(world.step(), expected, "{scores:?}");
    }
}

#[test]
fn numbers_are_given_up_to_the_last_and_again() {
    let mut world = world(Mode::Deathmatch);
    for n in 0..PLAYERS_MAX {
        assert_eq!(world.add().map(usize::from), Some(n));
    }
    assert_eq!(world.add(), None);
    world.remove(3);
    assert_eq!(world.add(), Some(3));
}

#[test]
fn the_seed_decides() {
    let play = |seed| {
        let mut world = World::new(setup(Mode::Deathmatch), seed);
        let mut choice = Random::new(99);
        let players: Vec<_> = (0..8).map(|_| world.add().unwrap()).collect();
        let mut seen = Vec::new();
        for tick in 0..600 {
            for player in &players {
                let mut byte = || i8::try_from(choice.below(255)).unwrap_or(-1);
                let intent = Intent { walk: (byte(), byte()), aim: (byte(), byte()), fire: true };
                world.set_intent(*player, intent);
            }
            world.step();
            if tick % 10 == 0 {
                seen.push(world.players().values().map(|p| (p.position, p.score, p.standing)).collect::<Vec<_>>());
            }
        }
        seen
    };
    assert_eq!(play(1), play(1));
    assert_ne!(play(1), play(2));
}

fn setup(mode: Mode) -> Setup {
    Setup { map: Map::named("crossroads").unwrap(), mode, score_limit: 1_000, time_limit_ticks: 100_000 }
}

fn world(mode: Mode) -> World {
    World::new(setup(mode), 1)
}

fn put(world: &mut World, cell: (usize, usize)) -> PlayerIndex {
    let player = world.add().unwrap();
    world.players.get_mut(&player).unwrap().position = centre(cell);
    player
}

fn run(world: &mut World, ticks: u32) {
    for _ in 0..ticks {
        world.step();
    }
}
