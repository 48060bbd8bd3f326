//! Which stored rows can be true together. A row that cannot, alone or beside the others, comes from a damaged store:
//! it is left out, and what would rest on it too, so that the core only ever holds what it could have written.

use std::collections::{BTreeMap, BTreeSet};

use playgate_protocol::api::{Event, GameSessionStatus, PlayerSessionStatus, ProcessStatus};
use playgate_protocol::limits::ORDINALS_PER_SESSION_MAX;
use playgate_protocol::{GameSessionId, ServerProcessId, TimeMs};

use crate::core::Core;
use crate::fleet::FleetConfig;
use crate::limits::{ATTEMPTS_MAX, ORDINAL_BLOCK};
use crate::rows::{GameSessionRow, HostRow, Identity, PeerRow, PlayerSessionRow, ProcessRow, RelayRow};

/// The year 10,000: no deadline that is counted from an earlier moment can overflow.
const TIME_MS_MAX: TimeMs = 253_402_300_800_000;
/// No peer and no event counts so far.
const NUMBER_MAX: u64 = u64::MAX / 2;

/// Whether a moment can have been written down here.
pub(crate) fn is_time(at: TimeMs) -> bool {
    at < TIME_MS_MAX
}

fn are_times<const N: usize>(moments: [Option<TimeMs>; N]) -> bool {
    moments.into_iter().flatten().all(is_time)
}

pub(crate) fn fleet(config: &FleetConfig) -> bool {
    config.check().is_ok()
}

pub(crate) fn host(row: &HostRow) -> bool {
    row.applied_seq < NUMBER_MAX
}

pub(crate) fn relay(row: &RelayRow) -> bool {
    row.secret >= 1 && is_time(row.rotated_ms)
}

pub(crate) fn event(event: &Event) -> bool {
    event.seq < NUMBER_MAX
}

/// Rows of processes and sessions that agree: a session that is hosted names its host, and the host names it.
pub(crate) fn agreed(
    core: &Core,
    processes: Vec<ProcessRow>,
    sessions: Vec<GameSessionRow>,
) -> (BTreeMap<ServerProcessId, ProcessRow>, BTreeMap<GameSessionId, GameSessionRow>) {
    let mut processes: BTreeMap<_, _> =
        processes.into_iter().filter(|row| process(core, row)).map(|row| (row.id, row)).collect();
    let mut requests = BTreeSet::new();
    let mut sessions: BTreeMap<_, _> = sessions
        .into_iter()
        .filter(|row| session(core, row))
        .filter(|row| requests.insert((row.fleet.clone(), row.idempotency_key.as_str().to_owned())))
        .map(|row| (row.id, row))
        .collect();
    sessions.retain(|id, row| {
        let host = row.process.and_then(|process| processes.get(&process));
        !is_hosted(row) || host.is_some_and(|host| host.session == Some(*id) && host.fleet == row.fleet)
    });
    processes.retain(|id, row| {
        let hosted = row.session.map(|session| sessions.get(&session));
        hosted.is_none_or(|hosted| hosted.is_some_and(|hosted| is_hosted(hosted) && hosted.process == Some(*id)))
    });
    (processes, sessions)
}

fn is_hosted(row: &GameSessionRow) -> bool {
    use GameSessionStatus::{Activating, Active, Terminating};
    matches!(row.status, Activating | Active | Terminating)
}

fn process(core: &Core, row: &ProcessRow) -> bool {
    use ProcessStatus::{Connected, Draining, Ended, Hosting, Launching, Ready};
    let hosts_as_it_should = match row.status {
        Launching | Connected | Ready | Ended => row.session.is_none(),
        Hosting => row.session.is_some(),
        Draining => row.drain.is_some(),
    };
    let can_be_reached = row.address.is_some() || !matches!(row.status, Ready | Hosting) && row.session.is_none();
    let is_over = row.status == Ended;
    hosts_as_it_should
        && can_be_reached
        && is_over == row.ended_ms.is_some()
        && core.fleets.contains_key(&row.fleet)
        && row.host.is_none_or(|host| core.hosts.contains_key(&host))
        && row.applied_seq < NUMBER_MAX
        && are_times([Some(row.created_ms), row.ready_ms, row.ended_ms, row.drain.map(|drain| drain.deadline_ms)])
}

fn session(core: &Core, row: &GameSessionRow) -> bool {
    use GameSessionStatus::{Placing, Terminated};
    let is_over = row.status == Terminated;
    is_over == row.terminated_ms.is_some()
        && is_over == row.reason.is_some()
        && (row.status != Placing || row.process.is_none())
        && (1..=ATTEMPTS_MAX).contains(&row.attempt)
        && row.ordinal_high <= ORDINALS_PER_SESSION_MAX + ORDINAL_BLOCK
        && core.fleets.contains_key(&row.fleet)
        && are_times([Some(row.created_ms), Some(row.place_by_ms), row.end_by_ms])
        && are_times([row.activated_ms, row.terminated_ms])
}

/// Whether a player session fits what is loaded already.
pub(crate) fn player(core: &Core, row: &PlayerSessionRow) -> bool {
    let Some(session) = core.sessions.get(&row.game_session) else { return false };
    let is_over = matches!(row.status, PlayerSessionStatus::Completed | PlayerSessionStatus::TimedOut);
    let is_free = session.live.len() < usize::from(session.row.max_players) && !session.live.contains_key(&row.player);
    let takes_players = matches!(session.row.status, GameSessionStatus::Active | GameSessionStatus::Terminating);
    is_over == row.ended_ms.is_some()
        && (is_over || takes_players && is_free)
        && !(is_over && row.revoking)
        && row.ordinal < session.row.ordinal_high
        && are_times([Some(row.created_ms), Some(row.expires_at_ms), row.ended_ms])
}

/// Whether a key is bound to somebody who is known, and a server to one key only.
pub(crate) fn peer(core: &Core, row: &PeerRow) -> bool {
    match row.identity {
        Identity::Operator | Identity::Backend => true,
        Identity::Agent(host) => core.hosts.contains_key(&host),
        Identity::Relay(relay) => core.relays.contains_key(&relay),
        Identity::Server(process) => core.processes.get(&process).is_some_and(|known| known.peer.is_none()),
    }
}
