//! The handle that a game holds.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use playgate_gate::{ActivateError, Admission, Counters, Gate, RefuseReason, ReplyBuf, Verdict};
use playgate_protocol::{PlayerSessionId, ServerProcessId};

use crate::config::Config;
use crate::event::Event;
use crate::limits::DROP_TIME_MAX;
use crate::shared::Shared;
use crate::thread::{LinkThread, StartError};

/// A game server as the fleet knows it: announces itself, learns what to host, decides who may play.
///
/// Cheap to clone; every clone speaks for the same process, from any thread. No call waits for the network, except
/// [`Server::shutdown`]. Without a coordinator in reach everything works that needs no new decision: players with a
/// ticket are admitted, those who come back are known, and all that happens is reported later.
///
/// Dropping the last clone says goodbye as [`Server::shutdown`] does, and blocks for up to 2 s.
#[derive(Clone)]
pub struct Server(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    /// Taken by whoever ends the thread; held for that long, so that a second caller waits as well.
    thread: Mutex<Option<LinkThread>>,
}

impl Server {
    /// Starts the SDK's thread, which dials the coordinator and goes on dialling, and returns at once.
    ///
    /// # Errors
    /// [`StartError`] when the system gives no thread or no UDP socket. That the coordinator cannot be reached is no
    /// error; see [`Event::LinkUp`] and [`Event::LinkRefused`].
    pub fn start(config: Config) -> Result<Self, StartError> {
        let shared = Arc::new(Shared::new());
        let thread = LinkThread::start(config, shared.clone())?;
        Ok(Self(Arc::new(Handle { shared, thread: Mutex::new(Some(thread)) })))
    }

    /// Says that the process can host a game session, and on which ports players reach it, theirs first. May be said
    /// before the coordinator is reached. At most 8 ports.
    pub fn ready(&self, ports: &[u16]) {
        let mut state = self.0.shared.lock();
        state.ready_ports = Some(ports.to_vec());
        let now = self.0.shared.now();
        if let Some(gate) = state.gate.as_mut() {
            gate.ready(now, ports);
        }
        drop(state);
        self.0.shared.work.notify_one();
    }

    /// The next event, if there is one. Call it once a tick until it returns `None`: unless
    /// [`Config::on_health`] is set, it is also how the SDK knows that the game is alive.
    #[must_use]
    pub fn poll(&self) -> Option<Event> {
        self.0.shared.poll()
    }

    /// Waits for the next event; `None` once the server is shut down. Cancel-safe. Waiting counts as polling, as long
    /// as the runtime it waits on turns.
    pub async fn next_event(&self) -> Option<Event> {
        loop {
            let news = self.0.shared.news.notified();
            if let Some(event) = self.poll() {
                return Some(event);
            }
            if self.0.shared.lock().over {
                return None;
            }
            news.await;
        }
    }

    /// Says that the game session is loaded; from here on players are admitted.
    ///
    /// # Errors
    /// There is no game session to activate any more: it was ended or placed elsewhere while the game loaded it.
    pub fn activate(&self) -> Result<(), ActivateError> {
        self.tell_of_session(|gate, now| gate.activate(now)).unwrap_or(Err(ActivateError::NoSession))
    }

    /// Judges one datagram of the game's own socket. [`Verdict::NotOurs`] is for the game; everything else was part of
    /// a handshake. In any case send what is in `reply` to `from`, unless it is empty.
    ///
    /// Before the first [`Event::LinkUp`] nothing is recognised, since the keys come with it.
    pub fn handle(&self, from: SocketAddr, datagram: &[u8], reply: &mut ReplyBuf) -> Verdict {
        let Some(verdict) = self.0.shared.gate(|gate, now| gate.handle(now, from, datagram, reply)) else {
            reply.clear();
            return Verdict::NotOurs;
        };
        if matches!(verdict, Verdict::Admitted(_)) {
            self.0.shared.work.notify_one();
        }
        verdict
    }

