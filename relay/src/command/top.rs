//! `relay top`: asks the relay of this host what it does, each second.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::TopArgs;
use super::table::{rates, totals};
use crate::control::{Status, state::socket_path};

const REFRESH: Duration = Duration::from_secs(1);
const ANSWER_WAIT: Duration = Duration::from_secs(3);
/// Far more than 255 cores take.
const DOCUMENT_BYTES_MAX: u64 = 1024 * 1024;
/// To the upper left corner, and nothing below it.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Why nothing can be shown.
#[derive(Debug)]
pub enum TopError {
    /// No relay answers.
    NoRelay {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What answers tells something else.
    NotARelay {
        /// Where.
        path: PathBuf,
    },
}

impl fmt::Display for TopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRelay { path, source } => write!(
                f,
                "no relay answers at {} ({source}); is it running? Name its state directory with --state, and be its user",
                path.display()
            ),
            Self::NotARelay { path } => {
                write!(f, "what answers at {} is not a relay of this version", path.display())
            }
        }
    }
}

impl std::error::Error for TopError {}

/// Prints until nobody reads it, or once.
pub(super) async fn top(args: &TopArgs, json: bool) -> Result<(), TopError> {
    let path = socket_path(&args.state);
    let mut before = ask(&path).await?;
    if args.once {
        let text = if json { pretty(&before) } else { totals(&before) };
        let _ = io::stdout().write_all(text.as_bytes());
        return Ok(());
    }
    let is_terminal = io::stdout().is_terminal();
    loop {
        sleep(REFRESH).await;
        let status = ask(&path).await?;
        let text = match (json, is_terminal) {
            (true, _) => line(&status),
            (false, true) => format!("{CLEAR}{}", rates(&before, &status)),
            (false, false) => format!("{}\n", rates(&before, &status)),
        };
        let mut out = io::stdout();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            return Ok(()); // whoever read it has seen enough
        }
        before = status;
    }
}

async fn ask(path: &Path) -> Result<Status, TopError> {
    let asked = async {
        let stream = UnixStream::connect(path).await?;
        let mut document = Vec::new();
        stream.take(DOCUMENT_BYTES_MAX).read_to_end(&mut document).await?;
        io::Result::Ok(document)
    };
    let asked = timeout(ANSWER_WAIT, asked).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let document = asked.map_err(|source| TopError::NoRelay { path: path.to_owned(), source })?;
    serde_json::from_slice(&document).map_err(|_| TopError::NotARelay { path: path.to_owned() })
}

fn pretty(status: &Status) -> String {
    format!("{}\n", serde_json::to_string_pretty(status).expect("a status has no type that JSON cannot write"))
}

fn line(status: &Status) -> String {
    format!("{}\n", serde_json::to_string(status).expect("a status has no type that JSON cannot write"))
}
