//! What occurred in a history, by kind and name, and what should occur in some history of the corpus.

use std::collections::BTreeSet;

use playgate_core::rows::Row;
use playgate_core::{Input, Output, Turn};
use playgate_protocol::agent::{AgentReport, AgentUp, LaunchError};
use playgate_protocol::api::{
    Answer, BackendCall, ErrorCode, EventKind, GameSessionStatus, OperatorCall, PlayerSessionStatus, ProcessStatus,
};
use playgate_protocol::reason::{PlayerEnd, ProcessEnd, SessionEnd};
use playgate_protocol::relay::RelayUp;
use playgate_protocol::server::{PlayerOutcome, Report, ServerDown, ServerUp};
use playgate_protocol::{Credential, HelloRole, RefusalReason};
use serde::de::DeserializeOwned;

use crate::draw::{variant, variants};

/// Kinds and names that occurred; takes nothing down unless it is on.
#[derive(Debug, Default)]
pub struct Seen(Option<BTreeSet<(&'static str, String)>>);

impl Seen {
    pub(super) fn on() -> Self {
        Self(Some(BTreeSet::new()))
    }

    /// What occurred.
    pub fn names(self) -> impl Iterator<Item = (&'static str, String)> {
        self.0.into_iter().flatten()
    }

    pub(super) fn note(&mut self, kind: &'static str, value: impl std::fmt::Debug) {
        if let Some(names) = &mut self.0 {
            let name = variant(&value);
            // A text is its own name.
            names.insert((kind, if name.is_empty() { format!("{value:?}").replace('"', "") } else { name }));
        }
    }

    pub(super) fn input(&mut self, input: &Input) {
        if self.0.is_none() {
            return;
        }
        self.note("Input", input);
        match input {
            Input::Opened { hello, .. } => {
                self.note("HelloRole", &hello.role);
                self.note("Credential", &hello.credential);
            }
            Input::Server(_, message) => {
                self.note("ServerUp", message);
                let ServerUp::Reports(batch) = message else { return };
                for report in &batch.reports {
                    self.note("Report", report);
                    if let Report::Player { outcome, .. } = report {
                        self.note("PlayerOutcome", outcome);
                    }
                }
            }
            Input::Agent(_, message) => {
                self.note("AgentUp", message);
                let AgentUp::Reports(batch) = message else { return };
                for report in &batch.reports {
                    self.note("AgentReport", report);
                    if let AgentReport::LaunchFailed { error, .. } = report {
                        self.note("LaunchError", error);
                    }
                }
            }
            Input::Relay(_, message) => self.note("RelayUp", message),
            Input::Backend(_, up) => self.note("BackendCall", &up.call),
            Input::Operator(_, up) => {
                self.note("OperatorCall", &up.call);
                if let OperatorCall::Backend(call) = &up.call {
                    self.note("BackendCall", call);
                }
            }
            _ => {}
        }
    }

    pub(super) fn turn(&mut self, turn: &Turn) {
        if self.0.is_none() {
            return;
        }
        for row in &turn.rows {
            self.note("Row", row);
            match row {
                Row::Process(row) => {
                    self.note("ProcessStatus", row.status);
                    row.reason.iter().for_each(|reason| self.note("ProcessEnd", reason));
                }
                Row::GameSession(row) => {
                    self.note("GameSessionStatus", row.status);
                    row.reason.iter().for_each(|reason| self.note("SessionEnd", reason));
                }
                Row::PlayerSession(row) => {
                    self.note("PlayerSessionStatus", row.status);
                    row.reason.iter().for_each(|reason| self.note("PlayerEnd", reason));
                }
                Row::Event(event) => self.note("EventKind", event.kind),
                _ => {}
            }
        }
        for output in &turn.outputs {
            self.note("Output", output);
            match output {
                Output::Server(_, message) => self.note("ServerDown", message),
                Output::Relay(_, message) => self.note("RelayDown", message),
                Output::Refuse { refusal, .. } => self.note("RefusalReason", refusal.reason),
                Output::Answer { outcome: Ok(answer), .. } => self.note("Answer", answer),
                Output::Answer { outcome: Err(error), .. } => self.note("ErrorCode", error.code),
                Output::Close { why, .. } => self.note("CloseWhy", why),
                _ => {}
            }
        }
    }
}

/// Everything that some history of the corpus should reach. Left out is what takes more than a history has room for.
#[must_use]
pub fn expected() -> BTreeSet<(&'static str, String)> {
    let mut all = BTreeSet::new();
    let mut add = |kind, names: &[&str]| all.extend(names.iter().map(|name| (kind, (*name).to_owned())));
    fn of<T: DeserializeOwned>() -> &'static [&'static str] {
        variants::<T>()
    }
    for (kind, names) in [
        ("HelloRole", of::<HelloRole>()),
        ("Credential", of::<Credential>()),
        ("ServerUp", of::<ServerUp>()),
        ("Report", of::<Report>()),
        ("PlayerOutcome", of::<PlayerOutcome>()),
        ("AgentUp", of::<AgentUp>()),
        ("AgentReport", of::<AgentReport>()),
        ("LaunchError", of::<LaunchError>()),
        ("RelayUp", of::<RelayUp>()),
        ("BackendCall", of::<BackendCall>()),
        ("OperatorCall", of::<OperatorCall>()),
        ("ServerDown", of::<ServerDown>()),
        ("RefusalReason", of::<RefusalReason>()),
        ("ProcessStatus", of::<ProcessStatus>()),
        ("GameSessionStatus", of::<GameSessionStatus>()),
        ("PlayerSessionStatus", of::<PlayerSessionStatus>()),
        ("ProcessEnd", of::<ProcessEnd>()),
        ("SessionEnd", of::<SessionEnd>()),
        ("PlayerEnd", of::<PlayerEnd>()),
        ("EventKind", of::<EventKind>()),
    ] {
        add(kind, names);
    }
    let unless = |name: &&&str, left_out: &str| **name != left_out;
    // Tickets are an output of their own until they are signed.
    add("Answer", &of::<Answer>().iter().filter(|name| unless(name, "Tickets")).copied().collect::<Vec<_>>());
    // Thousands of calls that wait, or hundreds of revocations.
    add("ErrorCode", &of::<ErrorCode>().iter().filter(|name| unless(name, "Busy")).copied().collect::<Vec<_>>());
    // Secrets are an output of their own until they are derived.
    add("RelayDown", &["Revoke", "Clock"]);
    add("CloseWhy", &["Replaced", "Protocol", "Ended"]);
    add("fault", &["Restart", "FailedCommit"]);
    #[rustfmt::skip]
    add("Input", &[
        "ApplyFleet", "ApplySigningKey", "KeepSigningKeys", "ApplyOperator", "Opened", "Closed", "Server", "Agent",
        "Relay", "Backend", "Operator", "StoreLow", "ClockSkew",
    ]);
    #[rustfmt::skip]
    add("Output", &[
        "Welcome", "Refuse", "Server", "Launch", "Stop", "AgentAck", "AgentClock", "Answer", "Tickets", "Close",
        "Relay", "RelaySecrets",
    ]);
    // ForgetEvents takes ten thousand events.
    #[rustfmt::skip]
    add("Row", &[
        "HighWater", "SigningKey", "Fleet", "Host", "Relay", "JoinKey", "Peer", "Process", "GameSession", "PlayerSession",
        "Event", "ForgetSigningKey", "ForgetJoinKey", "ForgetPeer", "ForgetProcess", "ForgetGameSession",
        "ForgetPlayerSession",
    ]);
    all
}
