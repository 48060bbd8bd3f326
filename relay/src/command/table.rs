//! What a relay does, as columns for people: one for each core, and one for all.

use std::fmt::Write;

use crate::control::{CoreStatus, Status};

type Row = (&'static str, fn(&CoreStatus) -> u64);

/// Sums that grow. Their names are those of the JSON document.
const GROWING: [Row; 12] = [
    ("packets in", |core| core.up_datagrams),
    ("bytes in", |core| core.up_bytes),
    ("packets out", |core| core.down_datagrams),
    ("bytes out", |core| core.down_bytes),
    ("cookies", |core| core.cookies),
    ("flows opened", |core| core.opened),
    ("  of them reopened", |core| core.reopened),
    ("refused", |core| core.refused),
    ("moved", |core| core.moved),
    ("pings", |core| core.pings),
    ("resets", |core| core.resets),
    ("not sent", |core| core.lost),
];

/// Since the start of the relay.
pub(super) fn totals(status: &Status) -> String {
    table(status, "since its start", &[], 1_000)
}

/// A second's worth of what happened between two looks.
pub(super) fn rates(before: &Status, status: &Status) -> String {
    // A relay that was restarted in between begins at zero.
    let is_same = before.uptime_ms < status.uptime_ms && before.cores.len() == status.cores.len();
    let (cores, since): (&[CoreStatus], _) = if is_same { (&before.cores, before.uptime_ms) } else { (&[], 0) };
    table(status, "a second", cores, status.uptime_ms.saturating_sub(since).max(1))
}

fn table(status: &Status, what: &str, before: &[CoreStatus], over_ms: u64) -> String {
    let mut text = head(status);
    let mut heading: Vec<String> = (0..status.cores.len()).map(|core| format!("core {core}")).collect();
    heading.push("all".to_owned());
    line(&mut text, what, &heading);
    line(&mut text, "flows", &cells(status, |core, _| core.flows as u64));
    let rate = |now: u64, before: u64| now.saturating_sub(before).saturating_mul(1_000) / over_ms;
    let empty = CoreStatus::default();
    let before = |core: usize| before.get(core).unwrap_or(&empty);
    for (name, value) in GROWING {
        line(&mut text, name, &cells(status, |now, core| rate(value(now), value(before(core)))));
    }
    let reasons = status.cores.first().map(|core| core.drops.keys()).into_iter().flatten();
    for reason in reasons {
        let drops = |core: &CoreStatus| core.drops.get(reason).copied().unwrap_or(0);
        let cells = cells(status, |now, core| rate(drops(now), drops(before(core))));
        // Most reasons never occur; those that do not are not worth a line.
        if cells.last().is_some_and(|all| all != "0") {
            line(&mut text, &format!("dropped: {reason}"), &cells);
        }
    }
    text
}

/// A cell for each core, and their sum.
fn cells(status: &Status, value: impl Fn(&CoreStatus, usize) -> u64) -> Vec<String> {
    let mut values: Vec<u64> = status.cores.iter().enumerate().map(|(n, core)| value(core, n)).collect();
    values.push(values.iter().sum());
    values.iter().map(u64::to_string).collect()
}

fn head(status: &Status) -> String {
    let id = status.relay.map_or_else(|| "no id yet".to_owned(), |relay| relay.to_string());
    let link = match (&status.problem, status.linked) {
        (_, true) => format!("linked to {}", status.coordinator),
        (Some(problem), false) => format!("NOT linked to {}: {problem}", status.coordinator),
        (None, false) => format!("not linked to {} yet", status.coordinator),
    };
    let secret = match status.secret {
        0 => "no secret yet: nobody gets in".to_owned(),
        number => format!("secret {number}"),
    };
    let draining = if status.draining { ", draining" } else { "" };
    format!(
        "{} ({id}) at {}, {link}\n{secret}, {} revoked, up to {} flows, runs for {} s{draining}\n\n",
        status.name,
        status.listening,
        status.revoked,
        status.flows_max,
        status.uptime_ms / 1_000,
    )
}

fn line(text: &mut String, name: &str, cells: &[String]) {
    write!(text, "{name:<28}").expect("a string takes everything");
    for cell in cells {
        write!(text, "{cell:>16}").expect("a string takes everything");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(uptime_ms: u64, up: [u64; 2], replays: u64) -> Status {
        let core = |up_datagrams| CoreStatus {
            flows: 3,
            up_datagrams,
            drops: [("replay".to_owned(), replays), ("tag".to_owned(), 0)].into(),
            ..CoreStatus::default()
        };
        Status {
            relay: None,
            name: "r".to_owned(),
            coordinator: "c:1".to_owned(),
            linked: false,
            problem: Some("no route".to_owned()),
            secret: 2,
            draining: false,
            revoked: 0,
            listening: "[::]:4000".parse().unwrap(),
            uptime_ms,
            flows_max: 8,
            cores: up.map(core).into(),
        }
    }

    fn row<'t>(table: &'t str, name: &str) -> Option<Vec<&'t str>> {
        table.lines().find_map(|line| line.strip_prefix(name)).map(|cells| cells.split_whitespace().collect())
    }

    #[test]
    fn each_core_has_a_column_and_what_did_not_happen_has_no_line() {
        let table = totals(&status(2_000, [10, 20], 4));
        assert!(table.contains("NOT linked to c:1: no route") && table.contains("runs for 2 s"), "{table}");
        assert_eq!(row(&table, "flows "), Some(vec!["3", "3", "6"]));
        assert_eq!(row(&table, "packets in"), Some(vec!["10", "20", "30"]));
        assert_eq!(row(&table, "dropped: replay"), Some(vec!["4", "4", "8"]));
        assert_eq!(row(&table, "dropped: tag"), None);
    }

    #[test]
    fn rates_are_of_a_second_also_after_a_restart() {
        let table = rates(&status(2_000, [10, 20], 4), &status(4_000, [30, 20], 4));
        assert_eq!(row(&table, "packets in"), Some(vec!["10", "0", "10"]));
        assert_eq!(row(&table, "dropped: replay"), None);
        let table = rates(&status(4_000, [1_000, 1_000], 4), &status(500, [4, 0], 0));
        assert_eq!(row(&table, "packets in"), Some(vec!["8", "0", "8"]));
    }
}
