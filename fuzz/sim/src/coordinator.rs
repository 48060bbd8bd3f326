//! The coordinator: the real core behind a simulated disk. Rows are gathered while a batch is being written; outputs
//! leave only when the batch with their rows is durable. The rule of `coordinator/src/driver.rs`.

use std::collections::{BTreeMap, BTreeSet};

use playgate_core::limits::Bounds;
use playgate_core::rows::Row;
use playgate_core::{Core, Input, LinkId, Output, Start, Turn, Welcomed};
use playgate_protocol::server::ServerDown;
use playgate_protocol::{Fingerprint, ServerProcessId};

use crate::clock::{CoordinatorClock, MS, Micros, Monotonic, SECOND};
use crate::disk::Image;
use crate::event::Ev;
use crate::ledger::Cause;
use crate::net::Peer;
use crate::rng::Rng;
use crate::trace::say;
use crate::world::{Canary, World};

/// The wall clock when the world begins.
pub const WALL_START_MS: u64 = 1_750_000_000_000;
/// Timers fired in one turn, as in the real driver.
const TIMERS_PER_TURN: usize = 1_024;
/// Few, so that a run has more of them, and sees the oldest leave.
pub const ENDED_SESSIONS_MAX: usize = 3;
/// See [`ENDED_SESSIONS_MAX`].
pub const ENDED_PROCESSES_MAX: usize = 6;
/// The key of the one operator.
pub const OPERATOR: Fingerprint = Fingerprint::from_bytes([0x0f; 32]);

/// The core, within bounds that a run reaches.
pub(crate) fn load(start: Start, rows: Vec<Row>) -> Core {
    let bounds =
        Bounds { ended_sessions: ENDED_SESSIONS_MAX, ended_processes: ENDED_PROCESSES_MAX, ..Bounds::default() };
    Core::load_within(start, bounds, rows)
}

/// One coordinator and its disk.
pub struct Coordinator {
    /// `None` while it is down.
    pub core: Option<Core>,
    /// Rises with every crash.
    pub epoch: u32,
    pub(crate) clock: CoordinatorClock,
    pub(crate) boot: Monotonic,
    pub(crate) wall_offset_ms: i64,
    /// As decided.
    pub mem: Image,
    /// As durable.
    pub disk: Image,
    gathering: Turn,
    in_flight: Option<Turn>,
    /// The turn goes on: more inputs are taken before its rows and outputs are.
    turn_goes_on: bool,
    commit_seq: u64,
    pub(crate) links: BTreeSet<LinkId>,
    /// The link on which each server was welcomed, as decided.
    pub(crate) linked: BTreeMap<ServerProcessId, LinkId>,
    /// The link on which the agent of each host was welcomed, as decided.
    pub(crate) agents: BTreeMap<usize, LinkId>,
    timer_at: Micros,
    pub(crate) paused_until: Micros,
    pub(crate) low_until: Micros,
    pub(crate) slow_until: Micros,
    pub(crate) full_until: Micros,
    pub(crate) next_sync_fails: bool,
    pub(crate) starts: u32,
}

impl Coordinator {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let ppm = rng.between(0, 2_000) as i64 - 1_000;
        Self {
            core: None,
            epoch: 0,
            clock: CoordinatorClock::start(0, 0, 0),
            boot: Monotonic::new(0, rng.below(1 << 40), ppm),
            wall_offset_ms: 0,
            mem: Image::default(),
            disk: Image::default(),
            gathering: Turn::default(),
            in_flight: None,
            turn_goes_on: false,
            commit_seq: 0,
            links: BTreeSet::new(),
            linked: BTreeMap::new(),
            agents: BTreeMap::new(),
            timer_at: 0,
            paused_until: 0,
            low_until: 0,
            slow_until: 0,
            full_until: 0,
            next_sync_fails: false,
            starts: 0,
        }
    }

    pub(crate) fn heal(&mut self, now: Micros) {
        self.paused_until = self.paused_until.min(now);
        (self.low_until, self.slow_until, self.full_until, self.next_sync_fails) = (0, 0, 0, false);
    }

    /// Outputs that wait for the disk.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.gathering.outputs.len() + self.in_flight.as_ref().map_or(0, |turn| turn.outputs.len())
    }

    /// Whether everything decided is durable.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.in_flight.is_none() && self.gathering.rows.is_empty()
    }

    pub(crate) fn batch_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }
}

impl World {
    fn wall_ms(&self) -> u64 {
        (WALL_START_MS + self.now / 1_000).saturating_add_signed(self.coordinator.wall_offset_ms)
    }

    /// The coordinator's time, as it would say now.
    pub(crate) fn coordinator_ms(&mut self) -> u64 {
        let (wall, boot) = (self.wall_ms(), self.coordinator.boot.micros(self.now));
        self.coordinator.clock.advance(wall, boot)
    }

