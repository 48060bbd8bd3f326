//! A run: a world under load, one fault a round, and after each the comparison.

use std::sync::Arc;
use std::time::{Duration, Instant};

use playgate_protocol::JoinRole;

use crate::Outcome;
use crate::compare::{self, Kind as Wrong};
use crate::database::{self, Database};
use crate::disk;
use crate::faults::{self, Fault, Kind, Target};
use crate::load::{BACKENDS, Load};
use crate::net::{Isolation, Net, Place};
use crate::report::{Report, Round};
use crate::rng::Rng;
use crate::served::Served;
use crate::settle::{self, Joins};
use crate::world::{PATIENCE, Setup, World};

/// Rounds between two times at which everything comes to rest.
const SETTLE_EVERY: u64 = 25;
/// A load that stands still, because no server is free, is no reason to wait for it for ever.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(1);
/// Acknowledged objects of each kind that are also asked for by the API after a round.
const ASKED_PER_ROUND: usize = 8;

pub struct Plan {
    pub rounds: u64,
    pub time: Option<Duration>,
    pub seed: u64,
    pub faults: Vec<Kind>,
    pub isolation: Isolation,
    /// Puts a fact into the ledger that nobody acknowledged.
    pub invent: bool,
}

/// Runs it; every round is told of to `tell`. An error is a world that could not be set up or did not come back.
pub async fn run(plan: &Plan, setup: Setup, tell: &mut impl FnMut(&Round)) -> Outcome<Report> {
    let port = free_port()?;
    let net = Arc::new(Net::new(plan.isolation, &setup.run, port)?);
    let mut chaos = Chaos::start(plan, setup, net, port).await?;
    let started = Instant::now();
    for round in 0..plan.rounds {
        if plan.time.is_some_and(|time| started.elapsed() >= time) {
            break;
        }
        let fault = Fault::choose(round, &chaos.kinds, &mut chaos.rng);
        let told = chaos.round(round, fault, plan.invent).await;
        let told = match told {
            Ok(told) => told,
            Err(error) => {
                let why = format!("round {round}, {}: {error}", fault.describe());
                chaos.report.findings.insert((Wrong::Process, why));
                eprint!("{}", chaos.world.logs());
                break;
            }
        };
        tell(&told);
        if !chaos.report.findings.is_empty() {
            break;
        }
    }
    chaos.finish().await
}

struct Chaos {
    world: World,
    load: Load,
    served: Served,
    joins: Joins,
    rng: Rng,
    kinds: Vec<Kind>,
    report: Report,
}

impl Chaos {
    async fn start(plan: &Plan, setup: Setup, net: Arc<Net>, port: u16) -> Outcome<Self> {
        let mut kinds = plan.faults.clone();
        if kinds.contains(&Kind::Disk) && !disk::is_possible() {
            eprintln!("notice: a full disk needs root for its mount; that fault is left out");
            kinds.retain(|kind| *kind != Kind::Disk);
        }
        let report = Report::new(plan.seed, net.as_str());
        let mut world = World::start(setup, net.clone(), port).await?;
        let mut keys = Vec::new();
        for _ in 0..BACKENDS {
            let mut key = world.operator.create_join_key(JoinRole::Backend, None, 1, PATIENCE).await?;
            key.coordinator = net.coordinator_for(Place::Backends, world.port).to_string();
            keys.push(key);
        }
        let load = Load::start(&net, keys, world.setup.dir.clone(), plan.seed)?;
        world.recovered().await?;
        let served = Served::new(&world.facts());
        let (joins, rng) = (Joins::default(), Rng::new(plan.seed));
        Ok(Self { world, load, served, joins, rng, kinds, report })
    }

    async fn round(&mut self, number: u64, fault: Fault, invent: bool) -> Outcome<Round> {
        let facts_before = self.load.shared.ledger().counts.total();
        self.busy(facts_before).await;
        if invent {
            self.load.shared.ledger().invent();
        }
        let struck = Instant::now();
        let answers = self.strike(fault).await?;
        self.world.recovered().await?;
        let took = struck.elapsed();
        self.compare(&self.world.data())?;
        self.ask().await?;
        if (number + 1).is_multiple_of(SETTLE_EVERY) {
            let found = settle::settle(&self.world, &self.load.shared, &mut self.served, &mut self.joins).await?;
            self.report.findings.extend(found);
        }
        let mut ledger = self.load.shared.ledger();
        ledger.retire();
        let counts = ledger.counts;
        drop(ledger);
        *self.report.rounds.entry(fault.kind()).or_default() += 1;
        self.report.facts_acknowledged(&self.load.shared, &self.served, &self.joins);
        let (what, fresh, findings) = (fault.describe(), counts.total() - facts_before, self.report.by_kind());
        Ok(Round { number, what, answers, took, counts, fresh, findings })
    }

