//! The reference model: what was said to whom, who was let in where. It outlives every node of the world.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use playgate_core::{Input, LinkId, Output};
use playgate_protocol::agent::AgentReport;
use playgate_protocol::api::{Answer, CreateGameSession, CreatePlayerSessions};
use playgate_protocol::server::{Beat, Report, ServerDown, ServerUp};
use playgate_protocol::{GameSessionId, HostId, PlayerSessionId, ServerProcessId, Ticket, TimeMs};

use crate::clock::Micros;
use crate::disk::Change;

/// Why the core did what it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It was started.
    Boot,
    /// A peer introduced itself.
    Hello,
    /// A link ended.
    Closed,
    /// A game server spoke.
    Server(ServerProcessId),
    /// The agent of a host spoke.
    Agent(usize),
    /// Somebody called.
    Call,
    /// A deadline passed.
    Timer,
    /// Several of these, in one turn.
    Several,
}

/// Somebody got in.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Where.
    pub server: usize,
    /// Which player session.
    pub player: PlayerSessionId,
    /// Highest number of his admissions.
    pub generation: u32,
    /// Whether the datagram was one that its holder made.
    pub genuine: bool,
    /// The digest of that datagram.
    pub proof: u64,
    /// The server's idea of the coordinator's time, before it looked at the token.
    pub server_ms: TimeMs,
}

/// What happened in one step.
#[derive(Debug, Default)]
pub struct StepLog {
    /// Rows that changed, and why.
    pub changes: Vec<(Cause, Change)>,
    /// Outputs that left.
    pub released: Vec<Output>,
    /// Outputs for the auditor.
    pub audit: Vec<Output>,
    /// Who got in.
    pub entries: Vec<Entry>,
    /// Beats that left a server.
    pub beats: Vec<(usize, Beat)>,
    /// Reports that left a server, by number.
    pub reports: Vec<(usize, u64, Report)>,
    /// Reports that left an agent, by number.
    pub agent_reports: Vec<(usize, u64, AgentReport)>,
    /// Tickets that left.
    pub tickets: Vec<Ticket>,
    /// Bytes of a datagram and of the answer to it.
    pub echoes: Vec<(usize, usize)>,
    /// A server took in a wanted state.
    pub applied: Vec<usize>,
    /// A process was started on a host.
    pub spawned: Vec<ServerProcessId>,
    /// Links for which a wanted state was decided.
    pub wanted: Vec<LinkId>,
    /// Processes whose stop was decided.
    pub stops: Vec<ServerProcessId>,
    /// Reports arrived that had all been applied before.
    pub repeated: bool,
    /// It was said on a link although its sender had been welcomed on a newer one.
    pub from_older_link: bool,
    /// The coordinator came back.
    pub recovered: bool,
}

impl StepLog {
    pub(crate) fn clear(&mut self) {
        self.changes.clear();
        self.released.clear();
        self.audit.clear();
        self.entries.clear();
        self.beats.clear();
        self.reports.clear();
        self.agent_reports.clear();
        self.tickets.clear();
        self.echoes.clear();
        self.applied.clear();
        self.spawned.clear();
        self.recovered = false;
        (self.repeated, self.from_older_link) = (false, false);
        self.wanted.clear();
        self.stops.clear();
    }
}

/// An answered request for a game session.
#[derive(Debug, Clone)]
pub struct Created {
    /// The request.
    pub call: CreateGameSession,
    /// What it made.
    pub session: GameSessionId,
}

/// An answered request for slots.
#[derive(Debug, Clone)]
pub struct Reserved {
    /// The request.
    pub call: CreatePlayerSessions,
    /// What it made.
    pub players: Vec<PlayerSessionId>,
}

/// A ticket that left the coordinator.
#[derive(Debug, Clone)]
pub struct Issued {
    /// For which session.
    pub session: GameSessionId,
    /// For which process.
    pub process: ServerProcessId,
    /// Its number in the session.
    pub ordinal: u32,
    /// The key that signed it.
    pub key_id: u16,
    /// The token is good until then.
    pub expires_ms: TimeMs,
    /// The token.
    pub token: Vec<u8>,
}

