//! What is revoked, in memory and in a file that outlives the relay.
//!
//! A line is `ps-... 1750000000000`: a player session, and when its last pass has expired. Lines are appended, and not
//! synced: they have to survive the death of the relay. What a loss of power takes is not missed once the coordinator is
//! linked: it is told of every flow that opens, and ends those of players who are over.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use playgate_files::{FILE_MODE, write_whole};
use playgate_protocol::{PlayerSessionId, TimeMs};
use playgate_relay_core::{Revoked, limits::REVOKED_MAX};

use crate::control::error::ServiceError;
use crate::control::limits::{REVOKED_LINE_BYTES_MAX, REVOKED_LINES_SPARE};

/// The bound under which the file is written anew.
const LINES_MAX: usize = 2 * REVOKED_MAX + REVOKED_LINES_SPARE;
/// Longer files are none of ours. A full list in one message may be appended beyond the bound.
const FILE_BYTES_MAX: usize = (LINES_MAX + REVOKED_LINES_SPARE) * REVOKED_LINE_BYTES_MAX;
const REMEDY: &str =
    "remove it; whoever is revoked can come in until the coordinator is linked, and is then thrown out";

/// The file, and what it says.
#[derive(Debug)]
pub(crate) struct RevokedFile {
    path: PathBuf,
    known: Revoked,
    /// For appending; none when the file has to be written anew first.
    file: Option<File>,
    lines: usize,
}

impl RevokedFile {
    /// Reads what a former run left, and writes it anew without what has expired.
    pub(crate) fn open(path: PathBuf, now_ms: TimeMs) -> Result<Self, ServiceError> {
        let mut known = Revoked::default();
        for (player_session, until_ms) in read(&path)? {
            known.insert(player_session, until_ms);
        }
        known.forget_expired(now_ms);
        let mut revoked = Self { path, known, file: None, lines: 0 };
        revoked.write_anew().map_err(ServiceError::state(&revoked.path))?;
        Ok(revoked)
    }

    pub(crate) fn known(&self) -> &Revoked {
        &self.known
    }

    /// Remembers these, on disk too.
    ///
    /// # Errors
    /// What the disk says; the next call tries again to save these, too.
    pub(crate) fn add(
        &mut self,
        now_ms: TimeMs,
        revoked: impl Iterator<Item = (PlayerSessionId, TimeMs)>,
    ) -> io::Result<()> {
        let (mut text, mut lines) = (String::new(), 0);
        for (player_session, until_ms) in revoked {
            if self.known.insert(player_session, until_ms) {
                line(&mut text, player_session, until_ms);
                lines += 1;
            }
        }
        self.lines += lines;
        self.known.forget_expired(now_ms);
        if self.lines > 2 * self.known.len() + REVOKED_LINES_SPARE {
            self.file = None;
        }
        let Some(file) = &mut self.file else { return self.write_anew() };
        let written = file.write_all(text.as_bytes());
        if written.is_err() {
            self.file = None; // there may be half a line
        }
        written
    }

    fn write_anew(&mut self) -> io::Result<()> {
        let mut text = String::new();
        self.known.iter().for_each(|(player_session, until_ms)| line(&mut text, player_session, until_ms));
        write_whole(&self.path, text.as_bytes())?;
        self.file = Some(OpenOptions::new().append(true).mode(FILE_MODE).open(&self.path)?);
        self.lines = self.known.len();
        Ok(())
    }
}

fn line(text: &mut String, player_session: PlayerSessionId, until_ms: TimeMs) {
    writeln!(text, "{player_session} {until_ms}").expect("a string takes everything");
}

fn read(path: &Path) -> Result<Vec<(PlayerSessionId, TimeMs)>, ServiceError> {
    let damaged = || ServiceError::Damaged { path: path.to_owned(), remedy: REMEDY };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ServiceError::state(path)(error)),
    };
    let mut content = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut content).map_err(ServiceError::state(path))?;
    if content.len() > FILE_BYTES_MAX {
        return Err(damaged());
    }
    // The last one was being written when the relay was killed: the coordinator had no sign that it was taken.
    let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let lines = content[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let (mut revoked, mut unreadable) = (Vec::new(), 0);
    for line in lines {
        match std::str::from_utf8(line).ok().and_then(parse) {
            Some(known) => revoked.push(known),
            None => unreadable += 1,
        }
    }
    if unreadable > 0 {
        tracing::warn!(path = %path.display(), unreadable, "lines that say nothing were left out: was there a loss of power?");
    }
    Ok(revoked)
}

fn parse(line: &str) -> Option<(PlayerSessionId, TimeMs)> {
    let (player_session, until_ms) = line.split_once(' ')?;
    Some((player_session.parse().ok()?, until_ms.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn id(n: u64) -> PlayerSessionId {
        PlayerSessionId::from_parts(0, n, [0; 9])
    }

    fn known(file: &RevokedFile) -> Vec<(PlayerSessionId, TimeMs)> {
        file.known().iter().collect()
    }

    #[test]
    fn revocations_outlive_the_relay_until_they_expire() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("revoked");
        let mut file = RevokedFile::open(path.clone(), 0).unwrap();
        file.add(0, [(id(1), 100), (id(2), 200)].into_iter()).unwrap();
        file.add(0, [(id(2), 200), (id(3), 300)].into_iter()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3, "what is known is not written again");
        let again = RevokedFile::open(path.clone(), 100).unwrap();
        assert_eq!(known(&again), [(id(2), 200), (id(3), 300)]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn a_torn_last_line_is_ignored_and_any_other_damage_is_told() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("revoked");
        RevokedFile::open(path.clone(), 0).unwrap().add(0, [(id(1), 100), (id(2), 200)].into_iter()).unwrap();
        let whole = fs::read(&path).unwrap();
        let line_len = whole.len() / 2;
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut file = RevokedFile::open(path.clone(), 0).unwrap();
            assert_eq!(file.known().len(), cut / line_len, "cut at {cut}");
            file.add(0, [(id(3), 300)].into_iter()).unwrap();
            assert!(RevokedFile::open(path.clone(), 0).unwrap().known().contains(&id(3)), "cut at {cut}");
        }
        for damage in ["x\n", "\n", "ps-x 1\n", &format!("{} x\n", id(1)), "\u{e9}\n\n", "\0\0\0\n"] {
            fs::write(&path, [whole.as_slice(), damage.as_bytes(), whole.as_slice()].concat()).unwrap();
            assert_eq!(
                RevokedFile::open(path.clone(), 0).unwrap().known().len(),
                2,
                "what can be read counts: {damage:?}"
            );
        }
    }

    #[test]
    fn the_file_grows_no_further_than_what_is_in_force() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("revoked");
        let mut file = RevokedFile::open(path.clone(), 0).unwrap();
        for n in 1..5_000 {
            file.add(n, [(id(n), n + 10)].into_iter()).unwrap();
            assert!(file.lines <= 4 * REVOKED_LINES_SPARE);
        }
        assert!(fs::read_to_string(&path).unwrap().lines().count() <= 4 * REVOKED_LINES_SPARE);
        assert!(file.known().contains(&id(4_999)));
    }
}
