//! Between the agent of a host and the coordinator.
//!
//! Orders are idempotent by process id: repeating one does no harm. Reports are numbered and applied exactly once.

use serde::{Deserialize, Serialize};

use crate::limits::{
    AGENT_REPORTS_PER_BATCH_MAX, ARG_BYTES_MAX, ARGV_MAX, ENV_MAX, OUTPUT_TAIL_BYTES_MAX, PROCESSES_PER_HOST_MAX,
};
use crate::{Detail, FleetId, List, Name, Secret32, ServerProcessId, Text, TimeMs};

/// One argument, path, variable name or value.
pub type Arg = Text<ARG_BYTES_MAX>;

/// What an agent sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentUp {
    /// Numbered reports, oldest first.
    Reports(AgentReportBatch),
    /// Every process the agent knows to be alive; sent after the reports when a link comes up.
    Inventory {
        /// Their ids.
        alive: List<ServerProcessId, PROCESSES_PER_HOST_MAX>,
    },
    /// Alive.
    Beat,
}

/// Consecutive reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentReportBatch {
    /// Number of the first; the others follow without gaps. Numbers start at 1 with the host.
    pub first_seq: u64,
    /// The reports.
    pub reports: List<AgentReport, AGENT_REPORTS_PER_BATCH_MAX>,
}

/// One fact about a process on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentReport {
    /// It runs.
    Launched {
        /// Which.
        process: ServerProcessId,
        /// Its process id on the host.
        pid: u32,
        /// The port it was given, if the fleet asks for one.
        port: Option<u16>,
    },
    /// It could not be started.
    LaunchFailed {
        /// Which.
        process: ServerProcessId,
        /// The kind.
        error: LaunchError,
        /// Names the thing and the remedy.
        detail: Detail,
    },
    /// A step of the stop ladder was taken.
    StopStep {
        /// Which.
        process: ServerProcessId,
        /// The step.
        step: StopStep,
    },
    /// It is gone.
    Exited {
        /// Which.
        process: ServerProcessId,
        /// How.
        status: ExitStatus,
        /// Its last lines of output.
        output_tail: Text<OUTPUT_TAIL_BYTES_MAX>,
    },
    /// A restarted agent found it alive and watches it again.
    Adopted {
        /// Which.
        process: ServerProcessId,
        /// Its process id on the host.
        pid: u32,
    },
}

/// Why a process could not be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LaunchError {
    /// The executable does not exist.
    ExecutableMissing,
    /// The executable exists and may not be executed.
    ExecutableNotExecutable,
    /// The working directory does not exist.
    WorkingDirectoryMissing,
    /// No port of the fleet's range is free.
    PortsExhausted,
    /// A template names something the agent does not know.
    BadTemplate,
    /// The host carries as many processes as it can.
    HostFull,
    /// The operating system refused.
    Os,
}

/// Steps of the stop ladder; before them the server was asked over its own link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopStep {
    /// SIGTERM to the process group.
    Term,
    /// SIGKILL to the process group.
    Kill,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// `exit(code)`.
    Code(i32),
    /// Killed by a signal.
    Signal(i32),
    /// It ended while no agent watched it, or it was adopted.
    Unknown,
}

impl std::fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Unknown => f.write_str("exit status unknown"),
        }
    }
}

/// What an agent receives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentDown {
    /// Launch this process, unless it was launched before.
    Launch(LaunchOrder),
    /// Stop this process, unless it is gone.
    Stop {
        /// Which.
        process: ServerProcessId,
        /// How long it may take before SIGTERM; it was told over its own link.
        grace_ms: u32,
        /// From SIGTERM to SIGKILL.
        term_grace_ms: u32,
    },
    /// Reports up to this number are durable; forget them.
    ReportAck {
        /// Last durable report.
        through_seq: u64,
    },
    /// Answer to a beat.
    Clock {
        /// The coordinator's time.
        now_ms: TimeMs,
    },
}

/// How to launch one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchOrder {
    /// Its id; new for every launch.
    pub process: ServerProcessId,
    /// Its fleet.
    pub fleet: FleetId,
    /// Display name, for `{name}`.
    pub name: Name,
    /// Executable and arguments, templates not yet filled in.
    pub argv: List<Arg, ARGV_MAX>,
    /// Further names for templates, besides `{port}`, `{name}`, `{process}`, `{fleet}` and `{host}`.
    pub properties: List<(Name, Arg), ENV_MAX>,
    /// Variables to set; values may hold templates.
    pub env: List<(Name, Arg), ENV_MAX>,
    /// Variables to let through from the agent's own environment.
    pub env_pass: List<Name, ENV_MAX>,
    /// Where it runs; the agent's own directory where absent.
    pub working_dir: Option<Arg>,
    /// Ports to choose `{port}` from, inclusive.
    pub ports: Option<(u16, u16)>,
    /// For the credential file.
    pub credential: Secret32,
}
