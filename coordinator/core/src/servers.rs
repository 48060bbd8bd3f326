//! Messages of game servers: reports, beats, and the wanted state that answers them.

use std::net::{IpAddr, SocketAddr};

use playgate_protocol::api::{EventKind, GameSessionStatus, ProcessStatus, Subject};
use playgate_protocol::limits::{REVOKED_MAX, SIGNING_KEYS_MAX};
use playgate_protocol::reason::{ProcessEnd, SessionEnd};
use playgate_protocol::server::{
    AdmissionPolicy, Beat, Ports, Report, ReportBatch, ServerDown, ServerUp, VerifyingKey, Wanted, WantedSession,
};
use playgate_protocol::{GameSessionId, List, ServerProcessId, Text, TimeMs};

use crate::core::{Core, KeyOffer, RowKey};
use crate::io::{LinkId, Output};
use crate::limits::{FLOOR_AHEAD_MS_MAX, HELD_VERSION_MAX, UNWELL_AFTER_MS};
use crate::process_state::ProcessStep;
use crate::rows::{Identity, SigningKeyRow};
use crate::timers::Timer;

impl Core {
    pub(crate) fn apply_signing_key(&mut self, key_id: u16, public_key: [u8; 32]) {
        let row = SigningKeyRow { key_id, public_key };
        if self.signing_keys.contains(&row) {
            return;
        }
        self.signing_keys.retain(|key| key.key_id != key_id);
        self.signing_keys.push(row);
        self.mark(RowKey::SigningKey(key_id));
        let processes: Vec<ServerProcessId> = self.processes.keys().copied().collect();
        for process in processes {
            self.send_wanted(process);
        }
    }

    /// A key whose private half is gone must neither be minted under nor verify anything.
    pub(crate) fn keep_signing_keys(&mut self, held: &[u16]) {
        let withdrawn = self.signing_keys.extract_if(.., |key| !held.contains(&key.key_id));
        let withdrawn: Vec<u16> = withdrawn.map(|key| key.key_id).collect();
        withdrawn.into_iter().for_each(|key_id| self.mark(RowKey::SigningKey(key_id)));
    }

    pub(crate) fn server_up(
        &mut self,
        link: LinkId,
        process: ServerProcessId,
        held_version: u64,
        advertise: Option<IpAddr>,
        from: IpAddr,
    ) {
        let Some(known) = self.processes.get(&process) else { return };
        let of_host = known.row.host.and_then(|host| self.hosts[&host].row.address);
        let now = self.now;
        let known = self.processes.get_mut(&process).expect("looked up above");
        known.link = Some(link);
        known.unreachable_since = None;
        // After a restart the clock may be a little behind what the last versions were made from.
        known.wanted_version = known.wanted_version.max(held_version.min(HELD_VERSION_MAX));
        known.last_beat = now;
        known.advertise = advertise.or(of_host).or(Some(from));
        self.timers.cancel(&Timer::Lost(process));
        self.timers.set(Timer::Health(process), now + UNWELL_AFTER_MS);
        if self.step_process(process, ProcessStep::Connect) {
            self.event(EventKind::ProcessConnected, Subject::Process(process), "its SDK connected");
        }
        self.send_wanted(process);
        self.tell_addresses(link, process);
        self.place_waiting(process);
    }

    pub(crate) fn server_down(&mut self, process: ServerProcessId) {
        let now = self.now;
        let Some(known) = self.processes.get_mut(&process) else { return };
        known.link = None;
        if known.row.status == ProcessStatus::Ended {
            return;
        }
        known.unreachable_since = Some(now);
        // Out of reach, its health is unknown: it is kept until it is back, or lost.
        (known.unwell_since, known.bad_beats) = (None, 0);
        let lost_after = known.fleet.lost_after.0;
        self.timers.cancel(&Timer::Health(process));
        self.timers.cancel(&Timer::Unhealthy(process));
        self.timers.set(Timer::Lost(process), now + lost_after);
        self.event(
            EventKind::ProcessUnreachable,
            Subject::Process(process),
            "its link is down; players are admitted meanwhile",
        );
    }

    pub(crate) fn server_said(&mut self, link: LinkId, message: ServerUp) {
        let Some(Identity::Server(process)) = self.links.get(&link).copied() else { return };
        match message {
            ServerUp::Reports(batch) => self.server_reports(link, process, batch),
            ServerUp::Beat(beat) => self.beat(link, process, beat),
        }
    }

