//! What the fuzz target `token` does with its input. The fuzzer runs it on inputs of its own making, the tests on
//! the committed corpus.

use std::sync::OnceLock;

use playgate_token::*;

use crate::spec::SEAL_LEN;
use crate::support::{CURRENT_EPOCH, KEY_ID, MIN_EPOCH, NOW_MS, OTHER_KEY_ID, World, at, put};

/// Panics if the token code does anything with `data` that it must not.
pub fn token(data: &[u8]) {
    static WORLD: OnceLock<World> = OnceLock::new();
    let world = WORLD.get_or_init(World::new);
    raw(world, data);
    resealed(world, data);
}

/// The bytes as they came from the network.
fn raw(world: &World, data: &[u8]) {
    let parsed = parse(data);
    let screened = screen(data, &world.process, &world.gate_keys);
    if let Ok(screened) = &screened {
        assert_eq!(Ok(*screened.claims()), parse(data), "screen reads other claims than parse");
        assert_eq!(screened.bytes(), data);
    }
    if let Ok(claims) = parsed {
        let minted = world.mint(&claims);
        let signed = data.len() - SEAL_LEN;
        assert_eq!(minted.as_bytes().len(), data.len());
        assert_eq!(minted.as_bytes()[..signed], data[..signed], "a second encoding of the same claims");
    }
    assert_eq!(world.holder_root.holder_key(data).err(), parsed.err());
}

/// The bytes as a coordinator gone mad would have sealed them, so that what lies behind the cryptography is reached.
fn resealed(world: &World, data: &[u8]) {
    let mut token = data.to_vec();
    if token.len() < limits::MIN_TOKEN_LEN {
        return;
    }
    put(&mut token, 0, &MAGIC);
    put(&mut token, at::SERVER_PROCESS_ID, world.process.as_bytes());
    world.seal(&mut token);
    let accepted = world.accept(&token);
    assert_eq!(accepted.is_ok(), should_be_accepted(world, &token), "{accepted:?}");
    if let Ok(claims) = accepted {
        assert_eq!(world.mint(&claims).as_bytes(), token, "a second encoding of the same claims");
    }
}

/// The checks that are left when the seal is right.
fn should_be_accepted(world: &World, token: &[u8]) -> bool {
    parse(token).is_ok_and(|claims| {
        (MIN_EPOCH..=CURRENT_EPOCH).contains(&claims.gate_epoch)
            && [KEY_ID, OTHER_KEY_ID].contains(&claims.key_id)
            && claims.game_session_id == world.game_session
            && claims.expires_at_ms > NOW_MS
    })
}
