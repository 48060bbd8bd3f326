//! What two honest ends can rely on while a link begins and lives.

use std::time::Duration;

use playgate_protocol::frame::FRAME_BYTES_MAX;

use super::{Halves, Net, config, soon, until};
use crate::{CloseCode, DialError, Dialer, EstablishError, Identity, LinkProfile, Listener, QueueError, RecvError};

#[tokio::test]
async fn frames_arrive_whole_and_in_order_both_ways() {
    let Halves { up, mut down, mut server_up, server_down } = Net::new().connect().await;
    // A Vec is its length (up to 3 bytes) and its bytes.
    let sizes = [0, 1, 100, 1200, 1201, 4096, FRAME_BYTES_MAX / 2, FRAME_BYTES_MAX - 3];
    for (number, size) in (0_u8..).zip(sizes) {
        up.queue(&vec![number; size]).unwrap();
        server_down.queue(&vec![number; size]).unwrap();
    }
    for (number, size) in (0_u8..).zip(sizes) {
        assert_eq!(soon(server_up.recv::<Vec<u8>>()).await.unwrap(), vec![number; size]);
        assert_eq!(soon(down.recv::<Vec<u8>>()).await.unwrap(), vec![number; size]);
    }
    assert_eq!(up.queue(&vec![0_u8; FRAME_BYTES_MAX]), Err(QueueError::TooLarge));
    up.queue(&7_u32).unwrap();
    assert_eq!(soon(server_up.recv::<u32>()).await, Ok(7));
}

#[tokio::test]
async fn both_ends_know_the_other() {
    let net = Net::new();
    let addr = net.listener.local_addr();
    let (_dialled, served) = soon(async { tokio::join!(net.dial(), accept_one(&net.listener)) }).await;
    assert_eq!(served.peer(), net.dialer.identity().fingerprint());
    assert_eq!(served.remote_addr().ip(), addr.ip());
    assert_eq!(served.local_ip(), Some(addr.ip()));
    assert_eq!(net.listener.counters().attempts(), 1);
    assert_eq!(net.listener.counters().established(), 1);
}

async fn accept_one(listener: &Listener) -> crate::Link {
    listener.accept().await.unwrap().establish().await.unwrap()
}

#[tokio::test]
async fn a_dropped_recv_loses_nothing() {
    let Halves { up, mut server_up, down: _down, server_down: _server_down } = Net::new().connect().await;
    let feed = tokio::spawn(async move {
        for number in 0..2000_u32 {
            // Large enough that most frames span packets.
            while up.queue(&(number, vec![0_u8; 3000])) == Err(QueueError::Full) {
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
        }
        up
    });
    let mut dropped = 0;
    for number in 0..2000_u32 {
        let frame = loop {
            let once = tokio::select! {
                biased;
                frame = server_up.recv::<(u32, Vec<u8>)>() => Some(frame),
                () = tokio::task::yield_now() => None,
            };
            match once {
                Some(frame) => break frame,
                None => dropped += 1,
            }
        };
        assert_eq!(frame.unwrap().0, number);
    }
    assert!(dropped > 0, "no call was ever dropped");
    soon(feed).await.unwrap();
}

#[tokio::test]
async fn a_wrong_pin_names_both_keys_and_the_remedy() {
    let net = Net::new();
    let wrong = Identity::generate().fingerprint();
    let addr = net.listener.local_addr();
    let (dialled, refused) = soon(async {
        tokio::join!(net.dialer.dial(addr, &wrong), async { net.listener.accept().await.unwrap().establish().await })
    })
    .await;
    let error = dialled.unwrap_err();
    let text = error.to_string();
    let DialError::WrongFingerprint { expected, got, .. } = error else { panic!("{error}") };
    assert_eq!((expected, got), (wrong, net.server.fingerprint()));
    assert!(text.contains(&wrong.to_string()) && text.contains("new join key"), "{text}");
    assert_eq!(refused.unwrap_err(), EstablishError::Gone);
    assert_eq!(net.listener.counters().failed(EstablishError::Gone), 1);
}

#[tokio::test]
async fn dialling_nobody_is_unreachable_or_a_bad_address() {
    let deaf = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dialer = Dialer::new(Identity::generate(), LinkProfile::fleet()).unwrap();
    let pin = Identity::generate().fingerprint();
    let error = soon(dialer.dial(deaf.local_addr().unwrap(), &pin)).await.unwrap_err();
    assert!(matches!(error, DialError::Unreachable { .. }), "{error}");
    for addr in ["127.0.0.1:0", "0.0.0.0:1", "[::]:1"] {
        let error = soon(dialer.dial(addr.parse().unwrap(), &pin)).await.unwrap_err();
        assert!(matches!(error, DialError::BadAddress { .. } | DialError::Socket(_)), "{addr}: {error}");
    }
    dialer.shutdown(Duration::from_secs(1)).await;
    let error = dialer.dial("127.0.0.1:1".parse().unwrap(), &pin).await.unwrap_err();
    assert!(matches!(error, DialError::ShutDown), "{error}");
}

#[tokio::test]
async fn a_full_listener_says_busy_until_a_link_ends() {
    let server = Identity::generate();
    let listener = Listener::bind(crate::ListenConfig { max_links: 1, ..config(&server) }).unwrap();
    let net = Net { listener: listener.into(), dialer: Net::new().dialer, server };
    let first = net.connect().await;
    let busy = async { net.dialer.dial(net.listener.local_addr(), &net.server.fingerprint()).await };
    let error = soon(async {
        tokio::select! {
            outcome = busy => outcome.unwrap_err(),
            _ = net.listener.accept() => panic!("it was full"),
        }
    })
    .await;
    assert!(matches!(error, DialError::Busy { .. }), "{error}");
    assert_eq!(net.listener.counters().refused(), 1);

    first.up.close(CloseCode::Done, "");
    soon(first.server_down.closed()).await;
    drop(first);
    // The writer task gives its part of the place back in its own time.
    until("the place is free", || net.listener.free_places() == 1).await;
    net.connect().await;
}

#[tokio::test]
async fn a_first_frame_that_does_not_come_is_a_timeout() {
    let mut halves = Net::new().connect().await;
    let nothing = halves.server_up.recv_within::<u32>(Duration::from_millis(10)).await;
    assert_eq!(nothing, Err(RecvError::Timeout));
    halves.up.queue(&5_u32).unwrap();
    assert_eq!(soon(halves.server_up.recv::<u32>()).await, Ok(5));
}

#[tokio::test]
async fn no_key_shows_in_any_debug_output() {
    let net = Net::new();
    let config = config(&net.server);
    let halves = net.connect().await;
    let link = soon(async { tokio::join!(net.dial(), accept_one(&net.listener)) }).await.1;
    let secret = net.server.to_pkcs8();
    let shown = format!(
        "{:?} {:?} {config:?} {:?} {:?} {link:?} {:?} {:?}",
        net.server, secret, net.listener, net.dialer, halves.up, halves.down
    );
    let seed = &secret.as_bytes()[16..48];
    let hex: String = seed[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let decimal = format!("{:?}", &seed[..3]);
    for secret in [hex.as_str(), decimal.trim_matches(['[', ']']), "171, 171", "abababab", "81985529216486895", "key:"]
    {
        assert!(!shown.to_lowercase().contains(secret), "{secret} in {shown}");
    }
    assert!(shown.contains(&net.server.fingerprint().to_string()), "{shown}");
}
