//! The client's socket and pump, through a real relay.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use playgate_client::relay::{RefuseCode, RelayError, RelaySocket, pump};
use playgate_relay::{RelayConfig, Report};
use support::*;
use tokio::net::UdpSocket;
use tokio::time::timeout;

async fn say(socket: &RelaySocket, what: &str) -> String {
    let mut buffer = [0; 2_048];
    // Datagrams may be lost, and are while a flow is opened again.
    for _ in 0..50 {
        let _ = socket.send(what.as_bytes()).await;
        if let Ok(len) = timeout(Duration::from_millis(400), socket.recv(&mut buffer)).await {
            let answer = String::from_utf8(buffer[..len.unwrap()].to_vec()).unwrap();
            if answer.ends_with(what) {
                return answer;
            }
        }
    }
    panic!("no answer to {what}")
}

#[tokio::test]
async fn a_relay_socket_speaks_with_the_server_and_survives_the_relay() {
    let first = config("127.0.0.1:0");
    let (relay, _reports) = start(first.clone());
    let at = relay.local_addr();
    let socket = RelaySocket::open(&[access(1, at, server("127.0.0.1:0"))], PATIENCE).await.unwrap();
    say(&socket, "hello").await;
    let longest = [b'x'; 1_432];
    socket.send(&longest).await.unwrap();
    assert!(matches!(socket.send(&[0; 1_433]).await, Err(RelayError::Send(_))));
    drop(relay);
    let (relay, reports) = start(RelayConfig { listen: at, ..first });
    say(&socket, "a sentence that is long enough to be answered by a reset").await;
    socket.close().await;
    let ended = tokio::task::spawn_blocking(move || reports.iter().find(|r| matches!(r, Report::FlowEnded { .. })));
    assert_eq!(timeout(PATIENCE, ended).await.unwrap().unwrap(), Some(Report::FlowEnded { player_session: id(1) }));
    drop(relay);
}

#[tokio::test]
async fn the_first_relay_that_answers_serves() {
    let (relay, _reports) = start(config("127.0.0.1:0"));
    let dead = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = server("127.0.0.1:0");
    let relays = [access(1, dead.local_addr().unwrap(), server), access(1, relay.local_addr(), server)];
    let socket = RelaySocket::open(&relays, Duration::from_secs(4)).await.unwrap();
    assert_eq!(socket.relay(), relay.local_addr());
    say(&socket, "hello").await;
    assert!(matches!(RelaySocket::open(&[], PATIENCE).await, Err(RelayError::NoRelay)));
    assert!(matches!(RelaySocket::open(&relays[..1], Duration::from_millis(300)).await, Err(RelayError::TimedOut)));
}

#[tokio::test]
async fn a_revoked_player_is_told() {
    let (relay, _reports) = start(config("127.0.0.1:0"));
    let socket = RelaySocket::open(&[access(1, relay.local_addr(), server("127.0.0.1:0"))], PATIENCE).await.unwrap();
    relay.revoke(id(1), VALID_UNTIL_MS);
    let error = timeout(PATIENCE, socket.recv(&mut [0; 64])).await.unwrap().unwrap_err();
    assert!(matches!(error, RelayError::Refused(RefuseCode::Revoked)), "{error}");
}

#[tokio::test]
async fn an_unmodified_game_plays_through_the_pump() {
    let (relay, _reports) = start(config("127.0.0.1:0"));
    let socket = RelaySocket::open(&[access(1, relay.local_addr(), server("127.0.0.1:0"))], PATIENCE).await.unwrap();
    let local = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = local.local_addr().unwrap();
    let pumping = tokio::spawn(async move { pump(&local, &socket).await });
    for round in 0..2 {
        let game = UdpSocket::bind("127.0.0.1:0").await.unwrap(); // another port the second time
        game.connect(at).await.unwrap();
        let mut buffer = [0; 2_048];
        game.send(b"status").await.unwrap();
        let len = timeout(PATIENCE, game.recv(&mut buffer)).await.unwrap().unwrap();
        assert!(buffer[..len].ends_with(b" status"), "round {round}");
    }
    pumping.abort();
}
