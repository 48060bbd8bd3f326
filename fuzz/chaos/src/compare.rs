//! What was acknowledged against what is kept, and against what the servers did. Each difference is a finding.

use std::collections::{BTreeMap, BTreeSet};

use playgate_protocol::api::PlayerSessionStatus;
use playgate_protocol::{GameSessionId, PlayerSessionId, ServerProcessId};

use crate::Outcome;
use crate::database::{Database, PlayerRow, ProcessRow, SessionRow};
use crate::ledger::{self, Ledger};
use crate::served::Served;

/// What must not be, by kind. Each is a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An acknowledged fact that is not kept.
    Missing,
    /// More players than slots, sold or admitted.
    Oversold,
    /// A game session on two servers.
    TwoHosts,
    /// Two objects under one idempotency key, or something under the key of a refused request.
    Duplicate,
    /// A player whom a server admitted and the coordinator does not know.
    Unknown,
    /// A player whom the coordinator knows twice, or as joined where no server admitted him.
    Twice,
    /// Players, game sessions or processes of which the two sides have different views at rest.
    Views,
    /// Answers that contradict each other, a link refused, or what the coordinator itself calls a violation.
    Contradiction,
    /// A process that ended though no fault ended it, was left behind, or did not come back.
    Process,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Missing,
        Self::Oversold,
        Self::TwoHosts,
        Self::Duplicate,
        Self::Unknown,
        Self::Twice,
        Self::Views,
        Self::Contradiction,
        Self::Process,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Oversold => "oversold",
            Self::TwoHosts => "two hosts",
            Self::Duplicate => "duplicates",
            Self::Unknown => "unknown players",
            Self::Twice => "known twice",
            Self::Views => "other views",
            Self::Contradiction => "contradictions",
            Self::Process => "processes",
        }
    }
}

pub type Findings = BTreeSet<(Kind, String)>;

/// Compares all of it. `served` was read before the database was opened.
pub fn everything(ledger: &Ledger, database: &Database, served: &mut Served) -> Outcome<Findings> {
    // Who was admitted before the view of the database began must be in it; who is in it must be admitted by now.
    let admitted_before = served.admitted.clone();
    let players = database.players()?;
    served.read()?;
    let mut findings = Findings::new();
    let mut found = |kind, what: Vec<String>| findings.extend(what.into_iter().map(|what| (kind, what)));
    let mut sessions = BTreeMap::new();
    for id in ledger.sessions.keys() {
        sessions.extend(database.session(*id)?.map(|row| (*id, row)));
    }
    found(Kind::Missing, missing(ledger, &sessions, &players));
    found(Kind::Oversold, database.oversold()?);
    found(Kind::Oversold, served.oversold.iter().cloned().collect());
    found(Kind::TwoHosts, database.hosted_twice()?);
    found(Kind::TwoHosts, admitted_by_two(served));
    found(Kind::Duplicate, database.duplicates()?);
    found(Kind::Duplicate, under_refused_keys(ledger, &players));
    let gone = |id: &PlayerSessionId| !players.contains_key(id) && ledger.players.contains_key(id);
    let unknown = admitted_before.keys().filter(|id| gone(id));
    found(Kind::Unknown, unknown.map(|id| format!("{id} was admitted, and is not there")).collect());
    found(Kind::Twice, database.known_twice()?);
    let phantom = players.iter().filter(|(id, row)| row.joined && !served.admitted.contains_key(id));
    found(Kind::Twice, phantom.map(|(id, _)| format!("{id} has joined, and no server admitted him")).collect());
    found(Kind::Contradiction, database.violations()?);
    found(Kind::Process, ended_badly(&database.processes()?, served));
    found(Kind::Contradiction, ledger.contradictions.iter().cloned().collect());
    Ok(findings)
}

/// Acknowledged facts that are not in these rows.
pub fn missing(
    ledger: &Ledger,
    sessions: &BTreeMap<GameSessionId, SessionRow>,
    players: &BTreeMap<PlayerSessionId, PlayerRow>,
) -> Vec<String> {
    let of_sessions = ledger.sessions.iter().filter_map(|(id, fact)| {
        let lost = sessions.get(id).map_or(Some("itself"), |row| session_lost(fact, row))?;
        Some(format!("{id} (key {}): {lost}", fact.key))
    });
    let of_players = ledger.players.iter().filter_map(|(id, fact)| {
        let lost = players.get(id).map_or(Some("itself"), |row| player_lost(fact, row))?;
        Some(format!("{id} ({}, key {}): {lost}", fact.player, fact.key))
    });
    of_sessions.chain(of_players).collect()
}

fn session_lost(fact: &ledger::Session, row: &SessionRow) -> Option<&'static str> {
    let terminated = row.status == "TERMINATED";
    let reason = row.reason.as_deref();
    [
        (row.key != fact.key || row.max_players != fact.max_players, "its request"),
        (fact.active && !row.activated, "its activation"),
        (fact.ending && !row.ending && !terminated, "the order to end it"),
        (fact.ended.is_some_and(|ended| !terminated || reason != Some(ended.as_str())), "its end"),
    ]
    .into_iter()
    .find_map(|(lost, what)| lost.then_some(what))
}

fn player_lost(fact: &ledger::Player, row: &PlayerRow) -> Option<&'static str> {
    let name = |status| match status {
        PlayerSessionStatus::Reserved => "RESERVED",
        PlayerSessionStatus::Active => "ACTIVE",
        PlayerSessionStatus::Completed => "COMPLETED",
        PlayerSessionStatus::TimedOut => "TIMEDOUT",
    };
    let differs = |(status, reason): (_, Option<playgate_protocol::reason::PlayerEnd>)| {
        row.status != name(status) || row.reason.as_deref() != reason.map(|reason| reason.as_str())
    };
    [
        (row.session != fact.session || row.player != fact.player || row.key != fact.key, "its request"),
        (fact.joined && !row.joined, "the join"),
        (fact.revoking && !row.revoking && !row.over, "the revocation"),
        (fact.over.is_some_and(differs), "the end"),
    ]
    .into_iter()
    .find_map(|(lost, what)| lost.then_some(what))
}

