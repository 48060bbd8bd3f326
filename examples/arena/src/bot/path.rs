//! The way around walls: a breadth-first search over the cells of a map.

use std::collections::{BTreeMap, VecDeque};

use crate::game::map::{Cell, Map, Tile};

/// The first cell of a shortest way to the nearest cell that is a goal; `from` itself when it is one.
pub fn first_step(map: &Map, from: Cell, is_goal: impl Fn(Cell) -> bool) -> Option<Cell> {
    // For each cell that was reached: the first step of the way there.
    let mut first = BTreeMap::from([(from, from)]);
    let mut next = VecDeque::from([from]);
    while let Some(cell) = next.pop_front() {
        if is_goal(cell) {
            return Some(first[&cell]);
        }
        for neighbour in neighbours(cell).filter(|neighbour| map.tile(*neighbour) != Tile::Wall) {
            if !first.contains_key(&neighbour) {
                let step = if cell == from { neighbour } else { first[&cell] };
                first.insert(neighbour, step);
                next.push_back(neighbour);
            }
        }
    }
    None
}

fn neighbours((x, y): Cell) -> impl Iterator<Item = Cell> {
    [(x + 1, y), (x.wrapping_sub(1), y), (x, y + 1), (x, y.wrapping_sub(1))].into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_lead_around_walls() {
        let map = Map::named("maze").unwrap();
        let (from, goal) = ((1, 1), (30, 16));
        let (mut at, mut steps) = (from, 0);
        while at != goal {
            at = first_step(&map, at, |cell| cell == goal).unwrap();
            assert_ne!(map.tile(at), Tile::Wall);
            steps += 1;
            assert!(steps < 200, "goes in circles");
        }
        assert!(steps >= 29 + 15);
        assert_eq!(first_step(&map, from, |cell| cell == from), Some(from));
        assert_eq!(first_step(&map, from, |cell| cell == (0, 0)), None, "into a wall");
    }
}
