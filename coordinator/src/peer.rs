//! One task per link: frames in, frames out, nothing decided.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use playgate_core::{CloseWhy, Input, LinkId, Output, Welcomed};
use playgate_link::{Attempt, CloseCode, FrameReceiver, FrameSender, QueueError, RecvError};
use playgate_protocol::agent::AgentDown;
use playgate_protocol::api::{Answer, ApiDown, BackendCall, BackendUp, OperatorCall, OperatorUp};
use playgate_protocol::limits::PAGE_MAX;
use playgate_protocol::relay::{RelayDown, RelayUp};
use playgate_protocol::{Credential, Greeting, Hello, List, TimeMs, Welcome, WelcomeRole};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use crate::mint::Minter;

/// First frame of a peer must be there within this time.
const HELLO_WITHIN: Duration = Duration::from_secs(2);
/// Outputs that wait for a link's task, which takes them whatever else it waits for. One commit can release as many as
/// one busy backend has calls open; room that is not used takes no memory.
const OUTBOX_MAX: usize = 65_536;
/// What a peer's frames may cost in one second; beyond, they wait. Most cost one: reports and calls come many to a frame
/// or few to a second.
const COST_PER_SECOND: u32 = 5_000;
/// What may be spent ahead: 500 calls at once. All that busy peers spend at once is what everybody else waits for.
const AHEAD: Duration = Duration::from_millis(100);
/// What a list costs: as much as to describe the rows of its page one by one. Answers wait for the commit under way, so
/// this also bounds what a slow disk piles up.
const LIST_COST: u32 = PAGE_MAX as u32;
/// Bytes of a new game session that cost one: the disk writes them twice, and everybody waits for it.
const BYTES_PER_COST: u32 = 512;
/// Answers that a peer has not read, beyond which it is not listened to.
const UNREAD_BYTES_MAX: usize = 256 * 1_024;
/// Inputs of one link that wait for the loop. The loop takes them in the order in which they came, so what all busy
/// links have waiting there is what everybody else waits for.
const INPUTS_PER_LINK_MAX: usize = 16;

/// What happens on links, for the loop.
pub(crate) enum FromPeer {
    /// A peer introduced itself; outputs for the link go to `outbox`.
    Opened { link: LinkId, outbox: mpsc::Sender<Output>, input: Input },
    /// It said something; once the loop has taken it, there is room for another one of that link.
    Said(Input, OwnedSemaphorePermit),
    /// It is gone.
    Gone(LinkId),
}

/// Shared by all links.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) to_loop: mpsc::Sender<FromPeer>,
    pub(crate) minter: Minter,
    pub(crate) counters: Arc<PeerCounters>,
}

/// What peers did wrong; the only trace that hostile bytes leave.
#[derive(Debug, Default)]
pub struct PeerCounters {
    /// Links without a valid first frame in time.
    pub no_hello: AtomicU64,
    /// Peers whose hello was refused.
    pub not_welcome: AtomicU64,
    /// Frames that were not a message of the peer's role.
    pub bad_frames: AtomicU64,
    /// Links closed because the peer did not read.
    pub slow_consumers: AtomicU64,
}

/// Serves one link from handshake to end.
pub(crate) async fn serve(attempt: Attempt, link: LinkId, shared: Shared) {
    let remote = attempt.remote_addr();
    let established = match attempt.establish().await {
        Ok(established) => established,
        Err(error) => return tracing::debug!(%remote, %error, "handshake failed"),
    };
    let peer = established.peer();
    let (sender, mut receiver) = established.split();
    let hello: Hello = match receiver.recv_within(HELLO_WITHIN).await {
        Ok(hello) => hello,
        Err(error) => {
            shared.counters.no_hello.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%remote, %error, "no hello");
            return sender.close(CloseCode::Protocol, "the first frame must be a Hello");
        }
    };
    tracing::debug!(%remote, %peer, software = %hello.software, "hello");
    let launch_proven = match &hello.credential {
        Credential::Launch { process, secret } => shared.minter.launch_credential(process) == *secret,
        Credential::Bound | Credential::Join { .. } => false,
    };
    let (outbox, outputs) = mpsc::channel(OUTBOX_MAX);
    let input = Input::Opened { link, peer, from: remote.ip(), hello, launch_proven };
    if shared.to_loop.send(FromPeer::Opened { link, outbox, input }).await.is_err() {
        return;
    }
    let turns = Arc::new(Semaphore::new(INPUTS_PER_LINK_MAX));
    let mut peer = Peer { link, sender, outputs, shared, role: None, pace: Pace::new(), turns, list: None };
    let (code, why) = peer.run(&mut receiver).await;
    peer.sender.close(code, why);
    let _ = peer.shared.to_loop.send(FromPeer::Gone(link)).await;
}

