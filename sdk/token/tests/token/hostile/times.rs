//! Every boundary of time: issued at, expires at and now, at the ends of what a number holds, and where other
//! representations of time wrap or round.

use super::forge::{Draft, MAIN, tag};
use super::{ACCEPT, Table};
use crate::support::NOW_MS;

const HOUR: u64 = 3_600_000;
const MAX: u64 = u64::MAX;
/// Where a double stops to hold every integer.
const DOUBLE: u64 = 1 << 53;
const SIGN: u64 = 1 << 63;

/// Issued at, expires at, and what is said at which now.
type Row = (&'static str, u64, u64, &'static [(u64, &'static str)]);

const ROWS: &[Row] = &[
    // There is no "not before": a token from the future shows that this clock is behind.
    (
        "a minute",
        NOW_MS,
        NOW_MS + 60_000,
        &[
            (0, ACCEPT),
            (NOW_MS - HOUR, ACCEPT),
            (NOW_MS - 1, ACCEPT),
            (NOW_MS, ACCEPT),
            (NOW_MS + 1, ACCEPT),
            (NOW_MS + 59_999, ACCEPT),
            (NOW_MS + 60_000, "expired"),
            (NOW_MS + 60_001, "expired"),
            (NOW_MS + HOUR, "expired"),
            (MAX, "expired"),
        ],
    ),
    ("a millisecond", NOW_MS, NOW_MS + 1, &[(NOW_MS, ACCEPT), (NOW_MS + 1, "expired")]),
    ("an hour", NOW_MS, NOW_MS + HOUR, &[(NOW_MS + HOUR - 1, ACCEPT), (NOW_MS + HOUR, "expired")]),
    ("an hour and a millisecond", NOW_MS, NOW_MS + HOUR + 1, &[(NOW_MS, "lifetime"), (MAX, "lifetime")]),
    ("a day", NOW_MS, NOW_MS + 24 * HOUR, &[(NOW_MS, "lifetime")]),
    ("no time", NOW_MS, NOW_MS, &[(NOW_MS - 1, "lifetime"), (NOW_MS, "lifetime")]),
    ("a millisecond backwards", NOW_MS + 1, NOW_MS, &[(NOW_MS - 1, "lifetime"), (NOW_MS, "lifetime")]),
    ("the first millisecond", 0, 1, &[(0, ACCEPT), (1, "expired")]),
    ("nothing at the beginning", 0, 0, &[(0, "lifetime")]),
    ("the first hour", 0, HOUR, &[(HOUR - 1, ACCEPT)]),
    ("all the time there is", 0, MAX, &[(NOW_MS, "lifetime")]),
    ("the last hour", MAX - HOUR, MAX, &[(0, ACCEPT), (MAX - 1, ACCEPT), (MAX, "expired")]),
    ("the last millisecond", MAX - 1, MAX, &[(MAX - 2, ACCEPT), (MAX - 1, ACCEPT), (MAX, "expired")]),
    ("nothing at the end", MAX, MAX, &[(0, "lifetime")]),
    // The difference is 1 ms, or an hour, if it wraps.
    ("a millisecond around the end", MAX, 0, &[(0, "lifetime")]),
    ("an hour around the end", MAX - HOUR + 6, 5, &[(0, "lifetime")]),
    // Signed numbers turn negative here.
    ("around half of all time", SIGN - 1, SIGN, &[(SIGN - 1, ACCEPT), (SIGN, "expired"), (0, ACCEPT)]),
    ("behind half of all time", SIGN, SIGN + 1, &[(SIGN, ACCEPT), (NOW_MS, ACCEPT), (SIGN + 1, "expired")]),
    // A difference that is negative as a signed number, and the other way round.
    ("half of all time backwards", SIGN + 1, 0, &[(0, "lifetime")]),
    ("from one half of all time to the other", 1, SIGN + 2, &[(0, "lifetime")]),
    // 32 bits hold too little.
    ("behind 2^32 ms", 1 << 32, (1 << 32) + 5, &[((1 << 32) + 4, ACCEPT), (1 << 33, "expired")]),
    ("2^32 ms and one", NOW_MS, NOW_MS + (1 << 32) + 1, &[(NOW_MS, "lifetime")]),
    // A double rounds one of the two to the other.
    ("around 2^53", DOUBLE, DOUBLE + 1, &[(DOUBLE, ACCEPT), (DOUBLE + 1, "expired")]),
    ("an hour and a millisecond at 2^53", DOUBLE, DOUBLE + HOUR + 1, &[(DOUBLE, "lifetime")]),
    // Other units.
    ("in seconds", NOW_MS / 1_000, NOW_MS / 1_000 + 60, &[(NOW_MS, "expired")]),
    ("in microseconds", NOW_MS * 1_000, (NOW_MS + 60_000) * 1_000, &[(NOW_MS, "lifetime")]),
    ("in big-endian", NOW_MS.swap_bytes(), (NOW_MS + 60_000).swap_bytes(), &[(NOW_MS, "lifetime")]),
];

pub fn add(table: &mut Table) {
    for &(what, issued_at_ms, expires_at_ms, nows) in ROWS {
        let token = Draft { issued_at_ms, expires_at_ms, ..Draft::new(200) }.sealed();
        for &(now_ms, expect) in nows {
            table.token("time", format!("lives for {what}, seen at {now_ms}"), (MAIN, now_ms), expect, &token);
        }
    }
    // Somebody with the gate key gives himself time: the signature is of the old times.
    let mut longer = Draft { expires_at_ms: NOW_MS, ..Draft::new(200) }.sealed();
    longer[24..32].copy_from_slice(&(NOW_MS + 60_000).to_le_bytes());
    tag(&mut longer);
    table.token("time", "expiry moved a minute, tagged again".to_owned(), (MAIN, NOW_MS), "signature", &longer);
}