    pub(crate) fn coordinator_starts(&mut self) {
        if self.coordinator.core.is_some() {
            return;
        }
        let rows = self.coordinator.disk.rows();
        let boot = self.coordinator.boot.micros(self.now);
        let high_water = Core::high_water(&rows);
        self.coordinator.clock = CoordinatorClock::start(self.wall_ms(), boot, high_water);
        let now_ms = self.coordinator.clock.now_ms();
        let seed = self.rng.bytes();
        if self.rng.chance(250) {
            self.load_twice(Start { shard: 0, seed, now_ms });
        }
        self.coordinator.core = Some(load(Start { shard: 0, seed, now_ms }, rows));
        self.coordinator.mem = self.coordinator.disk.clone();
        self.coordinator.starts += 1;
        self.coordinator.timer_at = 0;
        say!(self, "coordinator starts at {now_ms} (high water {high_water})");
        let low = self.coordinator.low_until > self.now;
        self.boot_input(Input::StoreLow(low));
        self.boot_input(Input::ApplyOperator(OPERATOR));
        let keys: Vec<_> = self.keys.public_keys().collect();
        let held = keys.iter().map(|(key_id, _)| *key_id).collect();
        for (key_id, public_key) in keys {
            self.boot_input(Input::ApplySigningKey { key_id, public_key });
        }
        self.boot_input(Input::KeepSigningKeys(held));
        if self.coordinator.starts == 1 || self.rng.chance(300) {
            for fleet in self.fleets() {
                self.boot_input(Input::ApplyFleet(fleet));
            }
        }
        self.log.recovered = true;
        self.ledger.low = low;
        self.coordinator_audit();
        self.submit();
        self.arm_timer();
        let epoch = self.coordinator.epoch;
        self.after(SECOND, Ev::CoordinatorLook { epoch });
    }

    fn boot_input(&mut self, input: Input) {
        let now = self.coordinator_ms();
        self.core().handle(now, input);
        self.collect(Cause::Boot);
    }

    pub(crate) fn core(&mut self) -> &mut Core {
        self.coordinator.core.as_mut().expect("asked only while it runs")
    }

    /// One turn of the driver's loop.
    pub(crate) fn coordinator_input(&mut self, input: Input, cause: Cause) {
        if self.coordinator.core.is_none() {
            return;
        }
        say!(self, "coordinator <- {}", crate::ledger::brief(&input));
        let now = self.coordinator_ms();
        self.core().handle(now, input);
        if self.weather.gather > 0 && !self.is_calm() && self.rng.chance(self.weather.gather) {
            // What was waiting for the loop is taken in one turn.
            if !std::mem::replace(&mut self.coordinator.turn_goes_on, true) {
                let epoch = self.coordinator.epoch;
                let delay = 1 + self.rng.below(2 * MS);
                self.after(delay, Ev::CoordinatorTimer { epoch });
            }
            return;
        }
        self.collect(cause);
        self.timers_fire();
    }

    fn timers_fire(&mut self) {
        let now = self.coordinator_ms();
        self.core().handle_timeout(now, TIMERS_PER_TURN);
        self.collect(Cause::Timer);
        if self.canary == Canary::SlotOnTimer {
            self.free_slots_on_timer(now);
        }
        if !self.coordinator.batch_in_flight() {
            self.submit();
        }
        self.arm_timer();
    }

    pub(crate) fn collect(&mut self, cause: Cause) {
        let goes_on = std::mem::take(&mut self.coordinator.turn_goes_on);
        let cause = if goes_on { Cause::Several } else { cause };
        let Turn { rows, outputs } = self.core().take_turn();
        // They acknowledge nothing, and a slow disk must not look like a lost coordinator.
        let (clocks, outputs): (Vec<_>, Vec<_>) = outputs.into_iter().partition(Output::is_clock);
        for row in rows {
            self.coordinator.gathering.rows.push(row.clone());
            if let Some(change) = self.coordinator.mem.apply(row) {
                if let crate::disk::Change::Event(event) = &change {
                    say!(self, "event {:?} {} {}", event.kind, event.subject, event.detail);
                }
                self.log.changes.push((cause, change));
            }
        }
        for output in outputs {
            match &output {
                Output::Welcome { link, role: Welcomed::Server { process, .. }, .. } => {
                    self.coordinator.linked.insert(*process, *link);
                }
                Output::Welcome { link, role: Welcomed::Agent { .. }, .. } => {
                    if let Peer::Agent(host) = self.conns[link.0 as usize].peer {
                        self.coordinator.agents.insert(host, *link);
                    }
                }
                _ => {}
            }
            if let Output::Server(link, ServerDown::Wanted(_)) = &output {
                self.log.wanted.push(*link);
            }
            if let Output::Stop { process, .. } = &output {
                self.log.stops.push(*process);
            }
            if output.link() == crate::audit::AUDITOR {
                self.log.audit.push(output);
            } else {
                self.coordinator.gathering.outputs.push(output);
            }
        }
        self.release(clocks);
    }

