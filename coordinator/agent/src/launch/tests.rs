//! Real processes, started and looked at.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use playgate_agent_core::RESERVED_VARIABLES;
use playgate_protocol::agent::ExitStatus;
use playgate_protocol::{FleetId, Secret32, ServerProcessId, Text};
use tempfile::TempDir;

use super::*;

#[test]
fn arguments_arrive_byte_for_byte() {
    let desk = Desk::new();
    let mut argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), "cat /proc/$$/cmdline; exit 0".to_owned()];
    argv.extend(hostile_strings());
    let (status, output) = desk.run(&argv, |_| {});
    assert_eq!(status, ExitStatus::Code(0));
    let arrived: Vec<_> = output.strip_suffix(b"\0").unwrap().split(|byte| *byte == 0).collect();
    assert_eq!(arrived.len(), argv.len());
    for (sent, arrived) in argv.iter().zip(arrived) {
        assert_eq!(sent.as_bytes(), arrived, "{sent:?}");
    }
}

/// What has surprised programs that build command lines: 500 strings.
fn hostile_strings() -> Vec<String> {
    let mut strings: Vec<String> = (1..=127_u8).map(|byte| char::from(byte).to_string()).collect();
    let known = [
        "",
        " ",
        "a b",
        "'",
        "\"",
        "'\"'\"'",
        "`reboot`",
        "$(reboot)",
        "${IFS}",
        "$HOME",
        "~",
        "*",
        "?",
        "[a-z]",
        "{a,b}",
        "; reboot",
        "| reboot",
        "&& reboot",
        "& reboot",
        "> /etc/passwd",
        "< /dev/random",
        "\\",
        "\\\\",
        "\\n",
        "\n",
        "\r\n",
        "-",
        "--",
        "-c",
        "--help",
        "-rf /",
        "=",
        "A=B",
        "%s%n",
        "../../etc/passwd",
        "/proc/self/environ",
        "{port}",
        "{{",
        "\u{1b}[2J",
        "\u{202e}abc",
        "\u{feff}",
        "\u{e9}\u{301}",
        "\u{1f469}\u{200d}\u{1f680}",
        "\u{fffd}",
    ];
    strings.extend(known.map(str::to_owned));
    let alphabet: Vec<char> = "ab '\"\\$`;|&<>(){}[]*?~#!%=-/\n\t\u{7f}\u{e9}\u{1f600}".chars().collect();
    let mut seed = 7_u64;
    while strings.len() < 500 {
        let next = |_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            alphabet[usize::try_from(seed >> 33).unwrap() % alphabet.len()]
        };
        strings.push((0..strings.len() % 40).map(next).collect());
    }
    strings
}

#[test]
fn the_environment_is_exactly_what_was_asked_for() {
    let desk = Desk::new();
    // Cargo sets both for every test; only one is let through.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some() && std::env::var_os("CARGO_PKG_NAME").is_some());
    let (status, output) = desk.run(&["/usr/bin/env", "-0"].map(str::to_owned), |plan| {
        plan.env_pass =
            vec!["CARGO_PKG_NAME".to_owned(), "NOT_SET_ANYWHERE".to_owned(), "CARGO_PKG_VERSION".to_owned()];
        plan.env = vec![("GAME".to_owned(), "a=b\n c".to_owned()), ("CARGO_PKG_VERSION".to_owned(), "mine".to_owned())];
    });
    assert_eq!(status, ExitStatus::Code(0));
    let output = String::from_utf8(output).unwrap();
    let found: BTreeSet<&str> = output.split_terminator('\0').collect();
    let process = desk.process;
    let expected = [
        "CARGO_PKG_NAME=playgate-agent".to_owned(),
        "CARGO_PKG_VERSION=mine".to_owned(),
        "GAME=a=b\n c".to_owned(),
        "PLAYGATE_COORDINATOR=coordinator.example:7600".to_owned(),
        format!("PLAYGATE_COORDINATOR_KEY={}", desk.launcher.fingerprint),
        format!("PLAYGATE_CREDENTIAL_FILE={}", desk.launcher.state.credential(process).display()),
        format!("PLAYGATE_PROCESS_ID={process}"),
        "PLAYGATE_ADVERTISE=192.0.2.7".to_owned(),
        "PLAYGATE_NAME=arena-1".to_owned(),
    ];
    assert_eq!(found, expected.iter().map(String::as_str).collect());
    for variable in RESERVED_VARIABLES {
        assert!(found.iter().any(|found| found.starts_with(&format!("{variable}="))), "{variable} is not set");
    }
}