/// A player who was let in.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// On which server.
    pub server: usize,
    /// How often.
    pub generation: u32,
}

/// Everything that was ever said, as far as it binds.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Answered requests for sessions, by idempotency key.
    pub created: BTreeMap<String, Created>,
    /// Answered requests for slots, by session and idempotency key.
    pub reserved: BTreeMap<(GameSessionId, String), Reserved>,
    /// Tickets that left.
    pub issued: BTreeMap<PlayerSessionId, Issued>,
    /// Who has which number in which session.
    pub ordinals: BTreeMap<(GameSessionId, u32), PlayerSessionId>,
    /// Who was let in.
    pub admitted: BTreeMap<PlayerSessionId, Admitted>,
    /// Content of every report, for ever.
    pub reports: BTreeMap<(ServerProcessId, u64), Report>,
    /// Content of every report of an agent, for ever.
    pub agent_reports: BTreeMap<(usize, u64), AgentReport>,
    /// Reports that were acknowledged to a server.
    pub acked: BTreeMap<ServerProcessId, u64>,
    /// Reports that were acknowledged to an agent.
    pub agent_acked: BTreeMap<usize, u64>,
    /// The highest floor that a server has stated.
    pub floors: BTreeMap<usize, TimeMs>,
    /// Player sessions whose revocation their server has answered.
    pub revoked: BTreeSet<PlayerSessionId>,
    /// Proofs that players made, by digest, and from where they sent them.
    pub proofs: BTreeMap<u64, SocketAddr>,
    /// Proofs by which somebody got in.
    pub used_proofs: BTreeSet<u64>,
    /// The coordinator has said that its disk is nearly full.
    pub low: bool,
    /// Every id that was ever made durable, or was said to anybody.
    pub ids: BTreeSet<[u8; 16]>,
    /// Ids that were forgotten.
    pub forgotten: BTreeSet<[u8; 16]>,
    /// How often a process was started.
    pub spawns: BTreeMap<ServerProcessId, u32>,
    /// The latest time at which a ticket that left was issued.
    pub issued_ms: TimeMs,
    /// Slots of every session there ever was.
    pub max_players: BTreeMap<GameSessionId, u16>,
    /// Which host is which.
    pub host_ids: BTreeMap<usize, HostId>,
    /// Since when the link of a server is down, as the coordinator knows.
    pub unlinked: BTreeMap<ServerProcessId, Micros>,
    /// Requests that the backends gave up for good, with nothing outstanding.
    pub answered: u64,
}

/// One line about an input.
#[must_use]
pub fn brief(input: &Input) -> String {
    match input {
        Input::Opened { link, hello, .. } => format!("Opened {} {:?}", link.0, hello.role),
        Input::Server(link, ServerUp::Beat(beat)) => format!("link {} {beat:?}", link.0),
        Input::Server(link, ServerUp::Reports(batch)) => format!("link {} reports {:?}", link.0, batch),
        other => {
            let mut text = format!("{other:?}");
            text.truncate(text.char_indices().nth(400).map_or(text.len(), |(at, _)| at));
            text
        }
    }
}

/// One line about an output.
#[must_use]
pub fn brief_output(output: &Output) -> String {
    let text = match output {
        Output::Server(link, ServerDown::Wanted(wanted)) => {
            let session = wanted.session.as_ref().map(|s| (s.id, s.attempt, s.revoked.len(), s.end_by_ms));
            format!("link {} wanted {} {session:?} terminate {:?}", link.0, wanted.version, wanted.terminate_by_ms)
        }
        Output::Server(link, other) => format!("link {} {other:?}", link.0),
        Output::Launch { link, process, .. } => format!("link {} launch {process}", link.0),
        Output::Tickets { link, request, orders } => {
            let ids: Vec<_> = orders.iter().map(|order| order.player_session.id).collect();
            format!("link {} call {request} tickets {ids:?}", link.0)
        }
        Output::Answer { link, request, outcome: Ok(Answer::GameSession(info)) } => {
            format!("link {} call {request} {} {:?} {:?}", link.0, info.id, info.status, info.reason)
        }
        other => format!("{other:?}"),
    };
    text.chars().take(400).collect()
}
