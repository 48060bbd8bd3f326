//! Relays: which of them a ticket names, their secrets, and which of their flows are over.

use std::net::{IpAddr, SocketAddr};

use playgate_protocol::api::{Answer, ErrorCode, EventKind, RelayInfo, Subject};
use playgate_protocol::limits::RELAY_LIST_MAX;
use playgate_protocol::relay::{FlowRevocation, PASS_LIFE_MS, PlayerAt, RelayAddresses, RelayBeat, RelayDown, RelayUp};
use playgate_protocol::server::ServerDown;
use playgate_protocol::{List, Name, PlayerSessionId, RefusalReason, RelayId, ServerProcessId, TimeMs};

use crate::core::{Core, Refused, RowKey, refused};
use crate::fleet::{FleetConfig, RelayMode};
use crate::io::{LinkId, Output, RelayOrder};
use crate::limits::{FLOOR_AHEAD_MS_MAX, FLOW_FAREWELL_MS, FLOW_LIFE_MS, RELAY_SECRET_MS, RELAYS_MAX};
use crate::rows::{Identity, RelayRow};
use crate::timers::Timer;

#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) row: RelayRow,
    pub(crate) link: Option<LinkId>,
    /// Number of the newest secret that it said it opens passes with.
    held: u32,
    beat: Option<RelayBeat>,
    /// Tickets that led through it since that beat.
    named: u32,
}

impl Relay {
    pub(crate) fn new(row: RelayRow) -> Self {
        Self { row, link: None, held: 0, beat: None, named: 0 }
    }

    /// The secret that passes are sealed with: the newest that the relay has. One behind the newest is still taken. One that
    /// was never made here, but before a backup was restored, is none.
    fn sealing(&self) -> Option<u32> {
        let newest = self.row.secret;
        (newest.saturating_sub(1).max(1)..=newest).contains(&self.held).then_some(self.held)
    }

    /// How full it is, in parts of 65,536; `None` where it takes nobody.
    fn load(&self) -> Option<u64> {
        let beat = self.beat.filter(|beat| !beat.is_draining && beat.flows < beat.flows_max)?;
        self.link?;
        Some(((u64::from(beat.flows) + u64::from(self.named)) << 16) / u64::from(beat.flows_max))
    }
}

impl Core {
    pub(crate) fn new_relay(&mut self, name: Name) -> Result<RelayId, (RefusalReason, String)> {
        if self.relays.len() == RELAYS_MAX {
            return Err((RefusalReason::Busy, format!("this coordinator has {RELAYS_MAX} relays already")));
        }
        let (shard, time, random) = self.id_parts();
        let id = RelayId::from_parts(shard, time, random);
        let row = RelayRow { id, name, addresses: RelayAddresses::default(), secret: 1, rotated_ms: self.now };
        self.relays.insert(id, Relay::new(row));
        self.mark(RowKey::Relay(id));
        Ok(id)
    }

    pub(crate) fn relay_up(
        &mut self,
        link: LinkId,
        relay: RelayId,
        name: Name,
        addresses: &[SocketAddr],
        held: u32,
        from: IpAddr,
    ) {
        // An address of no interface stands for the one that the relay's link comes from.
        let reached = |address: &SocketAddr| match address.ip().is_unspecified() {
            true => SocketAddr::new(from.to_canonical(), address.port()),
            false => *address,
        };
        let addresses = RelayAddresses::first_of(addresses.iter().map(reached));
        let known = self.relays.get_mut(&relay).expect("a relay's identity names a relay");
        (known.link, known.held, known.beat) = (Some(link), held, None);
        let detail = format!("{name} at {addresses:?}");
        let row = RelayRow { name, addresses, ..known.row.clone() };
        if row != known.row {
            known.row = row;
            self.mark(RowKey::Relay(relay));
        }
        self.event(EventKind::RelayConnected, Subject::Relay(relay), &detail);
        let due = self.relays[&relay].row.rotated_ms.saturating_add(RELAY_SECRET_MS);
        if due <= self.now {
            return self.rotate_relay(relay);
        }
        self.timers.set(Timer::RotateRelay(relay), due);
        self.give_secrets(relay);
    }

