//! A token with two faults is refused for the one that is cheaper to find.

use playgate_token::*;

use crate::spec;
use crate::support::{NOW_MS, World, at, put};

/// How to bring a fault into a token, before it is signed and tagged.
type Fault = (Reject, fn(&mut [u8]));

/// One fault for each reason that can be combined with others, in the order of the checks.
const FAULTS: [Fault; 14] = [
    (Reject::Magic, |token| put(token, 0, b"PGT2")),
    (Reject::WrongProcess, |token| token[at::SERVER_PROCESS_ID + 15] ^= 1),
    (Reject::UnknownEpoch, |token| put(token, at::GATE_EPOCH, &8u16.to_le_bytes())),
    (Reject::GateTag, |_| ()), // broken when everything else is done
    (Reject::Flags, |token| token[at::FLAGS] = 1),
    (Reject::PlayerIdLength, |token| token[at::PLAYER_ID_LEN] = 0),
    (Reject::PlayerDataLength, |token| put(token, at::PLAYER_DATA_LEN, &257u16.to_le_bytes())),
    (Reject::TotalLength, |token| token[at::PLAYER_DATA_LEN] = 31),
    (Reject::PlayerIdText, |token| token[at::PLAYER_ID] = 0xff),
    (Reject::Lifetime, |token| put(token, at::ISSUED_AT_MS, &u64::MAX.to_le_bytes())),
    (Reject::Expired, |token| put(token, at::EXPIRES_AT_MS, &NOW_MS.to_le_bytes())),
    (Reject::WrongSession, |token| token[at::GAME_SESSION_ID] ^= 1),
    (Reject::UnknownKey, |token| put(token, at::KEY_ID, &3u16.to_le_bytes())),
    (Reject::Signature, |_| ()), // signed by the wrong key
];

#[test]
fn the_cheaper_of_two_faults_is_reported() {
    let world = World::new();
    for (first, (reason, _)) in FAULTS.iter().enumerate() {
        for (second, (other, _)) in FAULTS.iter().enumerate().skip(first) {
            let token = with_faults(&world, first, second);
            assert_eq!(world.accept(&token), Err(*reason), "{reason} and {other}");
        }
    }
}

/// The reasons that the table above leaves out because they exclude another fault.
#[test]
fn length_comes_first_and_small_order_before_the_signature() {
    let world = World::new();
    let mut short = world.token()[..160].to_vec();
    put(&mut short, 0, b"PGT2");
    assert_eq!(world.accept(&short), Err(Reject::Length));
    assert_eq!(world.accept(&[0xff; 545]), Err(Reject::Length));

    let mut token = world.token();
    let signature_at = token.len() - spec::SEAL_LEN;
    token[signature_at..signature_at + 64].fill(0xff); // S is out of range
    put(&mut token, signature_at, &[1]);
    token[signature_at + 1..signature_at + 32].fill(0); // R is the identity
    world.tag(&mut token);
    assert_eq!(world.accept(&token), Err(Reject::SmallOrder));
    put(&mut token, at::KEY_ID, &3u16.to_le_bytes());
    world.tag(&mut token);
    assert_eq!(world.accept(&token), Err(Reject::UnknownKey));
}

/// The reasons stand in the enum in the order of the checks.
#[test]
fn the_order_of_the_reasons_is_the_order_of_the_checks() {
    let in_order: Vec<Reject> =
        Reject::ALL.into_iter().filter(|reason| ![Reject::Length, Reject::SmallOrder].contains(reason)).collect();
    assert_eq!(in_order, FAULTS.map(|(reason, _)| reason));
}

/// Without keys, `parse` finds the same faults of structure in the same order.
#[test]
fn parse_reports_what_needs_no_key() {
    let world = World::new();
    let structural = [Reject::Magic, Reject::Flags, Reject::PlayerIdLength, Reject::PlayerDataLength]
        .into_iter()
        .chain([Reject::TotalLength, Reject::PlayerIdText, Reject::Lifetime]);
    let structural: Vec<Reject> = structural.collect();
    for (fault, (reason, _)) in FAULTS.iter().enumerate() {
        let token = with_faults(&world, fault, fault);
        let expected = structural.contains(reason).then_some(*reason);
        assert_eq!(parse(&token).err(), expected, "{reason}");
    }
    assert_eq!(parse(&[]), Err(Reject::Length));
}

fn with_faults(world: &World, first: usize, second: usize) -> Vec<u8> {
    let faulty = |reason| [FAULTS[first].0, FAULTS[second].0].contains(&reason);
    let mut token = world.token();
    FAULTS[second].1(&mut token);
    if first != second {
        FAULTS[first].1(&mut token);
    }
    let signer = if faulty(Reject::Signature) { &world.other_signer } else { &world.signer };
    spec::sign(&mut token, signer);
    world.tag(&mut token);
    if faulty(Reject::GateTag) {
        *token.last_mut().unwrap() ^= 1;
    }
    token
}
