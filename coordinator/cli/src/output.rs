//! Prints answers as columns for people or as JSON for programs.

use playgate_protocol::TimeMs;
use playgate_protocol::api::{Event, FleetInfo, GameSessionInfo, HostInfo, PlayerSessionInfo, ProcessInfo, RelayInfo};
use serde::Serialize;

use crate::args::OutputFormat;

/// Something that can stand in a table. Column names are stable.
pub trait Columns {
    /// Headings.
    const HEAD: &'static [&'static str];

    /// One cell for each heading.
    fn cells(&self) -> Vec<String>;
}

/// Prints a list.
pub fn list<T: Columns + Serialize>(format: OutputFormat, items: &[T]) {
    match format {
        OutputFormat::Json => json(&items),
        OutputFormat::Table => table(T::HEAD, &items.iter().map(Columns::cells).collect::<Vec<_>>()),
    }
}

/// Prints one thing.
pub fn one<T: Columns + Serialize>(format: OutputFormat, item: &T) {
    match format {
        OutputFormat::Json => json(item),
        OutputFormat::Table => {
            let width = T::HEAD.iter().map(|name| name.len()).max().unwrap_or(0);
            for (name, cell) in T::HEAD.iter().zip(item.cells()) {
                println!("{name:width$}  {cell}");
            }
        }
    }
}

/// Prints any answer as JSON.
pub fn json(value: &impl Serialize) {
    println!("{}", serde_json::to_string_pretty(value).expect("answers have no type that JSON cannot write"));
}

fn table(head: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = head.iter().map(|name| name.len()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        println!("{}", padded.join("  ").trim_end());
    };
    line(&mut head.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// `2026-11-23 17:15:00.123` in UTC.
fn time(ms: TimeMs) -> String {
    let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
    // Civil date from days since 1970, by the usual shift to years that begin in March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second, milli) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{milli:03}")
}

impl Columns for GameSessionInfo {
    const HEAD: &'static [&'static str] = &[
        "SESSION",
        "FLEET",
        "STATUS",
        "REASON",
        "PLAYERS",
        "RESERVED",
        "MAX",
        "ADDRESS",
        "PROCESS",
        "PROPERTIES",
        "CREATED",
    ];

    fn cells(&self) -> Vec<String> {
        let properties: Vec<String> = self.properties.iter().map(|(key, value)| format!("{key}={value}")).collect();
        vec![
            self.id.to_string(),
            self.fleet.to_string(),
            format!("{:?}", self.status),
            or_dash(self.reason),
            self.active.to_string(),
            self.reserved.to_string(),
            self.max_players.to_string(),
            or_dash(self.address),
            or_dash(self.process),
            if properties.is_empty() { "-".into() } else { properties.join(",") },
            time(self.created_ms),
        ]
    }
}

impl Columns for PlayerSessionInfo {
    const HEAD: &'static [&'static str] =
        &["PLAYER-SESSION", "PLAYER", "STATUS", "REASON", "EXPIRES", "JOINED", "ENDED"];

    fn cells(&self) -> Vec<String> {
        let status = if self.revoking { "Revoking".to_owned() } else { format!("{:?}", self.status) };
        vec![
            self.id.to_string(),
            self.player.to_string(),
            status,
            or_dash(self.reason),
            time(self.expires_at_ms),
            or_dash(self.joined_ms.map(time)),
            or_dash(self.ended_ms.map(time)),
        ]
    }
}

impl Columns for ProcessInfo {
    const HEAD: &'static [&'static str] =
        &["PROCESS", "NAME", "FLEET", "STATUS", "HEALTH", "PID", "PORT", "SESSION", "REASON", "EXIT", "CREATED"];

    fn cells(&self) -> Vec<String> {
        let health = match (self.unreachable_since_ms, self.healthy) {
            _ if self.ended_ms.is_some() => "-",
            (Some(_), _) => "Unreachable",
            (None, true) => "Well",
            (None, false) => "Unwell",
        };
        vec![
            self.id.to_string(),
            self.name.to_string(),
            self.fleet.to_string(),
            format!("{:?}", self.status),
            health.to_owned(),
            or_dash(self.pid),
            or_dash(self.ports.first()),
            or_dash(self.session),
            or_dash(self.reason),
            or_dash(self.exit),
            time(self.created_ms),
        ]
    }
}

impl Columns for FleetInfo {
    const HEAD: &'static [&'static str] =
        &["FLEET", "PER-HOST", "LAUNCHING", "CONNECTED", "READY", "HOSTING", "DRAINING", "SESSIONS"];

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.id.to_string(), self.processes_per_host.to_string()];
        cells.extend(self.processes.iter().map(u32::to_string));
        cells.push(self.game_sessions.to_string());
        cells
    }
}

impl Columns for HostInfo {
    const HEAD: &'static [&'static str] = &["HOST", "NAME", "AGENT", "ADDRESS", "PROCESSES", "CAPACITY"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.to_string(),
            if self.connected { "connected" } else { "away" }.to_owned(),
            or_dash(self.address),
            self.processes.to_string(),
            self.capacity.to_string(),
        ]
    }
}

impl Columns for RelayInfo {
    const HEAD: &'static [&'static str] = &["RELAY", "NAME", "LINK", "ADDRESSES", "FLOWS", "ROOM FOR", "SECRET"];

    fn cells(&self) -> Vec<String> {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let state = match (self.connected, self.beat) {
            (true, Some(beat)) if beat.is_draining => "draining",
            (true, _) => "connected",
            (false, _) => "away",
        };
        vec![
            self.id.to_string(),
            self.name.to_string(),
            state.to_owned(),
            addresses.join(" "),
            or_dash(self.beat.map(|beat| beat.flows)),
            or_dash(self.beat.map(|beat| beat.flows_max)),
            self.secret.to_string(),
        ]
    }
}

impl Columns for Event {
    const HEAD: &'static [&'static str] = &["SEQ", "TIME", "EVENT", "SUBJECT", "DETAIL"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.seq.to_string(),
            time(self.at_ms),
            format!("{:?}", self.kind),
            self.subject.to_string(),
            self.detail.to_string(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_civil_dates_in_utc() {
        for (ms, text) in [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_400_000, "2000-02-29 00:00:00.000"),
            (1_709_251_199_999, "2024-02-29 23:59:59.999"),
            (1_795_454_100_123, "2026-11-23 17:15:00.123"),
            (4_102_444_800_000, "2100-01-01 00:00:00.000"),
        ] {
            assert_eq!(time(ms), text);
        }
    }
}
