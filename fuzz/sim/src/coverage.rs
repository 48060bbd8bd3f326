//! Which fault met which state: the simulator's own report card.

use std::fmt;

use playgate_protocol::api::{GameSessionStatus, PlayerSessionStatus, ProcessStatus};

use crate::world::World;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// For tables.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

named! {
    /// Everything that goes wrong.
    Fault {
        /// Killed between two inputs.
        CoordinatorCrash = "coordinator crash",
        /// Killed while a batch is on its way to the disk.
        CrashInBatch = "crash in a batch",
        /// The disk refuses to sync.
        SyncFails = "sync fails",
        /// A second and more for each sync.
        SlowDisk = "slow disk",
        /// No sync succeeds for a while: the coordinator starts again and again.
        DiskFull = "disk full",
        /// New facts are refused.
        DiskLow = "disk nearly full",
        /// SIGSTOP.
        CoordinatorPause = "coordinator paused",
        /// The machine slept.
        CoordinatorSleep = "coordinator asleep",
        /// The wall clock is stepped ahead, and the coordinator restarts.
        WallAhead = "wall clock ahead",
        /// The wall clock is stepped back, and the coordinator restarts.
        WallBack = "wall clock back",
        /// A further signing key comes into the key file, and the coordinator restarts.
        KeyRotation = "key rotation",
        /// The oldest signing key is taken out of the key file, and the coordinator restarts.
        KeyWithdrawn = "key withdrawn",
        /// One link.
        LinkBreak = "link breaks",
        /// One link, towards the coordinator.
        StallUp = "link stalls up",
        /// One link, from the coordinator.
        StallDown = "link stalls down",
        /// A site, in both directions.
        Partition = "site cut off",
        /// A site, in one direction.
        PartitionOneWay = "site cut one way",
        /// Killed.
        AgentCrash = "agent crash",
        /// SIGSTOP.
        AgentPause = "agent paused",
        /// Its machine slept.
        AgentClock = "agent clock jumps",
        /// The agent cannot save its reports.
        AgentDiskFull = "agent disk full",
        /// Everything on it.
        HostReboot = "host reboots",
        /// Killed.
        ServerCrash = "server crash",
        /// SIGSTOP, or a very long frame.
        ServerPause = "server paused",
        /// Its machine slept, or its clock stood still.
        ServerClock = "server clock jumps",
        /// Bad health.
        ServerSick = "server unwell",
        /// No datagram passes.
        UdpCut = "datagrams cut",
        /// The network doubled a datagram.
        DatagramTwice = "datagram twice",
        /// A player's address changes.
        PlayerRebind = "player rebinds",
        /// A replay or a forgery.
        Hostile = "hostile datagram",
        /// A legal message that is not true.
        Byzantine = "byzantine message",
        /// A stranger, or somebody with another's credential.
        Stranger = "stranger",
    }
}

named! {
    /// What the fleet is doing meanwhile.
    State {
        /// A session waits for a process.
        Placing = "placing",
        /// A session is loaded.
        Activating = "activating",
        /// A session takes players.
        Active = "active",
        /// A session is being ended.
        Terminating = "terminating",
        /// A slot is held by an unused token.
        Reserved = "reserved",
        /// A player is in.
        Playing = "playing",
        /// A revocation awaits its answer.
        Revoking = "revoking",
        /// A process starts.
        Launching = "launching",
        /// A process is idle.
        Ready = "ready",
        /// A process is asked to end.
        Draining = "draining",
        /// A batch is on its way to the disk.
        Syncing = "syncing",
        /// A server has no link.
        Unlinked = "unlinked",
        /// The coordinator is down.
        Down = "coord. down",
    }
}

/// How often each fault met each state.
#[derive(Debug, Clone)]
pub struct Coverage {
    pairs: Vec<[u64; State::ALL.len()]>,
    faults: Vec<u64>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self { pairs: vec![[0; State::ALL.len()]; Fault::ALL.len()], faults: vec![0; Fault::ALL.len()] }
    }
}

impl Coverage {
    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        for (row, more) in self.pairs.iter_mut().zip(&other.pairs) {
            row.iter_mut().zip(more).for_each(|(count, more)| *count += more);
        }
        self.faults.iter_mut().zip(&other.faults).for_each(|(count, more)| *count += more);
    }

    /// Faults of a kind.
    #[must_use]
    pub fn count(&self, fault: Fault) -> u64 {
        self.faults[fault as usize]
    }

    /// All faults.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.faults.iter().sum()
    }

    /// Pairs that were not hit.
    pub fn missed(&self) -> impl Iterator<Item = (Fault, State)> + '_ {
        let pairs = Fault::ALL.iter().flat_map(|fault| State::ALL.iter().map(move |state| (*fault, *state)));
        pairs.filter(|(fault, state)| self.pairs[*fault as usize][*state as usize] == 0)
    }

    /// Pairs that were hit, of how many.
    #[must_use]
    pub fn pairs_hit(&self) -> (usize, usize) {
        let all = Fault::ALL.len() * State::ALL.len();
        (self.pairs.iter().flatten().filter(|count| **count > 0).count(), all)
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<20}{:>9}", "fault", "times")?;
        State::ALL.iter().try_for_each(|state| write!(f, "{:>12}", state.as_str()))?;
        writeln!(f)?;
        for fault in Fault::ALL {
            write!(f, "{:<20}{:>9}", fault.as_str(), self.count(*fault))?;
            self.pairs[*fault as usize].iter().try_for_each(|count| write!(f, "{count:>12}"))?;
            writeln!(f)?;
        }
        let (hit, all) = self.pairs_hit();
        writeln!(f, "{hit} of {all} pairs were hit")?;
        self.missed().try_for_each(|(fault, state)| writeln!(f, "not hit: {} while {}", fault.as_str(), state.as_str()))
    }
}

impl World {
    /// A fault happens: which states does it meet?
    pub(crate) fn meet(&mut self, fault: Fault) {
        let mut states = [false; State::ALL.len()];
        let mem = &self.coordinator.mem;
        for row in mem.sessions.values() {
            match row.status {
                GameSessionStatus::Placing => states[State::Placing as usize] = true,
                GameSessionStatus::Activating => states[State::Activating as usize] = true,
                GameSessionStatus::Active => states[State::Active as usize] = true,
                GameSessionStatus::Terminating => states[State::Terminating as usize] = true,
                GameSessionStatus::Terminated => {}
            }
        }
        for row in mem.players.values().filter(|row| row.ended_ms.is_none()) {
            states[State::Revoking as usize] |= row.revoking;
            states[State::Reserved as usize] |= row.status == PlayerSessionStatus::Reserved;
            states[State::Playing as usize] |= row.status == PlayerSessionStatus::Active;
        }
        for row in mem.processes.values() {
            match row.status {
                ProcessStatus::Launching | ProcessStatus::Connected => states[State::Launching as usize] = true,
                ProcessStatus::Ready => states[State::Ready as usize] = true,
                ProcessStatus::Draining => states[State::Draining as usize] = true,
                ProcessStatus::Hosting | ProcessStatus::Ended => {}
            }
        }
        states[State::Syncing as usize] = self.coordinator.batch_in_flight();
        states[State::Down as usize] = self.coordinator.core.is_none();
        states[State::Unlinked as usize] =
            self.servers.iter().any(|server| server.alive && !matches!(server.line, crate::server::Line::Up(_)));
        self.coverage.faults[fault as usize] += 1;
        for (count, met) in self.coverage.pairs[fault as usize].iter_mut().zip(states) {
            *count += u64::from(met);
        }
    }
}
