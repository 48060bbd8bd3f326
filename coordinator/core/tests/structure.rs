//! The workspace is built as `ARCHITECTURE.md` says: who may import whom, what pure crates do without, which versions
//! are safe, and how long a file may be.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

/// Each member, and the members it may depend on. Dependencies of tests alone are free.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("playgate-token", &[]),
    ("playgate-protocol", &["playgate-token"]),
    ("playgate-gate", &["playgate-token", "playgate-protocol"]),
    ("playgate-core", &["playgate-token", "playgate-protocol"]),
    ("playgate-agent-core", &["playgate-token", "playgate-protocol"]),
    ("playgate-relay-core", &["playgate-protocol"]),
    ("playgate-files", &[]),
    ("playgate-relay", &["playgate-protocol", "playgate-relay-core", "playgate-link", "playgate-files"]),
    ("playgate-link", &["playgate-protocol"]),
    ("playgate", &["playgate-token", "playgate-protocol", "playgate-link", "playgate-gate"]),
    ("playgate-client", &["playgate-token", "playgate-protocol", "playgate-link"]),
    ("playgate-agent", &["playgate-protocol", "playgate-link", "playgate-agent-core", "playgate-files"]),
    (
        "playgate-coordinator",
        &["playgate-token", "playgate-protocol", "playgate-link", "playgate-core", "playgate-files"],
    ),
    (
        "playgate-cli",
        &[
            "playgate-protocol",
            "playgate-client",
            "playgate-coordinator",
            "playgate-core",
            "playgate-agent",
            "playgate-relay",
        ],
    ),
    (
        "arena",
        &[
            "playgate-protocol",
            "playgate",
            "playgate-client",
            "playgate-coordinator",
            "playgate-agent",
            "playgate-relay",
        ],
    ),
    ("playgate-abuse", &["playgate-protocol", "playgate-core", "playgate-link", "playgate", "playgate-client"]),
    (
        "playgate-sim",
        &[
            "playgate-token",
            "playgate-protocol",
            "playgate-gate",
            "playgate-core",
            "playgate-agent-core",
            "playgate-relay-core",
        ],
    ),
    ("playgate-netns", &[]),
    ("playgate-flood", &["playgate-protocol", "playgate-client", "playgate-relay", "playgate-netns"]),
    ("playgate-chaos", &["playgate-protocol", "playgate", "playgate-client", "playgate-netns"]),
    (
        "playgate-fuzz-bodies",
        &[
            "playgate-token",
            "playgate-protocol",
            "playgate-gate",
            "playgate-core",
            "playgate-agent-core",
            "playgate-relay-core",
            "playgate-coordinator",
            "playgate-agent",
            "playgate-client",
            "playgate-sim",
        ],
    ),
];

/// Values: they cannot wait, read a clock, open a socket or touch a disk.
const PURE: &[&str] = &[
    "playgate-token",
    "playgate-protocol",
    "playgate-gate",
    "playgate-core",
    "playgate-agent-core",
    "playgate-relay-core",
];

/// What makes a crate a shell.
const SHELLS_ONLY: &[&str] = &[
    "tokio",
    "quinn",
    "quinn-proto",
    "quinn-udp",
    "rustls",
    "rusqlite",
    "libsqlite3-sys",
    "mio",
    "socket2",
    "rustix",
    "tracing",
];

/// Who may depend on what directly, where only some may.
const RESERVED: &[(&str, &[&str])] = &[
    ("quinn", LINK),
    ("quinn-proto", LINK),
    ("rustls", LINK),
    // Chaos looks into the coordinator's file from outside, and the bodies of the fuzz targets damage it.
    ("rusqlite", &["playgate-coordinator", "playgate-chaos", "playgate-fuzz-bodies"]),
];
/// The link, and who attacks it from below.
const LINK: &[&str] = &["playgate-link", "playgate-abuse"];

/// Oldest versions without a known hole, and why.
const FLOORS: &[(&str, [u64; 3], &str)] = &[
    ("quinn-proto", [0, 11, 19], "RUSTSEC-2026-0037 and -0185, and the chunk limit that broke good links in 0.11.17"),
    ("rustls", [0, 23, 46], "RUSTSEC-2024-0336 and -0399"),
    ("rustls-webpki", [0, 103, 17], "RUSTSEC-2023-0053; the version that this workspace was checked with"),
    ("ring", [0, 17, 14], "RUSTSEC-2025-0009: a remote panic with overflow checks on, as our releases have them"),
    ("bytes", [1, 11, 1], "RUSTSEC-2026-0007"),
    ("postcard", [1, 1, 3], "the bytes on the wire were checked with it"),
];