#[test]
fn a_process_gets_no_descriptor_of_the_agent_but_its_log() {
    let desk = Desk::new();
    let _open = (fs::File::open("/dev/null").unwrap(), std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let (_, output) = desk.run(&["/bin/ls", "-l", "/proc/self/fd"].map(str::to_owned), |_| {});
    let output = String::from_utf8(output).unwrap();
    let found: BTreeSet<_> = output
        .lines()
        .filter_map(|line| line.split_once(" -> "))
        .map(|(left, target)| (left.rsplit(' ').next().unwrap().to_owned(), target.to_owned()))
        .filter(|(_, target)| !target.starts_with("/proc/")) // the directory that ls reads
        .collect();
    let log = desk.launcher.state.log(desk.process).display().to_string();
    let own = [("0", "/dev/null".to_owned()), ("1", log.clone()), ("2", log)];
    let expected = own.into_iter().map(|(fd, target)| (fd.to_owned(), target)).chain(inherited_by_the_test()).collect();
    assert_eq!(found, expected);
}

/// What whoever started this test left open on purpose goes to every program it starts, the agent or not.
fn inherited_by_the_test() -> Vec<(String, String)> {
    let mut inherited = Vec::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let fd = entry.unwrap().file_name().into_string().unwrap();
        let Ok(info) = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")) else { continue };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let closes = u32::from_str_radix(flags, 8).unwrap() & 0o2_000_000 != 0;
        let Ok(target) = fs::read_link(format!("/proc/self/fd/{fd}")) else { continue };
        if !closes && !["0", "1", "2"].contains(&fd.as_str()) {
            inherited.push((fd, target.display().to_string()));
        }
    }
    inherited
}

#[test]
fn a_process_leads_a_group_of_its_own() {
    let desk = Desk::new();
    let script = "cut -d' ' -f5 /proc/$$/stat; echo $$; exit 0";
    let (_, output) = desk.run(&["/bin/sh", "-c", script].map(str::to_owned), |plan| {
        plan.env_pass = vec!["PATH".to_owned()];
    });
    let output = String::from_utf8(output).unwrap();
    let (group, process) = output.trim().split_once('\n').unwrap();
    assert_eq!(group, process);
}

#[test]
fn only_this_user_can_read_what_is_written() {
    let desk = Desk::new();
    desk.run(&["/bin/true".to_owned()], |_| {});
    let state = &desk.launcher.state;
    let credential = state.credential(desk.process);
    for (path, mode) in [
        (state.root().to_owned(), 0o700),
        (credential.parent().unwrap().to_owned(), 0o700),
        (state.logs(), 0o700),
        (credential.clone(), 0o600),
        (state.log(desk.process), 0o600),
        (state.root().join("processes").join(format!("{}.json", desk.process)), 0o600),
    ] {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode, "{}", path.display());
    }
    let secret = Fingerprint::from_bytes([7; 32]);
    assert_eq!(fs::read_to_string(credential).unwrap(), format!("pgcred1/{}/{secret}", desk.process));
    let record = fs::read_to_string(state.root().join("processes").join(format!("{}.json", desk.process))).unwrap();
    assert!(!record.contains(&secret.to_string()), "a secret in {record}");
}

#[test]
fn a_command_is_found_as_a_shell_would() {
    let desk = Desk::new();
    let dir = desk.dir.path().join("game");
    fs::create_dir_all(dir.join("bin")).unwrap();
    desk.script(&dir.join("bin/server"), "#!/bin/sh\necho \"in $(pwd)\"\n", "755");
    let in_dir = |plan: &mut SpawnPlan| plan.working_dir = Some(dir.display().to_string());
    let (_, output) = desk.run(&["./bin/server".to_owned()], in_dir);
    assert!(String::from_utf8(output).unwrap().contains(&format!("in {}", dir.display())));

    let path = format!("/nowhere:relative::{}", dir.join("bin").display());
    let (status, _) = desk.run(&["server".to_owned()], |plan| plan.env = vec![("PATH".to_owned(), path)]);
    assert_eq!(status, ExitStatus::Code(0));
}

