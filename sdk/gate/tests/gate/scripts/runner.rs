//! Runs a script against the gate. Datagrams are made here, byte by byte, as PROTOCOL.md says.

use std::collections::BTreeMap;
use std::time::Duration;

use data_encoding::HEXLOWER;
use playgate_gate::{Gate, GateConfig, ReplyBuf, Verdict};
use playgate_protocol::server as wire;
use playgate_protocol::{Blob, GameSessionId, List, Name, PlayerSessionId, ServerProcessId};
use playgate_token::{GateRoot, HolderRoot};
use ring::hmac;

use super::format::{Do, Proof, Step, Token, Wanted, WantedSession};
use super::{Script, Table};

struct Run<'t> {
    table: &'t Table,
    gate: Gate,
    now: Duration,
    coordinator_ms: u64,
    version: u64,
    kept: BTreeMap<String, Vec<u8>>,
    /// The last ACCEPT for each token.
    accepts: BTreeMap<String, Vec<u8>>,
    starts: u8,
}

pub fn run(table: &Table, script: &Script) -> Result<(), String> {
    let now = Duration::from_secs(1_000);
    let (kept, accepts) = (BTreeMap::new(), BTreeMap::new());
    let (gate, coordinator_ms) = (start(table, "first", now, table.start_ms, 0), table.start_ms);
    let mut run = Run { table, gate, now, coordinator_ms, version: 0, kept, accepts, starts: 0 };
    for (number, step) in script.steps.iter().enumerate() {
        let failed = |why| format!("step {number}, {:?}: {why}", step.what);
        run.step(step).map_err(failed)?;
        let players = run.gate.active_players();
        if players != step.players as usize {
            return Err(failed(format!("{players} players are in instead of {}", step.players)));
        }
    }
    Ok(())
}

fn start(table: &Table, server: &str, now: Duration, coordinator_ms: u64, starts: u8) -> Gate {
    let server = table.servers.iter().find(|known| known.name == server).unwrap();
    let config = GateConfig {
        process: ServerProcessId::from_bytes(bytes(&server.process_id)),
        gate_root: GateRoot::from_bytes(bytes(&server.gate_root)),
        holder_root: HolderRoot::from_bytes(bytes(&server.holder_root)),
        secret_seed: [starts; 32],
    };
    let mut gate = Gate::new(config, now);
    gate.sync_clock(now, coordinator_ms);
    gate
}

