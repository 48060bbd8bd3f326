//! There is exactly one encoding of given claims, and nothing near a token is a token.

use playgate_token::*;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::spec::{SEAL_LEN, TAG_LEN};
use crate::support::{CURRENT_EPOCH, KEY_ID, MIN_EPOCH, NOW_MS, OTHER_KEY_ID, World, at, put};

#[test]
fn sizes_are_those_of_the_drawing() {
    let world = World::new();
    assert_eq!(world.mint(&world.minimal_claims()).as_bytes().len(), 161);
    assert_eq!(world.mint(&world.claims()).as_bytes().len(), 212);
    assert_eq!(world.mint(&world.maximal_claims()).as_bytes().len(), 544);
    assert_eq!((limits::MIN_TOKEN_LEN, limits::MAX_TOKEN_LEN), (161, 544));
}

/// One field a line: a byte that moves is seen here.
#[test]
fn golden_bytes() {
    let world = World::new();
    let signed_part = [
        &b"PGT1"[..],                                      // magic
        &[0x01, 0x00],                                     // key id
        &[0x07, 0x00],                                     // gate epoch
        &[0x00],                                           // flags
        &[20],                                             // player id length
        &[32, 0],                                          // player data length
        &[0x2a, 0x00, 0x00, 0x00],                         // ordinal
        &[0x18, 0xd8, 0x20, 0x74, 0x97, 0x01, 0x00, 0x00], // issued at
        &[0x78, 0xc2, 0x21, 0x74, 0x97, 0x01, 0x00, 0x00], // expires at
        &[0x01, 0x01, 0x97, 0x74, 0x20, 0x66, 0xd0],       // game session id: shard, time big-endian,
        b"session-1",                                      //   random
        &[0x01, 0x01, 0x97, 0x74, 0x1f, 0xf1, 0xa0],       // server process id
        b"process-1",                                      //
        &[0x01, 0x01, 0x97, 0x74, 0x20, 0xd8, 0x18],       // player session id
        b"player-42",                                      //
        b"player-0123456789abc",                           // player id
        b"team=red;skin=fox;region=eu-west",               // player data
    ]
    .concat();
    let mut token = [&signed_part[..], &[0; SEAL_LEN]].concat();
    world.seal(&mut token);
    assert_eq!(world.mint(&world.claims()).as_bytes(), token);
    assert_eq!(world.accept(&token), Ok(world.claims()));
}

#[test]
fn every_flipped_bit_is_refused() {
    let world = World::new();
    for_each_accepted(&world, |token| {
        for bit in 0..token.len() * 8 {
            let mut broken = token.to_vec();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(world.accept(&broken).is_err(), "bit {bit} of {} bytes", token.len());
            // Somebody who knows the gate keys gets no further, except by undoing a change to the tag.
            if bit < (token.len() - TAG_LEN) * 8 {
                world.tag(&mut broken);
                assert!(world.accept(&broken).is_err(), "bit {bit} of {} bytes, tagged again", token.len());
            }
        }
    });
}

#[test]
fn every_truncation_is_refused() {
    let world = World::new();
    for_each_accepted(&world, |token| {
        for len in 0..token.len() {
            let mut broken = token[..len].to_vec();
            assert!(world.accept(&broken).is_err(), "{len} of {} bytes", token.len());
            if len >= limits::MIN_TOKEN_LEN {
                world.seal(&mut broken);
                assert_eq!(world.accept(&broken), Err(Reject::TotalLength), "{len} bytes, sealed again");
            }
        }
    });
}

#[test]
fn every_extension_is_refused() {
    let world = World::new();
    for_each_accepted(&world, |token| {
        for more in 1..=64 {
            for filler in [0x00, 0xff] {
                let mut broken = token.to_vec();
                broken.resize(token.len() + more, filler);
                assert!(world.accept(&broken).is_err(), "{more} more than {} bytes", token.len());
                world.seal(&mut broken);
                let reason = if broken.len() > 544 { Reject::Length } else { Reject::TotalLength };
                assert_eq!(world.accept(&broken), Err(reason), "{more} more than {} bytes, sealed", token.len());
            }
        }
        assert!(world.accept(&[token, token].concat()).is_err());
    });
}

