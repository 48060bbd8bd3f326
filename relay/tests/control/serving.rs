//! What a relay does with what its coordinator says, and without a coordinator.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use playgate_client::relay::{RelayError, RelaySocket};
use playgate_protocol::limits::RELAY_LIST_MAX;
use playgate_protocol::relay::{RelayAccess, RelaySecret};
use playgate_protocol::{PlayerSessionId, ServerProcessId};

use crate::players::{self, PATIENCE, id, server};
use crate::world::*;

#[tokio::test]
async fn secrets_are_saved_before_they_are_used_or_confirmed() {
    let world = World::new();
    let relay = world.relay();
    let mut session = world.welcome().await;
    let at = session.told().0[0];
    assert_eq!(session.beat(|_| true).await.secret, 0);
    // The disk refuses: a directory is where the file is made.
    let obstacle = world.state().join(".secrets.json.new");
    fs::create_dir(&obstacle).unwrap();
    session.give(1, SECRET);
    for _ in 0..2 {
        assert_eq!(session.beat(|_| true).await.secret, 0);
    }
    let early = [players::access(1, at, server("127.0.0.1:0"))];
    let refused = RelaySocket::open(&early, Duration::from_secs(1)).await;
    assert!(matches!(refused, Err(RelayError::TimedOut)), "not used either");
    fs::remove_dir(&obstacle).unwrap();
    session.beat(|beat| beat.secret == 1).await;
    assert!(world.read("secrets.json").contains("\"number\":1"));
    say(&open(1, at, server("127.0.0.1:0")).await, "hello").await;
    session.give(2, [2; 32]);
    session.beat(|beat| beat.secret == 2).await;
    assert!(world.read("secrets.json").contains("\"number\":2"));
    let socket = RelaySocket::open(&[access(2, at, server("127.0.0.1:0"), 2)], PATIENCE).await.unwrap();
    say(&socket, "hello").await;
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn a_relay_serves_after_its_own_restart_without_a_coordinator() {
    let world = World::new();
    let relay = world.relay();
    let mut session = world.welcome().await;
    let at = session.set_up().await;
    let here = server("127.0.0.1:0");
    let (player, outcast) = (open(1, at, here).await, open(2, at, here).await);
    say(&player, "before").await;
    say(&outcast, "before").await;
    session.revoke(2);
    let error = outcast.recv(&mut [0; 64]).await.unwrap_err();
    assert!(matches!(error, RelayError::Refused(_)), "{error}");
    world.status(|status| status.revoked == 1).await;
    relay.kill().await;
    // Its player notices by a reset, which needs the key of the former run.
    let relay = world.relay_alone(at);
    say(&player, "after, and long enough to be answered by a reset").await;
    say(&open(3, at, here).await, "somebody else").await;
    assert_revoked(2, at, here).await;
    let status = world.status(|status| status.problem.is_some()).await;
    assert_eq!((status.secret, status.revoked, status.linked), (1, 1, false));
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn a_torn_last_revocation_is_ignored() {
    let world = World::new();
    let relay = world.relay();
    let mut session = world.welcome().await;
    let at = session.set_up().await;
    session.revoke(1);
    session.revoke(2);
    world.status(|status| status.revoked == 2).await;
    relay.kill().await;
    let whole = world.read("revoked");
    assert_eq!(whole.lines().count(), 2);
    fs::write(world.state().join("revoked"), &whole[..whole.len() - 3]).unwrap();
    let relay = world.relay_alone(at);
    let here = server("127.0.0.1:0");
    world.status(|status| status.revoked == 1).await;
    assert_revoked(1, at, here).await;
    say(&open(2, at, here).await, "hello").await;
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn all_flows_are_told_when_a_link_comes_up_and_others_as_they_open() {
    let world = World::new();
    let relay = world.relay();
    let mut session = world.welcome().await;
    let at = session.set_up().await;
    let here = server("127.0.0.1:0");
    let mut players = Vec::new();
    for number in 0..3 {
        players.push(open(number, at, here).await);
    }
    let ids: Vec<_> = (0..3).map(id).collect();
    assert_eq!(session.flows(3).await, ids);
    let told = session.beat(|beat| beat.flows == 3).await;
    assert!(told.flows_max >= 3 && !told.is_draining);
    session.close();
    // While nobody listens one goes and one comes.
    players.remove(0).close().await;
    players.push(open(3, at, here).await);
    let mut session = world.welcome().await;
    let mut heard = BTreeSet::new();
    while heard.len() < 3 || !heard.contains(&id(3)) {
        heard.extend(session.flows(1).await);
    }
    assert!(heard.is_superset(&[id(1), id(2), id(3)].into()), "{heard:?}");
    players.push(open(4, at, here).await);
    let flow = session.players().await;
    assert_eq!(flow.iter().map(|flow| flow.player_session).collect::<Vec<_>>(), [id(4)]);
    assert!(flow[0].address.ip().is_loopback() && flow[0].process == ServerProcessId::from_bytes([0x50; 16]));
    let status = world.status(|status| status.cores.iter().map(|core| core.flows).sum::<usize>() == 4).await;
    assert!(status.cores[0].opened >= 5 && status.cores[0].drops.contains_key("replay"));
    relay.stop().await.unwrap();
}

#[tokio::test]
async fn more_flows_than_one_list_holds_are_told_in_lists() {
    let count = RELAY_LIST_MAX + 88;
    let world = World::new();
    let relay = world.relay();
    let mut session = world.welcome().await;
    let at = session.set_up().await;
    let here = server("127.0.0.1:0");
    let mut players = Vec::new();
    for number in 0..count {
        let access = many(number, at, here);
        players.push(RelaySocket::open(&[access], PATIENCE).await.unwrap());
        if number % 100 == 0 {
            session.beat(|_| true).await; // and all that came before it
        }
    }
    session.close();
    let mut session = world.welcome().await;
    let mut heard = BTreeSet::new();
    while heard.len() < count {
        let list = session.players().await;
        assert!(list.len() <= RELAY_LIST_MAX);
        heard.extend(list.into_iter().map(|flow| flow.player_session));
    }
    relay.stop().await.unwrap();
}

/// More players than a byte tells apart.
fn many(number: usize, at: SocketAddr, server: SocketAddr) -> RelayAccess {
    let mut access = players::access(0, at, server);
    let secret = RelaySecret::new(1, SECRET);
    let mut claims = secret.open(&access.pass).unwrap();
    claims.player_session = PlayerSessionId::from_parts(0, number as u64, [0; 9]);
    let mut salt = [0xaa; 16];
    salt[..8].copy_from_slice(&number.to_le_bytes());
    access.pass = secret.seal(&claims, salt);
    access
}
