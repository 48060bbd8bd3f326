//! What leaves the coordinator, once its rows are durable: outputs become messages on links. The rule of
//! `coordinator/src/peer.rs`.

use playgate_core::{Output, Welcomed};
use playgate_protocol::agent::AgentDown;
use playgate_protocol::api::{Answer, ApiDown, CallError, ErrorCode};
use playgate_protocol::{Detail, Greeting, List, Secret32, Welcome, WelcomeRole};

use crate::net::Down;
use crate::trace::say;
use crate::world::World;

impl World {
    pub(crate) fn release(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            let link = output.link();
            if !self.coordinator.links.contains(&link) {
                continue;
            }
            let conn = link.0 as usize;
            if self.conns[conn].closing {
                continue;
            }
            say!(self, "coordinator -> {}", crate::ledger::brief_output(&output));
            self.log.released.push(output.clone());
            match output {
                Output::Welcome { version, now_ms, role, .. } => {
                    let role = self.welcome_role(role);
                    self.send_down(conn, Down::Greeting(Greeting::Welcome(Welcome { version, now_ms, role })));
                }
                Output::Refuse { refusal, .. } => {
                    self.send_down(conn, Down::Greeting(Greeting::Refused(refusal)));
                    self.coordinator_closes(conn, false);
                }
                Output::Server(_, message) => self.send_down(conn, Down::Server(message)),
                Output::Launch { process, name, fleet, .. } => {
                    let credential = self.keys.launch_credential(&process);
                    let order = fleet.launch_order(process, name, credential);
                    self.conns[conn].launch = Some(Box::new(order.clone()));
                    self.send_down(conn, Down::Agent(AgentDown::Launch(order)));
                }
                Output::Stop { process, grace_ms, term_grace_ms, .. } => {
                    self.send_down(conn, Down::Agent(AgentDown::Stop { process, grace_ms, term_grace_ms }));
                }
                Output::AgentAck { through_seq, .. } => {
                    self.send_down(conn, Down::Agent(AgentDown::ReportAck { through_seq }));
                }
                Output::AgentClock { now_ms, .. } => {
                    self.repeat_launch(conn);
                    self.send_down(conn, Down::Agent(AgentDown::Clock { now_ms }));
                }
                Output::Answer { request, outcome, .. } => {
                    self.send_down(conn, Down::Api(ApiDown { request, outcome }));
                }
                Output::Tickets { request, orders, .. } => {
                    let tickets: Option<Vec<_>> = orders.iter().map(|order| self.ticket(order)).collect();
                    let withdrawn = || CallError {
                        code: ErrorCode::PlayerSessionOver,
                        detail: Detail::lossy("the key that signed this ticket was withdrawn; reserve anew"),
                        retry_after_ms: 0,
                    };
                    let outcome = tickets.map(|made| Answer::Tickets(List::first_of(made))).ok_or_else(withdrawn);
                    self.send_down(conn, Down::Api(ApiDown { request, outcome }));
                }
                // No relay is linked in this world.
                Output::Relay(..) | Output::RelaySecrets { .. } => unreachable!("nobody joined as a relay"),
                Output::Close { .. } => self.coordinator_closes(conn, true),
            }
        }
    }

    fn welcome_role(&self, role: Welcomed) -> WelcomeRole {
        match role {
            Welcomed::Server { process, fleet, applied_seq } => {
                let (gate, holder) = self.keys.roots(&process);
                let gate_root = Secret32::from_bytes(*gate.as_bytes());
                let holder_root = Secret32::from_bytes(*holder.as_bytes());
                let beat_ms = u32::try_from(playgate_core::limits::BEAT_MS).expect("a second fits");
                WelcomeRole::Server { process, fleet, gate_root, holder_root, applied_seq, beat_ms }
            }
            Welcomed::Agent { host, applied_seq } => WelcomeRole::Agent { host, applied_seq },
            Welcomed::Backend => WelcomeRole::Backend,
            Welcomed::Operator => WelcomeRole::Operator,
            Welcomed::Relay(_) => unreachable!("nobody joins as a relay"),
        }
    }
}
