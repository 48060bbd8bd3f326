//! The namespaces, the links between them, and what the links count.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use playgate_netns::{Namespace, process};

/// Names of namespaces begin with it.
pub const PREFIX: &str = "playgate-flood-";
const RELAY_PORT: u16 = 4_000;

/// Who is at the other end of a link of the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Also everybody whose address is forged.
    Attacker,
    /// Honest ones.
    Players,
    /// Game servers.
    Servers,
}

impl Side {
    const ALL: [Self; 3] = [Self::Attacker, Self::Players, Self::Servers];

    const fn name(self) -> &'static str {
        match self {
            Self::Attacker => "attacker",
            Self::Players => "players",
            Self::Servers => "servers",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Attacker => 1,
            Self::Players => 2,
            Self::Servers => 3,
        }
    }

    /// Its own address.
    #[must_use]
    pub const fn address(self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 66, self.number(), 2))
    }

    /// The relay, as it is seen from there.
    #[must_use]
    pub const fn relay(self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 66, self.number(), 1)), RELAY_PORT)
    }
}

/// Dropping it removes everything.
#[derive(Debug)]
pub struct World {
    relay: Namespace,
    sides: [Namespace; 3],
}

impl World {
    /// Makes the namespaces; those of runs that died are removed.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn make() -> io::Result<Self> {
        playgate_netns::remove_leftovers(PREFIX);
        let run = process::this_run();
        // A process may have several worlds, one after the other or at once.
        static WORLDS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let world = WORLDS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let add = |part: &str| Namespace::add(format!("{PREFIX}{run}-{world}-{part}"));
        let relay = add("relay")?;
        let [attacker, players, servers] = Side::ALL.map(|side| add(side.name()));
        let made = Self { relay, sides: [attacker?, players?, servers?] };
        Side::ALL.into_iter().try_for_each(|side| made.link(side))?;
        // Whoever is nobody is behind the attacker, and may come from there.
        made.relay.ip(&format!("route add default via {}", Side::Attacker.address()))?;
        made.relay.within(|| {
            ["all", Side::Attacker.name()]
                .iter()
                .try_for_each(|name| std::fs::write(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"), "0"))
        })?;
        Ok(made)
    }

    /// Neighbours are written down and IPv6 is off, so that links carry nothing but what is sent for a reason.
    fn link(&self, side: Side) -> io::Result<()> {
        let (name, number, other) = (side.name(), side.number(), self.side(side));
        let (here, there) = (side.relay().ip(), side.address());
        let [mac_here, mac_there] = [1, 2].map(|end| format!("02:00:00:00:{number:02}:{end:02}"));
        let peer = format!("peer name eth0 address {mac_there} netns {}", other.name());
        self.relay.ip(&format!("link add {name} address {mac_here} type veth {peer}"))?;
        for (namespace, device, own, neighbour, mac) in
            [(&self.relay, name, here, there, mac_there), (other, "eth0", there, here, mac_here)]
        {
            namespace.ip(&format!("link set {device} addrgenmode none"))?;
            namespace.ip(&format!("link set {device} gso_max_segs 1"))?; // a link counts packets, not messages
            namespace.ip(&format!("addr add {own}/24 dev {device}"))?;
            namespace.ip(&format!("link set {device} up"))?;
            namespace.ip(&format!("neigh replace {neighbour} lladdr {mac} dev {device} nud permanent"))?;
        }
        Ok(())
    }

    /// The relay's namespace.
    #[must_use]
    pub const fn relay(&self) -> &Namespace {
        &self.relay
    }

    /// Somebody else's.
    #[must_use]
    pub const fn side(&self, side: Side) -> &Namespace {
        &self.sides[side.number() as usize - 1]
    }

    /// The relay's path to a side takes no longer packets than this from here on.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn narrow(&self, side: Side, mtu: u16) -> io::Result<()> {
        let number = side.number();
        self.relay.ip(&format!("route replace 10.66.{number}.0/24 dev {} mtu {mtu}", side.name()))
    }

    /// What the attacker's link has carried so far.
    ///
    /// # Errors
    /// The system's.
    pub fn attackers_link(&self) -> io::Result<Link> {
        let text = self.side(Side::Attacker).within(|| std::fs::read_to_string("/proc/thread-self/net/dev"))?;
        let line = text.lines().find_map(|line| line.trim().strip_prefix("eth0:"));
        let numbers: Vec<u64> =
            line.unwrap_or_default().split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect();
        match numbers[..] {
            [out_bytes, out_packets, _, _, _, _, _, _, in_bytes, in_packets, ..] => {
                Ok(Link { in_packets, in_bytes, out_packets, out_bytes })
            }
            _ => Err(io::Error::other("the attacker's namespace has no eth0")),
        }
    }
}

/// Packets and bytes, with their Ethernet headers, as the relay's machine sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Link {
    /// To the relay.
    pub in_packets: u64,
    /// Likewise.
    pub in_bytes: u64,
    /// From the relay.
    pub out_packets: u64,
    /// Likewise.
    pub out_bytes: u64,
}

impl Link {
    /// What came on top of an earlier look.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            in_packets: self.in_packets - before.in_packets,
            in_bytes: self.in_bytes - before.in_bytes,
            out_packets: self.out_packets - before.out_packets,
            out_bytes: self.out_bytes - before.out_bytes,
        }
    }
}