    fn submit(&mut self) {
        let turn = std::mem::take(&mut self.coordinator.gathering);
        if turn.rows.is_empty() {
            return self.release(turn.outputs);
        }
        self.coordinator.commit_seq += 1;
        let slow = self.coordinator.slow_until > self.now;
        let longest = if slow { 1_500 * MS } else { self.weather.sync_delay };
        let takes = 50 + self.rng.below(longest);
        let (epoch, seq) = (self.coordinator.epoch, self.coordinator.commit_seq);
        self.after(takes, Ev::Commit { epoch, seq });
        let Turn { rows, outputs } = turn;
        if self.canary == Canary::AnswerBeforeSync {
            self.coordinator.in_flight = Some(Turn { rows, outputs: Vec::new() });
            return self.release(outputs);
        }
        self.coordinator.in_flight = Some(Turn { rows, outputs });
    }

    pub(crate) fn committed(&mut self, epoch: u32, seq: u64) {
        if epoch != self.coordinator.epoch || seq != self.coordinator.commit_seq {
            return;
        }
        let full = self.coordinator.full_until > self.now;
        if std::mem::take(&mut self.coordinator.next_sync_fails) || full {
            say!(self, "the sync fails: the coordinator ends");
            return self.coordinator_crashes();
        }
        let Some(Turn { rows, outputs }) = self.coordinator.in_flight.take() else { return };
        for row in rows {
            self.coordinator.disk.apply(row);
        }
        if !self.is_calm() && self.weather.crash_before_answer > 0 && self.rng.chance(self.weather.crash_before_answer)
        {
            say!(self, "the coordinator dies between sync and answer");
            return self.coordinator_crashes();
        }
        self.release(outputs);
        self.timers_fire();
    }

    /// Nothing that was not durable is left; a batch on its way to the disk got there whole, or not at all.
    pub(crate) fn coordinator_crashes(&mut self) {
        if self.coordinator.core.take().is_none() {
            return;
        }
        if let Some(Turn { rows, .. }) = self.coordinator.in_flight.take() {
            let kept = self.rng.chance(500);
            say!(self, "coordinator crashes; the batch under way is {}", if kept { "kept" } else { "lost" });
            for row in rows.into_iter().filter(|_| kept) {
                self.coordinator.disk.apply(row);
            }
        } else {
            say!(self, "coordinator crashes");
        }
        (self.coordinator.gathering, self.coordinator.turn_goes_on) = (Turn::default(), false);
        self.coordinator.mem = self.coordinator.disk.clone();
        self.all_links_end();
        self.coordinator.epoch += 1;
        self.coordinator.links.clear();
        self.coordinator.linked.clear();
        self.coordinator.agents.clear();
        self.coordinator.paused_until = 0;
        let down = if self.is_calm() { 100 * MS } else { self.rng.between(20 * MS, self.weather.downtime) };
        self.after(down, Ev::CoordinatorStart);
    }

    pub(crate) fn coordinator_timer(&mut self, epoch: u32) {
        if epoch == self.coordinator.epoch && self.coordinator.core.is_some() {
            self.coordinator.timer_at = 0;
            self.timers_fire();
        }
    }

    pub(crate) fn coordinator_look(&mut self, epoch: u32) {
        if epoch == self.coordinator.epoch && self.coordinator.core.is_some() {
            let low = self.coordinator.low_until > self.now;
            self.coordinator_input(Input::StoreLow(low), Cause::Timer);
            self.after(SECOND, Ev::CoordinatorLook { epoch });
        }
    }

    fn arm_timer(&mut self) {
        let Some(due) = self.core().poll_timeout() else { return };
        let at = self.world_time_of(due).max(self.now + 1);
        if self.coordinator.timer_at <= self.now || at < self.coordinator.timer_at {
            self.coordinator.timer_at = at;
            let epoch = self.coordinator.epoch;
            self.at(at, Ev::CoordinatorTimer { epoch });
        }
    }

    /// When the coordinator's clock shows this, about.
    pub(crate) fn world_time_of(&mut self, coordinator_ms: u64) -> Micros {
        let missing = coordinator_ms.saturating_sub(self.coordinator_ms());
        self.now.saturating_add(missing.saturating_mul(1_000))
    }

    /// At the very beginning: everything decided is made durable at once.
    pub(crate) fn sync_now(&mut self) {
        for turn in [self.coordinator.in_flight.take(), Some(std::mem::take(&mut self.coordinator.gathering))] {
            for row in turn.map(|turn| turn.rows).unwrap_or_default() {
                self.coordinator.disk.apply(row);
            }
        }
    }
}
