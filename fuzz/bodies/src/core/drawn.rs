//! What peers say when they say anything: messages and hellos drawn from the bytes of a step.

use playgate_core::Input;
use playgate_core::rows::Identity;
use playgate_protocol::agent::AgentUp;
use playgate_protocol::api::{BackendUp, OperatorUp};
use playgate_protocol::server::ServerUp;

use super::steps::key_of;
use super::{History, key};
use crate::draw::{Draw, Pool};

impl History {
    /// Ids, secrets, names and times that mean something at this moment.
    fn fill_pool(&mut self) {
        let mut ids: Vec<[u8; 16]> = Vec::new();
        ids.extend(self.mem.sessions.keys().rev().take(6).map(|id| *id.as_bytes()));
        ids.extend(self.mem.processes.keys().rev().take(6).map(|id| *id.as_bytes()));
        ids.extend(self.mem.players.keys().rev().take(12).map(|id| *id.as_bytes()));
        ids.extend(self.mem.relays.keys().take(2).map(|id| *id.as_bytes()));
        ids.extend(self.mem.hosts.keys().take(2).map(|id| *id.as_bytes()));
        let texts = ["f", "g", "p0", "p1", "p2", "k0", "k1", "r0", "r1", "h"].map(str::to_owned).to_vec();
        let servers = self.facts.links.values().filter_map(|identity| match identity {
            Identity::Server(process) => Some(self.facts.server_reports(*process) + 1),
            Identity::Agent(host) => Some(self.facts.agent_reports(*host) + 1),
            _ => None,
        });
        let numbers = [self.now, self.now + 1_000].into_iter().chain(servers).collect();
        self.pool = Pool { ids, secrets: (4..12).map(|byte| [byte; 32]).collect(), texts, numbers };
    }

    /// Whatever the role of a link can say, on a link of that role or, for the high choices, on any.
    pub(super) fn drawn(&mut self, what: u8, which: u8, body: &[u8]) {
        self.fill_pool();
        let pool = std::mem::take(&mut self.pool);
        let mut draw = Draw::new(body, &pool);
        let any = which >= 192;
        self.last_request += 1;
        let request = self.last_request;
        let input = match what {
            14 => self.link_of(|to| any || matches!(to, Identity::Server(_)), which).and_then(|link| {
                let message: ServerUp = draw.value()?;
                Some(Input::Server(link, message))
            }),
            15 => self.link_of(|to| any || matches!(to, Identity::Agent(_)), which).and_then(|link| {
                let message: AgentUp = draw.value()?;
                Some(Input::Agent(link, message))
            }),
            16 => self.link_of(|to| any || *to == Identity::Backend, which).and_then(|link| {
                let call = draw.value()?;
                Some(Input::Backend(link, BackendUp { request, call }))
            }),
            _ => self.link_of(|to| any || *to == Identity::Operator, which).and_then(|link| {
                let call = draw.value()?;
                Some(Input::Operator(link, OperatorUp { request, call }))
            }),
        };
        self.pool = pool;
        if let Some(input) = input {
            self.input(input);
        }
    }

    /// Anybody says anything about himself: with a new key, a known one, or that of a process.
    pub(super) fn drawn_hello(&mut self, which: u8, body: &[u8]) {
        self.fill_pool();
        let pool = std::mem::take(&mut self.pool);
        let hello: Option<playgate_protocol::Hello> = Draw::new(body, &pool).value();
        self.pool = pool;
        let Some(mut hello) = hello else { return };
        if which % 8 != 7 {
            hello.versions = playgate_protocol::VersionRange::OURS;
        }
        let peer = match which {
            0..=127 => key(which % 32),
            _ => self.process(which / 8).map_or(key(which), |row| key_of(row.id)),
        };
        self.hello(peer, hello, which % 4 != 3);
    }
}
