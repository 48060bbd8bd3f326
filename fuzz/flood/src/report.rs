//! What was measured, as a table for people and as JSON, and what of it must not be.

use serde::Serialize;

use crate::attack::Done;
use crate::honest::Honest;
use crate::player::{SCARCE, SCARCE_BURST};
use crate::relay::Numbers;
use crate::servers::Heard;
use crate::victim::Played;
use crate::world::Link;

/// How much more memory than before an attack the relay may have, in bytes: flows of the honest players who come
/// meanwhile, at 256 bytes each, and pages of its tables that were not touched before.
pub const GROWTH_BYTES_MAX: u64 = 4 << 20;

/// One script.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Its name.
    pub script: &'static str,
    /// Of the relay's numbers, the one that must have grown.
    pub shows: &'static str,
    /// What the attacker did.
    pub attack: Done,
    /// Between the relay and everybody who is neither an honest player nor a server.
    pub link: Link,
    /// CPU time of the relay, with the honest players.
    pub relay_cpu_ms: u64,
    /// For how long it could have run and waited for a CPU.
    pub relay_waited_ms: u64,
    /// Datagrams that the relay's socket had no room for.
    pub unread: u64,
    /// Memory of the relay before, at most, and after, in bytes.
    pub resident: [u64; 3],
    /// What the relay counted meanwhile.
    pub numbers: Numbers,
    /// Honest players.
    pub honest: Honest,
    /// Who was captured.
    pub victim: Played,
    /// What reached the servers.
    pub heard: Heard,
    /// The relay is gone.
    pub trouble: Option<String>,
}

impl Row {
    /// What must not be, in words; nothing where all is well. Times are no part of it.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self.trouble.iter().cloned().collect();
        let mut check = |is_well: bool, fault: String| {
            if !is_well {
                faults.push(fault);
            }
        };
        let Link { in_packets, in_bytes, out_packets, out_bytes } = self.link;
        check(out_packets <= in_packets, format!("{out_packets} packets out for {in_packets} in"));
        check(out_bytes <= in_bytes, format!("{out_bytes} bytes out for {in_bytes} in"));
        let Heard { foreign, twice, from_elsewhere, greedy, .. } = self.heard;
        check(foreign == 0, format!("{foreign} foreign datagrams reached a server"));
        check(twice == 0, format!("{twice} datagrams reached a server twice"));
        check(from_elsewhere == 0, format!("{from_elsewhere} datagrams reached a server from another address"));
        // A second more than he sent for: what he sent waits in queues.
        let may = SCARCE_BURST + u64::from(SCARCE.datagrams) * (self.attack.time_ms / 1_000 + 2);
        check(greedy <= may, format!("{greedy} datagrams of a player who may send {may}"));
        let [before, peak, _] = self.resident;
        let growth = peak.saturating_sub(before);
        check(growth <= GROWTH_BYTES_MAX, format!("{growth} bytes more memory, where {GROWTH_BYTES_MAX} are declared"));
        let Honest { attempts, admitted, .. } = self.honest;
        check(attempts > 0 && admitted == attempts, format!("{admitted} of {attempts} honest players got in"));
        check(self.honest.echoed > 0, "no honest player heard his server".to_owned());
        check(self.victim.is_open && self.victim.sent > 0, format!("the captured player: {:?}", self.victim));
        let shown = self.numbers.get(self.shows).copied().unwrap_or(0);
        check(shown > 0, format!("nothing of it arrived: {} is 0", self.shows));
        faults
    }

    /// Of what was sent to servers by honest players and did not come back, in %.
    #[must_use]
    pub fn loss(&self) -> f64 {
        100.0 - percent(self.honest.echoed, self.honest.sent)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds, for people")]
fn percent(one: u64, of: u64) -> f64 {
    one as f64 * 100.0 / of.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "a table for people")]
fn thousandth(number: u64) -> f64 {
    number as f64 / 1_000.0
}

