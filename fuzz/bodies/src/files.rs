//! Files that a program reads back or is pointed at: keys, fleets, an agent's state, what `/proc` and logs hold.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use playgate_agent::fuzzing;
use playgate_agent_core::{AgentCore, CoreConfig, Input};
use playgate_coordinator::keyfile::{KEY_FILE, KeyFile, KeyFileError};
use playgate_coordinator::read_fleets;
use playgate_protocol::limits::OUTPUT_TAIL_BYTES_MAX;

use crate::scratch::Scratch;

const PROCESS: &str = "sp-aaaaaaaaaaaaaaaaaaaaaaaaaa";

/// One byte says which file, the others are in it.
pub fn files(data: &[u8]) {
    thread_local! { static PLACE: Scratch = Scratch::new(); }
    let Some((which, content)) = data.split_first() else { return };
    PLACE.with(|scratch| match which % 8 {
        0 => key_file(scratch.path(), content),
        1 => {
            let path = scratch.file("operator.key");
            fs::write(&path, content).expect("room");
            let _ = playgate_client::read_operator_key(&path);
        }
        2 => {
            let path = scratch.file("fleets.toml");
            fs::write(&path, content).expect("room");
            for fleet in read_fleets(&path).unwrap_or_default() {
                assert_eq!(fleet.check(), Ok(()), "an unusable fleet is read");
            }
        }
        3 => {
            let _ = fuzzing::stat(content);
        }
        4 => {
            if let Some(process) = fuzzing::marked(content) {
                let said = format!("PLAYGATE_PROCESS_ID={process}");
                assert!(content.windows(said.len()).any(|part| part == said.as_bytes()), "{process} is not in it");
            }
        }
        5 => assert!(fuzzing::log_end(content).len() <= OUTPUT_TAIL_BYTES_MAX),
        _ => agent_state(&scratch.file("agent"), content),
    });
}

fn key_file(directory: &Path, content: &[u8]) {
    let path = directory.join(KEY_FILE);
    fs::write(&path, content).expect("room");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our own file");
    match KeyFile::open(directory) {
        Ok(keys) => assert!(!keys.signing_keys.is_empty()),
        Err(KeyFileError::Damaged { line, .. }) => {
            let lines = content.iter().filter(|byte| **byte == b'\n').count() + 1;
            assert!((1..=lines).contains(&line), "line {line} of {lines}");
        }
        Err(KeyFileError::Newer { format, .. }) => assert!(format > 1),
        Err(other) => panic!("{other}"),
    }
}

/// The bytes as files of a state directory; the next agent starts with what it finds in them.
fn agent_state(root: &Path, content: &[u8]) {
    let _ = fs::remove_dir_all(root); // there is none at first
    let _ = fuzzing::restored(root); // makes what is missing
    let names = [
        format!("processes/{PROCESS}.json"),
        "reports/1.json".to_owned(),
        "reports/2.json".to_owned(),
        format!("reports/{}.json", u64::MAX),
        "reports/acknowledged".to_owned(),
        "bound.json".to_owned(),
        format!("logs/{PROCESS}.log"),
        "agent.key".to_owned(),
    ];
    let mut rest = content;
    for _ in 0..names.len() {
        let Some((head, behind)) = rest.split_first_chunk::<2>() else { break };
        let (part, behind) = behind.split_at(usize::from(head[1]).min(behind.len()));
        fs::write(root.join(&names[usize::from(head[0]) % names.len()]), part).expect("room");
        rest = behind;
    }
    let Some(restored) = fuzzing::restored(root) else { return };
    let config = CoreConfig { host: "box".to_owned(), capacity: 8, seed: 7 };
    let mut core = AgentCore::new(Duration::ZERO, config, restored);
    core.handle(Duration::ZERO, Input::LinkUp { applied_seq: 0 });
    while core.poll_output().is_some() {}
}
