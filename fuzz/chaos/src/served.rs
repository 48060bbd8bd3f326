//! The servers' own view: the facts that each game server acted on, appended to a file of its own, and read back here.
//!
//! A line is one `write` of one fact: `started <session> <max players>`, `activated <session>`,
//! `admitted <session> <player session> <generation>`, `left <player session>`, `gone <player session> <reason>`,
//! `ended <session>`, `exits <whether everything was delivered>`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use playgate_protocol::{GameSessionId, PlayerSessionId, ServerProcessId};

use crate::Outcome;

/// All servers that ever ran.
#[derive(Debug, Default)]
pub struct Served {
    directory: PathBuf,
    pub servers: BTreeMap<ServerProcessId, Server>,
    /// Every player who was ever admitted: in which game session and by which servers.
    pub admitted: BTreeMap<PlayerSessionId, (GameSessionId, BTreeSet<ServerProcessId>)>,
    /// Which servers admitted players to a game session.
    pub hosts: BTreeMap<GameSessionId, BTreeSet<ServerProcessId>>,
    /// Where a server had more players than slots.
    pub oversold: BTreeSet<String>,
    /// Servers that a fault has killed: no other may end but in good order.
    pub killed: BTreeSet<ServerProcessId>,
    /// Admissions, reconnects included.
    pub admissions: u64,
}

/// One server process, as it saw itself.
#[derive(Debug, Default)]
pub struct Server {
    offset: u64,
    session: Option<(GameSessionId, usize)>,
    pub present: BTreeSet<PlayerSessionId>,
    /// How it ended, if it said so.
    pub delivered: Option<bool>,
}

impl Served {
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), ..Self::default() }
    }

    /// The game session that a server hosts at this moment.
    pub fn hosting(&self, process: ServerProcessId) -> Option<GameSessionId> {
        self.servers.get(&process)?.session.map(|(session, _)| session)
    }

    /// Reads what was appended since.
    pub fn read(&mut self) -> Outcome<()> {
        for entry in std::fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let process = path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            let Some(process) = process else { continue };
            let mut server = self.servers.remove(&process).unwrap_or_default();
            let taken = self.read_one(process, &path, &mut server);
            self.servers.insert(process, server);
            taken?;
        }
        Ok(())
    }

    fn read_one(&mut self, process: ServerProcessId, path: &Path, server: &mut Server) -> Outcome<()> {
        let mut file = File::open(path)?;
        if file.metadata()?.len() == server.offset {
            return Ok(());
        }
        file.seek(SeekFrom::Start(server.offset))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        for line in text.split_inclusive('\n').take_while(|line| line.ends_with('\n')) {
            server.offset += line.len() as u64;
            self.take(process, server, line.trim_end())
                .ok_or_else(|| format!("{}: \"{line}\" is no fact", path.display()))?;
        }
        Ok(())
    }

    fn take(&mut self, process: ServerProcessId, server: &mut Server, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        let (fact, first) = (words.next()?, words.next()?);
        match fact {
            "started" => {
                server.session = Some((first.parse().ok()?, words.next()?.parse().ok()?));
                server.present.clear();
            }
            "activated" => {}
            "admitted" => {
                let (session, player) = (first.parse().ok()?, words.next()?.parse().ok()?);
                server.present.insert(player);
                self.admissions += 1;
                self.admitted.entry(player).or_insert_with(|| (session, BTreeSet::new())).1.insert(process);
                self.hosts.entry(session).or_default().insert(process);
                let slots = server.session.map_or(0, |(_, slots)| slots);
                if server.present.len() > slots {
                    self.oversold.insert(format!("{process} has {} players on {slots} slots", server.present.len()));
                }
            }
            "left" | "gone" => {
                server.present.remove(&first.parse().ok()?);
            }
            "ended" => {
                server.session = None;
                server.present.clear();
            }
            "exits" => server.delivered = Some(first == "true"),
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_with_more_players_than_slots_and_a_session_on_two_servers_are_seen() {
        let directory = std::env::temp_dir().join(format!("playgate-chaos-served-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let session = GameSessionId::from_bytes([1; 16]);
        let player = |n| PlayerSessionId::from_bytes([n; 16]);
        let write = |n, text: &str| {
            let process = ServerProcessId::from_bytes([n; 16]);
            std::fs::write(directory.join(format!("{process}.facts")), text).unwrap();
        };
        let one = format!("started {session} 1\nadmitted {session} {} 1\n", player(1));
        write(1, &one);
        let mut served = Served::new(&directory);
        served.read().unwrap();
        assert!(served.oversold.is_empty() && served.hosts[&session].len() == 1);
        write(1, &format!("{one}admitted {session} {} 1\nleft {}\nhalf a li", player(2), player(1)));
        write(2, &format!("started {session} 4\nadmitted {session} {} 1\n", player(2)));
        served.read().unwrap();
        assert_eq!((served.oversold.len(), served.hosts[&session].len()), (1, 2));
        assert_eq!(served.servers[&ServerProcessId::from_bytes([1; 16])].present, BTreeSet::from([player(2)]));
        assert_eq!(served.admitted[&player(2)].1.len(), 2);
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
