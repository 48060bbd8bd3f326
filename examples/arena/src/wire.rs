//! The game's own datagrams: fixed layouts, little-endian, written and read by hand.
//!
//! ```text
//!   player to server                            server to player
//!   0xA1 input                                  0xB1 snapshot
//!     1  u32  sequence, rises                     1  u32  tick
//!     5  i8   walk x        9  u8  bit 0: fire    5  u32  sequence of the last input taken; 0 none
//!     6  i8   walk y                              9  u8   which player you are
//!     7  i8   aim x                              10  u8   map       12  u8  players
//!     8  i8   aim y                              11  u8   mode      13  u8  shots
//!   0xA2 goodbye, nothing more                   14  11 bytes a player, then 4 bytes a shot:
//!                                                    u8 player, u8 standing, u16 x, u16 y,
//!                                                    i8 aim x, i8 aim y, u8 hp, u16 score  /  u16 x, u16 y
//!                                               0xB2 over
//!                                                 1  u8   why      2  u8  winner, 0xFF nobody
//! ```
//! No first byte is that of Playgate's handshake (`P`). What is not exactly one of these is refused: there is no
//! tolerance for an attacker to find a way through.

use crate::game::map::Map;
use crate::game::space::Vector;
use crate::game::{Intent, Mode, PLAYERS_MAX, PlayerIndex, Standing, World};

/// Longest datagram of the game: every path carries it whole.
pub const DATAGRAM_BYTES_MAX: usize = 1_200;

const INPUT: u8 = 0xa1;
const GOODBYE: u8 = 0xa2;
const SNAPSHOT: u8 = 0xb1;
const OVER: u8 = 0xb2;

const INPUT_BYTES: usize = 10;
const HEAD_BYTES: usize = 14;
const PLAYER_BYTES: usize = 11;
const SHOT_BYTES: usize = 4;
/// Shots that a snapshot shows; the newest go unseen for a moment in a match of 64 who all shoot at once.
const SHOTS_SHOWN_MAX: usize = 120;
const FIRE: u8 = 1;
const NOBODY: u8 = 0xff;

const _: () = assert!(HEAD_BYTES + PLAYERS_MAX * PLAYER_BYTES + SHOTS_SHOWN_MAX * SHOT_BYTES <= DATAGRAM_BYTES_MAX);

/// What a player sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FromPlayer {
    Input { sequence: u32, intent: Intent },
    Goodbye,
}

impl FromPlayer {
    pub fn read(datagram: &[u8]) -> Option<Self> {
        match datagram {
            [GOODBYE] => Some(Self::Goodbye),
            [INPUT, rest @ ..] if datagram.len() == INPUT_BYTES => Self::read_input(Reader(rest)),
            _ => None,
        }
    }

    fn read_input(mut reader: Reader<'_>) -> Option<Self> {
        let sequence = u32::from_le_bytes(reader.take()?);
        let (walk, aim, buttons) = (reader.pair()?, reader.pair()?, reader.byte()?);
        (buttons & !FIRE == 0).then_some(Self::Input { sequence, intent: Intent { walk, aim, fire: buttons == FIRE } })
    }

    pub fn write(&self) -> Vec<u8> {
        match self {
            Self::Goodbye => vec![GOODBYE],
            Self::Input { sequence, intent } => {
                let mut bytes = vec![INPUT];
                bytes.extend(sequence.to_le_bytes());
                for (x, y) in [intent.walk, intent.aim] {
                    bytes.extend([x.cast_unsigned(), y.cast_unsigned()]);
                }
                bytes.push(if intent.fire { FIRE } else { 0 });
                bytes
            }
        }
    }
}

/// What a server sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromServer {
    Snapshot(Snapshot),
    Over(Ending),
}

/// How a match ended for one player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    pub why: Why,
    pub winner: Option<PlayerIndex>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A limit was reached.
    MatchOver,
    /// Somebody ended the game session.
    Stopped,
    /// This player was taken out.
    Removed,
}

/// The match as one player sees it at one tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub tick: u32,
    /// Sequence of the last input taken; 0 none.
    pub acked: u32,
    pub you: PlayerIndex,
    pub map: u8,
    pub mode: Mode,
    pub players: Vec<Seen>,
    pub shots: Vec<Vector>,
}

/// A player in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub index: PlayerIndex,
    pub look: Look,
    pub position: Vector,
    pub aim: (i8, i8),
    pub hp: u8,
    pub score: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Alive,
    Dead,
    Away,
}

