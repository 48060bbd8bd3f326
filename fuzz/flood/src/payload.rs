//! What players say: servers know from it who said it, once, and that nothing has changed it on the way.

/// Length of each.
pub const BYTES: usize = 200;
/// The number of the player who keeps to no rate.
pub const GREEDY: u32 = u32::MAX;
/// The number of the player whose datagrams are captured.
pub const VICTIM: u32 = u32::MAX - 1;

/// `mark` is that of the run, and nobody else's.
#[must_use]
pub fn write(mark: u64, player: u32, sequence: u32) -> [u8; BYTES] {
    let mut payload = [0; BYTES];
    payload[..8].copy_from_slice(&mark.to_le_bytes());
    payload[8..12].copy_from_slice(&player.to_le_bytes());
    payload[12..16].copy_from_slice(&sequence.to_le_bytes());
    let mut state = mark ^ u64::from(player) << 32 ^ u64::from(sequence);
    for chunk in payload[16..].chunks_exact_mut(8) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chunk.copy_from_slice(&state.to_be_bytes());
    }
    payload
}

/// Player and sequence; `None` if any byte is another.
#[must_use]
pub fn read(mark: u64, payload: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| Some(u32::from_le_bytes(*payload.get(at..)?.first_chunk()?));
    let (player, sequence) = (number(8)?, number(12)?);
    (write(mark, player, sequence) == payload).then_some((player, sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_noticed_wherever_it_is() {
        let payload = write(7, 8, 9);
        assert_eq!(read(7, &payload), Some((8, 9)));
        assert_eq!(read(6, &payload), None);
        for at in 0..BYTES {
            let mut changed = payload;
            changed[at] ^= 1;
            assert_eq!(read(7, &changed), None, "byte {at}");
        }
        assert_eq!(read(7, &payload[..BYTES - 1]), None);
    }
}
