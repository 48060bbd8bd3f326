//! What the core wants, done; and what comes of it.

use std::sync::Arc;

use playgate_agent_core::{Input, LaunchFailure, Output, SpawnPlan};
use playgate_link::{CloseCode, QueueError};
use playgate_protocol::ServerProcessId;
use playgate_protocol::agent::{AgentReport, AgentUp, StopStep};
use rustix::process::Signal;
use tokio::time::Instant;

use super::{Agent, Event, Running};
use crate::limits::SAVE_AGAIN;
use crate::state::{Phase, Record};
use crate::watch::Watched;
use crate::{janitor, ports, tail};

impl Agent {
    /// Does all that the core wants.
    pub(super) fn carry_out(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::FindPort { process, candidates } => {
                    let free = ports::first_free(&candidates);
                    self.input(Input::PortProbed { process, free });
                }
                Output::Spawn(plan) => self.launch(plan),
                Output::Persist { process } => self.persist(process),
                Output::Forget { process } => self.launcher.state.forget(process),
                Output::Signal { process, step } => self.signal(process, step),
                Output::SaveReport { seq, report } => {
                    log_report(&report);
                    let saved = self.reports.save(seq, report);
                    self.reports_saved(&saved);
                }
                Output::TrimReports { through_seq } => self.reports.trim(through_seq),
                Output::Send(message) => self.send(&message),
                Output::DropLink => {
                    tracing::warn!("the coordinator is silent");
                    self.drop_link(CloseCode::Done, "no answer to beats");
                }
            }
        }
    }

    fn launch(&mut self, plan: Box<SpawnPlan>) {
        let launcher = Arc::clone(&self.launcher);
        let events = self.events.clone();
        self.tasks.spawn_blocking(move || {
            let record = Box::new(launcher.record(&plan, Phase::Starting));
            let outcome = launcher.launch(&plan);
            // Nobody takes it when the agent is gone; then the next one finds the process.
            let _ = events.blocking_send(Event::Launched { record, outcome });
        });
    }

    pub(super) fn launched(&mut self, record: Record, outcome: Result<Watched, LaunchFailure>) {
        let process = record.process;
        match outcome {
            Ok(watched) => {
                let pid = watched.pid();
                self.watch(process, watched, Some(record));
                self.input(Input::Spawned { process, pid });
            }
            Err(failure) => self.input(Input::SpawnFailed { process, failure }),
        }
    }

    pub(super) fn watch(&mut self, process: ServerProcessId, watched: Watched, record: Option<Record>) {
        match watched.exit() {
            Ok(exit) => {
                let events = self.events.clone();
                self.tasks.spawn(async move {
                    exit.await;
                    let _ = events.send(Event::Exited(process)).await;
                });
            }
            Err(error) => tracing::error!(%process, %error, "the end of this process will not be noticed"),
        }
        self.running.insert(process, Running { watched, record });
    }

    fn persist(&mut self, process: ServerProcessId) {
        let Some(Running { watched, record: Some(record) }) = self.running.get_mut(&process) else {
            return;
        };
        let phase = Phase::Running { pid: watched.pid(), pgid: watched.pid(), start_time: watched.start_ticks() };
        if record.phase == phase {
            return;
        }
        record.phase = phase;
        if let Err(error) = self.launcher.state.save_record(record) {
            tracing::error!(%process, %error, "cannot record a process; a restarted agent finds it by its environment");
        }
    }

    pub(super) fn exited(&mut self, process: ServerProcessId) {
        let Some(Running { watched, .. }) = self.running.remove(&process) else {
            return;
        };
        let status = watched.collect();
        // Also of one that exits with code 0: without a word to the coordinator, that is a crash.
        let output_tail = tail::output_tail(&self.launcher.state.log(process));
        self.ended.insert(process, watched.pid());
        self.input(Input::Exited { process, status, output_tail });
        self.clean();
    }

    /// Looks for what ended processes left; one round at a time, for all that ended meanwhile.
    pub(super) fn clean(&mut self) {
        if self.is_cleaning || self.ended.is_empty() {
            return;
        }
        self.is_cleaning = true;
        let ended = std::mem::take(&mut self.ended);
        let live = self.running.keys().copied().collect();
        let state = self.launcher.state.clone();
        let events = self.events.clone();
        self.tasks.spawn_blocking(move || {
            janitor::clean(&state, &ended, &live);
            let _ = events.blocking_send(Event::Cleaned);
        });
    }

    fn signal(&self, process: ServerProcessId, step: StopStep) {
        let Some(Running { watched, .. }) = self.running.get(&process) else {
            return;
        };
        watched.signal_group(match step {
            StopStep::Term => Signal::TERM,
            StopStep::Kill => Signal::KILL,
        });
    }

    pub(super) fn reports_saved(&mut self, saved: &[u64]) {
        for seq in saved {
            self.input(Input::ReportSaved { seq: *seq });
        }
        self.save_again_at = self.reports.has_unsaved().then(|| Instant::now() + SAVE_AGAIN);
    }

    fn send(&mut self, message: &AgentUp) {
        let Some(link) = &self.link else { return };
        if let Err(error) = link.queue(message) {
            let code = if error == QueueError::Full { CloseCode::SlowConsumer } else { CloseCode::Done };
            tracing::warn!(problem = %error, "cannot send to the coordinator");
            self.drop_link(code, "too far behind");
            self.input(Input::LinkDown);
        }
    }

    fn drop_link(&mut self, code: CloseCode, reason: &str) {
        if let Some(link) = self.link.take() {
            link.close_now(code, reason);
        }
    }
}

fn log_report(report: &AgentReport) {
    match report {
        AgentReport::Launched { process, pid, port } => tracing::info!(%process, pid, port, "launched"),
        AgentReport::LaunchFailed { process, error, detail } => {
            tracing::warn!(%process, ?error, detail = detail.as_str(), "could not be launched");
        }
        AgentReport::StopStep { process, step } => tracing::info!(%process, ?step, "signalled to stop"),
        AgentReport::Exited { process, status, .. } => tracing::info!(%process, %status, "ended"),
        AgentReport::Adopted { process, pid } => tracing::info!(%process, pid, "adopted"),
    }
}
