//! From an order to a process and its end.

use std::fs;
use std::net::UdpSocket;

use playgate_protocol::List;
use playgate_protocol::agent::{AgentReport, ExitStatus, LaunchError, LaunchOrder};

use crate::support::{World, arg, eventually, exists, name, order, process_id, script};

#[tokio::test]
async fn a_server_lives_and_dies_on_record() {
    let world = World::new();
    let agent = world.agent();
    let mut session = world.welcome(0).await;
    assert_eq!(session.inventory().await, []);
    let order = script("echo it runs; read line < \"$0\"; echo \"error: $line\" >&2; exit 3");
    let fifo = world.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let argv = order.argv.iter().cloned().chain([arg(&fifo)]);
    let order = LaunchOrder { argv: List::first_of(argv), ..order };
    let process = order.process;
    let pid = session.run(order).await;
    let credential = world.state().join(format!("credentials/{process}"));
    assert!(credential.exists());
    eventually("output in the log", || (world.log(process) == "it runs\n").then_some(())).await;

    fs::write(&fifo, "the map is missing\n").unwrap();
    let (status, tail) = session.exit_of(process).await;
    assert_eq!((status, tail.as_str()), (ExitStatus::Code(3), "it runs error: the map is missing"));
    assert!(!exists(pid), "a zombie is left");
    assert!(!credential.exists());
    assert!(!world.state().join(format!("processes/{process}.json")).exists());
    assert_eq!(world.log(process), "it runs\nerror: the map is missing\n");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn the_way_of_an_end_is_told() {
    let world = World::new();
    let agent = world.agent();
    let mut session = world.welcome(0).await;
    for (lines, status, tail) in [
        ("echo fine; exit 0", ExitStatus::Code(0), "fine"),
        ("echo bad; exit 255", ExitStatus::Code(255), "bad"),
        ("echo worse; kill -SEGV $$", ExitStatus::Signal(11), "worse"),
        ("printf 'a\\033[31mb\\377'; exit 1", ExitStatus::Code(1), "a [31mb\u{fffd}"),
    ] {
        let order = script(lines);
        let process = order.process;
        session.run(order).await;
        assert_eq!(session.exit_of(process).await, (status, tail.to_owned()), "{lines}");
    }
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn templates_are_filled_in() {
    let world = World::new();
    let agent = world.agent();
    let mut session = world.welcome(0).await;
    let argv =
        ["/bin/sh", "-c", "printf '%s|' \"$@\" \"$MAP\"; exit 1", "sh", "{port}", "{name} {fleet} {host}", "{map}"];
    let order = LaunchOrder {
        properties: List::first_of([(name("map"), arg("$(reboot) {port}"))]),
        env: List::first_of([(name("MAP"), arg("<{map}>"))]),
        ports: Some((41_000, 41_999)),
        ..order(&argv)
    };
    let process = order.process;
    session.launch(order);
    let (1, AgentReport::Launched { port: Some(port), .. }) = session.report().await else { panic!() };
    let (_, tail) = session.exit_of(process).await;
    assert_eq!(tail, format!("{port}|arena-1 arena box-1|$(reboot) {{port}}|<$(reboot) {{port}}>|"));
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_launched_is_reported_with_a_remedy() {
    let world = World::new();
    let agent = world.agent();
    let mut session = world.welcome(0).await;
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let here = world.dir.path().display().to_string();
    let plain = world.path("plain");
    fs::write(&plain, "text").unwrap();
    for (order, expected, remedy) in [
        (order(&["./no-such-server"]), LaunchError::ExecutableMissing, "correct the fleet's command"),
        (order(&[&plain]), LaunchError::ExecutableNotExecutable, "chmod +x"),
        (order(&[&here]), LaunchError::ExecutableNotExecutable, "is not a file"),
        (order(&["true", "{mpa}"]), LaunchError::BadTemplate, "{mpa} is unknown"),
        (
            LaunchOrder { working_dir: Some(arg("/no/such/dir")), ..order(&["true"]) },
            LaunchError::WorkingDirectoryMissing,
            "/no/such/dir cannot be entered",
        ),
        (
            LaunchOrder { ports: Some((port, port)), ..order(&["true"]) },
            LaunchError::PortsExhausted,
            "widen the fleet's port range",
        ),
    ] {
        let wanted = order.process;
        session.launch(order);
        let (_, AgentReport::LaunchFailed { process, error, detail }) = session.report().await else { panic!() };
        assert_eq!((process, error), (wanted, expected), "{detail}");
        assert!(detail.contains(remedy), "{detail}");
    }
    let left = |dir: &str| fs::read_dir(world.state().join(dir)).unwrap().count();
    assert_eq!((left("processes"), left("credentials")), (0, 0));
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn two_servers_never_get_the_same_port() {
    let world = World::new();
    let agent = world.agent();
    let mut session = world.welcome(0).await;
    // Nobody listens on them: only the agent knows that they are taken. Some may be used by others on this machine.
    let mut ports = Vec::new();
    let mut exhausted = 0;
    for _ in 0..6 {
        session.launch(LaunchOrder { ports: Some((42_100, 42_103)), ..order(&["sleep", "1000"]) });
    }
    for _ in 0..6 {
        match session.report().await.1 {
            AgentReport::Launched { port, .. } => ports.push(port.unwrap()),
            AgentReport::LaunchFailed { error: LaunchError::PortsExhausted, .. } => exhausted += 1,
            other => panic!("{other:?}"),
        }
    }
    let launched = ports.len();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!((ports.len(), launched + exhausted), (launched, 6));
    assert!(exhausted >= 2 && ports.iter().all(|port| (42_100..=42_103).contains(port)), "{ports:?}");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn an_order_that_comes_again_does_nothing() {
    let world = World::new();
    let agent = world.agent();
    let mut session = world.welcome(0).await;
    let runs = script("echo run; read line");
    let ends = script("echo run; exit 1");
    for _ in 0..3 {
        session.launch(runs.clone());
        session.launch(ends.clone());
    }
    assert_eq!(session.exit_of(ends.process).await.1, "run");
    session.launch(ends.clone());
    // The answer to this stop comes after everything that the orders before it could cause.
    let unknown = process_id();
    session.stop(unknown, 0, 0);
    assert_eq!(session.exit_of(unknown).await.0, ExitStatus::Unknown);
    assert_eq!(world.log(ends.process), "run\n");
    eventually("the other one runs", || (world.log(runs.process) == "run\n").then_some(())).await;
    agent.stop().await.unwrap();
}