/// The head of the table.
#[must_use]
pub fn head() -> String {
    format!(
        "{:<21} {:>9} {:>14} {:>9} {:>9} {:>5} {:>8} {:>17} {:>9} {:>6} {:>8} {:>8} {:>6}  {}",
        "flood",
        "sent",
        "CPU ms a/r/w",
        "in",
        "out",
        "B o/i",
        "unread",
        "RSS KiB b/p/a",
        "in<1s",
        "%",
        "p50 ms",
        "p99 ms",
        "loss %",
        "verdict, and what the relay counted",
    )
}

/// A line of it.
#[must_use]
pub fn line(row: &Row) -> String {
    let faults = row.faults();
    let verdict = if faults.is_empty() { "held".to_owned() } else { faults.join("; ") };
    let honest = &row.honest;
    let soon = honest.within_a_second as u64;
    let counted = row.numbers.iter().filter(|(name, number)| **number > 0 && is_of_the_attack(name));
    let counted: Vec<String> = counted.map(|(name, number)| format!("{name} {number}")).collect();
    let [before, peak, after] = row.resident.map(|bytes| bytes / 1_024);
    format!(
        "{:<21} {:>9} {:>14} {:>9} {:>9} {:>5.2} {:>8} {:>17} {:>9} {:>6.1} {:>8.1} {:>8.1} {:>6.2}  {verdict}; {}",
        row.script,
        row.attack.sent,
        format!("{}/{}/{}", row.attack.cpu_ms, row.relay_cpu_ms, row.relay_waited_ms),
        row.link.in_packets,
        row.link.out_packets,
        percent(row.link.out_bytes, row.link.in_bytes) / 100.0,
        row.unread,
        format!("{before}/{peak}/{after}"),
        format!("{soon}/{}", honest.attempts),
        percent(soon, honest.attempts as u64),
        thousandth(honest.p50_us),
        thousandth(honest.p99_us),
        row.loss(),
        counted.join(", "),
    )
}

fn is_of_the_attack(name: &str) -> bool {
    name.starts_with("drop:") || matches!(name, "cookies" | "resets" | "lost" | "reopened" | "refused" | "moved")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(change: impl FnOnce(&mut Row)) -> Row {
        let mut row = Row {
            script: "x",
            shows: "cookies",
            attack: Done { sent: 1, failed: 0, cpu_ms: 1, time_ms: 1_000 },
            link: Link { in_packets: 2, in_bytes: 2, out_packets: 2, out_bytes: 2 },
            relay_cpu_ms: 1,
            relay_waited_ms: 1,
            unread: 9,
            resident: [1, 2, 3],
            numbers: Numbers::from([("cookies".to_owned(), 1)]),
            honest: Honest { attempts: 2, admitted: 2, max_us: 9_000_000, sent: 9, echoed: 1, ..Honest::default() },
            victim: Played { sent: 1, echoed: 0, is_open: true },
            heard: Heard::default(),
            trouble: None,
        };
        change(&mut row);
        row
    }

    #[test]
    fn slowness_and_loss_are_reported_and_everything_else_is_a_fault() {
        assert_eq!(row(|_| {}).faults(), Vec::<String>::new());
        type Change = (&'static str, fn(&mut Row));
        let rows: &[Change] = &[
            ("packets out", |row| row.link.out_packets = 3),
            ("bytes out", |row| row.link.out_bytes = 3),
            ("foreign", |row| row.heard.foreign = 1),
            ("twice", |row| row.heard.twice = 1),
            ("another address", |row| row.heard.from_elsewhere = 1),
            ("who may send", |row| row.heard.greedy = 1_000),
            ("memory", |row| row.resident[1] = 2 + GROWTH_BYTES_MAX),
            ("1 of 2 honest", |row| row.honest.admitted = 1),
            ("heard his server", |row| row.honest.echoed = 0),
            ("captured player", |row| row.victim.is_open = false),
            ("cookies is 0", |row| row.numbers.clear()),
            ("ended", |row| row.trouble = Some("the relay ended".to_owned())),
        ];
        for (fault, change) in rows {
            let faults = row(change).faults();
            assert!(faults.len() == 1 && faults[0].contains(fault), "{fault}: {faults:?}");
            assert!(line(&row(change)).contains(fault));
        }
    }
}
