//! The agent is killed, and another takes over.

use std::collections::BTreeMap;
use std::fs;

use playgate_agent::AgentError;
use playgate_protocol::Credential;
use playgate_protocol::agent::{AgentReport, ExitStatus, StopStep};
use rustix::process::Signal;

use crate::support::{Heard, World, eventually, is_alive, kill, script};

#[tokio::test]
async fn a_killed_agent_is_replaced_without_loss() {
    let world = World::new();
    let agent = world.agent_process();
    let mut session = world.welcome(0).await;
    assert!(matches!(session.hello.credential, Credential::Join { .. }));
    let key = session.peer;
    let [lives, dies, ended] =
        ["echo run; exec sleep 1000", "echo run; exec sleep 1000", "echo run; exit 7"].map(script);
    let live_pid = session.run(lives.clone()).await;
    let dead_pid = session.run(dies.clone()).await;
    session.run(ended.clone()).await;
    assert_eq!(session.exit_of(ended.process).await, (ExitStatus::Code(7), "run".to_owned()));
    session.acknowledge(1);
    eventually("the acknowledgement is remembered", || (!world.state().join("reports/1.json").exists()).then_some(()))
        .await;
    agent.kill();
    assert!(is_alive(live_pid) && is_alive(dead_pid));
    kill(dead_pid, Signal::KILL);
    eventually("it is gone", || (!is_alive(dead_pid)).then_some(())).await;

    let agent = world.agent_process();
    let mut session = world.welcome(1).await;
    assert_eq!(session.peer, key, "another key");
    assert_eq!(session.hello.credential, Credential::Bound);
    for order in [&lives, &dies, &ended] {
        session.launch(order.clone());
    }
    let mut reports = BTreeMap::new();
    let alive = loop {
        match session.heard().await {
            Heard::Report(seq, report) => assert_eq!(reports.insert(seq, report), None, "twice on one link"),
            Heard::Inventory(alive) => break alive,
        }
    };
    assert_eq!(alive, [lives.process]);
    let launched = |process, pid| AgentReport::Launched { process, pid, port: None };
    assert_eq!(reports[&2], launched(dies.process, dead_pid));
    assert!(matches!(reports[&3], AgentReport::Launched { process, .. } if process == ended.process));
    let exited = |process, status| AgentReport::Exited { process, status, output_tail: "run".parse().unwrap() };
    assert_eq!(reports[&4], exited(ended.process, ExitStatus::Code(7)));
    let news: Vec<_> = reports.range(5..).map(|(_, report)| report.clone()).collect();
    let adopted = AgentReport::Adopted { process: lives.process, pid: live_pid };
    assert_eq!(news.len(), 2, "{news:?}");
    assert!(news.contains(&adopted) && news.contains(&exited(dies.process, ExitStatus::Unknown)), "{news:?}");

    // The adopted one is stopped like any other.
    session.stop(lives.process, 0, 600_000);
    assert_eq!(session.step_of(lives.process).await, StopStep::Term);
    assert_eq!(session.exit_of(lives.process).await, (ExitStatus::Unknown, "run".to_owned()));
    for order in [&lives, &dies, &ended] {
        assert_eq!(world.log(order.process), "run\n", "launched twice");
    }
    agent.kill();
}

/// Kills the agent at moments all over the path of a launch: none is repeated, none is lost, no report changes.
#[tokio::test]
async fn wherever_a_launch_is_cut_it_happens_once() {
    const ROUNDS: usize = 24;
    let world = World::new();
    let mut history: BTreeMap<u64, AgentReport> = BTreeMap::new();
    let mut orders = Vec::new();
    let mut applied = 0;
    for round in 0..ROUNDS {
        let agent = world.agent_process();
        let mut session = world.welcome(applied).await;
        orders.extend((0..2).map(|n| script(if n == 0 { "echo run; exec sleep 1000" } else { "echo run" })));
        // Orders come again with every link, unless the coordinator knows that the process has ended.
        for order in &orders {
            let known = history.range(..=applied).any(|(_, report)| is_end(report, order.process));
            if !known {
                session.launch(order.clone());
            }
        }
        let newest = orders.last().unwrap().process;
        cut(round, &world, newest, &mut session, &mut history).await;
        agent.kill();
        applied = if round % 3 == 0 { history.keys().next_back().copied().unwrap_or(0) } else { applied };
    }
    let agent = world.agent_process();
    let mut session = world.welcome(applied).await;
    let alive = loop {
        match session.heard().await {
            Heard::Report(seq, report) => keep(&mut history, seq, report),
            Heard::Inventory(alive) => break alive,
        }
    };
    assert!(history.keys().copied().eq(1..=history.len() as u64), "numbers without gaps");
    for order in &orders {
        let process = order.process;
        let runs = world.log(process).lines().count();
        let ends = history.values().filter(|report| is_end(report, order.process)).count();
        assert!(runs <= 1, "{process} was launched {runs} times");
        assert!(ends + usize::from(alive.contains(&process)) <= 1, "{process} ended {ends} times");
        assert!(
            runs == 0 || ends == 1 || alive.contains(&process),
            "{process} ran, and nobody knows what became of it"
        );
    }
    agent.kill();
}

