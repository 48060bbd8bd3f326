//! A fleet's configuration: what to launch, how many, and how long everything may take.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use playgate_protocol::agent::{AgentDown, Arg, LaunchOrder};
use playgate_protocol::frame;
use playgate_protocol::limits::{
    ARGV_MAX, ENV_MAX, NAME_BYTES_MAX, PROCESSES_PER_HOST_MAX, RESERVATION_MS_MAX, RESERVATION_MS_MIN,
};
use playgate_protocol::server::AdmissionPolicy;
use playgate_protocol::{FleetId, List, Name, Secret32, ServerProcessId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How to launch and treat the server processes of one fleet. Read from TOML; unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetConfig {
    /// Its name.
    pub name: FleetId,
    /// Executable and arguments. `{port}`, `{name}`, `{process}`, `{fleet}`, `{host}` and every property are filled in.
    /// Empty for a fleet of hand-started servers.
    #[serde(default)]
    pub command: List<Arg, ARGV_MAX>,
    /// Names of its own for templates.
    #[serde(default)]
    pub properties: BTreeMap<Name, Arg>,
    /// Environment variables to set; values may hold templates.
    #[serde(default)]
    pub env: BTreeMap<Name, Arg>,
    /// Environment variables let through from the agent.
    #[serde(default)]
    pub env_pass: List<Name, ENV_MAX>,
    /// Where processes run.
    #[serde(default)]
    pub working_dir: Option<Arg>,
    /// Ports that `{port}` is chosen from: `"7000-7099"`.
    #[serde(default)]
    pub ports: Option<PortRange>,
    /// Processes kept on each host.
    #[serde(default = "one")]
    pub processes_per_host: u32,
    /// Game sessions one process may host, one after the other; 0 for any number.
    #[serde(default = "one")]
    pub sessions_per_process: u32,
    /// From launch to ready.
    #[serde(default = "minutes::<1>")]
    pub ready_timeout: Millis,
    /// From *start session* to active.
    #[serde(default = "minutes::<1>")]
    pub activation_timeout: Millis,
    /// How long a process may be unwell before it is stopped.
    #[serde(default = "minutes::<1>")]
    pub unhealthy_timeout: Millis,
    /// How long a process may be unreachable before it counts as lost.
    #[serde(default = "minutes::<10>")]
    pub lost_after: Millis,
    /// How long a process may take to exit after it said that it is ending.
    #[serde(default = "seconds::<30>")]
    pub exit_timeout: Millis,
    /// How long a process that is asked to stop may take before SIGTERM.
    #[serde(default = "seconds::<10>")]
    pub stop_grace: Millis,
    /// From SIGTERM to SIGKILL.
    #[serde(default = "seconds::<5>")]
    pub term_grace: Millis,
    /// How long a reservation lives where the request does not say; 1 s to 1 h.
    #[serde(default = "minutes::<1>")]
    pub reservation_timeout: Millis,
    /// How long a disconnected player's slot is kept.
    #[serde(default = "minutes::<1>")]
    pub rejoin_grace: Millis,
    /// What a player must present.
    #[serde(default)]
    pub admission: Admission,
    /// Whether a refused player is told the reason.
    #[serde(default)]
    pub tell_reason: bool,
    /// Whether players come through relays.
    #[serde(default)]
    pub relay: RelayMode,
    /// Datagrams a second that one player may send through a relay.
    #[serde(default = "relay_packets")]
    pub relay_packets_per_second: u32,
    /// Payload bytes a second that one player may send through a relay.
    #[serde(default = "relay_bytes")]
    pub relay_bytes_per_second: u32,
}

/// Whether players come through relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelayMode {
    /// They go straight to the server.
    #[default]
    Off,
    /// A ticket names a relay where one is connected, and the server's own address as well.
    On,
    /// A ticket names a relay, and never the server's address.
    Required,
}

/// Ten times what shooters send.
const fn relay_packets() -> u32 {
    1_000
}

/// The same number of datagrams of 1,000 bytes.
const fn relay_bytes() -> u32 {
    1_000_000
}

/// What a player must present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admission {
    /// The token and a proof of the holder key, by the UDP handshake.
    #[default]
    Proof,
    /// The bare token is enough: for games with a secure transport of their own.
    Bearer,
}

const fn one() -> u32 {
    1
}

const fn minutes<const N: u64>() -> Millis {
    Millis(N * 60_000)
}

