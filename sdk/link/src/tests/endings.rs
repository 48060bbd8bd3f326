//! How links end, and that nothing is lost on the way.

use std::time::Duration;

use super::{Halves, Net, soon};
use crate::{CloseCode, CloseReason, Dialer, Identity, LinkProfile, NotDelivered, QueueError, RecvError, limits};

fn by_peer(code: CloseCode, reason: &str) -> RecvError {
    RecvError::Closed(CloseReason::ByPeer { code, reason: reason.to_owned() })
}

#[tokio::test]
async fn every_code_and_reason_reaches_the_peer() {
    let net = Net::new();
    for (code, sent, seen) in [
        (CloseCode::Done, "", String::new()),
        (CloseCode::Refused, "bad credential", "bad credential".to_owned()),
        (CloseCode::Busy, "later", "later".to_owned()),
        (CloseCode::SlowConsumer, "behind", "behind".to_owned()),
        (CloseCode::Protocol, "a\nb", "a?b".to_owned()),
        (CloseCode::Replaced, "new link", "new link".to_owned()),
        (CloseCode::ShuttingDown, &"ü".repeat(300), "ü".repeat(128)),
        (CloseCode::Unknown(99), "future", "future".to_owned()),
    ] {
        let mut halves = net.connect().await;
        halves.server_down.queue(&1_u32).unwrap();
        halves.server_down.close(code, sent);
        assert_eq!(halves.server_down.queue(&2_u32), Err(QueueError::Closed));
        assert_eq!(soon(halves.down.recv::<u32>()).await, Ok(1), "{code}: what was queued comes first");
        assert_eq!(soon(halves.down.recv::<u32>()).await, Err(by_peer(code, &seen)));
        assert_eq!(soon(halves.server_up.recv::<u32>()).await, Err(RecvError::Closed(CloseReason::ByUs)));

        let mut halves = net.connect().await;
        halves.server_down.close_now(code, sent);
        assert_eq!(soon(halves.down.recv::<u32>()).await, Err(by_peer(code, &seen)));
        assert_eq!(soon(halves.up.closed()).await, CloseReason::ByPeer { code, reason: seen });
    }
}

#[tokio::test]
async fn dropping_the_sender_delivers_and_says_done() {
    let Halves { up, mut server_up, down: _down, server_down: _server_down } = Net::new().connect().await;
    up.queue(&1_u32).unwrap();
    let clone = up.clone();
    drop(up);
    clone.queue(&2_u32).unwrap();
    drop(clone);
    assert_eq!(soon(server_up.recv::<u32>()).await, Ok(1));
    assert_eq!(soon(server_up.recv::<u32>()).await, Ok(2));
    assert_eq!(soon(server_up.recv::<u32>()).await, Err(by_peer(CloseCode::Done, "")));
}

/// Who does not read is noticed by who sends, costs a known amount of memory, and can still be told why it ended.
#[tokio::test]
async fn a_slow_consumer_fills_the_queue_and_no_more() {
    let Halves { up, mut server_up, down: _down, server_down: _server_down } = Net::new().connect().await;
    let frame = vec![7_u8; 1000];
    let mut queued = 0_usize;
    let bound = limits::QUEUE_BYTES_MAX + usize::try_from(limits::SEND_WINDOW_BYTES).unwrap();
    // Full once quinn takes no more either: until then the writer task makes room.
    let mut full_in_a_row = 0;
    while full_in_a_row < 1000 {
        match up.queue(&frame) {
            Ok(()) => (queued, full_in_a_row) = (queued + 1, 0),
            Err(error) => {
                assert_eq!(error, QueueError::Full);
                full_in_a_row += 1;
                tokio::task::yield_now().await;
            }
        }
        // What the peer's window let through left this side.
        assert!(queued * 1006 <= bound + 2 * usize::try_from(limits::STREAM_WINDOW_BYTES).unwrap(), "{queued} frames");
    }
    for number in 0..queued {
        assert_eq!(soon(server_up.recv::<Vec<u8>>()).await.as_ref(), Ok(&frame), "frame {number} of {queued}");
    }
    while up.queue(&frame).is_ok() {}
    up.close(CloseCode::SlowConsumer, "behind");
    assert_eq!(soon(up.closed()).await, CloseReason::ByUs, "a peer that does not read cannot hold up the close");
    let end = soon(async {
        loop {
            if let Err(end) = server_up.recv::<Vec<u8>>().await {
                return end;
            }
        }
    })
    .await;
    assert_eq!(end, by_peer(CloseCode::SlowConsumer, "behind"));
}

