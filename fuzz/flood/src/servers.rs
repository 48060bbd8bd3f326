//! Game servers that send everything back, and judge it: who said it, whether before, and whether from one place.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::payload::{self, GREEDY};
use crate::world::{Side, World};

const PORTS: [u16; 2] = [7_001, 7_002];
const LOOK_UP: Duration = Duration::from_millis(50);

/// What the servers of a run have heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Heard {
    /// Of honest players.
    pub honest: u64,
    /// Of the player who keeps to no rate.
    pub greedy: u64,
    /// Of nobody who may speak, or changed on the way.
    pub foreign: u64,
    /// Of honest players, and heard before.
    pub twice: u64,
    /// Of honest players, from another address or port than before.
    pub from_elsewhere: u64,
}

/// Servers that run.
pub struct Servers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Heard>>,
}

impl Servers {
    /// `mark` is in all that may reach them.
    ///
    /// # Errors
    /// When a port is taken.
    pub fn start(world: &World, mark: u64) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = Self::addresses().into_iter().map(|at| {
            let stop = Arc::clone(&stop);
            world.side(Side::Servers).within(|| {
                let socket = UdpSocket::bind(at)?;
                socket.set_read_timeout(Some(LOOK_UP))?;
                Ok(std::thread::spawn(move || serve(&socket, mark, &stop)))
            })
        });
        let threads = threads.collect::<io::Result<_>>()?;
        Ok(Self { stop, threads })
    }

    /// Where they are.
    #[must_use]
    pub fn addresses() -> [SocketAddr; 2] {
        PORTS.map(|port| SocketAddr::new(Side::Servers.address(), port))
    }

    /// Stops them, once nothing more comes.
    #[must_use]
    pub fn stop(self) -> Heard {
        self.stop.store(true, Ordering::Relaxed);
        let heard = self.threads.into_iter().map(|thread| thread.join().expect("a server does not panic"));
        heard.fold(Heard::default(), |one, other| Heard {
            honest: one.honest + other.honest,
            greedy: one.greedy + other.greedy,
            foreign: one.foreign + other.foreign,
            twice: one.twice + other.twice,
            from_elsewhere: one.from_elsewhere + other.from_elsewhere,
        })
    }
}

fn serve(socket: &UdpSocket, mark: u64, stop: &AtomicBool) -> Heard {
    let (mut heard, mut seen, mut places) = (Heard::default(), BTreeSet::new(), BTreeMap::new());
    let mut buffer = [0; 2_048];
    loop {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else {
            if stop.load(Ordering::Relaxed) {
                return heard;
            }
            continue;
        };
        match payload::read(mark, &buffer[..len]) {
            None => {
                heard.foreign += 1;
                continue;
            }
            Some((GREEDY, _)) => heard.greedy += 1,
            Some((player, sequence)) => {
                heard.honest += 1;
                heard.twice += u64::from(!seen.insert((player, sequence)));
                heard.from_elsewhere += u64::from(*places.entry(player).or_insert(from) != from);
            }
        }
        let _ = socket.send_to(&buffer[..len], from); // as good as lost on the way
    }
}
