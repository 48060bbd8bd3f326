//! Files that are whole or not there, for this user only, and still there after a loss of power.
//!
//! What a file holds is durable once the file is synced, a name once its directory is. Everything that a coordinator, an
//! agent or a relay keeps beside its database is written by this crate.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! # let home = tempfile::tempdir()?;
//! # let home = home.path();
//! let state = home.join("var/playgate");
//! playgate_files::make_dir(&state)?;
//! playgate_files::write_durable(&state.join("key"), b"secret")?; // all of it or nothing, also after a loss of power
//! playgate_files::write_whole(&state.join("note"), b"plain")?; // all of it or nothing, if the system lives on
//! # Ok(())
//! # }
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Nobody but the user who made a file reads or writes it.
pub const FILE_MODE: u32 = 0o600;
/// Likewise for directories.
pub const DIR_MODE: u32 = 0o700;

/// Makes a directory, and those above it that are missing, for this user only. Its name is durable; what is in it can be
/// relied on once it is synced itself.
///
/// # Errors
/// What the system says.
pub fn make_dir(directory: &Path) -> io::Result<()> {
    let Some(parent) = parent(directory) else { return Ok(()) };
    if !directory.is_dir() {
        make_dir(parent)?;
        DirBuilder::new().mode(DIR_MODE).create(directory)?;
    }
    // Also when it is there already: a start before this one may have failed between the two.
    match sync_dir(parent) {
        // Whoever made it there had more rights than this user.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Makes the names in a directory durable.
///
/// # Errors
/// What the system says.
pub fn sync_dir(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The directory that a path is in; none for the root.
#[must_use]
pub fn parent(path: &Path) -> Option<&Path> {
    path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

/// Gives a file this content, all of it or nothing. It survives the process that writes it, not a loss of power.
///
/// # Errors
/// What the system says.
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    write_aside(path, content)?;
    fs::rename(aside(path), path)
}

/// The same, and it is still there after a loss of power.
///
/// # Errors
/// What the system says. The file is then as it was before, or has the content and may lose it with the power.
pub fn write_durable(path: &Path, content: &[u8]) -> io::Result<()> {
    write_aside(path, content)?.sync_all()?;
    fs::rename(aside(path), path)?;
    parent(path).map_or(Ok(()), sync_dir)
}

fn write_aside(path: &Path, content: &[u8]) -> io::Result<File> {
    let aside = aside(path);
    // Left by a process that was killed here; its rights are not to be trusted.
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&aside)?;
    file.write_all(content)?;
    Ok(file)
}

/// Beside the file, on the same file system, and hidden.
fn aside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_private_and_what_is_written_replaces_what_was_there() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("a/b");
        make_dir(&directory).unwrap();
        make_dir(&directory).unwrap();
        assert_eq!((mode(&home.path().join("a")), mode(&directory)), (0o700, 0o700));
        let path = directory.join("file.json");
        for (write, content) in
            [(write_durable as fn(&Path, &[u8]) -> io::Result<()>, b"long and first".as_slice()), (write_whole, b"2")]
        {
            // Left by a killed process, and readable by others.
            fs::write(aside(&path), "half").unwrap();
            write(&path, content).unwrap();
            assert_eq!((fs::read(&path).unwrap().as_slice(), mode(&path)), (content, 0o600));
        }
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        write_durable(&path, b"before").unwrap();
        fs::create_dir(aside(&path)).unwrap();
        assert!(write_durable(&path, b"after").is_err() && write_whole(&path, b"after").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"before");
    }

    #[test]
    fn a_path_has_a_directory_also_when_it_names_none() {
        for (path, expected) in [("a/b", Some("a")), ("a", Some(".")), ("/a", Some("/")), ("/", None)] {
            assert_eq!(parent(Path::new(path)), expected.map(Path::new), "{path}");
        }
    }
}
