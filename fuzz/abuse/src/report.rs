//! What was measured, as a table for people and as JSON.

use serde::Serialize;

use crate::coordinator::Refusals;
use crate::honest::Latency;

/// One script.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub script: &'static str,
    /// What the attacker did so often.
    pub attempts: u64,
    /// Of them refused, as far as it was told.
    pub refused_seen: u64,
    /// By the coordinator's own count.
    pub refusals: Refusals,
    /// What the attack cost the attacker.
    pub attacker_cpu_ms: u64,
    /// What it cost the coordinator, with the honest requests beside it.
    pub coordinator_cpu_ms: u64,
    /// Honest requests before the attack.
    pub quiet: Latency,
    /// Beside it. Failures of all three are here.
    pub attacked: Latency,
    /// While the attacker's CPU time was burnt elsewhere.
    pub control: Option<Latency>,
    /// Memory of the coordinator before the attack.
    pub before_kib: u64,
    /// The most of it during the attack.
    pub peak_kib: u64,
    /// Afterwards.
    pub after_kib: u64,
    /// What may come on top of `before_kib`.
    pub bound_kib: u64,
    /// The coordinator is gone, or has panicked.
    pub trouble: Option<String>,
}

impl Row {
    /// What must not be, in words; nothing where all is well. Latency is no part of it.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self.trouble.iter().cloned().collect();
        if self.attacked.failures > 0 {
            let first = self.attacked.failure.as_deref().unwrap_or_default();
            faults.push(format!("{} honest requests failed, the first with: {first}", self.attacked.failures));
        }
        let growth = self.peak_kib.saturating_sub(self.before_kib);
        if growth > self.bound_kib {
            faults.push(format!("{growth} KiB more memory than before, where {} are declared", self.bound_kib));
        }
        if self.attempts == 0 {
            faults.push("the attacker did nothing".to_owned());
        }
        faults
    }

    /// 99th percentile under attack, in quiet ones.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        ratio(self.attacked.p99_us, self.quiet.p99_us)
    }

    /// The same of the control.
    #[must_use]
    pub fn control_ratio(&self) -> Option<f64> {
        self.control.as_ref().map(|control| ratio(control.p99_us, self.quiet.p99_us))
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a few seconds")]
fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "a table for people")]
fn ms(us: u64) -> f64 {
    us as f64 / 1_000.0
}

/// The head of the table.
#[must_use]
pub fn head() -> String {
    format!(
        "{:<17} {:>9} {:>9} {:>7} {:>7} {:>7} {:>6} {:>6} {:>5} {:>17} {:>6} {:>13}  {}",
        "abuse",
        "attempts",
        "refused",
        "quiet",
        "p50",
        "p99",
        "ratio",
        "contr",
        "fail",
        "RSS MiB b/p/a",
        "bound",
        "CPU ms at/co",
        "verdict"
    )
}

/// A line of it; times in milliseconds.
#[must_use]
pub fn line(row: &Row) -> String {
    let faults = row.faults();
    let verdict = if faults.is_empty() { "held".to_owned() } else { faults.join("; ") };
    let control = row.control_ratio().map_or("-".to_owned(), |ratio| format!("{ratio:.1}"));
    let memory = [row.before_kib, row.peak_kib, row.after_kib].map(|kib| format!("{:.1}", ms(kib * 1_000 / 1_024)));
    format!(
        "{:<17} {:>9} {:>9} {:>7.2} {:>7.2} {:>7.2} {:>6.1} {:>6} {:>5} {:>17} {:>6} {:>13}  {verdict}",
        row.script,
        row.attempts,
        row.refusals.total(),
        ms(row.quiet.p99_us),
        ms(row.attacked.p50_us),
        ms(row.attacked.p99_us),
        row.ratio(),
        control,
        row.attacked.failures,
        memory.join("/"),
        row.bound_kib / 1_024,
        format!("{}/{}", row.attacker_cpu_ms, row.coordinator_cpu_ms),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(p99_us: u64, failures: usize) -> Latency {
        let failure = (failures > 0).then(|| "no answer".to_owned());
        Latency { requests: 100, failures, failure, p50_us: 1, p99_us, read_p99_us: 1, reserve_p99_us: 1 }
    }

    fn row(change: impl FnOnce(&mut Row)) -> Row {
        let mut row = Row {
            script: "x",
            attempts: 1,
            refused_seen: 0,
            refusals: Refusals::default(),
            attacker_cpu_ms: 1,
            coordinator_cpu_ms: 1,
            quiet: latency(100, 0),
            attacked: latency(10_000, 0),
            control: Some(latency(300, 0)),
            before_kib: 1_000,
            peak_kib: 2_000,
            after_kib: 1_000,
            bound_kib: 1_000,
            trouble: None,
        };
        change(&mut row);
        row
    }

    #[test]
    fn slowness_is_reported_and_everything_else_is_a_fault() {
        let slow = row(|_| {});
        assert!(slow.faults().is_empty());
        assert_eq!((slow.ratio() as u64, slow.control_ratio().map(|ratio| ratio as u64)), (100, Some(3)));
        for (fault, change) in [
            ("no answer", (|row| row.attacked = latency(1, 1)) as fn(&mut Row)),
            ("declared", |row| row.peak_kib += 1),
            ("panicked", |row| row.trouble = Some("the coordinator panicked".to_owned())),
            ("did nothing", |row| row.attempts = 0),
        ] {
            let faults = row(change).faults();
            assert!(faults.len() == 1 && faults[0].contains(fault), "{fault}: {faults:?}");
            assert!(line(&row(change)).contains(fault));
        }
    }
}
