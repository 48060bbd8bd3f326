//! A disk without room under the coordinator: its data on a file system of limited size, which is filled under load.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use playgate_client::NewGameSession;
use playgate_protocol::api::ErrorCode;

use crate::Outcome;
use crate::compare::{Findings, Kind};
use crate::load::Shared;
use crate::rng::Rng;
use crate::world::{FLEET, GRACE, PATIENCE, World};

/// Room for the low water of 64 MiB and the ballast of 16 MiB, and for a run's rows.
const SIZE: &str = "size=192m";
const LOW_BYTES: u64 = 40 * 1024 * 1024;
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// What happened on the full disk.
#[derive(Debug, Default, Clone, Copy)]
pub struct Figures {
    pub rounds: u64,
    /// Calls that were refused because the disk is nearly full.
    pub refused: u64,
    /// Times that the coordinator had ended itself, because a commit found no room, and was started again.
    pub restarts: u64,
}

/// Whether this machine lets us.
pub fn is_possible() -> bool {
    rustix::process::geteuid().is_root()
}

/// The whole story, from the move to the small disk to the move back.
pub async fn round(world: &mut World, shared: &Shared, rng: &mut Rng, figures: &mut Figures) -> Outcome<Findings> {
    let (disk, aside) = (world.data(), world.setup.dir.join("data-aside"));
    let mut findings = Findings::new();
    let mut wrong = |what: &str| {
        findings.insert((Kind::Process, what.to_owned()));
    };
    if !world.stop_coordinator().await? {
        wrong("the coordinator was asked to end and ended badly");
    }
    fs::rename(&disk, &aside)?;
    fs::create_dir(&disk)?;
    mount(&disk)?;
    copy_all(&aside, &disk)?;
    world.start_coordinator().await?;
    world.recovered().await?;

    let refused_before = shared.store_full.load(Ordering::Relaxed);
    let filler = disk.join("filler");
    fill(&filler, LOW_BYTES)?;
    refuses_new_facts(world, rng).await?;
    fill(&filler, 0)?;
    // A commit that finds no room ends the process, and a supervisor starts it again. The load runs on meanwhile.
    let full_until = Instant::now() + rng.millis(500, 2_500);
    while Instant::now() < full_until {
        supervise(world, figures).await?;
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    fs::remove_file(&filler)?;
    let given_up = Instant::now() + PATIENCE;
    while !supervise(world, figures).await? {
        if Instant::now() > given_up {
            return Err("the disk has room again, and the coordinator does not start".into());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    takes_new_facts(world, rng, figures).await?;
    world.recovered().await?;
    figures.rounds += 1;
    figures.refused += shared.store_full.load(Ordering::Relaxed) - refused_before;

    if !world.stop_coordinator().await? {
        wrong("the coordinator was asked to end and ended badly after a full disk");
    }
    fs::remove_dir_all(&aside)?;
    copy_all(&disk, &aside)?;
    unmount(&disk);
    fs::remove_dir(&disk)?;
    fs::rename(&aside, &disk)?;
    world.start_coordinator().await?;
    Ok(findings)
}

/// With little room: a definite no to what is new, while reads and ends go on.
async fn refuses_new_facts(world: &World, rng: &mut Rng) -> Outcome<()> {
    let deadline = Instant::now() + PATIENCE;
    let operator = world.operator.within(Duration::from_secs(5));
    loop {
        let key = format!("disk-{:x}", rng.next());
        let new = NewGameSession::new(FLEET, 2).idempotency_key(&key).placement_timeout(Duration::ZERO);
        match operator.create_game_session(new).await {
            Err(error) if error.code() == Some(ErrorCode::StoreFull) => break,
            _ if Instant::now() > deadline => return Err("a nearly full disk takes new facts".into()),
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
    let live = operator.list_game_sessions(None, None).await?; // reads go on
    for session in live.iter().filter(|session| session.terminated_ms.is_none()).take(2) {
        operator.terminate_game_session(session.id, GRACE).await?; // and so do ends
    }
    Ok(())
}

async fn takes_new_facts(world: &mut World, rng: &mut Rng, figures: &mut Figures) -> Outcome<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        supervise(world, figures).await?;
        let operator = world.operator.within(Duration::from_secs(5));
        let key = format!("disk-{:x}", rng.next());
        let new = NewGameSession::new(FLEET, 2).idempotency_key(&key).placement_timeout(Duration::ZERO);
        match operator.create_game_session(new).await {
            Ok(made) => {
                operator.terminate_game_session(made.id, GRACE).await?;
                return Ok(());
            }
            Err(error) if error.code() == Some(ErrorCode::FleetCapacityExceeded) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(format!("the disk has room again, and new facts are refused: {error}").into());
            }
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// Starts the coordinator again where it has ended, as a service manager does. Whether it runs.
async fn supervise(world: &mut World, figures: &mut Figures) -> Outcome<bool> {
    if world.coordinator_runs()? {
        return Ok(true);
    }
    figures.restarts += 1;
    tokio::time::sleep(RESTART_PAUSE).await;
    world.try_start_coordinator().await
}

/// Writes until only so many bytes are free.
fn fill(path: &Path, leave: u64) -> Outcome<()> {
    let mut file = File::options().create(true).append(true).open(path)?;
    let block = vec![0x5a; 64 * 1024];
    loop {
        let disk = rustix::fs::statvfs(path)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let Some(room) = free.checked_sub(leave).filter(|room| *room > 0) else { return Ok(()) };
        let part = usize::try_from(room).unwrap_or(usize::MAX).min(block.len());
        match file.write_all(&block[..part]) {
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
            written => written?,
        }
    }
}

fn copy_all(from: &Path, to: &Path) -> Outcome<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

fn mount(at: &Path) -> Outcome<()> {
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", SIZE, "playgate-chaos"]).arg(at).status()?;
    if status.success() { Ok(()) } else { Err(format!("no file system can be mounted on {}", at.display()).into()) }
}

/// Does nothing where nothing is mounted.
pub fn unmount(at: &Path) {
    if mounted().iter().any(|mounted| mounted == at) {
        let _ = Command::new("umount").arg("--lazy").arg(at).status(); // the next run tries again
    }
}

fn mounted() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let ours = table.lines().filter(|line| line.contains(" playgate-chaos "));
    ours.filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

/// Unmounts what runs that are dead have left, and removes their directories.
pub fn remove_leftovers(prefix: &str) {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.strip_prefix(prefix).is_some_and(|run| !playgate_netns::process::is_running(run)) {
            unmount(&entry.path().join("data"));
            let _ = fs::remove_dir_all(entry.path()); // somebody else was faster
        }
    }
}