fn admitted_by_two(served: &Served) -> Vec<String> {
    let sessions = served.hosts.iter().filter(|(_, servers)| servers.len() > 1);
    let sessions = sessions.map(|(session, servers)| format!("{session} has players on {servers:?}"));
    let players = served.admitted.iter().filter(|(_, (_, servers))| servers.len() > 1);
    sessions.chain(players.map(|(player, (_, servers))| format!("{player} was admitted by {servers:?}"))).collect()
}

/// Servers that ended in any other way than a fleet's own, though nobody killed them: their players paid for it.
fn ended_badly(processes: &BTreeMap<ServerProcessId, ProcessRow>, served: &Served) -> Vec<String> {
    let good = ["STOPPED", "RECYCLED", "SHUTDOWN"];
    let ended = processes.iter().filter_map(|(id, row)| Some((id, row.reason.as_deref()?)));
    let badly = ended.filter(|(id, reason)| !good.contains(reason) && !served.killed.contains(id));
    badly.map(|(id, reason)| format!("{id} ended, and no fault did it: {reason}")).collect()
}

fn under_refused_keys(ledger: &Ledger, players: &BTreeMap<PlayerSessionId, PlayerRow>) -> Vec<String> {
    let made = players.iter().filter(|(_, row)| ledger.refused.contains_key(&row.key));
    made.map(|(id, row)| format!("key {} was refused, and has {id}", row.key)).collect()
}

#[cfg(test)]
mod tests {
    use playgate_protocol::reason::SessionEnd;

    use super::*;

    fn row() -> PlayerRow {
        PlayerRow {
            session: GameSessionId::from_bytes([0; 16]),
            player: "nobody".to_owned(),
            key: "invented".to_owned(),
            status: "ACTIVE".to_owned(),
            reason: None,
            revoking: false,
            joined: true,
            over: false,
        }
    }

    /// The canary: a comparison that finds nothing here would find nothing anywhere.
    #[test]
    fn a_fact_that_nobody_kept_is_missing_and_a_kept_one_is_not() {
        let mut ledger = Ledger::default();
        assert!(missing(&ledger, &BTreeMap::new(), &BTreeMap::new()).is_empty());
        ledger.invent();
        assert_eq!(missing(&ledger, &BTreeMap::new(), &BTreeMap::new()).len(), 1);
        let id = *ledger.players.keys().next().unwrap();
        let kept = |row: PlayerRow| missing(&ledger, &BTreeMap::new(), &BTreeMap::from([(id, row)]));
        assert!(kept(row()).is_empty());
        for (changed, what) in [
            (PlayerRow { key: String::new(), ..row() }, "its request"),
            (PlayerRow { joined: false, ..row() }, "the join"),
        ] {
            assert!(kept(changed)[0].ends_with(what));
        }
        ledger.players.get_mut(&id).unwrap().revoking = true;
        ledger.players.get_mut(&id).unwrap().over = Some((PlayerSessionStatus::Completed, None));
        let kept = |row: PlayerRow| missing(&ledger, &BTreeMap::new(), &BTreeMap::from([(id, row)]));
        assert!(kept(row())[0].ends_with("the revocation"));
        assert!(kept(PlayerRow { over: true, ..row() })[0].ends_with("the end"));
        ledger.refused("invented");
        assert_eq!(under_refused_keys(&ledger, &BTreeMap::from([(id, row())])).len(), 1);
        ledger.asks("invented");
        assert!(under_refused_keys(&ledger, &BTreeMap::from([(id, row())])).is_empty(), "made by the call under way");
    }

    #[test]
    fn only_a_fault_may_end_a_server_badly() {
        let id = ServerProcessId::from_bytes([1; 16]);
        let ended = |reason: Option<&str>| {
            let reason = reason.map(str::to_owned);
            BTreeMap::from([(id, ProcessRow { status: "ENDED".to_owned(), reason, pid: None, session: None })])
        };
        let mut served = Served::default();
        for (reason, found) in [(None, 0), (Some("RECYCLED"), 0), (Some("CRASHED"), 1), (Some("LOST"), 1)] {
            assert_eq!(ended_badly(&ended(reason), &served).len(), found, "{reason:?}");
        }
        served.killed.insert(id);
        assert_eq!(ended_badly(&ended(Some("CRASHED")), &served).len(), 0);
    }

    #[test]
    fn each_fact_about_a_game_session_is_looked_for() {
        let kept = SessionRow {
            status: "TERMINATED".to_owned(),
            key: "k".to_owned(),
            max_players: 4,
            activated: true,
            ending: true,
            reason: Some("ENDED".to_owned()),
        };
        let fact = ledger::Session::of("k", 4, Some(SessionEnd::Ended));
        assert_eq!(session_lost(&fact, &kept), None);
        for (changed, what) in [
            (SessionRow { key: "other".to_owned(), ..kept.clone() }, "its request"),
            (SessionRow { activated: false, ..kept.clone() }, "its activation"),
            (SessionRow { status: "ACTIVE".to_owned(), ending: false, ..kept.clone() }, "the order to end it"),
            (SessionRow { status: "TERMINATING".to_owned(), ..kept.clone() }, "its end"),
            (SessionRow { reason: Some("TERMINATED".to_owned()), ..kept.clone() }, "its end"),
        ] {
            assert_eq!(session_lost(&fact, &changed), Some(what));
        }
    }
}
