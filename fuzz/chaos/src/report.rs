//! Figures: a line a round, a summary at the end, as text or as JSON, on the screen or in a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::compare::{Findings, Kind as Wrong};
use crate::disk;
use crate::faults::Kind;
use crate::ledger::Counts;
use crate::load::Shared;
use crate::served::Served;
use crate::settle::Joins;

/// Findings that are printed; the rest is counted.
const PRINTED_MAX: usize = 20;

/// One round.
pub struct Round {
    pub number: u64,
    pub what: String,
    /// Of a killed coordinator: from its start to its first answer.
    pub answers: Option<Duration>,
    /// From the fault until everybody was back.
    pub took: Duration,
    /// Acknowledged since the start.
    pub counts: Counts,
    /// Facts acknowledged during the round.
    pub fresh: u64,
    /// By kind, in the order of [`Wrong::ALL`].
    pub findings: [usize; Wrong::ALL.len()],
}

impl Round {
    /// What the columns of a line are.
    pub fn head() -> String {
        let counts = ["sess", "activ", "reserv", "joins", "leaves", "expir", "revoc", "ends"];
        let findings = ["miss", "over", "host2", "dup", "unkn", "twice", "views", "contr", "proc"];
        let columns = |names: [&str; 8]| names.map(|name| format!(" {name:>6}")).concat();
        let (counts, findings) = (columns(counts), findings.map(|name| format!(" {name:>5}")).concat());
        format!("round {:<40} facts{counts} |{findings} | back ms, first answer ms", "fault")
    }

    pub fn line(&self) -> String {
        let counts = self.counts.named().into_iter().filter(|(name, _)| *name != "repeats");
        let counts: String = counts.map(|(_, count)| format!(" {count:>6}")).collect();
        let findings = self.findings.map(|count| format!(" {count:>5}")).concat();
        let answers = self.answers.map_or(String::new(), |time| format!(", {}", time.as_millis()));
        let (number, what, fresh) = (self.number, &self.what, format!("+{}", self.fresh));
        format!("{number:>5} {what:<40} {fresh:>5}{counts} |{findings} | {:>7}{answers}", self.took.as_millis())
    }
}

/// A run.
pub struct Report {
    pub seed: u64,
    isolation: &'static str,
    started: Instant,
    pub rounds: BTreeMap<Kind, u64>,
    /// Of the coordinator; some rounds have two.
    pub kills: u64,
    pub counts: Counts,
    /// Objects compared, each time anew.
    pub compared: u64,
    pub answers_after: Vec<Duration>,
    pub all_back_after: Vec<Duration>,
    pub disk: disk::Figures,
    pub findings: Findings,
    admissions: u64,
    settled: u64,
    died_with_server: u64,
    repeated: u64,
    turned_away: BTreeMap<&'static str, u64>,
}

impl Report {
    pub fn new(seed: u64, isolation: &'static str) -> Self {
        Self {
            seed,
            isolation,
            started: Instant::now(),
            rounds: BTreeMap::new(),
            kills: 0,
            counts: Counts::default(),
            compared: 0,
            answers_after: Vec::new(),
            all_back_after: Vec::new(),
            disk: disk::Figures::default(),
            findings: BTreeSet::new(),
            admissions: 0,
            settled: 0,
            died_with_server: 0,
            repeated: 0,
            turned_away: BTreeMap::new(),
        }
    }

    pub fn facts_acknowledged(&mut self, shared: &Shared, served: &Served, joins: &Joins) {
        self.counts = shared.ledger().counts;
        self.admissions = served.admissions;
        (self.settled, self.died_with_server) = (joins.agreed, joins.died_with_server);
        self.repeated = shared.repeated.load(Ordering::Relaxed);
        self.turned_away = shared.turned_away.lock().unwrap_or_else(PoisonError::into_inner).clone();
    }

    pub fn passed(&self) -> bool {
        self.findings.is_empty()
    }

    /// Findings by kind, in the order of [`Wrong::ALL`].
    pub fn by_kind(&self) -> [usize; Wrong::ALL.len()] {
        Wrong::ALL.map(|kind| self.found(kind))
    }

