//! The client's side against a gate, over networks that lose, forge and delay.

use std::net::SocketAddr;
use std::time::Duration;

use playgate_gate::{RefuseReason, Verdict};
use playgate_protocol::handshake::{
    Accept, Challenge, JoinState, Joiner, Kind, Refuse, RefuseCode, ReplyBuf, TicketUnusable,
};
use playgate_protocol::{Blob, List, Ticket};

use crate::world::*;

const GIVE_UP: Duration = Duration::from_secs(10);

/// A player, a gate, and a network of 20 ms each way that loses what it is told to.
struct Pair {
    world: World,
    joiner: Joiner,
    server: SocketAddr,
    client: SocketAddr,
    /// Bit n: the n-th datagram on the network is lost.
    lost: u64,
    seen: u32,
    admissions: Vec<u32>,
}

fn pair(ticket: &Ticket, world: World) -> Pair {
    let joiner = Joiner::new(ticket, [1; 16], GIVE_UP, world.now).unwrap();
    let server = *ticket.addresses.last().unwrap();
    Pair { world, joiner, server, client: address(1), lost: 0, seen: 0, admissions: vec![] }
}

impl Pair {
    fn arrives(&mut self) -> bool {
        let lost = self.lost >> self.seen.min(63) & 1 == 1;
        self.seen += 1;
        !lost
    }

    /// Runs until the attempt is over.
    fn run(&mut self) -> JoinState {
        while self.joiner.state().is_open() {
            while let Some(transmit) = self.joiner.poll_transmit() {
                if transmit.to != self.server || !self.arrives() {
                    continue;
                }
                self.world.pass(20);
                let verdict = self.world.send(self.client, transmit.datagram.as_slice());
                if let Verdict::Admitted(admission) = &verdict {
                    self.admissions.push(admission.generation);
                }
                if !self.world.reply.is_empty() && self.arrives() {
                    self.world.pass(20);
                    let reply = self.world.reply.clone();
                    assert!(self.joiner.handle(self.world.now, self.server, reply.as_slice()));
                }
            }
            if let Some(at) = self.joiner.poll_timeout() {
                let wait = at.saturating_sub(self.world.now);
                self.world.pass(u64::try_from(wait.as_millis()).unwrap());
                self.joiner.handle_timeout(self.world.now);
            }
        }
        assert_eq!(self.joiner.poll_timeout(), None);
        assert_eq!(self.joiner.poll_transmit(), None);
        *self.joiner.state()
    }
}

fn accepted(pair: &Pair, generation: u32) -> JoinState {
    JoinState::Accepted { generation, server: pair.server }
}

#[test]
fn four_datagrams_and_the_player_is_in() {
    let w = world();
    let mut pair = pair(&w.ticket(0), w);
    assert_eq!(pair.run(), accepted(&pair, 1));
    assert_eq!((pair.seen, pair.admissions.as_slice()), (4, [1].as_slice()));
}

#[test]
fn whatever_is_lost_of_the_first_eight_the_player_is_in_and_both_sides_know_it() {
    for lost in 0..256 {
        let w = world();
        let mut pair = pair(&w.ticket(0), w);
        pair.lost = lost;
        let generation = match pair.run() {
            JoinState::Accepted { generation, .. } => generation,
            other => panic!("with {lost:#b} lost: {other:?}"),
        };
        assert_eq!(pair.admissions.last(), Some(&generation), "with {lost:#b} lost");
        assert_eq!(pair.world.gate.active_players(), 1);
    }
}

#[test]
fn a_lost_accept_is_sent_again_and_not_a_reconnect() {
    let w = world();
    let mut pair = pair(&w.ticket(0), w);
    pair.lost = 0b101000;
    assert_eq!(pair.run(), accepted(&pair, 1));
    assert_eq!((pair.seen, pair.world.gate.counters().repeated), (8, 2));
}