/// Two of these at once would be two states, two wire formats or two sets of advisories.
const ONCE: &[&str] = &["rustls", "ring", "tokio", "serde", "postcard", "quinn-proto"];
const NEVER: &[&str] = &["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls"];

/// The first version of SQLite without the bug of the write-ahead log that could corrupt a database.
const SQLITE_VERSION_MIN: u64 = 3_051_003;

/// Words of code that no pure crate has, besides its tests.
const SHELL_WORDS: &[&str] =
    &["Instant", "SystemTime", "UdpSocket", "TcpStream", "TcpListener", "HashMap", "HashSet", "SystemRandom", "async"];
const SHELL_PATHS: &[&str] = &["std::fs", "std::thread", "std::process", "std::env"];

const LINES_MAX: usize = 600;

/// The system calls that move many datagrams at once, each behind a safe function.
const MAY_BE_UNSAFE: &[&str] =
    &["relay/src/os/address.rs", "relay/src/os/recv.rs", "relay/src/os/send.rs", "relay/src/os/steer.rs"];
/// Lines of code in them that say `unsafe`.
const UNSAFE_LINES_MAX: usize = 16;

#[test]
fn imports_point_one_way() {
    let graph = Graph::of_the_workspace();
    assert_eq!(graph.forbidden_edges(), Vec::<String>::new());
}

#[test]
fn pure_crates_are_free_of_what_waits_or_reads_a_clock() {
    let graph = Graph::of_the_workspace();
    for name in PURE {
        let tree = graph.reach(name, &[]);
        let shells: Vec<_> = SHELLS_ONLY.iter().filter(|shell| tree.contains(**shell)).collect();
        assert!(shells.is_empty(), "{name} depends on {shells:?}");
        // ring asks the system for entropy in `SystemRandom` alone, and the scan of the sources finds nobody using it.
        let entropy = graph.reach(name, &["ring"]);
        assert!(!entropy.contains("getrandom"), "{name} reaches the system's entropy other than through ring");
    }
}

#[test]
fn sources_of_pure_crates_name_no_clock_socket_disk_thread_or_hash_order() {
    let mut scanned = 0;
    for name in PURE {
        for file in rust_files(&package_dir(name).join("src")) {
            let source = std::fs::read_to_string(&file).unwrap();
            let found = shell_words(&source);
            assert!(found.is_empty(), "{}: {found:?}", file.display());
            scanned += 1;
        }
    }
    assert!(scanned > 50, "{scanned} files");
}

#[test]
fn versions_are_at_or_above_their_floors() {
    let versions = versions();
    for (name, floor, why) in FLOORS {
        for version in versions.get(*name).unwrap_or_else(|| panic!("{name} is not in Cargo.lock")) {
            assert!(version >= floor, "{name} {version:?} is below {floor:?}: {why}");
        }
    }
    assert!(versions["postcard"].iter().all(|version| version[0] == 1), "another major version writes other bytes");
    for name in ONCE {
        assert_eq!(versions[*name].len(), 1, "{name}: {:?}", versions[*name]);
    }
    for name in NEVER {
        assert!(!versions.contains_key(*name), "{name} came in; ring is the one provider of cryptography");
    }
}

#[test]
fn the_bundled_sqlite_is_new_enough() {
    let header = std::fs::read_to_string(package_dir("libsqlite3-sys").join("sqlite3/sqlite3.h")).unwrap();
    let number = header.lines().find_map(|line| line.strip_prefix("#define SQLITE_VERSION_NUMBER")).unwrap();
    let number: u64 = number.trim().parse().unwrap();
    assert!(number >= SQLITE_VERSION_MIN, "{number}");
}

#[test]
fn files_are_short_enough_to_read_and_name_no_machine() {
    let files = repository_files();
    assert!(files.len() > 100, "{} files", files.len());
    // In two halves, for this file is one of those that are searched.
    let machine = [concat!("/wo", "rk/"), concat!("shared/", "DESIGN")];
    for path in files {
        let Ok(content) = std::fs::read(&path) else { continue }; // deleted, and not yet committed
        let content = String::from_utf8_lossy(&content);
        let named: Vec<_> = machine.iter().filter(|needle| content.contains(**needle)).collect();
        assert!(named.is_empty(), "{} names {named:?}", path.display());
        let lines = content.lines().count();
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        assert!(!is_rust || lines < LINES_MAX, "{} has {lines} lines", path.display());
    }
}

