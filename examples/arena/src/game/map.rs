//! Maps: drawn in text, known to servers and players alike by name and number.

use super::space::{TILE, Vector};

/// `#` wall, `.` floor, `h` hill, `s` where players appear.
const DRAWINGS: [(&str, &str); 3] = [
    ("crossroads", include_str!("maps/crossroads.txt")),
    ("ruins", include_str!("maps/ruins.txt")),
    ("maze", include_str!("maps/maze.txt")),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tile {
    Wall,
    Floor,
    Hill,
}

/// Column and row.
pub type Cell = (usize, usize);

#[derive(Debug, Clone)]
pub struct Map {
    id: u8,
    width: usize,
    tiles: Vec<Tile>,
    spawns: Vec<Vector>,
}

impl Map {
    pub fn named(name: &str) -> Option<Self> {
        let id = DRAWINGS.iter().position(|(known, _)| *known == name)?;
        Self::by_id(u8::try_from(id).ok()?)
    }

    /// By the number that snapshots carry.
    pub fn by_id(id: u8) -> Option<Self> {
        let (_, drawing) = DRAWINGS.get(usize::from(id))?;
        let width = drawing.lines().next()?.len();
        let mut map = Self { id, width, tiles: Vec::new(), spawns: Vec::new() };
        for (row, line) in drawing.lines().enumerate() {
            for (column, letter) in line.bytes().enumerate() {
                map.tiles.push(match letter {
                    b'#' => Tile::Wall,
                    b'h' => Tile::Hill,
                    _ => Tile::Floor,
                });
                if letter == b's' {
                    map.spawns.push(centre((column, row)));
                }
            }
        }
        Some(map)
    }

    pub fn names() -> impl Iterator<Item = &'static str> {
        DRAWINGS.iter().map(|(name, _)| *name)
    }

    pub fn name(&self) -> &'static str {
        DRAWINGS[usize::from(self.id)].0
    }

    pub const fn id(&self) -> u8 {
        self.id
    }

    pub fn spawns(&self) -> &[Vector] {
        &self.spawns
    }

    /// What is there; beyond the edge everything is wall.
    pub fn tile(&self, cell: Cell) -> Tile {
        let (column, row) = cell;
        let inside = column < self.width;
        inside.then(|| self.tiles.get(row * self.width + column).copied()).flatten().unwrap_or(Tile::Wall)
    }

    pub fn cells(&self) -> impl Iterator<Item = (Cell, Tile)> + '_ {
        self.tiles.iter().enumerate().map(|(at, tile)| ((at % self.width, at / self.width), *tile))
    }

    pub fn tile_at(&self, place: Vector) -> Tile {
        cell(place).map_or(Tile::Wall, |cell| self.tile(cell))
    }

    /// Whether a square of this half edge has room there.
    pub fn has_room(&self, place: Vector, half_edge: i32) -> bool {
        let corners = [(-1, -1), (1, -1), (-1, 1), (1, 1)];
        corners.iter().all(|(x, y)| self.tile_at(place + Vector::new(x * half_edge, y * half_edge)) != Tile::Wall)
    }

    /// Whether nothing stands between two places.
    pub fn is_clear(&self, from: Vector, to: Vector) -> bool {
        let way = to - from;
        let steps = way.length() / (TILE / 8) + 1;
        (0..=steps).all(|n| {
            let on_the_way = from + Vector::new(way.x * n / steps, way.y * n / steps);
            self.tile_at(on_the_way) != Tile::Wall
        })
    }
}

/// The cell of a place; none above or left of the map.
pub fn cell(place: Vector) -> Option<Cell> {
    let along = |value: i32| usize::try_from(value.div_euclid(TILE)).ok();
    Some((along(place.x)?, along(place.y)?))
}

/// The middle of a cell.
pub fn centre((column, row): Cell) -> Vector {
    let along = |cells: usize| i32::try_from(cells).expect("maps have some dozen cells") * TILE + TILE / 2;
    Vector::new(along(column), along(row))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn reachable(map: &Map, from: Cell) -> BTreeSet<Cell> {
        let (mut found, mut next) = (BTreeSet::from([from]), vec![from]);
        while let Some((x, y)) = next.pop() {
            for cell in [(x + 1, y), (x.wrapping_sub(1), y), (x, y + 1), (x, y.wrapping_sub(1))] {
                if map.tile(cell) != Tile::Wall && found.insert(cell) {
                    next.push(cell);
                }
            }
        }
        found
    }

    #[test]
    fn every_map_can_be_played_everywhere() {
        for name in Map::names() {
            let map = Map::named(name).unwrap();
            assert_eq!((map.name(), Map::by_id(map.id()).unwrap().name()), (name, name));
            assert!(map.tiles.len().is_multiple_of(map.width), "{name}: all lines are of one length");
            assert!(map.spawns().len() >= 4 && map.cells().any(|(_, tile)| tile == Tile::Hill), "{name}");
            let edge = |(x, y): Cell| x == 0 || y == 0 || x + 1 == map.width || y + 1 == map.tiles.len() / map.width;
            let open = map.cells().find(|(cell, tile)| edge(*cell) && *tile != Tile::Wall);
            assert_eq!(open, None, "{name} is closed all around");
            let floor = map.cells().filter(|(_, tile)| *tile != Tile::Wall).count();
            assert_eq!(reachable(&map, cell(map.spawns()[0]).unwrap()).len(), floor, "{name} is one room");
        }
        assert!(Map::named("nowhere").is_none() && Map::by_id(3).is_none());
    }

    #[test]
    fn beyond_the_edge_is_wall() {
        let map = Map::named("maze").unwrap();
        for place in [Vector::new(-1, 300), Vector::new(300, -1), Vector::new(1 << 20, 300), Vector::new(300, 1 << 20)]
        {
            assert_eq!(map.tile_at(place), Tile::Wall);
        }
    }

    #[test]
    fn walls_block_the_view() {
        let map = Map::named("crossroads").unwrap();
        assert!(map.is_clear(centre((1, 1)), centre((1, 7))));
        assert!(!map.is_clear(centre((1, 1)), centre((30, 1))));
    }
}
