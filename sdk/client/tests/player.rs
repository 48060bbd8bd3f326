//! A player's attempts against a server that only knows the handshake. What a real server decides is tested with the
//! server SDK.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use playgate_client::Ticket;
use playgate_client::player::{self, JoinError, RefuseCode, TicketUnusable};
use playgate_protocol::handshake::{Accept, Challenge, Hello, Proof, Refuse, ReplyBuf};
use playgate_protocol::{Blob, GameSessionId, List, PlayerSessionId, Secret32};
use playgate_token::HolderKey;
use tokio::net::UdpSocket;

const TIMEOUT: Duration = Duration::from_secs(15);
const HOLDER_KEY: [u8; 32] = [6; 32];

fn ticket(addresses: &[SocketAddr]) -> Ticket {
    Ticket {
        player_session: PlayerSessionId::from_bytes([1; 16]),
        game_session: GameSessionId::from_bytes([2; 16]),
        addresses: List::new(addresses.to_vec()).unwrap(),
        expires_at_ms: 1,
        bearer: false,
        token: Blob::new(vec![3; 212]).unwrap(),
        holder_key: Secret32::from_bytes(HOLDER_KEY),
        relays: List::default(),
    }
}

/// Answers handshakes for ever; sends `early` before each answer to a proof, and refuses if `refusal` says so.
async fn serve(socket: UdpSocket, early: usize, refusal: Option<RefuseCode>) {
    let key = HolderKey::from_bytes(HOLDER_KEY).server_key();
    let (mut buffer, mut reply) = ([0; 2048], ReplyBuf::new());
    loop {
        let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
        if let Some(hello) = Hello::read(&buffer[..len]) {
            Challenge { nonce: hello.nonce, server_time_us: 5, mac: [4; 16] }.write(&mut reply);
        } else if let Some(Proof { nonce, server_time_us, .. }) = Proof::read(&buffer[..len]) {
            for number in 0..early {
                socket.send_to(format!("game {number}").as_bytes(), from).await.unwrap();
            }
            match refusal {
                Some(code) => Refuse { nonce, server_time_us, code }.seal(&key, &mut reply),
                None => Accept { nonce, server_time_us, generation: 1 }.seal(&key, &mut reply),
            }
        }
        socket.send_to(reply.as_slice(), from).await.unwrap();
    }
}

async fn server(early: usize, refusal: Option<RefuseCode>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    tokio::spawn(serve(socket, early, refusal));
    addr
}

/// An address where nobody answers.
fn nobody() -> (std::net::UdpSocket, SocketAddr) {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

#[tokio::test]
async fn the_first_address_that_answers_serves() {
    let (_silent, silent) = nobody();
    let closed = nobody().1; // its socket is gone, so the system says that the port is closed
    let addr = server(0, None).await;
    for addresses in [vec![addr], vec![silent, addr], vec![closed, addr], vec!["[::1]:1".parse().unwrap(), addr]] {
        let (_, joined) = player::join(&ticket(&addresses), Duration::from_secs(5)).await.unwrap();
        assert_eq!((joined.server, joined.generation), (addr, 1), "{addresses:?}");
    }
}

#[tokio::test]
async fn what_the_game_says_first_is_kept() {
    let addr = server(40, None).await;
    let (_, joined) = player::join(&ticket(&[addr]), TIMEOUT).await.unwrap();
    assert_eq!(joined.early.len(), 32);
    assert_eq!(joined.early[0], b"game 0");

    for nonblocking in [false, true] {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(nonblocking).unwrap();
        let blocking = tokio::task::spawn_blocking(move || player::join_blocking(&socket, &ticket(&[addr]), TIMEOUT));
        assert_eq!(blocking.await.unwrap().unwrap().early[1], b"game 1");
    }
}

#[tokio::test]
async fn a_refusal_and_silence_are_two_things() {
    let addr = server(0, Some(RefuseCode::Full)).await;
    let refused = player::join(&ticket(&[addr]), TIMEOUT).await.unwrap_err();
    assert!(matches!(refused, JoinError::Refused { reason: RefuseCode::Full }), "{refused:?}");

    let (_silent, silent) = nobody();
    let silence = player::join(&ticket(&[silent]), Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(silence, JoinError::TimedOut), "{silence:?}");
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let blocking = move || player::join_blocking(&socket, &ticket(&[silent]), Duration::from_millis(300));
    let silence = tokio::task::spawn_blocking(blocking).await.unwrap().unwrap_err();
    assert!(matches!(silence, JoinError::TimedOut), "{silence:?}");
}

#[tokio::test]
async fn a_ticket_that_cannot_be_shown_is_no_matter_of_time() {
    let unusable = player::join(&ticket(&[]), TIMEOUT).await.unwrap_err();
    assert!(matches!(unusable, JoinError::BadTicket(TicketUnusable::NoAddress)), "{unusable:?}");
    let mut empty = ticket(&["127.0.0.1:9".parse().unwrap()]);
    empty.token = Blob::default();
    let unusable = player::join(&empty, TIMEOUT).await.unwrap_err();
    assert!(matches!(unusable, JoinError::BadTicket(TicketUnusable::NoToken)), "{unusable:?}");
}
