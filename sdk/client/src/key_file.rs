//! Key files: one line each, readable by their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use playgate_link::Identity;
use playgate_protocol::{BackendKey, JoinKey, OperatorKey, PrivateKey, Secret32};

use crate::error::KeyFileError;
use crate::limits::KEY_FILE_BYTES_MAX;
use crate::random::random_text;

/// Reads the key that a coordinator wrote for its operator, `operator.key` beside its store.
///
/// # Errors
/// [`KeyFileError`] names the file and what is wrong with it.
pub fn read_operator_key(path: impl AsRef<Path>) -> Result<OperatorKey, KeyFileError> {
    let path = path.as_ref();
    let text = read(path).map_err(|error| KeyFileError::Unreadable { path: path.to_owned(), error })?;
    OperatorKey::from_text(&text).map_err(|error| damaged(path, error))
}

/// A backend's key, and what introduces it if it is new.
pub(crate) struct BackendIdentity {
    pub(crate) key: BackendKey,
    pub(crate) join: Option<Secret32>,
    /// Made in this moment, so that no coordinator can know it.
    pub(crate) fresh: bool,
}

/// The key in the file; one that does not exist is made, as the join key says, and written before it is used: a key
/// that was bound and then lost could not be bound again.
pub(crate) fn backend_identity(path: &Path, join: Option<&JoinKey>) -> Result<BackendIdentity, KeyFileError> {
    let secret = join.map(|join| join.secret.clone());
    match (read(path), join) {
        (Ok(text), _) => {
            let key = BackendKey::from_text(&text).map_err(|error| damaged(path, error))?;
            let key = join.map_or(Ok(key.clone()), |join| moved(path, key, join))?;
            Ok(BackendIdentity { key, join: secret, fresh: false })
        }
        (Err(error), Some(join)) if error.kind() == ErrorKind::NotFound => {
            let pkcs8 = PrivateKey::from_pkcs8(Identity::generate().to_pkcs8().as_bytes());
            let key = BackendKey { coordinator: join.coordinator.clone(), fingerprint: join.fingerprint, pkcs8 };
            write(path, &key.to_text())?;
            Ok(BackendIdentity { key, join: secret, fresh: true })
        }
        (Err(error), None) if error.kind() == ErrorKind::NotFound => {
            Err(KeyFileError::NoIdentity { path: path.to_owned() })
        }
        (Err(error), _) => Err(KeyFileError::Unreadable { path: path.to_owned(), error }),
    }
}

/// A join key that came later may know a later address of the same coordinator.
fn moved(path: &Path, mut key: BackendKey, join: &JoinKey) -> Result<BackendKey, KeyFileError> {
    if key.fingerprint != join.fingerprint {
        return Err(KeyFileError::OtherCoordinator { path: path.to_owned() });
    }
    if key.coordinator != join.coordinator {
        key.coordinator.clone_from(&join.coordinator);
        write(path, &key.to_text())?;
    }
    Ok(key)
}

fn damaged(path: &Path, problem: impl ToString) -> KeyFileError {
    KeyFileError::Damaged { path: path.to_owned(), problem: problem.to_string() }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Whole or not at all: written beside it, then renamed.
fn write(path: &Path, line: &str) -> Result<(), KeyFileError> {
    let beside = PathBuf::from(format!("{}.{}", path.display(), random_text()));
    let written = write_private(&beside, line).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&beside); // it may not even exist
        KeyFileError::Unwritable { path: path.to_owned(), error }
    })
}

fn write_private(path: &Path, line: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(line.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use playgate_protocol::{Fingerprint, JoinRole};

    use super::*;

    fn join_key(fingerprint: u8, coordinator: &str) -> JoinKey {
        JoinKey {
            role: JoinRole::Backend,
            coordinator: coordinator.to_owned(),
            fingerprint: Fingerprint::from_bytes([fingerprint; 32]),
            secret: Secret32::from_bytes([9; 32]),
        }
    }

    #[test]
    fn a_backend_keeps_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backend.key");
        assert!(matches!(backend_identity(&path, None), Err(KeyFileError::NoIdentity { .. })));

        let made = backend_identity(&path, Some(&join_key(1, "here:1"))).unwrap();
        assert!(made.fresh);
        let kept = backend_identity(&path, None).unwrap();
        assert!(!kept.fresh);
        assert_eq!(kept.key.pkcs8.reveal(), made.key.pkcs8.reveal());

        let moved = backend_identity(&path, Some(&join_key(1, "there:1"))).unwrap();
        assert_eq!(moved.key.pkcs8.reveal(), made.key.pkcs8.reveal());
        assert_eq!(backend_identity(&path, None).unwrap().key.coordinator, "there:1");

        let other = backend_identity(&path, Some(&join_key(2, "here:1")));
        assert!(matches!(other, Err(KeyFileError::OtherCoordinator { .. })));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backend.key");
        backend_identity(&path, Some(&join_key(1, "here:1"))).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_error_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("operator.key");
        assert!(read_operator_key(&path).unwrap_err().to_string().contains("operator.key"));
        fs::write(&path, "pgbackend1/a/b/c").unwrap();
        let text = read_operator_key(&path).unwrap_err().to_string();
        assert!(text.contains("operator.key") && text.contains("pgoperator1"), "{text}");
        let nowhere = dir.path().join("no/such/dir/backend.key");
        let failed = backend_identity(&nowhere, Some(&join_key(1, "here:1")));
        assert!(matches!(failed, Err(KeyFileError::Unwritable { .. })));
    }
}
