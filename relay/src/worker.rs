//! One thread: takes batches of datagrams from both sides, asks the core, sends batches.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use playgate_protocol::relay::HEADER_BYTES;
use playgate_protocol::{PlayerSessionId, ServerProcessId, TimeMs};
use playgate_relay_core::{Core, FlowInfo, Now, Output, Secrets, Slot, Verdict, limits::REPLY_BYTES_MAX};
use rustix::event::{Timespec, epoll};

use crate::os::{BATCH, Outgoing, Received, Sender};
use crate::relay::CoreView;
use crate::upstream::Upstreams;

/// Batches taken from players before servers get their turn.
const BATCHES_PER_TURN: usize = 4;
/// Sockets served in one turn.
const EVENTS_PER_TURN: usize = 64;
/// How often the numbers are shown.
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// Which socket is ready: these, or the slot of a flow.
pub(crate) const PLAYERS: u64 = u64::MAX;
pub(crate) const COMMANDS: u64 = u64::MAX - 1;

/// What a relay notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// A player's flow is open, or he has moved.
    PlayerAt {
        /// Whose.
        player_session: PlayerSessionId,
        /// To where.
        process: ServerProcessId,
        /// His address.
        address: SocketAddr,
    },
    /// A flow has ended.
    FlowEnded {
        /// Whose it was.
        player_session: PlayerSessionId,
    },
}

/// What all threads are told.
#[derive(Clone)]
pub(crate) enum Command {
    Secrets(Secrets),
    Revoke(Arc<[(PlayerSessionId, TimeMs)]>),
    Draining(bool),
    /// Coordinator time at a moment.
    Time {
        ms: TimeMs,
        at: Instant,
    },
    /// Show flows, too, from now on or no more.
    ShowFlows(bool),
    Stop,
}

/// One thread's own.
pub(crate) struct Worker {
    pub(crate) core: Core,
    pub(crate) players: UdpSocket,
    pub(crate) poll: OwnedFd,
    pub(crate) upstreams: Upstreams,
    pub(crate) commands: Receiver<Command>,
    pub(crate) wake: Arc<OwnedFd>,
    pub(crate) report: Box<dyn Fn(Report) + Send>,
    pub(crate) view: Arc<Mutex<CoreView>>,
    pub(crate) clock: WorkerClock,
    pub(crate) buffers: Buffers,
}

/// Monotonic time, and the coordinator's.
pub(crate) struct WorkerClock {
    pub(crate) start: Instant,
    /// Coordinator time at a moment.
    pub(crate) known: (TimeMs, Instant),
}

/// Everything that a turn fills, made once.
pub(crate) struct Buffers {
    from_players: Received,
    from_servers: Received,
    forwards: Vec<(Slot, Outgoing)>,
    run: Vec<Outgoing>,
    replies: Vec<u8>,
    reply_list: Vec<Outgoing>,
    sender: Sender,
    shows_flows: bool,
    show_at: Instant,
    lost: u64,
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self {
            from_players: Received::new(0),
            from_servers: Received::new(HEADER_BYTES),
            forwards: Vec::with_capacity(BATCH),
            run: Vec::with_capacity(BATCH),
            replies: Vec::with_capacity(BATCH * REPLY_BYTES_MAX),
            reply_list: Vec::with_capacity(BATCH),
            sender: Sender::new(),
            shows_flows: false,
            show_at: Instant::now(),
            lost: 0,
        }
    }
}

impl WorkerClock {
    fn now(&self) -> Now {
        let now = Instant::now();
        let (ms, at) = self.known;
        let passed = u64::try_from(now.saturating_duration_since(at).as_millis()).unwrap_or(u64::MAX);
        Now { clock: now.saturating_duration_since(self.start), ms: ms.saturating_add(passed) }
    }
}

