//! A gate, the coordinator's keys, and players: the set-up of every story.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use playgate_gate::{Admission, Gate, GateConfig, GateEvent, RefuseReason, ReplyBuf, Verdict};
use playgate_protocol::handshake::{Accept, Challenge, Hello, Nonce, Refuse, RefuseCode, RequestBuf};
use playgate_protocol::server::{AdmissionPolicy, Report, Revoked, VerifyingKey, Wanted, WantedSession};
use playgate_protocol::{Blob, GameSessionId, List, Name, PlayerSessionId, Secret32, ServerProcessId, Ticket};
use playgate_token::{Claims, HolderKey, MasterKey, SigningKey, mint};

/// The coordinator's time when the gate hears it first.
pub const START_MS: u64 = 1_750_000_000_000;
/// The local clock at that moment.
pub const LOCAL_START: Duration = Duration::from_secs(1_000);
pub const PROCESS: ServerProcessId = ServerProcessId::from_bytes([0x50; 16]);
pub const SESSION: GameSessionId = GameSessionId::from_bytes([0x60; 16]);
pub const OTHER_SESSION: GameSessionId = GameSessionId::from_bytes([0x61; 16]);
pub const LIFETIME_MS: u64 = 60_000;

pub fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, last], 40_000))
}

pub fn player_session(ordinal: u32) -> PlayerSessionId {
    PlayerSessionId::from_parts(0, START_MS, [ordinal.to_le_bytes()[0], ordinal.to_le_bytes()[1], 0, 0, 0, 0, 0, 0, 7])
}

pub struct World {
    pub gate: Gate,
    pub now: Duration,
    /// What the coordinator's clock shows, whatever the gate believes.
    pub coordinator_ms: u64,
    pub wanted: Wanted,
    pub reply: ReplyBuf,
    nonces: u64,
}

/// A world whose session is active, for up to four players, with a grace of ten seconds.
pub fn world() -> World {
    let mut world = bare_world();
    world.want(|_| {});
    assert!(matches!(world.gate.poll_event(), Some(GateEvent::StartSession(_))));
    world.gate.activate(world.now).unwrap();
    world
}

/// A world whose coordinator wants a session, and has not said so.
pub fn bare_world() -> World {
    let session = WantedSession {
        id: SESSION,
        attempt: 1,
        name: Name::lossy("a match"),
        max_players: 4,
        properties: List::default(),
        data: Blob::default(),
        policy: AdmissionPolicy { rejoin_grace_ms: 10_000, bearer: false, tell_reason: true },
        revoked: List::default(),
        end_by_ms: None,
    };
    let wanted = Wanted {
        version: 0,
        keys: List::first_of([verifying_key(1)]),
        gate_epoch: 5,
        min_epoch: 5,
        session: Some(session),
        terminate_by_ms: None,
    };
    let config = GateConfig {
        process: PROCESS,
        gate_root: master().gate_root(&PROCESS),
        holder_root: master().holder_root(&PROCESS),
        secret_seed: [9; 32],
    };
    let mut gate = Gate::new(config, LOCAL_START);
    gate.sync_clock(LOCAL_START, START_MS);
    World { gate, now: LOCAL_START, coordinator_ms: START_MS, wanted, reply: ReplyBuf::new(), nonces: 0 }
}

impl World {
    /// Changes what is wanted and tells the gate.
    pub fn want(&mut self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.wanted);
        self.wanted.version += 1;
        self.gate.apply(self.now, self.wanted.clone());
    }

    pub fn want_session(&mut self, change: impl FnOnce(&mut WantedSession)) {
        self.want(|wanted| change(wanted.session.as_mut().unwrap()));
    }

    pub fn revoke(&mut self, ordinal: u32) {
        self.want_session(|session| {
            let revoked = Revoked { ordinal, player_session: player_session(ordinal) };
            session.revoked = List::new([session.revoked.to_vec(), vec![revoked]].concat()).unwrap();
        });
    }

    /// Time passes, on both clocks alike.
    pub fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.coordinator_ms += ms;
    }

    pub fn nonce(&mut self) -> Nonce {
        self.nonces += 1;
        u128::from(self.nonces).to_le_bytes()
    }

    pub fn claims(&self, ordinal: u32) -> Claims<'static> {
        Claims {
            key_id: 1,
            gate_epoch: 5,
            ordinal,
            issued_at_ms: self.coordinator_ms,
            expires_at_ms: self.coordinator_ms + LIFETIME_MS,
            game_session_id: SESSION,
            server_process_id: PROCESS,
            player_session_id: player_session(ordinal),
            player_id: "player-4711",
            player_data: b"team=red",
        }
    }

    pub fn ticket(&self, ordinal: u32) -> Ticket {
        ticket(&self.claims(ordinal))
    }

    /// One datagram to the gate. In every story a refusal takes no memory, and no reply is longer than the request. The reply is in `self.reply`.
    pub fn send(&mut self, from: SocketAddr, datagram: &[u8]) -> Verdict {
        self.reply = ReplyBuf::new();
        let (verdict, taken) = measured(|| self.gate.handle(self.now, from, datagram, &mut self.reply));
        assert!(taken == 0 || matches!(verdict, Verdict::Admitted(_)), "{verdict:?} took memory");
        assert!(self.reply.as_slice().len() <= datagram.len(), "no reply is longer than the request");
        verdict
    }

    /// A bare token.
    pub fn admit(&mut self, connection: u64, token: &[u8]) -> Result<Admission, RefuseReason> {
        let (admitted, taken) = measured(|| self.gate.admit(self.now, connection, token));
        assert!(taken == 0 || admitted.is_ok(), "{admitted:?} took memory");
        admitted
    }

    /// A challenge for this ticket.
    pub fn challenge(&mut self, from: SocketAddr, ticket: &Ticket) -> Result<Challenge, RefuseReason> {
        let nonce = self.nonce();
        match self.send(from, &hello(nonce, &ticket.token)) {
            Verdict::Reply => Ok(Challenge::read(self.reply.as_slice()).unwrap()),
            Verdict::Refused(reason) => Err(reason),
            other => panic!("a HELLO came out as {other:?}"),
        }
    }

    /// HELLO, CHALLENGE, PROOF; a millisecond passes, as the server time of two proofs differs.
    pub fn join(&mut self, from: SocketAddr, ticket: &Ticket) -> Result<Admission, RefuseReason> {
        self.pass(1);
        let challenge = self.challenge(from, ticket)?;
        match self.send(from, &proof(&challenge, ticket)) {
            Verdict::Admitted(admission) => Ok(admission),
            Verdict::Refused(reason) => Err(reason),
            other => panic!("a PROOF came out as {other:?}"),
        }
    }

    pub fn accept(&self, ticket: &Ticket) -> Option<Accept> {
        Accept::open(self.reply.as_slice(), &holder_key(ticket).server_key())
    }

    pub fn refuse_code(&self, ticket: &Ticket) -> Option<RefuseCode> {
        Refuse::open(self.reply.as_slice(), &holder_key(ticket).server_key()).map(|refuse| refuse.code)
    }

    pub fn events(&mut self) -> Vec<GateEvent> {
        std::iter::from_fn(|| self.gate.poll_event()).collect()
    }

    /// Sends and acknowledges everything.
    pub fn reports(&mut self) -> Vec<Report> {
        let mut reports = Vec::new();
        while let Some(batch) = self.gate.next_batch() {
            self.gate.acked(batch.first_seq + batch.reports.len() as u64 - 1);
            reports.extend(batch.reports);
        }
        reports
    }
}

