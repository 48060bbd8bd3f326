//! What can be done by who was let in: with the key of a backend, or of a game server.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use playgate_link::Identity;
use playgate_protocol::agent::{AgentReport, AgentReportBatch, AgentUp, ExitStatus};
use playgate_protocol::api::{ApiDown, BackendCall, BackendUp, CreateGameSession, ErrorCode};
use playgate_protocol::limits::{IDEMPOTENCY_KEY_BYTES_MAX, NAME_BYTES_MAX, PROPERTIES_MAX, PROPERTY_VALUE_BYTES_MAX};
use playgate_protocol::server::{Beat, PlayerOutcome, Property, Report, ReportBatch, ServerUp, SessionData};
use playgate_protocol::{
    Credential, FleetId, GameSessionId, Greeting, HelloRole, JoinKey, JoinRole, List, Name, PlayerSessionId,
    ServerProcessId, Text, VersionRange,
};
use quinn::{Connection, Endpoint, VarInt};

use super::Attack;
use super::client::{Client, PATIENCE, Stream, endpoint, framed, hello};
use crate::coordinator::FLEET;

/// Sessions without a process, so that a page of them is as large as a page can be.
const SESSIONS: u64 = 24;
/// Calls written in one go.
const BATCH: u64 = 100;

/// Somebody whom an operator let in, through all his connections.
struct Member {
    from: Endpoint,
    client: Client,
    key: JoinKey,
    /// The coordinator knows his key.
    bound: AtomicBool,
}

impl Member {
    fn new(attack: &Attack, change: impl FnOnce(Client) -> Client) -> io::Result<Self> {
        let key = attack.key.clone().ok_or_else(|| io::Error::other("this script needs a join key"))?;
        let client = change(Client::with(&Identity::generate(), false));
        Ok(Self { from: endpoint(IpAddr::V4(Ipv4Addr::LOCALHOST))?, client, key, bound: AtomicBool::new(false) })
    }

    async fn come_in(&self, attack: &Attack) -> io::Result<(Connection, Stream)> {
        let conn = self.client.connect(&self.from, attack.target).await?;
        let mut stream = Stream::open(&conn).await?;
        let credential = match self.bound.load(Ordering::Relaxed) {
            true => Credential::Bound,
            false => Credential::Join { secret: self.key.secret.clone() },
        };
        let role = match self.key.role {
            JoinRole::Server => HelloRole::Server { name: Name::lossy("rogue"), advertise: None, held_version: 0 },
            JoinRole::Agent => HelloRole::Agent { name: Name::lossy("rogue"), advertise: None, capacity: 0 },
            JoinRole::Backend => HelloRole::Backend,
            JoinRole::Relay => HelloRole::Relay { name: Name::lossy("rogue"), addresses: List::default(), secret: 0 },
        };
        stream.write(&hello(role, credential, VersionRange::OURS)).await?;
        match stream.read::<Greeting>().await? {
            Greeting::Welcome(_) => {
                self.bound.store(true, Ordering::Relaxed);
                Ok((conn, stream))
            }
            Greeting::Refused(refusal) => Err(io::Error::other(refusal.detail.to_string())),
        }
    }

    /// Comes in once more, for as long as there is time.
    async fn again_and_again<F: Future<Output = io::Result<()>>>(
        &self,
        attack: &Attack,
        then: impl Fn(Connection, Stream, u64) -> F,
    ) {
        let mut round = 0;
        while attack.go_on() {
            round += 1;
            match self.come_in(attack).await {
                Ok((conn, stream)) => {
                    if then(conn.clone(), stream, round).await.is_err() || conn.close_reason().is_some() {
                        attack.was_refused();
                    }
                    conn.close(0_u8.into(), b"");
                }
                Err(_) => {
                    attack.was_refused();
                    tokio::time::sleep(Duration::from_millis(20)).await; // the pace of who is turned away
                }
            }
        }
    }
}

/// So many members side by side, each with `then` on each of his connections.
async fn members<F: Future<Output = io::Result<()>> + Send + 'static>(
    attack: &Attack,
    count: usize,
    change: impl Fn(Client) -> Client,
    then: impl Fn(Connection, Stream, u64) -> F + Clone + Send + Sync + 'static,
) -> io::Result<()> {
    let all: io::Result<Vec<_>> = (0..count).map(|_| Member::new(attack, &change).map(Arc::new)).collect();
    let all = all?;
    let work = |attack: Attack, number: usize| {
        let (member, then) = (Arc::clone(&all[number]), then.clone());
        async move { member.again_and_again(&attack, then).await }
    };
    attack.side_by_side(count, work).await;
    Ok(())
}

fn call(request: u64, call: BackendCall) -> Vec<u8> {
    framed(&BackendUp { request, call })
}

/// A request for a session that will not be placed while the attack lasts; all that is kept of it is as large as can be.
fn largest_session(key: &str, placement_timeout_ms: u32) -> BackendCall {
    let property = |number| -> Property {
        (Text::lossy(&format!("{number:032}")), Text::lossy(&"v".repeat(PROPERTY_VALUE_BYTES_MAX)))
    };
    BackendCall::CreateGameSession(CreateGameSession {
        fleet: FleetId::new(FLEET).expect("a fleet's name"),
        name: Name::lossy(&"n".repeat(NAME_BYTES_MAX)),
        max_players: 1,
        properties: List::first_of((0..PROPERTIES_MAX).map(property)),
        data: SessionData::default(),
        placement_timeout_ms,
        idempotency_key: Text::lossy(&format!("{key:->IDEMPOTENCY_KEY_BYTES_MAX$}")),
    })
}