impl Worker {
    /// Runs until it is told to stop.
    pub(crate) fn run(mut self) {
        let mut events =
            [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; EVENTS_PER_TURN];
        loop {
            let now = self.clock.now();
            let wait = self.core.poll_timeout().saturating_sub(now.clock);
            let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.min(Duration::from_millis(999)).subsec_nanos()) };
            let ready = match epoll::wait(&self.poll, &mut events, Some(&wait)) {
                Ok(ready) => ready,
                Err(rustix::io::Errno::INTR) => 0,
                Err(error) => {
                    tracing::error!(%error, "a relay thread cannot wait for datagrams and stops");
                    return;
                }
            };
            // Commands first: what is revoked is revoked before anything else passes.
            if events[..ready].iter().any(|event| event.data.u64() == COMMANDS) && self.obey() {
                return;
            }
            for event in &events[..ready] {
                match event.data.u64() {
                    PLAYERS => self.serve_players(),
                    COMMANDS => {}
                    slot => self.serve_server(Slot::try_from(slot).expect("slots have 24 bits")),
                }
            }
            let now = self.clock.now();
            self.core.handle_timeout(now);
            self.settle();
            self.show();
        }
    }

    /// Returns whether to stop.
    fn obey(&mut self) -> bool {
        let mut counter = [0; 8];
        let _ = rustix::io::read(&*self.wake, &mut counter);
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Secrets(secrets) => self.core.set_secrets(secrets),
                Command::Revoke(list) => {
                    list.iter().for_each(|(player_session, until_ms)| self.core.revoke(*player_session, *until_ms));
                }
                Command::Draining(is_draining) => self.core.set_draining(is_draining),
                Command::Time { ms, at } => self.clock.known = (ms, at),
                Command::ShowFlows(shows) => self.buffers.shows_flows = shows,
                Command::Stop => return true,
            }
        }
        self.settle();
        false
    }

    fn serve_players(&mut self) {
        for _ in 0..BATCHES_PER_TURN {
            let Ok(count) = self.buffers.from_players.receive(self.players.as_fd()) else { return };
            let now = self.clock.now();
            for n in 0..count {
                self.judge(now, n);
            }
            self.flush_forwards();
            self.flush_replies();
            if count < BATCH {
                return;
            }
        }
    }

    fn judge(&mut self, now: Now, n: usize) {
        let (from, datagram) = self.buffers.from_players.datagram(n);
        let Some(from) = from else { return };
        let verdict = self.core.from_player(now, from, datagram);
        let payload = || Outgoing {
            to: None,
            start: self.buffers.from_players.start(n) + HEADER_BYTES,
            len: datagram.len() - HEADER_BYTES,
        };
        match verdict {
            Verdict::Drop(_) => {}
            Verdict::Forward(slot) => {
                let payload = payload();
                self.buffers.forwards.push((slot, payload));
            }
            Verdict::ForwardAndReply(slot) => {
                let payload = payload();
                self.buffers.forwards.push((slot, payload));
                self.reply(from);
            }
            Verdict::Reply => self.reply(from),
            Verdict::Open { slot, server } => {
                self.change_flows();
                let player = self.core.flow(slot).expect("it was opened just now").player_session;
                match self.upstreams.open(slot, player, server, &self.poll) {
                    Ok(()) => self.reply(from),
                    Err(error) => {
                        // A player causes it, so it is counted: the log would be his to fill.
                        tracing::debug!(%error, "no socket for a flow");
                        self.buffers.lost += 1;
                        self.core.abandon(slot);
                        self.settle();
                    }
                }
            }
            Verdict::Done => self.change_flows(),
        }
    }

    /// A slot is about to mean another flow: what was decided for the one before goes out first, and its socket goes.
    fn change_flows(&mut self) {
        self.flush_forwards();
        self.settle();
    }

    fn reply(&mut self, to: SocketAddr) {
        let start = self.buffers.replies.len();
        self.buffers.replies.extend_from_slice(self.core.reply());
        self.buffers.reply_list.push(Outgoing { to: Some(to), start, len: self.core.reply().len() });
    }

    /// What goes to one server leaves together; the order within a flow stays.
    fn flush_forwards(&mut self) {
        let Buffers { forwards, run, sender, from_players, lost, .. } = &mut self.buffers;
        // No two are equal, and a stable sort would allocate.
        forwards.sort_unstable_by_key(|(slot, payload)| (*slot, payload.start));
        for flow in forwards.chunk_by(|one, other| one.0 == other.0) {
            let Some(socket) = self.upstreams.get(flow[0].0) else { continue };
            run.clear();
            run.extend(flow.iter().map(|(_, payload)| *payload));
            *lost += sender.send(socket, from_players.bytes(), run).lost;
        }
        forwards.clear();
    }

    fn flush_replies(&mut self) {
        let Buffers { replies, reply_list, sender, lost, .. } = &mut self.buffers;
        *lost += sender.send(self.players.as_fd(), replies, reply_list).lost;
        replies.clear();
        reply_list.clear();
    }

    fn serve_server(&mut self, slot: Slot) {
        let Some(socket) = self.upstreams.get(slot) else { return };
        let Buffers { from_servers, run, sender, lost, .. } = &mut self.buffers;
        // An error is one that the network reports for something sent before; reading it has cleared it.
        let Ok(count) = from_servers.receive(socket) else { return };
        run.clear();
        for n in 0..count {
            let datagram = from_servers.with_headroom(n);
            let len = datagram.len();
            if let Some(to) = self.core.to_player(slot, datagram) {
                run.push(Outgoing { to: Some(to), start: from_servers.start(n), len });
            }
        }
        *lost += sender.send(self.players.as_fd(), from_servers.bytes(), run).lost;
    }

    /// Does what the core wants besides.
    fn settle(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::PlayerAt { player_session, process, address } => {
                    (self.report)(Report::PlayerAt { player_session, process, address });
                }
                Output::Closed(closed) => {
                    self.upstreams.close(closed.slot);
                    (self.report)(Report::FlowEnded { player_session: closed.player_session });
                }
                Output::Send { to, datagram } => {
                    // Nobody resends it: who misses it is told by a RESET.
                    let _ = self.players.send_to(datagram.as_slice(), to);
                }
            }
        }
    }

    fn show(&mut self) {
        let now = Instant::now();
        if now < self.buffers.show_at {
            return;
        }
        self.buffers.show_at = now + SHOW_EVERY;
        let mut view = self.view.lock().expect("nobody panics while holding it");
        view.counters = *self.core.counters();
        view.flows = self.core.flows();
        view.lost = self.buffers.lost;
        view.flow_list.clear();
        if self.buffers.shows_flows {
            let flows: Vec<FlowInfo> = (0..self.upstreams.slots()).filter_map(|slot| self.core.flow(slot)).collect();
            view.flow_list = flows;
        }
    }
}