    fn server_reports(&mut self, link: LinkId, process: ServerProcessId, batch: ReportBatch) {
        let applied = self.processes[&process].row.applied_seq;
        let Some((through_seq, fresh)) = unapplied(applied, batch.first_seq, batch.reports.into_vec()) else {
            return self.violation(link, Subject::Process(process), "the server's reports have a gap");
        };
        // Before anything that closes the link, so that a server learns that its last word arrived.
        self.output(Output::Server(link, ServerDown::ReportAck { through_seq }));
        let known = self.processes.get_mut(&process).expect("processes are removed by a timer only");
        known.row.applied_seq = through_seq;
        self.mark(RowKey::Process(process));
        for report in fresh {
            self.server_report(process, report);
        }
        self.expire_below_floor(process);
    }

    fn server_report(&mut self, process: ServerProcessId, report: Report) {
        let hosted = self.processes[&process].row.session;
        let accepted = match report {
            Report::Ready { ports } => self.ready(process, ports),
            Report::Activated { session, attempt } => hosted == Some(session) && self.activated(session, attempt),
            Report::Player { session, player_session, outcome } => {
                hosted == Some(session) && self.player_report(session, player_session, outcome)
            }
            Report::SessionEnded { session, attempt } => {
                hosted == Some(session) && self.ended_by_game(session, attempt)
            }
            Report::Ending => {
                self.ending(process);
                true
            }
        };
        // Older attempts and sessions may still be spoken of by a server that was cut off; that changes nothing.
        if !accepted {
            self.event(
                EventKind::ProtocolViolation,
                Subject::Process(process),
                "a report that does not fit its state was ignored",
            );
        }
    }

    fn ready(&mut self, process: ServerProcessId, ports: Ports) -> bool {
        let now = self.now;
        let Some(known) = self.processes.get_mut(&process) else { return false };
        if known.row.status == ProcessStatus::Draining {
            return true;
        }
        let port = ports.first().copied().filter(|port| *port != 0);
        let (Some(ip), Some(port)) = (known.advertise, port) else { return false };
        if known.row.status != ProcessStatus::Connected {
            return false;
        }
        known.row.address = Some(SocketAddr::new(ip, port));
        known.row.ports = ports;
        known.row.ready_ms = Some(now);
        self.mark(RowKey::Process(process));
        self.become_ready(process);
        true
    }

    /// Ready is who said so and has acknowledged a signing key: a process that is shown as ready can host.
    fn become_ready(&mut self, process: ServerProcessId) {
        let known = &self.processes[&process];
        let (Some(_), Some(_), Some(address)) = (known.minting, known.row.ready_ms, known.row.address) else { return };
        let (fleet, host) = (known.row.fleet.clone(), known.row.host);
        if !self.step_process(process, ProcessStep::BeReady) {
            return;
        }
        self.timers.cancel(&Timer::Ready(process));
        self.event(EventKind::ProcessReady, Subject::Process(process), &format!("players reach it at {address}"));
        if let Some(host) = host {
            self.reconcile(&fleet, host); // the fleet may keep fewer by now
        }
        self.place_waiting(process);
    }

    /// It said that it is about to exit: the agent sees to it that it does.
    fn ending(&mut self, process: ServerProcessId) {
        let known = &self.processes[&process];
        let (exit_timeout, session) = (known.fleet.exit_timeout.0, known.row.session);
        if known.row.host.is_none() {
            let asked = known.row.drain.map(|drain| drain.reason);
            return self.end_process(process, asked.unwrap_or(ProcessEnd::Shutdown), None, Text::default());
        }
        // First this, so that nothing is placed on it when its session is over.
        self.drain(process, ProcessEnd::Shutdown, exit_timeout);
        if let Some(session) = session {
            self.session_lost_its_process(session, SessionEnd::ProcessEnded);
        }
    }

    fn beat(&mut self, link: LinkId, process: ServerProcessId, beat: Beat) {
        self.output(Output::Server(link, ServerDown::Clock { now_ms: self.now }));
        self.acknowledge_keys(process, beat.held_version);
        self.judge_floor(process, beat.floor_ms);
        let known = self.processes.get_mut(&process).expect("processes are removed by a timer only");
        known.floor = Some((beat.floor_ms, beat.through_seq));
        self.expire_below_floor(process);
        self.compare_views(process, beat);
        self.judge_health(process, beat.healthy);
    }

    /// Tokens are minted only under a key id and an epoch that this very process has acknowledged.
    fn acknowledge_keys(&mut self, process: ServerProcessId, held_version: u64) {
        let Some(known) = self.processes.get_mut(&process) else { return };
        let was_fit = known.minting.is_some();
        while let Some(offer) = known.offers.front().copied().filter(|offer| offer.version <= held_version) {
            known.offers.pop_front();
            known.minting = Some((offer.key_id, offer.gate_epoch));
        }
        if !was_fit && known.minting.is_some() {
            self.become_ready(process);
            self.place_waiting(process);
        }
    }

