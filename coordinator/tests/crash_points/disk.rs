//! A disk that follows a trace, and what a loss of power can leave of it.
//!
//! What POSIX promises and no more: what a file holds is durable once the file is synced, and a name once its directory
//! is. Of what was not synced any part may be there, in any order: of each write any of its sectors of 512 bytes.
//! Names that depend on each other keep their order, and a rename is done or not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::image::Image;
use super::trace::{Record, What};

const SECTOR: u64 = 512;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Directory,
    File(usize),
}

/// A disk, with all it held at each sync.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    files: Vec<File>,
    names: BTreeMap<String, Node>,
    durable_names: BTreeMap<String, Node>,
    pending_names: Vec<Naming>,
    open: HashMap<i32, Node>,
}

#[derive(Debug, Clone, Default)]
struct File {
    content: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Debug, Clone)]
enum Naming {
    Add(String, Node),
    Rename(String, String),
    Remove(String),
}

/// What survives of that which was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survives {
    /// All of it: only the process was lost.
    Everything,
    Nothing,
    /// Names, but not what the files hold.
    Names,
    /// What files hold, but no names.
    Content,
    /// Parts, chosen by this seed.
    Parts(u64),
}

impl Disk {
    /// A disk that holds what is in this directory, durably.
    pub fn of(root: &Path) -> Self {
        let mut disk = Self::default();
        let Image { directories, files } = Image::of(root);
        disk.names.extend(directories.into_iter().map(|path| (path, Node::Directory)));
        for (path, content) in files {
            disk.names.insert(path, Node::File(disk.files.len()));
            disk.files.push(File { durable: content.clone(), content, pending: Vec::new() });
        }
        disk.durable_names = disk.names.clone();
        disk
    }

    /// Every file that was open is closed.
    pub fn process_ended(&mut self) {
        self.open.clear();
    }

    pub fn apply(&mut self, record: &Record) {
        let Record { path, fd, what } = record;
        match what {
            What::Mark(_) => {}
            What::Open => drop(self.open.insert(*fd, self.node(path))),
            What::Close => drop(self.open.remove(fd)),
            What::Make => {
                let node = Node::File(self.files.len());
                self.files.push(File::default());
                self.open.insert(*fd, node);
                self.name(Naming::Add(path.clone(), node));
            }
            What::MakeDirectory => self.name(Naming::Add(path.clone(), Node::Directory)),
            What::Rename(to) => self.name(Naming::Rename(path.clone(), to.clone())),
            What::Unlink => self.name(Naming::Remove(path.clone())),
            What::Write(at, data) => self.file(*fd).change(Change::Write(*at, data.clone())),
            What::SetLen(len) => self.file(*fd).change(Change::SetLen(*len)),
            What::Sync => match self.open[fd] {
                Node::File(file) => self.files[file].sync(),
                Node::Directory => self.sync_names(path),
            },
            // What could not be written counts as written from then on, so that no later sync writes it: as ext4 and
            // others do, and the worst that can be done.
            What::Fault('s') => {
                if let Node::File(file) = self.node(path) {
                    self.files[file].pending.clear();
                }
            }
            What::Fault(_) => {}
        }
    }

    fn node(&self, path: &str) -> Node {
        if path.is_empty() { Node::Directory } else { self.names[path] }
    }

    fn file(&mut self, fd: i32) -> &mut File {
        match self.open[&fd] {
            Node::File(file) => &mut self.files[file],
            Node::Directory => panic!("a directory is not written to"),
        }
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.pending_names.push(naming);
    }

    fn sync_names(&mut self, directory: &str) {
        let (durable, pending) = self.pending_names.drain(..).partition(|naming| parent(naming.paths().0) == directory);
        self.pending_names = pending;
        for naming in Vec::from_iter::<Vec<Naming>>(durable) {
            naming.apply(&mut self.durable_names);
        }
    }

    /// What a process finds that looks at it now.
    pub fn now(&self) -> Image {
        self.image(Survives::Everything, None)
    }

