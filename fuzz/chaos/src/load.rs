//! Backends and players: a bounded load of game sessions, on a thread of its own, that runs through every fault.

mod matches;
mod players;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use playgate_client::{Backend, BackendConfig, CallFailed};
use playgate_protocol::JoinKey;
use playgate_protocol::api::{CallError, ErrorCode};
use tokio::sync::{RwLock, RwLockWriteGuard};

use crate::Outcome;
use crate::ledger::Ledger;
use crate::net::{Net, Place};
use crate::rng::Rng;

/// Backends, each with a key and a link of its own.
pub const BACKENDS: usize = 3;
/// Game sessions that one backend runs at a time: together as many as there are servers.
const MATCHES_PER_BACKEND: usize = 2;
/// How long one try of a call waits; the next one carries the same key.
const CALL_PATIENCE: Duration = Duration::from_secs(3);
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// What the load and those who watch it share.
#[derive(Default)]
pub struct Shared {
    ledger: Mutex<Ledger>,
    /// Passed by whoever is about to do something; held by whoever wants to see everything come to rest.
    gate: RwLock<()>,
    pub stop: AtomicBool,
    /// Calls that had to be repeated because nobody knew their outcome.
    pub repeated: AtomicU64,
    /// Calls that were refused because the disk is nearly full.
    pub store_full: AtomicU64,
    /// What players were told who were not let in.
    pub turned_away: Mutex<BTreeMap<&'static str, u64>>,
}

impl Shared {
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn contradicts(&self, what: String) {
        self.ledger().contradictions.insert(what);
    }

    /// Waits while somebody holds the gate.
    pub async fn pass(&self) {
        drop(self.gate.read().await);
    }

    /// Nobody begins anything while this is held.
    pub async fn hold(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().await
    }

    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

pub struct Load {
    pub shared: Arc<Shared>,
    thread: JoinHandle<Outcome<()>>,
}

impl Load {
    /// `keys` are the backends' join keys.
    pub fn start(net: &Arc<Net>, keys: Vec<JoinKey>, dir: PathBuf, seed: u64) -> Outcome<Self> {
        let shared = Arc::new(Shared::default());
        let (net, told) = (net.clone(), shared.clone());
        let run = move || {
            net.enter(Place::Backends)?;
            drop(net); // what it made is removed when the world ends, also while backends are still waiting
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(run(keys, dir, told, seed))
        };
        let thread = std::thread::Builder::new().name("load".to_owned()).spawn(run)?;
        Ok(Self { shared, thread })
    }

    /// Asks all to come to their end; `is_over` tells when they have.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    pub fn join(self) -> Outcome<()> {
        self.thread.join().unwrap_or_else(|_| Err("the load panicked".into()))
    }
}

async fn run(keys: Vec<JoinKey>, dir: PathBuf, shared: Arc<Shared>, seed: u64) -> Outcome<()> {
    let (rng, mut running) = (Rng::new(seed), tokio::task::JoinSet::new());
    for (number, key) in keys.into_iter().enumerate() {
        let config = BackendConfig::from_join_key(key, dir.join(format!("backend-{number}.key")));
        let backend = Backend::connect(config).await?;
        for slot in 0..MATCHES_PER_BACKEND {
            let place = number * MATCHES_PER_BACKEND + slot;
            let caller = Caller { backend: backend.clone(), shared: shared.clone() };
            running.spawn(matches::run(caller, place, rng.fork(place as u64)));
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.map_err(|error| format!("a backend panicked: {error}"))?;
    }
    Ok(())
}

/// A backend that asks until it is answered.
#[derive(Clone)]
pub struct Caller {
    pub backend: Backend,
    pub shared: Arc<Shared>,
}

impl Caller {
    /// Repeats a call until the coordinator has said yes, or a no that time does not change; `tries` bounds how often
    /// it may say "later". `note` writes each answer down.
    pub async fn ask<T, F>(
        &self,
        tries: u32,
        call: impl Fn(Backend) -> F,
        note: impl Fn(&mut Ledger, &Result<T, CallError>),
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallFailed>>,
    {
        let mut refusals = 0;
        loop {
            self.shared.pass().await;
            let asked = Instant::now();
            let answer = match call(self.backend.within(CALL_PATIENCE)).await {
                Ok(answer) => Some(Ok(answer)),
                Err(CallFailed::Refused(error)) => {
                    if error.code == ErrorCode::StoreFull {
                        self.shared.store_full.fetch_add(1, Ordering::Relaxed);
                    }
                    refusals += 1;
                    Some(Err(error))
                }
                Err(CallFailed::OutcomeUnknown | CallFailed::Unreachable { .. }) => {
                    self.shared.repeated.fetch_add(1, Ordering::Relaxed);
                    None
                }
                Err(error @ (CallFailed::Invalid(_) | CallFailed::LinkRefused(_) | CallFailed::UnexpectedAnswer)) => {
                    self.shared.contradicts(format!("a good call failed: {error}"));
                    None
                }
            };
            if let Some(answer) = answer {
                note(self.shared.ledger().hear(asked), &answer);
                let later = answer.as_ref().is_err_and(|error| is_passing(error.code) && refusals < tries);
                if !later {
                    return answer;
                }
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }
}

fn is_passing(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Busy | ErrorCode::StoreFull | ErrorCode::ServerUnavailable)
}
