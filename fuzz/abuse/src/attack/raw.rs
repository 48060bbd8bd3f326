//! Datagrams that no QUIC stack sends, or that it sends and then falls silent.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use playgate_link::Identity;
use quinn_proto::{Endpoint, EndpointConfig};

use super::{Attack, Noise, client};

/// The size below which a first packet is dropped (RFC 9000, section 14.1).
const INITIAL_BYTES: usize = 1_200;
/// Sent in one go, before the answers are looked at.
const BATCH: usize = 32;

fn sockets(ips: impl IntoIterator<Item = Ipv4Addr>) -> io::Result<Vec<UdpSocket>> {
    let open = |ip| {
        let socket = UdpSocket::bind((ip, 0))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    ips.into_iter().map(open).collect()
}

pub(super) fn ports_of_one_address() -> io::Result<Vec<UdpSocket>> {
    sockets([Ipv4Addr::LOCALHOST; 64])
}

/// Two in each of 256 networks.
pub(super) fn addresses_of_many_networks() -> io::Result<Vec<UdpSocket>> {
    sockets((0..=255).flat_map(|network| (1..=2).map(move |host| Ipv4Addr::new(127, 66, network, host))))
}

/// Sends as fast as the kernel takes them. What it does not take, and answers, are dropped.
async fn flood(attack: &Attack, mut make: impl FnMut(&mut Noise, &mut Vec<u8>)) -> io::Result<()> {
    let sockets = sockets([Ipv4Addr::LOCALHOST; 8])?;
    let mut noise = Noise::new(attack.seed);
    let (mut datagram, mut answer) = (Vec::new(), [0; 2_048]);
    loop {
        for _ in 0..BATCH {
            if !attack.go_on() {
                return Ok(());
            }
            datagram.clear();
            make(&mut noise, &mut datagram);
            let socket = &sockets[noise.below(sockets.len())];
            let _ = socket.send_to(&datagram, attack.target);
            while socket.recv(&mut answer).is_ok() {
                attack.was_refused();
            }
        }
        tokio::task::yield_now().await;
    }
}

pub(super) async fn random_datagrams(attack: &Attack) -> io::Result<()> {
    let make = |noise: &mut Noise, datagram: &mut Vec<u8>| {
        datagram.resize(noise.below(1_400), 0);
        noise.fill(datagram);
    };
    flood(attack, make).await
}

/// RFC 9000, section 17.2.2, as far as anyone can write it who knows no key.
pub(super) async fn garbage_initials(attack: &Attack) -> io::Result<()> {
    let make = |noise: &mut Noise, datagram: &mut Vec<u8>| {
        datagram.resize(INITIAL_BYTES, 0);
        noise.fill(datagram);
        datagram[0] = 0xc0 | datagram[0] & 0x0f;
        datagram[1..6].copy_from_slice(&[0, 0, 0, 1, 20]);
        datagram[26] = 8; // length of the source connection id
        datagram[35] = 0; // no token
        let rest = u16::try_from(INITIAL_BYTES - 38).expect("fits") | 0x4000;
        datagram[36..38].copy_from_slice(&rest.to_be_bytes());
    };
    flood(attack, make).await
}

pub(super) async fn version_probes(attack: &Attack) -> io::Result<()> {
    let make = |noise: &mut Noise, datagram: &mut Vec<u8>| {
        datagram.resize(INITIAL_BYTES, 0);
        noise.fill(datagram);
        datagram[0] |= 0xc0;
        datagram[1..6].copy_from_slice(&[0x1a, 0x2a, 0x3a, 0x4a, 8]);
        datagram[14] = 8;
    };
    flood(attack, make).await
}

/// Real first packets, each of a connection of its own, that nobody goes on with.
pub(super) async fn half_open(attack: &Attack, sockets: Vec<UdpSocket>) -> io::Result<()> {
    let config = client::Client::with(&Identity::generate(), false).config();
    let mut answer = [0; 2_048];
    'all: loop {
        // An endpoint remembers its connections; anew for each batch, it forgets them.
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None);
        for _ in 0..BATCH {
            if !attack.go_on() {
                break 'all;
            }
            let number = attack.attempts.load(std::sync::atomic::Ordering::Relaxed);
            let socket = &sockets[usize::try_from(number).unwrap_or(0) % sockets.len()];
            let now = Instant::now();
            let connected = endpoint.connect(now, config.clone(), attack.target, "playgate");
            let (_, mut connection) = connected.map_err(io::Error::other)?;
            let mut datagram = Vec::new();
            if connection.poll_transmit(now, 1, &mut datagram).is_some() {
                let _ = socket.send_to(&datagram, attack.target);
            }
            while let Ok(len) = socket.recv(&mut answer) {
                // A Retry or a close; the coordinator's part of a handshake is longer.
                if len < 400 {
                    attack.was_refused();
                }
            }
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}