#[test]
fn a_player_who_has_moved_starts_over() {
    let w = world();
    let ticket = w.ticket(0);
    let mut pair = pair(&ticket, w);
    // The challenge was made for another source address, as after a NAT has forgotten.
    let knock = pair.joiner.poll_transmit().unwrap();
    pair.world.send(address(9), knock.datagram.as_slice());
    let challenge = pair.world.reply.clone();
    pair.joiner.handle(pair.world.now, pair.server, challenge.as_slice());
    assert_eq!(pair.run(), accepted(&pair, 1));
    assert!(pair.world.gate.counters().refused(RefuseReason::MacWrong) > 0);
}

#[test]
fn the_same_ticket_reconnects() {
    let w = world();
    let mut pair = pair(&w.ticket(0), w);
    pair.run();
    for generation in 2..5 {
        pair.client = address(u8::try_from(generation).unwrap());
        pair.joiner.reconnect([u8::try_from(generation).unwrap(); 16], pair.world.now);
        assert_eq!(pair.run(), accepted(&pair, generation));
    }
}

#[test]
fn a_refusal_is_final_and_says_what_the_fleet_lets_it_say() {
    for (tell_reason, code) in [(true, RefuseCode::Revoked), (false, RefuseCode::Refused)] {
        let mut w = world();
        w.revoke(0);
        w.want_session(|session| session.policy.tell_reason = tell_reason);
        let mut pair = pair(&w.ticket(0), w);
        assert_eq!(pair.run(), JoinState::Refused(code));
        assert_eq!(pair.seen, 4);
    }
}

#[test]
fn a_player_who_comes_before_the_session_is_active_waits_for_it() {
    let mut w = bare_world();
    w.want(|_| {});
    let mut pair = pair(&w.ticket(0), w);
    pair.joiner.handle_timeout(pair.world.now + Duration::from_secs(1));
    pair.world.pass(1_000);
    pair.world.gate.activate(pair.world.now).unwrap();
    assert_eq!(pair.run(), accepted(&pair, 1));
}

#[test]
fn silence_ends_in_a_timeout_after_a_bounded_number_of_datagrams() {
    let w = world();
    let start = w.now;
    let mut pair = pair(&w.ticket(0), w);
    pair.lost = u64::MAX;
    assert_eq!(pair.run(), JoinState::TimedOut);
    assert_eq!(pair.world.now - start, GIVE_UP);
    assert_eq!(pair.seen, 12, "after 0, 250 and 750 ms, then once a second");
}

#[test]
fn the_first_address_that_answers_serves() {
    let w = world();
    let dead: SocketAddr = "203.0.113.9:1".parse().unwrap();
    let alive: SocketAddr = "[2001:db8::1]:7000".parse().unwrap();
    let ticket = Ticket { addresses: List::first_of([dead, alive]), ..w.ticket(0) };
    let mut pair = pair(&ticket, w);
    assert_eq!(pair.run(), JoinState::Accepted { generation: 1, server: alive });
    // It begins where it did not begin before.
    pair.joiner.reconnect([2; 16], pair.world.now);
    assert_eq!(pair.joiner.poll_transmit().unwrap().to, dead);
}

/// A joiner that has sent its PROOF, and the ACCEPT that is on its way.
fn proving() -> (Pair, ReplyBuf) {
    let w = world();
    let mut pair = pair(&w.ticket(0), w);
    let knock = pair.joiner.poll_transmit().unwrap();
    pair.world.send(pair.client, knock.datagram.as_slice());
    let challenge = pair.world.reply.clone();
    pair.joiner.handle(pair.world.now, pair.server, challenge.as_slice());
    assert_eq!(*pair.joiner.state(), JoinState::Proving);
    let proof = pair.joiner.poll_transmit().unwrap();
    pair.world.send(pair.client, proof.datagram.as_slice());
    let accept = pair.world.reply.clone();
    (pair, accept)
}

