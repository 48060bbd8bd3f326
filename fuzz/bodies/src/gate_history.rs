//! A history of a gate under a coordinator that wants anything, with tokens that are all genuine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use playgate_gate::{Gate, GateConfig};
use playgate_protocol::server::{AdmissionPolicy, Report, Revoked, ServerDown, VerifyingKey, Wanted, WantedSession};
use playgate_protocol::{Blob, GameSessionId, List, Name, PlayerSessionId, ServerProcessId};
use playgate_token::{Claims, MasterKey, SigningKey, mint};

use crate::core::split;
use crate::draw::{Draw, Pool};

const STEPS_MAX: usize = 200;
const START_MS: u64 = 1_750_000_000_000;
const PROCESS: ServerProcessId = ServerProcessId::from_bytes([0x50; 16]);

struct History {
    gate: Gate,
    now: Duration,
    version: u64,
    /// Slots of the session as the gate was last told.
    max_players: usize,
    /// Reports by their numbers, for ever.
    reports: BTreeMap<u64, Report>,
    /// What a beat promised: nobody comes in with a token that expires by then.
    floor_ms: u64,
    /// Players who left: their tokens are used up, in this attempt of this session.
    gone: BTreeSet<u32>,
    hosted: Option<(GameSessionId, u32)>,
    /// What was hosted before it.
    over: Option<(GameSessionId, u32)>,
    is_ending: bool,
    pool: Pool,
}

/// Runs the bytes as a history. Never oversold, the floor holds, a used token stays used, a number keeps its report.
pub fn gate(data: &[u8]) {
    let mut history = History::new();
    let mut rest = data;
    for _ in 0..STEPS_MAX {
        let Some((what, which, body, behind)) = split(rest) else { break };
        rest = behind;
        history.step(what, which, body);
        while history.gate.poll_event().is_some() {}
    }
}

fn master() -> MasterKey {
    MasterKey::from_bytes([3; 32])
}

fn session(which: u8) -> GameSessionId {
    GameSessionId::from_bytes([which % 3; 16])
}

fn player(which: u8) -> PlayerSessionId {
    PlayerSessionId::from_bytes([which % 6; 16])
}

impl History {
    fn new() -> Self {
        let now = Duration::from_secs(1_000);
        let config = GateConfig {
            process: PROCESS,
            gate_root: master().gate_root(&PROCESS),
            holder_root: master().holder_root(&PROCESS),
            secret_seed: [9; 32],
        };
        let mut gate = Gate::new(config, now);
        gate.sync_clock(now, START_MS);
        let pool = Pool {
            ids: (0..6).map(|byte| [byte; 16]).collect(),
            secrets: vec![SigningKey::from_seed(&[4; 32]).public_key(), [0; 32], [1; 32]],
            texts: ["", "map", "p"].map(str::to_owned).to_vec(),
            numbers: vec![START_MS, 1, 10],
        };
        Self {
            gate,
            now,
            version: 0,
            max_players: 0,
            reports: BTreeMap::new(),
            floor_ms: 0,
            gone: BTreeSet::new(),
            hosted: None,
            over: None,
            is_ending: false,
            pool,
        }
    }

    fn step(&mut self, what: u8, which: u8, body: &[u8]) {
        let first = body.first().copied().unwrap_or(0);
        match what % 14 {
            0 => {
                self.now += Duration::from_millis(u64::from(which) * 97);
                self.gate.handle_timeout(self.now);
            }
            1 => self.drawn(body),
            2 | 3 => self.want(which, first),
            4..=6 => self.admit(which, first),
            7 => drop(self.gate.activate(self.now)),
            8 if which >= 192 => self.gate.end_session(self.now),
            8 => self.gate.ready(self.now, &[7_000 + u16::from(which)]),
            9 => self.gate.disconnected(self.now, player(which)),
            10 => self.leave(which),
            11 => self.beat(),
            12 => self.send(),
            13 if which == 255 => {
                self.is_ending = true;
                self.gate.ending(self.now);
            }
            _ => {
                let known = self.reports.len() as u64;
                self.gate.resume(known.saturating_sub(u64::from(which % 4)));
            }
        }
    }

    /// Anything that a coordinator can say.
    fn drawn(&mut self, body: &[u8]) {
        let pool = std::mem::take(&mut self.pool);
        let message: Option<ServerDown> = Draw::new(body, &pool).value();
        self.pool = pool;
        match message {
            Some(ServerDown::Wanted(wanted)) => self.apply(wanted),
            Some(ServerDown::ReportAck { through_seq }) => self.gate.acked(through_seq),
            Some(ServerDown::Clock { now_ms }) => self.gate.sync_clock(self.now, now_ms),
            Some(ServerDown::PlayerAt { .. }) | None => {} // not the gate's
        }
    }

