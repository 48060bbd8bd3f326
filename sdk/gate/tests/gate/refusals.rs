//! Every reason for which somebody is not admitted: a row that shows it, what is counted, and what is answered.

use playgate_gate::limits::SIGNATURE_BURST;
use playgate_gate::{RefuseReason, Verdict};
use playgate_protocol::handshake::{Kind, RefuseCode};
use playgate_protocol::limits::ORDINALS_PER_SESSION_MAX;
use playgate_protocol::{ServerProcessId, Ticket};

use crate::world::*;

/// How the attempt came out, and whose ticket it was.
type Attempt = (Result<(), RefuseReason>, Ticket);

/// Brings a world to the point, and tries.
type Row = (RefuseReason, fn(&mut World) -> Attempt);

fn rows() -> Vec<Row> {
    use RefuseReason as R;
    vec![
        (R::Length, |w| {
            let ticket = w.ticket(0);
            let datagram = hello([0; 16], &ticket.token[..100]);
            sent(w, &datagram, ticket)
        }),
        (R::WrongDirection, |w| {
            let ticket = w.ticket(0);
            sent(w, &Kind::Accept.magic(), ticket)
        }),
        (R::TokenMagic, |w| greeted_with(w, |token| token[3] = b'2')),
        (R::WrongProcess, |w| {
            let mut claims = w.claims(0);
            claims.server_process_id = ServerProcessId::from_bytes([0x51; 16]);
            joined(w, ticket(&claims))
        }),
        (R::UnknownEpoch, |w| {
            let ticket = w.ticket(0);
            w.want(|wanted| (wanted.gate_epoch, wanted.min_epoch) = (6, 6));
            joined(w, ticket)
        }),
        (R::GateTag, |w| greeted_with(w, |token| *token.last_mut().unwrap() ^= 1)),
        (R::Flags, |w| forged(w, |token| token[8] = 1)),
        (R::PlayerIdLength, |w| forged(w, |token| token[9] = 0)),
        (R::PlayerDataLength, |w| forged(w, |token| token[11] = 2)),
        (R::TotalLength, |w| forged(w, |token| token[9] += 1)),
        (R::PlayerIdText, |w| forged(w, |token| token[80] = 0xff)),
        (R::Lifetime, |w| forged(w, |token| token.copy_within(16..24, 24))),
        (R::MacExpired, |w| {
            let ticket = w.ticket(0);
            let challenge = w.challenge(address(1), &ticket).unwrap();
            w.pass(10_001);
            sent(w, &proof(&challenge, &ticket), ticket)
        }),
        (R::MacWrong, |w| {
            let ticket = w.ticket(0);
            let mut challenge = w.challenge(address(1), &ticket).unwrap();
            challenge.mac[15] ^= 0x80;
            sent(w, &proof(&challenge, &ticket), ticket)
        }),
        (R::ProofWrong, |w| {
            let (ticket, other) = (w.ticket(0), w.ticket(1));
            let challenge = w.challenge(address(1), &ticket).unwrap();
            let thief = Ticket { holder_key: other.holder_key, ..ticket.clone() };
            sent(w, &proof(&challenge, &thief), ticket)
        }),
        (R::Replayed, |w| {
            let ticket = w.ticket(0);
            let challenge = w.challenge(address(1), &ticket).unwrap();
            w.join(address(1), &ticket).unwrap();
            sent(w, &proof(&challenge, &ticket), ticket)
        }),
        (R::NoSession, |w| {
            let ticket = w.ticket(0);
            w.want(|wanted| wanted.session = None);
            joined(w, ticket)
        }),
        (R::WrongSession, |w| {
            let mut claims = w.claims(0);
            claims.game_session_id = OTHER_SESSION;
            joined(w, ticket(&claims))
        }),
        (R::NotActivated, |w| {
            w.want_session(|session| session.attempt += 1);
            let ticket = w.ticket(0);
            joined(w, ticket)
        }),
        (R::SessionEnded, |w| {
            w.gate.end_session(w.now);
            let ticket = w.ticket(0);
            joined(w, ticket)
        }),
        (R::OrdinalTooLarge, |w| {
            let ticket = w.ticket(ORDINALS_PER_SESSION_MAX);
            joined(w, ticket)
        }),
        (R::Used, |w| {
            let ticket = w.ticket(0);
            w.join(address(1), &ticket).unwrap();
            w.gate.leave(w.now, ticket.player_session);
            joined(w, ticket)
        }),
        (R::Revoked, |w| {
            let ticket = w.ticket(0);
            w.revoke(0);
            joined(w, ticket)
        }),
        (R::OtherToken, |w| {
            let ticket = w.ticket(0);
            w.join(address(1), &ticket).unwrap();
            let other = w.ticket(0);
            assert_ne!(other.token, ticket.token);
            joined(w, other)
        }),
        (R::Expired, |w| {
            let ticket = w.ticket(0);
            w.pass(LIFETIME_MS);
            joined(w, ticket)
        }),
        (R::RateLimited, |w| {
            let ticket = w.ticket(0);
            let challenge = w.challenge(address(1), &ticket).unwrap();
            spend_the_burst(w);
            sent(w, &proof(&challenge, &ticket), ticket)
        }),
        (R::UnknownKey, |w| {
            let mut claims = w.claims(0);
            claims.key_id = 2;
            joined(w, ticket(&claims))
        }),
        (R::SmallOrder, |w| forged_signature(w, |r| *r = [[1].as_slice(), &[0; 31]].concat().try_into().unwrap())),
        (R::Signature, |w| forged_signature(w, |r| r[0] ^= 1)),
        (R::Full, |w| {
            w.want_session(|session| session.max_players = 1);
            let ticket = w.ticket(1);
            w.join(address(1), &w.ticket(0)).unwrap();
            joined(w, ticket)
        }),
        (R::BearerNotAllowed, |w| {
            let ticket = w.ticket(0);
            (w.admit(1, &ticket.token).map(drop), ticket)
        }),
        (R::StillConnected, |w| {
            w.want_session(|session| session.policy.bearer = true);
            let ticket = w.ticket(0);
            w.admit(1, &ticket.token).unwrap();
            (w.admit(2, &ticket.token).map(drop), ticket)
        }),
    ]
}

