//! Which port of a fleet's range a process gets.

use std::collections::BTreeSet;

use crate::limits::PORTS_PER_PROBE;

/// Walks once through an inclusive range, beginning behind the port that was given out last: a port that was just
/// freed rests as long as possible, and late datagrams for its former server do not reach the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortSearch {
    first: u16,
    last: u16,
    next: u16,
    left: u32,
}

impl PortSearch {
    /// `None` when the range is empty or holds port 0.
    pub(crate) fn new((first, last): (u16, u16), given_last: u16) -> Option<Self> {
        if first == 0 || first > last {
            return None;
        }
        let next = given_last.checked_add(1).filter(|next| (first..=last).contains(next)).unwrap_or(first);
        Some(Self { first, last, next, left: u32::from(last - first) + 1 })
    }

    /// The next ports to probe, without the ones taken; none when the walk is over.
    pub(crate) fn candidates(&mut self, taken: &BTreeSet<u16>) -> Vec<u16> {
        let mut candidates = Vec::new();
        while self.left > 0 && candidates.len() < PORTS_PER_PROBE {
            if !taken.contains(&self.next) {
                candidates.push(self.next);
            }
            self.next = if self.next == self.last { self.first } else { self.next + 1 };
            self.left -= 1;
        }
        candidates
    }

    /// For the report that the walk found nothing.
    pub(crate) fn exhausted_detail(&self, taken: &BTreeSet<u16>) -> String {
        let ours = taken.range(self.first..=self.last).count();
        format!(
            "no port from {} to {} is free: {ours} are used by processes of this agent, the others by somebody else or \
             not allowed (below 1024); widen the fleet's port range or lower its processes per host",
            self.first, self.last
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(range: (u16, u16), given_last: u16, taken: &[u16]) -> Option<Vec<u16>> {
        let taken = taken.iter().copied().collect();
        let mut search = PortSearch::new(range, given_last)?;
        let mut all = Vec::new();
        loop {
            let candidates = search.candidates(&taken);
            if candidates.is_empty() {
                return Some(all);
            }
            assert!(candidates.len() <= PORTS_PER_PROBE);
            all.extend(candidates);
        }
    }

    #[test]
    fn a_walk_visits_each_free_port_once() {
        for (range, given_last, taken, expected) in [
            ((7000, 7003), 0, [].as_slice(), Some(vec![7000, 7001, 7002, 7003])),
            ((7000, 7003), 7001, &[], Some(vec![7002, 7003, 7000, 7001])),
            ((7000, 7003), 7003, &[], Some(vec![7000, 7001, 7002, 7003])),
            ((7000, 7003), 7001, &[7003, 7000], Some(vec![7002, 7001])),
            ((7000, 7000), 7000, &[], Some(vec![7000])),
            ((7000, 7001), 0, &[7000, 7001], Some(vec![])),
            ((65_535, 65_535), 65_535, &[], Some(vec![65_535])),
            ((7001, 7000), 0, &[], None),
            ((0, 10), 0, &[], None),
        ] {
            assert_eq!(walk(range, given_last, taken), expected, "{range:?} {given_last} {taken:?}");
        }
        assert_eq!(walk((1, 65_535), 40_000, &[]).unwrap().len(), 65_535);
    }
}
