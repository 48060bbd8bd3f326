//! Where each part of the world is, and how one is cut off from the coordinator.
//!
//! ```text
//!   namespaces   coordinator ─┐                    loopback   coordinator (127.0.0.1)
//!                host a ──────┤ bridge, in one                    ▲ a relay for each of them, which
//!                host b ──────┤ of its own                        │ forgets packets when it is told to
//!                backends ────┘                               host a · host b · backends
//! ```

mod namespaces;
mod relay;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command};

use clap::ValueEnum;

pub use namespaces::{Namespaces, PREFIX};
pub use relay::Relays;

use crate::Outcome;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Coordinator,
    HostA,
    HostB,
    Backends,
}

impl Place {
    pub const ALL: [Self; 4] = [Self::Coordinator, Self::HostA, Self::HostB, Self::Backends];
    pub const HOSTS: [Self; 2] = [Self::HostA, Self::HostB];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::HostA => "host-a",
            Self::HostB => "host-b",
            Self::Backends => "backends",
        }
    }
}

/// What is lost while a place is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Both,
    ToCoordinator,
    FromCoordinator,
}

impl Cut {
    pub const ALL: [Self; 3] = [Self::Both, Self::ToCoordinator, Self::FromCoordinator];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Both => "both ways",
            Self::ToCoordinator => "to the coordinator",
            Self::FromCoordinator => "from the coordinator",
        }
    }
}

/// How the parts are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Isolation {
    /// Namespaces where that is possible, loopback with a notice where it is not.
    Auto,
    /// A network namespace for each; needs root and `ip`.
    Namespaces,
    /// One network, and a relay in front of the coordinator for each of the others.
    Loopback,
}

pub enum Net {
    Namespaces(Namespaces),
    Loopback(Relays),
}

impl Net {
    /// Also says what it became.
    pub fn new(isolation: Isolation, run: &str, port: u16) -> Outcome<Self> {
        match isolation {
            Isolation::Loopback => Ok(Self::Loopback(Relays::start(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?)),
            Isolation::Namespaces => Ok(Self::Namespaces(Namespaces::make(run)?)),
            Isolation::Auto => match Namespaces::make(run) {
                Ok(made) => Ok(Self::Namespaces(made)),
                Err(error) => {
                    eprintln!("notice: no network namespaces here ({error}); everything is on loopback");
                    Self::new(Isolation::Loopback, run, port)
                }
            },
        }
    }

    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Namespaces(_) => "namespaces",
            Self::Loopback(_) => "loopback",
        }
    }

    /// The address of a place as the others see it.
    pub fn address(&self, place: Place) -> IpAddr {
        match (self, place) {
            (Self::Namespaces(_), place) => Namespaces::address(place).into(),
            (Self::Loopback(_), Place::HostA) => Ipv4Addr::new(127, 0, 0, 2).into(),
            (Self::Loopback(_), Place::HostB) => Ipv4Addr::new(127, 0, 0, 3).into(),
            (Self::Loopback(_), Place::Coordinator | Place::Backends) => Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// Where the coordinator is for somebody at this place.
    pub fn coordinator_for(&self, place: Place, port: u16) -> SocketAddr {
        match self {
            Self::Namespaces(_) => SocketAddr::new(self.address(Place::Coordinator), port),
            Self::Loopback(relays) => relays.front(place),
        }
    }

    /// Moves the calling thread there; what it opens and starts from here on is there.
    pub fn enter(&self, place: Place) -> Outcome<()> {
        match self {
            Self::Namespaces(namespaces) => namespaces.enter(place),
            Self::Loopback(_) => Ok(()),
        }
    }

    /// Moves the calling thread to where it reaches the coordinator whatever is cut, but the coordinator itself.
    pub fn enter_control(&self) -> Outcome<()> {
        match self {
            Self::Namespaces(namespaces) => namespaces.enter_hub(),
            Self::Loopback(_) => Ok(()),
        }
    }

    pub fn spawn(&self, place: Place, command: &mut Command) -> Outcome<Child> {
        match self {
            Self::Namespaces(namespaces) => namespaces.spawn(place, command),
            Self::Loopback(_) => Ok(command.spawn()?),
        }
    }

    pub fn cut(&self, place: Place, cut: Cut) -> Outcome<()> {
        match self {
            Self::Namespaces(namespaces) => namespaces.cut(place, cut),
            Self::Loopback(relays) => {
                relays.cut(place, cut);
                Ok(())
            }
        }
    }

    pub fn restore(&self, place: Place, cut: Cut) -> Outcome<()> {
        match self {
            Self::Namespaces(namespaces) => namespaces.restore(place, cut),
            Self::Loopback(relays) => {
                relays.restore(place);
                Ok(())
            }
        }
    }
}
