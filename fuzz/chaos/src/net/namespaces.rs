//! Network namespaces on one bridge.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::{Child, Command};

use playgate_netns::Namespace;

use super::{Cut, Place};
use crate::Outcome;

/// All names begin with it; the run's own name follows.
pub const PREFIX: &str = "playgate-chaos-";
const HUB: &str = "hub";
const HUB_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Nobody has it: a frame to it is lost without a word to its sender.
const NOBODY: &str = "02:00:00:00:00:99";

/// Dropping it removes them.
pub struct Namespaces {
    hub: Namespace,
    places: BTreeMap<Place, Namespace>,
}

impl Namespaces {
    pub fn make(run: &str) -> Outcome<Self> {
        let hub = Namespace::add(format!("{PREFIX}{run}-{HUB}"))?;
        hub.ip("link add br0 type bridge")?;
        hub.ip(&format!("addr add {HUB_ADDRESS}/24 dev br0"))?;
        hub.ip("link set br0 up")?;
        let mut places = BTreeMap::new();
        for place in Place::ALL {
            let (address, port) = (Self::address(place), place.as_str());
            let made = Namespace::add(format!("{PREFIX}{run}-{port}"))?;
            hub.ip(&format!("link add {port} type veth peer name eth0 netns {}", made.name()))?;
            hub.ip(&format!("link set {port} master br0 up"))?;
            made.ip(&format!("addr add {address}/24 dev eth0"))?;
            made.ip("link set eth0 up")?;
            places.insert(place, made);
        }
        Ok(Self { hub, places })
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
        Ok(self.places[&place].enter()?)
    }

    pub fn enter_hub(&self) -> Outcome<()> {
        Ok(self.hub.enter()?)
    }

    pub fn spawn(&self, place: Place, command: &mut Command) -> Outcome<Child> {
        Ok(self.places[&place].spawn(command)?)
    }

    pub fn cut(&self, place: Place, cut: Cut) -> Outcome<()> {
        let done = match self.one_way(place, cut) {
            None => self.hub.ip(&format!("link set {} down", place.as_str())),
            Some((from, to)) => from.ip(&format!("neigh replace {to} lladdr {NOBODY} dev eth0 nud permanent")),
        };
        Ok(done?)
    }

    pub fn restore(&self, place: Place, cut: Cut) -> Outcome<()> {
        let done = match self.one_way(place, cut) {
            None => self.hub.ip(&format!("link set {} up", place.as_str())),
            Some((from, to)) => from.ip(&format!("neigh del {to} dev eth0")),
        };
        Ok(done?)
    }

    /// In which namespace which address cannot be reached.
    fn one_way(&self, place: Place, cut: Cut) -> Option<(&Namespace, Ipv4Addr)> {
        match cut {
            Cut::Both => None,
            Cut::ToCoordinator => Some((&self.places[&place], Self::address(Place::Coordinator))),
            Cut::FromCoordinator => Some((&self.places[&Place::Coordinator], Self::address(place))),
        }
    }
}
