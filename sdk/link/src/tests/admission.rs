//! Bounds on unfinished handshakes, over real sockets: who is refused, who must prove an address, who gets in.

use std::time::Duration;

use quinn::{ClientConfig, Connection, Endpoint};

use super::{Net, client_at, soon, until};
use crate::tls::{self, Pinned};
use crate::{
    Attempt, Backoff, DialError, Dialer, FrameReceiver, FrameSender, Identity, LinkProfile, ListenConfig, Listener,
};

/// A dial by a stranger, and the attempt that the listener holds for it.
async fn hold(net: &Net) -> (tokio::task::JoinHandle<Result<crate::Link, DialError>>, Attempt) {
    let dialer = Dialer::new(Identity::generate(), LinkProfile::fleet()).unwrap();
    let (addr, pin) = (net.listener.local_addr(), net.server.fingerprint());
    let dial = tokio::spawn(async move { dialer.dial(addr, &pin).await });
    (dial, soon(net.listener.accept()).await.unwrap())
}

async fn refused(net: &Net) {
    let pin = net.server.fingerprint();
    let dial = net.dialer.dial(net.listener.local_addr(), &pin);
    let error = soon(async {
        tokio::select! {
            outcome = dial => outcome.unwrap_err(),
            _ = net.listener.accept() => panic!("an attempt was let in"),
        }
    })
    .await;
    assert!(matches!(error, DialError::Busy { .. }), "{error}");
}

#[tokio::test]
async fn too_many_handshakes_are_refused_before_cryptography() {
    let net = Net::with(|listener| listener.with_handshakes_max(1));
    let (dial, held) = hold(&net).await;
    refused(&net).await;
    assert_eq!((net.listener.counters().refused(), net.listener.counters().network_refused()), (1, 0));
    drop(held); // not established: refused, and its place is free again
    let error = soon(dial).await.unwrap().unwrap_err();
    assert!(matches!(error, DialError::Busy { .. }), "{error}");
    net.connect().await;
}

/// Of eight handshakes two may be from one network, and one of these two from an address that proved nothing.
#[tokio::test]
async fn retry_begins_at_its_threshold_and_not_below() {
    let net = Net::with(|listener| listener.with_handshakes_max(8));
    let counters = net.listener.counters();
    net.connect().await;
    assert_eq!((counters.attempts(), counters.retried()), (1, 0), "alone, nobody has to prove an address");
    let (dial, held) = hold(&net).await;
    assert_eq!((counters.attempts(), counters.retried()), (2, 0), "the last one below the threshold");
    net.connect().await;
    assert_eq!((counters.attempts(), counters.retried()), (4, 1), "the first one above it");
    drop(held);
    soon(dial).await.unwrap().unwrap_err();
    net.connect().await;
    assert_eq!((counters.attempts(), counters.retried()), (5, 1), "and below it again");
}

/// A proper link from this address that says one byte of its first frame.
async fn say_little(net: &Net, ip: &str) -> (Endpoint, Connection, (FrameSender, FrameReceiver)) {
    let tls = tls::quic_client(&Identity::generate(), Pinned::new(net.server.fingerprint()));
    let endpoint = client_at(ip);
    let dial = async {
        let connecting = endpoint.connect_with(ClientConfig::new(tls), net.listener.local_addr(), "playgate");
        let conn = connecting.unwrap().await.unwrap();
        let (mut send, _recv) = conn.open_bi().await.unwrap();
        send.write_all(&[9]).await.unwrap();
        std::mem::forget(send); // dropped, it would end the stream
        conn
    };
    let serve = async { net.listener.accept().await.unwrap().establish().await.unwrap().split() };
    let (conn, halves) = soon(async { tokio::join!(dial, serve) }).await;
    (endpoint, conn, halves)
}

