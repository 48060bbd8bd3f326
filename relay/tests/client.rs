//! The client's socket and pump, through a real relay.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use playgate_client::player::{Connection, JoinError, connect};
use playgate_client::relay::{RefuseCode, RelayAccess, RelayError, RelaySocket, pump};
use playgate_protocol::handshake::{self, Accept, Challenge, Hello, Proof, Refuse, ReplyBuf};
use playgate_protocol::{Blob, GameSessionId, List, RelayPass, Secret32, Ticket};
use playgate_relay::{RelayConfig, Report};
use playgate_token::HolderKey;
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

/// A server that only knows the handshake, and answers the game's datagrams with themselves.
async fn game_server(refusal: Option<handshake::RefuseCode>) -> std::net::SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let key = HolderKey::from_bytes([6; 32]).server_key();
        let (mut buffer, mut reply) = ([0; 2_048], ReplyBuf::new());
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            if let Some(Hello { nonce, .. }) = Hello::read(&buffer[..len]) {
                Challenge { nonce, server_time_us: 5, mac: [4; 16] }.write(&mut reply);
            } else if let Some(Proof { nonce, server_time_us, .. }) = Proof::read(&buffer[..len]) {
                match refusal {
                    Some(code) => Refuse { nonce, server_time_us, code }.seal(&key, &mut reply),
                    None => Accept { nonce, server_time_us, generation: 1 }.seal(&key, &mut reply),
                }
            } else {
                let _ = socket.send_to(&buffer[..len], from).await;
                continue;
            }
            let _ = socket.send_to(reply.as_slice(), from).await;
        }
    });
    address
}

fn ticket(addresses: &[std::net::SocketAddr], relays: &[RelayAccess]) -> Ticket {
    let pass = |access: &RelayAccess| RelayPass {
        addresses: List::first_of([access.address]),
        pass: Blob::new(access.pass.0.to_vec()).unwrap(),
        flow_key: Secret32::from_bytes([1; 32]), // as `access` makes it for player 1
    };
    Ticket {
        player_session: id(1),
        game_session: GameSessionId::from_bytes([2; 16]),
        addresses: List::new(addresses.to_vec()).unwrap(),
        expires_at_ms: 1,
        bearer: false,
        token: Blob::new(vec![3; 212]).unwrap(),
        holder_key: Secret32::from_bytes([6; 32]),
        relays: List::new(relays.iter().map(pass).collect()).unwrap(),
    }
}

async fn echoes(connection: &Connection) {
    let mut buffer = [0; 2_048];
    connection.send(b"is it me you hear").await.unwrap();
    let len = timeout(PATIENCE, connection.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(&buffer[..len], b"is it me you hear");
}

#[tokio::test]
async fn a_ticket_shows_the_way() {
    let (relay, _reports) = start(config("127.0.0.1:0"));
    let dead = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = game_server(None).await;
    let (alive, dead) = (access(1, relay.local_addr(), server), access(1, dead.local_addr().unwrap(), server));
    for (addresses, relays, through) in [
        (vec![server], vec![], None),
        (vec![], vec![alive.clone()], Some(relay.local_addr())),
        (vec![server], vec![alive.clone()], Some(relay.local_addr())),
    ] {
        let (mut connection, joined) = connect(&ticket(&addresses, &relays), PATIENCE).await.unwrap();
        assert_eq!((connection.relay(), joined.generation), (through, 1), "{addresses:?}, {relays:?}");
        assert_eq!(joined.server, through.unwrap_or(server));
        echoes(&connection).await;
        connection.rejoin(&ticket(&addresses, &relays), PATIENCE).await.unwrap();
        echoes(&connection).await;
        connection.close().await;
    }
    let patience = Duration::from_secs(3);
    let (connection, _) = connect(&ticket(&[server], std::slice::from_ref(&dead)), patience).await.unwrap();
    assert!(matches!(connection, Connection::Direct { server: at, .. } if at == server), "{connection:?}");
    echoes(&connection).await;
    let hidden = connect(&ticket(&[], &[dead]), Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(hidden, JoinError::Relay(RelayError::TimedOut)), "{hidden:?}");
    drop(relay);
}

#[tokio::test]
async fn no_way_leads_around_the_servers_no() {
    let (relay, _reports) = start(config("127.0.0.1:0"));
    let (no, yes) = (game_server(Some(handshake::RefuseCode::Full)).await, game_server(None).await);
    let relays = [access(1, relay.local_addr(), no)];
    let refused = connect(&ticket(&[yes], &relays), PATIENCE).await.unwrap_err();
    assert!(matches!(refused, JoinError::Refused { reason: handshake::RefuseCode::Full }), "{refused:?}");
    drop(relay);
}
