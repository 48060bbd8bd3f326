//! The relay section of `PROTOCOL.md`: its bytes are the ones that are sent.

use std::time::Duration;

use data_encoding::HEXLOWER;
use playgate_protocol::relay::{Accept, FlowKey, HEADER_BYTES, PassClaims, PlayerFlow, RelayAccess, Reset};
use playgate_protocol::{PlayerSessionId, ServerProcessId};
use playgate_relay_core::Verdict;

use crate::world::*;

fn claims() -> PassClaims {
    PassClaims {
        player_session: PlayerSessionId::from_bytes(std::array::from_fn(|n| 0x70 + u8::try_from(n).unwrap())),
        process: ServerProcessId::from_bytes([0x50; 16]),
        server: SERVER.parse().unwrap(),
        use_by_ms: 1_750_000_060_000,
        valid_until_ms: 1_750_043_200_000,
        packets_per_second: 200,
        bytes_per_second: 200_000,
        flow_key: FlowKey::from_bytes([0xf0; 32]),
    }
}

/// The names of the document and the bytes of the code.
fn vectors() -> Vec<(&'static str, Vec<u8>)> {
    let mut world = World::new();
    world.now = Duration::from_micros(1_000_000_000);
    let pass = secret(1).seal(&claims(), [0x5a; 16]);
    let access = RelayAccess { address: RELAY.parse().unwrap(), pass, flow_key: claims().flow_key };
    let flow = PlayerFlow::new(access, [7; 32], Duration::from_secs(10), world.now);
    let mut player = Player { flow, address: "198.51.100.1:40000".parse().unwrap(), got: [].into() };
    let mut vectors = vec![("PASS", pass.0.to_vec())];
    let mut say = |world: &mut World, player: &mut Player, name, answer| {
        let sent = player.flow.poll_transmit().unwrap().as_slice().to_vec();
        world.send(player, &sent);
        vectors.extend([(name, sent), (answer, world.core.reply().to_vec())]);
    };
    say(&mut world, &mut player, "HELLO", "COOKIE");
    say(&mut world, &mut player, "OPEN", "ACCEPT");
    let up = player.wrapped(b"ping?");
    assert_eq!(world.send(&mut player, &up), Verdict::Forward(0));
    let mut down = [vec![0; HEADER_BYTES], b"pong!".to_vec()].concat();
    world.core.to_player(0, &mut down).unwrap();
    vectors.extend([("DATA up", up), ("DATA down", down)]);
    world.restart();
    let datagram = player.wrapped(b"is anybody there?");
    assert_eq!(world.from(player.address, &datagram), Verdict::Reply);
    vectors.push(("RESET", world.core.reply().to_vec()));
    vectors
}

/// The hex that follows `**name**` in the relay section of the document.
fn documented(document: &str, name: &str) -> Option<Vec<u8>> {
    let section = document.split_once("\n## Relay")?.1;
    let (_, after) = section.split_once(&format!("\n**{name}**"))?;
    let block = after.split_once("```text\n")?.1.split_once("```")?.0;
    let hex: String = block.chars().filter(|c| !c.is_whitespace()).collect();
    HEXLOWER.decode(hex.as_bytes()).ok()
}

#[test]
fn the_document_shows_the_bytes_that_are_sent() {
    let document = include_str!("../../../../PROTOCOL.md");
    let wrong = vectors().into_iter().filter(|(name, bytes)| documented(document, name).as_ref() != Some(bytes));
    let correction: String = wrong.map(|(name, bytes)| block(name, &bytes)).collect();
    assert!(correction.is_empty(), "PROTOCOL.md should say:\n{correction}");
}

/// As the document shows it.
fn block(name: &str, bytes: &[u8]) -> String {
    let lines: Vec<_> = bytes.chunks(48).map(|line| HEXLOWER.encode(line)).collect();
    format!("**{name}**, {} bytes\n\n```text\n{}\n```\n\n", bytes.len(), lines.join("\n"))
}

/// Everything the document derives, computed with nothing of ours.
#[test]
fn the_derivations_are_what_the_document_says() {
    use ring::{aead, hkdf, hmac};
    use siphasher::sip::SipHasher24;
    let vectors = vectors();
    let of = |name| vectors.iter().find(|(n, _)| *n == name).unwrap().1.as_slice();
    let hmac = |key: &[u8], parts: &[&[u8]]| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &parts.concat()).as_ref().to_vec()
    };

    let (pass, open, accept) = (of("PASS"), of("OPEN"), of("ACCEPT"));
    let key = hkdf::Salt::new(hkdf::HKDF_SHA256, &pass[5..21]).extract(&[1; 32]);
    let key: aead::UnboundKey = key.expand(&[b"playgate v1 relay pass"], &aead::CHACHA20_POLY1305).unwrap().into();
    let nonce = aead::Nonce::assume_unique_for_key([0; 12]);
    let mut sealed = pass[21..].to_vec();
    let opened =
        aead::LessSafeKey::new(key).open_in_place(nonce, aead::Aad::from(&pass[..21]), &mut sealed).unwrap().to_vec();
    assert_eq!(
        (&opened[..16], &opened[16..32]),
        (claims().player_session.as_bytes().as_slice(), [0x50; 16].as_slice())
    );
    let shard = opened[..16].iter().fold(0, |shard: u8, byte| shard.rotate_left(3) ^ byte);
    assert_eq!((pass[0], &pass[1..5]), (shard, [1, 0, 0, 0].as_slice()));
    assert_eq!(&opened[32..50], [[0; 10].as_slice(), &[255, 255, 10, 1, 2, 3, 0x61, 0x1e]].concat());
    assert_eq!(&opened[50..58], 1_750_000_060_000_u64.to_le_bytes());
    assert_eq!(&opened[66..74], [200_u32.to_le_bytes(), 200_000_u32.to_le_bytes()].concat());
    assert_eq!(&opened[74..], [0xf0; 32]);

    assert_eq!((&open[4..147], &open[147..171]), (pass, &of("COOKIE")[4..28]));
    assert_eq!((&open[171..187], &open[187..224]), (&of("COOKIE")[28..], [0; 37].as_slice()));
    assert_eq!(&open[224..], hmac(&[0xf0; 32], &[b"playgate v1 relay open", &open[..224]]));
    assert_eq!(&accept[195..], hmac(&[0xf0; 32], &[b"playgate v1 relay accept", &accept[..195]]));
    assert_eq!(&accept[4..28], &open[147..171]);
    assert_eq!(&accept[36..52], &of("RESET")[12..], "the token is the same after a restart");

    let keys = hmac(&[0xf0; 32], &[b"playgate v1 relay traffic", &accept[4..36]]);
    for (name, key) in [("DATA up", &keys[..16]), ("DATA down", &keys[16..])] {
        use std::hash::Hasher;
        let mut tag = SipHasher24::new_with_key(key.try_into().unwrap());
        tag.write(&[[1].as_slice(), &[0; 8], &accept[28..36], &of(name)[20..]].concat());
        assert_eq!(&of(name)[12..20], tag.finish().to_le_bytes(), "{name}");
    }
    assert!(Accept::open(accept, &claims().flow_key).is_some() && Reset::read(of("RESET")).is_some());
}
