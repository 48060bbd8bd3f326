//! Network namespaces on one bridge, made with `ip`, and removed with everything in them when the run ends.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{Cut, Place};
use crate::Outcome;
use crate::leftovers::is_running;

/// All names begin with it; the run's own name follows.
const PREFIX: &str = "playgate-chaos-";
const HUB: &str = "hub";
const HUB_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Nobody has it: a frame to it is lost without a word to its sender.
const NOBODY: &str = "02:00:00:00:00:99";

/// Dropping it removes them.
pub struct Namespaces {
    run: String,
}

impl Namespaces {
    pub fn make(run: &str) -> Outcome<Self> {
        let made = Self { run: run.to_owned() }; // what was made before a failure is removed again
        let hub = made.name(HUB);
        ip(&format!("netns add {hub}"))?;
        ip(&format!("-n {hub} link set lo up"))?;
        ip(&format!("-n {hub} link add br0 type bridge"))?;
        ip(&format!("-n {hub} addr add {HUB_ADDRESS}/24 dev br0"))?;
        ip(&format!("-n {hub} link set br0 up"))?;
        for place in Place::ALL {
            let (name, address, port) = (made.name(place.as_str()), Self::address(place), place.as_str());
            ip(&format!("netns add {name}"))?;
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {hub} link add {port} type veth peer name eth0 netns {name}"))?;
            ip(&format!("-n {hub} link set {port} master br0 up"))?;
            ip(&format!("-n {name} addr add {address}/24 dev eth0"))?;
            ip(&format!("-n {name} link set eth0 up"))?;
        }
        Ok(made)
    }

    pub fn address(place: Place) -> Ipv4Addr {
        let last = match place {
            Place::Coordinator => 2,
            Place::HostA => 3,
            Place::HostB => 4,
            Place::Backends => 5,
        };
        Ipv4Addr::new(10, 77, 0, last)
    }

    pub fn enter(&self, place: Place) -> Outcome<()> {
        enter(&self.name(place.as_str()))
    }

    pub fn enter_hub(&self) -> Outcome<()> {
        enter(&self.name(HUB))
    }

    pub fn cut(&self, place: Place, cut: Cut) -> Outcome<()> {
        match self.one_way(place, cut) {
            None => ip(&format!("-n {} link set {} down", self.name(HUB), place.as_str())),
            Some((from, to)) => ip(&format!("-n {from} neigh replace {to} lladdr {NOBODY} dev eth0 nud permanent")),
        }
    }

    pub fn restore(&self, place: Place, cut: Cut) -> Outcome<()> {
        match self.one_way(place, cut) {
            None => ip(&format!("-n {} link set {} up", self.name(HUB), place.as_str())),
            Some((from, to)) => ip(&format!("-n {from} neigh del {to} dev eth0")),
        }
    }

    /// In which namespace which address cannot be reached.
    fn one_way(&self, place: Place, cut: Cut) -> Option<(String, Ipv4Addr)> {
        match cut {
            Cut::Both => None,
            Cut::ToCoordinator => Some((self.name(place.as_str()), Self::address(Place::Coordinator))),
            Cut::FromCoordinator => Some((self.name(Place::Coordinator.as_str()), Self::address(place))),
        }
    }

    fn name(&self, part: &str) -> String {
        format!("{PREFIX}{}-{part}", self.run)
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for part in Place::ALL.map(Place::as_str).into_iter().chain([HUB]) {
            let _ = ip(&format!("netns del {}", self.name(part))); // it may never have been made
        }
    }
}

/// Removes the namespaces of runs that are dead.
pub fn remove_leftovers() {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let run = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if run.is_some_and(|run| !is_running(run)) {
            let _ = ip(&format!("netns del {name}")); // somebody else was faster
        }
    }
}

fn enter(name: &str) -> Outcome<()> {
    let file = File::open(format!("/run/netns/{name}"))?;
    Ok(move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?)
}

fn ip(arguments: &str) -> Outcome<()> {
    let output = Command::new("ip").args(arguments.split(' ')).output().map_err(|error| format!("ip: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim()).into()),
    }
}