const fn seconds<const N: u64>() -> Millis {
    Millis(N * 1_000)
}

impl FleetConfig {
    /// A fleet with default values and no command.
    #[must_use]
    pub fn named(name: FleetId) -> Self {
        Self {
            name,
            command: List::default(),
            properties: BTreeMap::new(),
            env: BTreeMap::new(),
            env_pass: List::default(),
            working_dir: None,
            ports: None,
            processes_per_host: 1,
            sessions_per_process: 1,
            ready_timeout: minutes::<1>(),
            activation_timeout: minutes::<1>(),
            unhealthy_timeout: minutes::<1>(),
            lost_after: minutes::<10>(),
            exit_timeout: seconds::<30>(),
            stop_grace: seconds::<10>(),
            term_grace: seconds::<5>(),
            reservation_timeout: minutes::<1>(),
            rejoin_grace: minutes::<1>(),
            admission: Admission::Proof,
            tell_reason: false,
            relay: RelayMode::Off,
            relay_packets_per_second: relay_packets(),
            relay_bytes_per_second: relay_bytes(),
        }
    }

    /// What serde cannot check.
    ///
    /// # Errors
    /// A sentence that names the key and the remedy.
    pub fn check(&self) -> Result<(), String> {
        let fleet = &self.name;
        if self.command.first().is_some_and(|executable| executable.is_empty()) {
            return Err(format!(
                "fleet {fleet}: command begins with an empty executable; name one, or leave command out"
            ));
        }
        if usize::try_from(self.processes_per_host).is_ok_and(|n| n > PROCESSES_PER_HOST_MAX) {
            return Err(format!("fleet {fleet}: processes_per_host is at most {PROCESSES_PER_HOST_MAX}"));
        }
        let uses_port = |text: &Arg| text.contains("{port}");
        if self.ports.is_none() && (self.command.iter().any(uses_port) || self.env.values().any(uses_port)) {
            return Err(format!("fleet {fleet}: {{port}} is used but ports is not set; add ports = \"7000-7099\""));
        }
        if !(RESERVATION_MS_MIN..=RESERVATION_MS_MAX).contains(&self.reservation_timeout.0) {
            return Err(format!("fleet {fleet}: reservation_timeout must be between 1s and 1h"));
        }
        for (key, value) in [
            ("ready_timeout", self.ready_timeout),
            ("activation_timeout", self.activation_timeout),
            ("unhealthy_timeout", self.unhealthy_timeout),
            ("lost_after", self.lost_after),
        ] {
            if value.0 == 0 {
                return Err(format!("fleet {fleet}: {key} must not be 0"));
            }
        }
        if self.relay_packets_per_second == 0 || self.relay_bytes_per_second == 0 {
            return Err(format!("fleet {fleet}: relay_packets_per_second and relay_bytes_per_second must not be 0"));
        }
        let maps = [("properties", self.properties.len()), ("env", self.env.len())];
        if let Some((key, _)) = maps.into_iter().find(|(_, len)| *len > ENV_MAX) {
            return Err(format!("fleet {fleet}: {key} has more than {ENV_MAX} entries"));
        }
        if !self.launch_order_fits() {
            return Err(format!(
                "fleet {fleet}: command, properties, env and env_pass together are larger than a launch order may be \
                 (64 KiB); put long values into a file that the server reads"
            ));
        }
        Ok(())
    }

    /// Each list has a bound of its own; all of them at their bounds would be a dozen frames.
    fn launch_order_fits(&self) -> bool {
        let name = Name::lossy(&"x".repeat(NAME_BYTES_MAX));
        let order = self.launch_order(ServerProcessId::from_bytes([0; 16]), name, Secret32::from_bytes([0; 32]));
        frame::encode(&AgentDown::Launch(order), &mut Vec::new()).is_ok()
    }

    /// The policy that the server needs to know.
    #[must_use]
    pub fn admission_policy(&self) -> AdmissionPolicy {
        AdmissionPolicy {
            rejoin_grace_ms: self.rejoin_grace.as_u32(),
            bearer: self.admission == Admission::Bearer,
            tell_reason: self.tell_reason,
        }
    }