    /// The next version of what a sane coordinator wants.
    fn want(&mut self, which: u8, first: u8) {
        let revoked = (0..6_u8).filter(|bit| first >> bit & 1 == 1 && which >= 128);
        let revoked = revoked.map(|n| Revoked { ordinal: n.into(), player_session: player(n) });
        let policy = AdmissionPolicy { rejoin_grace_ms: 1_000, bearer: first & 0x40 == 0, tell_reason: true };
        let wanted = WantedSession {
            id: session(which),
            attempt: u32::from(which / 3 % 3) + 1,
            name: Name::default(),
            max_players: u16::from(which % 4),
            properties: List::default(),
            data: Blob::default(),
            policy,
            revoked: List::first_of(revoked),
            end_by_ms: None,
        };
        self.apply(Wanted {
            version: self.version.saturating_add(1),
            keys: List::first_of([VerifyingKey {
                key_id: 1,
                public_key: SigningKey::from_seed(&[4; 32]).public_key(),
            }]),
            gate_epoch: 1,
            min_epoch: 1,
            session: (first != 255).then_some(wanted),
            terminate_by_ms: None,
        });
    }

    fn apply(&mut self, wanted: Wanted) {
        if wanted.version > self.version {
            self.version = wanted.version;
            self.host(wanted.session.as_ref());
        }
        self.gate.apply(self.now, wanted);
        assert_eq!(self.gate.held_version(), self.version);
    }

    /// An attempt that is older than the hosted one, or over, changes nothing.
    fn host(&mut self, wanted: Option<&WantedSession>) {
        let hosts = wanted.map(|session| (session.id, session.attempt));
        let same = |known: Option<(GameSessionId, u32)>| {
            known.zip(hosts).filter(|(known, hosts)| known.0 == hosts.0).map(|(known, hosts)| (known.1, hosts.1))
        };
        let is_older = same(self.hosted).is_some_and(|(hosted, wanted)| wanted < hosted);
        let is_over = same(self.over).is_some_and(|(over, wanted)| wanted <= over);
        if hosts.is_some() && (self.is_ending || is_older || is_over) {
            return;
        }
        if hosts != self.hosted {
            self.over = self.hosted.or(self.over);
            (self.hosted, self.gone) = (hosts, BTreeSet::new());
        }
        self.max_players = wanted.map_or(0, |session| session.max_players.into());
    }

    /// A genuine token, good for long or short.
    fn admit(&mut self, which: u8, first: u8) {
        let now_ms = self.gate.coordinator_now_ms(self.now).min(START_MS * 2);
        let claims = Claims {
            key_id: 1,
            gate_epoch: 1,
            ordinal: u32::from(which % 6),
            issued_at_ms: START_MS,
            expires_at_ms: now_ms - 500 + u64::from(first % 16) * 100,
            game_session_id: session(which / 6),
            server_process_id: PROCESS,
            player_session_id: player(which),
            player_id: "p",
            player_data: b"",
        };
        let signing = SigningKey::from_seed(&[4; 32]);
        let Ok(token) = mint(&claims, &signing, &master().gate_root(&PROCESS).gate_key(1)) else { return };
        let before = self.gate.active_players();
        let Ok(admission) = self.gate.admit(self.now, u64::from(first / 16), token.as_bytes()) else { return };
        assert_eq!((admission.player_session, admission.ordinal), (claims.player_session_id, claims.ordinal));
        assert!(!self.gone.contains(&claims.ordinal), "ordinal {} is used up", claims.ordinal);
        if self.gate.active_players() > before {
            assert!(before < self.max_players, "{before} of {} slots were taken", self.max_players);
            assert!(claims.expires_at_ms > self.floor_ms, "below the floor {}: {claims:?}", self.floor_ms);
        }
    }

    fn leave(&mut self, which: u8) {
        let before = self.gate.active_players();
        self.gate.leave(self.now, player(which));
        if self.gate.active_players() < before {
            self.gone.insert(u32::from(which % 6));
        }
    }

    fn beat(&mut self) {
        let beat = self.gate.beat(self.now, true);
        assert!(beat.floor_ms >= self.floor_ms, "the floor fell from {} to {}", self.floor_ms, beat.floor_ms);
        self.floor_ms = beat.floor_ms;
    }

    fn send(&mut self) {
        while let Some(batch) = self.gate.next_batch() {
            assert!(!batch.reports.is_empty() && batch.first_seq > 0);
            for (seq, report) in (batch.first_seq..).zip(batch.reports) {
                let kept = self.reports.entry(seq).or_insert_with(|| report.clone());
                assert_eq!(*kept, report, "report {seq} says something else");
            }
        }
    }
}