    fn found(&self, kind: Wrong) -> usize {
        self.findings.iter().filter(|(found, _)| *found == kind).count()
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        let total: u64 = self.rounds.values().sum();
        let kinds: Vec<_> =
            self.rounds.iter().map(|(kind, count)| format!("{count} {kind:?}").to_lowercase()).collect();
        let seconds = self.started.elapsed().as_secs_f64();
        let _ = writeln!(out, "seed            {} on {}", self.seed, self.isolation);
        let _ = writeln!(out, "rounds          {total} in {seconds:.1} s: {}", kinds.join(", "));
        let _ = writeln!(out, "kills           {} of the coordinator", self.kills);
        let facts: Vec<_> = self.counts.named().map(|(name, count)| format!("{count} {name}")).into();
        let _ = writeln!(out, "acknowledged    {} facts: {}", self.counts.total(), facts.join(", "));
        let _ = writeln!(out, "compared        {} objects with the database, each time anew", self.compared);
        let turned: Vec<_> = self.turned_away.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let turned = if turned.is_empty() { "none".to_owned() } else { turned.join(", ") };
        let _ = writeln!(out, "servers         {} admissions; players turned away: {turned}", self.admissions);
        let _ = writeln!(
            out,
            "at rest         {} times, both sides with the same players; {} joins died with their server",
            self.settled, self.died_with_server
        );
        let _ = writeln!(out, "calls           {} repeated with the same key", self.repeated);
        let _ = writeln!(out, "first answer    {}", spread(&self.answers_after));
        let _ = writeln!(out, "everybody back  {} later", spread(&self.all_back_after));
        if self.disk.rounds > 0 {
            let disk::Figures { rounds, refused, restarts } = self.disk;
            let _ = writeln!(out, "full disk       {rounds} times: {refused} calls refused, {restarts} restarts");
        }
        let findings: Vec<_> = Wrong::ALL.map(|kind| format!("{} {}", kind.as_str(), self.found(kind))).into();
        let _ = writeln!(out, "findings        {}", findings.join(", "));
        for (kind, what) in self.findings.iter().take(PRINTED_MAX) {
            let _ = writeln!(out, "  {}: {what}", kind.as_str());
        }
        let _ = writeln!(out, "{}", if self.passed() { "passed" } else { "FAILED" });
        out
    }

    pub fn json(&self) -> serde_json::Value {
        let millis = |times: &[Duration]| quantiles(times).map(|time| time.as_secs_f64() * 1e3);
        json!({
            "seed": self.seed,
            "isolation": self.isolation,
            "seconds": self.started.elapsed().as_secs_f64(),
            "rounds": self.rounds.iter().map(|(kind, n)| (format!("{kind:?}").to_lowercase(), *n)).collect::<BTreeMap<_, _>>(),
            "coordinator_kills": self.kills,
            "facts": self.counts.named().into_iter().collect::<BTreeMap<_, _>>(),
            "compared": self.compared,
            "admissions": self.admissions,
            "turned_away": self.turned_away,
            "settled": self.settled,
            "died_with_server": self.died_with_server,
            "calls_repeated": self.repeated,
            "first_answer_ms": millis(&self.answers_after),
            "everybody_back_ms": millis(&self.all_back_after),
            "disk": { "rounds": self.disk.rounds, "refused": self.disk.refused, "restarts": self.disk.restarts },
            "findings": Wrong::ALL.map(|kind| (kind.as_str(), self.found(kind))).into_iter().collect::<BTreeMap<_, _>>(),
            "details": self.findings.iter().take(PRINTED_MAX).map(|(_, what)| what).collect::<Vec<_>>(),
            "passed": self.passed(),
        })
    }
}

/// Least, median, nine tenths, greatest.
pub fn quantiles(times: &[Duration]) -> [Duration; 4] {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |tenths: usize| sorted.get((sorted.len() * tenths / 10).min(sorted.len().saturating_sub(1)));
    [0, 5, 9, 10].map(|tenths| at(tenths).copied().unwrap_or_default())
}

pub fn spread(times: &[Duration]) -> String {
    let [least, median, most, greatest] = quantiles(times).map(|time| time.as_millis());
    format!("min {least} ms, median {median} ms, p90 {most} ms, max {greatest} ms ({} times)", times.len())
}

/// What was run, on what, and what came of it, in one file.
pub fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let describe = ["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--abbrev=12"];
    let git = Command::new("git").args(describe).output();
    let commit = git.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    // Where things lie on this machine changes nothing.
    for path in ["--out", "--keep", "--playgate"] {
        if let Some(at) = arguments.iter().position(|argument| argument == path) {
            arguments.drain(at..(at + 2).min(arguments.len()));
        }
    }
    let head = format!(
        "command         playgate-chaos {}\ncommit          {commit}\ntime            {now} (Unix), at the end\n\
         machine         {cores} cores, load at the end {}\n",
        arguments.join(" "),
        load.trim()
    );
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, format!("{head}{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_times() {
        let times: Vec<_> = [5, 1, 4, 2, 3].map(Duration::from_millis).into();
        assert_eq!(quantiles(&times), [1, 3, 5, 5].map(Duration::from_millis));
        assert_eq!(quantiles(&[]), [Duration::ZERO; 4]);
    }

    #[test]
    fn a_finding_fails_the_run_and_is_named() {
        let mut report = Report::new(7, "loopback");
        assert!(report.passed() && report.text().ends_with("passed\n"));
        report.findings.insert((Wrong::Missing, "ps-x".to_owned()));
        assert!(!report.passed() && report.text().contains("missing 1") && report.text().contains("ps-x"));
        assert_eq!(report.json()["findings"]["missing"], 1);
    }
}
