//! Flows by connection id: an index and a comparison, no hash and no allocation.

use std::collections::BTreeMap;

use playgate_protocol::PlayerSessionId;
use playgate_protocol::relay::ConnectionId;

use crate::flow::Flow;

/// A slot is used again with the next generation, so that an old connection id means nobody else.
pub(crate) struct Table {
    core: u8,
    epoch: u8,
    generation_first: u32,
    /// What was never used has no place yet; the room for all was reserved at the start.
    places: Vec<Place>,
    flows_max: usize,
    free: Vec<u32>,
    /// Touched when flows open and end only.
    by_player: BTreeMap<PlayerSessionId, u32>,
}

struct Place {
    generation: u32,
    flow: Option<Flow>,
}

/// Who a connection id means.
pub(crate) enum Found<'t> {
    Flow(u32, &'t mut Flow),
    /// A flow that has ended, or one of an earlier start of this relay.
    Ended,
    /// None that was ever given out.
    Never,
    /// It belongs to another core.
    WrongCore,
}

const GENERATION: u32 = (1 << 24) - 1;

impl Table {
    /// `generation_first` is random, so that an id of another start is a flow of this one by a rare chance only; its
    /// tag would be wrong then.
    pub(crate) fn new(core: u8, epoch: u8, generation_first: u32, flows_max: u32) -> Self {
        let flows_max = usize::try_from(flows_max).expect("a usize has 32 bits or more");
        Self {
            core,
            epoch,
            generation_first: generation_first & GENERATION,
            places: Vec::with_capacity(flows_max),
            flows_max,
            free: Vec::with_capacity(flows_max),
            by_player: BTreeMap::new(),
        }
    }

    pub(crate) fn find(&mut self, connection: ConnectionId) -> Found<'_> {
        if connection.core() != self.core {
            return Found::WrongCore;
        }
        if connection.epoch() != self.epoch {
            return Found::Ended;
        }
        let slot = connection.slot();
        let Some(place) = self.places.get_mut(slot as usize) else { return Found::Never };
        let age = place.generation.wrapping_sub(connection.generation()) & GENERATION;
        match &mut place.flow {
            Some(flow) if age == 0 => Found::Flow(slot, flow),
            // The generation of an empty place is that of the flow that was there.
            _ if age <= GENERATION / 2 => Found::Ended,
            _ => Found::Never,
        }
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Flow> {
        self.places.get(slot as usize)?.flow.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Flow> {
        self.places.get_mut(slot as usize)?.flow.as_mut()
    }

    pub(crate) fn of_player(&self, player_session: &PlayerSessionId) -> Option<u32> {
        self.by_player.get(player_session).copied()
    }

    /// The connection id of the next flow of this player: in his own slot if he has one, so that his server sees him at
    /// the address he had. `None` if the table is full. Nothing is changed.
    pub(crate) fn next_connection(&self, player_session: &PlayerSessionId) -> Option<ConnectionId> {
        let slot = self.of_player(player_session).or_else(|| self.free.last().copied()).or_else(|| {
            let next = self.places.len();
            (next < self.flows_max).then(|| u32::try_from(next).expect("slots have 24 bits"))
        })?;
        let generation = match self.places.get(slot as usize) {
            Some(place) => place.generation.wrapping_add(1) & GENERATION,
            None => self.generation_first,
        };
        Some(ConnectionId::from_parts(self.core, self.epoch, slot, generation))
    }

    /// Puts a flow where [`next_connection`](Self::next_connection) said. Returns whether it took the place of an
    /// earlier one of the same player.
    pub(crate) fn insert(&mut self, flow: Flow) -> bool {
        let (slot, generation) = (flow.connection.slot(), flow.connection.generation());
        if self.free.last() == Some(&slot) {
            self.free.pop();
        }
        self.by_player.insert(flow.player_session, slot);
        let place = Place { generation, flow: Some(flow) };
        match self.places.get_mut(slot as usize) {
            Some(before) => std::mem::replace(before, place).flow.is_some(),
            None => {
                self.places.push(place);
                false
            }
        }
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<Flow> {
        let flow = self.places.get_mut(slot as usize)?.flow.take()?;
        self.by_player.remove(&flow.player_session);
        self.free.push(slot);
        Some(flow)
    }

    /// Flows that are open.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Slots that were ever used; flows are in no others.
    pub(crate) fn slots(&self) -> usize {
        self.places.len()
    }
}
