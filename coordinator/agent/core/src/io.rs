//! What goes into the machine of one host, and what comes out.

use std::time::Duration;

use playgate_protocol::agent::{AgentDown, AgentReport, AgentUp, ExitStatus, StopStep};
use playgate_protocol::limits::OUTPUT_TAIL_BYTES_MAX;
use playgate_protocol::{ServerProcessId, Text};

use crate::plan::{LaunchFailure, SpawnPlan};

/// The last output of a process.
pub type OutputTail = Text<OUTPUT_TAIL_BYTES_MAX>;

/// What does not change while the agent runs.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// Display name of the host, for `{host}`.
    pub host: String,
    /// Server processes the host can carry; more than 2,048 count as that many.
    pub capacity: u32,
    /// For jitter. It need not be secret.
    pub seed: u64,
}

/// What a former run left, and what became of it.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// Last report that was acknowledged.
    pub acknowledged_seq: u64,
    /// Saved reports, by number.
    pub reports: Vec<(u64, AgentReport)>,
    /// Processes on record.
    pub processes: Vec<RestoredProcess>,
}

/// A process on record.
#[derive(Debug, Clone)]
pub struct RestoredProcess {
    /// Which.
    pub process: ServerProcessId,
    /// The port it was given.
    pub port: Option<u16>,
    /// What became of it.
    pub found: Found,
}

/// What became of a process while no agent watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It runs, and its record said so.
    Running {
        /// Its process id on the host.
        pid: u32,
    },
    /// It runs, but its record held only the intent: the former agent died between starting it and saying so.
    Started {
        /// Its process id on the host.
        pid: u32,
    },
    /// It is gone, or was never started.
    Gone {
        /// Its last output.
        output_tail: OutputTail,
    },
}

/// What can happen.
#[derive(Debug, Clone)]
pub enum Input {
    /// The coordinator said welcome.
    LinkUp {
        /// Last report it has durably applied.
        applied_seq: u64,
    },
    /// The link is over.
    LinkDown,
    /// The coordinator said something.
    Message(AgentDown),
    /// The answer to [`Output::FindPort`].
    PortProbed {
        /// For which process.
        process: ServerProcessId,
        /// The first free one.
        free: Option<u16>,
    },
    /// The answer to [`Output::Spawn`]: it runs.
    Spawned {
        /// Which.
        process: ServerProcessId,
        /// Its process id on the host.
        pid: u32,
    },
    /// The answer to [`Output::Spawn`]: it does not.
    SpawnFailed {
        /// Which.
        process: ServerProcessId,
        /// Why.
        failure: LaunchFailure,
    },
    /// A running process is gone.
    Exited {
        /// Which.
        process: ServerProcessId,
        /// How.
        status: ExitStatus,
        /// Its last output.
        output_tail: OutputTail,
    },
    /// The answer to [`Output::SaveReport`].
    ReportSaved {
        /// Its number; reports are saved in order.
        seq: u64,
    },
    /// A deadline has passed.
    Timeout,
    /// The agent is to end: nothing further is launched.
    Shutdown {
        /// Stop every process: SIGTERM, and this much later SIGKILL. Where absent they live on.
        stop_all: Option<Duration>,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Find a port that nobody uses. Answer: [`Input::PortProbed`].
    FindPort {
        /// For which process.
        process: ServerProcessId,
        /// To be tried in this order.
        candidates: Vec<u16>,
    },
    /// Save the intent, then start it. Answer: [`Input::Spawned`] or [`Input::SpawnFailed`].
    Spawn(Box<SpawnPlan>),
    /// Save that it runs, and as what. The report that says so is saved.
    Persist {
        /// Which.
        process: ServerProcessId,
    },
    /// Remove its record and its credential. The report of its end is saved.
    Forget {
        /// Which.
        process: ServerProcessId,
    },
    /// Signal its group.
    Signal {
        /// Which.
        process: ServerProcessId,
        /// With what.
        step: StopStep,
    },
    /// Save a report under its number, over what may be there. Answer: [`Input::ReportSaved`].
    SaveReport {
        /// Its number.
        seq: u64,
        /// The report.
        report: AgentReport,
    },
    /// Remember that reports up to this number are acknowledged, then remove them.
    TrimReports {
        /// Last acknowledged one.
        through_seq: u64,
    },
    /// Queue this on the link. If that fails, the link is over.
    Send(AgentUp),
    /// The coordinator is silent: close the link and dial again. It counts as down already.
    DropLink,
}
