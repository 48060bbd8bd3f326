//! Which changes there may be, and by whom: the life of a session, a process and a player, and whose word moves it.

use std::collections::BTreeMap;

use playgate_core::Input;
use playgate_core::rows::{GameSessionRow, Identity, PlayerSessionRow, ProcessRow};
use playgate_protocol::api::{BackendCall, BackendUp, GameSessionStatus, OperatorCall, OperatorUp, ProcessStatus};
use playgate_protocol::reason::{ProcessEnd, SessionEnd};
use playgate_protocol::server::{Report, ServerUp};
use playgate_sim::disk::{Change, Image};

/// Judges the changes of one turn. Without a cause it was time that passed.
pub(super) fn judge(changes: &[Change], cause: Option<&Input>, speaker: Option<Identity>, mem: &Image) {
    for change in changes {
        match change {
            Change::Session(before, Some(row)) => session(before.as_deref(), row, cause, speaker),
            Change::Process(before, Some(row)) => process(before.as_deref(), row, cause, speaker),
            Change::Player(before, Some(row)) => player(before.as_deref(), row),
            Change::Session(Some(row), None) => assert_eq!(row.status, GameSessionStatus::Terminated, "forgotten"),
            Change::Process(Some(row), None) => assert_eq!(row.status, ProcessStatus::Ended, "forgotten"),
            Change::Player(Some(row), None) => assert!(row.ended_ms.is_some(), "forgotten: {row:?}"),
            Change::HighWater(before, after) => assert!(before <= after, "time went from {before} to {after}"),
            _ => {}
        }
    }
    if changes.iter().any(|change| matches!(change, Change::Session(..) | Change::Process(..))) {
        hosting(mem);
    }
}

/// The call in an input, if the link may make it.
fn call(cause: Option<&Input>) -> Option<&BackendCall> {
    match cause? {
        Input::Backend(_, BackendUp { call, .. })
        | Input::Operator(_, OperatorUp { call: OperatorCall::Backend(call), .. }) => Some(call),
        _ => None,
    }
}

fn reports(cause: Option<&Input>) -> &[Report] {
    match cause {
        Some(Input::Server(_, ServerUp::Reports(batch))) => &batch.reports,
        _ => &[],
    }
}

fn session(before: Option<&GameSessionRow>, row: &GameSessionRow, cause: Option<&Input>, speaker: Option<Identity>) {
    use GameSessionStatus::{Activating, Active, Placing, Terminated, Terminating};
    let from = before.map_or(Placing, |before| before.status);
    let may = match from {
        Placing | Activating => true,
        Active => matches!(row.status, Active | Terminating | Terminated),
        Terminating => matches!(row.status, Terminating | Terminated),
        Terminated => before == Some(row),
    };
    assert!(may, "{from:?} became {row:?}");
    let is_over = row.status == Terminated;
    assert!(is_over == row.reason.is_some() && is_over == row.terminated_ms.is_some(), "{row:?}");
    if before.is_none() {
        assert!(matches!(call(cause), Some(BackendCall::CreateGameSession(_))), "{row:?} because of {cause:?}");
    }
    if row.activated_ms.is_some() && before.is_none_or(|before| before.activated_ms.is_none()) {
        let said = Report::Activated { session: row.id, attempt: row.attempt };
        let host = before.and_then(|before| before.process).or(row.process).map(Identity::Server);
        assert!(reports(cause).contains(&said) && speaker == host, "{row:?} is active because of {cause:?}");
    }
    if row.status == Terminating && from != Terminating {
        assert!(matches!(call(cause), Some(BackendCall::TerminateGameSession { .. })), "{cause:?}");
    }
    if let (true, Some(reason)) = (from != Terminated, row.reason) {
        let right = match reason {
            SessionEnd::Ended => row.process.is_some() && speaker == row.process.map(Identity::Server),
            SessionEnd::NoCapacity => cause.is_none() && row.attempt == 1,
            SessionEnd::Terminated if from == Terminating => speaker == row.process.map(Identity::Server),
            SessionEnd::Terminated => matches!(call(cause), Some(BackendCall::TerminateGameSession { .. })),
            SessionEnd::ForceTerminated => from == Terminating,
            SessionEnd::ActivationFailed => row.activated_ms.is_none() && row.attempt > 1,
            SessionEnd::ProcessEnded | SessionEnd::ProcessLost => from == Active || row.activated_ms.is_some(),
        };
        assert!(right, "{from:?} became {row:?} because of {cause:?}");
    }
    let Some(before) = before else { return };
    assert!(row.attempt >= before.attempt && row.attempt <= 3 && row.ordinal_high >= before.ordinal_high);
    let moved = before.process.is_some() && row.process.is_some() && row.process != before.process;
    assert!(!moved || row.attempt > before.attempt, "{before:?} moved: {row:?}");
    assert!(before.activated_ms.is_none() || row.attempt == before.attempt, "was active, and is placed anew: {row:?}");
}

