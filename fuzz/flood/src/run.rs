//! One script against the relay, with honest players beside it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::attack::{Done, Given, Script};
use crate::honest;
use crate::relay::{Numbers, RelayProcess};
use crate::report::Row;
use crate::servers::Servers;
use crate::victim::{Captured, Victim};
use crate::world::{Side, World};

/// From the end of an attack to the last look: queues run empty, and the relay shows its numbers twice a second.
const SETTLE: Duration = Duration::from_millis(1_200);
/// How often the relay's memory is read.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Datagrams of one attack.
const COUNT_MAX: u64 = 20_000_000;

/// How a script is run.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// For so long.
    pub time: Duration,
    /// Honest players who come each second.
    pub players: u32,
    /// Repeats the noise of the attacker.
    pub seed: u64,
}

/// A relay, and everybody else.
pub struct Arena {
    program: PathBuf,
    relay: RelayProcess,
    world: World,
    /// Of honest players; the next one's.
    number: u32,
}

impl Arena {
    /// `program` is this package's binary.
    ///
    /// # Errors
    /// When anything does not start.
    pub fn open(world: World, program: &Path, cores: u8) -> io::Result<Self> {
        let relay = RelayProcess::start(&world, program, cores)?;
        Ok(Self { program: program.to_owned(), relay, world, number: 0 })
    }

    /// Runs one script. What it does to the relay is in the row.
    ///
    /// # Errors
    /// When somebody who is needed for it does not start.
    pub fn run(&mut self, script: &Script, measure: Measure) -> io::Result<Row> {
        let mark = measure.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(self.number);
        let servers = Servers::start(&self.world, mark)?;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&mark.to_le_bytes());
        let victim = Victim::start(&self.world, mark, seed)?;
        let (numbers, link) = (self.relay.numbers()?, self.world.attackers_link()?);
        let (cpu, waited) = (self.relay.cpu(), self.relay.waited());
        let (unread, before) = (self.relay.unread(), self.relay.resident());
        let is_over = AtomicBool::new(false);
        let (attack, honest, peak) = std::thread::scope(|scope| {
            let attack = scope.spawn(|| self.attack(script, &victim.captured, mark, measure));
            let honest = scope.spawn(|| honest::play(&self.world, mark, self.number, measure.players, measure.time));
            let peak = scope.spawn(|| self.peak(&is_over));
            let attack = attack.join().expect("no panic");
            let honest = honest.join().expect("no panic");
            std::thread::sleep(SETTLE);
            is_over.store(true, Ordering::Relaxed);
            (attack, honest, peak.join().expect("no panic"))
        });
        let (attack, honest) = (attack?, honest?);
        self.number += u32::try_from(honest.attempts).unwrap_or(0);
        let trouble = self.relay.trouble();
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let relay_cpu_ms = ms(self.relay.cpu().saturating_sub(cpu));
        let relay_waited_ms = ms(self.relay.waited().saturating_sub(waited));
        let victim = victim.stop()?;
        Ok(Row {
            script: script.name,
            shows: script.shows,
            attack,
            link: self.world.attackers_link()?.since(link),
            relay_cpu_ms,
            relay_waited_ms,
            unread: self.relay.unread() - unread,
            resident: [before, peak.max(before), self.relay.resident()],
            numbers: if trouble.is_some() { Numbers::new() } else { since(self.relay.numbers()?, &numbers) },
            honest,
            victim,
            heard: servers.stop(),
            trouble,
        })
    }

    fn attack(&self, script: &Script, captured: &Captured, mark: u64, measure: Measure) -> io::Result<Done> {
        let given = Given {
            captured: captured.clone(),
            mark,
            seed: measure.seed,
            time_ms: u64::try_from(measure.time.as_millis()).unwrap_or(u64::MAX),
            count: COUNT_MAX,
        };
        let mut command = Command::new(&self.program);
        command.args(["attack", script.name]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut attacker = self.world.side(Side::Attacker).spawn(&mut command)?;
        // Dropped at the end of the statement, so that he knows that this is all.
        let told = attacker.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(&serde_json::to_vec(&given)?));
        let output = attacker.wait_with_output()?;
        told?;
        serde_json::from_slice(&output.stdout)
            .map_err(|error| io::Error::other(format!("the attacker ended with {}: {error}", output.status)))
    }

    fn peak(&self, is_over: &AtomicBool) -> u64 {
        let mut peak = 0;
        while !is_over.load(Ordering::Relaxed) {
            peak = peak.max(self.relay.resident());
            std::thread::sleep(LOOK_EVERY);
        }
        peak
    }

    /// The namespaces.
    #[must_use]
    pub const fn world(&self) -> &World {
        &self.world
    }
}

fn since(now: Numbers, before: &Numbers) -> Numbers {
    let grown = |name: &str, number: u64| number.saturating_sub(before.get(name).copied().unwrap_or(0));
    now.into_iter().map(|(name, number)| (name.clone(), grown(&name, number))).collect()
}
