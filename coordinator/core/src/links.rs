//! Who a peer is. The first key that presents a credential is bound to that identity, durably before the answer; from
//! then on the key is the identity.

use std::net::IpAddr;

use playgate_protocol::api::{EventKind, Subject};
use playgate_protocol::{
    Credential, Detail, Fingerprint, Hello, HelloRole, JoinRole, Refusal, RefusalReason, ServerProcessId, VersionRange,
};

use crate::core::{Core, RowKey};
use crate::io::{CloseWhy, LinkId, Output, Welcomed};
use crate::rows::{Identity, JoinKeyRow};
use crate::timers::Timer;

impl Core {
    pub(crate) fn opened(&mut self, link: LinkId, peer: Fingerprint, from: IpAddr, hello: Hello, launch_proven: bool) {
        let Some(version) = VersionRange::OURS.common(hello.versions) else {
            let (ours, theirs) = (VersionRange::OURS, hello.versions);
            let detail = format!(
                "this coordinator speaks wire versions {}..={}, the peer ({}) {}..={}; update the older of the two",
                ours.min, ours.max, hello.software, theirs.min, theirs.max
            );
            return self.refuse(link, peer, RefusalReason::VersionMismatch, &detail);
        };
        match self.identify(peer, &hello, launch_proven) {
            Ok(identity) => self.welcome(link, version, identity, from, hello),
            Err((reason, detail)) => self.refuse(link, peer, reason, &detail),
        }
    }

    /// The identity bound to the key, or the one its credential entitles it to.
    fn identify(
        &mut self,
        peer: Fingerprint,
        hello: &Hello,
        launch_proven: bool,
    ) -> Result<Identity, (RefusalReason, String)> {
        if let Some(identity) = self.peers.get(&peer).copied() {
            return match role_matches(identity, &hello.role) {
                true => self.still_welcome(identity),
                false => Err((RefusalReason::WrongRole, "this key is bound to another role; use its own key".into())),
            };
        }
        match &hello.credential {
            Credential::Bound => {
                let detail = "this key is bound to nothing here; present a join key (make one: playgate key new)";
                Err((RefusalReason::UnknownKey, detail.into()))
            }
            Credential::Launch { process, .. } => self.present_launch_credential(peer, *process, hello, launch_proven),
            Credential::Join { secret } => self.spend_join_key(peer, secret.sha256(), hello),
        }
    }

    fn present_launch_credential(
        &mut self,
        peer: Fingerprint,
        process: ServerProcessId,
        hello: &Hello,
        launch_proven: bool,
    ) -> Result<Identity, (RefusalReason, String)> {
        if !launch_proven || !matches!(hello.role, HelloRole::Server { .. }) {
            return Err((RefusalReason::JoinKeyInvalid, "the launch credential is not one of this coordinator".into()));
        }
        // One that ended long ago is not remembered any more; its credential is still its own.
        let identity = self.still_welcome(Identity::Server(process))?;
        if self.processes[&process].peer.is_some() {
            let detail = format!("the credential of {process} is bound to another key already: was it copied?");
            return Err((RefusalReason::CredentialTaken, detail));
        }
        self.bind_peer(peer, identity);
        Ok(identity)
    }

    fn still_welcome(&self, identity: Identity) -> Result<Identity, (RefusalReason, String)> {
        let Identity::Server(process) = identity else {
            return Ok(identity);
        };
        match self.processes.get(&process) {
            Some(known) if known.row.ended_ms.is_none() => Ok(identity),
            _ => Err((
                RefusalReason::ProcessEnded,
                format!("{process} has ended; its tokens are void and it should exit"),
            )),
        }
    }

    fn spend_join_key(
        &mut self,
        peer: Fingerprint,
        sha256: [u8; 32],
        hello: &Hello,
    ) -> Result<Identity, (RefusalReason, String)> {
        const INVALID: &str = "the join key is unknown, expired or used up; make another: playgate key new";
        if self.store_low {
            return Err((RefusalReason::Busy, "the coordinator's disk is nearly full".into()));
        }
        let key = self.join_keys.get(&sha256).filter(|key| key.uses_left > 0 && key.expires_ms > self.now).cloned();
        let Some(key) = key else {
            return Err((RefusalReason::JoinKeyInvalid, INVALID.into()));
        };
        let identity = match (key.role, &hello.role) {
            (JoinRole::Backend, HelloRole::Backend) => Identity::Backend,
            (JoinRole::Agent, HelloRole::Agent { name, .. }) => Identity::Agent(self.new_host(name.clone())?),
            (JoinRole::Relay, HelloRole::Relay { name, .. }) => Identity::Relay(self.new_relay(name.clone())?),
            (JoinRole::Server, HelloRole::Server { name, .. }) => {
                Identity::Server(self.hand_started(&key, name.clone())?)
            }
            (role, _) => {
                return Err((
                    RefusalReason::WrongRole,
                    format!("the join key is for role {role}; make one for this role"),
                ));
            }
        };
        self.use_up(key);
        self.bind_peer(peer, identity);
        Ok(identity)
    }