    /// Admits a bare token that came over the game's own secure transport, for fleets that allow it
    /// ([`GameSession::bearer`](crate::GameSession::bearer)). `connection` is the game's own number for the connection,
    /// so that the same connection may present its token twice.
    ///
    /// # Errors
    /// Why not. Tell the player only that it was refused.
    pub fn admit(&self, connection: u64, token: &[u8]) -> Result<Admission, RefuseReason> {
        self.tell(|gate, now| gate.admit(now, connection, token)).unwrap_or(Err(RefuseReason::NoSession))
    }

    /// The player's connection broke; the slot is kept for the fleet's rejoin grace, then [`Event::PlayerLeft`] comes.
    pub fn disconnected(&self, player: PlayerSessionId) {
        self.tell(|gate, now| gate.disconnected(now, player));
    }

    /// The player left for good; the slot is free at once and the ticket is void.
    pub fn leave(&self, player: PlayerSessionId) {
        self.tell(|gate, now| gate.leave(now, player));
    }

    /// Where a player who comes through a relay really is: what he has proven to the relay, as the coordinator says.
    /// `None` for others, and until it is known, which may be after he has joined.
    #[must_use]
    pub fn player_address(&self, player: PlayerSessionId) -> Option<SocketAddr> {
        self.0.shared.player_address(player)
    }

    /// The game session is over, and its players with it. The process may get another one.
    pub fn end_session(&self) {
        self.tell_of_session(|gate, now| gate.end_session(now));
    }

    /// Says that the process is about to exit, so that its exit is no crash. Nobody is admitted from here on.
    /// [`Server::shutdown`] says it too; say it early when saving takes time.
    pub fn ending(&self) {
        self.0.shared.lock().is_ending = true;
        self.tell(|gate, now| gate.ending(now));
    }

    /// Says *ending*, delivers the last reports, closes the link and ends the SDK's thread: the last thing before the
    /// process exits. Waits for `timeout` at most, and true means that the coordinator has everything.
    ///
    /// Blocks the calling thread; from async code use `tokio::task::spawn_blocking`.
    pub fn shutdown(&self, timeout: Duration) -> bool {
        self.0.shutdown(timeout)
    }

    /// Which process this is; none before the coordinator was first reached.
    #[must_use]
    pub fn process(&self) -> Option<ServerProcessId> {
        self.0.shared.lock().process
    }

    /// Whether the coordinator is reached at this moment.
    #[must_use]
    pub fn link_is_up(&self) -> bool {
        self.0.shared.lock().link_up
    }

    /// Players that hold a slot, those included that may come back.
    #[must_use]
    pub fn active_players(&self) -> usize {
        self.0.shared.gate(|gate, _| gate.active_players()).unwrap_or(0)
    }

    /// What was admitted and refused so far, by reason; none before the coordinator was first reached.
    #[must_use]
    pub fn counters(&self) -> Option<Counters> {
        self.0.shared.gate(|gate, _| gate.counters().clone())
    }

    /// As `tell`, unless the session that the game speaks of is gone already and another in its place.
    fn tell_of_session<T>(&self, call: impl FnOnce(&mut Gate, Duration) -> T) -> Option<T> {
        let mut state = self.0.shared.lock();
        let now = self.0.shared.now();
        if state.game_is_behind(now) {
            return None;
        }
        let answer = state.gate.as_mut().map(|gate| call(gate, now));
        drop(state);
        self.0.shared.work.notify_one();
        answer
    }

    /// Calls into the gate and wakes the thread that reports what came of it.
    fn tell<T>(&self, call: impl FnOnce(&mut Gate, Duration) -> T) -> Option<T> {
        let answer = self.0.shared.gate(call);
        self.0.shared.work.notify_one();
        answer
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("process", &self.process()).finish_non_exhaustive()
    }
}

impl Handle {
    fn shutdown(&self, timeout: Duration) -> bool {
        let by = Instant::now() + timeout;
        let mut thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            self.leave(by);
            thread.join(by);
            self.shared.news.notify_waiters();
        }
        self.shared.lock().delivered
    }

    fn leave(&self, by: Instant) {
        let mut state = self.shared.lock();
        state.leave_by = Some(by);
        let now = self.shared.now();
        if let Some(gate) = state.gate.as_mut() {
            gate.ending(now);
        }
        drop(state);
        self.shared.work.notify_one();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shutdown(DROP_TIME_MAX);
    }
}
