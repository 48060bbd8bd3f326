//! Accepting and refusing a token never touches the heap.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::hint::black_box;

use playgate_token::*;

#[path = "token/spec.rs"]
#[allow(dead_code)]
mod spec;
#[path = "token/support.rs"]
#[allow(dead_code)]
mod support;

use support::{NOW_MS, World, at, put};

fn allocations(run: impl FnOnce()) -> u64 {
    allocation_counter::measure(run).count_total
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(black_box(vec![1u8; 100]))), 1);
}

#[test]
fn no_verdict_allocates() {
    let world = World::new();
    let mut seen = [false; Reject::COUNT];
    for (token, verdict) in verdicts(&world) {
        let mut found = None;
        let count = allocations(|| found = world.accept(black_box(&token)).err());
        assert_eq!(found, verdict);
        assert_eq!(count, 0, "{verdict:?}");
        if let Some(reason) = verdict {
            seen[reason as usize] = true;
        }
    }
    assert_eq!(seen, [true; Reject::COUNT], "a reason was left out");
}

#[test]
fn neither_does_anything_else() {
    let world = World::new();
    let claims = world.maximal_claims();
    let count = allocations(|| {
        let token = world.mint(&claims);
        let holder_key = world.holder_root.holder_key(token.as_bytes()).unwrap();
        black_box((parse(token.as_bytes()).is_ok(), token.hash(), holder_key.proof_key(), holder_key.server_key()));
        black_box(GateKeys::new(&world.gate_root, 6, 7));
        black_box(Token::from_bytes(token.as_bytes()).is_ok());
    });
    assert_eq!(count, 0);
}

/// A token for acceptance and for each reason to refuse.
fn verdicts(world: &World) -> Vec<(Vec<u8>, Option<Reject>)> {
    let sealed = |edit: &dyn Fn(&mut [u8])| {
        let mut token = world.token();
        edit(&mut token);
        world.seal(&mut token);
        token
    };
    let signature_at = world.token().len() - spec::SEAL_LEN;
    let tagged = |signature: [u8; 64]| {
        let mut token = world.token();
        put(&mut token, signature_at, &signature);
        world.tag(&mut token);
        token
    };
    let mut wrong_tag = world.token();
    *wrong_tag.last_mut().unwrap() ^= 1;
    let refused = [
        (vec![0; 160], Reject::Length),
        (vec![0; 212], Reject::Magic),
        (sealed(&|token| token[at::SERVER_PROCESS_ID] ^= 1), Reject::WrongProcess),
        (sealed(&|token| token[at::GATE_EPOCH] = 8), Reject::UnknownEpoch),
        (wrong_tag, Reject::GateTag),
        (sealed(&|token| token[at::FLAGS] = 1), Reject::Flags),
        (sealed(&|token| token[at::PLAYER_ID_LEN] = 0), Reject::PlayerIdLength),
        (sealed(&|token| put(token, at::PLAYER_DATA_LEN, &[1, 1])), Reject::PlayerDataLength),
        (sealed(&|token| token[at::PLAYER_DATA_LEN] += 1), Reject::TotalLength),
        (sealed(&|token| token[at::PLAYER_ID] = 0xff), Reject::PlayerIdText),
        (sealed(&|token| token[at::ISSUED_AT_MS + 7] = 0xff), Reject::Lifetime),
        (sealed(&|token| put(token, at::EXPIRES_AT_MS, &NOW_MS.to_le_bytes())), Reject::Expired),
        (sealed(&|token| token[at::GAME_SESSION_ID] ^= 1), Reject::WrongSession),
        (sealed(&|token| token[at::KEY_ID] = 2), Reject::UnknownKey),
        (tagged([0x00; 64]), Reject::SmallOrder),
        (tagged([0xff; 64]), Reject::Signature),
        (tagged([0x11; 64]), Reject::Signature),
    ];
    let mut verdicts: Vec<_> = refused.into_iter().map(|(token, reason)| (token, Some(reason))).collect();
    for claims in [world.minimal_claims(), world.claims(), world.maximal_claims()] {
        verdicts.push((world.mint(&claims).as_bytes().to_vec(), None));
    }
    verdicts
}
