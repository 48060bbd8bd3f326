//! What a player does with a ticket: real datagrams to the game server, and a look at what the coordinator knows of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use playgate_client::Ticket;
use playgate_client::player::{JoinError, RefuseCode, join};
use playgate_protocol::PlayerSessionId;
use playgate_protocol::api::{ErrorCode, PlayerSessionInfo, PlayerSessionStatus};
use tokio::net::UdpSocket;

use super::Caller;
use crate::rng::Rng;

const JOIN_TIME_MAX: Duration = Duration::from_secs(2);
/// Tries to get in; a server that was killed does not answer any of them.
const JOIN_TRIES: u32 = 4;
const LOOK_AGAIN: Duration = Duration::from_millis(150);
/// Longer than a reservation of those who never come, and than the grace of those who are absent.
const PATIENCE: Duration = Duration::from_secs(12);

/// How late somebody comes at most who comes too late.
const LATE_MAX: Duration = Duration::from_millis(150);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    NeverCome,
    /// Waits so long, and comes in the last moment or just too late.
    ComeLate(Duration),
    Stay,
    Leave,
    /// Comes back from another address while he is in.
    ComeBack,
    /// His connection breaks, and he comes back in time.
    BreakAndComeBack,
    /// His connection breaks, and he does not.
    BreakAndStayAway,
    /// Taken back before he comes.
    RevokedBefore,
    RevokedInPlay,
}

impl Plan {
    pub fn some(rng: &mut Rng) -> Self {
        let all = [
            Self::Stay,
            Self::Stay,
            Self::Leave,
            Self::Leave,
            Self::ComeBack,
            Self::BreakAndComeBack,
            Self::BreakAndStayAway,
            Self::RevokedBefore,
            Self::RevokedInPlay,
        ];
        rng.pick(&all).copied().unwrap_or(Self::Stay)
    }

    /// Of somebody whose reservation is as short as this.
    pub fn hurried(reservation: Duration, rng: &mut Rng) -> Self {
        let early = rng.millis(0, 500);
        if rng.percent(50) { Self::NeverCome } else { Self::ComeLate((reservation + LATE_MAX).saturating_sub(early)) }
    }
}

pub async fn play(caller: &Caller, ticket: &Ticket, plan: Plan, mut rng: Rng) {
    let id = ticket.player_session;
    match plan {
        Plan::NeverCome => return watch(caller, id, is_over).await,
        Plan::RevokedBefore => return revoke(caller, id).await,
        Plan::ComeLate(wait) => tokio::time::sleep(wait).await,
        _ => tokio::time::sleep(rng.millis(0, 300)).await,
    }
    let Some((socket, server)) = come(caller, ticket).await else { return };
    watch(caller, id, |info| info.joined_ms.is_some()).await;
    tokio::time::sleep(rng.millis(0, 600)).await;
    match plan {
        Plan::Leave => say_until(caller, id, &socket, server, b"leave").await,
        Plan::RevokedInPlay => revoke(caller, id).await,
        Plan::ComeBack => drop(come(caller, ticket).await),
        Plan::BreakAndComeBack => {
            say(caller, &socket, server, b"drop").await;
            come(caller, ticket).await;
        }
        Plan::BreakAndStayAway => {
            say(caller, &socket, server, b"drop").await;
            watch(caller, id, is_over).await;
        }
        Plan::NeverCome | Plan::ComeLate(_) | Plan::Stay | Plan::RevokedBefore => {}
    }
}

async fn come(caller: &Caller, ticket: &Ticket) -> Option<(UdpSocket, SocketAddr)> {
    for _ in 0..JOIN_TRIES {
        caller.shared.pass().await;
        match join(ticket, JOIN_TIME_MAX).await {
            Ok((socket, joined)) => return Some((socket, joined.server)),
            Err(JoinError::Refused { reason }) => {
                // Slots are sold again only when the server has made sure that nobody else can take them.
                if reason == RefuseCode::Full {
                    caller.shared.contradicts(format!("{} was sold, and the server is full", ticket.player_session));
                }
                let mut told = caller.shared.turned_away.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                *told.entry(reason.as_str()).or_default() += 1;
                return None;
            }
            Err(_) => {}
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    None
}

async fn say(caller: &Caller, socket: &UdpSocket, server: SocketAddr, what: &[u8]) {
    caller.shared.pass().await;
    let _ = socket.send_to(what, server).await; // as good as lost on the way
}

async fn say_until(caller: &Caller, id: PlayerSessionId, socket: &UdpSocket, server: SocketAddr, what: &[u8]) {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        say(caller, socket, server, what).await;
        if look(caller, id).await.is_none_or(|info| is_over(&info)) {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn is_over(info: &PlayerSessionInfo) -> bool {
    matches!(info.status, PlayerSessionStatus::Completed | PlayerSessionStatus::TimedOut)
}

/// Looks until it is as wanted, or over; a server that is gone may never report it.
async fn watch(caller: &Caller, id: PlayerSessionId, as_wanted: impl Fn(&PlayerSessionInfo) -> bool) {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if look(caller, id).await.is_none_or(|info| as_wanted(&info) || is_over(&info)) {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn look(caller: &Caller, id: PlayerSessionId) -> Option<PlayerSessionInfo> {
    let describe = |backend: playgate_client::Backend| async move { backend.describe_player_session(id).await };
    let answer = caller.ask(1, describe, |ledger, answer| match answer {
        Ok(info) => ledger.saw_player(info),
        Err(error) => drop(ledger.contradictions.insert(format!("{id} is not known any more: {error}"))),
    });
    answer.await.ok()
}

async fn revoke(caller: &Caller, id: PlayerSessionId) {
    let revoke = |backend: playgate_client::Backend| async move {
        backend.revoke_player_session(id, Duration::from_secs(1)).await
    };
    let answer = caller.ask(100, revoke, |ledger, answer| {
        if let Ok(info) = answer {
            ledger.saw_player(info);
        }
    });
    match answer.await {
        Ok(info) if is_over(&info) => {}
        Ok(_) => watch(caller, id, is_over).await,
        // Revocation of somebody who is out already is refused; who is not known is a lost fact.
        Err(error) if error.code == ErrorCode::NotFound => {
            caller.shared.contradicts(format!("{id} is not known any more: {error}"));
        }
        Err(_) => {}
    }
}
