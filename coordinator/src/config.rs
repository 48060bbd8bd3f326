//! Where the coordinator lives and what it starts with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use playgate_core::fleet::FleetConfig;
use serde::Deserialize;

/// One coordinator.
#[derive(Debug, Clone)]
pub struct CoordinatorConfig {
    /// Holds the database, the key file and the operator's key. Made when missing.
    pub data_dir: PathBuf,
    /// UDP address of the QUIC port; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Host and port under which peers reach it, written into keys; where absent, the listening address.
    pub advertise: Option<String>,
    /// Fleets to create or change at the start; others stay as they are.
    pub fleets: Vec<FleetConfig>,
    /// Links at a time.
    pub max_links: usize,
}

impl CoordinatorConfig {
    /// The usual port.
    pub const PORT: u16 = 7600;

    /// With defaults, on the given address.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, listen: SocketAddr) -> Self {
        Self { data_dir: data_dir.into(), listen, advertise: None, fleets: Vec::new(), max_links: 20_000 }
    }
}

/// A fleet file that cannot be used. Says which file, what is wrong, and what to write instead.
#[derive(Debug)]
pub struct FleetFileError(String);

impl std::fmt::Display for FleetFileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FleetFileError {}

/// Reads the fleets of one TOML file: a `[[fleet]]` table for each.
///
/// # Errors
/// [`FleetFileError`] when the file cannot be read, is not TOML, has an unknown key or a value out of bounds.
pub fn read_fleets(path: &Path) -> Result<Vec<FleetConfig>, FleetFileError> {
    let named = |what: String| FleetFileError(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| named(format!("cannot be read: {error}")))?;
    parse_fleets(&text).map_err(named)
}

fn parse_fleets(text: &str) -> Result<Vec<FleetConfig>, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        fleet: Vec<FleetConfig>,
    }
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    if file.fleet.is_empty() {
        return Err("no fleet in it; add a table [[fleet]] with name and command".into());
    }
    for fleet in &file.fleet {
        fleet.check()?;
        if file.fleet.iter().filter(|other| other.name == fleet.name).count() > 1 {
            return Err(format!("fleet {} is there twice", fleet.name));
        }
    }
    Ok(file.fleet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_file_says_what_is_wrong_with_it() {
        let fleets = parse_fleets("[[fleet]]\nname = \"a\"\n[[fleet]]\nname = \"b\"").unwrap();
        assert_eq!(fleets.len(), 2);
        for (text, part) in [
            ("", "[[fleet]]"),
            ("[[fleet]]\nname = \"a\"\n[[fleet]]\nname = \"a\"", "twice"),
            ("[[fleet]]\nname = \"a\"\nspeed = 1", "speed"),
            ("[[fleets]]\nname = \"a\"", "fleets"),
            ("[[fleet]", "line 1"),
        ] {
            let error = parse_fleets(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
