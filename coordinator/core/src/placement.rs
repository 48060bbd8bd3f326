//! Which process hosts a game session.

use playgate_protocol::{HostId, ServerProcessId};

/// A process that could host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub process: ServerProcessId,
    /// Where; none when it was started by hand.
    pub host: Option<HostId>,
    /// Processes on that host that host a game session already.
    pub hosting_on_host: u32,
}

/// Packed: the busiest host first, so that the others can be emptied; there the oldest process.
#[must_use]
pub fn choose(candidates: impl IntoIterator<Item = Candidate>) -> Option<ServerProcessId> {
    let best = candidates.into_iter().min_by_key(|c| (std::cmp::Reverse(c.hosting_on_host), c.host, c.process));
    best.map(|candidate| candidate.process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_host_is_filled_first() {
        let candidate = |process: u8, host: u8, hosting_on_host| Candidate {
            process: ServerProcessId::from_bytes([process; 16]),
            host: Some(HostId::from_bytes([host; 16])),
            hosting_on_host,
        };
        for (candidates, expected) in [
            (vec![], None),
            (vec![candidate(1, 1, 0)], Some(1)),
            (vec![candidate(1, 1, 0), candidate(2, 2, 3), candidate(3, 3, 1)], Some(2)),
            (vec![candidate(5, 2, 1), candidate(4, 2, 1), candidate(1, 3, 1)], Some(4)),
        ] {
            let expected = expected.map(|process| ServerProcessId::from_bytes([process; 16]));
            assert_eq!(choose(candidates.clone()), expected, "{candidates:?}");
        }
    }
}
