//! The canaries: what a world knows that nobody may read in a log, an answer or an event, and the search for it.
//!
//! Every test that has a world or a shell is a run of them: when it ends, all files it leaves and all output it saw are
//! searched for every secret that was made in this test program, in each form that somebody may have printed it in.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use data_encoding::{BASE32_NOPAD, BASE64, BASE64_NOPAD, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXUPPER};
use playgate_protocol::{JoinKey, LaunchCredential, OperatorKey, ServerProcessId, Ticket};
use playgate_token::{HolderKey, MasterKey};

/// Where a secret may be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// In the files that are made for secrets, and nowhere else.
    Key,
    /// In the store as well: what a backend says about players and sessions.
    Data,
}

#[derive(Default)]
struct Known {
    secrets: BTreeMap<Vec<u8>, String>,
    /// Pieces of the forms of all secrets, by their length.
    pieces: BTreeMap<usize, Pieces>,
    /// Answers that are in no file.
    answers: BTreeSet<(&'static str, String)>,
    masters: Vec<[u8; 32]>,
}

struct Pieces {
    /// Whose they are.
    all: HashMap<Vec<u8>, (Kind, String)>,
    /// Whether any begins with these two bytes: few do, and most of a log needs no further look.
    begins: Vec<bool>,
}

impl Default for Pieces {
    fn default() -> Self {
        Self { all: HashMap::new(), begins: vec![false; 1 << 16] }
    }
}

impl Pieces {
    fn of(&self, window: &[u8]) -> Option<&(Kind, String)> {
        if self.begins[beginning(window)] { self.all.get(window) } else { None }
    }
}

fn beginning(piece: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([piece[0], piece[1]]))
}

static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From here on these bytes are looked for.
pub fn know(kind: Kind, what: &str, secret: &[u8]) {
    let mut known = known();
    if known.secrets.insert(secret.to_vec(), what.to_owned()).is_some() {
        return;
    }
    for (form, piece_len) in forms(secret) {
        let len = piece_len.min(form.len());
        if len < PIECE_MIN {
            continue;
        }
        // From the beginning, from the end, and in between: a secret that is shown in part is a secret no more.
        let starts = (0..=form.len() - len).step_by(8).chain([form.len() - len]);
        let pieces = known.pieces.entry(len).or_default();
        for start in starts {
            let piece = &form[start..start + len];
            pieces.begins[beginning(piece)] = true;
            pieces.all.entry(piece.to_vec()).or_insert_with(|| (kind, what.to_owned()));
        }
    }
}

/// One secret of each name.
pub fn samples() -> BTreeMap<String, Vec<u8>> {
    known().secrets.iter().map(|(secret, what)| (what.clone(), secret.clone())).collect()
}

pub fn know_ticket(ticket: &Ticket) {
    let holder_key = HolderKey::from_bytes(*ticket.holder_key.reveal());
    know(Kind::Key, "a holder key", holder_key.as_bytes());
    know(Kind::Key, "a proof key", holder_key.proof_key().as_bytes());
    know(Kind::Key, "a server key", holder_key.server_key().as_bytes());
    // What is before the signature are ids, which logs may show.
    know(Kind::Key, "the seal of a token", &ticket.token[ticket.token.len() - 80..]);
}

pub fn know_join_key(key: &JoinKey) {
    know(Kind::Key, "a join key", key.secret.reveal());
}

/// What somebody was told and is in no file: it is searched as files are.
pub fn told(what: &'static str, answer: String) {
    known().answers.insert((what, answer));
}

const LEARN_MAX: u64 = 4_096;
const PIECE_MIN: usize = 11;
/// Of dense forms: at least 64 bits.
const PIECE: usize = 16;
/// Of lists of numbers, which are long.
const LIST_PIECE: usize = 24;

/// Each form, as text that somebody may have printed.
pub fn printed(secret: &[u8]) -> Vec<Vec<u8>> {
    forms(secret).into_iter().map(|(form, _)| form).collect()
}

