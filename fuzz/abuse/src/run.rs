//! One script against the coordinator, with honest requests before, beside and after it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use playgate_client::Operator;
use playgate_protocol::{FleetId, JoinRole};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use crate::attack::{Done, Script};
use crate::coordinator::{Coordinator, FLEET, PATIENCE};
use crate::honest::Honest;
use crate::report::Row;

/// How often the coordinator's memory is read.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// From the end of an attack to the last look: closed connections are forgotten, and the log tells the last refusals.
const SETTLE: Duration = Duration::from_millis(1_200);

/// A coordinator, honest peers, and who attacks.
pub struct Arena {
    coordinator: Coordinator,
    operator: Operator,
    honest: Honest,
    attacker: PathBuf,
    seed: u64,
    /// Which CPU the attacker keeps to.
    pub attackers_cpu: Option<usize>,
}

impl Arena {
    /// `playgate` is attacked by `attacker`, which is this package's binary.
    ///
    /// # Errors
    /// When anything honest does not start.
    pub async fn open(playgate: &Path, attacker: &Path, seed: u64) -> io::Result<Self> {
        let (coordinator, operator) = Coordinator::start(playgate).await?;
        let honest = Honest::start(&coordinator, &operator).await?;
        honest.ask_for(Duration::from_millis(500)).await; // the first requests meet cold caches
        Ok(Self { coordinator, operator, honest, attacker: attacker.to_owned(), seed, attackers_cpu: None })
    }

    /// Runs one script for this long. With a control it takes three times as long.
    ///
    /// # Errors
    /// When the attacker cannot attack. What the attack does to the coordinator is in the row.
    pub async fn run(&mut self, script: &Script, time: Duration, with_control: bool) -> io::Result<Row> {
        let quiet = self.honest.ask_for(time).await;
        let (before_kib, refusals, cpu) =
            (self.coordinator.rss_kib(), self.coordinator.refusals(), self.coordinator.cpu());
        let key = self.key_for(script).await?;
        let arguments = ["attack", script.name];
        let attack = self.attack(&arguments, time, key);
        let (attack, mut attacked, peak_kib) = {
            let honest = self.honest.ask_for(time);
            let (attack, attacked, peak) = tokio::join!(attack, honest, self.peak_kib(time + SETTLE));
            (attack?, attacked, peak)
        };
        let coordinator_cpu = self.coordinator.cpu().saturating_sub(cpu);
        let control = match with_control {
            true => {
                let cpu = attack.cpu_ms.to_string();
                let arguments = ["burn", &cpu];
                let burn = self.attack(&arguments, time, None);
                let (burnt, control) = tokio::join!(burn, self.honest.ask_for(time));
                burnt?;
                Some(control)
            }
            false => None,
        };
        for part in [&quiet].into_iter().chain(&control) {
            attacked.failures += part.failures;
            attacked.failure = attacked.failure.or_else(|| part.failure.clone());
        }
        Ok(Row {
            script: script.name,
            attempts: attack.attempts,
            refused_seen: attack.refused,
            refusals: self.coordinator.refusals().since(refusals),
            attacker_cpu_ms: attack.cpu_ms,
            coordinator_cpu_ms: u64::try_from(coordinator_cpu.as_millis()).unwrap_or(u64::MAX),
            quiet,
            attacked,
            control,
            before_kib,
            peak_kib,
            after_kib: self.coordinator.rss_kib(),
            bound_kib: u64::try_from(script.bytes_max(attack.attempts) / 1_024).unwrap_or(u64::MAX),
            trouble: self.coordinator.trouble(),
        })
    }

    async fn key_for(&self, script: &Script) -> io::Result<Option<String>> {
        let Some(role) = script.role else { return Ok(None) };
        let fleet = (role == JoinRole::Server).then(|| FleetId::new(FLEET).expect("a fleet's name"));
        let key = self.operator.create_join_key(role, fleet, 64, PATIENCE).await.map_err(io::Error::other)?;
        Ok(Some(key.to_text()))
    }

    async fn attack(&self, arguments: &[&str], time: Duration, key: Option<String>) -> io::Result<Done> {
        let (target, seed) = (self.coordinator.address().to_string(), self.seed.to_string());
        let mut command = Command::new(&self.attacker);
        command.args(arguments).args(["--target", &target, "--seed", &seed]);
        command.args(["--seconds", &time.as_secs_f64().to_string()]);
        command.args(self.attackers_cpu.map(|cpu| format!("--cpu={cpu}")));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        command.env_remove("PLAYGATE_JOIN_KEY").envs(key.map(|key| ("PLAYGATE_JOIN_KEY", key)));
        let output = timeout(time + PATIENCE, command.output()).await.map_err(|_| io::ErrorKind::TimedOut)??;
        serde_json::from_slice(&output.stdout)
            .map_err(|error| io::Error::other(format!("{arguments:?} ended with {}: {error}", output.status)))
    }

    async fn peak_kib(&self, time: Duration) -> u64 {
        let until = Instant::now() + time;
        let mut peak = 0;
        while Instant::now() < until {
            peak = peak.max(self.coordinator.rss_kib());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        peak
    }

    /// What the coordinator logged, for whoever looks for a fault.
    #[must_use]
    pub fn log(&self) -> String {
        self.coordinator.log()
    }
}
