//! What can be done with a key that nobody knows.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use playgate_protocol::frame::FRAME_BYTES_MAX;
use playgate_protocol::{Credential, Greeting, HelloRole, VersionRange};
use quinn::{Connection, Endpoint};

use super::Attack;
use super::client::{Client, PATIENCE, Stream, endpoint, framed, hello};

/// Connections of one attack at a time.
const SIDE_BY_SIDE: usize = 32;
/// The same where each does nothing but wait: more than all networks together may have unfinished.
const WAITING: usize = 600;
/// So many networks take part where one alone would be refused.
const NETWORKS: usize = 4;

fn of_networks() -> io::Result<Vec<Endpoint>> {
    let ip = |network| IpAddr::V4(Ipv4Addr::new(127, 77, network, 1));
    (0..u8::try_from(NETWORKS).expect("few")).map(|network| endpoint(ip(network))).collect()
}

/// Connects once more, for as long as there is time; gives the connection up when `then` is done with it.
async fn again_and_again<F: Future<Output = io::Result<()>>>(
    attack: &Attack,
    from: &Endpoint,
    client: &Client,
    then: impl Fn(Connection, u64) -> F,
) {
    let mut number = 0;
    while attack.go_on() {
        number += 1;
        match client.connect(from, attack.target).await {
            Ok(conn) => {
                if then(conn.clone(), number).await.is_err() || conn.close_reason().is_some() {
                    attack.was_refused();
                }
                conn.close(0_u8.into(), b"");
            }
            Err(_) => {
                attack.was_refused();
                tokio::time::sleep(Duration::from_millis(1)).await; // or it would only be about refusals
            }
        }
    }
}

pub(super) async fn silent_links(attack: &Attack) -> io::Result<()> {
    let endpoints = of_networks()?;
    let client = Client::unknown();
    let work = |attack: Attack, number: usize| {
        let (from, client) = (endpoints[number % NETWORKS].clone(), client.clone());
        async move {
            let wait = |conn: Connection, _| async move {
                conn.closed().await;
                Ok(())
            };
            again_and_again(&attack, &from, &client, wait).await;
        }
    };
    attack.side_by_side(WAITING, work).await;
    Ok(())
}

pub(super) async fn slow_hello(attack: &Attack) -> io::Result<()> {
    let endpoints = of_networks()?;
    let client = Client::unknown();
    let bytes = hello(HelloRole::Operator, Credential::Bound, VersionRange::OURS);
    let work = |attack: Attack, number: usize| {
        let (from, client, bytes) = (endpoints[number % NETWORKS].clone(), client.clone(), bytes.clone());
        async move {
            let drip = |conn: Connection, _| {
                let bytes = bytes.clone();
                async move {
                    let mut stream = Stream::open(&conn).await?;
                    for byte in bytes {
                        stream.write(&[byte]).await?;
                        tokio::time::sleep(Duration::from_millis(100)).await; // the pace of the attack
                    }
                    stream.read::<Greeting>().await.map(drop)
                }
            };
            again_and_again(&attack, &from, &client, drip).await;
        }
    };
    attack.side_by_side(WAITING, work).await;
    Ok(())
}

/// First frames that no coordinator takes.
fn hostile_frames() -> Vec<Vec<u8>> {
    let good = hello(HelloRole::Backend, Credential::Bound, VersionRange::OURS);
    let mut unknown_role = good.clone();
    *unknown_role.last_mut().expect("a hello is not empty") = 99; // the role comes last, and Backend has no fields
    let mut trailing = good.clone();
    trailing.push(0);
    trailing[0] += 1;
    let mut cut = good.clone();
    cut.pop();
    cut[0] -= 1;
    vec![
        hello(HelloRole::Backend, Credential::Bound, VersionRange { min: 900, max: 901 }),
        hello(HelloRole::Backend, Credential::Bound, VersionRange { min: u16::MAX, max: 0 }),
        unknown_role,
        trailing,
        cut,
        vec![0; 4],
        vec![0xff; 8],
        u32::try_from(FRAME_BYTES_MAX + 1).expect("fits").to_le_bytes().to_vec(),
        [&u32::try_from(FRAME_BYTES_MAX).expect("fits").to_le_bytes()[..], &vec![0xff; FRAME_BYTES_MAX]].concat(),
        framed(&"no hello"),
    ]
}

