//! The stop ladder on real processes, and what they leave behind.

use std::time::Duration;

use playgate_agent::OnShutdown;
use playgate_protocol::agent::{AgentReport, ExitStatus, StopStep};
use rustix::process::Signal;

use crate::support::{World, eventually, exists, is_alive, kill, process_id, script};

/// Ignores SIGTERM, and says when it does.
const STUBBORN: &str = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
/// Ends at once when asked.
const POLITE: &str = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done";

#[tokio::test]
async fn a_polite_server_goes_at_the_first_signal() {
    let world = World::new();
    let agent = world.agent();
    let mut session = world.welcome(0).await;
    let order = script(POLITE);
    let process = order.process;
    let pid = session.run(order).await;
    eventually("ready", || world.log(process).contains("ready").then_some(())).await;
    session.stop(process, 0, 600_000);
    assert_eq!(session.step_of(process).await, StopStep::Term);
    // Between the two some shells say that their child was terminated.
    let (status, tail) = session.exit_of(process).await;
    assert_eq!(status, ExitStatus::Code(0));
    assert!(tail.starts_with("ready") && tail.ends_with("bye"), "{tail}");
    assert!(!exists(pid));
    // Once its end is acknowledged the agent has forgotten it; asked again, it says so.
    session.acknowledge(3);
    session.stop(process, 0, 0);
    assert_eq!(session.exit_of(process).await.0, ExitStatus::Unknown);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_ignores_sigterm_is_killed() {
    let world = World::new();
    let agent = world.agent();
    let mut session = world.welcome(0).await;
    let order = script(STUBBORN);
    let process = order.process;
    let pid = session.run(order).await;
    eventually("ready", || world.log(process).contains("ready").then_some(())).await;
    // The second order shortens the first, the third does not lengthen it again.
    session.stop(process, 600_000, 600_000);
    session.stop(process, 1, 1);
    session.stop(process, 600_000, 600_000);
    assert_eq!(session.step_of(process).await, StopStep::Term);
    assert_eq!(session.step_of(process).await, StopStep::Kill);
    assert_eq!(session.exit_of(process).await, (ExitStatus::Signal(9), "ready".to_owned()));
    assert!(!exists(pid));
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_leaves_nothing_behind() {
    let world = World::new();
    let agent = world.agent();
    let mut session = world.welcome(0).await;
    // One in its group, one that hid in a session of its own, and one whose parent is gone, all deaf to SIGTERM.
    let order = script(
        "trap '' TERM; sleep 1000 & echo $!; setsid sleep 1000 & \
         (setsid sh -c 'sleep 1000 & echo $!; echo $$; exec sleep 1000') & \
         while [ $(wc -l < \"$LOG\") -lt 3 ]; do sleep 0.01; done; exit 5",
    );
    let process = order.process;
    let log = world.state().join(format!("logs/{process}.log")).display().to_string();
    let env = [(crate::support::name("LOG"), crate::support::arg(&log))];
    session.run(playgate_protocol::agent::LaunchOrder { env: playgate_protocol::List::first_of(env), ..order }).await;
    assert_eq!(session.exit_of(process).await.0, ExitStatus::Code(5));
    let left: Vec<u32> = world.log(process).lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(left.len(), 3);
    for pid in left {
        eventually("it is killed", || (!is_alive(pid)).then_some(())).await;
    }
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_for_an_unknown_process_is_answered() {
    let world = World::new();
    let agent = world.agent();
    let mut session = world.welcome(0).await;
    let process = process_id();
    session.stop(process, 1_000, 1_000);
    session.stop(process, 1_000, 1_000);
    assert_eq!(session.exit_of(process).await, (ExitStatus::Unknown, String::new()));
    let other = process_id();
    session.stop(other, 0, 0);
    let (2, AgentReport::Exited { process, .. }) = session.report().await else { panic!("said twice") };
    assert_eq!(process, other);
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn the_ladder_goes_on_without_a_coordinator() {
    let world = World::new();
    let agent = world.agent();
    let mut session = world.welcome(0).await;
    let order = script(STUBBORN);
    let process = order.process;
    let pid = session.run(order).await;
    eventually("ready", || world.log(process).contains("ready").then_some(())).await;
    session.stop(process, 0, 50);
    assert_eq!(session.step_of(process).await, StopStep::Term);
    session.close().await;
    eventually("killed and reaped", || (!exists(pid)).then_some(())).await;
    let mut session = world.welcome(2).await;
    assert_eq!(session.step_of(process).await, StopStep::Kill);
    assert_eq!(session.exit_of(process).await.0, ExitStatus::Signal(9));
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn an_agent_that_is_told_to_stop_all_waits_for_all() {
    let world = World::new();
    let stop_all = OnShutdown::StopAll { grace: Duration::from_millis(300) };
    let agent = world.agent_with(|config| config.on_shutdown = stop_all);
    let mut session = world.welcome(0).await;
    let mut pids = Vec::new();
    for lines in [POLITE, STUBBORN, "sleep 1000 & sleep 1000"] {
        let order = script(lines);
        let process = order.process;
        pids.push((process, session.run(order).await));
        let started = lines.starts_with("sleep");
        eventually("ready", || (started || world.log(process).contains("ready")).then_some(())).await;
    }
    agent.stop().await.unwrap();
    for (process, pid) in pids {
        assert!(!exists(pid), "{process}");
    }
    // The last reports still reached the coordinator: three signals, one of them once more, three ends.
    let mut ends = 0;
    while ends < 3 {
        ends += usize::from(matches!(session.report().await.1, AgentReport::Exited { .. }));
    }
}

#[tokio::test]
async fn servers_live_on_when_the_agent_ends() {
    let world = World::new();
    let agent = world.agent();
    let mut session = world.welcome(0).await;
    let order = script("echo ready; while :; do sleep 0.05; done");
    let process = order.process;
    let pid = session.run(order).await;
    agent.stop().await.unwrap();
    assert!(is_alive(pid));
    let agent = world.agent();
    let mut session = world.welcome(1).await;
    assert_eq!(session.report().await, (2, AgentReport::Adopted { process, pid }));
    assert_eq!(session.inventory().await, [process]);
    // Not signalled by the agent: it ends of a cause of its own, and that is noticed.
    kill(pid, Signal::KILL);
    assert_eq!(session.exit_of(process).await.0, ExitStatus::Unknown);
    agent.stop().await.unwrap();
}