    /// A server whose clock runs ahead would time reservations out too early.
    fn judge_floor(&mut self, process: ServerProcessId, floor_ms: TimeMs) {
        let ahead = floor_ms > self.now.saturating_add(FLOOR_AHEAD_MS_MAX);
        let Some(known) = self.processes.get_mut(&process) else { return };
        if ahead && !known.floor_ahead {
            let by = floor_ms - self.now;
            let what = format!("its clock runs {by} ms ahead: no reservations until it is right");
            known.floor_ahead = true;
            self.event(EventKind::ClockSkew, Subject::Process(process), &what);
        } else if !ahead && std::mem::take(&mut known.floor_ahead) {
            self.place_waiting(process);
        }
    }

    /// With all reports applied, both sides must count the same players. This only checks; reports decide.
    fn compare_views(&mut self, process: ServerProcessId, beat: Beat) {
        let Some(known) = self.processes.get(&process).filter(|known| known.row.applied_seq == beat.through_seq) else {
            return;
        };
        let session = known.row.session.and_then(|session| self.sessions.get(&session));
        let ours = session.map_or(0, |session| u32::from(session.active));
        let settled = session.is_none_or(|session| session.row.status == GameSessionStatus::Active);
        let settled = settled && !self.wanted_due.contains(&process);
        let differ = settled && beat.held_version >= known.wanted_version && ours != beat.players;
        if differ && !known.views_differ {
            let what = format!("the server counts {} players, the coordinator {ours}", beat.players);
            self.event(EventKind::ProtocolViolation, Subject::Process(process), &what);
        }
        self.processes.get_mut(&process).expect("looked up above").views_differ = differ;
    }

    /// Tells a server what it should be doing, once this turn, if its link is up; otherwise it learns when it comes
    /// back.
    pub(crate) fn send_wanted(&mut self, process: ServerProcessId) {
        self.wanted_due.insert(process);
    }

    pub(crate) fn put_wanted(&mut self, process: ServerProcessId) {
        let Some(known) = self.processes.get(&process) else { return };
        let Some(link) = known.link else { return };
        let gate_epoch = known.row.gate_epoch;
        let policy = known.fleet.admission_policy();
        let session = known.row.session.and_then(|session| self.wanted_session(session, policy));
        let keys = self.signing_keys.iter().rev().take(SIGNING_KEYS_MAX);
        let keys = keys.map(|key| VerifyingKey { key_id: key.key_id, public_key: key.public_key });
        let wanted = Wanted {
            version: (known.wanted_version + 1).max(self.now),
            keys: List::first_of(keys),
            gate_epoch,
            min_epoch: gate_epoch,
            session,
            terminate_by_ms: known.row.drain.map(|drain| drain.deadline_ms),
        };
        let newest = self.signing_keys.last().map(|key| key.key_id);
        let known = self.processes.get_mut(&process).expect("looked up above");
        known.wanted_version = wanted.version;
        if let Some(key_id) = newest {
            let offer = KeyOffer { version: wanted.version, key_id, gate_epoch };
            let repeated =
                known.offers.back().is_some_and(|last| (last.key_id, last.gate_epoch) == (key_id, gate_epoch));
            if !repeated && (!known.offers.is_empty() || known.minting != Some((key_id, gate_epoch))) {
                known.offers.push_back(offer);
            }
        }
        self.output(Output::Server(link, ServerDown::Wanted(wanted)));
    }

    fn wanted_session(&self, session: GameSessionId, policy: AdmissionPolicy) -> Option<WantedSession> {
        let known = self.sessions.get(&session)?;
        Some(WantedSession {
            id: session,
            attempt: known.row.attempt,
            name: known.row.name.clone(),
            max_players: known.row.max_players,
            properties: known.row.properties.clone(),
            data: known.row.data.clone(),
            policy,
            revoked: List::<_, REVOKED_MAX>::first_of(self.revoking(session)),
            end_by_ms: known.row.end_by_ms,
        })
    }
}

/// The number of the last report of a batch, and those that were not applied before. `None` when some between are
/// missing, or when it does not count from 1.
pub(crate) fn unapplied<T>(applied: u64, first_seq: u64, reports: Vec<T>) -> Option<(u64, impl Iterator<Item = T>)> {
    if first_seq == 0 || first_seq > applied.saturating_add(1) {
        return None;
    }
    let through_seq = first_seq.saturating_add(reports.len() as u64) - 1;
    let known = usize::try_from(applied + 1 - first_seq).unwrap_or(usize::MAX);
    Some((through_seq.max(applied), reports.into_iter().skip(known)))
}
