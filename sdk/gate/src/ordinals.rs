//! What became of each ordinal of a game session: two bits for each, kept until the session ends, never evicted.

use playgate_protocol::limits::ORDINALS_PER_SESSION_MAX;

/// Two bits of one ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Its token was never admitted.
    Unseen = 0,
    /// Its player is in.
    Active = 1,
    /// Its player is gone for good.
    Done = 2,
    /// It is not to be admitted, or its player was removed.
    Revoked = 3,
}

const MARKS_PER_BYTE: usize = 4;
const CHUNK_BYTES: usize = 1_024;
const MARKS_PER_CHUNK: usize = CHUNK_BYTES * MARKS_PER_BYTE;

/// Memory is taken in chunks of 1 KiB for 4,096 ordinals, when the first of them is marked: 258 KiB at most.
#[derive(Debug, Default)]
pub(crate) struct Ordinals {
    chunks: Vec<Option<Box<[u8; CHUNK_BYTES]>>>,
}

impl Ordinals {
    /// `None` above what a game session may hand out.
    pub(crate) fn get(&self, ordinal: u32) -> Option<Mark> {
        let (chunk, byte, shift) = place(ordinal)?;
        let Some(Some(marks)) = self.chunks.get(chunk) else {
            return Some(Mark::Unseen);
        };
        Some(match marks[byte] >> shift & 0b11 {
            0 => Mark::Unseen,
            1 => Mark::Active,
            2 => Mark::Done,
            _ => Mark::Revoked,
        })
    }

    /// Takes memory; only for ordinals that are known to be genuine.
    pub(crate) fn set(&mut self, ordinal: u32, mark: Mark) {
        let Some((chunk, byte, shift)) = place(ordinal) else {
            return;
        };
        if self.chunks.len() <= chunk {
            self.chunks.resize_with(chunk + 1, || None);
        }
        let marks = self.chunks[chunk].get_or_insert_with(|| Box::new([0; CHUNK_BYTES]));
        marks[byte] = marks[byte] & !(0b11 << shift) | (mark as u8) << shift;
    }
}

fn place(ordinal: u32) -> Option<(usize, usize, usize)> {
    if ordinal >= ORDINALS_PER_SESSION_MAX {
        return None;
    }
    let ordinal = usize::try_from(ordinal).expect("a million fits a usize");
    let in_chunk = ordinal % MARKS_PER_CHUNK;
    Some((ordinal / MARKS_PER_CHUNK, in_chunk / MARKS_PER_BYTE, in_chunk % MARKS_PER_BYTE * 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ordinal_has_a_mark_of_its_own() {
        let mut ordinals = Ordinals::default();
        let last = ORDINALS_PER_SESSION_MAX - 1;
        let marks =
            [(0, Mark::Active), (1, Mark::Done), (2, Mark::Revoked), (4_095, Mark::Done), (last, Mark::Revoked)];
        for (ordinal, mark) in marks {
            ordinals.set(ordinal, Mark::Active);
            ordinals.set(ordinal, mark);
        }
        for (ordinal, mark) in marks {
            assert_eq!(ordinals.get(ordinal), Some(mark), "{ordinal}");
        }
        for unseen in [3, 4_094, 4_096, 500_000, last - 1] {
            assert_eq!(ordinals.get(unseen), Some(Mark::Unseen), "{unseen}");
        }
    }

    #[test]
    fn beyond_the_last_there_is_nothing_and_nothing_takes_memory() {
        let mut ordinals = Ordinals::default();
        for beyond in [ORDINALS_PER_SESSION_MAX, u32::MAX] {
            ordinals.set(beyond, Mark::Active);
            assert_eq!(ordinals.get(beyond), None);
        }
        assert!(ordinals.chunks.is_empty());
        ordinals.set(ORDINALS_PER_SESSION_MAX - 1, Mark::Active);
        assert_eq!(ordinals.chunks.iter().flatten().count(), 1, "one chunk for one ordinal");
        for (ordinal, chunks) in [(0, 2), (4_095, 2), (4_096, 3), (8_191, 3)] {
            ordinals.set(ordinal, Mark::Active);
            assert_eq!(ordinals.chunks.iter().flatten().count(), chunks, "{ordinal}");
        }
        assert_eq!(ordinals.chunks.len(), 256, "of 1 KiB each, and no more");
    }
}