#[test]
fn no_code_is_unsafe_but_the_system_calls_of_the_relay() {
    let files = repository_files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let (mut found, mut lines) = (BTreeSet::new(), 0);
    for path in files {
        let Ok(source) = std::fs::read_to_string(&path) else { continue }; // deleted, and not yet committed
        let count = unsafe_lines(&source);
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        if MAY_BE_UNSAFE.contains(&name.as_str()) {
            lines += count;
            found.insert(name);
        } else {
            assert_eq!(count, 0, "{name}");
        }
    }
    assert!(lines <= UNSAFE_LINES_MAX, "{lines}");
    assert_eq!(found.len(), MAY_BE_UNSAFE.len());
    // The compiler holds it too: every member but the relay's shell has the workspace's lints.
    for member in MAY_IMPORT.iter().map(|(name, _)| package_dir(name)) {
        let manifest: toml::Table =
            toml::from_str(&std::fs::read_to_string(member.join("Cargo.toml")).unwrap()).unwrap();
        let inherits = manifest["lints"].get("workspace").and_then(toml::Value::as_bool) == Some(true);
        assert!(inherits || member.ends_with("relay"), "{}", member.display());
    }
    let workspace: toml::Table = toml::from_str(&std::fs::read_to_string(root().join("Cargo.toml")).unwrap()).unwrap();
    assert_eq!(workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
}

#[test]
fn the_checks_find_what_they_are_there_to_find() {
    let edge = |from: &str, to: &str| (from.to_owned(), BTreeSet::from([to.to_owned()]));
    let graph = |edges: &[(&str, &str)]| Graph {
        members: MAY_IMPORT.iter().map(|(name, _)| (*name).to_owned()).collect(),
        needs: edges.iter().map(|(from, to)| edge(from, to)).collect(),
    };
    assert!(graph(&[("playgate-gate", "playgate-token"), ("playgate-link", "quinn")]).forbidden_edges().is_empty());
    for bad in [
        ("playgate-client", "playgate-coordinator"),
        ("playgate-agent", "playgate-coordinator"),
        ("playgate-token", "playgate-protocol"),
        ("playgate-coordinator", "rustls"),
        ("playgate-cli", "rusqlite"),
    ] {
        assert_eq!(graph(&[bad]).forbidden_edges(), [format!("{} -> {}", bad.0, bad.1)]);
    }
    let mut stranger = graph(&[]);
    stranger.members.insert("newcomer".to_owned());
    assert_eq!(stranger.forbidden_edges(), ["newcomer is not in the table"]);
    let through_ring = graph(&[("playgate-token", "ring"), ("ring", "getrandom")]);
    assert!(through_ring.reach("playgate-token", &[]).contains("getrandom"));
    assert!(!through_ring.reach("playgate-token", &["ring"]).contains("getrandom"));

    assert_eq!(unsafe_lines("fn f() {\n    unsafe { g() } // why\n}\nunsafe impl Send for T {}"), 2);
    assert_eq!(unsafe_lines("// unsafe { g() }\n#![forbid(unsafe_code)]\nf(); // unsafe"), 0);

    for bad in [
        "use std::time::{Duration, Instant};",
        "let map = HashMap::new();",
        "async fn f() {}",
        "std::thread::sleep(d);",
        "use std::{fs, io};",
        "fn f() {} // fine\nuse std::net::UdpSocket;",
        "fn f() { \"// in a text\"; SystemTime::now() }",
    ] {
        assert!(!shell_words(bad).is_empty(), "{bad}");
    }
    for good in [
        "use std::time::Duration; // an Instant is for shells",
        "/// Not a HashMap.\nlet instant = 1;",
        "fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::collections::HashMap;\n}",
    ] {
        assert!(shell_words(good).is_empty(), "{good}");
    }
}

/// What cargo says about the packages of this platform; those of others need not be on this machine.
static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let about = cargo(&["--version", "--verbose"]);
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let format = ["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", host];
    serde_json::from_str(&cargo(&format)).unwrap()
});