    pub(crate) fn relay_down(&mut self, relay: RelayId) {
        if let Some(known) = self.relays.get_mut(&relay) {
            (known.link, known.beat) = (None, None);
            self.timers.cancel(&Timer::RotateRelay(relay));
            let what = "its players play on; tickets name it again when it is back";
            self.event(EventKind::RelayDisconnected, Subject::Relay(relay), what);
        }
    }

    /// A secret is new only for a relay that is there to get it, or on an operator's word.
    pub(crate) fn rotate_relay(&mut self, relay: RelayId) {
        let now = self.now;
        let Some(known) = self.relays.get_mut(&relay) else { return };
        known.row.secret = known.row.secret.saturating_add(1);
        known.row.rotated_ms = now;
        let (number, is_linked) = (known.row.secret, known.link.is_some());
        self.mark(RowKey::Relay(relay));
        self.event(EventKind::RelaySecretRotated, Subject::Relay(relay), &format!("number {number}"));
        if is_linked {
            self.timers.set(Timer::RotateRelay(relay), now + RELAY_SECRET_MS);
            self.give_secrets(relay);
        }
    }

    fn give_secrets(&mut self, relay: RelayId) {
        let known = &self.relays[&relay];
        if let Some(link) = known.link {
            self.output(Output::RelaySecrets { link, relay, number: known.row.secret });
        }
    }

    pub(crate) fn relay_said(&mut self, link: LinkId, message: RelayUp) {
        let Some(Identity::Relay(relay)) = self.links.get(&link).copied() else { return };
        match message {
            RelayUp::Beat(beat) => {
                let known = self.relays.get_mut(&relay).expect("a relay's identity names a relay");
                (known.held, known.beat, known.named) = (beat.secret, Some(beat), 0);
                self.output(Output::Relay(link, RelayDown::Clock { now_ms: self.now }));
            }
            RelayUp::Players(players) => self.flows_are_open(link, &players),
        }
    }

    /// Servers learn where their players are; flows of nobody are ended.
    fn flows_are_open(&mut self, link: LinkId, players: &[PlayerAt]) {
        let mut over = Vec::new();
        for PlayerAt { player_session, process, address } in players {
            if !self.may_have_a_flow(*player_session) {
                over.push(self.revocation(*player_session));
                continue;
            }
            if self.player_addresses.insert(*player_session, *address) == Some(*address) {
                continue;
            }
            let session = self.players.get(player_session).map(|row| row.game_session);
            let hosted_by = session.and_then(|session| self.sessions.get(&session)?.row.process);
            let server = hosted_by.filter(|hosted_by| hosted_by == process);
            if let Some(link) = server.and_then(|process| self.processes.get(&process)?.link) {
                let (player_session, address) = (*player_session, *address);
                self.output(Output::Server(link, ServerDown::PlayerAt { player_session, address }));
            }
        }
        if !over.is_empty() {
            self.output(Output::Relay(link, RelayDown::Revoke(List::first_of(over))));
        }
    }

    /// A server that is back hears where its players are.
    pub(crate) fn tell_addresses(&mut self, link: LinkId, process: ServerProcessId) {
        let session = self.processes.get(&process).and_then(|known| self.sessions.get(&known.row.session?));
        let players: Vec<PlayerSessionId> =
            session.into_iter().flat_map(|known| known.live.values().copied()).collect();
        for player_session in players {
            if let Some(address) = self.player_addresses.get(&player_session).copied() {
                self.output(Output::Server(link, ServerDown::PlayerAt { player_session, address }));
            }
        }
    }

    fn may_have_a_flow(&self, player: PlayerSessionId) -> bool {
        self.players.get(&player).is_some_and(|row| row.ended_ms.is_none() && !row.revoking)
    }

    /// Until no pass of it opens anything: neither the one of a ticket nor one that a relay made.
    fn revocation(&self, player_session: PlayerSessionId) -> FlowRevocation {
        let expires = self.players.get(&player_session).map_or(0, |row| row.expires_at_ms);
        let until_ms = expires.max(self.now + PASS_LIFE_MS) + FLOOR_AHEAD_MS_MAX;
        FlowRevocation { player_session, until_ms }
    }