/// Which frames the peer may send; nothing before it is welcome.
#[derive(Clone, Copy)]
enum Role {
    Server,
    Agent,
    Backend,
    Operator,
    Relay,
}

struct Peer {
    link: LinkId,
    sender: FrameSender,
    outputs: mpsc::Receiver<Output>,
    shared: Shared,
    role: Option<Role>,
    pace: Pace,
    turns: Arc<Semaphore>,
    /// A list was asked for, and is not answered yet.
    list: Option<u64>,
}

type End = (CloseCode, &'static str);

impl Peer {
    async fn run(&mut self, receiver: &mut FrameReceiver) -> End {
        const GONE: End = (CloseCode::ShuttingDown, "the coordinator shuts down, or you did not read; come back");
        let (to_loop, turns, sender) = (self.shared.to_loop.clone(), Arc::clone(&self.turns), self.sender.clone());
        // What the peer said last, until the loop has room for it.
        let mut heard: Option<Input> = None;
        loop {
            // One list at a time: answers are long, and whoever reads none gets no more.
            let listening = self.role.is_some() && heard.is_none() && self.list.is_none();
            let spent = self.pace.is_spent();
            let unread = sender.unsent_bytes() >= UNREAD_BYTES_MAX;
            tokio::select! {
                biased;
                output = self.outputs.recv() => match output {
                    None => return GONE,
                    Some(output) => if let Err(end) = self.put(output) { return end },
                },
                room = room(&to_loop, &turns), if heard.is_some() => match (room, heard.take()) {
                    (Some((room, turn)), Some(input)) => room.send(FromPeer::Said(input, turn)),
                    _ => return GONE,
                },
                () = self.pace.wait(), if listening && spent => {}
                drained = sender.drained_below(UNREAD_BYTES_MAX), if listening && !spent && unread => {
                    if drained.is_err() {
                        return (CloseCode::Done, "");
                    }
                }
                input = receive(receiver, self.link, self.role), if listening && !spent && !unread => match input {
                    Ok(input) => {
                        self.pace.count(cost(&input));
                        self.list = list(&input);
                        heard = Some(input);
                    }
                    Err(RecvError::Closed(_)) => return (CloseCode::Done, ""),
                    Err(error) => {
                        self.shared.counters.bad_frames.fetch_add(1, Ordering::Relaxed);
                        tracing::debug!(%error, "refused frame");
                        return (CloseCode::Protocol, "a frame was not a message of your role");
                    }
                },
                _ = self.sender.closed(), if self.role.is_none() => return (CloseCode::Done, ""),
            }
        }
    }

    /// Writes one output as frames.
    fn put(&mut self, output: Output) -> Result<(), End> {
        let queued = match output {
            Output::Welcome { version, now_ms, role, .. } => self.welcome(version, now_ms, role),
            Output::Refuse { refusal, .. } => {
                self.shared.counters.not_welcome.fetch_add(1, Ordering::Relaxed);
                let code = if refusal.retry_after_ms > 0 { CloseCode::Busy } else { CloseCode::Refused };
                let _ = self.sender.queue(&Greeting::Refused(refusal));
                return Err((code, "see the greeting"));
            }
            Output::Server(_, message) => self.sender.queue(&message),
            Output::Launch { process, name, fleet, .. } => {
                let credential = self.shared.minter.launch_credential(&process);
                self.sender.queue(&AgentDown::Launch(fleet.launch_order(process, name, credential)))
            }
            Output::Stop { process, grace_ms, term_grace_ms, .. } => {
                self.sender.queue(&AgentDown::Stop { process, grace_ms, term_grace_ms })
            }
            Output::AgentAck { through_seq, .. } => self.sender.queue(&AgentDown::ReportAck { through_seq }),
            Output::Relay(_, message) => self.sender.queue(&message),
            Output::RelaySecrets { relay, number, .. } => {
                let before = (number > 1).then(|| self.shared.minter.relay_secret(&relay, number - 1));
                let current = self.shared.minter.relay_secret(&relay, number);
                self.sender.queue(&RelayDown::Secrets { current, before })
            }
            Output::AgentClock { now_ms, .. } => self.sender.queue(&AgentDown::Clock { now_ms }),
            Output::Answer { request, outcome, .. } => {
                self.list.take_if(|list| *list == request);
                self.sender.queue(&ApiDown { request, outcome })
            }
            Output::Tickets { request, orders, .. } => {
                let tickets: Result<Vec<_>, _> = orders.iter().map(|order| self.shared.minter.ticket(order)).collect();
                let outcome = tickets.map(|tickets| Answer::Tickets(List::first_of(tickets)));
                self.sender.queue(&ApiDown { request, outcome })
            }
            Output::Close { why, .. } => return Err(close_code(why)),
        };
        queued.map_err(|error| {
            if error == QueueError::Full {
                self.shared.counters.slow_consumers.fetch_add(1, Ordering::Relaxed);
            }
            (CloseCode::SlowConsumer, "you did not read what you were sent; come back for the present state")
        })
    }

    fn welcome(&mut self, version: u16, now_ms: TimeMs, role: Welcomed) -> Result<(), QueueError> {
        let (kind, role) = match role {
            Welcomed::Server { process, fleet, applied_seq } => {
                let (gate_root, holder_root) =
                    (self.shared.minter.gate_root(&process), self.shared.minter.holder_root(&process));
                let beat_ms = u32::try_from(playgate_core::limits::BEAT_MS).expect("a second fits");
                (Role::Server, WelcomeRole::Server { process, fleet, gate_root, holder_root, applied_seq, beat_ms })
            }
            Welcomed::Agent { host, applied_seq } => (Role::Agent, WelcomeRole::Agent { host, applied_seq }),
            Welcomed::Backend => (Role::Backend, WelcomeRole::Backend),
            Welcomed::Operator => (Role::Operator, WelcomeRole::Operator),
            Welcomed::Relay(relay) => (Role::Relay, WelcomeRole::Relay { relay }),
        };
        self.role = Some(kind);
        self.sender.introduced();
        self.sender.queue(&Greeting::Welcome(Welcome { version, now_ms, role }))
    }
}

/// Room in the loop's queue, and among the inputs of this link that are in it. Cancel-safe.
async fn room<'a>(
    to_loop: &'a mpsc::Sender<FromPeer>,
    turns: &Arc<Semaphore>,
) -> Option<(mpsc::Permit<'a, FromPeer>, OwnedSemaphorePermit)> {
    let turn = Arc::clone(turns).acquire_owned().await.ok()?;
    Some((to_loop.reserve().await.ok()?, turn))
}

