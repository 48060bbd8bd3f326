//! One match: where everybody is, what flies, who scores.

use std::collections::BTreeMap;

use super::map::Tile;
use super::rules::{Mode, Setup};
use super::space::{Random, Vector};
use super::{PLAYERS_MAX, TICKS_PER_SECOND};

/// Half the edge of a player: two pass each other in a corridor of one tile's width.
pub const PLAYER_HALF_EDGE: i32 = 80;
/// Five tiles a second.
const PLAYER_SPEED: i32 = 42;
/// Fifteen tiles a second, moved in steps shorter than a player is wide.
const SHOT_STEP: i32 = 64;
const SHOT_STEPS_PER_TICK: u32 = 2;
const SHOT_LIFE_TICKS: u32 = 2 * TICKS_PER_SECOND;
const SHOT_COOLDOWN_TICKS: u32 = 8;
const SHOT_DAMAGE: u8 = 25;
const HP_FULL: u8 = 100;
const RESPAWN_TICKS: u32 = 45;
/// A player whose inputs stop coming stands still after a third of a second.
const INTENT_LIFE_TICKS: u32 = 10;

/// A player's number within the match, below [`PLAYERS_MAX`]; given to another one once its player is gone.
pub type PlayerIndex = u8;

/// What a player wants at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Intent {
    /// Where to walk; nothing to stand.
    pub walk: (i8, i8),
    /// Where to look; nothing to look on.
    pub aim: (i8, i8),
    pub fire: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Alive {
        hp: u8,
    },
    Dead {
        until: u32,
    },
    /// Not connected: not on the field, the score is kept.
    Away,
}

#[derive(Debug, Clone)]
pub struct Player {
    pub position: Vector,
    pub aim: Vector,
    pub standing: Standing,
    pub score: u16,
    velocity: Vector,
    intent: Intent,
    intent_until: u32,
    fires_at: u32,
    ticks_on_hill: u32,
}

#[derive(Debug, Clone)]
struct Shot {
    owner: PlayerIndex,
    position: Vector,
    step: Vector,
    until: u32,
}

/// How a match came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Nobody when two share the first place.
    pub winner: Option<PlayerIndex>,
}

pub struct World {
    setup: Setup,
    tick: u32,
    random: Random,
    players: BTreeMap<PlayerIndex, Player>,
    shots: Vec<Shot>,
}

impl World {
    pub fn new(setup: Setup, seed: u64) -> Self {
        Self { setup, tick: 0, random: Random::new(seed), players: BTreeMap::new(), shots: Vec::new() }
    }

    pub const fn setup(&self) -> &Setup {
        &self.setup
    }

    pub const fn tick(&self) -> u32 {
        self.tick
    }

    pub const fn players(&self) -> &BTreeMap<PlayerIndex, Player> {
        &self.players
    }