    /// A player is not to be let through any more: at once if he was never in, otherwise when the game has told him.
    /// Relays that are not linked ask when they are back.
    pub(crate) fn end_flow(&mut self, player: PlayerSessionId) {
        let Some(row) = self.players.get(&player) else { return };
        let fleet = self.sessions.get(&row.game_session).map(|session| &session.row.fleet);
        // A fleet that is not relayed any more may have players who came when it was.
        let is_relayed = fleet.is_some_and(|fleet| self.fleet(fleet).config.relay != RelayMode::Off)
            || self.player_addresses.contains_key(&player);
        if !is_relayed || self.relays.values().all(|relay| relay.link.is_none()) {
            return;
        }
        if row.joined_ms.is_none() {
            let revocation = self.revocation(player);
            return self.flows_over.push(revocation);
        }
        let at = self.now + FLOW_FAREWELL_MS;
        self.flows_ending.insert((at, player));
        self.timers.set_if_unset(Timer::EndFlows, at);
    }

    pub(crate) fn end_flows(&mut self) {
        while let Some((at, player)) = self.flows_ending.first().copied() {
            if at > self.now {
                return self.timers.set(Timer::EndFlows, at);
            }
            self.flows_ending.pop_first();
            let revocation = self.revocation(player);
            self.flows_over.push(revocation);
        }
    }

    /// At the end of a turn: whatever ended in it goes out in as few frames as hold it.
    pub(crate) fn put_revocations(&mut self) {
        let over = std::mem::take(&mut self.flows_over);
        let links: Vec<LinkId> = self.relays.values().filter_map(|relay| relay.link).collect();
        for part in over.chunks(RELAY_LIST_MAX) {
            for link in &links {
                self.output(Output::Relay(*link, RelayDown::Revoke(List::first_of(part.iter().copied()))));
            }
        }
    }

    /// The relay that a ticket of this fleet names, and the secret of its pass: the least busy one that takes players.
    ///
    /// # Errors
    /// When the fleet is reached through relays only and there is none.
    pub(crate) fn choose_relay(&self, fleet: &FleetConfig) -> Result<Option<(RelayId, u32)>, Refused> {
        if fleet.relay == RelayMode::Off {
            return Ok(None);
        }
        let loads = self.relays.iter().filter_map(|(id, relay)| Some((relay.load()?, *id, relay.sealing()?)));
        let chosen = loads.min().map(|(_, relay, secret)| (relay, secret));
        if chosen.is_none() && fleet.relay == RelayMode::Required {
            let text = format!(
                "fleet {} is reached through relays only, and none is connected that takes players; start one: \
                 playgate relay run",
                fleet.name
            );
            return Err(refused(ErrorCode::ServerUnavailable, &text));
        }
        Ok(chosen)
    }

    /// The way through it; counts as a player who is about to come.
    ///
    /// # Errors
    /// As [`Core::choose_relay`].
    pub(crate) fn relay_order(
        &mut self,
        fleet: &FleetConfig,
        expires_at_ms: TimeMs,
    ) -> Result<Option<RelayOrder>, Refused> {
        let Some((id, secret)) = self.choose_relay(fleet)? else { return Ok(None) };
        let relay = self.relays.get_mut(&id).expect("chosen among them");
        relay.named = relay.named.saturating_add(1);
        Ok(Some(RelayOrder {
            relay: id,
            secret,
            addresses: relay.row.addresses.clone(),
            use_by_ms: expires_at_ms.max(self.now + PASS_LIFE_MS),
            valid_until_ms: self.now + FLOW_LIFE_MS,
            packets_per_second: fleet.relay_packets_per_second,
            bytes_per_second: fleet.relay_bytes_per_second,
        }))
    }

    pub(crate) fn list_relays(&self) -> Answer {
        let info = |relay: &Relay| RelayInfo {
            id: relay.row.id,
            name: relay.row.name.clone(),
            connected: relay.link.is_some(),
            addresses: relay.row.addresses.clone(),
            secret: relay.row.secret,
            beat: relay.beat,
        };
        Answer::Relays(List::first_of(self.relays.values().map(info)))
    }

    pub(crate) fn rotate_relay_secret(&mut self, relay: RelayId) -> Result<Answer, Refused> {
        self.room_for_new_facts()?;
        if !self.relays.contains_key(&relay) {
            return Err(refused(ErrorCode::NotFound, &format!("no relay {relay}")));
        }
        self.rotate_relay(relay);
        Ok(Answer::Done)
    }
}
