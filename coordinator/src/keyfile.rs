//! The coordinator's secrets on disk: one file, readable by its user only, and the operator's key beside it.
//!
//! | file | what | lost |
//! |---|---|---|
//! | `coordinator.keys` | what tokens are made with and what the coordinator is known by | tokens and pinned peers are worth nothing; restore the backup |
//! | `operator.key` | lets the CLI in | written again at the next start |
//!
//! A key file belongs to its store: back up both, restore both.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use playgate_protocol::TimeMs;
use serde::de::{Deserialize, Deserializer, Error as _};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The secrets' name in the data directory.
pub const KEY_FILE: &str = "coordinator.keys";
/// The operator's key's name in the data directory.
pub const OPERATOR_KEY_FILE: &str = "operator.key";

/// What this program writes into `format`.
const FORMAT: u32 = 1;
/// Far more than four signing keys take.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Bytes that must not reach a log. Wiped when dropped; `Debug` does not show them.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret<const LEN: usize>([u8; LEN]);

impl<const LEN: usize> Secret<LEN> {
    fn random(random: &mut dyn FnMut(&mut [u8])) -> Self {
        let mut secret = Self([0; LEN]);
        random(&mut secret.0);
        secret
    }

    /// The bytes; name what you do with them.
    #[must_use]
    pub const fn reveal(&self) -> &[u8; LEN] {
        &self.0
    }
}

impl<const LEN: usize> fmt::Debug for Secret<LEN> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{LEN} secret bytes]")
    }
}

/// One key that tokens are signed with.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningSecret {
    /// As in the token.
    pub key_id: u16,
    /// When it was made.
    pub created_ms: TimeMs,
    /// Ed25519 seed.
    pub seed: Secret<32>,
}

/// All secrets of a coordinator.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    format: u32,
    /// The keys of every server process are derived from it.
    pub master: Secret<32>,
    /// By key id; the last is the one in use.
    pub signing_keys: Vec<SigningSecret>,
    tls_pkcs8: SecretBytes,
    /// Makes stateless resets of links that a process before this one had.
    pub quic_reset: Secret<64>,
    /// Hides what is in connection ids.
    pub connection_id: Secret<8>,
}

/// Secret bytes of any number.
#[derive(Zeroize, ZeroizeOnDrop)]
struct SecretBytes(Vec<u8>);

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl KeyFile {
    /// Makes the secrets of a coordinator, with one signing key (id 1), and writes them to `directory`, which is made
    /// where it does not exist. `tls_pkcs8` is the private key that its peers pin; `random` fills with random bytes.
    ///
    /// Hold the store's lock, so that no two coordinators do this at a time.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] rather than to overwrite secrets; [`KeyFileError::Io`].
    pub fn create(
        directory: &Path,
        tls_pkcs8: &[u8],
        now_ms: TimeMs,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Result<Self, KeyFileError> {
        let path = directory.join(KEY_FILE);
        let io = |error| KeyFileError::Io { path: path.clone(), error };
        if fs::exists(&path).map_err(io)? {
            return Err(KeyFileError::Exists { path });
        }
        let first = SigningSecret { key_id: 1, created_ms: now_ms, seed: Secret::random(random) };
        let keys = Self {
            format: FORMAT,
            master: Secret::random(random),
            signing_keys: vec![first],
            tls_pkcs8: SecretBytes(tls_pkcs8.to_vec()),
            quic_reset: Secret::random(random),
            connection_id: Secret::random(random),
        };
        playgate_files::make_dir(directory).map_err(io)?;
        playgate_files::write_durable(&path, keys.to_text().as_bytes()).map_err(io)?;
        Ok(keys)
    }

    /// Reads the secrets in `directory`.
    ///
    /// # Errors
    /// [`KeyFileError`]; it never repeats any of the content.
    pub fn open(directory: &Path) -> Result<Self, KeyFileError> {
        let path = directory.join(KEY_FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(KeyFileError::Missing { path }),
            Err(error) => return Err(KeyFileError::Io { path, error }),
        };
        let io = |error| KeyFileError::Io { path: path.clone(), error };
        let metadata = file.metadata().map_err(io)?;
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::ReadableByOthers { path, mode });
        }
        // Room for all of it at once: a buffer that grows leaves copies behind that nobody wipes.
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(FILE_BYTES_MAX).unwrap_or(0) + 1));
        let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
        match read {
            Ok(bytes) if bytes as u64 <= FILE_BYTES_MAX => Self::from_text(&path, &text),
            Ok(_) => Err(KeyFileError::Damaged { path, line: 1 }),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(KeyFileError::Damaged { path, line: 1 }),
            Err(error) => Err(io(error)),
        }
    }

    /// The private key that peers pin, as a PKCS#8 document.
    #[must_use]
    pub fn tls_pkcs8(&self) -> &[u8] {
        &self.tls_pkcs8.0
    }

    fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(FILE_BYTES_MAX).unwrap_or(0)));
        let mut line = |parts: [&str; 4]| {
            text.extend(parts);
            text.push('\n');
        };
        let base64 = |bytes: &[u8]| Zeroizing::new(BASE64.encode(bytes));
        line([
            "# The secrets of this Playgate coordinator. Whoever reads them can let anybody into any game.",
            "",
            "",
            "",
        ]);
        line([
            "# Back this file up together with the store, and let nobody but the coordinator's user read it.",
            "",
            "",
            "",
        ]);
        line(["format = ", &self.format.to_string(), "", ""]);
        line(["master = \"", &base64(&self.master.0), "\"", ""]);
        line(["tls_pkcs8 = \"", &base64(&self.tls_pkcs8.0), "\"", ""]);
        line(["quic_reset = \"", &base64(&self.quic_reset.0), "\"", ""]);
        line(["connection_id = \"", &base64(&self.connection_id.0), "\"", ""]);
        for key in &self.signing_keys {
            line(["", "", "", ""]);
            line(["[[signing_keys]]", "", "", ""]);
            line(["key_id = ", &key.key_id.to_string(), "", ""]);
            line(["created_ms = ", &key.created_ms.to_string(), "", ""]);
            line(["seed = \"", &base64(&key.seed.0), "\"", ""]);
        }
        text
    }

    fn from_text(path: &Path, text: &str) -> Result<Self, KeyFileError> {
        /// Read first: a newer file may have fields that this program does not know.
        #[derive(serde::Deserialize)]
        struct Format {
            format: u32,
        }
        // The parser's own words would repeat what is in the line.
        let damaged = |error: toml::de::Error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
            KeyFileError::Damaged { path: path.to_owned(), line: before.matches('\n').count() + 1 }
        };
        let Format { format } = toml::from_str(text).map_err(damaged)?;
        if format > FORMAT {
            return Err(KeyFileError::Newer { path: path.to_owned(), format });
        }
        let keys: Self = toml::from_str(text).map_err(damaged)?;
        if keys.signing_keys.is_empty() {
            return Err(KeyFileError::Damaged { path: path.to_owned(), line: 1 });
        }
        Ok(keys)
    }
}