    pub fn shots(&self) -> impl ExactSizeIterator<Item = Vector> + '_ {
        self.shots.iter().map(|shot| shot.position)
    }

    /// Puts one more player on the field, unless all numbers are taken.
    pub fn add(&mut self) -> Option<PlayerIndex> {
        let free = (0..PLAYERS_MAX).filter_map(|n| u8::try_from(n).ok()).find(|n| !self.players.contains_key(n))?;
        self.players.insert(free, Player::new());
        self.enter(free);
        Some(free)
    }

    pub fn remove(&mut self, player: PlayerIndex) {
        self.players.remove(&player);
        self.shots.retain(|shot| shot.owner != player);
    }

    /// The player is not connected.
    pub fn send_away(&mut self, player: PlayerIndex) {
        if let Some(player) = self.players.get_mut(&player) {
            player.standing = Standing::Away;
        }
    }

    /// The player is connected again.
    pub fn bring_back(&mut self, player: PlayerIndex) {
        if self.players.get(&player).is_some_and(|player| player.standing == Standing::Away) {
            self.enter(player);
        }
    }

    pub fn set_intent(&mut self, player: PlayerIndex, intent: Intent) {
        if let Some(player) = self.players.get_mut(&player) {
            player.intent = intent;
            player.intent_until = self.tick + INTENT_LIFE_TICKS;
        }
    }

    /// One tick. Answers the outcome when the match is over.
    pub fn step(&mut self) -> Option<Outcome> {
        self.tick += 1;
        let everybody: Vec<PlayerIndex> = self.players.keys().copied().collect();
        for index in everybody {
            self.act(index);
        }
        self.fly();
        if self.setup.mode == Mode::KingOfTheHill {
            self.hold_the_hill();
        }
        self.is_over().then(|| self.outcome())
    }

    fn act(&mut self, index: PlayerIndex) {
        let tick = self.tick;
        let Some(player) = self.players.get_mut(&index) else { return };
        if tick > player.intent_until {
            player.intent = Intent { aim: player.intent.aim, ..Intent::default() };
        }
        match player.standing {
            Standing::Away => {}
            Standing::Dead { until } if tick < until => {}
            Standing::Dead { .. } => self.enter(index),
            Standing::Alive { .. } => {
                player.walk(&self.setup);
                self.shots.extend(player.fire(index, tick));
            }
        }
    }

    /// Appears where the nearest opponent is furthest away; chance decides among equals.
    fn enter(&mut self, index: PlayerIndex) {
        let spawns = self.setup.map.spawns();
        let first = self.random.below(spawns.len());
        let opponents = self.players.iter().filter(|(other, player)| **other != index && player.is_alive());
        let opponents: Vec<Vector> = opponents.map(|(_, player)| player.position).collect();
        let distance = |spawn: Vector| opponents.iter().map(|place| (*place - spawn).length_squared()).min();
        let in_turn = (0..spawns.len()).map(|n| spawns[(first + n) % spawns.len()]);
        let spawn = in_turn.max_by_key(|spawn| distance(*spawn)).expect("every map has places to appear");
        if let Some(player) = self.players.get_mut(&index) {
            player.position = spawn;
            player.velocity = Vector::default();
            player.standing = Standing::Alive { hp: HP_FULL };
        }
    }

    fn fly(&mut self) {
        let mut shots = std::mem::take(&mut self.shots);
        shots.retain_mut(|shot| (0..SHOT_STEPS_PER_TICK).all(|_| self.advance(shot)));
        self.shots = shots;
    }

    /// Moves a shot by one step, and says whether it flies on.
    fn advance(&mut self, shot: &mut Shot) -> bool {
        shot.position = shot.position + shot.step;
        if self.tick >= shot.until || self.setup.map.tile_at(shot.position) == Tile::Wall {
            return false;
        }
        let hit = self.players.iter_mut().find(|(index, player)| **index != shot.owner && player.covers(shot.position));
        let Some((_, target)) = hit else { return true };
        if target.is_killed_by(SHOT_DAMAGE) {
            target.standing = Standing::Dead { until: self.tick + RESPAWN_TICKS };
            if self.setup.mode == Mode::Deathmatch
                && let Some(owner) = self.players.get_mut(&shot.owner)
            {
                owner.score = owner.score.saturating_add(1);
            }
        }
        false
    }

    /// Only a single player on the hill holds it.
    fn hold_the_hill(&mut self) {
        let map = &self.setup.map;
        let mut on_hill =
            self.players.values_mut().filter(|player| player.is_alive() && map.tile_at(player.position) == Tile::Hill);
        if let (Some(king), None) = (on_hill.next(), on_hill.next()) {
            king.ticks_on_hill += 1;
            king.score = u16::try_from(king.ticks_on_hill / TICKS_PER_SECOND).unwrap_or(u16::MAX);
        }
    }

    fn is_over(&self) -> bool {
        self.tick >= self.setup.time_limit_ticks
            || self.players.values().any(|player| player.score >= self.setup.score_limit)
    }

    fn outcome(&self) -> Outcome {
        let best = self.players.values().map(|player| player.score).max().unwrap_or(0);
        let mut first = self.players.iter().filter(|(_, player)| player.score == best);
        match (first.next(), first.next()) {
            (Some((index, _)), None) => Outcome { winner: Some(*index) },
            _ => Outcome { winner: None },
        }
    }
}

impl Player {
    fn new() -> Self {
        Self {
            position: Vector::default(),
            velocity: Vector::default(),
            aim: Vector::new(127, 0),
            standing: Standing::Away,
            score: 0,
            intent: Intent::default(),
            intent_until: 0,
            fires_at: 0,
            ticks_on_hill: 0,
        }
    }

    pub const fn is_alive(&self) -> bool {
        matches!(self.standing, Standing::Alive { .. })
    }

    /// Along each axis as far as there is room, so that players slide along walls.
    fn walk(&mut self, setup: &Setup) {
        self.velocity = Vector::from(self.intent.walk).scaled(PLAYER_SPEED);
        for step in [Vector::new(self.velocity.x, 0), Vector::new(0, self.velocity.y)] {
            if setup.map.has_room(self.position + step, PLAYER_HALF_EDGE) {
                self.position = self.position + step;
            }
        }
    }

    fn fire(&mut self, index: PlayerIndex, tick: u32) -> Option<Shot> {
        let aim = Vector::from(self.intent.aim);
        if aim != Vector::default() {
            self.aim = aim.scaled(127);
        }
        if !self.intent.fire || tick < self.fires_at {
            return None;
        }
        self.fires_at = tick + SHOT_COOLDOWN_TICKS;
        let step = self.aim.scaled(SHOT_STEP);
        Some(Shot { owner: index, position: self.position, step, until: tick + SHOT_LIFE_TICKS })
    }

    fn covers(&self, place: Vector) -> bool {
        let apart = place - self.position;
        self.is_alive() && apart.x.abs() <= PLAYER_HALF_EDGE && apart.y.abs() <= PLAYER_HALF_EDGE
    }

    const fn is_killed_by(&mut self, damage: u8) -> bool {
        match self.standing {
            Standing::Alive { hp } if hp > damage => {
                self.standing = Standing::Alive { hp: hp - damage };
                false
            }
            Standing::Alive { .. } => true,
            Standing::Dead { .. } | Standing::Away => false,
        }
    }
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