/// The next frame, decoded as the one message type of the peer's role. Cancel-safe, as the receiver is.
async fn receive(receiver: &mut FrameReceiver, link: LinkId, role: Option<Role>) -> Result<Input, RecvError> {
    match role.expect("polled only once the peer is welcome") {
        Role::Server => receiver.recv().await.map(|message| Input::Server(link, message)),
        Role::Agent => receiver.recv().await.map(|message| Input::Agent(link, message)),
        Role::Backend => receiver.recv().await.map(|message| Input::Backend(link, message)),
        Role::Operator => receiver.recv().await.map(|message| Input::Operator(link, message)),
        Role::Relay => receiver.recv().await.map(|message| Input::Relay(link, message)),
    }
}

/// The request, if its answer is a page of a list.
fn list(input: &Input) -> Option<u64> {
    let of_backend = |call: &BackendCall| {
        matches!(call, BackendCall::ListGameSessions { .. } | BackendCall::ListPlayerSessions { .. })
    };
    let (request, is_list) = match input {
        Input::Backend(_, message) => (message.request, of_backend(&message.call)),
        Input::Operator(_, message) => match &message.call {
            OperatorCall::Backend(call) => (message.request, of_backend(call)),
            OperatorCall::ListFleets
            | OperatorCall::ListHosts
            | OperatorCall::ListRelays
            | OperatorCall::ListProcesses { .. }
            | OperatorCall::ListEvents { .. } => (message.request, true),
            _ => return None,
        },
        _ => return None,
    };
    is_list.then_some(request)
}

/// What an input counts in the peer's [`Pace`]; known before it is handled, so that a slow disk piles up no answers.
fn cost(input: &Input) -> u32 {
    match input {
        _ if list(input).is_some() => LIST_COST,
        // Each ticket is signed; 35,000 a second for one backend.
        Input::Backend(_, BackendUp { call: BackendCall::CreatePlayerSessions(new), .. })
        | Input::Operator(_, OperatorUp { call: OperatorCall::Backend(BackendCall::CreatePlayerSessions(new)), .. }) => {
            cost_of(new.players.len())
        }
        Input::Backend(_, BackendUp { call: BackendCall::CreateGameSession(new), .. })
        | Input::Operator(_, OperatorUp { call: OperatorCall::Backend(BackendCall::CreateGameSession(new)), .. }) => {
            let properties = new.properties.iter().map(|(name, value)| name.len() + value.len());
            let bytes = new.data.len() + properties.sum::<usize>();
            1 + u32::try_from(bytes).expect("a frame is shorter") / BYTES_PER_COST
        }
        Input::Relay(_, RelayUp::Players(players)) => cost_of(players.len()),
        _ => 1,
    }
}

