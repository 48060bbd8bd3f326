//! One set-up for the tests of this crate.

use playgate_protocol::agent::{AgentReport, Arg, ExitStatus, LaunchOrder};
use playgate_protocol::{FleetId, List, Name, Secret32, ServerProcessId, Text};

pub(crate) fn process(n: u64) -> ServerProcessId {
    ServerProcessId::from_parts(0, n, [0; 9])
}

pub(crate) fn arg(text: &str) -> Arg {
    Text::new(text).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Text::new(text).unwrap()
}

pub(crate) fn order(n: u64) -> LaunchOrder {
    LaunchOrder {
        process: process(n),
        fleet: FleetId::new("arena").unwrap(),
        name: name("arena-1"),
        argv: List::first_of([arg("./server")]),
        properties: List::default(),
        env: List::default(),
        env_pass: List::default(),
        working_dir: None,
        ports: None,
        credential: Secret32::from_bytes([7; 32]),
    }
}

pub(crate) fn launched(n: u64) -> AgentReport {
    AgentReport::Launched { process: process(n), pid: u32::try_from(n).unwrap(), port: None }
}

pub(crate) fn exited(n: u64) -> AgentReport {
    AgentReport::Exited { process: process(n), status: ExitStatus::Unknown, output_tail: Text::default() }
}