fn process(before: Option<&ProcessRow>, row: &ProcessRow, cause: Option<&Input>, speaker: Option<Identity>) {
    use ProcessStatus::{Connected, Draining, Ended, Hosting, Launching, Ready};
    let from = before.map_or(Launching, |before| before.status);
    let may = match from {
        Launching => true,
        Connected => row.status != Launching,
        Ready | Hosting => matches!(row.status, Ready | Hosting | Draining | Ended),
        Draining => matches!(row.status, Draining | Ended),
        Ended => before == Some(row),
    };
    assert!(may, "{from:?} became {row:?}");
    let is_over = row.status == Ended;
    assert!(is_over == row.reason.is_some() && is_over == row.ended_ms.is_some(), "{row:?}");
    assert!(row.status != Ready || row.session.is_none(), "{row:?}");
    assert!(!matches!(row.status, Ready | Hosting) || row.address.is_some(), "{row:?}");
    if is_over && from != Ended {
        // A process ends by its agent's word, by its own if it has none, or by time; by nobody else's.
        let by_whom = match (row.host, speaker) {
            (Some(host), Some(who)) => who == Identity::Agent(host),
            (None, Some(who)) => who == Identity::Server(row.id),
            (_, None) => cause.is_none(),
        };
        assert!(by_whom, "{row:?} because of {cause:?}");
        let lost = row.reason == Some(ProcessEnd::Lost);
        assert!(!lost || cause.is_none() || matches!(speaker, Some(Identity::Agent(_))), "{row:?}");
    }
    let Some(before) = before else { return };
    assert!(row.applied_seq >= before.applied_seq && row.sessions_hosted >= before.sessions_hosted, "{row:?}");
    if row.applied_seq > before.applied_seq {
        assert_eq!(speaker, Some(Identity::Server(row.id)), "somebody else's reports count for {}", row.id);
    }
    assert_eq!((before.host, &before.fleet, before.created_ms), (row.host, &row.fleet, row.created_ms));
}

fn player(before: Option<&PlayerSessionRow>, row: &PlayerSessionRow) {
    let Some(before) = before else { return };
    let fixed = |row: &PlayerSessionRow| {
        let token = (row.ordinal, row.key_id, row.gate_epoch, row.created_ms, row.expires_at_ms);
        (row.game_session, row.player.clone(), row.data.clone(), token, row.request_sha256)
    };
    assert_eq!(fixed(before), fixed(row), "what a token is made of has changed");
    assert!(before.ended_ms.is_none() || before == row, "{before:?} is over and became {row:?}");
    assert!(row.generation >= before.generation, "{before:?} became {row:?}");
}

/// A process hosts one session, and both say so.
fn hosting(mem: &Image) {
    use GameSessionStatus::{Activating, Active, Terminating};
    let mut hosts = BTreeMap::new();
    for row in mem.sessions.values().filter(|row| matches!(row.status, Activating | Active | Terminating)) {
        let process = row.process.unwrap_or_else(|| panic!("{row:?} is hosted by nobody"));
        assert_eq!(hosts.insert(process, row.id), None, "{process} hosts two sessions");
        let says = mem.processes.get(&process).and_then(|process| process.session);
        assert_eq!(says, Some(row.id), "{process} says that it hosts {says:?}");
    }
    for row in mem.processes.values().filter(|row| row.session.is_some()) {
        assert_eq!(row.session, hosts.get(&row.id).copied(), "{row:?}");
    }
}