#[test]
fn what_cannot_be_started_is_named_with_a_remedy() {
    let desk = Desk::new();
    let dir = desk.dir.path();
    desk.script(&dir.join("plain"), "#!/bin/sh\n", "644");
    desk.script(&dir.join("orphan"), "#!/no/such/interpreter\n", "755");
    desk.script(&dir.join("nothing"), "no program at all", "755");
    let at = |name: &str| dir.join(name).display().to_string();
    let cases = [
        (at("missing"), None, LaunchError::ExecutableMissing, "does not exist; install the server"),
        ("no-such-program".to_owned(), None, LaunchError::ExecutableMissing, "nowhere in PATH"),
        (at("plain"), None, LaunchError::ExecutableNotExecutable, "chmod +x"),
        (at(""), None, LaunchError::ExecutableNotExecutable, "is not a file"),
        (at("orphan"), None, LaunchError::Os, "the interpreter in its first line"),
        (at("nothing"), None, LaunchError::Os, "needs a first line such as"),
        (
            "true".to_owned(),
            Some(at("missing")),
            LaunchError::WorkingDirectoryMissing,
            "correct the fleet's working_dir",
        ),
        ("true".to_owned(), Some(at("plain")), LaunchError::WorkingDirectoryMissing, "is not a directory"),
        ("./true".to_owned(), Some("/usr".to_owned()), LaunchError::ExecutableMissing, "/usr/./true does not exist"),
    ];
    for (name, working_dir, error, expected) in cases {
        let mut plan = desk.plan(std::slice::from_ref(&name));
        plan.working_dir = working_dir;
        let failure = desk.launcher.launch(&plan).unwrap_err();
        assert_eq!(failure.error, error, "{name}: {}", failure.detail);
        assert!(failure.detail.contains(expected), "{name}: {}", failure.detail);
    }
}

/// A launcher with a state directory of its own.
struct Desk {
    dir: TempDir,
    launcher: Launcher,
    process: ServerProcessId,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("state")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let launcher = Launcher {
            _lock: runtime.block_on(Lock::take(state.root())).unwrap(),
            state,
            coordinator: "coordinator.example:7600".to_owned(),
            fingerprint: Fingerprint::from_bytes([9; 32]),
            advertise: Some("192.0.2.7".parse().unwrap()),
            boot_id: "boot".to_owned(),
        };
        Self { dir, launcher, process: ServerProcessId::from_bytes([1; 16]) }
    }

    fn plan(&self, argv: &[String]) -> SpawnPlan {
        SpawnPlan {
            process: self.process,
            fleet: FleetId::new("arena").unwrap(),
            name: Text::new("arena-1").unwrap(),
            argv: argv.to_vec(),
            env: Vec::new(),
            env_pass: Vec::new(),
            working_dir: None,
            port: None,
            credential: Secret32::from_bytes([7; 32]),
        }
    }

    /// Runs a command to its end, and returns what it wrote.
    fn run(&self, argv: &[String], change: impl FnOnce(&mut SpawnPlan)) -> (ExitStatus, Vec<u8>) {
        let mut plan = self.plan(argv);
        change(&mut plan);
        let watched = self.launcher.launch(&plan).unwrap();
        let status = watched.wait();
        (status, fs::read(self.launcher.state.log(self.process)).unwrap())
    }

    /// Another process writes the file: a descriptor for writing in this one could go along when another test forks,
    /// and a file that is open for writing cannot be executed.
    fn script(&self, path: &Path, content: &str, mode: &str) {
        let write = "printf '%s' \"$1\" > \"$2\" && chmod \"$3\" \"$2\"";
        let made = Command::new("/bin/sh").args(["-c", write, "sh", content]).arg(path).arg(mode).status();
        assert!(made.unwrap().success());
    }
}