    /// What a loss of power leaves, in the middle of this operation.
    pub fn image(&self, survives: Survives, torn: Option<(&Record, Tear)>) -> Image {
        let mut dice = Dice(if let Survives::Parts(seed) = survives { seed } else { 0 });
        let names = self.surviving_names(survives, &mut dice);
        let torn_file = torn.map(|(record, _)| self.open[&record.fd]);
        let is_there = |path: &str| {
            let mut above = path;
            while !above.is_empty() {
                above = parent(above);
                if !above.is_empty() && names.get(above) != Some(&Node::Directory) {
                    return false;
                }
            }
            true
        };
        let mut image = Image { directories: BTreeSet::new(), files: BTreeMap::new() };
        for (path, node) in names.iter().filter(|(path, _)| is_there(path)) {
            match node {
                Node::Directory => drop(image.directories.insert(path.clone())),
                Node::File(file) => {
                    let mut content = self.files[*file].surviving(survives, &mut dice);
                    if let Some((Record { what: What::Write(at, data), .. }, tear)) = torn
                        && torn_file == Some(*node)
                    {
                        tear.write(&mut content, *at, data);
                    }
                    // SQLite shares memory through it; what of that reached the disk nobody knows.
                    if path.ends_with("-shm") {
                        let mut noise = Dice(content.len() as u64);
                        content.iter_mut().for_each(|byte| *byte = noise.roll() as u8);
                    }
                    image.files.insert(path.clone(), content);
                }
            }
        }
        image
    }

    fn surviving_names(&self, survives: Survives, dice: &mut Dice) -> BTreeMap<String, Node> {
        let mut names = self.durable_names.clone();
        let mut lost = BTreeSet::new();
        for naming in &self.pending_names {
            let (one, other) = naming.paths();
            let survives = match survives {
                Survives::Everything | Survives::Names => true,
                Survives::Nothing | Survives::Content => false,
                Survives::Parts(_) => dice.coin(),
            };
            if survives && !lost.contains(one) && !lost.contains(other) {
                naming.apply(&mut names);
            } else {
                lost.extend([one, other]);
            }
        }
        names
    }
}

impl File {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.content);
        self.pending.push(change);
    }

    /// What was not written after a sync that failed is not written by this one either.
    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    fn surviving(&self, survives: Survives, dice: &mut Dice) -> Vec<u8> {
        match survives {
            Survives::Everything => self.content.clone(),
            Survives::Nothing | Survives::Names => self.durable.clone(),
            Survives::Content => self.pending.iter().fold(self.durable.clone(), |mut content, change| {
                change.apply(&mut content);
                content
            }),
            Survives::Parts(_) => self.pending.iter().fold(self.durable.clone(), |mut content, change| {
                match (dice.roll() % 3, change) {
                    (0, _) => {}
                    (1, Change::Write(at, data)) => Tear::Sectors(dice.roll()).write(&mut content, *at, data),
                    _ => change.apply(&mut content),
                }
                content
            }),
        }
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(at, data) => write(content, *at, data),
            Self::SetLen(len) => content.resize(*len as usize, 0),
        }
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        match self {
            Self::Add(path, node) => drop(names.insert(path.clone(), *node)),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Rename(from, to) => {
                let node = names.remove(from).expect("it was there, or the operation would not be in the trace");
                names.insert(to.clone(), node);
            }
        }
    }

    /// All of one directory.
    fn paths(&self) -> (&str, &str) {
        match self {
            Self::Add(path, _) | Self::Remove(path) => (path, path),
            Self::Rename(from, to) => (from, to),
        }
    }
}

/// What is written of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tear {
    FirstHalf,
    /// Of its sectors those that this seed chooses.
    Sectors(u64),
}

impl Tear {
    fn write(self, content: &mut Vec<u8>, at: u64, data: &[u8]) {
        let Self::Sectors(seed) = self else { return write(content, at, &data[..data.len() / 2]) };
        let mut dice = Dice(seed);
        let mut start = 0;
        while start < data.len() {
            let to_border = (SECTOR - (at + start as u64) % SECTOR) as usize;
            let end = data.len().min(start + to_border);
            if dice.coin() {
                write(content, at + start as u64, &data[start..end]);
            }
            start = end;
        }
    }
}

fn write(content: &mut Vec<u8>, at: u64, data: &[u8]) {
    let (at, end) = (at as usize, at as usize + data.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    content[at..end].copy_from_slice(data);
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn coin(&mut self) -> bool {
        self.roll() & 1 == 0
    }
}