/// Of so many players.
fn cost_of(players: usize) -> u32 {
    1 + u32::try_from(players / 8).expect("a frame has fewer")
}

fn close_code(why: CloseWhy) -> End {
    match why {
        CloseWhy::Replaced => (CloseCode::Replaced, "the same identity came back on another link"),
        CloseWhy::Protocol => (CloseCode::Protocol, "a message did not fit; see the coordinator's events"),
        CloseWhy::Ended => (CloseCode::Done, "the process has ended"),
    }
}

/// Lets [`COST_PER_SECOND`] through and holds the rest back; the peer's stream fills, and it waits.
struct Pace {
    /// When what was spent is earned.
    earned_at: Instant,
}

impl Pace {
    fn new() -> Self {
        Self { earned_at: Instant::now() }
    }

    fn count(&mut self, cost: u32) {
        self.earned_at = self.earned_at.max(Instant::now()) + Duration::from_secs(1) * cost / COST_PER_SECOND;
    }

    fn is_spent(&self) -> bool {
        self.earned_at > Instant::now() + AHEAD
    }

    /// Until more may be spent. Cancel-safe.
    async fn wait(&self) {
        tokio::time::sleep_until(self.earned_at - AHEAD).await;
    }
}

#[cfg(test)]
mod tests {
    use playgate_protocol::api::{CreateGameSession, CreatePlayerSessions, NewPlayer, PlayerData};
    use playgate_protocol::server::SessionData;
    use playgate_protocol::{GameSessionId, PlayerId};

    use super::*;

    #[test]
    fn long_answers_and_signatures_cost_more_than_a_call() {
        let (link, request, session) = (LinkId(1), 1, GameSessionId::from_bytes([1; 16]));
        let reserve = |players: usize| {
            let player = |number: usize| NewPlayer {
                player: PlayerId::new(format!("p{number}")).expect("a player's id"),
                data: PlayerData::default(),
            };
            BackendCall::CreatePlayerSessions(CreatePlayerSessions {
                session,
                players: List::first_of((0..players).map(player)),
                reservation_ms: None,
                idempotency_key: playgate_protocol::Text::default(),
            })
        };
        let create = |bytes: usize| {
            BackendCall::CreateGameSession(CreateGameSession {
                fleet: "f".parse().expect("a fleet's name"),
                name: playgate_protocol::Name::lossy("n"),
                max_players: 1,
                properties: List::first_of([("12345678".parse().expect("short"), "x".parse().expect("short"))]),
                data: SessionData::new(vec![0; bytes]).expect("not too long"),
                placement_timeout_ms: 0,
                idempotency_key: playgate_protocol::Text::default(),
            })
        };
        for (call, expected) in [
            (create(502), 1),
            (create(503), 2),
            (create(48 * 1_024), 97),
            (BackendCall::DescribeGameSession { session }, 1),
            (BackendCall::ListGameSessions { fleet: None, after: None }, LIST_COST),
            (reserve(0), 1),
            (reserve(64), 9),
        ] {
            let by_backend = Input::Backend(link, BackendUp { request, call: call.clone() });
            let by_operator = Input::Operator(link, OperatorUp { request, call: OperatorCall::Backend(call) });
            for input in [by_backend, by_operator] {
                assert_eq!(cost(&input), expected, "{input:?}");
                assert_eq!(list(&input), (expected == LIST_COST).then_some(request), "{input:?}");
            }
        }
        for (call, expected) in
            [(OperatorCall::ListFleets, LIST_COST), (OperatorCall::ListEvents { after: 0 }, LIST_COST)]
        {
            assert_eq!(cost(&Input::Operator(link, OperatorUp { request, call })), expected);
        }
        assert_eq!((cost(&Input::Closed(link)), list(&Input::Closed(link))), (1, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_may_spend_ahead_and_then_earns_its_turn() {
        let mut pace = Pace::new();
        let calls = |pace: &mut Pace| {
            (0..)
                .take_while(|_| {
                    !pace.is_spent() && {
                        pace.count(1);
                        true
                    }
                })
                .count()
        };
        assert_eq!(calls(&mut pace), 501);
        for _ in 0..3 {
            let asked = Instant::now();
            pace.wait().await;
            assert!((1..=2).contains(&asked.elapsed().as_millis()), "a timer has milliseconds");
            assert!((1..=11).contains(&calls(&mut pace)));
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(calls(&mut pace), 501, "what was not spent in time is lost");
    }
}