/// Waits for a moment of a launch that depends on the round.
async fn cut(
    round: usize,
    world: &World,
    newest: playgate_protocol::ServerProcessId,
    session: &mut crate::support::Session,
    history: &mut BTreeMap<u64, AgentReport>,
) {
    let state = world.state();
    let record = || fs::read_to_string(state.join(format!("processes/{newest}.json"))).unwrap_or_default();
    let was_recorded = || record().contains("running") || !world.log(newest).is_empty();
    match round % 4 {
        0 => {} // while the orders are on their way
        1 => eventually("an intent", || (!record().is_empty() || was_recorded()).then_some(())).await,
        2 => eventually("a process", || was_recorded().then_some(())).await,
        _ => {
            while !history.values().any(|report| is_end(report, newest)) {
                let (seq, report) = session.report().await;
                keep(history, seq, report);
            }
        }
    }
}

fn keep(history: &mut BTreeMap<u64, AgentReport>, seq: u64, report: AgentReport) {
    let before = history.entry(seq).or_insert_with(|| report.clone());
    assert_eq!(*before, report, "report {seq} changed");
}

fn is_end(report: &AgentReport, wanted: playgate_protocol::ServerProcessId) -> bool {
    matches!(report, AgentReport::Exited { process, .. } | AgentReport::LaunchFailed { process, .. } if *process == wanted)
}

#[tokio::test]
async fn a_server_whose_number_was_not_recorded_is_found() {
    let world = World::new();
    let agent = world.agent();
    let mut session = world.welcome(0).await;
    // What it starts carries the same mark, also in a group of its own.
    let order = script("setsid sleep 1000 & echo run; read line < \"$0\"; exec sleep 1000");
    let process = order.process;
    let pid = session.run(order.clone()).await;
    eventually("its child runs", || (world.log(process) == "run\n").then_some(())).await;
    agent.stop().await.unwrap();
    let path = world.state().join(format!("processes/{process}.json"));
    let record = fs::read_to_string(&path).unwrap();
    let (head, _) = record.split_once("\"phase\":").unwrap();
    for (reports_survive, report) in
        [(true, AgentReport::Adopted { process, pid }), (false, AgentReport::Launched { process, pid, port: None })]
    {
        if !reports_survive {
            fs::remove_dir_all(world.state().join("reports")).unwrap();
        }
        fs::write(&path, format!("{head}\"phase\":\"starting\"}}")).unwrap();
        let agent = world.agent();
        let mut session = world.welcome(u64::from(reports_survive)).await;
        assert_eq!(session.report().await.1, report);
        session.launch(order.clone());
        session.stop(crate::support::process_id(), 0, 0);
        assert!(matches!(session.report().await.1, AgentReport::Exited { .. }), "launched twice");
        eventually("recorded", || fs::read_to_string(&path).unwrap().contains("running").then_some(())).await;
        agent.stop().await.unwrap();
    }
}

#[tokio::test]
async fn what_an_adopted_server_leaves_is_cleared_away() {
    let world = World::new();
    let agent = world.agent();
    let mut session = world.welcome(0).await;
    // One of them hides its mark; the group gives it away.
    let order =
        script("sleep 1000 & echo $!; env -i /bin/sleep 1000 & echo $!; setsid sleep 1000 & echo $!; sleep 1000");
    let process = order.process;
    let pid = session.run(order).await;
    let left = eventually("three children", || {
        let left: Vec<u32> = world.log(process).lines().map(|line| line.parse().unwrap()).collect();
        (left.len() == 3 && left.iter().all(|pid| name_of(*pid) == "sleep")).then_some(left)
    })
    .await;
    agent.stop().await.unwrap();
    let agent = world.agent();
    let mut session = world.welcome(1).await;
    assert_eq!(session.inventory().await, [process]);
    kill(pid, Signal::KILL);
    assert_eq!(session.exit_of(process).await.0, ExitStatus::Unknown);
    for pid in left {
        eventually("it is killed", || (!is_alive(pid)).then_some(())).await;
    }
    agent.stop().await.unwrap();
}

fn name_of(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

#[tokio::test]
async fn a_process_with_the_number_of_a_server_is_left_alone() {
    let world = World::new();
    let agent = world.agent();
    let mut session = world.welcome(0).await;
    let order = script("exec sleep 1000");
    let process = order.process;
    let pid = session.run(order).await;
    agent.stop().await.unwrap();
    // As if the system had given the number to somebody else: the start is another.
    let path = world.state().join(format!("processes/{process}.json"));
    let record = fs::read_to_string(&path).unwrap();
    let (head, tail) = record.split_once("\"start_time\":").unwrap();
    fs::write(&path, format!("{head}\"start_time\":1{tail}")).unwrap();
    // Without its mark the janitor does not take it for a stray either.
    let stranger = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    let record = fs::read_to_string(&path).unwrap().replace(&pid.to_string(), &stranger.id().to_string());
    fs::write(&path, record).unwrap();
    let agent = world.agent();
    let mut session = world.welcome(1).await;
    assert_eq!(session.exit_of(process).await.0, ExitStatus::Unknown);
    session.stop(process, 0, 0);
    eventually("the real one is cleared away", || (!is_alive(pid)).then_some(())).await;
    agent.stop().await.unwrap();
    assert!(is_alive(stranger.id()));
    end(stranger);
}

fn end(mut child: std::process::Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn two_agents_do_not_share_a_state_directory() {
    let world = World::new();
    let agent = world.agent();
    let _session = world.welcome(0).await;
    let error = world.agent().result().await.unwrap_err();
    assert!(matches!(error, AgentError::StateInUse { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    assert!(text.contains("a state directory of its own"), "{text}");
    agent.stop().await.unwrap();
}
