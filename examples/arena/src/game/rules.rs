//! What is played: map, mode and limits, as the backend wrote them into the properties of the game session.

use std::fmt;

use super::TICKS_PER_SECOND;
use super::map::Map;

const SCORE_LIMIT_DEFAULT: u16 = 25;
const TIME_LIMIT_SECONDS_DEFAULT: u32 = 600;
const TIME_LIMIT_SECONDS_MAX: u32 = 24 * 3_600;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A point for every opponent shot.
    Deathmatch,
    /// A point for every second alone on the hill.
    KingOfTheHill,
}

impl Mode {
    pub const ALL: [Self; 2] = [Self::Deathmatch, Self::KingOfTheHill];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Deathmatch => "deathmatch",
            Self::KingOfTheHill => "king-of-the-hill",
        }
    }

    /// By the number that snapshots carry.
    pub fn by_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    pub const fn id(self) -> u8 {
        self as u8
    }
}

/// A match to be played.
#[derive(Debug, Clone)]
pub struct Setup {
    pub map: Map,
    pub mode: Mode,
    pub score_limit: u16,
    pub time_limit_ticks: u32,
}

/// A property that says what this game cannot do. Its text names the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupError {
    key: &'static str,
    value: String,
    allowed: String,
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "property {} is {:?}; it can be {}", self.key, self.value, self.allowed)
    }
}

impl Setup {
    /// Reads `map`, `mode`, `score_limit` and `time_limit_s`; what is not said has a default.
    pub fn from_properties<'a>(property: impl Fn(&str) -> Option<&'a str>) -> Result<Self, SetupError> {
        let map = property("map").unwrap_or("crossroads");
        let map = Map::named(map).ok_or_else(|| error("map", map, Map::names().collect::<Vec<_>>().join(", ")))?;
        let mode = property("mode").unwrap_or(Mode::Deathmatch.name());
        let mode = Mode::ALL
            .into_iter()
            .find(|known| known.name() == mode)
            .ok_or_else(|| error("mode", mode, Mode::ALL.map(Mode::name).join(", ")))?;
        let score_limit = number("score_limit", property("score_limit"), SCORE_LIMIT_DEFAULT.into(), u16::MAX.into())?;
        let seconds =
            number("time_limit_s", property("time_limit_s"), TIME_LIMIT_SECONDS_DEFAULT, TIME_LIMIT_SECONDS_MAX)?;
        let score_limit = u16::try_from(score_limit).expect("its bound was just checked");
        Ok(Self { map, mode, score_limit, time_limit_ticks: seconds * TICKS_PER_SECOND })
    }
}

fn number(key: &'static str, text: Option<&str>, default: u32, max: u32) -> Result<u32, SetupError> {
    let Some(text) = text else { return Ok(default) };
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| error(key, text, format!("1 to {max}")))
}

fn error(key: &'static str, value: &str, allowed: String) -> SetupError {
    SetupError { key, value: value.to_owned(), allowed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(properties: &[(&'static str, &'static str)]) -> Result<(&'static str, Mode, u16, u32), SetupError> {
        let get = |key: &str| properties.iter().find(|(known, _)| *known == key).map(|(_, value)| *value);
        let setup = Setup::from_properties(get)?;
        Ok((setup.map.name(), setup.mode, setup.score_limit, setup.time_limit_ticks))
    }

    #[test]
    fn properties_choose_the_match() {
        for (properties, expected) in [
            (vec![], ("crossroads", Mode::Deathmatch, 25, 18_000)),
            (vec![("map", "maze"), ("colour", "blue")], ("maze", Mode::Deathmatch, 25, 18_000)),
            (vec![("mode", "king-of-the-hill"), ("score_limit", "3")], ("crossroads", Mode::KingOfTheHill, 3, 18_000)),
            (vec![("map", "ruins"), ("time_limit_s", "86400")], ("ruins", Mode::Deathmatch, 25, 2_592_000)),
        ] {
            assert_eq!(read(&properties), Ok(expected), "{properties:?}");
        }
    }

    #[test]
    fn an_error_names_the_property_and_the_choice() {
        for (key, value, part) in [
            ("map", "moon", "crossroads, ruins, maze"),
            ("mode", "Deathmatch", "deathmatch, king-of-the-hill"),
            ("score_limit", "0", "1 to 65535"),
            ("score_limit", "65536", "1 to 65535"),
            ("time_limit_s", "-1", "1 to 86400"),
            ("time_limit_s", "ten", "1 to 86400"),
        ] {
            let text = read(&[(key, value)]).unwrap_err().to_string();
            assert!(text.contains(key) && text.contains(value) && text.contains(part), "{text}");
        }
    }
}
