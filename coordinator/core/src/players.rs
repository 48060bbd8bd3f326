//! Player sessions: slots are reserved here, and freed only by what the server says.

use playgate_protocol::api::{CreatePlayerSessions, ErrorCode, GameSessionStatus, PlayerSessionStatus, ProcessStatus};
use playgate_protocol::limits::{ORDINALS_PER_SESSION_MAX, RESERVATION_MS_MAX, RESERVATION_MS_MIN, REVOKED_MAX};
use playgate_protocol::reason::PlayerEnd;
use playgate_protocol::server::{PlayerOutcome, Revoked};
use playgate_protocol::{GameSessionId, PlayerSessionId, ServerProcessId, TimeMs};

use crate::calls::request_sha256;
use crate::core::{Core, Refused, RowKey, refused};
use crate::fleet::RelayMode;
use crate::io::TicketOrder;
use crate::limits::{ORDINAL_BLOCK, PLAYER_RETENTION_MS};
use crate::player_state::{PlayerStep, after};
use crate::rows::PlayerSessionRow;
use crate::timers::Timer;

impl Core {
    /// Reserves slots for all players of the request or for none; the same request again finds the ones it made.
    pub(crate) fn create_player_sessions(&mut self, call: &CreatePlayerSessions) -> Result<Vec<TicketOrder>, Refused> {
        let sha256 = request_sha256(call);
        let request = (call.session, call.idempotency_key.as_str().to_owned());
        if let Some(made) = self.player_requests.get(&request).cloned() {
            if made.iter().any(|id| self.players[id].request_sha256 != sha256) {
                return Err(refused(
                    ErrorCode::IdempotentParameterMismatch,
                    "this idempotency key reserved for another request; use a new key for a new request",
                ));
            }
            if made.len() != call.players.len() {
                return Err(refused(
                    ErrorCode::PlayerSessionOver,
                    "player sessions of this request are over; reserve anew",
                ));
            }
            return made.into_iter().map(|id| self.ticket_order(id)).collect();
        }
        let (process, key_id, gate_epoch) = self.check_reserve(call)?;
        self.choose_relay(&self.fleet(&self.processes[&process].row.fleet).config)?;
        let lifetime = match call.reservation_ms {
            Some(ms) => u64::from(ms),
            None => self.processes[&process].fleet.reservation_timeout.0,
        };
        // A server whose clock is a little ahead must not find the token expired before it is used.
        let servers_now = self.processes[&process].floor.map_or(self.now, |(floor, _)| floor.max(self.now));
        let expires_at_ms = (servers_now + lifetime).min(self.now + RESERVATION_MS_MAX);
        let mut made = Vec::with_capacity(call.players.len());
        for new in &call.players {
            let (shard, time, random) = self.id_parts();
            let id = PlayerSessionId::from_parts(shard, time, random);
            let ordinal = self.next_ordinal(call.session);
            self.add_player(PlayerSessionRow {
                id,
                game_session: call.session,
                player: new.player.clone(),
                data: new.data.clone(),
                status: PlayerSessionStatus::Reserved,
                ordinal,
                key_id,
                gate_epoch,
                created_ms: self.now,
                expires_at_ms,
                revoking: false,
                idempotency_key: call.idempotency_key.clone(),
                request_sha256: sha256,
                generation: 0,
                reason: None,
                joined_ms: None,
                ended_ms: None,
            });
            self.mark(RowKey::PlayerSession(id));
            made.push(id);
        }
        self.player_requests.insert(request, made.clone());
        made.into_iter().map(|id| self.ticket_order(id)).collect()
    }

