//! A player whose datagrams an attacker has seen, and who plays on while they are sent again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use playgate_client::relay::FlowState;
use serde::{Deserialize, Serialize};

use crate::payload::{self, VICTIM};
use crate::player::{AMPLE, Player, access};
use crate::servers::Servers;
use crate::world::{Side, World};

const PATIENCE: Duration = Duration::from_secs(20);
/// Datagrams that are captured before the attack.
const CAPTURED: u32 = 64;
const BETWEEN: Duration = Duration::from_millis(20);
/// To the last echo after the last datagram.
const LINGER: Duration = Duration::from_millis(500);

/// What somebody on the path has seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Captured {
    /// The player's address.
    pub from: SocketAddr,
    /// His HELLO.
    pub hello: Vec<u8>,
    /// His OPEN.
    pub open: Vec<u8>,
    /// Datagrams of his flow.
    pub data: Vec<Vec<u8>>,
}

/// How he fared.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Played {
    /// Datagrams to his server.
    pub sent: u64,
    /// Those that came back.
    pub echoed: u64,
    /// Whether his flow is open at the end.
    pub is_open: bool,
}

/// A player who plays until he is told to stop.
pub struct Victim {
    /// Of him, from before the attack.
    pub captured: Captured,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Played>>,
}

impl Victim {
    /// Opens a flow and plays.
    ///
    /// # Errors
    /// When he does not get in; nobody attacks yet.
    pub fn start(world: &World, mark: u64, seed: [u8; 32]) -> io::Result<Self> {
        world.side(Side::Players).within(|| {
            let access = access(VICTIM, Side::Players.relay(), Servers::addresses()[0], AMPLE);
            let (mut player, said) = Player::open(access, seed, PATIENCE)?;
            let (Some(hello), Some(open)) = (said.first().cloned(), said.last().cloned()) else {
                return Err(io::Error::other("a flow that was opened by nothing"));
            };
            let from = SocketAddr::new(Side::Players.address(), player.socket.local_addr()?.port());
            let mut data = Vec::new();
            for sequence in 0..CAPTURED {
                data.push(player.send(&payload::write(mark, VICTIM, sequence))?);
                player.hear(Duration::from_millis(1))?;
            }
            let stop = Arc::new(AtomicBool::new(false));
            let told = Arc::clone(&stop);
            let thread = std::thread::spawn(move || play(player, mark, &told));
            Ok(Self { captured: Captured { from, hello, open, data }, stop, thread })
        })
    }

    /// He stops.
    ///
    /// # Errors
    /// When his socket failed.
    pub fn stop(self) -> io::Result<Played> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the player panicked")))
    }
}

fn play(mut player: Player, mark: u64, stop: &AtomicBool) -> io::Result<Played> {
    let (mut sent, mut echoed, mut sequence) = (0, 0, CAPTURED);
    let is_echo = |heard: Option<Vec<u8>>| heard.is_some_and(|heard| payload::read(mark, &heard).is_some());
    while !stop.load(Ordering::Relaxed) {
        // A flow that is being opened again takes nothing.
        if player.flow.state() == FlowState::Open && player.send(&payload::write(mark, VICTIM, sequence)).is_ok() {
            sent += 1;
            sequence += 1;
        }
        let until = std::time::Instant::now() + BETWEEN;
        while let Some(wait) = until.checked_duration_since(std::time::Instant::now()) {
            echoed += u64::from(is_echo(player.hear(wait)?));
        }
    }
    let until = std::time::Instant::now() + LINGER;
    while let Some(wait) = until.checked_duration_since(std::time::Instant::now()) {
        echoed += u64::from(is_echo(player.hear(wait)?));
    }
    let is_open = player.flow.state() == FlowState::Open;
    player.flow.close();
    while let Some(datagram) = player.flow.poll_transmit() {
        player.socket.send_to(datagram.as_slice(), player.flow.relay())?;
    }
    Ok(Played { sent, echoed, is_open })
}