impl Run<'_> {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        match &step.what {
            Do::Want(wanted) => {
                self.version += 1;
                self.gate.apply(self.now, to_wire(wanted, self.version));
            }
            Do::Activate => self.gate.activate(self.now).map_err(|error| error.to_string())?,
            Do::EndSession => self.gate.end_session(self.now),
            Do::Pass { us } => {
                self.now += Duration::from_micros(*us);
                self.coordinator_ms += us / 1_000;
                self.gate.handle_timeout(self.now);
            }
            Do::Sync { coordinator_ms } => self.gate.sync_clock(self.now, *coordinator_ms),
            Do::Beat { floor_ms } => {
                let floor = self.gate.beat(self.now, true).floor_ms;
                return if floor == *floor_ms { Ok(()) } else { Err(format!("the floor is {floor}")) };
            }
            Do::Restart { server } => {
                self.starts += 1;
                self.gate = start(self.table, server, self.now, self.coordinator_ms, self.starts);
            }
            Do::Disconnected { player } => self.gate.disconnected(self.now, self.player(player)),
            Do::Leave { player } => self.gate.leave(self.now, self.player(player)),
            Do::Hello { from, nonce, token, keep } => {
                let datagram = [b"PG1H", &bytes::<16>(nonce)[..], &hex(&self.token(token).token)].concat();
                let reply = self.send(step, from, &datagram, token)?;
                self.kept.insert(keep.clone(), reply);
            }
            Do::Make(proof) => {
                let datagram = self.make(proof);
                self.kept.insert(format!("PROOF {}", proof.keep), datagram);
                self.kept.insert(format!("token of {}", proof.keep), proof.token.clone().into_bytes());
            }
            Do::Send { from, datagram } => {
                let token = String::from_utf8(self.kept[&format!("token of {datagram}")].clone()).unwrap();
                let datagram = self.kept[&format!("PROOF {datagram}")].clone();
                self.send(step, from, &datagram, &token)?;
            }
            Do::Raw { from, bytes } => drop(self.send(step, from, &hex(bytes), "ann")?),
            Do::Admit { connection, token } => self.admit(step, *connection, token)?,
        }
        Ok(())
    }

    fn token(&self, name: &str) -> &Token {
        self.table.tokens.iter().find(|token| token.name == name).unwrap_or_else(|| panic!("no token {name}"))
    }

    fn player(&self, token: &str) -> PlayerSessionId {
        PlayerSessionId::from_bytes(bytes(&self.token(token).player_session_id))
    }

    fn make(&self, proof: &Proof) -> Vec<u8> {
        let challenge = &self.kept[&proof.challenge];
        let token = self.token(&proof.token);
        let nonce = proof.nonce.as_ref().map_or(challenge[4..20].to_vec(), |nonce| hex(nonce));
        let time = u64::from_le_bytes(challenge[20..28].try_into().unwrap());
        let time = time.wrapping_add_signed(proof.later_us.unwrap_or(0));
        let mut mac = challenge[28..44].to_vec();
        for (byte, xor) in mac.iter_mut().zip(proof.mac_xor.iter().flat_map(|xor| hex(xor))) {
            *byte ^= xor;
        }
        let mut datagram = [b"PG1P", &nonce[..], &hex(&token.token), &time.to_le_bytes(), &mac].concat();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &hex(proof.key.as_ref().unwrap_or(&token.proof_key)));
        let domain = proof.domain.as_deref().unwrap_or("playgate v1 handshake proof");
        let seal = hmac::sign(&key, &[domain.as_bytes(), &datagram].concat());
        datagram.extend(seal.as_ref());
        if let Some(at) = proof.xor_at {
            let at = if at < 0 { datagram.len() - at.unsigned_abs() as usize } else { at as usize };
            datagram[at] ^= 1;
        }
        datagram.truncate(datagram.len() - proof.cut.unwrap_or(0));
        datagram.extend(proof.append.iter().flat_map(|more| hex(more)));
        datagram
    }

    /// Sends, and compares verdict and answer with what is expected. Gives the answer.
    fn send(&mut self, step: &Step, from: &str, datagram: &[u8], token: &str) -> Result<Vec<u8>, String> {
        let mut reply = ReplyBuf::new();
        let verdict = self.gate.handle(self.now, from.parse().unwrap(), datagram, &mut reply);
        let reply = reply.as_slice().to_vec();
        let outcome = match verdict {
            Verdict::NotOurs => "not_ours",
            Verdict::Reply if reply.starts_with(b"PG1C") => "challenge",
            Verdict::Reply => "repeated",
            Verdict::Admitted(_) => "admitted",
            Verdict::Refused(reason) => reason.as_str(),
        };
        let expect = step.expect.as_deref().unwrap();
        if outcome != expect {
            return Err(format!("{outcome} instead of {expect}"));
        }
        let answer = match expect {
            "challenge" => [b"PG1C", &datagram[4..20], &reply[20..]].concat(),
            "admitted" => self.sealed(datagram, token, b"PG1A", &step.generation.unwrap().to_le_bytes()),
            "repeated" => self.accepts[token].clone(),
            _ => step.refuse.map(|code| self.sealed(datagram, token, b"PG1R", &[code])).unwrap_or_default(),
        };
        if expect == "admitted" {
            self.accepts.insert(token.to_owned(), answer.clone());
        }
        if reply == answer { Ok(reply) } else { Err(format!("answered {reply:02x?} instead of {answer:02x?}")) }
    }

    /// ACCEPT or REFUSE to this PROOF.
    fn sealed(&self, proof: &[u8], token: &str, magic: &[u8; 4], rest: &[u8]) -> Vec<u8> {
        let token = self.token(token);
        let time = 20 + token.token.len() / 2;
        let answer = [magic, &proof[4..20], &proof[time..time + 8], rest].concat();
        let domain = if magic == b"PG1A" { "playgate v1 handshake accept" } else { "playgate v1 handshake refuse" };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &hex(&token.server_key));
        let seal = hmac::sign(&key, &[domain.as_bytes(), &answer].concat());
        [&answer[..], seal.as_ref()].concat()
    }

    fn admit(&mut self, step: &Step, connection: u64, token: &str) -> Result<(), String> {
        let bytes = hex(&self.token(token).token);
        let admitted = self.gate.admit(self.now, connection, &bytes).map(|admission| admission.generation);
        let expected = match (step.expect.as_deref().unwrap(), step.generation) {
            ("admitted" | "repeated", Some(generation)) => Ok(generation),
            (reason, _) => Err(reason),
        };
        let outcome = admitted.map_err(|reason| reason.as_str());
        if outcome == expected { Ok(()) } else { Err(format!("{outcome:?} instead of {expected:?}")) }
    }
}

fn to_wire(wanted: &Wanted, version: u64) -> wire::Wanted {
    let key =
        |key: &super::format::PublicKey| wire::VerifyingKey { key_id: key.key_id, public_key: bytes(&key.public_key) };
    wire::Wanted {
        version,
        keys: List::new(wanted.public_keys.iter().map(key).collect()).unwrap(),
        gate_epoch: wanted.gate_epoch,
        min_epoch: wanted.min_epoch,
        session: wanted.session.as_ref().map(session_to_wire),
        terminate_by_ms: None,
    }
}

fn session_to_wire(session: &WantedSession) -> wire::WantedSession {
    let revoked = session.revoked.iter().map(|revoked| wire::Revoked {
        ordinal: revoked.ordinal,
        player_session: PlayerSessionId::from_bytes(bytes(&revoked.player_session_id)),
    });
    wire::WantedSession {
        id: GameSessionId::from_bytes(bytes(&session.game_session_id)),
        attempt: session.attempt,
        name: Name::default(),
        max_players: session.max_players,
        properties: List::default(),
        data: Blob::default(),
        policy: wire::AdmissionPolicy {
            rejoin_grace_ms: session.rejoin_grace_ms,
            bearer: session.bearer,
            tell_reason: session.tell_reason,
        },
        revoked: List::new(revoked.collect()).unwrap(),
        end_by_ms: None,
    }
}

fn hex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().unwrap()
}