/// Each form, without what depends on the bytes around it, and how long its pieces are.
fn forms(secret: &[u8]) -> Vec<(Vec<u8>, usize)> {
    let mut forms = vec![
        (secret.to_vec(), PIECE),
        (HEXLOWER.encode(secret).into_bytes(), PIECE),
        (HEXUPPER.encode(secret).into_bytes(), PIECE),
        (secret.escape_ascii().to_string().into_bytes(), LIST_PIECE),
    ];
    for list in [format!("{secret:?}"), format!("{secret:02x?}"), format!("{secret:#04x?}").replace(['\n', ' '], "")] {
        forms.push((list.trim_matches(['[', ']']).replace(' ', "").into_bytes(), LIST_PIECE));
        forms.push((list.trim_matches(['[', ']']).to_owned().into_bytes(), LIST_PIECE));
    }
    let (base32, upper) = (base32_lower(), BASE32_NOPAD);
    let encodings = [(&BASE64_NOPAD, 6, 3), (&BASE64URL_NOPAD, 6, 3), (&base32, 5, 5), (&upper, 5, 5)];
    for (encoding, bits, alignments) in encodings {
        // As a part of something longer, it begins anywhere in a group.
        for before in 0..alignments {
            let text = encoding.encode(&[&vec![0; before], secret].concat());
            let whole = (before + secret.len()) * 8 / bits;
            forms.push((text.as_bytes()[(before * 8).div_ceil(bits)..whole].to_vec(), PIECE));
        }
    }
    forms
}

fn base32_lower() -> Encoding {
    let mut specification = BASE32_NOPAD.specification();
    specification.symbols.make_ascii_lowercase();
    specification.encoding().unwrap()
}

/// What of the known is in these bytes, each once. Says which, and never the secret itself.
pub fn found_in(bytes: &[u8], kinds: &[Kind]) -> BTreeSet<String> {
    let known = known();
    let mut found = BTreeSet::new();
    for (len, pieces) in &known.pieces {
        let pieces = bytes.windows(*len).filter_map(|window| pieces.of(window));
        found.extend(pieces.filter(|(kind, _)| kinds.contains(kind)).map(|(_, what)| what.clone()));
    }
    found
}

/// Files and output of one test.
#[derive(Default)]
pub struct Captured {
    /// Files that the test itself has written.
    given: RefCell<BTreeSet<PathBuf>>,
    /// What commands printed that are in no file.
    output: RefCell<Vec<(String, String)>>,
}

impl Captured {
    pub fn given(&self, path: &Path) {
        self.given.borrow_mut().insert(path.to_owned());
    }

    /// A command that is there to print a secret may print it, and no other.
    pub fn printed(&self, arguments: &str, out: &str, err: &str) {
        let hands_out = ["key new", "player add", "player ticket"].iter().any(|command| arguments.contains(command));
        let out = if hands_out { learn_and_cut(out) } else { out.to_owned() };
        self.output
            .borrow_mut()
            .extend([(format!("output of {arguments}"), out), (arguments.to_owned(), err.to_owned())]);
    }

    /// Everything that is where it must not be.
    pub fn leaks(&self, dir: &Path) -> Vec<String> {
        let mut texts = self.output.borrow().clone();
        let files = files(dir);
        files.iter().for_each(|file| learn(file));
        learn_processes(&files, &mut texts);
        texts.extend(known().answers.iter().map(|(what, answer)| ((*what).to_owned(), answer.clone())));
        let mut leaks = Vec::new();
        for (what, text) in texts {
            leaks.extend(found_in(text.as_bytes(), &[Kind::Key, Kind::Data]).iter().map(|of| format!("{of}: {what}")));
        }
        let searched =
            |file: &&PathBuf| !is_for_secrets(file) && !is_room(file) && !self.given.borrow().contains(*file);
        for file in files.iter().filter(searched) {
            let Ok(bytes) = fs::read(file) else { continue }; // removed meanwhile
            let bytes = if is_log(file) { without_join_key(&bytes) } else { bytes };
            let kinds: &[Kind] = if is_log(file) { &[Kind::Key, Kind::Data] } else { &[Kind::Key] };
            leaks.extend(found_in(&bytes, kinds).iter().map(|of| format!("{of}: {}", file.display())));
        }
        leaks
    }