    /// All conditions of a reservation, and the process, key and epoch its tokens are for.
    fn check_reserve(&self, call: &CreatePlayerSessions) -> Result<(ServerProcessId, u16, u16), Refused> {
        self.room_for_new_facts()?;
        let Some(known) = self.sessions.get(&call.session) else {
            return Err(refused(ErrorCode::NotFound, &format!("no game session {}", call.session)));
        };
        if call.players.is_empty() || call.idempotency_key.is_empty() {
            return Err(refused(ErrorCode::InvalidRequest, "at least one player and an idempotency key are needed"));
        }
        let lifetime_is_right = |ms: u32| (RESERVATION_MS_MIN..=RESERVATION_MS_MAX).contains(&u64::from(ms));
        if !call.reservation_ms.is_none_or(lifetime_is_right) {
            return Err(refused(ErrorCode::InvalidRequest, "a reservation lives 1 s to 1 h"));
        }
        if known.row.status != GameSessionStatus::Active {
            let text = format!(
                "game session {} is {:?}; players can be added while it is Active",
                call.session, known.row.status
            );
            return Err(refused(ErrorCode::InvalidGameSessionStatus, &text));
        }
        let process = known.row.process.and_then(|process| self.processes.get(&process));
        let process = process.filter(|process| {
            process.row.status == ProcessStatus::Hosting && process.link.is_some() && !process.floor_ahead
        });
        let Some((process, (key_id, gate_epoch))) = process.and_then(|process| Some((process, process.minting?)))
        else {
            return Err(refused(
                ErrorCode::ServerUnavailable,
                "the game server is not connected at present, is being stopped, or its clock runs ahead",
            ));
        };
        let mut names: Vec<_> = call.players.iter().map(|new| &new.player).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(refused(
                ErrorCode::InvalidRequest,
                &format!("player {} is named twice in one request", twice[0]),
            ));
        }
        if let Some(holder) = names.into_iter().find(|player| known.live.contains_key(*player)) {
            let text = format!(
                "player {holder} holds {} in this game session; get its ticket again, or revoke it",
                known.live[holder]
            );
            return Err(refused(ErrorCode::AlreadyReserved, &text));
        }
        let free = usize::from(known.row.max_players).saturating_sub(known.live.len());
        if call.players.len() > free {
            let text = format!("{free} of {} slots are free, {} are needed", known.row.max_players, call.players.len());
            return Err(refused(ErrorCode::GameSessionFull, &text));
        }
        let needed = u32::try_from(call.players.len()).unwrap_or(u32::MAX);
        if known.next_ordinal.saturating_add(needed) > ORDINALS_PER_SESSION_MAX {
            return Err(refused(
                ErrorCode::GameSessionFull,
                "this game session has handed out a million tokens; start another",
            ));
        }
        self.room_for_players(call.players.len())?;
        Ok((process.row.id, key_id, gate_epoch))
    }

    /// Never the same twice, also across restarts: whole blocks are written down before any of them is used.
    fn next_ordinal(&mut self, session: GameSessionId) -> u32 {
        let known = self.sessions.get_mut(&session).expect("checked before");
        let ordinal = known.next_ordinal;
        known.next_ordinal += 1;
        if known.next_ordinal > known.row.ordinal_high {
            known.row.ordinal_high += ORDINAL_BLOCK;
            self.mark(RowKey::GameSession(session));
        }
        ordinal
    }

    /// Takes a player session into memory and all its indexes.
    pub(crate) fn add_player(&mut self, row: PlayerSessionRow) {
        let Some(session) = self.sessions.get_mut(&row.game_session) else { return };
        session.players.insert(row.id);
        if row.ended_ms.is_none() {
            session.live.insert(row.player.clone(), row.id);
            match row.status {
                PlayerSessionStatus::Active => session.active += 1,
                _ => {
                    session.expiries.insert((row.expires_at_ms, row.id));
                }
            }
        }
        self.players.insert(row.id, row);
    }

    /// What the ticket of a live player session is made of: always the same token, and the way of this moment.
    pub(crate) fn ticket_order(&mut self, player: PlayerSessionId) -> Result<TicketOrder, Refused> {
        let Some(row) = self.players.get(&player) else {
            return Err(refused(ErrorCode::NotFound, &format!("no player session {player}")));
        };
        let process = self.sessions[&row.game_session].row.process.and_then(|process| self.processes.get(&process));
        let (Some(process), None) = (process, row.ended_ms) else {
            return Err(refused(
                ErrorCode::PlayerSessionOver,
                &format!("player session {player} is over; reserve anew"),
            ));
        };
        let fleet = std::sync::Arc::clone(&self.fleet(&process.row.fleet).config);
        let (player_session, process, address, bearer) = (
            row.clone(),
            process.row.id,
            process.row.address.expect("a process that hosts has been ready, with an address"),
            process.fleet.admission_policy().bearer,
        );
        let relay = self.relay_order(&fleet, player_session.expires_at_ms)?;
        let is_direct = fleet.relay != RelayMode::Required;
        Ok(TicketOrder { player_session, process, address, is_direct, relay, bearer })
    }

    /// What the server says became of a player.
    pub(crate) fn player_report(
        &mut self,
        session: GameSessionId,
        player: PlayerSessionId,
        outcome: PlayerOutcome,
    ) -> bool {
        let Some(row) = self.players.get_mut(&player).filter(|row| row.game_session == session) else { return false };
        match outcome {
            PlayerOutcome::Active { generation, joined_ms } => {
                let Some(status) = after(row.status, PlayerStep::Join) else { return false };
                let first = row.status == PlayerSessionStatus::Reserved;
                row.status = status;
                row.generation = row.generation.max(generation);
                row.joined_ms.get_or_insert(joined_ms);
                let expiry = (row.expires_at_ms, player);
                self.mark(RowKey::PlayerSession(player));
                if first {
                    let known = self.sessions.get_mut(&session).expect("a player's session is remembered");
                    known.active += 1;
                    known.expiries.remove(&expiry);
                }
                true
            }
            PlayerOutcome::Completed { reason, joined_ms, left_ms } => {
                if after(row.status, PlayerStep::Complete).is_none() {
                    return false;
                }
                row.joined_ms.get_or_insert(joined_ms);
                self.end_player(player, PlayerStep::Complete, Some(reason), left_ms)
            }
            PlayerOutcome::Blocked if row.status == PlayerSessionStatus::Reserved && row.revoking => {
                let now = self.now;
                self.end_player(player, PlayerStep::Complete, Some(PlayerEnd::Revoked), now)
            }
            // The answer crossed the floor that timed the reservation out.
            PlayerOutcome::Blocked => row.ended_ms.is_some() && row.joined_ms.is_none(),
        }
    }

    /// Frees the slot of a player session, once.
    fn end_player(&mut self, player: PlayerSessionId, step: PlayerStep, reason: Option<PlayerEnd>, at: TimeMs) -> bool {
        let now = self.now;
        let Some(row) = self.players.get_mut(&player) else { return false };
        let Some(status) = after(row.status, step) else { return false };
        let was_active = row.status == PlayerSessionStatus::Active;
        row.status = status;
        row.reason = reason;
        row.ended_ms = Some(at.min(now));
        let (session, name, expiry, was_revoking) =
            (row.game_session, row.player.clone(), row.expires_at_ms, row.revoking);
        row.revoking = false;
        let known = self.sessions.get_mut(&session).expect("a player's session is remembered");
        known.live.remove(&name);
        known.expiries.remove(&(expiry, player));
        known.active -= u16::from(was_active);
        self.mark(RowKey::PlayerSession(player));
        self.timers.set(Timer::ForgetPlayer(player), now + PLAYER_RETENTION_MS);
        self.end_flow(player);
        self.player_addresses.remove(&player);
        if was_revoking {
            self.answer_player_waiters(player);
        }
        true
    }

    /// Reservations that can no longer be used: the server will admit none that expires at or before its floor, and
    /// every admission before is in a report that has been applied.
    pub(crate) fn expire_below_floor(&mut self, process: ServerProcessId) {
        let Some(known) = self.processes.get(&process) else { return };
        let (Some((floor, through_seq)), Some(session)) = (known.floor, known.row.session) else { return };
        if through_seq > known.row.applied_seq {
            return;
        }
        let Some(hosted) = self.sessions.get(&session) else { return };
        let over: Vec<PlayerSessionId> =
            hosted.expiries.iter().take_while(|(at, _)| *at <= floor).map(|(_, id)| *id).collect();
        for player in over {
            let (step, reason) = match self.players[&player].revoking {
                true => (PlayerStep::Complete, Some(PlayerEnd::Revoked)),
                false => (PlayerStep::Expire, None),
            };
            self.end_player(player, step, reason, self.now);
        }
    }

    pub(crate) fn complete_all_players(&mut self, session: GameSessionId) {
        let live: Vec<PlayerSessionId> = self.sessions[&session].live.values().copied().collect();
        for player in live {
            self.end_player(player, PlayerStep::Complete, Some(PlayerEnd::SessionEnded), self.now);
        }
    }

    /// Asks the server to block a token or remove a player; its answer frees the slot.
    pub(crate) fn revoke(&mut self, player: PlayerSessionId) -> Result<(), Refused> {
        let Some(row) = self.players.get_mut(&player) else {
            return Err(refused(ErrorCode::NotFound, &format!("no player session {player}")));
        };
        if row.ended_ms.is_some() || row.revoking {
            return Ok(());
        }
        let session = row.game_session;
        if self.revoking(session).count() >= REVOKED_MAX {
            return Err(refused(ErrorCode::Busy, "too many revocations await the server's answer"));
        }
        self.players.get_mut(&player).expect("looked up above").revoking = true;
        self.mark(RowKey::PlayerSession(player));
        self.end_flow(player);
        if let Some(process) = self.sessions[&session].row.process {
            self.send_wanted(process);
        }
        Ok(())
    }

    /// Revocations that the server has not answered.
    pub(crate) fn revoking(&self, session: GameSessionId) -> impl Iterator<Item = Revoked> + '_ {
        let live = self.sessions.get(&session).into_iter().flat_map(|known| known.live.values());
        let rows = live.filter_map(|id| self.players.get(id)).filter(|row| row.revoking);
        rows.map(|row| Revoked { ordinal: row.ordinal, player_session: row.id })
    }

    pub(crate) fn forget_player(&mut self, player: PlayerSessionId) {
        let Some(row) = self.players.remove(&player) else { return };
        if let Some(session) = self.sessions.get_mut(&row.game_session) {
            session.players.remove(&player);
        }
        let request = (row.game_session, row.idempotency_key.as_str().to_owned());
        if let Some(made) = self.player_requests.get_mut(&request) {
            made.retain(|id| *id != player);
            if made.is_empty() {
                self.player_requests.remove(&request);
            }
        }
        self.timers.cancel(&Timer::ForgetPlayer(player));
        self.mark(RowKey::PlayerSession(player));
    }
}
