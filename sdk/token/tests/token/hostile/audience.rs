//! Good tokens at the wrong place: another process, another incarnation, another fleet, another session, another epoch.

use super::forge::{Draft, MAIN, PROCESS, SESSION, server, tag, tag_for};
use super::{ACCEPT, Table, to_hex};
use crate::spec;
use crate::support::{MASTER, NOW_MS, at, put};

const ORDINAL: u32 = 300;

pub fn add(table: &mut Table) {
    processes(table);
    sessions(table);
    epochs(table);
}

fn case(table: &mut Table, name: &str, server: &str, expect: &str, token: &[u8]) {
    table.token("audience", name.to_owned(), (server, NOW_MS), expect, token);
}

/// The same id with one part of it changed: shard, time, random.
fn near(id: [u8; 16]) -> [(&'static str, [u8; 16]); 4] {
    [("first byte", 0), ("time", 6), ("random part", 7), ("last byte", 15)].map(|(what, place)| {
        let mut id = id;
        id[place] ^= 1;
        (what, id)
    })
}

fn processes(table: &mut Table) {
    let good = Draft::new(ORDINAL).sealed();
    case(table, "at the server it was made for", MAIN, ACCEPT, &good);
    for (what, process) in near(PROCESS) {
        let there = table.server(server(&format!("process with another {what}"), |server| {
            server.process_id = to_hex(&process);
            server.gate_root = to_hex(&spec::gate_root(&MASTER, &process));
        }));
        let theirs = Draft { process, ..Draft::new(ORDINAL) }.sealed();
        case(table, &format!("for main, at the {there}"), &there, "wrong_process", &good);
        case(table, &format!("for the {there}, at main"), MAIN, "wrong_process", &theirs);
        case(table, &format!("for the {there}, at that"), &there, ACCEPT, &theirs);
        // Neither the claim alone nor the key alone makes it a token for this one.
        let mut moved = theirs.clone();
        put(&mut moved, at::SERVER_PROCESS_ID, &PROCESS);
        case(table, &format!("for the {there}, renamed to main"), MAIN, "gate_tag", &moved);
        tag(&mut moved);
        case(table, &format!("for the {there}, renamed to main, tagged again"), MAIN, "signature", &moved);
        let mut tagged_there = good.clone();
        tag_for(&mut tagged_there, &process);
        case(table, &format!("tagged under the key of the {there}"), MAIN, "gate_tag", &tagged_there);
    }
    // A process that was launched again in the same place, for the same session, has another id and other keys; so has
    // one of another fleet.
    let other_coordinator = table.server(server("same process id, another coordinator's keys", |server| {
        server.gate_root = to_hex(&spec::gate_root(&[0x11; 32], &PROCESS));
    }));
    case(table, "at a process of another coordinator", &other_coordinator, "gate_tag", &good);
    let swapped = Draft { process: SESSION, game_session: PROCESS, ..Draft::new(ORDINAL) }.sealed();
    case(table, "process and session id exchanged", MAIN, "wrong_process", &swapped);
}

fn sessions(table: &mut Table) {
    let good = Draft::new(ORDINAL).sealed();
    for (what, session) in near(SESSION) {
        let there = table.server(server(&format!("session with another {what}"), |server| {
            server.game_session_id = to_hex(&session)
        }));
        let theirs = Draft { game_session: session, ..Draft::new(ORDINAL) }.sealed();
        case(table, &format!("for main's session, where a {there} is hosted"), &there, "wrong_session", &good);
        case(table, &format!("for a {there}, where main's is hosted"), MAIN, "wrong_session", &theirs);
        case(table, &format!("for a {there}, where that is hosted"), &there, ACCEPT, &theirs);
        let mut moved = theirs.clone();
        put(&mut moved, at::GAME_SESSION_ID, &SESSION);
        tag(&mut moved);
        case(table, &format!("for a {there}, renamed, tagged again"), MAIN, "signature", &moved);
    }
    let player = Draft {
        player_session: SESSION,
        game_session: *b"\x01\x01\x97\x74\x20\xd8\x18player-42",
        ..Draft::new(ORDINAL)
    };
    case(table, "game and player session id exchanged", MAIN, "wrong_session", &player.sealed());
    let thrice = Draft { player_session: PROCESS, game_session: PROCESS, ..Draft::new(ORDINAL) };
    case(table, "one id in all three places", MAIN, "wrong_session", &thrice.sealed());
}

/// Windows of epochs, and what becomes of the epochs around their edges.
fn epochs(table: &mut Table) {
    const LAST: u16 = u16::MAX;
    let windows: [(u16, u16, &[u16], &[u16]); 8] = [
        (0, 0, &[0], &[1, LAST]),
        (0, 1, &[0, 1], &[2, LAST]),
        (0, 7, &[6, 7], &[0, 5, 8]),
        (7, 7, &[7], &[6, 8]),
        (8, 7, &[], &[6, 7, 8]),
        (8, 8, &[8], &[7, 9]),
        (0, LAST, &[LAST - 1, LAST], &[LAST - 2, 0]),
        (LAST, LAST, &[LAST], &[LAST - 1, 0]),
    ];
    for (least, current, accepted, refused) in windows {
        let there = table.server(server(&format!("epochs {least} to {current}"), |server| {
            (server.min_epoch, server.current_epoch) = (least, current);
        }));
        for (epoch, expect) in
            accepted.iter().map(|epoch| (*epoch, ACCEPT)).chain(refused.iter().map(|epoch| (*epoch, "unknown_epoch")))
        {
            let token = Draft { gate_epoch: epoch, ..Draft::new(ORDINAL) }.sealed();
            case(table, &format!("epoch {epoch} where {least} to {current} are accepted"), &there, expect, &token);
        }
    }
    // The number of another epoch is not its key.
    for (named, key_of) in [(6, 7), (7, 6), (7, 8), (7, 0), (6, 5)] {
        let mut token = Draft { gate_epoch: named, ..Draft::new(ORDINAL) }.sealed();
        spec::tag(&mut token, &spec::gate_key(&spec::gate_root(&MASTER, &PROCESS), key_of));
        case(table, &format!("epoch {named}, tagged under the key of {key_of}"), MAIN, "gate_tag", &token);
    }
    let gate_root = spec::gate_root(&MASTER, &PROCESS);
    for (name, key) in [
        ("the gate root", *gate_root.first_chunk().unwrap()),
        ("the second half of the gate root", *gate_root.last_chunk().unwrap()),
        ("the process id", PROCESS),
        ("zeros", [0; 16]),
        ("the master key", *MASTER.first_chunk().unwrap()),
    ] {
        let mut token = Draft::new(ORDINAL).sealed();
        spec::tag(&mut token, &key);
        case(table, &format!("tagged under {name}"), MAIN, "gate_tag", &token);
    }
    let good = Draft::new(ORDINAL).sealed();
    let end = good.len() - 16;
    let mut token = good.clone();
    token[end..].rotate_left(8);
    case(table, "halves of the gate tag exchanged", MAIN, "gate_tag", &token);
    let mut token = good;
    token[end..].reverse();
    case(table, "gate tag in reverse", MAIN, "gate_tag", &token);
    let mut signed_only = Draft::new(ORDINAL).sealed();
    let mut short = signed_only[..end - 64].to_vec();
    short.resize(end - 64 + 16, 0);
    tag(&mut short);
    put(&mut signed_only, end, &short[end - 64..]);
    case(table, "gate tag that leaves out the signature", MAIN, "gate_tag", &signed_only);
    let mut unsigned = Draft::new(ORDINAL).bare();
    tag(&mut unsigned);
    case(table, "a tag, but zeros for a signature", MAIN, "small_order", &unsigned);
}