/// Every pair of length fields against bodies of every length around the one they speak of.
#[test]
fn lengths_must_fill_the_token_exactly() {
    let world = World::new();
    let base = world.token();
    let body_len = base.len() - at::PLAYER_ID - SEAL_LEN;
    for player_id_len in 0..=255u8 {
        for player_data_len in (0..=300u16).chain([u16::MAX - 1, u16::MAX]) {
            let mut token = base.clone();
            token[at::PLAYER_ID_LEN] = player_id_len;
            put(&mut token, at::PLAYER_DATA_LEN, &player_data_len.to_le_bytes());
            let expected = match (usize::from(player_id_len), usize::from(player_data_len)) {
                (0 | 129.., _) => Err(Reject::PlayerIdLength),
                (_, 257..) => Err(Reject::PlayerDataLength),
                (id, data) if id + data != body_len => Err(Reject::TotalLength),
                (id, data) => Ok((id, data)),
            };
            let found = parse(&token).map(|claims| (claims.player_id.len(), claims.player_data.len()));
            assert_eq!(found, expected, "lengths {player_id_len} and {player_data_len}");
        }
    }
}

#[test]
fn what_cannot_be_parsed_cannot_be_minted() {
    let world = World::new();
    let long_id = "x".repeat(129);
    let long_data = [0; 257];
    let good = world.claims();
    let lives = |issued_at_ms, expires_at_ms| Claims { issued_at_ms, expires_at_ms, ..good };
    let gate_key = world.gate_root.gate_key(good.gate_epoch);
    for (claims, error) in [
        (Claims { player_id: "", ..good }, MintError::PlayerIdLength),
        (Claims { player_id: &long_id, ..good }, MintError::PlayerIdLength),
        (Claims { player_data: &long_data, ..good }, MintError::PlayerDataLength),
        (lives(1_000, 1_000), MintError::Lifetime),
        (lives(1_000, 999), MintError::Lifetime),
        (lives(1_000, 3_601_001), MintError::Lifetime),
        (lives(0, u64::MAX), MintError::Lifetime),
        (lives(u64::MAX, 0), MintError::Lifetime),
        (Claims { gate_epoch: good.gate_epoch + 1, ..good }, MintError::WrongEpoch),
    ] {
        assert_eq!(mint(&claims, &world.signing_key, &gate_key), Err(error), "{claims:?}");
    }
    assert!(mint(&lives(1_000, 3_601_000), &world.signing_key, &gate_key).is_ok());
}

