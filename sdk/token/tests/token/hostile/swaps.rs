//! Parts of one good token in another: every region, and every pair of regions.

use super::forge::{Draft, MAIN, tag};
use super::{ACCEPT, Table};
use crate::support::{MIN_EPOCH, NOW_MS, OTHER_KEY_ID};

/// Regions in which the two tokens differ, and where they begin; the last one ends with the token.
const REGIONS: [(&str, usize); 10] = [
    ("key id", 4),
    ("epoch", 6),
    ("ordinal", 12),
    ("times", 16),
    ("player session", 64),
    ("player id", 80),
    ("player data", 100),
    ("R", 132),
    ("S", 164),
    ("tag", 196),
];

/// Where each region ends. Between the epoch and the ordinal, and between the times and the player session, both tokens
/// are the same.
const ENDS: [usize; 10] = [6, 8, 16, 32, 80, 100, 132, 164, 196, 212];

fn ann() -> Vec<u8> {
    Draft::new(700).sealed()
}

fn bob() -> Vec<u8> {
    Draft {
        key_id: OTHER_KEY_ID,
        gate_epoch: MIN_EPOCH,
        issued_at_ms: NOW_MS - 2_000,
        expires_at_ms: NOW_MS + 120_000,
        player_session: *b"\x01\x01\x97\x74\x20\xd8\x19player-43",
        player_id: b"administrator-000001".to_vec(),
        player_data: b"team=blu;skin=owl;region=us-east".to_vec(),
        ..Draft::new(701)
    }
    .sealed()
}

pub fn add(table: &mut Table) {
    let (ann, bob) = (ann(), bob());
    case(table, "ann's".to_owned(), ACCEPT, &ann);
    case(table, "bob's".to_owned(), ACCEPT, &bob);
    for first in 0..REGIONS.len() {
        swapped(table, &[first]);
        for second in first + 1..REGIONS.len() {
            swapped(table, &[first, second]);
        }
    }
    // Everything up to a boundary is ann's, and everything behind it bob's.
    for (name, from) in REGIONS.into_iter().skip(1) {
        let token = [&ann[..from], &bob[from..]].concat();
        // A tail of one or two regions is among the pairs already.
        let hex = super::to_hex(&token);
        if table.tokens.iter().all(|case| case.token != hex) {
            case(table, format!("ann's, from the {name} on bob's"), "gate_tag", &token);
        }
    }
}

fn case(table: &mut Table, name: String, expect: &str, token: &[u8]) {
    table.token("swap", name, (MAIN, NOW_MS), expect, token);
}

/// Both name this process and an epoch of the window, so the tag is the first to see it; once that is made right, the
/// signature is the only thing that binds the parts.
fn swapped(table: &mut Table, regions: &[usize]) {
    let (mut token, bob) = (ann(), bob());
    for &region in regions {
        let range = REGIONS[region].1..ENDS[region];
        token[range.clone()].copy_from_slice(&bob[range]);
    }
    let names: Vec<_> = regions.iter().map(|region| REGIONS[*region].0).collect();
    case(table, format!("ann's with bob's {}", names.join(" and ")), "gate_tag", &token);
    if !names.contains(&"tag") {
        tag(&mut token);
        case(table, format!("ann's with bob's {}, tagged again", names.join(" and ")), "signature", &token);
    }
}
