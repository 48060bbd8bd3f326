//! Enters in the ledger what a step has said and done.

use playgate_core::{Output, Welcomed};
use playgate_protocol::api::{EventKind, Subject};
use playgate_protocol::server::ServerDown;

use crate::disk::Change;
use crate::ledger::{Admitted, Issued};
use crate::net::Peer;
use crate::world::World;

impl World {
    pub(crate) fn learn(&mut self) {
        if self.log.recovered {
            let live = self.coordinator.mem.processes.values().filter(|row| row.ended_ms.is_none());
            self.ledger.unlinked.extend(live.map(|row| (row.id, self.now)));
        }
        for (_, change) in &self.log.changes {
            let ledger = &mut self.ledger;
            match change {
                Change::Session(Some(row), None) => drop(ledger.forgotten.insert(*row.id.as_bytes())),
                Change::Player(Some(row), None) => drop(ledger.forgotten.insert(*row.id.as_bytes())),
                Change::Process(Some(row), None) => drop(ledger.forgotten.insert(*row.id.as_bytes())),
                Change::Session(None, Some(row)) => {
                    ledger.ids.insert(*row.id.as_bytes());
                    ledger.max_players.insert(row.id, row.max_players);
                }
                Change::Player(None, Some(row)) => drop(ledger.ids.insert(*row.id.as_bytes())),
                Change::Process(None, Some(row)) => drop(ledger.ids.insert(*row.id.as_bytes())),
                Change::Event(event) => {
                    if let (EventKind::ProcessUnreachable, Subject::Process(process)) = (event.kind, &event.subject) {
                        ledger.unlinked.insert(*process, self.now);
                    }
                    if event.kind == EventKind::StoreSpace {
                        ledger.low = event.detail.contains("nearly full");
                    }
                }
                _ => {}
            }
        }
        for output in std::mem::take(&mut self.log.released) {
            self.learn_output(&output);
        }
        for ticket in std::mem::take(&mut self.log.tickets) {
            if let Some(issued) = self.ledger.issued.get_mut(&ticket.player_session) {
                issued.token = ticket.token.to_vec();
            }
        }
        for entry in &self.log.entries {
            let admitted = Admitted { server: entry.server, generation: entry.generation };
            self.ledger.admitted.insert(entry.player, admitted);
            self.ledger.used_proofs.insert(entry.proof);
        }
        for (server, beat) in &self.log.beats {
            let floor = self.ledger.floors.entry(*server).or_default();
            *floor = beat.floor_ms.max(*floor);
        }
        for (server, seq, report) in self.log.reports.drain(..) {
            self.ledger.reports.insert((self.servers[server].process, seq), report);
        }
        for (host, seq, report) in self.log.agent_reports.drain(..) {
            self.ledger.agent_reports.insert((host, seq), report);
        }
        for process in &self.log.spawned {
            *self.ledger.spawns.entry(*process).or_default() += 1;
        }
        self.log.clear();
    }

    fn learn_output(&mut self, output: &Output) {
        let ledger = &mut self.ledger;
        match output {
            Output::Tickets { orders, .. } => {
                for order in orders {
                    let row = &order.player_session;
                    let token = ledger.issued.get(&row.id).map(|issued| issued.token.clone()).unwrap_or_default();
                    ledger.issued_ms = ledger.issued_ms.max(row.created_ms);
                    ledger.ordinals.insert((row.game_session, row.ordinal), row.id);
                    let issued = Issued {
                        session: row.game_session,
                        process: order.process,
                        ordinal: row.ordinal,
                        key_id: row.key_id,
                        expires_ms: row.expires_at_ms,
                        token,
                    };
                    ledger.issued.insert(row.id, issued);
                }
            }
            Output::Server(link, ServerDown::ReportAck { through_seq }) => {
                if let Peer::Server(server) = self.conns[link.0 as usize].peer {
                    let acked = ledger.acked.entry(self.servers[server].process).or_default();
                    *acked = (*acked).max(*through_seq);
                }
            }
            Output::AgentAck { link, through_seq } => {
                if let Peer::Agent(host) = self.conns[link.0 as usize].peer {
                    let acked = ledger.agent_acked.entry(host).or_default();
                    *acked = (*acked).max(*through_seq);
                }
            }
            Output::Welcome { role: Welcomed::Server { process, .. }, .. } => drop(ledger.unlinked.remove(process)),
            Output::Welcome { link, role: Welcomed::Agent { host: id, .. }, .. } => {
                if let Peer::Agent(host) = self.conns[link.0 as usize].peer {
                    ledger.host_ids.insert(host, *id);
                }
            }
            _ => {}
        }
    }

    /// Signs a ticket that leaves.
    pub(crate) fn ticket(&mut self, order: &playgate_core::TicketOrder) -> Option<playgate_protocol::Ticket> {
        let ticket = self.keys.ticket(order)?;
        self.log.tickets.push(ticket.clone());
        Some(ticket)
    }
}
