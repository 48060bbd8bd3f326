//! Geometry in whole numbers: the same on every machine, so that seed and inputs decide the whole match.

use std::ops::{Add, Sub};

/// Edge of a map tile; every length is in this unit.
pub const TILE: i32 = 256;

/// A place on the map or a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vector {
    pub x: i32,
    pub y: i32,
}

impl Vector {
    pub const fn new(x: i32, y: i32) -> Self {
        Self { x, y }
    }

    pub const fn length_squared(self) -> i64 {
        let (x, y) = (self.x as i64, self.y as i64);
        x * x + y * y
    }

    pub fn length(self) -> i32 {
        i32::try_from(self.length_squared().isqrt()).expect("places and directions lie within a map")
    }

    /// This direction with another length; a vector without direction stays as it is.
    pub fn scaled(self, length: i32) -> Self {
        match self.length() {
            0 => self,
            own => Self::new(self.x * length / own, self.y * length / own),
        }
    }

    /// This direction as two signed bytes, for the wire.
    pub fn to_bytes(self) -> (i8, i8) {
        let unit = if self.length() > 127 { self.scaled(127) } else { self };
        let byte = |value: i32| i8::try_from(value).expect("no side is longer than the hypotenuse");
        (byte(unit.x), byte(unit.y))
    }
}

impl From<(i8, i8)> for Vector {
    fn from((x, y): (i8, i8)) -> Self {
        Self::new(x.into(), y.into())
    }
}

impl Add for Vector {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.y + other.y)
    }
}

impl Sub for Vector {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y)
    }
}

/// SplitMix64: small, fast, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound).expect("no machine has wider addresses");
        usize::try_from((mixed ^ (mixed >> 31)) % bound).expect("smaller than the bound")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direction_takes_another_length() {
        for (from, length, to) in [
            (Vector::new(3, 4), 10, Vector::new(6, 8)),
            (Vector::new(-300, 400), 5, Vector::new(-3, 4)),
            (Vector::new(0, -128), 42, Vector::new(0, -42)),
            (Vector::default(), 42, Vector::default()),
        ] {
            assert_eq!(from.scaled(length), to);
        }
    }

    #[test]
    fn every_direction_fits_two_bytes() {
        for direction in [(16_384, 16_384), (-16_384, 16_383), (0, -16_384), (3, -4), (0, 0), (-128, 0)] {
            let direction = Vector::new(direction.0, direction.1);
            let again = Vector::from(direction.to_bytes());
            assert_eq!((again.x.signum(), again.y.signum()), (direction.x.signum(), direction.y.signum()));
        }
    }
}