pub(super) async fn slow_reader(attack: &Attack) -> io::Result<()> {
    let small = |client: Client| {
        client.telling(|transport| {
            transport.stream_receive_window(VarInt::from_u32(2_048)).receive_window(VarInt::from_u32(2_048));
        })
    };
    let attack_of_calls = attack.clone();
    let ask = move |_: Connection, mut stream: Stream, _| {
        let attack = attack_of_calls.clone();
        async move {
            // Everybody asks for the same ones, however often: they are made once.
            for number in 0..SESSIONS {
                let session = largest_session(&format!("{}-{number}", attack.seed), 5_000);
                stream.write(&call(number, session)).await?;
            }
            let list = call(SESSIONS, BackendCall::ListGameSessions { fleet: None, after: None }).repeat(10);
            while attack.go_on() {
                stream.write(&list).await?;
            }
            Ok(())
        }
    };
    members(attack, 8, small, ask).await
}

pub(super) async fn session_flood(attack: &Attack) -> io::Result<()> {
    let (attack_of_calls, made) = (attack.clone(), Arc::new(AtomicU64::new(0)));
    let flood = move |_: Connection, mut stream: Stream, _| {
        let (attack, made) = (attack_of_calls.clone(), Arc::clone(&made));
        async move {
            loop {
                let numbers: Vec<u64> =
                    (0..BATCH).take_while(|_| attack.go_on()).map(|_| made.fetch_add(1, Ordering::Relaxed)).collect();
                if numbers.is_empty() {
                    return Ok(());
                }
                let create = |number: &u64| {
                    call(*number, largest_session(&format!("{}-new-{number}", attack.seed), 1)) // 1 ms: it ends at once
                };
                stream.write(&numbers.iter().flat_map(create).collect::<Vec<u8>>()).await?;
                for _ in numbers {
                    let answer: ApiDown = stream.read().await?;
                    if answer.outcome.is_err_and(|error| error.code == ErrorCode::Busy) {
                        attack.was_refused();
                    }
                }
            }
        }
    };
    members(attack, 2, |client| client, flood).await
}

pub(super) async fn frame_flood(attack: &Attack) -> io::Result<()> {
    let attack_of_calls = attack.clone();
    let flood = move |_: Connection, stream: Stream, _| {
        let attack = attack_of_calls.clone();
        let Stream { mut send, mut recv } = stream;
        async move {
            let session = GameSessionId::from_bytes([7; 16]);
            let calls: Vec<u8> =
                (0..BATCH).flat_map(|number| call(number, BackendCall::DescribeGameSession { session })).collect();
            let drain = async { while let Ok(Some(_)) = recv.read_chunk(64 * 1_024, true).await {} };
            let write = async { while (0..BATCH).all(|_| attack.go_on()) && send.write_all(&calls).await.is_ok() {} };
            tokio::select! {
                () = drain => {}
                () = write => {}
            }
            Ok(())
        }
    };
    members(attack, 2, |client| client, flood).await
}

pub(super) async fn oversized_frames(attack: &Attack) -> io::Result<()> {
    let oversize = |conn: Connection, mut stream: Stream, round: u64| async move {
        let len = if round.is_multiple_of(2) { u32::MAX } else { 64 * 1_024 + 1 };
        stream.write(&len.to_le_bytes()).await?;
        let _ = stream.write(&[7; 100_000]).await; // it is closed by then
        let _ = tokio::time::timeout(PATIENCE, conn.closed()).await;
        Ok(())
    };
    members(attack, 4, |client| client, oversize).await
}

/// What a game server may not say; the coordinator ends the link for the last three.
fn lies(round: u64) -> Vec<u8> {
    let (session, process) = (GameSessionId::from_bytes([7; 16]), ServerProcessId::from_bytes([7; 16]));
    let lies = [
        Report::SessionEnded { session, attempt: 1 },
        Report::Activated { session, attempt: 1 },
        Report::Player {
            session,
            player_session: PlayerSessionId::from_bytes([7; 16]),
            outcome: PlayerOutcome::Active { generation: 1, joined_ms: u64::MAX },
        },
    ];
    let beat = Beat {
        healthy: false,
        floor_ms: u64::MAX,
        through_seq: u64::MAX,
        held_version: u64::MAX,
        players: u16::MAX.into(),
    };
    let beats = framed(&ServerUp::Beat(beat)).repeat(50);
    let exited = AgentReport::Exited { process, status: ExitStatus::Code(0), output_tail: Text::default() };
    let lies = framed(&ServerUp::Reports(ReportBatch { first_seq: 1, reports: List::first_of(lies) }));
    let last = match round % 3 {
        0 => framed(&ServerUp::Reports(ReportBatch {
            first_seq: u64::MAX - 3,
            reports: List::first_of([Report::Ready { ports: List::first_of([7]) }]),
        })),
        1 => framed(&AgentUp::Reports(AgentReportBatch { first_seq: 1, reports: List::first_of([exited]) })),
        _ => [&40_u32.to_le_bytes()[..], &[0xff; 40]].concat(),
    };
    [lies, beats, last].concat()
}

pub(super) async fn rogue_server(attack: &Attack) -> io::Result<()> {
    let lie = |conn: Connection, mut stream: Stream, round: u64| async move {
        stream.write(&lies(round)).await?;
        let _ = tokio::time::timeout(PATIENCE, conn.closed()).await;
        Ok(())
    };
    members(attack, 4, |client| client, lie).await
}
