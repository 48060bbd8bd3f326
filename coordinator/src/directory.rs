//! Directories that are still there after a loss of power: a name is durable once its directory is synced.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Makes a directory, and those above it that are missing, for this user only. What is in it can be relied on once it is
/// synced itself.
pub(crate) fn make(directory: &Path) -> io::Result<()> {
    let Some(parent) = parent(directory) else { return Ok(()) };
    if !directory.is_dir() {
        make(parent)?;
        DirBuilder::new().mode(0o700).create(directory)?;
    }
    // Also when it is there already: a start before this one may have failed between the two.
    match sync(parent) {
        // Whoever made it there had more rights than this user.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The directory that a path is in; none for the root.
pub(crate) fn parent(path: &Path) -> Option<&Path> {
    path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}
