//! Neither a datagram of a flow nor a HELLO touches the heap.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use playgate_protocol::handshake::Datagram;
use playgate_protocol::relay::{HEADER_BYTES, Hello};
use playgate_relay_core::{DropReason, Verdict};

#[path = "relay/world.rs"]
#[allow(dead_code)]
mod world;

use world::World;

fn allocations(work: impl FnOnce()) -> u64 {
    allocation_counter::measure(work).count_total
}

#[test]
fn what_carries_datagrams_does_not_allocate() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1_u8]))), 1, "the counter counts");
    let mut world = World::new();
    let mut ann = world.joined(1);
    let now = world.now();
    let datagrams: Vec<_> = (0..200).map(|n| ann.wrapped(&[n; 200])).collect();
    let mut down = vec![0; HEADER_BYTES + 200];
    let mut hello = Datagram::<256>::new();
    Hello { nonce: [1; 16] }.write(&mut hello);
    let elsewhere = "203.0.113.7:7".parse().unwrap();
    world.core.from_player(now, elsewhere, hello.as_slice()); // makes the secret of this minute
    let count = allocations(|| {
        for (n, datagram) in datagrams.iter().enumerate() {
            let from = if n == 150 { elsewhere } else { ann.address };
            let verdict = world.core.from_player(now, from, datagram);
            assert!(matches!(verdict, Verdict::Forward(0) | Verdict::ForwardAndReply(0)));
            assert_eq!(world.core.from_player(now, from, datagram), Verdict::Drop(DropReason::Replay));
            assert_eq!(world.core.from_player(now, from, &datagram[..19]), Verdict::Drop(DropReason::Malformed));
            assert_eq!(world.core.from_player(now, elsewhere, hello.as_slice()), Verdict::Reply);
            assert!(world.core.to_player(0, &mut down).is_some());
        }
    });
    assert_eq!(count, 0);
}