    /// Waits until some more facts were acknowledged, so that what happens next happens to a busy world.
    async fn busy(&mut self, facts_before: u64) {
        let (enough, deadline) = (facts_before + self.rng.between(5, 40), Instant::now() + BUSY_WAIT_MAX);
        while self.load.shared.ledger().counts.total() < enough && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(Duration::from_micros(self.rng.between(0, 20_000))).await;
    }

    /// Lets it happen, and mends it. Of a killed coordinator, how long until the next one answered.
    async fn strike(&mut self, fault: Fault) -> Outcome<Option<Duration>> {
        match fault {
            Fault::Kill(Target::Coordinator) => return Ok(Some(self.kill_coordinator().await?)),
            Fault::Kill(Target::Agent(place)) => {
                self.world.kill_agent(place)?;
                tokio::time::sleep(self.rng.millis(0, 500)).await;
                self.world.restart_agent(place).await?;
            }
            Fault::Kill(Target::Server) => {
                faults::kill_server(&mut self.world, &mut self.served, &mut self.rng).await?;
            }
            Fault::Stop(target, time) => faults::stop(&mut self.world, target, time, &mut self.rng).await?,
            Fault::Cut(place, cut, time) => faults::cut(&self.world, place, cut, time).await?,
            Fault::Disk => {
                let (world, shared) = (&mut self.world, &self.load.shared);
                let found = disk::round(world, shared, &mut self.rng, &mut self.report.disk).await?;
                self.report.findings.extend(found);
            }
        }
        Ok(None)
    }

    /// The strongest look: what the killed process has left, before another one touches it.
    async fn kill_coordinator(&mut self) -> Outcome<Duration> {
        let copy = self.world.setup.dir.join("copy");
        // Sometimes the next one dies too, while everybody is coming back to it.
        let again = self.rng.percent(20);
        for _ in 0..if again { 2 } else { 1 } {
            self.world.kill_coordinator()?;
            self.report.kills += 1;
            self.served.read()?;
            database::copy(&self.world.data(), &copy)?;
            self.compare(&copy)?;
            let answers = self.world.start_coordinator().await?;
            self.report.answers_after.push(answers);
            if again {
                tokio::time::sleep(self.rng.millis(0, 300)).await;
            }
        }
        let recovered = self.world.recovered().await?;
        self.report.all_back_after.push(recovered);
        Ok(self.report.answers_after.last().copied().unwrap_or_default())
    }

    fn compare(&mut self, data: &std::path::Path) -> Outcome<()> {
        self.served.read()?;
        // The facts first: each of them must be in a view that begins after it was acknowledged.
        let ledger = self.load.shared.ledger().clone();
        let database = Database::open(data)?;
        let found = compare::everything(&ledger, &database, &mut self.served)?;
        self.report.compared += (ledger.sessions.len() + ledger.players.len()) as u64;
        self.report.findings.extend(found);
        Ok(())
    }

    /// Some of it by the API as well, which answers from memory.
    async fn ask(&mut self) -> Outcome<()> {
        let (sessions, players): (Vec<_>, Vec<_>) = {
            let ledger = self.load.shared.ledger();
            (ledger.sessions.keys().copied().collect(), ledger.players.keys().copied().collect())
        };
        for _ in 0..ASKED_PER_ROUND {
            if let Some(session) = self.rng.pick(&sessions) {
                let asked = Instant::now();
                let answer = self.world.operator.describe_game_session(*session).await;
                self.note(answer.map(|info| self.load.shared.ledger().hear(asked).saw_session(&info)), session);
            }
            if let Some(player) = self.rng.pick(&players) {
                let asked = Instant::now();
                let answer = self.world.operator.describe_player_session(*player).await;
                self.note(answer.map(|info| self.load.shared.ledger().hear(asked).saw_player(&info)), player);
            }
        }
        Ok(())
    }

    fn note(&mut self, answer: Result<(), playgate_client::CallFailed>, id: &impl std::fmt::Display) {
        if let Err(error) = answer {
            self.report.findings.insert((Wrong::Missing, format!("{id}: {error}")));
        }
    }

    async fn finish(mut self) -> Outcome<Report> {
        let shared = self.load.shared.clone();
        if !self.report.findings.is_empty() {
            // What is wrong may never come to rest; the world is ended by force.
            self.load.stop();
            self.report.facts_acknowledged(&shared, &self.served, &self.joins);
            return Ok(self.report);
        }
        let finished = settle::finish(&mut self.world, self.load, &mut self.served, &mut self.joins).await;
        match finished {
            Ok(found) => self.report.findings.extend(found),
            Err(error) => drop(self.report.findings.insert((Wrong::Process, format!("at the end: {error}")))),
        }
        self.served.read()?;
        let ledger = shared.ledger().clone();
        let database = Database::open(&self.world.data())?;
        self.report.findings.extend(compare::everything(&ledger, &database, &mut self.served)?);
        self.report.facts_acknowledged(&shared, &self.served, &self.joins);
        Ok(self.report)
    }
}

fn free_port() -> Outcome<u16> {
    Ok(std::net::UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port())
}