/// Strangers who finish the handshake and then say one byte, as many as one network may have.
#[tokio::test]
async fn one_network_cannot_hold_the_handshakes_of_all() {
    let net = Net::with(|listener| listener.with_handshakes_max(8));
    let mut strangers = vec![say_little(&net, "127.0.7.1").await, say_little(&net, "127.0.7.2").await];
    assert_eq!(net.listener.unfinished(), 2);

    let tls = tls::quic_client(&Identity::generate(), Pinned::new(net.server.fingerprint()));
    let third = client_at("127.0.7.3");
    let third = third.connect_with(ClientConfig::new(tls), net.listener.local_addr(), "playgate").unwrap();
    let turned_away = soon(async {
        tokio::select! {
            outcome = third => outcome.is_err(),
            _ = net.listener.accept() => false,
        }
    })
    .await;
    assert!(turned_away);
    assert_eq!((net.listener.counters().network_refused(), net.listener.counters().refused()), (1, 0));

    for _ in 0..10 {
        net.connect().await; // from 127.0.0.1, another network; each is introduced at once
    }
    assert_eq!(net.listener.unfinished(), 2);
    let (_, conn, halves) = strangers.pop().unwrap();
    drop((conn, halves));
    until("a stranger who left counts no more", || net.listener.unfinished() == 1).await;
    say_little(&net, "127.0.7.3").await;
}

/// Who opens and closes without end is turned away before quinn has to remember more than twice what may be open.
#[tokio::test]
async fn closed_connections_are_bounded_too() {
    let server = Identity::generate();
    let listener = Listener::bind(ListenConfig { max_links: 3, ..super::config(&server) }).unwrap();
    let net = Net { listener: listener.into(), dialer: Net::new().dialer, server };
    let serve = tokio::spawn({
        let listener = net.listener.clone();
        async move {
            while let Some(attempt) = listener.accept().await {
                drop(attempt.establish().await); // which closes it
            }
        }
    });
    let mut busy = 0;
    for _ in 0..40 {
        match net.dialer.dial(net.listener.local_addr(), &net.server.fingerprint()).await {
            Ok(link) => {
                let (sender, _receiver) = link.split();
                sender.queue(&"hello").unwrap();
                soon(sender.closed()).await;
            }
            Err(DialError::Busy { .. }) => busy += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(net.listener.endpoint().open_connections() <= 6);
    }
    assert!(busy > 0, "forty were opened and closed at once, and six are remembered");
    until("the closed ones are forgotten", || net.listener.endpoint().open_connections() == 0).await;
    serve.abort();
}

/// Everybody behind one address comes back at once, as after a restart of the listener: few at a time are let in, the
/// others are told so at once, back off, and get in too.
#[tokio::test]
async fn a_crowd_from_one_address_takes_turns() {
    const CROWD: u64 = 200;
    let server = Identity::generate();
    let listener = Listener::bind(ListenConfig { max_links: 1_000, ..super::config(&server) }).unwrap();
    let listener = std::sync::Arc::new(listener.with_handshakes_max(16));
    let (addr, pin) = (listener.local_addr(), server.fingerprint());
    let serve = tokio::spawn({
        let listener = listener.clone();
        async move {
            while let Some(attempt) = listener.accept().await {
                let listener = listener.clone();
                tokio::spawn(async move {
                    let Ok(link) = attempt.establish().await else { return };
                    // The first keep their places until somebody was turned away.
                    while listener.counters().network_refused() == 0 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    let (sender, mut receiver) = link.split();
                    if receiver.recv::<u64>().await.is_ok_and(|hello| sender.queue(&hello).is_ok()) {
                        sender.introduced();
                    }
                    sender.closed().await;
                });
            }
        }
    });
    let dialer = std::sync::Arc::new(Dialer::new(Identity::generate(), LinkProfile::fleet()).unwrap());
    let crowd: Vec<_> = (0..CROWD)
        .map(|number| {
            let dialer = dialer.clone();
            tokio::spawn(async move {
                let mut backoff = Backoff::new(number, Duration::from_millis(20), Duration::from_millis(500));
                loop {
                    if let Ok(link) = dialer.dial(addr, &pin).await {
                        let (sender, mut receiver) = link.split();
                        sender.queue(&number).unwrap();
                        if receiver.recv::<u64>().await == Ok(number) {
                            return (sender, receiver);
                        }
                    }
                    tokio::time::sleep(backoff.next()).await;
                }
            })
        })
        .collect();
    let mut links = Vec::new();
    for member in crowd {
        links.push(soon(member).await.unwrap());
    }
    assert_eq!((listener.counters().refused(), listener.unfinished()), (0, 0));
    serve.abort();
}
