//! What an authenticated peer can do that does not keep to frames: end its link, and nothing else.

use playgate_protocol::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES};
use quinn::{Connection, SendStream};

use super::{Net, connect_with, soon, until};
use crate::tls::{self, Pinned};
use crate::{CloseCode, CloseReason, FrameError, FrameReceiver, FrameSender, Identity, RecvError, limits};

/// Proper TLS, after which the client opens the control stream with `bytes`.
async fn speak(net: &Net, bytes: &[u8], finish: bool) -> (Connection, SendStream, FrameSender, FrameReceiver) {
    let tls = tls::client(&Identity::generate(), Pinned::new(net.server.fingerprint()));
    let dial = async {
        let conn = connect_with(tls, net.listener.local_addr()).await.1.unwrap();
        let mut stream = conn.open_bi().await.unwrap().0;
        stream.write_all(bytes).await.unwrap();
        if finish {
            stream.finish().unwrap();
        }
        (conn, stream)
    };
    let serve = async { net.listener.accept().await.unwrap().establish().await.unwrap().split() };
    let ((conn, stream), (sender, receiver)) = soon(async { tokio::join!(dial, serve) }).await;
    (conn, stream, sender, receiver)
}

#[tokio::test]
async fn bytes_that_are_no_frames_are_refused_and_counted() {
    let too_large = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_le_bytes();
    let net = Net::new();
    let rows: [(&str, &[u8], bool, FrameError); 8] = [
        ("the largest header", &[0xff; 4], false, FrameError::TooLarge),
        ("one byte over the limit", &too_large, false, FrameError::TooLarge),
        ("text that is not UTF-8", &[3, 0, 0, 0, 2, 0xff, 0xfe], false, FrameError::Malformed),
        ("a message that is longer than its frame", &[2, 0, 0, 0, 5, b'a'], false, FrameError::Malformed),
        ("an empty frame", &[0; 4], false, FrameError::Malformed),
        ("bytes behind the message", &[3, 0, 0, 0, 1, b'a', 0], false, FrameError::TrailingBytes),
        ("half a header, then the end", &[3, 0], true, FrameError::Malformed),
        ("half a frame, then the end", &[3, 0, 0, 0, 2, b'a'], true, FrameError::Malformed),
    ];
    for (count, (what, bytes, finish, error)) in (1..).zip(rows) {
        let (conn, _stream, sender, mut receiver) = speak(&net, bytes, finish).await;
        for _ in 0..3 {
            assert_eq!(soon(receiver.recv::<String>()).await, Err(RecvError::Frame(error)), "{what}");
        }
        assert_eq!(net.listener.counters().frames_refused(), count, "{what}");
        sender.close(CloseCode::Protocol, "no frame");
        let reason = CloseReason::from(soon(conn.closed()).await);
        assert!(matches!(reason, CloseReason::ByPeer { code: CloseCode::Protocol, .. }), "{what}: {reason}");
    }
}

#[tokio::test]
async fn a_frame_before_the_damage_still_counts() {
    let net = Net::new();
    let (_conn, _stream, _sender, mut receiver) =
        speak(&net, &[2, 0, 0, 0, 1, b'a', 0xff, 0xff, 0xff, 0xff], false).await;
    assert_eq!(soon(receiver.recv::<String>()).await, Ok("a".to_owned()));
    assert_eq!(soon(receiver.recv::<String>()).await, Err(RecvError::Frame(FrameError::TooLarge)));
}

/// The peer ends its stream and keeps the connection: it is closed for it.
#[tokio::test]
async fn a_finished_stream_ends_the_link() {
    let net = Net::new();
    let (conn, _stream, _sender, mut receiver) = speak(&net, &[2, 0, 0, 0, 1, b'a'], true).await;
    assert_eq!(soon(receiver.recv::<String>()).await, Ok("a".to_owned()));
    let end = soon(receiver.recv::<String>()).await;
    assert_eq!(end, Err(RecvError::Closed(CloseReason::ByPeer { code: CloseCode::Done, reason: String::new() })));
    soon(conn.closed()).await;
}

#[tokio::test]
async fn a_reset_or_stopped_stream_ends_the_link() {
    let net = Net::new();
    let (_conn, mut stream, _sender, mut receiver) = speak(&net, &[2, 0, 0, 0, 1, b'a'], false).await;
    assert_eq!(soon(receiver.recv::<String>()).await, Ok("a".to_owned()));
    stream.reset(7_u8.into()).unwrap();
    assert!(matches!(soon(receiver.recv::<String>()).await, Err(RecvError::Closed(_))));

    // `speak` dropped the receiving half of its stream, which tells us to stop sending.
    let (conn, _stream, sender, _receiver) = speak(&net, &[2, 0, 0, 0, 1, b'a'], false).await;
    until("the stop arrived", || sender.queue(&vec![0_u8; 100]).is_err()).await;
    soon(conn.closed()).await;
}

#[tokio::test]
async fn an_endless_stream_waits_in_the_peer_not_here() {
    let net = Net::new();
    let frame: Vec<u8> = [&[100, 0, 0, 0, 99], [b'x'; 99].as_slice()].concat();
    let (_conn, mut stream, _sender, mut receiver) = speak(&net, &frame, false).await;
    let flood = tokio::spawn(async move { while stream.write_all(&frame).await.is_ok() {} });
    let window = usize::try_from(limits::STREAM_WINDOW_BYTES).unwrap();
    for _ in 0..20_000 {
        assert_eq!(soon(receiver.recv::<String>()).await.unwrap().len(), 99);
        assert!(receiver.unread_bytes() <= window + FRAME_HEADER_BYTES + FRAME_BYTES_MAX);
    }
    drop((receiver, _sender));
    soon(flood).await.unwrap();
}

#[tokio::test]
async fn a_peer_has_one_stream_and_no_more() {
    let net = Net::new();
    let (conn, _stream, _sender, _receiver) = speak(&net, &[0; 4], false).await;
    let refused = tokio::select! {
        biased;
        _ = conn.open_bi() => "a second stream",
        _ = conn.open_uni() => "a one-way stream",
        () = std::future::ready(()) => "",
    };
    assert_eq!(refused, "");
    assert_eq!(conn.max_datagram_size(), None);
}
