//! Whatever comes from wherever: no panic, nothing forwarded that no player sent, no answer larger than its cause.

use std::net::SocketAddr;
use std::time::Duration;

use playgate_protocol::relay::FlowState;
use playgate_relay_core::Verdict;
use proptest::prelude::*;

use crate::world::*;

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// Bytes laid over a datagram that was seen before, from some address.
    Forge {
        seen: prop::sample::Index,
        at: prop::sample::Index,
        bytes: Vec<u8>,
        from: u8,
    },
    /// A datagram that was seen before, from some address.
    Replay {
        seen: prop::sample::Index,
        from: u8,
    },
    /// A player says something, from some address.
    Say {
        player: usize,
        len: usize,
        from: u8,
    },
    /// The server of a slot says something.
    Answer {
        slot: u32,
        len: usize,
    },
    /// A player's timer.
    Timer {
        player: usize,
    },
    Wait {
        ms: u64,
    },
    Revoke {
        player: usize,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let player = 0..4_usize;
    let (seen, at) = (any::<prop::sample::Index>(), any::<prop::sample::Index>());
    prop_oneof![
        4 => (seen, at, prop::collection::vec(any::<u8>(), 0..12), 0..6_u8)
            .prop_map(|(seen, at, bytes, from)| Step::Forge { seen, at, bytes, from }),
        4 => (any::<prop::sample::Index>(), 0..6_u8).prop_map(|(seen, from)| Step::Replay { seen, from }),
        8 => (player.clone(), 0..1_440_usize, 0..6_u8).prop_map(|(player, len, from)| Step::Say { player, len, from }),
        4 => (0..6_u32, 0..1_440_usize).prop_map(|(slot, len)| Step::Answer { slot, len }),
        8 => player.clone().prop_map(|player| Step::Timer { player }),
        2 => (0..8_000_u64).prop_map(|ms| Step::Wait { ms }),
        1 => player.prop_map(|player| Step::Revoke { player }),
        1 => Just(Step::Restart),
    ]
}

fn place(number: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, number], 9))
}

struct Run {
    world: World,
    players: Vec<Player>,
    seen: Vec<Vec<u8>>,
    /// Each payload that a player sent, whether it arrives or not; it names its player and its number.
    sent: Vec<Vec<u8>>,
    arrived: Vec<Vec<u8>>,
}

impl Run {
    fn new() -> Self {
        let world = World::new();
        let players = (0..4).map(|n| world.player(n + 1)).collect();
        Self { world, players, seen: vec![vec![0; 64]], sent: Vec::new(), arrived: Vec::new() }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Forge { seen, at, bytes, from } => {
                let mut forged = seen.get(&self.seen).clone();
                let at = at.index(forged.len().max(1));
                let end = (at + bytes.len()).min(forged.len());
                forged[at..end].copy_from_slice(&bytes[..end - at]);
                let genuine = self.seen.contains(&forged);
                let verdict = self.world.from(place(from), &forged);
                let forwards = matches!(verdict, Verdict::Forward(_) | Verdict::ForwardAndReply(_));
                assert!(genuine || !forwards, "a forged datagram was forwarded: {verdict:?}");
            }
            Step::Replay { seen, from } => {
                let datagram = seen.get(&self.seen).clone();
                self.world.from(place(from), &datagram);
            }
            Step::Say { player, len, from } => self.say(player, len, from),
            Step::Answer { slot, len } => {
                let mut datagram = vec![0; 20 + len];
                self.world.core.to_player(slot, &mut datagram);
                self.seen.push(datagram);
            }
            Step::Timer { player } => {
                let Some(at) = self.players[player].flow.poll_timeout() else { return };
                let wait = at.saturating_sub(self.world.now);
                self.world.wait(wait);
                self.players[player].flow.handle_timeout(at);
                while let Some(datagram) = self.players[player].flow.poll_transmit() {
                    self.seen.push(datagram.as_slice().to_vec());
                    self.world.send(&mut self.players[player], datagram.as_slice());
                }
            }
            Step::Wait { ms } => self.world.wait(Duration::from_millis(ms)),
            Step::Revoke { player } => {
                let number = u8::try_from(player).unwrap() + 1;
                self.world.core.revoke(claims(number).player_session, VALID_UNTIL_MS);
            }
            Step::Restart => self.world.restart(),
        }
        self.arrived.extend(self.world.at_servers.drain(..).map(|(_, payload)| payload));
        while self.world.core.poll_output().is_some() {}
    }

    fn say(&mut self, player: usize, len: usize, from: u8) {
        let mut payload = vec![u8::try_from(player).unwrap(); len.max(8)];
        payload[..8].copy_from_slice(&self.sent.len().to_le_bytes());
        let (player, payload_len) = (&mut self.players[player], payload.len());
        player.address = place(from);
        let mut datagram = vec![0; 20 + payload_len];
        let wrapped = player.flow.wrap(&payload, &mut datagram);
        assert!(wrapped.is_ok() == (player.flow.state() == FlowState::Open && payload_len <= 1_432));
        if wrapped.is_ok() {
            self.seen.push(datagram.clone());
            self.sent.push(payload);
            self.world.send(player, &datagram);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn a_relay_forwards_what_players_sent_and_each_once(steps in prop::collection::vec(step(), 1..120)) {
        let mut run = Run::new();
        steps.into_iter().for_each(|step| run.step(step));
        let mut arrived = run.arrived.clone();
        arrived.sort();
        arrived.dedup();
        prop_assert_eq!(arrived.len(), run.arrived.len(), "no payload arrives twice");
        prop_assert!(arrived.iter().all(|payload| run.sent.contains(payload)), "and none that nobody sent");
        prop_assert!(run.world.core.flows() <= 8);
    }

    #[test]
    fn any_bytes_are_dropped_or_get_a_smaller_answer(bytes in prop::collection::vec(any::<u8>(), 0..400), magic in 0..3) {
        let mut world = World::new();
        let mut datagram = bytes;
        for (place, byte) in datagram.iter_mut().zip([b"PR1H", b"PR1O", b"\x01\0\0\0"][magic as usize]) {
            *place = *byte;
        }
        let verdict = world.from(place(1), &datagram);
        prop_assert!(matches!(verdict, Verdict::Drop(_) | Verdict::Reply));
    }
}