    /// The order that launches one process.
    #[must_use]
    pub fn launch_order(&self, process: ServerProcessId, name: Name, credential: Secret32) -> LaunchOrder {
        let pairs = |map: &BTreeMap<Name, Arg>| List::first_of(map.iter().map(|(k, v)| (k.clone(), v.clone())));
        LaunchOrder {
            process,
            fleet: self.name.clone(),
            name,
            argv: self.command.clone(),
            properties: pairs(&self.properties),
            env: pairs(&self.env),
            env_pass: self.env_pass.clone(),
            working_dir: self.working_dir.clone(),
            ports: self.ports.map(|range| (range.first, range.last)),
            credential,
        }
    }
}

/// An inclusive range of ports, written `"7000-7099"` or `"7000"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// Lowest.
    pub first: u16,
    /// Highest.
    pub last: u16,
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if first > 0 && first <= last => Ok(Self { first, last }),
            _ => Err(format!("\"{text}\" is not a range of ports; write it as \"7000-7099\"")),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// A duration, written `"500ms"`, `"60s"`, `"10m"` or `"1h"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// Longest that fits a wire field: 49 days.
    #[must_use]
    pub fn as_u32(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }
}

impl FromStr for Millis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match &text[digits.len()..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => {
                return Err(format!("\"{text}\" is not a duration; write \"500ms\", \"60s\", \"10m\" or \"1h\""));
            }
        };
        let number: u64 = digits.trim().parse().map_err(|_| format!("\"{text}\" is not a duration; write \"60s\""))?;
        let millis = number.checked_mul(unit).filter(|ms| *ms <= u64::from(u32::MAX));
        millis.map(Self).ok_or_else(|| format!("\"{text}\" is longer than 49 days"))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms % 1_000 != 0 => write!(f, "{ms}ms"),
            ms => write!(f, "{}s", ms / 1_000),
        }
    }
}

macro_rules! serde_by_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Arg::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
serde_by_text!(PortRange);
serde_by_text!(Millis);

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<FleetConfig, String> {
        let fleet: FleetConfig = toml::from_str(text).map_err(|e| e.to_string())?;
        fleet.check().map(|()| fleet)
    }

    #[test]
    fn a_short_file_is_enough() {
        let fleet =
            parse("name = \"arena\"\ncommand = [\"./server\", \"--port\", \"{port}\"]\nports = \"7000-7009\"").unwrap();
        assert_eq!(fleet.ports, Some(PortRange { first: 7000, last: 7009 }));
        assert_eq!((fleet.processes_per_host, fleet.lost_after), (1, Millis(600_000)));
        let again: FleetConfig = toml::from_str(&toml_of(&fleet)).unwrap();
        assert_eq!(again.name, fleet.name);
    }

    fn toml_of(fleet: &FleetConfig) -> String {
        format!("name = \"{}\"\nready_timeout = \"{}\"", fleet.name, fleet.ready_timeout)
    }

    #[test]
    fn errors_name_the_key_and_the_remedy() {
        for (text, part) in [
            ("name = \"a\"\nspeed = 9", "speed"),
            ("name = \"a b\"", "letters, digits"),
            ("name = \"a\"\nports = \"9-1\"", "7000-7099"),
            ("name = \"a\"\nlost_after = \"soon\"", "not a duration"),
            ("name = \"a\"\nlost_after = \"9999h\"", "49 days"),
            ("name = \"a\"\ncommand = [\"x\", \"{port}\"]", "add ports"),
            ("name = \"a\"\nreservation_timeout = \"2h\"", "reservation_timeout"),
            ("name = \"a\"\nlost_after = \"0s\"", "lost_after"),
            ("name = \"a\"\ncommand = [\"\"]", "empty executable"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    /// One that does not would never reach an agent, and cost it its link each time.
    #[test]
    fn a_fleet_whose_launch_order_does_not_fit_a_frame_is_refused() {
        let command = |arguments: usize| {
            let argument = "x".repeat(playgate_protocol::limits::ARG_BYTES_MAX);
            format!("name = \"a\"\ncommand = [{}]", format!("\"{argument}\",").repeat(arguments))
        };
        let fleet = parse(&command(15)).unwrap();
        let name = Name::lossy(&"x".repeat(NAME_BYTES_MAX));
        let order = fleet.launch_order(ServerProcessId::from_bytes([0xff; 16]), name, Secret32::from_bytes([0xff; 32]));
        assert_eq!(frame::encode(&AgentDown::Launch(order), &mut Vec::new()), Ok(()));
        assert!(parse(&command(16)).unwrap_err().contains("64 KiB"));
    }
}