/// Who stops listening to a peer that does not read goes on when it reads, or when the link is over.
#[tokio::test]
async fn a_full_queue_is_waited_for() {
    const SOME: usize = 100_000;
    let Halves { up, mut server_up, down: _down, server_down } = Net::new().connect().await;
    assert_eq!(soon(up.drained_below(1)).await, Ok(()));
    assert_eq!(up.unsent_bytes(), 0);
    let frame = vec![7_u8; 1_000];
    let mut frames = 0;
    while up.queue(&frame).is_ok() {
        frames += 1;
    }
    assert!(up.unsent_bytes() >= SOME);
    let waiting = tokio::spawn({
        let up = up.clone();
        async move { up.drained_below(SOME).await }
    });
    for _ in 0..frames {
        soon(server_up.recv::<Vec<u8>>()).await.unwrap();
    }
    assert_eq!(soon(waiting).await.unwrap(), Ok(()));

    while up.queue(&frame).is_ok() {}
    let waiting = tokio::spawn(async move { up.drained_below(1).await });
    server_down.close_now(CloseCode::Done, "");
    let over = CloseReason::ByPeer { code: CloseCode::Done, reason: String::new() };
    assert_eq!(soon(waiting).await.unwrap(), Err(over), "what is unsent stays so, and nobody waits for it");
}

/// A process that exits right after its last report: its runtime is gone before the listener reads a byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_report_before_an_exit_is_delivered() {
    const REPORTS: u32 = 500;
    let net = Net::new();
    let (addr, pin) = (net.listener.local_addr(), net.server.fingerprint());
    let process = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dialer = Dialer::new(Identity::generate(), LinkProfile::fleet()).unwrap();
            let (sender, _receiver) = dialer.dial(addr, &pin).await.unwrap().split();
            sender.queue(&"hello").unwrap();
            (0..REPORTS).for_each(|number| sender.queue(&number).unwrap());
            let delivered = sender.finish_and_wait(Duration::from_secs(10)).await;
            dialer.shutdown(Duration::from_secs(10)).await;
            delivered
        })
    });
    let (_sender, mut receiver) = soon(net.serve()).await;
    let delivered = soon(tokio::task::spawn_blocking(|| process.join().unwrap())).await.unwrap();
    assert_eq!(delivered, Ok(()));
    for number in 0..REPORTS {
        assert_eq!(soon(receiver.recv::<u32>()).await, Ok(number));
    }
    assert_eq!(soon(receiver.recv::<u32>()).await, Err(by_peer(CloseCode::Done, "")));
}

#[tokio::test]
async fn waiting_for_delivery_ends_with_the_link_or_the_time() {
    let net = Net::new();
    let halves = net.connect().await;
    halves.server_down.close_now(CloseCode::Replaced, "");
    soon(halves.up.closed()).await;
    assert_eq!(soon(halves.up.finish_and_wait(Duration::from_secs(60))).await, Err(NotDelivered));

    let halves = net.connect().await;
    while halves.up.queue(&vec![0_u8; 1000]).is_ok() {} // more than fits in the windows of a peer that does not read
    assert_eq!(soon(halves.up.finish_and_wait(Duration::from_millis(50))).await, Err(NotDelivered));
    assert_eq!(soon(halves.up.closed()).await, CloseReason::ByUs);
}

#[tokio::test]
async fn a_closed_listener_tells_its_links_and_accepts_no_more() {
    let net = Net::new();
    let mut halves = net.connect().await;
    net.listener.close(CloseCode::ShuttingDown, "restart", Duration::from_secs(10)).await;
    assert_eq!(soon(halves.down.recv::<u32>()).await, Err(by_peer(CloseCode::ShuttingDown, "restart")));
    assert!(soon(net.listener.accept()).await.is_none());
}
