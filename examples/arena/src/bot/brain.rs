//! What a bot does: walks towards the hill or the nearest opponent, and shoots whom it sees.

use super::path::first_step;
use crate::game::map::{Cell, Map, Tile, cell, centre};
use crate::game::space::{Random, TILE, Vector};
use crate::game::{Intent, Mode, TICKS_PER_SECOND};
use crate::wire::{Look, Seen, Snapshot};

/// Nearer than this a bot no longer approaches an opponent whom it sees.
const NEAR: i32 = 5 * TILE;
/// How far off a bot aims at most, in hundredths of the distance.
const SCATTER: usize = 12;

pub struct Brain {
    map: Map,
    random: Random,
    /// Where to walk when nobody is there.
    roaming_to: Cell,
    /// Sidestep in a fight, and until which tick.
    sidestep: (i32, u32),
}

impl Brain {
    /// `None` for a map that this game does not have.
    pub fn new(map: u8, seed: u64) -> Option<Self> {
        Some(Self { map: Map::by_id(map)?, random: Random::new(seed), roaming_to: (0, 0), sidestep: (1, 0) })
    }

    pub fn decide(&mut self, view: &Snapshot) -> Intent {
        let me = view.players.iter().find(|player| player.index == view.you && player.look == Look::Alive);
        let Some(me) = me else { return Intent::default() };
        let opponent = nearest_opponent(me, view);
        let seen = opponent.filter(|opponent| self.map.is_clear(me.position, opponent.position));
        let walk = match (view.mode, seen) {
            (Mode::KingOfTheHill, _) if self.map.tile_at(me.position) != Tile::Hill => self.walk_uphill(me),
            (_, Some(opponent)) if (opponent.position - me.position).length() < NEAR => {
                self.step_aside(view.tick, opponent.position - me.position)
            }
            (_, _) => self.hunt(me, opponent),
        };
        let aim = seen.map_or(walk, |opponent| self.take_aim(opponent.position - me.position));
        Intent { walk: walk.to_bytes(), aim: aim.to_bytes(), fire: seen.is_some() }
    }

    fn walk_uphill(&self, me: &Seen) -> Vector {
        self.walk(me, |cell| self.map.tile(cell) == Tile::Hill)
    }

    fn hunt(&mut self, me: &Seen, opponent: Option<&Seen>) -> Vector {
        match opponent.and_then(|opponent| cell(opponent.position)) {
            Some(prey) => self.walk(me, |cell| cell == prey),
            None => self.roam(me),
        }
    }

    fn roam(&mut self, me: &Seen) -> Vector {
        while self.map.tile(self.roaming_to) == Tile::Wall || cell(me.position) == Some(self.roaming_to) {
            let cells: Vec<Cell> = self.map.cells().map(|(cell, _)| cell).collect();
            self.roaming_to = cells[self.random.below(cells.len())];
        }
        self.walk(me, |cell| cell == self.roaming_to)
    }

    fn walk(&self, me: &Seen, is_goal: impl Fn(Cell) -> bool) -> Vector {
        let step = cell(me.position).and_then(|from| first_step(&self.map, from, is_goal));
        step.map_or(Vector::default(), |step| centre(step) - me.position)
    }

    /// Across the line of fire, now to this side, now to the other.
    fn step_aside(&mut self, tick: u32, towards: Vector) -> Vector {
        if tick >= self.sidestep.1 {
            let side = if self.random.below(2) == 0 { 1 } else { -1 };
            self.sidestep = (side, tick + TICKS_PER_SECOND / 2);
        }
        Vector::new(-towards.y * self.sidestep.0, towards.x * self.sidestep.0)
    }

    fn take_aim(&mut self, towards: Vector) -> Vector {
        let percent = i32::try_from(self.random.below(2 * SCATTER + 1)).expect("a small number")
            - i32::try_from(SCATTER).expect("a small number");
        towards + Vector::new(-towards.y * percent / 100, towards.x * percent / 100)
    }
}

fn nearest_opponent<'v>(me: &Seen, view: &'v Snapshot) -> Option<&'v Seen> {
    let opponents = view.players.iter().filter(|other| other.index != me.index && other.look == Look::Alive);
    opponents.min_by_key(|other| (other.position - me.position).length_squared())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::game::{Setup, World};
    use crate::wire::FromServer;

    /// Bots play a match, seeing what the wire shows them, and it comes to an end by score.
    fn play(map: &'static str, mode: Mode, score_limit: &'static str) {
        let get = |key: &str| match key {
            "map" => Some(map),
            "mode" => Some(mode.name()),
            "score_limit" => Some(score_limit),
            _ => None,
        };
        let mut world = World::new(Setup::from_properties(get).unwrap(), 11);
        let mut bots: Vec<_> =
            (0..4).map(|n| (world.add().unwrap(), Brain::new(world.setup().map.id(), n).unwrap())).collect();
        for _ in 0..TICKS_PER_SECOND * 300 {
            let mut scene = Snapshot::write_scene(&world);
            for (index, brain) in &mut bots {
                let FromServer::Snapshot(view) = FromServer::read(scene.for_player(*index, 0)).unwrap() else {
                    panic!("a snapshot")
                };
                world.set_intent(*index, brain.decide(&view));
            }
            if let Some(outcome) = world.step() {
                assert!(outcome.winner.is_some());
                return;
            }
        }
        panic!("nobody scored {score_limit} in {mode:?} on {map} within five minutes");
    }

    #[test]
    fn bots_can_play_every_mode_on_every_map() {
        for map in Map::names() {
            play(map, Mode::Deathmatch, "10");
            play(map, Mode::KingOfTheHill, "10");
        }
    }

    #[test]
    fn a_bot_alone_roams() {
        let mut world = World::new(Setup::from_properties(|_| None).unwrap(), 1);
        let me = world.add().unwrap();
        let mut brain = Brain::new(0, 1).unwrap();
        let mut cells = std::collections::BTreeSet::new();
        for _ in 0..1_000 {
            let mut scene = Snapshot::write_scene(&world);
            let Some(FromServer::Snapshot(view)) = FromServer::read(scene.for_player(me, 0)) else { panic!() };
            world.set_intent(me, brain.decide(&view));
            world.step();
            cells.extend(cell(world.players()[&me].position));
        }
        assert!(cells.len() > 40, "was in {} cells only", cells.len());
    }
}