fn cargo(arguments: &[&str]) -> String {
    output(Command::new(env!("CARGO")).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")))
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn packages() -> &'static [Value] {
    METADATA["packages"].as_array().unwrap()
}

fn package_dir(name: &str) -> PathBuf {
    let package = packages().iter().find(|package| package["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    Path::new(text(&package["manifest_path"])).parent().unwrap().to_owned()
}

fn root() -> &'static Path {
    Path::new(text(&METADATA["workspace_root"]))
}

/// Every version of every package in `Cargo.lock`, whatever the platform.
fn versions() -> BTreeMap<String, Vec<[u64; 3]>> {
    #[derive(serde::Deserialize)]
    struct Lock {
        package: Vec<Package>,
    }
    #[derive(serde::Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    let lock: Lock = toml::from_str(&std::fs::read_to_string(root().join("Cargo.lock")).unwrap()).unwrap();
    let mut versions = BTreeMap::<_, Vec<_>>::new();
    for Package { name, version } in lock.package {
        let parts: Vec<u64> =
            version.split(['-', '+']).next().unwrap().split('.').map(|n| n.parse().unwrap()).collect();
        versions.entry(name).or_default().push(parts.try_into().unwrap());
    }
    versions
}

/// What is linked into what, by name; what only builds or tests need is left out.
struct Graph {
    members: BTreeSet<String>,
    needs: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn of_the_workspace() -> Self {
        let names: BTreeMap<&str, &str> =
            packages().iter().map(|package| (text(&package["id"]), text(&package["name"]))).collect();
        let mut needs = BTreeMap::<String, BTreeSet<String>>::new();
        for node in METADATA["resolve"]["nodes"].as_array().unwrap() {
            let is_linked =
                |dep: &&Value| dep["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null());
            let linked = node["deps"].as_array().unwrap().iter().filter(is_linked);
            let linked = linked.map(|dep| names[text(&dep["pkg"])].to_owned());
            needs.entry(names[text(&node["id"])].to_owned()).or_default().extend(linked);
        }
        let members = METADATA["workspace_members"].as_array().unwrap();
        Self { members: members.iter().map(|id| names[text(id)].to_owned()).collect(), needs }
    }

    fn needs(&self, name: &str) -> impl Iterator<Item = &str> {
        self.needs.get(name).into_iter().flatten().map(String::as_str)
    }

    fn forbidden_edges(&self) -> Vec<String> {
        let mut forbidden = Vec::new();
        for member in &self.members {
            let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| name == member) else {
                forbidden.push(format!("{member} is not in the table"));
                continue;
            };
            for needed in self.needs(member) {
                let is_reserved =
                    RESERVED.iter().any(|(name, owners)| *name == needed && !owners.contains(&member.as_str()));
                if is_reserved || self.members.contains(needed) && !allowed.contains(&needed) {
                    forbidden.push(format!("{member} -> {needed}"));
                }
            }
        }
        forbidden
    }

    /// Everything below `name`, without what lies below `closed` only.
    fn reach<'a>(&'a self, name: &str, closed: &[&str]) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&str> = self.needs(name).collect();
        while let Some(name) = open.pop() {
            if reached.insert(name) && !closed.contains(&name) {
                open.extend(self.needs(name));
            }
        }
        reached
    }
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    // Files of tests are named so; modules of tests are cut off where they begin.
    files.filter(|path| path.extension().is_some_and(|e| e == "rs")).filter(|path| !is_test_file(path)).collect()
}

fn is_test_file(path: &Path) -> bool {
    let stem = path.file_stem().unwrap().to_string_lossy();
    stem.ends_with("_tests") || matches!(&*stem, "tests" | "testing")
}

/// What of a shell the code names; comments, and everything behind the first `#[cfg(test)]`, do not count.
fn shell_words(source: &str) -> Vec<&'static str> {
    let code = source.split("#[cfg(test)]").next().unwrap();
    let lines = code.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line });
    let code: String = lines.map(|line| line.split(" // ").next().unwrap().to_owned() + "\n").collect();
    let has_word = |word: &&&str| code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == **word);
    let has_path = |path: &&&str| {
        let module = path.rsplit("::").next().unwrap();
        let groups = code.split("use std::{").skip(1).filter_map(|behind| behind.split("};").next());
        code.contains(**path) || groups.flat_map(|g| g.split([',', ' ', '\n'])).any(|name| name == module)
    };
    SHELL_WORDS.iter().filter(has_word).chain(SHELL_PATHS.iter().filter(has_path)).copied().collect()
}

/// Lines with the keyword; comments, texts and the name of the lint do not count.
fn unsafe_lines(source: &str) -> usize {
    let code = |line: &str| -> String {
        let line = if line.trim_start().starts_with("//") { "" } else { line };
        line.split(" // ").next().unwrap().split('"').step_by(2).collect()
    };
    let has_it = |line: &str| code(line).split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
    source.lines().filter(|line| has_it(line)).count()
}

/// Everything under version control, or about to be.
fn repository_files() -> Vec<PathBuf> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let paths = output(Command::new("git").args(list).current_dir(root()));
    paths.split('\0').filter(|path| !path.is_empty()).map(|path| root().join(path)).collect()
}
