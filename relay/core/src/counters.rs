//! What was done with datagrams, in plain numbers: one core writes them, and whoever shows them copies them.

/// Why a datagram went nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// Neither a handshake datagram nor one of a flow, or from port 0, to which nothing can be sent.
    Malformed,
    /// A kind that only a relay sends.
    WrongKind,
    /// More HELLOs than this core answers.
    HelloRate,
    /// A cookie that is too old, or of the future.
    CookieAge,
    /// A cookie that was not made here for this address.
    CookieMac,
    /// More OPENs with one cookie than a player sends.
    OpenRepeated,
    /// More OPENs than this core, or this source prefix, may cause.
    OpenRate,
    /// A pass of a secret that this relay does not have.
    PassSecret,
    /// A pass that does not open.
    PassSeal,
    /// An OPEN whose sender does not hold the flow key.
    OpenProof,
    /// An OPEN older than the one that opened the flow.
    OpenStale,
    /// A datagram for another core of this relay.
    WrongCore,
    /// A datagram of a flow that is no more, or never was.
    UnknownFlow,
    /// A wrong tag.
    Tag,
    /// A sequence number that was taken before, or is too old.
    Replay,
    /// More datagrams or bytes than the pass allows.
    FlowRate,
    /// A payload that is too long, from either side.
    TooLong,
    /// A path response that answers nothing.
    PathResponse,
    /// What a server sent to a flow that has ended.
    DownUnknownFlow,
}

impl DropReason {
    /// Every reason: `ALL[reason as usize] == reason`.
    pub const ALL: [Self; 19] = [
        Self::Malformed,
        Self::WrongKind,
        Self::HelloRate,
        Self::CookieAge,
        Self::CookieMac,
        Self::OpenRepeated,
        Self::OpenRate,
        Self::PassSecret,
        Self::PassSeal,
        Self::OpenProof,
        Self::OpenStale,
        Self::WrongCore,
        Self::UnknownFlow,
        Self::Tag,
        Self::Replay,
        Self::FlowRate,
        Self::TooLong,
        Self::PathResponse,
        Self::DownUnknownFlow,
    ];

    /// The name used in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::WrongKind => "wrong_kind",
            Self::HelloRate => "hello_rate",
            Self::CookieAge => "cookie_age",
            Self::CookieMac => "cookie_mac",
            Self::OpenRepeated => "open_repeated",
            Self::OpenRate => "open_rate",
            Self::PassSecret => "pass_secret",
            Self::PassSeal => "pass_seal",
            Self::OpenProof => "open_proof",
            Self::OpenStale => "open_stale",
            Self::WrongCore => "wrong_core",
            Self::UnknownFlow => "unknown_flow",
            Self::Tag => "tag",
            Self::Replay => "replay",
            Self::FlowRate => "flow_rate",
            Self::TooLong => "too_long",
            Self::PathResponse => "path_response",
            Self::DownUnknownFlow => "down_unknown_flow",
        }
    }
}

/// Since the start. Bytes are of payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Datagrams forwarded to servers.
    pub up_datagrams: u64,
    /// Their payload.
    pub up_bytes: u64,
    /// Datagrams forwarded to players.
    pub down_datagrams: u64,
    /// Their payload.
    pub down_bytes: u64,
    /// HELLOs that were answered.
    pub cookies: u64,
    /// Flows opened, reopened ones included.
    pub opened: u64,
    /// Flows that were opened anew by their player.
    pub reopened: u64,
    /// OPENs that were refused with a reason.
    pub refused: u64,
    /// Flows whose player moved to another address.
    pub moved: u64,
    /// PINGs answered.
    pub pings: u64,
    /// RESETs sent.
    pub resets: u64,
    drops: [u64; DropReason::ALL.len()],
}

impl Counters {
    pub(crate) fn dropped(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }

    /// Adds what another core did.
    pub fn add(&mut self, other: &Self) {
        let Self { up_datagrams, up_bytes, down_datagrams, down_bytes, cookies, opened, .. } = self;
        let Self { reopened, refused, moved, pings, resets, drops, .. } = other;
        for (ours, theirs) in [
            (up_datagrams, other.up_datagrams),
            (up_bytes, other.up_bytes),
            (down_datagrams, other.down_datagrams),
            (down_bytes, other.down_bytes),
            (cookies, other.cookies),
            (opened, other.opened),
        ] {
            *ours += theirs;
        }
        self.reopened += reopened;
        self.refused += refused;
        self.moved += moved;
        self.pings += pings;
        self.resets += resets;
        self.drops.iter_mut().zip(drops).for_each(|(ours, theirs)| *ours += theirs);
    }

    /// Datagrams dropped for this reason.
    #[must_use]
    pub const fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Datagrams dropped for whatever reason.
    #[must_use]
    pub fn drops_total(&self) -> u64 {
        self.drops.iter().sum()
    }
}