impl FromServer {
    pub fn read(datagram: &[u8]) -> Option<Self> {
        match datagram {
            [OVER, why, winner] => {
                let why = [Why::MatchOver, Why::Stopped, Why::Removed].get(usize::from(*why)).copied()?;
                let winner = (*winner != NOBODY).then_some(*winner);
                winner.is_none_or(is_player).then_some(Self::Over(Ending { why, winner }))
            }
            [SNAPSHOT, rest @ ..] if datagram.len() <= DATAGRAM_BYTES_MAX => {
                Snapshot::read(Reader(rest)).map(Self::Snapshot)
            }
            _ => None,
        }
    }
}

impl Ending {
    pub const fn write(&self) -> [u8; 3] {
        let winner = match self.winner {
            Some(winner) => winner,
            None => NOBODY,
        };
        [OVER, self.why as u8, winner]
    }
}

impl Snapshot {
    fn read(mut reader: Reader<'_>) -> Option<Self> {
        let (tick, acked) = (u32::from_le_bytes(reader.take()?), u32::from_le_bytes(reader.take()?));
        let [you, map, mode, players, shots] = reader.take()?;
        let mode = Mode::by_id(mode)?;
        if !is_player(you) || usize::from(players) > PLAYERS_MAX || Map::by_id(map).is_none() {
            return None;
        }
        let players = (0..players).map(|_| reader.player()).collect::<Option<Vec<_>>>()?;
        let shots = (0..shots).map(|_| reader.place()).collect::<Option<Vec<_>>>()?;
        reader.0.is_empty().then_some(Self { tick, acked, you, map, mode, players, shots })
    }

    /// What is the same for everybody: written once a tick.
    pub fn write_scene(world: &World) -> Scene {
        let mut bytes = Vec::with_capacity(DATAGRAM_BYTES_MAX);
        bytes.push(SNAPSHOT);
        bytes.extend(world.tick().to_le_bytes());
        bytes.extend([0; 5]);
        let shots = world.shots().len().min(SHOTS_SHOWN_MAX);
        let count = |len: usize| u8::try_from(len).expect("both bounds are far below");
        bytes.extend([world.setup().map.id(), world.setup().mode.id(), count(world.players().len()), count(shots)]);
        for (index, player) in world.players() {
            let (look, hp) = match player.standing {
                Standing::Alive { hp } => (Look::Alive, hp),
                Standing::Dead { .. } => (Look::Dead, 0),
                Standing::Away => (Look::Away, 0),
            };
            bytes.extend([*index, look as u8]);
            write_place(&mut bytes, player.position);
            let (x, y) = player.aim.to_bytes();
            bytes.extend([x.cast_unsigned(), y.cast_unsigned(), hp]);
            bytes.extend(player.score.to_le_bytes());
        }
        world.shots().take(shots).for_each(|shot| write_place(&mut bytes, shot));
        Scene(bytes)
    }
}

/// A snapshot that lacks only what differs from player to player.
pub struct Scene(Vec<u8>);

impl Scene {
    /// The datagram for one player.
    pub fn for_player(&mut self, you: PlayerIndex, acked: u32) -> &[u8] {
        self.0[5..9].copy_from_slice(&acked.to_le_bytes());
        self.0[9] = you;
        &self.0
    }
}

fn is_player(index: PlayerIndex) -> bool {
    usize::from(index) < PLAYERS_MAX
}

fn write_place(bytes: &mut Vec<u8>, place: Vector) {
    for along in [place.x, place.y] {
        // Maps end long before; a shot may be a step beyond the edge.
        let along = u16::try_from(along.clamp(0, u16::MAX.into())).expect("it was brought into range");
        bytes.extend(along.to_le_bytes());
    }
}

/// The rest of a datagram that is being read.
struct Reader<'d>(&'d [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    fn pair(&mut self) -> Option<(i8, i8)> {
        self.take().map(|[x, y]: [u8; 2]| (x.cast_signed(), y.cast_signed()))
    }

    fn place(&mut self) -> Option<Vector> {
        let (x, y) = (u16::from_le_bytes(self.take()?), u16::from_le_bytes(self.take()?));
        Some(Vector::new(x.into(), y.into()))
    }

    fn player(&mut self) -> Option<Seen> {
        let (index, look) = (self.byte()?, self.byte()?);
        let look = [Look::Alive, Look::Dead, Look::Away].get(usize::from(look)).copied()?;
        let (position, aim, hp) = (self.place()?, self.pair()?, self.byte()?);
        let score = u16::from_le_bytes(self.take()?);
        is_player(index).then_some(Seen { index, look, position, aim, hp, score })
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