#[test]
fn only_the_servers_own_answer_to_this_attempt_counts() {
    let (mut pair, accept) = proving();
    let now = pair.world.now;
    let key = holder_key(&pair.world.ticket(0)).server_key();
    let genuine = Accept::open(accept.as_slice(), &key).unwrap();
    let mut forged = ReplyBuf::new();
    let stranger = holder_key(&pair.world.ticket(1)).server_key();
    let mut shown = vec![];
    Refuse { nonce: genuine.nonce, server_time_us: genuine.server_time_us, code: RefuseCode::Full }
        .seal(&stranger, &mut forged);
    shown.push(forged.clone());
    genuine.seal(&stranger, &mut forged);
    shown.push(forged.clone());
    Accept { nonce: [7; 16], ..genuine }.seal(&key, &mut forged);
    shown.push(forged.clone());
    Accept { server_time_us: genuine.server_time_us - 1, ..genuine }.seal(&key, &mut forged);
    shown.push(forged.clone());
    Challenge { nonce: genuine.nonce, server_time_us: u64::MAX, mac: [0; 16] }.write(&mut forged);
    shown.push(forged.clone());
    for datagram in shown {
        assert!(pair.joiner.handle(now, pair.server, datagram.as_slice()));
        assert_eq!(*pair.joiner.state(), JoinState::Proving, "{datagram:?}");
        assert_eq!(pair.joiner.poll_transmit(), None, "{datagram:?}");
    }
    assert!(pair.joiner.handle(now, "192.0.2.66:1".parse().unwrap(), accept.as_slice()));
    assert_eq!(*pair.joiner.state(), JoinState::Proving, "not from one of the ticket's addresses");
    assert!(!pair.joiner.handle(now, pair.server, b"game traffic"));
    assert!(pair.joiner.handle(now, pair.server, accept.as_slice()));
    assert_eq!(*pair.joiner.state(), accepted(&pair, 1));
    // What comes after that changes nothing.
    assert!(pair.joiner.handle(now, pair.server, accept.as_slice()));
    pair.joiner.handle_timeout(now + GIVE_UP);
    assert_eq!(*pair.joiner.state(), accepted(&pair, 1));
}

#[test]
fn a_forged_challenge_costs_three_seconds_and_no_more() {
    let w = world();
    let start = w.now;
    let mut pair = pair(&w.ticket(0), w);
    let mut forged = ReplyBuf::new();
    Challenge { nonce: [1; 16], server_time_us: u64::MAX, mac: [0; 16] }.write(&mut forged);
    assert_eq!(Kind::of(forged.as_slice()), Some(Kind::Challenge));
    pair.joiner.handle(pair.world.now, pair.server, forged.as_slice());
    assert_eq!(pair.run(), accepted(&pair, 1));
    assert!(pair.world.now - start < Duration::from_secs(5));
}

#[test]
fn the_challenge_of_another_attempt_is_not_answered() {
    let w = world();
    let mut pair = pair(&w.ticket(0), w);
    pair.joiner.poll_transmit();
    let mut earlier = ReplyBuf::new();
    Challenge { nonce: [2; 16], server_time_us: 1, mac: [0; 16] }.write(&mut earlier);
    assert!(pair.joiner.handle(pair.world.now, pair.server, earlier.as_slice()));
    assert_eq!(*pair.joiner.state(), JoinState::Knocking);
    assert_eq!(pair.joiner.poll_transmit(), None);
}

#[test]
fn a_ticket_without_address_or_token_is_no_use() {
    let w = world();
    let nowhere = Ticket { addresses: List::default(), ..w.ticket(0) };
    assert_eq!(Joiner::new(&nowhere, [1; 16], GIVE_UP, w.now).unwrap_err(), TicketUnusable::NoAddress);
    let empty = Ticket { token: Blob::default(), ..w.ticket(0) };
    assert_eq!(Joiner::new(&empty, [1; 16], GIVE_UP, w.now).unwrap_err(), TicketUnusable::NoToken);
}

#[test]
fn a_joiner_shows_no_secret() {
    let (pair, _) = proving();
    assert_eq!(format!("{:?}", pair.joiner), "Joiner(proving)");
}