    /// Fails the test that leaked, unless it fails already.
    pub fn check(&self, dir: &Path) {
        let leaks = self.leaks(dir);
        if !std::thread::panicking() {
            assert!(leaks.is_empty(), "secrets where they must not be:\n{}", leaks.join("\n"));
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn name(file: &Path) -> &str {
    file.file_name().and_then(|name| name.to_str()).unwrap_or("")
}

fn is_for_secrets(file: &Path) -> bool {
    let parent = file.parent().map_or("", name);
    let endings = ["coordinator.keys", "operator.key", "agent.key", ".joinkey", ".ticket"];
    parent == "credentials" || endings.iter().any(|ending| name(file).ends_with(ending))
}

/// The store's reserve of disk space, 16 MiB that nothing is ever written to.
fn is_room(file: &Path) -> bool {
    name(file).ends_with(".ballast")
}

fn is_log(file: &Path) -> bool {
    name(file).ends_with(".log")
}

/// `playgate dev` without a command prints the key that a server started by hand is to be given.
fn without_join_key(log: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(log);
    let lines = text.lines().map(|line| match line.split_once("PLAYGATE_JOIN_KEY=") {
        Some((before, key)) => format!("{before}{}", learn_and_cut(key)),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n").into_bytes()
}

/// Learns the join keys and tickets in a text, and gives the text without them.
fn learn_and_cut(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_/.:[]".contains(c);
    let mut rest = String::new();
    for word in text.split_inclusive(|c| !is_part(c)) {
        let bare = word.trim_end_matches(|c| !is_part(c));
        if let Ok(key) = JoinKey::from_text(bare) {
            know_join_key(&key);
        } else if let Ok(ticket) = Ticket::from_text(bare) {
            know_ticket(&ticket);
        } else {
            rest.push_str(word);
        }
    }
    rest
}

/// Takes the secrets out of a file that is made for them, or that a test has written.
fn learn(file: &Path) {
    // Logs are searched, and what is long was not made for a secret.
    if is_log(file) || fs::metadata(file).map_or(0, |metadata| metadata.len()) > LEARN_MAX {
        return;
    }
    let Ok(bytes) = fs::read(file) else { return };
    if name(file) == "agent.key" {
        return know(Kind::Key, "the agent's key", seed_of(&bytes));
    }
    let Ok(text) = std::str::from_utf8(&bytes) else { return };
    if name(file) == "coordinator.keys" {
        learn_coordinator(text);
    } else if let Ok(key) = OperatorKey::from_text(text) {
        know(Kind::Key, "the operator's key", seed_of(key.pkcs8.reveal()));
    } else if let Ok(credential) = LaunchCredential::from_text(text) {
        know(Kind::Key, "a launch credential", credential.secret.reveal());
    } else {
        learn_and_cut(text);
    }
}

fn learn_coordinator(text: &str) {
    for line in text.lines() {
        let Some((field, value)) = line.split_once(" = \"") else { continue };
        let bytes = BASE64.decode(value.trim_end_matches('"').as_bytes()).unwrap();
        match field {
            "tls_pkcs8" => know(Kind::Key, "the coordinator's key", seed_of(&bytes)),
            "master" => {
                know(Kind::Key, "the master key", &bytes);
                let master = bytes.try_into().unwrap();
                if !known().masters.contains(&master) {
                    known().masters.push(master);
                }
            }
            field => know(Kind::Key, &format!("{field} of the coordinator"), &bytes),
        }
    }
}

/// The private half of an Ed25519 key in PKCS#8; the rest of the document is no secret.
fn seed_of(pkcs8: &[u8]) -> &[u8] {
    &pkcs8[16..48]
}

/// What the master key makes of every process that anything here speaks of.
fn learn_processes(files: &[PathBuf], texts: &mut [(String, String)]) {
    let mut processes = BTreeSet::new();
    let logs = files.iter().filter(|file| is_log(file)).filter_map(|file| fs::read(file).ok());
    let logs = logs.map(|log| String::from_utf8_lossy(&log).into_owned());
    for text in logs.chain(texts.iter().map(|(_, text)| text.clone())) {
        processes.extend(
            text.match_indices("sp-")
                .filter_map(|(at, _)| text.get(at..at + 29).and_then(|id| id.parse::<ServerProcessId>().ok())),
        );
    }
    let masters = known().masters.clone();
    for (master, process) in masters.iter().flat_map(|master| processes.iter().map(move |process| (master, process))) {
        let master = MasterKey::from_bytes(*master);
        know(Kind::Key, "a gate root", master.gate_root(process).as_bytes());
        know(Kind::Key, "a holder root", master.holder_root(process).as_bytes());
        know(Kind::Key, "a launch credential", master.launch_credential(process).as_bytes());
    }
}