/// Writes the text that lets the CLI in, in place of an older one.
///
/// # Errors
/// [`KeyFileError::Io`].
pub fn write_operator_key(directory: &Path, text: &str) -> Result<(), KeyFileError> {
    let path = directory.join(OPERATOR_KEY_FILE);
    playgate_files::write_durable(&path, text.as_bytes()).map_err(|error| KeyFileError::Io { path, error })
}

fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<Vec<u8>>, D::Error> {
    let text = Zeroizing::new(String::deserialize(deserializer)?);
    BASE64.decode(text.as_bytes()).map(Zeroizing::new).map_err(|_| D::Error::custom("not base64"))
}

impl<'de, const LEN: usize> Deserialize<'de> for Secret<LEN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = decode(deserializer)?;
        bytes.as_slice().try_into().map(Self).map_err(|_| D::Error::custom("wrong length"))
    }
}

impl<'de> Deserialize<'de> for SecretBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(std::mem::take(&mut *decode(deserializer)?)))
    }
}

/// Why the secrets cannot be read or written. Each names the file and what to do.
#[derive(Debug)]
pub enum KeyFileError {
    /// There is none. For a new coordinator, create it; beside a store with rows in it, stop.
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is one already.
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Other users may read it.
    ReadableByOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A newer version wrote it.
    Newer {
        /// The file.
        path: PathBuf,
        /// What it says in `format`.
        format: u32,
    },
    /// It is not what this program wrote.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where reading stopped.
        line: usize,
    },
    /// The operating system refused.
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path } => write!(
                f,
                "the key file {} is missing, and without it no token of the store beside it can be checked: restore it \
                 from the backup (to begin anew, move the store away)",
                path.display()
            ),
            Self::Exists { path } => {
                write!(f, "{} exists and is not overwritten: move it away to make new keys", path.display())
            }
            Self::ReadableByOthers { path, mode } => write!(
                f,
                "{} can be read by others (mode {mode:03o}): run `chmod 600 {}`; if others had access to it, make new \
                 keys",
                path.display(),
                path.display()
            ),
            Self::Newer { path, format } => write!(
                f,
                "{} has format {format} and this program knows formats up to {FORMAT}: start the newer program again",
                path.display()
            ),
            Self::Damaged { path, line } => {
                write!(f, "{} cannot be read from line {line} on: restore it from the backup", path.display())
            }
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for KeyFileError {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const PKCS8: &[u8] = b"the private key of the coordinator's links";

    /// Bytes that tell where they came from, so that a secret put in the wrong place is found.
    fn create(directory: &Path) -> Result<KeyFile, KeyFileError> {
        let mut next = 0x60;
        KeyFile::create(directory, PKCS8, 1_750_000_000_000, &mut |bytes| {
            next += 1;
            bytes.fill(next);
        })
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn secrets_survive_the_file_and_only_their_user_reads_it() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("data");
        assert!(matches!(KeyFile::open(&directory), Err(KeyFileError::Missing { .. })));
        let made = create(&directory).unwrap();
        let read = KeyFile::open(&directory).unwrap();
        for keys in [made, read] {
            assert_eq!(keys.signing_keys[0].seed.reveal(), &[0x61; 32]);
            assert_eq!(keys.master.reveal(), &[0x62; 32]);
            assert_eq!(keys.quic_reset.reveal(), &[0x63; 64]);
            assert_eq!(keys.connection_id.reveal(), &[0x64; 8]);
            assert_eq!(keys.tls_pkcs8(), PKCS8);
            assert_eq!((keys.signing_keys[0].key_id, keys.signing_keys[0].created_ms), (1, 1_750_000_000_000));
        }
        assert_eq!((mode(&directory), mode(&directory.join(KEY_FILE))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "no temporary file is left");
        assert!(matches!(create(&directory), Err(KeyFileError::Exists { .. })));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        create(home.path()).unwrap();
        let path = home.path().join(KEY_FILE);
        for (mode, refused) in [(0o640, true), (0o604, true), (0o620, true), (0o400, false), (0o600, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let result = KeyFile::open(home.path());
            assert_eq!(result.is_err(), refused, "{mode:o}");
            let remedy = format!("chmod 600 {}", path.display());
            assert!(result.err().is_none_or(|e| e.to_string().contains(&remedy)));
        }
    }

    #[test]
    fn a_damaged_file_is_refused_without_repeating_any_of_it() {
        let home = tempfile::tempdir().unwrap();
        create(home.path()).unwrap();
        let path = home.path().join(KEY_FILE);
        let good = fs::read_to_string(&path).unwrap();
        let master = BASE64.encode(&[0x62; 32]);
        for (part, replacement, line) in [
            ("format = 1", "format = \"one\"", 3),
            ("format = 1", "format = 1\nshape = 2", 4),
            ("master = \"", "master = \"!", 4),
            (master.as_str(), &master[4..], 4),
            ("key_id = 1", &format!("key_id = \"{master}\""), 10),
            ("seed = ", "seed: ", 12),
        ] {
            assert!(good.contains(part));
            fs::write(&path, good.replace(part, replacement)).unwrap();
            let error = KeyFile::open(home.path()).unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(matches!(error, KeyFileError::Damaged { .. }), "{replacement}: {told}");
            assert!(told.contains(&format!("line {line} ")) && !told.contains(&master[8..16]), "{replacement}: {told}");
        }
        // A file that was cut: the first line that is not whole, or the end where something is missing.
        for cut in 0..good.len() - 1 {
            fs::write(&path, &good[..cut]).unwrap();
            assert!(matches!(KeyFile::open(home.path()), Err(KeyFileError::Damaged { .. })), "first {cut} bytes");
        }
        fs::write(&path, vec![b'#'; 100_000]).unwrap();
        assert!(matches!(KeyFile::open(home.path()), Err(KeyFileError::Damaged { .. })));
        fs::write(&path, good.replace("format = 1", "format = 2\nnewer = true")).unwrap();
        let error = KeyFile::open(home.path()).unwrap_err().to_string();
        assert!(error.contains("format 2") && error.contains("up to 1"), "{error}");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let home = tempfile::tempdir().unwrap();
        let shown = format!("{:?}", create(home.path()).unwrap());
        // Bytes 0x61 to 0x64 are 97 to 100, and "a" to "d".
        for part in ["97", "98", "99", "100", "0x", "aaa", "bbb", "YWFh", "private key"] {
            assert!(!shown.contains(part), "{part} in {shown}");
        }
    }

    #[test]
    fn the_operators_key_replaces_an_older_one() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(OPERATOR_KEY_FILE);
        fs::write(home.path().join(format!(".{OPERATOR_KEY_FILE}.new")), "left by a crash").unwrap();
        for text in ["first, and longer", "second"] {
            write_operator_key(home.path(), text).unwrap();
            assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), (text, 0o600));
        }
        assert!(write_operator_key(&home.path().join("nowhere"), "x").unwrap_err().to_string().contains("nowhere"));
    }
}
