//! What is in a directory and those below it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Directories, and files with their content, by their paths.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub struct Image {
    pub directories: BTreeSet<String>,
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Image {
    /// What is in this directory.
    pub fn of(root: &Path) -> Self {
        let mut image = Self { directories: BTreeSet::new(), files: BTreeMap::new() };
        image.add(root, "");
        image
    }

    fn add(&mut self, directory: &Path, prefix: &str) {
        for entry in fs::read_dir(directory).expect("a directory") {
            let entry = entry.expect("an entry");
            let path = format!("{prefix}{}", entry.file_name().to_str().expect("a name in UTF-8"));
            if entry.file_type().expect("a type").is_dir() {
                self.directories.insert(path.clone());
                self.add(&entry.path(), &format!("{path}/"));
            } else {
                self.files.insert(path, fs::read(entry.path()).expect("a file"));
            }
        }
    }

    /// Puts it into an empty directory.
    pub fn put(&self, root: &Path) {
        for path in &self.directories {
            fs::DirBuilder::new().mode(0o700).create(root.join(path)).expect("makes a directory");
        }
        for (path, content) in &self.files {
            let mut options = fs::OpenOptions::new();
            let file = options.write(true).create_new(true).mode(0o600).open(root.join(path)).expect("makes a file");
            std::io::Write::write_all(&mut &file, content).expect("writes");
        }
    }

    /// The same files with the same content. That which is mapped is not compared.
    pub fn same_as(&self, other: &Self) -> Result<(), String> {
        let content = |image: &Self, path: &String| image.files.get(path).filter(|_| !path.ends_with("-shm")).cloned();
        let mut paths = self.files.keys().chain(other.files.keys());
        match paths.find(|path| content(self, path) != content(other, path)) {
            Some(path) => Err(format!("{path} is not the same")),
            None if self.directories != other.directories => Err("the directories are not the same".to_owned()),
            None => Ok(()),
        }
    }

    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}