    fn use_up(&mut self, key: JoinKeyRow) {
        let id = key.secret_sha256;
        if key.uses_left == 1 {
            self.join_keys.remove(&id);
        } else if let Some(kept) = self.join_keys.get_mut(&id) {
            kept.uses_left -= 1;
        }
        self.mark(RowKey::JoinKey(id));
    }

    /// The key in the operator's file is the operator's; one that was there before opens nothing any more.
    pub(crate) fn apply_operator(&mut self, peer: Fingerprint) {
        let former = self.peers.iter().filter(|(key, identity)| **identity == Identity::Operator && **key != peer);
        let former: Vec<Fingerprint> = former.map(|(key, _)| *key).collect();
        for key in former {
            self.peers.remove(&key);
            self.mark(RowKey::Peer(key));
        }
        self.bind_peer(peer, Identity::Operator);
    }

    pub(crate) fn bind_peer(&mut self, peer: Fingerprint, identity: Identity) {
        if self.peers.insert(peer, identity) != Some(identity) {
            if let Identity::Server(process) = identity {
                self.processes.get_mut(&process).expect("only known processes are bound").peer = Some(peer);
            }
            self.mark(RowKey::Peer(peer));
            self.event(EventKind::PeerBound, Subject::Peer(peer), &describe(identity));
        }
    }

    fn refuse(&mut self, link: LinkId, peer: Fingerprint, reason: RefusalReason, detail: &str) {
        self.event(EventKind::PeerRefused, Subject::Peer(peer), &format!("{reason:?}: {detail}"));
        let retry_after_ms = if reason == RefusalReason::Busy { 1_000 } else { 0 };
        self.output(Output::Refuse {
            link,
            refusal: Refusal { reason, detail: Detail::lossy(detail), retry_after_ms },
        });
    }

    fn welcome(&mut self, link: LinkId, version: u16, identity: Identity, from: IpAddr, hello: Hello) {
        self.replace_older_link(link, identity);
        self.links.insert(link, identity);
        let role = match (identity, &hello.role) {
            (Identity::Server(process), _) => {
                let known = &self.processes[&process].row;
                Welcomed::Server { process, fleet: known.fleet.clone(), applied_seq: known.applied_seq }
            }
            (Identity::Agent(host), _) => Welcomed::Agent { host, applied_seq: self.hosts[&host].row.applied_seq },
            (Identity::Backend, _) => Welcomed::Backend,
            (Identity::Operator, _) => Welcomed::Operator,
            (Identity::Relay(relay), _) => Welcomed::Relay(relay),
        };
        let now_ms = self.now;
        self.output(Output::Welcome { link, version, now_ms, role });
        match (identity, hello.role) {
            (Identity::Server(process), HelloRole::Server { advertise, held_version, .. }) => {
                self.server_up(link, process, held_version, advertise, from);
            }
            (Identity::Agent(host), HelloRole::Agent { name, advertise, capacity }) => {
                self.agent_up(link, host, name, advertise.unwrap_or(from), capacity);
            }
            (Identity::Relay(relay), HelloRole::Relay { name, addresses, secret }) => {
                self.relay_up(link, relay, name, &addresses, secret, from);
            }
            _ => {}
        }
    }

    /// Backends and operators may have many links; a server, an agent and a relay have one, and the newest counts.
    fn replace_older_link(&mut self, link: LinkId, identity: Identity) {
        let older = match identity {
            Identity::Server(process) => self.processes.get_mut(&process).and_then(|known| known.link.replace(link)),
            Identity::Agent(host) => self.hosts.get_mut(&host).and_then(|known| known.link.replace(link)),
            Identity::Relay(relay) => self.relays.get_mut(&relay).and_then(|known| known.link.replace(link)),
            Identity::Backend | Identity::Operator => None,
        };
        if let Some(older) = older {
            self.links.remove(&older);
            self.output(Output::Close { link: older, why: CloseWhy::Replaced });
        }
    }

    pub(crate) fn closed(&mut self, link: LinkId) {
        for waiter in self.waiters.forget_link(link) {
            self.timers.cancel(&Timer::Waiter(waiter));
        }
        match self.links.remove(&link) {
            Some(Identity::Server(process)) => self.server_down(process),
            Some(Identity::Agent(host)) => self.agent_down(host),
            Some(Identity::Relay(relay)) => self.relay_down(relay),
            Some(Identity::Backend | Identity::Operator) | None => {}
        }
    }
}

fn role_matches(identity: Identity, role: &HelloRole) -> bool {
    matches!(
        (identity, role),
        (Identity::Operator, HelloRole::Operator | HelloRole::Backend)
            | (Identity::Backend, HelloRole::Backend)
            | (Identity::Agent(_), HelloRole::Agent { .. })
            | (Identity::Server(_), HelloRole::Server { .. })
            | (Identity::Relay(_), HelloRole::Relay { .. })
    )
}

fn describe(identity: Identity) -> String {
    match identity {
        Identity::Operator => "operator".into(),
        Identity::Backend => "backend".into(),
        Identity::Agent(host) => format!("agent of {host}"),
        Identity::Server(process) => format!("server process {process}"),
        Identity::Relay(relay) => format!("relay {relay}"),
    }
}
