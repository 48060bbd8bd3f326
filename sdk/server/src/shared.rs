//! What the game's threads and the SDK's own thread share.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use playgate_gate::{Gate, GateEvent};
use playgate_protocol::{PlayerSessionId, ServerProcessId};
use tokio::sync::Notify;

use crate::event::Event;
use crate::limits::{LINK_EVENTS_MAX, PLAYER_ADDRESSES_MAX};

pub(crate) struct Shared {
    /// The gate's clock starts here.
    started: Instant,
    /// The gate and what is said around it. Held for one call into the gate, by whichever thread has something to say
    /// or to ask; never across an await, a system call or the game's code.
    state: Mutex<State>,
    /// Wakes the SDK's thread: there is something to send, or to stop for.
    pub(crate) work: Notify,
    /// Wakes who waits for an event.
    pub(crate) news: Notify,
}

pub(crate) struct State {
    /// There is none before the first welcome, which brings its keys, and none after the process was declared ended.
    pub(crate) gate: Option<Gate>,
    /// The process, once it is known.
    pub(crate) process: Option<ServerProcessId>,
    /// Whether the coordinator is reached at this moment.
    pub(crate) link_up: bool,
    /// What the game said before there was a gate to tell.
    pub(crate) ready_ports: Option<Vec<u16>>,
    /// When the game last asked for events.
    pub(crate) polled: Instant,
    /// Set once by a shutdown: the last reports may take until then.
    pub(crate) leave_by: Option<Instant>,
    /// The game has said that it is about to exit.
    pub(crate) is_ending: bool,
    /// The last reports are acknowledged.
    pub(crate) delivered: bool,
    /// The SDK's thread is gone, or never was.
    pub(crate) over: bool,
    /// Where players really are who come through a relay.
    player_addresses: BTreeMap<PlayerSessionId, SocketAddr>,
    link_events: VecDeque<Event>,
    /// What the gate has for the game, and the game has not asked for yet.
    game_events: VecDeque<Event>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        let started = Instant::now();
        let state = State {
            gate: None,
            process: None,
            link_up: false,
            ready_ports: None,
            polled: started,
            leave_by: None,
            is_ending: false,
            delivered: false,
            over: false,
            player_addresses: BTreeMap::new(),
            link_events: VecDeque::new(),
            game_events: VecDeque::new(),
        };
        Self { started, state: Mutex::new(state), work: Notify::new(), news: Notify::new() }
    }

    /// The gate's `now`.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// A moment of the gate's clock as the system's.
    pub(crate) fn instant(&self, at: Duration) -> Instant {
        self.started + at
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside the gate would be a bug; the players who are on the server should not pay for it with a
        // server that panics ever after.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Calls into the gate, if there is one.
    pub(crate) fn gate<T>(&self, call: impl FnOnce(&mut Gate, Duration) -> T) -> Option<T> {
        let mut state = self.lock();
        let now = self.now();
        state.gate.as_mut().map(|gate| call(gate, now))
    }

    /// Tells the game about the link; the oldest news go first where nobody listens.
    pub(crate) fn tell(&self, event: Event) {
        let mut state = self.lock();
        if state.link_events.len() == LINK_EVENTS_MAX {
            state.link_events.pop_front();
        }
        state.link_events.push_back(event);
        drop(state);
        self.news.notify_waiters();
    }

    /// A relay knows where a player is. Of players of earlier game sessions nothing is kept beyond the bound.
    pub(crate) fn player_is_at(&self, player: PlayerSessionId, address: SocketAddr) {
        let mut state = self.lock();
        if state.player_addresses.len() == PLAYER_ADDRESSES_MAX && !state.player_addresses.contains_key(&player) {
            state.player_addresses.pop_first(); // ids sort by age
        }
        state.player_addresses.insert(player, address);
    }

    pub(crate) fn player_address(&self, player: PlayerSessionId) -> Option<SocketAddr> {
        self.lock().player_addresses.get(&player).copied()
    }

    /// The next event; asking for it proves that the game is alive.
    pub(crate) fn poll(&self) -> Option<Event> {
        let mut state = self.lock();
        state.polled = Instant::now();
        state.collect_events(self.now());
        state.link_events.pop_front().or_else(|| state.game_events.pop_front())
    }
}

impl State {
    fn collect_events(&mut self, now: Duration) {
        let Some(gate) = self.gate.as_mut() else { return };
        while let Some(event) = gate.poll_event() {
            self.game_events.push_back(in_the_games_words(event, gate.coordinator_now_ms(now)));
        }
    }

    /// Whether the game still speaks of an earlier game session than the one that is hosted: it has not yet seen that
    /// another took its place, so what it says of "the session" is not meant for that one.
    pub(crate) fn game_is_behind(&mut self, now: Duration) -> bool {
        self.collect_events(now);
        self.game_events.iter().any(|event| matches!(event, Event::StartSession(_)))
    }
}

/// Deadlines are the coordinator's time inside, and the system's monotonic clock towards the game.
fn in_the_games_words(event: GateEvent, coordinator_now_ms: u64) -> Event {
    let by = |by_ms: u64| Instant::now() + Duration::from_millis(by_ms.saturating_sub(coordinator_now_ms).min(DAY_MS));
    match event {
        GateEvent::StartSession(wanted) => Event::StartSession(wanted.into()),
        GateEvent::EndSession { by_ms, .. } => Event::EndSession { by: by(by_ms) },
        GateEvent::Terminate { by_ms } => Event::Terminate { by: by(by_ms) },
        GateEvent::PlayerLeft { player, reason } => Event::PlayerLeft { player, reason },
    }
}

/// A deadline further away is as good as none, and keeps `Instant` arithmetic in range.
const DAY_MS: u64 = 24 * 3_600 * 1_000;
