//! What the shim wrote down, read back.

use std::path::Path;

/// Something that happened to one file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Below the root.
    pub path: String,
    pub fd: i32,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Open,
    Close,
    /// A line of the child.
    Mark(String),
    /// The next operation was of this kind and failed.
    Fault(char),
    Make,
    MakeDirectory,
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
    Rename(String),
    Unlink,
}

impl Record {
    /// Whether it has a number: what can fail, and what a crash can come before.
    pub fn is_operation(&self) -> bool {
        self.kind().is_some()
    }

    /// As the shim names it in a fault.
    pub fn kind(&self) -> Option<char> {
        match self.what {
            What::Open | What::Close | What::Mark(_) | What::Fault(_) => None,
            What::Make => Some('c'),
            What::MakeDirectory => Some('d'),
            What::Write(..) => Some('w'),
            What::SetLen(_) => Some('f'),
            What::Sync => Some('s'),
            What::Rename(_) => Some('r'),
            What::Unlink => Some('u'),
        }
    }
}

/// The name of the file, of a rename that which it gets.
pub fn file_name(record: &Record) -> &str {
    let path = if let What::Rename(to) = &record.what { to } else { &record.path };
    path.rsplit('/').next().unwrap_or("")
}

/// Reads a trace of what happened below `root`.
pub fn read(trace: &Path, root: &Path) -> Vec<Record> {
    let bytes = std::fs::read(trace).expect("the shim wrote a trace");
    let mut rest = bytes.as_slice();
    let mut records = Vec::new();
    while !rest.is_empty() {
        records.push(record(&mut rest, root));
    }
    records
}

fn record(rest: &mut &[u8], root: &Path) -> Record {
    let [kind] = array(rest);
    let fd = i32::from_le_bytes(array(rest));
    let number = u64::from_le_bytes(array(rest));
    let (path_len, data_len) = (u32::from_le_bytes(array(rest)), u32::from_le_bytes(array(rest)));
    let path = text(take(rest, path_len as usize));
    let data = take(rest, data_len as usize);
    let root = root.to_str().expect("a path in UTF-8");
    let below = |path: &str| path.strip_prefix(root).unwrap_or(path).trim_start_matches('/').to_owned();
    let what = match kind {
        b'o' => What::Open,
        b'x' => What::Close,
        b'm' => What::Mark(text(data).trim_end().to_owned()),
        b'!' => What::Fault(data[0].into()),
        b'c' => What::Make,
        b'd' => What::MakeDirectory,
        b'w' => What::Write(number, data.to_vec()),
        b'f' => What::SetLen(number),
        b's' => What::Sync,
        b'r' => What::Rename(below(&text(data))),
        b'u' => What::Unlink,
        other => panic!("a record of kind {other}"),
    };
    Record { path: below(&path), fd, what }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(len);
    *rest = left;
    taken
}

fn array<const LEN: usize>(rest: &mut &[u8]) -> [u8; LEN] {
    take(rest, LEN).try_into().expect("as many as asked for")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text in UTF-8")
}
