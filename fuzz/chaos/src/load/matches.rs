//! What a backend does, again and again: a game session, slots for its players, and its end.

use std::time::{Duration, Instant};

use playgate_client::{NewGameSession, NewPlayerSessions, Until};
use playgate_protocol::GameSessionId;
use playgate_protocol::api::{ErrorCode, GameSessionInfo, GameSessionStatus};
use tokio::task::JoinSet;

use super::{Caller, players};
use crate::rng::Rng;
use crate::server::ENDS_MS;
use crate::world::{FLEET, GRACE};

/// "Later" is taken for an answer so often; at a tenth of a second each it outlasts every fault but a full disk.
const LATER_MAX: u32 = 200;
const END_LOOKS: Duration = Duration::from_secs(2);

pub async fn run(caller: Caller, place: usize, mut rng: Rng) {
    for number in 0_u64.. {
        if caller.shared.stopping() {
            return;
        }
        play(&caller, &format!("{place}-{number}"), &mut rng).await;
        tokio::time::sleep(rng.millis(20, 200)).await;
    }
}

async fn play(caller: &Caller, name: &str, rng: &mut Rng) {
    let max_players = u16::try_from(rng.between(2, 16)).unwrap_or(2);
    let key = format!("session-{name}");
    let mut new = NewGameSession::new(FLEET, max_players).idempotency_key(&key).property("match", name);
    let ends_by_itself = rng.percent(30);
    if ends_by_itself {
        new = new.property(ENDS_MS, &rng.between(1_000, 4_000).to_string());
    }
    let Some(session) = create(caller, &key, &new).await else { return };
    if rng.percent(10) {
        create(caller, &key, &new).await; // the ledger sees whether it is the same one
    }
    let mut parties = JoinSet::new();
    for door in 0..rng.between(2, 4) {
        let (caller, name, mut rng) = (caller.clone(), format!("{name}-{door}"), rng.fork(door));
        parties.spawn(async move {
            for party in 0..rng.between(1, 3) {
                let rng = rng.fork(party);
                come(&caller, session.id, format!("{name}-{party}"), max_players, rng).await;
            }
        });
    }
    while let Some(ended) = parties.join_next().await {
        if let Err(error) = ended {
            caller.shared.contradicts(format!("a party panicked: {error}"));
        }
    }
    if !ends_by_itself || !await_end(caller, session.id, Duration::from_secs(5)).await {
        end(caller, session.id).await;
    }
    if rng.percent(50) {
        create(caller, &key, &new).await; // perhaps by a coordinator that never heard of the first time
    }
}

/// None where the coordinator says that there is no capacity, or that the session is over already.
async fn create(caller: &Caller, key: &str, new: &NewGameSession) -> Option<GameSessionInfo> {
    let create = |backend: playgate_client::Backend| {
        let new = new.clone();
        async move { backend.create_game_session(new).await }
    };
    let answer = caller.ask(LATER_MAX, create, |ledger, answer| {
        if let Ok(info) = answer {
            ledger.created(key, info);
        }
    });
    match answer.await {
        Ok(info) => (info.status == GameSessionStatus::Active).then_some(info),
        Err(error) => {
            let honest = [
                ErrorCode::FleetCapacityExceeded,
                ErrorCode::GameSessionActivationFailed,
                ErrorCode::InvalidGameSessionStatus,
                ErrorCode::StoreFull,
                ErrorCode::Busy,
            ];
            if !honest.contains(&error.code) {
                caller.shared.contradicts(format!("key {key}: no game session, because {error}"));
            }
            None
        }
    }
}

/// A party reserves its slots, perhaps more than there are, and its players do what they please.
async fn come(caller: &Caller, session: GameSessionId, name: String, max_players: u16, mut rng: Rng) {
    let key = format!("party-{name}");
    let names: Vec<_> = (0..rng.between(1, u64::from(max_players).min(5))).map(|n| format!("{name}-{n}")).collect();
    let hurried = rng.percent(20).then(|| rng.millis(1_000, 2_000));
    let mut new = NewPlayerSessions::new(session).idempotency_key(&key);
    for player in &names {
        new = new.player(player, b"");
    }
    if let Some(reservation) = hurried {
        new = new.reservation(reservation);
    }
    let reserve = |backend: playgate_client::Backend| {
        caller.shared.ledger().asks(&key);
        let new = new.clone();
        async move { backend.create_player_sessions(new).await }
    };
    let note = |ledger: &mut crate::ledger::Ledger, answer: &Result<Vec<_>, playgate_protocol::api::CallError>| {
        match answer {
            Ok(tickets) => ledger.reserved(session, &key, &names, tickets),
            // These speak of what was made before.
            Err(error) if error.code == ErrorCode::PlayerSessionOver => {}
            Err(_) => ledger.refused(&key),
        }
    };
    let Ok(tickets) = caller.ask(LATER_MAX, reserve, note).await else { return };
    let again = async || {
        let again = caller.ask(LATER_MAX, reserve, note).await;
        if again.is_ok_and(|again| again != tickets) {
            caller.shared.contradicts(format!("key {key} gave other tickets the second time"));
        }
    };
    if rng.percent(10) {
        again().await;
    }
    let mut playing = JoinSet::new();
    for (number, ticket) in tickets.iter().cloned().enumerate() {
        let plan = match hurried {
            Some(reservation) => players::Plan::hurried(reservation, &mut rng),
            None => players::Plan::some(&mut rng),
        };
        let (caller, rng) = (caller.clone(), rng.fork(number as u64));
        playing.spawn(async move { players::play(&caller, &ticket, plan, rng).await });
    }
    while let Some(ended) = playing.join_next().await {
        if let Err(error) = ended {
            caller.shared.contradicts(format!("a player panicked: {error}"));
        }
    }
    if rng.percent(50) {
        again().await; // seconds later, and perhaps by another coordinator
    }
}

/// Asks for the end until it has come.
async fn end(caller: &Caller, session: GameSessionId) {
    let terminate =
        |backend: playgate_client::Backend| async move { backend.terminate_game_session(session, GRACE).await };
    let answer = caller.ask(LATER_MAX, terminate, |ledger, answer| {
        if let Ok(info) = answer {
            ledger.saw_session(info);
        }
    });
    if let Err(error) = answer.await {
        caller.shared.contradicts(format!("{session} cannot be ended: {error}"));
        return;
    }
    await_end(caller, session, Duration::from_secs(60)).await;
}

async fn await_end(caller: &Caller, session: GameSessionId, patience: Duration) -> bool {
    let started = Instant::now();
    while started.elapsed() < patience {
        let look = |backend: playgate_client::Backend| async move {
            backend.await_game_session(session, Until::Terminated, END_LOOKS).await
        };
        let answer = caller.ask(LATER_MAX, look, |ledger, answer| {
            if let Ok(info) = answer {
                ledger.saw_session(info);
            }
        });
        match answer.await {
            Ok(info) if info.status == GameSessionStatus::Terminated => return true,
            Ok(_) => {}
            Err(error) => {
                caller.shared.contradicts(format!("{session} is not known any more: {error}"));
                return true;
            }
        }
    }
    false
}