/// The backend that asked for it reads this, so it names the bound.
#[test]
fn what_cannot_be_minted_says_which_bound_it_breaks() {
    for (error, part) in [
        (MintError::PlayerIdLength, "1 to 128 bytes"),
        (MintError::PlayerDataLength, "at most 256 bytes"),
        (MintError::Lifetime, "at most one hour"),
        (MintError::WrongEpoch, "another epoch"),
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_token_buffer_takes_what_has_the_length_of_a_token() {
    for (len, fits) in [(0, false), (160, false), (161, true), (544, true), (545, false), (65_507, false)] {
        let bytes = vec![7; len];
        assert_eq!(Token::from_bytes(&bytes).is_ok(), fits, "{len} bytes");
    }
    let world = World::new();
    let token = world.mint(&world.claims());
    let copy = Token::from_bytes(token.as_bytes()).unwrap();
    assert_eq!(copy, token);
    assert_ne!(copy, world.mint(&world.minimal_claims()));
    assert_eq!(copy.hash(), crate::spec::sha256(token.as_bytes()));
    assert_eq!(copy.hash(), token_hash(token.as_bytes()));
}

#[test]
fn a_token_from_the_future_is_accepted_and_one_at_its_end_is_not() {
    let world = World::new();
    let token = world.mint(&world.claims());
    let audience = world.audience();
    for (now_ms, verdict) in [
        (0, None),
        (NOW_MS - 3_600_000, None),
        (NOW_MS + 58_999, None),
        (NOW_MS + 59_000, Some(Reject::Expired)),
        (u64::MAX, Some(Reject::Expired)),
    ] {
        assert_eq!(accept(token.as_bytes(), &audience, now_ms).err(), verdict, "at {now_ms}");
    }
}

proptest! {
    #[test]
    fn minted_claims_come_back(made in claims()) {
        let world = World::new();
        let claims = made.claims(&world);
        let token = world.mint(&claims);
        prop_assert_eq!(parse(token.as_bytes()), Ok(claims));
        prop_assert_eq!(world.accept(token.as_bytes()), Ok(claims));
        prop_assert_eq!(world.mint(&parse(token.as_bytes()).unwrap()), token);
    }

    #[test]
    fn whatever_parses_is_the_encoding_of_its_claims(made in claims(), edits in vec((0usize..132, any::<u8>()), 0..4)) {
        let world = World::new();
        let mut token = world.mint(&made.claims(&world)).as_bytes().to_vec();
        for (place, byte) in edits {
            let place = place % (token.len() - SEAL_LEN);
            token[place] = byte;
        }
        world.seal(&mut token);
        if let Ok(claims) = parse(&token) {
            let minted = world.mint(&claims);
            prop_assert_eq!(minted.as_bytes(), &token[..]);
        }
    }

    #[test]
    fn a_changed_token_is_refused_even_if_tagged_again(
        made in claims(),
        edits in vec((any::<prop::sample::Index>(), 1..=255u8), 1..4),
    ) {
        let world = World::new();
        let token = world.mint(&made.claims(&world)).as_bytes().to_vec();
        let mut broken = token.clone();
        for (place, difference) in edits {
            let place = place.index(token.len() - TAG_LEN);
            broken[place] ^= difference;
        }
        prop_assume!(broken != token);
        prop_assert!(world.accept(&broken).is_err());
        world.tag(&mut broken);
        prop_assert!(world.accept(&broken).is_err());
    }

    #[test]
    fn a_cut_or_lengthened_token_is_refused(made in claims(), cut in any::<prop::sample::Index>(), more in vec(any::<u8>(), 1..65)) {
        let world = World::new();
        let token = world.mint(&made.claims(&world)).as_bytes().to_vec();
        let longer = [&token[..], &more].concat();
        for mut broken in [token[..cut.index(token.len())].to_vec(), longer] {
            prop_assert!(world.accept(&broken).is_err());
            if broken.len() >= limits::MIN_TOKEN_LEN {
                world.seal(&mut broken);
                prop_assert!(world.accept(&broken).is_err());
            }
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in vec(any::<u8>(), 0..600)) {
        prop_assert!(World::new().accept(&bytes).is_err());
    }
}

fn for_each_accepted(world: &World, check: impl Fn(&[u8])) {
    for claims in [world.minimal_claims(), world.claims(), world.maximal_claims()] {
        let token = world.mint(&claims);
        assert_eq!(world.accept(token.as_bytes()), Ok(claims));
        check(token.as_bytes());
    }
}

/// Claims that the world's server accepts.
#[derive(Debug)]
struct Made {
    numbers: (bool, bool, u32, u64, u64),
    player_session: [u8; 16],
    player_id: String,
    player_data: Vec<u8>,
}

impl Made {
    fn claims(&self, world: &World) -> Claims<'_> {
        let (other_key, older_epoch, ordinal, issued_at_ms, lifetime_ms) = self.numbers;
        Claims {
            key_id: if other_key { OTHER_KEY_ID } else { KEY_ID },
            gate_epoch: if older_epoch { MIN_EPOCH } else { CURRENT_EPOCH },
            ordinal,
            issued_at_ms,
            expires_at_ms: issued_at_ms + lifetime_ms,
            game_session_id: world.game_session,
            server_process_id: world.process,
            player_session_id: PlayerSessionId::from_bytes(self.player_session),
            player_id: &self.player_id,
            player_data: &self.player_data,
        }
    }
}

fn claims() -> impl Strategy<Value = Made> {
    let issued_at_ms = NOW_MS..=u64::MAX - limits::MAX_LIFETIME_MS;
    let numbers = (any::<bool>(), any::<bool>(), any::<u32>(), issued_at_ms, 1..=limits::MAX_LIFETIME_MS);
    let player_id = vec(any::<char>(), 1..=32).prop_map(String::from_iter);
    (numbers, any::<[u8; 16]>(), player_id, vec(any::<u8>(), 0..=256)).prop_map(
        |(numbers, player_session, player_id, player_data)| Made { numbers, player_session, player_id, player_data },
    )
}