pub(super) async fn hostile_hello(attack: &Attack) -> io::Result<()> {
    let endpoints = of_networks()?;
    let (client, frames) = (Client::unknown(), hostile_frames());
    let work = |attack: Attack, number: usize| {
        let (from, client, frames) = (endpoints[number % NETWORKS].clone(), client.clone(), frames.clone());
        async move {
            let speak = |conn: Connection, round: u64| {
                let frame = frames[(number + usize::try_from(round).unwrap_or(0)) % frames.len()].clone();
                async move {
                    let mut stream = Stream::open(&conn).await?;
                    stream.write(&frame).await?;
                    let _ = stream.read::<Greeting>().await;
                    let _ = tokio::time::timeout(PATIENCE, conn.closed()).await;
                    Ok(())
                }
            };
            again_and_again(&attack, &from, &client, speak).await;
        }
    };
    attack.side_by_side(SIDE_BY_SIDE, work).await;
    Ok(())
}

pub(super) async fn churn(attack: &Attack) -> io::Result<()> {
    let endpoints = of_networks()?;
    let client = Client::unknown();
    let bytes = hello(HelloRole::Backend, Credential::Bound, VersionRange::OURS);
    let work = |attack: Attack, number: usize| {
        let (from, client, bytes) = (endpoints[number % NETWORKS].clone(), client.clone(), bytes.clone());
        async move {
            let knock = |conn: Connection, _| {
                let bytes = bytes.clone();
                async move { Stream::open(&conn).await?.write(&bytes).await }
            };
            again_and_again(&attack, &from, &client, knock).await;
        }
    };
    attack.side_by_side(SIDE_BY_SIDE, work).await;
    Ok(())
}

pub(super) async fn stream_reset(attack: &Attack) -> io::Result<()> {
    let endpoints = of_networks()?;
    // Every second one keeps to the number of streams that it was told.
    let clients = [Client::unknown(), Client::boundless()];
    let work = |attack: Attack, number: usize| {
        let (from, client) = (endpoints[number % NETWORKS].clone(), clients[number / NETWORKS % 2].clone());
        async move {
            let reset = |conn: Connection, _| async move {
                for _ in 0..200 {
                    let mut stream = Stream::open(&conn).await?;
                    stream.write(&[1]).await?;
                    stream.send.reset(7_u8.into()).map_err(io::Error::other)?;
                    stream.recv.stop(7_u8.into()).map_err(io::Error::other)?;
                }
                Ok(())
            };
            again_and_again(&attack, &from, &client, reset).await;
        }
    };
    attack.side_by_side(SIDE_BY_SIDE, work).await;
    Ok(())
}

pub(super) async fn not_allowed(attack: &Attack) -> io::Result<()> {
    let endpoints = of_networks()?;
    let client = Client::boundless();
    let work = |attack: Attack, number: usize| {
        let (from, client) = (endpoints[number % NETWORKS].clone(), client.clone());
        async move {
            let break_a_bound = |conn: Connection, round: u64| async move {
                match round % 3 {
                    0 => conn.send_datagram(Bytes::from_static(&[7; 1_000])).map_err(io::Error::other)?,
                    1 => {
                        let mut stream = conn.open_uni().await.map_err(io::Error::other)?;
                        stream.write_all(&[7; 1_000]).await.map_err(io::Error::other)?;
                    }
                    // Four times the window of a stream, in frames that would be small enough.
                    _ => Stream::open(&conn).await?.write(&[0; 256 * 1_024]).await?,
                }
                let _ = tokio::time::timeout(PATIENCE, conn.closed()).await;
                Ok(())
            };
            again_and_again(&attack, &from, &client, break_a_bound).await;
        }
    };
    attack.side_by_side(SIDE_BY_SIDE, work).await;
    Ok(())
}
