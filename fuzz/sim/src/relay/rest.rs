//! After the faults: whoever has a good pass is served, and when everybody has left nothing is left of them.

use super::event::Ev;
use super::model::is_allowed;
use super::world::{Phase, RelayWorld, SERVED_FOR, SERVED_WITHIN};
use crate::clock::{MS, Micros, SECOND};
use crate::trace::say;

impl RelayWorld {
    /// The network heals; the relay goes on, or starts.
    pub(super) fn calm_down(&mut self) {
        say!(self, "---- calm ----");
        self.phase = Phase::Calm(self.now);
        self.cut_until = 0;
        self.node.paused_until = self.node.paused_until.min(self.now);
        self.node.is_draining = false;
        self.node.judged.set_draining(false);
        if !self.node.is_up {
            self.after(100 * MS, Ev::RelayStart);
        }
        let now_ms = self.node.now(self.now).ms;
        for player in 0..self.players.len() {
            let may_be = is_allowed(self.players[player].claims.server) && !self.weather.is_tight;
            let is_good = may_be && self.is_good(player, 30_000);
            let state = &mut self.players[player];
            state.is_due = state.is_honest() && is_good && state.claims.valid_until_ms > now_ms + 60_000;
            if state.is_honest() {
                self.says_later(player);
            }
        }
    }

    /// Whether what is said has to arrive.
    pub(super) fn is_served_now(&self) -> bool {
        self.served_since().is_some_and(|since| (since..since + SERVED_FOR).contains(&self.now))
    }

    fn served_since(&self) -> Option<Micros> {
        match self.phase {
            Phase::Calm(since) => Some(since + SERVED_WITHIN),
            Phase::Faults | Phase::Leaving(_) => None,
        }
    }

    pub(super) fn is_served(&mut self) -> bool {
        let Some(since) = self.served_since() else { return true };
        let until = since + SERVED_FOR;
        if self.now < until + SECOND {
            return false;
        }
        for player in 0..self.players.len() {
            if !self.players[player].is_due {
                continue;
            }
            let said = self.sent.iter().rev().filter(|sent| sent.player == player);
            let mut said = said.filter(|sent| (since..until).contains(&sent.at)).peekable();
            let spoke = said.peek().is_some();
            if !spoke || said.any(|sent| !sent.arrived || !sent.answered) {
                self.fail("R11", format!("player {player} is not served, spoke: {spoke}"));
                return true;
            }
            self.meet("served");
        }
        true
    }

    /// Some say goodbye, some vanish.
    pub(super) fn everybody_leaves(&mut self) {
        if self.broken.is_some() {
            return;
        }
        say!(self, "---- everybody leaves ----");
        self.phase = Phase::Leaving(self.now);
        for player in 0..self.players.len() {
            if self.players[player].flow.is_some() {
                self.player_leaves(player);
            }
            self.players[player].is_gone = true;
        }
    }

    pub(super) fn is_over(&mut self) -> bool {
        let Phase::Leaving(since) = self.phase else { return true };
        let idle = u64::try_from(self.node.flow_idle.as_micros()).expect("seconds");
        if self.now < since + idle + 8 * SECOND {
            return false;
        }
        let flows = self.node.judged.flows();
        if flows > 0 {
            self.fail("R8", format!("{flows} flows are left when everybody has gone"));
        }
        true
    }
}
