//! What a flow's rate lets through, at least and at most.

use std::time::Duration;

use super::model::Flow;

/// Datagrams that any flow may send at once.
const BURST: u64 = 32;
/// Bytes likewise.
const BURST_BYTES: u64 = 16 * 1_432;
const SECOND_NS: u128 = 1_000_000_000;

/// Whether the rate can forbid one more datagram of this length.
pub(super) fn may_forbid(flow: &Flow, len: usize) -> bool {
    let (datagrams, bytes) = (flow.claims.packets_per_second, flow.claims.bytes_per_second);
    let account = &flow.account;
    datagrams == 0 || bytes == 0 || account.tried > BURST || account.paid_bytes + len as u64 > BURST_BYTES
}

/// Whether what passed is no more than a burst, and what the rate has earned since the player's first flow was opened.
pub(super) fn is_kept(flow: &Flow, now: Duration) -> bool {
    let account = &flow.account;
    let elapsed = now.saturating_sub(account.since);
    fits(account.paid, account.paid, flow.claims.packets_per_second, BURST, elapsed)
        && fits(account.paid_bytes, account.paid, flow.claims.bytes_per_second, BURST_BYTES, elapsed)
}

/// Each of the datagrams may be rounded down by a nanosecond.
fn fits(units: u64, datagrams: u64, per_second: u32, burst_min: u64, elapsed: Duration) -> bool {
    let rate = u128::from(per_second.max(1));
    let burst = u128::from(burst_min.max(u64::from(per_second) / 4));
    let needs = u128::from(units) * SECOND_NS / rate;
    per_second > 0 && needs <= burst * SECOND_NS / rate + elapsed.as_nanos() + u128::from(datagrams) + 1
}