pub fn master() -> MasterKey {
    MasterKey::from_bytes([2; 32])
}

/// The coordinator's signing key with this id.
pub fn signing_key(id: u16) -> SigningKey {
    SigningKey::from_seed(&[id.to_le_bytes()[0]; 32])
}

pub fn verifying_key(key_id: u16) -> VerifyingKey {
    VerifyingKey { key_id, public_key: signing_key(key_id).public_key() }
}

pub fn ticket(claims: &Claims<'_>) -> Ticket {
    ticket_signed(claims, &signing_key(claims.key_id))
}

pub fn ticket_signed(claims: &Claims<'_>, key: &SigningKey) -> Ticket {
    let gate_key = master().gate_root(&claims.server_process_id).gate_key(claims.gate_epoch);
    let token = mint(claims, key, &gate_key).unwrap();
    ticket_of(claims, token.as_bytes())
}

/// A ticket of any bytes: the holder key is the right one as far as they have one.
pub fn ticket_of(claims: &Claims<'_>, token: &[u8]) -> Ticket {
    let holder_key = master().holder_root(&PROCESS).holder_key(token).map_or([0; 32], |key| *key.as_bytes());
    Ticket {
        player_session: claims.player_session_id,
        game_session: claims.game_session_id,
        addresses: List::first_of([SocketAddr::from(([203, 0, 113, 1], 7_000))]),
        expires_at_ms: claims.expires_at_ms,
        bearer: false,
        token: Blob::new(token).unwrap(),
        holder_key: Secret32::from_bytes(holder_key),
        relays: List::default(),
    }
}

pub fn holder_key(ticket: &Ticket) -> HolderKey {
    HolderKey::from_bytes(*ticket.holder_key.reveal())
}

pub fn hello(nonce: Nonce, token: &[u8]) -> Vec<u8> {
    let mut datagram = RequestBuf::new();
    Hello { nonce, token }.write(&mut datagram);
    datagram.as_slice().to_vec()
}

pub fn proof(challenge: &Challenge, ticket: &Ticket) -> Vec<u8> {
    let mut datagram = RequestBuf::new();
    challenge.answer(&ticket.token, &holder_key(ticket).proof_key(), &mut datagram);
    datagram.as_slice().to_vec()
}

/// Makes the gate tag right again after the token was changed: what whoever stole the gate key could do.
pub fn retag(token: &mut [u8]) {
    use ring::hkdf;
    struct Len16;
    impl hkdf::KeyType for Len16 {
        fn len(&self) -> usize {
            16
        }
    }
    let (tagged, tag) = token.split_last_chunk_mut::<16>().unwrap();
    let epoch = [tagged[6], tagged[7]];
    let mut key = [0; 16];
    let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"playgate/v1/gate").extract(master().gate_root(&PROCESS).as_bytes());
    root.expand(&[&epoch], Len16).unwrap().fill(&mut key).unwrap();
    *tag = siphasher::sip128::SipHasher24::new_with_key(&key).hash(tagged).as_bytes();
}

/// What reports say about players, last one first heard: outcome by player session.
pub fn outcomes(reports: &[Report]) -> BTreeMap<PlayerSessionId, Vec<playgate_protocol::server::PlayerOutcome>> {
    let mut outcomes: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for report in reports {
        if let Report::Player { player_session, outcome, .. } = report {
            outcomes.entry(*player_session).or_default().push(*outcome);
        }
    }
    outcomes
}

/// What some work gives, and how often it took memory.
fn measured<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let mut result = None;
    let taken = allocation_counter::measure(|| result = Some(work())).count_total;
    (result.expect("the work was done"), taken)
}

#[test]
fn the_counter_counts() {
    assert_eq!(measured(|| drop(Box::new(1))).1, 1);
}