#[test]
fn every_reason_has_a_row_and_the_row_shows_it() {
    let rows = rows();
    let shown: Vec<_> = rows.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(shown, RefuseReason::ALL);
    for (reason, attempt) in rows {
        let mut world = world();
        let (outcome, ticket) = attempt(&mut world);
        assert_eq!(outcome, Err(reason));
        let counted = |of: &RefuseReason| world.gate.counters().refused(*of);
        assert_eq!(counted(&reason), 1);
        assert_eq!(world.gate.counters().refused_total(), RefuseReason::ALL.iter().map(counted).sum::<u64>());
        assert_eq!(world.refuse_code(&ticket), told(reason), "{reason}");
        assert_eq!(world.reply.is_empty(), told(reason).is_none(), "{reason}");
    }
}

#[test]
fn a_fleet_that_keeps_its_reasons_says_only_that_it_refuses() {
    for (reason, attempt) in rows() {
        let mut world = world();
        world.want_session(|session| session.policy.tell_reason = false);
        let (_, ticket) = attempt(&mut world);
        let told = told(reason).map(|_| RefuseCode::Refused);
        assert_eq!(world.refuse_code(&ticket), told, "{reason}");
    }
}

/// What the player is told, in a fleet that tells.
fn told(reason: RefuseReason) -> Option<RefuseCode> {
    use RefuseReason as R;
    match reason {
        R::NoSession | R::WrongSession | R::SessionEnded => Some(RefuseCode::SessionOver),
        R::Used => Some(RefuseCode::Over),
        R::Revoked => Some(RefuseCode::Revoked),
        R::Expired => Some(RefuseCode::Expired),
        R::Full => Some(RefuseCode::Full),
        R::OrdinalTooLarge | R::OtherToken | R::UnknownKey | R::SmallOrder | R::Signature => Some(RefuseCode::Refused),
        _ => None,
    }
}

fn sent(world: &mut World, datagram: &[u8], ticket: Ticket) -> Attempt {
    let Verdict::Refused(reason) = world.send(address(1), datagram) else {
        return (Ok(()), ticket);
    };
    (Err(reason), ticket)
}

fn joined(world: &mut World, ticket: Ticket) -> Attempt {
    (world.join(address(1), &ticket).map(drop), ticket)
}

/// A HELLO with a changed token.
fn greeted_with(world: &mut World, change: fn(&mut [u8])) -> Attempt {
    let ticket = world.ticket(0);
    let mut token = ticket.token.to_vec();
    change(&mut token);
    sent(world, &hello([0; 16], &token), ticket)
}

/// A HELLO with a changed token, whose gate tag was made right again.
fn forged(world: &mut World, change: fn(&mut [u8])) -> Attempt {
    let ticket = world.ticket(0);
    let mut token = ticket.token.to_vec();
    change(&mut token);
    retag(&mut token);
    sent(world, &hello([0; 16], &token), ticket)
}

/// Everything is right but the first half of the signature.
fn forged_signature(world: &mut World, change: fn(&mut [u8; 32])) -> Attempt {
    let claims = world.claims(0);
    let mut token = ticket(&claims).token.to_vec();
    let r = token.len() - 80;
    change((&mut token[r..r + 32]).try_into().unwrap());
    retag(&mut token);
    joined(world, ticket_of(&claims, &token))
}

/// Holders of tokens under an unknown key use up what may be verified at once.
fn spend_the_burst(world: &mut World) {
    for ordinal in 0..SIGNATURE_BURST {
        let mut claims = world.claims(100 + ordinal);
        claims.key_id = 2;
        let ticket = ticket(&claims);
        let challenge = world.challenge(address(2), &ticket).unwrap();
        assert_eq!(world.send(address(2), &proof(&challenge, &ticket)), Verdict::Refused(RefuseReason::UnknownKey));
    }
}
